// SPDX-License-Identifier: GPL-2.0

//! Device DAX: memory that is only mapped, one page-table entry of a fixed size per fault.
//!
//! This module is what a driver of the dax subsystem is written against. Drivers come in two
//! kinds: a *provider* discovers memory and registers it as a region, and a *consumer* is bound
//! by the dax bus to an instance, a part of a region, and offers its memory in some form.
//!
//! It sits between the drivers in `drivers/dax` and the C symbols of the core, so a driver written
//! against it works the same whether the core is built from Rust or from C.
//!
//! C headers: [`include/linux/dax.h`](srctree/include/linux/dax.h),
//! `drivers/dax/bus.h`, `drivers/dax/dax-private.h`

mod bare;
pub mod class;
pub mod copy;
pub mod device;
pub mod driver;
mod failure;
#[cfg(CONFIG_FS_DAX)]
pub mod fsdax;
pub mod grow;
pub mod hmem;
pub mod live;
pub mod mapping;
mod memmap;
pub mod memory;
pub mod region;
pub mod search;
mod trace;

pub use self::{
    device::Device,
    driver::{
        Adapter,
        Driver,
        Kind, //
    }, //
};
