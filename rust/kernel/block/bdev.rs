// SPDX-License-Identifier: GPL-2.0

//! Block devices: a disk, or a partition of one.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::{
    bindings,
    block::SECTOR_SHIFT,
    prelude::*,
    types::Opaque, //
};

/// A `struct block_device`.
///
/// # Invariants
///
/// The block device is open: its disk and its queue exist.
///
/// # Examples
///
/// ```
/// use kernel::{
///     block::bdev::BlockDevice,
///     page::PAGE_SIZE, //
/// };
///
/// /// Whether the block device begins and ends at a page of its disk.
/// fn has_whole_pages(bdev: &BlockDevice) -> bool {
///     (bdev.start() | bdev.size()) % PAGE_SIZE as u64 == 0
/// }
/// ```
#[repr(transparent)]
pub struct BlockDevice(Opaque<bindings::block_device>);

impl BlockDevice {
    /// Creates a reference from a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is a `struct block_device` that stays open for `'a`.
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::block_device) -> &'a Self {
        // INVARIANT: By the safety requirement the block device is open.
        // SAFETY: `Self` is transparent. The block device is valid by the safety requirement.
        unsafe { &*ptr.cast() }
    }

    /// Returns the name as in `/dev`.
    pub fn name(&self) -> &CStr {
        // SAFETY: By the type invariant the block device is open, so its `struct device` is
        // initialised and lives at least as long as `self`.
        unsafe { CStr::from_char_ptr(bindings::dev_name(&raw mut (*self.0.get()).bd_device)) }
    }

    /// Returns the disk of the block device.
    pub fn disk(&self) -> *mut bindings::gendisk {
        // SAFETY: `bd_disk` does not change while the block device is open.
        unsafe { (*self.0.get()).bd_disk }
    }

    /// Returns whether the driver of the disk supports direct access.
    pub fn queue_dax(&self) -> bool {
        // SAFETY: By the type invariant the disk and its queue exist.
        unsafe { bindings::blk_queue_dax((*self.disk()).queue) }
    }

    /// Returns the offset of the block device on its disk, in bytes.
    pub fn start(&self) -> u64 {
        // SAFETY: By the type invariant this is a valid block device.
        unsafe { (*self.0.get()).bd_start_sect << SECTOR_SHIFT }
    }

    /// Returns the length of the block device, in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: By the type invariant this is a valid block device.
        unsafe { (*self.0.get()).bd_nr_sectors << SECTOR_SHIFT }
    }
}
