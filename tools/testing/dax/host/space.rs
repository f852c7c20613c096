// SPDX-License-Identifier: GPL-2.0

//! Tests of the free space of a region.

use crate::{
    model::{align, range, Model, UNIT},
    random::{check_sequences, Random},
    ranges::{Align, Error, Range, Space, ALIGNS as KINDS},
};
use kernel::alloc::{bytes, succeed, visits};
use proptest::prelude::*;

const START: u64 = 0x1000_0000;
const ALIGNS: [u64; KINDS] = [UNIT, 8 * UNIT, 64 * UNIT];

fn aligns() -> [Align; KINDS] {
    ALIGNS.map(align)
}

fn space(region: Range) -> Space {
    Space::new(region, aligns()).unwrap()
}

/// Compares the results of all queries.
fn compare(space: &Space, model: &Model) {
    let gaps = model.gaps();
    assert_eq!(space.checked_gaps(), gaps);
    assert_eq!(space.available(), gaps.iter().map(Range::len).sum::<u64>());
    for align in aligns() {
        let usable = model.usable(align);
        let sum = usable.iter().map(Range::len).sum::<u64>();
        assert_eq!(space.usable(align), Ok(sum));
        assert_eq!(space.find(align), Ok(usable.first().map(Range::start)));
    }
}

#[test]
fn a_new_region_is_free() {
    let region = range(START, 100 * UNIT);
    let space = space(region);
    assert_eq!(space.region(), region);
    compare(&space, &Model::new(region));
}

#[test]
fn exact_ranges() {
    let region = range(START, 10 * UNIT);
    let mut space = space(region);
    let part = |first, units| range(START + first * UNIT, units * UNIT);
    let outside = Err(Error::Outside { region });

    assert_eq!(space.reserve(part(10, 1)), outside);
    assert_eq!(space.reserve(part(9, 2)), outside);
    assert_eq!(space.reserve(range(START - UNIT, 2 * UNIT)), outside);
    assert_eq!(space.reserve(part(2, 3)), Ok(()));
    for (first, units, at) in [(2, 3, 2), (0, 3, 2), (4, 2, 4), (3, 1, 3), (1, 9, 2)] {
        let at = START + at * UNIT;
        assert_eq!(space.reserve(part(first, units)), Err(Error::InUse { at }));
    }
    assert_eq!(space.available(), 7 * UNIT);
    assert_eq!(space.reserve(part(5, 5)), Ok(()));
    assert_eq!(space.reserve(part(0, 2)), Ok(()));
    assert_eq!(space.available(), 0);
    assert_eq!(space.find(align(UNIT)), Ok(None));
    assert_eq!(space.release(part(2, 3)), Ok(()));
    let free = Err(Error::NotAllocated {
        at: START + 2 * UNIT,
    });
    assert_eq!(space.release(part(2, 3)), free);
    assert_eq!(space.release(part(0, 3)), free);
    assert_eq!(space.release(part(9, 2)), outside);
    assert_eq!(space.checked_gaps(), [part(2, 3)]);
}

#[test]
fn ends_move() {
    let region = range(START, 10 * UNIT);
    let mut space = space(region);
    let mine = range(START, 2 * UNIT);
    let other = range(START + 6 * UNIT, 4 * UNIT);
    space.reserve(mine).unwrap();
    space.reserve(other).unwrap();

    let units = |first, count| range(START + first * UNIT, count * UNIT);
    let mut more = |last, len| space.allocate(last, len, align(UNIT));
    let (two, next) = (units(2, 2), units(4, 2));
    assert_eq!(more(Some(mine), 2 * UNIT), Ok(two));
    // Up to the next allocation there is less free memory than wanted.
    assert_eq!(more(mine.joined(&two), 5 * UNIT), Ok(next));
    let full = Error::NoSpace { available: 0 };
    assert_eq!(more(Some(other), UNIT), Err(full));
    assert_eq!(space.available(), 0);
    let mine = range(START, 6 * UNIT);
    assert_eq!(space.trim(mine, 6 * UNIT), Err(Error::Empty));
    assert_eq!(space.trim(mine, u64::MAX), Err(Error::Empty));
    assert_eq!(space.trim(mine, 0), Ok(()));
    assert_eq!(space.trim(mine, 3 * UNIT), Ok(()));
    assert_eq!(space.checked_gaps(), [range(START + 3 * UNIT, 3 * UNIT)]);
}

