// SPDX-License-Identifier: GPL-2.0

//! Memory for a specific purpose: the interface between the registry and `dax_hmem`.
//!
//! The *registry*, which is built in, learns at boot which memory firmware has marked:
//! [`Candidate`]s. It has one platform device, [`Host`]. The driver of that device, in a module,
//! makes a platform device for each range to be offered: [`Registration`]. A second driver in that
//! module makes a region of the dax bus of each: [`Driver`].
//!
//! Both sides use C symbols, so each can be in C.
//!
//! C headers: [`include/linux/dax.h`](srctree/include/linux/dax.h), `drivers/dax/bus.h`

use crate::{
    bindings,
    container_of,
    dax,
    device::{
        self,
        AsBusDevice,
        Bound,
        Core,
        DeviceContext, //
    },
    driver,
    error::{
        from_result,
        to_result, //
    },
    io::resource,
    memregion,
    numa::NumaNode,
    platform,
    prelude::*,
    str::CStrExt as _,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::{
        Opaque,
        ScopeGuard, //
    },
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        size_of, //
    },
    ops::Range,
    ptr::{
        self,
        NonNull, //
    },
};

/// A range of memory in the registry. Parts of it may not be soft-reserved.
#[derive(Clone)]
pub struct Candidate {
    /// The physical addresses. The end is exclusive.
    pub range: Range<u64>,
    /// The NUMA node that the memory would have as System RAM; [`NumaNode::NO_NODE`] if none is
    /// known.
    pub target_node: NumaNode,
}

/// Calls `f` with each candidate of the registry, in ascending order, until `f` fails. May sleep.
///
/// Fails as `f` does, and with [`ENOMEM`].
pub fn candidates<F: FnMut(&Candidate) -> Result>(mut f: F) -> Result {
    // SAFETY: The registry passes the first argument to `call`, and does not use it otherwise or
    // later. Neither of them uses it as a device.
    to_result(unsafe { bindings::walk_hmem_resources((&raw mut f).cast(), Some(call::<F>)) })
}

/// # Safety
///
/// `f` points to an `F` that nothing else uses during the call. `res` is valid.
unsafe extern "C" fn call<F: FnMut(&Candidate) -> Result>(
    f: *mut bindings::device,
    target_node: c_int,
    res: *const bindings::resource,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let (f, range) = unsafe { (&mut *f.cast::<F>(), range_of(res)) };

    from_result(|| {
        f(&Candidate {
            range,
            target_node: NumaNode::from_raw(target_node),
        })?;
        Ok(0)
    })
}

/// Returns the addresses of a resource.
///
/// # Safety
///
/// `res` is valid.
unsafe fn range_of(res: *const bindings::resource) -> Range<u64> {
    // SAFETY: By the safety requirement.
    let res = unsafe { &*res };

    res.start..res.end.saturating_add(1)
}

/// Waits until `dax_hmem` has decided about memory that CXL might have. May sleep.
///
/// Only `dax_cxl` can call this: `dax_hmem` exports the symbol to that module alone.
#[inline]
pub fn wait_for_decision() {
    #[cfg(CONFIG_DEV_DAX_HMEM)]
    // SAFETY: The function has no requirements.
    unsafe {
        bindings::dax_hmem_flush_work()
    }
}

/// The platform device that stands for all of the registry's memory (`struct
/// hmem_platform_device`). There is at most one.
///
/// # Invariants
///
/// A [`Host`] represents a valid `struct hmem_platform_device`.
#[repr(transparent)]
pub struct Host(Opaque<bindings::hmem_platform_device>);

impl Host {
    /// The name of the device, and of its driver.
    pub const NAME: &'static CStr = c"hmem_platform";

    /// Returns the host that a platform device is. [`None`] if it is another device: user space can
    /// bind the host's driver to any platform device by force (`driver_override`).
    pub fn of<Ctx: DeviceContext>(pdev: &platform::Device<Ctx>) -> Option<&Self> {
        let pdev = named(pdev, Self::NAME)?;

        // SAFETY: Only the registry makes devices of that name, each in a `struct
        // hmem_platform_device`.
        Some(unsafe { &*container_of!(pdev, bindings::hmem_platform_device, pdev).cast() })
    }

