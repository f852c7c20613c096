// SPDX-License-Identifier: GPL-2.0

//! The function of bus.h that `dax_hmem` implements, for `dax_cxl`.

use kernel::prelude::*;

/// Waits until `dax_hmem` has decided about the memory in CXL windows. May sleep.
///
/// # Safety
///
/// None. The function is `unsafe` because the binding is.
#[export]
unsafe extern "C" fn dax_hmem_flush_work() {
    crate::wait_for_decision();
}
