// SPDX-License-Identifier: GPL-2.0

//! What the messages of `kmem` name: ranges, sizes and memory blocks.

use kernel::{
    fmt,
    mm::memory_hotplug::Blocks,
    sizes::SizeConstants, //
};

/// Memory blocks of an instance in messages: `0: 0x180000000-0x27fffffff`. The format string puts
/// "mapping" before it.
pub(crate) struct MappingRange {
    /// The N of `daxX.Y/mappingN`.
    pub(crate) index: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl MappingRange {
    pub(crate) fn of(index: usize, blocks: &Blocks) -> Self {
        Self {
            index,
            start: blocks.start(),
            end: blocks.end(),
        }
    }
}

impl fmt::Display for MappingRange {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: 0x{:x}-0x{:x}", self.index, self.start, self.end)
    }
}

/// A number of bytes in messages, in MiB or KiB.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = if self.0 & (u64::SZ_1M - 1) == 0 {
            (self.0 / u64::SZ_1M, " MiB")
        } else {
            (self.0 / u64::SZ_1K, " KiB")
        };

        fmt::Display::fmt(&number, f)?;
        f.write_str(unit)
    }
}

/// The online blocks in messages: `memory48-memory51, memory53`.
pub(crate) struct OnlineBlocks<'a>(pub(crate) &'a Blocks);

impl fmt::Display for OnlineBlocks<'_> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let online = self.0.iter().filter(|block| block.is_online());
        let mut ids = online.map(|block| block.id()).peekable();
        // Keep the line short.
        let mut room = 16;

        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if(|id| *id == last.wrapping_add(1)) {
                last = next;
            }
            if first == last {
                write!(f, "memory{first}")?;
            } else {
                write!(f, "memory{first}-memory{last}")?;
            }
            if ids.peek().is_some() {
                write!(f, ", ")?;
            }
            room -= 1;
            if room == 0 {
                return write!(f, "...");
            }
        }
        Ok(())
    }
}
