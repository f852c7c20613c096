// SPDX-License-Identifier: GPL-2.0

//! The two layers of the core that touch C. All of the core's `unsafe` is here.
//!
//! - The types in this directory are the lowest layer of the core. They stand for C structs that
//!   the core shares with drivers in C. They use the `kernel` crate, and no other part of the core.
//! - [`exports`] is the top layer: the functions that C calls. They create references from pointers
//!   and call the safe code of the core. Nothing in the core calls them.
//!
//! These types are not in the `kernel` crate, because any module could use them there.

use kernel::{
    bindings,
    bus::{
        Bus,
        BusType, //
    },
    device::{
        class::Class,
        name::Name,
        subclass::{
            Type,
            Unregistered, //
        },
        Device, //
    },
    fs::pseudo::{
        FileSystem,
        Node, //
    },
    prelude::*, //
};

use core::ptr::NonNull;

pub(crate) mod class;
pub(crate) mod driver;
mod exports;
pub(crate) mod instance;
pub(crate) mod limits;
pub(crate) mod liveness;
pub(crate) mod operations;
pub(crate) mod region;
pub(crate) mod srcu;
pub(crate) mod trace;

/// Makes a file system, for a static.
pub(crate) const fn file_system<T: Node>() -> FileSystem<T> {
    // SAFETY: The core is a part of the kernel image. `FileSystem` is used as a static only: all of
    // its functions take a `&'static self`.
    unsafe { FileSystem::new() }
}

/// Makes a bus, for a static.
pub(crate) const fn bus_type<B: Bus>() -> BusType<B> {
    // SAFETY: The core is a part of the kernel image. `BusType` is used as a static only: all of
    // its functions take a `&'static self`.
    unsafe { BusType::new() }
}

/// Makes a class, for a static.
pub(crate) const fn class(name: &'static CStr) -> Class {
    // SAFETY: The core is a part of the kernel image. `Class` is used as a static only: all of its
    // functions take a `&'static self`.
    unsafe { Class::new(name) }
}

/// Makes a device of the core that is not registered yet.
///
/// `data` gets a pointer to the C struct, see [`Unregistered::new`]. Fails with `ENOMEM`, or as
/// `data` does.
pub(crate) fn new_device<T: Type, I: PinInit<T, Error>>(
    name: Name,
    data: impl FnOnce(NonNull<T::Raw>) -> I,
) -> Result<Unregistered<T>> {
    // SAFETY: `T` is a type of the core, which is a part of the kernel image.
    unsafe { Unregistered::new(name, data) }
}

/// The `struct device` behind a reference.
fn device_raw(dev: &Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper of an `Opaque<bindings::device>`.
    core::ptr::from_ref(dev).cast_mut().cast()
}
