// SPDX-License-Identifier: GPL-2.0
// fails: E0308 expected `&Device<Core<'_>>`, found `&Device<Bound>`

//! Each access to a sysfs file would add another char device.

use kernel::{
    dax::{
        mapping,
        Device, //
    },
    device::Bound,
    prelude::*, //
};

/// A show callback of a bound instance.
pub fn show<T: mapping::Operations>(dev: &Device<Bound>) -> Result {
    mapping::register::<T>(dev)
}
