// SPDX-License-Identifier: GPL-2.0
// fails: E0308 expected `&Device<Core<'_>>`, found `&Device<Bound>`

//! Each access to a file in sysfs would add a character device.

use kernel::{
    dax::{
        mapping,
        Device, //
    },
    device::Bound,
    prelude::*, //
};

/// What a file of a bound instance would do.
pub fn show<T: mapping::Operations>(dev: &Device<Bound>) -> Result {
    mapping::register::<T>(dev)
}
