// SPDX-License-Identifier: GPL-2.0

//! Strings that C has, without a panic.
//!
//! [`CStrExt::from_char_ptr`](super::CStrExt::from_char_ptr) adds the NUL to the length, which
//! cannot overflow; but see [`crate::alloc::append`].

use super::CStr;
use crate::{
    bindings,
    ffi::c_char, //
};

/// Wraps a string of C.
///
/// # Safety
///
/// `ptr` must point to a string that ends with a NUL, and that is valid and not changed for `'a`.
#[inline]
pub unsafe fn c_name<'a>(ptr: *const c_char) -> &'a CStr {
    // SAFETY: By the requirement, there is a NUL.
    let len = unsafe { bindings::strlen(ptr) };
    // SAFETY: The string and its NUL are valid for `'a`.
    let bytes = unsafe { core::slice::from_raw_parts(ptr.cast(), len.wrapping_add(1)) };

    // SAFETY: The first NUL is at the end.
    unsafe { CStr::from_bytes_with_nul_unchecked(bytes) }
}
