// SPDX-License-Identifier: GPL-2.0

//! The SRCU domain of the read-side sections in which dax devices are used: `dax_srcu`.

use kernel::{
    bindings,
    sync::srcu::{
        Held,
        StaticGuard,
        StaticSrcu, //
    }, //
};

/// The name of the domain.
pub(crate) enum DaxSrcu {}

/// The proof of a read-side section. A device that was seen alive in it keeps its memory and its
/// driver for `'a`.
pub(crate) type ReadSection<'a> = Held<'a, DaxSrcu>;

/// Returns the domain.
#[inline]
pub(crate) fn domain() -> &'static StaticSrcu<DaxSrcu> {
    // SAFETY: exports.c defines `dax_srcu` with `DEFINE_SRCU()`. Only this function uses the name.
    unsafe { StaticSrcu::from_raw(&raw mut bindings::dax_srcu) }
}

/// Enters a read-side section. [`StaticGuard::held`] makes a [`ReadSection`] of it.
#[inline]
pub(crate) fn read_lock() -> StaticGuard<DaxSrcu> {
    domain().read_lock()
}
