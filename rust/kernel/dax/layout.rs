// SPDX-License-Identifier: GPL-2.0

//! The core's objects as C drivers see them.
//!
//! A driver in C reads the fields of `struct dev_dax`, `struct dax_region` and
//! `struct dax_device_driver`, so a core in Rust keeps them up to date. The truth is elsewhere, in
//! Rust types under a lock; these fields are a copy of it, made when a driver is bound and left
//! alone until it is unbound. So what a driver, or a fault, sees cannot change under it, and needs
//! no lock.
//!
//! This is for the core alone.
//!
//! C headers: `drivers/dax/bus.h`, `drivers/dax/dax-private.h`

use super::{
    liveness,
    trace, //
};
use crate::{
    bindings,
    bus::{
        Binding,
        Bus,
        RawDriver, //
    },
    device::{
        attribute::Owner,
        name::Name,
        subclass::{
            DeviceGuard,
            RawDevice,
            Subclass,
            Type,
            Unregistered, //
        }, //
    },
    error::to_result,
    prelude::*,
    types::Opaque, //
};
use core::{
    cell::UnsafeCell,
    mem::offset_of, //
};

pub use bindings::{
    IORESOURCE_DAX_KMEM,
    IORESOURCE_DAX_STATIC,
    PMD_SIZE,
    PUD_SIZE, //
};

/// Among the flags of a region: its instance appears in the class. This core's own; `bus.h` has
/// the others, and this is the next bit.
pub const IORESOURCE_DAX_CLASS: usize = 1 << 2;

/// Among the flags of a request for a region: if it is refused, the caller wants an `ERR_PTR()` instead
/// of null. This core's own, too. The one in C keeps it, and returns null all the same.
pub const IORESOURCE_DAX_ERRNO: usize = 1 << 3;

/// The largest number that an instance can have.
pub const MAX_ID: u32 = c_int::MAX as u32;

/// Whether an instance can be mapped with entries of `bytes` on this machine.
pub fn align_valid(bytes: u64) -> bool {
    // SAFETY: No requirements.
    usize::try_from(bytes).is_ok_and(|bytes| unsafe { bindings::dax_align_valid(bytes) })
}

/// The unit in bytes of the memory that `memremap_pages()` takes.
pub fn memremap_compat_align() -> usize {
    // SAFETY: No requirements.
    unsafe { bindings::memremap_compat_align() }
}

/// Whether memory can be hot-added so that it holds its own memory map.
pub fn supports_memmap_on_memory() -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::mhp_supports_memmap_on_memory() }
}

/// A provider's page map, kept for the driver of the instance.
pub struct PageMap(KBox<Opaque<bindings::dev_pagemap>>);

// SAFETY: The page map is only touched by the driver that the instance is bound to.
unsafe impl Send for PageMap {}
// SAFETY: As above.
unsafe impl Sync for PageMap {}

impl PageMap {
    /// Copies a page map of one range that has not been used yet.
    ///
    /// # Safety
    ///
    /// `pgmap` is valid.
    pub unsafe fn copy_of(pgmap: *const bindings::dev_pagemap) -> Result<Self> {
        // SAFETY: By the caller; a page map that is not in use can be moved.
        let copy = unsafe { pgmap.read() };

        Ok(Self(KBox::new(Opaque::new(copy), GFP_KERNEL)?))
    }

    /// Where the page map is for as long as `self` lives.
    pub fn as_ptr(&self) -> *mut bindings::dev_pagemap {
        self.0.get()
    }
}

// SAFETY: `dev` is a `struct device`, and C makes the struct with `kzalloc()`.
unsafe impl RawDevice for bindings::dev_dax {
    const OFFSET: usize = offset_of!(bindings::dev_dax, dev);
}

/// A driver on the dax bus, written in C or in Rust: `struct dax_device_driver`.
///
/// # Invariants
///
/// The driver has been given to `__dax_driver_register()`, which checks that it has a probe.
#[repr(transparent)]
pub struct Driver(pub(super) Opaque<bindings::dax_device_driver>);

// SAFETY: `drv` is a `struct device_driver`, and the wrapper is transparent.
unsafe impl RawDriver for Driver {
    const OFFSET: usize = offset_of!(bindings::dax_device_driver, drv);
}

// SAFETY: All drivers on the dax bus are a `struct dax_device_driver`.
unsafe impl Owner for Driver {
    type Raw = bindings::device_driver;

    unsafe fn from_raw<'a>(drv: *mut bindings::device_driver) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { Self::from_drv_raw(drv) }
    }
}

impl Driver {
    /// The driver behind a C pointer.
    ///
    /// # Safety
    ///
    /// `drv` is a valid driver with a probe, and stays so for as long as `'a`.
    pub unsafe fn from_ptr<'a>(drv: *mut bindings::dax_device_driver) -> &'a Self {
        // SAFETY: By the caller; the wrapper is transparent.
        unsafe { &*drv.cast() }
    }

