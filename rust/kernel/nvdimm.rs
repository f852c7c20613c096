// SPDX-License-Identifier: GPL-2.0

//! Drivers on libnvdimm's bus, for namespaces of persistent memory in devdax mode.
//!
//! libnvdimm divides persistent memory into *regions*, and regions into *namespaces*. Its bus,
//! `nd`, has a device for each region and each namespace. A namespace in devdax mode is claimed by
//! another device, of type `nd_dax`. This module has the abstraction for drivers of such devices,
//! [`Dax`]. The *info block*, at offset 4 KiB of the namespace, records the size of the metadata
//! and the start of the data.
//!
//! libnvdimm is C and can be a module, while this crate is part of the kernel image. So each
//! function here that calls libnvdimm is `#[inline]` or generic: only modules then refer to its
//! symbols. The same holds for functions that reserve or map memory, here and in
//! [`mod@crate::mm::memremap`], because `tools/testing/nvdimm` can redirect such calls only in
//! modules.
//!
//! C headers: [`include/linux/nd.h`](srctree/include/linux/nd.h), `drivers/nvdimm/nd.h`,
//! `drivers/nvdimm/pfn.h`
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     device::Core,
//!     nvdimm::{
//!         self,
//!         Dax, //
//!     },
//! };
//!
//! struct Example;
//!
//! impl nvdimm::Driver for Example {
//!     fn probe(dax: &Dax<Core<'_>>) -> Result {
//!         let namespace = dax.namespace().ok_or(ENODEV)?;
//!
//!         dev_info!(dax, "{} at 0x{:x}\n", namespace.name(), namespace.range().start);
//!         Ok(())
//!     }
//! }
//! ```

use crate::{
    alloc::NumaNode,
    bindings,
    container_of,
    dax,
    device::{
        self,
        AsBusDevice,
        Bound,
        Core,
        DeviceContext, //
    },
    driver,
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    mm::memremap::DevPagemap,
    page::PAGE_SIZE,
    prelude::*,
    sizes::SZ_4K,
    str::CStrExt as _,
    sync::atomic::{
        AtomicFlag,
        Full,
        Release, //
    },
    types::Opaque,
    ModuleMetadata,
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        size_of, //
    },
    ops::Range,
    ptr::NonNull, //
};

/// Size in bytes of the info block and the 4 KiB before it. No data of a namespace with an info
/// block begins before this offset.
pub const INFO_BLOCK_RESERVE: u64 = (2 * SZ_4K).next_multiple_of(PAGE_SIZE) as u64;

/// Size in bytes of the memmap's entry for one page.
pub const PAGE_STRUCT_SIZE: u64 = size_of::<bindings::page>() as u64;

/// Returns the alignment in bytes that the address of a namespace needs for a memmap.
#[inline]
pub fn mapping_boundary() -> u64 {
    // SAFETY: The function has no preconditions. It only returns a number.
    unsafe { bindings::memremap_compat_align() as u64 }
}

/// An adapter for the registration of libnvdimm drivers.
///
/// Private, because code that can name it could register a driver without a [`DriverToken`].
struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::nd_device_driver` is a C type declared as `repr(C)`.
// - The driver has no device private data: `()`. See `register`.
// - `struct nd_device_driver` embeds a `struct device_driver` at `DEVICE_DRIVER_OFFSET`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::nd_device_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, drv);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        ndrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct nd_device_driver` on initialization.
        unsafe {
            (*ndrv.get()).drv.name = name.as_char_ptr();
            (*ndrv.get()).probe = Some(Self::probe_callback);
            (*ndrv.get()).type_ = bindings::nd_driver_flags_ND_DRIVER_DAX_PMEM as c_ulong;

            // The generic registration would free the driver data after unbind, as private data of
            // a driver in Rust. But the driver data of these devices is a region of the dax core.
            // The core frees it itself, and the region's attributes use it until devres removes
            // them.
            (*ndrv.get()).drv.p_cb.post_unbind_rust = None;
        }

        // SAFETY: `ndrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe {
            bindings::__nd_driver_register(ndrv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(ndrv: &Opaque<Self::DriverType>) {
        // SAFETY: `ndrv` is guaranteed to be a valid, registered `DriverType`.
        unsafe { bindings::driver_unregister(&raw mut (*ndrv.get()).drv) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: libnvdimm's bus calls `probe` only with a valid device of a type that the driver
        // was registered for. The driver was registered for `ND_DEVICE_DAX_PMEM`, the type of the
        // device in a `struct nd_dax`.
        //
        // INVARIANT: The device is valid for the duration of `probe_callback()`.
        let dax =
            unsafe { Dax::<Core<'_>>::from_device(device::Device::<Core<'_>>::from_raw(dev)) };

        from_result(|| T::probe(dax).map(|()| 0))
    }
}

