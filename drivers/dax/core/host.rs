// SPDX-License-Identifier: GPL-2.0

//! The hosts: disks whose contents are also the memory of a dax device.
//!
//! A mount names a disk or a partition. The functions here find the dax device behind it.

use crate::{
    dax_device::{
        DaxInode,
        DaxRef, //
    },
    ffi::{
        operations::HolderOperations,
        srcu::ReadSection, //
    }, //
};
use kernel::{
    block::bdev::BlockDevice,
    ffi::c_void,
    page::PAGE_SIZE,
    prelude::*,
    xarray::{
        AllocKind,
        XArray, //
    },
};

/// The dax devices by the addresses of their disks.
///
/// A disk's entry owns a reference, so that it can never lead to a dax device that is gone.
#[pin_data]
pub(crate) struct Hosts {
    #[pin]
    devices: XArray<DaxRef>,
}

impl Hosts {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            devices <- XArray::new(AllocKind::Alloc),
        })
    }

    /// Makes `disk` the host of `device`. Fails with `EBUSY` when it is a host already.
    pub(crate) fn add(&self, disk: usize, device: DaxRef) -> Result {
        let mut devices = self.devices.lock();

        let Some(previous) = devices.store(disk, device, GFP_KERNEL)? else {
            return Ok(());
        };

        // Put it back. This needs no memory, so it cannot fail, and it does not drop the lock. So
        // nobody has seen the wrong device.
        let refused = devices.store(disk, previous, GFP_KERNEL);

        // Dropping a reference may sleep.
        drop(devices);
        drop(refused);
        Err(EBUSY)
    }

    /// Ends the role of `disk` as a host.
    pub(crate) fn remove(&self, disk: usize) {
        let removed = self.devices.lock().remove(disk);

        // Without the lock, because dropping a reference may sleep.
        drop(removed);
    }

    fn find(&self, disk: usize) -> Option<DaxRef> {
        self.devices.lock().get(disk).map(DaxRef::from)
    }

    /// Finds the dax device of a disk or partition, and the offset of the partition in it, in
    /// bytes.
    ///
    /// A `holder` that is not null becomes the holder. [`None`] if the disk is not a host, if its
    /// dax device is dead or has another holder, or if the partition does not consist of whole
    /// pages.
    pub(crate) fn open(
        &self,
        section: ReadSection<'_>,
        bdev: &BlockDevice,
        holder: *mut c_void,
        operations: Option<&'static HolderOperations<DaxInode>>,
    ) -> Option<(DaxRef, u64)> {
        if !bdev.queue_dax() {
            return None;
        }

        let (start, size) = (bdev.start(), bdev.size());
        let page = PAGE_SIZE as u64;
        if start % page != 0 || size % page != 0 {
            pr_info!(
                "{}: cannot be accessed directly: it starts at byte {} and has {} bytes, and both \
                 should be multiples of {}\n",
                bdev.name(),
                start,
                size,
                page,
            );
            return None;
        }

        let device = self.find(bdev.disk() as usize)?;
        let alive = device.alive(section)?;
        if !holder.is_null() {
            alive.claim(holder, operations).ok()?;
        }
        Some((device, start))
    }
}
