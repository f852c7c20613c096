// SPDX-License-Identifier: GPL-2.0

//! Tests of the lookup from a page of a device to its physical address.

use crate::{
    dev_dax_range::{DevDaxRange, VISITS},
    model::UNIT,
    random::Random,
    ranges::{lookup, size_of_device, Range},
};

/// Ranges of 1 to 9 pages in random order. No two are adjacent.
fn device(ranges: u64, random: &mut Random) -> Vec<DevDaxRange> {
    let mut positions: Vec<u64> = (0..ranges).collect();
    for n in (1..positions.len()).rev() {
        positions.swap(n, random.below(n as u64 + 1) as usize);
    }
    let mut extents = Vec::new();
    for position in positions {
        let len = (1 + random.below(9)) * UNIT;
        let range = Range::from_len(0x4000_0000 + position * 16 * UNIT, len).unwrap();
        extents.push(DevDaxRange::new(size_of_device(&extents) / UNIT, range));
    }
    extents
}

/// A lookup that walks all pages.
fn naive(extents: &[DevDaxRange], pgoff: u64, size: u64) -> Option<u64> {
    for extent in extents {
        for page in 0..extent.range().len() / UNIT {
            if extent.pgoff + page == pgoff {
                let address = extent.start + page * UNIT;
                let last = address.checked_add(size)?.checked_sub(1)?;
                return (last <= extent.end).then_some(address);
            }
        }
    }
    None
}

#[test]
fn agrees_with_the_naive_way() {
    let mut random = Random::new(1);
    for ranges in [0, 1, 2, 3, 4, 7, 8, 9, 50] {
        let extents = device(ranges, &mut random);
        let pages = size_of_device(&extents) / UNIT;
        for pgoff in (0..pages + 10).chain([1 << 40, 1 << 52, u64::MAX - 1, u64::MAX]) {
            for size in [1, UNIT, 2 * UNIT, 4 * UNIT, 10 * UNIT, 1 << 63, u64::MAX] {
                assert_eq!(
                    lookup(&extents, pgoff, size),
                    naive(&extents, pgoff, size),
                    "{ranges} ranges, page {pgoff}, {size} bytes"
                );
            }
        }
    }
}

#[test]
fn an_entry_does_not_straddle_ranges() {
    let touching = [
        DevDaxRange::new(0, Range::from_len(0x20_0000, 0x20_0000).unwrap()),
        DevDaxRange::new(0x200, Range::from_len(0x40_0000, 0x20_0000).unwrap()),
    ];
    assert_eq!(lookup(&touching, 0x1ff, 0x1000), Some(0x3f_f000));
    assert_eq!(lookup(&touching, 0x1ff, 0x2000), None);
    assert_eq!(lookup(&touching, 0x200, 0x20_0000), Some(0x40_0000));
    assert_eq!(lookup(&touching, 0x400, 0x1000), None);
    assert_eq!(lookup(&touching, 0x3ff, 0), Some(0x5f_f000));
    assert_eq!(lookup(&touching, 0x400, 0), None);
}

#[test]
fn malformed_ranges_hold_no_page() {
    let broken = [DevDaxRange {
        pgoff: 0,
        start: 1,
        end: 0,
    }];
    assert_eq!(lookup(&broken, 0, 1), None);
    let all = [DevDaxRange {
        pgoff: 0,
        start: 0,
        end: u64::MAX,
    }];
    assert_eq!(lookup(&all, 0, 1), None);
}

#[test]
fn cost_grows_with_the_logarithm() {
    let mut random = Random::new(2);
    for (ranges, most) in [(1u64, 1), (2, 3), (100, 9), (1_000, 12), (10_000, 16)] {
        let extents = device(ranges, &mut random);
        let worst = (0..size_of_device(&extents) / UNIT)
            .map(|pgoff| {
                VISITS.set(0);
                assert!(lookup(&extents, pgoff, UNIT).is_some());
                VISITS.get()
            })
            .max();
        assert!(worst <= Some(most), "{ranges} ranges: {worst:?}");
    }
}
