// SPDX-License-Identifier: GPL-2.0
// fails: E0133 call to unsafe function `AttachTarget::<'a>::new` is unsafe

//! A bus adapter would store the private data of a driver where the attributes expect their own
//! data.

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

/// Adds attributes to any device.
pub fn put<A: Attachment>(
    dev: &Device<Bound>,
    attachment: Arc<A>,
) -> Result<GroupsRegistration<A>> {
    GroupsRegistration::new(AttachTarget::new(dev), attachment)
}
