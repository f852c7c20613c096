// SPDX-License-Identifier: GPL-2.0

//! The tables of functions that C code gives to the core.
//!
//! A driver of memory that file systems access directly gives [`DaxOperations`] with its `struct
//! dax_device`. The holder of a `struct dax_device` is a file system or a mapped device. It gives
//! [`HolderOperations`] to hear of memory failures. The core calls the functions through the types
//! here. Both types are generic over `D`, the type of the core that C knows as `struct dax_device`.
//!
//! C header: include/linux/dax.h

use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    dax::copy::{
        IovIter,
        Window, //
    },
    error::to_result,
    ffi::c_long,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
    types::Opaque, //
};

/// How memory is accessed: `DAX_ACCESS`, or `DAX_RECOVERY_WRITE` to overwrite poison.
pub(crate) type AccessMode = bindings::dax_access_mode;

/// A `struct dax_operations`: how to access the memory of a driver.
///
/// # Invariants
///
/// - `direct_access` and `zero_page_range` are set.
/// - All functions keep the contract that the header has for them, for a `D` of that driver.
#[repr(transparent)]
pub(crate) struct DaxOperations<D> {
    inner: Opaque<bindings::dax_operations>,
    _device: PhantomData<fn(&D)>,
}

// SAFETY: The table is constant, and the functions in it may be called by any thread.
unsafe impl<D> Sync for DaxOperations<D> {}

impl<D> DaxOperations<D> {
    /// Creates a reference from a pointer.
    ///
    /// Fails with `EINVAL` when the table lacks a function that it must have.
    ///
    /// # Safety
    ///
    /// - `ptr` is valid and what it points to does not change for `'a`.
    /// - Its functions keep the contract that the header has for them, for a `D` whose driver
    ///   this table belongs to.
    pub(super) unsafe fn from_raw<'a>(ptr: *const bindings::dax_operations) -> Result<&'a Self> {
        // SAFETY: By the safety requirement.
        let (direct_access, zero_page_range) =
            unsafe { ((*ptr).direct_access, (*ptr).zero_page_range) };
        if direct_access.is_none() || zero_page_range.is_none() {
            return Err(EINVAL);
        }

        // INVARIANT: Both functions are set, the rest is up to the caller.
        // SAFETY: `Self` is transparent.
        Ok(unsafe { &*ptr.cast() })
    }

    /// Translates a page offset in the device to an address and a page frame number.
    ///
    /// Returns the number of pages from there on that are contiguous, or a negative errno.
    #[inline]
    pub(crate) fn direct_access(
        &self,
        device: &D,
        pgoff: usize,
        nr_pages: c_long,
        mode: AccessMode,
        kaddr: Option<&mut *mut c_void>,
        pfn: Option<&mut usize>,
    ) -> c_long {
        // SAFETY: By the type invariant the function is set and takes these arguments. Both
        // pointers for results may be null.
        unsafe {
            let direct_access = (*self.inner.get()).direct_access.unwrap_unchecked();
            direct_access(
                ptr::from_ref(device).cast_mut().cast(),
                pgoff,
                nr_pages,
                mode,
                kaddr.map_or(ptr::null_mut(), ptr::from_mut),
                pfn.map_or(ptr::null_mut(), ptr::from_mut),
            )
        }
    }

    /// Fills pages of the device with zeros.
    #[inline]
    pub(crate) fn zero_page_range(&self, device: &D, pgoff: usize, nr_pages: usize) -> Result {
        // SAFETY: By the type invariant the function is set and takes these arguments.
        to_result(unsafe {
            let zero_page_range = (*self.inner.get()).zero_page_range.unwrap_unchecked();
            zero_page_range(ptr::from_ref(device).cast_mut().cast(), pgoff, nr_pages)
        })
    }

    /// Writes over poisoned memory and clears the poison.
    ///
    /// Returns the number of bytes written, which is 0 if the driver cannot do it.
    #[inline]
    pub(crate) fn recovery_write(
        &self,
        device: &D,
        pgoff: usize,
        window: Window<'_>,
        iter: &mut IovIter,
    ) -> usize {
        // SAFETY: By the type invariant the function takes these arguments, if it is set.
        unsafe {
            match (*self.inner.get()).recovery_write {
                Some(recovery_write) => recovery_write(
                    ptr::from_ref(device).cast_mut().cast(),
                    pgoff,
                    window.as_ptr(),
                    window.len(),
                    iter.as_raw(),
                ),
                None => 0,
            }
        }
    }
}

/// A `struct dax_holder_operations`: the callback of a holder for failed memory.
///
/// # Invariants
///
/// `notify_failure` is set, and keeps the contract that the header has for it.
#[repr(transparent)]
pub(crate) struct HolderOperations<D> {
    inner: Opaque<bindings::dax_holder_operations>,
    _device: PhantomData<fn(&D)>,
}

// SAFETY: The table is constant, and the function in it may be called by any thread.
unsafe impl<D> Sync for HolderOperations<D> {}

impl<D> HolderOperations<D> {
    /// Creates a reference from a pointer. Returns [`None`] if it is null or the table is empty.
    ///
    /// # Safety
    ///
    /// As for [`DaxOperations::from_raw`], except that `ptr` may be null.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(super) unsafe fn from_raw<'a>(
        ptr: *const bindings::dax_holder_operations,
    ) -> Option<&'a Self> {
        // SAFETY: By the safety requirements `ptr` is valid or null.
        let inner = unsafe { ptr.as_ref() }?;
        inner.notify_failure?;

        // INVARIANT: The function is set. By the safety requirements it keeps the contract.
        // SAFETY: `Self` is transparent.
        Some(unsafe { &*ptr.cast() })
    }

    /// Tells the holder that `len` bytes from `offset` on in the device failed or go away.
    ///
    /// `flags` are the `MF_*` flags of memory failures.
    pub(crate) fn notify_failure(&self, device: &D, offset: u64, len: u64, flags: c_int) -> Result {
        // SAFETY: By the type invariant the function is set and takes these arguments.
        to_result(unsafe {
            let notify_failure = (*self.inner.get()).notify_failure.unwrap_unchecked();
            notify_failure(ptr::from_ref(device).cast_mut().cast(), offset, len, flags)
        })
    }
}

/// A reference to a table, or none. It may be read while it is changed.
///
/// # Invariants
///
/// The pointer is null or comes from a `&'static T`.
pub(crate) struct TableRef<T: 'static>(Atomic<*const T>);

impl<T: Sync> TableRef<T> {
    /// Creates the reference.
    pub(crate) const fn new(table: Option<&'static T>) -> Self {
        // INVARIANT: It is null or comes from `table`.
        Self(Atomic::new(match table {
            Some(table) => table,
            None => ptr::null(),
        }))
    }

    /// Returns the table.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: By the type invariant the pointer is null or valid forever.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Refers to a table. Fails with `EBUSY` when there is one already.
    pub(crate) fn set_if_empty(&self, table: &'static T) -> Result {
        // INVARIANT: The pointer comes from `table`.
        match self.0.cmpxchg(ptr::null(), table, Full) {
            Ok(_) => Ok(()),
            Err(_) => Err(EBUSY),
        }
    }

    /// Replaces the table, or removes it.
    pub(crate) fn set(&self, table: Option<&'static T>) {
        // INVARIANT: It is null or comes from `table`.
        self.0
            .store(table.map_or(ptr::null(), ptr::from_ref), Release);
    }
}
