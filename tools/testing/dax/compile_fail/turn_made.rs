// SPDX-License-Identifier: GPL-2.0
// fails: E0423 cannot initialize a tuple struct which contains private fields

//! Two drivers would take namespaces from each other: a `Turn` is not taken, but made.

use kernel::nvdimm::Turn;

/// The right to have the namespaces, whoever has it.
pub fn turn() -> Turn {
    Turn(())
}
