// SPDX-License-Identifier: GPL-2.0

//! `fsdev_dax`: the consumer that offers an instance to file systems.
//!
//! A file system without a block device, such as famfs, claims the instance with `fs_dax_get()` and
//! maps files to its memory. `device_dax` makes compound pages of the align. This driver does not:
//! the file system builds folios of the sizes that its files need. The device node only names the
//! instance; nobody can map, read or write it.
//!
//! This file has the policy. `kernel::dax::fsdax` has the mechanism.

use core::ops::Range;
use kernel::{
    dax::{
        self,
        copy::{
            IovIter,
            Window, //
        },
        fsdax::{
            self,
            Extent,
            Memory, //
        },
    },
    device::Core,
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    }, //
};

use pin_init::pin_init_scope;

kernel::module_dax_driver! {
    type: FsdevDax,
    name: "fsdev_dax",
    authors: ["The device DAX in Rust authors"],
    description: "FS-DAX Device: fs-dax compatible devdax driver",
    license: "GPL",
    alias: ["dax:t0*"],
}

/// Whether any memory has failed. While this is clear, `direct_access` does not look for failed
/// pages.
static FAILED: AtomicFlag = AtomicFlag::new(false);

/// The driver. It has no data: devres undoes all that a bind sets up.
struct FsdevDax;

#[vtable]
impl dax::Driver for FsdevDax {
    const KIND: dax::Kind = dax::Kind::Fsdev;

    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init_scope(move || {
            dev.reserve()?.map_fs_dax::<Self>()?.run()?;
            // Last, so that nobody opens an instance that is not alive yet.
            fsdax::register::<Self>(dev)?;
            Ok(try_init!(Self {}))
        })
    }
}

#[vtable]
impl fsdax::Operations for FsdevDax {
    /// Returns pages up to the end of the range or the first failed page.
    ///
    /// Failed pages are refused even if the caller wants to overwrite them: this driver cannot
    /// repair memory.
    // Every access of a file system comes here.
    #[inline(always)]
    fn direct_access(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result<Extent<'_>> {
        let extent = memory.at(pgoff).ok_or(EFAULT)?.limit(pages);
        if !FAILED.load(Relaxed) {
            return Ok(extent);
        }

        let usable = extent.limit(extent.intact_pages());
        if usable.pages() == 0 && extent.pages() != 0 {
            return Err(EHWPOISON);
        }
        Ok(usable)
    }

    fn zero(memory: Memory<'_>, mut pgoff: usize, mut pages: usize) -> Result {
        while pages > 0 {
            let extent = accessible(memory, pgoff, pages)?;

            extent.window().zero();
            pgoff = pgoff.wrapping_add(extent.pages());
            pages = pages.wrapping_sub(extent.pages());
        }
        Ok(())
    }

    /// Writes everything, or nothing if some of the memory has failed.
    fn recovery_write(
        memory: Memory<'_>,
        pgoff: usize,
        window: &Window<'_>,
        iter: &mut IovIter,
    ) -> usize {
        let begin = window.as_ptr().addr() % PAGE_SIZE;
        let pages = begin.saturating_add(window.len()).div_ceil(PAGE_SIZE);

        match accessible(memory, pgoff, pages) {
            Ok(extent) if extent.pages() == pages => window.copy_from_flushcache(iter),
            _ => 0,
        }
    }

    /// Marks the failed pages of the instance and notifies the holder of each affected extent.
    ///
    /// Fails with `ENXIO` if no page of the instance is among `pfns`. The failed pages then hold
    /// the memmap or the info block. The kernel cannot do without those.
    fn memory_failure(memory: Memory<'_>, pfns: Range<usize>, flags: i32) -> Result {
        let mut result = None;

        FAILED.store(true, Relaxed);
        for failed in memory.extents().filter_map(|extent| extent.overlap(&pfns)) {
            failed.mark_failed();
            let notified = memory.notify_holder(failed, flags);
            result = Some(result.unwrap_or(Ok(())).and(notified));
        }
        result.unwrap_or(Err(ENXIO))
    }
}

/// [`fsdax::Operations::direct_access`] for the other operations, which need not be as fast.
#[inline(never)]
fn accessible(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result<Extent<'_>> {
    <FsdevDax as fsdax::Operations>::direct_access(memory, pgoff, pages)
}
