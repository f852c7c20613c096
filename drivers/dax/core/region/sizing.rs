// SPDX-License-Identifier: GPL-2.0

//! The memory of an instance changes: its size, its ranges, its align.
//!
//! Each change is planned first, then booked under the region's lock, and then shown as mapping
//! devices. It is undone if a step fails.
//!
//! While a driver is bound, an instance can only grow, and only if the driver supports it. The
//! driver gets the new memory in the last step.

use super::{
    unit,
    Key,
    Region, //
};
use crate::{
    ffi::{
        self,
        driver::Driver,
        limits, //
    },
    instance::Instance,
    ranges::{
        self,
        Align,
        InstanceRanges,
        Range,
        Space, //
    }, //
};
use kernel::{
    dev_info_ratelimited,
    device::subclass::{
        DeviceGuard,
        Subclass, //
    },
    fmt,
    prelude::*,
    sync::Arc, //
};

/// A change of an instance.
enum Change {
    Size(u64),
    Mapping(Range),
    Align(u64),
    Memmap(bool),
}

/// The entries that this machine has for an instance, as a message names them.
struct Entries;

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pte, pmd, pud) = (limits::PAGE_SIZE, limits::PMD_SIZE, limits::PUD_SIZE);

        match [pmd, pud].map(|size| limits::align_valid(size as u64)) {
            [true, true] => f.write_fmt(fmt!("pte, pmd or pud ({pte}, {pmd} or {pud})")),
            [true, false] => f.write_fmt(fmt!("pte or pmd ({pte} or {pmd})")),
            [false, _] => f.write_fmt(fmt!("pte ({pte})")),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(bytes) => f.write_fmt(fmt!("size 0x{bytes:x}")),
            Self::Mapping(range) => f.write_fmt(fmt!("mapping {range}")),
            Self::Align(bytes) => f.write_fmt(fmt!("align {bytes}")),
            Self::Memmap(on) => f.write_fmt(fmt!("memmap {}", u8::from(*on))),
        }
    }
}

/// Logs the reason for which a change of an instance is refused.
#[cold]
#[inline(never)]
fn refuse(dev: &Subclass<Instance>, change: &Change, why: &dyn fmt::Display) {
    dev_info_ratelimited!(dev, "{} refused: {}\n", change, why);
}

/// Locks an instance for a change. Refused while it is bound, because the driver relies on the
/// layout.
fn lock_unbound<'a>(dev: &'a Subclass<Instance>, change: &Change) -> Result<DeviceGuard<'a>> {
    let guard = dev.lock();

    if guard.is_bound() {
        refuse(dev, change, &"bound to a driver; unbind it first");
        return Err(EBUSY);
    }
    Ok(guard)
}

/// Locks an instance that may grow. Refused if it is bound to a driver that does not support that.
fn lock_to_grow<'a>(dev: &'a Subclass<Instance>, change: &Change) -> Result<DeviceGuard<'a>> {
    let guard = dev.lock();

    match Driver::of(&guard) {
        Some(driver) if !driver.can_grow() => {
            refuse(
                dev,
                change,
                &fmt!(
                    "bound to {}, which takes no more memory; unbind it first",
                    driver.name()
                ),
            );
            Err(EBUSY)
        }
        _ => Ok(guard),
    }
}

/// Gives the memory that an instance was given to its driver, if one is bound.
fn give(guard: &DeviceGuard<'_>, dev: &Subclass<Instance>, change: &Change) -> Result {
    let Some(driver) = Driver::of(guard) else {
        return Ok(());
    };
    let layout = dev.region().layout(dev.key())?;

    ffi::instance::grow(guard, dev, layout.ranges).inspect_err(|why| {
        refuse(
            dev,
            change,
            &fmt!(
                "{} did not take the memory, error {}; see above",
                driver.name(),
                why.to_errno()
            ),
        )
    })
}

