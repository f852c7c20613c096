// SPDX-License-Identifier: GPL-2.0

//! The limits that the architecture and `mm` set.

use kernel::bindings;

pub(crate) use bindings::{
    PAGE_SIZE,
    PMD_SIZE,
    PUD_SIZE, //
};

/// Whether this machine has page-table entries of `bytes` for an instance.
pub(crate) fn align_valid(bytes: u64) -> bool {
    // SAFETY: The function has no requirements.
    usize::try_from(bytes).is_ok_and(|bytes| unsafe { bindings::dax_align_valid(bytes) })
}

/// The unit in bytes of the memory that `memremap_pages()` takes.
pub(crate) fn memremap_compat_align() -> usize {
    // SAFETY: The function has no requirements.
    unsafe { bindings::memremap_compat_align() }
}

/// Whether hot-added memory can hold its own memmap.
pub(crate) fn supports_memmap_on_memory() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { bindings::mhp_supports_memmap_on_memory() }
}
