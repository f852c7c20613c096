// SPDX-License-Identifier: GPL-2.0

//! The core of DAX, direct access to differentiated memory.
//!
//! The core knows all memory that can be mapped without a page cache. Drivers register memory with
//! it. When the memory goes away, they wait until it is no longer used. File systems and device DAX
//! look up memory, check that it is still there, and translate offsets to addresses. Most drivers
//! and users are written in C.
//!
//! There are three layers. [`ffi`] has the lowest one, the C structs, and the highest one, the
//! functions that C calls. All `unsafe` is there. The layer between them is safe code.

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
