// SPDX-License-Identifier: GPL-2.0

//! Reference parsers for texts, made from the parsers of the standard library.

use crate::ranges::{
    parse::{self, Name},
    Error,
};

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    if rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let text = String::from_utf8(text.to_vec()).ok()?;
    Some(text.strip_suffix('\n').unwrap_or(&text).to_string())
}

pub(crate) fn number(text: &str, hexadecimal: bool) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let prefix = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let (radix, digits) = match (prefix, hexadecimal) {
        (Some(digits), _) => (16, digits),
        (None, true) => (16, text),
        (None, false) if text.starts_with('0') => (8, text),
        (None, false) => (10, text),
    };
    // The standard library would accept a second sign here.
    if digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(digits, radix).ok()
}

pub(crate) fn range(bytes: &[u8]) -> Option<(u64, u64)> {
    let text = text(bytes)?;
    let (start, end) = text.split_once('-')?;
    let start = u64::try_from(number(start, true)?).ok()?;
    let end = u64::try_from(number(end, true)?).ok()?;
    (start <= end && end < u64::MAX).then_some((start, end))
}

pub(crate) fn name(bytes: &[u8]) -> Option<Name> {
    let text = text(bytes)?;
    let (region, instance) = text.strip_prefix("dax")?.split_once('.')?;
    let name = Name {
        region: region.parse().ok()?,
        instance: instance.parse().ok()?,
    };
    let printed = format!("dax{}.{}", name.region, name.instance);
    let is_int = i32::try_from(name.region).is_ok() && i32::try_from(name.instance).is_ok();
    (printed == text && is_int).then_some(name)
}

/// Compares every parser with its reference.
pub(crate) fn check(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);

    assert_eq!(parse::name(bytes).ok(), name(bytes), "{shown:?}");
    let found = parse::range(bytes).ok();
    let found = found.map(|range| (range.start(), range.end()));
    assert_eq!(found, range(bytes), "{shown:?}");
    let size = parse::size(bytes);
    let number = text(bytes).and_then(|text| number(&text, false));
    let expected = number.and_then(|number| u64::try_from(number).ok());
    assert_eq!(size.ok(), expected, "{shown:?}");
    if number.is_some() && expected.is_none() {
        assert_eq!(size, Err(Error::TooLarge), "{shown:?}");
    }
    assert_eq!(
        parse::create(bytes).is_ok(),
        expected == Some(1),
        "{shown:?}"
    );
}
