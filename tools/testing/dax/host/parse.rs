// SPDX-License-Identifier: GPL-2.0

//! Tests of the strings that user space writes.

use crate::{
    random::Random,
    ranges::{
        parse::{self, Name},
        Error, Range,
    },
    reference,
};

const MALFORMED: Error = Error::Malformed;
const TOO_LARGE: Error = Error::TooLarge;

#[test]
fn names() {
    for (text, region, instance) in [
        ("dax0.0", 0, 0),
        ("dax1.23\n", 1, 23),
        ("dax10.0\0", 10, 0),
        ("dax10.1\n\0", 10, 1),
        ("dax2147483647.2147483647", 0x7fff_ffff, 0x7fff_ffff),
    ] {
        let name = Name { region, instance };
        assert_eq!(parse::name(text.as_bytes()), Ok(name), "{text:?}");
    }
    for text in [
        "",
        "\n",
        "\0",
        "dax",
        "dax0",
        "dax0.",
        "dax.0",
        "dax0.0.0",
        "dax00.0",
        "dax0.01",
        " dax0.0",
        "dax0.0 ",
        "dax 0.0",
        "dax0.0\n\n",
        "dax0\n.0",
        "Dax0.0",
        "dax-1.0",
        "dax0.-1",
        "dax+1.0",
        "dax0x1.0",
        "dax0.a",
        "dax2147483648.0",
        "dax4294967295.0",
        "dax0.99999999999999999999",
        "dax0.0\0x",
        "ax0.0",
        "dax0,0",
    ] {
        assert_eq!(parse::name(text.as_bytes()), Err(MALFORMED), "{text:?}");
    }
}

#[test]
fn ranges() {
    for (text, start, end) in [
        ("0-0", 0, 0),
        ("0x100000000-0x1ffffffff", 0x1_0000_0000, 0x1_ffff_ffff),
        ("100000000-1ffffffff\n", 0x1_0000_0000, 0x1_ffff_ffff),
        ("0X1-ABCDEF\n\0", 1, 0xab_cdef),
        ("+1-+0xf", 1, 0xf),
        ("010-0x0010", 0x10, 0x10),
        ("0-fffffffffffffffe", 0, u64::MAX - 1),
    ] {
        let range = Range::new(start, end).unwrap();
        assert_eq!(parse::range(text.as_bytes()), Ok(range), "{text:?}");
    }
    for (text, error) in [
        ("", MALFORMED),
        ("-", MALFORMED),
        ("1", MALFORMED),
        ("1-", MALFORMED),
        ("-1", MALFORMED),
        ("1--2", MALFORMED),
        ("1-2-3", MALFORMED),
        ("1 - 2", MALFORMED),
        ("1-2 ", MALFORMED),
        ("1\n-2", MALFORMED),
        ("1-2\n\n", MALFORMED),
        ("0x-1", MALFORMED),
        ("1-0x", MALFORMED),
        ("0x0x1-2", MALFORMED),
        ("g-h", MALFORMED),
        ("++1-2", MALFORMED),
        ("1-2\0\n", MALFORMED),
        ("1\0-2", MALFORMED),
        ("10000000000000000-2", TOO_LARGE),
        ("1-10000000000000000", TOO_LARGE),
        ("2-1", Error::Empty),
        ("0-ffffffffffffffff", Error::Empty),
    ] {
        assert_eq!(parse::range(text.as_bytes()), Err(error), "{text:?}");
    }
}

