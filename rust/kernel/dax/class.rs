// SPDX-License-Identifier: GPL-2.0

//! Instances in the class `dax` instead of on the dax bus.
//!
//! Linux had the class before it had the bus. A device in a class has no driver, since only a bus
//! binds them. So the core calls one itself: [`Service`] is for the core alone.
//!
//! [`DriverRef`] is for the provider, too: while it has one, its instances find their driver.

use super::layout::{
    self,
    Driver,
    Instance,
    Layout, //
};
use crate::{
    bindings,
    device::{
        class::Class,
        subclass::{
            Registered,
            Subclass,
            Unregistered, //
        },
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

/// A reference to a driver on the dax bus; the module of the driver cannot go meanwhile.
///
/// # Invariants
///
/// The driver is registered, and this owns a reference to its module.
pub struct DriverRef(NonNull<bindings::dax_device_driver>);

// SAFETY: A module may be referenced and put from any thread.
unsafe impl Send for DriverRef {}
// SAFETY: A `&DriverRef` gives a `&Driver`, no more.
unsafe impl Sync for DriverRef {}

impl DriverRef {
    /// Loads the driver of instances in the class, unless it is there already.
    ///
    /// For providers. Sleeps until the module is loaded; so not to be called where the loading of
    /// modules waits for, such as a probe that the driver core does asynchronously. Fails with
    /// `ENOENT` if there is no such module, and as loading it does.
    #[inline]
    pub fn load() -> Result<Self> {
        // SAFETY: No requirements.
        let driver = from_err_ptr(unsafe { bindings::dax_class_driver_get() })?;

        // INVARIANT: By the contract of the function.
        NonNull::new(driver).map(Self).ok_or(ENOENT)
    }

    /// Keeps a driver, unless its module is about to go.
    pub fn new(driver: &Driver) -> Option<Self> {
        // SAFETY: A `&Driver` is registered as long as it is borrowed. Without a module, which is
        // null, it never goes.
        if !unsafe { bindings::try_module_get((*driver.as_drv_raw()).owner) } {
            return None;
        }
        // INVARIANT: Taken just now; a driver is removed by the exit of its module, if at all.
        NonNull::new(driver.0.get()).map(Self)
    }

    /// Hands the reference over to C.
    pub fn into_raw(self) -> *mut bindings::dax_device_driver {
        let this = core::mem::ManuallyDrop::new(self);

        this.0.as_ptr()
    }
}

impl Deref for DriverRef {
    type Target = Driver;

    #[inline]
    fn deref(&self) -> &Driver {
        // SAFETY: By the type invariants.
        unsafe { Driver::from_ptr(self.0.as_ptr()) }
    }
}

impl Drop for DriverRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants; a null module is ignored.
        unsafe { bindings::module_put((*self.as_drv_raw()).owner) };
    }
}

/// Loads the module that has this alias. Fails as `request_module()` does.
pub fn load(alias: &CStr) -> Result {
    #[cfg(CONFIG_MODULES)]
    // SAFETY: `%s` takes the string that follows.
    to_result(unsafe {
        bindings::__request_module(true, c"%s".as_char_ptr(), alias.as_char_ptr())
    })?;
    let _ = alias;
    Ok(())
}

/// An instance in a class, served by a driver. Dropped, it is taken from the driver and from the
/// class; files and mappings of it may stay, as with an instance on the bus.
///
/// # Invariants
///
/// The driver's probe of the instance succeeded, and its remove has not been called.
pub struct Service<T: Instance> {
    // Dropped in this order: devres, which `device_del()` releases, are the driver's.
    device: Registered<T>,
    driver: DriverRef,
}

impl<T: Instance> Service<T> {
    /// Puts an instance into the class, gives it to the driver, and then tells user space, so that
    /// who is told of it can open it.
    ///
    /// Fails as the driver's probe, as `device_add()` does, or if the driver's files cannot be made;
    /// the instance is gone then. Sleeps.
    pub fn start(
        dev: Unregistered<T>,
        parent: &Device,
        class: &'static Class,
        devt: bindings::dev_t,
        driver: DriverRef,
        layout: Layout,
    ) -> Result<Self> {
        let device = dev.register_in(parent, class, devt)?;

        {
            let _guard = device.lock();
            // SAFETY: The instance is new, and as it is not on a bus nobody else gives it away.
            unsafe { call_probe(&device, &driver, layout) }
                .inspect_err(|_| free_data(&device, &driver))?;
            // SAFETY: The driver has the instance from now on.
            unsafe { add_files(&device, &driver) }.inspect_err(|_| {
                driver.remove(&device);
                free_data(&device, &driver);
            })?;
        }
        device.announce();
        // INVARIANT: The probe succeeded.
        Ok(Self { device, driver })
    }
}

impl<T: Instance> Deref for Service<T> {
    type Target = Subclass<T>;

    fn deref(&self) -> &Subclass<T> {
        &self.device
    }
}

impl<T: Instance> Drop for Service<T> {
    fn drop(&mut self) {
        let _guard = self.device.lock();

        // SAFETY: The driver is valid, and `start` made the files.
        unsafe {
            bindings::device_remove_groups(
                self.device.dev_raw(),
                (*self.driver.as_drv_raw()).dev_groups,
            )
        };
        self.driver.remove(&self.device);
        free_data(&self.device, &self.driver);
    }
}

/// Calls the driver's probe, as the driver core does.
///
/// During it the device has the driver in its `struct device`, where a driver in C looks for its own
/// module. It has none after that: user space would be told of it in each uevent, which the class
/// never did.
///
/// # Safety
///
/// As for [`layout::call_probe`]; the device lock is held, and user space was not told of the device.
unsafe fn call_probe<T: Instance>(device: &Subclass<T>, driver: &Driver, layout: Layout) -> Result {
    // SAFETY: The device is valid, and its lock is held. Who reads uevents does without that lock.
    let set = |driver| unsafe { (&raw mut (*device.dev_raw()).driver).write_volatile(driver) };

    set(driver.as_drv_raw());
    // SAFETY: By the caller.
    let result = unsafe { layout::call_probe(device, driver, layout) };
    set(core::ptr::null_mut());
    result
}

/// Makes the files that a driver has for each of its devices, as the driver core does after a probe.
///
/// # Safety
///
/// The driver has the device, until the files are gone.
unsafe fn add_files<T: Instance>(device: &Subclass<T>, driver: &Driver) -> Result {
    // SAFETY: Device and driver are valid; files and who reads them are the caller's promise.
    to_result(unsafe {
        bindings::device_add_groups(device.dev_raw(), (*driver.as_drv_raw()).dev_groups)
    })
}

/// Frees the private data of a driver in Rust, as the driver core does after an unbind.
fn free_data<T: Instance>(device: &Subclass<T>, driver: &Driver) {
    // SAFETY: The driver is valid, and has been told to remove the instance, or failed to probe it.
    unsafe {
        if let Some(free) = (*driver.as_drv_raw()).p_cb.post_unbind_rust {
            free(device.dev_raw());
        }
    }
}
