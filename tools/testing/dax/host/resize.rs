// SPDX-License-Identifier: GPL-2.0

//! Tests of how devices grow and shrink.

use crate::{
    model::{align, range, Model, UNIT},
    random::check_sequences,
    ranges::{check_align, Align, Error, InstanceRange, InstanceRanges, Range, Space},
    region::resize,
};
use kernel::alloc::{bytes, succeed};
use proptest::prelude::*;

const START: u64 = 0x1000_0000;
const ALIGNS: [u64; 3] = [UNIT, 8 * UNIT, 64 * UNIT];

fn region_of(units: u64) -> Space {
    Space::new(range(START, units * UNIT), ALIGNS.map(align)).unwrap()
}

fn units(first: u64, count: u64) -> Range {
    range(START + first * UNIT, count * UNIT)
}

/// A device on the bus.
struct Device(InstanceRanges);

impl Device {
    fn new() -> Self {
        Self(InstanceRanges::new())
    }

    fn ranges(&self) -> Vec<Range> {
        self.0.iter().map(|part| part.range).collect()
    }

    fn resize(&mut self, space: &mut Space, size: u64, align: Align) -> Result<(), Error> {
        resize(space, &mut self.0, size, align)
    }
}

#[test]
fn fills_gaps_from_the_lowest_address() {
    let mut space = region_of(100);
    for taken in [units(10, 10), units(25, 5), units(40, 20)] {
        space.reserve(taken).unwrap();
    }
    let mut device = Device::new();
    device.resize(&mut space, 18 * UNIT, align(UNIT)).unwrap();
    assert_eq!(device.ranges(), [units(0, 10), units(20, 5), units(30, 3)]);
    // The lowest gap is now directly after the last range.
    device.resize(&mut space, 30 * UNIT, align(UNIT)).unwrap();
    let grown = [units(0, 10), units(20, 5), units(30, 10), units(60, 5)];
    assert_eq!(device.ranges(), grown);
    // After a lower gap appears, that one is used, although the gap after the last range would fit.
    space.release(units(25, 5)).unwrap();
    device.resize(&mut space, 37 * UNIT, align(UNIT)).unwrap();
    assert_eq!(device.ranges()[4..], [units(25, 5), units(65, 2)]);
    device.resize(&mut space, 11 * UNIT, align(UNIT)).unwrap();
    assert_eq!(device.ranges(), [units(0, 10), units(20, 1)]);
    device.resize(&mut space, 0, align(UNIT)).unwrap();
    assert_eq!(device.ranges(), []);
    assert_eq!(space.available(), 70 * UNIT);
}

#[test]
fn units_are_powers_of_two() {
    assert_eq!(Align::new(0), None);
    assert_eq!(Align::new(3 * UNIT), None);
    assert_eq!(Align::new(1 << 63).unwrap().bytes(), 1 << 63);
    for stricter in [
        align(1 << 21).max(align(1 << 12)),
        align(1 << 12).max(align(1 << 21)),
    ] {
        assert_eq!(stricter, align(1 << 21));
    }
}

#[test]
fn only_what_the_align_can_map() {
    let mut space = region_of(256);
    space.reserve(units(2, 1)).unwrap();
    space.reserve(units(100, 1)).unwrap();
    let mut device = Device::new();
    device
        .resize(&mut space, 96 * UNIT, align(8 * UNIT))
        .unwrap();
    assert_eq!(device.ranges(), [units(8, 88), units(104, 8)]);
    assert_eq!(check_align(&device.0, align(8 * UNIT)), Ok(()));
    let error = Error::RangeMisaligned {
        range: units(8, 88),
        align: align(64 * UNIT),
    };
    assert_eq!(check_align(&device.0, align(64 * UNIT)), Err(error));
}

#[test]
fn both_start_and_length_count() {
    for (range, fits) in [
        (units(8, 16), true),
        (units(9, 16), false),
        (units(8, 15), false),
        (units(9, 15), false),
    ] {
        let align = align(8 * UNIT);
        let result = check_align(&[InstanceRange { pgoff: 0, range }], align);
        let error = Error::RangeMisaligned { range, align };
        assert_eq!(result.err(), (!fits).then_some(error));
        let added = InstanceRanges::new().add(&mut region_of(64), range, align);
        assert_eq!(added, result);
    }
}