#[test]
fn sizes() {
    for (text, size) in [
        ("0", 0),
        ("2097152", 2 << 20),
        ("2097152\n", 2 << 20),
        ("0x40000000\0", 1 << 30),
        ("0X1f\n", 0x1f),
        ("017", 15),
        ("00", 0),
        ("+5", 5),
        ("18446744073709551615", u64::MAX),
        ("0xffffffffffffffff", u64::MAX),
        ("01777777777777777777777", u64::MAX),
    ] {
        assert_eq!(parse::size(text.as_bytes()), Ok(size), "{text:?}");
    }
    for (text, error) in [
        ("", MALFORMED),
        ("\n", MALFORMED),
        ("+", MALFORMED),
        ("-1", MALFORMED),
        ("+-1", MALFORMED),
        ("0x", MALFORMED),
        ("0xg", MALFORMED),
        ("08", MALFORMED),
        ("0b1", MALFORMED),
        ("0o7", MALFORMED),
        ("1G", MALFORMED),
        ("2M", MALFORMED),
        ("1_000", MALFORMED),
        (" 1", MALFORMED),
        ("1 ", MALFORMED),
        ("1\n2", MALFORMED),
        ("1\n\n", MALFORMED),
        ("99999999999999999999x", MALFORMED),
        ("18446744073709551616", TOO_LARGE),
        ("0x10000000000000000", TOO_LARGE),
        ("99999999999999999999999999", TOO_LARGE),
    ] {
        assert_eq!(parse::size(text.as_bytes()), Err(error), "{text:?}");
    }
}

#[test]
fn create() {
    for text in ["1", "1\n", "0x1", "01\0", "+1"] {
        assert_eq!(parse::create(text.as_bytes()), Ok(()), "{text:?}");
    }
    for (text, error) in [
        ("", MALFORMED),
        ("0", MALFORMED),
        ("2", MALFORMED),
        ("-1", MALFORMED),
        ("y", MALFORMED),
        ("11", MALFORMED),
        ("2147483647", MALFORMED),
        ("2147483648", TOO_LARGE),
        ("18446744073709551616", TOO_LARGE),
    ] {
        assert_eq!(parse::create(text.as_bytes()), Err(error), "{text:?}");
    }
}

/// Fragments for random texts. Most are from valid texts, so that the parsers accept enough of
/// them.
fn noise(random: &mut Random) -> Vec<u8> {
    const WORDS: [&[u8]; 20] = [
        b"dax",
        b"0",
        b"1",
        b"7",
        b"9",
        b"f",
        b"0x",
        b"0X",
        b".",
        b"-",
        b"+",
        b"\n",
        b"\0",
        b" ",
        b"ffff",
        b"18446744073709551615",
        b"1ffffffff",
        b"2147483647",
        b"\xff",
        b"G",
    ];
    let mut text = Vec::new();
    let number = |random: &mut Random, text: &mut Vec<u8>| {
        for _ in 0..1 + random.below(2) {
            text.extend_from_slice(random.pick(&WORDS[1..8]));
        }
    };
    match random.below(4) {
        0 => {
            text.extend_from_slice(b"dax");
            number(random, &mut text);
            text.push(b'.');
            number(random, &mut text);
        }
        1 => {
            number(random, &mut text);
            text.push(b'-');
            number(random, &mut text);
        }
        _ => (),
    }
    for _ in 0..random.below(6) {
        if random.below(30) == 0 {
            text.push(random.number() as u8);
        } else {
            text.extend_from_slice(random.pick(&WORDS));
        }
    }
    text
}

#[test]
fn random_texts_agree_with_the_reference() {
    let mut random = Random::new(3);
    let mut accepted = [0; 3];
    for _ in 0..400_000 {
        let text = noise(&mut random);
        reference::check(&text);
        accepted[0] += usize::from(parse::name(&text).is_ok());
        accepted[1] += usize::from(parse::range(&text).is_ok());
        accepted[2] += usize::from(parse::size(&text).is_ok());
    }
    assert!(accepted.iter().all(|count| *count > 1000), "{accepted:?}");
}

#[test]
fn what_is_printed_is_read() {
    let mut random = Random::new(4);
    for _ in 0..50_000 {
        let (a, b) = (
            random.number() >> random.below(64),
            random.number() >> random.below(64),
        );
        let range = Range::new(a.min(b), a.max(b)).unwrap();
        assert_eq!(parse::range(format!("{range}\n").as_bytes()), Ok(range));
        for text in [format!("{a}"), format!("{a:#x}\n"), format!("0{a:o}")] {
            assert_eq!(parse::size(text.as_bytes()), Ok(a), "{text:?}");
        }
        let name = Name {
            region: a as u32 >> 1,
            instance: b as u32 >> 1,
        };
        let text = format!("dax{}.{}", name.region, name.instance);
        assert_eq!(parse::name(text.as_bytes()), Ok(name), "{text:?}");
    }
}
