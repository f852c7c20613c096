// SPDX-License-Identifier: GPL-2.0

//! The page frames of a file, until the driver of their device is unbound.
//!
//! A bare frame has no reference count, so the unbind of the driver of the persistent memory would
//! not wait for those who map it. Instead, the bus tells [`Frames`] before the driver is unbound
//! (`BUS_NOTIFY_UNBIND_DRIVER`). From then on no fault succeeds, and all entries are gone. The dax
//! device tells its holder, too, but there can only be one, and on xfs that is xfs.
//!
//! A reference to the `struct dev_pagemap` makes this safe, whatever else happens: with it the
//! frames stay. It is given back when the bus has told.
//!
//! Frames that fail are the business of [`holder`](super::holder).

use super::{
    blocks::Disk,
    holder, //
};
use crate::daxfile::extents::Extents;
use core::{
    ops::Range,
    ptr::{
        null,
        null_mut, //
    }, //
};
use kernel::{
    bindings,
    error::to_result,
    mm::fault::{
        FaultResult,
        VmFault, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        srcu::new_srcu,
        Srcu, //
    },
    types::Opaque, //
};

/// The dax device of a block device.
///
/// # Invariants
///
/// This owns a reference to `dax`. `parent` is the device whose driver made the disk.
pub(crate) struct Memory {
    dax: *mut bindings::dax_device,
    bdev: *mut bindings::block_device,
    /// The offset of the block device in the dax device, in pages.
    start: usize,
    pgmap: Pgmap,
    parent: Parent,
}

/// A reference to a `struct dev_pagemap`, or null.
struct Pgmap(*mut bindings::dev_pagemap);

impl Drop for Pgmap {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: This owns a reference.
            unsafe { bindings::put_dev_pagemap(self.0) };
        }
    }
}

/// A reference to a device.
struct Parent(*mut bindings::device);

impl Drop for Parent {
    fn drop(&mut self) {
        // SAFETY: This owns a reference.
        unsafe { bindings::put_device(self.0) };
    }
}

impl Memory {
    /// Finds the dax device of a block device.
    ///
    /// Fails with `EOPNOTSUPP` if there is none, or if it is made of others (device mapper).
    pub(crate) fn of(disk: Disk<'_>) -> Result<Self> {
        let (bdev, mut start) = (disk.as_raw(), 0);

        // SAFETY: The block device is open. Without a holder there are no operations.
        let (dax, parent) = unsafe {
            let parent = (*(*(*bdev).bd_disk).part0).bd_device.parent;
            if parent.is_null() || (*parent).bus.is_null() {
                return Err(EOPNOTSUPP);
            }
            (
                bindings::fs_dax_get_by_bdev(bdev, &raw mut start, null_mut(), null()),
                parent,
            )
        };
        if dax.is_null() {
            return Err(EOPNOTSUPP);
        }

        // INVARIANT: See above.
        Ok(Self {
            dax,
            bdev,
            start: (start >> PAGE_SHIFT) as usize,
            pgmap: Pgmap(null_mut()),
            // SAFETY: The disk exists, and has a reference to its parent.
            parent: Parent(unsafe { bindings::get_device(parent) }),
        })
    }

    /// Finds the frame of a page of the block device. Also returns how many of the `pages` pages
    /// from there on are in consecutive frames.
    ///
    /// Fails with `ENXIO` if the driver is being unbound, with `EOPNOTSUPP` if the frames do not
    /// belong to the same driver as those before, and with `EIO` if one has failed.
    pub(crate) fn frames(&mut self, block: usize, pages: usize) -> Result<(usize, usize)> {
        let mut pfn = 0;

        // SAFETY: By the type invariant. The call is in a section of `dax_read_lock()`.
        let found = unsafe {
            let section = bindings::dax_read_lock();
            let found = bindings::dax_direct_access(
                self.dax,
                self.start.wrapping_add(block),
                pages as c_long,
                bindings::dax_access_mode_DAX_ACCESS,
                null_mut(),
                &raw mut pfn,
            );
            bindings::dax_read_unlock(section);
            found
        };
        let found = match usize::try_from(found) {
            Ok(0) => return Err(EIO),
            Ok(found) => found.min(pages),
            Err(_) if found == ENXIO.to_errno() as c_long => return Err(ENXIO),
            Err(_) => return Err(EIO),
        };

        // SAFETY: The function takes any number.
        let pgmap = Pgmap(unsafe { bindings::get_dev_pagemap(pfn) });
        if pgmap.0.is_null() {
            // There are no struct pages, or the driver is being unbound.
            return Err(ENXIO);
        }
        if self.pgmap.0.is_null() {
            self.pgmap = pgmap;
        } else if self.pgmap.0 != pgmap.0 {
            return Err(EOPNOTSUPP);
        }
        Ok((pfn, found))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. It was got without a holder.
        unsafe { bindings::fs_put_dax(self.dax, null_mut()) };
    }
}

