// SPDX-License-Identifier: GPL-2.0
// fails: E0308 expected `Memory`, found `Range<{integer}>`

//! User space would map, and the page allocator get, what is memory of somebody else, or none.

use kernel::{
    dax::region::{
        Flags,
        Parent,
        Region, //
    },
    prelude::*, //
};

/// A region of the first 4 GiB.
pub fn region(parent: &impl Parent) -> Result<Region<'_>> {
    Region::new(parent, 0, 0..0x1_0000_0000, 0, 4096, Flags::SYSTEM_RAM)
}
