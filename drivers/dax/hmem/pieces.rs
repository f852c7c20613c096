// SPDX-License-Identifier: GPL-2.0

//! Arithmetic of ranges, for both parts of hmem: what of a range is left.
//!
//! In a [`Range`] the end is the first address behind.

use core::ops::Range;

/// Returns the parts of `whole` that are in none of `taken`, which come in ascending order.
pub(crate) fn gaps<'a>(
    whole: Range<u64>,
    taken: impl Iterator<Item = &'a Range<u64>> + 'a,
) -> impl Iterator<Item = Range<u64>> + 'a {
    let end = whole.end;
    let mut at = whole.start;

    taken
        .map(|range| range.start..range.end)
        .chain(core::iter::once(end..end))
        .filter_map(move |range| {
            let gap = at..range.start.min(end);

            at = at.max(range.end);
            (!gap.is_empty()).then_some(gap)
        })
}
