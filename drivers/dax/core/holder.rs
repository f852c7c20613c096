// SPDX-License-Identifier: GPL-2.0

//! The holder of a dax device: the file system, or the mapped device, that uses it exclusively.
//!
//! No function here takes a lock, because a memory failure is reported in contexts that must not
//! wait. One pointer identifies the holder, and a second one refers to its operations. So the order
//! of the changes matters:
//!
//! - A claim sets the identity first. After that it owns the table, and sets it.
//! - A release removes the table first, so that it cannot remove the table of the next holder.
//!
//! Between the two steps there is an identity without a table. A holder without operations looks
//! the same.

use crate::{
    dax_device::DaxInode,
    ffi::operations::{
        HolderOperations,
        TableRef, //
    }, //
};
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

/// The holder of a device. A null identity stands for no holder.
pub(crate) struct Holder {
    identity: Atomic<*mut c_void>,
    operations: TableRef<HolderOperations<DaxInode>>,
}

impl Holder {
    pub(crate) fn none() -> Self {
        Self {
            identity: Atomic::new(core::ptr::null_mut()),
            operations: TableRef::new(None),
        }
    }

    pub(crate) fn identity(&self) -> *mut c_void {
        self.identity.load(Relaxed)
    }

    pub(crate) fn operations(&self) -> Option<&'static HolderOperations<DaxInode>> {
        self.operations.get()
    }

    /// Makes `identity` the holder. Fails with `EBUSY` when there is one already.
    pub(crate) fn claim(
        &self,
        identity: *mut c_void,
        operations: Option<&'static HolderOperations<DaxInode>>,
    ) -> Result {
        if self
            .identity
            .cmpxchg(core::ptr::null_mut(), identity, Full)
            .is_err()
        {
            return Err(EBUSY);
        }
        self.operations.set(operations);
        Ok(())
    }

    /// Ends what [`Self::claim`] began for `identity`.
    ///
    /// [`Self::evict`] may have ended the claim before.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(crate) fn release(&self, identity: *mut c_void) {
        self.operations.set(None);
        let found = self
            .identity
            .cmpxchg(identity, core::ptr::null_mut(), Full)
            .unwrap_or_else(|other| other);

        // The claim of another holder has just lost its table: a bug of the caller.
        kernel::warn_on!(!found.is_null() && found != identity);
    }

    /// Ends the claim, if there is one.
    ///
    /// The device is dead, so nobody claims it or notifies the holder any more.
    pub(crate) fn evict(&self) {
        self.operations.set(None);
        self.identity.store(core::ptr::null_mut(), Relaxed);
    }
}
