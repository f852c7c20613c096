// SPDX-License-Identifier: GPL-2.0

//! Drivers on the CXL bus: memory behind a CXL link, once it is a region.
//!
//! The CXL drivers, which stay in C, find devices and make *regions* of their memory: ranges of
//! physical addresses that lead to one or more of them. For a region of volatile memory they put a
//! device on their bus ([`DaxRegion`]) for the driver that offers it to the dax bus. Drivers for
//! those are what this module is for, and those that want to know what CXL has.
//!
//! The CXL core can be a module, while this crate is part of the kernel image: whatever calls into
//! it is `#[inline]` or generic, so that only modules refer to its symbols.
//!
//! C header: `drivers/cxl/cxl.h`

use crate::{
    bindings,
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
    prelude::*,
    str::CStrExt as _,
    types::Opaque,
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Range, //
};

/// Loads the drivers that find CXL memory, if they are modules. May sleep.
///
/// Whether that succeeds is not told: without them there is no CXL memory.
pub fn load_drivers() {
    for module in [c"cxl_acpi", c"cxl_pci"] {
        // SAFETY: The format takes one string, which is not used after the call.
        unsafe { bindings::__request_module(true, c"%s".as_char_ptr(), module.as_char_ptr()) };
    }
}

/// Waits until no device is being probed, and all that were there have been. Not from a probe.
///
/// Thereafter CXL memory that was there at boot is a region, if the drivers can make one of it.
pub fn wait_for_drivers() {
    // SAFETY: Only waits.
    unsafe { bindings::wait_for_device_probe() }
}

/// Returns whether one region, in use, has all of a range of physical addresses. May sleep.
///
/// For `dax_hmem`, and for no other module: to others the CXL core does not export it.
#[inline]
pub fn region_contains(range: &Range<u64>) -> bool {
    #[cfg(CONFIG_CXL_REGION)]
    {
        let res = bindings::resource {
            start: range.start,
            end: range.end.wrapping_sub(1),
            flags: bindings::IORESOURCE_MEM as c_ulong,
            ..pin_init::zeroed()
        };

        // SAFETY: `res` is a valid resource, and not used after the call.
        !range.is_empty() && unsafe { bindings::cxl_region_contains_resource(&res) }
    }

    #[cfg(not(CONFIG_CXL_REGION))]
    {
        let _ = range;
        false
    }
}

/// An adapter for the registration of drivers of [`DaxRegion`]s.
pub struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::cxl_driver` is a C type declared as `repr(C)`.
// - The driver has no device private data: `()`. See `register`.
// - `struct cxl_driver` embeds a `struct device_driver` at `DEVICE_DRIVER_OFFSET`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::cxl_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, drv);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        cdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct cxl_driver` on initialization.
        unsafe {
            (*cdrv.get()).name = name.as_char_ptr();
            (*cdrv.get()).probe = Some(Self::probe_callback);
            (*cdrv.get()).id = bindings::CXL_DEVICE_DAX_REGION as c_int;
            // Bringing memory up can take long, and takes no part in the order of anything.
            (*cdrv.get()).drv.probe_type = bindings::probe_type_PROBE_PREFER_ASYNCHRONOUS;
            // CXL unbinds the device when it takes the region away.
            (*cdrv.get()).drv.suppress_bind_attrs = true;

            // The driver data of these devices holds a region of the dax core, which frees it
            // itself; it is not the private data of a driver in Rust.
            (*cdrv.get()).drv.p_cb.post_unbind_rust = None;
        }

        // SAFETY: `cdrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe {
            bindings::__cxl_driver_register(cdrv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(cdrv: &Opaque<Self::DriverType>) {
        // SAFETY: `cdrv` is guaranteed to be a valid, registered `DriverType`.
        unsafe { bindings::cxl_driver_unregister(cdrv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: The CXL bus only calls `probe` with a valid device of the type that the driver
        // was registered for, which is the device in a `struct cxl_dax_region`.
        //
        // INVARIANT: The device is valid for the duration of `probe_callback()`.
        let region = unsafe {
            DaxRegion::<Core<'_>>::from_device(device::Device::<Core<'_>>::from_raw(dev))
        };

        from_result(|| T::probe(region).map(|()| 0))
    }
}

/// A driver of regions of volatile memory.
///
/// There is no private data, and no `unbind`: a device of this type is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core keeps that in the driver data of
/// its parent. What `probe` acquires belongs to the device and goes with devres.
pub trait Driver {
    /// Called when the CXL bus has a device for the driver; possibly for several at a time.
    fn probe(region: &DaxRegion<Core<'_>>) -> Result;
}

/// What stands for a region of volatile memory on the CXL bus: `struct cxl_dax_region`.
///
/// # Invariants
///
/// A [`DaxRegion`] represents a valid `struct cxl_dax_region`, below a valid `struct cxl_region`.
#[repr(transparent)]
pub struct DaxRegion<Ctx: DeviceContext = device::Normal>(
    Opaque<bindings::cxl_dax_region>,
    PhantomData<Ctx>,
);

impl<Ctx: DeviceContext> DaxRegion<Ctx> {
    /// Returns the number of the CXL region. It comes from [`memregion`](crate::memregion), so that
    /// no other region has it.
    #[inline]
    pub fn id(&self) -> i32 {
        // SAFETY: By the type invariant; the number is constant.
        unsafe { (*(*self.0.get()).cxlr).id }
    }

    /// Returns the physical addresses of the region.
    #[inline]
    pub fn range(&self) -> Range<u64> {
        // SAFETY: By the type invariant; the range is constant.
        let range = unsafe { &(*self.0.get()).hpa_range };

        range.start..range.end.saturating_add(1)
    }

    /// Returns the memory of the region, for a region of the dax bus.
    #[inline]
    pub fn memory(&self) -> dax::region::Memory {
        // SAFETY: The CXL drivers decode the addresses to memory as long as the region exists, and made
        // this device for whoever offers it.
        unsafe { dax::region::Memory::new(self.range()) }
    }
}

// SAFETY: `DaxRegion` is a transparent wrapper of `struct cxl_dax_region`, which has a valid device
// at the offset.
unsafe impl<Ctx: DeviceContext> AsBusDevice<Ctx> for DaxRegion<Ctx> {
    const OFFSET: usize = offset_of!(bindings::cxl_dax_region, dev);
}

impl<Ctx: DeviceContext> AsRef<device::Device<Ctx>> for DaxRegion<Ctx> {
    #[inline]
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant, the device in it is valid.
        unsafe { device::Device::from_raw(&raw mut (*self.0.get()).dev) }
    }
}

// SAFETY: `DaxRegion` is a transparent wrapper of a type that doesn't depend on its generic
// argument.
kernel::impl_device_context_deref!(unsafe { DaxRegion });

// SAFETY: In the `Core` context the driver is being probed (it has no other callback), and
// `Adapter` leaves the driver data alone.
unsafe impl dax::region::Parent for DaxRegion<Core<'_>> {
    #[inline]
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}
