// SPDX-License-Identifier: GPL-2.0
// fails: E0515 cannot return value referencing local variable `live`

//! The memory may go as soon as the section has ended.

use kernel::dax::device::{
    Device,
    Memory, //
};

/// The memory of an instance, after the section.
pub fn memory(dev: &Device) -> Option<&Memory<'_>> {
    let live = dev.live()?;

    Some(&*live)
}
