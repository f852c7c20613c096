// SPDX-License-Identifier: GPL-2.0

//! Allocation of small integer identifiers.
//!
//! An [`Ida`] returns the lowest identifier that is not in use. Unlike an
//! [`IdPool`](crate::id_pool::IdPool), it grows by itself and takes its own lock.
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
///
/// # Examples
///
/// ```
/// use kernel::ida::Ida;
///
/// let ida = KBox::pin_init(Ida::new(), GFP_KERNEL)?;
/// let first = ida.alloc_max(9, GFP_KERNEL)?;
///
/// assert_eq!(first.get(), 0);
/// assert_eq!(ida.alloc_max(9, GFP_KERNEL)?.get(), 1);
///
/// drop(first);
/// assert_eq!(ida.alloc_max(9, GFP_KERNEL)?.get(), 0);
/// # Ok::<(), Error>(())
/// ```
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
    /// # Errors
    ///
    /// [`ENOSPC`] if all of them are in use, and [`ENOMEM`].
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
    /// Frees an identifier that was leaked. Any context may call this.
    ///
    /// The kernel warns if the identifier is not allocated.
    pub fn free(&self, id: u32) {
        // SAFETY: By the type invariant this is an initialised `struct ida`.
        unsafe { bindings::ida_free(self.inner.get(), id) };
    }
}

// SAFETY: Any thread may use a `struct ida`.
unsafe impl Send for Ida {}
// SAFETY: The functions of a `struct ida` take its lock.
unsafe impl Sync for Ida {}

#[pinned_drop]
impl PinnedDrop for Ida {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant this is an initialised `struct ida`. Every `Id` borrows the
        // `Ida`, so all of them are gone.
        unsafe { bindings::ida_destroy(self.inner.get()) };
    }
}

/// An allocated identifier. Dropping it frees the identifier, in any context.
///
/// # Invariants
///
/// `id` is allocated from `ida`, and only this value owns it.
pub struct Id<'a> {
    ida: &'a Ida,
    id: u32,
}

impl Id<'_> {
    /// Returns the number.
    pub fn get(&self) -> u32 {
        self.id
    }

    /// Returns the number. It stays allocated until [`Ida::free`] frees it.
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