    fn decided(&self) -> &Atomic<bool> {
        // SAFETY: By the type invariant, the field is valid. Rust accesses it only here. A driver
        // in C accesses it only while the device is bound to that driver and not to one in Rust.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).did_probe) }
    }

    /// Returns whether CXL had some of the registry's memory. This is remembered until the next
    /// boot, even if the driver is removed.
    pub fn has_cxl_memory(&self) -> bool {
        self.decided().load(Relaxed)
    }

    /// Records that CXL has some of the memory.
    pub fn set_cxl_memory(&self) {
        self.decided().store(true, Relaxed);
    }
}

/// Returns a platform device if it has the name.
fn named<Ctx: DeviceContext>(
    pdev: &platform::Device<Ctx>,
    name: &CStr,
) -> Option<*mut bindings::platform_device> {
    let dev: &device::Device<Ctx> = pdev.as_ref();

    // SAFETY: The `struct device` of a `platform::Device` is embedded in a `struct
    // platform_device`.
    let pdev = unsafe { container_of!(dev.as_raw(), bindings::platform_device, dev) };

    // SAFETY: `pdev` is valid, and its name never changes.
    unsafe { is_named(pdev, name) }.then_some(pdev)
}

/// Returns whether a platform device has the name.
///
/// Not inlined: measuring a string has checked arithmetic, which would leave a panic in the driver.
///
/// # Safety
///
/// `pdev` is valid.
#[inline(never)]
unsafe fn is_named(pdev: *const bindings::platform_device, name: &CStr) -> bool {
    // SAFETY: By the safety requirement.
    unsafe { CStr::from_char_ptr((*pdev).name) == name }
}

/// A platform device for a range of memory, `hmem.N`. Dropping this unregisters the device.
///
/// # Invariants
///
/// `pdev` is a registered platform device that [`Registration::new`] made.
pub struct Registration {
    pdev: NonNull<bindings::platform_device>,
    // Dropped after the device, which has this number.
    _id: memregion::Id,
}

impl Registration {
    /// Registers a device for the memory, below the host's device. If the driver is loaded, it is
    /// probed before this returns. May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if not all of the memory is soft-reserved: drivers must not take the rest.
    /// [`ENOMEM`], and the errors of `platform_device_add()`.
    pub fn new(host: &platform::Device, memory: &Candidate) -> Result<Self> {
        if !resource::is_soft_reserved(&memory.range) {
            return Err(EINVAL);
        }

        let id = memregion::Id::new()?;
        let last = memory.range.end.checked_sub(1).ok_or(EINVAL)?;
        let info = bindings::memregion_info {
            target_node: memory.target_node.as_raw(),
            range: bindings::range {
                start: memory.range.start,
                end: last,
            },
        };

        // SAFETY: The function makes a copy of the name.
        let pdev = unsafe { bindings::platform_device_alloc(NAME.as_char_ptr(), id.get()) };
        let pdev = ScopeGuard::new_with_data(NonNull::new(pdev).ok_or(ENOMEM)?, |pdev| {
            // SAFETY: The guard owns the only reference to the device.
            unsafe { bindings::platform_device_put(pdev.as_ptr()) }
        });
        let host: &device::Device = host.as_ref();

        // SAFETY: The device is not registered yet, so its fields can be set.
        // `platform_device_add()` takes a reference to the parent. The data and the name are
        // copied.
        unsafe {
            let raw = pdev.as_ptr();

            (*raw).dev.parent = host.as_raw();
            #[cfg(CONFIG_NUMA)]
            {
                let near = crate::numa::nearest_online_node(memory.target_node);
                (*raw).dev.numa_node = near.as_raw();
            }
            to_result(bindings::platform_device_add_data(
                raw,
                (&raw const info).cast(),
                size_of::<bindings::memregion_info>(),
            ))?;
            to_result(bindings::platform_device_add(raw))?;
        }

        // INVARIANT: `platform_device_add()` registered the device.
        Ok(Self {
            pdev: pdev.dismiss(),
            _id: id,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::platform_device_unregister(self.pdev.as_ptr()) }
    }
}

// SAFETY: A platform device can be unregistered by any thread.
unsafe impl Send for Registration {}

/// The name of the devices for ranges of memory, and of their driver.
const NAME: &CStr = c"hmem";

/// An adapter for the registration of drivers of [`Device`]s.
pub struct Adapter<T: Driver>(T);

impl<T: Driver> Adapter<T> {
    /// The name that the driver must have.
    pub const NAME: &'static CStr = NAME;

