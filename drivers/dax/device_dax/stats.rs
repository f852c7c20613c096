// SPDX-License-Identifier: GPL-2.0

//! The counters of faults and mappings as files, for an operator.
//!
//! The memory of an instance counts what became of each fault, see [`LiveMemory::count`]. The
//! driver in C has no such counters.
//!
//! [`LiveMemory::count`]: kernel::dax::live::LiveMemory::count

use crate::DeviceDax;
use kernel::{
    attribute_groups,
    dax::{
        driver::BoundTo,
        live::Count, //
    },
    device::attribute::{
        Attribute,
        Mode,
        Output, //
    },
    prelude::*,
    str::CStr, //
};

/// The name of the file of a counter.
const fn name(count: Count) -> &'static CStr {
    match count {
        Count::Pte => c"faults_pte",
        Count::Pmd => c"faults_pmd",
        Count::Pud => c"faults_pud",
        Count::Ahead => c"entries_ahead",
        Count::RefusedAlign => c"refused_align",
        Count::RefusedOffset => c"refused_offset",
        Count::RefusedFailed => c"refused_failed",
        Count::RefusedMmap => c"refused_mmap",
    }
}

/// One of the counters, as a file.
struct Counter<const N: usize>;

impl<const N: usize> Attribute for Counter<N> {
    type Owner = BoundTo<DeviceDax>;

    const NAME: &'static CStr = name(Count::ALL[N]);
    const MODE: Mode = 0o444;

    fn show(owner: &Self::Owner, out: &mut Output) -> Result {
        show(owner, Count::ALL[N], out)
    }
}

#[inline(never)]
fn show(owner: &BoundTo<DeviceDax>, what: Count, out: &mut Output) -> Result {
    let live = owner.device().live().ok_or(ENXIO)?;

    out.number(live.counted(what) as u64);
    Ok(())
}

attribute_groups! {
    /// `/sys/bus/dax/devices/daxX.Y/stats`, as long as the instance is bound.
    pub(crate) static STATS: BoundTo<DeviceDax> = of_device DeviceAttribute Some(c"stats"), [
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
