// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `Unregistered::<T>::new`

//! Somebody may still hold a reference to a device after the module that frees it was unloaded.

use kernel::{
    device::{
        name::Name,
        subclass::{
            Type,
            Unregistered, //
        },
    },
    prelude::*, //
};

/// A device with a type from a module.
pub fn device<T: Type>(value: T) -> Result<Unregistered<T>> {
    Unregistered::new(Name::new("device"), |_| Ok(value))
}
