// SPDX-License-Identifier: GPL-2.0

//! The steps from a bound instance to one whose memory can be accessed.
//!
//! Each step is a type that only the previous step can make:
//!
//! 1. [`Device::reserve`] reserves the ranges: [`Reserved`].
//! 2. [`Reserved::map_generic`] creates the struct pages: [`Mapped`].
//! 3. [`Mapped::run`] brings the instance alive.
//!
//! These steps are for memory that user space maps. For file systems the second step is
//! [`Reserved::map_fs_dax`].
//!
//! This code is in no driver, although only consumers use it: the struct pages, the reservation and
//! the address space operations can outlive the module of the driver. It is not in the core,
//! because the core may be C.

#[cfg(CONFIG_FS_DAX)]
use super::fsdax;
use super::{
    device::{
        Device,
        Range, //
    },
    failure,
    live::COUNTS,
    memmap::{
        dev_pagemap,
        Memmap,
        Reservation,
        ReserveFunctions, //
    }, //
};
use crate::{
    bindings,
    device,
    devres,
    fmt,
    mm::memremap::{
        pages::Misfit,
        OwnedDevPagemap,
        Usage, //
    },
    prelude::*,
    str::CString, //
};

impl<'c> Device<device::Core<'c>> {
    /// Reserves the ranges in `/proc/iomem` under the name of the instance, until it is unbound and
    /// nobody refers to a page of it any more.
    ///
    /// May sleep. Fails with `EBUSY` if any of the memory is reserved already, and with `ENOMEM`.
    // Inlined into modules, because nfit_test replaces the functions there.
    #[inline]
    pub fn reserve<'a>(&'a self) -> Result<Reserved<'a, 'c>> {
        reserve(self, ReserveFunctions::KERNEL)
    }
}

/// Does what [`Device::reserve`] does.
fn reserve<'a, 'c>(
    dev: &'a Device<device::Core<'c>>,
    functions: ReserveFunctions,
) -> Result<Reserved<'a, 'c>> {
    let mut ranges = KVVec::new();
    {
        let now = dev.ranges();

        ranges.reserve(now.len(), GFP_KERNEL)?;
        for range in now.iter() {
            ranges.push_within_capacity(*range).map_err(|_| ENOMEM)?;
        }
    }
    let numbered = (0..ranges.len()).zip(ranges.iter().copied());
    let addresses = reserve_ranges(dev, numbered, ranges.len(), functions)?;

    // INVARIANT: All ranges were just reserved. In this context the device lock is held, so the
    // instance does not grow.
    Ok(Reserved {
        dev,
        ranges,
        addresses,
    })
}

/// Reserves `count` ranges, each with the number N of its `mappingN`.
pub(super) fn reserve_ranges(
    dev: &Device<device::Bound>,
    ranges: impl Iterator<Item = (usize, Range)>,
    count: usize,
    functions: ReserveFunctions,
) -> Result<KVVec<Reservation>> {
    // One more, for the memory that holds the memmap; see `Memmap::leave`.
    let mut addresses = KVVec::with_capacity(count.saturating_add(1), GFP_KERNEL)?;

    for (i, range) in ranges {
        let name = CString::try_from(dev.name())?;
        let reservation = Reservation::new(functions, range.start(), range.len(), name)
            .ok_or_else(|| range_in_use(dev, i, &range))?;

        addresses
            .push_within_capacity(reservation)
            .map_err(|_| ENOMEM)?;
    }
    Ok(addresses)
}

// The messages of failures. They are not in `map_generic`, because that is inlined into each
// module.

fn range_in_use(dev: &Device<device::Bound>, i: usize, range: &Range) -> Error {
    dev_warn!(
        dev,
        "mapping{}: 0x{:x}-0x{:x} could not be reserved, somebody else uses a part of it; see /proc/iomem for whom, and unbind or offline that first\n",
        i,
        range.start(),
        range.end()
    );
    EBUSY
}

fn bad_align(dev: &Device<device::Bound>, align: usize) -> Error {
    dev_warn!(
        dev,
        "align 0x{:x} is not the size of a page table entry of this machine, which is {}\n",
        align,
        Aligns
    );
    EINVAL
}

