// SPDX-License-Identifier: GPL-2.0

//! Regions: the memory that a provider offers to the dax bus.
//!
//! A provider is a driver of another bus (libnvdimm, CXL, platform devices) that has found memory.
//! It registers a [`Region`] for it. Instances, the devices of the dax bus, are parts of a region.
//! A *static* region has exactly one instance, and the provider chooses its number. User space
//! divides a *dynamic* region.
//!
//! Region and instances belong to the provider's device. When the provider is unbound, devres
//! removes the instances first, and then the region. The provider has no handle to keep and nothing
//! to undo.
//!
//! C header: `drivers/dax/bus.h`

use crate::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::from_err_ptr,
    faux,
    fmt,
    io::resource,
    mm::memremap::DevPagemap,
    numa::NumaNode,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::{
        self,
        NonNull, //
    },
};

/// A flag of a region: its instance appears in the class `dax`. The core in Rust defines this flag.
/// `bus.h` has the others, and this is the next bit.
pub const IORESOURCE_DAX_CLASS: usize = 1 << 2;

/// A flag of a request for a region: the result of a refusal is an `ERR_PTR()` instead of null. The
/// core in Rust defines this flag. The core in C ignores it, and returns null.
pub const IORESOURCE_DAX_ERRNO: usize = 1 << 3;

/// A device that can be the parent of a [`Region`].
///
/// The core stores its region in the driver data of the parent, and the attributes in the parent's
/// `dax_region` directory follow that pointer without a check. So a bus whose Rust adapter keeps
/// the driver's private data there cannot have parents of regions.
///
/// # Safety
///
/// - The type stands for a device that stays bound while it is borrowed. Either its driver is in
///   `probe`, as for a device in the [`Core`](crate::device::Core) context, or only its owner can
///   unbind it.
/// - Until the device is unbound, nothing but the dax core sets or reads its driver data.
pub unsafe trait Parent {
    /// The device itself.
    fn device(&self) -> &Device<Bound>;
}

// SAFETY: A faux device is bound from its creation until its registration is dropped, which a
// borrow prevents. User space cannot unbind it. It has no driver that would use the driver data.
unsafe impl Parent for faux::Registration {
    #[inline]
    fn device(&self) -> &Device<Bound> {
        let dev: &faux::Device<Bound> = self.as_ref();

        dev.as_ref()
    }
}

/// How a [`Region`] is divided and used.
#[derive(Clone, Copy)]
pub struct Flags(c_ulong);

impl Flags {
    /// The region has one instance. User space can neither resize it nor create another one.
    pub const STATIC: Self = Self(bindings::IORESOURCE_DAX_STATIC);

    /// As [`STATIC`](Self::STATIC), but the instance appears in the class `dax`, under
    /// `/sys/class/dax`, and not on the bus. This needs a core in Rust, and a
    /// [`DriverRef`](super::class::DriverRef) while there are such regions.
    pub const CLASS: Self = Self(bindings::IORESOURCE_DAX_STATIC | IORESOURCE_DAX_CLASS);

    /// User space divides the region into instances, and resizes them.
    pub const DYNAMIC: Self = Self(0);

    /// Dynamic, and meant to be System RAM: the bus offers its instances to `kmem` before any other
    /// driver.
    pub const SYSTEM_RAM: Self = Self(bindings::IORESOURCE_DAX_KMEM);
}

/// An align that suits every instance of a dynamic region, in bytes: the size of a pmd.
pub const DEFAULT_ALIGN: u32 = bindings::PMD_SIZE as u32;

/// Physical addresses as messages show them, with both ends included: `0x100000000-0x1ffffffff`.
pub struct Addresses<'a>(pub &'a Range<u64>);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.0;

        write!(f, "0x{:x}-0x{:x}", start, end.saturating_sub(1))
    }
}

/// Physical memory for a region.
///
/// # Invariants
///
/// Firmware or the bus of the provider has set the addresses aside for a driver. There is memory at
/// these addresses as long as the provider is bound. Every user reserves it in `/proc/iomem`
/// before.
pub struct Memory(Range<u64>);

impl Memory {
    /// Creates the value for addresses that the provider's bus knows to be memory.
    ///
    /// # Safety
    ///
    /// `range` fulfils the type invariant.
    pub unsafe fn new(range: Range<u64>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(range)
    }

