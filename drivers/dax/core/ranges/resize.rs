// SPDX-License-Identifier: GPL-2.0

//! The memory of a device, and how it becomes more and less.
//!
//! Growing takes the free space with the lowest addresses, as much of each gap as is needed and can
//! be mapped with the device's entries. It extends the last range of the device if that is where
//! the first gap begins, and adds a range for every other gap. Shrinking takes away from the end of
//! the device, so that what stays keeps its place in it. So whatever a device has gained is taken
//! back by giving it the size that it had before.

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
        append::Append,
        flags::GFP_KERNEL,
        KVVec, //
    },
    dax::search::last_where,
    page::PAGE_SHIFT, //
};

use core::ops::Deref;

/// A range of a device, and the page of the device at which it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) pgoff: u64,
    pub(crate) range: Range,
}

impl Extent for Part {
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

/// The ranges of a device, in the order of its pages.
pub(crate) struct Parts(KVVec<Part>);

impl Deref for Parts {
    type Target = [Part];

    fn deref(&self) -> &[Part] {
        &self.0
    }
}

impl Parts {
    /// A device without memory.
    pub(crate) fn new() -> Self {
        Self(KVVec::new())
    }

    /// The number of bytes in the device.
    pub(crate) fn size(&self) -> u64 {
        size_of_device(self)
    }

    /// Checks that the device, mapped in units of `align`, can be given the size `size`.
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
        // What is appended to something that is not aligned is not aligned either. That no range is
        // like this was seen to when the align was set, so the last one and the sum are looked at,
        // not each.
        let suspects = match &**self {
            [.., last] if align.divides(by) => core::slice::from_ref(last),
            all => all,
        };
        check_align(suspects, align)
    }

    /// Checks what stays of the range that is cut when the device shrinks.
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

    /// Makes a device that is smaller than `size` grow by one range, and returns that.
    ///
    /// If there is no memory for it, the device stays as it is, with what it got before.
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

        self.0.make_room(1, GFP_KERNEL)?;
        let last = self.last().map(|part| part.range);
        let piece = space.allocate(last, lack, align)?;
        let joined = last.and_then(|last| last.joined(&piece));
        match (joined, self.0.last_mut()) {
            (Some(joined), Some(last)) => last.range = joined,
            _ => self.push(piece)?,
        }
        Ok(Some(piece))
    }

    /// Makes a device that is larger than `size` shrink by one range, or to that size, and returns
    /// what it loses.
    pub(crate) fn shrink(&mut self, space: &mut Space, size: u64) -> Option<Range> {
        let excess = self.size().saturating_sub(size);
        if excess == 0 {
            return None;
        }

        // Neither can fail: it was allocated for the device.
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

    /// Adds exactly `range` to the device, wherever that is.
    pub(crate) fn add(
        &mut self,
        space: &mut Space,
        range: Range,
        align: Align,
    ) -> Result<(), Error> {
        if !align.fits(&range) {
            return Err(Error::RangeMisaligned { range, align });
        }
        self.0.make_room(1, GFP_KERNEL)?;
        space.reserve(range)?;
        self.push(range)
    }

    /// Adds a range behind the others. There is room for it.
    fn push(&mut self, range: Range) -> Result<(), Error> {
        let pgoff = self.size() >> PAGE_SHIFT;

        self.0
            .push_within_capacity(Part { pgoff, range })
            .map_err(|_| Error::NoMemory)
    }
}
