// SPDX-License-Identifier: GPL-2.0

//! A page fault in a mapping of an instance.
//!
//! [`Fault::map`] does everything: it begins a section in which the instance is alive, finds the
//! folio, and makes the entry. So a driver only decides whether to map, and cannot map memory at a
//! wrong address.

#[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
use crate::mm::fault::PUD_ORDER;
use crate::{
    bindings,
    dax::{
        device::Device,
        live::{
            Backing,
            Count,
            Frames,
            LiveFolio,
            LiveMemory,
            Pages, //
        }, //
    },
    mm::fault::{
        FaultResult,
        VmFault,
        PMD_ORDER,
        PTE_ORDER, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};

/// A page fault in a mapping of an instance: `mm` asks for one entry of a page table.
///
/// The mapping was made for memory with struct pages, or for memory without. So there are two kinds
/// of faults, and a fault with struct pages does nothing for those without.
///
/// # Invariants
///
/// If `B` is [`Frames`], the area is shared, and one of bare page frames.
pub struct Fault<'a, B: Backing> {
    vmf: &'a VmFault,
    dev: &'a Device,
    order: u32,
    _backing: PhantomData<B>,
}

/// The memory that a fault can map.
pub trait Mappable: Backing + Sized {
    #[doc(hidden)]
    fn map(fault: &Fault<'_, Self>, ahead: impl FnOnce(usize) -> usize) -> Option<FaultResult>;
}

impl<B: Backing> Deref for Fault<'_, B> {
    type Target = VmFault;

    #[inline]
    fn deref(&self) -> &VmFault {
        self.vmf
    }
}

impl<'a, B: Mappable> Fault<'a, B> {
    /// The fault `vmf` in a mapping of `dev`. The entry is one of `2^order` pages.
    ///
    /// # Safety
    ///
    /// If `B` is [`Frames`], the area is shared, and [`VmaDesc::set_pfnmap`] made it one of bare
    /// frames.
    ///
    /// [`VmaDesc::set_pfnmap`]: crate::mm::vma_desc::VmaDesc::set_pfnmap
    #[inline]
    pub(super) unsafe fn new(vmf: &'a VmFault, dev: &'a Device, order: u32) -> Self {
        // INVARIANT: By the caller.
        Self {
            vmf,
            dev,
            order,
            _backing: PhantomData,
        }
    }

    /// The instance.
    #[inline]
    pub fn device(&self) -> &'a Device {
        self.dev
    }

    /// The size in bytes of the entry.
    #[inline]
    pub fn size(&self) -> usize {
        PAGE_SIZE.wrapping_shl(self.order)
    }

    /// Maps the memory that belongs at the address of the fault, with one entry.
    ///
    /// If the entry before it maps memory, the program probably touches the memory of one entry
    /// after that of the other. Then this also makes up to `ahead(size)` entries of that size
    /// behind it, in the same page table and the same VMA. It stops at the first entry that exists
    /// already, and at memory that has failed or does not exist. Memory without struct pages is not
    /// mapped ahead.
    ///
    /// Returns [`None`] if the align is another size than that of the entry. The result is `SIGBUS`
    /// if the instance is dead, if it has no memory there, if the mapping does not consist of whole
    /// entries, or if the memory has failed. It is also `SIGBUS` if the memory had struct pages
    /// when the mapping was made and has none now, or the other way round.
    #[inline]
    pub fn map(&self, ahead: impl FnOnce(usize) -> usize) -> Option<FaultResult> {
        B::map(self, ahead)
    }
}

