// SPDX-License-Identifier: GPL-2.0

//! Regions: memory that a provider found, and the instances it is divided into.
//!
//! In a *static* region the provider decides: there is one instance, with all of the memory. User
//! space divides a *dynamic* region by the files in sysfs.
//!
//! This file has the data of a region. [`provider`] is the side of the provider. [`lifecycle`]
//! makes and removes instances. [`sizing`] changes the memory of an instance.
//!
//! # Locking
//!
//! Each region has a mutex for [`RegionState`]. It is held for bookkeeping only. It is never held
//! while a device is registered, removed, bound or unbound, because all of these wait for code that
//! takes it.
//!
//! The device lock of an instance is taken before the mutex of the region. While it is held, no
//! driver comes or goes. The ranges and the align change only under both locks. While there is a
//! driver, the align does not change, and the ranges only become more, if the driver supports that.
//! The device lock also separates two changes of one instance, while mapping devices come and go.

mod lifecycle;
mod provider;
mod sizing;

pub(crate) use self::{
    lifecycle::NewInstance,
    provider::{
        init,
        register,
        Request, //
    }, //
};

use crate::{
    attributes,
    ffi::{
        class::Service,
        instance::Layout,
        limits,
        region::{
            RegionHead,
            IORESOURCE_DAX_CLASS,
            IORESOURCE_DAX_KMEM,
            IORESOURCE_DAX_STATIC, //
        }, //
    },
    instance::{
        Instance,
        Mapping, //
    },
    ranges::{
        self,
        Align,
        InstanceRange,
        InstanceRanges,
        Range,
        Space, //
    }, //
};
use kernel::{
    bindings,
    device::{
        attribute::{
            Attached,
            Attachment,
            Groups, //
        },
        subclass::{
            Registered,
            Subclass, //
        },
        Device, //
    },
    ida::Ida,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        Mutex, //
    }, //
};

use core::ops::Deref;

impl From<ranges::Error> for Error {
    fn from(error: ranges::Error) -> Error {
        use ranges::Error as E;

        match error {
            E::NoMemory => ENOMEM,
            E::TooLarge => ERANGE,
            E::InUse { .. } => EBUSY,
            E::NotAllocated { .. } => ENXIO,
            E::NoSpace { .. } | E::NoAlignedSpace { .. } => ENOSPC,
            E::Malformed
            | E::Empty
            | E::Outside { .. }
            | E::SizeMisaligned { .. }
            | E::RangeMisaligned { .. }
            | E::UnknownAlign { .. } => EINVAL,
        }
    }
}

impl ranges::Extent for bindings::dev_dax_range {
    fn pgoff(&self) -> u64 {
        self.pgoff as u64
    }

    fn start(&self) -> u64 {
        self.range.start
    }

    fn end(&self) -> u64 {
        self.range.end
    }
}

/// The device of an instance: on the bus, or in the class.
enum InstanceDevice {
    Bus(Registered<Instance>),
    Class(Service<Instance>),
}

impl Deref for InstanceDevice {
    type Target = Subclass<Instance>;

    fn deref(&self) -> &Subclass<Instance> {
        match self {
            Self::Bus(device) => device,
            Self::Class(device) => device,
        }
    }
}

/// Identifies an instance of a region. Unlike the number of an instance, a key is never used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    id: u32,
    serial: u64,
}

impl Key {
    /// The number of the instance, the Y in `daxX.Y`.
    pub(crate) fn id(self) -> u32 {
        self.id
    }
}

/// The part of an instance that can change.
pub(crate) struct InstanceState {
    /// The serial number of its key. With the whole key, a node of the tree is above 128 bytes.
    serial: u64,
    /// `None` while the instance is being registered.
    device: Option<InstanceDevice>,
    ranges: InstanceRanges,
    /// The mapping devices, one for each range, except while a change is under way.
    mappings: KVVec<Registered<Mapping>>,
    align: Align,
    pub(crate) memmap_on_memory: bool,
    /// Whether the memory gets no struct pages.
    pub(crate) bare: bool,
}

impl InstanceState {
    /// Size of the instance, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.ranges.size()
    }

    /// Size of the entries that map the instance, in bytes.
    pub(crate) fn align(&self) -> u64 {
        self.align.bytes()
    }

    /// The first address of the instance, if it has memory.
    pub(crate) fn first(&self) -> Option<u64> {
        self.ranges.first().map(|first| first.range.start())
    }

    /// The index of the first range without a mapping device. This reserves room for that device.
    #[inline(never)]
    fn next_mapping(&mut self) -> Result<Option<usize>> {
        let index = self.mappings.len();
        if index >= self.ranges.len() {
            return Ok(None);
        }

        self.mappings.reserve(1, GFP_KERNEL)?;
        Ok(Some(index))
    }
}

/// The part of a region that can change.
struct RegionState {
    /// The free memory.
    space: Space,
    /// The instances, by number.
    instances: RBTree<u32, InstanceState>,
    /// The number of instances that were ever made.
    serial: u64,
    /// The first instance made by writing to `create` that has not been bound yet.
    seed: Option<Key>,
    /// The last instance made by writing to `create`.
    youngest: Option<Key>,
    /// The provider's device, as long as its driver is bound. Files and mappings keep an instance,
    /// and with it the region, for longer. They do not keep the provider.
    provider: Option<ARef<Device>>,
}

