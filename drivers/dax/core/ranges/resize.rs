// SPDX-License-Identifier: GPL-2.0

//! The ranges of a device, and how they change when its size is set.
//!
//! - A device that grows gets the free memory with the lowest addresses that its entries can map.
//!   If the first gap begins where the last range of the device ends, that range becomes longer.
//!   Every other gap adds a range.
//! - A device that shrinks loses memory at its end, so that the rest keeps its page offsets.
//!
//! So setting the old size undoes a growth.

use super::{
    check_align,
    size_of_device,
    Align,
    Error,
    Extent,
    Range,
    Space, //
};
use kernel::{
    alloc::{
        flags::GFP_KERNEL,
        KVVec, //
    },
    dax::search::last_where,
    page::PAGE_SHIFT, //
};

use core::ops::Deref;

/// A range of a device and its page offset in the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InstanceRange {
    pub(crate) pgoff: u64,
    pub(crate) range: Range,
}

impl Extent for InstanceRange {
    fn pgoff(&self) -> u64 {
        self.pgoff
    }

    fn start(&self) -> u64 {
        self.range.start()
    }

    fn end(&self) -> u64 {
        self.range.end()
    }
}

/// The ranges of a device, in the order of their page offsets.
pub(crate) struct InstanceRanges(KVVec<InstanceRange>);

impl Deref for InstanceRanges {
    type Target = [InstanceRange];

    fn deref(&self) -> &[InstanceRange] {
        &self.0
    }
}

impl InstanceRanges {
    /// Returns the ranges of a device without memory: none.
    pub(crate) fn new() -> Self {
        Self(KVVec::new())
    }

    /// Returns the size of the device in bytes.
    pub(crate) fn size(&self) -> u64 {
        size_of_device(self)
    }

    /// Checks that a device with the unit `align` can get the size `size`.
    pub(crate) fn check_size(&self, space: &Space, size: u64, align: Align) -> Result<(), Error> {
        if !align.divides(size) {
            return Err(Error::SizeMisaligned { align });
        }
        match size.checked_sub(self.size()) {
            Some(0) => Ok(()),
            Some(by) => self.check_growth(space, by, align),
            None => self.check_rest(size, align),
        }
    }

    fn check_growth(&self, space: &Space, by: u64, align: Align) -> Result<(), Error> {
        let available = space.available();
        if available < by {
            return Err(Error::NoSpace { available });
        }
        let usable = space.usable(align)?;
        if usable < by {
            return Err(Error::NoAlignedSpace {
                available,
                usable,
                align,
            });
        }
        // A misaligned range makes the memory after it misaligned, too. The ranges were checked
        // when the align was set, so it is enough to check the last range and the growth.
        let suspects = match &**self {
            [.., last] if align.divides(by) => core::slice::from_ref(last),
            all => all,
        };
        check_align(suspects, align)
    }

    /// Checks the rest of the range that is cut when the device shrinks.
    fn check_rest(&self, size: u64, align: Align) -> Result<(), Error> {
        let cut = last_where(self, |part| part.pgoff << PAGE_SHIFT < size);
        let rest = cut.and_then(|part| {
            let len = size.saturating_sub(part.pgoff << PAGE_SHIFT);

            Range::from_len(part.range.start(), len).filter(|rest| *rest != part.range)
        });

        match rest {
            Some(range) if !align.fits(&range) => Err(Error::RangeMisaligned { range, align }),
            _ => Ok(()),
        }
    }

    /// Adds one range to a device that is smaller than `size`, and returns that range.
    ///
    /// On failure the device is unchanged. It keeps the ranges that earlier calls added.
    pub(crate) fn grow(
        &mut self,
        space: &mut Space,
        size: u64,
        align: Align,
    ) -> Result<Option<Range>, Error> {
        let lack = size.saturating_sub(self.size());
        if lack == 0 {
            return Ok(None);
        }

        self.0.reserve(1, GFP_KERNEL)?;
        let last = self.last().map(|part| part.range);
        let new = space.allocate(last, lack, align)?;
        let joined = last.and_then(|last| last.joined(&new));
        match (joined, self.0.last_mut()) {
            (Some(joined), Some(last)) => last.range = joined,
            _ => self.push(new)?,
        }
        Ok(Some(new))
    }

    /// Removes the last range of a device that is larger than `size`, or cuts it to reach that
    /// size. Returns the removed memory.
    pub(crate) fn shrink(&mut self, space: &mut Space, size: u64) -> Option<Range> {
        let excess = self.size().saturating_sub(size);
        if excess == 0 {
            return None;
        }

        // `release` and `trim` cannot fail: the range was allocated for the device.
        let last = self.0.last_mut()?;
        let range = last.range;
        let Some(rest) = range.trimmed(excess) else {
            self.0.pop();
            let _ = space.release(range);
            return Some(range);
        };
        last.range = rest;
        let _ = space.trim(range, excess);
        range.tail(excess)
    }

    /// Adds exactly `range` to the device.
    pub(crate) fn add(
        &mut self,
        space: &mut Space,
        range: Range,
        align: Align,
    ) -> Result<(), Error> {
        if !align.fits(&range) {
            return Err(Error::RangeMisaligned { range, align });
        }
        self.0.reserve(1, GFP_KERNEL)?;
        space.reserve(range)?;
        self.push(range)
    }

    /// Adds a range after the others. The caller has made room in the vector.
    fn push(&mut self, range: Range) -> Result<(), Error> {
        let pgoff = self.size() >> PAGE_SHIFT;

        self.0
            .push_within_capacity(InstanceRange { pgoff, range })
            .map_err(|_| Error::NoMemory)
    }
}
