// SPDX-License-Identifier: GPL-2.0

//! The memory of an instance changes: its size, its ranges, its align.
//!
//! Each change is planned first, then booked under the region's lock, and then shown as mapping
//! devices. It is refused while a driver is bound, and undone if a step fails.

use super::{
    unit,
    Region,
    Slot,
    State, //
};
use crate::{
    instance::Instance,
    ranges::{
        self,
        plan_resize,
        Align,
        Growth,
        Range,
        Resize, //
    }, //
};
use kernel::{
    alloc::append::Append,
    bindings,
    dax::layout,
    dev_info_ratelimited,
    device::subclass::Subclass,
    fmt,
    prelude::*,
    sync::Arc, //
};

/// Says in the log why a change of an instance is refused.
fn refuse(dev: &Subclass<Instance>, what: fmt::Arguments<'_>, why: ranges::Error) -> Error {
    dev_info_ratelimited!(dev, "{} refused: {}\n", what, why);
    why.into()
}

impl Region {
    /// Runs a change of what a driver relies on. Refused while there is a driver.
    fn while_unbound<R>(
        &self,
        dev: &Subclass<Instance>,
        what: fmt::Arguments<'_>,
        change: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let guard = dev.lock();

        if guard.is_bound() {
            dev_info_ratelimited!(
                dev,
                "{} refused: bound to a driver; unbind it first\n",
                what
            );
            return Err(EBUSY);
        }
        change()
    }

    /// Gives an instance a new size, in bytes.
    pub(crate) fn resize(self: &Arc<Self>, dev: &Subclass<Instance>, size: u64) -> Result {
        self.while_unbound(dev, fmt!("size {size:#x}"), || {
            let mut state = self.state.lock();
            let State { space, slots, .. } = &mut *state;
            let slot = slots.get_mut(&dev.id()).ok_or(ENXIO)?;

            let plan = plan_resize(space, &slot.extents, size, unit(slot.align)?)
                .map_err(|why| refuse(dev, fmt!("size {size:#x}"), why))?;
            match plan {
                Resize::Keep => Ok(()),
                Resize::Shrink(plan) => {
                    while slot.extents.len() > plan.keep {
                        let Some(extent) = slot.extents.pop() else {
                            break;
                        };
                        space.release(extent.range)?;
                        self.took(dev.id(), extent.range);
                    }
                    if let (Some((range, by)), Some(last)) = (plan.trim, slot.extents.last_mut()) {
                        space.trim(range, by)?;
                        last.range = range.trimmed(by).ok_or(EINVAL)?;
                        self.took(dev.id(), range.tail(by).ok_or(EINVAL)?);
                    }
                    drop(state);

                    self.trim_mappings(dev.id());
                    Ok(())
                }
                Resize::Grow(plan) => {
                    slot.extents.make_room(plan.added().len(), GFP_KERNEL)?;
                    space.commit(&plan)?;
                    slot.grow(&plan)?;
                    plan.pieces().for_each(|range| self.gave(dev.id(), range));
                    drop(state);

                    self.add_mappings(dev)
                        .inspect_err(|_| self.undo(dev.id(), &plan))
                }
            }
        })
    }

    /// Adds one range to an instance.
    pub(crate) fn add_range(self: &Arc<Self>, dev: &Subclass<Instance>, range: Range) -> Result {
        self.while_unbound(dev, fmt!("mapping {range}"), || {
            let mut state = self.state.lock();
            let State { space, slots, .. } = &mut *state;
            let slot = slots.get_mut(&dev.id()).ok_or(ENXIO)?;

            let plan = Growth::exactly(range, unit(slot.align)?)
                .and_then(|plan| space.commit(&plan).map(|()| plan))
                .map_err(|why| refuse(dev, fmt!("mapping {range}"), why))?;
            slot.grow(&plan).inspect_err(|_| space.revert(&plan))?;
            self.gave(dev.id(), range);
            drop(state);

            self.add_mappings(dev)
                .inspect_err(|_| self.undo(dev.id(), &plan))
        })
    }

    /// Takes back what an instance was just given.
    fn undo(&self, id: u32, plan: &Growth) {
        let mut state = self.state.lock();
        let State { space, slots, .. } = &mut *state;
        // A slot that is gone has given everything back.
        let Some(slot) = slots.get_mut(&id) else {
            return;
        };

        let keep = slot.extents.len().saturating_sub(plan.added().len());
        slot.extents.truncate(keep);
        if let (Some((range, _)), Some(last)) = (plan.extension(), slot.extents.last_mut()) {
            last.range = range;
        }
        space.revert(plan);
        plan.pieces().for_each(|range| self.took(id, range));
        drop(state);

        self.trim_mappings(id);
    }

    /// Changes the size of the entries that map an instance, in bytes.
    pub(crate) fn set_align(&self, dev: &Subclass<Instance>, bytes: u64) -> Result {
        let align = Align::new(bytes)
            .filter(|_| layout::align_valid(bytes))
            .ok_or(EINVAL)
            .inspect_err(|_| {
                dev_info_ratelimited!(
                    dev,
                    "align {} refused: it must be the size of a pte, pmd or pud ({}, {} or {})\n",
                    bytes,
                    bindings::PAGE_SIZE,
                    layout::PMD_SIZE,
                    layout::PUD_SIZE
                );
            })?;

        self.while_unbound(dev, fmt!("align {bytes}"), || {
            let unit = unit(align)?;

            self.with_slot(dev.id(), |slot| {
                ranges::check_align(&slot.extents, unit)
                    .map_err(|why| refuse(dev, fmt!("align {bytes}"), why))?;
                slot.align = align;
                Ok(())
            })?
        })
    }
}

impl Slot {
    /// Gives the instance what `plan` says. Changes nothing if there is no memory for it.
    fn grow(&mut self, plan: &Growth) -> Result {
        self.extents.make_room(plan.added().len(), GFP_KERNEL)?;
        if let (Some((range, by)), Some(last)) = (plan.extension(), self.extents.last_mut()) {
            last.range = range.extended(by).ok_or(EINVAL)?;
        }
        for range in plan.added() {
            self.push(*range)?;
        }
        Ok(())
    }
}
