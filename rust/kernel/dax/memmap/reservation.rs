// SPDX-License-Identifier: GPL-2.0

//! The reservation of an instance's addresses in `/proc/iomem`.

use crate::{
    bindings,
    prelude::*,
    str::CString, //
};

/// How addresses are reserved in `/proc/iomem`: C's functions, or those that nfit_test has instead.
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

/// A reservation of addresses in `/proc/iomem`, given up when this is dropped.
///
/// [`io::resource::Region`](crate::io::resource::Region) would do but for nfit_test, whose
/// physical addresses are made up.
///
/// # Invariants
///
/// The addresses are reserved by the functions, with this name.
pub(in crate::dax) struct Reservation {
    pub(super) functions: ReserveFunctions,
    start: u64,
    size: u64,
    _name: CString,
}

impl Reservation {
    /// Reserves `size` bytes from `start` on. [`None`] if somebody else has some of them.
    pub(in crate::dax) fn new(
        functions: ReserveFunctions,
        start: u64,
        size: u64,
        name: CString,
    ) -> Option<Self> {
        // SAFETY: C defines the resource. The name stays as long as the reservation.
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
        // INVARIANT: Just done.
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
