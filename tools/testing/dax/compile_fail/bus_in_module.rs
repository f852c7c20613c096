// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `BusType::<B>::new` is unsafe

//! A bus is never unregistered; the module that it is in would be gone.

use kernel::bus::{
    Bus,
    BusType, //
};

/// A bus for the static of a module.
pub const fn bus<B: Bus>() -> BusType<B> {
    BusType::new()
}
