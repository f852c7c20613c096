// SPDX-License-Identifier: GPL-2.0

//! Page faults, for the driver that maps the memory.
//!
//! # Examples
//!
//! ```
//! use kernel::mm::fault::{
//!     FaultResult,
//!     VmFault,
//!     PMD_ORDER, //
//! };
//!
//! /// A fault handler of a driver that maps pmd entries only, and has none yet.
//! fn huge_fault(fault: &VmFault, order: u32) -> FaultResult {
//!     if order > PMD_ORDER {
//!         return FaultResult::FALLBACK;
//!     }
//!
//!     pr_info!("nothing at page {}\n", fault.pgoff());
//!     FaultResult::SIGBUS
//! }
//! ```
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
pub const PMD_ORDER: u32 = bindings::PMD_SIZE.trailing_zeros() - PAGE_SHIFT as u32;

/// The order of an entry of the third level (pud), in base pages: 1 GiB on x86-64.
pub const PUD_ORDER: u32 = bindings::PUD_SIZE.trailing_zeros() - PAGE_SHIFT as u32;

/// The return value of a fault handler: `vm_fault_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// The address has no memory. The task gets `SIGBUS`.
    pub const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);

    /// The handler has no entry of this order. `mm` calls it again with a smaller order.
    pub const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);

    /// The entry exists, or will exist. The task repeats the access.
    pub(crate) const NOPAGE: Self = Self(bindings::vm_fault_reason_VM_FAULT_NOPAGE);

    /// The handler has locked the page in `vmf->page`. `mm` maps it.
    pub(crate) const LOCKED: Self = Self(bindings::vm_fault_reason_VM_FAULT_LOCKED);

    /// The memory at this address has failed. [`VmFault::failed`] describes the signal.
    const HWPOISON: Self = Self(bindings::vm_fault_reason_VM_FAULT_HWPOISON);

    /// Converts the return value of a `vmf_insert_*()` function.
    #[inline]
    pub(crate) fn from_raw(raw: bindings::vm_fault_t) -> Self {
        Self(raw)
    }

    /// Returns the value for `mm`.
    #[inline]
    pub fn into_raw(self) -> bindings::vm_fault_t {
        self.0
    }
}

/// A page fault: `struct vm_fault`.
///
/// # Invariants
///
/// `self.0` is the valid `struct vm_fault` of a fault that is being handled. `mm` holds the mmap
/// lock or the VMA lock of its area for reading.
#[repr(transparent)]
pub struct VmFault(Opaque<bindings::vm_fault>);

