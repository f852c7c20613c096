// SPDX-License-Identifier: GPL-2.0

//! Device classes whose owner is written in Rust.
//!
//! A class groups devices by their function for user space, under `/sys/class`. Unlike a bus it has
//! no drivers.
//!
//! C header: [`include/linux/device/class.h`](srctree/include/linux/device/class.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// A `struct class` of devices that are made in Rust.
///
/// The devices have only the attributes of their [type](super::subclass::Type).
///
/// # Examples
///
/// ```
/// use kernel::device::class::Class;
///
/// /// `/sys/class/example`
/// // SAFETY: The class is a static. This code is built into the kernel image.
/// static CLASS: Class = unsafe { Class::new(c"example") };
///
/// fn init() -> Result {
///     CLASS.register()
/// }
/// ```
pub struct Class(bindings::class);

// SAFETY: A class is constant. The driver core keeps its own data about the class elsewhere.
unsafe impl Sync for Class {}

impl Class {
    /// Creates a class for a static. `name` is the name of its directory in `/sys/class`.
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

    /// Registers the class, for as long as the kernel runs.
    ///
    /// Fails as `class_register()` does. May sleep.
    pub fn register(&'static self) -> Result {
        // SAFETY: The class is static.
        to_result(unsafe { bindings::class_register(self.as_raw()) })
    }

    pub(crate) fn as_raw(&'static self) -> *const bindings::class {
        &self.0
    }
}
