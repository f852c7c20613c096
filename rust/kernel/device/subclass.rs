// SPDX-License-Identifier: GPL-2.0

//! Devices that a subsystem written in Rust creates itself.
//!
//! A bus core creates the devices of its bus. The `struct device` is embedded in a C struct of the
//! subsystem, whose layout is an interface to C drivers. The C struct is at the start of an
//! allocation, and a Rust value follows it. The allocation is freed when the last reference to the
//! device is put.
//!
//! Three types stand for the states of a device. Only its creator has access to an [`Unregistered`]
//! device. A [`Registered`] device is in sysfs and can be bound. References point to a
//! [`Subclass`], and may outlive both.
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     attribute_groups,
//!     bindings,
//!     device::{
//!         attribute::{
//!             Attribute,
//!             Groups,
//!             Mode,
//!             Output, //
//!         },
//!         name::Name,
//!         subclass::{
//!             Registered,
//!             Subclass,
//!             Type,
//!             Unregistered, //
//!         },
//!         Device, //
//!     },
//! };
//!
//! struct Disk {
//!     size: u64,
//! }
//!
//! impl Type for Disk {
//!     type Raw = bindings::device;
//!
//!     const GROUPS: &'static Groups<Subclass<Self>> = &GROUPS;
//! }
//!
//! attribute_groups! {
//!     /// The files of a `Disk`.
//!     static GROUPS: Subclass<Disk> = of_device DeviceAttribute None, [Size]
//! }
//!
//! enum Size {}
//!
//! impl Attribute for Size {
//!     type Owner = Subclass<Disk>;
//!
//!     const NAME: &'static CStr = c"size";
//!     const MODE: Mode = 0o444;
//!
//!     fn show(disk: &Subclass<Disk>, out: &mut Output) -> Result {
//!         out.number(disk.size);
//!         Ok(())
//!     }
//! }
//!
//! /// Makes the directory `diskN` below that of `parent`.
//! fn add(parent: &Device, number: u32, size: u64) -> Result<Registered<Disk>> {
//!     let name = Name::new("disk").number(number);
//!
//!     // SAFETY: This code is built into the kernel image.
//!     let disk = unsafe { Unregistered::new(name, |_| Ok(Disk { size })) }?;
//!
//!     disk.register(parent)
//! }
//! ```
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

// SAFETY: `struct device` is at the start of itself. C code also allocates it with `kzalloc()`.
unsafe impl RawDevice for bindings::device {
    const OFFSET: usize = 0;
}

/// The type of the devices of a subsystem.
pub trait Type: Send + Sync + Sized + 'static {
    /// The C struct of the subsystem that embeds the `struct device`.
    type Raw: RawDevice;

    /// The attributes in the directory of the device in sysfs.
    const GROUPS: &'static Groups<Subclass<Self>>;
}

/// A device made in Rust: a C struct with a `struct device` in it, and the Rust value `T`.
///
/// # Invariants
///
/// `raw` is at the start of the allocation, which comes from a [`KBox`]. Its `struct device` is
/// initialised. The release function of the device frees the allocation.
#[repr(C)]
#[pin_data]
pub struct Subclass<T: Type> {
    #[pin]
    raw: Opaque<T::Raw>,
    #[pin]
    data: T,
}

