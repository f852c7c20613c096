// SPDX-License-Identifier: GPL-2.0

//! Arithmetic of ranges: what of a piece of memory a device is made for.
//!
//! In a [`Range`] the end is the first address behind.

use core::{
    iter,
    ops::Range, //
};

/// Returns what of `range` can be mapped with entries of `align` bytes, a power of two.
pub(crate) fn aligned(range: &Range<u64>, align: u64) -> Option<Range<u64>> {
    let start = range.start.checked_next_multiple_of(align)?;
    let end = range.end & !align.wrapping_sub(1);

    (start < end).then_some(start..end)
}

/// Returns the parts of `range` that no CXL region has.
///
/// CXL only tells whether one region has all of a range. Decoders work in units of 256 MiB, and so
/// this asks for each unit.
pub(crate) fn unclaimed(
    range: Range<u64>,
    is_claimed: impl Fn(&Range<u64>) -> bool,
) -> impl Iterator<Item = Range<u64>> {
    const UNIT: u64 = 256 << 20;
    let Range { start: mut at, end } = range;

    iter::from_fn(move || {
        let mut found: Option<Range<u64>> = None;

        while at < end {
            let unit = at..(at | (UNIT - 1)).saturating_add(1).min(end);

            at = unit.end;
            match (&mut found, is_claimed(&unit)) {
                (None, true) => (),
                (Some(_), true) => break,
                (None, false) => found = Some(unit),
                (Some(found), false) => found.end = unit.end,
            }
        }
        found
    })
}