    /// The `struct device_driver` of the driver.
    pub fn as_drv_raw(&self) -> *mut bindings::device_driver {
        // SAFETY: The driver is valid.
        unsafe { &raw mut (*self.0.get()).drv }
    }

    /// What the driver does with an instance: one of `enum dax_driver_type`.
    pub fn kind(&self) -> bindings::dax_driver_type {
        // SAFETY: The driver is valid, and its type is set before it is registered.
        unsafe { (*self.0.get()).type_ }
    }

    /// The name of the driver, which is that of its module.
    pub fn name(&self) -> &CStr {
        // SAFETY: The driver is valid; the name was set before it was registered, and stays.
        unsafe { CStr::from_char_ptr((*self.as_drv_raw()).name) }
    }

    /// A number that tells this driver from every other registered one.
    pub fn key(&self) -> usize {
        self.0.get().addr()
    }

    /// Offers all devices that have no driver to this one. Sleeps.
    pub fn attach(&self) -> Result {
        // SAFETY: The driver is valid and registered.
        to_result(unsafe { bindings::driver_attach(self.as_drv_raw()) })
    }

    /// The driver that the device is bound to, or is being bound to.
    pub fn of<'a>(guard: &'a DeviceGuard<'_>) -> Option<&'a Self> {
        let drv = guard.driver_raw();

        if drv.is_null() {
            return None;
        }
        // SAFETY: A device on the dax bus is bound to a driver of the dax bus, and the guard keeps
        // it bound.
        Some(unsafe { Self::from_drv_raw(drv) })
    }

    /// Calls the driver's remove, if it has one.
    pub fn remove<T: Type<Raw = bindings::dev_dax>>(&self, dev: &Subclass<T>) {
        // SAFETY: The driver is valid, and the callback is for a `struct dev_dax`.
        unsafe {
            if let Some(remove) = (*self.0.get()).remove {
                remove(dev.as_raw());
            }
        }
    }
}

/// What a driver is told of an instance when it is bound to it.
pub struct Layout {
    /// The memory, in the order of the offsets at which it is mapped.
    pub ranges: KVVec<bindings::dev_dax_range>,
    /// Size in bytes of the entries that faults map, and of which all ranges are multiples.
    pub align: u32,
    /// Whether `kmem` may keep the memory map of the memory in the memory itself.
    pub memmap_on_memory: bool,
}

/// Keeps the ranges that the driver of an instance was last told of.
///
/// # Invariants
///
/// Only changed while a driver is about to be bound, when nobody looks at the ranges.
pub struct Published(UnsafeCell<KVVec<bindings::dev_dax_range>>);

// SAFETY: The ranges are plain data but for a pointer that is null.
unsafe impl Send for Published {}
// SAFETY: By the type invariants there is no shared access during a change.
unsafe impl Sync for Published {}

impl Published {
    /// No ranges, for an instance that has not been bound yet.
    #[expect(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(KVVec::new()))
    }
}

/// An instance, as far as this module deals with it.
pub trait Instance: Type<Raw = bindings::dev_dax> {
    /// Where the ranges are kept that the driver was told of.
    fn published(&self) -> &Published;
}