impl Mappable for Pages {
    #[inline]
    fn map(fault: &Fault<'_, Self>, ahead: impl FnOnce(usize) -> usize) -> Option<FaultResult> {
        let (vmf, order) = (fault.vmf, fault.order);
        let Some(live) = fault.dev.live_with::<Pages>() else {
            return Some(FaultResult::SIGBUS);
        };
        let refuse = |reason| {
            live.count(reason);
            Some(FaultResult::SIGBUS)
        };

        if order != live.order() {
            return None;
        }
        // The VMA must consist of whole entries.
        let Some(pgoff) = vmf.entry(live.size()) else {
            return refuse(Count::RefusedAlign);
        };
        // SAFETY: The order is that of the memory. `VmFault::entry` returns the offset of the entry
        // of the fault. `open` set the mapping of the file to that of the instance.
        let Some(folio) = (unsafe { live.folio(pgoff, order, vmf, 0) }) else {
            return refuse(Count::RefusedOffset);
        };

        if folio.has_failed() {
            return Some(failed(vmf, live.reborrow()));
        }

        let raw = folio.as_raw();
        // The entry is made as for a read, see `VmFault::insert_page`.
        let write = || vmf.is_upgrade(order);
        // SAFETY: The fault is being handled. The folio is valid until the instance is killed. The
        // kill removes it from all mappings of the file.
        let result = unsafe {
            match order {
                PTE_ORDER => {
                    live.count(Count::Pte);
                    if vmf.is_watched() {
                        return Some(leave_to_mm(vmf, live.reborrow(), folio));
                    }
                    let result = vmf.insert_page(raw);
                    if vmf.follows_present::<PTE_ORDER>() {
                        map_behind::<PTE_ORDER>(vmf, live.reborrow(), ahead);
                    }
                    result
                }
                PMD_ORDER if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) => {
                    live.count(Count::Pmd);
                    let result = bindings::vmf_insert_folio_pmd(vmf.as_raw(), raw, write());
                    if vmf.follows_present::<PMD_ORDER>() {
                        map_behind::<PMD_ORDER>(vmf, live.reborrow(), ahead);
                    }
                    FaultResult::from_raw(result)
                }
                #[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
                PUD_ORDER => {
                    live.count(Count::Pud);
                    let result = bindings::vmf_insert_folio_pud(vmf.as_raw(), raw, write());
                    if vmf.follows_present::<PUD_ORDER>() {
                        map_behind::<PUD_ORDER>(vmf, live.reborrow(), ahead);
                    }
                    FaultResult::from_raw(result)
                }
                _ => return refuse(Count::RefusedAlign),
            }
        };

        // The thread that marks a folio unmaps it afterwards. If it unmapped before the entry was
        // made, the page table lock makes the mark visible here.
        Some(if folio.has_failed() {
            failed_meanwhile(vmf, live.reborrow())
        } else {
            result
        })
    }
}

impl Mappable for Frames {
    #[inline]
    fn map(fault: &Fault<'_, Self>, _ahead: impl FnOnce(usize) -> usize) -> Option<FaultResult> {
        map_frames(fault)
    }
}

/// Maps memory without struct pages: one entry for the page frames.
#[inline(never)]
fn map_frames(fault: &Fault<'_, Frames>) -> Option<FaultResult> {
    let (vmf, order) = (fault.vmf, fault.order);
    let Some(live) = fault.dev.live_with::<Frames>() else {
        return Some(FaultResult::SIGBUS);
    };
    let refuse = |reason| {
        live.count(reason);
        Some(FaultResult::SIGBUS)
    };

    if order != live.order() {
        return None;
    }
    // The VMA must consist of whole entries. `userfaultfd` may have left a mark, which only `mm`
    // can replace, and only by a page.
    let Some(pgoff) = vmf.entry(live.size()).filter(|_| !vmf.is_watched()) else {
        return refuse(Count::RefusedAlign);
    };
    let Some(phys) = live.frame(pgoff, live.size()) else {
        return refuse(Count::RefusedOffset);
    };

    if live.failed().has(pgoff, order) {
        return Some(failed(vmf, live.reborrow()));
    }

    live.count(match order {
        PTE_ORDER => Count::Pte,
        PMD_ORDER => Count::Pmd,
        _ => Count::Pud,
    });
    // SAFETY: By the type invariant of `Fault` the area is one of bare frames. `VmFault::entry`
    // returned an offset, whose frames start at a multiple of `2^order`, as in `LiveMemory::folio`.
    // The memory is the instance's until it is killed, which removes it from all mappings of the
    // file. Until then its memory type is reserved as write-back, so nobody can map it otherwise.
    let result = unsafe { vmf.insert_cached_pfn((phys >> PAGE_SHIFT) as usize, order) };

    // As for memory with struct pages: the page is recorded first, and unmapped afterwards.
    Some(if live.failed().has(pgoff, order) {
        failed_meanwhile(vmf, live.reborrow())
    } else {
        result
    })
}

