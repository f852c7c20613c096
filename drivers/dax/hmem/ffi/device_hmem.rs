// SPDX-License-Identifier: GPL-2.0

//! What the HMAT's driver and `dax_hmem` call: the functions of include/linux/dax.h.

use kernel::{
    bindings,
    error::from_result,
    prelude::*, //
};

/// Starts the registry. Called by device_hmem_exports.c.
///
/// # Safety
///
/// None of the caller's.
#[export]
unsafe extern "C" fn device_hmem_start() -> c_int {
    from_result(|| crate::start().map(|()| 0))
}

/// Takes note of a range of memory.
///
/// # Safety
///
/// `res` is valid.
#[export]
unsafe extern "C" fn hmem_register_resource(target_nid: c_int, res: *mut bindings::resource) {
    // SAFETY: By the caller.
    let res = unsafe { &*res };

    crate::register(res.start..res.end.saturating_add(1), target_nid);
}

/// Calls `visit` with `host` and each range that is known, until it does not return 0.
///
/// # Safety
///
/// `visit` may be called with `host`, and with any node and resource.
#[export]
unsafe extern "C" fn walk_hmem_resources(
    host: *mut bindings::device,
    visit: bindings::walk_hmem_fn,
) -> c_int {
    let Some(visit) = visit else {
        return EINVAL.to_errno();
    };

    from_result(|| {
        for memory in crate::known()? {
            let res = bindings::resource {
                start: memory.range.start,
                end: memory.range.end.wrapping_sub(1),
                flags: bindings::IORESOURCE_MEM as c_ulong,
                desc: memory.target_node as c_ulong,
                ..pin_init::zeroed()
            };

            // SAFETY: By the caller; `res` is a valid resource.
            match unsafe { visit(host, memory.target_node, &res) } {
                0 => (),
                stop => return Ok(stop),
            }
        }
        Ok(0)
    })
}
