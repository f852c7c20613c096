// SPDX-License-Identifier: GPL-2.0

//! Instances: the devices `daxX.Y` on the dax bus.
//!
//! An instance ([`Device`]) is a part of a region: some ranges of physical memory, and an align.
//! That is the size of every page-table entry that maps the instance. The driver that is bound to
//! an instance decides in which form to offer the memory, see [`Driver`](super::Driver).
//!
//! A driver takes three steps before anybody can reach the memory, see [`memory`](super::memory).
//! While it lets accesses in, the instance is *alive*, see [`live`](super::live).
//!
//! The core (`dax_bus_type`, `dax_device`) lies below the C symbols that this calls, and may be
//! built from Rust or from C.
//!
//! C headers: `drivers/dax/bus.h`, `drivers/dax/dax-private.h`

use super::live::Section;
#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::alloc::NumaNode;
#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::mm::memory_hotplug::{
    Blocks,
    Span, //
};
use crate::{
    bindings,
    device::{
        self,
        subclass::RawDevice, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Deref,
    ptr::{
        addr_of,
        addr_of_mut,
        NonNull, //
    },
    slice, //
};

// SAFETY: `dev` is a `struct device`, and C makes the struct with `kzalloc()`.
unsafe impl RawDevice for bindings::dev_dax {
    const OFFSET: usize = offset_of!(bindings::dev_dax, dev);
}

/// A range of physical memory of an instance: `struct dev_dax_range`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Range(pub(super) bindings::dev_dax_range);

// SAFETY: Nothing uses the pointer in the C struct. The rest is numbers.
unsafe impl Send for Range {}
// SAFETY: As above.
unsafe impl Sync for Range {}

impl Range {
    /// The first physical address.
    #[inline]
    pub fn start(&self) -> u64 {
        self.0.range.start
    }

    /// The last physical address.
    #[inline]
    pub fn end(&self) -> u64 {
        self.0.range.end
    }

    /// The length in bytes, never 0.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> u64 {
        self.end().wrapping_sub(self.start()).wrapping_add(1)
    }

    /// The offset of the range into the instance, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.0.pgoff
    }

    /// The offset into the instance, in pages, of what follows the range.
    #[inline]
    pub(super) fn end_pgoff(&self) -> usize {
        self.pgoff()
            .wrapping_add((self.len() >> PAGE_SHIFT) as usize)
    }

    /// The part of the range from an offset of `pgoff` pages into the instance on, if there is one.
    #[inline]
    pub(super) fn tail_at(&self, pgoff: usize) -> Option<Self> {
        if pgoff >= self.end_pgoff() {
            return None;
        }
        let skipped = pgoff.saturating_sub(self.pgoff());
        let mut part = *self;

        part.0.pgoff = self.pgoff().wrapping_add(skipped);
        part.0.range.start = self
            .start()
            .wrapping_add((skipped as u64).wrapping_shl(PAGE_SHIFT as u32));
        Some(part)
    }
}

/// The ranges of an instance at one moment, ordered by their offset into the instance.
///
/// This is a read-side section of the core's SRCU domain, so it should be short. When an instance
/// grows, the core replaces the ranges, and waits for such sections before it frees the old ones.
pub struct Ranges<'a> {
    ranges: &'a [Range],
    _section: Section,
}

impl Deref for Ranges<'_> {
    type Target = [Range];

    #[inline]
    fn deref(&self) -> &[Range] {
        self.ranges
    }
}

/// An instance of device DAX: `struct dev_dax`.
///
/// # Invariants
///
/// A [`Device`] instance represents a valid `struct dev_dax` created by the core, which includes
/// that its `region` and `dax_dev` are valid.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::dev_dax>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::dev_dax {
        self.0.get()
    }

    /// The alignment in bytes, which is also the size of the entries that map the instance.
    ///
    /// It may change whenever no driver is bound.
    #[inline]
    pub fn align(&self) -> usize {
        // SAFETY: By the type invariant. The field may change concurrently, but only by a single
        // store.
        let align = unsafe { addr_of!((*self.as_raw()).align).read_volatile() };

        align as usize
    }

    /// The alignment as an order: an entry maps `2^order` pages.
    ///
    /// It may change whenever no driver is bound.
    #[inline]
    pub fn order(&self) -> u32 {
        self.align()
            .trailing_zeros()
            .wrapping_sub(PAGE_SHIFT as u32)
    }

    /// Whether the administrator wants no struct pages for the memory. See
    /// [`Reserved::map_bare`](super::memory::Reserved::map_bare).
    ///
    /// It may change whenever no driver is bound.
    #[inline]
    pub fn is_bare(&self) -> bool {
        // SAFETY: As for `align`.
        unsafe { addr_of!((*self.as_raw()).bare).read_volatile() }
    }
}

