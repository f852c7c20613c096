// SPDX-License-Identifier: GPL-2.0

//! The end of a memmap: an unbind waits until nobody refers to a page. The parent module says why.

use super::{
    Memmap,
    Reservation, //
};
use crate::{
    bindings,
    mm::memremap::Usage,
    page::PAGE_SHIFT,
    prelude::*,
    str::CString,
    sync::atomic::Relaxed,
    task::Task,
    time::msecs_to_jiffies,
    workqueue::{
        self,
        WorkItem, //
    }, //
};

/// After this time an unbind that waits logs it.
const SAY_AFTER_MS: i64 = 1000;

/// After this time an unbind stops waiting if another task waits for it, or if it runs in a kernel
/// thread, which cannot get a signal.
const PATIENCE_MS: i64 = 10_000;

/// The interval at which an unbind checks the pages, in milliseconds: at first, and at most.
const POLL_MS: (u32, u32) = (1, 100);

/// The interval at which the work item checks them after the unbind.
const POLL_LEFT_MS: u32 = 1000;

/// The interval at which the work item tries to reserve the memory that holds the memmap, in
/// milliseconds.
const POLL_RESERVE_MS: u32 = 20;

/// A folio with references.
struct Held {
    /// Offset into the instance, in pages.
    pgoff: usize,
    /// The size of the folio, in pages.
    pages: usize,
    references: usize,
}

impl Memmap {
    /// Returns the next folio with references, from the cursor on. All pages before it are free.
    /// They stay free, because the instance is dead: a new reference can only come from an old one.
    fn next_held(&self) -> Option<Held> {
        let held = self.held_from(self.cursor.load(Relaxed), true);

        self.cursor
            .store(held.as_ref().map_or(usize::MAX, |held| held.pgoff), Relaxed);
        held
    }

    /// Returns the first folio with references at an offset of `from` pages or more.
    ///
    /// With `settle`, a folio of a file system without references becomes single pages again.
    fn held_from(&self, from: usize, settle: bool) -> Option<Held> {
        for range in self.ranges() {
            let first_pfn = (range.start() >> PAGE_SHIFT) as usize;
            let mut pgoff = from.max(range.pgoff());

            // SAFETY: The function takes any number.
            if pgoff >= range.end_pgoff() || !unsafe { bindings::pfn_valid(first_pfn) } {
                // The second check fails for the made-up addresses of nfit_test.
                continue;
            }
            while pgoff < range.end_pgoff() {
                let mut end = range.end_pgoff();

                if self.usage == Usage::Generic {
                    let chunk = self.touched.next_bit(self.chunk(pgoff))?;

                    pgoff = pgoff.max(self.chunk_start(chunk));
                    end = end.min(self.chunk_start(chunk.wrapping_add(1)));
                }
                while pgoff < end {
                    let pfn = first_pfn.wrapping_add(pgoff.wrapping_sub(range.pgoff()));
                    // SAFETY: By the type invariant there is a struct page. Compound pages begin
                    // where the range begins, so this is the first page of its folio.
                    let (references, pages) = unsafe { self.folio(pfn, settle) };

                    if references != 0 {
                        return Some(Held {
                            pgoff,
                            pages,
                            references,
                        });
                    }
                    pgoff = pgoff.wrapping_add(pages);
                }
                // SAFETY: The callers are in a context that may sleep.
                unsafe { bindings::cond_resched() };
            }
        }
        None
    }

    /// The first page of a chunk, as an offset into the instance in pages.
    fn chunk_start(&self, chunk: usize) -> usize {
        chunk.wrapping_shl(self.chunk_shift).wrapping_add(self.base)
    }

