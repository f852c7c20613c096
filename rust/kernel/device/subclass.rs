// SPDX-License-Identifier: GPL-2.0

//! Devices that a subsystem written in Rust creates itself.
//!
//! A bus core does not only drive devices, it makes them. Here a `struct device` sits in a C
//! struct of the subsystem (its layout is an interface to C drivers), which sits at the head of an
//! allocation that also holds a Rust value. The whole lives until the last reference to the
//! device is put.
//!
//! The life of such a device has three states, each a type: [`Unregistered`], which only its
//! creator knows; [`Registered`], which has a place in sysfs and can be bound; and [`Subclass`],
//! what references to it point to, which may outlive both.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use crate::{
    bindings,
    bus::{
        Bus,
        BusType, //
    },
    device::Device,
    error::to_result,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

use super::{
    attribute::Groups,
    class::Class,
    name::Name, //
};

/// A C struct that embeds a `struct device`.
///
/// # Safety
///
/// - `OFFSET` is the offset in bytes of a field of type `struct device`.
/// - All zeroes is a valid value of the type.
pub unsafe trait RawDevice {
    /// Offset of the embedded `struct device`, in bytes.
    const OFFSET: usize;
}

// SAFETY: `struct device` is at the start of itself, and is made by `kzalloc()` in C.
unsafe impl RawDevice for bindings::device {
    const OFFSET: usize = 0;
}

/// What a subsystem adds to its devices.
pub trait Type: Send + Sync + Sized + 'static {
    /// The C struct of the subsystem that embeds the `struct device`.
    type Raw: RawDevice;

    /// The attributes in the device's folder in sysfs.
    const GROUPS: &'static Groups<Subclass<Self>>;
}

/// A device made in Rust: a C struct with a `struct device` in it, and the Rust value `T`.
///
/// # Invariants
///
/// `raw` is first in the allocation, which comes from a [`KBox`]; its `struct device` has been
/// initialised, and its release frees the allocation.
#[repr(C)]
#[pin_data]
pub struct Subclass<T: Type> {
    #[pin]
    raw: Opaque<T::Raw>,
    #[pin]
    data: T,
}

// SAFETY: The driver core synchronises access to the `struct device`; `T` is `Send` and `Sync`.
unsafe impl<T: Type> Send for Subclass<T> {}
// SAFETY: As above.
unsafe impl<T: Type> Sync for Subclass<T> {}

impl<T: Type> Subclass<T> {
    const DEVICE_TYPE: bindings::device_type = bindings::device_type {
        groups: T::GROUPS.as_raw().cast_mut(),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the driver core when the last reference is gone.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: `dev` is embedded at `OFFSET` in a `T::Raw`, which by the type invariants is
        // first in an allocation made by `KBox` for `Self`, and nobody refers to it any more.
        drop(unsafe { KBox::from_raw(dev.byte_sub(T::Raw::OFFSET).cast::<Self>()) });
    }

    /// The `struct device`.
    pub(crate) fn dev_raw(&self) -> *mut bindings::device {
        // SAFETY: `raw` embeds a `struct device` at `OFFSET`.
        unsafe { self.raw.get().byte_add(T::Raw::OFFSET) }.cast()
    }

    /// The C struct of the subsystem.
    pub fn as_raw(&self) -> *mut T::Raw {
        self.raw.get()
    }

    /// The device that this C struct is the head of.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`Self::as_raw`], and the device is referenced for as long as `'a`.
    pub unsafe fn from_raw<'a>(raw: *mut T::Raw) -> &'a Self {
        // SAFETY: By the caller, this is the head of a `Self`, and it lives long enough.
        unsafe { &*raw.cast() }
    }

