// SPDX-License-Identifier: GPL-2.0

//! Who a `struct dax_device` belongs to, and whether it is alive.
//!
//! C code that creates a `struct dax_device` leaves a pointer in it. For the driver of a block
//! device that is the driver's own business. For an instance on the dax bus it is the
//! `struct dev_dax`, through which the core finds out what driver the instance is bound to.
//!
//! The owner may go away once the `struct dax_device` is dead, while others still have references
//! of that; so the owner is reached through [`Liveness`] only.
//!
//! C header: `drivers/dax/dax-private.h`

use crate::{
    bindings,
    device::Device,
    error::Result,
    ffi::{
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            AtomicFlag,
            Release, //
        },
        srcu::{
            Held,
            StaticSrcu, //
        },
    },
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};

/// The owner of a `struct dax_device`.
pub enum Owner {
    /// A driver with operations. Only the driver knows what the pointer means.
    Driver(*mut c_void),
    /// An instance on the dax bus.
    Instance(Instance),
}

// SAFETY: The pointer of a driver is only handed back to it.
unsafe impl Send for Owner {}
// SAFETY: As for `Send`.
unsafe impl Sync for Owner {}

/// An instance on the dax bus that owns a `struct dax_device`.
///
/// # Invariants
///
/// The `struct dev_dax` exists as long as the `struct dax_device` is alive, and until the grace
/// period after that has ended.
pub struct Instance(NonNull<bindings::dev_dax>);

impl Instance {
    /// Creates it.
    ///
    /// # Safety
    ///
    /// The `struct dev_dax` is embedded in an instance of the dax bus that makes the
    /// `struct dax_device` alive only while a driver is bound, and that is only freed after
    /// `kill_dax()` has returned.
    pub unsafe fn new(dev_dax: NonNull<bindings::dev_dax>) -> Self {
        // INVARIANT: A bound driver keeps the instance; the caller vouches for the rest.
        Self(dev_dax)
    }
}

/// Whether a `struct dax_device` is alive, and the owner, who is there as long as it is.
///
/// A device that was seen alive in a read-side section of the SRCU domain `D` has its owner until the
/// section ends: [`Self::stop`] waits for that.
pub struct Liveness<D> {
    alive: AtomicFlag,
    owner: Owner,
    _domain: PhantomData<fn(D)>,
}

impl<D: 'static> Liveness<D> {
    /// Creates it.
    pub fn new(owner: Owner, alive: bool) -> Self {
        Self {
            alive: AtomicFlag::new(alive),
            owner,
            _domain: PhantomData,
        }
    }

    /// Returns whether the device is alive.
    ///
    /// Without a read-side section the answer may be outdated when it is there.
    #[inline]
    pub fn is_alive(&self) -> bool {
        self.alive.load(Acquire)
    }

    /// Makes the device alive. What its users will find has been set up before.
    #[inline]
    pub fn start(&self) {
        self.alive.store(true, Release);
    }

    /// Makes the device dead, and waits for all who may have seen it alive. Sleeps.
    pub fn stop(&self, domain: &StaticSrcu<D>) {
        self.alive.store(false, Release);
        domain.synchronize();
    }

    /// Returns the pointer that the owner left, or null when the device is dead.
    #[inline]
    pub fn owner(&self) -> *mut c_void {
        match &self.owner {
            _ if !self.is_alive() => ptr::null_mut(),
            Owner::Driver(private) => *private,
            Owner::Instance(Instance(dev_dax)) => dev_dax.as_ptr().cast(),
        }
    }

    /// Takes a reference of the instance that owns the device.
    ///
    /// Fails with `ENODEV` when the device is dead, and with `EOPNOTSUPP` when its owner is not an
    /// instance on the dax bus.
    pub fn pin_instance(&self, _: Held<'_, D>) -> Result<PinnedInstance> {
        if !self.is_alive() {
            return Err(ENODEV);
        }
        let Owner::Instance(Instance(dev_dax)) = &self.owner else {
            return Err(EOPNOTSUPP);
        };

        // SAFETY: By the type invariant the instance exists as long as the device is alive, which
        // it was after the read-side section began, and then until that ends.
        let device = unsafe { Device::get_device(&raw mut (*dev_dax.as_ptr()).dev) };

        // INVARIANT: The device is that of an instance.
        Ok(PinnedInstance(device))
    }
}

/// A reference of an instance on the dax bus.
///
/// # Invariants
///
/// The device is on the dax bus.
pub struct PinnedInstance(ARef<Device>);

impl PinnedInstance {
    /// Calls `f` while the instance can be neither bound nor unbound.
    ///
    /// `f` gets the type of the driver that the instance is bound to, if any. Sleeps.
    pub fn with_driver<R>(&self, f: impl FnOnce(Option<c_uint>) -> R) -> R {
        let dev = self.0.as_raw();

        // SAFETY: By the type invariant this is a device of the dax bus, all drivers of which are
        // a `struct dax_device_driver`; one that is bound cannot go while the device is locked.
        let driver_type = unsafe {
            bindings::device_lock(dev);
            let driver = NonNull::new((*dev).driver);
            driver.map(|drv| {
                (*crate::container_of!(drv.as_ptr(), bindings::dax_device_driver, drv)).type_
            })
        };

        let result = f(driver_type);

        // SAFETY: The device was locked above.
        unsafe { bindings::device_unlock(dev) };
        result
    }
}
