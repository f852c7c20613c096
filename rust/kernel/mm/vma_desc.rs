// SPDX-License-Identifier: GPL-2.0

//! The description of a VMA that `mm` is about to create.
//!
//! `mm` calls the `mmap_prepare` file operation before the VMA exists. The operation can refuse the
//! request or change it, but it has no page tables yet. [`VmaNew`](super::virt::VmaNew) is for the
//! older `mmap` operation.
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
/// `self.0` is the valid argument of a call of `mmap_prepare` that has not returned. Nothing else
/// accesses it during the call.
///
/// # Examples
///
/// ```
/// use kernel::mm::vma_desc::VmaDesc;
///
/// /// Accepts shared mappings of whole 2 MiB only.
/// fn check(vma: &mut VmaDesc) -> Result {
///     if !vma.is_shared() || (vma.start() | vma.end()) & ((2 << 20) - 1) != 0 {
///         return Err(EINVAL);
///     }
///
///     vma.set_hugepage();
///     Ok(())
/// }
/// ```
#[repr(transparent)]
pub struct VmaDesc(Opaque<bindings::vm_area_desc>);

impl VmaDesc {
    /// Wraps the argument of `mmap_prepare`.
    ///
    /// # Safety
    ///
    /// `desc` must be the argument of a call of the `mmap_prepare` file operation that does not
    /// return before the end of `'a`. Nothing else may access it for the duration of `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(desc: *mut bindings::vm_area_desc) -> &'a mut Self {
        // SAFETY: By the safety requirements. `Self` is a transparent wrapper.
        unsafe { &mut *desc.cast() }
    }

    #[inline]
    fn raw(&self) -> &bindings::vm_area_desc {
        // SAFETY: By the type invariant the descriptor is valid. Changing it takes `&mut self`.
        unsafe { &*self.0.get() }
    }

    /// Returns the first address of the area, a multiple of the page size.
    #[inline]
    pub fn start(&self) -> usize {
        self.raw().start
    }

    /// Returns the first address behind the area, a multiple of the page size.
    #[inline]
    pub fn end(&self) -> usize {
        self.raw().end
    }

    /// Returns the offset into the file at which the area starts, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.raw().pgoff
    }

    /// Returns whether writes reach the file (`MAP_SHARED`) and not a private copy.
    ///
    /// This is also true for a shared mapping of a file that is open for reading only.
    #[inline]
    pub fn is_shared(&self) -> bool {
        // SAFETY: By the type invariant the descriptor is valid.
        unsafe { bindings::vma_desc_test(self.0.get(), bindings::VMA_MAYSHARE_BIT as i32) }
    }

    /// Returns whether the file maps its pages without a page cache (`file_is_dax()`).
    #[inline]
    pub fn is_dax(&self) -> bool {
        // SAFETY: By the type invariant the descriptor is valid, and so is its file.
        unsafe { bindings::file_is_dax(self.raw().file) }
    }

    /// Requests huge page table entries wherever possible, as `MADV_HUGEPAGE` does.
    #[inline]
    pub fn set_hugepage(&mut self) {
        self.set_flag(bindings::VMA_HUGEPAGE_BIT as i32);
    }

    #[inline]
    pub(super) fn set_flag(&mut self, bit: i32) {
        // SAFETY: By the type invariant the descriptor is valid, and only this call changes it.
        unsafe { bindings::vma_desc_set_flags(self.0.get(), bit) };
    }

    /// Keeps the area from child processes, as `MADV_DONTFORK` does. `MADV_DOFORK` is refused.
    ///
    /// The area cannot grow by `mremap()`, and `mm` does not merge it with others.
    #[inline]
    pub fn set_dontfork(&mut self) {
        // `mm` refuses `MADV_DOFORK` for areas that cannot expand.
        for bit in [bindings::VMA_DONTCOPY_BIT, bindings::VMA_DONTEXPAND_BIT] {
            self.set_flag(bit as i32);
        }
    }

    /// Sets the operations of the area.
    ///
    /// # Safety
    ///
    /// The operations must be safe to call for any area of the file that is being mapped.
    #[inline]
    pub unsafe fn set_vm_ops(&mut self, ops: &'static bindings::vm_operations_struct) {
        // SAFETY: By the type invariant the descriptor is valid, and only this call changes it.
        unsafe { (*self.0.get()).vm_ops = ops };
    }
}
