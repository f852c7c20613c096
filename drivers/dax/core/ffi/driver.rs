// SPDX-License-Identifier: GPL-2.0

//! Drivers on the dax bus, in C or in Rust: `struct dax_device_driver`.
//!
//! C header: drivers/dax/bus.h

use kernel::{
    bindings,
    bus::RawDriver,
    device::{
        attribute::Owner,
        subclass::{
            DeviceGuard,
            Subclass,
            Type, //
        }, //
    },
    error::to_result,
    prelude::*,
    types::Opaque, //
};

use core::{
    mem::offset_of,
    ops::Deref,
    ptr::NonNull, //
};

/// A driver on the dax bus.
///
/// # Invariants
///
/// `__dax_driver_register()` has registered the driver, after a check that it has a probe.
#[repr(transparent)]
pub(crate) struct Driver(Opaque<bindings::dax_device_driver>);

// SAFETY: `drv` is a `struct device_driver`, and the wrapper is transparent.
unsafe impl RawDriver for Driver {
    const OFFSET: usize = offset_of!(bindings::dax_device_driver, drv);
}

// SAFETY: Every driver on the dax bus is a `struct dax_device_driver`.
unsafe impl Owner for Driver {
    type Raw = bindings::device_driver;

    unsafe fn from_raw<'a>(drv: *mut bindings::device_driver) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { Self::from_drv_raw(drv) }
    }
}

impl Driver {
    /// Creates a reference from a C pointer.
    ///
    /// # Safety
    ///
    /// `drv` is a driver that stays registered for `'a`.
    pub(super) unsafe fn from_ptr<'a>(drv: *mut bindings::dax_device_driver) -> &'a Self {
        // SAFETY: By the caller; the wrapper is transparent.
        unsafe { &*drv.cast() }
    }

    /// The `struct device_driver` of the driver.
    pub(super) fn as_drv_raw(&self) -> *mut bindings::device_driver {
        // SAFETY: By the type invariant the driver is valid.
        unsafe { &raw mut (*self.0.get()).drv }
    }

    /// The kind of the driver, one of `enum dax_driver_type`.
    pub(crate) fn kind(&self) -> bindings::dax_driver_type {
        // SAFETY: By the type invariant the driver is valid. Its type is set before it is
        // registered.
        unsafe { (*self.0.get()).type_ }
    }

