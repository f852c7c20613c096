// SPDX-License-Identifier: GPL-2.0

//! Random requests to a region, valid and not.

use super::{Driver, Errno, Fixed, Target, View, ALIGNS, EINVAL, ERANGE, UNIT};
use proptest::prelude::*;

/// The meaning of a written text.
#[derive(Clone, PartialEq, Debug)]
pub enum Meaning {
    /// A number.
    Number(u64),
    /// A range: first and last address.
    Range(u64, u64),
    /// The name of a device: its region and its number.
    Name(u32, u32),
    /// On or off.
    Switch(bool),
    /// The text is invalid; the parser returns this error.
    Nonsense(Errno),
}

/// A text and its meaning. A parser must find the same meaning.
#[derive(Clone, PartialEq, Debug)]
pub struct Text {
    /// The written bytes.
    pub bytes: Vec<u8>,
    /// Their meaning.
    pub meaning: Meaning,
}

/// A device, as an index into the existing devices. It stays valid when proptest drops other
/// requests.
#[derive(Clone, Copy, Debug)]
pub struct Who(u8);

impl Who {
    fn id(self, view: &View) -> u32 {
        let ids: Vec<u32> = view.devices.keys().copied().collect();
        // The first device always exists.
        ids[usize::from(self.0) % ids.len()]
    }
}

/// The format of a number.
#[derive(Clone, Copy, Debug)]
enum Base {
    Decimal,
    Hex,
    UpperHex,
    Octal,
    Plus,
}

/// The bytes after a text.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Nothing,
    Newline,
    Nul,
    NewlineNul,
}

impl Tail {
    fn add(self, text: String) -> Vec<u8> {
        let tail: &[u8] = match self {
            Self::Nothing => b"",
            Self::Newline => b"\n",
            Self::Nul => b"\0",
            Self::NewlineNul => b"\n\0",
        };
        [text.as_bytes(), tail].concat()
    }
}

/// The format of a written value, or an invalid text instead of it.
#[derive(Clone, Debug)]
enum Spelling {
    Good(Base, Tail),
    Bad(&'static [u8], Errno),
}

impl Spelling {
    fn number(&self, value: u64) -> Text {
        self.text(Meaning::Number(value), |base| match base {
            Base::Decimal => format!("{value}"),
            Base::Hex => format!("{value:#x}"),
            Base::UpperHex => format!("0X{value:X}"),
            Base::Octal => format!("0{value:o}"),
            Base::Plus => format!("+{value}"),
        })
    }

    fn range(&self, start: u64, end: u64) -> Text {
        self.text(Meaning::Range(start, end), |base| match base {
            Base::Decimal | Base::Octal => format!("{start:x}-{end:x}"),
            Base::Hex => format!("{start:#x}-{end:#x}"),
            Base::UpperHex => format!("0X{start:X}-{end:#X}").replace("-0x", "-0X"),
            Base::Plus => format!("+{start:x}-+{end:#x}"),
        })
    }

    fn name(&self, region: u32, instance: u32) -> Text {
        self.text(Meaning::Name(region, instance), |_| {
            format!("dax{region}.{instance}")
        })
    }

