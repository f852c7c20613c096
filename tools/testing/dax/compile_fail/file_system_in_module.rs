// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `FileSystem::<T>::new` is unsafe

//! Somebody may still hold a reference to an inode after the module that frees it was unloaded.

use kernel::fs::pseudo::{
    FileSystem,
    Node, //
};

/// A file system for the static of a module.
pub const fn file_system<T: Node>() -> FileSystem<T> {
    FileSystem::new()
}