impl Region {
    /// Gives an instance a new size, in bytes.
    pub(crate) fn resize(self: &Arc<Self>, dev: &Subclass<Instance>, size: u64) -> Result {
        let change = Change::Size(size);
        let guard = lock_to_grow(dev, &change)?;
        let mut state = self.state.lock();
        let (space, instance) = state.memory(dev.key())?;
        let unit = unit(instance.align)?;
        let before = instance.size();

        if guard.is_bound() && size <= before {
            if size == before {
                return Ok(());
            }
            refuse(
                dev,
                &change,
                &"bound to a driver, so it can only grow; unbind it first",
            );
            return Err(EBUSY);
        }
        if let Err(why) = instance.ranges.check_size(space, size, unit) {
            refuse(dev, &change, &why);
            return Err(why.into());
        }
        self.take_back(dev.id(), &mut instance.ranges, space, size);
        let grown = loop {
            match instance.ranges.grow(space, size, unit) {
                Ok(Some(range)) => self.gave(dev.id(), range),
                Ok(None) => break Ok(()),
                Err(why) => break Err(why.into()),
            }
        };
        let next = grown.and_then(|()| instance.next_mapping());
        drop(state);

        self.trim_mappings(dev.key());
        next.and_then(|next| self.add_mappings_from(next, dev))
            .and_then(|()| give(&guard, dev, &change))
            .inspect_err(|_| self.undo(dev.key(), before))
    }

    /// Adds one range to an instance.
    pub(crate) fn add_range(self: &Arc<Self>, dev: &Subclass<Instance>, range: Range) -> Result {
        let change = Change::Mapping(range);
        let guard = lock_to_grow(dev, &change)?;
        let mut state = self.state.lock();
        let (space, instance) = state.memory(dev.key())?;
        let before = instance.size();

        if let Err(why) = instance.ranges.add(space, range, unit(instance.align)?) {
            refuse(dev, &change, &why);
            return Err(why.into());
        }
        self.gave(dev.id(), range);
        let next = instance.next_mapping();
        drop(state);

        next.and_then(|next| self.add_mappings_from(next, dev))
            .and_then(|()| give(&guard, dev, &change))
            .inspect_err(|_| self.undo(dev.key(), before))
    }

    /// Takes memory back that an instance was just given. `before` is its earlier size.
    fn undo(&self, key: Key, before: u64) {
        let mut state = self.state.lock();
        // An instance that is gone has given back all of its memory.
        let Ok((space, instance)) = state.memory(key) else {
            return;
        };

        self.take_back(key.id(), &mut instance.ranges, space, before);
        drop(state);

        self.trim_mappings(key);
    }

    /// Takes the memory beyond `size` bytes from an instance.
    pub(super) fn take_back(
        &self,
        id: u32,
        ranges: &mut InstanceRanges,
        space: &mut Space,
        size: u64,
    ) {
        while let Some(range) = ranges.shrink(space, size) {
            self.took(id, range);
        }
    }

    /// Decides whether an instance gets struct pages when it is bound.
    pub(crate) fn set_memmap(&self, dev: &Subclass<Instance>, on: bool) -> Result {
        let _guard = lock_unbound(dev, &Change::Memmap(on))?;

        self.with_instance(dev.key(), |instance| instance.bare = !on)
    }

    /// Changes the size of the entries that map an instance, in bytes.
    pub(crate) fn set_align(&self, dev: &Subclass<Instance>, bytes: u64) -> Result {
        let align = Align::new(bytes)
            .filter(|_| limits::align_valid(bytes))
            .ok_or(EINVAL)
            .inspect_err(|_| {
                dev_info_ratelimited!(
                    dev,
                    "align {} refused: it must be the size of a {}\n",
                    bytes,
                    Entries
                );
            })?;
        let change = Change::Align(bytes);
        let _guard = lock_unbound(dev, &change)?;
        let unit = unit(align)?;
        let mut state = self.state.lock();
        let instance = state.instance(dev.key())?;

        if let Err(why) = ranges::check_align(&instance.ranges, unit) {
            refuse(dev, &change, &why);
            return Err(why.into());
        }
        instance.align = align;
        Ok(())
    }
}
