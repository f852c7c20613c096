// SPDX-License-Identifier: GPL-2.0

//! Regions of character device numbers.
//!
//! A subsystem reserves a region for its devices: a major number, which `/proc/devices` shows, and
//! the minor numbers from zero on.
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

/// A region of device numbers. Dropping it releases the numbers.
///
/// # Invariants
///
/// The device numbers from `first` to `first + count - 1` are reserved, and this value owns them.
///
/// # Examples
///
/// ```
/// use kernel::char_dev::Region;
///
/// let region = Region::alloc(c"example", 2)?;
///
/// assert!(region.number(1).is_some());
/// assert!(region.number(2).is_none());
/// # Ok::<(), Error>(())
/// ```
pub struct Region {
    first: bindings::dev_t,
    count: u32,
}

impl Region {
    /// Reserves the minor numbers from 0 to `count - 1` of a major number that is free.
    pub fn alloc(name: &'static CStr, count: u32) -> Result<Self> {
        let mut first = 0;

        // SAFETY: `first` is valid for writes. `name` lives forever.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&mut first, 0, count, name.as_char_ptr())
        })?;

        // INVARIANT: `alloc_chrdev_region()` reserved `count` numbers from `first` on.
        Ok(Self { first, count })
    }

    /// Returns the device number of `minor`, if it is in the region.
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
        // SAFETY: By the type invariant these numbers are reserved and owned by this
        // value.
        unsafe { bindings::unregister_chrdev_region(self.first, self.count) };
    }
}
