// SPDX-License-Identifier: GPL-2.0

//! Tests of the logic of drivers/dax on the host, and code that they share with the tests of a real
//! region.
//!
//! The logic is compiled from the kernel's sources. `kernel` is a stand-in for the few items of the
//! kernel crate that they use.

pub mod agree;
#[cfg(test)]
mod dev_dax_range;
mod info_block;
#[cfg(test)]
mod lookup;
mod memory;
#[cfg(test)]
mod model;
#[cfg(test)]
mod page_fit;
#[cfg(test)]
mod parse;
#[cfg(test)]
mod random;
mod reference;
pub mod region;
#[cfg(test)]
mod resize;
#[cfg(test)]
mod space;
pub mod sysfs;

// Only the tests use some of it.
#[allow(dead_code)]
#[path = "../../../../drivers/dax/pmem/data.rs"]
mod data;
#[path = "../../../../drivers/dax/hmem/gaps.rs"]
mod gaps;
#[path = "../../../../drivers/dax/hmem/offered.rs"]
mod offered;
#[cfg(test)]
pub(crate) use kernel::mm::memremap::pages;
#[allow(dead_code, unused_imports)]
#[path = "../../../../drivers/dax/core/ranges/mod.rs"]
mod ranges;
#[path = "../../../../drivers/dax/kmem/state.rs"]
mod state;
