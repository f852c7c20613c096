// SPDX-License-Identifier: GPL-2.0

//! Buses whose core is written in Rust.
//!
//! A bus decides which driver matches which device, and the driver core calls its `probe` for each
//! pair. The devices of these buses are created in Rust: [`Subclass`]. The drivers may be in either
//! language, so they are a C struct that embeds a `struct device_driver`.
//!
//! Each bus has its own interface for drivers: see [`kernel::driver`](crate::driver).
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     attribute_groups,
//!     bindings,
//!     bus::{
//!         Binding,
//!         Bus,
//!         BusType,
//!         RawDriver,
//!         Uevent,
//!         Unbinding, //
//!     },
//!     device::{
//!         attribute::{
//!             Groups,
//!             Owner, //
//!         },
//!         subclass::{
//!             Subclass,
//!             Type, //
//!         },
//!     },
//!     types::Opaque, //
//! };
//!
//! struct Disk;
//!
//! impl Type for Disk {
//!     type Raw = bindings::device;
//!
//!     const GROUPS: &'static Groups<Subclass<Self>> = &DEVICE_GROUPS;
//! }
//!
//! attribute_groups! {
//!     static DEVICE_GROUPS: Subclass<Disk> = of_device DeviceAttribute None, []
//! }
//!
//! #[repr(transparent)]
//! struct DiskDriver(Opaque<bindings::device_driver>);
//!
//! // SAFETY: A `DiskDriver` is a transparent wrapper of a `struct device_driver`.
//! unsafe impl RawDriver for DiskDriver {
//!     const OFFSET: usize = 0;
//! }
//!
//! // SAFETY: Only a `DiskDriver` gets `DRIVER_GROUPS`.
//! unsafe impl Owner for DiskDriver {
//!     type Raw = bindings::device_driver;
//!
//!     unsafe fn from_raw<'a>(drv: *mut bindings::device_driver) -> &'a Self {
//!         // SAFETY: By the safety requirements.
//!         unsafe { Self::from_drv_raw(drv) }
//!     }
//! }
//!
//! attribute_groups! {
//!     static DRIVER_GROUPS: DiskDriver = of_driver DriverAttribute None, []
//! }
//!
//! struct DiskBus;
//!
//! impl Bus for DiskBus {
//!     const NAME: &'static CStr = c"example";
//!     type Device = Disk;
//!     type Driver = DiskDriver;
//!     const DEVICE_GROUPS: &'static Groups<Subclass<Disk>> = &DEVICE_GROUPS;
//!     const DRIVER_GROUPS: &'static Groups<DiskDriver> = &DRIVER_GROUPS;
//!
//!     fn matches(_dev: &Subclass<Disk>, _drv: &DiskDriver) -> bool {
//!         true
//!     }
//!
//!     fn uevent(_dev: &Subclass<Disk>, env: &Uevent) -> Result {
//!         env.add(fmt!("EXAMPLE={}", 1))
//!     }
//!
//!     fn probe(_binding: Binding<'_, Self>) -> Result {
//!         Ok(())
//!     }
//!
//!     fn remove(_unbinding: Unbinding<'_, Self>) {}
//! }
//!
//! /// `/sys/bus/example`
//! // SAFETY: The bus type is a static. This code is built into the kernel image.
//! static BUS: BusType<DiskBus> = unsafe { BusType::new() };
//!
//! fn init() -> Result {
//!     BUS.register()
//! }
//! ```
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)

use crate::{
    bindings,
    device::{
        attribute::{
            Groups,
            Owner, //
        },
        subclass::{
            Subclass,
            Type, //
        },
    },
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    types::Opaque,
};
use core::marker::PhantomData;

/// A C struct that embeds a `struct device_driver`.
///
/// # Safety
///
/// `OFFSET` is the offset in bytes of a field of type `struct device_driver`. The implementor is a
/// transparent wrapper of the C struct.
pub unsafe trait RawDriver: 'static {
    /// Offset of the embedded `struct device_driver`, in bytes.
    const OFFSET: usize;

    /// Returns the driver that embeds `drv`.
    ///
    /// # Safety
    ///
    /// `drv` is embedded in a `Self`, and registered for `'a`.
    unsafe fn from_drv_raw<'a>(drv: *const bindings::device_driver) -> &'a Self
    where
        Self: Sized,
    {
        // SAFETY: By the safety requirements.
        unsafe { &*drv.byte_sub(Self::OFFSET).cast() }
    }
}

