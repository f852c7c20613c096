// SPDX-License-Identifier: GPL-2.0

//! Instances: the devices `daxX.Y` on the dax bus, and their mapping devices.
//!
//! What never changes about an instance is here; what does (its ranges, its align) belongs to the
//! region, under the region's lock.

use crate::{
    attributes,
    dax_device::{
        DaxInode,
        DaxRef, //
    },
    ffi::bus::forget_pgmap,
    region::{
        Key,
        Region, //
    }, //
};
use kernel::{
    bindings,
    dax::layout::{
        self,
        Published, //
    },
    device::{
        attribute::Groups,
        subclass::{
            Subclass,
            Type, //
        }, //
    },
    sync::Arc, //
};

/// A part of a region that one driver is bound to, and one `/dev/daxX.Y` shows.
pub(crate) struct Instance {
    region: Arc<Region>,
    key: Key,
    dax_dev: DaxRef,
    /// The provider's page map, in a static region.
    pgmap: Option<layout::PageMap>,
    published: Published,
}

impl Instance {
    pub(crate) fn new(
        region: Arc<Region>,
        key: Key,
        dax_dev: DaxRef,
        pgmap: Option<layout::PageMap>,
    ) -> Self {
        Self {
            region,
            key,
            dax_dev,
            pgmap,
            published: Published::new(),
        }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// By what the region knows the instance.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The number of the instance in its region.
    pub(crate) fn id(&self) -> u32 {
        self.key.id()
    }

    pub(crate) fn dax_dev(&self) -> &DaxInode {
        &self.dax_dev
    }

    pub(crate) fn pgmap_ptr(&self) -> *mut bindings::dev_pagemap {
        self.pgmap
            .as_ref()
            .map_or(core::ptr::null_mut(), |pgmap| pgmap.as_ptr())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The region has done it, unless the device never got so far.
        if self.dax_dev.is_alive() {
            self.dax_dev.kill();
        }
    }
}

impl Type for Instance {
    type Raw = bindings::dev_dax;

    const GROUPS: &'static Groups<Subclass<Self>> = &attributes::INSTANCE_GROUPS;
}

impl layout::Instance for Instance {
    fn published(&self) -> &Published {
        &self.published
    }
}

/// Ends all access through the instance: new faults fail, and what is mapped is unmapped.
///
/// Waits for faults that are under way. The driver's memory map may go after this.
pub(crate) fn kill(dev: &Subclass<Instance>) {
    let was_alive = dev.dax_dev().is_alive();

    dev.dax_dev().kill();
    dev.dax_dev().unmap_all();
    if was_alive {
        layout::killed(dev);
    }
    if !dev.region().is_static() {
        forget_pgmap(dev);
    }
}

/// `mappingN` below an instance: shows one of its ranges.
pub(crate) struct Mapping {
    pub(crate) region: Arc<Region>,
    /// The instance.
    pub(crate) key: Key,
    /// The place of the range in the instance.
    pub(crate) index: usize,
}

impl Type for Mapping {
    type Raw = bindings::device;

    const GROUPS: &'static Groups<Subclass<Self>> = &attributes::MAPPING_GROUPS;
}
