// SPDX-License-Identifier: GPL-2.0

//! Memory hotplug: memory that a driver lends to the page allocator.
//!
//! The unit is the memory block, `/sys/devices/system/memory/memoryN`. A driver reserves a range of
//! whole blocks, a [`Span`], and adds it as System RAM. It removes the memory when the page
//! allocator has none of it any more. Each block of an added span is online or offline. Besides the
//! driver, user space may change that through sysfs at any time.
//!
//! Adding can be undone as long as the blocks are offline. To take a block offline, the kernel
//! moves everything in it to other memory. That can take long, and it can be impossible. Memory
//! that cannot be removed stays until the next boot, with everything that refers to it: see
//! [`Span::remove`].
//!
//! All functions may sleep.
//!
//! C headers: [`include/linux/memory_hotplug.h`](srctree/include/linux/memory_hotplug.h),
//! [`include/linux/memory.h`](srctree/include/linux/memory.h)
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     alloc::NumaNode,
//!     mm::memory_hotplug::{
//!         Blocks,
//!         Group,
//!         OnlineType,
//!         Span, //
//!     },
//! };
//!
//! /// Adds the memory from `start` to `end` to `node`, and removes it again.
//! ///
//! /// # Safety
//! ///
//! /// As for [`Span::reserve`].
//! unsafe fn add_and_remove(start: u64, end: u64, node: NumaNode) -> Result {
//!     let blocks = Blocks::within(start, end).ok_or(EINVAL)?;
//!     let group = Group::new(node, blocks.len())?;
//!     // SAFETY: By the safety requirements of this function.
//!     let mut span = unsafe { Span::reserve(blocks, c"example") }?;
//!
//!     span.add(&group, c"System RAM (example)", false, OnlineType::Movable)?;
//!     Span::offline_and_remove(core::slice::from_mut(&mut span))
//! }
//! ```

use crate::{
    alloc::NumaNode,
    bindings,
    error::to_result,
    io::resource::{
        Flags,
        Region,
        Resource, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    str::CString, //
};
use core::mem::ManuallyDrop;

/// Whether memory blocks go online when they are added: `enum mmop`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum OnlineType {
    /// They stay offline.
    Offline = bindings::mmop_MMOP_OFFLINE,
    /// They go online, in the zone that the kernel thinks best.
    Online = bindings::mmop_MMOP_ONLINE,
    /// They go online for any use by the kernel. That can make it impossible to remove them.
    Kernel = bindings::mmop_MMOP_ONLINE_KERNEL,
    /// They go online for data that can be moved to other memory.
    Movable = bindings::mmop_MMOP_ONLINE_MOVABLE,
}

impl OnlineType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Offline, Self::Online, Self::Kernel, Self::Movable];

    /// Returns the policy of the system: `/sys/devices/system/memory/auto_online_blocks`.
    pub fn default_policy() -> Self {
        // SAFETY: The function has no requirements.
        let policy = unsafe { bindings::mhp_get_default_online_type() };

        Self::from_raw(policy as c_int).unwrap_or(Self::Offline)
    }

    /// Returns the type that has the number `raw` in C.
    pub fn from_raw(raw: c_int) -> Option<Self> {
        Self::ALL.into_iter().find(|online| online.as_raw() == raw)
    }

    /// Returns the number of the type in C. It is not negative.
    pub fn as_raw(self) -> c_int {
        self as c_int
    }

    /// Returns the name of the type in sysfs.
    pub fn name(self) -> &'static CStr {
        // SAFETY: The number is one of `enum mmop`. C has a static string for each.
        unsafe { CStr::from_char_ptr(bindings::mhp_online_type_to_str(self.as_raw())) }
    }
}

/// Returns the size of a memory block in bytes. It is a power of two, and never changes.
pub fn block_size() -> u64 {
    // SAFETY: The function has no requirements.
    unsafe { bindings::memory_block_size_bytes() as u64 }
}

/// A memory block.
#[derive(Clone, Copy)]
pub struct Block(u64);

impl Block {
    /// Returns the N in `/sys/devices/system/memory/memoryN`.
    pub fn id(self) -> u64 {
        self.0
    }

    /// Returns whether the page allocator has the block. That can change at any time.
    pub fn is_online(self) -> bool {
        // This looks at the last page: the first ones may hold the memmap.
        let end = self.0.saturating_add(1).saturating_mul(block_size());
        let pfn = (end >> PAGE_SHIFT).saturating_sub(1);

        // SAFETY: The function takes any number.
        unsafe { !bindings::pfn_to_online_page(pfn as c_ulong).is_null() }
    }
}

