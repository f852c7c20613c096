// SPDX-License-Identifier: GPL-2.0

//! The registry towards C: the functions of include/linux/dax.h and bus.h that it has to have, and the
//! platform device that it makes.

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
/// There are no requirements; the binding is an `unsafe` function.
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

/// Calls `visit` with `host` and each range that the registry knows, in ascending order, until it does
/// not return 0. Returns the result of the last call. May sleep.
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

/// Describes memory as C does. The description is where C expects the node.
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

    // SAFETY: Nobody else knows the device before it is registered. From then on it belongs to those
    // who have references, and `release_host` frees it after the last one.
    let ret = unsafe {
        (*raw).pdev.name = Host::NAME.as_char_ptr();
        (*raw).pdev.dev.release = Some(release_host);
        // A driver in C initialises the work again, with its own function.
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
        // SAFETY: A failure leaves the device initialised, with one reference, which is ours.
        unsafe { bindings::platform_device_put(&raw mut (*raw).pdev) }
    })
}

/// # Safety
///
/// `dev` is the device of [`register_host`], and nobody refers to it any more.
unsafe extern "C" fn release_host(dev: *mut bindings::device) {
    // SAFETY: By the caller, the device is in such a box.
    drop(unsafe {
        let pdev = container_of!(dev, bindings::platform_device, dev);
        let host = container_of!(pdev, bindings::hmem_platform_device, pdev);

        HostBox::from_raw(host.cast())
    });
}

/// # Safety
///
/// There are no requirements; it is of the type of a work function.
unsafe extern "C" fn no_work(_work: *mut bindings::work_struct) {}
