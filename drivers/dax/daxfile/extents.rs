// SPDX-License-Identifier: GPL-2.0

//! Where the pages of a sealed file are: an array of extents that never changes.

use kernel::{
    dax::search::last_where,
    prelude::*, //
};

/// Consecutive pages of a file in consecutive page frames.
struct Extent {
    /// The first page, in the file.
    page: usize,
    /// The first frame.
    pfn: usize,
    pages: usize,
}

/// The extents of a file.
///
/// # Invariants
///
/// They follow each other in the file, from page 0 on. No two could be one.
pub(crate) struct Extents(KVVec<Extent>);

impl Extents {
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// The number of pages.
    pub(crate) fn pages(&self) -> usize {
        self.0
            .last()
            .map_or(0, |last| last.page.wrapping_add(last.pages))
    }

    /// Adds pages at the end of the file.
    pub(crate) fn push(&mut self, pfn: usize, pages: usize) -> Result {
        let page = self.pages();

        if let Some(last) = self.0.last_mut() {
            if last.pfn.wrapping_add(last.pages) == pfn {
                last.pages = last.pages.wrapping_add(pages);
                return Ok(());
            }
        }
        // INVARIANT: It begins where the last one ends, and has other frames.
        self.0
            .push(Extent { page, pfn, pages }, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// The largest order that divides all extents, in the file and in memory.
    pub(crate) fn largest_order(&self) -> u32 {
        self.0
            .iter()
            .map(|extent| (extent.page | extent.pfn | extent.pages).trailing_zeros())
            .min()
            .unwrap_or(0)
    }

    /// The frame of a page of the file.
    #[inline]
    pub(crate) fn frame(&self, page: usize) -> Option<usize> {
        let extent = last_where(&self.0, |extent| extent.page <= page)?;
        let skipped = page.wrapping_sub(extent.page);

        (skipped < extent.pages).then(|| extent.pfn.wrapping_add(skipped))
    }

    /// Whether a frame is one of the file.
    pub(crate) fn contains(&self, pfn: usize) -> bool {
        self.0
            .iter()
            .any(|extent| pfn.wrapping_sub(extent.pfn) < extent.pages)
    }

    /// The number of extents.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first page and the number of pages of each extent.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.0.iter().map(|extent| (extent.page, extent.pages))
    }
}
