// SPDX-License-Identifier: GPL-2.0

//! Instances: the devices `daxX.Y` on the dax bus, and their mapping devices.
//!
//! An [`Instance`] has the data that never changes. The region has the rest, such as ranges and
//! align, under its lock.

use crate::{
    attributes,
    dax_device::{
        DaxDevice,
        DaxInode,
        DaxRef, //
    },
    ffi::{
        instance::{
            forget_pgmap,
            trace_kill,
            BoundRanges,
            DevDax,
            DevPagemap, //
        },
        region::RegionHead, //
    },
    region::{
        Key,
        Region, //
    }, //
};
use kernel::{
    bindings,
    device::{
        attribute::Groups,
        subclass::{
            Subclass,
            Type, //
        }, //
    },
    sync::Arc, //
};

/// A part of a region, with one driver and one `/dev/daxX.Y`.
pub(crate) struct Instance {
    region: Arc<Region>,
    key: Key,
    dax_dev: DaxRef,
    /// The provider's `struct dev_pagemap`, in a static region.
    pgmap: Option<DevPagemap>,
    bound_ranges: BoundRanges,
}

impl Instance {
    pub(crate) fn new(
        region: Arc<Region>,
        key: Key,
        dax_dev: DaxRef,
        pgmap: Option<DevPagemap>,
    ) -> Self {
        Self {
            region,
            key,
            dax_dev,
            pgmap,
            bound_ranges: BoundRanges::new(),
        }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The key of the instance in its region.
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
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The region has killed the device. It has not if the registration of the instance failed.
        if self.dax_dev.is_alive() {
            self.dax_dev.kill();
        }
    }
}

impl Type for Instance {
    type Raw = bindings::dev_dax;

    const GROUPS: &'static Groups<Subclass<Self>> = &attributes::INSTANCE_GROUPS;
}

impl DevDax for Instance {
    type DaxDevice = DaxDevice;

    fn region_head(&self) -> &RegionHead {
        self.region.head()
    }

    fn dax_dev(&self) -> &DaxInode {
        &self.dax_dev
    }

    fn pgmap(&self) -> Option<&DevPagemap> {
        self.pgmap.as_ref()
    }

    fn id(&self) -> u32 {
        self.key.id()
    }

    fn bound_ranges(&self) -> &BoundRanges {
        &self.bound_ranges
    }
}

/// Ends all access through the instance: new faults fail, and all mappings are unmapped.
///
/// Waits for faults that are under way. The driver may remove the memmap after this.
pub(crate) fn kill(dev: &Subclass<Instance>) {
    let was_alive = dev.dax_dev().is_alive();

    dev.dax_dev().kill();
    dev.dax_dev().unmap_all();
    if was_alive {
        trace_kill(dev);
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
    /// The index of the range in the instance.
    pub(crate) index: usize,
}

impl Type for Mapping {
    type Raw = bindings::device;

    const GROUPS: &'static Groups<Subclass<Self>> = &attributes::MAPPING_GROUPS;
}
