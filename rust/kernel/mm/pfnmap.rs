// SPDX-License-Identifier: GPL-2.0

//! Mappings of bare page frames.
//!
//! `mm` does not count references to a bare frame and has no reverse mapping for it. So the driver
//! must remove the entries itself before the frame goes away, and `get_user_pages()` fails. Whether
//! the frame has a `struct page` does not matter.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)

#[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
use super::fault::PUD_ORDER;
use super::{
    fault::{
        FaultResult,
        VmFault,
        PMD_ORDER,
        PTE_ORDER, //
    },
    virt::VmaRef,
    vma_desc::VmaDesc, //
};
use crate::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    page::PAGE_SIZE, //
};

impl VmaDesc {
    /// Makes this a mapping of bare page frames (`VM_PFNMAP`).
    ///
    /// It cannot grow, and is not in core dumps. Without this, [`VmFault::insert_pfn`] must not be
    /// used.
    #[inline]
    pub fn set_pfnmap(&mut self) {
        for bit in [
            bindings::VMA_PFNMAP_BIT,
            bindings::VMA_DONTEXPAND_BIT,
            bindings::VMA_DONTDUMP_BIT,
        ] {
            self.set_flag(bit as i32);
        }
    }
}

impl VmFault {
    /// Maps the frames from `pfn` on at the address of the fault, with one entry of `order`.
    ///
    /// The memory type is that of the frames; on x86, frames for which nobody has reserved a type
    /// are uncached. The result is `SIGBUS` if there is no such entry on this machine.
    ///
    /// # Safety
    ///
    /// - The area is shared, and [`VmaDesc::set_pfnmap`] made it one of bare frames.
    /// - `pfn` is a multiple of `2^order`. The `2^order` frames exist until they are removed from
    ///   all address spaces, and the area may map them.
    /// - [`VmFault::entry`] returned [`Some`] for `order`.
    #[inline]
    pub unsafe fn insert_pfn(&self, pfn: usize, order: u32) -> FaultResult {
        let vmf = self.as_raw();

        // SAFETY: By the type invariant the fault is being handled. The rest is by the safety
        // requirements.
        unsafe {
            match order {
                PTE_ORDER => FaultResult::from_raw(bindings::vmf_insert_pfn(
                    self.vma().as_ptr(),
                    self.address(),
                    pfn,
                )),
                PMD_ORDER if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) => FaultResult::from_raw(
                    bindings::vmf_insert_pfn_pmd(vmf, pfn, self.is_upgrade(order)),
                ),
                #[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
                PUD_ORDER => FaultResult::from_raw(bindings::vmf_insert_pfn_pud(
                    vmf,
                    pfn,
                    self.is_upgrade(order),
                )),
                _ => FaultResult::SIGBUS,
            }
        }
    }

    /// [`Self::insert_pfn`] for frames whose memory type is known: write-back.
    ///
    /// `mm` does not look up the type, so this takes less time.
    ///
    /// # Safety
    ///
    /// As for [`Self::insert_pfn`]. In addition, all mappings of the frames are write-back as long
    /// as they are mapped here.
    #[inline]
    pub unsafe fn insert_cached_pfn(&self, pfn: usize, order: u32) -> FaultResult {
        let upgrade = self.is_upgrade(order);

        // SAFETY: By the type invariant the fault is being handled, and asks for an entry of this
        // order. The rest is by the safety requirements.
        let done = unsafe {
            if order != PTE_ORDER {
                !upgrade && bindings::vmf_insert_cached(self.as_raw(), pfn, order)
            } else {
                cfg!(CONFIG_X86) && self.insert_cached_pte(pfn)
            }
        };
        if done {
            return FaultResult::NOPAGE;
        }
        // SAFETY: By the safety requirements.
        unsafe { self.insert_pfn(pfn, order) }
    }

    /// Maps a frame with a pte, if that is empty. Returns `false` if there is no memory for the
    /// page table.
    ///
    /// `apply_to_page_range()` calls back with the page table locked. `pte_offset_map_lock()` would
    /// take less time, but is not exported.
    ///
    /// # Safety
    ///
    /// As for [`Self::insert_cached_pfn`] with `PTE_ORDER`.
    #[inline]
    unsafe fn insert_cached_pte(&self, pfn: usize) -> bool {
        let mut new = CachedPte {
            vma: self.vma().as_ptr(),
            pfn,
        };

        // SAFETY: By the type invariant the fault is being handled, so the area and its address
        // space stay. The address is in the area, and nothing but ptes maps there. The function
        // calls back with `new`, which is as the callback requires.
        unsafe {
            bindings::apply_to_page_range(
                (*new.vma).vm_mm,
                self.address(),
                PAGE_SIZE,
                Some(CachedPte::set),
                (&raw mut new).cast(),
            ) == 0
        }
    }
}

/// A frame that is to be mapped in an area.
struct CachedPte {
    vma: *mut bindings::vm_area_struct,
    pfn: usize,
}

impl CachedPte {
    /// # Safety
    ///
    /// `data` is a `CachedPte` whose area and frame are as [`VmFault::insert_cached_pfn`] requires.
    /// `pte` is the entry of `addr` in this area, and its page table is locked.
    unsafe extern "C" fn set(pte: *mut bindings::pte_t, addr: usize, data: *mut c_void) -> c_int {
        // SAFETY: By the safety requirements.
        unsafe {
            let new = &*data.cast::<Self>();
            bindings::vma_set_cached_pte(new.vma, addr, pte, new.pfn);
        }
        0
    }
}

/// Returns whether a page frame is mapped at an address of an area of bare page frames.
///
/// # Safety
///
/// The caller holds the mmap lock of the area, or the lock for the list of mappings of its file
/// (`i_mmap_rwsem`).
pub unsafe fn is_mapped(vma: &VmaRef, addr: usize) -> bool {
    let mut args = bindings::follow_pfnmap_args {
        vma: vma.as_ptr(),
        address: addr,
        ..pin_init::zeroed()
    };

    // SAFETY: By the caller. The function refuses an address outside of the area.
    if unsafe { bindings::follow_pfnmap_start(&mut args) } != 0 {
        return false;
    }
    // SAFETY: The start was successful.
    unsafe { bindings::follow_pfnmap_end(&mut args) };
    true
}
