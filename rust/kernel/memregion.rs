// SPDX-License-Identifier: GPL-2.0

//! Numbers of memory regions.
//!
//! All providers of memory that comes and goes, of whatever bus, take the numbers of their regions
//! from here, so that no two have the same.
//!
//! C header: [`include/linux/memregion.h`](srctree/include/linux/memregion.h)

use crate::{
    bindings,
    prelude::*, //
};

/// A number that is nobody else's until this is dropped.
///
/// # Invariants
///
/// The number comes from `memregion_alloc()`, and only this value frees it.
pub struct Id(i32);

impl Id {
    /// Takes the lowest free number. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or [`ENOSPC`] if all numbers are taken.
    pub fn new() -> Result<Self> {
        // SAFETY: Only allocates; we may sleep.
        let id = unsafe { bindings::memregion_alloc(GFP_KERNEL.as_raw()) };

        if id < 0 {
            return Err(Error::from_errno(id));
        }

        // INVARIANT: Just allocated.
        Ok(Self(id))
    }

    /// The number, 0 or more.
    pub fn get(&self) -> i32 {
        self.0
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the number is allocated and ours to free.
        unsafe { bindings::memregion_free(self.0) }
    }
}
