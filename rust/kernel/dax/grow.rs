// SPDX-License-Identifier: GPL-2.0

//! A bound instance gets more memory.
//!
//! The core gives free memory of the region to the instance and then asks its driver, see
//! [`Driver::grow`](super::Driver::grow). If the driver accepts, the core replaces the ranges that
//! page faults read. If user space can map the instance, the new memory gets its memmap here,
//! before the driver is asked. So a driver cannot forget it.

use super::{
    bare::BARE,
    device::{
        Device,
        Range, //
    },
    failure::GENERIC,
    memmap::{
        Memmap,
        ReserveFunctions, //
    },
    memory::{
        describe,
        reserve_ranges, //
    }, //
};
#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::mm::memory_hotplug::{
    Blocks,
    Span, //
};
use crate::{
    device,
    mm::memremap::OwnedDevPagemap,
    prelude::*, //
};
use core::ptr;

/// More memory for a bound instance.
///
/// # Invariants
///
/// - `ranges` begins with the ranges of the instance. The last one of these may be longer.
/// - The region has given the memory to the instance. The device lock is held, and the instance is
///   bound.
pub struct Growth<'a> {
    ranges: &'a [Range],
    /// The present size of the instance, in pages.
    before: usize,
}

impl<'a> Growth<'a> {
    /// # Safety
    ///
    /// `ranges` fulfil the type invariants for `dev`.
    pub(super) unsafe fn new(dev: &Device<device::Bound>, ranges: &'a [Range]) -> Self {
        // INVARIANT: By the caller.
        Self {
            ranges,
            before: dev.ranges().last().map_or(0, Range::end_pgoff),
        }
    }

    /// The ranges that the instance will have, ordered by their offset into it.
    pub fn ranges(&self) -> &[Range] {
        self.ranges
    }

    /// The memory that is added: ranges, or the last part of one. Each has the number of the range
    /// that it is a part of.
    pub fn added(&self) -> impl Iterator<Item = (usize, Range)> + '_ {
        let parts = self.ranges.iter().map(|range| range.tail_at(self.before));

        (0..self.ranges.len())
            .zip(parts)
            .filter_map(|(i, part)| Some((i, part?)))
    }

    /// Reserves memory blocks, as [`Device::reserve_blocks`] does.
    #[cfg(CONFIG_MEMORY_HOTPLUG)]
    pub fn reserve_blocks(&self, dev: &Device<device::Core<'_>>, blocks: Blocks) -> Result<Span> {
        dev.reserve_blocks_of(self.ranges, blocks)
    }
}

/// Gives memory to an instance: makes its memmap, if the present memory has one for mappings, and
/// asks the driver.
///
/// On failure nothing has changed. Fails with `EOPNOTSUPP` if the instance is for a file system,
/// with the errors of [`Reserved::map_generic`](super::memory::Reserved::map_generic), and as
/// `driver` does.
pub(super) fn grow(
    dev: &Device<device::Core<'_>>,
    growth: &Growth<'_>,
    driver: impl FnOnce() -> Result,
) -> Result {
    let Some(memmap) = memmap_of(dev)? else {
        driver()?;
        // The memory that was added has no memmap.
        return match dev.alive() {
            None => Ok(()),
            Some(_) => Err(EINVAL),
        };
    };

    let more = make(dev, growth, memmap)?;
    memmap.reserve_more()?;
    driver()?;
    memmap.add_more(more)
}

/// The memmap of an instance that user space can map; [`None`] if the instance has no memmap.
///
/// An instance that is dead does not come alive before it is unbound: a driver brings it alive in
/// its probe.
fn memmap_of<'a>(dev: &'a Device<device::Core<'_>>) -> Result<Option<&'a Memmap>> {
    let Some((_section, pgmap)) = dev.alive() else {
        return Ok(None);
    };
    // SAFETY: The `struct dev_pagemap` is valid until the end of the section, and these fields do
    // not change.
    let (ops, owner) = unsafe { ((*pgmap).ops, (*pgmap).owner) };

    if !ptr::eq(ops, &GENERIC) && !ptr::eq(ops, &BARE) {
        return Err(EOPNOTSUPP);
    }
    // SAFETY: With these operations a `Memmap` is the owner. It exists until the unbind. In this
    // context the device lock is held, so that comes later.
    Ok(Some(unsafe { &*owner.cast() }))
}

/// Makes the memmap of the memory that is added.
fn make(
    dev: &Device<device::Core<'_>>,
    growth: &Growth<'_>,
    memmap: &Memmap,
) -> Result<Pin<KBox<Memmap>>> {
    let mut ranges = KVVec::new();
    for (_, range) in growth.added() {
        ranges.push(range, GFP_KERNEL)?;
    }

    let addresses = reserve_ranges(dev, growth.added(), ranges.len(), ReserveFunctions::KERNEL)?;
    let dev_pagemap = OwnedDevPagemap::new(ranges.iter().map(|range| range.0.range))?;
    let mut more = describe(dev, dev_pagemap, ranges, addresses, memmap.is_bare())?;

    // SAFETY:
    // - The operations are for an owner that is a `Memmap`.
    // - `memmap` has the counters, and lives longer.
    // - Nobody can map the memory before `grow` succeeds. After that `memmap` owns it. The instance
    //   is killed before it is dropped.
    unsafe {
        if memmap.is_bare() {
            more.as_mut().take_bare(dev, memmap.counts)?;
        } else {
            more.as_mut().map(&GENERIC, memmap.counts)?;
        }
    }
    Ok(more)
}
