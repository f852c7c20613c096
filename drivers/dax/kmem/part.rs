// SPDX-License-Identifier: GPL-2.0

//! The memory blocks of an instance, and their reservation.

use super::message::{
    MappingRange,
    Size, //
};
use kernel::{
    alloc::NumaNode,
    dax::{
        self,
        device::Range,
        grow::Growth, //
    },
    device::{
        Bound,
        Core, //
    },
    fmt,
    mm::memory_hotplug::{
        self,
        Blocks,
        Group,
        OnlineType,
        Span, //
    },
    prelude::*,
    sync::Arc, //
};

/// Reserved memory: the memory blocks of a range, or those that it got when it grew.
pub(crate) struct Part {
    pub(crate) span: Span,
    /// The N of `daxX.Y/mappingN`.
    pub(crate) mapping: usize,
    /// The memory that was added at the same time.
    pub(crate) group: Arc<Group>,
}

/// Takes all of the memory offline and removes it, or does nothing.
pub(crate) fn offline_and_remove(parts: &mut [Part]) -> Result {
    Span::offline_and_remove(parts.iter_mut().map(|part| &mut part.span))
}

/// Fails with `EIO` if a block is offline that should be online.
pub(crate) fn check_online(dev: &dax::Device<Bound>, part: &Part, online: OnlineType) -> Result {
    let blocks = part.span.blocks();
    let (mut all, mut offline) = (0usize, 0usize);
    for block in blocks.iter() {
        all = all.saturating_add(1);
        offline = offline.saturating_add(usize::from(!block.is_online()));
    }

    if online == OnlineType::Offline || offline == 0 {
        return Ok(());
    }
    advise(
        dev,
        fmt!(
            "mapping{}: {} of {} memory blocks are not online; to try again: daxctl online-memory",
            MappingRange::of(part.mapping, blocks),
            offline,
            all
        ),
    );
    Err(EIO)
}

/// Returns the size in bytes of the whole memory blocks in all ranges of the instance. Fails if no
/// range has a whole block.
pub(crate) fn whole_blocks(dev: &dax::Device<Bound>) -> Result<u64> {
    let unit = Size(memory_hotplug::block_size());
    let mut bytes = 0u64;

    let ranges = dev.ranges();
    for (index, range) in (0..ranges.len()).zip(ranges.iter()) {
        let mapping = MappingRange {
            index,
            start: range.start(),
            end: range.end(),
        };
        let Some(blocks) = Blocks::within(range.start(), range.end()) else {
            dev_warn!(
                dev,
                "mapping{}, {}, is left out: there is no whole memory block in it, which is {} at a multiple of {}\n",
                mapping,
                Size(range.len()),
                unit,
                unit
            );
            continue;
        };
        bytes = bytes.saturating_add(blocks.len());
        if blocks.len() != range.len() {
            dev_warn!(
                dev,
                "mapping{}, {}, is trimmed to 0x{:x}-0x{:x}, {}: memory is added in blocks of {}; {} are not used\n",
                mapping,
                Size(range.len()),
                blocks.start(),
                blocks.end(),
                Size(blocks.len()),
                unit,
                Size(range.len().wrapping_sub(blocks.len()))
            );
        }
    }
    if bytes == 0 {
        advise(
            dev,
            fmt!("not System RAM: none of its ranges has a whole memory block; make it {} larger, or use it as it is: daxctl reconfigure-device --mode=devdax", unit),
        );
        return Err(EINVAL);
    }
    Ok(bytes)
}

/// Reserves the ranges that no other user has reserved. Fails if all of them are in use.
pub(crate) fn reserve(dev: &dax::Device<Core<'_>>, group: Arc<Group>) -> Result<KVec<Part>> {
    let ranges = dev.ranges();
    let mut parts = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;

    for (mapping, range) in (0..ranges.len()).zip(ranges.iter()) {
        let Some(blocks) = Blocks::within(range.start(), range.end()) else {
            continue;
        };
        match dev.reserve_blocks(blocks) {
            Ok(span) => {
                let part = Part {
                    span,
                    mapping,
                    group: group.clone(),
                };
                parts.push_within_capacity(part).map_err(|_| ENOMEM)?;
            }
            Err(EBUSY) => in_use(dev, mapping, &blocks),
            Err(why) => return Err(why),
        }
    }
    if parts.is_empty() {
        return Err(EBUSY);
    }
    Ok(parts)
}

/// Reserves the memory blocks that an instance gets when it grows. Fails if one of the ranges is in
/// use, or adds no whole block.
pub(crate) fn reserve_more(
    dev: &dax::Device<Core<'_>>,
    growth: &Growth<'_>,
    node: NumaNode,
) -> Result<KVec<Part>> {
    let mut added = KVec::new();
    let mut bytes = 0u64;
    for (mapping, part) in growth.added() {
        let blocks = blocks_of_growth(growth, mapping, &part)
            .ok_or(EINVAL)
            .inspect_err(|_| no_whole_block(dev, mapping, &part))?;

        bytes = bytes.saturating_add(blocks.len());
        added.push((mapping, blocks), GFP_KERNEL)?;
    }

    // The size of a group is fixed, so this is another one.
    let group = Arc::new(Group::new(node, bytes)?, GFP_KERNEL)?;
    let mut parts = KVec::with_capacity(added.len(), GFP_KERNEL)?;
    for (mapping, blocks) in added {
        let part = Part {
            span: growth
                .reserve_blocks(dev, blocks)
                .inspect_err(|_| in_use(dev, mapping, &blocks))?,
            mapping,
            group: group.clone(),
        };
        parts.push_within_capacity(part).map_err(|_| ENOMEM)?;
    }
    Ok(parts)
}

/// Logs that the memory of a range could not be reserved.
fn in_use(dev: &dax::Device<Bound>, mapping: usize, blocks: &Blocks) {
    dev_warn!(
        dev,
        "mapping{} could not be reserved, somebody else uses a part of it; see /proc/iomem for whom, and unbind or offline that first\n",
        MappingRange::of(mapping, blocks)
    );
}

/// Returns the whole memory blocks that a range gets with `part`, which is the range or the end of
/// it. They begin with the memory before `part` that was not enough for a block.
fn blocks_of_growth(growth: &Growth<'_>, mapping: usize, part: &Range) -> Option<Blocks> {
    let first = growth.ranges().get(mapping)?.start();
    let unused = part
        .start()
        .checked_sub(1)
        .filter(|end| first <= *end)
        .and_then(|end| Blocks::within(first, end))
        .map_or(first, |blocks| blocks.end().saturating_add(1));

    Blocks::within(unused, part.end())
}

/// Logs that an instance cannot grow by a part of a range.
fn no_whole_block(dev: &dax::Device<Bound>, mapping: usize, part: &Range) {
    let unit = Size(memory_hotplug::block_size());

    dev_warn!(
        dev,
        "mapping{} adds no whole memory block, which is {} at a multiple of {}; add more memory at a time\n",
        MappingRange {
            index: mapping,
            start: part.start(),
            end: part.end(),
        },
        unit,
        unit
    );
}

/// Logs a warning that ends with a command. Appends the name of the instance as the command's
/// argument.
#[cold]
#[inline(never)]
pub(crate) fn advise(dev: &dax::Device<Bound>, what: fmt::Arguments<'_>) {
    dev_warn!(dev, "{} {}\n", what, dev.name());
}
