// SPDX-License-Identifier: GPL-2.0

//! Memory for a specific purpose, on its way to the dax bus.
//!
//! Two parts of the dax subsystem share the work. The *registry*, which is built in, learns at boot
//! which memory firmware has marked: [`Candidate`]s. For all of it there is one platform device,
//! [`Host`]. Its driver, a module, makes a platform device for each piece that really is to be
//! offered: [`Registration`]. And a second driver of that module makes a region of the dax bus of
//! each of them: [`Driver`].
//!
//! What stands here goes through C symbols in both directions, so either part can be in C.
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
    numa::{
        self,
        NumaNode, //
    },
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

/// Memory that the registry knows of. Not all of it has to be soft-reserved.
#[derive(Clone)]
pub struct Candidate {
    /// The physical addresses; the end is the first one behind.
    pub range: Range<u64>,
    /// The NUMA node that the memory would have as System RAM; [`NumaNode::NO_NODE`] if none is known.
    pub target_node: NumaNode,
}

/// Calls `f` with what the registry knows of, in ascending order, until it fails. May sleep.
///
/// Fails as `f` does, and with [`ENOMEM`].
pub fn candidates<F: FnMut(&Candidate) -> Result>(mut f: F) -> Result {
    // SAFETY: The registry only hands the first argument on to the second, which it calls with it
    // before it returns. It is not a device, but neither of them takes it for one.
    to_result(unsafe { bindings::walk_hmem_resources((&raw mut f).cast(), Some(call::<F>)) })
}

/// # Safety
///
/// `f` points to an `F` that nobody else uses meanwhile; `res` is valid.
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
/// For `dax_cxl`, and for no other module: to others `dax_hmem` does not export it.
#[inline]
pub fn wait_for_decision() {
    #[cfg(CONFIG_DEV_DAX_HMEM)]
    // SAFETY: Only waits.
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

        // SAFETY: Only the registry makes devices of that name, and makes them so.
        Some(unsafe { &*container_of!(pdev, bindings::hmem_platform_device, pdev).cast() })
    }

    fn decided(&self) -> &Atomic<bool> {
        // SAFETY: By the type invariant, the field is valid. It is only accessed in this way, or by
        // a driver in C, which is not there when one in Rust is.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).did_probe) }
    }

    /// Returns whether CXL was found to have memory that the registry knows of. The answer stays until
    /// the next boot, even if the driver goes.
    pub fn has_cxl_memory(&self) -> bool {
        self.decided().load(Relaxed)
    }

    /// Keeps in mind that CXL has some of the memory.
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

    // SAFETY: A platform device has a valid device in it.
    let pdev = unsafe { container_of!(dev.as_raw(), bindings::platform_device, dev) };

    // SAFETY: It is valid, and its name never changes.
    unsafe { is_named(pdev, name) }.then_some(pdev)
}

/// Not inlined: measuring a string is arithmetic that checks itself, and a driver is not to have
/// any panic.
///
/// # Safety
///
/// `pdev` is valid.
#[inline(never)]
unsafe fn is_named(pdev: *const bindings::platform_device, name: &CStr) -> bool {
    // SAFETY: By the safety requirement.
    unsafe { CStr::from_char_ptr((*pdev).name) == name }
}

/// A platform device for a piece of memory, `hmem.N`, registered until this is dropped.
///
/// # Invariants
///
/// The pointer is to a registered platform device that [`Registration::new`] made.
pub struct Registration {
    pdev: NonNull<bindings::platform_device>,
    // After the device, whose number it is.
    _id: memregion::Id,
}

impl Registration {
    /// Registers a device for the memory, below that of the host. Its driver is probed at once if it
    /// is there. May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if not all of the memory is soft-reserved: it is not for drivers to take then.
    /// [`ENOMEM`], and what else the driver core has against a device.
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
            // SAFETY: There is one reference to the device, which is ours.
            unsafe { bindings::platform_device_put(pdev.as_ptr()) }
        });
        let host: &device::Device = host.as_ref();

        // SAFETY: It's safe to set the fields of a device before it is registered; from then on it
        // has a reference to its parent. The data is copied.
        unsafe {
            let raw = pdev.as_ptr();

            (*raw).dev.parent = host.as_raw();
            #[cfg(CONFIG_NUMA)]
            {
                (*raw).dev.numa_node = numa::nearest_online_node(memory.target_node).as_raw();
            }
            to_result(bindings::platform_device_add_data(
                raw,
                (&raw const info).cast(),
                size_of::<bindings::memregion_info>(),
            ))?;
            to_result(bindings::platform_device_add(raw))?;
        }

        // INVARIANT: It is registered now.
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

/// The name of the devices for pieces of memory, and of their driver.
const NAME: &CStr = c"hmem";

/// An adapter for the registration of drivers of [`Device`]s.
pub struct Adapter<T: Driver>(T);

impl<T: Driver> Adapter<T> {
    /// The name that the driver has to have.
    pub const NAME: &'static CStr = NAME;

    extern "C" fn probe_callback(pdev: *mut bindings::platform_device) -> c_int {
        // SAFETY: The platform bus only ever calls the probe callback with a valid device, which is
        // being bound.
        let pdev = unsafe { &*pdev.cast::<platform::Device<Core<'_>>>() };

        from_result(|| {
            // Another one can be bound by force: `driver_override`.
            let raw = named(pdev, NAME).ok_or(ENODEV)?;

            // SAFETY: `Device` is a transparent wrapper.
            // INVARIANT: Only `dax_hmem` makes devices of that name, and makes them so.
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
            // The driver data of these devices holds a region of the dax core, which frees it
            // itself; it is not the private data of a driver in Rust.
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

/// A driver of pieces of memory.
///
/// There is no private data, and no `unbind`: a device of this type is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core keeps that in the driver data of
/// its parent. What `probe` acquires belongs to the device and goes with devres.
pub trait Driver {
    /// Called when the platform bus has a device for the driver.
    fn probe(dev: &Device<Core<'_>>) -> Result;
}

/// The platform device of a piece of memory.
///
/// # Invariants
///
/// A [`Device`] represents a valid `struct platform_device` whose platform data is a `struct
/// memregion_info`; or none at all, until it is registered.
#[repr(transparent)]
pub struct Device<Ctx: DeviceContext = device::Normal>(
    Opaque<bindings::platform_device>,
    PhantomData<Ctx>,
);

impl<Ctx: DeviceContext> Device<Ctx> {
    /// Returns its number, which no other region of memory has: N of `hmem.N`.
    pub fn id(&self) -> i32 {
        // SAFETY: By the type invariant; the number is constant.
        unsafe { (*self.0.get()).id }
    }

    /// Returns which memory it is for.
    pub fn memory(&self) -> Candidate {
        // SAFETY: By the type invariant; the data is constant.
        let info: &bindings::memregion_info =
            unsafe { &*(*self.0.get()).dev.platform_data.cast_const().cast() };

        Candidate {
            range: info.range.start..info.range.end.saturating_add(1),
            target_node: NumaNode::from_raw(info.target_node),
        }
    }

    /// Returns its memory, for a region of the dax bus.
    pub fn region_memory(&self) -> super::region::Memory {
        // SAFETY: Such a device is only made of soft-reserved memory, which firmware keeps for drivers.
        unsafe { super::region::Memory::new(self.memory().range) }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct platform_device`, which has a valid device at
// the offset.
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

// SAFETY: In the `Core` context the driver is being probed (it has no other callback), and
// `Adapter` leaves the driver data alone.
unsafe impl dax::region::Parent for Device<Core<'_>> {
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}
