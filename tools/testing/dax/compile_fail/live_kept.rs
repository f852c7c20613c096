// SPDX-License-Identifier: GPL-2.0
// fails: E0515 cannot return value referencing local variable `live`

//! The driver would use the memory of an instance after the end of the SRCU section.

use kernel::dax::{
    live::LiveMemory,
    Device, //
};

/// The memory of an instance, after the section.
pub fn memory(dev: &Device) -> Option<&LiveMemory<'_>> {
    let live = dev.live()?;

    Some(&*live)
}
