// SPDX-License-Identifier: GPL-2.0

//! A seal of a file.

use crate::daxfile::{
    extents::Extents,
    ffi::{
        blocks::{
            Blocks,
            Refusal,
            Run, //
        },
        frames::{
            Frames,
            Memory, //
        },
    },
};
use kernel::{
    alloc::AllocError,
    dax::{
        mapping::Requester,
        memory::align_is_valid, //
    },
    fmt,
    fs::LocalFile,
    mm::fault::{
        PMD_ORDER,
        PTE_ORDER,
        PUD_ORDER, //
    },
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::CString,
    sync::Arc, //
};

/// The sizes of the page table entries of this machine, in orders of pages, the largest first.
fn orders() -> impl Iterator<Item = u32> {
    [PUD_ORDER, PMD_ORDER, PTE_ORDER]
        .into_iter()
        .filter(|order| align_is_valid(size_of_order(*order)))
}

/// The aligns that a seal can have, for messages.
pub(crate) struct Aligns;

impl fmt::Display for Aligns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for order in orders() {
            write!(f, "{}0x{:x}", between, size_of_order(order))?;
            between = ", ";
        }
        Ok(())
    }
}

const NO_MEMORY: &str = "there is not enough memory";

/// The order of entries of `align` bytes.
pub(crate) fn order_of(align: u64) -> Option<u32> {
    orders().find(|order| size_of_order(*order) as u64 == align)
}

fn size_of_order(order: u32) -> usize {
    PAGE_SIZE.wrapping_shl(order)
}

/// A file that is sealed as long as this exists.
#[pin_data]
pub(crate) struct Seal {
    /// Dropped first: then nothing maps the blocks any more.
    #[pin]
    frames: Frames,
    blocks: Blocks,
    /// Who made it: the name and the number of a task.
    sealer: CString,
}

/// Why a file cannot be sealed.
pub(crate) enum Failed {
    /// An error, and a sentence for the log.
    Because(Error, &'static str),
    /// A hole or an unwritten extent begins at this offset in bytes.
    Hole(u64),
    /// The length in bytes is not a multiple of the align.
    Length(u64),
    /// The extents are not aligned. This is the largest align in bytes that would do.
    Align(u64),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Because(refusal.0, refusal.1)
    }
}

impl From<AllocError> for Failed {
    fn from(_: AllocError) -> Self {
        Self::Because(ENOMEM, NO_MEMORY)
    }
}

impl Seal {
    /// Seals a file, to be mapped with entries of `order`.
    pub(crate) fn new(file: &LocalFile, order: u32) -> Result<Arc<Self>, Failed> {
        let blocks = Blocks::hold(file)?;

        let len = blocks.len();
        if len == 0 || len & (size_of_order(order) as u64).wrapping_sub(1) != 0 {
            return Err(Failed::Length(len));
        }
        blocks
            .sync()
            .map_err(|err| Failed::Because(err, "it cannot be written to the memory"))?;

        let hole = blocks
            .first_hole()
            .map_err(|err| Failed::Because(err, "its extents cannot be read"))?;
        if hole < len {
            return Err(Failed::Hole(hole));
        }

        let (extents, memory) = locate(&blocks)?;
        if extents.pages() as u64 != len / PAGE_SIZE as u64 {
            return Err(Failed::Because(EIO, "its extents end before the file"));
        }
        let largest = extents.largest_order();
        if largest < order {
            let best = orders().find(|order| *order <= largest);
            return Err(Failed::Align(
                size_of_order(best.unwrap_or(PTE_ORDER)) as u64
            ));
        }

        let sealer = CString::try_from_fmt(fmt!("{}", Requester))
            .map_err(|err| Failed::Because(err, NO_MEMORY))?;

        Arc::pin_init(
            try_pin_init!(Self {
                frames <- Frames::new(memory, extents, order),
                blocks,
                sealer,
            }),
            GFP_KERNEL_ACCOUNT,
        )
        .map_err(|err| Failed::Because(err, NO_MEMORY))
    }

    /// The size in bytes of the page table entries.
    #[inline]
    pub(crate) fn align(&self) -> usize {
        size_of_order(self.frames.order())
    }

    /// The length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.blocks.len()
    }

    #[inline]
    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Prints what `/proc/PID/fdinfo` shows.
    pub(crate) fn show(&self, m: &SeqFile) {
        seq_print!(m, "daxfile-path:\t");
        self.blocks.print_path(m);
        seq_print!(m, "\ndaxfile-size:\t{}\n", self.len());
        seq_print!(m, "daxfile-align:\t{}\n", self.align());
        seq_print!(m, "daxfile-sealer:\t{}\n", &*self.sealer);
        seq_print!(
            m,
            "daxfile-memory:\t{}\n",
            if self.frames.alive() {
                "present"
            } else {
                "removed"
            }
        );
        seq_print!(m, "daxfile-extents:\t{}\n", self.frames.extents().count());
        for (page, pages) in self.frames.extents().iter() {
            seq_print!(
                m,
                "daxfile-extent:\t{} {}\n",
                page.wrapping_mul(PAGE_SIZE),
                pages.wrapping_mul(PAGE_SIZE)
            );
        }
    }
}

/// Finds the frames of a file.
fn locate(blocks: &Blocks) -> Result<(Extents, Memory), Failed> {
    let mut runs: KVVec<Run> = KVVec::new();
    let disk = blocks
        .runs(|run| Ok(runs.push(run, GFP_KERNEL_ACCOUNT)?))
        .map_err(|err| {
            if err == EINVAL {
                Failed::Because(
                    EMLINK,
                    "it shares blocks with another file; copy it with cp --reflink=never",
                )
            } else {
                Failed::Because(err, "its extents cannot be read")
            }
        })?;

    let mut memory = Memory::of(disk)
        .map_err(|err| Failed::Because(err, "the block device is not persistent memory itself"))?;
    let mut extents = Extents::new();
    for run in &runs {
        if run.page != extents.pages() {
            return Err(Failed::Because(EIO, "its extents do not follow each other"));
        }
        let mut done = 0;
        while done < run.pages {
            let (pfn, pages) = memory
                .frames(run.block.wrapping_add(done), run.pages.wrapping_sub(done))
                .map_err(|err| Failed::Because(err, reason(err)))?;
            extents
                .push(pfn, pages)
                .map_err(|err| Failed::Because(err, NO_MEMORY))?;
            done = done.wrapping_add(pages);
        }
    }
    Ok((extents, memory))
}

fn reason(err: Error) -> &'static str {
    if err == EOPNOTSUPP {
        "its memory belongs to more than one device"
    } else if err == ENXIO {
        "its memory is being removed, or has no struct pages; use a namespace in fsdax mode"
    } else {
        "some of its memory has failed"
    }
}
