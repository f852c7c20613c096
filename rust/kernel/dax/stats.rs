// SPDX-License-Identifier: GPL-2.0

//! What an instance counts of its faults and mappings, as files.
//!
//! Of an instance whose memory user space maps, [`Memory::count`] counts what became of each fault.
//! Here is how an operator reads that. C has nothing like it.
//!
//! [`Memory::count`]: super::device::Memory::count

use super::device::{
    Count,
    Device, //
};
use crate::{
    attribute_groups,
    device::{
        attribute::{
            Attribute,
            Mode,
            Output, //
        },
        Bound, //
    },
    prelude::*,
    str::CStr, //
};

/// One of the counters, as a file.
struct Counter<const N: usize>;

impl<const N: usize> Attribute for Counter<N> {
    type Owner = Device<Bound>;

    const NAME: &'static CStr = Count::ALL[N].name();
    const MODE: Mode = 0o444;

    fn show(dev: &Self::Owner, out: &mut Output) -> Result {
        show(dev, Count::ALL[N], out)
    }
}

#[inline(never)]
fn show(dev: &Device<Bound>, what: Count, out: &mut Output) -> Result {
    let live = dev.live().ok_or(ENXIO)?;

    out.number(live.counted(what) as u64);
    Ok(())
}

attribute_groups! {
    /// `/sys/bus/dax/devices/daxX.Y/stats`, as long as the instance is bound.
    ///
    /// For drivers that let user space map the memory; of others there is nothing to read.
    pub static STATS: Device<Bound> = of_device DeviceAttribute Some(c"stats"), [
        Counter<0>,
        Counter<1>,
        Counter<2>,
        Counter<3>,
        Counter<4>,
        Counter<5>,
        Counter<6>,
        Counter<7>,
    ]
}
