// SPDX-License-Identifier: GPL-2.0

//! Page faults, as the driver behind a mapping sees them.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::virt::VmaRef;
use crate::{
    bindings,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    task::Task,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use core::ptr::{
    self,
    addr_of_mut, //
};

/// The order of a page table entry of the lowest level (pte): one page.
pub const PTE_ORDER: u32 = 0;

/// The order of an entry of the second level (pmd), in base pages: 2 MiB on x86-64.
pub const PMD_ORDER: u32 = bindings::PMD_ORDER;

/// The order of an entry of the third level (pud), in base pages: 1 GiB on x86-64.
pub const PUD_ORDER: u32 = bindings::PUD_ORDER;

/// What a fault handler answers: `vm_fault_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// There is nothing at this address that could be mapped; the task gets `SIGBUS`.
    pub const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);

    /// Not with an entry of this order; `mm` asks again with a smaller one.
    pub const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);

    /// The entry is there; the access is made again.
    const NOPAGE: Self = Self(bindings::vm_fault_reason_VM_FAULT_NOPAGE);

    /// The memory at this address has failed. See [`VmFault::failed`] for what the task gets.
    const HWPOISON: Self = Self(bindings::vm_fault_reason_VM_FAULT_HWPOISON);

    /// Takes over what one of the `vmf_insert_*()` functions returned.
    #[inline]
    pub fn from_raw(raw: bindings::vm_fault_t) -> Self {
        Self(raw)
    }

    /// The value to return to `mm`.
    #[inline]
    pub fn into_raw(self) -> bindings::vm_fault_t {
        self.0
    }
}

/// A page fault: `struct vm_fault`.
///
/// # Invariants
///
/// `self.0` is a valid `struct vm_fault` of a fault that is being handled, so the mmap lock or the
/// VMA lock of its area is held for reading.
#[repr(transparent)]
pub struct VmFault(Opaque<bindings::vm_fault>);

