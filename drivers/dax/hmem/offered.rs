// SPDX-License-Identifier: GPL-2.0

//! Range arithmetic of `dax_hmem`: the usable part of a range.
//!
//! The end of a [`Range`] is exclusive.

use core::{
    iter,
    ops::Range, //
};

/// Returns the part of `range` that entries of `align` bytes can map, or [`None`] if it is empty.
/// `align` must be a power of two.
pub(crate) fn aligned(range: &Range<u64>, align: u64) -> Option<Range<u64>> {
    let start = range.start.checked_next_multiple_of(align)?;
    let end = range.end & !align.wrapping_sub(1);

    (start < end).then_some(start..end)
}

/// Returns the parts of `range` that are in no CXL region.
///
/// The CXL core only tells whether one CXL region contains a whole range. Decoders work in units of
/// 256 MiB, so this asks about each unit.
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
