// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `AttachTarget::<'a>::new` is unsafe

//! The adapter of a bus would store the private data of a driver where the attributes look for
//! theirs.

use kernel::{
    device::{
        attribute::{
            AttachTarget,
            Attachment,
            GroupsRegistration, //
        },
        Bound,
        Device, //
    },
    prelude::*,
    sync::Arc, //
};

/// Puts attributes on any device.
pub fn put<A: Attachment>(
    dev: &Device<Bound>,
    attachment: Arc<A>,
) -> Result<GroupsRegistration<A>> {
    GroupsRegistration::new(AttachTarget::new(dev), attachment)
}
