// SPDX-License-Identifier: GPL-2.0

//! Binary search in a slice, for the fault path.
//!
//! What [`slice::partition_point`] does, with less to do in each step: the length of what is left is a
//! power of two, the same for either half, and in bytes; and it is known how many steps there are.
//!
//! This uses nothing of the kernel, and is compiled and tested on the host, too
//! (`tools/testing/dax/host`).

/// The last item for which `holds`, if it holds for the first one; else the first one.
///
/// It must not hold for any item that comes after one for which it does not. [`None`] if there is
/// no item. A single one is not asked about.
#[inline(always)]
pub fn last_where<T>(items: &[T], holds: impl Fn(&T) -> bool) -> Option<&T> {
    let len = items.len();
    if len < 2 {
        return items.first();
    }

    // The largest power of two up to the length, and as many of the last items.
    let mut steps = (usize::BITS - 1) ^ len.leading_zeros();
    let whole = 1usize.wrapping_shl(steps);
    let mut at = items.as_ptr();
    // SAFETY: `whole` is at most `len` and at least 1, so this is one of the items.
    let upper = unsafe { at.add(len.wrapping_sub(whole)) };
    // SAFETY: See above.
    if holds(unsafe { &*upper }) {
        at = upper;
    }

    // What is looked for is one of the items in this many bytes from `at` on.
    let mut left = whole.wrapping_mul(size_of::<T>());
    while steps != 0 {
        left >>= 1;
        // SAFETY: This was a power of two, more than one, of items; the one after its first half is
        // one of them.
        let middle = unsafe { at.byte_add(left) };
        // SAFETY: See above.
        if holds(unsafe { &*middle }) {
            at = middle;
        }
        steps = steps.wrapping_sub(1);
    }
    // SAFETY: This is one of the items.
    Some(unsafe { &*at })
}
