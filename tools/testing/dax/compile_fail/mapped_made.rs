// SPDX-License-Identifier: GPL-2.0
// fails: E0451 of struct `Reserved` is private

//! The memory of an instance would be mapped while somebody else uses it: it was not reserved.

use kernel::{
    dax::{
        memory::{
            Mapped,
            Reserved, //
        },
        Device, //
    },
    device::Bound,
    prelude::*, //
};

/// Maps the memory of one instance with the reservation of another.
pub fn map<'a>(dev: &'a Device<Bound>, other: Reserved<'a>) -> Result<Mapped<'a>> {
    let reserved = Reserved { dev, ..other };

    reserved.map_generic()
}
