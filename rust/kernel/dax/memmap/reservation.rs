// SPDX-License-Identifier: GPL-2.0

//! The reservation of an instance's addresses in `/proc/iomem`.

use crate::{
    bindings,
    prelude::*,
    str::CString, //
};

/// The functions that reserve addresses in `/proc/iomem`: those of the kernel, or those by which
/// nfit_test replaces them.
#[derive(Clone, Copy)]
pub(in crate::dax) struct ReserveFunctions {
    pub(in crate::dax) request: unsafe extern "C" fn(
        *mut bindings::resource,
        bindings::resource_size_t,
        bindings::resource_size_t,
        *const c_char,
        c_int,
    ) -> *mut bindings::resource,
    pub(in crate::dax) release: unsafe extern "C" fn(
        *mut bindings::resource,
        bindings::resource_size_t,
        bindings::resource_size_t,
    ),
}

impl ReserveFunctions {
    /// The functions of the kernel.
    pub(in crate::dax) const KERNEL: Self = Self {
        request: bindings::__request_region,
        release: bindings::__release_region,
    };
}

/// A reservation of addresses in `/proc/iomem`. Dropping it releases the addresses.
///
/// This is not an [`io::resource::Region`](crate::io::resource::Region), because nfit_test has
/// made-up addresses and replaces the functions.
///
/// # Invariants
///
/// `functions` have reserved the addresses under this name.
pub(in crate::dax) struct Reservation {
    pub(super) functions: ReserveFunctions,
    start: u64,
    size: u64,
    _name: CString,
}

impl Reservation {
    /// Reserves `size` bytes from `start` on. [`None`] if some of them are reserved already.
    pub(in crate::dax) fn new(
        functions: ReserveFunctions,
        start: u64,
        size: u64,
        name: CString,
    ) -> Option<Self> {
        // SAFETY: C defines the root resource. The name lives as long as the reservation.
        let resource = unsafe {
            (functions.request)(
                &raw mut bindings::iomem_resource,
                start,
                size,
                name.as_char_ptr(),
                0,
            )
        };

        if resource.is_null() {
            return None;
        }
        // INVARIANT: The function has just reserved the addresses.
        Some(Self {
            functions,
            start,
            size,
            _name: name,
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            (self.functions.release)(&raw mut bindings::iomem_resource, self.start, self.size)
        };
    }
}