/// The frames of a file, which can be mapped until the driver of their device is unbound.
///
/// # Invariants
///
/// - `alive` is 1 only while `pgmap` is a reference to the `struct dev_pagemap` of the frames.
/// - All extents are multiples of `2^order` pages, in the file and in memory.
/// - If `mapping` is not null, it is the mapping of the file that maps the frames, `notifier` is
///   registered at the bus of the device, and [`holder`] knows this.
#[pin_data(PinnedDrop)]
pub(crate) struct Frames {
    #[pin]
    notifier: Opaque<bindings::notifier_block>,
    #[pin]
    srcu: Srcu,
    alive: Atomic<u32>,
    /// Whether a frame has failed.
    failed: Atomic<u32>,
    mapping: Atomic<*mut bindings::address_space>,
    pgmap: Atomic<*mut bindings::dev_pagemap>,
    extents: Extents,
    order: u32,
    memory: Memory,
}

// SAFETY: Any thread may use and drop the references.
unsafe impl Send for Frames {}
// SAFETY: What changes is atomic.
unsafe impl Sync for Frames {}

impl Frames {
    /// Prepares to map frames that [`Memory::frames`] of `memory` returned, with entries of
    /// `order`. [`Self::start`] allows it.
    pub(crate) fn new(
        mut memory: Memory,
        extents: Extents,
        order: u32,
    ) -> impl PinInit<Self, Error> {
        let order = order.min(extents.largest_order());

        try_pin_init!(Self {
            srcu <- new_srcu!(),
            notifier <- Opaque::new(bindings::notifier_block {
                notifier_call: Some(Self::told),
                ..pin_init::zeroed()
            }),
            alive: Atomic::new(0),
            failed: Atomic::new(0),
            mapping: Atomic::new(null_mut()),
            // From here on nothing fails, so the reference is not lost.
            pgmap: Atomic::new(core::mem::replace(&mut memory.pgmap.0, null_mut())),
            extents,
            order,
            memory,
        })
    }

    /// Allows to map the frames until the driver is unbound.
    ///
    /// Fails with `ENXIO` if it is unbound already, and with `EUSERS` if the user has `most` seals.
    /// May sleep.
    ///
    /// # Safety
    ///
    /// - Called once. `mapping` is that of the file whose areas map the frames, and stays valid
    ///   until this is dropped.
    /// - The block device that the memory was found by is open until this is dropped.
    pub(crate) unsafe fn start(&self, mapping: *mut bindings::address_space, most: u32) -> Result {
        let parent = self.memory.parent.0;
        let known = holder::Known::new(self, most)?;

        // SAFETY: This has a reference to the device. Its lock protects the binding: either the
        // driver is bound and the bus will tell, or it is gone.
        unsafe {
            bindings::device_lock(parent);
            let result = if (*parent).driver.is_null() {
                Err(ENXIO)
            } else {
                to_result(bindings::bus_register_notifier(
                    (*parent).bus,
                    self.notifier.get(),
                ))
            };
            if result.is_ok() {
                // INVARIANT: Registered and known, and the reference is there.
                core::mem::forget(known);
                self.mapping.store(mapping, Relaxed);
                self.alive.store(1, Relaxed);
            }
            bindings::device_unlock(parent);
            result
        }
    }

    /// The order of the entries.
    #[inline]
    pub(crate) fn order(&self) -> u32 {
        self.order
    }

