// SPDX-License-Identifier: GPL-2.0
// fails: E0308 expected `Held<'_, Theirs>`, found `Held<'_, Mine>`

//! A read-side section of another domain does not keep the instance.

use kernel::{
    dax::liveness::{
        Liveness,
        PinnedInstance, //
    },
    prelude::*,
    sync::srcu::StaticSrcu, //
};

/// The name of a domain.
pub enum Mine {}
/// The name of the other one.
pub enum Theirs {}

/// A reference, in a section that is not waited for.
pub fn pin(mine: &'static StaticSrcu<Mine>, liveness: &Liveness<Theirs>) -> Result<PinnedInstance> {
    let section = mine.read_lock();

    liveness.pin_instance(section.held())
}