/// Whether a [`DriverToken`] exists.
static TAKEN: AtomicFlag = AtomicFlag::new(false);

/// The permission to register the driver of namespaces in devdax mode.
///
/// At most one module has it at a time, because user space does not choose between drivers: ndctl
/// offers a namespace to all drivers on libnvdimm's bus, in no particular order, and the first one
/// whose probe succeeds keeps it.
///
/// # Invariants
///
/// At most one value exists, and `TAKEN` is set while it exists.
pub struct DriverToken(());

impl DriverToken {
    /// Takes the token. Returns [`None`] if another module has it.
    pub fn take() -> Option<Self> {
        // INVARIANT: `TAKEN` was clear before, so no other value exists.
        (!TAKEN.xchg(true, Full)).then_some(Self(()))
    }
}

impl Drop for DriverToken {
    fn drop(&mut self) {
        TAKEN.store(false, Release);
    }
}

/// The registration of the driver of namespaces in devdax mode. Dropping it unregisters the driver.
///
/// With the alias `nd:t7*`, user space loads the driver's module when such a device appears.
pub struct Registration<T: Driver + 'static> {
    // Dropped in this order.
    _driver: Pin<KBox<driver::Registration<Adapter<T>>>>,
    _token: DriverToken,
}

impl<T: Driver + 'static> Registration<T> {
    /// Registers the driver under the name of its module. May sleep.
    ///
    /// Namespaces that exist already are probed before this returns.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and the errors of `driver_register()`.
    #[inline]
    pub fn new<M: ModuleMetadata>(token: DriverToken, module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _driver: KBox::pin_init(driver::Registration::new(M::NAME, module), GFP_KERNEL)?,
            _token: token,
        })
    }
}

/// A driver of namespaces in devdax mode.
///
/// Such a driver has no private data and no `unbind`. The device is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core stores that region in the driver
/// data. Devres releases the resources that `probe` acquires.
pub trait Driver {
    /// Called when libnvdimm has a device for the driver.
    fn probe<'bound>(dax: &'bound Dax<Core<'_>>) -> Result;
}

/// The device that claims a namespace for devdax mode: `struct nd_dax`.
///
/// libnvdimm creates one when it finds a namespace with an info block for that mode. Each libnvdimm
/// region also has one that claims no namespace, the *seed*. User space configures the seed.
///
/// # Invariants
///
/// A [`Dax`] represents a valid `struct nd_dax` whose parent is a `struct nd_region`.
#[repr(transparent)]
pub struct Dax<Ctx: DeviceContext = device::Normal>(Opaque<bindings::nd_dax>, PhantomData<Ctx>);

impl<Ctx: DeviceContext> Dax<Ctx> {
    #[inline]
    fn pfn(&self) -> *mut bindings::nd_pfn {
        // SAFETY: By the type invariant, `self` is a valid `struct nd_dax`.
        unsafe { &raw mut (*self.0.get()).nd_pfn }
    }

