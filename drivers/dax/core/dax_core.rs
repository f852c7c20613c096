// SPDX-License-Identifier: GPL-2.0

//! The core of DAX, direct access to differentiated memory.
//!
//! It knows every piece of memory that can be mapped without a page cache in between. File systems
//! and device DAX find the memory here, learn whether it is still there, and translate offsets to
//! addresses; drivers register it here and, when it goes away, wait here until nobody uses it.
//!
//! The core has no user interface of its own; it stands between the drivers of the memory, below,
//! and its users, above, most of which are written in C. What C code calls is in [`ffi`], as
//! include/linux/dax.h declares it. Everything else is safe code on top of the `kernel` crate.

use kernel::prelude::*;

mod attributes;
mod bus;
mod class;
mod dax_device;
mod ffi;
mod holder;
#[cfg(all(CONFIG_BLOCK, CONFIG_FS_DAX))]
mod host;
mod instance;
mod ranges;
mod region;

/// The prefix of messages of this crate.
const __LOG_PREFIX: &[u8] = b"dax\0";

/// Starts the core; at `subsys_initcall`.
fn start() -> Result {
    let registry = dax_device::Registry::new()?;
    bus::init()?;
    registry.publish()
}