#[test]
fn refusals_say_why() {
    let mut space = region_of(128);
    space.reserve(units(32, 64)).unwrap();
    let available = 64 * UNIT;
    let none = &InstanceRanges::new();
    let refused = |parts: &InstanceRanges, size, unit| {
        parts.check_size(&space, size, align(unit)).err().unwrap()
    };
    assert_eq!(refused(none, 65 * UNIT, UNIT), Error::NoSpace { available });
    assert_eq!(
        refused(none, 1 << 63, 64 * UNIT),
        Error::NoSpace { available }
    );
    assert_eq!(
        refused(none, 64 * UNIT, 64 * UNIT),
        Error::NoAlignedSpace {
            available,
            usable: 0,
            align: align(64 * UNIT)
        }
    );
    assert_eq!(
        refused(none, 9 * UNIT, 8 * UNIT),
        Error::SizeMisaligned {
            align: align(8 * UNIT)
        }
    );
    assert_eq!(
        refused(none, 32 * UNIT, 16 * UNIT),
        Error::UnknownAlign {
            align: align(16 * UNIT)
        }
    );
    let odd = &mut InstanceRanges::new();
    odd.add(&mut region_of(128), units(33, 8), align(UNIT))
        .unwrap();
    assert_eq!(
        refused(odd, 16 * UNIT, 8 * UNIT),
        Error::RangeMisaligned {
            range: units(33, 8),
            align: align(8 * UNIT)
        }
    );
    assert_eq!(
        refused(odd, 0x1001, 8 * UNIT),
        Error::SizeMisaligned {
            align: align(8 * UNIT)
        }
    );
    let message = refused(none, 64 * UNIT, 64 * UNIT).to_string();
    assert_eq!(
        message,
        "of 0x40000 free bytes only 0x0 are in ranges aligned to 0x40000"
    );
}

#[test]
fn an_exact_range() {
    let mut space = region_of(64);
    let misaligned = Error::RangeMisaligned {
        range: units(4, 8),
        align: align(8 * UNIT),
    };
    let unit = align(8 * UNIT);
    let (mut mine, mut other) = (InstanceRanges::new(), InstanceRanges::new());
    let add = |parts: &mut InstanceRanges, space: &mut Space| parts.add(space, units(8, 8), unit);
    assert_eq!(mine.add(&mut space, units(4, 8), unit), Err(misaligned));
    assert_eq!(add(&mut mine, &mut space), Ok(()));
    assert_eq!(space.available(), 56 * UNIT);
    let at = START + 8 * UNIT;
    assert_eq!(add(&mut other, &mut space), Err(Error::InUse { at }));
    assert_eq!(other.len(), 0);
    assert_eq!(mine.shrink(&mut space, 0), Some(units(8, 8)));
    assert_eq!(mine.shrink(&mut space, 0), None);
    assert_eq!(space.available(), 64 * UNIT);
    succeed(Some(0));
    assert_eq!(
        add(&mut InstanceRanges::new(), &mut space),
        Err(Error::NoMemory)
    );
    succeed(None);
    assert_eq!(space.available(), 64 * UNIT);
}

/// A new range is merged with the last range of a device only if it is directly after that.
#[test]
fn a_device_grows_range_by_range() {
    let mut space = region_of(64);
    let mut mine = InstanceRanges::new();
    mine.add(&mut space, units(0, 4), align(UNIT)).unwrap();
    space.reserve(units(10, 4)).unwrap();
    space.reserve(units(20, 4)).unwrap();
    let before = space.checked_gaps();
    let gained = [units(4, 6), units(14, 6), units(24, 14)];
    for gained in gained.map(Some).into_iter().chain([None]) {
        let size = 30 * UNIT;
        assert_eq!(mine.grow(&mut space, size, align(UNIT)), Ok(gained));
    }
    let ranges: Vec<Range> = mine.iter().map(|part| part.range).collect();
    assert_eq!(ranges, [units(0, 10), units(14, 6), units(24, 14)]);
    for lost in gained.map(Some).into_iter().rev().chain([None]) {
        assert_eq!(mine.shrink(&mut space, 4 * UNIT), lost);
    }
    assert_eq!(space.checked_gaps(), before);
}

/// The placement of new memory by upstream's C, in a region in which everything is aligned. For
/// each new range it starts again at the lowest allocation, and checks the gap before the first
/// allocation and after each one.
fn as_c_does(region: Range, allocated: &[Range], device: &[Range], by: u64) -> Vec<Range> {
    let mut allocated = allocated.to_vec();
    let mut device = device.to_vec();
    let mut wanted = by;
    while wanted > 0 {
        allocated.sort_by_key(Range::start);
        let mut ends = vec![(region.start(), None)];
        ends.extend(
            allocated
                .iter()
                .map(|range| (range.end() + 1, Some(*range))),
        );
        let (start, room, behind) = ends
            .iter()
            .enumerate()
            .map(|(n, (start, behind))| {
                let next = allocated.get(n).map_or(region.end() + 1, Range::start);
                (*start, next - start, *behind)
            })
            .find(|(_, room, _)| *room > 0)
            .unwrap();
        let taken = room.min(wanted);
        wanted -= taken;
        match behind {
            Some(range) if device.last() == Some(&range) => {
                let longer = range.joined(&self::range(start, taken)).unwrap();
                *device.last_mut().unwrap() = longer;
                allocated.retain(|other| *other != range);
                allocated.push(longer);
            }
            _ => {
                device.push(self::range(start, taken));
                allocated.push(self::range(start, taken));
            }
        }
    }
    device
}

