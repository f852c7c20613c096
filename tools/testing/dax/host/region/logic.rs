// SPDX-License-Identifier: GPL-2.0

//! The memory of a region by the kernel's own logic: what drivers/dax/core does, but for devices,
//! locks and files.

use super::{model::Oracle, op::Text, *};
use crate::{
    piece::Piece,
    ranges::{
        check_align, lookup, parse, plan_resize, size_of_device, Align, Error, Growth, Range,
        Resize, Space,
    },
};

/// A region as the kernel has it.
pub struct Logic {
    space: Space,
    devices: BTreeMap<u32, Vec<Piece>>,
}

/// What user space is told.
fn errno(error: Error) -> Errno {
    match error {
        Error::NoMemory => ENOMEM,
        Error::TooLarge => ERANGE,
        Error::InUse { .. } => EBUSY,
        Error::NotAllocated { .. } => ENXIO,
        Error::NoSpace { .. } | Error::NoAlignedSpace { .. } => ENOSPC,
        _ => EINVAL,
    }
}

/// In which memory is given to a device.
fn unit(align: u64) -> Align {
    Align::new(align.max(UNIT)).expect("only aligns that there are get here")
}

fn grow(pieces: &mut Vec<Piece>, growth: &Growth) {
    if let (Some((last, by)), Some(mine)) = (growth.extension(), pieces.last_mut()) {
        *mine = Piece::new(mine.pgoff, last.extended(by).expect("it is in the region"));
    }
    for range in growth.added() {
        pieces.push(Piece::new(size_of_device(pieces) / 4096, *range));
    }
}

/// Does what the bus does for a write to `size`.
pub(crate) fn resize(
    space: &mut Space,
    pieces: &mut Vec<Piece>,
    size: u64,
    align: Align,
) -> Result<(), Error> {
    match plan_resize(space, pieces, size, align)? {
        Resize::Keep => (),
        Resize::Grow(growth) => {
            space.commit(&growth)?;
            grow(pieces, &growth);
        }
        Resize::Shrink(plan) => {
            while pieces.len() > plan.keep {
                space.release(pieces.pop().expect("it has more than it keeps").range())?;
            }
            if let (Some((last, by)), Some(mine)) = (plan.trim, pieces.last_mut()) {
                assert_eq!(mine.range(), last);
                space.trim(last, by)?;
                *mine = Piece::new(mine.pgoff, last.trimmed(by).expect("some of it stays"));
            }
        }
    }
    Ok(())
}

impl Oracle for Logic {
    fn new(start: u64, len: u64) -> Self {
        let region = Range::from_len(start, len).expect("a region");
        let space = Space::new(region, ALIGNS.map(unit)).expect("memory");
        Self {
            space,
            devices: BTreeMap::new(),
        }
    }

    fn number(text: &Text) -> Result<u64, Errno> {
        parse::size(&text.bytes).map_err(errno)
    }

    fn count(text: &Text) -> Result<(), Errno> {
        parse::create(&text.bytes).map_err(errno)
    }

    fn name(text: &Text) -> Result<(u32, u32), Errno> {
        let name = parse::name(&text.bytes).map_err(errno)?;
        Ok((name.region, name.instance))
    }

    fn range(text: &Text) -> Result<Span, Errno> {
        let range = parse::range(&text.bytes).map_err(errno)?;
        Ok((range.start(), range.end()))
    }

    fn available(&self) -> u64 {
        self.space.available()
    }

    fn resize(&mut self, device: u32, size: u64, align: u64) -> Result<(), Errno> {
        let pieces = self.devices.entry(device).or_default();
        resize(&mut self.space, pieces, size, unit(align)).map_err(errno)
    }

    fn add(&mut self, device: u32, (start, end): Span, align: u64) -> Result<(), Errno> {
        let range = Range::new(start, end).ok_or(EINVAL)?;
        let growth = Growth::exactly(range, unit(align)).map_err(errno)?;
        self.space.commit(&growth).map_err(errno)?;
        grow(self.devices.entry(device).or_default(), &growth);
        Ok(())
    }

    fn fits(&self, device: u32, align: u64) -> bool {
        let pieces = self.devices.get(&device).map_or(&[][..], Vec::as_slice);
        check_align(pieces, unit(align)).is_ok()
    }

    fn ranges(&self, device: u32) -> Vec<(Span, u64)> {
        self.devices
            .get(&device)
            .into_iter()
            .flatten()
            .map(|piece| ((piece.range().start(), piece.range().end()), piece.pgoff))
            .collect()
    }

    fn address(&self, device: u32, offset: u64, align: u64) -> Option<u64> {
        lookup(self.devices.get(&device)?, offset / 4096, align)
    }
}
