// SPDX-License-Identifier: GPL-2.0

//! The functions of include/linux/dax.h and drivers/dax/dax-private.h that are about dax devices.
//! Those for file systems are in [`fs`](super::fs).
//!
//! Each function creates references from the pointers of its caller and calls safe code. By the
//! contract of the headers, pointers are valid, and the caller has a reference to each `struct
//! dax_device`. Some functions say that the caller must be between [`dax_read_lock`] and
//! [`dax_read_unlock`].

use crate::{
    dax_device::{
        Alive,
        DaxDevice,
        DaxInode,
        DaxRef, //
    },
    ffi::{
        operations::DaxOperations,
        srcu::{
            domain,
            read_lock, //
        }, //
    }, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    dax::copy::{
        IovIter,
        Window, //
    },
    ffi::{
        c_int,
        c_long,
        c_void, //
    },
    prelude::*, //
};

/// Starts the core. Called once, by exports.c.
#[export]
unsafe extern "C" fn dax_core_start() -> c_int {
    match crate::start() {
        Ok(()) => 0,
        Err(error) => {
            pr_err!("cannot start: {:?}\n", error);
            error.to_errno()
        }
    }
}

/// # Safety
///
/// `dax_dev` comes from [`alloc_dax`] or [`dax_dev_get`]. A reference to it lasts for `'a`.
#[inline(always)]
pub(super) unsafe fn device<'a>(dax_dev: *mut bindings::dax_device) -> &'a DaxInode {
    // SAFETY: By the safety requirement this is an inode of the core, and a reference keeps it.
    unsafe { DaxInode::from_raw(dax_dev.cast()) }
}

/// Passes a reference to C.
pub(super) fn into_raw(device: DaxRef) -> *mut bindings::dax_device {
    DaxRef::into_raw(device).as_ptr().cast()
}

/// Takes back a reference that [`into_raw`] passed to C.
///
/// # Safety
///
/// `dax_dev` comes from [`into_raw`], and the caller does not use the reference again.
pub(super) unsafe fn from_raw(dax_dev: NonNull<bindings::dax_device>) -> DaxRef {
    // SAFETY: By the safety requirement.
    unsafe { DaxRef::from_raw(dax_dev.cast()) }
}

#[export]
unsafe extern "C" fn dax_read_lock() -> c_int {
    domain().read_lock_raw()
}

#[export]
unsafe extern "C" fn dax_read_unlock(id: c_int) {
    // SAFETY: By the contract the caller got `id` from `dax_read_lock()`.
    unsafe { domain().read_unlock_raw(id) };
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_alive(dax_dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the contract of this function.
    let (device, _section) = unsafe { (device(dax_dev), domain().assume_held()) };

    device.is_alive()
}

#[export]
unsafe extern "C" fn run_dax(dax_dev: *mut bindings::dax_device) {
    // SAFETY: By the contract of this function the pointer is valid. The driver of an instance that
    // calls this also calls `kill_dev_dax()`, and so `kill_dax()`, before the instance is unbound.
    // A bound instance exists.
    unsafe { device(dax_dev).liveness().start() };
}

#[export]
unsafe extern "C" fn kill_dax(dax_dev: *mut bindings::dax_device) {
    if !dax_dev.is_null() {
        // SAFETY: By the contract of this function. The pointer is not null here.
        unsafe { device(dax_dev) }.kill();
    }
}

#[export]
unsafe extern "C" fn alloc_dax(
    private: *mut c_void,
    ops: *const bindings::dax_operations,
) -> *mut bindings::dax_device {
    let operations = if ops.is_null() {
        Ok(None)
    } else {
        // SAFETY: By the contract of this function the table is a constant of the caller. The
        // caller kills the device before the table goes away.
        unsafe { operations(ops) }.map(Some)
    };

    match operations.and_then(|ops| DaxDevice::for_driver(private, ops)) {
        Ok(device) => into_raw(device),
        Err(error) => error.to_ptr(),
    }
}

/// The operations that a driver gives to a device.
///
/// Fails with `EOPNOTSUPP` where the kernel's address of the memory would alias the address of user
/// space in the data cache. Device DAX does not need operations, and then the kernel has no
/// address.
///
/// # Safety
///
/// As for [`DaxOperations::from_raw`].
unsafe fn operations(
    ops: *const bindings::dax_operations,
) -> Result<&'static DaxOperations<DaxInode>> {
    // SAFETY: Always safe to call.
    if unsafe { bindings::cpu_dcache_is_aliasing() } {
        return Err(EOPNOTSUPP);
    }

    // SAFETY: By the safety requirement.
    let operations = unsafe { DaxOperations::from_raw(ops) };
    kernel::warn_on!(operations.is_err());
    operations
}

#[export]
unsafe extern "C" fn put_dax(dax_dev: *mut bindings::dax_device) {
    if let Some(dax_dev) = NonNull::new(dax_dev) {
        // SAFETY: By the contract the caller owns a reference, and gives it up.
        drop(unsafe { from_raw(dax_dev) });
    }
}

/// Returns null for a device number that no dax device has.
#[export]
unsafe extern "C" fn dax_dev_get(devt: bindings::dev_t) -> *mut bindings::dax_device {
    DaxDevice::find(devt).map_or(ptr::null_mut(), into_raw)
}

#[export]
unsafe extern "C" fn dax_inode(dax_dev: *mut bindings::dax_device) -> *mut bindings::inode {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.as_raw()
}

/// Accepts any inode through which the character device of the dax device was opened.
#[export]
unsafe extern "C" fn inode_dax(inode: *mut bindings::inode) -> *mut bindings::dax_device {
    // SAFETY: By the contract `i_cdev` is the one that is embedded in a dax device.
    unsafe { DaxInode::from_opened(inode) }.as_raw().cast()
}

