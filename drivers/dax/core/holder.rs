// SPDX-License-Identifier: GPL-2.0

//! The holder of a dax device: the file system, or the mapped device, that uses it exclusively.
//!
//! Claiming, releasing and telling the holder of a failure take no lock, as a memory failure is
//! reported from contexts that must not wait. The holder is identified by a pointer; the table of
//! its operations is kept apart, so the order in which the two change matters:
//!
//! - who claims sets the identity first, and only then, as the one who has it, the table;
//! - who releases removes the table first, so that it cannot remove the table of the next one.
//!
//! In between there is an identity without a table, which is what a holder that does not want to
//! hear of failures looks like, too.

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

/// The place of the holder. The holder is null when there is none.
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
    /// It is fine if that was ended already, by [`Self::evict`].
    pub(crate) fn release(&self, identity: *mut c_void) {
        self.operations.set(None);
        let found = self
            .identity
            .cmpxchg(identity, core::ptr::null_mut(), Full)
            .unwrap_or_else(|other| other);

        // Somebody else's claim has just lost its table: a bug of the caller.
        kernel::warn_on!(!found.is_null() && found != identity);
    }

    /// Ends whatever claim there is.
    ///
    /// The device is dead, so that nobody claims it or tells the holder anything any more.
    pub(crate) fn evict(&self) {
        self.operations.set(None);
        self.identity.store(core::ptr::null_mut(), Relaxed);
    }
}