fn unaligned_range(dev: &Device<device::Bound>, range: &Range, align: usize) -> Error {
    let at = |other: &Range| other.pgoff() == range.pgoff();
    let i = dev.ranges().iter().position(at).unwrap_or(0);

    dev_warn!(
        dev,
        "mapping{}: 0x{:x}-0x{:x} does not start and end at a multiple of the align 0x{:x}; set a smaller align, or delete the range and allocate another\n",
        i,
        range.start(),
        range.end(),
        align
    );
    EINVAL
}

pub(super) fn misfit(dev: &Device<device::Bound>, why: &Misfit) -> Error {
    dev_warn!(
        dev,
        "{}; such memory cannot be mapped with entries of 0x{:x} bytes, create the namespace or region again with a smaller align\n",
        why,
        dev.align()
    );
    EINVAL
}

/// An instance whose ranges are reserved; nobody else uses the memory.
///
/// # Invariants
///
/// `ranges` are those of `dev`, and `addresses` their reservations. The driver of `dev` has
/// reserved them and has not used them since. So there is only one such value for an instance: a
/// range cannot be reserved twice.
///
/// The lifetime `'c` keeps the value inside of the callback that made it. There the device lock is
/// held, so the instance does not grow.
pub struct Reserved<'a, 'c> {
    dev: &'a Device<device::Core<'c>>,
    ranges: KVVec<Range>,
    addresses: KVVec<Reservation>,
}

impl<'a, 'c> Reserved<'a, 'c> {
    /// Creates the struct pages: a compound page for each entry that can map it.
    ///
    /// When some of the memory fails, the log says where. The compound page with the failure cannot
    /// be mapped until the struct pages are removed.
    ///
    /// May sleep. Fails with `EINVAL` if the align is not the size of a page-table entry or if a
    /// range does not start and end at a multiple of it, with `ENOMEM`, and with the errors of
    /// `memremap_pages()`.
    // Inlined into modules, because nfit_test replaces the function that creates struct pages
    // there.
    #[inline]
    pub fn map_generic(self) -> Result<Mapped<'a, 'c>> {
        let Prepared {
            dev,
            mut memmap,
            counts,
        } = self.prepare_generic()?;

        // SAFETY:
        // - The operations are for an owner that is a `Memmap`.
        // - `prepare_generic` made the counters for this memmap.
        // - Nobody can map the memory before the instance comes alive. After that `Running` owns
        //   the memmap, and kills the instance before it drops that.
        unsafe { memmap.as_mut().map(&failure::GENERIC, counts)? };

        // INVARIANT: The struct pages have just been made.
        Ok(Mapped { dev, memmap })
    }

    /// The first half of [`Self::map_generic`]: everything before the struct pages are created.
    fn prepare_generic(self) -> Result<Prepared<'a, 'c>> {
        let Self {
            dev,
            ranges,
            addresses,
        } = self;
        let dev_pagemap = dev_pagemap(dev, &ranges)?;
        let memmap = describe(dev, dev_pagemap, ranges, addresses, false)?;

        Ok(Prepared {
            dev,
            memmap,
            counts: counters(dev)?,
        })
    }

    /// Takes the memory as it is, without struct pages. It can be mapped by the char device only.
    ///
    /// User space maps page frames. It cannot use them for I/O by `get_user_pages()`, and a child
    /// process does not inherit the mapping. The effort does not depend on the size of the memory.
    ///
    /// May sleep. Fails with `EINVAL` as [`Self::map_generic`] does, with `EBUSY` if some of the
    /// memory has struct pages, and with `ENOMEM`.
    pub fn map_bare(self) -> Result<Mapped<'a, 'c>> {
        let Self {
            dev,
            ranges,
            addresses,
        } = self;
        let dev_pagemap = OwnedDevPagemap::new(ranges.iter().map(|range| range.0.range))?;
        let mut memmap = describe(dev, dev_pagemap, ranges, addresses, true)?;

        // SAFETY:
        // - The counters are for this memmap.
        // - As for `map_generic`.
        unsafe { memmap.as_mut().take_bare(dev, counters(dev)?)? };

        // INVARIANT: The memory has no struct pages.
        Ok(Mapped { dev, memmap })
    }

