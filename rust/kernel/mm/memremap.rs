// SPDX-License-Identifier: GPL-2.0

//! Struct pages for memory that the page allocator does not own.
//!
//! A `struct dev_pagemap` describes such memory. A driver gets a [`DevPagemap`] from C or hands it
//! to C. An [`OwnedDevPagemap`] also creates the struct pages, and removes them when it is dropped.
//!
//! # Examples
//!
//! ```
//! use kernel::mm::memremap::{
//!     pages::Misfit,
//!     DevPagemap, //
//! };
//!
//! let mut map = DevPagemap::empty();
//!
//! // There is no range that could have pages for the data.
//! assert!(matches!(map.fit(&(0..4096), 4096), Err(Misfit::Data { .. })));
//! ```
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
pub mod write_back;

use pages::{
    Altmap,
    Misfit, //
};

/// Returns the unit in bytes in which `memremap_pages()` maps memory.
fn unit() -> u64 {
    // SAFETY: The function has no requirements.
    unsafe { bindings::memremap_compat_align() as u64 }
}

/// The description of memory that has struct pages, or will have: `struct dev_pagemap`.
///
/// # Invariants
///
/// `self.0` is a valid `struct dev_pagemap`, followed by `nr_range` ranges.
#[repr(transparent)]
pub struct DevPagemap(Opaque<bindings::dev_pagemap>);

impl DevPagemap {
    /// Creates a dev_pagemap without ranges. Its owner fills it in.
    #[inline]
    pub fn empty() -> Self {
        // INVARIANT: Zeroes are a valid `struct dev_pagemap`, and there is no range.
        Self(Opaque::zeroed())
    }

    /// Lets `fill` write one range into the `struct dev_pagemap`. If `fill` fails, the dev_pagemap
    /// has no range.
    ///
    /// # Safety
    ///
    /// If `fill` returns [`Ok`], the `struct dev_pagemap` is valid and has one range.
    #[cfg(CONFIG_NVDIMM_DAX)]
    #[inline]
    pub(crate) unsafe fn fill_single(
        &mut self,
        fill: impl FnOnce(*mut bindings::dev_pagemap) -> Result,
    ) -> Result {
        // INVARIANT: By the safety requirement. The struct has room for one range.
        fill(self.as_raw()).inspect_err(|_| {
            // SAFETY: The struct is valid, and this borrows it exclusively.
            unsafe { (*self.as_raw()).nr_range = 0 }
        })
    }

    /// Wraps a dev_pagemap that C code set up.
    ///
    /// # Safety
    ///
    /// `map` must point to a `struct dev_pagemap` that fulfils the type invariant for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(map: *mut bindings::dev_pagemap) -> &'a Self {
        // SAFETY: By the safety requirements. `Self` is a transparent wrapper.
        unsafe { &*map.cast() }
    }

    /// Returns the raw pointer.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::dev_pagemap {
        self.0.get()
    }

    /// Returns whether the dev_pagemap has no range.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: By the type invariant the struct is valid.
        unsafe { (*self.as_raw()).nr_range < 1 }
    }

    /// Prepares the range for compound pages of `size` bytes that cover `data`. `size` is a power
    /// of two.
    ///
    /// If the metadata of the provider would shift the compound pages, this takes the metadata out
    /// of the range: see [`pages::fit`]. If that is not possible, this fails and changes nothing.
    pub fn fit(&mut self, data: &Range<u64>, size: u64) -> Result<(), Misfit> {
        // SAFETY: By the type invariant. This borrows the dev_pagemap exclusively, so it is not in
        // use.
        unsafe { fit_each(self.as_raw(), size, core::iter::once(data.clone())) }
    }
}

