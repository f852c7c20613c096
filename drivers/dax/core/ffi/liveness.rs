// SPDX-License-Identifier: GPL-2.0

//! The owner of a `struct dax_device`, and whether the device is alive.
//!
//! C code that creates a `struct dax_device` leaves a pointer in it. Only the driver of a block
//! device knows what its pointer means. For an instance on the dax bus it is the `struct dev_dax`.
//! The core uses that to find the driver of the instance.
//!
//! The owner may go away once the `struct dax_device` is dead, while others still have references
//! to the device. So the owner is reached through [`Liveness`] only.
//!
//! C header: drivers/dax/dax-private.h

use super::srcu::{
    domain,
    ReadSection, //
};
use kernel::{
    bindings,
    container_of,
    device::Device,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            AtomicFlag,
            Release, //
        }, //
    }, //
};

use core::ptr::{
    self,
    NonNull, //
};

/// The owner of a `struct dax_device`.
enum Owner {
    /// A driver with operations. Only the driver knows what the pointer means.
    Driver(*mut c_void),
    /// An instance on the dax bus.
    Instance(NonNull<bindings::dev_dax>),
}

// SAFETY: The core does not dereference the pointer of a driver. `Liveness` guards that of an
// instance.
unsafe impl Send for Owner {}
// SAFETY: As for `Send`.
unsafe impl Sync for Owner {}

/// Whether a `struct dax_device` is alive, and its owner.
///
/// The owner of a device that was seen alive in a [`ReadSection`] exists until the section ends,
/// because [`Self::stop`] waits for that.
///
/// # Invariants
///
/// While the device is alive, and until the grace period after that has ended, an owner that is an
/// instance exists.
pub(crate) struct Liveness {
    alive: AtomicFlag,
    owner: Owner,
}

impl Liveness {
    /// A device that belongs to a driver. It is alive at once.
    pub(crate) fn of_driver(private: *mut c_void) -> Self {
        Self {
            alive: AtomicFlag::new(true),
            owner: Owner::Driver(private),
        }
    }

    /// A device that belongs to an instance. It is dead until [`Self::start`].
    pub(crate) fn of_instance(dev_dax: NonNull<bindings::dev_dax>) -> Self {
        // INVARIANT: The device is dead.
        Self {
            alive: AtomicFlag::new(false),
            owner: Owner::Instance(dev_dax),
        }
    }

    /// Returns whether the device is alive.
    ///
    /// Without a read-side section the answer may be outdated at once.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Acquire)
    }

    /// Makes the device alive. Its users must find everything set up.
    ///
    /// # Safety
    ///
    /// An owner that is an instance must exist until [`Self::stop`] has returned.
    #[inline]
    pub(super) unsafe fn start(&self) {
        // INVARIANT: By the caller.
        self.alive.store(true, Release);
    }

    /// Makes the device dead, and waits for all who may have seen it alive. Sleeps.
    pub(crate) fn stop(&self) {
        self.alive.store(false, Release);
        domain().synchronize();
    }

    /// Returns the pointer that the owner left, or null when the device is dead.
    #[inline]
    pub(crate) fn owner(&self) -> *mut c_void {
        match &self.owner {
            _ if !self.is_alive() => ptr::null_mut(),
            Owner::Driver(private) => *private,
            Owner::Instance(dev_dax) => dev_dax.as_ptr().cast(),
        }
    }

    /// Takes a reference to the instance that owns the device.
    ///
    /// Fails with `ENODEV` when the device is dead, and with `EOPNOTSUPP` when its owner is not an
    /// instance on the dax bus.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(crate) fn pin_instance(&self, _: ReadSection<'_>) -> Result<PinnedInstance> {
        if !self.is_alive() {
            return Err(ENODEV);
        }
        let Owner::Instance(dev_dax) = &self.owner else {
            return Err(EOPNOTSUPP);
        };

        // SAFETY: The device was alive after the section began, and the grace period cannot end
        // before the section. So by the type invariant the instance exists.
        let device = unsafe { Device::get_device(&raw mut (*dev_dax.as_ptr()).dev) };

        // INVARIANT: The device is that of an instance.
        Ok(PinnedInstance(device))
    }
}

/// A reference to an instance on the dax bus.
///
/// # Invariants
///
/// The device is on the dax bus.
pub(crate) struct PinnedInstance(ARef<Device>);

#[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
impl PinnedInstance {
    /// Calls `f` with the instance locked, so that it can be neither bound nor unbound.
    ///
    /// `f` gets the type of the driver that the instance is bound to, if any. Sleeps.
    pub(crate) fn with_driver<R>(&self, f: impl FnOnce(Option<c_uint>) -> R) -> R {
        let dev = super::device_raw(&self.0);

        // SAFETY: By the type invariant this is a device of the dax bus, and each driver of that
        // bus is a `struct dax_device_driver`. The device lock keeps the driver bound.
        let driver_type = unsafe {
            bindings::device_lock(dev);
            let driver = NonNull::new((*dev).driver);
            driver.map(|drv| (*container_of!(drv.as_ptr(), bindings::dax_device_driver, drv)).type_)
        };

        let result = f(driver_type);

        // SAFETY: The device was locked above.
        unsafe { bindings::device_unlock(dev) };
        result
    }
}