/// A range of whole memory blocks.
///
/// # Invariants
///
/// `start` and `len` are multiples of the block size, `len` is not 0, and the end is a `u64`.
#[derive(Clone, Copy)]
pub struct Blocks {
    start: u64,
    len: u64,
}

impl Blocks {
    /// Returns the whole blocks in the range from `start` to `end`, where `end` is the last
    /// address. Returns [`None`] if the range has no whole block.
    pub fn within(start: u64, end: u64) -> Option<Self> {
        let size = block_size();
        let start = start.checked_next_multiple_of(size)?;
        let len = end.checked_add(1)?.checked_sub(start)?;
        let len = len.wrapping_sub(len & size.wrapping_sub(1));

        // INVARIANT: Both are rounded to blocks. The end is at most `end`.
        (len > 0).then_some(Self { start, len })
    }

    /// Returns the first address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the last address.
    pub fn end(&self) -> u64 {
        self.start.wrapping_add(self.len).wrapping_sub(1)
    }

    /// Returns the length in bytes. It is never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the blocks, lowest address first.
    pub fn iter(&self) -> impl Iterator<Item = Block> {
        let size = block_size();
        let block = |addr: u64| addr.checked_div(size).unwrap_or(0);

        (block(self.start)..block(self.start.wrapping_add(self.len))).map(Block)
    }
}

/// A static memory group: memory that is added and removed together, such as that of a DIMM.
///
/// The kernel chooses better zones when it knows which memory belongs together.
///
/// # Invariants
///
/// `self.0` is a memory group that C registered. Only this value unregisters it.
pub struct Group(c_int);

impl Group {
    /// Registers a group for up to `bytes` of memory in `node`.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`] if `node` is [`NumaNode::NO_NODE`], if `bytes` is 0, or if the kernel did not
    ///   prepare for the node when it booted.
    /// - [`ENOMEM`].
    pub fn new(node: NumaNode, bytes: u64) -> Result<Self> {
        // C looks the number up in a bitmap without checking that it is not negative.
        if node == NumaNode::NO_NODE {
            return Err(EINVAL);
        }

        let pages = c_ulong::try_from(bytes.div_ceil(PAGE_SIZE as u64))?;
        // SAFETY: The node is one that C has a bit for.
        let id = unsafe { bindings::memory_group_register_static(node.as_raw(), pages) };

        to_result(id)?;
        // INVARIANT: C registered the group just now.
        Ok(Self(id))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // C refuses as long as the group has blocks. Then the group stays.
        // SAFETY: By the type invariants, the group is registered.
        unsafe { bindings::memory_group_unregister(self.0) };
    }
}

/// A range of physical memory that is reserved for System RAM. The owner may add it as such.
///
/// Dropping the span removes the memory, if it is added, and releases the reservation. If the
/// memory cannot be removed, both stay, with their names in `/proc/iomem`.
///
/// # Invariants
///
/// - `region` is requested for `blocks`, so no other driver uses the memory. Its flags are those of
///   a resource that is not busy. `requested` are the flags that it was requested with.
/// - If `ram` is [`Some`], the blocks are added under that name. Otherwise none of them is a memory
///   block.
pub struct Span {
    blocks: Blocks,
    region: ManuallyDrop<Region>,
    requested: Flags,
    ram: ManuallyDrop<Option<CString>>,
}

impl Span {
    /// Reserves the blocks under `name`.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`] if some of the memory is reserved already.
    /// - [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// There is memory at all of these addresses for as long as it is reserved. Drivers use this
    /// memory only after they have reserved it.
    pub unsafe fn reserve(blocks: Blocks, name: &CStr) -> Result<Self> {
        let mut region = Resource::iomem()
            .request_region(
                blocks.start(),
                blocks.len(),
                CString::try_from(name)?,
                Flags::IORESOURCE_MEM,
            )
            .ok_or(EBUSY)?;
        let requested = region.flags();

        // Memory hotplug adds a resource below this one. That is only possible below a resource
        // that is not busy. SAFETY: Before the region is dropped, `drop` sets the flags that it was
        // requested with.
        unsafe { region.set_flags(Flags::IORESOURCE_MEM | Flags::IORESOURCE_SYSRAM) };

        // INVARIANT: The region was requested just now. Memory blocks have a resource, so memory
        // that could be requested has no blocks.
        Ok(Self {
            blocks,
            region: ManuallyDrop::new(region),
            requested,
            ram: ManuallyDrop::new(None),
        })
    }

