// SPDX-License-Identifier: GPL-2.0

//! Allocation of small integer identifiers.
//!
//! An [`Ida`] hands out the lowest identifier that is not in use. It grows by itself and takes
//! its own lock, which is what sets it apart from [`IdPool`](crate::id_pool::IdPool).
//!
//! C header: [`include/linux/idr.h`](srctree/include/linux/idr.h)

use core::mem::ManuallyDrop;

use crate::{
    alloc::Flags,
    bindings,
    error::Result,
    prelude::*,
    types::Opaque, //
};

/// An allocator of identifiers.
///
/// # Invariants
///
/// `inner` holds an initialised `struct ida`.
#[pin_data(PinnedDrop)]
pub struct Ida {
    #[pin]
    inner: Opaque<bindings::ida>,
}

impl Ida {
    /// Creates an allocator in which every identifier is free.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: `ida_init()` initialises the `struct ida`.
            inner <- Opaque::ffi_init(|ida| {
                // SAFETY: `ida` points to memory for a `struct ida`.
                unsafe { bindings::ida_init(ida) }
            }),
        })
    }

    /// Allocates the lowest free identifier that is at most `max`.
    ///
    /// Fails with `ENOSPC` when all of them are in use and with `ENOMEM` without memory.
    pub fn alloc_max(&self, max: u32, gfp: Flags) -> Result<Id<'_>> {
        // SAFETY: By the type invariant this is an initialised `struct ida`.
        let id = unsafe { bindings::ida_alloc_range(self.inner.get(), 0, max, gfp.as_raw()) };

        match u32::try_from(id) {
            // INVARIANT: The identifier was just allocated and has no other owner.
            Ok(id) => Ok(Id { ida: self, id }),
            Err(_) => Err(Error::from_errno(id)),
        }
    }
}

impl Ida {
    /// Frees an identifier that was leaked; in any context.
    ///
    /// An identifier that is not allocated is left alone, with a warning.
    pub fn free(&self, id: u32) {
        // SAFETY: By the type invariant this is an initialised `struct ida`.
        unsafe { bindings::ida_free(self.inner.get(), id) };
    }
}

// SAFETY: A `struct ida` is not tied to the thread that made it.
unsafe impl Send for Ida {}
// SAFETY: The functions of a `struct ida` take its lock.
unsafe impl Sync for Ida {}

#[pinned_drop]
impl PinnedDrop for Ida {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant this is an initialised `struct ida`. Every `Id` borrows
        // it, so that none is left.
        unsafe { bindings::ida_destroy(self.inner.get()) };
    }
}

/// An identifier, which is free again once this is dropped; in any context.
///
/// # Invariants
///
/// `id` is allocated from `ida`, and this is its only owner.
pub struct Id<'a> {
    ida: &'a Ida,
    id: u32,
}

impl Id<'_> {
    /// Returns the number.
    pub fn get(&self) -> u32 {
        self.id
    }

    /// Returns the number, which stays allocated until it is given to [`Ida::free`].
    pub fn leak(self) -> u32 {
        ManuallyDrop::new(self).id
    }
}

impl Drop for Id<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant `id` was allocated from `ida` and is not freed elsewhere.
        unsafe { bindings::ida_free(self.ida.inner.get(), self.id) };
    }
}
