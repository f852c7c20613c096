// SPDX-License-Identifier: GPL-2.0

//! Which struct pages a `dev_pagemap` has, and how they match the data that they are for.
//!
//! `memremap_pages()` makes compound pages one after the other, from the first usable page of a
//! range to its end. It does not check that they begin at multiples of their size, nor that the
//! last one ends with the range. A consumer whose page-table entries map one compound page each
//! needs both, so the range has to be right before.
//!
//! This uses nothing of the kernel but `fmt`, and is compiled and tested on the host, too
//! (`tools/testing/dax/host`). Addresses and sizes are in bytes, sizes of pages are powers of two.

use crate::fmt;
use core::ops::Range;

/// Memory at the beginning of a range that holds the struct pages of that range: `struct
/// vmem_altmap`.
#[derive(Clone, Copy, Debug)]
pub struct Altmap {
    /// The physical address that the usable pages are counted from.
    pub base: u64,
    /// How much of the memory from `base` on has no usable page.
    pub size: u64,
}

/// Why compound pages of a range do not match the data that they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// `memremap_pages()` maps memory in units; these addresses are not multiples of `unit`.
    Unit {
        /// The range of the `dev_pagemap`.
        range: Range<u64>,
        /// The unit.
        unit: u64,
    },
    /// The altmap does not begin with the range, or leaves no usable page.
    Altmap {
        /// The first usable page.
        first: u64,
        /// The range of the `dev_pagemap`.
        range: Range<u64>,
    },
    /// The first compound page begins, or the last one ends, between multiples of `size`.
    Compound {
        /// The usable pages.
        pages: Range<u64>,
        /// The size of a compound page.
        size: u64,
    },
    /// Some of the data has no usable page.
    Data {
        /// The data.
        data: Range<u64>,
        /// The usable pages.
        pages: Range<u64>,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit { range, unit } => write!(
                f,
                "its dev_pagemap is 0x{:x}-0x{:x}, not multiples of 0x{:x}",
                range.start, range.end, unit
            ),
            Self::Altmap { first, range } => write!(
                f,
                "its dev_pagemap 0x{:x}-0x{:x} would have its first page at 0x{:x}",
                range.start, range.end, first
            ),
            Self::Compound { pages, size } => write!(
                f,
                "its struct pages are for 0x{:x}-0x{:x}, not multiples of 0x{:x}",
                pages.start, pages.end, size
            ),
            Self::Data { data, pages } => write!(
                f,
                "its data is 0x{:x}-0x{:x}, but its struct pages are for 0x{:x}-0x{:x}",
                data.start, data.end, pages.start, pages.end
            ),
        }
    }
}

fn is_aligned(range: &Range<u64>, size: u64) -> bool {
    (range.start | range.end) & size.wrapping_sub(1) == 0
}

/// The memory of `range` that has usable struct pages, in compound pages of `size` bytes that begin
/// at multiples of `size`.
///
/// `unit` is what `memremap_pages()` maps at least: `memremap_compat_align()`.
pub fn usable(
    range: &Range<u64>,
    altmap: Option<Altmap>,
    size: u64,
    unit: u64,
) -> Result<Range<u64>, Misfit> {
    if range.start >= range.end || !is_aligned(range, unit) {
        return Err(Misfit::Unit {
            range: range.clone(),
            unit,
        });
    }

    let first = match altmap {
        None => range.start,
        // The kernel counts from `base` when it makes the pages, and from the range later on.
        Some(altmap) => match altmap.base.checked_add(altmap.size) {
            Some(first) if altmap.base == range.start && first < range.end => first,
            first => {
                return Err(Misfit::Altmap {
                    first: first.unwrap_or(u64::MAX),
                    range: range.clone(),
                })
            }
        },
    };

    let pages = first..range.end;
    if !is_aligned(&pages, size) {
        return Err(Misfit::Compound { pages, size });
    }
    Ok(pages)
}

/// Finds the range that a `dev_pagemap` should have so that its compound pages of `size` bytes are
/// those of `data`, which starts and ends at multiples of `size`.
///
/// That is `range`, if it will do. Otherwise, without an altmap, it is what is left of `range`
/// without the metadata around the data. With an altmap the range has to hold that, too.
pub fn fit(
    range: &Range<u64>,
    altmap: Option<Altmap>,
    data: &Range<u64>,
    size: u64,
    unit: u64,
) -> Result<Range<u64>, Misfit> {
    let covers = |pages: Range<u64>| {
        let inside = pages.start <= data.start && data.end <= pages.end;

        if !inside || data.start >= data.end || !is_aligned(data, size) {
            return Err(Misfit::Data {
                data: data.clone(),
                pages,
            });
        }
        Ok(())
    };

    let whole = usable(range, altmap, size, unit).and_then(covers);
    if !matches!(whole, Err(Misfit::Compound { .. })) || altmap.is_some() {
        return whole.map(|()| range.clone());
    }

    // Data in small pages may begin between two units.
    let inner = |value: u64, outer: u64| {
        if value & unit.wrapping_sub(1) == 0 {
            value
        } else {
            outer
        }
    };
    let part = inner(data.start, range.start)..inner(data.end, range.end);
    if part.start < range.start || part.end > range.end {
        return whole.map(|()| range.clone());
    }
    usable(&part, None, size, unit).and_then(covers)?;
    Ok(part)
}
