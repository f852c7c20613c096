// SPDX-License-Identifier: GPL-2.0

//! What `dax_cxl` calls: a function of drivers/dax/bus.h.

use kernel::prelude::*;

/// Waits until it is decided who has the memory in windows of CXL. May sleep.
///
/// # Safety
///
/// None of the caller's.
#[export]
unsafe extern "C" fn dax_hmem_flush_work() {
    crate::wait_for_decision();
}