    /// The device that embeds this `struct device`.
    ///
    /// # Safety
    ///
    /// `dev` is embedded in a `Subclass<T>`, which is referenced for as long as `'a`.
    pub(crate) unsafe fn from_dev_raw<'a>(dev: *const bindings::device) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { &*dev.byte_sub(T::Raw::OFFSET).cast() }
    }

    /// The NUMA node that the device is closest to, or `NUMA_NO_NODE`.
    pub fn numa_node(&self) -> c_int {
        // SAFETY: `self` is a reference to a valid device.
        unsafe { bindings::dev_to_node(self.dev_raw()) }
    }

    /// Keeps drivers from being bound and unbound until the guard is dropped.
    ///
    /// Sleeps. An attribute of the device may take this lock, since the driver core does not hold
    /// it while it removes the device's own attributes.
    pub fn lock(&self) -> DeviceGuard<'_> {
        // SAFETY: `self` is a reference to a valid device.
        unsafe { bindings::device_lock(self.dev_raw()) };
        DeviceGuard {
            dev: self.as_ref(),
            _not_send: NotThreadSafe,
        }
    }
}

impl<T: Type> Deref for Subclass<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: Type> AsRef<Device> for Subclass<T> {
    fn as_ref(&self) -> &Device {
        // SAFETY: The `struct device` is valid as long as `self` is.
        unsafe { Device::from_raw(self.dev_raw()) }
    }
}

// SAFETY: The reference count is that of the embedded `struct device`, and its release frees the
// allocation.
unsafe impl<T: Type> AlwaysRefCounted for Subclass<T> {
    fn inc_ref(&self) {
        // SAFETY: A reference to `self` shows that the count is not zero.
        unsafe { bindings::get_device(self.dev_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference, so `obj` is still valid here.
        unsafe { bindings::put_device(obj.as_ref().dev_raw()) };
    }
}

/// The device lock: while it is held, the device stays bound or unbound as it is.
#[must_use = "if unused, the lock will be immediately unlocked"]
pub struct DeviceGuard<'a> {
    dev: &'a Device,
    _not_send: NotThreadSafe,
}

impl DeviceGuard<'_> {
    /// The driver that the device is bound to, or is being bound to; null if there is none.
    pub(crate) fn driver_raw(&self) -> *const bindings::device_driver {
        // SAFETY: The device is valid, and its driver does not change while the lock is held.
        unsafe { (*self.dev.as_raw()).driver }
    }

    /// Whether the device is bound to a driver, or is being bound to one.
    pub fn is_bound(&self) -> bool {
        !self.driver_raw().is_null()
    }
}

impl Drop for DeviceGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The guard's existence shows that the lock is held.
        unsafe { bindings::device_unlock(self.dev.as_raw()) };
    }
}

/// A device that only its creator knows.
///
/// # Invariants
///
/// There is no other reference, and the device is not registered.
pub struct Unregistered<T: Type>(ARef<Subclass<T>>);

impl<T: Type> Unregistered<T> {
    /// Makes a device with this name, not yet known to anybody else.
    ///
    /// `data` is told where the C struct will be, of which nothing but the device is initialised
    /// when the Rust value is; the rest is zero. Fails with `ENOMEM`, or as `data` does.
    pub fn new<I: PinInit<T, Error>>(
        name: Name,
        data: impl FnOnce(NonNull<T::Raw>) -> I,
    ) -> Result<Self> {
        let object = KBox::pin_init(
            try_pin_init!(&this in Subclass::<T> {
                raw <- Opaque::ffi_init(|raw: *mut T::Raw| {
                    // SAFETY: `raw` is valid for writing, and zeroes are a valid `T::Raw`.
                    unsafe { raw.write_bytes(0, 1) };
                }),
                // CAST: `raw` is first in `Subclass`.
                data <- data(this.cast()),
            }? Error),
            GFP_KERNEL,
        )?;

        // The allocation belongs to its references from here on, and never moves.
        // SAFETY: The pointer is used as a pinned one.
        let object = KBox::into_raw(unsafe { Pin::into_inner_unchecked(object) });
        // SAFETY: `raw` is first in the allocation and embeds a `struct device` at `OFFSET`.
        let dev = unsafe { object.byte_add(T::Raw::OFFSET) }.cast::<bindings::device>();
        // SAFETY: `dev` is valid, zeroed and has never been initialised.
        unsafe {
            bindings::device_initialize(dev);
            (*dev).type_ = &Subclass::<T>::DEVICE_TYPE;
        }
        // INVARIANT: Initialised just now, with a type whose release frees the allocation.
        // SAFETY: `device_initialize()` made the one reference that is handed over here.
        let object = unsafe { ARef::from_raw(NonNull::new_unchecked(object)) };

        // SAFETY: `dev` is valid, and `%s` takes a string of C.
        to_result(unsafe { bindings::dev_set_name(dev, c"%s".as_char_ptr(), name.as_char_ptr()) })?;
        // INVARIANT: Nobody else has seen it.
        Ok(Self(object))
    }

