// SPDX-License-Identifier: GPL-2.0

//! Regions: memory that a provider found, and the instances it is divided into.
//!
//! In a *static* region the provider decides: there is one instance, with all of the memory. A
//! *dynamic* region is divided by whoever writes to its files in sysfs.
//!
//! # Locking
//!
//! Each region has a lock, a mutex, for what can change: which memory is free, which instances
//! there are, and which ranges and which align each of them has. It is held for bookkeeping only,
//! never while a device is registered, removed, bound or unbound, since all of these wait for
//! code that takes it.
//!
//! The device lock of an instance is taken before the region's. Who holds it knows that no driver
//! comes or goes, so the ranges and the align change only under both, while there is no driver.
//! It also keeps two changes of one instance from mixing while mapping devices come and go.

mod sizing;

use crate::{
    attributes,
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
            Layout,
            MAX_ID, //
        },
        limits,
        region::{
            RegionHead,
            IORESOURCE_DAX_CLASS,
            IORESOURCE_DAX_KMEM,
            IORESOURCE_DAX_STATIC, //
        },
        trace, //
    },
    instance::{
        self,
        Instance,
        Mapping, //
    },
    ranges::{
        self,
        Align,
        Part,
        Parts,
        Range,
        Space, //
    }, //
};
use kernel::{
    bindings,
    dev_info_ratelimited,
    device::{
        attribute::{
            AttachTarget,
            Attached,
            Attachment,
            Groups,
            GroupsRegistration, //
        },
        name::Name,
        subclass::{
            Registered,
            Subclass, //
        },
        Device, //
    },
    devres,
    ida::Ida,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SetOnce, //
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

/// Where the device of an instance is.
enum Place {
    Bus(Registered<Instance>),
    Class(Service<Instance>),
}

impl Deref for Place {
    type Target = Subclass<Instance>;

    fn deref(&self) -> &Subclass<Instance> {
        match self {
            Self::Bus(device) => device,
            Self::Class(device) => device,
        }
    }
}

/// Which instance of a region is meant. Unlike its number, this is never used again.
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

/// What can change about an instance.
pub(crate) struct Slot {
    key: Key,
    /// `None` while the instance is being registered.
    device: Option<Place>,
    parts: Parts,
    /// The mapping devices, one for each of the ranges, but for a moment while they change.
    mappings: KVVec<Registered<Mapping>>,
    align: Align,
    pub(crate) memmap_on_memory: bool,
}

impl Slot {
    /// Size of the instance, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.parts.size()
    }

    /// Size of the entries that map the instance, in bytes.
    pub(crate) fn align(&self) -> u64 {
        self.align.bytes()
    }

    /// The first address of the instance, if it has memory.
    pub(crate) fn first(&self) -> Option<u64> {
        self.parts.first().map(|part| part.range.start())
    }

    /// The place of the first range without a mapping device, after making room for that.
    fn next_mapping(&mut self) -> Result<Option<usize>> {
        let index = self.mappings.len();
        if index >= self.parts.len() {
            return Ok(None);
        }

        self.mappings.reserve(1, GFP_KERNEL)?;
        Ok(Some(index))
    }
}

/// What can change about a region.
struct State {
    /// Which memory is free.
    space: Space,
    /// The instances, by number.
    slots: RBTree<u32, Slot>,
    /// How many instances there were so far.
    serial: u64,
    /// The first instance made by writing to `create` that has not been bound yet.
    seed: Option<Key>,
    /// The last instance made by writing to `create`.
    youngest: Option<Key>,
    /// The provider's device, as long as its driver is bound. Files and mappings keep an instance, and
    /// with it the region, for longer; none of them keeps the provider.
    provider: Option<ARef<Device>>,
}

/// Memory that a provider found.
#[repr(C)]
#[pin_data]
pub(crate) struct Region {
    /// First, so that a C pointer to it is one to the region.
    head: RegionHead,
    range: Range,
    align: Align,
    /// The numbers of the instances, where the core chooses them.
    #[pin]
    ids: Ida,
    #[pin]
    state: Mutex<State>,
}

impl Attachment for Region {
    const GROUPS: &'static Groups<Attached<Self>> = &attributes::REGION_GROUPS;
}

/// Which physical memory is in a region.
#[pin_data]
struct AllRegions {
    #[pin]
    space: Mutex<Space>,
}

