// SPDX-License-Identifier: GPL-2.0
// fails: E0603 function `bring_alive` is private

//! A module would bring an instance alive that has no struct pages.

use kernel::dax::memory::bring_alive as _;