    /// Returns the target node of the libnvdimm region.
    #[inline]
    pub fn target_node(&self) -> NumaNode {
        // SAFETY: By the type invariant, the parent is a valid `struct nd_region`. The device keeps
        // its parent alive. libnvdimm sets the node before it registers the region.
        let node = unsafe {
            let parent = (*self.pfn()).dev.parent;

            (*container_of!(parent, bindings::nd_region, dev)).target_node
        };

        NumaNode::from_raw(node)
    }
}

// SAFETY: `Dax` is a transparent wrapper of `struct nd_dax`, which has a valid device at the
// offset.
unsafe impl<Ctx: DeviceContext> AsBusDevice<Ctx> for Dax<Ctx> {
    const OFFSET: usize = offset_of!(bindings::nd_dax, nd_pfn.dev);
}

impl<Ctx: DeviceContext> AsRef<device::Device<Ctx>> for Dax<Ctx> {
    #[inline]
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant, `self.pfn()` is valid, and so is the device in it.
        unsafe { device::Device::from_raw(&raw mut (*self.pfn()).dev) }
    }
}

// SAFETY: `Dax` is a transparent wrapper of a type that doesn't depend on `Dax`'s generic argument.
kernel::impl_device_context_deref!(unsafe { Dax });

// SAFETY: In the `Core` context the driver is being probed, since it has no other callback.
// `Adapter` does not use the driver data.
unsafe impl dax::region::Parent for Dax<Core<'_>> {
    #[inline]
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}

/// Where the memmap of a namespace is, or is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MemmapLocation {
    /// In System RAM: `--map=mem`.
    Ram,
    /// In the namespace, between the info block and the data: `--map=dev`.
    Namespace,
}

impl MemmapLocation {
    fn from_raw(mode: u32) -> Option<Self> {
        match mode {
            bindings::nd_pfn_mode_PFN_MODE_RAM => Some(Self::Ram),
            bindings::nd_pfn_mode_PFN_MODE_PMEM => Some(Self::Namespace),
            _ => None,
        }
    }
}

impl Dax<Bound> {
    /// Returns the device's UUID, or [`None`] if it is not set.
    #[inline]
    fn uuid(&self) -> Option<[u8; 16]> {
        // SAFETY: By the type invariant, `self.pfn()` is valid. A UUID that is set has 16 valid
        // bytes and does not change while a driver is bound.
        unsafe { (*self.pfn()).uuid.as_ref().map(|uuid| uuid.b) }
    }
}

impl Dax<Core<'_>> {
    /// Returns the namespace that the device claims, or [`None`] for a seed.
    #[inline]
    pub fn namespace(&self) -> Option<Namespace<'_>> {
        // SAFETY: By the type invariant, `self.pfn()` is valid. libnvdimm changes the claim only
        // under the device lock, which a bus callback holds, and never while a driver is bound.
        let ndns = NonNull::new(unsafe { (*self.pfn()).ndns })?;

        // INVARIANT: The claim holds a reference on the namespace, and does not change while the
        // driver is bound, as above.
        Some(Namespace { ndns, dax: self })
    }

    /// Whether a driver of this name is registered on libnvdimm's bus.
    #[inline]
    pub fn has_driver(&self, name: &CStr) -> bool {
        let dev: &device::Device<Bound> = self.as_ref();

        // SAFETY: A device that is being probed is valid and has a bus. The returned pointer is not
        // dereferenced.
        let driver = unsafe { bindings::driver_find(name.as_char_ptr(), (*dev.as_raw()).bus) };

        !driver.is_null()
    }

    /// Returns the align that the device is configured for, in bytes.
    #[inline]
    pub fn align(&self) -> u64 {
        // SAFETY: By the type invariant, `self.pfn()` is valid. libnvdimm changes the align only
        // under the device lock, which a bus callback holds.
        unsafe { (*self.pfn()).align as u64 }
    }

    /// Returns where the device is configured to have its memmap, or [`None`] if that is not set.
    #[inline]
    pub fn map(&self) -> Option<MemmapLocation> {
        // SAFETY: By the type invariant, `self.pfn()` is valid. libnvdimm changes the mode only
        // under the device lock, which a bus callback holds.
        MemmapLocation::from_raw(unsafe { (*self.pfn()).mode })
    }
}

