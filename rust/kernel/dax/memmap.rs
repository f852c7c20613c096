// SPDX-License-Identifier: GPL-2.0

//! The memmap of an instance: its struct pages, and the end of them.
//!
//! User space can hold references to the pages of an instance that outlive every mapping: buffers that
//! are registered with io_uring, RDMA or VFIO, and pages in a pipe. `memunmap_pages()` does not wait for
//! them. So an unbind does, here, between the removal of all mappings and that of the struct pages:
//! [`Memmap::retire`].
//!
//! Some cannot wait, such as whoever removes a device that is gone already, or must not, since the
//! holder of a reference waits for them. Then the struct pages and the reservation of the addresses
//! stay behind, and go when the last reference is gone. Nothing else stays: the instance is unbound,
//! and its provider can go. Nobody gets the memory before, since whoever wants it has to reserve the
//! addresses.

use super::device::{
    misfit,
    Device,
    Range, //
};
use crate::{
    bindings,
    bitmap::BitmapVec,
    device,
    error::from_result,
    mm::memremap::{
        OwnedPageMap,
        PageMap,
        Usage, //
    },
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    str::{
        CStrExt as _,
        CString, //
    },
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    task::Task,
    time::msecs_to_jiffies,
    workqueue::{
        self,
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork,
        WorkItem, //
    }, //
};

use core::ops;

/// An unbind that waits says so after this time.
const SAY_AFTER_MS: i64 = 1000;

/// After this time an unbind stops waiting if somebody waits for it in turn, or if it is the work of
/// the kernel and not of a task that could be sent a signal.
const PATIENCE_MS: i64 = 10_000;

/// How often an unbind looks at the pages, in milliseconds: at first, and at most.
const POLL_MS: (u32, u32) = (1, 100);

/// The same after the unbind.
const POLL_LEFT_MS: u32 = 1000;

/// How often it is tried to reserve the memory that a memmap is in, in milliseconds.
const POLL_RESERVE_MS: u32 = 20;

/// Pages as a shift: parts of an instance that are remembered as handed out are not smaller.
const MIN_PART_SHIFT: u32 = bindings::PMD_ORDER;

/// How addresses are reserved in `/proc/iomem`: C's functions, or those that nfit_test has instead.
#[derive(Clone, Copy)]
pub(super) struct ReserveFunctions {
    pub(super) request: unsafe extern "C" fn(
        *mut bindings::resource,
        bindings::resource_size_t,
        bindings::resource_size_t,
        *const c_char,
        c_int,
    ) -> *mut bindings::resource,
    pub(super) release: unsafe extern "C" fn(
        *mut bindings::resource,
        bindings::resource_size_t,
        bindings::resource_size_t,
    ),
}

/// A reservation of addresses in `/proc/iomem`, given up when this is dropped.
///
/// [`io::resource::Region`](crate::io::resource::Region) would do but for nfit_test, whose
/// physical addresses are made up.
///
/// # Invariants
///
/// The addresses are reserved by the functions, with this name.
pub(super) struct Reservation {
    functions: ReserveFunctions,
    start: u64,
    size: u64,
    _name: CString,
}

