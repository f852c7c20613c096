// SPDX-License-Identifier: GPL-2.0

//! Access to the memory of an instance while it is alive.
//!
//! [`Device::live`] begins a read-side section of the core's SRCU domain. An unbind waits for the
//! end of the section. Code that needs the memory gets it from a [`Live`] only.
//!
//! The counters of faults are here and not in `device_dax`, because they must exist as long as
//! faults can run. The driver shows them in sysfs.

use super::{
    bare::{
        Bare,
        Failed,
        BARE, //
    },
    device::Device,
    failure::GENERIC,
    memmap::Memmap, //
};
use crate::{
    bindings,
    device,
    mm::fault::VmFault,
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    },
    types::NotThreadSafe, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        addr_of,
        addr_of_mut, //
    },
};

impl<Ctx: device::DeviceContext> Device<Ctx> {
    /// Begins an access to the memory, if the instance is alive.
    ///
    /// May be called wherever sleeping is allowed. Does not wait.
    #[inline]
    pub fn live(&self) -> Option<Live<'_>> {
        self.live_with()
    }

    /// [`Self::live`] for memory of one kind. Returns [`None`] if that of the instance is of
    /// another kind.
    #[inline]
    pub(super) fn live_with<B: Backing>(&self) -> Option<Live<'_, B>> {
        let (section, pgmap) = self.alive()?;
        // SAFETY: The `struct dev_pagemap` is valid until the end of the section, and this field
        // does not change.
        let ops = unsafe { (*pgmap).ops };

        // A driver in C may have made the instance alive with a `struct dev_pagemap` of another
        // kind.
        if !B::has(ops) {
            return None;
        }
        // INVARIANT: Only `map_generic` and `map_bare` use the operations of a kind, and make a
        // `Memmap` the owner. The section ends when the `Live` is dropped.
        let memory = LiveMemory {
            dev: self.as_raw(),
            pgmap,
            _dev: PhantomData,
        };
        Some(Live {
            memory,
            _section: section,
        })
    }

    /// Begins a section, if the instance is alive and has a `struct dev_pagemap`. The pointer is
    /// valid until the section ends.
    #[inline]
    pub(super) fn alive(&self) -> Option<(Section, *mut bindings::dev_pagemap)> {
        let section = Section::begin();

        // SAFETY: By the type invariant; this is in a section that `dax_read_lock()` began.
        if !unsafe { bindings::dax_alive((*self.as_raw()).dax_dev) } {
            return None;
        }

        // SAFETY: By the type invariant. A driver in Rust sets the field before the instance is
        // alive. A driver in C may set it later, with a single store.
        let pgmap = unsafe { addr_of!((*self.as_raw()).pgmap).read_volatile() };
        // While the instance is alive the pointer is valid. That is so at least until the section
        // ends.
        (!pgmap.is_null()).then_some((section, pgmap))
    }
}

/// What the memory of an instance consists of: [`Pages`], [`Frames`], or [`Either`].
///
/// The kind can change only while the instance is dead.
pub trait Backing: sealed::Sealed {}

/// Memory with struct pages, in compound pages of the align.
pub struct Pages;

/// Memory without struct pages: bare page frames.
pub struct Frames;

/// Memory with or without struct pages.
pub struct Either;

impl Backing for Pages {}
impl Backing for Frames {}
impl Backing for Either {}

mod sealed {
    use super::*;

    pub trait Sealed {
        /// Whether a `struct dev_pagemap` with these operations is one of the kind.
        fn has(ops: *const bindings::dev_pagemap_ops) -> bool;
    }

    impl Sealed for Pages {
        #[inline]
        fn has(ops: *const bindings::dev_pagemap_ops) -> bool {
            ptr::eq(ops, &GENERIC)
        }
    }

    impl Sealed for Frames {
        #[inline]
        fn has(ops: *const bindings::dev_pagemap_ops) -> bool {
            ptr::eq(ops, &BARE)
        }
    }

    impl Sealed for Either {
        #[inline]
        fn has(ops: *const bindings::dev_pagemap_ops) -> bool {
            Pages::has(ops) || Frames::has(ops)
        }
    }
}

/// A counter of faults or mappings of an instance that user space maps.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Count {
    /// A fault was answered with a pte.
    Pte,
    /// A fault was answered with a pmd.
    Pmd,
    /// A fault was answered with a pud.
    Pud,
    /// A page was mapped in advance.
    Ahead,
    /// A fault was refused: the size of the entry, or the VMA, does not match the align.
    RefusedAlign,
    /// A fault was refused: the offset is beyond the end of the instance.
    RefusedOffset,
    /// A fault was refused: the memory has failed.
    RefusedFailed,
    /// A mapping was refused.
    RefusedMmap,
}

impl Count {
    /// All counters.
    pub const ALL: [Self; COUNTS] = [
        Self::Pte,
        Self::Pmd,
        Self::Pud,
        Self::Ahead,
        Self::RefusedAlign,
        Self::RefusedOffset,
        Self::RefusedFailed,
        Self::RefusedMmap,
    ];
}