#[test]
fn alignment_is_that_of_addresses_not_of_offsets() {
    // The region starts in the middle of a unit of 64 pages.
    let region = range(START + 32 * UNIT, 128 * UNIT);
    let space = space(region);
    assert_eq!(space.usable(align(64 * UNIT)), Ok(64 * UNIT));
    let found = space.find(align(64 * UNIT));
    assert_eq!(found, Ok(Some(START + 64 * UNIT)));
    assert_eq!(space.find(align(UNIT)), Ok(Some(region.start())));
}

#[test]
fn a_gap_that_goes_is_forgotten_all_the_way_up() {
    // Gaps of one unit, and at each possible place one gap for an entry of the largest align.
    let gap = |n: u64, long: u64| {
        let units = if n == long { 64 } else { 1 };
        range(START + n * 128 * UNIT, units * UNIT)
    };
    for gaps in 1..40 {
        for long in 0..gaps {
            let mut space = space(range(START, gaps * 128 * UNIT));
            for n in 0..gaps {
                let gap = gap(n, long);
                let behind = Range::new(gap.after(), START + (n + 1) * 128 * UNIT - 1);
                space.reserve(behind.unwrap()).unwrap();
            }
            let entry = align(64 * UNIT);
            let place = gap(long, long);
            assert_eq!(space.find(entry), Ok(Some(place.start())));
            space.reserve(place).unwrap();
            space.checked_gaps();
            assert_eq!(space.find(entry), Ok(None));
        }
    }
}

#[test]
fn bad_questions() {
    let mut space = space(range(START, 128 * UNIT));
    let unknown = align(16 * UNIT);
    let error = Error::UnknownAlign { align: unknown };
    assert_eq!(space.usable(unknown), Err(error));
    assert_eq!(space.allocate(None, 16 * UNIT, unknown), Err(error));
}

#[test]
fn the_ends_of_the_address_space() {
    let low = Range::from_len(0, 1 << 40).unwrap();
    let mut space = Space::new(low, aligns()).unwrap();
    assert_eq!(space.find(align(UNIT)), Ok(Some(0)));
    space.reserve(range(0, UNIT)).unwrap();
    space.release(range(0, UNIT)).unwrap();

    let high = Range::new(u64::MAX - 0x10_0000, u64::MAX - 1).unwrap();
    let space = Space::new(high, aligns()).unwrap();
    let usable = space.usable(align(64 * UNIT)).unwrap();
    assert_eq!(usable, 0xc_0000 - 0x4_0000 + 0x4_0000);
    assert_eq!(space.available(), 0x10_0000);
}

/// A step of a test on a region of `UNITS` units.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve {
        first: u64,
        units: u64,
    },
    Fit {
        units: u64,
        class: usize,
    },
    Release {
        which: usize,
    },
    Allocate {
        which: usize,
        units: u64,
        class: usize,
    },
    Trim {
        which: usize,
        units: u64,
    },
    ReleaseWrong {
        first: u64,
        units: u64,
    },
}

const UNITS: u64 = 300;

fn step() -> impl Strategy<Value = Step> {
    let units = || prop_oneof![1..=2u64, 1..=8u64, 1..=70u64];
    let first = || 0..UNITS + 4;
    let which = || 0..1usize << 20;
    prop_oneof![
        3 => (first(), units()).prop_map(|(first, units)| Step::Reserve { first, units }),
        2 => (units(), 0..3usize).prop_map(|(units, class)| {
            let unit = ALIGNS[class] / UNIT;
            let units = units.div_ceil(unit) * unit;
            Step::Fit { units, class }
        }),
        2 => which().prop_map(|which| Step::Release { which }),
        2 => (which(), units(), 0..3usize).prop_map(|(which, units, class)| {
            let unit = ALIGNS[class] / UNIT;
            let units = units.div_ceil(unit) * unit;
            Step::Allocate { which, units, class }
        }),
        1 => (which(), units()).prop_map(|(which, units)| Step::Trim { which, units }),
        1 => (first(), units()).prop_map(|(first, units)| Step::ReleaseWrong { first, units }),
    ]
}