static ALL_REGIONS: SetOnce<Arc<AllRegions>> = SetOnce::new();

/// Prepares for regions. Called once, before the first one comes.
pub(crate) fn init() -> Result {
    // The largest address is one that no range may have.
    let all = Range::new(0, u64::MAX - 1).ok_or(EINVAL)?;
    let space = Space::new(all, units()?)?;
    let regions = Arc::pin_init(
        pin_init!(AllRegions { space <- new_mutex!(space, "dax::AllRegions") }),
        GFP_KERNEL,
    )?;

    ALL_REGIONS.populate(regions);
    Ok(())
}

/// The units in which memory is given to instances, one for each align there is.
fn units() -> Result<[Align; ranges::ALIGNS]> {
    let unit = |align: usize| unit(Align::new(align as u64).ok_or(EINVAL)?);

    Ok([
        unit(limits::PAGE_SIZE)?,
        unit(limits::PMD_SIZE)?,
        unit(limits::PUD_SIZE)?,
    ])
}

/// The unit in which memory is given to an instance: its align, but no less than what
/// `memremap_pages()` can deal with.
fn unit(align: Align) -> Result<Align> {
    let least = Align::new(limits::memremap_compat_align() as u64).ok_or(EINVAL)?;

    Ok(align.max(least))
}

/// A region's share of all memory, given back when this is dropped.
struct Claim(Range);

impl Claim {
    fn new(range: Range) -> Result<Self> {
        let regions = ALL_REGIONS.as_ref().ok_or(ENODEV)?;

        regions.space.lock().reserve(range)?;
        Ok(Self(range))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(regions) = ALL_REGIONS.as_ref() {
            // Cannot fail: it was reserved when this was made.
            let _ = regions.space.lock().release(self.0);
        }
    }
}

/// A region while the provider's driver is bound. Dropped in this order, it takes the region's
/// files away, so that nobody divides it any more, then its instances, then the provider's device,
/// then its claim.
struct Registration {
    files: Option<GroupsRegistration<Region>>,
    region: Arc<Region>,
    _claim: Claim,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.files = None;
        self.region.remove_all();
        self.region.forget_provider();
    }
}

/// What a provider says of a region.
pub(crate) struct Request {
    pub(crate) id: c_int,
    pub(crate) range: bindings::range,
    pub(crate) target_node: c_int,
    pub(crate) align: u32,
    pub(crate) flags: usize,
}

/// Makes a region below the provider's device, for as long as the provider's driver is bound.
///
/// Refused, with the reason in the log, if the range cannot be mapped with entries of the align, if
/// another region has some of it, or if the driver of the device has data of its own there.
pub(crate) fn register(host: AttachTarget<'_>, request: Request) -> Result<Arc<Region>> {
    let Request {
        id,
        range: raw,
        target_node,
        align,
        flags,
    } = request;
    let dev = host.device();
    let refused = |why: &dyn kernel::fmt::Display| {
        dev_err!(
            dev,
            "dax region of 0x{:x}-0x{:x} refused: {}\n",
            raw.start,
            raw.end,
            why
        );
    };

    let range = Range::new(raw.start, raw.end)
        .ok_or(EINVAL)
        .inspect_err(|_| refused(&"it is empty, or too large"))?;
    let align = Align::new(align.into())
        .ok_or(EINVAL)
        .inspect_err(|_| refused(&"its align is not the size of a pte, pmd or pud"))?;
    if !align.fits(&range) {
        let why = ranges::Error::RangeMisaligned { range, align };
        refused(&why);
        return Err(why.into());
    }
    let claim = Claim::new(range).inspect_err(|&e| {
        // What is missing otherwise is memory for the bookkeeping, and not the range.
        if e == EBUSY {
            refused(&"another region has some of it");
        }
    })?;

    let state = State {
        space: Space::new(range, units()?)?,
        slots: RBTree::new(),
        serial: 0,
        seed: None,
        youngest: None,
        provider: Some(ARef::from(dev as &Device)),
    };
    let region = Arc::pin_init(
        try_pin_init!(Region {
            head: RegionHead::new(dev, id, raw, target_node, align.bytes() as u32, flags),
            range,
            align,
            ids <- Ida::new(),
            state <- new_mutex!(state, "dax::Region"),
        }),
        GFP_KERNEL,
    )?;
    let files = GroupsRegistration::new(host, region.clone()).inspect_err(|&e| {
        if e == EBUSY {
            refused(&"the driver of its device has data of its own there");
        }
    })?;
    let registration = Registration {
        files: Some(files),
        region: region.clone(),
        _claim: claim,
    };
    devres::register(dev, registration, GFP_KERNEL)?;
    Ok(region)
}

