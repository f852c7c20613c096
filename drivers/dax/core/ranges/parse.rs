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
    let text = without_newline(without_nuls(text));
    let ids = text.strip_prefix(b"dax").ok_or(Error::Malformed)?;
    let (region, instance) = split_at_byte(ids, b'.').ok_or(Error::Malformed)?;
    Ok(Name {
        region: id(region)?,
        instance: id(instance)?,
    })
}

/// Parses a range: two inclusive ends in hexadecimal, with or without `0x`, and `-` between them.
pub(crate) fn range(text: &[u8]) -> Result<Range, Error> {
    let (start, rest) = leading(without_newline(without_nuls(text)), 16)?;
    let end = rest.strip_prefix(b"-").ok_or(Error::Malformed)?;
    Range::new(start.ok_or(Error::TooLarge)?, number(end, 16)?).ok_or(Error::Empty)
}

/// Parses a size or an alignment in bytes: decimal, octal after `0`, hexadecimal after `0x`.
pub(crate) fn size(text: &[u8]) -> Result<u64, Error> {
    number(without_newline(without_nuls(text)), 0)
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

/// A NUL that remains is no digit, so the text is malformed.
fn without_nuls(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [before @ .., b'\0'] = text {
        text = before;
    }
    text
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
    match leading(text, base)? {
        (value, []) => value.ok_or(Error::TooLarge),
        _ => Err(Error::Malformed),
    }
}

/// Parses the number that the text begins with. Returns its value, [`None`] if it is too large, and
/// the rest of the text.
fn leading(text: &[u8], base: u64) -> Result<(Option<u64>, &[u8]), Error> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (base, digits) = match (base, text) {
        (0, [b'0', b'x' | b'X', digits @ ..]) | (16, [b'0', b'x' | b'X', digits @ ..]) => {
            (16, digits)
        }
        (0, [b'0', ..]) => (8, text),
        (0, _) => (10, text),
        (base, _) => (base, text),
    };

    let mut rest = digits;
    let mut value = 0u64;
    let mut overflow = 0;
    while let [byte, after @ ..] = rest {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte.wrapping_sub(b'0')),
            // Upper and lower case letters differ in one bit.
            _ => u64::from((byte | 0x20).wrapping_sub(b'a')).wrapping_add(10),
        };
        if digit >= base {
            break;
        }
        let wide = u128::from(value)
            .wrapping_mul(base.into())
            .wrapping_add(digit.into());
        value = wide as u64;
        overflow |= (wide >> 64) as u64;
        rest = after;
    }
    if rest.len() == digits.len() {
        return Err(Error::Malformed);
    }
    Ok(((overflow == 0).then_some(value), rest))
}