/// The number of counters.
pub(super) const COUNTS: usize = Count::RefusedMmap as usize + 1;

/// The field `mapping` of a folio.
///
/// # Safety
///
/// `folio` must be valid for `'a` and a folio of generic device memory. So nothing sets the field
/// to anything but the mapping of the instance.
#[inline]
pub(super) unsafe fn mapping_of<'a>(
    folio: *mut bindings::folio,
) -> &'a Atomic<*mut bindings::address_space> {
    // SAFETY: By the caller the folio is valid. C also accesses the field as a whole.
    unsafe {
        let page = addr_of_mut!((*folio).__bindgen_anon_1.__bindgen_anon_1);

        Atomic::from_ptr(addr_of_mut!((*page).mapping))
    }
}

/// A read-side section that `dax_read_lock()` began. It ends when this is dropped.
pub(super) struct Section(c_int, NotThreadSafe);

impl Section {
    /// Begins a section. Does not wait.
    #[inline]
    pub(super) fn begin() -> Self {
        // SAFETY: The function has no requirements.
        Self(unsafe { bindings::dax_read_lock() }, NotThreadSafe)
    }
}

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self.0` is what `dax_read_lock()` returned.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}

/// An instance that is alive as long as this exists.
///
/// This is a read-side critical section of the core's SRCU domain; an unbind waits for its end.
#[must_use = "if unused, the section ends immediately"]
pub struct Live<'a, B: Backing = Either> {
    memory: LiveMemory<'a, B>,
    _section: Section,
}

impl<'a, B: Backing> Deref for Live<'a, B> {
    type Target = LiveMemory<'a, B>;

    #[inline]
    fn deref(&self) -> &LiveMemory<'a, B> {
        &self.memory
    }
}

/// The memory of an instance that is alive.
///
/// # Invariants
///
/// - `dev` is valid for `'a`. It was seen to be alive in a read-side section that lasts for `'a`.
/// - `pgmap` is its `struct dev_pagemap`, which does not change until the section ends, and is that
///   of a memory of the kind `B`. Its owner is a `Memmap`, and its order is that of the align.
///   Memory with struct pages is generic device memory, in compound pages of that order.
// Two pointers, so that a function gets it in registers.
pub struct LiveMemory<'a, B: Backing = Either> {
    dev: *mut bindings::dev_dax,
    pgmap: *const bindings::dev_pagemap,
    _dev: PhantomData<(&'a Device, B)>,
}

impl<B: Backing> LiveMemory<'_, B> {
    /// Returns a copy, which a function can own.
    ///
    /// Reads the `struct dev_pagemap` from the instance again. So the caller needs no register for
    /// it in the meantime.
    #[inline]
    pub(super) fn reborrow(&self) -> LiveMemory<'_, B> {
        // INVARIANT: `self`, which is borrowed, has the same invariants. The field does not change
        // until the section ends.
        LiveMemory {
            dev: self.dev,
            // SAFETY: By the type invariant.
            pgmap: unsafe { (*self.dev).pgmap },
            _dev: PhantomData,
        }
    }

    /// What the instance keeps for its memory.
    #[inline]
    fn owner(&self) -> &Memmap {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.pgmap).owner.cast() }
    }

    /// The order of the entries that map the memory.
    #[inline]
    pub(super) fn order(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.pgmap).vmemmap_shift as u32 }
    }

    /// The size in bytes of the entries that map the memory: the align.
    #[inline]
    pub(super) fn size(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.dev).align as usize }
    }

    /// The physical address of `size` bytes at an offset of `pgoff` pages into the instance, if
    /// they are in one range.
    #[inline]
    pub(super) fn frame(&self, pgoff: usize, size: usize) -> Option<u64> {
        // SAFETY: By the type invariant `dev` is valid, and faults may use its ranges.
        let phys = unsafe { bindings::dax_pgoff_to_phys(self.dev, pgoff, size) };

        (phys != bindings::phys_addr_t::MAX).then_some(phys)
    }

    /// Increments a counter.
    #[inline]
    pub fn count(&self, what: Count) {
        self.count_many(what, 1);
    }

    /// Adds a number to a counter.
    #[inline]
    pub(super) fn count_many(&self, what: Count, number: usize) {
        // SAFETY: By the type invariant the owner has counters.
        unsafe { bindings::this_cpu_add_ulong(self.counter(what), number) };
    }

    /// The value of a counter since the instance was bound.
    pub fn counted(&self, what: Count) -> usize {
        // SAFETY: As above.
        unsafe { bindings::percpu_sum_ulong(self.counter(what)) }
    }

    /// Returns the per-CPU pointer of a counter.
    #[inline]
    fn counter(&self, what: Count) -> *mut c_ulong {
        self.owner().counts.wrapping_add(what as usize)
    }
}

impl LiveMemory<'_, Frames> {
    /// The pages that have failed.
    pub(super) fn failed(&self) -> &Failed {
        &self.owner().failed
    }

    /// Calls `f` for the memory that the instance had at the bind, and for what was added later,
    /// until `f` returns something. May sleep.
    pub(super) fn find_bare<R>(&self, f: impl Fn(&Bare) -> Option<R>) -> Option<R> {
        self.owner().find_bare(f)
    }

    /// The offset of a physical address into the instance, in pages.
    pub(super) fn offset_of(&self, phys: u64) -> Option<usize> {
        // SAFETY: By the type invariant the device is valid. It was alive in this section, so its
        // driver is still bound, or being unbound.
        let dev: &Device<device::Bound> = unsafe { &*self.dev.cast() };
        let ranges = dev.ranges();
        let range = ranges
            .iter()
            .find(|range| range.start() <= phys && phys <= range.end())?;
        let inside = phys.wrapping_sub(range.start()) >> PAGE_SHIFT;

        Some(range.pgoff().wrapping_add(inside as usize))
    }
}

impl LiveMemory<'_, Pages> {
    /// Returns the folio at an offset of `pgoff` pages into the instance, to map it.
    ///
    /// Returns [`None`] if the instance has no memory there, or if a part of the folio would be in
    /// another range. If the folio is mapped for the first time since the bind, this sets the
    /// fields by which memory failure finds the file of the instance from its memory.
    ///
    /// # Safety
    ///
    /// `order` must be [`Self::order`], `vmf` a fault in a mapping of the instance, and `pgoff` the
    /// offset of the entry of `order` that is `n` entries behind that of the fault. So it is a
    /// multiple of `2^order`; otherwise the result could be a tail page and not a folio.
    #[inline(always)]
    pub(super) unsafe fn folio(
        &self,
        pgoff: usize,
        order: u32,
        vmf: &VmFault,
        n: usize,
    ) -> Option<LiveFolio<'_>> {
        let phys = self.frame(pgoff, self.size())?;

        // INVARIANT: The ranges start at multiples of the align, both in memory and in the
        // instance. So do the compound pages, which by the type invariant exist until the section
        // ends. By the caller the offset is such a multiple, too.
        //
        // SAFETY: By the type invariant the address has a struct page. A compound page begins
        // there, so it is the folio.
        let folio = unsafe { bindings::pfn_to_page((phys >> PAGE_SHIFT) as usize) }.cast();

        // A relaxed load, without the call that it is where Rust does not inline C.
        //
        // SAFETY: The folio is valid. The field belongs to the owner of the `struct dev_pagemap`.
        if unsafe { mapping_of(folio).as_ptr().read_volatile() }.is_null() {
            // SAFETY: By the caller this is the folio of that entry.
            unsafe { first_mapped(folio, self.owner(), vmf, n, order) };
        }
        Some(LiveFolio(folio, PhantomData))
    }
}

/// A compound page of an instance that is alive.
///
/// # Invariants
///
/// The folio belongs to an instance that is alive for `'a`.
#[derive(Clone, Copy)]
pub(super) struct LiveFolio<'a>(*mut bindings::folio, PhantomData<&'a ()>);

