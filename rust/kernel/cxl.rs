// SPDX-License-Identifier: GPL-2.0

//! Drivers on the CXL bus, for regions of volatile memory.
//!
//! The CXL drivers, which are C, find CXL devices and make *CXL regions* of their memory. A CXL
//! region is a range of physical addresses that leads to one or more devices. For each region of
//! volatile memory, the CXL bus has a device ([`DaxRegion`]), to which the driver that offers the
//! memory to the dax bus is bound. This module has the abstraction for such drivers, and functions
//! that tell which memory CXL has.
//!
//! The CXL core can be a module, while this crate is part of the kernel image. So each function
//! here that calls the CXL core is `#[inline]` or generic: only modules then refer to its symbols.
//!
//! C header: `drivers/cxl/cxl.h`
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     cxl::{
//!         self,
//!         DaxRegion, //
//!     },
//!     device::Core, //
//! };
//!
//! struct Example;
//!
//! impl cxl::Driver for Example {
//!     fn probe(region: &DaxRegion<Core<'_>>) -> Result {
//!         dev_info!(region, "region {} at 0x{:x}\n", region.id(), region.range().start);
//!         Ok(())
//!     }
//! }
//! ```

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
/// Errors are ignored: without these drivers there is no CXL memory.
pub fn load_drivers() {
    for module in [c"cxl_acpi", c"cxl_pci"] {
        // SAFETY: `module` is a C string. The call does not keep a pointer to it.
        unsafe { bindings::request_module_by_name(module.as_char_ptr()) };
    }
}

/// Waits until each known device has been probed and no probe is running. Sleeps. Must not be
/// called from a probe, which would wait for itself.
///
/// Afterwards, each CXL memory range of the boot is a CXL region, if the drivers can make one of
/// it.
pub fn wait_for_drivers() {
    // SAFETY: The function has no preconditions. It only waits.
    unsafe { bindings::wait_for_device_probe() }
}

/// Returns whether one committed CXL region contains all of a range of physical addresses. May
/// sleep.
///
/// Only `dax_hmem` can call this. The CXL core exports the symbol to that module alone.
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

        // SAFETY: `res` is a valid resource. The call does not keep a pointer to it.
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
            // A probe can take long, and nothing depends on the order of the probes.
            (*cdrv.get()).drv.probe_type = bindings::probe_type_PROBE_PREFER_ASYNCHRONOUS;
            // The CXL core unbinds the device when it removes the region.
            (*cdrv.get()).drv.suppress_bind_attrs = true;

            // The driver data of these devices is a region of the dax core, not private data of a
            // driver in Rust. The core frees it itself.
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
        // SAFETY: The CXL bus calls `probe` only with a valid device of the type that the driver
        // was registered for: the device in a `struct cxl_dax_region`.
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
/// Such a driver has no private data and no `unbind`. The device is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core stores that region in the driver
/// data. Devres releases the resources that `probe` acquires.
pub trait Driver {
    /// Called when the CXL bus has a device for the driver. Several calls can run at the same time.
    fn probe(region: &DaxRegion<Core<'_>>) -> Result;
}

/// The device of a region of volatile memory on the CXL bus: `struct cxl_dax_region`.
///
/// # Invariants
///
/// A [`DaxRegion`] represents a valid `struct cxl_dax_region`. Its `cxlr` points to a valid
/// `struct cxl_region`.
#[repr(transparent)]
pub struct DaxRegion<Ctx: DeviceContext = device::Normal>(
    Opaque<bindings::cxl_dax_region>,
    PhantomData<Ctx>,
);

impl<Ctx: DeviceContext> DaxRegion<Ctx> {
    /// Returns the number of the CXL region. It comes from [`memregion`](crate::memregion), so no
    /// other region has it.
    #[inline]
    pub fn id(&self) -> i32 {
        // SAFETY: By the type invariant, both pointers are valid. The number is constant.
        unsafe { (*(*self.0.get()).cxlr).id }
    }

    /// Returns the physical addresses of the region.
    #[inline]
    pub fn range(&self) -> Range<u64> {
        // SAFETY: By the type invariant, `self` is valid. The range is constant.
        let range = unsafe { &(*self.0.get()).hpa_range };

        range.start..range.end.saturating_add(1)
    }

    /// Returns the memory of the region, for a region of the dax bus.
    #[inline]
    pub fn memory(&self) -> dax::region::Memory {
        // SAFETY: The addresses lead to memory as long as the CXL region exists. The CXL drivers
        // made this device for the driver that offers this memory.
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
        // SAFETY: By the type invariant, the embedded device is valid.
        unsafe { device::Device::from_raw(&raw mut (*self.0.get()).dev) }
    }
}

// SAFETY: `DaxRegion` is a transparent wrapper of a type that doesn't depend on its generic
// argument.
kernel::impl_device_context_deref!(unsafe { DaxRegion });

// SAFETY: In the `Core` context the driver is being probed, since it has no other callback.
// `Adapter` does not use the driver data.
unsafe impl dax::region::Parent for DaxRegion<Core<'_>> {
    #[inline]
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}