// SAFETY: The driver core synchronises access to the `struct device`. `T` is `Send` and `Sync`.
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
        // SAFETY: `dev` is embedded at `OFFSET` in a `T::Raw`. By the type invariants that is at
        // the start of an allocation by `KBox` for `Self`. There are no references to it any more.
        drop(unsafe { KBox::from_raw(dev.byte_sub(T::Raw::OFFSET).cast::<Self>()) });
    }

    /// Returns the `struct device`.
    pub(crate) fn dev_raw(&self) -> *mut bindings::device {
        // SAFETY: `raw` embeds a `struct device` at `OFFSET`.
        unsafe { self.raw.get().byte_add(T::Raw::OFFSET) }.cast()
    }

    /// Returns the C struct of the subsystem.
    pub fn as_raw(&self) -> *mut T::Raw {
        self.raw.get()
    }

    /// Returns the device whose C struct is `raw`.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`Self::as_raw`], and the device is referenced for as long as `'a`.
    pub unsafe fn from_raw<'a>(raw: *mut T::Raw) -> &'a Self {
        // SAFETY: By the safety requirements `raw` is the start of a `Self` that is valid for `'a`.
        unsafe { &*raw.cast() }
    }

    /// Returns the device that embeds `dev`.
    ///
    /// # Safety
    ///
    /// `dev` is embedded in a `Subclass<T>`, which is referenced for as long as `'a`.
    pub(crate) unsafe fn from_dev_raw<'a>(dev: *const bindings::device) -> &'a Self {
        // SAFETY: By the safety requirements.
        unsafe { &*dev.byte_sub(T::Raw::OFFSET).cast() }
    }

    /// Returns the number of the NUMA node that is closest to the device, or `NUMA_NO_NODE`.
    pub fn numa_node(&self) -> c_int {
        // SAFETY: `self` is a reference to a valid device.
        unsafe { bindings::dev_to_node(self.dev_raw()) }
    }

    /// Keeps drivers from being bound and unbound until the guard is dropped.
    ///
    /// May sleep. An attribute of the device may take this lock: the driver core does not hold it
    /// while it removes the attributes of the device's type.
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

// SAFETY: The refcount is that of the embedded `struct device`. Its release frees the allocation.
unsafe impl<T: Type> AlwaysRefCounted for Subclass<T> {
    fn inc_ref(&self) {
        // SAFETY: A reference to `self` implies that the refcount is not zero.
        unsafe { bindings::get_device(self.dev_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a reference and gives it up, so `obj` is valid here.
        unsafe { bindings::put_device(obj.as_ref().dev_raw()) };
    }
}

/// The device lock. While it is held, the driver core neither binds nor unbinds the device.
#[must_use = "if unused, the lock will be immediately unlocked"]
pub struct DeviceGuard<'a> {
    dev: &'a Device,
    _not_send: NotThreadSafe,
}

impl DeviceGuard<'_> {
    /// Returns whether this is the lock of `dev`.
    pub fn is_of<T: Type>(&self, dev: &Subclass<T>) -> bool {
        core::ptr::eq(self.dev, dev.as_ref())
    }

    /// Returns the driver that the device is bound to, or is being bound to. Null if the device has
    /// no driver.
    pub fn driver_raw(&self) -> *const bindings::device_driver {
        // SAFETY: The device is valid. Its driver does not change while the lock is held.
        unsafe { (*self.dev.as_raw()).driver }
    }

    /// Returns whether the device is bound to a driver, or is being bound to one.
    pub fn is_bound(&self) -> bool {
        !self.driver_raw().is_null()
    }
}

impl Drop for DeviceGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The lock is held as long as the guard exists.
        unsafe { bindings::device_unlock(self.dev.as_raw()) };
    }
}

/// A device that only its creator uses.
///
/// # Invariants
///
/// There is no other reference. The device is not registered.
pub struct Unregistered<T: Type>(ARef<Subclass<T>>);

