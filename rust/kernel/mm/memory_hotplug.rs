// SPDX-License-Identifier: GPL-2.0

//! Memory hotplug: memory that a driver lends to the page allocator.
//!
//! The unit is the memory block, `/sys/devices/system/memory/memoryN`. A driver reserves a range of
//! whole blocks, a [`Span`], adds it as System RAM, and removes it when the page allocator has none
//! of it any more. The blocks of a span that is added are online or offline each for itself; besides
//! the driver, anybody may change that by way of sysfs, and at any time.
//!
//! Adding is easily undone as long as the blocks are offline. To take a block offline all that is in
//! it has to be moved away, which can take long and can be impossible. So there may be no way to undo
//! the addition of memory; then it stays where it is until the kernel is booted again, and with it
//! everything that refers to it, see [`Span::remove`].
//!
//! All of this sleeps.
//!
//! C headers: [`include/linux/memory_hotplug.h`](srctree/include/linux/memory_hotplug.h),
//! [`include/linux/memory.h`](srctree/include/linux/memory.h)

use crate::{
    bindings,
    error::to_result,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    str::CString,
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        addr_of_mut,
        NonNull, //
    },
};

/// A NUMA node, which need not exist (yet).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Node(c_int);

impl Node {
    /// The node with this number; [`None`] for `NUMA_NO_NODE` and for what is no node.
    #[inline]
    pub fn new(node: c_int) -> Option<Self> {
        (0..bindings::MAX_NUMNODES as c_int)
            .contains(&node)
            .then_some(Self(node))
    }

    /// The number.
    #[inline]
    pub fn id(self) -> c_int {
        self.0
    }
}

/// What becomes of memory blocks when they are added: `enum mmop`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum OnlineType {
    /// They stay offline.
    Offline = bindings::mmop_MMOP_OFFLINE,
    /// They go online, in the zone that the kernel thinks best.
    Online = bindings::mmop_MMOP_ONLINE,
    /// They go online for any use by the kernel, which can make it impossible to remove them.
    Kernel = bindings::mmop_MMOP_ONLINE_KERNEL,
    /// They go online for what can be moved away again.
    Movable = bindings::mmop_MMOP_ONLINE_MOVABLE,
}

impl OnlineType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Offline, Self::Online, Self::Kernel, Self::Movable];

    /// The policy of the system: `/sys/devices/system/memory/auto_online_blocks`.
    pub fn default_policy() -> Self {
        // SAFETY: Has no requirements.
        let policy = unsafe { bindings::mhp_get_default_online_type() };

        Self::from_raw(policy as c_int).unwrap_or(Self::Offline)
    }

    /// The type that has this number in C, if there is one.
    pub fn from_raw(raw: c_int) -> Option<Self> {
        Self::ALL.into_iter().find(|online| online.as_raw() == raw)
    }

    /// The number in C, not negative.
    pub fn as_raw(self) -> c_int {
        self as c_int
    }

    /// The name in sysfs.
    pub fn name(self) -> &'static CStr {
        // SAFETY: The number is one of `enum mmop`, for which C has a static string.
        unsafe { CStr::from_char_ptr(bindings::mhp_online_type_to_str(self.as_raw())) }
    }
}

/// The size of a memory block in bytes, a power of two. It does not change.
pub fn block_size() -> u64 {
    // SAFETY: Has no requirements.
    unsafe { bindings::memory_block_size_bytes() as u64 }
}

/// A memory block.
#[derive(Clone, Copy)]
pub struct Block(u64);

impl Block {
    /// The N in `/sys/devices/system/memory/memoryN`.
    pub fn id(self) -> u64 {
        self.0
    }

    /// Whether the page allocator has it, at this moment.
    pub fn is_online(self) -> bool {
        // The last page, since the first ones may hold the memory map.
        let end = self.0.saturating_add(1).saturating_mul(block_size());
        let pfn = (end >> PAGE_SHIFT).saturating_sub(1);

        // SAFETY: Takes any number.
        unsafe { !bindings::pfn_to_online_page(pfn as c_ulong).is_null() }
    }
}

