// SPDX-License-Identifier: GPL-2.0

//! The range arithmetic of a region: the free ranges, the ranges that a device gets, and the
//! physical address of a page of a device.
//!
//! This module knows nothing of devices, locks or sysfs. It computes a result, and the rest of the
//! core applies it. From the kernel it only uses fallible vectors and trees, and the page size, so
//! the same source also compiles on the host, where its tests run (`tools/testing/dax/host`).
//!
//! - [`Range`] and [`Align`]: physical ranges, and the entries that can map them;
//! - [`Space`]: the allocated and the free memory of a region;
//! - [`InstanceRanges`]: the ranges of a device, and the changes when its size is set;
//! - [`lookup`]: the physical address of a page of a device, for the fault path;
//! - [`parse`]: the text that user space writes to sysfs.
//!
//! Sizes are in bytes, addresses are physical, page offsets are in units of `PAGE_SIZE`.

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
        InstanceRange,
        InstanceRanges, //
    },
    space::{
        Space,
        ALIGNS, //
    }, //
};

/// A non-empty range of physical addresses. Both ends are inclusive, as in C's `struct range`.
///
/// # Invariants
///
/// `start <= end` and `end < u64::MAX`. So neither the length nor the first address after the range
/// overflows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// Returns the range from `start` to `end`, both inclusive.
    pub(crate) const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end && end < u64::MAX {
            // INVARIANT: Just checked.
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// Returns the range of `len` bytes that begins at `start`.
    pub(crate) const fn from_len(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(after) => Self::until(start, after),
            None => None,
        }
    }

    /// Returns the range from `start` up to, not including, `after`.
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

    /// The first address after the range.
    pub(crate) const fn after(&self) -> u64 {
        // By the type invariants this does not wrap.
        self.end.wrapping_add(1)
    }

    /// The number of bytes. Never zero.
    pub(crate) const fn len(&self) -> u64 {
        // By the type invariants this does not wrap.
        self.after().wrapping_sub(self.start)
    }

    /// Whether all of `other` lies in this range.
    pub(crate) const fn contains(&self, other: &Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Returns the union with `next`, if `next` begins right after this range.
    pub(crate) const fn joined(&self, next: &Range) -> Option<Self> {
        if self.after() == next.start {
            Self::new(self.start, next.end)
        } else {
            None
        }
    }

    /// Returns the last `by` bytes of this range.
    pub(crate) const fn tail(&self, by: u64) -> Option<Self> {
        match self.after().checked_sub(by) {
            Some(start) => Self::new(start, self.end),
            None => None,
        }
    }

    /// Returns this range without its last `by` bytes, or `None` if nothing is left.
    pub(crate) const fn trimmed(&self, by: u64) -> Option<Self> {
        match self.after().checked_sub(by) {
            Some(after) => Self::until(self.start, after),
            None => None,
        }
    }
}

/// The unit of ranges: the size of the device's page-table entries, or the unit of
/// `memremap_pages()` if that is larger. A power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Align {
    /// The unit less one.
    mask: u64,
}

impl Align {
    /// An alignment that every range has.
    pub(crate) const BYTE: Self = Self { mask: 0 };

    /// Returns an alignment of `bytes`, or `None` if that is not a power of two.
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

    /// Returns the larger alignment.
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

    /// Whether entries of this size can map the whole of `range`: its start and its length must be
    /// multiples of the unit.
    pub(crate) const fn fits(self, range: &Range) -> bool {
        self.divides(range.start) && self.divides(range.after())
    }

    /// Returns the largest part of `range` that entries of this size can map.
    const fn usable(self, range: &Range) -> Option<Range> {
        Range::until(self.first(range), range.after() & !self.mask)
    }

    /// Returns the length of the largest part of `range` that entries of this size can map.
    const fn usable_len(self, range: &Range) -> u64 {
        (range.after() & !self.mask).saturating_sub(self.first(range))
    }

    /// Returns the first multiple of the unit in `range`, or an address behind it if there is none.
    const fn first(self, range: &Range) -> u64 {
        // If this saturates, it is the last multiple there is, where no whole unit follows.
        range.start.saturating_add(self.mask) & !self.mask
    }
}

