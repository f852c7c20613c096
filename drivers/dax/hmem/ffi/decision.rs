// SPDX-License-Identifier: GPL-2.0

//! The function of bus.h that `dax_hmem` has to have, for `dax_cxl`.

use kernel::prelude::*;

/// Waits until it is decided who has the memory in windows of CXL. May sleep.
///
/// # Safety
///
/// There are no requirements; the binding is an `unsafe` function.
#[export]
unsafe extern "C" fn dax_hmem_flush_work() {
    crate::wait_for_decision();
}