#[derive(Clone, Copy, Debug)]
struct Step {
    device: usize,
    units: u64,
    class: usize,
    /// The number of memory allocations that succeed.
    memory: u64,
}

const DEVICES: usize = 6;
const UNITS: u64 = 400;

fn step() -> impl Strategy<Value = Step> {
    let units = prop_oneof![0..10u64, 0..100u64, 0..200u64];
    (0..DEVICES, units, 0..3usize, 0..4u64).prop_map(|(device, units, class, memory)| Step {
        device,
        units,
        class,
        memory,
    })
}

#[test]
fn places_as_c_does() {
    check_sequences(300, 120, step(), |steps| {
        let mut space = region_of(UNITS);
        let mut devices = [(); DEVICES].map(|()| Device::new());
        for step in steps {
            let size = step.units * UNIT;
            let device = &devices[step.device];
            let by = size.saturating_sub(device.0.size());
            let expected = (by <= space.available()).then(|| {
                let all: Vec<Range> = devices.iter().flat_map(Device::ranges).collect();
                as_c_does(space.region(), &all, &device.ranges(), by)
            });
            let before = devices[step.device].ranges();
            let result = devices[step.device].resize(&mut space, size, align(UNIT));
            let after = &devices[step.device];
            match expected {
                None => {
                    assert_eq!(after.ranges(), before);
                    assert!(matches!(result, Err(Error::NoSpace { .. })));
                }
                Some(expected) if by > 0 => assert_eq!(after.ranges(), expected),
                Some(_) => assert_eq!(after.0.size(), size),
            }
        }
    });
}

/// The ranges of a device with the ranges `mine`, after it got `by` bytes of `usable`, lowest
/// first.
fn grown(mine: &[Range], usable: Vec<Range>, mut by: u64) -> Vec<Range> {
    let mut ranges = mine.to_vec();
    for part in usable {
        let len = part.len().min(by);
        if len == 0 {
            break;
        }
        by -= len;
        let gained = range(part.start(), len);
        match ranges.last().and_then(|last| last.joined(&gained)) {
            Some(joined) => *ranges.last_mut().unwrap() = joined,
            None => ranges.push(gained),
        }
    }
    ranges
}

/// Sets sizes with any align, with failing allocations, on devices with and without ranges.
#[test]
fn all_or_nothing_at_any_align() {
    check_sequences(400, 120, step(), |steps| {
        let mut space = region_of(UNITS);
        let mut model = Model::new(space.region());
        let mut devices = [(); DEVICES].map(|()| Device::new());
        for step in steps {
            let unit = align(ALIGNS[step.class]);
            let size = step.units * UNIT / unit.bytes() * unit.bytes();
            let mine = devices[step.device].ranges();
            let had = mine.iter().map(Range::len).sum::<u64>();
            let gaps = space.checked_gaps();

            succeed(Some(step.memory as usize));
            let result = devices[step.device].resize(&mut space, size, unit);
            succeed(None);

            let after = &devices[step.device];
            if let Err(error) = result {
                assert_eq!(after.ranges(), mine);
                assert_eq!(space.checked_gaps(), gaps);
                let by = size - had.min(size);
                let usable = model.usable(unit).iter().map(Range::len).sum::<u64>();
                match error {
                    Error::NoMemory => (),
                    Error::NoSpace { available } => {
                        assert_eq!(available, gaps.iter().map(Range::len).sum::<u64>());
                        assert!(by > available);
                    }
                    Error::NoAlignedSpace { usable: told, .. } => {
                        assert_eq!(told, usable);
                        assert!(by > usable);
                    }
                    Error::RangeMisaligned { range, .. } => {
                        assert!(!unit.fits(&range));
                        assert!(by == 0 || mine.contains(&range));
                    }
                    other => panic!("{other:?}"),
                }
                continue;
            }
            assert_eq!(after.0.size(), size);
            if size >= had {
                assert_eq!(after.ranges(), grown(&mine, model.usable(unit), size - had));
            }
            for old in mine.iter().copied() {
                model.release(old).unwrap();
            }
            for new in after.ranges() {
                model.reserve(new).unwrap();
                // Entries of this align can map all new ranges.
                assert!(unit.fits(&new) || mine.contains(&new));
            }
            assert_eq!(space.checked_gaps(), model.gaps());
            let offsets = after.0.iter().scan(0, |next, part| {
                let pgoff = *next;
                *next += part.range.len() / UNIT;
                Some((pgoff, part.pgoff))
            });
            assert!(offsets
                .into_iter()
                .all(|(expected, pgoff)| expected == pgoff));
        }
    });
    assert_eq!(bytes(), 0, "leaked");
}
