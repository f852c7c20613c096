// SPDX-License-Identifier: GPL-2.0
// fails: E0624 associated function `new` is private

//! A driver would create a memmap for memory of another user.

use kernel::{
    bindings,
    mm::memremap::OwnedDevPagemap,
    prelude::*, //
};

/// A dev_pagemap for all of memory.
pub fn create() -> Result<OwnedDevPagemap> {
    let all = bindings::range {
        start: 0,
        end: u64::MAX,
    };

    OwnedDevPagemap::new([all].into_iter())
}