    /// Creates the value for addresses that firmware describes as soft-reserved or as persistent
    /// memory, all of them as the same.
    ///
    /// May sleep. Fails with [`EINVAL`] for all other addresses.
    pub fn from_firmware(range: Range<u64>) -> Result<Self> {
        let size = range.end.checked_sub(range.start).ok_or(EINVAL)?;
        let is = |kind| {
            // SAFETY: The function only reads the resources.
            let found = unsafe {
                bindings::region_intersects(
                    range.start,
                    size as usize,
                    bindings::IORESOURCE_MEM as usize,
                    kind as c_ulong,
                )
            };

            found == bindings::REGION_INTERSECTS as c_int
        };
        let persistent = [
            bindings::IORES_DESC_PERSISTENT_MEMORY,
            bindings::IORES_DESC_PERSISTENT_MEMORY_LEGACY,
        ];

        if size == 0 || !(persistent.into_iter().any(is) || resource::is_soft_reserved(&range)) {
            return Err(EINVAL);
        }
        // INVARIANT: By the resources, firmware has set the memory aside for drivers.
        Ok(Self(range))
    }
}

/// A region of the dax bus (`struct dax_region`), seen by the provider that registers it.
///
/// # Invariants
///
/// The pointer is to a region that `alloc_dax_region` registered for a device that is bound for
/// `'a`.
pub struct Region<'a> {
    region: NonNull<bindings::dax_region>,
    size: u64,
    _parent: PhantomData<&'a Device<Bound>>,
}

impl<'a> Region<'a> {
    /// Registers `memory` as region number `id`, below `parent`.
    ///
    /// `target_node` is the NUMA node that the memory has, or would have once it is System RAM;
    /// `align`, a power of two in bytes, is the size of the page-table entries that map it.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`] if `memory` is empty, or does not begin and end at a multiple of `align`.
    /// - [`EBUSY`] if `memory` overlaps another region. The core logs this. The core in C does not
    ///   return the reason, so there this can also be a lack of memory.
    /// - [`ENOMEM`], and the errors of creating the files in sysfs.
    #[inline]
    pub fn new(
        parent: &'a impl Parent,
        id: i32,
        memory: Memory,
        target_node: NumaNode,
        align: u32,
        flags: Flags,
    ) -> Result<Self> {
        let range = memory.0;
        let size = range.end.checked_sub(range.start).ok_or(EINVAL)?;

        if size == 0 || (range.start | size) & u64::from(align).wrapping_sub(1) != 0 {
            return Err(EINVAL);
        }

        // A `struct range` names the last byte.
        let mut range = bindings::range {
            start: range.start,
            end: range.end.wrapping_sub(1),
        };

        // SAFETY: By the requirements of `Parent` the device is bound, and only the core uses its
        // driver data. `range` is valid, and the call does not keep a pointer to it.
        let region = unsafe {
            bindings::alloc_dax_region(
                parent.device().as_raw(),
                id,
                &mut range,
                target_node.as_raw(),
                align,
                flags.0 | IORESOURCE_DAX_ERRNO as c_ulong,
            )
        };
        let region = from_err_ptr(region)?;

        // INVARIANT: The region is registered, and stays so until the parent is unbound.
        Ok(Self {
            region: NonNull::new(region).ok_or(EBUSY)?,
            size,
            _parent: PhantomData,
        })
    }

    /// Creates the instance `daxR.I` of a static region. R is the number of the region, and I is
    /// `id`.
    ///
    /// `pgmap` describes the pages; `device_dax` creates them when it binds the instance.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`] if `id` is negative, or if `pgmap` has no range.
    /// - [`ENOMEM`], [`EEXIST`] and the errors of `device_add()`.
    #[inline]
    pub fn create_static(&self, id: i32, pgmap: &DevPagemap) -> Result {
        if id < 0 || pgmap.is_empty() {
            return Err(EINVAL);
        }
        self.create_instance(id, self.size, pgmap.as_raw(), false)
    }

    /// Creates an instance of a dynamic region with the first `size` bytes of the region, or
    /// without memory if `size` is 0. The core chooses the second number in its name.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`] if the region is static, or has fewer bytes than `size`.
    /// - [`EBUSY`] if another instance has some of the memory.
    /// - [`ENOMEM`], and the errors of `device_add()`.
    #[inline]
    pub fn create(&self, size: u64) -> Result {
        self.create_instance(-1, size, ptr::null_mut(), false)
    }

    /// Creates an instance like [`create`](Self::create), and asks `kmem` to put the memmap of its
    /// memory into that memory, if the kernel can.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    #[inline]
    pub fn create_self_contained(&self, size: u64) -> Result {
        self.create_instance(-1, size, ptr::null_mut(), true)
    }

    #[inline]
    fn create_instance(
        &self,
        id: i32,
        size: u64,
        pgmap: *mut bindings::dev_pagemap,
        memmap_on_memory: bool,
    ) -> Result {
        let mut data = bindings::dev_dax_data {
            dax_region: self.region.as_ptr(),
            pgmap,
            size,
            id,
            memmap_on_memory,
        };

        // SAFETY: By the type invariant the region is registered. The core copies the dev_pagemap,
        // if any, and the call keeps no pointer to it or to `data`.
        from_err_ptr(unsafe { bindings::devm_create_dev_dax(&mut data) })?;

        Ok(())
    }
}