    /// Returns the number of references to a folio, and its number of pages.
    ///
    /// # Safety
    ///
    /// `pfn` is the first page of a folio of the instance, which is dead.
    #[inline]
    unsafe fn folio(&self, pfn: usize, settle: bool) -> (usize, usize) {
        // SAFETY: By the caller.
        unsafe {
            let folio = bindings::pfn_folio(pfn);
            let count = usize::try_from(bindings::folio_ref_count(folio)).unwrap_or(0);

            match self.usage {
                Usage::Generic => (
                    self.references(count.saturating_sub(1)),
                    1usize.wrapping_shl(self.order),
                ),
                Usage::FsDax if count != 0 || !settle => {
                    (count, 1usize.wrapping_shl(bindings::folio_order(folio)))
                }
                Usage::FsDax => {
                    #[cfg(CONFIG_FS_DAX)]
                    let order = bindings::dax_folio_reset_order(folio);
                    // Nothing makes folios of another size.
                    #[cfg(not(CONFIG_FS_DAX))]
                    let order = 0;

                    (0, 1usize.wrapping_shl(order as u32))
                }
            }
        }
    }

    /// Returns the number of references that a refcount stands for. A pin of a single page adds
    /// many to the refcount, and counts as one here.
    #[inline]
    fn references(&self, count: usize) -> usize {
        const PIN: usize = bindings::GUP_PIN_COUNTING_BIAS as usize;

        if self.order == 0 {
            (count / PIN).wrapping_add(count % PIN)
        } else {
            count
        }
    }

    /// Returns the number of references, and the number of folios that have some.
    fn count_held(&self, first: &Held) -> (usize, usize) {
        let (mut references, mut folios) = (0usize, 0usize);
        let mut from = first.pgoff;

        while let Some(held) = self.held_from(from, false) {
            references = references.saturating_add(held.references);
            folios = folios.saturating_add(1);
            from = held.pgoff.wrapping_add(held.pages);
        }
        (references, folios)
    }

    /// Waits until nobody refers to a page, and then removes the struct pages and the reservation.
    ///
    /// The instance is dead, and all mappings of it are removed. This sleeps until the references
    /// are gone. It gives up at a signal. After some seconds it also gives up in a kernel thread,
    /// or if another task waits for the lock of the instance or of a device above it, because that
    /// task may hold the references. Then a work item takes over.
    pub(in crate::dax) fn retire(self: Pin<KBox<Self>>) {
        if self.is_bare() {
            // Nobody can refer to memory without struct pages, except by mappings.
            return;
        }
        let start = now_ms();
        let mut delay = POLL_MS.0;
        let mut said = false;

        while let Some(held) = self.next_held() {
            let waited = now_ms().wrapping_sub(start);

            if waited >= SAY_AFTER_MS && !said {
                said = true;
                self.say_waiting(&held);
            }
            // SAFETY: An unbind may sleep.
            unsafe { bindings::schedule_timeout_interruptible(msecs_to_jiffies(delay) as c_long) };
            self.unmap();
            delay = POLL_MS.1.min(delay.saturating_mul(2));

            let reason = if current!().signal_pending() {
                "a signal ended the wait"
            } else if waited < PATIENCE_MS {
                continue;
            } else if is_kernel_thread() {
                "the kernel cannot wait"
            } else if self.is_waited_for() {
                "another task waits for the device"
            } else {
                continue;
            };
            // The last reference may be gone meanwhile.
            if let Some(held) = self.next_held() {
                self.say_left(&held, reason);
                *self.driver.lock() = None;
                self.leave();
                return;
            }
        }
        if said {
            dev_info!(
                self.dev,
                "unbind goes on after {} s: nobody refers to the memory any more\n",
                now_ms().wrapping_sub(start) / 1000
            );
        }
    }

    /// Removes pages that `mm` has mapped after the instance was killed. A fault in a VMA that
    /// `userfaultfd` watches leaves the mapping to `mm`, with a reference to the page.
    fn unmap(&self) {
        // SAFETY: The instance is valid, and so are its dax device and the inode of that.
        unsafe {
            let mapping = (*bindings::dax_inode((*self.dev.as_raw()).dax_dev)).i_mapping;

            bindings::unmap_mapping_range(mapping, 0, 0, 1);
        }
    }

