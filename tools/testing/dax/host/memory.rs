// SPDX-License-Identifier: GPL-2.0

//! Compares hmem's arithmetic with a walk over all units, and checks the parser of kmem's states.

use crate::{gaps, offered, state};
use std::ops::Range;

/// CXL regions claim memory in multiples of this size.
const UNIT: u64 = 256 << 20;

/// The units of `range` without those that are `taken`, as ranges that are not adjacent.
fn left(range: Range<u64>, taken: impl Fn(u64) -> bool) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    for at in range.filter(|at| !taken(*at)) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

/// Checks `gaps()` with numbers so small that a walk over all units is possible.
pub(crate) fn check_gaps(whole: Range<u64>, lengths: &[u8]) {
    let mut at = 0;
    let mut taken = Vec::new();
    for pair in lengths.chunks(2) {
        let start = at + u64::from(pair[0] & 15);
        at = start + u64::from(pair.get(1).copied().unwrap_or(0) & 15);
        taken.push(start..at);
    }
    let is_taken = |at: u64| taken.iter().any(|range| range.contains(&at));
    let mut found: Vec<Range<u64>> = Vec::new();
    for gap in gaps::gaps(whole.clone(), taken.iter()) {
        assert!(!gap.is_empty());
        // Two gaps may be adjacent if an empty range lies between them.
        match found.last_mut() {
            Some(last) if last.end == gap.start => last.end = gap.end,
            _ => found.push(gap),
        }
    }
    assert_eq!(
        found,
        left(whole.clone(), is_taken),
        "{whole:?} without {taken:?}"
    );
}

/// Checks that `unclaimed()` returns exactly the unclaimed units of `range`.
pub(crate) fn check_unclaimed(range: Range<u64>, claimed: &[u8]) {
    let is_claimed = |unit: u64| {
        claimed
            .get(unit as usize % 64)
            .is_some_and(|byte| byte & 1 != 0)
    };
    let found: Vec<_> = offered::unclaimed(range.clone(), |unit| {
        assert!(unit.start < unit.end && unit.start / UNIT == (unit.end - 1) / UNIT);
        is_claimed(unit.start / UNIT)
    })
    .collect();
    let units = range.start / UNIT..range.end.div_ceil(UNIT).max(range.start / UNIT);
    let expected: Vec<_> = if range.is_empty() {
        Vec::new()
    } else {
        left(units, is_claimed)
            .into_iter()
            .map(|units| {
                (units.start * UNIT).max(range.start)..units.end.saturating_mul(UNIT).min(range.end)
            })
            .collect()
    };
    assert_eq!(found, expected, "{range:x?}");
}

/// Checks that `aligned()` returns the largest aligned range within `range`.
pub(crate) fn check_aligned(range: Range<u64>, align: u64) {
    let wide = i128::from;
    let first = (wide(range.start) + wide(align) - 1) / wide(align) * wide(align);
    let last = wide(range.end) / wide(align) * wide(align);
    let found = offered::aligned(&range, align).map(|range| (wide(range.start), wide(range.end)));
    assert_eq!(
        found,
        (first < last).then_some((first, last)),
        "{range:x?} {align:#x}"
    );
}

/// Checks that the parser accepts the name of a state, with or without a newline, and nothing else.
pub(crate) fn check_state(text: &[u8]) {
    let names = ["online", "online_kernel", "online_movable", "unplugged"];
    let known = names.iter().map(|name| (name.as_bytes(), *name));
    let found = state::parse(text, known);
    let expected = names
        .into_iter()
        .find(|name| text == name.as_bytes() || text == format!("{name}\n").as_bytes());
    assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(text));
}

/// Makes ranges from bytes and checks them.
pub(crate) fn check(bytes: &[u8]) {
    let mut fields = bytes.chunks(8).map(|chunk| {
        chunk
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    });
    let mut field = || fields.next().unwrap_or(0);
    let (a, b, c) = (field(), field(), field());
    let rest = bytes.get(24..).unwrap_or(&[]);
    check_gaps(a & 63..b & 255, rest);
    let start = a >> (c & 31);
    check_unclaimed(start..start.saturating_add(b & ((64 << 28) - 1)), rest);
    check_unclaimed(u64::MAX - (b & ((64 << 28) - 1))..u64::MAX, rest);
    check_aligned(a.min(b)..a.max(b), 1 << (c & 63));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn random_ranges() {
        let mut random = Random::new(6);
        for _ in 0..20_000 {
            let length = 24 + random.below(60) as usize;
            let bytes: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
            check(&bytes);
        }
    }

    #[test]
    fn some_ranges() {
        let unclaimed = |range: Range<u64>, claimed: &[u64]| {
            let found = offered::unclaimed(range, |unit| claimed.contains(&(unit.start / UNIT)));
            found.collect::<Vec<_>>()
        };
        assert_eq!(unclaimed(0..4 * UNIT, &[]), [0..4 * UNIT]);
        assert_eq!(unclaimed(0..4 * UNIT, &[0, 1, 2, 3]), []);
        assert_eq!(unclaimed(0..4 * UNIT, &[1]), [0..UNIT, 2 * UNIT..4 * UNIT]);
        assert_eq!(unclaimed(7..UNIT + 5, &[0]), [UNIT..UNIT + 5]);
        assert_eq!(unclaimed(5..5, &[]), []);
        assert_eq!(offered::aligned(&(1..8192), 4096), Some(4096..8192));
        assert_eq!(offered::aligned(&(1..8191), 4096), None);
        assert_eq!(offered::aligned(&(u64::MAX - 4094..u64::MAX), 4096), None);
        let taken = [2..4, 4..5, 9..12];
        let gaps: Vec<_> = gaps::gaps(3..11, taken.iter()).collect();
        assert_eq!(gaps, [5..9]);
    }

    #[test]
    fn states() {
        for text in [
            "",
            "\n",
            "online",
            "online\n",
            "online\n\n",
            " online",
            "online ",
            "Online",
            "offline",
            "online_",
            "online_movable\n",
            "online_kernel",
            "unplugged",
            "unplugged\0",
            "unplug",
        ] {
            check_state(text.as_bytes());
        }
    }
}
