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

/// The unit in bytes of the memory that `memremap_pages()` takes, and that can be given back
/// without harm to memory beside it.
///
/// When arm64 gives memory back, it frees every page of the memmap that has an entry of it, also of
/// those that have entries of memory beside it. With pages of 4 KiB no unit shares such a page,
/// with larger pages two units of `memremap_compat_align()` do.
pub(crate) fn memremap_unit() -> usize {
    /// The entries of so many pages fill whole pages.
    const PAGES: usize = PAGE_SIZE >> size_of::<bindings::page>().trailing_zeros();

    // SAFETY: The function has no requirements.
    unsafe { bindings::memremap_compat_align() }.max(PAGES * PAGE_SIZE)
}

/// Whether hot-added memory can hold its own memmap.
pub(crate) fn supports_memmap_on_memory() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { bindings::mhp_supports_memmap_on_memory() }
}