/// The environment of a uevent: `struct kobj_uevent_env`.
#[repr(transparent)]
pub struct Uevent(Opaque<bindings::kobj_uevent_env>);

impl Uevent {
    /// Adds a line such as `KEY=value`. Fails with [`ENOMEM`] if the environment is full.
    pub fn add(&self, args: fmt::Arguments<'_>) -> Result {
        // SAFETY: The driver core passed the valid environment that `self` wraps.
        to_result(unsafe {
            bindings::add_uevent_var(
                self.0.get(),
                c"%pA".as_char_ptr(),
                core::ptr::from_ref(&args).cast::<c_void>(),
            )
        })
    }
}

/// A device and the driver that it is being bound to.
///
/// # Invariants
///
/// The driver core calls the probe of the bus for the two. It holds the device lock. The device is
/// not bound yet, and the probe of the driver was not called.
pub struct Binding<'a, B: Bus> {
    dev: &'a Subclass<B::Device>,
    drv: &'a B::Driver,
}

impl<'a, B: Bus> Binding<'a, B> {
    /// Returns the device.
    pub fn device(&self) -> &'a Subclass<B::Device> {
        self.dev
    }

    /// Returns the driver.
    pub fn driver(&self) -> &'a B::Driver {
        self.drv
    }
}

/// A driver that is about to be unbound from a device.
///
/// # Invariants
///
/// The driver core is in the remove of the bus for the two. It holds the device lock. The probe of
/// the driver has succeeded, and its remove has not been called since.
pub struct Unbinding<'a, B: Bus> {
    dev: &'a Subclass<B::Device>,
    drv: &'a B::Driver,
}

impl<'a, B: Bus> Unbinding<'a, B> {
    /// Returns the device.
    pub fn device(&self) -> &'a Subclass<B::Device> {
        self.dev
    }

    /// Returns the driver.
    pub fn driver(&self) -> &'a B::Driver {
        self.drv
    }
}