    /// Creates the struct pages for file systems, as single pages.
    ///
    /// The pages are new, even if another driver had the instance before. May sleep. Fails with the
    /// errors of `memremap_pages()`.
    #[cfg(CONFIG_FS_DAX)]
    #[inline]
    pub fn map_fs_dax<T: fsdax::Operations>(self) -> Result<fsdax::Mapped<'a, 'c, T>> {
        let Self {
            dev,
            ranges,
            addresses,
        } = self;
        let dev_pagemap = dev_pagemap(dev, &ranges)?;
        let memmap = Memmap::new(dev, dev_pagemap, ranges, addresses, Usage::FsDax, false)?;

        // SAFETY: By the type invariant the driver has reserved the ranges and has not used them
        // yet, so the memmap has no struct pages.
        unsafe { fsdax::Mapped::new(dev, memmap) }
    }
}

/// Returns whether this machine has page table entries of `align` bytes.
pub fn align_is_valid(align: usize) -> bool {
    // SAFETY: The function has no requirements.
    unsafe { bindings::dax_align_valid(align) }
}

/// The sizes of the page table entries of this machine, as messages show them: `0x1000, 0x200000 or
/// 0x40000000`.
pub struct Aligns;

impl fmt::Display for Aligns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pte, pmd, pud) = (bindings::PAGE_SIZE, bindings::PMD_SIZE, bindings::PUD_SIZE);

        match [pmd, pud].map(align_is_valid) {
            [true, true] => write!(f, "0x{pte:x}, 0x{pmd:x} or 0x{pud:x}"),
            [true, false] => write!(f, "0x{pte:x} or 0x{pmd:x}"),
            [false, _] => write!(f, "0x{pte:x}"),
        }
    }
}

/// Allocates per-CPU counters for a memmap, which devres frees.
fn counters(dev: &Device<device::Bound>) -> Result<*mut c_ulong> {
    // SAFETY: The device is bound.
    let counts = unsafe {
        bindings::__devm_alloc_percpu(
            dev.as_ref().as_raw(),
            size_of::<[c_ulong; COUNTS]>(),
            align_of::<c_ulong>(),
        )
    };

    if counts.is_null() {
        return Err(ENOMEM);
    }
    Ok(counts.cast())
}

/// Describes memory that user space maps, after a check of its align. With `bare` the memory gets
/// no struct pages.
pub(super) fn describe(
    dev: &Device<device::Bound>,
    dev_pagemap: OwnedDevPagemap,
    ranges: KVVec<Range>,
    addresses: KVVec<Reservation>,
    bare: bool,
) -> Result<Pin<KBox<Memmap>>> {
    let align = dev.align();

    if !align_is_valid(align) {
        return Err(bad_align(dev, align));
    }
    for range in ranges.iter() {
        if (range.start() | range.len()) & (align as u64).wrapping_sub(1) != 0 {
            return Err(unaligned_range(dev, range, align));
        }
    }
    Memmap::new(dev, dev_pagemap, ranges, addresses, Usage::Generic, bare)
}

/// The result of the first half of [`Reserved::map_generic`].
struct Prepared<'a, 'c> {
    dev: &'a Device<device::Core<'c>>,
    memmap: Pin<KBox<Memmap>>,
    /// Per-CPU counters.
    counts: *mut c_ulong,
}

/// An instance whose memory has struct pages.
///
/// # Invariants
///
/// `memmap` is mapped as generic device memory, in compound pages of the align of `dev`. Or the
/// memory has no struct pages.
pub struct Mapped<'a, 'c> {
    dev: &'a Device<device::Core<'c>>,
    memmap: Pin<KBox<Memmap>>,
}

