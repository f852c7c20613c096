// SPDX-License-Identifier: GPL-2.0

//! Fits the range of a `dev_pagemap` to the data that its struct pages are for.
//!
//! `memremap_pages()` makes compound pages one after the other, from the first usable page of a
//! range to its end. It does not check that they begin at multiples of their size, nor that the
//! last one ends with the range. A consumer that maps each compound page with one page table entry
//! needs both. So it checks the range first.
//!
//! From the kernel this uses only `fmt`. So it also compiles on the host, where its tests run
//! (`tools/testing/dax/host`). Addresses and sizes are in bytes. Sizes of pages are powers of two.
//!
//! # Examples
//!
//! ```
//! use kernel::mm::memremap::pages;
//!
//! const SZ_2M: u64 = 2 << 20;
//!
//! // The metadata before the data is not a multiple of 2 MiB, so it is left out.
//! let data = 2 * SZ_2M..4 * SZ_2M;
//! let range = SZ_2M / 2..4 * SZ_2M;
//!
//! assert_eq!(pages::fit(&range, None, &data, SZ_2M, 4096), Ok(data));
//! ```

use crate::fmt;
use core::ops::Range;

/// Memory at the start of a range that holds the struct pages of the range: `struct vmem_altmap`.
#[derive(Clone, Copy, Debug)]
pub struct Altmap {
    /// The physical address from which the usable pages are counted.
    pub base: u64,
    /// The size of the memory from `base` on that has no usable page.
    pub size: u64,
}

/// The reason why the struct pages of a range do not fit the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The addresses are not multiples of `unit`, in which `memremap_pages()` maps memory.
    Unit {
        /// The range of the `dev_pagemap`.
        range: Range<u64>,
        /// The unit.
        unit: u64,
    },
    /// The altmap does not start at the start of the range, or leaves no usable page.
    Altmap {
        /// The first usable page.
        first: u64,
        /// The range of the `dev_pagemap`.
        range: Range<u64>,
    },
    /// The first compound page starts, or the last one ends, between multiples of `size`.
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

/// Returns the memory of `range` that has usable struct pages, and checks that they are compound
/// pages of `size` bytes that start at multiples of `size`.
///
/// `unit` is `memremap_compat_align()`: the unit in which `memremap_pages()` maps memory.
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
        // The kernel counts from `base` when it creates the struct pages, and from the range later.
        // So both must be the same.
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

/// Returns the range that a `dev_pagemap` needs for compound pages of `size` bytes that cover
/// `data`. `data` starts and ends at multiples of `size`.
///
/// The result is `range` if that fits. Otherwise, without an altmap, it is `range` without the
/// metadata around the data. With an altmap the range must include the metadata.
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

    // Data in small pages can start between two units.
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
