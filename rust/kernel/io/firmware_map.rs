// SPDX-License-Identifier: GPL-2.0

//! What firmware says about physical addresses: which memory it has reserved for a purpose, and
//! where CXL memory can be.
//!
//! Ranges are of physical addresses; the end is the first address behind.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use crate::{
    bindings,
    error::Result,
    prelude::*, //
};
use core::ops::Range;

/// Calls `f` with the parts of `range` that are soft-reserved, until it fails: memory for a specific
/// purpose, which the page allocator does not have, for drivers to take. In ascending order, none
/// empty, none overlapping. May sleep.
pub fn soft_reserved<F: FnMut(Range<u64>) -> Result>(range: &Range<u64>, f: F) -> Result {
    walk(range, f, |first, last, arg| {
        // SAFETY: `walk` promises that `arg` is what `call` expects.
        unsafe { bindings::walk_soft_reserve_res(first, last, arg, Some(call::<F>)) }
    })
}

/// Whether all of `range` is soft-reserved; an empty one is not. May sleep.
pub fn is_soft_reserved(range: &Range<u64>) -> bool {
    let mut at = range.start;

    soft_reserved(range, |part| {
        // In ascending order, so a gap is seen at once.
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

/// Calls `f` with the parts of `range` that are in windows for CXL memory, whether or not there is
/// some, until it fails. In ascending order, none empty, none overlapping. May sleep.
///
/// The windows are known once the module `cxl_acpi` is loaded.
pub fn cxl_windows<F: FnMut(Range<u64>) -> Result>(range: &Range<u64>, f: F) -> Result {
    walk(range, f, |first, last, arg| {
        // SAFETY: As above.
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

/// What [`call`] is given.
struct Walk<F> {
    f: F,
    result: Result,
}

/// Calls `each` with the first and the last address of `range`, and with the argument for [`call`].
fn walk<F>(range: &Range<u64>, f: F, each: impl FnOnce(u64, u64, *mut c_void) -> c_int) -> Result {
    let last = range.end.saturating_sub(1);
    let mut walk = Walk { f, result: Ok(()) };

    if !range.is_empty() {
        // What is returned says the same, or that nothing was found.
        each(range.start, last, (&raw mut walk).cast());
    }
    walk.result
}

/// # Safety
///
/// `res` is valid, and `arg` points to a `Walk<F>` that nobody else uses meanwhile.
unsafe extern "C" fn call<F: FnMut(Range<u64>) -> Result>(
    res: *mut bindings::resource,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let (res, walk) = unsafe { (&*res, &mut *arg.cast::<Walk<F>>()) };

    walk.result = (walk.f)(res.start..res.end.saturating_add(1));
    walk.result.is_err().into()
}
