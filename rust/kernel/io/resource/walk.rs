// SPDX-License-Identifier: GPL-2.0

//! Walks over the resources by which firmware describes physical memory.
//!
//! Ranges are of physical addresses. The end is the first address behind the range.

use super::Resource;
use crate::{
    bindings,
    prelude::*, //
};
use core::ops::Range;

impl Resource {
    /// Returns the addresses of the resource.
    pub fn range(&self) -> Range<u64> {
        let start = self.start();

        start..start.saturating_add(self.size())
    }
}

/// Calls `f` with the soft-reserved parts of `range`, until `f` fails. May sleep.
///
/// Firmware reserves such memory for a specific purpose. The page allocator does not have it;
/// drivers may take it. The parts come in ascending order. They are not empty, and do not overlap.
///
/// # Examples
///
/// ```
/// use kernel::io::resource;
///
/// let mut size = 0;
///
/// resource::walk_soft_reserved(&(0..u64::MAX), |part| {
///     size += part.end - part.start;
///     Ok(())
/// })?;
/// pr_info!("0x{size:x} bytes are soft-reserved\n");
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "walk_soft_reserve_res")]
pub fn walk_soft_reserved<F: FnMut(Range<u64>) -> Result>(range: &Range<u64>, f: F) -> Result {
    walk(range, f, |first, last, arg| {
        // SAFETY: `walk` passes the argument that `call` expects.
        unsafe { bindings::walk_soft_reserve_res(first, last, arg, Some(call::<F>)) }
    })
}

/// Returns whether all of `range` is soft-reserved. An empty range is not. May sleep.
pub fn is_soft_reserved(range: &Range<u64>) -> bool {
    let mut at = range.start;

    walk_soft_reserved(range, |part| {
        // The parts come in ascending order, so this one begins behind a gap.
        if part.start > at {
            return Err(ENOENT);
        }
        at = at.max(part.end);
        Ok(())
    })
    .is_ok()
        && range.start < range.end
        && at >= range.end
}

/// Calls `f` with the parts of `range` that are in windows for CXL memory, until `f` fails. May
/// sleep.
///
/// A window need not have memory. The module `cxl_acpi` adds the windows when it is loaded. The
/// parts come in ascending order. They are not empty, and do not overlap.
#[doc(alias = "walk_iomem_res_desc")]
pub fn walk_cxl_windows<F: FnMut(Range<u64>) -> Result>(range: &Range<u64>, f: F) -> Result {
    walk(range, f, |first, last, arg| {
        // SAFETY: `walk` passes the argument that `call` expects.
        unsafe {
            bindings::walk_iomem_res_desc(
                bindings::IORES_DESC_CXL as c_ulong,
                bindings::IORESOURCE_MEM as c_ulong,
                first,
                last,
                arg,
                Some(call::<F>),
            )
        }
    })
}

/// The argument of [`call`].
struct Walk<F> {
    f: F,
    result: Result,
}

/// Calls `each` with the first and the last address of `range` and the argument for [`call`].
fn walk<F>(range: &Range<u64>, f: F, each: impl FnOnce(u64, u64, *mut c_void) -> c_int) -> Result {
    let last = range.end.saturating_sub(1);
    let mut walk = Walk { f, result: Ok(()) };

    if !range.is_empty() {
        // `walk.result` has the result of `f`. C also returns an error if it finds nothing.
        each(range.start, last, (&raw mut walk).cast());
    }
    walk.result
}

/// # Safety
///
/// `res` is valid. `arg` points to a `Walk<F>`, which nothing else uses during the call.
unsafe extern "C" fn call<F: FnMut(Range<u64>) -> Result>(
    res: *mut bindings::resource,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let (res, walk) = unsafe { (Resource::from_raw(res), &mut *arg.cast::<Walk<F>>()) };

    walk.result = (walk.f)(res.range());
    walk.result.is_err().into()
}