    /// The name of the driver, which is that of its module.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: By the type invariant the driver is valid. Registering sets the name, which
        // stays.
        unsafe { CStr::from_char_ptr((*self.as_drv_raw()).name) }
    }

    /// A number that no other registered driver has.
    pub(crate) fn key(&self) -> usize {
        self.0.get().addr()
    }

    /// Offers all devices that have no driver to this one. Sleeps.
    pub(crate) fn attach(&self) -> Result {
        // SAFETY: By the type invariant the driver is registered.
        to_result(unsafe { bindings::driver_attach(self.as_drv_raw()) })
    }

    /// Whether instances that are bound to the driver can grow.
    pub(crate) fn can_grow(&self) -> bool {
        // SAFETY: By the type invariant the driver is valid. The callback is set before it is
        // registered.
        unsafe { (*self.0.get()).grow }.is_some()
    }

    /// Whether the driver can be bound to instances without struct pages.
    pub(crate) fn takes_bare(&self) -> bool {
        // SAFETY: As above.
        unsafe { (*self.0.get()).takes_bare }
    }

    /// The driver that the device is bound to, or is being bound to.
    pub(crate) fn of<'a>(guard: &'a DeviceGuard<'_>) -> Option<&'a Self> {
        let drv = guard.driver_raw();

        if drv.is_null() {
            return None;
        }
        // SAFETY: A device on the dax bus is bound to a driver of the dax bus, and the guard keeps
        // it bound.
        Some(unsafe { Self::from_drv_raw(drv) })
    }

    /// Calls the driver's probe.
    ///
    /// # Safety
    ///
    /// The device is about to be given to the driver, and no driver has it.
    pub(super) unsafe fn probe<T: Type<Raw = bindings::dev_dax>>(
        &self,
        dev: &Subclass<T>,
    ) -> Result {
        // SAFETY: By the type invariant the driver is valid.
        let probe = unsafe { (*self.0.get()).probe }.ok_or(EINVAL)?;

        // SAFETY: By the caller. The callback is for a `struct dev_dax`.
        to_result(unsafe { probe(dev.as_raw()) })
    }

    /// Asks the driver whether the device can have these ranges. Fails with `EOPNOTSUPP` if the
    /// driver has no callback for it.
    ///
    /// # Safety
    ///
    /// The device is bound to the driver, and its lock is held. `ranges` begins with the ranges of
    /// the device; the last one of these may be longer.
    pub(super) unsafe fn grow<T: Type<Raw = bindings::dev_dax>>(
        &self,
        dev: &Subclass<T>,
        ranges: &[bindings::dev_dax_range],
    ) -> Result {
        // SAFETY: By the type invariant the driver is valid.
        let grow = unsafe { (*self.0.get()).grow }.ok_or(EOPNOTSUPP)?;
        let count = c_int::try_from(ranges.len())?;

        // SAFETY: By the caller. The callback is for a `struct dev_dax`.
        to_result(unsafe { grow(dev.as_raw(), ranges.as_ptr(), count) })
    }

    /// Calls the driver's remove, if it has one.
    ///
    /// # Safety
    ///
    /// The driver's probe of the device has succeeded, and its remove was not called since.
    pub(super) unsafe fn remove<T: Type<Raw = bindings::dev_dax>>(&self, dev: &Subclass<T>) {
        // SAFETY: By the caller. The callback is for a `struct dev_dax`.
        unsafe {
            if let Some(remove) = (*self.0.get()).remove {
                remove(dev.as_raw());
            }
        }
    }
}

/// A reference to a driver. The module of the driver stays for as long as this exists.
///
/// # Invariants
///
/// The driver is registered, and this owns a reference to its module.
pub(crate) struct DriverRef(NonNull<bindings::dax_device_driver>);

// SAFETY: Any thread may take and put a reference to a module.
unsafe impl Send for DriverRef {}
// SAFETY: A `&DriverRef` only gives access to a `&Driver`, which any thread may use.
unsafe impl Sync for DriverRef {}

impl DriverRef {
    /// Takes a reference to the module of a driver. Returns [`None`] if the module is being
    /// removed.
    pub(crate) fn new(driver: &Driver) -> Option<Self> {
        // SAFETY: A `&Driver` stays registered while it is borrowed, so its module exists. The
        // module of a built-in driver is null, for which `try_module_get()` succeeds.
        if !unsafe { bindings::try_module_get((*driver.as_drv_raw()).owner) } {
            return None;
        }
        // INVARIANT: The reference was taken above. A module unregisters its driver only when it is
        // removed, which the reference prevents.
        NonNull::new(driver.0.get()).map(Self)
    }

    /// Hands the reference over to C.
    pub(super) fn into_raw(self) -> *mut bindings::dax_device_driver {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Deref for DriverRef {
    type Target = Driver;

    #[inline]
    fn deref(&self) -> &Driver {
        // SAFETY: By the type invariants the driver is registered.
        unsafe { Driver::from_ptr(self.0.as_ptr()) }
    }
}

impl Drop for DriverRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this owns the reference. `module_put()` ignores null.
        unsafe { bindings::module_put((*self.as_drv_raw()).owner) };
    }
}

/// Loads the module with this alias. Fails as `request_module()` does. Sleeps.
pub(crate) fn load_module(alias: &CStr) -> Result {
    // SAFETY: `alias` is a C string. The call does not keep a pointer to it.
    to_result(unsafe { bindings::request_module_by_name(alias.as_char_ptr()) })
}
