// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `BusType::<B>::new` is unsafe

//! A bus is never unregistered. If it were in a module, unloading the module would free it.

use kernel::bus::{
    Bus,
    BusType, //
};

/// A bus for the static of a module.
pub const fn bus<B: Bus>() -> BusType<B> {
    BusType::new()
}
