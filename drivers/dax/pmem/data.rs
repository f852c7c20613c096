// SPDX-License-Identifier: GPL-2.0

//! What an info block says about a namespace, and what can be wrong with it.
//!
//! All of it is arithmetic and sentences; `mod.rs` has what is done.

use kernel::{
    fmt,
    nvdimm::{
        InfoBlock,
        PageMapLocation,
        INFO_BLOCK_RESERVE,
        PAGE_STRUCT_SIZE, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sizes::SizeConstants, //
};

use core::ops::Range;

pub(super) fn is_aligned(value: u64, align: u64) -> bool {
    value.checked_rem(align) == Some(0)
}

/// The part of a namespace that becomes the region.
pub(super) struct Data {
    /// Physical addresses.
    pub(super) range: Range<u64>,
    /// Size of the page-table entries that map it, in bytes.
    pub(super) align: u32,
}

impl Data {
    /// Works out where in `namespace` the data is. Of all that an info block can say, this accepts
    /// what describes the namespace as it is: the whole of it, nothing beyond.
    pub(super) fn new(block: &InfoBlock, namespace: &Range<u64>) -> Result<Self, Refusal> {
        // What libnvdimm returns for a valid info block that does not fit the namespace.
        let refuse = |fault| Err(Refusal(EOPNOTSUPP, fault));

        if !block.is_intact {
            return Err(Refusal(EBADMSG, Fault::Checksum));
        }

        if block.version.0 != 1 {
            return refuse(Fault::Version(block.version));
        }

        let Some(map) = block.map() else {
            return refuse(Fault::Mode(block.mode));
        };

        let align = match block.align {
            u64::SZ_4K => u32::SZ_4K,
            u64::SZ_2M => u32::SZ_2M,
            u64::SZ_1G => u32::SZ_1G,
            align => return refuse(Fault::Align(align)),
        };

        if block.data_offset < INFO_BLOCK_RESERVE {
            return refuse(Fault::Offset(block.data_offset));
        }

        let before = block.data_offset.saturating_add(block.start_pad.into());
        let after = block.end_trunc.into();
        let start = namespace.start.saturating_add(before);
        let end = namespace.end.saturating_sub(after);
        let size = block.npfns.saturating_mul(PAGE_SIZE as u64);

        if size == 0 || end.checked_sub(start) != Some(size) {
            return refuse(Fault::Size {
                block: before.saturating_add(size).saturating_add(after),
                namespace: namespace.end.saturating_sub(namespace.start),
            });
        }

        if !is_aligned(start, align.into()) || !is_aligned(end, align.into()) {
            return refuse(Fault::Misaligned { start, end, align });
        }

        // The page map covers itself, too.
        let room = block.data_offset - INFO_BLOCK_RESERVE;
        let needed = room.saturating_add(size) / PAGE_SIZE as u64 * PAGE_STRUCT_SIZE;

        if map == PageMapLocation::Namespace && room < needed {
            return refuse(Fault::PageMap { room, needed });
        }

        Ok(Self {
            range: start..end,
            align,
        })
    }
}

/// Why a probe fails: with which error, and because of what.
pub(super) struct Refusal(pub(super) Error, pub(super) Fault);

/// What can be wrong with a namespace. Sizes and addresses are in bytes.
pub(super) enum Fault {
    Active,
    Locked,
    NotConfigured,
    Busy,
    Unreadable,
    NotWritten,
    Checksum,
    Version((u16, u16)),
    Mode(u32),
    Align(u64),
    Offset(u64),
    Size { block: u64, namespace: u64 },
    Start { start: u64, boundary: u64 },
    Misaligned { start: u64, end: u64, align: u32 },
    PageMap { room: u64, needed: u64 },
    Settings,
    NoMemory,
    Other,
    Core,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => write!(f, "it is in use in another mode"),
            Self::Locked => write!(f, "a DIMM below it is locked"),
            Self::NotConfigured => write!(f, "its UUID, map (mem or dev) or capacity is not set"),
            Self::Busy => write!(f, "its metadata's addresses are taken, see /proc/iomem"),
            Self::Unreadable => write!(f, "media error at its info block, at offset 0x1000"),
            Self::NotWritten => write!(f, "it has no info block, and libnvdimm cannot write one"),
            Self::Checksum => write!(f, "its info block is damaged: the checksum is wrong"),
            Self::Version((major, minor)) => {
                write!(f, "its info block has version {major}.{minor}, not 1.x")
            }
            Self::Mode(mode) => {
                write!(
                    f,
                    "its info block has mode {mode}, not 1 (map=mem) or 2 (map=dev)"
                )
            }
            Self::Align(align) => write!(
                f,
                "its info block has align 0x{align:x}, not 0x1000, 0x200000 or 0x40000000"
            ),
            Self::Offset(offset) => write!(
                f,
                "its info block has data offset 0x{offset:x}, not 0x{INFO_BLOCK_RESERVE:x} or more"
            ),
            Self::Size { block, namespace } => write!(
                f,
                "its info block is for a size of 0x{block:x}, but it has 0x{namespace:x}"
            ),
            Self::Start { start, boundary } => {
                write!(
                    f,
                    "it begins at 0x{start:x}, not at a multiple of 0x{boundary:x}"
                )
            }
            Self::Misaligned { start, end, align } => write!(
                f,
                "its info block puts data at 0x{start:x}-0x{end:x}, not multiples of 0x{align:x}"
            ),
            Self::PageMap { room, needed } => write!(
                f,
                "its info block leaves 0x{room:x} bytes for the page map, which needs 0x{needed:x}"
            ),
            Self::Settings => write!(f, "align or mode, as set, are not those of its info block"),
            Self::NoMemory => write!(f, "there is not enough free memory for what describes it"),
            Self::Other => write!(f, "libnvdimm refuses its info block, see the message above"),
            Self::Core => write!(f, "the dax core refuses it, see the message above"),
        }
    }
}

impl Fault {
    /// What to do about it; the name of the namespace follows.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Active => "to stop that: ndctl disable-namespace",
            Self::Locked => "unlock it, then: ndctl enable-namespace",
            Self::Busy | Self::NoMemory | Self::Other | Self::Core => {
                "once that is settled: ndctl enable-namespace"
            }
            Self::Settings => "to go by the info block: ndctl enable-namespace",
            Self::Start { .. } => "move it, or give it up: ndctl destroy-namespace -f",
            Self::Version(_) => {
                "use its own kernel, or start over: ndctl create-namespace -f -m devdax -e"
            }
            Self::Size { .. } => {
                "restore the size, or start over: ndctl create-namespace -f -m devdax -e"
            }
            _ => "to start over: ndctl create-namespace -f -m devdax -e",
        }
    }
}
