// SPDX-License-Identifier: GPL-2.0
// fails: E0432 could not find `layout` in `dax`

//! A module would call a driver's probe or remove in place of the core.

use kernel::dax::layout::Driver;

/// A driver on the bus.
pub type Other = Driver;
