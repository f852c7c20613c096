// SPDX-License-Identifier: GPL-2.0

//! The memory of a region, managed by the kernel's own logic: the code of drivers/dax/core without
//! devices, locks and files.

use super::{model::Oracle, op::Text, *};
use crate::ranges::{check_align, lookup, parse, Align, Error, InstanceRanges, Range, Space};

/// A region, managed by the kernel's logic.
pub struct Logic {
    space: Space,
    devices: BTreeMap<u32, InstanceRanges>,
}

/// The error number that user space gets.
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

/// The unit of allocations for a device with this align.
fn unit(align: u64) -> Align {
    Align::new(align.max(UNIT)).expect("a valid align")
}

/// Resizes a device as the bus does for a write to `size`.
pub(crate) fn resize(
    space: &mut Space,
    parts: &mut InstanceRanges,
    size: u64,
    align: Align,
) -> Result<(), Error> {
    let before = parts.size();
    parts.check_size(space, size, align)?;

    let cut = |parts: &mut InstanceRanges, space: &mut Space, size| {
        while parts.shrink(space, size).is_some() {}
    };
    cut(parts, space, size);
    loop {
        match parts.grow(space, size, align) {
            Ok(Some(_)) => (),
            Ok(None) => break Ok(()),
            Err(error) => {
                cut(parts, space, before);
                break Err(error);
            }
        }
    }
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
        let parts = self
            .devices
            .entry(device)
            .or_insert_with(InstanceRanges::new);
        resize(&mut self.space, parts, size, unit(align)).map_err(errno)
    }

    fn add(&mut self, device: u32, (start, end): Span, align: u64) -> Result<(), Errno> {
        let range = Range::new(start, end).ok_or(EINVAL)?;
        let parts = self
            .devices
            .entry(device)
            .or_insert_with(InstanceRanges::new);
        parts
            .add(&mut self.space, range, unit(align))
            .map_err(errno)
    }

    fn fits(&self, device: u32, align: u64) -> bool {
        let parts = self.devices.get(&device).map_or(&[][..], |parts| parts);
        check_align(parts, unit(align)).is_ok()
    }

    fn ranges(&self, device: u32) -> Vec<(Span, u64)> {
        self.devices
            .get(&device)
            .into_iter()
            .flat_map(|parts| parts.iter())
            .map(|part| ((part.range.start(), part.range.end()), part.pgoff))
            .collect()
    }

    fn address(&self, device: u32, offset: u64, align: u64) -> Option<u64> {
        lookup(self.devices.get(&device)?, offset / 4096, align)
    }
}
