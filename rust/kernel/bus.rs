// SPDX-License-Identifier: GPL-2.0

//! Buses whose core is written in Rust.
//!
//! A bus brings devices and drivers together: it decides which driver matches which device, and
//! its `probe` is called for each pair. Here the devices are made in Rust
//! ([`Subclass`]), while the drivers may come from either language, so they are a C struct with a
//! `struct device_driver` in it.
//!
//! What drivers of a bus are written against is not here, but with each bus; see
//! [`kernel::driver`](crate::driver).
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
/// `OFFSET` is the offset in bytes of a field of type `struct device_driver`, and the implementor
/// is a transparent wrapper of the C struct.
pub unsafe trait RawDriver: 'static {
    /// Offset of the embedded `struct device_driver`, in bytes.
    const OFFSET: usize;

    /// The driver that embeds this `struct device_driver`.
    ///
    /// # Safety
    ///
    /// `drv` is embedded in a `Self`, and registered for as long as `'a`.
    unsafe fn from_drv_raw<'a>(drv: *const bindings::device_driver) -> &'a Self
    where
        Self: Sized,
    {
        // SAFETY: By the caller.
        unsafe { &*drv.byte_sub(Self::OFFSET).cast() }
    }
}

/// What a uevent says about a device.
#[repr(transparent)]
pub struct Uevent(Opaque<bindings::kobj_uevent_env>);

impl Uevent {
    /// Adds a line such as `KEY=value`. Fails with `ENOMEM` if there is no room for it.
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

/// A driver that is about to be bound to a device.
///
/// # Invariants
///
/// The driver core is in the bus's probe of the two: it holds the device lock, the device is not
/// bound yet, and the driver's own probe has not been called.
pub struct Binding<'a, B: Bus> {
    dev: &'a Subclass<B::Device>,
    drv: &'a B::Driver,
}

impl<'a, B: Bus> Binding<'a, B> {
    /// The device.
    pub fn device(&self) -> &'a Subclass<B::Device> {
        self.dev
    }

    /// The driver.
    pub fn driver(&self) -> &'a B::Driver {
        self.drv
    }
}

/// The policy of a bus.
///
/// All of it runs in process context and may sleep.
pub trait Bus: Sized + 'static {
    /// The name of the bus below `/sys/bus`.
    const NAME: &'static CStr;

    /// What the devices of the bus are.
    type Device: Type;

    /// What the drivers of the bus are.
    type Driver: RawDriver + Owner<Raw = bindings::device_driver>;

    /// The files in the sysfs folder of each device on the bus, besides those of its type.
    const DEVICE_GROUPS: &'static Groups<Subclass<Self::Device>>;

    /// The files in the sysfs folder of each driver.
    const DRIVER_GROUPS: &'static Groups<Self::Driver>;

    /// Whether the driver is one for the device.
    fn matches(dev: &Subclass<Self::Device>, drv: &Self::Driver) -> bool;

    /// What user space is told when a device comes or goes.
    fn uevent(dev: &Subclass<Self::Device>, env: &Uevent) -> Result;

    /// Binds a driver to a device, whose device lock is held.
    fn probe(binding: Binding<'_, Self>) -> Result;

    /// Unbinds the driver from the device, whose device lock is held.
    fn remove(dev: &Subclass<Self::Device>, drv: &Self::Driver);
}

/// A `struct bus_type` for a [`Bus`].
///
/// # Invariants
///
/// All of the devices and drivers on the bus are a `Subclass<B::Device>` and a `B::Driver`.
pub struct BusType<B: Bus>(bindings::bus_type, PhantomData<B>);

// SAFETY: A bus type is constant; what the driver core keeps for it is elsewhere.
unsafe impl<B: Bus> Sync for BusType<B> {}

impl<B: Bus> BusType<B> {
    /// The bus type, for a static.
    ///
    /// # Safety
    ///
    /// The value is a static of the kernel image: the bus is never unregistered.
    pub const unsafe fn new() -> Self {
        // INVARIANT: Devices get here by `Unregistered::register_on()`, which demands the type.
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

    /// Makes the bus known, for as long as the kernel runs.
    ///
    /// Fails as `bus_register()` does. Sleeps.
    pub fn register(&'static self) -> Result {
        // SAFETY: The bus type is static.
        to_result(unsafe { bindings::bus_register(self.as_raw()) })
    }

    /// Adds a driver to the bus.
    ///
    /// # Safety
    ///
    /// `drv` points to a `B::Driver`, which stays valid and in its place until
    /// `driver_unregister()`; its `struct device_driver` is set up but for the bus.
    pub unsafe fn register_driver(&'static self, drv: *mut bindings::device_driver) -> Result {
        // INVARIANT: By the caller the driver is a `B::Driver`.
        // SAFETY: By the caller.
        to_result(unsafe {
            (*drv).bus = self.as_raw();
            bindings::driver_register(drv)
        })
    }

    /// Calls `f` for one driver on the bus after the other, until it returns something.
    ///
    /// The driver stays on the bus until `f` returns. Sleeps if `f` does.
    pub fn find_driver<R, F: FnMut(&B::Driver) -> Option<R>>(&'static self, f: F) -> Option<R> {
        /// What [`call`] is given.
        struct Search<R, F> {
            f: F,
            found: Option<R>,
        }

        /// # Safety
        ///
        /// `drv` is on the bus `B`, and `search` is a `Search<R, F>` that nobody else uses.
        unsafe extern "C" fn call<B: Bus, R, F: FnMut(&B::Driver) -> Option<R>>(
            drv: *mut bindings::device_driver,
            search: *mut c_void,
        ) -> c_int {
            // SAFETY: By the caller.
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
        // SAFETY: By the type invariants the drivers on the bus are of `B`; the list keeps each on
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
    /// Only for the driver core to call: with a device and a driver of this bus.
    unsafe extern "C" fn match_callback(
        dev: *mut bindings::device,
        drv: *const bindings::device_driver,
    ) -> c_int {
        // SAFETY: By the type invariants, and the driver core keeps both during the call.
        let (dev, drv) = unsafe { (Subclass::from_dev_raw(dev), B::Driver::from_drv_raw(drv)) };

        B::matches(dev, drv).into()
    }

    /// # Safety
    ///
    /// Only for the driver core to call: with a device of this bus.
    unsafe extern "C" fn uevent_callback(
        dev: *const bindings::device,
        env: *mut bindings::kobj_uevent_env,
    ) -> c_int {
        // SAFETY: By the type invariants, and the driver core keeps both during the call.
        let (dev, env) = unsafe { (Subclass::from_dev_raw(dev), &*env.cast::<Uevent>()) };

        from_result(|| B::uevent(dev, env).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for the driver core to call: with a device of this bus that is being bound.
    unsafe extern "C" fn probe_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: By the type invariants; the driver core sets the driver before it calls this.
        let (dev, drv) = unsafe {
            (
                Subclass::from_dev_raw(dev),
                B::Driver::from_drv_raw((*dev).driver),
            )
        };

        // INVARIANT: This is the bus's probe.
        from_result(|| B::probe(Binding { dev, drv }).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for the driver core to call: with a device of this bus that is being unbound.
    unsafe extern "C" fn remove_callback(dev: *mut bindings::device) {
        // SAFETY: By the type invariants; the driver core clears the driver after it calls this.
        let (dev, drv) = unsafe {
            (
                Subclass::from_dev_raw(dev),
                B::Driver::from_drv_raw((*dev).driver),
            )
        };

        B::remove(dev, drv)
    }
}