    /// Lets the creator fill in the C struct.
    pub fn as_raw(&mut self) -> *mut T::Raw {
        self.0.as_raw()
    }

    /// Gives the device its place below `parent`, without a bus.
    ///
    /// Fails as `device_add()` does, e.g. with `EEXIST` if the name is taken; the device is gone
    /// then. Sleeps.
    pub fn register(self, parent: &Device) -> Result<Registered<T>> {
        self.add(parent)
    }

    /// Gives the device its place below `parent` and on a bus, and a device number.
    ///
    /// If a driver matches, it is probed before this returns. Fails as [`Self::register`] does.
    pub fn register_on<B: Bus<Device = T>>(
        self,
        parent: &Device,
        bus: &'static BusType<B>,
        devt: bindings::dev_t,
    ) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nobody else uses the device.
        unsafe {
            (*dev).bus = bus.as_raw();
            (*dev).devt = devt;
        }
        self.add(parent)
    }

    /// Gives the device its place below `parent` and in a class, and a device number.
    ///
    /// User space is not told before [`Registered::announce`]. Fails as [`Self::register`] does.
    pub(crate) fn register_in(
        self,
        parent: &Device,
        class: &'static Class,
        devt: bindings::dev_t,
    ) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nobody else uses the device.
        unsafe {
            (*dev).class = class.as_raw();
            (*dev).devt = devt;
            bindings::dev_set_uevent_suppress(dev, 1);
        }
        self.add(parent)
    }

    fn add(self, parent: &Device) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nobody else uses the device, and it is not registered.
        // `device_add()` takes a reference to the parent.
        to_result(unsafe {
            (*dev).parent = parent.as_raw();
            bindings::device_add(dev)
        })?;
        // INVARIANT: `device_add()` succeeded.
        Ok(Registered(self.0))
    }
}

impl<T: Type> Deref for Unregistered<T> {
    type Target = Subclass<T>;

    fn deref(&self) -> &Subclass<T> {
        &self.0
    }
}

/// The place of a device in sysfs and on its bus, given up when this is dropped.
///
/// Dropping unbinds the driver and waits for running accesses to the device's attributes, so it
/// must not happen under a lock that one of them takes.
///
/// # Invariants
///
/// The device is registered, and this is the only value that says so.
pub struct Registered<T: Type>(ARef<Subclass<T>>);

impl<T: Type> Deref for Registered<T> {
    type Target = Subclass<T>;

    fn deref(&self) -> &Subclass<T> {
        &self.0
    }
}

impl<T: Type> Registered<T> {
    /// Tells user space of the device, after [`Unregistered::register_in`].
    ///
    /// Called once, by the creator, before anybody else could tell of it.
    pub(crate) fn announce(&self) {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants the device is registered. That nobody can be told is no
        // error, as in `device_add()`.
        unsafe {
            bindings::dev_set_uevent_suppress(dev, 0);
            bindings::kobject_uevent(&raw mut (*dev).kobj, bindings::kobject_action_KOBJ_ADD);
        }
    }
}

impl<T: Type> Drop for Registered<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the device is registered.
        unsafe { bindings::device_del(self.0.dev_raw()) };
    }
}
