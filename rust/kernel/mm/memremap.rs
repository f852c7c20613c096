// SPDX-License-Identifier: GPL-2.0

//! Struct pages for memory that the page allocator does not own.
//!
//! A [`PageMap`] is what describes such memory, as a driver gets it from C. An [`OwnedPageMap`] is one
//! that a driver in Rust uses itself: it creates the struct pages and removes them when it is dropped.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)

use crate::{
    bindings,
    error::from_err_ptr,
    page::PAGE_SHIFT,
    prelude::*,
    types::Opaque, //
};
use core::{
    mem::size_of,
    ops::Range,
    ptr::addr_of_mut, //
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

/// The description of memory that has, or is to have, struct pages: `struct dev_pagemap`.
///
/// # Invariants
///
/// `self.0` is a valid `struct dev_pagemap`, followed by as many ranges as its `nr_range` says.
#[repr(transparent)]
pub struct PageMap(Opaque<bindings::dev_pagemap>);

impl PageMap {
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

    /// Whether there is no range in it, as in one that was not filled in.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: By the type invariant the page map is valid.
        unsafe { (*self.as_raw()).nr_range < 1 }
    }

    /// Makes the page map one of compound pages of `size` bytes, a power of two, for `data`.
    ///
    /// Where the metadata of the provider would put a compound page between two multiples of
    /// `size`, its memory is left out of the page map; see [`pages::fit`]. Fails if that is not
    /// possible; the page map is as before then.
    pub fn fit(&mut self, data: &Range<u64>, size: u64) -> Result<(), Misfit> {
        // SAFETY: By the type invariant. The page map is borrowed by nobody else, so it is not in use.
        unsafe { fit_each(self.as_raw(), size, core::iter::once(data.clone())) }
    }
}

/// Gives each range of a `struct dev_pagemap` compound pages of `size` bytes for `data`: the memory of
/// each range, in their order. See [`pages::fit`].
///
/// # Safety
///
/// `map` is valid, with as many ranges as it says. It is not in use, and nobody else reads or changes
/// it.
unsafe fn fit_each(
    map: *mut bindings::dev_pagemap,
    size: u64,
    data: impl Iterator<Item = Range<u64>>,
) -> Result<(), Misfit> {
    // SAFETY: By the safety requirements.
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
        // SAFETY: By the safety requirements there is this range, one of `count` that are left.
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

/// What struct pages are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To be mapped by a driver, as one compound page each. A page that nobody refers to has a refcount
    /// of 1.
    Generic,
    /// For a file system, which makes folios of them. A page that nobody refers to has a refcount of 0.
    FsDax,
}

/// A `struct dev_pagemap` in an allocation of its own, with the struct pages that it describes if
/// they exist.
///
/// Dropping it removes the struct pages. Nobody may refer to one of them then: for generic memory and
/// that of file systems the kernel does not wait for such references.
///
/// # Invariants
///
/// - `storage` is never moved or resized. It begins with a valid `struct dev_pagemap`, which is
///   followed by as many ranges as its `nr_range` says.
/// - If `unmap` is set, the struct pages exist, and it is the function that removes them.
/// - If `order` is not 0, [`pages::usable`] accepts the ranges for compound pages of `2^order` pages.
pub struct OwnedPageMap {
    storage: KVVec<u64>,
    order: u32,
    unmap: Option<unsafe extern "C" fn(*mut bindings::dev_pagemap)>,
}

impl OwnedPageMap {
    /// Describes some ranges of memory.
    ///
    /// May sleep. Fails with `ENOMEM`, and with `EINVAL` if there are no ranges.
    ///
    /// For the dax bus, which made the ranges: a driver could name any memory.
    pub(crate) fn new(ranges: impl ExactSizeIterator<Item = bindings::range>) -> Result<Self> {
        let count = ranges.len();
        // The first range is a part of the struct.
        let size = count
            .checked_sub(1)
            .and_then(|more| more.checked_mul(size_of::<bindings::range>()))
            .and_then(|more| more.checked_add(size_of::<bindings::dev_pagemap>()))
            .ok_or(EINVAL)?;
        const {
            assert!(align_of::<bindings::dev_pagemap>() <= align_of::<u64>());
        }
        // INVARIANT: Zeroes are a valid `struct dev_pagemap` without ranges.
        let mut this = Self {
            storage: KVVec::from_elem(0, size.div_ceil(size_of::<u64>()), GFP_KERNEL)?,
            order: 0,
            unmap: None,
        };
        let map = this.as_raw();

        // SAFETY: The allocation has room for the struct.
        let mut slot = unsafe { addr_of_mut!((*map).__bindgen_anon_1) }.cast::<bindings::range>();
        for range in ranges.take(count) {
            // SAFETY: The allocation has room for `count` ranges, and no more are written.
            unsafe { slot.write(range) };
            slot = slot.wrapping_add(1);
        }
        // INVARIANT: The ranges were filled in.
        // SAFETY: The allocation has room for the struct.
        unsafe { (*map).nr_range = i32::try_from(count)? };
        Ok(this)
    }