/// The reason why a request is refused. A refused request changes nothing.
///
/// `Display` says what is wrong and what would be right, without the device name and without a
/// newline. The bus returns the errno in parentheses to user space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// There is no memory for the bookkeeping (`ENOMEM`).
    NoMemory,
    /// The text does not have the expected form (`EINVAL`).
    Malformed,
    /// The number does not fit its type (`ERANGE`).
    TooLarge,
    /// The range ends before it starts, or after the last physical address (`EINVAL`).
    Empty,
    /// The range is not in the region (`EINVAL`).
    Outside {
        /// The whole region.
        region: Range,
    },
    /// A part of the range belongs to a device already (`EBUSY`).
    InUse {
        /// The first allocated address.
        at: u64,
    },
    /// The caller releases a range with a free part (`ENXIO`). This is a bug of the caller.
    NotAllocated {
        /// A free address in it.
        at: u64,
    },
    /// A size is not a multiple of the unit (`EINVAL`).
    SizeMisaligned {
        /// The unit.
        align: Align,
    },
    /// A start or length is not a multiple of the unit (`EINVAL`).
    RangeMisaligned {
        /// The range that such entries cannot map.
        range: Range,
        /// The unit.
        align: Align,
    },
    /// The region was not made for this unit (`EINVAL`).
    UnknownAlign {
        /// The unit.
        align: Align,
    },
    /// Not enough bytes are free (`ENOSPC`).
    NoSpace {
        /// The free bytes of the region.
        available: u64,
    },
    /// Enough bytes are free, but too few of them in aligned ranges (`ENOSPC`).
    NoAlignedSpace {
        /// The free bytes of the region.
        available: u64,
        /// The free bytes that entries of the unit can map.
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
                "of 0x{available:x} free bytes only 0x{usable:x} are in ranges aligned to 0x{:x}",
                align.bytes()
            ),
        }
    }
}

/// A range with its page offset in the device: C's `struct dev_dax_range`.
///
/// A device has a slice of these. The first one has page offset 0, and each other one has the page
/// offset at which its predecessor ends. The physical addresses are in no order.
pub(crate) trait Extent {
    /// The page offset in the device.
    fn pgoff(&self) -> u64;

    /// The first physical address.
    fn start(&self) -> u64;

    /// The last physical address.
    fn end(&self) -> u64;
}

/// Returns the physical address of page `pgoff` of the device, if the `size` bytes from there on
/// are in one range.
///
/// This is in the fault path: it has no loop for a device with one range, and takes O(log n) for n
/// ranges.
#[inline]
pub(crate) fn lookup<E: Extent>(extents: &[E], pgoff: u64, size: u64) -> Option<u64> {
    // Only the last extent that starts at or before the page can contain it.
    let extent = last_where(extents, |extent| extent.pgoff() <= pgoff)?;

    let (start, end) = (extent.start(), extent.end());
    // For a page before the range this wraps to a huge number, which the check below refuses.
    let page = pgoff.wrapping_sub(extent.pgoff());
    if page > end.wrapping_sub(start) >> PAGE_SHIFT {
        return None;
    }

    // The page starts in the range, so nothing wraps.
    let phys = start.wrapping_add(page << PAGE_SHIFT);
    let left = end.wrapping_sub(phys).wrapping_add(1);
    (size <= left).then_some(phys)
}

/// Checks that entries of size `align` can map a device with these ranges.
pub(crate) fn check_align<E: Extent>(extents: &[E], align: Align) -> Result<(), Error> {
    for extent in extents {
        let range = Range::new(extent.start(), extent.end()).ok_or(Error::Empty)?;
        if !align.fits(&range) {
            return Err(Error::RangeMisaligned { range, align });
        }
    }
    Ok(())
}

/// Returns the size in bytes of a device with these ranges.
pub(crate) fn size_of_device<E: Extent>(extents: &[E]) -> u64 {
    // The page offsets are contiguous, so the device ends with the last range.
    match extents.last() {
        Some(last) => (last.pgoff() << PAGE_SHIFT)
            .wrapping_add(last.end().wrapping_sub(last.start()))
            .wrapping_add(1),
        None => 0,
    }
}
