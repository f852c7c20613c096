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
    types::Opaque, //
};
use core::{
    mem::MaybeUninit,
    ptr::addr_of_mut, //
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

    /// The entry is there, or will be; the access is made again.
    pub(crate) const NOPAGE: Self = Self(bindings::vm_fault_reason_VM_FAULT_NOPAGE);

    /// The handler has locked the page in `vmf->page`; `mm` is to map it.
    pub(crate) const LOCKED: Self = Self(bindings::vm_fault_reason_VM_FAULT_LOCKED);

    /// The memory at this address has failed. See [`VmFault::failed`] for what the task gets.
    const HWPOISON: Self = Self(bindings::vm_fault_reason_VM_FAULT_HWPOISON);

    /// Takes over what one of the `vmf_insert_*()` functions returned.
    #[inline]
    pub(crate) fn from_raw(raw: bindings::vm_fault_t) -> Self {
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

    /// Whether `mm` asks for no large entry here: `prctl(PR_SET_THP_DISABLE)`, or
    /// `madvise(MADV_NOHUGEPAGE)`.
    pub fn has_huge_disabled(&self) -> bool {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { bindings::vma_thp_disabled(self.raw().vma) }
    }

    /// Whether `userfaultfd` watches the area.
    ///
    /// Then an entry can have a mark of it, which the entry that takes its place has to inherit, as
    /// `mm` alone can do.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { bindings::userfaultfd_armed(self.raw().vma) }
    }

    /// Whether this is a write to what is mapped by an entry of `order` that cannot be written.
    ///
    /// That is a large entry, for `mm` does the same for a pte itself.
    #[inline]
    pub(crate) fn is_upgrade(&self, order: u32) -> bool {
        // SAFETY: By the type invariant.
        self.is_write() && unsafe { bindings::vmf_is_mapped_huge(self.0.get(), order) }
    }

    /// Leaves it to `mm` to map a page where the fault is.
    ///
    /// # Safety
    ///
    /// The caller has locked `folio`, which is the page that belongs there, and gives up a reference
    /// to it, both if it returns [`FaultResult::LOCKED`] for the fault, as it has to do. The page
    /// stays valid as long as it is mapped.
    #[inline]
    pub(crate) unsafe fn leave_to_mm(&self, folio: *mut bindings::folio) -> FaultResult {
        // SAFETY: By the type invariant and the caller.
        unsafe { (*self.0.get()).page = addr_of_mut!((*folio).__bindgen_anon_1.page) };
        FaultResult::LOCKED
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

    /// Maps a page where the fault is, with a pte, if there is nothing yet.
    ///
    /// The entry is as that of a read, also if the access was a write: the access is made again, and
    /// the processor marks the entry as dirty, or asks `mm`. `mm` warns when it is to make an entry
    /// for a write and finds something else there, such as a guard that another thread has just
    /// installed.
    ///
    /// # Safety
    ///
    /// `folio` is the page that belongs there. It stays valid as long as it is mapped.
    #[inline]
    pub(crate) unsafe fn insert_page(&self, folio: *mut bindings::folio) -> FaultResult {
        // SAFETY: By the type invariant and the caller.
        FaultResult(unsafe {
            let page = addr_of_mut!((*folio).__bindgen_anon_1.page);
            bindings::vmf_insert_page_mkwrite(self.0.get(), page, false)
        })
    }

    /// Whether the page in front of that of the fault is mapped, in the same area and by the same
    /// page table.
    ///
    /// This is a hint. It takes no lock, so that it may have changed already.
    #[inline]
    pub(crate) fn follows_present(&self) -> bool {
        let addr = self.raw().address;

        addr & TABLE_MASK != 0
            && addr != self.vma().start()
            && matches!(self.peek(addr.wrapping_sub(PAGE_SIZE)), Some(Peek::Present))
    }

    /// What is in the entry for an address, if there is a page table for it.
    ///
    /// The address is in the range that the page table of the fault maps, if there is one. This takes
    /// no lock.
    #[inline]
    fn peek(&self, addr: usize) -> Option<Peek> {
        let mut pte = MaybeUninit::uninit();

        // SAFETY: By the type invariant the upper levels of the page table stay as they are. The
        // helper looks whether there is a lower one, and that stays until it returns.
        unsafe {
            bindings::vmf_peek_pte(self.0.get(), addr, pte.as_mut_ptr()).then(|| {
                // The helper returns true if it has written the entry.
                if bindings::pte_is_none(pte.assume_init()) {
                    Peek::None
                } else if bindings::pte_is_present(pte.assume_init()) {
                    Peek::Present
                } else {
                    Peek::Marker
                }
            })
        }
    }

    /// The pages behind that of the fault.
    #[inline]
    pub(crate) fn behind(&self) -> Behind<'_> {
        Behind {
            fault: self,
            // SAFETY: By the type invariant.
            vmf: unsafe { self.0.get().read() },
        }
    }
}

/// The pages behind that of a fault, in the same area and of the same page table.
///
/// They are numbered from 1 on.
///
/// # Invariants
///
/// `vmf` is as that of `fault`, but for its address, which is one in the same area.
pub(crate) struct Behind<'a> {
    fault: &'a VmFault,
    vmf: bindings::vm_fault,
}

impl Behind<'_> {
    /// How many pages the page table and the area hold.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let addr = self.fault.raw().address;
        let in_table = (!addr & TABLE_MASK) >> PAGE_SHIFT;
        let in_area = self.fault.vma().end().wrapping_sub(addr).wrapping_sub(1) >> PAGE_SHIFT;

        in_table.min(in_area)
    }

    #[inline]
    fn address(&self, n: usize) -> usize {
        self.fault.raw().address.wrapping_add(n << PAGE_SHIFT)
    }

    /// Whether nothing is in the entry of page `n`. This is a hint, as [`VmFault::follows_present`].
    #[inline]
    pub(crate) fn is_empty(&self, n: usize) -> bool {
        matches!(self.fault.peek(self.address(n)), Some(Peek::None))
    }

    /// Maps page `n`, as [`VmFault::insert_page`] does. Returns whether it is mapped now.
    ///
    /// # Safety
    ///
    /// `n` is at most [`Self::len`]. `folio` is the page that belongs there. It stays valid as long
    /// as it is mapped.
    #[inline]
    pub(crate) unsafe fn insert_page(&mut self, n: usize, folio: *mut bindings::folio) -> bool {
        // C declares the field as one that a handler does not change. This is a copy.
        let address = (&raw mut self.vmf.__bindgen_anon_1.address).cast::<usize>();

        // SAFETY: By the type invariant and the caller.
        // INVARIANT: By the caller the address is in the area.
        let result = unsafe {
            address.write(self.address(n));
            let page = addr_of_mut!((*folio).__bindgen_anon_1.page);
            bindings::vmf_insert_page_mkwrite(&mut self.vmf, page, false)
        };

        FaultResult(result) == FaultResult::NOPAGE
    }
}

/// What is in an entry of a page table of the lowest level.
enum Peek {
    /// Nothing.
    None,
    /// A page.
    Present,
    /// Something else: a guard, or a mark of `userfaultfd`.
    Marker,
}

/// The bits of an address that say where it is in what a page table of the lowest level maps.
const TABLE_MASK: usize = (PAGE_SIZE << PMD_ORDER) - 1;