impl Reservation {
    /// Reserves `size` bytes from `start` on. [`None`] if somebody else has some of them.
    pub(super) fn new(
        functions: ReserveFunctions,
        start: u64,
        size: u64,
        name: CString,
    ) -> Option<Self> {
        // SAFETY: C defines the resource. The name stays as long as the reservation.
        let resource = unsafe {
            (functions.request)(
                &raw mut bindings::iomem_resource,
                start,
                size,
                name.as_char_ptr(),
                0,
            )
        };

        if resource.is_null() {
            return None;
        }
        // INVARIANT: Just done.
        Some(Self {
            functions,
            start,
            size,
            _name: name,
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            (self.functions.release)(&raw mut bindings::iomem_resource, self.start, self.size)
        };
    }
}

/// The struct pages of an instance and the reservation of its addresses.
///
/// Dropping it removes both.
///
/// # Invariants
///
/// - `ranges` are those of the instance when it was bound.
/// - Once [`Self::map`] has succeeded, each page of each range has a struct page, until the value is
///   dropped; `order` is that of the compound pages.
/// - `counts` is a per-CPU array that devres frees after the instance has been killed.
/// - `touched` has a bit for each part of `2^part_shift` pages of the instance.
#[pin_data]
pub(super) struct Memmap {
    // Dropped in this order: the addresses are reserved as long as there are struct pages.
    page_map: OwnedPageMap,
    addresses: KVVec<Reservation>,
    /// Where the memmap is, if it is in the memory of the provider. The provider has reserved that as
    /// long as it is bound; here is the reservation after that.
    inside: Option<ops::Range<u64>>,
    ranges: KVVec<bindings::dev_dax_range>,
    usage: Usage,
    order: u32,
    part_shift: u32,
    /// Parts that have a page which was handed out.
    touched: BitmapVec,
    pub(super) counts: *mut c_ulong,
    /// The first page that may still be referenced, as an offset into the instance in pages. Only
    /// [`Self::next_held`] moves it, once the instance is dead.
    cursor: Atomic<usize>,
    /// Names the instance in messages. It may be unregistered by then.
    dev: ARef<Device>,
    /// The driver is told of failed memory of a file system here, until it is unbound.
    #[pin]
    driver: Mutex<Option<FailureHandler>>,
    #[pin]
    work: DelayedWork<Self>,
}

// SAFETY: The pointer is to per-CPU data, which belongs to no thread.
unsafe impl Send for Memmap {}
// SAFETY: As above; whatever changes is atomic, but for what `map` does before others know of it.
unsafe impl Sync for Memmap {}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Memmap { self.work }
}

/// What the driver of an instance does when memory of it has failed: the page frames, and `MF_*`.
///
/// To be called only while the instance is bound, or being unbound.
pub(super) type FailureHandler =
    unsafe fn(*mut bindings::dev_dax, ops::Range<usize>, c_int) -> Result;

/// Pages that somebody refers to.
struct Held {
    /// Offset into the instance, in pages.
    pgoff: usize,
    /// The size of the folio, in pages.
    pages: usize,
    references: usize,
}