struct Both {
    space: Space,
    model: Model,
    owned: Vec<Range>,
}

impl Both {
    fn new() -> Self {
        // The start is not a multiple of the larger aligns.
        let region = range(START + 3 * UNIT, UNITS * UNIT);
        Self {
            space: space(region),
            model: Model::new(region),
            owned: Vec::new(),
        }
    }

    /// Makes the step on both; their results must be the same. Returns whether an allocation
    /// failed.
    fn make(&mut self, step: Step) -> bool {
        let start = |first| START + first * UNIT;
        match step {
            Step::Reserve { first, units } => {
                let wanted = range(start(first), units * UNIT);
                self.reserve(wanted)
            }
            Step::Fit { units, class } => {
                let usable = self.model.usable(aligns()[class]);
                let found = usable.iter().find(|part| part.len() >= units * UNIT);
                found.is_some_and(|part| self.reserve(range(part.start(), units * UNIT)))
            }
            Step::Release { which } if !self.owned.is_empty() => {
                let mine = self.owned.swap_remove(which % self.owned.len());
                assert_eq!(self.space.release(mine), Ok(()));
                self.model.release(mine).unwrap();
                false
            }
            Step::Allocate {
                which,
                units,
                class,
            } => {
                let which = which % (self.owned.len() + 1);
                let last = self.owned.get(which).copied();
                let (len, align) = (units * UNIT, aligns()[class]);
                let expected = self
                    .model
                    .usable(align)
                    .first()
                    .map(|part| range(part.start(), part.len().min(len)));
                match self.space.allocate(last, len, align) {
                    Err(Error::NoMemory) => return true,
                    result => assert_eq!(result.ok(), expected),
                }
                let Some(gained) = expected else { return false };
                self.model.reserve(gained).unwrap();
                match last.and_then(|last| last.joined(&gained)) {
                    Some(joined) => self.owned[which] = joined,
                    None => self.owned.push(gained),
                }
                false
            }
            Step::Trim { which, units } if !self.owned.is_empty() => {
                let which = which % self.owned.len();
                let mine = self.owned[which];
                let Some(rest) = mine.trimmed(units * UNIT) else {
                    assert_eq!(self.space.trim(mine, units * UNIT), Err(Error::Empty));
                    return false;
                };
                assert_eq!(self.space.trim(mine, units * UNIT), Ok(()));
                self.model
                    .release(range(rest.after(), units * UNIT))
                    .unwrap();
                self.owned[which] = rest;
                false
            }
            Step::ReleaseWrong { first, units } => {
                let wrong = range(start(first), units * UNIT);
                match self.model.clone().release(wrong) {
                    Ok(()) => (),
                    Err(Error::NotAllocated { .. }) => match self.space.release(wrong) {
                        Err(Error::NotAllocated { at }) => {
                            assert!(wrong.contains(&range(at, 1)) && self.model.is_free(at));
                        }
                        other => panic!("{other:?}"),
                    },
                    error => assert_eq!(self.space.release(wrong), error),
                }
                false
            }
            _ => false,
        }
    }

    fn reserve(&mut self, wanted: Range) -> bool {
        let result = self.space.reserve(wanted);
        if result == Err(Error::NoMemory) {
            return true;
        }
        assert_eq!(result, self.model.reserve(wanted));
        if result.is_ok() {
            self.owned.push(wanted);
        }
        false
    }
}

#[test]
fn random_steps_agree_with_the_model() {
    check_sequences(300, 250, step(), |steps| {
        let mut both = Both::new();
        for step in steps {
            both.make(*step);
            compare(&both.space, &both.model);
            assert_eq!(both.space.nodes(), both.owned.len() + 1);
        }
        for mine in both.owned {
            both.space.release(mine).unwrap();
        }
        assert_eq!(both.space.checked_gaps(), [both.space.region()]);
    });
    assert_eq!(bytes(), 0, "leaked");
}

