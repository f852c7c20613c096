// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of a dax region: which physical ranges are free, which a device gets, and which
//! address a page of the device is at.
//!
//! Nothing here knows of devices, locks or sysfs; it decides, and the bus carries out. It uses
//! nothing of the kernel but vectors whose growth can fail and the page size, so the same source is
//! also compiled and tested on the host (`tools/testing/dax/host`).
//!
//! - [`Range`] and [`Align`]: physical ranges, and which entries can map them;
//! - [`Space`]: the allocated and the free part of a region;
//! - [`Parts`]: the ranges of a device, and which it gains or loses when its size is set;
//! - [`lookup`]: from a page of a device to its physical address, for the fault path;
//! - [`parse`]: the strings written to sysfs.
//!
//! All sizes are in bytes, all addresses are physical, page offsets are in units of `PAGE_SIZE`.

pub(crate) mod parse;
mod resize;
mod space;

use kernel::{
    alloc::AllocError,
    dax::search::last_where,
    fmt,
    page::PAGE_SHIFT, //
};

pub(crate) use self::{
    resize::{
        Part,
        Parts, //
    },
    space::{
        Space,
        ALIGNS, //
    }, //
};

/// A non-empty range of physical addresses, both ends included like C's `struct range`.
///
/// # Invariants
///
/// `start <= end` and `end < u64::MAX`, so that neither the length nor the first address behind the
/// range overflows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// The range from `start` to `end`, both included.
    pub(crate) const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end && end < u64::MAX {
            // INVARIANT: Just checked.
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The `len` bytes from `start` on.
    pub(crate) const fn from_len(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(after) => Self::until(start, after),
            None => None,
        }
    }

    /// The range from `start` to right before `after`.
    const fn until(start: u64, after: u64) -> Option<Self> {
        match after.checked_sub(1) {
            Some(end) => Self::new(start, end),
            None => None,
        }
    }

    /// The first address.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// The last address.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// The first address behind the range.
    pub(crate) const fn after(&self) -> u64 {
        // By the type invariants this does not wrap.
        self.end.wrapping_add(1)
    }

    /// The number of bytes, never zero.
    pub(crate) const fn len(&self) -> u64 {
        // By the type invariants this does not wrap.
        self.after().wrapping_sub(self.start)
    }

    /// Whether all of `other` lies in this range.
    pub(crate) const fn contains(&self, other: &Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// This range with `behind`, if that is right behind it.
    pub(crate) const fn joined(&self, behind: &Range) -> Option<Self> {
        if self.after() == behind.start {
            Self::new(self.start, behind.end)
        } else {
            None
        }
    }

    /// The last `by` bytes of this range.
    pub(crate) const fn tail(&self, by: u64) -> Option<Self> {
        match self.after().checked_sub(by) {
            Some(start) => Self::new(start, self.end),
            None => None,
        }
    }

    /// This range without its last `by` bytes; `None` if nothing would be left.
    pub(crate) const fn trimmed(&self, by: u64) -> Option<Self> {
        match self.after().checked_sub(by) {
            Some(after) => Self::until(self.start, after),
            None => None,
        }
    }
}

/// The unit in which ranges can be mapped: the size of the page-table entries of the device, or
/// what `memremap_compat_align()` asks for, whichever is larger. A power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Align {
    /// The unit less one.
    mask: u64,
}

impl Align {
    /// What every range is aligned to.
    pub(crate) const BYTE: Self = Self { mask: 0 };

    /// An alignment of `bytes`, which must be a power of two.
    pub(crate) const fn new(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() {
            Some(Self {
                mask: bytes.wrapping_sub(1),
            })
        } else {
            None
        }
    }

    /// The unit in bytes.
    pub(crate) const fn bytes(self) -> u64 {
        // The largest unit is 1 << 63, so this does not wrap.
        self.mask.wrapping_add(1)
    }

    /// The stricter of the two.
    pub(crate) const fn max(self, other: Self) -> Self {
        if self.mask > other.mask {
            self
        } else {
            other
        }
    }

    /// Whether an address or a size is a multiple of the unit.
    pub(crate) const fn divides(self, value: u64) -> bool {
        value & self.mask == 0
    }

    /// Whether entries of this size can map the whole of `range`: its start and its length, and
    /// with them its end, must be multiples of the unit.
    pub(crate) const fn fits(self, range: &Range) -> bool {
        self.divides(range.start) && self.divides(range.after())
    }

    /// The largest part of `range` that entries of this size can map.
    const fn usable(self, range: &Range) -> Option<Range> {
        match range.start.checked_add(self.mask) {
            Some(start) => Range::until(start & !self.mask, range.after() & !self.mask),
            None => None,
        }
    }

    /// The length of the largest part of `range` that entries of this size can map.
    const fn usable_len(self, range: &Range) -> u64 {
        match self.usable(range) {
            Some(usable) => usable.len(),
            None => 0,
        }
    }
}

