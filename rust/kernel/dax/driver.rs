// SPDX-License-Identifier: GPL-2.0

//! Drivers of the dax bus: the trait that a consumer implements, and its adapter.
//!
//! C header: `drivers/dax/bus.h`

use super::{
    device::{
        Device,
        Range, //
    },
    grow::{
        grow,
        Growth, //
    }, //
};
use crate::{
    bindings,
    build_error,
    device::{
        self,
        attribute::{
            Groups,
            Owner, //
        }, //
    },
    driver,
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    },
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    slice, //
};

/// The kinds of driver on the dax bus: `enum dax_driver_type`.
///
/// The bus binds an instance to a driver of the kind that its region asks for. User space can
/// override this (`new_id`, `bind`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Adds the memory to the page allocator.
    Kmem = bindings::dax_driver_type_DAXDRV_KMEM_TYPE,
    /// Offers the memory as a character device.
    Device = bindings::dax_driver_type_DAXDRV_DEVICE_TYPE,
    /// Offers the memory to file systems.
    Fsdev = bindings::dax_driver_type_DAXDRV_FSDEV_TYPE,
}

/// An adapter for the registration of dax drivers.
pub struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::dax_device_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct dax_device_driver` embeds a `struct device_driver`.
// - `DEVICE_DRIVER_OFFSET` is the correct byte offset to the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::dax_device_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, drv);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        ddrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct dax_device_driver` on initialization.
        unsafe {
            (*ddrv.get()).type_ = T::KIND as bindings::dax_driver_type;
            (*ddrv.get()).probe = Some(Self::probe_callback);
            (*ddrv.get()).remove = Some(Self::remove_callback);
            (*ddrv.get()).takes_bare = T::TAKES_BARE;
            if T::HAS_GROW {
                (*ddrv.get()).grow = Some(Self::grow_callback);
            }
        }
        if let Some(groups) = T::GROUPS {
            // SAFETY: As above. The driver core puts the attributes on an instance after
            // `probe_callback()` and takes them away before `remove_callback()`.
            unsafe { (*ddrv.get()).drv.dev_groups = groups.as_raw().cast_mut() };
        }

        // SAFETY: `ddrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe {
            bindings::__dax_driver_register(ddrv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(ddrv: &Opaque<Self::DriverType>) {
        // SAFETY: `ddrv` is guaranteed to be a valid `DriverType`.
        unsafe { bindings::dax_driver_unregister(ddrv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(dev_dax: *mut bindings::dev_dax) -> c_int {
        // SAFETY: The dax bus only ever calls the probe callback with a valid pointer to a
        // `struct dev_dax`.
        //
        // INVARIANT: `dev_dax` is valid for the duration of `probe_callback()`.
        let dev = unsafe { &*dev_dax.cast::<Device<device::CoreInternal<'_>>>() };

        from_result(|| {
            let data = T::probe(dev);

            dev.as_ref().set_drvdata(data)?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(dev_dax: *mut bindings::dev_dax) {
        // SAFETY: The dax bus only ever calls the remove callback with a valid pointer to a
        // `struct dev_dax`.
        //
        // INVARIANT: `dev_dax` is valid for the duration of `remove_callback()`.
        let dev = unsafe { &*dev_dax.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `remove_callback` is only ever called after a successful call to
        // `probe_callback`, hence it's guaranteed that `Device::set_drvdata()` has been called
        // and stored a `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::unbind(dev, data);
    }

    /// # Safety
    ///
    /// The caller is the dax bus: the driver is bound to `dev_dax`, whose lock is held, and the
    /// `count` ranges are those that it will have.
    unsafe extern "C" fn grow_callback(
        dev_dax: *mut bindings::dev_dax,
        ranges: *const bindings::dev_dax_range,
        count: c_int,
    ) -> c_int {
        // SAFETY: By the caller.
        //
        // INVARIANT: `dev_dax` is valid for the duration of `grow_callback()`.
        let dev = unsafe { &*dev_dax.cast::<Device<device::CoreInternal<'_>>>() };

        from_result(|| {
            // SAFETY: By the caller. `Range` is a transparent wrapper.
            let ranges =
                unsafe { slice::from_raw_parts(ranges.cast::<Range>(), usize::try_from(count)?) };
            // SAFETY: By the caller.
            let growth = unsafe { Growth::new(dev, ranges) };
            // SAFETY: As in `remove_callback()`.
            let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };

            grow(dev, &growth, || T::grow(dev, data, &growth))?;
            Ok(0)
        })
    }
}

/// Declares a kernel module that exposes a single dax driver.
///
/// The driver appears on the bus under the name of the module. As in C, the module must list the
/// alias by which user space finds it: `alias: ["dax:t0*"]`.
#[macro_export]
macro_rules! module_dax_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::dax::Adapter<T>, { $($f)* });
    };
}

/// The dax driver trait.
///
/// Drivers must implement this trait in order to get a dax driver registered.
#[vtable]
pub trait Driver: Sized + 'static {
    /// The kind of the driver.
    const KIND: Kind;

    /// The type of the driver's bus device private data.
    ///
    /// It is dropped when the driver is unbound, before devres are released. So the instance may
    /// still be alive then.
    type Data<'bound>: Send + 'bound;

    /// Whether the driver can be bound to instances without struct pages ([`Device::is_bare`]).
    const TAKES_BARE: bool = false;

    /// The files that an instance has in sysfs while it is bound to the driver.
    const GROUPS: Option<&'static Groups<BoundTo<Self>>> = None;

    /// Dax driver probe.
    ///
    /// Called to bind an instance that has memory. Context: may sleep. The device lock is held, so
    /// the align and the ranges of the instance do not change.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Dax driver unbind.
    ///
    /// Called when a [`Device`] is unbound from its bound [`Driver`]. Implementing this callback
    /// is optional; release operations for driver resources should be performed in `Drop`.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    /// Dax driver grow.
    ///
    /// Called when an instance that is bound to this [`Driver`] is given more memory. Context: may
    /// sleep. The device lock is held.
    ///
    /// If user space can map the instance, the new memory has its memmap already. When this
    /// succeeds, page faults find the memory. When it fails, it must have changed nothing, and the
    /// instance stays as it was.
    ///
    /// Implementing this callback is optional. Without it, an instance must be unbound to grow.
    fn grow<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
        growth: &Growth<'_>,
    ) -> Result {
        let _ = (dev, this, growth);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// An instance that is bound to a driver of type `T`, as its attributes see it.
///
/// # Invariants
///
/// `T::probe` has succeeded and `T::unbind` was not called yet, so that the driver data of the
/// device is a `T::Data`.
#[repr(transparent)]
pub struct BoundTo<T: Driver>(Device<device::Bound>, PhantomData<fn(&T)>);

impl<T: Driver> BoundTo<T> {
    /// The instance.
    pub fn device(&self) -> &Device<device::Bound> {
        &self.0
    }

    /// Calls `f` with the private data of the driver.
    ///
    /// The lifetime of the data is not known here, so `f` must accept any lifetime. So it cannot
    /// store a reference in the data that ends before the unbind.
    pub fn with_data<R>(&self, f: impl for<'bound> FnOnce(Pin<&T::Data<'bound>>) -> R) -> R
    where
        for<'bound> T::Data<'bound>: Sync,
    {
        // SAFETY: The device is valid.
        let data = unsafe { bindings::dev_get_drvdata(self.0.as_ref().as_raw()) };

        // SAFETY: By the type invariants `probe_callback()` stored this pointer, and the data is
        // dropped after the unbind. Other threads only have shared references. `f` accepts any
        // lifetime of the data, so `'static` can stand for the unknown one.
        f(unsafe { Pin::<KBox<T::Data<'static>>>::borrow(data.cast()) })
    }
}

// SAFETY: Only the adapter of the driver refers to `T::GROUPS`. The driver core puts the files on
// an instance after `probe_callback()` and removes them before `remove_callback()`. So does the
// core for an instance in the class.
unsafe impl<T: Driver> Owner for BoundTo<T> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // INVARIANT: The files are on the device only between the driver's probe and its unbind.
        // SAFETY: By the caller the device has files of this driver. So it is embedded in a `struct
        // dev_dax`, and `Self` is a transparent wrapper of that.
        unsafe { &*dev.byte_sub(offset_of!(bindings::dev_dax, dev)).cast() }
    }
}
