// SPDX-License-Identifier: GPL-2.0

//! Names of devices, assembled on the stack.
//!
//! [`fmt`](mod@crate::fmt) takes ten times as long, because the driver core formats a name twice,
//! first to learn its length. It does not if it gets a complete name.

use crate::prelude::*;

/// The name of a device: words and numbers. A name of more than 31 bytes is cut off.
///
/// # Invariants
///
/// `text` is zero from `len` on, so there is a NUL in it or behind it.
///
/// # Examples
///
/// ```
/// use kernel::device::name::Name;
///
/// // dax1.0
/// let name = Name::new("dax").number(1).word(".").number(0);
/// # let _ = name;
/// ```
#[repr(C)]
pub struct Name {
    text: [u8; 31],
    nul: u8,
    len: usize,
}

impl Name {
    /// Creates a name that begins with `word`.
    #[inline]
    pub fn new(word: &str) -> Self {
        let empty = Self {
            text: [0; 31],
            nul: 0,
            len: 0,
        };

        empty.word(word)
    }

    /// Appends a word.
    #[inline]
    pub fn word(mut self, word: &str) -> Self {
        for byte in word.as_bytes() {
            self.push(*byte);
        }
        self
    }

    /// Appends a number, in decimal.
    pub fn number(mut self, mut number: u32) -> Self {
        // The loop finds the last digit first.
        let mut digits = [0; 10];
        let mut unused = digits.len();

        for digit in digits.iter_mut().rev() {
            *digit = b'0'.wrapping_add((number % 10) as u8);
            number /= 10;
            unused = unused.wrapping_sub(1);
            if number == 0 {
                break;
            }
        }
        for digit in digits.iter().skip(unused) {
            self.push(*digit);
        }
        self
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(end) = self.text.get_mut(self.len) {
            *end = byte;
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Returns the name as a C string.
    #[inline]
    pub(crate) fn as_char_ptr(&self) -> *const c_char {
        core::ptr::from_ref(self).cast()
    }
}
