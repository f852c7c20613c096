// SPDX-License-Identifier: GPL-2.0

//! Loading the module.

use super::holder;
use crate::DaxFile;
use kernel::prelude::*;

impl kernel::InPlaceModule for DaxFile {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: This is called once. There is no device yet, so nobody can seal a file.
        unsafe { holder::init() };

        Self::new()
    }
}