impl LiveFolio<'_> {
    /// Returns the raw pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::folio {
        self.0
    }

    /// Whether some of the memory has failed.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        // This is `folio_test_hwpoison()`, which is a call where Rust does not inline C.
        #[cfg(CONFIG_MEMORY_FAILURE)]
        {
            // SAFETY: By the type invariant the folio is valid.
            let flags = unsafe {
                addr_of!((*self.0).__bindgen_anon_1.__bindgen_anon_1.flags.f).read_volatile()
            };
            flags & (1 << bindings::pageflags_PG_hwpoison) != 0
        }
        #[cfg(not(CONFIG_MEMORY_FAILURE))]
        false
    }
}

/// The part of [`LiveMemory::folio`] for a folio that is mapped for the first time since the bind.
///
/// This computes the offset again, so that a fault need not keep it.
///
/// # Safety
///
/// `vmf` is a fault in a mapping of an instance that is alive. `folio` is for the entry of `order`
/// that is `n` entries behind that of the fault. `owner` is the memmap of the instance.
#[cold]
unsafe fn first_mapped(
    folio: *mut bindings::folio,
    owner: &Memmap,
    vmf: &VmFault,
    n: usize,
    order: u32,
) {
    let pages = 1usize.wrapping_shl(order);
    let pgoff = (vmf.pgoff() & !pages.wrapping_sub(1)).wrapping_add(n.wrapping_shl(order));

    // SAFETY: The folio is valid. The fields belong to the owner of the `struct dev_pagemap`. All
    // threads set the same values, because every mapping of the folio has the same values until the
    // struct pages are removed.
    unsafe {
        owner.touch(folio, pgoff);

        let page = addr_of_mut!((*folio).__bindgen_anon_1.__bindgen_anon_1);

        addr_of_mut!((*page).__bindgen_anon_2.index).write_volatile(pgoff);
        // The mapping of the file is that of the instance. A thread that sees it sees the index,
        // too.
        mapping_of(folio).store(vmf.mapping(), Release);
    }
}
