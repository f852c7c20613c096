// SPDX-License-Identifier: GPL-2.0

//! Parsers for the text that user space writes to the sysfs files of a region and its devices.
//!
//! A number has the form that `kstrtoull()` accepts: a `+` may precede it, a newline may follow.
//! The text ends at the first NUL, because `daxctl` writes one. Only more NULs may follow it.

use super::{
    Error,
    Range, //
};

/// The name of a device: `dax<region>.<instance>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    /// The id of the region.
    pub(crate) region: u32,
    /// The id of the device in the region.
    pub(crate) instance: u32,
}

/// Parses the name of a device, exactly as the kernel prints it. A newline may follow.
pub(crate) fn name(text: &[u8]) -> Result<Name, Error> {
    let text = without_newline(until_nul(text)?);
    let ids = text.strip_prefix(b"dax").ok_or(Error::Malformed)?;
    let (region, instance) = split_at_byte(ids, b'.').ok_or(Error::Malformed)?;
    Ok(Name {
        region: id(region)?,
        instance: id(instance)?,
    })
}

/// Parses a range: two inclusive ends in hexadecimal, with or without `0x`, and `-` between them.
pub(crate) fn range(text: &[u8]) -> Result<Range, Error> {
    let text = without_newline(until_nul(text)?);
    let (start, end) = split_at_byte(text, b'-').ok_or(Error::Malformed)?;
    Range::new(number(start, 16)?, number(end, 16)?).ok_or(Error::Empty)
}

/// Parses a size or an alignment in bytes: decimal, octal after `0`, hexadecimal after `0x`.
pub(crate) fn size(text: &[u8]) -> Result<u64, Error> {
    number(without_newline(until_nul(text)?), 0)
}

/// Parses the number of devices to create. Only 1 is accepted.
pub(crate) fn create(text: &[u8]) -> Result<(), Error> {
    match size(text)? {
        1 => Ok(()),
        // The file takes an `int`.
        more if more > i32::MAX as u64 => Err(Error::TooLarge),
        _ => Err(Error::Malformed),
    }
}

fn until_nul(text: &[u8]) -> Result<&[u8], Error> {
    match split_at_byte(text, b'\0') {
        Some((text, rest)) if rest.iter().all(|byte| *byte == b'\0') => Ok(text),
        Some(_) => Err(Error::Malformed),
        None => Ok(text),
    }
}

fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

/// Returns the text before and after the first `separator`.
fn split_at_byte(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// Parses an id as the kernel prints it: decimal, no sign, no leading zeros, and in the range of
/// C's `int`.
fn id(text: &[u8]) -> Result<u32, Error> {
    if !text.first().is_some_and(u8::is_ascii_digit) || (text.len() > 1 && text.starts_with(b"0")) {
        return Err(Error::Malformed);
    }
    match number(text, 10).map(u32::try_from) {
        Ok(Ok(id)) if id <= i32::MAX as u32 => Ok(id),
        _ => Err(Error::Malformed),
    }
}

/// Parses a number as `kstrtoull()` does. With base 0 the prefix of the number gives the base.
fn number(text: &[u8], base: u64) -> Result<u64, Error> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (base, digits) = match (base, text) {
        (0, [b'0', b'x' | b'X', digits @ ..]) | (16, [b'0', b'x' | b'X', digits @ ..]) => {
            (16, digits)
        }
        (0, [b'0', ..]) => (8, text),
        (0, _) => (10, text),
        (base, _) => (base, text),
    };
    if digits.is_empty() {
        return Err(Error::Malformed);
    }

    // After an overflow, check the remaining digits: a malformed number has another error.
    let mut value = 0u64;
    let mut overflow = false;
    for byte in digits {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            // Upper and lower case letters differ in one bit.
            _ => match (byte | 0x20).wrapping_sub(b'a') {
                letter @ 0..=5 => letter.wrapping_add(10),
                _ => return Err(Error::Malformed),
            },
        };
        let digit = u64::from(digit);
        if digit >= base {
            return Err(Error::Malformed);
        }
        let (shifted, over) = value.overflowing_mul(base);
        let (sum, carry) = shifted.overflowing_add(digit);
        overflow |= over | carry;
        value = sum;
    }
    if overflow {
        return Err(Error::TooLarge);
    }
    Ok(value)
}
