// SPDX-License-Identifier: GPL-2.0

//! The C interface of the registry: the functions of include/linux/dax.h and bus.h that it
//! implements, and its platform device.

use kernel::{
    bindings,
    container_of,
    dax::hmem::{
        Candidate,
        Host, //
    },
    error::{
        from_result,
        to_result, //
    },
    numa::NumaNode,
    prelude::*,
    static_lock_class,
    types::Opaque, //
};

use core::ops::Range;

/// Starts the registry. Called once, by device_hmem_exports.c, at `device_initcall`.
///
/// # Safety
///
/// None. The function is `unsafe` because the binding is.
#[export]
unsafe extern "C" fn device_hmem_start() -> c_int {
    from_result(|| crate::start().map(|()| 0))
}

/// Registers memory of the HMAT, for the driver of that table. May sleep.
///
/// # Safety
///
/// `res` is valid.
#[export]
unsafe extern "C" fn hmem_register_resource(target_nid: c_int, res: *mut bindings::resource) {
    // SAFETY: By the caller.
    let res = unsafe { &*res };

    crate::register(
        res.start..res.end.saturating_add(1),
        NumaNode::from_raw(target_nid),
    );
}

/// Calls `visit` with `host` and each range in the registry, in ascending order, until `visit`
/// returns another value than 0. Returns the result of the last call. May sleep.
///
/// # Safety
///
/// `visit` may be called with `host`, and with any node and resource.
#[export]
unsafe extern "C" fn walk_hmem_resources(
    host: *mut bindings::device,
    visit: bindings::walk_hmem_fn,
) -> c_int {
    from_result(|| {
        let visit = visit.ok_or(EINVAL)?;

        for Candidate { range, target_node } in crate::known()? {
            let res = resource(&range, target_node);

            // SAFETY: By the caller; `res` is a valid resource.
            match unsafe { visit(host, target_node.as_raw(), &res) } {
                0 => (),
                stop => return Ok(stop),
            }
        }
        Ok(0)
    })
}

/// Describes a range as a C resource, with the description that C has for the target node.
fn resource(range: &Range<u64>, target_node: NumaNode) -> bindings::resource {
    bindings::resource {
        start: range.start,
        end: range.end.wrapping_sub(1),
        flags: bindings::IORESOURCE_MEM as c_ulong,
        desc: target_node.as_raw() as c_ulong,
        ..pin_init::zeroed()
    }
}

/// The allocation behind the platform device.
type HostBox = KBox<Opaque<bindings::hmem_platform_device>>;

/// Registers the platform device that stands for all of the memory. It is never unregistered.
///
/// Fails with [`EEXIST`] if it is registered already, and with [`ENOMEM`].
pub(crate) fn register_host() -> Result {
    let raw = KBox::into_raw(HostBox::zeroed(GFP_KERNEL)?).cast::<bindings::hmem_platform_device>();

    // SAFETY: Nothing else uses the device before it is registered. Then the references own it, and
    // `release_host` frees it after the last one is put.
    let ret = unsafe {
        (*raw).pdev.name = Host::NAME.as_char_ptr();
        (*raw).pdev.dev.release = Some(release_host);
        // A driver in C initialises the work again, with a function of its own.
        bindings::init_work_with_key(
            &raw mut (*raw).work,
            Some(no_work),
            false,
            Host::NAME.as_char_ptr(),
            static_lock_class!().as_ptr(),
        );
        bindings::platform_device_register(&raw mut (*raw).pdev)
    };

    to_result(ret).inspect_err(|_| {
        // SAFETY: After a failure the device is still initialised, and this function owns its only
        // reference.
        unsafe { bindings::platform_device_put(&raw mut (*raw).pdev) }
    })
}

/// # Safety
///
/// `dev` is the device of [`register_host`], and its last reference was put.
unsafe extern "C" fn release_host(dev: *mut bindings::device) {
    // SAFETY: By the caller `dev` is embedded in a `HostBox`, which `register_host` leaked.
    drop(unsafe {
        let pdev = container_of!(dev, bindings::platform_device, dev);
        let host = container_of!(pdev, bindings::hmem_platform_device, pdev);

        HostBox::from_raw(host.cast())
    });
}

/// # Safety
///
/// None. The type of a work function is `unsafe`.
unsafe extern "C" fn no_work(_work: *mut bindings::work_struct) {}