impl VmFault {
    /// Wraps the argument of a fault handler.
    ///
    /// # Safety
    ///
    /// `vmf` must be the argument of a call of a fault handler that does not return before the end
    /// of `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(vmf: *mut bindings::vm_fault) -> &'a Self {
        // SAFETY: By the safety requirements. `Self` is a transparent wrapper.
        unsafe { &*vmf.cast() }
    }

    /// Returns the raw pointer.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::vm_fault {
        self.0.get()
    }

    #[inline]
    fn raw(&self) -> &bindings::vm_fault__bindgen_ty_1 {
        // SAFETY: By the type invariant. These fields do not change while the fault is handled.
        unsafe { &(*self.0.get()).__bindgen_anon_1 }
    }

    /// Returns the area of the fault.
    #[inline]
    pub fn vma(&self) -> &VmaRef {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { VmaRef::from_raw(self.raw().vma) }
    }

    /// Returns the mapping of the file that the area maps.
    ///
    /// # Safety
    ///
    /// The area must be one of a file.
    #[inline]
    pub(crate) unsafe fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: By the type invariant the area is valid. By the caller it has a file, which it
        // keeps open.
        unsafe { (*(*self.vma().as_ptr()).vm_file).f_mapping }
    }

    /// Returns whether the access was a write.
    #[inline]
    pub fn is_write(&self) -> bool {
        // SAFETY: By the type invariant.
        let flags = unsafe { (*self.0.get()).flags };

        flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0
    }

    /// Returns the result for an entry of `order` whose memory has failed.
    ///
    /// A task that touched the memory gets `SIGBUS` with `BUS_MCEERR_AR`, the address, and the size
    /// of the entry. A system call that touched it fails.
    pub fn failed(&self, order: u32) -> FaultResult {
        // SAFETY: By the type invariant.
        let flags = unsafe { (*self.0.get()).flags };

        // `mm` sends a signal for one page or one hugetlb page only. If this signal is pending, it
        // stays as it is.
        if order != PTE_ORDER && flags & bindings::fault_flag_FAULT_FLAG_USER != 0 {
            // SAFETY: The function sends the current task a signal.
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

    /// Returns whether large entries are disabled here, by `prctl(PR_SET_THP_DISABLE)` or
    /// `madvise(MADV_NOHUGEPAGE)`.
    pub fn has_huge_disabled(&self) -> bool {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { bindings::vma_thp_disabled(self.raw().vma) }
    }

    /// Returns whether `userfaultfd` watches the area.
    ///
    /// Then an entry can have a mark of `userfaultfd`. An entry that replaces it must have the
    /// mark, too. Only `mm` can set it.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // SAFETY: By the type invariant the area is valid and locked for reading.
        unsafe { bindings::userfaultfd_armed(self.raw().vma) }
    }

    /// Returns whether this is a write through a read-only entry of `order`.
    ///
    /// This is about large entries. `mm` makes a pte writable itself.
    #[inline]
    pub(crate) fn is_upgrade(&self, order: u32) -> bool {
        if !self.is_write() {
            return false;
        }
        // SAFETY: This is the entry of the fault.
        let entry = unsafe {
            match order {
                PMD_ORDER => self.peek_huge::<PMD_ORDER>(0),
                _ => self.peek_huge::<PUD_ORDER>(0),
            }
        };
        matches!(entry, Some(Peek::Present))
    }

    /// Lets `mm` map a page at the address of the fault.
    ///
    /// # Safety
    ///
    /// - `folio` is the page of the address. It is valid as long as it is mapped.
    /// - The caller has locked `folio` and owns a reference. Both pass to `mm`.
    /// - The fault handler returns the result of this function.
    #[inline]
    pub(crate) unsafe fn leave_to_mm(&self, folio: *mut bindings::folio) -> FaultResult {
        // SAFETY: By the type invariant and the safety requirements.
        unsafe { (*self.0.get()).page = addr_of_mut!((*folio).__bindgen_anon_1.page) };
        FaultResult::LOCKED
    }

    /// Returns the offset of the address into the file, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// Returns the address of the fault, a multiple of the page size.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.raw().address
    }

    /// Returns the offset into the file, in pages, of the entry of `size` bytes for the address.
    ///
    /// `size` is a power of two, and at least the page size. Returns [`None`] if the start of the
    /// area, its end or its offset into the file is not a multiple of it.
    #[inline]
    pub fn entry(&self, size: usize) -> Option<usize> {
        let last = size.wrapping_sub(1);
        let vma = self.vma();
        // SAFETY: By the type invariant the area is valid and locked for reading.
        let offset = unsafe { (*vma.as_ptr()).vm_pgoff } << PAGE_SHIFT;

        if (vma.start() | vma.end() | offset) & last != 0 {
            return None;
        }
        Some(self.raw().pgoff & !(last >> PAGE_SHIFT))
    }

    /// Maps a page at the address of the fault with a pte, unless the pte exists.
    ///
    /// The entry is made as for a read, even if the access was a write. The task repeats the
    /// access, and the processor marks the entry as dirty, or `mm` handles another fault. For a
    /// write, `mm` would warn if it found another entry there, such as a guard that another thread
    /// has just installed.
    ///
    /// # Safety
    ///
    /// `folio` is the page of the address. It is valid as long as it is mapped.
    #[inline]
    pub(crate) unsafe fn insert_page(&self, folio: *mut bindings::folio) -> FaultResult {
        // SAFETY: By the type invariant and the safety requirements.
        FaultResult(unsafe {
            let page = addr_of_mut!((*folio).__bindgen_anon_1.page);
            bindings::vmf_insert_page_mkwrite(self.0.get(), page, false)
        })
    }

    /// Returns whether the entry of `ORDER` before that of the fault maps memory, in the same area
    /// and in the same page table.
    ///
    /// The area must consist of whole entries of `ORDER`. This is a hint: it takes no lock, so the
    /// entry can change at any time.
    // With the order as a constant this takes a few instructions.
    #[inline(always)]
    pub(crate) fn follows_present<const ORDER: u32>(&self) -> bool {
        let addr = self.raw().address;
        let size = PAGE_SIZE.wrapping_shl(ORDER);

        if addr & table_mask(ORDER) < size {
            return false;
        }
        let before = match ORDER {
            PTE_ORDER => self.peek(addr.wrapping_sub(PAGE_SIZE)),
            // SAFETY: The entry of the fault is not the first one of its table.
            _ => unsafe { self.peek_huge::<ORDER>(-1) },
        };
        // The entry can be that of another area.
        matches!(before, Some(Peek::Present)) && addr.wrapping_sub(self.vma().start()) >= size
    }

    /// Returns the state of the pte for an address, if there is a page table for it.
    ///
    /// The page table of the fault must cover the address. This takes no lock.
    #[inline(always)]
    fn peek(&self, addr: usize) -> Option<Peek> {
        let mut pte = MaybeUninit::uninit();

        // SAFETY: By the type invariant the upper levels of the page table do not change. The
        // helper checks that there is a page table, which stays valid until it returns.
        unsafe {
            bindings::vmf_peek_pte(self.0.get(), addr, pte.as_mut_ptr()).then(|| {
                // The helper returned true, so it has written the entry.
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

    /// Returns the state of the entry of `ORDER`, which is not that of a pte, `n` entries behind
    /// the entry of the fault. This takes no lock.
    ///
    /// Returns [`None`] if there is another table.
    ///
    /// # Safety
    ///
    /// The entry is in the same page table as that of the fault.
    #[inline(always)]
    unsafe fn peek_huge<const ORDER: u32>(&self, n: isize) -> Option<Peek> {
        let raw = self.0.get();

        // SAFETY: By the type invariant `mm` asks for an entry. While it does, the upper levels of
        // the page table do not change. By the caller the entry is in that table.
        let state = unsafe {
            match ORDER {
                PMD_ORDER => bindings::pmd_peek((*raw).pmd.wrapping_offset(n)),
                _ => bindings::pud_peek((*raw).pud.wrapping_offset(n)),
            }
        };

        match state {
            0 => Some(Peek::None),
            1 => Some(Peek::Present),
            _ => None,
        }
    }

    /// Returns the entries of `ORDER` behind the entry of the fault.
    #[inline]
    pub(crate) fn behind<const ORDER: u32>(&self) -> Behind<'_, ORDER> {
        Behind {
            fault: self,
            // SAFETY: By the type invariant.
            vmf: unsafe { self.0.get().read() },
        }
    }
}

/// The entries of one order behind the entry of a fault, in the same area and the same page table.
///
/// Their numbers begin at 1.
///
/// # Invariants
///
/// `vmf` is a copy of the `struct vm_fault` of `fault`, for another entry of `ORDER`. The entry is
/// in the same area and the same page table.
pub(crate) struct Behind<'a, const ORDER: u32> {
    fault: &'a VmFault,
    vmf: bindings::vm_fault,
}

impl<const ORDER: u32> Behind<'_, ORDER> {
    /// Returns the number of entries in the area and in the page table.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let addr = self.fault.raw().address;
        let in_area = self.fault.vma().end().wrapping_sub(addr).wrapping_sub(1);
        let in_table = !addr & table_mask(ORDER);

        (in_table.min(in_area) >> PAGE_SHIFT).wrapping_shr(ORDER)
    }

    #[inline]
    fn address(&self, n: usize) -> usize {
        let pages = n.wrapping_shl(ORDER);

        self.fault.raw().address.wrapping_add(pages << PAGE_SHIFT)
    }

    /// Returns whether entry `n` is empty. This is a hint, as [`VmFault::follows_present`].
    ///
    /// # Safety
    ///
    /// `n` is at most [`Self::len`].
    #[inline]
    pub(crate) unsafe fn is_empty(&self, n: usize) -> bool {
        let entry = match ORDER {
            PTE_ORDER => self.fault.peek(self.address(n)),
            // SAFETY: By the caller.
            _ => unsafe { self.fault.peek_huge::<ORDER>(n as isize) },
        };

        matches!(entry, Some(Peek::None))
    }

    /// Maps a folio with entry `n`, as for a read. Returns whether it is mapped now.
    ///
    /// # Safety
    ///
    /// `n` is at most [`Self::len`], and [`Self::is_empty`] was true for it. `folio` is the folio
    /// of that address, of the order of the entries. It is valid as long as it is mapped.
    #[inline]
    pub(crate) unsafe fn insert(&mut self, n: usize, folio: *mut bindings::folio) -> bool {
        // C declares the field as constant for handlers. This is a copy.
        let address = (&raw mut self.vmf.__bindgen_anon_1.address).cast::<usize>();

        // SAFETY: By the type invariant and the safety requirements.
        // INVARIANT: By the safety requirements the address is in the area, and in the page table.
        let result = unsafe {
            address.write(self.address(n));
            match ORDER {
                PTE_ORDER => {
                    let page = addr_of_mut!((*folio).__bindgen_anon_1.page);
                    bindings::vmf_insert_page_mkwrite(&mut self.vmf, page, false)
                }
                PMD_ORDER if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) => {
                    self.vmf.pmd = (*self.fault.as_raw()).pmd.add(n);
                    bindings::vmf_insert_folio_pmd(&mut self.vmf, folio, false)
                }
                #[cfg(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)]
                PUD_ORDER => {
                    self.vmf.pud = (*self.fault.as_raw()).pud.add(n);
                    bindings::vmf_insert_folio_pud(&mut self.vmf, folio, false)
                }
                _ => return false,
            }
        };

        FaultResult(result) == FaultResult::NOPAGE
    }
}

/// The state of an entry of a page table.
enum Peek {
    /// The entry is empty.
    None,
    /// The entry maps memory.
    Present,
    /// The entry is a guard, or a mark of `userfaultfd`.
    Marker,
}

/// The bits of an address that are its offset in the range of a page table with entries of `order`.
const fn table_mask(order: u32) -> usize {
    let entries = PAGE_SIZE / size_of::<bindings::pte_t>();

    PAGE_SIZE
        .wrapping_shl(order)
        .wrapping_mul(entries)
        .wrapping_sub(1)
}