// The functions below take their arguments one by one, so that no `Fault` and no `Live` must be in
// memory.

/// Counts an entry that is refused because its memory has failed, and returns the result.
#[cold]
fn failed<B: Mappable>(vmf: &VmFault, memory: LiveMemory<'_, B>) -> FaultResult {
    memory.count(Count::RefusedFailed);
    vmf.failed(memory.order())
}

/// Removes the entry that has just been made, because its memory has failed meanwhile.
#[cold]
fn failed_meanwhile<B: Mappable>(vmf: &VmFault, memory: LiveMemory<'_, B>) -> FaultResult {
    unmap(vmf, vmf.pgoff(), memory.order());
    failed(vmf, memory)
}

/// Lets `mm` map a page with a pte.
///
/// `mm` does that after the section has ended. So this takes a reference: an unbind waits for it,
/// and removes the page again; see `Memmap::retire`.
#[cold]
fn leave_to_mm(vmf: &VmFault, memory: LiveMemory<'_, Pages>, folio: LiveFolio<'_>) -> FaultResult {
    let raw = folio.as_raw();

    // SAFETY: The folio is valid.
    unsafe { bindings::folio_lock(raw) };
    // The thread that marks the folio holds this lock.
    if folio.has_failed() {
        // SAFETY: The folio is valid, and was locked above.
        unsafe { bindings::folio_unlock(raw) };
        return failed(vmf, memory);
    }
    // SAFETY: The folio is valid and locked. The lock and the reference that is taken here pass to
    // `mm`. The folio stays valid until the instance is killed, which removes it from all mappings
    // of the file.
    unsafe {
        bindings::folio_get(raw);
        vmf.leave_to_mm(raw)
    }
}

/// Removes the `2^order` pages around `pgoff`, an entry of that order, from all address spaces.
#[cold]
fn unmap(vmf: &VmFault, pgoff: usize, order: u32) {
    let pages = 1usize.wrapping_shl(order);
    let first = pgoff & !pages.wrapping_sub(1);

    // SAFETY: The area is one of a file, whose mapping is that of the instance. A later fault maps
    // removed pages again.
    unsafe { bindings::unmap_mapping_pages(vmf.mapping(), first, pages, false) };
}

/// Makes up to `ahead(size)` entries of `ORDER` behind that of the fault.
// This is code of the module, because of `ahead`: nfit_test has its own way from offsets to
// addresses there.
#[inline(never)]
fn map_behind<const ORDER: u32>(
    vmf: &VmFault,
    memory: LiveMemory<'_, Pages>,
    ahead: impl FnOnce(usize) -> usize,
) {
    // An entry with a mark of `userfaultfd` could be among those that look empty to the driver.
    if vmf.is_watched() {
        return;
    }
    let pages = 1usize.wrapping_shl(ORDER);
    let mut behind = vmf.behind::<ORDER>();
    // `Fault::map` has found that the VMA consists of whole entries.
    let mut pgoff = vmf.pgoff() & !pages.wrapping_sub(1);
    let most = ahead(PAGE_SIZE.wrapping_shl(ORDER)).min(behind.len());
    let mut made = 0;
    while made < most {
        let n = made.wrapping_add(1);
        pgoff = pgoff.wrapping_add(pages);

        // SAFETY: `most`, which is above `made`, is at most the number of entries.
        if !unsafe { behind.is_empty(n) } {
            break;
        }
        // SAFETY: `Fault::map` found that the order is that of the memory. The offset is that of
        // entry `n`.
        let Some(folio) = (unsafe { memory.folio(pgoff, ORDER, vmf, n) }) else {
            break;
        };
        // SAFETY: The folio is that of this address: entry `n` behind the fault in the file is
        // entry `n` behind it in the VMA. It is valid as in `Fault::map`.
        if folio.has_failed() || !unsafe { behind.insert(n, folio.as_raw()) } {
            break;
        }
        made = n;

        // As in `Fault::map`.
        if folio.has_failed() {
            unmap(vmf, pgoff, ORDER);
            break;
        }
    }
    memory.count_many(Count::Ahead, made);
}
