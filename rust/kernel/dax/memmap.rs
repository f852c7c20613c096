// SPDX-License-Identifier: GPL-2.0

//! The memmap of an instance: its struct pages, and the end of them.
//!
//! User space can hold references to the pages of an instance that outlive every mapping: in
//! buffers that are registered with io_uring, RDMA or VFIO, and in pipes. `memunmap_pages()` does
//! not wait for them. So an unbind waits in [`Memmap::retire`], after it has removed all mappings
//! and before it removes the struct pages.
//!
//! An unbind cannot always wait. The device may be gone already, or the holder of a reference may
//! wait for the unbind. Then the struct pages and the reservation of the addresses stay until the
//! last reference is gone. Nothing else stays: the instance is unbound, and its provider can be
//! unbound. The memory cannot be used meanwhile, because each user must reserve the addresses.
//!
//! The code is in the kernel crate because a memmap can outlive the module of the driver.

mod reservation;
mod retire;

pub(super) use self::reservation::{
    Reservation,
    ReserveFunctions, //
};

use super::{
    bare::{
        Bare,
        Failed,
        BARE, //
    },
    device::{
        Device,
        Range, //
    },
    memory::misfit, //
};
use crate::{
    bindings,
    bitmap::BitmapVec,
    device,
    error::from_result,
    mm::{
        fault::PMD_ORDER,
        memremap::{
            DevPagemap,
            OwnedDevPagemap,
            Usage, //
        }, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Atomic,
        Mutex, //
    },
    workqueue::{
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork, //
    }, //
};

use core::ops;

/// The size of the smallest chunk, as an order of pages. A memmap has a bit for each chunk, which
/// says that a page of it was mapped.
const MIN_CHUNK_SHIFT: u32 = PMD_ORDER;

/// The struct pages of an instance and the reservation of its addresses.
///
/// Dropping it removes both.
///
/// # Invariants
///
/// - `ranges` are those of the instance when it was bound, or memory that was added later. They are
///   at the offsets from `base` to `end` into the instance, in pages.
/// - After [`Self::map`] has succeeded, each page of each range has a struct page, until the value
///   is dropped. `order` is that of the compound pages.
/// - `counts` is a per-CPU array. devres frees it after the instance has been killed.
/// - `touched` has a bit for each chunk of `2^chunk_shift` pages, from `base` on.
#[pin_data]
pub(super) struct Memmap {
    // Dropped in this order: the addresses are reserved as long as there are struct pages, or the
    // kernel has memory without them mapped.
    bare: Option<Bare>,
    dev_pagemap: OwnedDevPagemap,
    addresses: KVVec<Reservation>,
    /// The addresses of the struct pages, if these are in the memory of the provider. The provider
    /// reserves them as long as it is bound. After that `addresses` has the reservation.
    inside: Option<ops::Range<u64>>,
    ranges: KVVec<Range>,
    base: usize,
    end: usize,
    usage: Usage,
    order: u32,
    chunk_shift: u32,
    /// The chunks with a page that was mapped.
    touched: BitmapVec,
    pub(super) counts: *mut c_ulong,
    /// The failed pages of memory without struct pages.
    #[pin]
    pub(super) failed: Failed,
    /// The memmaps of memory that the instance was given after the bind.
    #[pin]
    more: Mutex<KVec<Pin<KBox<Memmap>>>>,
    /// The first page that may still be referenced, as an offset into the instance in pages. Only
    /// [`Self::next_held`] moves it, once the instance is dead.
    cursor: Atomic<usize>,
    /// The instance, for messages. It may be removed from the bus already.
    dev: ARef<Device>,
    /// The driver's handler for failed memory of a file system, until the driver is unbound.
    #[pin]
    driver: Mutex<Option<FailureHandler>>,
    #[pin]
    work: DelayedWork<Self>,
}

// SAFETY: The pointer is to per-CPU data, which belongs to no thread.
unsafe impl Send for Memmap {}
// SAFETY: As above. All changes are atomic, except in `map`, which runs before the memmap is
// shared.
unsafe impl Sync for Memmap {}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Memmap { self.work }
}

/// The handler of a driver for failed memory. Its arguments are the memmap, the page frames, and
/// `MF_*`.
///
/// May only be called while the instance is bound or being unbound.
pub(super) type FailureHandler = unsafe fn(&Memmap, ops::Range<usize>, c_int) -> Result;

