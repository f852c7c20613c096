// SPDX-License-Identifier: GPL-2.0

//! The functions of include/linux/dax.h for file systems, and for the disks that they are on.
//!
//! The contract is that of the functions in [`dax`](super::dax).

use super::dax::{
    device,
    from_raw,
    into_raw,
    to_errno, //
};
use crate::ffi::operations::HolderOperations;
#[cfg(CONFIG_BLOCK)]
use crate::{
    dax_device::Registry,
    ffi::srcu::read_lock, //
};
use core::ptr::NonNull;
#[cfg(CONFIG_BLOCK)]
use kernel::block::bdev::BlockDevice;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

#[export]
unsafe extern "C" fn fs_dax_get(
    dax_dev: *mut bindings::dax_device,
    holder: *mut c_void,
    hops: *const bindings::dax_holder_operations,
) -> c_int {
    if dax_dev.is_null() {
        return ENODEV.to_errno();
    }

    // SAFETY: By the contract of this function the table is a constant of the holder. The holder
    // calls `fs_put_dax()` before the table goes away.
    let (device, operations) = unsafe { (device(dax_dev), HolderOperations::from_raw(hops)) };
    to_errno(device.open_instance(holder, operations).map(|device| {
        // The holder gives this reference back with `fs_put_dax()`.
        into_raw(device);
    }))
}

#[export]
unsafe extern "C" fn fs_put_dax(dax_dev: *mut bindings::dax_device, holder: *mut c_void) {
    let Some(dax_dev) = NonNull::new(dax_dev) else {
        return;
    };

    // SAFETY: By the contract the caller owns a reference, and gives it up.
    let device = unsafe { from_raw(dax_dev) };
    if !holder.is_null() {
        device.release(holder);
    }
}

#[cfg(CONFIG_BLOCK)]
#[export]
unsafe extern "C" fn fs_dax_get_by_bdev(
    bdev: *mut bindings::block_device,
    start_off: *mut u64,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> *mut bindings::dax_device {
    // SAFETY: By the contract of this function the block device is open, and the table is a
    // constant of the holder. The holder calls `fs_put_dax()` before the table goes away.
    let (bdev, operations) =
        unsafe { (BlockDevice::from_raw(bdev), HolderOperations::from_raw(ops)) };
    let Ok(hosts) = Registry::hosts() else {
        return core::ptr::null_mut();
    };

    let section = read_lock();
    match hosts.open(section.held(), bdev, holder, operations) {
        Some((device, start)) => {
            // SAFETY: By the contract of this function the pointer is valid.
            unsafe { *start_off = start };
            into_raw(device)
        }
        None => core::ptr::null_mut(),
    }
}

#[cfg(CONFIG_BLOCK)]
#[export]
unsafe extern "C" fn dax_add_host(
    dax_dev: *mut bindings::dax_device,
    disk: *mut bindings::gendisk,
) -> c_int {
    // SAFETY: By the contract of this function.
    let device = unsafe { device(dax_dev) };

    to_errno(Registry::hosts().and_then(|hosts| hosts.add(disk as usize, device.into())))
}

#[cfg(CONFIG_BLOCK)]
#[export]
unsafe extern "C" fn dax_remove_host(disk: *mut bindings::gendisk) {
    if let Ok(hosts) = Registry::hosts() {
        hosts.remove(disk as usize);
    }
}
