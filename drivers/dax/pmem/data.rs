// SPDX-License-Identifier: GPL-2.0

//! The data area that an info block describes, and the faults that an info block can have.
//!
//! This file only has arithmetic and the text of messages. `mod.rs` calls libnvdimm and the core.

use kernel::{
    dax::memory::{
        align_is_valid,
        Aligns, //
    },
    fmt::{
        self,
        Write as _, //
    },
    mm::memremap::pages::Misfit,
    nvdimm::{
        InfoBlock,
        MemmapLocation,
        INFO_BLOCK_RESERVE,
        PAGE_STRUCT_SIZE, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

use core::{
    fmt::{
        Display,
        LowerHex, //
    },
    ops::Range, //
};

/// Whether `value` is a multiple of `align`, a power of two.
pub(super) fn is_aligned(value: u64, align: u64) -> bool {
    value & align.wrapping_sub(1) == 0
}

/// The part of a namespace that becomes the region.
pub(super) struct Data {
    /// Physical addresses.
    pub(super) range: Range<u64>,
    /// Size of the page-table entries that map it, in bytes.
    pub(super) align: u32,
    /// Size of the metadata before it, in bytes.
    pub(super) offset: u64,
}

impl Data {
    /// Works out where in `namespace` the data is. Accepts an info block only if it describes the
    /// whole namespace and nothing else.
    pub(super) fn new(block: &InfoBlock, namespace: &Range<u64>) -> Result<Self, Refusal> {
        // `EOPNOTSUPP` is libnvdimm's error for a valid info block that does not fit the namespace.
        let refuse = |fault, numbers| Err(Refusal::with(EOPNOTSUPP, fault, numbers));

        if !block.is_intact {
            return Err(Refusal::new(EBADMSG, &Fault::CHECKSUM));
        }

        let (major, minor) = block.version;
        if major != 1 {
            return refuse(&Fault::VERSION, [major.into(), minor.into(), 0]);
        }

        let Some(map) = block.map() else {
            return refuse(&Fault::MODE, [block.mode.into(), 0, 0]);
        };

        let Some(align) = u32::try_from(block.align)
            .ok()
            .filter(|align| align_is_valid(*align as usize))
        else {
            return refuse(&Fault::ALIGN, [block.align, 0, 0]);
        };

        if block.data_offset < INFO_BLOCK_RESERVE {
            return refuse(&Fault::OFFSET, [block.data_offset, INFO_BLOCK_RESERVE, 0]);
        }

        let before = block.data_offset.saturating_add(block.start_pad.into());
        let after = block.end_trunc.into();
        let start = namespace.start.saturating_add(before);
        let end = namespace.end.saturating_sub(after);
        let size = block.npfns.saturating_mul(PAGE_SIZE as u64);

        if size == 0 || end.checked_sub(start) != Some(size) {
            let described = before.saturating_add(size).saturating_add(after);
            let found = namespace.end.saturating_sub(namespace.start);

            return refuse(&Fault::SIZE, [described, found, 0]);
        }

        if !is_aligned(start, align.into()) || !is_aligned(end, align.into()) {
            return refuse(&Fault::MISALIGNED, [start, end, align.into()]);
        }

        // The memmap also describes its own pages.
        let room = block.data_offset - INFO_BLOCK_RESERVE;
        let needed = room.saturating_add(size) / PAGE_SIZE as u64 * PAGE_STRUCT_SIZE;

        if map == MemmapLocation::Namespace && room < needed {
            return refuse(&Fault::MEMMAP, [room, needed, 0]);
        }

        Ok(Self {
            range: start..end,
            align,
            offset: block.data_offset,
        })
    }
}

/// Why a probe fails.
pub(super) struct Refusal {
    pub(super) errno: Error,
    pub(super) fault: &'static Fault,
    /// The numbers for each `#` and `%` in [`Fault::what`].
    numbers: [u64; 3],
}

impl Refusal {
    pub(super) fn new(errno: Error, fault: &'static Fault) -> Self {
        Self::with(errno, fault, [0; 3])
    }

    /// For compound pages that do not match the page-table entries of the data.
    pub(super) fn misfit(misfit: &Misfit) -> Self {
        let pages = match misfit {
            Misfit::Unit { range, .. } => range,
            Misfit::Altmap { range, .. } => range,
            Misfit::Compound { pages, .. } | Misfit::Data { pages, .. } => pages,
        };

        Self::with(EOPNOTSUPP, &Fault::MISFIT, [pages.start, pages.end, 0])
    }

    /// For a namespace that does not begin at a multiple of `boundary`.
    pub(super) fn start(errno: Error, start: u64, boundary: u64) -> Self {
        Self::with(errno, &Fault::START, [start, boundary, 0])
    }

    fn with(errno: Error, fault: &'static Fault, numbers: [u64; 3]) -> Self {
        Self {
            errno,
            fault,
            numbers,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.numbers.iter();

        for byte in self.fault.what.bytes() {
            match byte {
                b'#' => {
                    f.write_str("0x")?;
                    LowerHex::fmt(numbers.next().unwrap_or(&0), f)?;
                }
                b'%' => Display::fmt(numbers.next().unwrap_or(&0), f)?,
                b'@' => Aligns.fmt(f)?,
                byte => f.write_char(byte.into())?,
            }
        }
        Ok(())
    }
}

/// A fault of a namespace.
///
/// The messages are data because a format string for each of them would compile to more code than
/// the rest of the module.
pub(super) struct Fault {
    /// The message. `#` stands for a hexadecimal number, `%` for a decimal one, `@` for the aligns
    /// that there are. Sizes and addresses are in bytes.
    what: &'static str,
    /// The advice. The name of the namespace is appended to it.
    pub(super) remedy: &'static str,
}

const RETRY: &str = "once that is settled: ndctl enable-namespace";
const START_OVER: &str = "to start over: ndctl create-namespace -f -m devdax -e";

impl Fault {
    pub(super) const ACTIVE: Self = Self {
        what: "it is in use in another mode",
        remedy: "to stop that: ndctl disable-namespace",
    };
    pub(super) const LOCKED: Self = Self {
        what: "a DIMM below it is locked",
        remedy: "unlock it, then: ndctl enable-namespace",
    };
    pub(super) const NOT_CONFIGURED: Self = Self {
        what: "its UUID, map (mem or dev) or capacity is not set",
        remedy: START_OVER,
    };
    pub(super) const BUSY: Self = Self {
        what: "its metadata's addresses are taken, see /proc/iomem",
        remedy: RETRY,
    };
    pub(super) const NOT_MAPPED: Self = Self {
        what: "the kernel cannot map its info block",
        remedy: RETRY,
    };
    pub(super) const NAME: Self = Self {
        what: "its name has no numbers for those of a device",
        remedy: RETRY,
    };
    pub(super) const UNREADABLE: Self = Self {
        what: "media error at its info block, at offset 0x1000",
        remedy: START_OVER,
    };
    pub(super) const NOT_WRITTEN: Self = Self {
        what: "it has no info block, and libnvdimm cannot write one",
        remedy: START_OVER,
    };
    const CHECKSUM: Self = Self {
        what: "its info block is damaged: the checksum is wrong",
        remedy: START_OVER,
    };
    const VERSION: Self = Self {
        what: "its info block has version %.%, not 1.x",
        remedy: "use its own kernel, or start over: ndctl create-namespace -f -m devdax -e",
    };
    const MODE: Self = Self {
        what: "its info block has mode %, not 1 (map=mem) or 2 (map=dev)",
        remedy: START_OVER,
    };
    const ALIGN: Self = Self {
        what: "its info block has align #, not @",
        remedy: START_OVER,
    };
    const OFFSET: Self = Self {
        what: "its info block has data offset #, not # or more",
        remedy: START_OVER,
    };
    const SIZE: Self = Self {
        what: "its info block is for a size of #, but it has #",
        remedy: "restore the size, or start over: ndctl create-namespace -f -m devdax -e",
    };
    const START: Self = Self {
        what: "it begins at #, not at a multiple of #",
        remedy: "move it, or give it up: ndctl destroy-namespace -f",
    };
    const MISALIGNED: Self = Self {
        what: "its info block puts data at #-#, not multiples of #",
        remedy: START_OVER,
    };
    const MISFIT: Self = Self {
        what: "struct pages for #-# cannot be those of its data",
        remedy: "for a smaller align: ndctl create-namespace -f -m devdax -a 2M -e",
    };
    const MEMMAP: Self = Self {
        what: "its info block leaves # bytes for the memmap, which needs #",
        remedy: START_OVER,
    };
    pub(super) const SETTINGS: Self = Self {
        what: "align or mode, as set, are not those of its info block",
        remedy: "to go by the info block: ndctl enable-namespace",
    };
    pub(super) const NO_MEMORY: Self = Self {
        what: "there is not enough free memory to set it up",
        remedy: RETRY,
    };
    pub(super) const OTHER: Self = Self {
        what: "libnvdimm refuses its info block, see the message above",
        remedy: RETRY,
    };
    pub(super) const CORE: Self = Self {
        what: "the dax core refuses it, see the message above",
        remedy: RETRY,
    };
}
