// SPDX-License-Identifier: GPL-2.0
// fails: E0515 cannot return value referencing local variable `live`

//! The struct page may go as soon as the section has ended.

use kernel::dax::device::{
    Device,
    LiveFolio, //
};

/// The folio at the beginning of an instance, after the section.
pub fn first(dev: &Device) -> Option<LiveFolio<'_>> {
    let live = dev.live()?;

    live.folio(0, 0)
}
