// SPDX-License-Identifier: GPL-2.0

//! Regions of character device numbers.
//!
//! A region is what a subsystem reserves for its devices: a major number, shown in `/proc/devices`,
//! and the minor numbers from zero on.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    error::{
        to_result,
        Result, //
    },
    prelude::*, //
};

/// The number of minor numbers that one major number has.
pub const MINORS: u32 = 1 << bindings::MINORBITS;

/// A region of device numbers, released when dropped.
///
/// # Invariants
///
/// The device numbers from `first` to `first + count - 1` are reserved, and this owns them.
pub struct Region {
    first: bindings::dev_t,
    count: u32,
}

impl Region {
    /// Reserves the minor numbers from 0 to `count - 1` of a major number that is free.
    pub fn alloc(name: &'static CStr, count: u32) -> Result<Self> {
        let mut first = 0;

        // SAFETY: `first` is valid for writes and `name` is a string that lives forever.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&mut first, 0, count, name.as_char_ptr())
        })?;

        // INVARIANT: `alloc_chrdev_region()` reserved `count` numbers from `first` on.
        Ok(Self { first, count })
    }

    /// Returns the device number that belongs to `minor`.
    pub fn number(&self, minor: u32) -> Option<bindings::dev_t> {
        if minor < self.count {
            self.first.checked_add(minor)
        } else {
            None
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these numbers are reserved and owned by this.
        unsafe { bindings::unregister_chrdev_region(self.first, self.count) };
    }
}