/// Prepares each range of a `struct dev_pagemap` for compound pages of `size` bytes. `data` has the
/// memory of each range, in order. See [`pages::fit`].
///
/// # Safety
///
/// `map` is valid, followed by `nr_range` ranges. It is not in use: nothing else reads or changes
/// it.
unsafe fn fit_each(
    map: *mut bindings::dev_pagemap,
    size: u64,
    data: impl Iterator<Item = Range<u64>>,
) -> Result<(), Misfit> {
    // SAFETY: By the safety requirements.
    let (mut count, flags, altmap) = unsafe { ((*map).nr_range, (*map).flags, &(*map).altmap) };
    let bytes = |pages: c_ulong| (pages as u64).wrapping_shl(PAGE_SHIFT as u32);
    // The altmap belongs to the first range.
    let mut altmap = (flags & bindings::PGMAP_ALTMAP_VALID != 0).then(|| Altmap {
        base: bytes(altmap.base_pfn),
        size: bytes(altmap.reserve.saturating_add(altmap.free)),
    });
    // SAFETY: By the safety requirements.
    let mut slot = unsafe { addr_of_mut!((*map).__bindgen_anon_1) }.cast::<bindings::range>();

    for data in data {
        if count < 1 {
            return Err(Misfit::Data { data, pages: 0..0 });
        }
        // SAFETY: By the safety requirements the range exists: `count` ranges are left.
        let range = unsafe { &mut *slot };
        let given = range.start..range.end.saturating_add(1);
        let fitting = pages::fit(&given, altmap.take(), &data, size, unit())?;

        range.start = fitting.start;
        // `pages::fit()` returns no empty range.
        range.end = fitting.end.wrapping_sub(1);
        slot = slot.wrapping_add(1);
        count = count.wrapping_sub(1);
    }
    if count != 0 {
        // SAFETY: By the safety requirements the range exists: `count` ranges are left.
        let range = unsafe { &*slot };
        let pages = range.start..range.end.saturating_add(1);

        return Err(Misfit::Data { data: 0..0, pages });
    }
    Ok(())
}

/// The use of struct pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A driver maps the memory, each compound page with one entry. The refcount of an unused page
    /// is 1.
    Generic,
    /// A file system makes folios of the pages. The refcount of an unused page is 0.
    FsDax,
}

/// A `struct dev_pagemap` in an allocation of its own. It can also own the struct pages.
///
/// Dropping it removes the struct pages. There must be no references to them: the kernel does not
/// wait for references to generic memory or memory of file systems.
///
/// # Invariants
///
/// - `storage` is never moved or resized. It starts with a valid `struct dev_pagemap`, followed by
///   `nr_range` ranges.
/// - If `unmap` is [`Some`], the struct pages exist, and the function removes them.
/// - If `order` is not 0, [`pages::usable`] accepts the ranges for compound pages of `2^order`
///   pages.
pub struct OwnedDevPagemap {
    storage: KVVec<u64>,
    order: u32,
    unmap: Option<unsafe extern "C" fn(*mut bindings::dev_pagemap)>,
}

impl OwnedDevPagemap {
    /// Describes ranges of memory. May sleep.
    ///
    /// Fails with [`EINVAL`] if there are no ranges, and with [`ENOMEM`].
    ///
    /// Only the dax bus, which made the ranges, calls this. A driver could pass any memory.
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
        // INVARIANT: A zeroed `struct dev_pagemap` is valid and has no ranges.
        let mut this = Self {
            storage: KVVec::from_elem(0, size.div_ceil(size_of::<u64>()), GFP_KERNEL)?,
            order: 0,
            unmap: None,
        };
        let map = this.as_raw();