/// A namespace, for the driver of the device that claims it: `struct nd_namespace_common`.
///
/// # Invariants
///
/// - `dax` claims the namespace during `'a`, so `ndns` is valid.
/// - `ndns` is embedded in a `struct nd_namespace_io`, as in every namespace of persistent memory.
pub struct Namespace<'a> {
    ndns: NonNull<bindings::nd_namespace_common>,
    dax: &'a Dax<Bound>,
}

impl Namespace<'_> {
    fn nsio(&self) -> *mut bindings::nd_namespace_io {
        // SAFETY: By the type invariant, `ndns` is embedded in a `struct nd_namespace_io`.
        unsafe { container_of!(self.ndns.as_ptr(), bindings::nd_namespace_io, common) }
    }

    /// Returns the name, `namespaceR.I`.
    pub fn name(&self) -> &CStr {
        // SAFETY: By the type invariant, the namespace and the device in it are valid.
        unsafe { CStr::from_char_ptr(bindings::dev_name(&raw mut (*self.ndns.as_ptr()).dev)) }
    }

    /// Returns R and I of the name: the number of the libnvdimm region, and that of the namespace
    /// in it.
    ///
    /// The name is the only place where libnvdimm keeps I for a namespace without a label.
    pub fn ids(&self) -> Result<(i32, i32)> {
        let name = self.name().to_str().map_err(|_| EINVAL)?;
        let ids = name.strip_prefix("namespace").ok_or(EINVAL)?;
        // Not `split_once()`: it leaves a panic for an overflow in the object code.
        let dot = ids.bytes().position(|byte| byte == b'.').ok_or(EINVAL)?;
        let parse = |id: Option<&str>| id.and_then(|id| id.parse().ok()).ok_or(EINVAL);

        Ok((
            parse(ids.get(..dot))?,
            parse(ids.get(dot.wrapping_add(1)..))?,
        ))
    }

    /// Returns the physical addresses of the whole namespace, metadata included.
    #[inline]
    pub fn range(&self) -> Range<u64> {
        // SAFETY: By the type invariants, `nsio()` is valid.
        let res = unsafe { &(*self.nsio()).res };

        res.start..res.end.saturating_add(1)
    }

    /// Returns a part of the namespace as memory for a region of the dax bus.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if `range` is not in the namespace.
    pub fn memory(&self, range: Range<u64>) -> Result<dax::region::Memory> {
        let whole = self.range();

        if range.start < whole.start || range.end > whole.end {
            return Err(EINVAL);
        }
        // SAFETY: libnvdimm got the addresses from firmware. By the type invariant, the device that
        // becomes the provider claims the namespace, and does so while it is bound.
        Ok(unsafe { dax::region::Memory::new(range) })
    }

    /// Reserves the first `size` bytes until the device that claims the namespace is unbound.
    /// `/proc/iomem` shows them under the namespace's name.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the namespace is smaller, [`EBUSY`] if another user has reserved any of them.
    #[inline]
    pub fn reserve_metadata(&self, size: u64) -> Result {
        let range = self.range();

        if size > range.end.saturating_sub(range.start) {
            return Err(EINVAL);
        }
        // SAFETY: The device is bound. The name lives as long as the namespace, which the device
        // claims until it is unbound.
        let res = unsafe {
            bindings::__devm_request_region(
                self.dax.as_ref().as_raw(),
                &raw mut bindings::iomem_resource,
                range.start,
                size,
                self.name().as_char_ptr(),
            )
        };

        if res.is_null() {
            return Err(EBUSY);
        }

        Ok(())
    }

    /// Checks that the device can use the namespace that it claims.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`] if the namespace is active in another mode.
    /// - [`EACCES`] if a DIMM below it is locked.
    /// - [`ENODEV`] if it has no capacity, or it or the device has no UUID.
    #[inline]
    pub fn claim(&self) -> Result<Claim<'_>> {
        // `nvdimm_setup_pfn` refuses a device without a UUID, but only after the check below. That
        // check treats the device as a namespace, and if the UUID is null, it reads fields that
        // only a namespace has.
        self.dax.uuid().ok_or(ENODEV)?;

        // SAFETY: By the type invariant of `Dax`, the argument is a valid device of libnvdimm's
        // bus.
        let ndns = from_err_ptr(unsafe {
            bindings::nvdimm_namespace_common_probe(self.dax.as_ref().as_raw())
        })?;

        if ndns != self.ndns.as_ptr() {
            return Err(ENXIO);
        }

        // INVARIANT: libnvdimm has just checked that the namespace itself is not bound.
        Ok(Claim(self))
    }
}

