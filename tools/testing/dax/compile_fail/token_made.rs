// SPDX-License-Identifier: GPL-2.0
// fails: E0423 cannot initialize a tuple struct which contains private fields

//! Two drivers would take namespaces from each other: one makes a `DriverToken` instead of taking it.

use kernel::nvdimm::DriverToken;

/// Makes a second token.
pub fn token() -> DriverToken {
    DriverToken(())
}
