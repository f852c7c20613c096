// SPDX-License-Identifier: GPL-2.0

//! Memory without struct pages in the kernel's address space, cached.
//!
//! On x86 a page table entry of such memory gets the memory type that was reserved for the physical
//! address, and is uncached if there is none. [`WriteBack`] reserves the type write-back.
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)

use crate::{
    bindings,
    prelude::*, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};

/// The size of the largest entry in the kernel's page table.
const LARGEST: u64 = 1 << 30;

/// Physical memory that the kernel has mapped: `memremap()` with `MEMREMAP_WB`.
///
/// # Invariants
///
/// `memremap()` returned `addr` for the physical addresses `phys`.
pub struct WriteBack {
    phys: Range<u64>,
    addr: NonNull<c_void>,
}

// SAFETY: Any thread may use and remove the mapping.
unsafe impl Send for WriteBack {}
// SAFETY: A shared reference only gives access to a pointer.
unsafe impl Sync for WriteBack {}

impl WriteBack {
    /// Maps physical memory. May sleep. Fails with [`ENOMEM`].
    ///
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
        Ok(Self {
            phys,
            addr: NonNull::new(addr).ok_or(ENOMEM)?,
        })
    }

    /// Maps physical memory in at most three mappings. The middle one is of whole gigabytes, which the
    /// kernel maps with entries of that size. So the effort hardly depends on the size.
    ///
    /// # Safety
    ///
    /// There is memory at these addresses. It has no struct pages and no mapping of another type.
    pub unsafe fn each(phys: Range<u64>, all: &mut KVVec<Self>) -> Result {
        let first = phys.start.checked_next_multiple_of(LARGEST).ok_or(EINVAL)?;
        let last = phys.end & !(LARGEST - 1);
        let cuts = if first < last {
            [phys.start..first, first..last, last..phys.end]
        } else {
            [phys, 0..0, 0..0]
        };

        for part in cuts.into_iter().filter(|part| !part.is_empty()) {
            // SAFETY: By the caller.
            all.push(unsafe { Self::new(part)? }, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Returns the kernel's address of a physical address, if it is in the mapping. The pointer is
    /// valid up to the end of the page, as long as the mapping exists.
    pub fn get(&self, phys: u64) -> Option<NonNull<u8>> {
        if !self.phys.contains(&phys) {
            return None;
        }
        let offset = phys.wrapping_sub(self.phys.start) as usize;

        NonNull::new(self.addr.as_ptr().cast::<u8>().wrapping_add(offset))
    }
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::memunmap(self.addr.as_ptr()) };
    }
}