/// The callbacks of a bus.
///
/// The driver core calls them in process context. They may sleep.
pub trait Bus: Sized + 'static {
    /// The name of the bus below `/sys/bus`.
    const NAME: &'static CStr;

    /// The type of the devices.
    type Device: Type;

    /// The type of the drivers.
    type Driver: RawDriver + Owner<Raw = bindings::device_driver>;

    /// The attributes of each device on the bus, besides those of its type.
    const DEVICE_GROUPS: &'static Groups<Subclass<Self::Device>>;

    /// The attributes of each driver.
    const DRIVER_GROUPS: &'static Groups<Self::Driver>;

    /// Returns whether the driver matches the device.
    fn matches(dev: &Subclass<Self::Device>, drv: &Self::Driver) -> bool;

    /// Adds to the uevent of a device that is added or removed.
    fn uevent(dev: &Subclass<Self::Device>, env: &Uevent) -> Result;

    /// Binds a driver to a device. The device lock is held.
    fn probe(binding: Binding<'_, Self>) -> Result;

    /// Unbinds the driver from the device. The device lock is held.
    fn remove(unbinding: Unbinding<'_, Self>);
}

/// A `struct bus_type` for a [`Bus`].
///
/// # Invariants
///
/// Each device on the bus is a `Subclass<B::Device>`. Each driver is a `B::Driver`.
pub struct BusType<B: Bus>(bindings::bus_type, PhantomData<B>);

// SAFETY: A bus type is constant. The driver core keeps its own data about the bus elsewhere.
unsafe impl<B: Bus> Sync for BusType<B> {}

impl<B: Bus> BusType<B> {
    /// Creates a bus type for a static.
    ///
    /// # Safety
    ///
    /// The value is a static of the kernel image: the bus is never unregistered.
    pub const unsafe fn new() -> Self {
        // INVARIANT: `Unregistered::register_on()` adds devices, and takes only this type. The
        // safety requirement of `register_driver()` is the type of the driver.
        Self(
            bindings::bus_type {
                name: crate::str::as_char_ptr_in_const_context(B::NAME),
                dev_groups: B::DEVICE_GROUPS.as_raw(),
                drv_groups: B::DRIVER_GROUPS.as_raw(),
                match_: Some(Self::match_callback),
                uevent: Some(Self::uevent_callback),
                probe: Some(Self::probe_callback),
                remove: Some(Self::remove_callback),
                ..pin_init::zeroed()
            },
            PhantomData,
        )
    }

    /// Registers the bus, for as long as the kernel runs.
    ///
    /// Fails as `bus_register()` does. May sleep.
    pub fn register(&'static self) -> Result {
        // SAFETY: The bus type is static.
        to_result(unsafe { bindings::bus_register(self.as_raw()) })
    }

    /// Adds a driver to the bus.
    ///
    /// # Safety
    ///
    /// `drv` is embedded in a `B::Driver`, which is valid and does not move until
    /// `driver_unregister()`. All fields of `drv` but the bus are set up.
    pub unsafe fn register_driver(&'static self, drv: *mut bindings::device_driver) -> Result {
        // INVARIANT: By the safety requirements the driver is a `B::Driver`.
        // SAFETY: By the safety requirements.
        to_result(unsafe {
            (*drv).bus = self.as_raw();
            bindings::driver_register(drv)
        })
    }

    /// Calls `f` for each driver on the bus until it returns [`Some`], and returns that.
    ///
    /// The driver stays on the bus until `f` returns. May sleep.
    pub fn find_driver<R, F: FnMut(&B::Driver) -> Option<R>>(&'static self, f: F) -> Option<R> {
        /// The argument of [`call`].
        struct Search<R, F> {
            f: F,
            found: Option<R>,
        }

        /// # Safety
        ///
        /// `drv` is on the bus `B`. `search` is a `Search<R, F>` that nothing else uses.
        unsafe extern "C" fn call<B: Bus, R, F: FnMut(&B::Driver) -> Option<R>>(
            drv: *mut bindings::device_driver,
            search: *mut c_void,
        ) -> c_int {
            // SAFETY: By the safety requirements.
            let (drv, search) = unsafe {
                (
                    B::Driver::from_drv_raw(drv),
                    &mut *search.cast::<Search<R, F>>(),
                )
            };

            search.found = (search.f)(drv);
            search.found.is_some().into()
        }

        let mut search = Search { f, found: None };
        // SAFETY: By the type invariants the drivers are of `B`. `bus_for_each_drv()` keeps each on
        // the bus during the call. `search` lives until the function returns.
        unsafe {
            bindings::bus_for_each_drv(
                self.as_raw(),
                core::ptr::null_mut(),
                (&raw mut search).cast(),
                Some(call::<B, R, F>),
            )
        };
        search.found
    }

    pub(crate) fn as_raw(&'static self) -> *const bindings::bus_type {
        &self.0
    }

    /// # Safety
    ///
    /// The driver core calls this with a device and a driver of this bus.
    unsafe extern "C" fn match_callback(
        dev: *mut bindings::device,
        drv: *const bindings::device_driver,
    ) -> c_int {
        // SAFETY: By the type invariants. The driver core keeps both during the call.
        let (dev, drv) = unsafe { (Subclass::from_dev_raw(dev), B::Driver::from_drv_raw(drv)) };

        B::matches(dev, drv).into()
    }

    /// # Safety
    ///
    /// The driver core calls this with a device of this bus.
    unsafe extern "C" fn uevent_callback(
        dev: *const bindings::device,
        env: *mut bindings::kobj_uevent_env,
    ) -> c_int {
        // SAFETY: By the type invariants. The driver core keeps both during the call.
        let (dev, env) = unsafe { (Subclass::from_dev_raw(dev), &*env.cast::<Uevent>()) };

        from_result(|| B::uevent(dev, env).map(|()| 0))
    }

    /// # Safety
    ///
    /// The driver core calls this with a device of this bus that is being bound.
    unsafe extern "C" fn probe_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: By the type invariants. The driver core sets the driver before it calls this.
        let (dev, drv) = unsafe {
            (
                Subclass::from_dev_raw(dev),
                B::Driver::from_drv_raw((*dev).driver),
            )
        };

        // INVARIANT: This is the probe of the bus. It has not called that of the driver.
        from_result(|| B::probe(Binding { dev, drv }).map(|()| 0))
    }

    /// # Safety
    ///
    /// The driver core calls this with a device of this bus that is being unbound.
    unsafe extern "C" fn remove_callback(dev: *mut bindings::device) {
        // SAFETY: By the type invariants. The driver core clears the driver after it calls this.
        let (dev, drv) = unsafe {
            (
                Subclass::from_dev_raw(dev),
                B::Driver::from_drv_raw((*dev).driver),
            )
        };

        // INVARIANT: This is the remove of the bus. It has not called that of the driver.
        B::remove(Unbinding { dev, drv })
    }
}