impl VmFault {
    /// Wraps the argument of a fault handler.
    ///
    /// # Safety
    ///
    /// `vmf` must be the argument of a call of a fault handler that does not end before `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(vmf: *mut bindings::vm_fault) -> &'a Self {
        // SAFETY: By the safety requirements; `Self` is a transparent wrapper.
        unsafe { &*vmf.cast() }
    }

    /// Returns the raw pointer.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::vm_fault {
        self.0.get()
    }

    #[inline]
    fn raw(&self) -> &bindings::vm_fault__bindgen_ty_1 {
        // SAFETY: By the type invariant; these fields do not change while the fault is handled.
        unsafe { &(*self.0.get()).__bindgen_anon_1 }
    }

    /// The area that the fault is in.
    #[inline]
    pub fn vma(&self) -> &VmaRef {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { VmaRef::from_raw(self.raw().vma) }
    }

    /// Whether the access was a write.
    #[inline]
    pub fn is_write(&self) -> bool {
        // SAFETY: By the type invariant.
        let flags = unsafe { (*self.0.get()).flags };

        flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0
    }

    /// The answer when what an entry of `order` would map has failed.
    ///
    /// A task that touched it gets `SIGBUS` with `BUS_MCEERR_AR`, the address, and the size of the
    /// entry as the extent of what is lost. What the kernel does for a task ends with an error.
    pub fn failed(&self, order: u32) -> FaultResult {
        // SAFETY: By the type invariant.
        let flags = unsafe { (*self.0.get()).flags };

        // The signal that `mm` would send knows the sizes of single pages and of hugetlb pages
        // only. One that is pending already is not replaced by it.
        if order != PTE_ORDER && flags & bindings::fault_flag_FAULT_FLAG_USER != 0 {
            // SAFETY: The current task can be sent a signal.
            unsafe {
                bindings::send_sig_mceerr(
                    bindings::BUS_MCEERR_AR as c_int,
                    self.raw().real_address as *mut c_void,
                    (PAGE_SHIFT as i16).wrapping_add(order as i16),
                    Task::current_raw(),
                )
            };
        }
        FaultResult::HWPOISON
    }

    /// The offset into the file, in pages, of the address.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// The offset into the file, in pages, of the entry of `order` that covers the address.
    ///
    /// [`None`] if the area is not one of whole entries: if its start, its end or its offset into the
    /// file is not a multiple of `2^order` pages.
    #[inline]
    pub(crate) fn entry(&self, order: u32) -> Option<usize> {
        let last = PAGE_SIZE.wrapping_shl(order).wrapping_sub(1);
        let vma = self.vma();
        // SAFETY: By the type invariant the area is valid and locked for reading.
        let offset = unsafe { (*vma.as_ptr()).vm_pgoff } << PAGE_SHIFT;

        if (vma.start() | vma.end() | offset) & last != 0 {
            return None;
        }
        Some(self.raw().pgoff & !(last >> PAGE_SHIFT))
    }

    /// Maps a page where the fault is, with a pte.
    ///
    /// Returns the answer to the fault, and whether the page in front of it is mapped too: in the
    /// same area, and by the same page table.
    ///
    /// # Safety
    ///
    /// `folio` is the page that belongs there. It stays valid as long as it is mapped.
    // Never inlined into a module, as it calls what modules cannot; nor is the next one.
    #[inline(never)]
    pub(crate) unsafe fn insert_page(&self, folio: *mut bindings::folio) -> (FaultResult, bool) {
        let addr = self.raw().address;

        if let Some(entry) = Entry::lock(self) {
            if entry.is_none() {
                let first = addr & TABLE_MASK == 0 || addr == self.vma().start();
                // SAFETY: It is not the first.
                let follows = !first && unsafe { entry.follows_present() };

                // SAFETY: By the type invariant and the caller.
                unsafe { entry.set(self.0.get(), folio) };
                // SAFETY: It has just been mapped.
                unsafe { self.count(folio, 1) };
                return (FaultResult::NOPAGE, follows);
            }
        }

        // There is no page table yet, or somebody else has mapped something meanwhile.
        // SAFETY: By the type invariant and the caller.
        let result = unsafe {
            let page = addr_of_mut!((*folio).__bindgen_anon_1.page);
            bindings::vmf_insert_page_mkwrite(self.0.get(), page, self.is_write())
        };
        (FaultResult(result), false)
    }

    /// Maps pages behind the one of the fault, with ptes, as if they were read.
    ///
    /// `page(n)` is the `n`-th behind it. This ends after `most` of them, and before that at the end
    /// of the area, at the end of the page table, at what is mapped already, and where `page`
    /// returns [`None`], which is asked with the page table locked.
    ///
    /// # Safety
    ///
    /// What `page` returns is the page that belongs there. It stays valid as long as it is mapped.
    #[inline(never)]
    pub(crate) unsafe fn insert_pages_behind(
        &self,
        most: usize,
        page: &dyn Fn(usize) -> Option<*mut bindings::folio>,
    ) {
        let vma = self.vma();
        let addr = self.raw().address;
        // How many more the page table and the area hold.
        let in_table = (!addr & TABLE_MASK) >> PAGE_SHIFT;
        let in_area = vma.end().wrapping_sub(addr).wrapping_sub(1) >> PAGE_SHIFT;

        // SAFETY: The area is valid and locked. Somebody may want to see each fault of it.
        if unsafe { bindings::uffd_disable_fault_around(vma.as_ptr()) } {
            return;
        }
        // SAFETY: By the type invariant. This copy tells `mm` what the other entries are like.
        let mut like = unsafe { self.0.get().read() };
        like.flags &= !(bindings::fault_flag_FAULT_FLAG_WRITE
            | bindings::fault_flag_FAULT_FLAG_ORIG_PTE_VALID);

        let Some(mut entry) = Entry::lock(self) else {
            return;
        };
        let mut mapped = None;
        for n in 1..=most.min(in_table).min(in_area) {
            // SAFETY: The table and the area have one more.
            unsafe { entry.advance() };
            if !entry.is_none() {
                break;
            }
            let Some(folio) = page(n) else {
                break;
            };
            // SAFETY: `like` is of a fault in this area, and the rest by the caller.
            unsafe { entry.set(&mut like, folio) };
            mapped = Some((folio, n));
        }
        if let Some((folio, n)) = mapped {
            // SAFETY: They have just been mapped.
            unsafe { self.count(folio, n) };
        }
    }

    /// Counts `n` pages, of which `folio` is one, as resident.
    ///
    /// # Safety
    ///
    /// They are mapped in the area of the fault, and were not counted yet.
    #[inline]
    unsafe fn count(&self, folio: *mut bindings::folio, n: usize) {
        // SAFETY: By the type invariant and the caller.
        unsafe {
            let mm = (*self.raw().vma).vm_mm;
            bindings::add_mm_counter_file(mm, folio, n as isize)
        };
    }
}

