// SPDX-License-Identifier: GPL-2.0

//! The tracepoint of a fault. The core has the other tracepoints.
//!
//! A tracepoint that is off is a `nop`. The C header describes the event.
//!
//! C header: [`include/trace/events/dax.h`](srctree/include/trace/events/dax.h)

use super::device::Device;
use crate::{
    bindings,
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
}

/// A fault was handled: `dax:dax_fault`.
#[inline(always)]
pub(super) fn fault(dev: &Device, fault: &VmFault, order: u32, result: FaultResult) {
    // SAFETY: The instance and the fault are valid.
    unsafe { dax_fault(dev.as_raw(), fault.as_raw(), order, result.into_raw()) };
}
