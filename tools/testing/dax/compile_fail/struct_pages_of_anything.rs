// SPDX-License-Identifier: GPL-2.0
// fails: E0624 associated function `new` is private

//! Struct pages would be made for memory of somebody else.

use kernel::{
    bindings,
    mm::memremap::OwnedDevPagemap,
    prelude::*, //
};

/// The description of pages for all of memory.
pub fn create() -> Result<OwnedDevPagemap> {
    let all = bindings::range {
        start: 0,
        end: u64::MAX,
    };

    OwnedDevPagemap::new([all].into_iter())
}
