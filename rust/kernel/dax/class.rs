// SPDX-License-Identifier: GPL-2.0

//! The driver of instances in the class `dax`, for a provider of such instances.
//!
//! See [`Flags::CLASS`](super::region::Flags::CLASS). Only a core in Rust has the class.

use crate::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};
use core::ptr::NonNull;

/// A reference to the driver of instances in the class. Its module stays for as long as this
/// exists.
///
/// # Invariants
///
/// The driver is registered, and this owns a reference to its module.
pub struct DriverRef(NonNull<bindings::dax_device_driver>);

// SAFETY: Any thread may put a reference to a module.
unsafe impl Send for DriverRef {}
// SAFETY: A `&DriverRef` gives access to nothing.
unsafe impl Sync for DriverRef {}

impl DriverRef {
    /// Loads the driver, unless it is there already.
    ///
    /// Sleeps until the module is loaded. So this must not be called where loading a module waits
    /// for the caller, such as in an asynchronous probe. Fails with `ENOENT` if there is no such
    /// module, and with the errors of loading it.
    #[inline]
    pub fn load() -> Result<Self> {
        // SAFETY: The function has no requirements.
        let driver = from_err_ptr(unsafe { bindings::dax_class_driver_get() })?;

        // INVARIANT: The function returns a driver with a reference to its module, or an error.
        NonNull::new(driver).map(Self).ok_or(ENOENT)
    }
}

impl Drop for DriverRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this owns the reference. `module_put()` ignores null.
        unsafe { bindings::module_put((*self.0.as_ptr()).drv.owner) };
    }
}
