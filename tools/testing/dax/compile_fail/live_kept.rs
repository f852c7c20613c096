// SPDX-License-Identifier: GPL-2.0
// fails: E0515 cannot return value referencing local variable `live`

//! The memory may go as soon as the section has ended.

use kernel::dax::{
    live::LiveMemory,
    Device, //
};

/// The memory of an instance, after the section.
pub fn memory(dev: &Device) -> Option<&LiveMemory<'_>> {
    let live = dev.live()?;

    Some(&*live)
}
