// SPDX-License-Identifier: GPL-2.0

//! Page maps: `struct page` for memory that the page allocator does not own.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)

use crate::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    devres,
    error::from_err_ptr,
    page::PAGE_SHIFT,
    prelude::*,
    types::Opaque, //
};
use core::{
    mem::size_of,
    ops::Range,
    ptr::{
        addr_of_mut,
        null,
        null_mut, //
    }, //
};

pub mod pages;

use pages::{
    Altmap,
    Misfit, //
};

/// The unit in bytes of the memory that `memremap_pages()` takes.
fn unit() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::memremap_compat_align() as u64 }
}

/// The description of a page map: `struct dev_pagemap`.
///
/// # Invariants
///
/// `self.0` is a valid `struct dev_pagemap`, followed by as many ranges as its `nr_range` says.
#[repr(transparent)]
pub struct PageMap(Opaque<bindings::dev_pagemap>);

impl PageMap {
    /// Allocates a page map of some ranges, to be freed when `dev` is unbound.
    ///
    /// May sleep. Fails with `ENOMEM`, and with `EINVAL` if there are no ranges.
    ///
    /// For the dax bus, which made the ranges: a driver could name any memory, and a static instance
    /// has room for one range.
    #[inline]
    pub(crate) fn new<'a>(
        dev: &'a Device<Bound>,
        ranges: impl ExactSizeIterator<Item = bindings::range>,
    ) -> Result<&'a Self> {
        let count = ranges.len();
        // The first range is a part of the struct.
        let size = count
            .checked_sub(1)
            .and_then(|more| more.checked_mul(size_of::<bindings::range>()))
            .and_then(|more| more.checked_add(size_of::<bindings::dev_pagemap>()))
            .ok_or(EINVAL)?;

        // SAFETY: `dev` is bound, so it is valid and devres will free the memory.
        let map = unsafe {
            bindings::devm_kmalloc(
                dev.as_raw(),
                size,
                bindings::GFP_KERNEL | bindings::__GFP_ZERO,
            )
        }
        .cast::<bindings::dev_pagemap>();
        if map.is_null() {
            return Err(ENOMEM);
        }

        // SAFETY: The allocation has room for the struct.
        let mut slot = unsafe { addr_of_mut!((*map).__bindgen_anon_1) }.cast::<bindings::range>();
        for range in ranges.take(count) {
            // SAFETY: The allocation has room for `count` ranges, and no more are written.
            unsafe { slot.write(range) };
            slot = slot.wrapping_add(1);
        }
        // SAFETY: The allocation has room for the struct.
        unsafe { (*map).nr_range = i32::try_from(count)? };

        // SAFETY: Zeroes are a valid `struct dev_pagemap`, and the ranges were filled in. Devres
        // keeps the memory until the device is unbound, so for at least `'a`.
        Ok(unsafe { Self::from_raw(map) })
    }

    /// Makes a page map without ranges, to be filled in with what the range is for.
    #[inline]
    pub fn empty() -> Self {
        // INVARIANT: Zeroes are a valid `struct dev_pagemap`, and there is no range.
        Self(Opaque::zeroed())
    }

    /// Makes this a page map of one range, by what `fill` writes into the `struct dev_pagemap`.
    /// If that fails there is no range in it.
    ///
    /// # Safety
    ///
    /// When `fill` returns `Ok`, what it wrote is a valid description of one range.
    #[inline]
    pub(crate) unsafe fn fill_single(
        &mut self,
        fill: impl FnOnce(*mut bindings::dev_pagemap) -> Result,
    ) -> Result {
        // INVARIANT: By the safety requirement on `fill`; the one range is a part of the struct.
        fill(self.as_raw()).inspect_err(|_| {
            // SAFETY: It is valid, and borrowed by nobody else.
            unsafe { (*self.as_raw()).nr_range = 0 }
        })
    }

    /// Wraps a page map that C set up.
    ///
    /// # Safety
    ///
    /// `map` must point to a `struct dev_pagemap` that fulfils the type invariant for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(map: *mut bindings::dev_pagemap) -> &'a Self {
        // SAFETY: By the safety requirements; `Self` is a transparent wrapper.
        unsafe { &*map.cast() }
    }

    /// Returns the raw pointer.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::dev_pagemap {
        self.0.get()
    }

    /// Makes the page map one of compound pages of `size` bytes, a power of two, for `data`.
    ///
    /// Where the metadata of the provider would put a compound page between two multiples of
    /// `size`, its memory is left out of the page map; see [`pages::fit`]. Fails if that is not
    /// possible; the page map is as before then.
    pub fn fit(&mut self, data: &Range<u64>, size: u64) -> Result<(), Misfit> {
        // SAFETY: The page map is borrowed by nobody else, so it is not in use.
        unsafe { self.fit_each(size, core::iter::once(data.clone())) }
    }

    /// The page map as one of compound pages of `size` bytes, a power of two, for `data`: the memory
    /// of each range, in their order.
    ///
    /// As [`Self::fit`].
    ///
    /// # Safety
    ///
    /// The page map is not in use, and belongs to the caller for `'a`.
    pub unsafe fn compound<'a>(
        &'a self,
        size: u64,
        data: impl Iterator<Item = Range<u64>>,
    ) -> Result<Compound<'a>, Misfit> {
        // SAFETY: By the safety requirements.
        unsafe { self.fit_each(size, data)? };

        // INVARIANT: Just done.
        Ok(Compound { map: self, size })
    }

    /// Does what [`Self::compound`] does.
    ///
    /// # Safety
    ///
    /// The page map is not in use, and nobody else reads or changes it.
    unsafe fn fit_each(
        &self,
        size: u64,
        data: impl Iterator<Item = Range<u64>>,
    ) -> Result<(), Misfit> {
        let map = self.as_raw();
        // SAFETY: By the type invariant the page map is valid.
        let (mut count, flags, altmap) = unsafe { ((*map).nr_range, (*map).flags, &(*map).altmap) };
        let bytes = |pages: c_ulong| (pages as u64).wrapping_shl(PAGE_SHIFT as u32);
        // An altmap is for the first range.
        let mut altmap = (flags & bindings::PGMAP_ALTMAP_VALID != 0).then(|| Altmap {
            base: bytes(altmap.base_pfn),
            size: bytes(altmap.reserve.saturating_add(altmap.free)),
        });
        // SAFETY: As above.
        let mut slot = unsafe { addr_of_mut!((*map).__bindgen_anon_1) }.cast::<bindings::range>();

        for data in data {
            if count < 1 {
                return Err(Misfit::Data { data, pages: 0..0 });
            }
            // SAFETY: By the type invariant there is this range, one of `count` that are left.
            let range = unsafe { &mut *slot };
            let given = range.start..range.end.saturating_add(1);
            let fitting = pages::fit(&given, altmap.take(), &data, size, unit())?;

            range.start = fitting.start;
            // No range is empty.
            range.end = fitting.end.wrapping_sub(1);
            slot = slot.wrapping_add(1);
            count = count.wrapping_sub(1);
        }
        if count != 0 {
            // SAFETY: As above.
            let range = unsafe { &*slot };
            let pages = range.start..range.end.saturating_add(1);

            return Err(Misfit::Data { data: 0..0, pages });
        }
        Ok(())
    }

    /// Whether there is no range in it, as in one that was not filled in.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: By the type invariant the page map is valid.
        unsafe { (*self.as_raw()).nr_range < 1 }
    }

    /// Creates the struct pages, one by one, as memory of file systems (`MEMORY_DEVICE_FS_DAX`);
    /// they go away when `dev` is unbound.
    ///
    /// Their reference counts are zero, and the file system may join them to larger ones. `ops`
    /// are called with the page map, in which `owner` is found. May sleep. The errors are `ENOMEM`
    /// and those of `devm_memremap_pages()`.
    ///
    /// # Safety
    ///
    /// - The caller owns the ranges until `dev` is unbound, and the page map is not in use.
    /// - The page map stays valid until devres has undone this, and so does what `ops` make of
    ///   `owner`. The module that owns `ops` is not removed before that.
    #[inline]
    pub unsafe fn map_fs_dax(
        &self,
        dev: &Device<Bound>,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result {
        let kind = bindings::memory_type_MEMORY_DEVICE_FS_DAX;

        // SAFETY: By the safety requirements.
        unsafe { self.map(dev, kind, 0, ops, owner) }
    }

    /// Creates struct pages of a type.
    ///
    /// # Safety
    ///
    /// - As for [`Self::map_fs_dax`], and the type of memory needs nothing else.
    /// - If `order` is not 0, [`pages::usable`] accepts the ranges for compound pages of that order.
    #[inline]
    unsafe fn map(
        &self,
        dev: &Device<Bound>,
        kind: bindings::memory_type,
        order: u32,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result {
        // SAFETY: By the safety requirements.
        unsafe { self.set_up(dev, kind, order, ops, owner)? };
        // SAFETY: `dev` is bound; for the page map, by the safety requirements.
        from_err_ptr(unsafe { bindings::devm_memremap_pages(dev.as_raw(), self.as_raw()) })?;
        Ok(())
    }

    /// Says what the struct pages are to be. Not in [`Self::map`], which is compiled into modules.
    ///
    /// # Safety
    ///
    /// As for [`Self::map`].
    unsafe fn set_up(
        &self,
        dev: &Device<Bound>,
        kind: bindings::memory_type,
        order: u32,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result {
        // First, so that it is undone last, also when the next step fails: while the pages exist,
        // a memory failure may be on its way to the operations.
        //
        // INVARIANT: The page map is valid until devres has undone this.
        devres::register(dev, OperationsGuard(self.as_raw()), GFP_KERNEL)?;

        // SAFETY: The page map is not in use, so nobody accesses the fields concurrently.
        unsafe {
            (*self.as_raw()).type_ = kind;
            (*self.as_raw()).vmemmap_shift = order as usize;
            (*self.as_raw()).ops = ops;
            (*self.as_raw()).owner = owner;
        }
        Ok(())
    }
}

/// A page map whose struct pages will be compound pages, each at a multiple of its size.
///
/// # Invariants
///
/// [`pages::usable`] accepts each range of the page map for compound pages of `size` bytes. Nobody
/// changes the ranges for `'a`.
pub struct Compound<'a> {
    map: &'a PageMap,
    size: u64,
}

impl<'a> Compound<'a> {
    /// Creates the struct pages, as generic device memory (`MEMORY_DEVICE_GENERIC`); they go away
    /// when `dev` is unbound. Returns the page map.
    ///
    /// `ops` are called with the page map, in which `owner` is found. May sleep. The errors are
    /// `ENOMEM` and those of `devm_memremap_pages()`.
    ///
    /// # Safety
    ///
    /// As for [`PageMap::map_fs_dax`].
    #[inline]
    pub unsafe fn map_generic(
        self,
        dev: &Device<Bound>,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result<&'a PageMap> {
        let kind = bindings::memory_type_MEMORY_DEVICE_GENERIC;
        let order = (self.size.trailing_zeros()).saturating_sub(PAGE_SHIFT as u32);

        // SAFETY: By the safety requirements and the type invariants.
        unsafe { self.map.map(dev, kind, order, ops, owner)? };
        Ok(self.map)
    }
}

/// Takes the operations out of a page map that is not in use any more.
///
/// # Invariants
///
/// The page map is valid, and not in use when this is dropped.
struct OperationsGuard(*mut bindings::dev_pagemap);

impl Drop for OperationsGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            (*self.0).ops = null();
            (*self.0).owner = null_mut();
        }
    }
}

// SAFETY: By the type invariant nobody else accesses the page map when this is dropped.
unsafe impl Send for OperationsGuard {}
