// SPDX-License-Identifier: GPL-2.0
// fails: E0624 associated function `from_raw` is private

//! mm would unlock a page that is not locked, or assume that the mmap lock was dropped.

use kernel::mm::fault::FaultResult;

/// Forges VM_FAULT_RETRY.
pub fn retry() -> FaultResult {
    FaultResult::from_raw(0x400)
}
