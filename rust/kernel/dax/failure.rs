// SPDX-License-Identifier: GPL-2.0

//! Memory failure in an instance that user space maps.
//!
//! This has the operations of the `struct dev_pagemap` of generic device memory, and the functions
//! that they need. They serve `device_dax`, but cannot be in that module: the struct pages can
//! outlive it (`Memmap::retire()`), and so can an [`Unmap`] that a task has not run yet. They
//! cannot be in the core either, because the core may be C.

use super::{
    device::Device,
    live::mapping_of,
    memmap::Memmap, //
};
use crate::{
    alloc,
    bindings,
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Acquire, //
    },
    task::Task, //
};
use core::ops::Range;

/// The operations of the `struct dev_pagemap` of an instance that user space maps.
pub(super) static GENERIC: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    memory_failure: Some(memory_failure),
    ..pin_init::zeroed()
};

/// Handles the failure of a page. Marks the compound page, so that no fault maps it any more.
///
/// With `EOPNOTSUPP`, `mm` continues: it sends signals to the processes that have the page mapped
/// and want to know. It can do that only for memory that was mapped at least once.
///
/// # Safety
///
/// The caller has a reference to `pgmap`, which has the operations [`GENERIC`].
unsafe extern "C" fn memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    _nr_pages: c_ulong,
    _flags: c_int,
) -> c_int {
    // SAFETY: Only `Reserved::map_generic` sets these operations, and it makes a `Memmap` the
    // owner. The memmap waits for the caller's reference before it is freed.
    let memmap = unsafe { &*(*pgmap).owner.cast::<Memmap>() };
    let dev = memmap.device();
    let phys = (pfn as u64).wrapping_shl(PAGE_SHIFT as u32);
    let Some(range) = memmap
        .ranges()
        .iter()
        .find(|r| r.start() <= phys && phys <= r.end())
    else {
        // The page holds a part of the memmap, which the kernel cannot do without.
        return ENXIO.to_errno();
    };

    let first = (range.start() >> PAGE_SHIFT) as usize;
    let failed = range.pgoff().wrapping_add(pfn.wrapping_sub(first));
    let pages = memmap.folio_pages();
    let pgoff = failed & !pages.wrapping_sub(1);

    report(dev, phys, failed, pgoff..pgoff.wrapping_add(pages));

    // SAFETY: The page belongs to the instance, so its folio is valid.
    let in_use = unsafe {
        let folio = bindings::pfn_folio(pfn);

        // A fault that leaves the mapping to `mm` holds this lock until `mm` has mapped the folio.
        bindings::folio_lock(folio);
        bindings::folio_set_hwpoison(folio);
        bindings::folio_unlock(folio);
        // mm reads the index next.
        !mapping_of(folio).load(Acquire).is_null()
    };
    // Without memory for this, a process that does not ask for early signals keeps its entry. The
    // processor reports the failure when the process touches the memory.
    let _ = Unmap::queue(dev, pgoff, pages, GFP_KERNEL);

    if in_use {
        EOPNOTSUPP.to_errno()
    } else {
        0
    }
}

/// Says which page of an instance has failed, and which pages are lost with it. The numbers are
/// offsets in pages.
pub(super) fn report(dev: &Device, phys: u64, failed: usize, lost: Range<usize>) {
    let bytes = |pages: usize| pages.wrapping_shl(PAGE_SHIFT as u32);

    crate::dev_err_ratelimited!(
        dev,
        "memory failed at offset 0x{:x}, physical address 0x{:x}; touching 0x{:x} bytes from offset 0x{:x} on raises SIGBUS until the device is unbound and bound again\n",
        bytes(failed),
        phys,
        bytes(lost.end.wrapping_sub(lost.start)),
        bytes(lost.start)
    );
}

/// Removes failed memory from all address spaces, after `mm` has handled the failure.
///
/// `mm` finds the processes to signal by their entries, so this must come later. If there was no
/// process to signal, `mm` leaves the entries in place.
#[repr(C)]
pub(super) struct Unmap {
    work: bindings::callback_head,
    dev: ARef<Device>,
    /// Offset into the instance, in pages.
    pgoff: usize,
    pages: usize,
}

impl Unmap {
    /// Removes the memory before the current task returns to user space.
    ///
    /// A kernel thread never returns there, so this does nothing in one. The processor reported the
    /// failure to that thread, and will report it to each process that touches the memory.
    #[inline(never)]
    pub(super) fn queue(dev: &Device, pgoff: usize, pages: usize, flags: alloc::Flags) -> Result {
        let task = Task::current_raw();

        // SAFETY: The current task is valid, and this flag never changes.
        if unsafe { (*task).flags } & bindings::PF_KTHREAD != 0 {
            return Ok(());
        }

        let this = KBox::into_raw(KBox::new(
            Self {
                work: bindings::callback_head {
                    func: Some(Self::run),
                    ..pin_init::zeroed()
                },
                dev: dev.into(),
                pgoff,
                pages,
            },
            flags,
        )?);
        // SAFETY: The work is valid, and nothing else accesses it until it runs.
        let queued = unsafe {
            bindings::task_work_add(
                task,
                &raw mut (*this).work,
                bindings::task_work_notify_mode_TWA_RESUME,
            )
        };

        to_result(queued).inspect_err(|_| {
            // SAFETY: The work was not queued, so this is the only pointer to the box.
            drop(unsafe { KBox::from_raw(this) });
        })
    }

    /// # Safety
    ///
    /// `work` was queued by [`Self::queue`], and this is the only call for it.
    unsafe extern "C" fn run(work: *mut bindings::callback_head) {
        // SAFETY: By the caller the work is embedded in a `KBox<Self>`, which `queue` leaked.
        let this = unsafe { KBox::from_raw(crate::container_of!(work, Self, work)) };

        // SAFETY: By the type invariant of `Device` the inode is valid. If the instance was unbound
        // meanwhile, there is nothing to remove, or the next fault maps it again.
        unsafe {
            let mapping = (*bindings::dax_inode((*this.dev.as_raw()).dax_dev)).i_mapping;

            bindings::unmap_mapping_pages(mapping, this.pgoff, this.pages, false);
        }
    }
}
