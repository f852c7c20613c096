// SPDX-License-Identifier: GPL-2.0

//! What firmware says about physical addresses: which memory it has reserved for a purpose, and
//! where CXL memory can be.
//!
//! Ranges are of physical addresses; the end is the first address behind.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use crate::{
    alloc::append::Append,
    bindings,
    error::Result,
    prelude::*, //
};
use core::ops::Range;

/// Returns the parts of `range` that are soft-reserved: memory for a specific purpose, which the
/// page allocator does not have, for drivers to take. In ascending order, none empty, none
/// overlapping. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub fn soft_reserved(range: &Range<u64>) -> Result<KVec<Range<u64>>> {
    collect(range, |first, last, arg| {
        // SAFETY: `collect` promises that `arg` is what `push` expects.
        unsafe { bindings::walk_soft_reserve_res(first, last, arg, Some(push)) }
    })
}

/// Returns the parts of `range` that are in windows for CXL memory, whether or not there is some.
/// In ascending order, none empty, none overlapping. May sleep.
///
/// The windows are known once the module `cxl_acpi` is loaded.
///
/// # Errors
///
/// [`ENOMEM`].
pub fn cxl_windows(range: &Range<u64>) -> Result<KVec<Range<u64>>> {
    collect(range, |first, last, arg| {
        // SAFETY: As above.
        unsafe {
            bindings::walk_iomem_res_desc(
                bindings::IORES_DESC_CXL as c_ulong,
                bindings::IORESOURCE_MEM as c_ulong,
                first,
                last,
                arg,
                Some(push),
            )
        }
    })
}

/// Calls `walk` with the first and the last address of `range`, and with the argument for [`push`].
fn collect(
    range: &Range<u64>,
    walk: impl FnOnce(u64, u64, *mut c_void) -> c_int,
) -> Result<KVec<Range<u64>>> {
    let mut found = KVec::new();

    if range.is_empty() {
        return Ok(found);
    }
    if walk(range.start, range.end - 1, (&raw mut found).cast()) == ENOMEM.to_errno() {
        return Err(ENOMEM);
    }

    // Everything else says whether anything was found.
    Ok(found)
}

/// Adds a range to those that were found.
///
/// # Safety
///
/// `res` is valid, and `arg` points to a `KVec<Range<u64>>` that nobody else uses meanwhile.
unsafe extern "C" fn push(res: *mut bindings::resource, arg: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let (res, found) = unsafe { (&*res, &mut *arg.cast::<KVec<Range<u64>>>()) };

    match found.append(res.start..res.end.saturating_add(1), GFP_KERNEL) {
        Ok(()) => 0,
        Err(_) => ENOMEM.to_errno(),
    }
}
