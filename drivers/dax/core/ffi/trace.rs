// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of the core. The tracepoint of a fault is in the `kernel` crate.
//!
//! A tracepoint that is off is a `nop`. The C header describes the events.
//!
//! C header: include/trace/events/dax.h

use kernel::{
    bindings,
    prelude::*,
    tracepoint::declare_trace, //
};

declare_trace! {
    /// # Safety
    ///
    /// The pointers are valid, the string ends with a zero, and the ranges do not change.
    unsafe fn dax_bind(dev_dax: *const bindings::dev_dax, driver: *const c_char, error: c_int);

    /// # Safety
    ///
    /// The pointer is valid.
    unsafe fn dax_kill(dev_dax: *const bindings::dev_dax);

    /// # Safety
    ///
    /// None.
    unsafe fn dax_range_alloc(region: c_uint, id: c_uint, start: u64, end: u64);

    /// # Safety
    ///
    /// None.
    unsafe fn dax_range_free(region: c_uint, id: c_uint, start: u64, end: u64);
}

/// A driver was offered an instance: `dax:dax_bind`.
///
/// # Safety
///
/// `dev_dax` is an instance whose ranges do not change meanwhile.
#[inline]
pub(super) unsafe fn bind(dev_dax: *const bindings::dev_dax, driver: &CStr, result: &Result) {
    let error = result
        .as_ref()
        .map_or_else(|error| error.to_errno(), |()| 0);

    // SAFETY: By the caller.
    unsafe { dax_bind(dev_dax, driver.as_char_ptr(), error) };
}

/// An instance was alive and has been killed: `dax:dax_kill`.
///
/// # Safety
///
/// `dev_dax` is an instance.
#[inline]
pub(super) unsafe fn kill(dev_dax: *const bindings::dev_dax) {
    // SAFETY: By the caller.
    unsafe { dax_kill(dev_dax) };
}

/// The instance `id` of a region gets memory: `dax:dax_range_alloc`. `end` is its last byte.
#[inline]
pub(crate) fn range_alloc(region: u32, id: u32, start: u64, end: u64) {
    // SAFETY: The tracepoint has no requirements.
    unsafe { dax_range_alloc(region, id, start, end) };
}

/// The instance `id` of a region loses memory: `dax:dax_range_free`. `end` is its last byte.
#[inline]
pub(crate) fn range_free(region: u32, id: u32, start: u64, end: u64) {
    // SAFETY: The tracepoint has no requirements.
    unsafe { dax_range_free(region, id, start, end) };
}
