// SPDX-License-Identifier: GPL-2.0
// fails: E0624 associated function `new` is private

//! Struct pages would be made for memory of somebody else, and from ranges that are not there: a
//! static instance has room for one.

use kernel::{
    bindings,
    dax::region::Region,
    device::{
        Bound,
        Device, //
    },
    mm::memremap::PageMap,
    prelude::*, //
};

/// An instance with pages for all of memory.
pub fn create(region: &Region<'_>, dev: &Device<Bound>) -> Result {
    let all = bindings::range {
        start: 0,
        end: u64::MAX,
    };

    region.create_static(0, PageMap::new(dev, [all, all].into_iter())?)
}