/// A range of physical addresses that is made of whole memory blocks.
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
    /// The whole blocks in the range from `start` to `end`, which is a part of it; [`None`] if there
    /// are none.
    pub fn within(start: u64, end: u64) -> Option<Self> {
        let size = block_size();
        let start = start.checked_next_multiple_of(size)?;
        let len = end.checked_add(1)?.checked_sub(start)?;
        let len = len.wrapping_sub(len & size.wrapping_sub(1));

        // INVARIANT: Both were rounded, and the end is not after the one that was given.
        (len > 0).then_some(Self { start, len })
    }

    /// The first address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The last address.
    pub fn end(&self) -> u64 {
        self.start.wrapping_add(self.len).wrapping_sub(1)
    }

    /// The length in bytes, never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The blocks, lowest address first.
    pub fn iter(&self) -> impl Iterator<Item = Block> {
        let size = block_size();
        let block = |addr: u64| addr.checked_div(size).unwrap_or(0);

        (block(self.start)..block(self.start.wrapping_add(self.len))).map(Block)
    }
}

/// A static memory group: memory that is added and removed in one go, as that of a DIMM is.
///
/// The kernel chooses better zones when it knows what belongs together.
///
/// # Invariants
///
/// `self.0` is a memory group that C registered, and nobody but this unregisters it.
pub struct Group(c_int);

impl Group {
    /// Registers a group for up to `bytes` of memory in `node`.
    ///
    /// Fails with `EINVAL` if that is none or if the kernel did not prepare for the node when it
    /// booted, and with `ENOMEM`.
    pub fn new(node: Node, bytes: u64) -> Result<Self> {
        let pages = c_ulong::try_from(bytes.div_ceil(PAGE_SIZE as u64))?;

        // SAFETY: Takes any numbers.
        let id = unsafe { bindings::memory_group_register_static(node.id(), pages) };
        to_result(id)?;
        // INVARIANT: Registered just now.
        Ok(Self(id))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // As long as there are blocks that belong to the group C refuses, and the group stays.
        // SAFETY: By the type invariants.
        unsafe { bindings::memory_group_unregister(self.0) };
    }
}

/// A range of physical memory that is reserved for System RAM, and may be added as such.
///
/// Dropping it releases the reservation. Memory that is still added is removed before; if that is
/// not possible, both stay, together with their names in `/proc/iomem`.
///
/// # Invariants
///
/// - `resource` is one that we requested for `blocks` and the name `name`, so nobody else uses the
///   memory that is there.
/// - If there is a `ram` the blocks were added under that name, and were not removed since;
///   otherwise none of them is a memory block.
pub struct Span {
    blocks: Blocks,
    resource: NonNull<bindings::resource>,
    name: ManuallyDrop<CString>,
    ram: ManuallyDrop<Option<CString>>,
}

// SAFETY: The resource belongs to the span, and C does not care who releases it.
unsafe impl Send for Span {}

impl Span {
    /// Reserves the blocks, for `name`.
    ///
    /// Fails with `EBUSY` if somebody has a part of them, and with `ENOMEM`.
    ///
    /// # Safety
    ///
    /// There is memory at all of these addresses for as long as it is reserved, and whoever does not
    /// reserve it does not use it.
    pub unsafe fn reserve(blocks: Blocks, name: &CStr) -> Result<Self> {
        let name = CString::try_from(name)?;

        // SAFETY: `iomem_resource` is valid, and the name lives at least as long as the resource.
        let resource = NonNull::new(unsafe {
            bindings::__request_region(
                addr_of_mut!(bindings::iomem_resource),
                blocks.start(),
                blocks.len(),
                name.as_char_ptr(),
                0,
            )
        })
        .ok_or(EBUSY)?;

        // Memory is added below it, so it cannot be busy, and is not of the kind of its parent.
        // SAFETY: The resource is valid, and is ours.
        unsafe {
            (*resource.as_ptr()).flags =
                (bindings::IORESOURCE_MEM | bindings::IORESOURCE_SYSRAM) as c_ulong
        };

        // INVARIANT: Requested just now, and what nobody had cannot be memory blocks.
        Ok(Self {
            blocks,
            resource,
            name: ManuallyDrop::new(name),
            ram: ManuallyDrop::new(None),
        })
    }

