// SPDX-License-Identifier: GPL-2.0

//! A stand-in for C's `struct dev_dax_range`, on the host.

use crate::ranges::{Extent, Range};
use std::cell::Cell;

thread_local! {
    /// The number of ranges whose page offset this thread has read.
    pub(crate) static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// A range of a device.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct DevDaxRange {
    pub(crate) pgoff: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl DevDaxRange {
    pub(crate) fn new(pgoff: u64, range: Range) -> Self {
        Self {
            pgoff,
            start: range.start(),
            end: range.end(),
        }
    }

    pub(crate) fn range(&self) -> Range {
        Range::new(self.start, self.end).unwrap()
    }
}

impl Extent for DevDaxRange {
    fn pgoff(&self) -> u64 {
        VISITS.set(VISITS.get() + 1);
        self.pgoff
    }

    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.end
    }
}