/// Why a request is refused. Whatever was refused has changed nothing.
///
/// Its text says what is wrong and what would be right; it has no device name and no newline.
/// The errno behind each is what the bus returns to user space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// There is no memory for the bookkeeping (`ENOMEM`).
    NoMemory,
    /// The text is not of the form that is expected (`EINVAL`).
    Malformed,
    /// The number does not fit its type (`ERANGE`).
    TooLarge,
    /// The range ends before it starts, or behind the last physical address (`EINVAL`).
    Empty,
    /// The range is not in the region (`EINVAL`).
    Outside {
        /// The whole region.
        region: Range,
    },
    /// A part of the range belongs to a device already (`EBUSY`).
    InUse {
        /// The first address that is taken.
        at: u64,
    },
    /// A part of the range that is given back is free already (`ENXIO`); a mistake of the caller.
    NotAllocated {
        /// An address in it that is free.
        at: u64,
    },
    /// A size is not a multiple of the unit (`EINVAL`).
    SizeMisaligned {
        /// What it should be a multiple of.
        align: Align,
    },
    /// A start or length is not a multiple of the unit (`EINVAL`).
    RangeMisaligned {
        /// The range that cannot be mapped with such entries.
        range: Range,
        /// What its start and length should be multiples of.
        align: Align,
    },
    /// The region was not made for this unit (`EINVAL`).
    UnknownAlign {
        /// The unit.
        align: Align,
    },
    /// So much is not free (`ENOSPC`).
    NoSpace {
        /// The free bytes of the region.
        available: u64,
    },
    /// So much is free, but not in pieces that fit the unit (`ENOSPC`).
    NoAlignedSpace {
        /// The free bytes of the region.
        available: u64,
        /// Those of them that can be mapped with entries of the unit.
        usable: u64,
        /// The unit.
        align: Align,
    },
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        Self::NoMemory
    }
}

impl fmt::Display for Range {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}-0x{:x}", self.start, self.end)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("out of memory"),
            Self::Malformed => f.write_str("not of the expected form"),
            Self::TooLarge => f.write_str("the number is too large"),
            Self::Empty => f.write_str("the range ends before it starts"),
            Self::Outside { region } => write!(
                f,
                "outside of the region 0x{:x}-0x{:x}",
                region.start, region.end
            ),
            Self::InUse { at } => write!(f, "in use by a device at 0x{at:x}"),
            Self::NotAllocated { at } => write!(f, "not allocated at 0x{at:x}"),
            Self::SizeMisaligned { align } => {
                write!(f, "the size must be a multiple of 0x{:x}", align.bytes())
            }
            Self::RangeMisaligned { range, align } => write!(
                f,
                "start and length of 0x{:x}-0x{:x} must be multiples of 0x{:x}",
                range.start,
                range.end,
                align.bytes()
            ),
            Self::UnknownAlign { align } => {
                write!(f, "the region has no alignment of 0x{:x}", align.bytes())
            }
            Self::NoSpace { available } => write!(f, "only 0x{available:x} bytes are free"),
            Self::NoAlignedSpace {
                available,
                usable,
                align,
            } => write!(
                f,
                "of 0x{available:x} free bytes only 0x{usable:x} lie in pieces aligned to 0x{:x}",
                align.bytes()
            ),
        }
    }
}

/// A range together with its place in the device: C's `struct dev_dax_range`.
///
/// A device has a slice of these in which each one starts, in pages of the device, where the one
/// before it ends; the first starts at 0. Their physical addresses are in no order.
pub(crate) trait Extent {
    /// The page of the device at which the range starts.
    fn pgoff(&self) -> u64;

    /// The first physical address.
    fn start(&self) -> u64;

    /// The last physical address.
    fn end(&self) -> u64;
}

/// Returns the physical address of page `pgoff` of the device, if the `size` bytes from there on
/// lie in one range.
///
/// For the fault path: no loop for a device of one range, O(log n) for a device of n.
#[inline]
pub(crate) fn lookup<E: Extent>(extents: &[E], pgoff: u64, size: u64) -> Option<u64> {
    // The last one that starts at or before the page is the only one that can hold it.
    let extent = last_where(extents, |extent| extent.pgoff() <= pgoff)?;

    let len = extent.end().wrapping_sub(extent.start()).wrapping_add(1);
    // Wraps to a huge number for a page in front of the range, which then is none of its pages.
    let page = pgoff.wrapping_sub(extent.pgoff());
    if page >= len >> PAGE_SHIFT {
        return None;
    }

    // `page` is less than the number of pages, so neither the shift nor the difference wraps.
    let offset = page << PAGE_SHIFT;
    if size > len.wrapping_sub(offset) {
        return None;
    }
    Some(extent.start().wrapping_add(offset))
}

/// Checks that a device of these ranges can be mapped with entries of size `align`.
pub(crate) fn check_align<E: Extent>(extents: &[E], align: Align) -> Result<(), Error> {
    for extent in extents {
        let range = Range::new(extent.start(), extent.end()).ok_or(Error::Empty)?;
        if !align.fits(&range) {
            return Err(Error::RangeMisaligned { range, align });
        }
    }
    Ok(())
}

/// The number of bytes in a device of these ranges.
pub(crate) fn size_of_device<E: Extent>(extents: &[E]) -> u64 {
    // The page offsets are contiguous, so the last range says where the device ends.
    match extents.last() {
        Some(last) => (last.pgoff() << PAGE_SHIFT)
            .wrapping_add(last.end().wrapping_sub(last.start()))
            .wrapping_add(1),
        None => 0,
    }
}