impl Mapped<'_, '_> {
    /// Brings the instance alive, until it is unbound.
    ///
    /// The unbind waits until all accesses have ended ([`Live`](super::live::Live)). It removes the
    /// memory from all address spaces, and waits until nobody refers to a page
    /// (`Memmap::retire()`). Then it removes the struct pages. May sleep. Fails with `ENOMEM`.
    pub fn run(self) -> Result {
        let dev = self.dev.as_raw();

        // SAFETY: By the type invariant of `Device`. The inode and its mapping live as long as the
        // instance. mm uses these operations for pages of the mapping only, which are dirtied only
        // while the instance is alive.
        unsafe { (*(*bindings::dax_inode((*dev).dax_dev)).i_mapping).a_ops = &DAX_AOPS };

        // SAFETY: By the type invariant.
        unsafe { bring_alive(self.dev, self.memmap) }
    }
}

/// Brings an instance alive, until its driver is unbound.
///
/// # Safety
///
/// `memmap` is mapped, with the ranges of `dev`.
pub(super) unsafe fn bring_alive(
    dev: &Device<device::Bound>,
    mut memmap: Pin<KBox<Memmap>>,
) -> Result {
    let pgmap = memmap.as_mut().pgmap();

    set_dax(dev, !memmap.is_bare());
    // SAFETY: By the type invariant of `Device`. The field belongs to the bound driver.
    let given = unsafe { core::mem::replace(&mut (*dev.as_raw()).pgmap, pgmap) };

    // SAFETY: By the type invariant of `Device`.
    unsafe { bindings::run_dax((*dev.as_raw()).dax_dev) };

    // INVARIANT: `run_dax()` has made the instance alive. Devres drops the value at the unbind.
    let running = Running {
        memmap: Some(memmap),
        given,
    };
    devres::register(dev.as_ref(), running, GFP_KERNEL)
}

/// Says whether the mappings of an instance are those of a DAX file. No memory is mapped.
///
/// mm takes it that the entries of such a file have struct pages: it looks at them when it splits
/// an entry of 1 GiB. So memory without struct pages looks like that of any other driver.
fn set_dax(dev: &Device, on: bool) {
    let flags = if on { bindings::S_DAX } else { 0 };

    // SAFETY: By the type invariant of `Device`. The function changes the flags atomically.
    unsafe {
        let inode = bindings::dax_inode((*dev.as_raw()).dax_dev);

        bindings::inode_set_flags(inode, flags, bindings::S_DAX);
    }
}

/// An instance that is alive. Dropping this kills the instance.
///
/// # Invariants
///
/// - [`bring_alive`] has brought the instance of `memmap` alive, and the instance is still bound.
/// - `given` is the pointer to a `struct dev_pagemap` that the driver found in the instance.
struct Running {
    memmap: Option<Pin<KBox<Memmap>>>,
    given: *mut bindings::dev_pagemap,
}

// SAFETY: Any thread may use the pointer.
unsafe impl Send for Running {}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(memmap) = self.memmap.take() else {
            return;
        };
        let dev = memmap.device().as_raw();

        // SAFETY: By the type invariant of `Device`. `kill_dev_dax()` can be called again if the
        // core has killed the instance. Then only the next driver reads the field. It must find the
        // pointer of the provider.
        unsafe {
            bindings::kill_dev_dax(dev);
            (*dev).pgmap = self.given;
        }
        set_dax(memmap.device(), true);
        // No fault is running any more, so the order does not matter.
        for more in memmap.take_more() {
            more.retire();
        }
        memmap.retire();
    }
}

/// The address space operations of the pages of an instance.
///
/// There is nothing to write back, so a page is never dirty. The table is in the kernel image,
/// because the inode of the instance, which points to it, can outlive the module.
static DAX_AOPS: bindings::address_space_operations = bindings::address_space_operations {
    dirty_folio: Some(never_dirty),
    ..pin_init::zeroed()
};

/// Called when a page was written. Does nothing.
///
/// `noop_dirty_folio()` would mark the page as dirty. `mm` makes new entries of such a page dirty,
/// and then an unmap costs more.
///
/// # Safety
///
/// None. The type of the operation is `unsafe`.
unsafe extern "C" fn never_dirty(
    _mapping: *mut bindings::address_space,
    _folio: *mut bindings::folio,
) -> bool {
    false
}
