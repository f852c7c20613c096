// SPDX-License-Identifier: GPL-2.0

//! Tests that the pages of a dev_pagemap fit the data of a namespace, in all combinations.

use crate::{
    data::Data,
    pages::{fit, usable, Altmap, Misfit},
};
use kernel::nvdimm::{InfoBlock, INFO_BLOCK_RESERVE, PAGE_STRUCT_SIZE};
use std::ops::Range;

const UNIT: u64 = 2 << 20;
const ALIGNS: [u64; 3] = [4 << 10, UNIT, 1 << 30];
const GIB: u64 = 1 << 30;

/// The address of each compound page that `memmap_init_zone_device()` creates.
fn compound_pages(
    range: &Range<u64>,
    altmap: Option<Altmap>,
    size: u64,
) -> impl Iterator<Item = u64> {
    let first = altmap.map_or(range.start, |altmap| altmap.base + altmap.size);

    (first..range.end).step_by(size as usize)
}

/// The info block, the range and the altmap that `nd_pfn_init()` and `__nvdimm_setup_pfn()` make
/// for a namespace; `None` if it is too small.
fn libnvdimm(
    namespace: &Range<u64>,
    align: u64,
    mode: u32,
    (start_pad, end_trunc): (u32, u32),
) -> Option<(InfoBlock, Range<u64>, Option<Altmap>)> {
    let base = namespace.start + u64::from(start_pad);
    let size = namespace.end - base;
    let most = align.max(UNIT);
    let memmap = if mode == 2 {
        size / 4096 * PAGE_STRUCT_SIZE
    } else {
        0
    };
    let offset = (base + INFO_BLOCK_RESERVE + memmap).next_multiple_of(most) - base;
    let end = namespace.end - u64::from(end_trunc);
    let end = end - end % most;
    if base + offset >= end {
        return None;
    }
    let block = InfoBlock {
        is_intact: true,
        version: (1, 4),
        mode,
        data_offset: offset,
        npfns: (end - base - offset) / 4096,
        start_pad,
        end_trunc: (namespace.end - end) as u32,
        align,
    };
    // `base_pfn` and `reserve` have the values for a base at a multiple of the unit; `free` is the
    // rest.
    let altmap = (mode == 2).then_some(Altmap { base, size: offset });

    Some((block, base..end, altmap))
}

/// Checks the guarantees of `fit()`; returns whether it accepted the arguments.
fn holds(range: &Range<u64>, altmap: Option<Altmap>, data: &Range<u64>, size: u64) -> bool {
    let fitting = match fit(range, altmap, data, size, UNIT) {
        Ok(fitting) => fitting,
        Err(why) => {
            assert!(why.to_string().len() > 20);
            return false;
        }
    };
    let what = format!("{range:x?} {altmap:x?} {data:x?} {size:#x}: {fitting:x?}");

    assert!(
        range.start <= fitting.start && fitting.end <= range.end,
        "{what}"
    );
    assert_eq!((fitting.start | fitting.end) % UNIT, 0, "{what}");
    assert_eq!(data.start % size, 0, "{what}");
    assert!(altmap.is_none() || fitting == *range, "{what}");
    let pages = usable(&fitting, altmap, size, UNIT).expect(&what);
    assert!(
        pages.start <= data.start && data.end <= pages.end,
        "{what}"
    );
    // Check each page, unless there are too many.
    if size > 4096 || data.end - data.start < 64 << 20 {
        let mut seen = pages.start;
        for page in compound_pages(&fitting, altmap, size) {
            assert_eq!((page, page % size), (seen, 0), "{what}");
            seen += size;
        }
        assert_eq!(seen, fitting.end, "{what}");
    }
    true
}

/// Everything that libnvdimm can set up works: each align, the memmap in RAM or in the namespace,
/// and each start of a namespace, padded and truncated.
#[test]
fn all_namespaces() {
    let mut tried = 0;
    let mut narrowed = 0;
    for align in ALIGNS {
        for mode in [1, 2] {
            for start in (0..=GIB).step_by(64 << 20).chain([UNIT, 3 * UNIT, GIB - UNIT]) {
                for size in [16 << 20, 64 << 20, 512 << 20, 2 * GIB, 2 * GIB + UNIT, 3 * GIB] {
                    for start_pad in [0, UNIT as u32, 64 << 20] {
                        for end_trunc in [0, UNIT as u32, 64 << 20] {
                            let namespace = 4 * GIB + start..4 * GIB + start + size;
                            if u64::from(start_pad) + u64::from(end_trunc) >= size {
                                continue;
                            }
                            let pads = (start_pad, end_trunc);
                            let Some((block, range, altmap)) =
                                libnvdimm(&namespace, align, mode, pads)
                            else {
                                continue;
                            };
                            let data = Data::new(&block, &namespace)
                                .ok()
                                .unwrap_or_else(|| panic!("{block:?} {namespace:x?}"));
                            assert!(
                                holds(&range, altmap, &data.range, align),
                                "{block:?} {range:x?} {altmap:x?}"
                            );
                            let fitting =
                                fit(&range, altmap, &data.range, align, UNIT).expect("above");
                            tried += 1;
                            narrowed += u32::from(fitting != range);
                        }
                    }
                }
            }
        }
    }
    // `narrowed` counts 1 GiB aligns with the memmap in RAM in namespaces that do not begin at a
    // whole GiB.
    assert!(tried > 3000 && narrowed > 200, "{tried} {narrowed}");
}

/// Arguments that a provider could pass. No accepted ones lead to a misaligned compound page.
#[test]
fn random_ranges() {
    let mut random = crate::random::Random::new(7);
    let mut good = 0;
    for _ in 0..300_000 {
        // Few different values, so that they fit often enough.
        let step = [4096, UNIT, UNIT, 512 << 20, GIB][random.below(5) as usize];
        let mut at = |most: u64| (random.below(most / step + 2)) * step;
        let start = GIB + at(2 * GIB);
        let range = start..start + at(4 * GIB);
        let first = start + at(2 * GIB);
        let data = first..first + at(3 * GIB);
        let altmap = match random.below(4) {
            0 => Some(Altmap {
                base: range.start,
                size: data.start.saturating_sub(range.start),
            }),
            1 => Some(Altmap {
                base: range.start + random.below(2) * UNIT,
                size: random.below(1024) * UNIT,
            }),
            _ => None,
        };
        let size = ALIGNS[random.below(3) as usize];
        good += u32::from(holds(&range, altmap, &data, size));
    }
    assert!((10_000..290_000).contains(&good), "{good}");
}

#[test]
fn at_the_ends_of_the_address_space() {
    let top = u64::MAX - UNIT + 1;

    assert!(matches!(
        fit(&(top..u64::MAX), None, &(top..u64::MAX), UNIT, UNIT),
        Err(Misfit::Unit { .. })
    ));
    let altmap = Some(Altmap {
        base: 0,
        size: u64::MAX,
    });
    assert!(matches!(
        fit(&(0..GIB), altmap, &(0..GIB), UNIT, UNIT),
        Err(Misfit::Altmap { .. })
    ));
    assert_eq!(fit(&(0..GIB), None, &(0..GIB), GIB, UNIT), Ok(0..GIB));
    assert!(matches!(
        fit(&(0..GIB), None, &(GIB..GIB), UNIT, UNIT),
        Err(Misfit::Data { .. })
    ));
}