/// Shows `layout` in the fields of `struct dev_dax`, and calls the driver's probe.
///
/// The ranges stay until the next time, since faults look at them until the driver's devres have
/// been released, which is after its remove.
pub fn probe<B: Bus<Driver = Driver>>(binding: Binding<'_, B>, layout: Layout) -> Result
where
    B::Device: Instance,
{
    // SAFETY: By its type invariants `binding` shows that no driver is bound. The last one's devres
    // have been released.
    unsafe { call_probe(binding.device(), binding.driver(), layout) }
}

/// Does what [`probe`] does.
///
/// # Safety
///
/// No driver has the instance, nor gets it meanwhile, and the last one's devres have been released.
pub(super) unsafe fn call_probe<T: Instance>(
    dev: &Subclass<T>,
    driver: &Driver,
    layout: Layout,
) -> Result {
    let raw = dev.as_raw();
    let published = dev.published().0.get();
    let nr_range = layout.ranges.len().try_into()?;

    // SAFETY: By the caller; so no fault is under way, and nobody looks at the ranges.
    unsafe {
        *published = layout.ranges;
        (*raw).ranges = (*published).as_mut_ptr();
        (*raw).nr_range = nr_range;
        (*raw).align = layout.align;
        (*raw).memmap_on_memory = layout.memmap_on_memory;
        // In a dynamic region each driver makes its own. One in C whose probe failed may have left one
        // that does not exist any more.
        if (*(*raw).region).res.flags & IORESOURCE_DAX_STATIC == 0 {
            (*raw).pgmap = core::ptr::null_mut();
        }
    }

    // SAFETY: The driver is valid, and the device is about to be given to it.
    let result = match unsafe { (*driver.0.get()).probe } {
        // SAFETY: As above.
        Some(probe) => to_result(unsafe { probe(raw) }),
        None => Err(EINVAL),
    };
    // SAFETY: The ranges stay until the next time.
    unsafe { trace::bind(raw, driver.name(), &result) };
    result
}

/// The ranges that an instance is bound with, in the order of their page offsets.
///
/// # Safety
///
/// `raw` is an instance of the core, and its driver is bound or has faults that are under way.
#[inline]
pub unsafe fn bound_ranges<'a>(raw: *const bindings::dev_dax) -> &'a [bindings::dev_dax_range] {
    // SAFETY: By the caller; `probe()` set the two.
    unsafe { core::slice::from_raw_parts((*raw).ranges, (*raw).nr_range as usize) }
}

/// What C drivers find in a `struct dev_dax` from its creation to its end.
///
/// The pointers are followed by C drivers, so they are valid for as long as the device is.
pub struct Identity {
    /// The region that the instance is a part of.
    pub region: *mut bindings::dax_region,
    /// What the instance is to the rest of the kernel.
    pub dax_dev: *mut bindings::dax_device,
    /// The page map that the provider prepared, if the region is static.
    pub pgmap: *mut bindings::dev_pagemap,
    /// The second number in the name of the device.
    pub id: u32,
    /// Whether the core chose the id.
    pub dyn_id: bool,
    /// NUMA node that the memory would be if it were onlined, or `NUMA_NO_NODE`.
    pub target_node: c_int,
}

/// Makes the device of an instance. `data` gets the instance as the owner of a dax device.
///
/// # Safety
///
/// The value that `data` makes kills the dax device, if it is alive, when it is dropped at the latest.
/// The device gets on the dax bus, or into its class.
pub unsafe fn new_instance<T: Instance, I: PinInit<T, Error>>(
    name: Name,
    data: impl FnOnce(liveness::Instance) -> I,
) -> Result<Unregistered<T>> {
    Unregistered::new(name, |raw| {
        // SAFETY: By the caller. Only the driver that is bound makes the dax device alive.
        data(unsafe { liveness::Instance::new(raw) })
    })
}

/// Fills in a `struct dev_dax`.
///
/// # Safety
///
/// The pointers in `identity` are valid as long as the device is, or null for a `pgmap` that there is
/// not.
pub unsafe fn identify<T: Instance>(dev: &mut Unregistered<T>, identity: Identity) {
    let raw = dev.as_raw();

    // SAFETY: Nobody else knows the device yet.
    unsafe {
        (*raw).region = identity.region;
        (*raw).dax_dev = identity.dax_dev;
        (*raw).pgmap = identity.pgmap;
        // Ids come from an `int` in C.
        (*raw).id = identity.id as c_int;
        (*raw).dyn_id = identity.dyn_id;
        (*raw).target_node = identity.target_node;
    }
}

/// Tells whoever traces that an instance has been killed.
pub fn killed<T: Instance>(dev: &Subclass<T>) {
    // SAFETY: The instance is valid.
    unsafe { trace::kill(dev.as_raw()) };
}

/// Forgets the page map that the driver of an instance in a dynamic region made for itself.
///
/// # Safety
///
/// No driver is bound, or the one that is bound calls this by way of `kill_dev_dax()`. The instance is
/// dead.
pub unsafe fn forget_pgmap<T: Instance>(dev: &Subclass<T>) {
    // SAFETY: The field belongs to the bound driver. By the caller it is done with it.
    unsafe { (*dev.as_raw()).pgmap = core::ptr::null_mut() };
}

/// A region as C drivers see it: `struct dax_region`, at the head of what the core keeps.
///
/// # Invariants
///
/// The C struct does not change.
#[repr(transparent)]
pub struct Region(bindings::dax_region);

// SAFETY: By the type invariants.
unsafe impl Send for Region {}
// SAFETY: By the type invariants.
unsafe impl Sync for Region {}

impl Region {
    /// A region of the memory `range`, below the device `parent`.
    pub fn new(
        parent: &crate::device::Device,
        id: c_int,
        range: bindings::range,
        target_node: c_int,
        align: u32,
        flags: usize,
    ) -> Self {
        // INVARIANT: Nothing changes it from here on.
        Self(bindings::dax_region {
            id,
            target_node,
            dev: parent.as_raw(),
            align,
            res: bindings::resource {
                start: range.start,
                end: range.end,
                flags: bindings::IORESOURCE_MEM as usize | flags,
                ..pin_init::zeroed()
            },
            ..pin_init::zeroed()
        })
    }
}

impl core::ops::Deref for Region {
    type Target = bindings::dax_region;

    fn deref(&self) -> &bindings::dax_region {
        &self.0
    }
}