    /// Describes the same memory as `map`, which has one range.
    ///
    /// Whether the struct pages of `map` exist makes no difference. May sleep. Fails with `ENOMEM`,
    /// and with `EINVAL` if `map` has no range or several.
    pub(crate) fn copy_of(map: &PageMap) -> Result<Self> {
        // SAFETY: By the type invariant. These fields do not change once they were filled in.
        let (count, range, flags, altmap) = unsafe {
            let map = map.as_raw();

            (
                (*map).nr_range,
                (&raw const (*map).__bindgen_anon_1)
                    .cast::<bindings::range>()
                    .read(),
                (*map).flags,
                (*map).altmap,
            )
        };
        if count != 1 {
            return Err(EINVAL);
        }

        let mut this = Self::new([range].into_iter())?;
        // SAFETY: By the type invariant the struct is valid, and nobody else knows it.
        unsafe {
            let map = this.as_raw();

            (*map).flags = flags;
            (*map).altmap = altmap;
            // So much of it is in use, by the struct pages of `map` if they exist.
            (*map).altmap.alloc = 0;
        }
        Ok(this)
    }

    /// Returns the raw pointer, which stays the same.
    #[inline]
    pub fn as_raw(&mut self) -> *mut bindings::dev_pagemap {
        self.storage.as_mut_ptr().cast()
    }

    /// The first physical address of the first range.
    pub fn start(&mut self) -> u64 {
        // SAFETY: By the type invariant there is a range, which `new` filled in.
        unsafe {
            (&raw const (*self.as_raw()).__bindgen_anon_1)
                .cast::<bindings::range>()
                .read()
        }
        .start
    }

    /// Makes the struct pages compound pages of `size` bytes, a power of two, for `data`: the memory of
    /// each range, in their order.
    ///
    /// As [`PageMap::fit`]. Fails with `EBUSY` if the struct pages exist already.
    pub fn compound(
        &mut self,
        size: u64,
        data: impl Iterator<Item = Range<u64>>,
    ) -> Result<Result<(), Misfit>> {
        if self.unmap.is_some() {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant. There are no struct pages, so it is not in use.
        let fitted = unsafe { fit_each(self.as_raw(), size, data) };

        if fitted.is_ok() {
            // INVARIANT: Just done.
            self.order = (size.trailing_zeros()).saturating_sub(PAGE_SHIFT as u32);
        }
        Ok(fitted)
    }

    /// The order of the compound pages, in base pages.
    #[inline]
    pub fn order(&self) -> u32 {
        self.order
    }

    /// Creates the struct pages, near the NUMA node `nid`.
    ///
    /// `ops` are called with the `struct dev_pagemap`, in which `owner` is found. May sleep. The errors
    /// are `EBUSY` if there are struct pages already, `EINVAL` for compound pages for file systems, and
    /// those of `memremap_pages()`.
    ///
    /// # Safety
    ///
    /// - The caller owns the memory as long as `self` exists, and nobody refers to a struct page when
    ///   it is dropped.
    /// - `ops` accept `owner`, which is valid as long as `self` exists. They are in the kernel image,
    ///   or in a module that is not removed before that.
    // Inlined into the module: nfit_test has its own functions for this there.
    #[inline]
    pub unsafe fn map(
        &mut self,
        nid: c_int,
        usage: Usage,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result {
        self.set_up(usage, ops, owner)?;
        // SAFETY: By the type invariants and the safety requirements.
        from_err_ptr(unsafe { bindings::memremap_pages(self.as_raw(), nid) })?;
        // INVARIANT: They were created just now.
        self.unmap = Some(bindings::memunmap_pages);
        Ok(())
    }

    /// Says what the struct pages are to be. Not in [`Self::map`], which is compiled into modules.
    fn set_up(
        &mut self,
        usage: Usage,
        ops: &'static bindings::dev_pagemap_ops,
        owner: *mut c_void,
    ) -> Result {
        if self.unmap.is_some() {
            return Err(EBUSY);
        }
        let kind = match usage {
            Usage::Generic => bindings::memory_type_MEMORY_DEVICE_GENERIC,
            Usage::FsDax if self.order == 0 => bindings::memory_type_MEMORY_DEVICE_FS_DAX,
            Usage::FsDax => return Err(EINVAL),
        };
        let map = self.as_raw();

        // SAFETY: By the type invariant the struct is valid. It is not in use, so nobody accesses the
        // fields concurrently.
        unsafe {
            (*map).type_ = kind;
            (*map).vmemmap_shift = self.order as usize;
            (*map).ops = ops;
            (*map).owner = owner;
        }
        Ok(())
    }
}

impl Drop for OwnedPageMap {
    fn drop(&mut self) {
        if let Some(unmap) = self.unmap {
            // SAFETY: By the type invariant. The caller of `map` promised that this is the time.
            unsafe { unmap(self.as_raw()) };
        }
    }
}

// SAFETY: The struct is not bound to a thread.
unsafe impl Send for OwnedPageMap {}
// SAFETY: A shared reference gives no access to it.
unsafe impl Sync for OwnedPageMap {}
