// SPDX-License-Identifier: GPL-2.0

//! Memory of an instance fails while user space has it mapped.
//!
//! The operations of the `struct dev_pagemap` of generic device memory, with all that `mm` does by them.
//! This serves `device_dax`, but cannot be in that module: the struct pages can outlive the module
//! (`Memmap::retire()`), and so can an [`Unmap`] that a task has not run yet. It cannot be in the core
//! either, because the core may be C.

use super::{
    device::Device,
    live::mapping_of,
    memmap::Memmap, //
};
use crate::{
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

/// The operations of the `struct dev_pagemap` of an instance that user space maps.
pub(super) static GENERIC: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    memory_failure: Some(memory_failure),
    ..pin_init::zeroed()
};

/// A page has failed. This marks the compound page, so that no fault maps it any more.
///
/// `EOPNOTSUPP` has `mm` go on: it sends signals to the processes that have the page mapped and want
/// to know. `mm` can do that only for memory that was mapped once.
///
/// # Safety
///
/// To be called with a reference to a `struct dev_pagemap` that `Reserved::map_generic` gave this
/// operation.
unsafe extern "C" fn memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    _nr_pages: c_ulong,
    _flags: c_int,
) -> c_int {
    // SAFETY: The owner is a `Memmap`, which waits for the reference before it goes.
    let memmap = unsafe { &*(*pgmap).owner.cast::<Memmap>() };
    let dev = memmap.device();
    let phys = (pfn as u64).wrapping_shl(PAGE_SHIFT as u32);
    let Some(range) = memmap
        .ranges()
        .find(|r| r.start() <= phys && phys <= r.end())
    else {
        // The page holds the memmap itself. Nobody can do without that.
        return ENXIO.to_errno();
    };

    let first = (range.start() >> PAGE_SHIFT) as usize;
    let failed = range.pgoff().wrapping_add(pfn.wrapping_sub(first));
    let pages = memmap.folio_pages();
    let pgoff = failed & !pages.wrapping_sub(1);

    crate::dev_err_ratelimited!(
        dev,
        "memory failed at offset 0x{:x}, physical address 0x{:x}; touching 0x{:x} bytes from offset 0x{:x} on raises SIGBUS until the device is unbound and bound again\n",
        failed.wrapping_shl(PAGE_SHIFT as u32),
        phys,
        pages.wrapping_shl(PAGE_SHIFT as u32),
        pgoff.wrapping_shl(PAGE_SHIFT as u32)
    );

    // SAFETY: The page is one of the instance.
    let in_use = unsafe {
        let folio = bindings::pfn_folio(pfn);

        // A fault that leaves a folio to `mm` holds this lock until `mm` has mapped the folio.
        bindings::folio_lock(folio);
        bindings::folio_set_hwpoison(folio);
        bindings::folio_unlock(folio);
        // mm reads the index next.
        !mapping_of(folio).load(Acquire).is_null()
    };
    // If there is no memory for this, a process that does not ask for early signals keeps its entry.
    // The processor reports the failure to it.
    let _ = Unmap::queue(dev, pgoff, pages);

    if in_use {
        EOPNOTSUPP.to_errno()
    } else {
        0
    }
}

/// Removes memory that has failed from all address spaces, after `mm` has dealt with the failure.
///
/// `mm` finds the processes to signal by their entries, so this has to come later. If there was no
/// process to signal, `mm` leaves the entries where they are.
#[repr(C)]
struct Unmap {
    work: bindings::callback_head,
    dev: ARef<Device>,
    /// Offset into the instance, in pages.
    pgoff: usize,
    pages: usize,
}

impl Unmap {
    /// Removes the memory before the current task returns to user space.
    ///
    /// A kernel thread never returns there. The processor reported the failure to it, and will report it
    /// to everybody who touches the memory.
    #[inline(never)]
    fn queue(dev: &Device, pgoff: usize, pages: usize) -> Result {
        let task = Task::current_raw();

        // SAFETY: The current task is valid; this flag of it does not change.
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
            GFP_KERNEL,
        )?);
        // SAFETY: The work is valid, and nobody touches it until it is run.
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
    /// To be called once, with the work that [`Self::queue`] queued.
    unsafe extern "C" fn run(work: *mut bindings::callback_head) {
        // SAFETY: `queue` queued the work as a part of such a box, and gave up the box.
        let this = unsafe { KBox::from_raw(crate::container_of!(work, Self, work)) };

        // SAFETY: By the type invariant of `Device`. If the instance was unbound meanwhile, this
        // removes nothing, or what the next fault makes anew.
        unsafe {
            let mapping = (*bindings::dax_inode((*this.dev.as_raw()).dax_dev)).i_mapping;

            bindings::unmap_mapping_pages(mapping, this.pgoff, this.pages, false);
        }
    }
}