    /// Lets a work item check again later.
    fn leave(mut self: Pin<KBox<Self>>) {
        // SAFETY: `this` is not moved.
        let this = unsafe { self.as_mut().get_unchecked_mut() };
        let delay = if this.reserve_inside() {
            POLL_LEFT_MS
        } else {
            POLL_RESERVE_MS
        };

        workqueue::system_unbound().enqueue_delayed(self, msecs_to_jiffies(delay));
    }

    /// Reserves the memory that holds the struct pages, once the provider has released it. Returns
    /// false if that is not so yet. Then this must be tried again soon, before another user
    /// reserves the memory.
    fn reserve_inside(&mut self) -> bool {
        let Some(inside) = &self.inside else {
            return true;
        };
        let Ok(name) = CString::try_from(self.dev.name()) else {
            return false;
        };
        // There is at least one range.
        let Some(functions) = self.addresses.first().map(|first| first.functions) else {
            return true;
        };
        let size = inside.end.wrapping_sub(inside.start);
        let reservation = Reservation::new(functions, inside.start, size, name);
        // `Device::reserve` made room for one more.
        let reserved = reservation
            .is_some_and(|reservation| self.addresses.push_within_capacity(reservation).is_ok());

        if reserved {
            self.inside = None;
        }
        reserved
    }

    #[cold]
    #[inline(never)]
    fn say_waiting(&self, held: &Held) {
        let (references, folios) = self.count_held(held);

        dev_warn!(
            self.dev,
            "unbind waits for {} references to {} pages or entries of the memory, the first at offset 0x{:x}: somebody has registered it for I/O (io_uring, RDMA, VFIO) or has it in a pipe; to go on, end that process; a signal to the task that unbinds leaves the memory reserved until then\n",
            references,
            folios,
            held.pgoff.wrapping_shl(PAGE_SHIFT as u32)
        );
    }

    #[cold]
    #[inline(never)]
    fn say_left(&self, held: &Held, reason: &str) {
        let (references, folios) = self.count_held(held);

        dev_warn!(
            self.dev,
            "unbound, but {} references to {} pages or entries of the memory remain, the first at offset 0x{:x} ({}); the addresses stay reserved in /proc/iomem until they are gone, and the device cannot be bound before that\n",
            references,
            folios,
            held.pgoff.wrapping_shl(PAGE_SHIFT as u32),
            reason
        );
    }

    /// Returns whether a task waits for the lock of the instance, or of a device above it.
    fn is_waited_for(&self) -> bool {
        let mut dev = self.dev.as_ref().as_raw();

        while !dev.is_null() {
            // SAFETY: The instance is valid. It is registered while it is being unbound, and a
            // registered device keeps its parent.
            unsafe {
                if bindings::device_lock_contended(dev) {
                    return true;
                }
                dev = (*dev).parent;
            }
        }
        false
    }
}

impl WorkItem for Memmap {
    type Pointer = Pin<KBox<Self>>;

    /// Drops the memmap if nobody refers to a page. Otherwise checks again later.
    fn run(this: Pin<KBox<Self>>) {
        this.unmap();
        if this.next_held().is_some() {
            this.leave();
        } else {
            dev_info!(
                this.dev,
                "nobody refers to the memory any more; it can be bound again\n"
            );
        }
    }
}

/// Milliseconds since the kernel started.
fn now_ms() -> i64 {
    // SAFETY: The function has no requirements.
    let now = unsafe { bindings::ktime_get() };

    now / 1_000_000
}

/// Returns whether the current task is a kernel thread, which gets no signals.
fn is_kernel_thread() -> bool {
    // SAFETY: The current task is valid, and this flag never changes.
    let flags = unsafe { (*Task::current_raw()).flags };

    flags & bindings::PF_KTHREAD != 0
}