    /// Returns the blocks.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Returns whether the memory is System RAM now.
    pub fn is_added(&self) -> bool {
        self.ram.is_some()
    }

    /// Adds the memory to the node of `group`. `online` says whether its blocks go online.
    ///
    /// Blocks that cannot be brought online are no failure: see [`Block::is_online`]. `name` must
    /// have the form `System RAM (...)`. By that name in `/proc/iomem`, kexec tells the memory from
    /// memory that was there at boot. With `memmap_on_memory` the memmap is in the memory itself,
    /// if the kernel supports it and the administrator enabled it.
    ///
    /// # Errors
    ///
    /// - [`EEXIST`] if the memory is added already, or one of its blocks exists.
    /// - [`EINVAL`] if the name has another form, or the machine cannot address the memory.
    /// - [`ENOMEM`].
    // This is inlined because C exports `__add_memory_driver_managed()` to the module `kmem` alone.
    #[inline]
    pub fn add(
        &mut self,
        group: &Group,
        name: &CStr,
        memmap_on_memory: bool,
        online: OnlineType,
    ) -> Result {
        if self.is_added() {
            return Err(EEXIST);
        }

        let name = CString::try_from(name)?;
        let mut flags = bindings::MHP_NID_IS_MGID;
        if memmap_on_memory {
            flags |= bindings::MHP_MEMMAP_ON_MEMORY;
        }

        // SAFETY: By the type invariants these are whole blocks of memory that is not in use. The
        // name lives until the memory is removed, and with it the resource that points to the name.
        to_result(unsafe {
            bindings::__add_memory_driver_managed(
                group.0,
                self.blocks.start(),
                self.blocks.len(),
                name.as_char_ptr(),
                flags,
                online as bindings::mmop,
            )
        })?;
        // INVARIANT: The blocks are added.
        *self.ram = Some(name);
        Ok(())
    }

    /// Removes the memory, if it is added. Does not take blocks offline.
    ///
    /// A caller that gives up on memory that cannot be removed must [`forget`](core::mem::forget)
    /// the span. It can also drop the span, which tries once more.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if a block is online. A later call may succeed.
    pub fn remove(&mut self) -> Result {
        if !self.is_added() {
            return Ok(());
        }

        // SAFETY: By the type invariants these are whole blocks, which are added.
        to_result(unsafe { bindings::remove_memory(self.blocks.start(), self.blocks.len()) })?;
        // INVARIANT: The blocks are removed, and with them the resource that used the name.
        *self.ram = None;
        Ok(())
    }

    /// Takes all blocks of the added `spans` offline and removes them. Either all of them are
    /// removed, or none.
    ///
    /// This takes as long as the kernel needs to move the data to other memory. If it fails, it
    /// brings the blocks online again that it took offline.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`] if there is data that cannot be moved.
    /// - [`EINTR`] after a signal.
    /// - [`ENOMEM`].
    pub fn offline_and_remove<'a>(spans: impl IntoIterator<Item = &'a mut Self>) -> Result {
        let mut added = KVec::new();
        let mut ranges = KVec::new();

        for span in spans.into_iter().filter(|span| span.is_added()) {
            let range = bindings::range {
                start: span.blocks.start(),
                end: span.blocks.end(),
            };
            ranges.push(range, GFP_KERNEL)?;
            added.push(span, GFP_KERNEL)?;
        }
        if ranges.is_empty() {
            return Ok(());
        }

        // SAFETY: `ranges` has that many elements. By the type invariants they are whole blocks,
        // which are added.
        to_result(unsafe {
            bindings::offline_and_remove_memory_ranges(
                ranges.as_ptr(),
                c_uint::try_from(ranges.len())?,
            )
        })?;
        for span in added {
            // INVARIANT: The blocks are removed, and with them the resource that used the name.
            *span.ram = None;
        }
        Ok(())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.remove().is_err() {
            // The memory stays, and so do its resources, which point to the names.
            return;
        }

        // SAFETY: These are the flags that the region was requested with. The region is not used
        // after it is dropped.
        unsafe {
            self.region.set_flags(self.requested);
            ManuallyDrop::drop(&mut self.region);
        }
    }
}