impl Memmap {
    /// Describes the memory of an instance whose addresses are reserved.
    ///
    /// May sleep. Fails with `ENOMEM`, and as [`page_map`] does.
    pub(super) fn new(
        dev: &Device<device::Bound>,
        addresses: KVVec<Reservation>,
        usage: Usage,
    ) -> Result<Pin<KBox<Self>>> {
        let mut page_map = page_map(dev)?;
        if usage == Usage::Generic {
            let data = dev.ranges().iter();
            let data = data.map(|range| range.start()..range.end().wrapping_add(1));

            page_map
                .compound(dev.align() as u64, data)?
                .map_err(|why| misfit(dev, &why))?;
        }
        let order = page_map.order();
        let inside = dev
            .ranges()
            .first()
            .map(|range| page_map.start()..range.start())
            .filter(|inside| !inside.is_empty());
        let mut ranges = KVVec::with_capacity(dev.ranges().len(), GFP_KERNEL)?;
        for range in dev.ranges() {
            ranges.push_within_capacity(range.0).map_err(|_| ENOMEM)?;
        }

        let (part_shift, parts) = match usage {
            Usage::Generic => {
                let shift = order.max(MIN_PART_SHIFT);
                let end = ranges.last().map_or(0, |last| Range(*last).end_pgoff());
                let last = end.saturating_sub(1).wrapping_shr(shift);

                (shift, last.wrapping_add(1))
            }
            // File systems do not tell what they use.
            Usage::FsDax => (0, 0),
        };

        // INVARIANT: Nothing is mapped yet.
        KBox::pin_init(
            try_pin_init!(Self {
                page_map,
                addresses,
                inside,
                ranges,
                usage,
                order,
                part_shift,
                touched: BitmapVec::new(parts, GFP_KERNEL)?,
                counts: core::ptr::null_mut(),
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
    // Inlined into the module, as `OwnedPageMap::map`.
    #[inline]
    pub(super) unsafe fn map(
        self: Pin<&mut Self>,
        ops: &'static bindings::dev_pagemap_ops,
        counts: *mut c_ulong,
    ) -> Result {
        // SAFETY: Nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        let owner = core::ptr::from_mut(this).cast::<c_void>();
        // SAFETY: The instance is valid.
        let nid = unsafe { bindings::dev_to_node(this.dev.as_ref().as_raw()) };

        this.counts = counts;
        // SAFETY:
        // - The addresses are reserved for as long as `self` exists; `retire` and the caller see to it
        //   that nobody refers to the pages when it is dropped.
        // - The owner is `self`, which is pinned; the operations by the caller.
        unsafe { this.page_map.map(nid, this.usage, ops, owner) }
    }

    /// The `struct dev_pagemap`.
    pub(super) fn pgmap(self: Pin<&mut Self>) -> *mut bindings::dev_pagemap {
        // SAFETY: Nothing is moved.
        unsafe { self.get_unchecked_mut() }.page_map.as_raw()
    }

    /// Remembers that the page at an offset of `pgoff` pages is handed out.
    #[inline]
    pub(super) fn touch(&self, pgoff: usize) {
        self.touched
            .set_bit_atomic(pgoff.wrapping_shr(self.part_shift));
    }

    /// The instance.
    pub(super) fn device(&self) -> &Device {
        &self.dev
    }

    /// Has the driver told of failed memory, until it is unbound.
    pub(super) fn tell_of_failures(&self, handler: FailureHandler) {
        *self.driver.lock() = Some(handler);
    }

    /// Some memory of a file system has failed: the page frames `pfns`. `flags` are `MF_*`.
    ///
    /// Returns 0 or an errno, for `mm`. May sleep.
    pub(super) fn failed(&self, pfns: ops::Range<usize>, flags: c_int) -> c_int {
        // While this is locked the driver stays: `retire` takes it away before the unbind ends.
        let driver = self.driver.lock();

        from_result(|| match *driver {
            // SAFETY: The instance is bound, or being unbound.
            Some(handler) => unsafe { handler(self.dev.as_raw(), pfns, flags) }.map(|()| 0),
            // Those who refer to the page are all that there is to be told.
            None => Err(EOPNOTSUPP),
        })
    }

    /// The number of pages in a folio, of generic memory.
    pub(super) fn folio_pages(&self) -> usize {
        1usize.wrapping_shl(self.order)
    }

    /// The ranges that the instance was bound with.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.ranges.iter().map(|range| {
            // SAFETY: `Range` is a transparent wrapper.
            unsafe { &*core::ptr::from_ref(range).cast() }
        })
    }

    /// The next pages that somebody refers to, from the cursor on. All pages before them are free, and
    /// stay free: the instance is dead, so nobody is given a reference any more but by who has one.
    fn next_held(&self) -> Option<Held> {
        let held = self.held_from(self.cursor.load(Relaxed), true);

        self.cursor
            .store(held.as_ref().map_or(usize::MAX, |held| held.pgoff), Relaxed);
        held
    }

    /// The first pages from an offset of `from` pages on that somebody refers to.
    ///
    /// With `settle`, pages of a file system that nobody refers to become single pages again.
    fn held_from(&self, from: usize, settle: bool) -> Option<Held> {
        for range in self.ranges() {
            let first_pfn = (range.start() >> PAGE_SHIFT) as usize;
            let mut pgoff = from.max(range.pgoff());

            // SAFETY: Only looks whether there is a struct page.
            if pgoff >= range.end_pgoff() || !unsafe { bindings::pfn_valid(first_pfn) } {
                // The second is so with the made-up addresses of nfit_test.
                continue;
            }
            while pgoff < range.end_pgoff() {
                let mut end = range.end_pgoff();

                if self.usage == Usage::Generic {
                    let part = self.touched.next_bit(pgoff.wrapping_shr(self.part_shift))?;

                    pgoff = pgoff.max(part.wrapping_shl(self.part_shift));
                    end = end.min(part.wrapping_add(1).wrapping_shl(self.part_shift));
                }
                while pgoff < end {
                    let pfn = first_pfn.wrapping_add(pgoff.wrapping_sub(range.pgoff()));
                    // SAFETY: By the type invariant there is a struct page. Compound pages begin where
                    // the range does, so it is the first of its folio.
                    let (references, pages) = unsafe { self.folio(pfn, settle) };

                    if references != 0 {
                        return Some(Held {
                            pgoff,
                            pages,
                            references,
                        });
                    }
                    pgoff = pgoff.wrapping_add(pages);
                }
                // SAFETY: Those who look for references may sleep.
                unsafe { bindings::cond_resched() };
            }
        }
        None
    }

    /// How many references there are to a folio, and how many pages it has.
    ///
    /// # Safety
    ///
    /// `pfn` is that of the first page of a folio of the instance, which is dead.
    #[inline]
    unsafe fn folio(&self, pfn: usize, settle: bool) -> (usize, usize) {
        // SAFETY: By the caller.
        unsafe {
            let folio = bindings::pfn_folio(pfn);
            let count = usize::try_from(bindings::folio_ref_count(folio)).unwrap_or(0);

            match self.usage {
                Usage::Generic => (
                    self.references(count.saturating_sub(1)),
                    1usize.wrapping_shl(self.order),
                ),
                Usage::FsDax if count != 0 || !settle => {
                    (count, 1usize.wrapping_shl(bindings::folio_order(folio)))
                }
                Usage::FsDax => {
                    let order = bindings::dax_folio_reset_order(folio);

                    (0, 1usize.wrapping_shl(order as u32))
                }
            }
        }
    }

    /// The number of references in a refcount: a pin of a single page counts as many.
    #[inline]
    fn references(&self, count: usize) -> usize {
        const PIN: usize = bindings::GUP_PIN_COUNTING_BIAS as usize;

        if self.order == 0 {
            (count / PIN).wrapping_add(count % PIN)
        } else {
            count
        }
    }

    /// Adds up the references, and counts the folios that have any.
    fn count_held(&self, first: &Held) -> (usize, usize) {
        let (mut references, mut folios) = (0usize, 0usize);
        let mut from = first.pgoff;

        while let Some(held) = self.held_from(from, false) {
            references = references.saturating_add(held.references);
            folios = folios.saturating_add(1);
            from = held.pgoff.wrapping_add(held.pages);
        }
        (references, folios)
    }

    /// Removes the struct pages and the reservation of the addresses, once nobody refers to a page.
    ///
    /// The instance is dead, and all mappings of it are removed. This sleeps until the references are
    /// gone. It gives up at a signal; and after some seconds if the task is one of the kernel, or if
    /// somebody waits for the lock of the instance or of a device above it, and so perhaps holds what
    /// this waits for. Then it leaves all of it to a work item.
    pub(super) fn retire(self: Pin<KBox<Self>>) {
        let start = now_ms();
        let mut delay = POLL_MS.0;
        let mut said = false;

        while let Some(held) = self.next_held() {
            let waited = now_ms().wrapping_sub(start);

            if waited >= SAY_AFTER_MS && !said {
                said = true;
                self.say_waiting(&held);
            }
            // SAFETY: The current task sleeps here, which it may.
            unsafe { bindings::schedule_timeout_interruptible(msecs_to_jiffies(delay) as c_long) };
            self.unmap();
            delay = POLL_MS.1.min(delay.saturating_mul(2));

            let reason = if current!().signal_pending() {
                "a signal ended the wait"
            } else if waited < PATIENCE_MS {
                continue;
            } else if is_kernel_thread() {
                "the kernel cannot wait"
            } else if self.is_waited_for() {
                "another task waits for the device"
            } else {
                continue;
            };
            // It may have ended meanwhile.
            if let Some(held) = self.next_held() {
                self.say_left(&held, reason);
                *self.driver.lock() = None;
                self.leave();
                return;
            }
        }
        if said {
            dev_info!(
                self.dev,
                "unbind goes on after {} s: nobody refers to the memory any more\n",
                now_ms().wrapping_sub(start) / 1000
            );
        }
    }

    /// Removes what `mm` may have mapped after the instance was killed: a fault in an area that
    /// `userfaultfd` watches leaves that to `mm`, with a reference to the page.
    fn unmap(&self) {
        // SAFETY: The instance is valid, and so are its dax device and the inode of that.
        unsafe {
            let mapping = (*bindings::dax_inode((*self.dev.as_raw()).dax_dev)).i_mapping;

            bindings::unmap_mapping_range(mapping, 0, 0, 1);
        }
    }

    /// Leaves it to a work item to look again later.
    fn leave(mut self: Pin<KBox<Self>>) {
        // SAFETY: Nothing is moved.
        let this = unsafe { self.as_mut().get_unchecked_mut() };
        let delay = if this.reserve_inside() {
            POLL_LEFT_MS
        } else {
            POLL_RESERVE_MS
        };

        workqueue::system_unbound().enqueue_delayed(self, msecs_to_jiffies(delay));
    }

    /// Reserves the memory that the memmap is in, as soon as the provider does not. Until somebody has
    /// it reserved, this has to be tried often: it returns false then.
    fn reserve_inside(&mut self) -> bool {
        let Some(inside) = &self.inside else {
            return true;
        };
        let Ok(name) = CString::try_from(self.dev.name()) else {
            return false;
        };
        // There is at least one range.
        let Some(functions) = self.addresses.first().map(|first| first.functions) else {
            return true;
        };
        let size = inside.end.wrapping_sub(inside.start);
        let reservation = Reservation::new(functions, inside.start, size, name);
        // There is room for one more; see `Device::reserve`.
        let reserved = reservation
            .is_some_and(|reservation| self.addresses.push_within_capacity(reservation).is_ok());

        if reserved {
            self.inside = None;
        }
        reserved
    }

    #[cold]
    #[inline(never)]
    fn say_waiting(&self, held: &Held) {
        let (references, folios) = self.count_held(held);

        dev_warn!(
            self.dev,
            "unbind waits for {} references to {} pages or entries of the memory, the first at offset 0x{:x}: somebody has registered it for I/O (io_uring, RDMA, VFIO) or has it in a pipe; to go on, end that process; a signal to the one who unbinds leaves the memory reserved until then\n",
            references,
            folios,
            held.pgoff.wrapping_shl(PAGE_SHIFT as u32)
        );
    }

    #[cold]
    #[inline(never)]
    fn say_left(&self, held: &Held, reason: &str) {
        let (references, folios) = self.count_held(held);

        dev_warn!(
            self.dev,
            "unbound, but {} references to {} pages or entries of the memory remain, the first at offset 0x{:x} ({}); the addresses stay reserved in /proc/iomem until they are gone, and the device cannot be bound before that\n",
            references,
            folios,
            held.pgoff.wrapping_shl(PAGE_SHIFT as u32),
            reason
        );
    }

    /// Whether a task waits for the lock of the instance, or of a device above it.
    fn is_waited_for(&self) -> bool {
        let mut dev = self.dev.as_ref().as_raw();

        while !dev.is_null() {
            // SAFETY: The instance is valid. A device that is registered keeps the one above it, and
            // the instance is registered while it is being unbound.
            unsafe {
                if bindings::device_lock_contended(dev) {
                    return true;
                }
                dev = (*dev).parent;
            }
        }
        false
    }
}

impl WorkItem for Memmap {
    type Pointer = Pin<KBox<Self>>;

