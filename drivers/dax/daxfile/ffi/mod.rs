// SPDX-License-Identifier: GPL-2.0

//! What `daxfile` asks of Linux's C code: the only `unsafe` code of the module.
//!
//! - [`blocks`]: a file whose blocks stay where they are.
//! - [`frames`]: the page frames of a dax device, until its driver is unbound.
//! - [`holder`]: how they learn of memory that fails.
//! - [`module`]: loading the module.
//! - [`node`]: the sealed descriptor, its mappings and their faults.

pub(crate) mod blocks;
pub(crate) mod frames;
mod holder;
mod module;
pub(crate) mod node;