    #[inline]
    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }

    /// Returns whether the frames can be mapped.
    pub(crate) fn alive(&self) -> bool {
        self.alive.load(Relaxed) != 0
    }

    /// Maps the frames at the address of a fault, with one entry.
    ///
    /// # Safety
    ///
    /// The area is shared, is one of bare frames, and belongs to the file of [`Self::start`].
    #[inline]
    pub(crate) unsafe fn map(&self, vmf: &VmFault) -> FaultResult {
        let order = self.order;
        let entry = vmf.entry(PAGE_SIZE.wrapping_shl(order));
        let Some(pfn) = entry.and_then(|page| self.extents.frame(page)) else {
            return FaultResult::SIGBUS;
        };

        let _section = self.srcu.read_lock();
        if self.alive.load(Relaxed) == 0 {
            return FaultResult::SIGBUS;
        }
        if self.failed.load(Relaxed) != 0 && any_failed(pfn, order) {
            return vmf.failed(order);
        }
        // SAFETY: The area is as required. By the type invariant the extents are aligned, so the
        // frames of the entry follow each other. They exist until `end` has removed them from all
        // address spaces, which waits for this section. Until then the `struct dev_pagemap` keeps
        // them mapped write-back in the kernel, so nobody can map them otherwise.
        unsafe { vmf.insert_cached_pfn(pfn, order) }
    }

    /// The dax device, for comparison.
    pub(super) fn dax(&self) -> *mut bindings::dax_device {
        self.memory.dax
    }

    /// The block device, which is open if `start` was called.
    pub(super) fn bdev(&self) -> *mut bindings::block_device {
        self.memory.bdev
    }

    /// Handles the failure of frames, if they are of this file. Returns whether one is.
    ///
    /// This is about the entries of the sealed mappings. Those of the file itself, which are
    /// read-only, are the business of `mm`.
    ///
    /// From then on no entry maps them. Other entries are made again when they are touched.
    ///
    /// # Safety
    ///
    /// The frames have struct pages.
    pub(super) unsafe fn fail(&self, pfns: &Range<usize>) -> bool {
        let mut any = false;

        for pfn in pfns.clone().filter(|pfn| self.extents.contains(*pfn)) {
            // SAFETY: By the safety requirement.
            unsafe { bindings::pfn_set_hwpoison(pfn) };
            any = true;
        }
        if any {
            self.failed.store(1, Relaxed);
        }
        let mapping = self.mapping.load(Relaxed);
        if any && !mapping.is_null() {
            // From here on no fault maps them.
            self.srcu.synchronize();
            // SAFETY: By the type invariant the mapping is valid. A length of 0 is all of it.
            unsafe { bindings::unmap_mapping_range(mapping, 0, 0, 1) };
        }
        any
    }

    /// # Safety
    ///
    /// `nb` is the `notifier` of a `Frames`, which stays registered during the call. `data` is a
    /// device of the bus.
    unsafe extern "C" fn told(
        nb: *mut bindings::notifier_block,
        action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirement.
        let this = unsafe { &*kernel::container_of!(Opaque::cast_from(nb), Self, notifier) };
        let unbind = bindings::bus_notifier_event_BUS_NOTIFY_UNBIND_DRIVER as c_ulong;

        if action == unbind && data.cast() == this.memory.parent.0 {
            this.end();
        }
        bindings::NOTIFY_DONE as c_int
    }

    /// Removes the frames from all address spaces, for good.
    #[cold]
    fn end(&self) {
        self.alive.store(0, Relaxed);
        // From here on no fault maps them.
        self.srcu.synchronize();
        // SAFETY: By the type invariant the mapping is valid. A length of 0 is all of it.
        unsafe { bindings::unmap_mapping_range(self.mapping.load(Relaxed), 0, 0, 1) };
        // INVARIANT: `alive` is 0.
        drop(Pgmap(self.pgmap.xchg(null_mut(), Full)));
    }
}

/// Whether one of the frames of an entry has failed.
#[cold]
fn any_failed(pfn: usize, order: u32) -> bool {
    (0..1usize.wrapping_shl(order)).any(|n| {
        // SAFETY: The frames of a file have struct pages.
        unsafe { bindings::pfn_is_hwpoison(pfn.wrapping_add(n)) }
    })
}

#[pinned_drop]
impl PinnedDrop for Frames {
    fn drop(self: Pin<&mut Self>) {
        if !self.mapping.load(Relaxed).is_null() {
            // SAFETY: By the type invariant it is registered. This waits for a call.
            unsafe {
                bindings::bus_unregister_notifier((*self.memory.parent.0).bus, self.notifier.get())
            };
            // INVARIANT: It is not used any more.
            // SAFETY: By the type invariant.
            drop(unsafe { holder::Known::of(&self) });
        }
        drop(Pgmap(self.pgmap.load(Relaxed)));
    }
}
