// SPDX-License-Identifier: GPL-2.0

//! The C functions of `drivers/dax/bus.h`, and those of `drivers/dax/dax-private.h` that are about
//! instances.

use crate::{
    bus::{
        self,
        DAX_BUS, //
    },
    class,
    ffi::{
        driver::Driver,
        instance::{
            bound_ranges,
            DevPagemap, //
        },
        region::IORESOURCE_DAX_ERRNO, //
    },
    instance::{
        self,
        Instance, //
    },
    ranges,
    region::{
        self,
        NewInstance,
        Region, //
    }, //
};
use kernel::{
    bindings,
    device::{
        attribute::AttachTarget,
        subclass::Subclass,
        Bound,
        Device, //
    },
    error::from_result,
    prelude::*,
    sync::ArcBorrow, //
};

/// Makes a region below `parent`. If the region is refused, the reason is in the log, and the
/// result is null or, with `IORESOURCE_DAX_ERRNO`, an `ERR_PTR()`.
///
/// # Safety
///
/// - `parent` is valid and its driver is being bound. Until the unbind nothing but the core sets or
///   reads its driver data.
/// - `range` is valid.
#[export]
unsafe extern "C" fn alloc_dax_region(
    parent: *mut bindings::device,
    region_id: c_int,
    range: *mut bindings::range,
    target_node: c_int,
    align: c_uint,
    flags: c_ulong,
) -> *mut bindings::dax_region {
    // SAFETY: By the caller.
    let (parent, range) = unsafe { (Device::<Bound>::from_raw(parent), *range) };
    // SAFETY: By the caller only the core uses the driver data of `parent`.
    let parent = unsafe { AttachTarget::new(parent) };
    let request = region::Request {
        id: region_id,
        range,
        target_node,
        align,
        flags: flags & !IORESOURCE_DAX_ERRNO,
    };

    match region::register(parent, request) {
        Ok(region) => region.head().as_raw(),
        Err(error) if flags & IORESOURCE_DAX_ERRNO != 0 => error.to_ptr(),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Makes an instance. It exists until the provider of the region is unbound, or until it is
/// deleted.
///
/// # Safety
///
/// `data` is valid, its region comes from [`alloc_dax_region`], and the provider is being bound.
#[export]
unsafe extern "C" fn devm_create_dev_dax(
    data: *mut bindings::dev_dax_data,
) -> *mut bindings::dev_dax {
    // SAFETY: By the caller.
    let data = unsafe { &*data };
    // SAFETY: By the caller the pointer comes from `alloc_dax_region()`, which returned the head of
    // a `Region` in an `Arc`. The region lives as long as the provider is bound.
    let region = unsafe { ArcBorrow::from_raw(data.dax_region.cast::<Region>()) };

    let create = || {
        let pgmap = if data.pgmap.is_null() {
            None
        } else {
            // SAFETY: By the caller, a `struct dev_pagemap` that is given is valid.
            Some(unsafe { DevPagemap::copy_of(data.pgmap) }?)
        };
        Region::create(
            &region.into(),
            NewInstance {
                id: u32::try_from(data.id).ok(),
                size: data.size,
                pgmap,
                memmap_on_memory: data.memmap_on_memory,
            },
        )
    };

    match create() {
        // The region keeps the instance; the caller borrows it.
        Ok(dev) => dev.as_raw(),
        Err(error) => error.to_ptr(),
    }
}

/// Loads the driver of the instances in the class, and takes a reference to its module, which the
/// caller puts. Returns an `ERR_PTR()` if the driver cannot be loaded.
///
/// # Safety
///
/// No requirements; the binding has it.
#[export]
unsafe extern "C" fn dax_class_driver_get() -> *mut bindings::dax_device_driver {
    match class::load_device_dax() {
        Ok(driver) => driver.into_raw(),
        Err(error) => error.to_ptr(),
    }
}

/// Adds a driver to the bus.
///
/// # Safety
///
/// `drv` is valid, and stays so until [`dax_driver_unregister`]. `module` and `mod_name` are those
/// of the module that owns it.
#[export]
unsafe extern "C" fn __dax_driver_register(
    drv: *mut bindings::dax_device_driver,
    module: *mut bindings::module,
    mod_name: *const c_char,
) -> c_int {
    from_result(|| {
        // SAFETY: By the caller.
        let driver = unsafe { &mut *drv };

        if driver.probe.is_none() {
            return Err(EINVAL);
        }
        driver.drv.owner = module;
        driver.drv.name = mod_name;
        driver.drv.mod_name = mod_name;
        // SAFETY: By the caller the driver is valid and stays so. The fields that the bus needs
        // were set above.
        unsafe { DAX_BUS.register_driver(&raw mut (*drv).drv) }?;
        Ok(0)
    })
}

/// Removes a driver from the bus, and forgets what was written to its `new_id`.
///
/// # Safety
///
/// `drv` is registered.
#[export]
unsafe extern "C" fn dax_driver_unregister(drv: *mut bindings::dax_device_driver) {
    // SAFETY: By the caller.
    let driver = unsafe { Driver::from_ptr(drv) };

    // SAFETY: By the caller.
    unsafe { bindings::driver_unregister(driver.as_drv_raw()) };
    // The file `new_id` is gone, so no name is added any more.
    bus::forget_driver(driver);
}

/// Ends all access through an instance, and unmaps it.
///
/// # Safety
///
/// `dev_dax` is an instance whose driver is being unbound.
#[export]
unsafe extern "C" fn kill_dev_dax(dev_dax: *mut bindings::dev_dax) {
    // SAFETY: By the caller; the core made all instances.
    instance::kill(unsafe { Subclass::<Instance>::from_raw(dev_dax) });
}

/// Whether the instance is in a static region.
///
/// # Safety
///
/// `dev_dax` is a valid instance.
#[export]
unsafe extern "C" fn static_dev_dax(dev_dax: *mut bindings::dev_dax) -> bool {
    // SAFETY: By the caller; the core made all instances.
    unsafe { Subclass::<Instance>::from_raw(dev_dax) }
        .region()
        .is_static()
}

/// The physical address of a page of an instance. All bits are set if the `size` bytes from there
/// on are not in one range.
///
/// # Safety
///
/// `dev_dax` is an instance. A driver is bound to it, or faults of the last driver are still
/// running. The caller is in a read-side section, unless the driver has no callback `grow`.
#[export]
unsafe extern "C" fn dax_pgoff_to_phys(
    dev_dax: *mut bindings::dev_dax,
    pgoff: c_ulong,
    size: c_ulong,
) -> bindings::phys_addr_t {
    // SAFETY: By the caller.
    let ranges = unsafe { bound_ranges(dev_dax) };

    ranges::lookup(ranges, pgoff as u64, size as u64).unwrap_or(bindings::phys_addr_t::MAX)
}