#[test]
fn a_failed_allocation_changes_nothing() {
    let failures = std::cell::Cell::new(0);
    check_sequences(200, 150, step(), |steps| {
        let mut both = Both::new();
        for step in steps {
            // The step must fail because an allocation failed, or succeed without an allocation.
            succeed(Some(0));
            let failed = both.make(*step);
            succeed(None);
            compare(&both.space, &both.model);
            assert_eq!(both.space.nodes(), both.owned.len() + 1);
            if failed {
                failures.set(failures.get() + 1);
                assert!(!both.make(*step));
            }
        }
    });
    assert!(failures.get() > 500, "only {} failures", failures.get());
    succeed(Some(0));
    let region = range(START, UNIT);
    assert_eq!(Space::new(region, aligns()).err(), Some(Error::NoMemory));
    succeed(None);
    assert_eq!(bytes(), 0, "leaked");
}

#[test]
fn the_nodes_follow_the_allocations() {
    let mut space = space(range(START, 40_000 * UNIT));
    let before = bytes();
    let every_other = |n: u64| range(START + 2 * n * UNIT, UNIT);
    for n in 0..20_000 {
        space.reserve(every_other(n)).unwrap();
    }
    assert_eq!(space.nodes(), 20_001);
    for n in 0..20_000 {
        // Delete devices in random order.
        space.release(every_other(n * 7919 % 20_000)).unwrap();
        assert_eq!(space.nodes() as u64, 20_000 - n);
    }
    assert_eq!(space.checked_gaps(), [space.region()]);
    assert_eq!(bytes(), before);
}

/// The average number of node visits of each operation in a region with `gaps` gaps.
fn cost(gaps: u64) -> [f64; 4] {
    let mut space = space(range(START, (2 * gaps + 192) * UNIT));
    let every_other = |n: u64| range(START + 2 * n * UNIT, UNIT);
    for n in 0..gaps {
        space.reserve(every_other(n)).unwrap();
    }
    let rounds = 500;
    let mut random = Random::new(gaps);
    let mut sums = [0; 4];
    for _ in 0..rounds {
        let one = every_other(random.below(gaps));
        visits();
        space.release(one).unwrap();
        sums[0] += visits();
        space.reserve(one).unwrap();
        sums[1] += visits();
        space.find(align(64 * UNIT)).unwrap();
        sums[2] += visits();
        space.available();
        space.usable(align(UNIT)).unwrap();
        sums[3] += visits();
    }
    sums.map(|sum| sum as f64 / f64::from(rounds))
}

#[test]
fn cost_grows_with_the_logarithm() {
    let sizes = [10u64, 100, 1_000, 10_000, 100_000];
    let costs = sizes.map(cost);
    println!("node visits per operation: release, reserve, find, totals");
    for (gaps, cost) in sizes.iter().zip(&costs) {
        println!("{gaps:>7} gaps: {cost:.1?}");
    }
    let log = |n: u64| (n as f64).log2();
    for (gaps, cost) in sizes.iter().zip(&costs).skip(2) {
        let growth = log(*gaps) / log(100);
        for operation in 0..3 {
            let ratio = cost[operation] / costs[1][operation];
            assert!(
                ratio < 1.3 * growth,
                "operation {operation} at {gaps}: {ratio:.2} against {growth:.2}"
            );
        }
        assert!(cost[3] <= 1.0);
    }
}

#[test]
fn cost_of_a_packed_region_grows_no_faster() {
    let costs = [10u64, 10_000].map(|devices| {
        let mut space = space(range(START, 20_000 * UNIT));
        for n in 0..devices {
            space.reserve(range(START + n * UNIT, UNIT)).unwrap();
        }
        visits();
        let at = space.find(align(UNIT)).unwrap().unwrap();
        space.reserve(range(at, UNIT)).unwrap();
        visits()
    });
    println!("node visits of an allocation in a packed region of 10 and 10,000 devices: {costs:?}");
    // There is one gap in both cases; only the stack of spare nodes is deeper.
    assert!(costs[1] < 4 * costs[0]);
}
