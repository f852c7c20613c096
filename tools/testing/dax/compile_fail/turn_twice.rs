// SPDX-License-Identifier: GPL-2.0
// fails: E0382 use of moved value: `turn`

//! Two drivers would take namespaces from each other: both have the same `Turn`.

use kernel::{
    nvdimm::{
        Driver,
        Registration,
        Turn, //
    },
    prelude::*,
    ModuleMetadata, //
};

/// Registers two drivers.
pub fn both<M: ModuleMetadata, D: Driver, E: Driver>(
    turn: Turn,
    module: &'static ThisModule,
) -> Result<(Registration<D>, Registration<E>)> {
    Ok((
        Registration::new::<M>(turn, module)?,
        Registration::new::<M>(turn, module)?,
    ))
}