    fn text(&self, meaning: Meaning, spell: impl Fn(Base) -> String) -> Text {
        match self {
            Self::Good(base, tail) => Text {
                bytes: tail.add(spell(*base)),
                meaning,
            },
            Self::Bad(text, errno) => Text {
                bytes: text.to_vec(),
                meaning: Meaning::Nonsense(*errno),
            },
        }
    }
}

/// A size, relative to the current state.
#[derive(Clone, Copy, Debug)]
enum Amount {
    /// A number of units.
    Units(u16),
    /// A number of GiB.
    Gigs(u8),
    /// All free memory and the memory of the device, plus a number of units.
    All(i8),
    /// Any number.
    Bytes(u64),
}

impl Amount {
    fn bytes(self, view: &View, id: u32) -> u64 {
        match self {
            Self::Units(units) => u64::from(units) * UNIT,
            Self::Gigs(gigs) => u64::from(gigs) << 30,
            Self::All(more) => (view.available + view.devices[&id].size)
                .saturating_add_signed(i64::from(more) * UNIT as i64),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A range, relative to the region.
#[derive(Clone, Copy, Debug)]
enum RelativeRange {
    /// From a unit, which may be outside the region.
    At(i16, u16),
    /// From a multiple of 1 GiB.
    Gig(u8),
    /// Directly after the last range of the device.
    Behind(u8),
    /// Not at the boundaries of units.
    Skewed(u16, i8, i8),
    /// Any range.
    Any(u64, u64),
}

impl RelativeRange {
    fn range(self, view: &View, fixed: &Fixed, id: u32) -> (u64, u64) {
        let at = |start: u64, len: u64| (start, start.wrapping_add(len).wrapping_sub(1));
        match self {
            Self::At(first, units) => at(
                fixed
                    .start
                    .saturating_add_signed(i64::from(first) * UNIT as i64),
                u64::from(units) * UNIT,
            ),
            Self::Gig(gig) => at(fixed.start + (u64::from(gig) << 30), 1 << 30),
            Self::Behind(units) => {
                let last = view.devices[&id].mappings.last();
                at(
                    last.map_or(fixed.start, |last| last.0 .1 + 1),
                    u64::from(units) * UNIT,
                )
            }
            Self::Skewed(first, start, end) => {
                let start_of_unit = fixed.start + u64::from(first) * UNIT;
                (
                    start_of_unit.saturating_add_signed(i64::from(start) * 4096),
                    (start_of_unit + UNIT - 1).saturating_add_signed(i64::from(end) * 4096),
                )
            }
            Self::Any(start, end) => (start, end),
        }
    }
}

/// A name of a device.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// The name of an existing device.
    Of(Who),
    /// The name with this number; the device may not exist.
    Number(u8),
    /// The name of a device of another region.
    Elsewhere(u8),
}

impl Named {
    fn ids(self, view: &View, fixed: &Fixed) -> (u32, u32) {
        match self {
            Self::Of(who) => (fixed.id, who.id(view)),
            Self::Number(id) => (fixed.id, id.into()),
            Self::Elsewhere(id) => (fixed.id + 1, id.into()),
        }
    }
}

/// A random request to a region, relative to the state in which it is made.
#[derive(Clone, Debug)]
pub struct Op(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Create(u64, Spelling),
    Delete(Named, Spelling),
    Size(Who, Amount, Spelling),
    Align(Who, u64, Spelling),
    Mapping(Who, RelativeRange, Spelling),
    MemmapOnMemory(Who, &'static str, Meaning),
    Bind(Driver, Named, bool),
    Unbind(Driver, Named, bool),
    /// Unbind the device from its own driver.
    Release(Who),
    NewId(Driver, Named, Spelling),
    RemoveId(Driver, Named, Spelling),
    Fault(Who, u16),
}

/// A request with absolute values.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Write a text to a file.
    Write(Target, Text),
    /// Touch the entry of a device that begins at this byte offset.
    Fault(u32, u64),
}

impl Op {
    /// The request, with values for the current state.
    pub fn request(&self, view: &View, fixed: &Fixed) -> Request {
        let name = |named: &Named, spelling: &Spelling| {
            let (region, instance) = named.ids(view, fixed);
            spelling.name(region, instance)
        };
        let plain = |newline: &bool| {
            let tail = if *newline {
                Tail::Newline
            } else {
                Tail::Nothing
            };
            Spelling::Good(Base::Decimal, tail)
        };
        let (target, text) = match &self.0 {
            Kind::Create(count, spelling) => (Target::Create, spelling.number(*count)),
            Kind::Delete(named, spelling) => (Target::Delete, name(named, spelling)),
            Kind::Size(who, amount, spelling) => {
                let id = who.id(view);
                (Target::Size(id), spelling.number(amount.bytes(view, id)))
            }
            Kind::Align(who, align, spelling) => {
                (Target::Align(who.id(view)), spelling.number(*align))
            }
            Kind::Mapping(who, place, spelling) => {
                let id = who.id(view);
                let (start, end) = place.range(view, fixed, id);
                (Target::Mapping(id), spelling.range(start, end))
            }
            Kind::MemmapOnMemory(who, text, meaning) => (
                Target::MemmapOnMemory(who.id(view)),
                Text {
                    bytes: text.as_bytes().to_vec(),
                    meaning: meaning.clone(),
                },
            ),
            Kind::Bind(driver, named, newline) => {
                (Target::Bind(*driver), name(named, &plain(newline)))
            }
            Kind::Unbind(driver, named, newline) => {
                (Target::Unbind(*driver), name(named, &plain(newline)))
            }
            Kind::Release(who) => {
                let id = who.id(view);
                let driver = view.devices[&id].driver.unwrap_or(Driver::DeviceDax);
                (Target::Unbind(driver), plain(&false).name(fixed.id, id))
            }
            Kind::NewId(driver, named, spelling) => (Target::NewId(*driver), name(named, spelling)),
            Kind::RemoveId(driver, named, spelling) => {
                (Target::RemoveId(*driver), name(named, spelling))
            }
            Kind::Fault(who, entry) => {
                let id = who.id(view);
                let device = &view.devices[&id];
                // One of its entries, or the one after the last.
                let entries = device.size / device.align + 1;
                return Request::Fault(id, u64::from(*entry) % entries * device.align);
            }
        };
        Request::Write(target, text)
    }
}

fn who() -> impl Strategy<Value = Who> {
    any::<u8>().prop_map(Who)
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        10 => who().prop_map(Named::Of),
        2 => (0u8..12).prop_map(Named::Number),
        1 => (0u8..3).prop_map(Named::Elsewhere),
    ]
}

/// Texts that no file accepts as a number.
const NO_NUMBER: &[(&[u8], Errno)] = &[
    (b"\n", EINVAL),
    (b"x", EINVAL),
    (b"-1", EINVAL),
    (b" 1", EINVAL),
    (b"1 ", EINVAL),
    (b"0x", EINVAL),
    (b"09", EINVAL),
    (b"1\n\n", EINVAL),
    (b"1\n\0x", EINVAL),
    (b"2097152\x001", EINVAL),
    (b"\xff", EINVAL),
    (b"99999999999999999999", ERANGE),
    (b"0x10000000000000000", ERANGE),
];

const NO_RANGE: &[(&[u8], Errno)] = &[
    (b"\n", EINVAL),
    (b"-", EINVAL),
    (b"180000000", EINVAL),
    (b"180000000-", EINVAL),
    (b"180000000--1801fffff", EINVAL),
    (b"180000000-1801fffff-", EINVAL),
    (b"180000000 - 1801fffff", EINVAL),
    (b"180000000-1801ffffg", EINVAL),
    (b"180000000\0-1801fffff", EINVAL),
    (b"0-10000000000000000", ERANGE),
    (b"10000000000000000-1", ERANGE),
];

const NO_NAME: &[(&[u8], Errno)] = &[
    (b"\n", EINVAL),
    (b"dax", EINVAL),
    (b"dax0", EINVAL),
    (b"dax0.", EINVAL),
    (b"dax0.01", EINVAL),
    (b"dax00.1", EINVAL),
    (b"dax0.-1", EINVAL),
    (b"dax0.1x", EINVAL),
    (b"dax0.1\n\n", EINVAL),
    (b"dax0.2147483648", EINVAL),
    (b"dax0.1\0x", EINVAL),
];

fn spelling(bad: &'static [(&'static [u8], Errno)]) -> impl Strategy<Value = Spelling> {
    let base = prop_oneof![
        Just(Base::Decimal),
        Just(Base::Hex),
        Just(Base::UpperHex),
        Just(Base::Octal),
        Just(Base::Plus),
    ];
    let tail = prop_oneof![
        Just(Tail::Nothing),
        Just(Tail::Newline),
        Just(Tail::Nul),
        Just(Tail::NewlineNul),
    ];
    prop_oneof![
        12 => (base, tail).prop_map(|(base, tail)| Spelling::Good(base, tail)),
        1 => prop::sample::select(bad).prop_map(|(text, errno)| Spelling::Bad(text, errno)),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        12 => (0u16..=70).prop_map(Amount::Units),
        6 => Just(Amount::Units(0)),
        3 => (0u16..=700).prop_map(Amount::Units),
        2 => (0u8..=5).prop_map(Amount::Gigs),
        1 => (-2i8..=2).prop_map(Amount::All),
        1 => any::<u64>().prop_map(Amount::Bytes),
        1 => (0u64..1 << 30).prop_map(Amount::Bytes),
    ]
}

