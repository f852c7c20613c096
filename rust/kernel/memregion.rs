// SPDX-License-Identifier: GPL-2.0

//! Numbers of memory regions.
//!
//! Each driver that makes regions of memory takes their numbers from here, on every bus. So two
//! regions never have the same number.
//!
//! C header: [`include/linux/memregion.h`](srctree/include/linux/memregion.h)

use crate::{
    bindings,
    prelude::*, //
};

/// The number of a region. Dropping it frees the number.
///
/// # Invariants
///
/// The number comes from `memregion_alloc()`, and only this value frees it.
///
/// # Examples
///
/// ```
/// use kernel::memregion;
///
/// let (one, other) = (memregion::Id::new()?, memregion::Id::new()?);
///
/// assert!(one.get() != other.get());
/// # Ok::<(), Error>(())
/// ```
pub struct Id(i32);

impl Id {
    /// Takes the lowest free number. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or [`ENOSPC`] if all numbers are taken.
    pub fn new() -> Result<Self> {
        // SAFETY: The function may sleep, and so may the caller of this function.
        let id = unsafe { bindings::memregion_alloc(GFP_KERNEL.as_raw()) };

        if id < 0 {
            return Err(Error::from_errno(id));
        }

        // INVARIANT: `memregion_alloc()` returned the number.
        Ok(Self(id))
    }

    /// Returns the number. It is not negative.
    pub fn get(&self) -> i32 {
        self.0
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the number is allocated, and only this value frees it.
        unsafe { bindings::memregion_free(self.0) }
    }
}
