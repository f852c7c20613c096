// SPDX-License-Identifier: GPL-2.0

//! Character devices.
//!
//! This is the raw registration, for subsystems that bring their own file operations; a driver
//! that wants a device node of its own is better served by [`miscdevice`](crate::miscdevice).
//!
//! C header: [`include/linux/cdev.h`](srctree/include/linux/cdev.h)

use crate::{
    bindings,
    container_of,
    device::Device,
    error::to_result,
    prelude::*, //
};
use core::ptr::{
    addr_of_mut,
    null_mut,
    NonNull, //
};

/// The registration of a character device under the number of its parent device.
///
/// Each registration has a `struct cdev` of its own, allocated for it. Files that were opened
/// through it, and inodes that cached it, keep that struct alive after the registration is gone,
/// and through it the parent device. It is therefore safe to register the same device number
/// again while old files are open. While the last of them is open, the inode it was opened through
/// goes on leading new opens to the *old* `struct cdev`; so `open` must not draw conclusions from
/// being called, and must ask the device.
///
/// # Invariants
///
/// `cdev` was added with `cdev_add()`, holds a reference to its parent, and this owns a reference
/// to it.
pub struct Registration {
    cdev: NonNull<bindings::cdev>,
}

impl Registration {
    /// Makes `parent` accessible under its device number (`dev_t`).
    ///
    /// The module that owns `fops` is pinned while there are open files. May sleep. Fails with
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// - The operations must be safe to call on files that are opened under this device number;
    ///   [`parent`] tells `open` which device that is. They must not need this registration to
    ///   exist still.
    /// - The registration must be dropped before the module that owns the operations is removed.
    pub unsafe fn new(parent: &Device, fops: &'static bindings::file_operations) -> Result<Self> {
        // SAFETY: Has no requirements.
        let cdev = NonNull::new(unsafe { bindings::cdev_alloc() }).ok_or(ENOMEM)?;
        let raw = cdev.as_ptr();

        // SAFETY: `raw` is valid and not known to anybody else yet.
        unsafe {
            (*raw).ops = fops;
            (*raw).owner = fops.owner;
        }

        // SAFETY: Both are valid and initialised; the parent has a reference count.
        unsafe { bindings::cdev_set_parent(raw, addr_of_mut!((*parent.as_raw()).kobj)) };

        // SAFETY: `raw` is initialised and the parent is valid.
        if let Err(err) = to_result(unsafe { bindings::cdev_add(raw, (*parent.as_raw()).devt, 1) })
        {
            // A cdev that was not added has no reference to the parent that it could drop.
            //
            // SAFETY: `raw` is valid, and this is the only reference to it.
            unsafe {
                (*raw).kobj.parent = null_mut();
                bindings::kobject_put(addr_of_mut!((*raw).kobj));
            }
            return Err(err);
        }

        // INVARIANT: It was just added, which takes a reference to the parent.
        Ok(Self { cdev })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::cdev_del(self.cdev.as_ptr()) };
    }
}

// SAFETY: A cdev can be removed from any thread.
unsafe impl Send for Registration {}

/// The device whose [`Registration`] an open file came through.
///
/// # Safety
///
/// To be called from `open`, with its inode, in operations that are only used in a
/// [`Registration`]. If `open` succeeds, the device is valid until the file has been released.
#[inline]
pub unsafe fn parent<'a>(inode: *mut bindings::inode) -> &'a Device {
    // SAFETY: `chrdev_open()` cached the cdev in the inode and took a reference to it. So it is
    // valid, and so is its parent, which `Registration::new()` set to the `kobj` of a device.
    unsafe {
        let cdev = (*inode).__bindgen_anon_5.i_cdev;
        let dev = container_of!((*cdev).kobj.parent, bindings::device, kobj);

        Device::from_raw(dev)
    }
}
