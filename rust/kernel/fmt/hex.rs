// SPDX-License-Identifier: GPL-2.0

//! Numbers in hexadecimal, as arguments without options.
//!
//! `{:#x}` and `{}` of a [`Hex`] give the same text. But as soon as one argument of a text has
//! options, the caller of [`fmt!`] describes every one of them at run time, in 60 bytes of code each.
//! Where a text is made once in a while, as that of a refusal is, that is most of what it takes.
//!
//! [`fmt!`]: crate::prelude::fmt!

use super::{
    Display,
    Formatter,
    LowerHex,
    Result, //
};

/// A number: `0x1000`.
#[derive(Clone, Copy)]
pub struct Hex(pub u64);

impl Display for Hex {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("0x")?;
        LowerHex::fmt(&self.0, f)
    }
}

/// Addresses from the first to the last: `0x100000000-0x13fffffff`.
#[derive(Clone, Copy)]
pub struct HexRange(pub u64, pub u64);

impl Display for HexRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(&Hex(self.0), f)?;
        f.write_str("-")?;
        Display::fmt(&Hex(self.1), f)
    }
}
