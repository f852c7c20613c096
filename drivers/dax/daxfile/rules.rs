// SPDX-License-Identifier: GPL-2.0

//! The rules of a mapping of a sealed file. They are those of `device_dax`.

use crate::daxfile::seal::Seal;
use kernel::{
    dax::mapping::{
        Placement,
        Requester, //
    },
    mm::vma_desc::VmaDesc,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Logs the reason for which a request is refused. Each use has a rate limit of its own.
macro_rules! refuse {
    ($what:literal, $($why:tt)*) => {
        if $crate::ratelimit_here!() {
            pr_info!("{}: {} refused: {}\n", Requester, $what, fmt!($($why)*))
        }
    };
}
pub(crate) use refuse;

/// Accepts a new mapping, or refuses one that breaks a rule.
pub(crate) fn mmap(seal: &Seal, desc: &mut VmaDesc) -> Result {
    if !desc.is_shared() {
        refuse!(
            "mmap",
            "a private mapping would copy pages on write; use MAP_SHARED"
        );
        return Err(EINVAL);
    }
    if !seal.frames().alive() {
        refuse!("mmap", "the memory of the file was removed");
        return Err(ENXIO);
    }

    let align = seal.align();
    let offset = desc.pgoff().wrapping_shl(PAGE_SHIFT as u32);
    if !aligned(desc.start() | desc.end() | offset, align) {
        refuse!(
            "mmap",
            "address 0x{:x}, length 0x{:x} and offset 0x{:x} must be multiples of the align 0x{:x}",
            desc.start(),
            desc.end().wrapping_sub(desc.start()),
            offset,
            align
        );
        return Err(EINVAL);
    }

    desc.set_pfnmap();
    desc.set_hugepage();
    Ok(())
}

/// Finds an address for a mapping, as in `device_dax`.
pub(crate) fn place(seal: &Seal, request: &Placement<'_>) -> Result<usize> {
    request.place(seal.align(), |why| refuse!("mapping", "{}", why))
}

/// Accepts or refuses that a mapping is split at `addr`.
pub(crate) fn may_split(seal: &Seal, addr: usize) -> Result {
    if aligned(addr, seal.align()) {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// Logs why a fault asks for an entry smaller than the align.
#[cold]
pub(crate) fn refuse_smaller(seal: &Seal, huge_disabled: bool) {
    if huge_disabled {
        refuse!(
            "page fault",
            "the process has huge pages disabled, by prctl(PR_SET_THP_DISABLE) or MADV_NOHUGEPAGE, so that mm does not ask for an entry of the align 0x{:x}; undo that, or use an align of 0x{:x}",
            seal.align(),
            PAGE_SIZE
        );
    } else {
        refuse!(
            "page fault",
            "a guard page has put a table of smaller entries where one of the align 0x{:x} belongs; remove it and map the file anew, or use an align of 0x{:x}",
            seal.align(),
            PAGE_SIZE
        );
    }
}

/// Whether a number is a multiple of the align, a power of two.
fn aligned(number: usize, align: usize) -> bool {
    number & align.wrapping_sub(1) == 0
}
