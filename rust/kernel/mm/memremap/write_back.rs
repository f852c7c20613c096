// SPDX-License-Identifier: GPL-2.0

//! Memory without struct pages that is cached.
//!
//! On x86 a page table entry of such memory gets the memory type that was reserved for the physical
//! address, and is uncached if there is none. [`WriteBack`] reserves the type write-back.
//!
//! C headers: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h),
//! [`include/linux/io.h`](srctree/include/linux/io.h)

use crate::{
    bindings,
    error::to_result,
    page::{
        PAGE_MASK,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};

/// The size of the largest entry in the kernel's page table.
const LARGEST: u64 = 1 << 30;

/// Physical memory whose memory type is write-back.
///
/// # Invariants
///
/// There is memory without struct pages at the physical addresses `phys`, and all its mappings are
/// write-back. If `mapping` is [`None`], `pfnmap_track()` reserved the type.
pub struct WriteBack {
    phys: Range<u64>,
    mapping: Option<Mapping>,
}

impl WriteBack {
    /// Reserves the memory type of physical memory.
    ///
    /// If this code is in a module, it cannot call `pfnmap_track()`. Then the kernel maps the
    /// memory as long as the value exists, which reserves the type, too. May sleep. Fails with
    /// [`ENOMEM`], and with [`EBUSY`] if the memory has another type.
    ///
    /// # Safety
    ///
    /// There is memory at these addresses, which are multiples of the page size. It has no struct
    /// pages and no mapping of another type.
    pub unsafe fn reserve(phys: Range<u64>, all: &mut KVVec<Self>) -> Result {
        all.reserve(3, GFP_KERNEL)?;
        match track(&phys) {
            Err(EOPNOTSUPP) => {}
            done => {
                done?;
                // INVARIANT: By the caller, and just reserved.
                let reserved = Self {
                    phys,
                    mapping: None,
                };
                return Ok(all.push(reserved, GFP_KERNEL)?);
            }
        }
        for phys in by_largest_entry(phys) {
            // SAFETY: By the caller.
            let mapping = Some(unsafe { Mapping::new(phys.clone())? });
            // INVARIANT: By the caller. The mapping has reserved the type.
            all.push(Self { phys, mapping }, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Maps the page with a physical address in the kernel, if the memory has that address.
    ///
    /// May sleep. Fails with [`ENOMEM`].
    pub fn map_page(&self, phys: u64) -> Option<Result<Mapping>> {
        if !self.phys.contains(&phys) {
            return None;
        }
        let first = phys & PAGE_MASK as u64;
        // SAFETY: By the type invariant, as the memory consists of pages.
        Some(unsafe { Mapping::new(first..first.wrapping_add(PAGE_SIZE as u64)) })
    }
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        if self.mapping.is_none() {
            untrack(&self.phys);
        }
    }
}

/// Reserves the memory type, if this code can.
// The function that is called is not exported, so this must not be inlined in a module.
#[inline(never)]
fn track(phys: &Range<u64>) -> Result {
    let len = phys.end.saturating_sub(phys.start) as c_ulong;
    // SAFETY: The function takes any numbers.
    to_result(unsafe { bindings::pfnmap_track_cached((phys.start >> PAGE_SHIFT) as c_ulong, len) })
}

/// Undoes [`track`].
// As for `track()`.
#[inline(never)]
fn untrack(phys: &Range<u64>) {
    let len = phys.end.saturating_sub(phys.start) as c_ulong;
    // SAFETY: The caller has reserved the type of this range.
    unsafe { bindings::pfnmap_untrack_cached((phys.start >> PAGE_SHIFT) as c_ulong, len) };
}

/// Divides a range in at most three. The middle one is of whole gigabytes, which the kernel maps
/// with entries of that size. So the effort to map it hardly depends on the size.
fn by_largest_entry(phys: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let last = phys.end & !LARGEST.wrapping_sub(1);
    let ranges = match phys.start.checked_next_multiple_of(LARGEST) {
        Some(first) if first < last => [phys.start..first, first..last, last..phys.end],
        _ => [phys, 0..0, 0..0],
    };

    ranges.into_iter().filter(|range| !range.is_empty())
}

/// Physical memory that the kernel has mapped: `memremap()` with `MEMREMAP_WB`.
///
/// # Invariants
///
/// `memremap()` returned the address.
pub struct Mapping(NonNull<c_void>);

// SAFETY: Any thread may use and remove the mapping.
unsafe impl Send for Mapping {}
// SAFETY: A shared reference only gives access to a pointer.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// # Safety
    ///
    /// There is memory at these addresses. It has no struct pages and no mapping of another type.
    unsafe fn new(phys: Range<u64>) -> Result<Self> {
        let len = phys.end.saturating_sub(phys.start);
        // SAFETY: By the caller.
        let addr = unsafe {
            bindings::memremap(
                phys.start,
                usize::try_from(len)?,
                bindings::MEMREMAP_WB as c_ulong,
            )
        };

        // INVARIANT: Just mapped.
        Ok(Self(NonNull::new(addr).ok_or(ENOMEM)?))
    }

    /// Returns the kernel's address of the memory. It is valid as long as the mapping exists.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::memunmap(self.0.as_ptr()) };
    }
}
