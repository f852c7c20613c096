// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of DAX.
//!
//! One that is off is a `nop`. What each event has to say is in the C header.
//!
//! C header: [`include/trace/events/dax.h`](srctree/include/trace/events/dax.h)

use super::device::Device;
use crate::{
    bindings,
    error::Result,
    mm::fault::{
        FaultResult,
        VmFault, //
    },
    prelude::*,
    tracepoint::declare_trace, //
};

declare_trace! {
    /// # Safety
    ///
    /// The pointers are valid.
    unsafe fn dax_fault(
        dev_dax: *const bindings::dev_dax,
        vmf: *const bindings::vm_fault,
        order: c_uint,
        result: bindings::vm_fault_t,
    );

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

/// A fault was answered: `dax:dax_fault`.
#[inline(always)]
pub(super) fn fault(dev: &Device, fault: &VmFault, order: u32, result: FaultResult) {
    // SAFETY: Both are valid.
    unsafe { dax_fault(dev.as_raw(), fault.as_raw(), order, result.into_raw()) };
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

/// An instance was alive, and is not any more: `dax:dax_kill`.
///
/// # Safety
///
/// `dev_dax` is an instance.
#[inline]
pub(super) unsafe fn kill(dev_dax: *const bindings::dev_dax) {
    // SAFETY: By the caller.
    unsafe { dax_kill(dev_dax) };
}

/// The instance `id` of a region gets memory, the last byte of which is at `end`:
/// `dax:dax_range_alloc`.
#[inline]
pub fn range_alloc(region: u32, id: u32, start: u64, end: u64) {
    // SAFETY: There are no requirements.
    unsafe { dax_range_alloc(region, id, start, end) };
}

/// The instance `id` of a region loses memory, the last byte of which is at `end`:
/// `dax:dax_range_free`.
#[inline]
pub fn range_free(region: u32, id: u32, start: u64, end: u64) {
    // SAFETY: There are no requirements.
    unsafe { dax_range_free(region, id, start, end) };
}
