// SPDX-License-Identifier: GPL-2.0

//! `fsdev_dax`: offers an instance of device DAX to file systems.
//!
//! A file system for memory without a block device, such as famfs, takes the instance with
//! `fs_dax_get()`, and maps files to its memory. Other than with `device_dax`, there are no compound
//! pages of the alignment: the file system makes folios of the sizes that its files need. The
//! device node only names the instance; it is neither mapped nor read nor written.
//!
//! This file is the rules. How they reach the memory, and are reached, is in `kernel::dax::fsdax`.

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

kernel::module_dax_driver! {
    type: FsdevDax,
    name: "fsdev_dax",
    authors: ["The device DAX in Rust authors"],
    description: "FS-DAX Device: fs-dax compatible devdax driver",
    license: "GPL",
    alias: ["dax:t0*"],
}

/// Whether any memory has failed. As long as none has, nobody searches for it.
static FAILED: AtomicFlag = AtomicFlag::new(false);

/// The driver. All that a bound instance needs is undone by devres.
struct FsdevDax;

impl dax::Driver for FsdevDax {
    const KIND: dax::Kind = dax::Kind::Fsdev;

    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Self::bind(dev)
    }
}

impl FsdevDax {
    fn bind(dev: &dax::Device<Core<'_>>) -> Result<Self> {
        dev.reserve()?.map_fs_dax::<Self>()?.run()?;
        // Only now, so that nobody opens an instance that is not alive yet.
        fsdax::register::<Self>(dev)?;
        Ok(Self)
    }
}

#[vtable]
impl fsdax::Operations for FsdevDax {
    /// Up to the end of the range, or to memory that has failed, and no further.
    ///
    /// It makes no difference that the caller wants to overwrite it: nothing here can make failed
    /// memory work again.
    fn direct_access(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result<Extent<'_>> {
        let extent = memory.at(pgoff).ok_or(EFAULT)?.limit(pages);
        if !FAILED.load(Relaxed) {
            return Ok(extent);
        }

        let sound = extent.limit(extent.sound());
        if sound.pages() == 0 && extent.pages() != 0 {
            return Err(EHWPOISON);
        }
        Ok(sound)
    }

    fn zero(memory: Memory<'_>, mut pgoff: usize, mut pages: usize) -> Result {
        while pages > 0 {
            let extent = Self::direct_access(memory, pgoff, pages)?;

            extent.window().zero();
            pgoff = pgoff.wrapping_add(extent.pages());
            pages = pages.wrapping_sub(extent.pages());
        }
        Ok(())
    }

    /// Writes all or, if some of the memory has failed, nothing.
    fn recovery_write(
        memory: Memory<'_>,
        pgoff: usize,
        window: &Window<'_>,
        iter: &mut IovIter,
    ) -> usize {
        let begin = window.as_ptr().addr() % PAGE_SIZE;
        let pages = begin.saturating_add(window.len()).div_ceil(PAGE_SIZE);

        match Self::direct_access(memory, pgoff, pages) {
            Ok(extent) if extent.pages() == pages => window.copy_from_flushcache(iter),
            _ => 0,
        }
    }

    /// Tells the holder of each part of the instance that is among what failed.
    fn memory_failure(memory: Memory<'_>, pfns: Range<usize>, flags: i32) -> Result {
        // What is not of the instance holds the page map itself: nobody can do without.
        let mut told = None;

        FAILED.store(true, Relaxed);
        for failed in memory.extents().filter_map(|extent| extent.overlap(&pfns)) {
            failed.mark_failed();
            let result = memory.notify_holder(failed, flags);
            told = Some(told.unwrap_or(Ok(())).and(result));
        }
        told.unwrap_or(Err(ENXIO))
    }
}