/// A claimed namespace that no other driver uses.
///
/// # Invariants
///
/// While the device that claims the namespace is bound, no driver is bound to the namespace itself.
pub struct Claim<'a>(&'a Namespace<'a>);

impl<'a> Claim<'a> {
    /// Makes the info block accessible.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if another user has its addresses, [`ENOMEM`], or an error of mapping them. Devres
    /// releases what was acquired before the error, when the probe fails.
    #[inline]
    pub fn enable(self) -> Result<InfoBlockAccess<'a>> {
        // SAFETY: By the type invariants, device and namespace are valid, and no other driver has
        // enabled the namespace.
        to_result(unsafe {
            bindings::devm_namespace_enable(
                self.0.dax.as_ref().as_raw(),
                self.0.ndns.as_ptr(),
                INFO_BLOCK_RESERVE,
            )
        })?;

        // INVARIANT: The call above enabled it.
        Ok(InfoBlockAccess(self.0))
    }
}

/// Access to the info block of a namespace. Dropping it ends the access.
///
/// # Invariants
///
/// The namespace is enabled for the device that claims it.
pub struct InfoBlockAccess<'a>(&'a Namespace<'a>);

impl Drop for InfoBlockAccess<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the namespace is enabled for this device.
        unsafe {
            bindings::devm_namespace_disable(self.0.dax.as_ref().as_raw(), self.0.ndns.as_ptr())
        };
    }
}

impl InfoBlockAccess<'_> {
    /// Reads the info block. Without an info block, the result contains the bytes at its place.
    ///
    /// # Errors
    ///
    /// [`EIO`] if the media has an error there; [`ENOMEM`].
    #[inline]
    pub fn read(&self) -> Result<InfoBlock> {
        let ndns = self.0.ndns.as_ptr();
        // SAFETY: An enabled namespace is valid, and its callback is null or a function.
        let rw_bytes = unsafe { (*ndns).rw_bytes }.ok_or(ENXIO)?;
        let mut sb = KBox::<bindings::nd_pfn_sb>::zeroed(GFP_KERNEL)?;
        let buf: *mut bindings::nd_pfn_sb = &mut *sb;

        // SAFETY: By the type invariant, the namespace is enabled. `enable()` mapped the first
        // `INFO_BLOCK_RESERVE` bytes, which include the info block. `buf` is valid for writes of
        // the given size.
        let read = to_result(unsafe {
            rw_bytes(
                ndns,
                SZ_4K as u64,
                buf.cast(),
                size_of::<bindings::nd_pfn_sb>(),
                bindings::READ as c_int,
                0,
            )
        });

        read.map(|()| {
            // SAFETY: `buf` is valid for reads. Every kind of info block has the size of a
            // `struct nd_gen_sb`, and its checksum at the same offset.
            let checksum = unsafe { bindings::nd_sb_checksum(buf.cast()) };

            InfoBlock::new(&sb, checksum == u64::from_le(sb.checksum))
        })
    }

    /// Reads the info block and fills `pgmap` from it. If there is no info block, libnvdimm first
    /// writes one from the device's configuration.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for most faults of an info block; also [`ENXIO`], [`EINVAL`], [`EBUSY`].
    /// libnvdimm logs some of them, not all.
    #[inline]
    pub fn set_up(self, pgmap: &mut DevPagemap) -> Result<InfoBlock> {
        let nd_pfn = self.0.dax.pfn();

        // SAFETY: By the type invariant of `Dax`, `nd_pfn` is valid. Its namespace is enabled.
        let fill = |pgmap| to_result(unsafe { bindings::nvdimm_setup_pfn(nd_pfn, pgmap) });

        // SAFETY: On success, `nvdimm_setup_pfn` has filled in one range.
        if let Err(e) = unsafe { pgmap.fill_single(fill) } {
            // To clear media errors, libnvdimm disables the namespace and enables it again for all
            // of the metadata. If the second step failed, a disable here would be wrong. Devres
            // disables the namespace when the probe fails.
            core::mem::forget(self);
            return Err(e);
        }

        // SAFETY: On success, `pfn_sb` points to an info block that is valid until the device is
        // unbound.
        Ok(InfoBlock::new(unsafe { &*(*nd_pfn).pfn_sb }, true))
    }
}