// What a region is.
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

    /// Whether the instance appears in the class, and not on the bus. Only a static one can: the
    /// driver that serves it relies on what could change otherwise.
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
}

// What is in a region.
impl Region {
    /// Looks at, or changes, what can change about an instance; `ENXIO` if it is gone.
    pub(crate) fn with_slot<R>(&self, key: Key, f: impl FnOnce(&mut Slot) -> R) -> Result<R> {
        self.state.lock().slot(key).map(f)
    }

    /// The provider's device; `ENODEV` once its driver is unbound.
    fn provider(&self) -> Result<ARef<Device>> {
        self.state.lock().provider.clone().ok_or(ENODEV)
    }

    /// Lets the provider's device go.
    fn forget_provider(&self) {
        let provider = self.state.lock().provider.take();

        // Without the lock, because a reference may have to sleep when it goes.
        drop(provider);
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

    /// The next instance to be bound is another one.
    pub(crate) fn seed_was_bound(&self, key: Key) {
        let mut state = self.state.lock();

        if state.seed == Some(key) {
            state.seed = None;
        }
    }

    /// What a driver is told of an instance.
    pub(crate) fn layout(&self, key: Key) -> Result<Layout> {
        self.with_slot(key, |slot| {
            let mut ranges = KVVec::new();

            ranges.reserve(slot.parts.len(), GFP_KERNEL)?;
            for Part { pgoff, range } in slot.parts.iter() {
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
                align: slot.align() as u32,
                memmap_on_memory: slot.memmap_on_memory,
            })
        })?
    }
}

/// What a new instance is to be.
pub(crate) struct NewInstance {
    /// Its number, if the provider chooses that: in a static region, and only there.
    pub(crate) id: Option<u32>,
    /// Its size in bytes; the memory is at the start of the region.
    pub(crate) size: u64,
    /// The provider's `struct dev_pagemap`, in a static region.
    pub(crate) pgmap: Option<DevPagemap>,
    pub(crate) memmap_on_memory: bool,
}

