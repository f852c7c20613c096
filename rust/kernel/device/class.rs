// SPDX-License-Identifier: GPL-2.0

//! Device classes whose owner is written in Rust.
//!
//! A class groups devices by what they are to user space, under `/sys/class`. Unlike a bus it
//! brings no drivers to them.
//!
//! C header: [`include/linux/device/class.h`](srctree/include/linux/device/class.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// A `struct class` of devices that are made in Rust.
///
/// Its devices have the attributes of their [type](super::subclass::Type), no more.
pub struct Class(bindings::class);

// SAFETY: A class is constant; what the driver core keeps for it is elsewhere.
unsafe impl Sync for Class {}

impl Class {
    /// The class, for a static. `name` is that of its directory in `/sys/class`.
    ///
    /// # Safety
    ///
    /// The value is a static of the kernel image: the class is never unregistered.
    pub const unsafe fn new(name: &'static CStr) -> Self {
        Self(bindings::class {
            name: crate::str::as_char_ptr_in_const_context(name),
            ..pin_init::zeroed()
        })
    }

    /// Makes the class known, for as long as the kernel runs.
    ///
    /// Fails as `class_register()` does. Sleeps.
    pub fn register(&'static self) -> Result {
        // SAFETY: The class is static.
        to_result(unsafe { bindings::class_register(self.as_raw()) })
    }

    pub(crate) fn as_raw(&'static self) -> *const bindings::class {
        &self.0
    }
}
