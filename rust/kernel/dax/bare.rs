// SPDX-License-Identifier: GPL-2.0

//! Instances without struct pages.
//!
//! Page faults map page frames, in VMAs with `VM_PFNMAP`. Without struct pages nobody can refer to
//! the memory beyond its mappings: an unbind need not wait, and `get_user_pages()` refuses it.
//! There are four things for which the kernel uses struct pages otherwise, and which are here:
//!
//! - The memory type. It is reserved as write-back as long as the instance is bound; see
//!   [`WriteBack`].
//! - Memory failure. mm asks [`Space`] for the mappings of a page frame. The failed pages are in a
//!   list.
//! - Debuggers. The kernel maps a page for itself, and copies from and to it.
//! - `fork()`. The child does not get the mapping.

use super::{
    device::{
        Device,
        Range, //
    },
    failure::{
        self,
        Unmap, //
    },
    live::{
        Frames,
        LiveMemory, //
    }, //
};
use crate::{
    bindings,
    device,
    mm::{
        memremap::write_back::{
            Mapping,
            WriteBack, //
        },
        pfnmap,
        virt::VmaRef, //
    },
    new_spinlock,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        SpinLock, //
    },
    types::Opaque, //
};

/// The operations of the `struct dev_pagemap` of an instance without struct pages. It is never
/// given to mm, so there are none. Its address tells such an instance.
pub(super) static BARE: bindings::dev_pagemap_ops = pin_init::zeroed();

/// The kernel's side of memory without struct pages.
pub(super) struct Bare {
    // Dropped in this order.
    _spaces: KVec<Pin<KBox<Space>>>,
    write_back: KVVec<WriteBack>,
}

impl Bare {
    /// Takes over the ranges of an instance.
    ///
    /// May sleep. Fails with `EBUSY` if some of the memory has struct pages, and with `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The ranges are memory of `dev`. Nobody else uses them as long as the value exists.
    pub(super) unsafe fn new(dev: &Device<device::Bound>, ranges: &[Range]) -> Result<Self> {
        let mut write_back = KVVec::new();
        let mut spaces = KVec::new();

        for range in ranges {
            let first = (range.start() >> PAGE_SHIFT) as c_ulong;
            let last = (range.end() >> PAGE_SHIFT) as c_ulong;
            // SAFETY: The function takes any numbers.
            if unsafe { bindings::dax_has_struct_pages(first, last) } {
                dev_warn!(
                    dev,
                    "memmap is 0, but some of 0x{:x}-0x{:x} has struct pages already, which another user of the memory made; write 1 to memmap\n",
                    range.start(),
                    range.end()
                );
                return Err(EBUSY);
            }
            // SAFETY: By the caller. The memory has no struct pages.
            unsafe {
                WriteBack::reserve(range.start()..range.end().wrapping_add(1), &mut write_back)?
            };
            spaces.push(Space::register(dev, first, last)?, GFP_KERNEL)?;
        }
        Ok(Self {
            _spaces: spaces,
            write_back,
        })
    }

    /// Maps the page with a physical address in the kernel, if the memory has that address.
    fn map_page(&self, phys: u64) -> Option<Result<Mapping>> {
        self.write_back
            .iter()
            .find_map(|memory| memory.map_page(phys))
    }
}

/// Pages that have failed, as offsets into the instance.
#[pin_data]
pub(super) struct Failed {
    any: Atomic<bool>,
    #[pin]
    pages: SpinLock<KVec<usize>>,
}

impl Failed {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            any: Atomic::new(false),
            pages <- new_spinlock!(KVec::new(), "dax::bare::Failed"),
        })
    }

    /// Records a page. Returns whether it is a new one.
    fn add(&self, pgoff: usize) -> bool {
        let mut pages = self.pages.lock();

        if pages.contains(&pgoff) {
            return false;
        }
        // Without memory for this, the processor reports the failure again at the next touch.
        let _ = pages.push(pgoff, GFP_ATOMIC);
        self.any.store(true, Release);
        true
    }

    /// Whether one of `2^order` pages from `pgoff` on has failed.
    #[inline]
    pub(super) fn has(&self, pgoff: usize, order: u32) -> bool {
        self.any.load(Acquire) && self.search(pgoff, order)
    }

    #[cold]
    fn search(&self, pgoff: usize, order: u32) -> bool {
        self.pages
            .lock()
            .iter()
            .any(|page| page.wrapping_sub(pgoff) < 1usize.wrapping_shl(order))
    }
}

/// Page frames that mm asks about when memory fails: `struct pfn_address_space`.
#[pin_data(PinnedDrop)]
struct Space {
    #[pin]
    space: Opaque<bindings::pfn_address_space>,
    registered: bool,
}

// SAFETY: mm accesses the C struct under a lock. Any thread may remove it.
unsafe impl Send for Space {}
// SAFETY: A shared reference gives no access.
unsafe impl Sync for Space {}