// Instances come and go.
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

    /// Makes an instance without memory, for whoever wrote to `create`.
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
        if state.slot(key).is_ok() {
            state.seed = state.seed.or(Some(key));
            state.youngest = Some(key);
        }
        Ok(())
    }

    /// Books an instance and its memory.
    fn occupy(&self, id: u32, new: &NewInstance) -> Result<Key> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut state = self.state.lock();

        if state.slots.get(&id).is_some() {
            return Err(EEXIST);
        }
        let key = Key {
            id,
            serial: state.serial,
        };
        let mut slot = Slot {
            key,
            device: None,
            parts: Parts::new(),
            mappings: KVVec::new(),
            align: self.align,
            memmap_on_memory: new.memmap_on_memory,
        };
        if new.size != 0 {
            let range = Range::from_len(self.range.start(), new.size).ok_or(EINVAL)?;
            // What the provider wants need not fit any entries.
            slot.parts.add(&mut state.space, range, Align::BYTE)?;
            self.gave(id, range);
        }
        state.serial = state.serial.wrapping_add(1);
        state.slots.insert(node.into_node(id, slot));
        Ok(key)
    }

    /// Makes the device of an instance that is booked.
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

            Place::Class(service)
        } else {
            Place::Bus(dev.register_on(&provider, &DAX_BUS, devt)?)
        };
        let dev = ARef::from(&*place);
        // If there is no slot any more, it is dropped when the region's lock is not held.
        let mut place = Some(place);
        self.with_slot(key, |slot| slot.device = place.take())?;

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
        let mut next = self.with_slot(dev.key(), Slot::next_mapping)??;

        while let Some(index) = next {
            let mapping = Mapping {
                region: self.clone(),
                key: dev.key(),
                index,
            };
            let name = Name::new("mapping").number(index as u32);
            let device = ffi::new_device(name, |_| Ok(mapping))?.register(dev.as_ref())?;
            // If there is no slot any more, it is dropped when the region's lock is not held.
            let mut device = Some(device);
            next = self.with_slot(dev.key(), |slot| {
                if let Some(device) = device.take() {
                    // There was room for it, and only this adds any, with the instance locked.
                    slot.mappings
                        .push_within_capacity(device)
                        .map_err(|_| ENOMEM)?;
                }
                slot.next_mapping()
            })??;
        }
        Ok(())
    }

    /// Removes the mapping devices that an instance has too many of.
    fn trim_mappings(&self, key: Key) {
        // Each is removed, as it is dropped, when the region's lock is not held.
        while let Ok(Some(mapping)) = self.with_slot(key, |slot| {
            if slot.mappings.len() > slot.parts.len() {
                slot.mappings.pop()
            } else {
                None
            }
        }) {
            drop(mapping);
        }
    }

    /// Removes an instance that has no memory, for whoever wrote to `delete`.
    ///
    /// The first instance stays: as long as there is a region, it is seen on the bus.
    pub(crate) fn delete(&self, id: u32) -> Result {
        let device = {
            let state = self.state.lock();
            let slot = state.slots.get(&id).ok_or(ENXIO)?;

            slot.device.as_deref().map(ARef::from)
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
        if state.slot(key)?.size() != 0 {
            drop(state);
            return refused("it has memory; write 0 to its size first");
        }
        // Without a slot the instance cannot be bound any more, whoever takes the device lock.
        let slot = state.take(key);
        drop(state);
        drop(guard);

        if let Some(slot) = slot {
            self.finish(slot);
        }
        Ok(())
    }

    /// Removes an instance, whatever it is doing.
    fn remove(&self, key: Key) {
        let slot = self.state.lock().take(key);

        if let Some(slot) = slot {
            self.finish(slot);
        }
    }

    /// Removes all instances, the last one first.
    fn remove_all(&self) {
        loop {
            let state = self.state.lock();
            let last = state
                .slots
                .cursor_back()
                .map(|cursor| cursor.current().1.key);
            drop(state);

            match last {
                Some(key) => self.remove(key),
                None => return,
            }
        }
    }

    /// Takes apart an instance that nobody finds any more.
    fn finish(&self, slot: Slot) {
        let Slot {
            key,
            device,
            mut parts,
            mappings,
            ..
        } = slot;

        drop(mappings);
        if let Some(device) = device {
            instance::kill(&device);
            // The driver is unbound here, and the name is free after it.
            drop(device);
        }

        let mut state = self.state.lock();
        self.take_back(key.id(), &mut parts, &mut state.space, 0);
        drop(state);
        self.free_id(key.id());
    }

    /// Tells whoever traces that an instance has got memory.
    fn gave(&self, id: u32, range: Range) {
        trace::range_alloc(self.id(), id, range.start(), range.end());
    }

    /// Tells whoever traces that an instance has lost memory.
    fn took(&self, id: u32, range: Range) {
        trace::range_free(self.id(), id, range.start(), range.end());
    }

    fn free_id(&self, id: u32) {
        if !self.is_static() {
            self.ids.free(id);
        }
    }
}

impl State {
    /// What can change about an instance; `ENXIO` if it is gone.
    fn slot(&mut self, key: Key) -> Result<&mut Slot> {
        self.memory(key).map(|(_, slot)| slot)
    }

    /// The same, and the space that its memory comes from.
    #[inline(never)]
    fn memory(&mut self, key: Key) -> Result<(&mut Space, &mut Slot)> {
        match self.slots.get_mut(&key.id) {
            Some(slot) if slot.key == key => Ok((&mut self.space, slot)),
            // The number may be that of a younger instance.
            _ => Err(ENXIO),
        }
    }

    /// Takes an instance out of the region, if it is still there.
    fn take(&mut self, key: Key) -> Option<Slot> {
        self.slot(key).ok()?;
        for remembered in [&mut self.seed, &mut self.youngest] {
            if *remembered == Some(key) {
                *remembered = None;
            }
        }
        self.slots.remove(&key.id)
    }
}

impl Mapping {
    /// The range that the mapping device shows; `ENXIO` once it is gone.
    pub(crate) fn extent(&self) -> Result<Part> {
        self.region
            .with_slot(self.key, |slot| slot.parts.get(self.index).copied())?
            .ok_or(ENXIO)
    }
}
