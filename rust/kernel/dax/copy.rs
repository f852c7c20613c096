// SPDX-License-Identifier: GPL-2.0

//! Copying to and from memory that is accessed directly.
//!
//! User space has the same memory mapped and may write to it at any time, so it is never a slice
//! here. A [`Window`] is only an address and a length, and only the copy routines of the
//! architecture access the memory.
//!
//! C headers: [`include/linux/uio.h`](srctree/include/linux/uio.h),
//! [`include/linux/libnvdimm.h`](srctree/include/linux/libnvdimm.h)

use crate::{
    bindings,
    ffi::c_void,
    types::Opaque, //
};
use core::marker::PhantomData;

/// A part of the memory of a device, as the kernel has it mapped.
///
/// # Invariants
///
/// `len` bytes from `addr` on are mapped for `'a`, and may be read and written by the kernel's copy
/// routines.
pub struct Window<'a> {
    addr: *mut c_void,
    len: usize,
    _mapping: PhantomData<&'a c_void>,
}

impl Window<'_> {
    /// Creates a window.
    ///
    /// # Safety
    ///
    /// `direct_access` of a dax device returned `addr` for `len` bytes. The memory stays mapped for
    /// the lifetime of the window.
    #[inline]
    pub unsafe fn new(addr: *mut c_void, len: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            addr,
            len,
            _mapping: PhantomData,
        }
    }

    /// Returns the address.
    #[inline]
    pub fn as_ptr(&self) -> *mut c_void {
        self.addr
    }

    /// Returns the length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is nothing in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills the window from `iter`. Returns the number of bytes copied.
    #[inline]
    pub fn copy_from(&self, iter: &mut IovIter) -> usize {
        // SAFETY: By the type invariants.
        unsafe { bindings::_copy_from_iter(self.addr, self.len, iter.as_raw()) }
    }

    /// Like [`Self::copy_from`], but leaves none of the data in the CPU's caches.
    #[inline]
    pub fn copy_from_flushcache(&self, iter: &mut IovIter) -> usize {
        #[cfg(CONFIG_ARCH_HAS_UACCESS_FLUSHCACHE)]
        // SAFETY: By the type invariants.
        return unsafe { bindings::_copy_from_iter_flushcache(self.addr, self.len, iter.as_raw()) };

        #[cfg(not(CONFIG_ARCH_HAS_UACCESS_FLUSHCACHE))]
        self.copy_from(iter)
    }

    /// Copies the window to `iter`. Returns the number of bytes copied.
    #[inline]
    pub fn copy_to(&self, iter: &mut IovIter) -> usize {
        // SAFETY: By the type invariants.
        unsafe { bindings::_copy_to_iter(self.addr, self.len, iter.as_raw()) }
    }

    /// Like [`Self::copy_to`], but stops before poisoned memory.
    #[inline]
    pub fn copy_to_mc(&self, iter: &mut IovIter) -> usize {
        #[cfg(CONFIG_ARCH_HAS_COPY_MC)]
        // SAFETY: By the type invariants.
        return unsafe { bindings::_copy_mc_to_iter(self.addr, self.len, iter.as_raw()) };

        #[cfg(not(CONFIG_ARCH_HAS_COPY_MC))]
        self.copy_to(iter)
    }

    /// Fills the window with zeros, and writes them back from the CPU's caches.
    #[inline]
    pub fn zero(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::memset(self.addr, 0, self.len) };
        self.write_back();
    }

    /// Writes the window back from the CPU's caches to memory.
    ///
    /// Does nothing on architectures without persistent memory.
    #[inline]
    pub fn write_back(&self) {
        #[cfg(CONFIG_ARCH_HAS_PMEM_API)]
        // SAFETY: By the type invariants.
        unsafe {
            bindings::arch_wb_cache_pmem(self.addr, self.len)
        };
    }
}

/// A `struct iov_iter`: where copied data goes to, or comes from.
///
/// The direction is not part of the type: C code chooses it, and calls a function for the same
/// direction. If the two differ, the iterator refuses the copy at run time.
/// [`IovIterSource`](crate::iov::IovIterSource) and [`IovIterDest`](crate::iov::IovIterDest) know
/// their direction at compile time.
///
/// # Invariants
///
/// The iterator is valid, and nothing else uses it.
#[repr(transparent)]
pub struct IovIter(Opaque<bindings::iov_iter>);

impl IovIter {
    /// Creates a reference from a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is a valid iterator that is only used through the reference for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::iov_iter) -> &'a mut Self {
        // SAFETY: By the safety requirements. `Self` is a transparent wrapper.
        unsafe { &mut *ptr.cast() }
    }

    /// Returns the `struct iov_iter`.
    #[inline]
    pub fn as_raw(&mut self) -> *mut bindings::iov_iter {
        self.0.get()
    }
}
