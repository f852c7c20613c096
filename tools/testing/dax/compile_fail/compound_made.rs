// SPDX-License-Identifier: GPL-2.0
// fails: E0451 of struct `kernel::mm::memremap::Compound` is private

//! Compound pages would begin between two page-table entries: nobody looked at the page map.

use kernel::mm::memremap::{
    Compound,
    PageMap, //
};

/// A page map of 1 GiB pages, wherever it begins.
pub fn compound(map: &PageMap) -> Compound<'_> {
    Compound { map, size: 1 << 30 }
}
