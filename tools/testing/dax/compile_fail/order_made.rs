// SPDX-License-Identifier: GPL-2.0
// fails: E0616 field `order` of struct `OwnedDevPagemap` is private

//! Compound pages would begin between two page-table entries: nobody looked at the ranges.

use kernel::mm::memremap::OwnedDevPagemap;

/// Struct pages of 1 GiB, wherever they begin.
pub fn compound(map: &mut OwnedDevPagemap) {
    map.order = 18;
}
