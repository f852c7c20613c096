// SPDX-License-Identifier: GPL-2.0

//! Range arithmetic of the registry: the part of a range that is not known yet.
//!
//! The end of a [`Range`] is exclusive.

use core::{
    iter,
    ops::Range, //
};

/// Returns the parts of `whole` that overlap no range in `taken`. `taken` must be in ascending
/// order.
pub(crate) fn gaps<'a>(
    whole: Range<u64>,
    mut taken: impl Iterator<Item = &'a Range<u64>> + 'a,
) -> impl Iterator<Item = Range<u64>> + 'a {
    let Range { start: mut at, end } = whole;

    iter::from_fn(move || {
        while at < end {
            let range = taken.next().unwrap_or(&(u64::MAX..u64::MAX));
            let gap = at..range.start.min(end);

            at = at.max(range.end);
            if !gap.is_empty() {
                return Some(gap);
            }
        }
        None
    })
}
