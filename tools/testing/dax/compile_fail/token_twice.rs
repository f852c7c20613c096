// SPDX-License-Identifier: GPL-2.0
// fails: E0382 use of moved value: `token`

//! Two drivers would compete for namespaces, because both use the same `DriverToken`.

use kernel::{
    nvdimm::{
        Driver,
        DriverToken,
        Registration, //
    },
    prelude::*,
    ModuleMetadata, //
};

/// Registers two drivers.
pub fn both<M: ModuleMetadata, D: Driver, E: Driver>(
    token: DriverToken,
    module: &'static ThisModule,
) -> Result<(Registration<D>, Registration<E>)> {
    Ok((
        Registration::new::<M>(token, module)?,
        Registration::new::<M>(token, module)?,
    ))
}
