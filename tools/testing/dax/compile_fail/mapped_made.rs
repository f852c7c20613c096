// SPDX-License-Identifier: GPL-2.0
// fails: E0451 of struct `Reserved` is private

//! The memory of an instance would be mapped while somebody else uses it: it was not reserved.

use kernel::{
    dax::device::{
        Device,
        Mapped,
        Reserved, //
    },
    device::Bound,
    prelude::*, //
};

/// Maps memory without asking for it.
pub fn map(dev: &Device<Bound>) -> Result<Mapped<'_>> {
    Reserved { dev }.map_generic()
}
