// SPDX-License-Identifier: GPL-2.0

//! A page fault in a mapping of an instance.
//!
//! [`Fault::map`] does all of it: it begins a section in which the instance is alive, finds the folio,
//! and makes the entry. So a driver decides whether to map before it calls that, and cannot map memory
//! at an address where it does not belong.

use crate::{
    bindings,
    dax::{
        device::Device,
        live::{
            Count,
            LiveFolio,
            LiveMemory, //
        }, //
    },
    mm::fault::{
        FaultResult,
        VmFault,
        PMD_ORDER,
        PTE_ORDER,
        PUD_ORDER, //
    },
    page::PAGE_SIZE, //
};
use core::ops::Deref;

/// A page fault in a mapping of an instance: `mm` asks for one entry of a page table.
pub struct Fault<'a> {
    vmf: &'a VmFault,
    dev: &'a Device,
    order: u32,
}

impl Deref for Fault<'_> {
    type Target = VmFault;

    #[inline]
    fn deref(&self) -> &VmFault {
        self.vmf
    }
}

impl<'a> Fault<'a> {
    /// The fault `vmf` in a mapping of `dev`. The entry is one of `2^order` pages.
    #[inline]
    pub(super) fn new(vmf: &'a VmFault, dev: &'a Device, order: u32) -> Self {
        Self { vmf, dev, order }
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
    /// If the entry is a pte, and the page in front of it is mapped too, the program probably touches one
    /// page after the other. Then this also maps up to `ahead()` pages behind it, with an entry each.
    /// These pages are in the same page table and in the same VMA. This stops at the first page that is
    /// mapped already, has failed, or does not exist.
    ///
    /// The answer is `SIGBUS` if the instance is dead, if it has no such memory, if the memory cannot be
    /// mapped so, or if it has failed.
    #[inline]
    pub fn map(&self, ahead: impl FnOnce() -> usize) -> FaultResult {
        let (vmf, order) = (self.vmf, self.order);
        let Some(live) = self.dev.live() else {
            return FaultResult::SIGBUS;
        };
        let refuse = |reason| {
            live.count(reason);
            FaultResult::SIGBUS
        };

        // The VMA must consist of whole entries.
        let Some(pgoff) = vmf.entry(order) else {
            return refuse(Count::RefusedAlign);
        };
        // SAFETY: `VmFault::entry` returns a multiple of `2^order`.
        let Some(folio) = (unsafe { live.folio(pgoff, order) }) else {
            return refuse(Count::RefusedOffset);
        };

        // SAFETY: `open` made the mapping of the file that of the instance.
        unsafe { folio.set_mapping(mapping(vmf)) };

        let failed = || {
            live.count(Count::RefusedFailed);
            vmf.failed(order)
        };
        if folio.has_failed() {
            return failed();
        }

        let raw = folio.as_raw();
        // An entry is made as for a read, see `VmFault::insert_page`.
        let write = || vmf.is_upgrade(order);
        // SAFETY: The fault is being handled, and the folio is valid and stays so until the
        // instance is killed, which removes it from all mappings of the file.
        let result = unsafe {
            match order {
                PTE_ORDER => {
                    live.count(Count::Pte);
                    if vmf.is_watched() {
                        return leave_to_mm(vmf, live.reborrow(), folio);
                    }
                    let in_a_row = vmf.follows_present();
                    let result = vmf.insert_page(raw);
                    if in_a_row {
                        map_behind(vmf, live.reborrow(), ahead());
                    }
                    result
                }
                PMD_ORDER => {
                    live.count(Count::Pmd);
                    FaultResult::from_raw(bindings::vmf_insert_folio_pmd(
                        vmf.as_raw(),
                        raw,
                        write(),
                    ))
                }
                #[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
                PUD_ORDER => {
                    live.count(Count::Pud);
                    FaultResult::from_raw(bindings::vmf_insert_folio_pud(
                        vmf.as_raw(),
                        raw,
                        write(),
                    ))
                }
                _ => return refuse(Count::RefusedAlign),
            }
        };

        // The thread that marks a folio removes it from all mappings afterwards. If it did so before the
        // entry was made, the lock of the page table has made the mark visible here.
        if folio.has_failed() {
            unmap(vmf, pgoff, order);
            return failed();
        }
        result
    }
}

// These take what they need, so that a `Fault` and a `Live` are never in memory.

/// Leaves it to `mm` to map a page, with a pte.
///
/// `mm` does that after this access to the instance has ended. This takes a reference, so that an unbind
/// waits, and removes the page once more: see `Memmap::retire`.
#[cold]
fn leave_to_mm(vmf: &VmFault, memory: LiveMemory<'_>, folio: LiveFolio<'_>) -> FaultResult {
    let raw = folio.as_raw();

    // SAFETY: The folio is valid.
    unsafe { bindings::folio_lock(raw) };
    // The thread that marks the folio holds this lock.
    if folio.has_failed() {
        // SAFETY: The folio is valid, and locked by this.
        unsafe { bindings::folio_unlock(raw) };
        memory.count(Count::RefusedFailed);
        return vmf.failed(PTE_ORDER);
    }
    // SAFETY: The folio is valid and locked, and this reference is given up. It stays valid until
    // the instance is killed, which removes it from all mappings of the file.
    unsafe {
        bindings::folio_get(raw);
        vmf.leave_to_mm(raw)
    }
}

/// Removes `2^order` pages from `pgoff` on from all address spaces.
#[cold]
fn unmap(vmf: &VmFault, pgoff: usize, order: u32) {
    let pages = 1usize.wrapping_shl(order);

    // SAFETY: The mapping is that of the instance. What is removed comes back with a fault.
    unsafe { bindings::unmap_mapping_pages(mapping(vmf), pgoff, pages, false) };
}

/// Maps up to `most` pages behind the one of the fault, with an entry each.
// Inlined into the module: nfit_test has its own way from offsets to addresses there.
#[inline]
fn map_behind(vmf: &VmFault, memory: LiveMemory<'_>, most: usize) {
    let mut behind = vmf.behind();

    for n in 1..=most.min(behind.len()) {
        let pgoff = vmf.pgoff().wrapping_add(n);

        if !behind.is_empty(n) {
            return;
        }
        // SAFETY: Any offset is a multiple of one page.
        let Some(folio) = (unsafe { memory.folio(pgoff, PTE_ORDER) }) else {
            return;
        };
        // SAFETY: `open` made the mapping of the file that of the instance.
        unsafe { folio.set_mapping(mapping(vmf)) };
        // SAFETY: As for the page of the fault: behind its address are the pages behind it.
        if folio.has_failed() || !unsafe { behind.insert_page(n, folio.as_raw()) } {
            return;
        }
        memory.count(Count::Ahead);

        // As for the page of the fault.
        if folio.has_failed() {
            return unmap(vmf, pgoff, PTE_ORDER);
        }
    }
}

/// The mapping of the file, which is that of the instance.
#[inline]
fn mapping(vmf: &VmFault) -> *mut bindings::address_space {
    // SAFETY: The VMA and its file are valid during the fault.
    unsafe { (*(*vmf.vma().as_ptr()).vm_file).f_mapping }
}
