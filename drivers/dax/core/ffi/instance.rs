// SPDX-License-Identifier: GPL-2.0

//! An instance as drivers in C see it: `struct dev_dax`.
//!
//! A driver in C reads the fields of `struct dev_dax`, so the core has to fill them in. The values
//! that can change are kept in Rust types under a lock. The fields are a copy, which is made when a
//! driver is bound. So a driver or a fault reads a layout that does not change, and needs no lock.
//!
//! When a bound instance grows, [`grow`] replaces the copy. It has the old ranges at its beginning,
//! so it does not matter which of the two a fault reads. The old copy is freed after a grace
//! period.
//!
//! C header: drivers/dax/dax-private.h

use super::{
    driver::Driver,
    new_device,
    region::{
        RegionHead,
        IORESOURCE_DAX_STATIC, //
    },
    srcu::domain,
    trace, //
};
use kernel::{
    bindings,
    bus::{
        Binding,
        Bus,
        Unbinding, //
    },
    device::{
        name::Name,
        subclass::{
            DeviceGuard,
            Subclass,
            Type,
            Unregistered, //
        }, //
    },
    fs::pseudo::{
        Inode,
        Node, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    },
    types::Opaque, //
};

use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};

/// The largest number that an instance can have.
pub(crate) const MAX_ID: u32 = c_int::MAX as u32;

/// A copy of the `struct dev_pagemap` that a provider gave for an instance, kept for its driver.
pub(crate) struct DevPagemap(KBox<Opaque<bindings::dev_pagemap>>);

// SAFETY: Only the driver that the instance is bound to accesses the C struct. Any thread may free
// it.
unsafe impl Send for DevPagemap {}
// SAFETY: A shared reference gives access to a pointer only. Only the bound driver dereferences it.
unsafe impl Sync for DevPagemap {}

impl DevPagemap {
    /// Copies a `struct dev_pagemap` of one range that has not been used yet.
    ///
    /// # Safety
    ///
    /// `pgmap` is valid.
    pub(super) unsafe fn copy_of(pgmap: *const bindings::dev_pagemap) -> Result<Self> {
        // SAFETY: By the caller. A `struct dev_pagemap` that is not in use can be moved.
        let copy = unsafe { pgmap.read() };

        Ok(Self(KBox::new(Opaque::new(copy), GFP_KERNEL)?))
    }
}

/// The layout of an instance, for the driver that it is bound to.
pub(crate) struct Layout {
    /// The memory, in the order of its offsets into the instance.
    pub(crate) ranges: KVVec<bindings::dev_dax_range>,
    /// The size in bytes of the entries that map the instance. All ranges are multiples of it.
    pub(crate) align: u32,
    /// Whether `kmem` may keep the memmap of the memory in the memory itself.
    pub(crate) memmap_on_memory: bool,
    /// Whether the memory gets no struct pages.
    pub(crate) bare: bool,
}

/// The ranges in the layout of the bound driver, or of the last one.
///
/// # Invariants
///
/// - The cell is accessed only under the device lock, or while the instance is being made.
/// - The fields `ranges` and `nr_range` of the instance refer to the vector, whose items never
///   change.
pub(crate) struct BoundRanges(UnsafeCell<KVVec<bindings::dev_dax_range>>);

// SAFETY: The ranges are plain data. Their `mapping` pointers are null.
unsafe impl Send for BoundRanges {}
// SAFETY: By the type invariant a lock protects the cell.
unsafe impl Sync for BoundRanges {}

impl BoundRanges {
    /// No ranges, for an instance that has not been bound yet.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(KVVec::new()))
    }
}

/// What `struct dev_dax` points to.
///
/// The value is behind a shared reference from the creation of the device until the device is
/// freed. So the references that the methods return are valid as long as the device.
pub(crate) trait DevDax: Type<Raw = bindings::dev_dax> {
    /// The value of the dax device.
    type DaxDevice: Node;

    /// The region that the instance is a part of.
    fn region_head(&self) -> &RegionHead;

    /// The dax device of the instance.
    fn dax_dev(&self) -> &Inode<Self::DaxDevice>;

    /// The provider's `struct dev_pagemap`, in a static region.
    fn pgmap(&self) -> Option<&DevPagemap>;

    /// The second number in the name of the device.
    fn id(&self) -> u32;

    /// The ranges in the layout of the bound driver, or of the last one.
    fn bound_ranges(&self) -> &BoundRanges;
}

/// Makes the device of an instance and fills in the fields that never change.
///
/// `data` gets a pointer to the `struct dev_dax`. Fails with `ENOMEM`, or as `data` does.
pub(crate) fn new<T: DevDax, I: PinInit<T, Error>>(
    name: Name,
    data: impl FnOnce(NonNull<bindings::dev_dax>) -> I,
) -> Result<Unregistered<T>> {
    let mut dev = new_device(name, data)?;
    let raw = dev.as_raw();

    // SAFETY: The device is not registered, so nothing else uses it. The pointers are to objects
    // that live as long as the device, see `DevDax`.
    unsafe {
        (*raw).region = dev.region_head().as_raw();
        (*raw).dax_dev = dev.dax_dev().as_raw().cast();
        (*raw).pgmap = dev
            .pgmap()
            .map_or(core::ptr::null_mut(), |pgmap| pgmap.0.get());
        // Ids come from an `int` in C.
        (*raw).id = dev.id() as c_int;
        (*raw).dyn_id = !dev.region_head().has_flag(IORESOURCE_DAX_STATIC);
        (*raw).target_node = dev.region_head().target_node();
    }
    Ok(dev)
}

