// SPDX-License-Identifier: GPL-2.0
// fails: E0603 struct `Adapter` is private

//! Two drivers would compete for namespaces, because one of them is registered without a
//! `DriverToken`.

use kernel::{
    driver,
    nvdimm::{
        Adapter,
        Driver, //
    },
    prelude::*, //
};

/// Registers a driver of namespaces without the token.
pub fn register<D: Driver>(
    module: &'static ThisModule,
) -> impl PinInit<driver::Registration<Adapter<D>>, Error> {
    driver::Registration::new(c"second", module)
}