        // SAFETY: The allocation has room for the struct.
        let mut slot = unsafe { addr_of_mut!((*map).__bindgen_anon_1) }.cast::<bindings::range>();
        for range in ranges.take(count) {
            // SAFETY: The allocation has room for `count` ranges. The loop writes no more.
            unsafe { slot.write(range) };
            slot = slot.wrapping_add(1);
        }
        // INVARIANT: The loop wrote `count` ranges.
        // SAFETY: The allocation has room for the struct.
        unsafe { (*map).nr_range = i32::try_from(count)? };
        Ok(this)
    }

    /// Describes the same memory as `map`, which has one range. May sleep.
    ///
    /// The struct pages of `map` may exist or not. Fails with [`EINVAL`] if `map` does not have
    /// exactly one range, and with [`ENOMEM`].
    pub(crate) fn copy_of(map: &DevPagemap) -> Result<Self> {
        // SAFETY: By the type invariant. These fields do not change after they were filled in.
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
        // SAFETY: By the type invariant the struct is valid. Nothing else uses it yet.
        unsafe {
            let map = this.as_raw();

            (*map).flags = flags;
            (*map).altmap = altmap;
            // This counts the pages of the altmap that the struct pages of `map` use.
            (*map).altmap.alloc = 0;
        }
        Ok(this)
    }

    /// Returns the raw pointer. It never changes.
    #[inline]
    pub fn as_raw(&mut self) -> *mut bindings::dev_pagemap {
        self.storage.as_mut_ptr().cast()
    }

    /// Returns the first physical address of the first range.
    pub fn start(&mut self) -> u64 {
        // SAFETY: By the type invariant there is a range, which `new` filled in.
        unsafe {
            (&raw const (*self.as_raw()).__bindgen_anon_1)
                .cast::<bindings::range>()
                .read()
        }
        .start
    }

    /// Prepares the ranges for compound pages of `size` bytes, as [`DevPagemap::fit`] does. `data`
    /// has the memory of each range, in order.
    ///
    /// Fails with [`EBUSY`] if the struct pages exist already.
    pub fn compound(
        &mut self,
        size: u64,
        data: impl Iterator<Item = Range<u64>>,
    ) -> Result<Result<(), Misfit>> {
        if self.unmap.is_some() {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant. Without struct pages the dev_pagemap is not in use.
        let fitted = unsafe { fit_each(self.as_raw(), size, data) };

        if fitted.is_ok() {
            // INVARIANT: `fit_each()` accepted the ranges.
            self.order = (size.trailing_zeros()).saturating_sub(PAGE_SHIFT as u32);
        }
        Ok(fitted)
    }

    /// Returns the order of the compound pages: `2^order` base pages.
    #[inline]
    pub fn order(&self) -> u32 {
        self.order
    }

    /// Creates the struct pages, near the NUMA node `nid`.
    ///
    /// The kernel calls `ops` with the `struct dev_pagemap`, which has `owner`. May sleep.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`] if the struct pages exist already.
    /// - [`EINVAL`] for compound pages for a file system.
    /// - The errors of `memremap_pages()`.
    ///
    /// # Safety
    ///
    /// - The caller owns the memory as long as `self` exists. When `self` is dropped, there are no
    ///   references to the struct pages.
    /// - `ops` accept `owner`, which is valid as long as `self` exists. They are in the kernel
    ///   image, or in a module that stays loaded until `self` is dropped.
    // This is inlined into modules because nfit_test replaces the function there.
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
        // INVARIANT: `memremap_pages()` created the struct pages.
        self.unmap = Some(bindings::memunmap_pages);
        Ok(())
    }

    /// Fills in the fields for [`Self::map`], outside of the code that is inlined into modules.
    pub(crate) fn set_up(
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

        // SAFETY: By the type invariant the struct is valid. It is not in use, so nothing else
        // accesses the fields.
        unsafe {
            (*map).type_ = kind;
            (*map).vmemmap_shift = self.order as usize;
            (*map).ops = ops;
            (*map).owner = owner;
        }
        Ok(())
    }
}

impl Drop for OwnedDevPagemap {
    fn drop(&mut self) {
        if let Some(unmap) = self.unmap {
            // SAFETY: By the type invariant the struct pages exist. By the safety requirements of
            // `map` there are no references to them.
            unsafe { unmap(self.as_raw()) };
        }
    }
}

// SAFETY: Any thread may remove the struct pages.
unsafe impl Send for OwnedDevPagemap {}
// SAFETY: The functions that take a shared reference do not access the struct.
unsafe impl Sync for OwnedDevPagemap {}
