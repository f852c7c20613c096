// SPDX-License-Identifier: GPL-2.0

//! What setting the size of a device means for its ranges.
//!
//! Growing takes the free space with the lowest addresses, as much of each gap as is needed and can
//! be mapped with the device's entries. It extends the last range of the device if that is where
//! the first gap begins, and adds a range for every other gap. Shrinking takes away from the end of
//! the device, so that what stays keeps its place in it.

use super::{
    check_align,
    size_of_device,
    Align,
    Error,
    Extent,
    Range,
    Space, //
};
use kernel::alloc::{
    flags::GFP_KERNEL,
    KVVec, //
};

/// What is to be done to give a device a new size.
pub(crate) enum Resize {
    /// Nothing: it has that size.
    Keep,
    /// [`Space::commit`] this, then change the ranges of the device.
    Grow(Growth),
    /// Change the ranges of the device, and give back what it loses.
    Shrink(Shrinkage),
}

/// How a device grows.
pub(crate) struct Growth {
    extension: Option<(Range, u64)>,
    added: Added,
}

/// The ranges that are added.
enum Added {
    /// Nearly always it is no more than one, which takes no memory.
    AtMostOne(Option<Range>),
    More(KVVec<Range>),
}

impl Growth {
    /// A device grows by `range`, wherever that is.
    pub(crate) fn exactly(range: Range, align: Align) -> Result<Self, Error> {
        if !align.fits(&range) {
            return Err(Error::RangeMisaligned { range, align });
        }
        let mut growth = Self::with_room(1)?;
        growth.add(range)?;
        Ok(growth)
    }

    /// Nothing yet, but room for `ranges` new ranges.
    fn with_room(ranges: usize) -> Result<Self, Error> {
        Ok(Self {
            extension: None,
            added: match ranges {
                0 | 1 => Added::AtMostOne(None),
                more => Added::More(KVVec::with_capacity(more, GFP_KERNEL)?),
            },
        })
    }

    fn add(&mut self, range: Range) -> Result<(), Error> {
        match &mut self.added {
            Added::AtMostOne(one @ None) => *one = Some(range),
            Added::AtMostOne(Some(_)) => return Err(Error::NoMemory),
            Added::More(ranges) => ranges
                .push_within_capacity(range)
                .map_err(|_| Error::NoMemory)?,
        }
        Ok(())
    }

    /// The last range of the device, as it is, and by how many bytes it is extended.
    pub(crate) fn extension(&self) -> Option<(Range, u64)> {
        self.extension
    }

    /// The ranges that are added behind it, in the order of the device's pages.
    pub(crate) fn added(&self) -> &[Range] {
        match &self.added {
            Added::AtMostOne(one) => one.as_slice(),
            Added::More(ranges) => ranges,
        }
    }

    /// All that the device gets, also that by which its last range is extended.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range> + '_ {
        self.extension
            .and_then(|(range, by)| Range::from_len(range.after(), by))
            .into_iter()
            .chain(self.added().iter().copied())
    }
}

/// How a device shrinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shrinkage {
    /// How many of its ranges stay: those behind are released, last one first.
    pub(crate) keep: usize,
    /// The last range that stays, as it is, and how many bytes are trimmed from its end.
    pub(crate) trim: Option<(Range, u64)>,
}

/// Decides how a device of the ranges `extents`, mapped in units of `align`, gets the size `size`.
///
/// Nothing is changed yet, and nothing is allowed to change until the plan is carried out.
pub(crate) fn plan_resize<E: Extent>(
    space: &Space,
    extents: &[E],
    size: u64,
    align: Align,
) -> Result<Resize, Error> {
    let current = size_of_device(extents);
    if !align.divides(size) {
        return Err(Error::SizeMisaligned { align });
    }
    if let Some(by) = size.checked_sub(current).filter(|by| *by > 0) {
        return plan_growth(space, extents, by, align).map(Resize::Grow);
    }
    match current.checked_sub(size) {
        Some(by) if by > 0 => plan_shrinkage(extents, by, align).map(Resize::Shrink),
        _ => Ok(Resize::Keep),
    }
}

fn plan_growth<E: Extent>(
    space: &Space,
    extents: &[E],
    by: u64,
    align: Align,
) -> Result<Growth, Error> {
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
    // like this was seen to when the align was set, so the last one and the sum are looked at, not
    // each.
    let last = match extents {
        [.., last] => {
            check_align(core::slice::from_ref(last), align)?;
            Range::new(last.start(), last.end())
        }
        [] => None,
    };
    if !align.divides(by) {
        check_align(extents, align)?;
    }

    let mut pieces = 0usize;
    space.for_each_piece(align, by, |_| {
        pieces = pieces.saturating_add(1);
        Ok(())
    })?;
    let mut growth = Growth::with_room(pieces)?;
    space.for_each_piece(align, by, |piece| {
        match last.filter(|last| last.after() == piece.start()) {
            Some(last) if growth.added().is_empty() => {
                growth.extension = Some((last, piece.len()));
                Ok(())
            }
            _ => growth.add(piece),
        }
    })?;
    Ok(growth)
}

fn plan_shrinkage<E: Extent>(extents: &[E], by: u64, align: Align) -> Result<Shrinkage, Error> {
    let mut keep = extents.len();
    let mut left = by;
    for extent in extents.iter().rev() {
        let range = Range::new(extent.start(), extent.end()).ok_or(Error::Empty)?;
        if left == 0 {
            break;
        }
        if let Some(rest) = range.trimmed(left) {
            if !align.fits(&rest) {
                return Err(Error::RangeMisaligned { range: rest, align });
            }
            return Ok(Shrinkage {
                keep,
                trim: Some((range, left)),
            });
        }
        left = left.saturating_sub(range.len());
        keep = keep.saturating_sub(1);
    }
    Ok(Shrinkage { keep, trim: None })
}