/// Memory that a provider found.
#[repr(C)]
#[pin_data]
pub(crate) struct Region {
    /// First, so that C's pointer to the head is a pointer to the region.
    head: RegionHead,
    range: Range,
    align: Align,
    /// The numbers of the instances, where the core chooses them.
    #[pin]
    ids: Ida,
    #[pin]
    state: Mutex<RegionState>,
}

impl Attachment for Region {
    const GROUPS: &'static Groups<Attached<Self>> = &attributes::REGION_GROUPS;
}

/// The units in which memory is given to instances, one for each align.
fn units() -> Result<[Align; ranges::ALIGNS]> {
    let unit = |align: usize| unit(Align::new(align as u64).ok_or(EINVAL)?);

    Ok([
        unit(limits::PAGE_SIZE)?,
        unit(limits::PMD_SIZE)?,
        unit(limits::PUD_SIZE)?,
    ])
}

/// The unit in which memory is given to an instance: its align, or the unit of `memremap_pages()`
/// if that is larger.
fn unit(align: Align) -> Result<Align> {
    let least = Align::new(limits::memremap_unit() as u64).ok_or(EINVAL)?;

    Ok(align.max(least))
}

impl Region {
    pub(crate) fn id(&self) -> u32 {
        // Providers number their regions from 0.
        self.head.id() as u32
    }

    pub(crate) fn range(&self) -> Range {
        self.range
    }

    /// The align that new instances get, in bytes.
    pub(crate) fn align(&self) -> u64 {
        self.align.bytes()
    }

    pub(crate) fn target_node(&self) -> c_int {
        self.head.target_node()
    }

    /// Whether the provider decides what is in the region.
    pub(crate) fn is_static(&self) -> bool {
        self.head.has_flag(IORESOURCE_DAX_STATIC)
    }

    /// Whether the instance appears in the class, and not on the bus. The region must be static,
    /// because the driver relies on a layout that user space cannot change.
    pub(crate) fn is_in_class(&self) -> bool {
        self.is_static() && self.head.has_flag(IORESOURCE_DAX_CLASS)
    }

    /// Whether the provider wants the memory to be onlined.
    pub(crate) fn wants_kmem(&self) -> bool {
        self.head.has_flag(IORESOURCE_DAX_KMEM)
    }

    /// The region as drivers in C see it.
    pub(crate) fn head(&self) -> &RegionHead {
        &self.head
    }

    /// Calls `f` with the part of an instance that can change. Fails with `ENXIO` if the instance
    /// is gone.
    pub(crate) fn with_instance<R>(
        &self,
        key: Key,
        f: impl FnOnce(&mut InstanceState) -> R,
    ) -> Result<R> {
        self.state.lock().instance(key).map(f)
    }

    /// The provider's device; `ENODEV` once its driver is unbound.
    fn provider(&self) -> Result<ARef<Device>> {
        self.state.lock().provider.clone().ok_or(ENODEV)
    }

    /// Bytes that no instance has.
    pub(crate) fn available(&self) -> u64 {
        self.state.lock().space.available()
    }

    pub(crate) fn seed(&self) -> Option<u32> {
        self.state.lock().seed.map(Key::id)
    }

    pub(crate) fn youngest(&self) -> Option<u32> {
        self.state.lock().youngest.map(Key::id)
    }

    /// Ends the role of an instance as the seed, because it was bound.
    pub(crate) fn seed_was_bound(&self, key: Key) {
        let mut state = self.state.lock();

        if state.seed == Some(key) {
            state.seed = None;
        }
    }

    /// The layout of an instance for its driver.
    pub(crate) fn layout(&self, key: Key) -> Result<Layout> {
        self.with_instance(key, |instance| {
            let mut ranges = KVVec::new();

            ranges.reserve(instance.ranges.len(), GFP_KERNEL)?;
            for InstanceRange { pgoff, range } in instance.ranges.iter() {
                let range = bindings::dev_dax_range {
                    pgoff: *pgoff as usize,
                    range: bindings::range {
                        start: range.start(),
                        end: range.end(),
                    },
                    mapping: core::ptr::null_mut(),
                };

                ranges.push_within_capacity(range).map_err(|_| ENOMEM)?;
            }
            Ok(Layout {
                ranges,
                align: instance.align() as u32,
                memmap_on_memory: instance.memmap_on_memory,
                bare: instance.bare,
            })
        })?
    }
}

impl RegionState {
    /// The part of an instance that can change; `ENXIO` if the instance is gone.
    fn instance(&mut self, key: Key) -> Result<&mut InstanceState> {
        self.memory(key).map(|(_, instance)| instance)
    }

    /// As [`Self::instance`], with the space that the memory comes from.
    #[inline(never)]
    fn memory(&mut self, key: Key) -> Result<(&mut Space, &mut InstanceState)> {
        match self.instances.get_mut(&key.id) {
            Some(instance) if instance.serial == key.serial => Ok((&mut self.space, instance)),
            // The number may belong to a younger instance.
            _ => Err(ENXIO),
        }
    }

    /// Takes an instance out of the region, if it is still there.
    fn take(&mut self, key: Key) -> Option<InstanceState> {
        self.instance(key).ok()?;
        for remembered in [&mut self.seed, &mut self.youngest] {
            if *remembered == Some(key) {
                *remembered = None;
            }
        }
        self.instances.remove(&key.id)
    }
}

impl Mapping {
    /// The range that the mapping device shows; `ENXIO` once it is gone.
    pub(crate) fn extent(&self) -> Result<InstanceRange> {
        self.region
            .with_instance(self.key, |instance| {
                instance.ranges.get(self.index).copied()
            })?
            .ok_or(ENXIO)
    }
}