impl Memmap {
    /// Describes memory of an instance whose addresses are reserved.
    ///
    /// `dev_pagemap` is for `ranges`. With `bare` the memory gets no struct pages. May sleep. Fails
    /// with `ENOMEM`, and with `EINVAL` if the align of the instance does not fit the ranges.
    pub(super) fn new(
        dev: &Device<device::Bound>,
        mut dev_pagemap: OwnedDevPagemap,
        ranges: KVVec<Range>,
        addresses: KVVec<Reservation>,
        usage: Usage,
        bare: bool,
    ) -> Result<Pin<KBox<Self>>> {
        if usage == Usage::Generic {
            let data = ranges.iter();
            let data = data.map(|range| range.start()..range.end().wrapping_add(1));

            dev_pagemap
                .compound(dev.align() as u64, data)?
                .map_err(|why| misfit(dev, &why))?;
        }
        let order = dev_pagemap.order();
        let inside = ranges
            .first()
            .map(|range| dev_pagemap.start()..range.start())
            .filter(|inside| !inside.is_empty());
        let base = ranges.first().map_or(0, Range::pgoff);
        let end = ranges.last().map_or(base, Range::end_pgoff);

        let (chunk_shift, chunks) = match usage {
            Usage::Generic if !bare => {
                let shift = order.max(MIN_CHUNK_SHIFT);
                let last = end.wrapping_sub(base).saturating_sub(1);

                (shift, last.wrapping_shr(shift).wrapping_add(1))
            }
            // A file system does not report which pages it uses. Nobody refers to page frames.
            _ => (0, 0),
        };

        // INVARIANT: The struct pages do not exist yet.
        KBox::pin_init(
            try_pin_init!(Self {
                bare: None,
                dev_pagemap,
                addresses,
                inside,
                ranges,
                base,
                end,
                usage,
                order,
                chunk_shift,
                touched: BitmapVec::new(chunks, GFP_KERNEL)?,
                counts: core::ptr::null_mut(),
                failed <- Failed::new(),
                more <- new_mutex!(KVec::new(), "dax::Memmap::more"),
                cursor: Atomic::new(0),
                dev: dev.into(),
                driver <- new_mutex!(None, "dax::Memmap"),
                work <- new_delayed_work!("dax::Memmap"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Creates the struct pages. `counts` is an array of counters, or null.
    ///
    /// May sleep. Fails with the errors of `memremap_pages()`.
    ///
    /// # Safety
    ///
    /// - `ops` accept a pointer to `self` as the owner.
    /// - `counts` fulfils the type invariant.
    /// - The instance is dead when `self` is dropped, and all mappings of it have been removed.
    // This is inlined into modules, for the same reason as `OwnedDevPagemap::map`.
    #[inline]
    pub(super) unsafe fn map(
        self: Pin<&mut Self>,
        ops: &'static bindings::dev_pagemap_ops,
        counts: *mut c_ulong,
    ) -> Result {
        // SAFETY: `this` is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        let owner = core::ptr::from_mut(this).cast::<c_void>();
        // SAFETY: The instance is valid.
        let nid = unsafe { bindings::dev_to_node(this.dev.as_ref().as_raw()) };

        this.counts = counts;
        // SAFETY:
        // - The addresses are reserved as long as `self` exists. `retire` and the caller ensure
        //   that nobody refers to the pages when it is dropped.
        // - The owner is `self`, which is pinned. By the caller the operations accept it.
        unsafe { this.dev_pagemap.map(nid, this.usage, ops, owner) }
    }

    /// Takes the memory over without struct pages. `counts` is an array of counters.
    ///
    /// May sleep. Fails as [`Bare::new`] does.
    ///
    /// # Safety
    ///
    /// - `dev` is the instance, and `counts` fulfils the type invariant.
    /// - The instance is dead when `self` is dropped, and all mappings of it have been removed.
    pub(super) unsafe fn take_bare(
        self: Pin<&mut Self>,
        dev: &Device<device::Bound>,
        counts: *mut c_ulong,
    ) -> Result {
        // SAFETY: `this` is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        let owner = core::ptr::from_mut(this).cast::<c_void>();

        this.counts = counts;
        this.dev_pagemap.set_up(Usage::Generic, &BARE, owner)?;
        // SAFETY: The addresses are reserved as long as `self` exists.
        this.bare = Some(unsafe { Bare::new(dev, &this.ranges)? });
        Ok(())
    }

    /// Whether the memory has no struct pages.
    pub(super) fn is_bare(&self) -> bool {
        self.bare.is_some()
    }

    /// See [`LiveMemory::find_bare`](super::live::LiveMemory::find_bare).
    pub(super) fn find_bare<R>(&self, f: impl Fn(&Bare) -> Option<R>) -> Option<R> {
        let found = self.bare.as_ref().and_then(&f);

        found.or_else(|| {
            let more = self.more.lock();
            more.iter()
                .find_map(|memmap| memmap.bare.as_ref().and_then(&f))
        })
    }

    /// The `struct dev_pagemap`.
    pub(super) fn pgmap(self: Pin<&mut Self>) -> *mut bindings::dev_pagemap {
        // SAFETY: The value is not moved.
        unsafe { self.get_unchecked_mut() }.dev_pagemap.as_raw()
    }

    /// Records that `folio`, at an offset of `pgoff` pages, is about to be mapped.
    ///
    /// # Safety
    ///
    /// `folio` is a folio of this memmap, or of memory that was added to the instance. The instance
    /// is alive.
    #[inline]
    pub(super) unsafe fn touch(&self, folio: *mut bindings::folio, pgoff: usize) {
        if pgoff < self.end {
            self.touched.set_bit_atomic(self.chunk(pgoff));
        } else {
            // SAFETY: By the caller.
            unsafe { touch_more(folio, pgoff) };
        }
    }

    /// The number of the chunk that has the page at an offset of `pgoff` pages.
    #[inline]
    fn chunk(&self, pgoff: usize) -> usize {
        pgoff.wrapping_sub(self.base).wrapping_shr(self.chunk_shift)
    }

    /// Makes room for [`Self::add_more`].
    pub(super) fn reserve_more(&self) -> Result {
        Ok(self.more.lock().reserve(1, GFP_KERNEL)?)
    }

    /// Takes over the memmap of memory that the instance is given.
    ///
    /// `reserve_more` has made room. Since then no other memory was added.
    pub(super) fn add_more(&self, more: Pin<KBox<Self>>) -> Result {
        self.more
            .lock()
            .push_within_capacity(more)
            .map_err(|_| ENOMEM)
    }

    /// Gives up the memmaps of the memory that was added.
    pub(super) fn take_more(&self) -> KVec<Pin<KBox<Self>>> {
        core::mem::take(&mut *self.more.lock())
    }

    /// The instance.
    pub(super) fn device(&self) -> &Device {
        &self.dev
    }

    /// Sets the handler of the driver for failed memory, until the unbind.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(super) fn set_failure_handler(&self, handler: FailureHandler) {
        *self.driver.lock() = Some(handler);
    }

    /// Handles the failure of the page frames `pfns`, of a file system. `flags` are `MF_*`.
    ///
    /// Returns 0 or an errno, for `mm`. May sleep.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(super) fn failed(&self, pfns: ops::Range<usize>, flags: c_int) -> c_int {
        // The lock keeps the driver: `retire` removes the handler before the unbind ends.
        let driver = self.driver.lock();

        from_result(|| match *driver {
            // SAFETY: There is a handler, so the instance is bound or being unbound.
            Some(handler) => unsafe { handler(self, pfns, flags) }.map(|()| 0),
            // The driver is gone, so there is no file system. `mm` handles the references.
            None => Err(EOPNOTSUPP),
        })
    }

    /// Returns the number of pages in a folio of generic memory.
    pub(super) fn folio_pages(&self) -> usize {
        1usize.wrapping_shl(self.order)
    }

    /// Returns the ranges that the struct pages are for.
    #[inline]
    pub(super) fn ranges(&self) -> &[Range] {
        &self.ranges
    }
}

/// Does what [`Memmap::touch`] does, for memory that was added to the instance.
///
/// # Safety
///
/// `folio` has struct pages of a memmap. The instance is alive.
#[cold]
unsafe fn touch_more(folio: *mut bindings::folio, pgoff: usize) {
    // SAFETY: By the caller the folio is valid. `memremap_pages()` has set the `struct dev_pagemap`
    // of its pages, whose owner is the memmap. The memmap exists as long as the instance is alive.
    let memmap = unsafe {
        let page = &raw const (*folio).__bindgen_anon_1.__bindgen_anon_1;
        let pgmap = (*page).__bindgen_anon_1.pgmap;

        &*(*pgmap).owner.cast::<Memmap>()
    };

    memmap.touched.set_bit_atomic(memmap.chunk(pgoff));
}

/// Describes the memory of an instance that is being bound: as its provider did in a static region,
/// otherwise by its ranges.
///
/// Fails with `ENOMEM`, and with `EINVAL` if the instance is static and does not have one range and
/// a dev_pagemap.
pub(super) fn dev_pagemap(
    dev: &Device<device::Bound>,
    ranges: &[Range],
) -> Result<OwnedDevPagemap> {
    // SAFETY: By the type invariant of `Device`. The field belongs to the bound driver.
    let given = unsafe { (*dev.as_raw()).pgmap };

    // SAFETY: By the type invariant of `Device`.
    if unsafe { bindings::static_dev_dax(dev.as_raw()) } {
        if given.is_null() || ranges.len() != 1 {
            dev_warn!(
                dev,
                "a static instance needs one range and a dev_pagemap, it has {} ranges; its provider is at fault\n",
                ranges.len()
            );
            return Err(EINVAL);
        }
        // SAFETY: The provider's `struct dev_pagemap` belongs to the instance.
        return OwnedDevPagemap::copy_of(unsafe { DevPagemap::from_raw(given) });
    }

    if !given.is_null() {
        dev_warn!(
            dev,
            "a dynamic instance has a dev_pagemap before it is bound; the driver before did not clear it\n"
        );
        return Err(EINVAL);
    }
    OwnedDevPagemap::new(ranges.iter().map(|range| range.0.range))
}