    extern "C" fn probe_callback(pdev: *mut bindings::platform_device) -> c_int {
        // SAFETY: The platform bus only ever calls the probe callback with a valid device, which is
        // being bound.
        let pdev = unsafe { &*pdev.cast::<platform::Device<Core<'_>>>() };

        from_result(|| {
            // User space can bind another platform device by force (`driver_override`).
            let raw = named(pdev, NAME).ok_or(ENODEV)?;

            // SAFETY: `Device` is a transparent wrapper.
            // INVARIANT: Only `Registration::new` and its counterpart in C make devices of that
            // name. Both give them a `struct memregion_info` as platform data.
            T::probe(unsafe { &*raw.cast::<Device<Core<'_>>>() })?;
            Ok(0)
        })
    }
}

// SAFETY:
// - `bindings::platform_driver` is a C type declared as `repr(C)`.
// - The driver has no device private data: `()`. See `register`.
// - `struct platform_driver` embeds a `struct device_driver` at `DEVICE_DRIVER_OFFSET`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::platform_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        pdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct platform_driver` on initialization.
        unsafe {
            (*pdrv.get()).driver.name = name.as_char_ptr();
            (*pdrv.get()).probe = Some(Self::probe_callback);
            // The driver data of these devices is a region of the dax core, not private data of a
            // driver in Rust. The core frees it itself.
            (*pdrv.get()).driver.p_cb.post_unbind_rust = None;
        }

        // SAFETY: `pdrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe {
            bindings::__platform_driver_register(pdrv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(pdrv: &Opaque<Self::DriverType>) {
        // SAFETY: `pdrv` is guaranteed to be a valid, registered `DriverType`.
        unsafe { bindings::platform_driver_unregister(pdrv.get()) }
    }
}

/// A driver of ranges of soft-reserved memory.
///
/// Such a driver has no private data and no `unbind`. The device is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core stores that region in the driver
/// data. Devres releases the resources that `probe` acquires.
pub trait Driver {
    /// Called when the platform bus has a device for the driver.
    fn probe(dev: &Device<Core<'_>>) -> Result;
}

/// The platform device of a range of memory.
///
/// # Invariants
///
/// A [`Device`] represents a valid `struct platform_device` whose platform data is a `struct
/// memregion_info`.
#[repr(transparent)]
pub struct Device<Ctx: DeviceContext = device::Normal>(
    Opaque<bindings::platform_device>,
    PhantomData<Ctx>,
);

impl<Ctx: DeviceContext> Device<Ctx> {
    /// Returns the number N of `hmem.N`. No other memory region has it.
    pub fn id(&self) -> i32 {
        // SAFETY: By the type invariant; the number is constant.
        unsafe { (*self.0.get()).id }
    }

    /// Returns the memory of the device.
    pub fn memory(&self) -> Candidate {
        // SAFETY: By the type invariant; the data is constant.
        let info: &bindings::memregion_info =
            unsafe { &*(*self.0.get()).dev.platform_data.cast_const().cast() };

        Candidate {
            range: info.range.start..info.range.end.saturating_add(1),
            target_node: NumaNode::from_raw(info.target_node),
        }
    }

    /// Returns the memory of the device, for a region of the dax bus.
    pub fn region_memory(&self) -> super::region::Memory {
        // SAFETY: `Registration::new` makes devices for soft-reserved memory only. Firmware sets
        // that aside for drivers.
        unsafe { super::region::Memory::new(self.memory().range) }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct platform_device`, which has a valid device
// at the offset.
unsafe impl<Ctx: DeviceContext> AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::platform_device, dev);
}

impl<Ctx: DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant, the device in it is valid.
        unsafe { device::Device::from_raw(ptr::addr_of_mut!((*self.0.get()).dev)) }
    }
}

// SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on its generic argument.
kernel::impl_device_context_deref!(unsafe { Device });

// SAFETY: In the `Core` context the driver is being probed, since it has no other callback.
// `Adapter` does not use the driver data.
unsafe impl dax::region::Parent for Device<Core<'_>> {
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}