/// The info block of a namespace in devdax or fsdax mode, in this machine's byte order:
/// `struct nd_pfn_sb`.
///
/// An old minor version lacks some fields. They have the values that libnvdimm assumes for them.
#[derive(Clone, Copy)]
pub struct InfoBlock {
    /// Whether the signature is that of devdax mode.
    is_devdax: bool,
    /// Whether the checksum is right.
    pub is_intact: bool,
    /// Major and minor version. libnvdimm writes 1.4, and ignores the major version when it reads.
    pub version: (u16, u16),
    /// The UUID of the device that the block was written for.
    uuid: [u8; 16],
    /// Where the memmap is, as libnvdimm's number.
    pub mode: u32,
    /// Where the data begins, in bytes from the beginning of the namespace plus `start_pad`.
    pub data_offset: u64,
    /// The number of pages of data.
    pub npfns: u64,
    /// Unused bytes at the beginning of the namespace. Linux writes 0 since 5.1.
    pub start_pad: u32,
    /// Unused bytes at the end of the namespace.
    pub end_trunc: u32,
    /// Size of the page-table entries that map the data, in bytes.
    pub align: u64,
}

impl InfoBlock {
    fn new(sb: &bindings::nd_pfn_sb, is_intact: bool) -> Self {
        let minor = u16::from_le(sb.version_minor);
        let since = |version, value: u32| {
            if minor < version {
                0
            } else {
                u32::from_le(value)
            }
        };
        let data_offset = u64::from_le(sb.dataoff);

        Self {
            is_devdax: bindings::DAX_SIG.starts_with(&sb.signature),
            is_intact,
            version: (u16::from_le(sb.version_major), minor),
            uuid: sb.uuid,
            mode: u32::from_le(sb.mode),
            data_offset,
            npfns: u64::from_le(sb.npfns),
            start_pad: since(1, sb.start_pad),
            end_trunc: since(1, sb.end_trunc),
            align: match since(2, sb.align) {
                // The largest power of two that is not above the offset.
                0 => data_offset.checked_ilog2().map_or(0, |bit| 1 << bit),
                align => align.into(),
            },
        }
    }

    /// Returns where the memmap is, or [`None`] if libnvdimm does not know the number in `mode`.
    pub fn map(&self) -> Option<MemmapLocation> {
        MemmapLocation::from_raw(self.mode)
    }

    /// Whether the block was written for this device, and not for an earlier one at the same
    /// addresses.
    pub fn is_of(&self, dax: &Dax<Core<'_>>) -> bool {
        self.is_devdax && dax.uuid() == Some(self.uuid)
    }
}
