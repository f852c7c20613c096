// SPDX-License-Identifier: GPL-2.0
// fails: E0308 expected `Memory`, found `Range<{integer}>`

//! User space or the page allocator would get memory of another user, or addresses without memory.

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
