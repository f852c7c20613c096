// SPDX-License-Identifier: GPL-2.0
// fails: E0451 of struct `Reserved` is private

//! A driver would map the memory of an instance without a reservation, while another user has it.

use kernel::{
    dax::{
        memory::{
            Mapped,
            Reserved, //
        },
        Device, //
    },
    device::Core,
    prelude::*, //
};

/// Maps the memory of one instance with the reservation of another.
pub fn map<'a, 'c>(
    dev: &'a Device<Core<'c>>,
    other: Reserved<'a, 'c>,
) -> Result<Mapped<'a, 'c>> {
    let reserved = Reserved { dev, ..other };

    reserved.map_generic()
}
