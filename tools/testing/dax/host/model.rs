// SPDX-License-Identifier: GPL-2.0

//! A simple model of the free space of a region: a flag for each unit.

use crate::ranges::{Align, Error, Range};

/// The unit of the model: addresses and sizes are multiples of it.
pub(crate) const UNIT: u64 = 4096;

#[derive(Clone)]
pub(crate) struct Model {
    region: Range,
    taken: Vec<bool>,
}

pub(crate) fn range(start: u64, len: u64) -> Range {
    Range::from_len(start, len).unwrap()
}

pub(crate) fn align(bytes: u64) -> Align {
    Align::new(bytes).unwrap()
}

impl Model {
    pub(crate) fn new(region: Range) -> Self {
        let units = region.len() / UNIT;
        Self {
            region,
            taken: vec![false; units as usize],
        }
    }

    fn index(&self, address: u64) -> usize {
        ((address - self.region.start()) / UNIT) as usize
    }

    fn address(&self, index: usize) -> u64 {
        self.region.start() + index as u64 * UNIT
    }

    fn is_inside(&self, range: &Range) -> Result<(), Error> {
        if self.region.start() <= range.start() && range.end() <= self.region.end() {
            Ok(())
        } else {
            Err(Error::Outside {
                region: self.region,
            })
        }
    }

    fn first(&self, range: &Range, taken: bool) -> Option<u64> {
        (self.index(range.start())..=self.index(range.end()))
            .find(|index| self.taken[*index] == taken)
            .map(|index| self.address(index))
    }

    fn mark(&mut self, range: &Range, taken: bool) {
        let (first, last) = (self.index(range.start()), self.index(range.end()));
        self.taken[first..=last].fill(taken);
    }

    pub(crate) fn reserve(&mut self, range: Range) -> Result<(), Error> {
        self.is_inside(&range)?;
        if let Some(at) = self.first(&range, true) {
            return Err(Error::InUse { at });
        }
        self.mark(&range, true);
        Ok(())
    }

    pub(crate) fn release(&mut self, range: Range) -> Result<(), Error> {
        self.is_inside(&range)?;
        if let Some(at) = self.first(&range, false) {
            return Err(Error::NotAllocated { at });
        }
        self.mark(&range, false);
        Ok(())
    }

    pub(crate) fn is_free(&self, at: u64) -> bool {
        !self.taken[self.index(at)]
    }

    pub(crate) fn gaps(&self) -> Vec<Range> {
        let mut gaps = Vec::new();
        let mut index = 0;
        while index < self.taken.len() {
            let first = index;
            while index < self.taken.len() && !self.taken[index] {
                index += 1;
            }
            if index > first {
                let len = (index - first) as u64 * UNIT;
                gaps.push(range(self.address(first), len));
            }
            index += 1;
        }
        gaps
    }

    /// The gaps, reduced to ranges that are aligned at both ends.
    pub(crate) fn usable(&self, align: Align) -> Vec<Range> {
        let unit = align.bytes();
        let aligned = |gap: Range| {
            let start = gap.start().div_ceil(unit) * unit;
            let after = (gap.end() + 1) / unit * unit;
            Range::from_len(start, after.checked_sub(start)?)
        };
        self.gaps().into_iter().filter_map(aligned).collect()
    }
}
