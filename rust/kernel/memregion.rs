// SPDX-License-Identifier: GPL-2.0

//! Numbers of memory regions.
//!
//! All drivers that make regions of memory take the numbers of the regions from here, whatever bus they
//! are on. So two regions never have the same number.
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
        // SAFETY: The function allocates a number. It may sleep, and so may this.
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