fn relative_range() -> impl Strategy<Value = RelativeRange> {
    prop_oneof![
        10 => (0i16..2048, 1u16..=40).prop_map(|(first, units)| RelativeRange::At(first, units)),
        6 => (0i16..200, 1u16..=20).prop_map(|(first, units)| RelativeRange::At(first, units)),
        2 => (-4i16..2060, 0u16..=600).prop_map(|(first, units)| RelativeRange::At(first, units)),
        1 => (0u8..5).prop_map(RelativeRange::Gig),
        3 => (0u8..20).prop_map(RelativeRange::Behind),
        2 => (0u16..2048, -3i8..=3, -3i8..=3).prop_map(|(at, start, end)| RelativeRange::Skewed(at, start, end)),
        1 => any::<(u64, u64)>().prop_map(|(start, end)| RelativeRange::Any(start, end)),
    ]
}

fn driver() -> impl Strategy<Value = Driver> {
    prop_oneof![
        6 => Just(Driver::DeviceDax),
        2 => Just(Driver::FsdevDax),
        1 => Just(Driver::Kmem),
    ]
}

fn switch() -> impl Strategy<Value = (&'static str, Meaning)> {
    let on = prop::sample::select(&["1", "y", "Y", "t", "on", "oN", "1\n", "yes"][..]);
    let off = prop::sample::select(&["0", "n", "N", "f", "off", "oFF", "0\n", "no"][..]);
    let none = prop::sample::select(&["\n", "x", "2", "-1", " 1", "o", "op"][..]);
    prop_oneof![
        4 => on.prop_map(|text| (text, Meaning::Switch(true))),
        4 => off.prop_map(|text| (text, Meaning::Switch(false))),
        1 => none.prop_map(|text| (text, Meaning::Nonsense(EINVAL))),
    ]
}