/// Copies `layout` to the fields of `struct dev_dax`, and calls the driver's probe.
///
/// The ranges stay until the next call, or until [`grow`] replaces them. Faults read them until the
/// driver's devres are released, which is after its remove.
pub(crate) fn probe<B: Bus<Driver = Driver>>(binding: Binding<'_, B>, layout: Layout) -> Result
where
    B::Device: DevDax,
{
    // SAFETY: By the type invariants of `binding` no driver is bound, and the device lock is held.
    // The driver core released the devres of the last driver when it unbound that.
    unsafe { call_probe(binding.device(), binding.driver(), layout) }
}

/// Calls the driver's remove.
pub(crate) fn remove<B: Bus<Driver = Driver>>(unbinding: Unbinding<'_, B>)
where
    B::Device: DevDax,
{
    // SAFETY: By its type invariants `unbinding` shows that the driver is bound.
    unsafe { unbinding.driver().remove(unbinding.device()) }
}

/// Does what [`probe`] does.
///
/// # Safety
///
/// - No driver has the instance, and no other driver gets it during the call.
/// - The devres of the last driver have been released.
pub(super) unsafe fn call_probe<T: DevDax>(
    dev: &Subclass<T>,
    driver: &Driver,
    layout: Layout,
) -> Result {
    let raw = dev.as_raw();
    let ranges = dev.bound_ranges().0.get();
    let nr_range = layout.ranges.len().try_into()?;

    // SAFETY: By the caller no driver has the instance, so no fault is running and nothing reads
    // the ranges.
    unsafe {
        *ranges = layout.ranges;
        (*raw).ranges = (*ranges).as_mut_ptr();
        (*raw).nr_range = nr_range;
        (*raw).align = layout.align;
        (*raw).memmap_on_memory = layout.memmap_on_memory;
        (*raw).bare = layout.bare;
        // In a dynamic region each driver makes its own dev_pagemap. A driver in C whose probe
        // failed may have left a pointer to one that no longer exists.
        if !dev.region_head().has_flag(IORESOURCE_DAX_STATIC) {
            (*raw).pgmap = core::ptr::null_mut();
        }
    }

    // SAFETY: By the caller; the device is about to be given to the driver.
    let result = unsafe { driver.probe(dev) };
    // SAFETY: The ranges stay the same during the call: no other driver is bound, and the instance
    // does not grow before this returns.
    unsafe { trace::bind(raw, driver.name(), &result) };
    result
}

/// Gives more memory to a bound instance: asks its driver, and replaces the ranges that faults
/// read.
///
/// `ranges` begins with the ranges of the instance; the last one of these may be longer. On failure
/// the instance is as before. Fails with `ENODEV` if `guard` is that of another device or no driver
/// is bound, with `EINVAL` if `ranges` are others, and as the driver does. Waits for a grace
/// period.
pub(crate) fn grow<T: DevDax>(
    guard: &DeviceGuard<'_>,
    dev: &Subclass<T>,
    ranges: KVVec<bindings::dev_dax_range>,
) -> Result {
    let driver = Driver::of(guard)
        .filter(|_| guard.is_of(dev))
        .ok_or(ENODEV)?;
    let raw = dev.as_raw();
    // SAFETY: The device lock is held.
    let bound = unsafe { &mut *dev.bound_ranges().0.get() };
    let nr_range = c_int::try_from(ranges.len())?;
    let kept = |(old, new): (&bindings::dev_dax_range, &bindings::dev_dax_range)| {
        old.pgoff == new.pgoff
            && old.range.start == new.range.start
            && old.range.end <= new.range.end
    };
    if ranges.len() < bound.len() || !bound.iter().zip(ranges.iter()).all(kept) {
        return Err(EINVAL);
    }

    // SAFETY: The driver is bound and the device lock is held. The ranges were just checked.
    unsafe { driver.grow(dev, &ranges)? };

    let old = core::mem::replace(bound, ranges);
    // A reader reads the number first. So it gets a pointer to at least that many ranges.
    // SAFETY: The instance is valid. All accesses to the fields are of their whole size.
    unsafe {
        Atomic::from_ptr(&raw mut (*raw).ranges).store(bound.as_mut_ptr(), Release);
        Atomic::from_ptr(&raw mut (*raw).nr_range).store(nr_range, Release);
    }
    domain().synchronize();
    drop(old);
    Ok(())
}

/// The ranges that an instance is bound with, in the order of their page offsets.
///
/// # Safety
///
/// `raw` is an instance of the core. A driver is bound to it, or faults of the last driver are
/// still running. `'a` ends with a read-side section, unless the driver has no callback `grow`.
#[inline]
pub(super) unsafe fn bound_ranges<'a>(
    raw: *mut bindings::dev_dax,
) -> &'a [bindings::dev_dax_range] {
    // SAFETY: By the caller `call_probe()` has set both fields. After that `grow()` replaces them.
    // It stores the pointer first, so this gets one to at least `count` ranges.
    unsafe {
        let mut count = 0;
        let ranges = bindings::dax_bound_ranges(raw, &mut count);

        core::slice::from_raw_parts(ranges, count as usize)
    }
}

/// Fires the tracepoint for an instance that was alive and has been killed.
pub(crate) fn trace_kill<T: DevDax>(dev: &Subclass<T>) {
    // SAFETY: The instance is valid.
    unsafe { trace::kill(dev.as_raw()) };
}

/// Forgets the `struct dev_pagemap` that the driver of an instance in a dynamic region made for
/// itself.
///
/// Called for an instance that has just been killed: a driver reads the field only while the
/// instance is alive.
pub(crate) fn forget_pgmap<T: DevDax>(dev: &Subclass<T>) {
    // SAFETY: The instance is valid. This is one store of a pointer, and null is a valid value.
    unsafe { (&raw mut (*dev.as_raw()).pgmap).write_volatile(core::ptr::null_mut()) };
}
