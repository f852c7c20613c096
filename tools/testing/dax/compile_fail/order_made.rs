// SPDX-License-Identifier: GPL-2.0
// fails: E0616 field `order` of struct `OwnedDevPagemap` is private

//! Compound pages could begin in the middle of a page table entry, because nothing checked the
//! ranges.

use kernel::mm::memremap::OwnedDevPagemap;

/// Compound pages of 1 GiB at any address.
pub fn compound(map: &mut OwnedDevPagemap) {
    map.order = 18;
}
