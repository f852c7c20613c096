// SPDX-License-Identifier: GPL-2.0
// fails: none lifetime may not live long enough

//! The driver would use the buffer of a sysfs write after the write has ended.

use kernel::{
    dax::{
        self,
        driver::BoundTo, //
    },
    device::Core,
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

module! {
    type: Nothing,
    name: "data_kept",
    authors: ["The device DAX in Rust authors"],
    description: "A program that does not compile",
    license: "GPL",
}

struct Nothing;

impl kernel::Module for Nothing {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

struct Keeper;

/// The last input.
#[pin_data]
pub struct Kept<'a> {
    #[pin]
    last: Mutex<Option<&'a [u8]>>,
}

#[vtable]
impl dax::Driver for Keeper {
    const KIND: dax::Kind = dax::Kind::Device;

    type Data<'bound> = Kept<'bound>;

    fn probe<'bound>(
        _dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        try_pin_init!(Kept { last <- new_mutex!(None) }? Error)
    }
}

fn store(owner: &BoundTo<Keeper>, input: &[u8]) {
    owner.with_data(|kept| *kept.last.lock() = Some(input));
}

/// Uses `store`, so that the compiler checks it.
pub const STORE: fn(&'static ThisModule) = |_| {
    let _ = store;
};
