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

    /// The offset into the file, in pages, of the entry of `order` that covers the address.
    ///
    /// [`None`] if such an entry would reach beyond the area, or if the file offset is not
    /// congruent with the address, so that an entry would start in the middle of the `2^order`
    /// pages it has to map.
    #[inline]
    pub fn entry(&self, order: u32) -> Option<usize> {
        let fault = self.raw();
        let vma = self.vma();
        let last = PAGE_SIZE.wrapping_shl(order).wrapping_sub(1);
        let last_page = last >> PAGE_SHIFT;
        let start = fault.address & !last;

        if start < vma.start() || vma.end().wrapping_sub(start) <= last {
            return None;
        }
        if ((fault.address >> PAGE_SHIFT) ^ fault.pgoff) & last_page != 0 {
            return None;
        }
        Some(fault.pgoff & !last_page)
    }
}