#[export]
unsafe extern "C" fn dax_get_private(dax_dev: *mut bindings::dax_device) -> *mut c_void {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.owner()
}

#[export]
unsafe extern "C" fn dax_holder(dax_dev: *mut bindings::dax_device) -> *mut c_void {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.holder()
}

#[export]
unsafe extern "C" fn dax_set_ops(
    dax_dev: *mut bindings::dax_device,
    ops: *const bindings::dax_operations,
) -> c_int {
    let operations = if ops.is_null() {
        Ok(None)
    } else {
        // SAFETY: By the contract of this function the table is a constant of the caller. The
        // caller kills the device, or takes the table away, before the table goes away.
        unsafe { operations(ops) }.map(Some)
    };

    // SAFETY: By the contract of this function.
    let device = unsafe { device(dax_dev) };
    to_errno(operations.and_then(|operations| device.set_operations(operations)))
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_direct_access(
    dax_dev: *mut bindings::dax_device,
    pgoff: usize,
    nr_pages: c_long,
    mode: bindings::dax_access_mode,
    kaddr: *mut *mut c_void,
    pfn: *mut usize,
) -> c_long {
    if dax_dev.is_null() {
        return EOPNOTSUPP.to_errno() as c_long;
    }

    // SAFETY: By the contract of this function. The pointers for results may be null.
    let (device, section, kaddr, pfn) = unsafe {
        (
            device(dax_dev),
            domain().assume_held(),
            kaddr.as_mut(),
            pfn.as_mut(),
        )
    };
    let Some(alive) = device.alive(section) else {
        return ENXIO.to_errno() as c_long;
    };

    match alive.direct_access(pgoff, nr_pages, mode, kaddr, pfn) {
        Ok(available) => available,
        Err(error) => error.to_errno() as c_long,
    }
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_zero_page_range(
    dax_dev: *mut bindings::dax_device,
    pgoff: usize,
    nr_pages: usize,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (device, section) = unsafe { (device(dax_dev), domain().assume_held()) };
    let alive = device.alive(section).ok_or(ENXIO);

    to_errno(alive.and_then(|alive| alive.zero_page_range(pgoff, nr_pages)))
}

/// Calls `copy` if the device is alive. Returns the number of bytes that were copied.
///
/// # Safety
///
/// - The caller is between [`dax_read_lock`] and [`dax_read_unlock`].
/// - [`dax_direct_access`] returned `addr` for `bytes` bytes.
/// - `iter` is valid, and nothing else uses it.
unsafe fn copy(
    dax_dev: *mut bindings::dax_device,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
    copy: impl FnOnce(Alive<'_>, Window<'_>, &mut IovIter) -> usize,
) -> usize {
    // SAFETY: By the safety requirements.
    let (device, section, window, iter) = unsafe {
        (
            device(dax_dev),
            domain().assume_held(),
            Window::new(addr, bytes),
            IovIter::from_raw(iter),
        )
    };

    device
        .alive(section)
        .map_or(0, |alive| copy(alive, window, iter))
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_recovery_write(
    dax_dev: *mut bindings::dax_device,
    pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the contract of this function.
    unsafe {
        copy(dax_dev, addr, bytes, iter, |alive, window, iter| {
            alive.recovery_write(pgoff, window, iter)
        })
    }
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_copy_from_iter(
    dax_dev: *mut bindings::dax_device,
    _pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the contract of this function.
    unsafe {
        copy(dax_dev, addr, bytes, iter, |alive, window, iter| {
            alive.copy_from_iter(window, iter)
        })
    }
}

/// Between [`dax_read_lock`] and [`dax_read_unlock`] only.
#[export]
unsafe extern "C" fn dax_copy_to_iter(
    dax_dev: *mut bindings::dax_device,
    _pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the contract of this function.
    unsafe {
        copy(dax_dev, addr, bytes, iter, |alive, window, iter| {
            alive.copy_to_iter(window, iter)
        })
    }
}

/// Flushes `size` bytes from `addr` on, which is what [`dax_direct_access`] returned.
#[export]
unsafe extern "C" fn dax_flush(dax_dev: *mut bindings::dax_device, addr: *mut c_void, size: usize) {
    // SAFETY: By the contract of this function.
    let (device, window) = unsafe { (device(dax_dev), Window::new(addr, size)) };

    device.flush(window);
}

#[export]
unsafe extern "C" fn dax_holder_notify_failure(
    dax_dev: *mut bindings::dax_device,
    off: u64,
    len: u64,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    let device = unsafe { device(dax_dev) };
    let section = read_lock();
    let alive = device.alive(section.held()).ok_or(ENXIO);

    to_errno(alive.and_then(|alive| alive.notify_failure(off, len, mf_flags)))
}

#[export]
unsafe extern "C" fn dax_write_cache(dax_dev: *mut bindings::dax_device, wc: bool) {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.set_write_cache(wc);
}

#[export]
unsafe extern "C" fn dax_write_cache_enabled(dax_dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.write_cache()
}

#[export]
unsafe extern "C" fn dax_synchronous(dax_dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.synchronous()
}

#[export]
unsafe extern "C" fn set_dax_synchronous(dax_dev: *mut bindings::dax_device) {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.set_synchronous();
}

#[export]
unsafe extern "C" fn set_dax_nocache(dax_dev: *mut bindings::dax_device) {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.set_nocache();
}

#[export]
unsafe extern "C" fn set_dax_nomc(dax_dev: *mut bindings::dax_device) {
    // SAFETY: By the contract of this function.
    unsafe { device(dax_dev) }.set_nomc();
}

/// Converts a result to a return value of C.
pub(super) fn to_errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
