// SPDX-License-Identifier: GPL-2.0

//! What a driver sees of a mapping that is about to be made.
//!
//! The `mmap_prepare` file operation is asked before the area exists, so it can refuse the request
//! or shape it, but it cannot reach page tables; contrast [`VmaNew`](super::virt::VmaNew), which
//! is for the older `mmap` operation.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use crate::{
    bindings,
    types::Opaque, //
};

/// A request for a mapping: `struct vm_area_desc`.
///
/// # Invariants
///
/// `self.0` is a valid `struct vm_area_desc` of a call of `mmap_prepare` that is under way; nobody
/// else accesses it meanwhile.
#[repr(transparent)]
pub struct VmaDesc(Opaque<bindings::vm_area_desc>);

impl VmaDesc {
    /// Wraps the argument of `mmap_prepare`.
    ///
    /// # Safety
    ///
    /// `desc` must be the argument of a call of the `mmap_prepare` file operation that does not
    /// end before `'a`, and must not be accessed in another way for the duration of `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(desc: *mut bindings::vm_area_desc) -> &'a mut Self {
        // SAFETY: By the safety requirements; `Self` is a transparent wrapper.
        unsafe { &mut *desc.cast() }
    }

    #[inline]
    fn raw(&self) -> &bindings::vm_area_desc {
        // SAFETY: By the type invariant the descriptor is valid and not being changed.
        unsafe { &*self.0.get() }
    }

    /// The first address of the area, a multiple of the page size.
    #[inline]
    pub fn start(&self) -> usize {
        self.raw().start
    }

    /// The first address behind the area, a multiple of the page size.
    #[inline]
    pub fn end(&self) -> usize {
        self.raw().end
    }

    /// The offset into the file at which the area starts, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// Whether writes are to reach the file (`MAP_SHARED`), rather than a private copy.
    ///
    /// This is also true of a shared mapping of a file that is open for reading only.
    #[inline]
    pub fn is_shared(&self) -> bool {
        // SAFETY: By the type invariant the descriptor is valid.
        unsafe { bindings::vma_desc_test(self.0.get(), bindings::VMA_MAYSHARE_BIT as i32) }
    }

    /// Whether the file is one whose pages are mapped without a page cache (`file_is_dax()`).
    #[inline]
    pub fn is_dax(&self) -> bool {
        // SAFETY: By the type invariant the descriptor is valid, and so is its file.
        unsafe { bindings::file_is_dax(self.raw().file) }
    }

    /// Asks for huge page table entries wherever possible, as `MADV_HUGEPAGE` does.
    #[inline]
    pub fn set_hugepage(&mut self) {
        // SAFETY: By the type invariant the descriptor is valid and ours to change.
        unsafe { bindings::vma_desc_set_flags(self.0.get(), bindings::VMA_HUGEPAGE_BIT as i32) };
    }

    /// Sets the operations of the area.
    ///
    /// # Safety
    ///
    /// The operations must be safe to call for any area of the file that is being mapped.
    #[inline]
    pub unsafe fn set_vm_ops(&mut self, ops: &'static bindings::vm_operations_struct) {
        // SAFETY: By the type invariant the descriptor is valid and ours to change.
        unsafe { (*self.0.get()).vm_ops = ops };
    }
}