impl Device {
    /// The number of the region that the instance is a part of, the X in `daxX.Y`.
    #[inline]
    pub fn region_id(&self) -> i32 {
        // SAFETY: By the type invariant. The field does not change.
        unsafe { (*(*self.as_raw()).region).id }
    }

    /// The name, `daxX.Y`.
    pub fn name(&self) -> &CStr {
        // SAFETY: By the type invariant the device is valid. Its name stays the same while it
        // exists.
        unsafe {
            CStr::from_char_ptr(bindings::dev_name(
                AsRef::<device::Device>::as_ref(self).as_raw(),
            ))
        }
    }
}

impl Device<device::Bound> {
    /// The ranges, ordered by their offset into the instance.
    ///
    /// May be called wherever sleeping is allowed. Does not wait.
    #[inline]
    pub fn ranges(&self) -> Ranges<'_> {
        let section = Section::begin();
        let mut count = 0;
        // SAFETY: By the type invariant.
        let ranges = unsafe { bindings::dax_bound_ranges(self.as_raw(), &mut count) };

        let ranges = if ranges.is_null() {
            &[]
        } else {
            // SAFETY: The core keeps `count` ranges there until the section ends. `Range` is a
            // transparent wrapper.
            unsafe { slice::from_raw_parts(ranges.cast::<Range>(), count as usize) }
        };
        Ranges {
            ranges,
            _section: section,
        }
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Device<device::Bound> {
    /// The NUMA node that the memory would be in as System RAM, if it is known.
    pub fn target_node(&self) -> Option<NumaNode> {
        // SAFETY: By the type invariant. The field does not change.
        NumaNode::new(unsafe { (*self.as_raw()).target_node }).ok()
    }

    /// Whether the memmap is to be in the memory itself when the memory becomes System RAM.
    pub fn memmap_on_memory(&self) -> bool {
        // SAFETY: By the type invariant. The core in C does not change the field while a driver of
        // kind `Kmem` is bound. Only such a driver uses the value.
        unsafe { addr_of!((*self.as_raw()).memmap_on_memory).read_volatile() }
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Device<device::Core<'_>> {
    /// Reserves memory blocks of the instance, so that they can be added as System RAM.
    ///
    /// May sleep. Fails with `EBUSY` if some of the memory is in use, with `EINVAL` if the blocks
    /// are not in one range of the instance, and with `ENOMEM`.
    pub fn reserve_blocks(&self, blocks: Blocks) -> Result<Span> {
        let dev: &Device<device::Bound> = self;

        self.reserve_blocks_of(&dev.ranges(), blocks)
    }

    /// As [`Self::reserve_blocks`]. `ranges` are those of the instance, or will be.
    pub(super) fn reserve_blocks_of(&self, ranges: &[Range], blocks: Blocks) -> Result<Span> {
        if !ranges
            .iter()
            .any(|range| range.start() <= blocks.start() && blocks.end() <= range.end())
        {
            return Err(EINVAL);
        }

        // SAFETY: The instance is a part of its region, which has memory there, see
        // `region::Memory`. The instance is bound, and every other user reserves memory before
        // using it.
        unsafe { Span::reserve(blocks, self.name()) }
    }
}

impl Device<device::Core<'_>> {
    /// Returns whether the bind has succeeded.
    ///
    /// The driver core can fail a bind after the probe has succeeded. Then it calls
    /// [`Driver::unbind`](super::Driver::unbind) for an instance that nobody could use.
    #[inline]
    pub fn is_bound(&self) -> bool {
        let dev: &Device<device::Bound> = self;

        // SAFETY: The device is valid, and in this context its lock is held.
        unsafe { bindings::device_is_bound(dev.as_ref().as_raw()) }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct dev_dax`.
// The offset is guaranteed to point to a valid device field inside `Device`.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::dev_dax, dev);
}

// SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on `Device`'s generic
// argument.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: Instances of `Device` are always reference-counted.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference guarantees that the refcount is non-zero.
        unsafe { bindings::get_device(self.as_ref().as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The safety requirements guarantee that the refcount is non-zero, so `obj` is
        // valid.
        unsafe { bindings::put_device(obj.as_ref().as_ref().as_raw()) }
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    #[inline]
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant of `Self`, `self.as_raw()` is a pointer to a valid
        // `struct dev_dax`, and so is the `struct device` in it.
        unsafe { device::Device::from_raw(addr_of_mut!((*self.as_raw()).dev)) }
    }
}

// SAFETY: A `Device` is always reference-counted and can be released from any thread.
unsafe impl Send for Device {}

// SAFETY: `Device` can be shared among threads because all methods of `Device`
// (i.e. `Device<Normal>) are thread safe.
unsafe impl Sync for Device {}

// SAFETY: Same as `Device<Normal>` -- the underlying `struct dev_dax` is the same; `Bound` is a
// zero-sized type-state marker that does not affect thread safety.
unsafe impl Sync for Device<device::Bound> {}