    /// Nobody waits any more: looks again later, until nobody refers to a page.
    fn run(this: Pin<KBox<Self>>) {
        this.unmap();
        if this.next_held().is_some() {
            this.leave();
        } else {
            dev_info!(
                this.dev,
                "nobody refers to the memory any more; it can be bound again\n"
            );
        }
    }
}

/// Milliseconds since the kernel started.
fn now_ms() -> i64 {
    // SAFETY: No requirements.
    let now = unsafe { bindings::ktime_get() };

    now / 1_000_000
}

/// Whether the current task is one that nobody can send a signal.
fn is_kernel_thread() -> bool {
    // SAFETY: The current task is valid; this flag of it does not change.
    let flags = unsafe { (*Task::current_raw()).flags };

    flags & bindings::PF_KTHREAD != 0
}

/// Describes the memory of an instance: as its provider did, or by its ranges.
///
/// Fails with `ENOMEM`, and with `EINVAL` if the provider of a static instance has made none or too
/// many ranges.
fn page_map(dev: &Device<device::Bound>) -> Result<OwnedPageMap> {
    // SAFETY: By the type invariant of `Device`. The field belongs to the bound driver.
    let given = unsafe { (*dev.as_raw()).pgmap };

    // SAFETY: By the type invariant of `Device`.
    if unsafe { bindings::static_dev_dax(dev.as_raw()) } {
        if given.is_null() || dev.ranges().len() != 1 {
            dev_warn!(
                dev,
                "a static instance needs one range and a page map, it has {} ranges; its provider is at fault\n",
                dev.ranges().len()
            );
            return Err(EINVAL);
        }
        // SAFETY: The provider's `struct dev_pagemap` belongs to the instance.
        return OwnedPageMap::copy_of(unsafe { PageMap::from_raw(given) });
    }

    if !given.is_null() {
        dev_warn!(
            dev,
            "a dynamic instance has a page map before it is bound; the driver before did not clear it\n"
        );
        return Err(EINVAL);
    }
    OwnedPageMap::new(dev.ranges().iter().map(|range| range.0.range))
}
