// SPDX-License-Identifier: GPL-2.0

//! Instances come and go.

use super::{
    InstanceDevice,
    InstanceState, //
    Key,
    Region,
};
use crate::{
    bus::DAX_BUS,
    class::{
        self,
        DAX_CLASS, //
    },
    dax_device::DaxDevice,
    ffi::{
        self,
        class::Service,
        instance::{
            DevPagemap,
            MAX_ID, //
        },
        trace, //
    },
    instance::{
        self,
        Instance,
        Mapping, //
    },
    ranges::{
        Align,
        InstanceRanges,
        Range, //
    }, //
};
use kernel::{
    dev_info_ratelimited,
    device::{
        name::Name,
        subclass::Subclass, //
    },
    prelude::*,
    rbtree::RBTreeNodeReservation,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// The request for a new instance.
pub(crate) struct NewInstance {
    /// Its number, in a static region: there the provider chooses it.
    pub(crate) id: Option<u32>,
    /// Its size in bytes; the memory is at the start of the region.
    pub(crate) size: u64,
    /// The provider's `struct dev_pagemap`, in a static region.
    pub(crate) pgmap: Option<DevPagemap>,
    pub(crate) memmap_on_memory: bool,
}

impl Region {
    /// Makes an instance. If a driver matches, it is probed before this returns.
    pub(crate) fn create(self: &Arc<Self>, new: NewInstance) -> Result<ARef<Subclass<Instance>>> {
        let id = match new.id {
            Some(id) if self.is_static() => id,
            None if !self.is_static() => self.ids.alloc_max(MAX_ID, GFP_KERNEL)?.leak(),
            _ => {
                let rule = if self.is_static() {
                    "chosen by the provider: the region is static"
                } else {
                    "left to the core: the region is dynamic"
                };
                dev_err!(
                    self.provider()?,
                    "dax instance refused: its id must be {}\n",
                    rule
                );
                return Err(EINVAL);
            }
        };

        let key = self.occupy(id, &new).inspect_err(|_| self.free_id(id))?;
        self.add_device(key, new).inspect_err(|_| self.remove(key))
    }

    /// Makes an instance without memory, for a write to `create`.
    pub(crate) fn create_empty(self: &Arc<Self>) -> Result {
        if self.available() == 0 {
            return Err(ENOSPC);
        }
        let dev = self.create(NewInstance {
            id: None,
            size: 0,
            pgmap: None,
            memmap_on_memory: false,
        })?;

        let key = dev.key();
        let mut state = self.state.lock();
        if state.instance(key).is_ok() {
            state.seed = state.seed.or(Some(key));
            state.youngest = Some(key);
        }
        Ok(())
    }

    /// Adds an instance to the region, and gives it its memory.
    fn occupy(&self, id: u32, new: &NewInstance) -> Result<Key> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut state = self.state.lock();

        if state.instances.get(&id).is_some() {
            return Err(EEXIST);
        }
        let key = Key {
            id,
            serial: state.serial,
        };
        let mut instance = InstanceState {
            serial: key.serial,
            device: None,
            ranges: InstanceRanges::new(),
            mappings: KVVec::new(),
            align: self.align,
            memmap_on_memory: new.memmap_on_memory,
            bare: false,
        };
        if new.size != 0 {
            let range = Range::from_len(self.range.start(), new.size).ok_or(EINVAL)?;
            // The request of a provider need not fit any align.
            instance.ranges.add(&mut state.space, range, Align::BYTE)?;
            self.gave(id, range);
        }
        state.serial = state.serial.wrapping_add(1);
        state.instances.insert(node.into_node(id, instance));
        Ok(key)
    }

    /// Makes the device of an instance that is in the region already.
    fn add_device(
        self: &Arc<Self>,
        key: Key,
        new: NewInstance,
    ) -> Result<ARef<Subclass<Instance>>> {
        let id = key.id();
        let provider = self.provider()?;
        let name = Name::new("dax").number(self.id()).word(".").number(id);
        let dev = ffi::instance::new(name, |dev_dax| {
            let dax_dev = DaxDevice::for_instance(dev_dax)?;

            Ok(Instance::new(self.clone(), key, dax_dev, new.pgmap))
        })?;
        let devt = dev.dax_dev().rdev();

        let place = if self.is_in_class() {
            let driver = class::device_dax().ok_or(ENODEV).inspect_err(|_| {
                dev_err!(
                    provider,
                    "dax{}.{} refused: nothing serves /sys/class/dax; load device_dax\n",
                    self.id(),
                    id
                )
            })?;
            let layout = self.layout(key)?;

            let service = Service::start(dev, &provider, &DAX_CLASS, devt, driver, layout)
                .inspect_err(|e| {
                    dev_err!(
                        provider,
                        "dax{}.{} refused: device_dax cannot serve it: {:?}\n",
                        self.id(),
                        id,
                        e
                    )
                })?;

            InstanceDevice::Class(service)
        } else {
            InstanceDevice::Bus(dev.register_on(&provider, &DAX_BUS, devt)?)
        };
        let dev = ARef::from(&*place);
        // If the instance is gone already, this function drops the device after it has released the
        // region's lock.
        let mut place = Some(place);
        self.with_instance(key, |instance| instance.device = place.take())?;

        // The class never had mapping devices.
        if self.is_in_class() {
            return Ok(dev);
        }
        let guard = dev.lock();
        let added = self.add_mappings(&dev);
        drop(guard);
        added.map(|()| dev)
    }

    /// Makes the mapping devices that an instance lacks. The device lock is held.
    fn add_mappings(self: &Arc<Self>, dev: &Subclass<Instance>) -> Result {
        let next = self.with_instance(dev.key(), InstanceState::next_mapping)??;

        self.add_mappings_from(next, dev)
    }

    /// As [`Self::add_mappings`]. `next` is from `next_mapping`.
    pub(super) fn add_mappings_from(
        self: &Arc<Self>,
        mut next: Option<usize>,
        dev: &Subclass<Instance>,
    ) -> Result {
        while let Some(index) = next {
            let mapping = Mapping {
                region: self.clone(),
                key: dev.key(),
                index,
            };
            let name = Name::new("mapping").number(index as u32);
            let device = ffi::new_device(name, |_| Ok(mapping))?.register(dev.as_ref())?;
            // If the instance is gone already, the device is dropped after the region's lock is
            // released.
            let mut device = Some(device);
            next = self.with_instance(dev.key(), |instance| {
                if let Some(device) = device.take() {
                    // There is room: `next_mapping` reserved it, and the device lock is held.
                    instance
                        .mappings
                        .push_within_capacity(device)
                        .map_err(|_| ENOMEM)?;
                }
                instance.next_mapping()
            })??;
        }
        Ok(())
    }

    /// Removes the mapping devices beyond the number of ranges.
    pub(super) fn trim_mappings(&self, key: Key) {
        // The device of each mapping is removed when it is dropped, after the region's lock is
        // released.
        while let Ok(Some(mapping)) = self.with_instance(key, |instance| {
            if instance.mappings.len() > instance.ranges.len() {
                instance.mappings.pop()
            } else {
                None
            }
        }) {
            drop(mapping);
        }
    }

    /// Removes an instance that has no memory, for a write to `delete`.
    ///
    /// The first instance stays, so that a region can be seen on the bus.
    pub(crate) fn delete(&self, id: u32) -> Result {
        let device = {
            let state = self.state.lock();
            let instance = state.instances.get(&id).ok_or(ENXIO)?;

            instance.device.as_deref().map(ARef::from)
        };
        let dev: ARef<Subclass<Instance>> = device.ok_or(EBUSY)?;
        let key = dev.key();
        let refused = |why: &str| {
            dev_info_ratelimited!(dev, "delete refused: {}\n", why);
            Err(EBUSY)
        };

        let guard = dev.lock();
        if guard.is_bound() {
            return refused("bound to a driver; unbind it first");
        }
        if id == 0 {
            return refused("the first instance of a region stays");
        }
        let mut state = self.state.lock();
        if state.instance(key)?.size() != 0 {
            drop(state);
            return refused("it has memory; write 0 to its size first");
        }
        // The instance cannot be bound any more: the region does not know it.
        let instance = state.take(key);
        drop(state);
        drop(guard);

        if let Some(instance) = instance {
            self.finish(key.id(), instance);
        }
        Ok(())
    }

    /// Removes an instance, bound or not.
    fn remove(&self, key: Key) {
        let instance = self.state.lock().take(key);

        if let Some(instance) = instance {
            self.finish(key.id(), instance);
        }
    }

    /// Removes all instances, the last one first.
    pub(super) fn remove_all(&self) {
        loop {
            let state = self.state.lock();
            let last = state.instances.cursor_back().map(|cursor| {
                let (&id, instance) = cursor.current();
                Key {
                    id,
                    serial: instance.serial,
                }
            });
            drop(state);

            match last {
                Some(key) => self.remove(key),
                None => return,
            }
        }
    }

    /// Removes the devices of an instance that is not in the region any more, and frees its memory.
    fn finish(&self, id: u32, instance: InstanceState) {
        let InstanceState {
            device,
            mut ranges,
            mappings,
            ..
        } = instance;

        drop(mappings);
        if let Some(device) = device {
            instance::kill(&device);
            // This unbinds the driver. After it the name can be used again.
            drop(device);
        }

        let mut state = self.state.lock();
        self.take_back(id, &mut ranges, &mut state.space, 0);
        drop(state);
        self.free_id(id);
    }

    /// Fires the tracepoint for memory that an instance was given.
    pub(super) fn gave(&self, id: u32, range: Range) {
        trace::range_alloc(self.id(), id, range.start(), range.end());
    }

    /// Fires the tracepoint for memory that an instance has lost.
    pub(super) fn took(&self, id: u32, range: Range) {
        trace::range_free(self.id(), id, range.start(), range.end());
    }

    fn free_id(&self, id: u32) {
        if !self.is_static() {
            self.ids.free(id);
        }
    }
}
