// SPDX-License-Identifier: GPL-2.0

//! A very simple model of the memory of a region: a list of units for each device, and searches
//! over all units.

use super::{
    model::Oracle,
    op::{Meaning, Text},
    Errno, Span, EBUSY, EINVAL, ENOSPC, UNIT,
};
use std::collections::BTreeMap;

/// A unit of a device.
#[derive(Clone, Copy)]
struct Unit {
    /// Its index in the region.
    index: u64,
    /// Whether a range begins with this unit.
    first: bool,
}

/// A region as units.
pub struct Units {
    start: u64,
    units: u64,
    devices: BTreeMap<u32, Vec<Unit>>,
}

impl Units {
    fn is_free(&self, index: u64) -> bool {
        index < self.units
            && !self
                .devices
                .values()
                .flatten()
                .any(|unit| unit.index == index)
    }

    /// The indices at which a free entry of `align` begins, lowest first.
    fn blocks(&self, align: u64) -> Vec<u64> {
        let taken: Vec<bool> = {
            let mut taken = vec![false; self.units as usize];
            for unit in self.devices.values().flatten() {
                taken[unit.index as usize] = true;
            }
            taken
        };
        (0..self.units)
            .filter(|index| (self.start + index * UNIT) % align == 0)
            .filter(|index| {
                (*index..*index + align / UNIT)
                    .all(|index| taken.get(index as usize) == Some(&false))
            })
            .collect()
    }

    fn of(&self, device: u32) -> &[Unit] {
        self.devices.get(&device).map_or(&[], Vec::as_slice)
    }
}

impl Oracle for Units {
    fn new(start: u64, len: u64) -> Self {
        Self {
            start,
            units: len / UNIT,
            devices: BTreeMap::new(),
        }
    }

    fn number(text: &Text) -> Result<u64, Errno> {
        match text.meaning {
            Meaning::Number(number) => Ok(number),
            Meaning::Nonsense(errno) => Err(errno),
            _ => unreachable!(),
        }
    }

    fn count(text: &Text) -> Result<(), Errno> {
        match Self::number(text)? {
            1 => Ok(()),
            0x8000_0000.. => Err(super::ERANGE),
            _ => Err(EINVAL),
        }
    }

    fn name(text: &Text) -> Result<(u32, u32), Errno> {
        match text.meaning {
            Meaning::Name(region, instance) => Ok((region, instance)),
            Meaning::Nonsense(errno) => Err(errno),
            _ => unreachable!(),
        }
    }

    fn range(text: &Text) -> Result<Span, Errno> {
        match text.meaning {
            Meaning::Range(start, end) if start <= end && end < u64::MAX => Ok((start, end)),
            Meaning::Range(..) => Err(EINVAL),
            Meaning::Nonsense(errno) => Err(errno),
            _ => unreachable!(),
        }
    }

    fn available(&self) -> u64 {
        self.units * UNIT - self.devices.values().flatten().count() as u64 * UNIT
    }

    fn resize(&mut self, device: u32, size: u64, align: u64) -> Result<(), Errno> {
        let align = align.max(UNIT);
        if size % align != 0 {
            return Err(EINVAL);
        }
        let mut mine = self.of(device).to_vec();
        let wanted = size / UNIT;
        if wanted > mine.len() as u64 {
            let before = mine.last().map(|unit| unit.index);
            let had = mine.len();
            for block in self.blocks(align) {
                for index in block..block + align / UNIT {
                    // The previous unit: the last of the device before, or the last new one.
                    let goes_on = if mine.len() == had {
                        before
                    } else {
                        mine.last().map(|unit| unit.index)
                    };
                    if (mine.len() as u64) < wanted {
                        mine.push(Unit {
                            index,
                            first: goes_on.map(|at| at + 1) != Some(index),
                        });
                    }
                }
            }
            if (mine.len() as u64) < wanted {
                return Err(ENOSPC);
            }
        } else {
            mine.truncate(wanted as usize);
        }
        self.devices.insert(device, mine);
        Ok(())
    }

    fn add(&mut self, device: u32, (start, end): Span, align: u64) -> Result<(), Errno> {
        let align = align.max(UNIT);
        if start % align != 0 || (end + 1) % align != 0 {
            return Err(EINVAL);
        }
        if start < self.start || end >= self.start + self.units * UNIT {
            return Err(EINVAL);
        }
        let (first, last) = ((start - self.start) / UNIT, (end - self.start) / UNIT);
        if !(first..=last).all(|index| self.is_free(index)) {
            return Err(EBUSY);
        }
        self.devices
            .entry(device)
            .or_default()
            .extend((first..=last).map(|index| Unit {
                index,
                first: index == first,
            }));
        Ok(())
    }

    fn fits(&self, device: u32, align: u64) -> bool {
        self.ranges(device)
            .iter()
            .all(|((start, end), _)| start % align == 0 && (end + 1) % align == 0)
    }

    fn ranges(&self, device: u32) -> Vec<(Span, u64)> {
        let mut ranges: Vec<(Span, u64)> = Vec::new();
        for (place, unit) in self.of(device).iter().enumerate() {
            let start = self.start + unit.index * UNIT;
            match ranges.last_mut() {
                Some(((_, end), _)) if !unit.first => *end = start + UNIT - 1,
                _ => ranges.push(((start, start + UNIT - 1), place as u64 * (UNIT / 4096))),
            }
        }
        ranges
    }

    fn address(&self, device: u32, offset: u64, _align: u64) -> Option<u64> {
        let unit = self.of(device).get((offset / UNIT) as usize)?;
        Some(self.start + unit.index * UNIT + offset % UNIT)
    }
}
