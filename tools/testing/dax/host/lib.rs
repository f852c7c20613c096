// SPDX-License-Identifier: GPL-2.0

//! Tests of the logic of a dax region on the host.
//!
//! The sources are those of the kernel; `kernel` is a stand-in with the few items that they use.

#![cfg(test)]

mod lookup;
mod model;
mod parse;
mod random;
mod resize;
mod space;

#[path = "../../../../drivers/dax/core/ranges/mod.rs"]
mod ranges;
