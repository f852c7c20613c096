// SPDX-License-Identifier: GPL-2.0
// fails: E0423 cannot initialize a tuple struct which contains private fields

//! Two drivers would compete for namespaces, because one of them forges a `DriverToken`.

use kernel::nvdimm::DriverToken;

/// Forges a token.
pub fn token() -> DriverToken {
    DriverToken(())
}