    /// The addresses.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Whether it is System RAM now.
    pub fn is_added(&self) -> bool {
        self.ram.is_some()
    }

    /// Adds the memory to the node of `group`, and the blocks to those of the page allocator if
    /// `online` says so. Blocks that cannot be brought online are no failure; see
    /// [`Block::is_online`].
    ///
    /// `name`, which is that of `System RAM (...)` in `/proc/iomem`, keeps kexec from taking it for
    /// memory that is there from the start. With `memmap_on_memory` the memory map is in the memory
    /// itself, if the kernel is able to and was told to.
    ///
    /// Fails with `EEXIST` if it is added already or a block is there, `EINVAL` if the name does not
    /// have that form or the machine cannot address the memory, and with `ENOMEM`.
    // Inlined, since C exports the function that this calls to `kmem` alone.
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

        // SAFETY: By the type invariants this is whole blocks of memory that are not in use. The name
        // lives as long as the resource that gets it, which is until the memory is removed.
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
        // INVARIANT: They are added.
        *self.ram = Some(name);
        Ok(())
    }

    /// Removes the memory, if it is added. Does not take blocks offline.
    ///
    /// Fails with `EBUSY` if a block is online. What cannot be removed now perhaps can later, or never.
    /// Who gives it up must [`forget`](core::mem::forget) the span, or drop it, which tries again.
    pub fn remove(&mut self) -> Result {
        if !self.is_added() {
            return Ok(());
        }

        // SAFETY: By the type invariants this is whole blocks, which were added.
        to_result(unsafe { bindings::remove_memory(self.blocks.start(), self.blocks.len()) })?;
        // INVARIANT: They are not added any more, and nobody uses the name.
        *self.ram = None;
        Ok(())
    }

    /// Takes all blocks of those `spans` that are added offline and removes them: all, or none.
    ///
    /// Takes as long as there is something that could be moved away. Fails with `EBUSY` if there is
    /// something that cannot, with `EINTR` after a signal, and with `ENOMEM`; what was taken offline
    /// until then is brought online again.
    pub fn offline_and_remove(spans: &mut [Self]) -> Result {
        let mut ranges = KVec::with_capacity(spans.len(), GFP_KERNEL)?;

        for Self { blocks, .. } in spans.iter().filter(|span| span.is_added()) {
            let range = bindings::range {
                start: blocks.start(),
                end: blocks.end(),
            };
            ranges.push_within_capacity(range).map_err(|_| ENOMEM)?;
        }
        if ranges.is_empty() {
            return Ok(());
        }

        // SAFETY: There are that many ranges; by the type invariants they are whole blocks, which
        // were added.
        to_result(unsafe {
            bindings::offline_and_remove_memory_ranges(
                ranges.as_ptr(),
                c_uint::try_from(ranges.len())?,
            )
        })?;
        for span in spans {
            // INVARIANT: None of them is added any more, and nobody uses the names.
            *span.ram = None;
        }
        Ok(())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.remove().is_err() {
            // The memory stays, with its resources, and they have pointers to the names.
            return;
        }

        // SAFETY: By the type invariants the resource is ours, has no children, and comes from
        // `kmalloc()`; it has the only pointer to the name, which nobody uses after this.
        unsafe {
            bindings::remove_resource(self.resource.as_ptr());
            bindings::kfree(self.resource.as_ptr().cast());
            ManuallyDrop::drop(&mut self.name);
        }
    }
}
