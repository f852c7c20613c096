// SPDX-License-Identifier: GPL-2.0

//! Instances in the class `dax` instead of on the dax bus.
//!
//! Linux had the class before it had the bus. Only a bus binds drivers to devices, so a device in a
//! class has none. [`Service`] calls a driver in place of the driver core.

use super::{
    device_raw,
    driver::{
        Driver,
        DriverRef, //
    },
    instance::{
        self,
        DevDax,
        Layout, //
    }, //
};
use kernel::{
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
    error::to_result,
    prelude::*, //
};

use core::ops::Deref;

/// An instance in a class, with a driver. Dropping this unbinds the driver and removes the instance
/// from the class. Open files and mappings may stay, as for an instance on the bus.
///
/// # Invariants
///
/// The driver's probe of the instance succeeded, and its remove has not been called.
pub(crate) struct Service<T: DevDax> {
    // Dropped in this order: `device_del()` releases the devres of the driver.
    device: Registered<T>,
    driver: DriverRef,
}

impl<T: DevDax> Service<T> {
    /// Puts an instance into the class, gives it to the driver, and then sends the uevent. So a
    /// program that gets the event can open the instance.
    ///
    /// Fails with the error of `device_add()`, of the driver's probe, or of making the driver's
    /// files. The instance is gone then. Sleeps.
    pub(crate) fn start(
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
            // SAFETY: The instance is new, so no driver has it and there are no devres of one. It
            // is not on a bus, so nothing else gives it to a driver. The guard holds the device
            // lock, and `announce` sends the uevent later.
            unsafe { call_probe(&device, &driver, layout) }
                .inspect_err(|_| free_data(&device, &driver))?;
            add_files(&device, &driver).inspect_err(|_| {
                // SAFETY: The probe has just succeeded.
                unsafe { driver.remove(&device) };
                free_data(&device, &driver);
            })?;
        }
        device.announce();
        // INVARIANT: The probe succeeded.
        Ok(Self { device, driver })
    }
}

impl<T: DevDax> Deref for Service<T> {
    type Target = Subclass<T>;

    fn deref(&self) -> &Subclass<T> {
        &self.device
    }
}

impl<T: DevDax> Drop for Service<T> {
    fn drop(&mut self) {
        let _guard = self.device.lock();

        // SAFETY: By the type invariants the driver has the instance. `start` made the files.
        unsafe {
            bindings::device_remove_groups(
                raw(&self.device),
                (*self.driver.as_drv_raw()).dev_groups,
            );
            self.driver.remove(&self.device);
        }
        free_data(&self.device, &self.driver);
    }
}

/// The `struct device` of an instance.
fn raw<T: DevDax>(device: &Subclass<T>) -> *mut bindings::device {
    device_raw(device.as_ref())
}

/// Calls the driver's probe, as the driver core does.
///
/// A driver in C looks for its own module in `dev->driver`, so that is set during the call. It is
/// null after that, because each uevent would show it, which the class never did.
///
/// # Safety
///
/// As for [`instance::call_probe`]. Also, the device lock is held, and no uevent has announced the
/// device.
unsafe fn call_probe<T: DevDax>(device: &Subclass<T>, driver: &Driver, layout: Layout) -> Result {
    // SAFETY: The device is valid, and its lock is held. Readers of uevents do not take that lock.
    let set = |driver| unsafe { (&raw mut (*raw(device)).driver).write_volatile(driver) };

    set(driver.as_drv_raw());
    // SAFETY: By the caller.
    let result = unsafe { instance::call_probe(device, driver, layout) };
    set(core::ptr::null_mut());
    result
}

/// Makes the files that a driver has for each of its devices, as the driver core does after a
/// probe.
fn add_files<T: DevDax>(device: &Subclass<T>, driver: &Driver) -> Result {
    // SAFETY: Device and driver are valid. `Service` removes the files before it calls the driver's
    // remove.
    to_result(unsafe {
        bindings::device_add_groups(raw(device), (*driver.as_drv_raw()).dev_groups)
    })
}

/// Frees the private data of a driver in Rust, as the driver core does after an unbind.
fn free_data<T: DevDax>(device: &Subclass<T>, driver: &Driver) {
    // SAFETY: The driver is valid. Its probe failed or its remove was called, so nothing uses the
    // data.
    unsafe {
        if let Some(free) = (*driver.as_drv_raw()).p_cb.post_unbind_rust {
            free(raw(device));
        }
    }
}
