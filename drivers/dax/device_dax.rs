// SPDX-License-Identifier: GPL-2.0

//! `device_dax`: a character device, `/dev/daxX.Y`, for each instance of device DAX.
//!
//! A program maps the device; it cannot read or write it. A page fault in a mapping makes one
//! page-table entry of the size of the align, or fails. It never makes a smaller or a larger one.
//! So a program that maps with 1 GiB entries gets 1 GiB entries, or the reason in the log.
//!
//! If a program touches the memory of one entry after that of the other, a fault also makes entries
//! ahead of it, see [`entries_ahead`].
//!
//! This file has the policy. `kernel::dax` has the mechanism and everything that can outlive this
//! module: the struct pages, the handling of their failure, and the counters. The core has the
//! instances.

use kernel::{
    dax::{
        self,
        driver::BoundTo,
        grow::Growth,
        live::Count,
        mapping::{
            self,
            Fault,
            Mappable,
            Placement,
            Requester, //
        }, //
    },
    dev_info_ratelimited,
    device::{
        attribute::Groups,
        Core, //
    },
    mm::{
        fault::{
            FaultResult,
            VmFault, //
        },
        vma_desc::VmaDesc, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

use pin_init::pin_init_scope;

kernel::module_dax_driver! {
    type: DeviceDax,
    name: "device_dax",
    authors: ["The device DAX in Rust authors"],
    description: "Device DAX: direct access device driver",
    license: "GPL v2",
    alias: ["dax:t0*"],
    params: {
        fault_around_bytes: u32 {
            default: 65536,
            description: "What a fault of a 4 KiB device maps at most, if the page before it is mapped; 0: one page",
        },
        fault_around_entries: u32 {
            default: 16,
            description: "How many entries a fault of a 2 MiB or 1 GiB device makes at most, if the entry before exists; 0: one",
        },
        dontfork: u8 {
            default: 0,
            description: "1: a child process does not inherit mappings, and MADV_DOFORK does not change that",
        },
    },
}

mod device_dax {
    pub(crate) mod stats;
}

/// Logs the reason for which a request is refused. Each use has a rate limit of its own.
macro_rules! refuse {
    ($dev:expr, $what:literal, $($why:tt)*) => {
        dev_info_ratelimited!($dev, "{}: {} refused: {}\n", Requester, $what, fmt!($($why)*))
    };
}

/// The driver. It has no data: devres undoes all that a bind sets up.
struct DeviceDax;

#[vtable]
impl dax::Driver for DeviceDax {
    const KIND: dax::Kind = dax::Kind::Device;
    const TAKES_BARE: bool = true;
    const GROUPS: Option<&'static Groups<BoundTo<Self>>> = Some(&device_dax::stats::STATS);

    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init_scope(move || {
            let reserved = dev.reserve()?;
            let mapped = if dev.is_bare() {
                reserved.map_bare()?
            } else {
                reserved.map_generic()?
            };
            mapped.run()?;
            // Last, so that nobody opens an instance that is not alive yet.
            mapping::register::<Self>(dev)?;
            Ok(try_init!(Self {}))
        })
    }

    /// Accepts. A mapping can reach beyond the end of the instance, so there is nothing to change:
    /// the next touch of the new memory finds it.
    fn grow<'bound>(
        _dev: &'bound dax::Device<Core<'_>>,
        _this: Pin<&Self::Data<'bound>>,
        _growth: &Growth<'_>,
    ) -> Result {
        Ok(())
    }
}

#[vtable]
impl mapping::Operations for DeviceDax {
    fn mmap(dev: &dax::Device, desc: &mut VmaDesc) -> Result {
        let Some(live) = dev.live() else {
            refuse!(
                dev,
                "mmap",
                "device_dax does not serve the device at present; bind it again"
            );
            return Err(ENXIO);
        };

        check(dev, desc).inspect_err(|_| live.count(Count::RefusedMmap))?;
        desc.set_hugepage();
        if *module_parameters::dontfork.value_ref() != 0 {
            desc.set_dontfork();
        }
        Ok(())
    }

    #[inline]
    fn place(dev: &dax::Device, request: &Placement<'_>) -> Result<usize> {
        request.place(dev.align(), |why| {
            refuse!(dev, "mapping", "{}", why);
            if let Some(live) = dev.live() {
                live.count(Count::RefusedMmap);
            }
        })
    }

    fn may_split(dev: &dax::Device, addr: usize) -> Result {
        if aligned(addr, dev.align()) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    fn pagesize(dev: &dax::Device) -> usize {
        dev.align()
    }

    #[inline]
    fn fault<B: Mappable>(fault: &Fault<'_, B>) -> FaultResult {
        match fault.map(entries_ahead) {
            Some(result) => result,
            None => other_size(fault, fault.device(), fault.size()),
        }
    }
}

/// Refuses a fault that asks for an entry of another size than the align. If the entry is smaller,
/// logs the reason.
#[cold]
fn other_size(fault: &VmFault, dev: &dax::Device, size: usize) -> FaultResult {
    let align = dev.align();

    // mm starts with the largest entry size. It is the align if the device has just been bound
    // anew.
    if size >= align {
        return FaultResult::FALLBACK;
    }
    let Some(live) = dev.live() else {
        return FaultResult::SIGBUS;
    };

    if fault.has_huge_disabled() {
        refuse!(
            dev,
            "page fault",
            "the process has huge pages disabled, by prctl(PR_SET_THP_DISABLE) or MADV_NOHUGEPAGE, so that mm does not ask for an entry of the align 0x{:x}; undo that, or use an align of 0x{:x}",
            align,
            PAGE_SIZE
        );
    } else {
        refuse!(
            dev,
            "page fault",
            "a guard page or userfaultfd has put a table of smaller entries where one of the align 0x{:x} belongs; remove it and map the device anew, or use an align of 0x{:x}",
            align,
            PAGE_SIZE
        );
    }
    live.count(Count::RefusedAlign);
    FaultResult::SIGBUS
}

/// Refuses an mmap that breaks a rule, and logs the reason.
fn check(dev: &dax::Device, desc: &VmaDesc) -> Result {
    if !desc.is_shared() {
        refuse!(
            dev,
            "mmap",
            "a private mapping would copy pages on write; use MAP_SHARED"
        );
        return Err(EINVAL);
    }

    let align = dev.align();
    let offset = desc.pgoff().wrapping_shl(PAGE_SHIFT as u32);
    if !aligned(desc.start() | desc.end() | offset, align) {
        refuse!(
            dev,
            "mmap",
            "address 0x{:x}, length 0x{:x} and offset 0x{:x} must be multiples of the align 0x{:x}",
            desc.start(),
            desc.end().wrapping_sub(desc.start()),
            offset,
            align
        );
        return Err(EINVAL);
    }
    if !dev.is_bare() && !desc.is_dax() {
        refuse!(
            dev,
            "mmap",
            "this kernel cannot map files directly; it needs CONFIG_FS_DAX"
        );
        return Err(EINVAL);
    }
    Ok(())
}

/// How many entries of a size a fault may make behind its own.
fn entries_ahead(size: usize) -> usize {
    let around = match size {
        PAGE_SIZE => *module_parameters::fault_around_bytes.value_ref() as usize >> PAGE_SHIFT,
        _ => *module_parameters::fault_around_entries.value_ref() as usize,
    };

    around.saturating_sub(1)
}

/// Whether a number is a multiple of the align, a power of two.
fn aligned(number: usize, align: usize) -> bool {
    number & align.wrapping_sub(1) == 0
}