impl Space {
    fn register(
        dev: &Device<device::Bound>,
        first: c_ulong,
        last: c_ulong,
    ) -> Result<Pin<KBox<Self>>> {
        // SAFETY: By the type invariant of `Device`. The inode lives as long as the instance.
        let mapping = unsafe { (*bindings::dax_inode((*dev.as_raw()).dax_dev)).i_mapping };
        let mut this = KBox::pin_init(
            pin_init!(Self {
                space: Opaque::new(bindings::pfn_address_space {
                    node: bindings::interval_tree_node {
                        start: first,
                        last,
                        ..pin_init::zeroed()
                    },
                    mapping,
                    pfn_to_vma_pgoff: Some(locate),
                }),
                registered: false,
            }),
            GFP_KERNEL,
        )?;

        if cfg!(CONFIG_MEMORY_FAILURE) {
            #[cfg(CONFIG_MEMORY_FAILURE)]
            // SAFETY: The struct is pinned. `PinnedDrop` removes it.
            crate::error::to_result(unsafe {
                bindings::register_pfn_address_space(this.space.get())
            })?;
            // SAFETY: The field is not pinned structurally.
            unsafe { this.as_mut().get_unchecked_mut() }.registered = true;
        }
        Ok(this)
    }
}

#[pinned_drop]
impl PinnedDrop for Space {
    fn drop(self: Pin<&mut Self>) {
        if self.registered {
            #[cfg(CONFIG_MEMORY_FAILURE)]
            // SAFETY: `register()` has registered the struct.
            unsafe {
                bindings::unregister_pfn_address_space(self.space.get())
            };
        }
    }
}

/// Memory failure: tells mm at which offset a VMA maps a page frame, and records the failure.
///
/// mm sends a signal to each process for which this succeeds. So it fails for a process that has
/// not touched the memory.
///
/// # Safety
///
/// `vma` is a mapping of an instance, as `Space` has registered. The caller is in an RCU section,
/// and holds the lock for the list of mappings of the file.
unsafe extern "C" fn locate(
    vma: *mut bindings::vm_area_struct,
    pfn: c_ulong,
    pgoff: *mut c_ulong,
) -> c_int {
    // SAFETY: Only files of the char device have the inode's mapping as theirs. `open` stored a
    // pointer to the instance there.
    let dev = unsafe { &*(*(*vma).vm_file).private_data.cast::<Device>() };
    let Some(live) = dev.live_with::<Frames>() else {
        return EFAULT.to_errno();
    };
    let phys = (pfn as u64).wrapping_shl(PAGE_SHIFT as u32);
    let Some(page) = live.offset_of(phys) else {
        return EFAULT.to_errno();
    };
    record(dev, &live, page, phys);

    // SAFETY: By the caller the VMA is valid.
    let (first, area) = unsafe { ((*vma).vm_pgoff, VmaRef::from_raw(vma)) };
    let len = area.end().wrapping_sub(area.start()) >> PAGE_SHIFT;
    let at = page.wrapping_sub(first);
    let addr = area
        .start()
        .wrapping_add(at.wrapping_shl(PAGE_SHIFT as u32));
    // SAFETY: By the caller.
    if at >= len || !unsafe { pfnmap::is_mapped(area, addr) } {
        return EFAULT.to_errno();
    }
    // SAFETY: By the caller.
    unsafe { *pgoff = page };
    0
}

/// Records that the page at an offset of `page` pages has failed, and removes its entry everywhere.
fn record(dev: &Device, live: &LiveMemory<'_, Frames>, page: usize, phys: u64) {
    if !live.failed().add(page) {
        return;
    }

    let pages = 1usize.wrapping_shl(live.order());
    let entry = page & !pages.wrapping_sub(1);
    failure::report(dev, phys, page, entry..entry.wrapping_add(pages));
    // As for memory with struct pages.
    let _ = Unmap::queue(dev, entry, pages, GFP_ATOMIC);
}

/// Copies from or to the memory at an offset, for a debugger. Returns the number of bytes, or an
/// errno.
///
/// # Safety
///
/// `buffer` has `len` bytes. `offset` is in bytes.
pub(super) unsafe fn access(
    live: &LiveMemory<'_, Frames>,
    offset: usize,
    buffer: *mut c_void,
    len: usize,
    write: bool,
) -> Result<usize> {
    let page = offset >> PAGE_SHIFT;
    let within = offset & PAGE_SIZE.wrapping_sub(1);
    let phys = live.frame(page, PAGE_SIZE).ok_or(EFAULT)?;
    if live.failed().has(page, 0) {
        return Err(EFAULT);
    }
    let mapping = live.find_bare(|bare| bare.map_page(phys)).ok_or(EFAULT)??;
    let memory = mapping.as_ptr().wrapping_add(within).cast();
    let len = len.min(PAGE_SIZE.wrapping_sub(within));

    // SAFETY: By the caller. The memory is mapped up to the end of the page.
    // User space may write to it at the same time; C copies with `memcpy()` then, too.
    unsafe {
        if write {
            bindings::memcpy(memory, buffer, len);
        } else {
            bindings::memcpy(buffer, memory, len);
        }
    }
    Ok(len)
}