impl<T: Type> Unregistered<T> {
    /// Creates a device with this name.
    ///
    /// The argument of `data` is the address of the C struct, which is zero when `data` is called.
    /// Fails with [`ENOMEM`], or as `data` does.
    ///
    /// # Safety
    ///
    /// The code of `T` is in the kernel image. Anybody may refer to the device, and the last
    /// reference drops the value.
    pub unsafe fn new<I: PinInit<T, Error>>(
        name: Name,
        data: impl FnOnce(NonNull<T::Raw>) -> I,
    ) -> Result<Self> {
        let object = KBox::pin_init(
            try_pin_init!(&this in Subclass::<T> {
                raw <- Opaque::ffi_init(|raw: *mut T::Raw| {
                    // SAFETY: `raw` is valid for writing, and zeroes are a valid `T::Raw`.
                    unsafe { raw.write_bytes(0, 1) };
                }),
                // CAST: `raw` is at the start of `Subclass`.
                data <- data(this.cast()),
            }? Error),
            GFP_KERNEL,
        )?;

        // From here on the references own the allocation.
        // SAFETY: The allocation never moves.
        let object = KBox::into_raw(unsafe { Pin::into_inner_unchecked(object) });
        // SAFETY: `raw` is at the start of the allocation and embeds a `struct device` at `OFFSET`.
        let dev = unsafe { object.byte_add(T::Raw::OFFSET) }.cast::<bindings::device>();
        // SAFETY: `dev` is valid, zeroed and not initialised yet.
        unsafe {
            bindings::device_initialize(dev);
            (*dev).type_ = &Subclass::<T>::DEVICE_TYPE;
        }
        // INVARIANT: The device is initialised, with a type whose release frees the allocation.
        // SAFETY: `device_initialize()` creates one reference, which the `ARef` owns from here on.
        let object = unsafe { ARef::from_raw(NonNull::new_unchecked(object)) };

        // SAFETY: `dev` is valid. `%s` takes a C string.
        to_result(unsafe { bindings::dev_set_name(dev, c"%s".as_char_ptr(), name.as_char_ptr()) })?;
        // INVARIANT: This is the one reference, and the device is not registered.
        Ok(Self(object))
    }

    /// Returns the C struct, which the creator fills in.
    pub fn as_raw(&mut self) -> *mut T::Raw {
        self.0.as_raw()
    }

    /// Registers the device below `parent`, without a bus. May sleep.
    ///
    /// Fails as `device_add()` does, for example with [`EEXIST`] if the name is in use. Then the
    /// device is freed.
    pub fn register(self, parent: &Device) -> Result<Registered<T>> {
        self.add(parent)
    }

    /// Registers the device below `parent` and on a bus, with a device number.
    ///
    /// If a driver matches, the driver core probes it before this returns. Fails as
    /// [`Self::register`] does.
    pub fn register_on<B: Bus<Device = T>>(
        self,
        parent: &Device,
        bus: &'static BusType<B>,
        devt: bindings::dev_t,
    ) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nothing else uses the device.
        unsafe {
            (*dev).bus = bus.as_raw();
            (*dev).devt = devt;
        }
        self.add(parent)
    }

    /// Registers the device below `parent` and in a class, with a device number.
    ///
    /// The uevent is held back until [`Registered::announce`]. Fails as [`Self::register`] does.
    pub fn register_in(
        self,
        parent: &Device,
        class: &'static Class,
        devt: bindings::dev_t,
    ) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nothing else uses the device.
        unsafe {
            (*dev).class = class.as_raw();
            (*dev).devt = devt;
            bindings::dev_set_uevent_suppress(dev, 1);
        }
        self.add(parent)
    }

    fn add(self, parent: &Device) -> Result<Registered<T>> {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants nothing else uses the device, and it is not registered.
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

/// The registration of a device in sysfs and on its bus. Dropping it removes the device.
///
/// Dropping unbinds the driver and waits until no attribute of the device is in use. So the caller
/// must not hold a lock that one of them takes.
///
/// # Invariants
///
/// The device is registered. Only this value removes it.
pub struct Registered<T: Type>(ARef<Subclass<T>>);

impl<T: Type> Deref for Registered<T> {
    type Target = Subclass<T>;

    fn deref(&self) -> &Subclass<T> {
        &self.0
    }
}

impl<T: Type> Registered<T> {
    /// Sends the uevent that [`Unregistered::register_in`] held back.
    ///
    /// The creator calls this once.
    pub fn announce(&self) {
        let dev = self.0.dev_raw();

        // SAFETY: By the type invariants the device is registered. A uevent that cannot be sent is
        // no error, as in `device_add()`.
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
