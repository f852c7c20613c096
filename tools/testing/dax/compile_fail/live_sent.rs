// SPDX-License-Identifier: GPL-2.0
// fails: E0277 cannot be sent between threads safely

//! The thread that began an SRCU read-side section must also end it.

use kernel::dax::live::Live;

fn send<T: Send>(value: T) -> T {
    value
}

/// Hands a section to another thread.
pub fn elsewhere(live: Live<'_>) -> Live<'_> {
    send(live)
}
