// SPDX-License-Identifier: GPL-2.0

//! The memory of an instance for file systems, and contiguous parts of it.

use crate::{
    bindings,
    dax::{
        copy::Window,
        device::Range,
        memmap::Memmap,
        search::last_where, //
    },
    error::to_result,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ops, //
};

/// The memory of an instance whose struct pages are for file systems.
///
/// # Invariants
///
/// For `'a`, the instance is bound, or being unbound, and [`Reserved::map_fs_dax`] has made the
/// struct pages of the memmap.
///
/// [`Reserved::map_fs_dax`]: crate::dax::memory::Reserved::map_fs_dax
#[derive(Clone, Copy)]
pub struct Memory<'a>(&'a Memmap);

impl<'a> Memory<'a> {
    /// The memory of an instance.
    ///
    /// # Safety
    ///
    /// `memmap` fulfils the type invariants for `'a`.
    #[inline]
    pub(super) unsafe fn new(memmap: &'a Memmap) -> Self {
        // INVARIANT: By the safety requirement.
        Self(memmap)
    }

    /// The memory of the instance that a dax device belongs to; [`None`] if it is dead.
    ///
    /// # Safety
    ///
    /// The caller is an operation in `VTable::DAX`. It is in an SRCU section that lasts for `'a`.
    #[inline]
    pub(super) unsafe fn of(dax_dev: *mut bindings::dax_device) -> Option<Self> {
        // SAFETY: By the safety requirements the dax device is valid.
        let dev_dax = unsafe { bindings::dax_get_private(dax_dev) }.cast::<bindings::dev_dax>();

        if dev_dax.is_null() {
            return None;
        }
        // SAFETY: Only dax devices of instances have these operations, so this is a `struct
        // dev_dax`. The device was alive in the section. So the field is the one that `bring_alive`
        // has set, and the memmap that owns the struct pages stays until the section ends.
        Some(unsafe { Self::new(&*(*(*dev_dax).pgmap).owner.cast()) })
    }

    /// All of the memory, in the order of its offsets into the instance.
    #[inline]
    pub fn extents(self) -> impl Iterator<Item = Extent<'a>> {
        self.0.ranges().iter().map(move |range| self.whole(range))
    }

    #[inline]
    fn whole(self, range: &Range) -> Extent<'a> {
        // INVARIANT: The range is one of the instance, so by the type invariant it is mapped.
        Extent {
            pgoff: range.pgoff(),
            pfn: (range.start() >> PAGE_SHIFT) as usize,
            pages: (range.len() >> PAGE_SHIFT) as usize,
            _memory: PhantomData,
        }
    }

    /// The memory from an offset of `pgoff` pages on, as far as it is contiguous.
    #[inline]
    pub fn at(self, pgoff: usize) -> Option<Extent<'a>> {
        self.whole(self.range_at(pgoff)?).skip_to(pgoff)
    }

    /// The last range that begins at `pgoff` or before it; the first if there is none.
    ///
    /// The result is in a register. So this call costs less than that of a larger function.
    #[inline(never)]
    fn range_at(self, pgoff: usize) -> Option<&'a Range> {
        last_where(self.0.ranges(), |range| range.pgoff() <= pgoff)
    }

    /// Tells the holder of the instance that this extent has failed. `flags` are `MF_*`.
    ///
    /// Fails with `EOPNOTSUPP` if there is no holder with a callback for it, with `ENXIO` if the
    /// instance is dead, and with the error of the holder. May sleep.
    #[inline]
    pub fn notify_holder(self, failed: Extent<'_>, flags: i32) -> Result {
        let bytes = |pages: usize| (pages as u64).wrapping_shl(PAGE_SHIFT as u32);

        // SAFETY: By the type invariant the instance is valid, and so its dax device.
        to_result(unsafe {
            bindings::dax_holder_notify_failure(
                (*self.0.device().as_raw()).dax_dev,
                bytes(failed.pgoff),
                bytes(failed.pages),
                flags,
            )
        })
    }
}

/// Contiguous memory of an instance.
///
/// # Invariants
///
/// The page frames are those of the instance at this offset. They have struct pages for `'a`.
#[derive(Clone, Copy)]
pub struct Extent<'a> {
    pgoff: usize,
    pub(super) pfn: usize,
    pages: usize,
    _memory: PhantomData<Memory<'a>>,
}

impl<'a> Extent<'a> {
    /// The number of pages; 0 if there is nothing in it.
    #[inline]
    pub fn pages(self) -> usize {
        self.pages
    }

    /// The first `pages` pages, or all if there are fewer.
    #[inline]
    pub fn limit(self, pages: usize) -> Self {
        // INVARIANT: It is a part of `self`.
        Self {
            pages: self.pages.min(pages),
            ..self
        }
    }

    /// The rest from an offset into the instance on, if the offset is in the extent.
    #[inline]
    fn skip_to(self, pgoff: usize) -> Option<Self> {
        let skipped = pgoff.checked_sub(self.pgoff)?;
        let pages = self.pages.checked_sub(skipped).filter(|rest| *rest > 0)?;

        // INVARIANT: It is a part of `self`, so the sum does not overflow.
        Some(Self {
            pgoff,
            pfn: self.pfn.wrapping_add(skipped),
            pages,
            ..self
        })
    }

    /// The part that has some page frames, if there is any.
    #[inline]
    pub fn overlap(self, pfns: &ops::Range<usize>) -> Option<Self> {
        let skipped = pfns.start.saturating_sub(self.pfn);
        let rest = self.skip_to(self.pgoff.checked_add(skipped)?)?;
        let part = rest.limit(pfns.end.saturating_sub(rest.pfn));

        (part.pages > 0).then_some(part)
    }

    /// The memory as the kernel has it mapped.
    #[inline]
    pub fn window(self) -> Window<'a> {
        // SAFETY: By the type invariant. With the struct pages, `devm_memremap_pages()` made the
        // kernel's mapping. The length is one of existing memory, so it does not overflow.
        unsafe {
            Window::new(
                bindings::pfn_to_virt(self.pfn),
                self.pages.wrapping_mul(PAGE_SIZE),
            )
        }
    }

    /// The number of pages before the first one that is marked as failed.
    #[inline]
    pub fn intact_pages(self) -> usize {
        (0..self.pages)
            // SAFETY: By the type invariant the page frame has a struct page.
            .find(|i| unsafe { bindings::pfn_is_hwpoison(self.pfn.wrapping_add(*i)) })
            .unwrap_or(self.pages)
    }

    /// Marks the pages as failed, until the struct pages are removed.
    #[inline]
    pub fn mark_failed(self) {
        for i in 0..self.pages {
            // SAFETY: By the type invariant the page frame has a struct page.
            unsafe { bindings::pfn_set_hwpoison(self.pfn.wrapping_add(i)) };
        }
    }
}