/// The bits of an address that say where it is in what a page table of the lowest level maps.
const TABLE_MASK: usize = (PAGE_SIZE << PMD_ORDER) - 1;

/// An entry of a page table of the lowest level, which is locked.
///
/// # Invariants
///
/// `pte` is the entry for `addr`, and the lock `ptl` of its page table is held.
struct Entry {
    addr: usize,
    pte: *mut bindings::pte_t,
    ptl: *mut bindings::spinlock_t,
    _not_send: NotThreadSafe,
}

impl Entry {
    /// Locks the page table of the address of a fault, if there is one.
    #[inline]
    fn lock(fault: &VmFault) -> Option<Self> {
        let addr = fault.raw().address;
        let mut ptl = ptr::null_mut();

        // SAFETY: By the type invariant of `VmFault`, the area and with it the upper levels of the
        // page table stay as they are.
        let pte = unsafe {
            let mm = (*fault.raw().vma).vm_mm;
            bindings::pte_offset_map_lock(mm, (*fault.0.get()).pmd, addr, &mut ptl)
        };
        if pte.is_null() {
            return None;
        }
        // INVARIANT: Just locked.
        Some(Self {
            addr,
            pte,
            ptl,
            _not_send: NotThreadSafe,
        })
    }

    /// Whether nothing is here, not even a mark of `userfaultfd`.
    #[inline]
    fn is_none(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::pte_is_none(self.pte) }
    }

    /// Whether the entry in front of this one maps a page.
    ///
    /// # Safety
    ///
    /// This is not the first entry of the page table.
    #[inline]
    unsafe fn follows_present(&self) -> bool {
        // SAFETY: By the type invariant and the caller.
        unsafe { bindings::pte_is_present(self.pte.sub(1)) }
    }

    /// Goes on to the next entry.
    ///
    /// # Safety
    ///
    /// This is not the last entry of the page table.
    #[inline]
    unsafe fn advance(&mut self) {
        // SAFETY: By the caller.
        // INVARIANT: It is the next one's address, too.
        self.pte = unsafe { self.pte.add(1) };
        self.addr = self.addr.wrapping_add(PAGE_SIZE);
    }

    /// Maps a page here, as a fault like `vmf` does.
    ///
    /// # Safety
    ///
    /// Nothing is here. `vmf` is of a fault in the area that `addr` is in, and `folio` the page that
    /// belongs here, which stays valid as long as it is mapped.
    #[inline]
    unsafe fn set(&self, vmf: *mut bindings::vm_fault, folio: *mut bindings::folio) {
        // SAFETY: By the type invariant and the caller.
        unsafe {
            (*vmf).pte = self.pte;
            bindings::folio_get(folio);
            bindings::set_pte_range(
                vmf,
                folio,
                addr_of_mut!((*folio).__bindgen_anon_1.page),
                1,
                self.addr,
            );
        }
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::pte_unmap_unlock(self.pte, self.ptl) };
    }
}
