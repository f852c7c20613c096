// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `Unregistered::<T>::new`

//! Anybody may refer to a device when the module whose code frees it is gone.

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

/// A device for a type of a module.
pub fn device<T: Type>(value: T) -> Result<Unregistered<T>> {
    Unregistered::new(Name::new("device"), |_| Ok(value))
}
