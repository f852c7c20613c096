// SPDX-License-Identifier: GPL-2.0
// fails: E0624 associated function `from_raw` is private

//! mm would unlock a page that is not locked, or take the mmap lock for released.

use kernel::mm::fault::FaultResult;

/// VM_FAULT_RETRY.
pub fn retry() -> FaultResult {
    FaultResult::from_raw(0x400)
}