/// A random request.
pub fn op() -> impl Strategy<Value = Op> {
    let number = || spelling(NO_NUMBER);
    let count = prop_oneof![
        12 => Just(1),
        1 => Just(0),
        1 => 2u64..5,
        1 => (i32::MAX as u64 - 1)..(i32::MAX as u64 + 3),
    ];
    let align = prop_oneof![
        10 => prop::sample::select(&ALIGNS[..]),
        1 => (0u32..64).prop_map(|bit| 1u64 << bit),
        1 => any::<u64>(),
    ];
    prop_oneof![
        8 => (count, number()).prop_map(|(count, s)| Kind::Create(count, s)),
        7 => (named(), spelling(NO_NAME)).prop_map(|(n, s)| Kind::Delete(n, s)),
        24 => (who(), amount(), number()).prop_map(|(w, a, s)| Kind::Size(w, a, s)),
        6 => (who(), align, number()).prop_map(|(w, a, s)| Kind::Align(w, a, s)),
        10 => (who(), relative_range(), spelling(NO_RANGE)).prop_map(|(w, p, s)| Kind::Mapping(w, p, s)),
        3 => (who(), switch()).prop_map(|(w, (text, meaning))| Kind::MemmapOnMemory(w, text, meaning)),
        6 => (driver(), named(), any::<bool>()).prop_map(|(d, n, l)| Kind::Bind(d, n, l)),
        2 => (driver(), named(), any::<bool>()).prop_map(|(d, n, l)| Kind::Unbind(d, n, l)),
        9 => who().prop_map(Kind::Release),
        5 => (driver(), named(), spelling(NO_NAME)).prop_map(|(d, n, s)| Kind::NewId(d, n, s)),
        3 => (driver(), named(), spelling(NO_NAME)).prop_map(|(d, n, s)| Kind::RemoveId(d, n, s)),
        12 => (who(), any::<u16>()).prop_map(|(w, e)| Kind::Fault(w, e)),
    ]
    .prop_map(Op)
}
