// SPDX-License-Identifier: GPL-2.0

//! Binary search in a slice, for the fault path.
//!
//! This does the same as [`slice::partition_point`], with less work in each step. The number of
//! items to search is a power of two, so both halves have the same length, and the number of steps
//! is known before. Lengths are in bytes.
//!
//! The code uses nothing of the kernel. It also compiles on the host, where its tests run
//! (`tools/testing/dax/host`).

use core::num::NonZeroUsize;

/// Returns the last item for which `holds` is true. If it is true for none, returns the first item.
/// Returns [`None`] if `items` is empty.
///
/// The items for which `holds` is true must come first. `holds` is not called if there is only one
/// item.
#[inline(always)]
pub fn last_where<T>(items: &[T], holds: impl Fn(&T) -> bool) -> Option<&T> {
    if let [only] = items {
        return Some(only);
    }
    let len = NonZeroUsize::new(items.len())?;

    // Search in `whole` items: the largest power of two that is not above the length. They are the
    // first items, or the last ones if the result is among these.
    let mut steps = len.ilog2();
    let whole = 1usize.wrapping_shl(steps);
    let mut at = items.as_ptr();
    // SAFETY: `whole` is at most `len` and at least 1, so the index is less than `len`.
    let upper = unsafe { at.add(len.get().wrapping_sub(whole)) };
    // SAFETY: See above.
    if holds(unsafe { &*upper }) {
        at = upper;
    }

    // The result is one of the items in the `left` bytes from `at` on.
    let mut left = whole.wrapping_mul(size_of::<T>());
    while steps != 0 {
        left >>= 1;
        // SAFETY: `left` was the size of a power of two of items, more than one, which are all in
        // the slice. Now it is half of that, so this is one of these items.
        let middle = unsafe { at.byte_add(left) };
        // SAFETY: See above.
        if holds(unsafe { &*middle }) {
            at = middle;
        }
        steps = steps.wrapping_sub(1);
    }
    // SAFETY: `at` points to one of the items.
    Some(unsafe { &*at })
}
