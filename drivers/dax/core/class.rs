// SPDX-License-Identifier: GPL-2.0

//! The class `dax`, at `/sys/class/dax`: where Linux 4.7 to 5.0 had the instances.
//!
//! The instance of a region with `IORESOURCE_DAX_CLASS` appears here, and not on the bus.
//! `device_dax` is its driver from its registration to its removal. See
//! Documentation/ABI/obsolete/sysfs-class-dax.

use crate::{
    bus::{
        DAX_BUS,
        MODALIAS_TYPE, //
    },
    ffi::{
        self,
        driver::{
            load_module,
            DriverRef, //
        }, //
    }, //
};
use kernel::{
    device::class::Class,
    prelude::*,
    str::CString, //
};

/// The class, at `/sys/class/dax`.
pub(crate) static DAX_CLASS: Class = ffi::class(c"dax");

/// Registers the class. Called once, before any region is registered.
pub(crate) fn init() -> Result {
    if cfg!(CONFIG_DEV_DAX_PMEM_COMPAT) {
        DAX_CLASS.register()?;
    }
    Ok(())
}

/// The driver of all instances in the class.
pub(crate) fn device_dax() -> Option<DriverRef> {
    DAX_BUS.find_driver(|drv| {
        if drv.name() == c"device_dax" {
            DriverRef::new(drv)
        } else {
            None
        }
    })
}

/// Returns the driver of all instances in the class, and loads its module if necessary. Sleeps.
pub(crate) fn load_device_dax() -> Result<DriverRef> {
    if let Some(driver) = device_dax() {
        return Ok(driver);
    }
    load_module(&CString::try_from_fmt(fmt!("dax:t{MODALIAS_TYPE}"))?)?;
    device_dax().ok_or(ENOENT)
}
