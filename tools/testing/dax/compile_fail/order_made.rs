// SPDX-License-Identifier: GPL-2.0
// fails: E0616 field `order` of struct `OwnedPageMap` is private

//! Compound pages would begin between two page-table entries: nobody looked at the ranges.

use kernel::mm::memremap::OwnedPageMap;

/// Struct pages of 1 GiB, wherever they begin.
pub fn compound(map: &mut OwnedPageMap) {
    map.order = 18;
}
