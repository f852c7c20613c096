// SPDX-License-Identifier: GPL-2.0

//! Character devices.
//!
//! This is the raw registration, for subsystems with file operations of their own. A driver that
//! needs one device node uses [`miscdevice`](crate::miscdevice) instead.
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
    addr_of,
    addr_of_mut,
    null_mut,
    NonNull, //
};

/// The registration of a character device under the number of its parent device.
///
/// Each registration allocates a `struct cdev`. Open files, and inodes that cache the `struct
/// cdev`, keep it and its parent device after the registration is gone. So the same device number
/// can be registered again while old files are open. While such a file is open, a new open through
/// its inode still reaches the *old* `struct cdev`. So a call of `open` does not mean that the
/// device is registered; `open` must check the device if [`is_removed`].
///
/// # Invariants
///
/// `cdev` was added with `cdev_add()` and holds a reference to its parent. This value owns a
/// reference to `cdev`.
///
/// # Examples
///
/// ```
/// use kernel::{
///     bindings,
///     cdev::Registration,
///     device::Device, //
/// };
///
/// /// Makes a device node for `dev`.
/// ///
/// /// # Safety
/// ///
/// /// As for [`Registration::new`].
/// unsafe fn publish(
///     dev: &Device,
///     operations: &'static bindings::file_operations,
/// ) -> Result<Registration> {
///     // SAFETY: By the safety requirements of this function.
///     unsafe { Registration::new(dev, operations) }
/// }
/// ```
pub struct Registration {
    cdev: NonNull<bindings::cdev>,
}

impl Registration {
    /// Makes `parent` accessible under its device number (`dev_t`).
    ///
    /// Open files hold the module that owns `fops`. May sleep. Fails with [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// - The operations must be safe to call on files that are opened under this device number,
    ///   even after the registration is gone. [`parent`] returns the device in `open`.
    /// - The registration must be dropped before the module that owns the operations is removed.
    pub unsafe fn new(parent: &Device, fops: &'static bindings::file_operations) -> Result<Self> {
        // SAFETY: The function has no requirements.
        let cdev = NonNull::new(unsafe { bindings::cdev_alloc() }).ok_or(ENOMEM)?;
        let raw = cdev.as_ptr();

        // SAFETY: `raw` is valid, and nothing else uses it yet.
        unsafe {
            (*raw).ops = fops;
            (*raw).owner = fops.owner;
        }

        // SAFETY: Both are valid and initialised, and the parent is refcounted.
        unsafe { bindings::cdev_set_parent(raw, addr_of_mut!((*parent.as_raw()).kobj)) };

        // SAFETY: `raw` is initialised and the parent is valid.
        if let Err(err) = to_result(unsafe { bindings::cdev_add(raw, (*parent.as_raw()).devt, 1) })
        {
            // A cdev that was not added holds no reference to the parent, so clear the parent.
            //
            // SAFETY: `raw` is valid, and this is the only reference to it.
            unsafe {
                (*raw).kobj.parent = null_mut();
                bindings::kobject_put(addr_of_mut!((*raw).kobj));
            }
            return Err(err);
        }

        // INVARIANT: `cdev_add()` succeeded. It takes a reference to the parent.
        Ok(Self { cdev })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let raw = self.cdev.as_ptr();

        // SAFETY: By the type invariant the cdev was added, and `cdev_del()` gives up the reference
        // to it. The second reference keeps it valid until it is marked as removed. Nothing but
        // `is_removed()` reads the number of a cdev that was removed.
        unsafe {
            bindings::kobject_get(addr_of_mut!((*raw).kobj));
            bindings::cdev_del(raw);
            addr_of_mut!((*raw).dev).write_volatile(0);
            bindings::kobject_put(addr_of_mut!((*raw).kobj));
        }
    }
}

// SAFETY: Any thread may remove a cdev.
unsafe impl Send for Registration {}

/// Returns the parent of the [`Registration`] through which a file is opened.
///
/// # Safety
///
/// The caller is `open`, in operations that are only used in a [`Registration`], and `inode` is its
/// argument. `'a` ends when `open` fails or when the file is released.
#[inline]
pub unsafe fn parent<'a>(inode: *mut bindings::inode) -> &'a Device {
    // SAFETY: `chrdev_open()` stored the cdev in the inode and took a reference to it, so the cdev
    // is valid. So is its parent, which `Registration::new()` set to the `kobj` of a device.
    unsafe {
        let cdev = (*inode).__bindgen_anon_5.i_cdev;
        let dev = container_of!((*cdev).kobj.parent, bindings::device, kobj);

        Device::from_raw(dev)
    }
}

/// Returns whether the [`Registration`] through which a file is opened has been dropped.
///
/// If it is being dropped at the same time, this returns either.
///
/// # Safety
///
/// As for [`parent`].
#[inline]
pub unsafe fn is_removed(inode: *mut bindings::inode) -> bool {
    // SAFETY: As in `parent()`. A cdev that was added has a number other than 0.
    unsafe {
        let cdev = (*inode).__bindgen_anon_5.i_cdev;

        addr_of!((*cdev).dev).read_volatile() == 0
    }
}
