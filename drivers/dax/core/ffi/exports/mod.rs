// SPDX-License-Identifier: GPL-2.0

//! The functions that C calls. They create references from pointers and call safe code.
#![expect(
    clippy::missing_safety_doc,
    reason = "what a caller guarantees is said once, at the head of each file"
)]

mod bus;
mod dax;
#[cfg(CONFIG_FS_DAX)]
mod fs;
