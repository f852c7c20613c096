// SPDX-License-Identifier: GPL-2.0

//! Drivers on libnvdimm's bus: persistent memory as it becomes a namespace in some mode.
//!
//! libnvdimm divides persistent memory into *regions*, those into *namespaces*, and puts a device
//! on its bus (`nd`) for each of them, and one more for the mode that a namespace is in. A
//! namespace in devdax mode is claimed by a device of type `nd_dax`, here [`Dax`]; drivers for
//! those are what this module is for. How big the metadata is and where the data begins is
//! recorded in the *info block*, 4 KiB into the namespace.
//!
//! libnvdimm itself stays as it is. It can be a module, while this crate is part of the kernel
//! image: whatever calls into it is `#[inline]` or generic, so that only modules refer to its
//! symbols. So is what reserves or maps memory here and in [`mod@crate::mm::memremap`]:
//! `tools/testing/nvdimm` redirects such calls of a module, and of nothing else.
//!
//! C headers: [`include/linux/nd.h`](srctree/include/linux/nd.h), `drivers/nvdimm/nd.h`,
//! `drivers/nvdimm/pfn.h`

use crate::{
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
    mm::memremap::PageMap,
    page::PAGE_SIZE,
    prelude::*,
    sizes::SZ_4K,
    str::{
        c_name::c_name,
        CStrExt as _, //
    },
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

/// What every namespace with an info block keeps free at its beginning, in bytes: the block, and
/// the 4 KiB before it.
pub const INFO_BLOCK_RESERVE: u64 = (2 * SZ_4K).next_multiple_of(PAGE_SIZE) as u64;

/// What the page map takes for each page, in bytes.
pub const PAGE_STRUCT_SIZE: u64 = size_of::<bindings::page>() as u64;

/// Returns what the address of a namespace must be a multiple of, for it to have a page map.
#[inline]
pub fn mapping_boundary() -> u64 {
    // SAFETY: Only returns a number.
    unsafe { bindings::memremap_compat_align() as u64 }
}

/// An adapter for the registration of libnvdimm drivers.
///
/// Not public: with it a driver could be registered without a [`Turn`].
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

            // The generic registration frees, after unbind, what it takes for the private data of
            // a driver in Rust. The driver data of these devices holds a region of the dax core,
            // which frees it itself, and whose attributes use it for longer: until devres removes
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
        // SAFETY: libnvdimm's bus only calls `probe` with a valid device, of one of the types that
        // the driver was registered for: `ND_DEVICE_DAX_PMEM`, which is the device in a
        // `struct nd_dax`.
        //
        // INVARIANT: The device is valid for the duration of `probe_callback()`.
        let dax =
            unsafe { Dax::<Core<'_>>::from_device(device::Device::<Core<'_>>::from_raw(dev)) };

        from_result(|| T::probe(dax).map(|()| 0))
    }
}

/// Whether there is a [`Turn`].
static TAKEN: AtomicFlag = AtomicFlag::new(false);

/// The right to have the driver of namespaces in devdax mode.
///
/// At most one module has it at a time, since user space does not choose between drivers: ndctl
/// offers a namespace to all drivers on libnvdimm's bus, in no particular order, and leaves it to
/// the first that takes it.
///
/// # Invariants
///
/// There is one value at most, and only while `TAKEN` is set.
pub struct Turn(());

impl Turn {
    /// Takes the right; [`None`] if somebody has it.
    pub fn take() -> Option<Self> {
        // INVARIANT: Nobody has it if this was not set before.
        (!TAKEN.xchg(true, Full)).then_some(Self(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Release);
    }
}

/// The driver of namespaces in devdax mode, registered until this is dropped.
///
/// The alias `nd:t7*` has user space load its module.
pub struct Registration<T: Driver + 'static> {
    // Dropped in this order.
    _driver: Pin<KBox<driver::Registration<Adapter<T>>>>,
    _turn: Turn,
}

impl<T: Driver + 'static> Registration<T> {
    /// Registers the driver, under the name of its module.
    ///
    /// Namespaces that are waiting are probed before this returns. Sleeps. Fails with [`ENOMEM`],
    /// and as `driver_register()` does.
    #[inline]
    pub fn new<M: ModuleMetadata>(turn: Turn, module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _driver: KBox::pin_init(driver::Registration::new(M::NAME, module), GFP_KERNEL)?,
            _turn: turn,
        })
    }
}

/// A driver of namespaces in devdax mode.
///
/// There is no private data, and no `unbind`: a device of this type is the parent of a
/// [region](dax::region::Region) of the dax bus, and the dax core keeps that in the driver data of
/// its parent. What `probe` acquires belongs to the device and goes with devres.
pub trait Driver {
    /// Called when libnvdimm has a device for the driver.
    fn probe<'bound>(dax: &'bound Dax<Core<'_>>) -> Result;
}

/// What claims a namespace for devdax mode: `struct nd_dax`.
///
/// libnvdimm creates one when it finds a namespace with an info block for that mode. It also keeps
/// an unclaimed one in each region, the *seed*, for user space to configure.
///
/// # Invariants
///
/// A [`Dax`] represents a valid `struct nd_dax`, with a `struct nd_region` for a parent.
#[repr(transparent)]
pub struct Dax<Ctx: DeviceContext = device::Normal>(Opaque<bindings::nd_dax>, PhantomData<Ctx>);

impl<Ctx: DeviceContext> Dax<Ctx> {
    #[inline]
    fn pfn(&self) -> *mut bindings::nd_pfn {
        // SAFETY: By the type invariant, `self` is a valid `struct nd_dax`.
        unsafe { &raw mut (*self.0.get()).nd_pfn }
    }

    /// Returns the NUMA node that the memory of the device's region would be in as System RAM.
    #[inline]
    pub fn target_node(&self) -> i32 {
        // SAFETY: By the type invariant, the parent is a valid `struct nd_region`, which a device
        // below it keeps alive; the node is set before the region is registered.
        unsafe {
            let parent = (*self.pfn()).dev.parent;

            (*container_of!(parent, bindings::nd_region, dev)).target_node
        }
    }
}

// SAFETY: `Dax` is a transparent wrapper of `struct nd_dax`, which has a valid device at the offset.
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

// SAFETY: In the `Core` context the driver is being probed (it has no other callback), and
// `Adapter` leaves the driver data alone.
unsafe impl dax::region::Parent for Dax<Core<'_>> {
    #[inline]
    fn device(&self) -> &device::Device<Bound> {
        self.as_ref()
    }
}

/// How a namespace was configured, or found to be: where its page map is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PageMapLocation {
    /// In System RAM: `--map=mem`.
    Ram,
    /// In the namespace, between info block and data: `--map=dev`.
    Namespace,
}

impl PageMapLocation {
    fn from_raw(mode: u32) -> Option<Self> {
        match mode {
            bindings::nd_pfn_mode_PFN_MODE_RAM => Some(Self::Ram),
            bindings::nd_pfn_mode_PFN_MODE_PMEM => Some(Self::Namespace),
            _ => None,
        }
    }
}

impl Dax<Bound> {
    /// Returns the device's UUID; [`None`] if that was not set.
    #[inline]
    fn uuid(&self) -> Option<[u8; 16]> {
        // SAFETY: By the type invariant, `self.pfn()` is valid. A UUID, once set, is 16 valid
        // bytes, and not changed while a driver is bound.
        unsafe { (*self.pfn()).uuid.as_ref().map(|uuid| uuid.b) }
    }
}

impl Dax<Core<'_>> {
    /// Returns the namespace that the device claims; [`None`] for a seed.
    #[inline]
    pub fn namespace(&self) -> Option<Namespace<'_>> {
        // SAFETY: By the type invariant, `self.pfn()` is valid. The claim holds a reference on the
        // namespace; it is changed only with the device lock, which is held around a bus callback,
        // and not while a driver is bound.
        let ndns = NonNull::new(unsafe { (*self.pfn()).ndns })?;

        // INVARIANT: As above.
        Some(Namespace { ndns, dax: self })
    }

    /// Whether a driver of this name is registered on libnvdimm's bus.
    #[inline]
    pub fn has_driver(&self, name: &CStr) -> bool {
        let dev: &device::Device<Bound> = self.as_ref();

        // SAFETY: A device that is being probed is valid, and on a bus. The driver is not used.
        let driver = unsafe { bindings::driver_find(name.as_char_ptr(), (*dev.as_raw()).bus) };

        !driver.is_null()
    }

    /// The alignment that the device is configured for, in bytes.
    #[inline]
    pub fn align(&self) -> u64 {
        // SAFETY: By the type invariant, `self.pfn()` is valid. The alignment is changed only with
        // the device lock, which is held around a bus callback.
        unsafe { (*self.pfn()).align as u64 }
    }

    /// Where the device is configured to have its page map; [`None`] if that was not set.
    #[inline]
    pub fn map(&self) -> Option<PageMapLocation> {
        // SAFETY: As in `align`.
        PageMapLocation::from_raw(unsafe { (*self.pfn()).mode })
    }
}

/// A namespace, seen by the driver of the device that claims it: `struct nd_namespace_common`.
///
/// # Invariants
///
/// `dax` claims the namespace, which is not changed for `'a`. It is a `struct nd_namespace_io`, like
/// every namespace of persistent memory.
pub struct Namespace<'a> {
    ndns: NonNull<bindings::nd_namespace_common>,
    dax: &'a Dax<Bound>,
}

impl Namespace<'_> {
    fn nsio(&self) -> *mut bindings::nd_namespace_io {
        // SAFETY: By the type invariant.
        unsafe { container_of!(self.ndns.as_ptr(), bindings::nd_namespace_io, common) }
    }

    /// Returns the name, `namespaceR.I`.
    pub fn name(&self) -> &CStr {
        // SAFETY: By the type invariant, the namespace and the device in it are valid.
        unsafe { c_name(bindings::dev_name(&raw mut (*self.ndns.as_ptr()).dev)) }
    }

    /// Returns the number of the region and that of the namespace in it: R and I of the name.
    ///
    /// libnvdimm keeps the second nowhere else for a namespace without a label.
    pub fn ids(&self) -> Result<(i32, i32)> {
        let name = self.name().to_str().map_err(|_| EINVAL)?;
        let ids = name.strip_prefix("namespace").ok_or(EINVAL)?;
        // As split_once() does, which the compiler takes for arithmetic that may overflow.
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
        // SAFETY: By the type invariant.
        let res = unsafe { &(*self.nsio()).res };

        res.start..res.end.saturating_add(1)
    }

    /// A part of the namespace, as memory for a region of the dax bus.
    ///
    /// Fails with [`EINVAL`] if `range` is not in the namespace.
    pub fn memory(&self, range: Range<u64>) -> Result<dax::region::Memory> {
        let whole = self.range();

        if range.start < whole.start || range.end > whole.end {
            return Err(EINVAL);
        }
        // SAFETY: libnvdimm has the addresses from firmware. By the type invariant the namespace is
        // claimed by the device that becomes the provider, as long as that is bound.
        Ok(unsafe { dax::region::Memory::new(range) })
    }

    /// Reserves the first `size` bytes, until the device that claims the namespace is unbound. They
    /// show up in `/proc/iomem` under the namespace's name.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the namespace is smaller, [`EBUSY`] if something else has reserved any of them.
    #[inline]
    pub fn reserve_metadata(&self, size: u64) -> Result {
        let range = self.range();

        if size > range.end.saturating_sub(range.start) {
            return Err(EINVAL);
        }
        // SAFETY: The device is bound. The name belongs to the namespace, which stays claimed for
        // as long.
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

    /// Checks that the namespace can be used by the device that claims it.
    ///
    /// # Errors
    ///
    /// - [`EBUSY`] if it is active in another mode.
    /// - [`EACCES`] if a DIMM below it is locked.
    /// - [`ENODEV`] if it has no capacity, or it or the device has no UUID.
    #[inline]
    pub fn claim(&self) -> Result<Claim<'_>> {
        // A device without a UUID is refused later, by `nvdimm_setup_pfn`. Too late: the check
        // below takes it for a namespace, and with a null UUID goes on to look at its addresses.
        self.dax.uuid().ok_or(ENODEV)?;

        // SAFETY: By the type invariant of `Dax`, this is a valid device of libnvdimm's bus.
        let ndns = from_err_ptr(unsafe {
            bindings::nvdimm_namespace_common_probe(self.dax.as_ref().as_raw())
        })?;

        if ndns != self.ndns.as_ptr() {
            return Err(ENXIO);
        }

        // INVARIANT: libnvdimm checked it just now.
        Ok(Claim(self))
    }
}

/// A claimed namespace that no other driver uses.
///
/// # Invariants
///
/// While the device that claims the namespace is bound, the namespace itself is not.
pub struct Claim<'a>(&'a Namespace<'a>);

impl<'a> Claim<'a> {
    /// Makes the info block accessible.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if its addresses are somebody else's, [`ENOMEM`] or an error of mapping them.
    /// What was acquired until then goes when the probe fails.
    #[inline]
    pub fn enable(self) -> Result<InfoBlockAccess<'a>> {
        // SAFETY: By the type invariants, device and namespace are valid, and nobody else has
        // the namespace enabled.
        to_result(unsafe {
            bindings::devm_namespace_enable(
                self.0.dax.as_ref().as_raw(),
                self.0.ndns.as_ptr(),
                INFO_BLOCK_RESERVE,
            )
        })?;

        // INVARIANT: It is enabled now.
        Ok(InfoBlockAccess(self.0))
    }
}

/// Access to the info block of a namespace; ends when dropped.
///
/// # Invariants
///
/// The namespace is enabled, for the device that claims it.
pub struct InfoBlockAccess<'a>(&'a Namespace<'a>);

impl Drop for InfoBlockAccess<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::devm_namespace_disable(self.0.dax.as_ref().as_raw(), self.0.ndns.as_ptr())
        };
    }
}

impl InfoBlockAccess<'_> {
    /// Reads the info block, or what is in its place.
    ///
    /// # Errors
    ///
    /// [`EIO`] if the media has an error there.
    #[inline]
    pub fn read(&self) -> Result<InfoBlock> {
        let ndns = self.0.ndns.as_ptr();
        // SAFETY: An enabled namespace is valid, and has the function set or null.
        let rw_bytes = unsafe { (*ndns).rw_bytes }.ok_or(ENXIO)?;
        let mut sb = KBox::<bindings::nd_pfn_sb>::zeroed(GFP_KERNEL)?;
        let buf: *mut bindings::nd_pfn_sb = &mut *sb;

        // SAFETY: By the type invariant the namespace is enabled, for more than the info block;
        // `buf` is valid for writes of its size.
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
            // SAFETY: An info block of any kind has the size and the checksum of a `struct
            // nd_gen_sb`.
            let checksum = unsafe { bindings::nd_sb_checksum(buf.cast()) };

            InfoBlock::new(&sb, checksum == u64::from_le(sb.checksum))
        })
    }

    /// Reads the info block and describes the namespace's memory by it, in `pgmap`. If there is
    /// none, writes one first, as the device is configured.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for most that can be wrong with an info block; also [`ENXIO`], [`EINVAL`],
    /// [`EBUSY`]. Of some, not all, libnvdimm tells in the log.
    #[inline]
    pub fn set_up(self, pgmap: &mut PageMap) -> Result<InfoBlock> {
        let nd_pfn = self.0.dax.pfn();

        // SAFETY: `nd_pfn` is valid by the type invariant of `Dax`, and its namespace is enabled.
        let fill = |pgmap| to_result(unsafe { bindings::nvdimm_setup_pfn(nd_pfn, pgmap) });

        // SAFETY: On success, `nvdimm_setup_pfn` has described one range.
        if let Err(e) = unsafe { pgmap.fill_single(fill) } {
            // To clear media errors it enables the namespace anew, for all of the metadata. If
            // that failed then there is nothing to disable. Whatever there is goes when the probe
            // fails.
            core::mem::forget(self);
            return Err(e);
        }

        // SAFETY: On success there is an info block, valid until the device is unbound.
        Ok(InfoBlock::new(unsafe { &*(*nd_pfn).pfn_sb }, true))
    }
}

/// The info block of a namespace in devdax or fsdax mode, in this machine's byte order:
/// `struct nd_pfn_sb`.
///
/// Fields that an old minor version does not have are as libnvdimm assumes them then.
#[derive(Clone, Copy)]
pub struct InfoBlock {
    /// Whether it says that it is for devdax mode.
    is_devdax: bool,
    /// Whether its checksum is right.
    pub is_intact: bool,
    /// Major and minor version. libnvdimm writes 1.4, and does not look at the major one.
    pub version: (u16, u16),
    /// The UUID of the device that it was written for.
    uuid: [u8; 16],
    /// Where the page map is, as a number of libnvdimm's.
    pub mode: u32,
    /// Where the data begins, in bytes from the beginning of the namespace plus `start_pad`.
    pub data_offset: u64,
    /// How many pages of data there are.
    pub npfns: u64,
    /// Bytes at the beginning of the namespace that are not used. Linux writes 0 since 5.1.
    pub start_pad: u32,
    /// Bytes at the end of the namespace that are not used.
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
                // The greatest power of two not above the offset.
                0 => data_offset.checked_ilog2().map_or(0, |bit| 1 << bit),
                align => align.into(),
            },
        }
    }

    /// Where the page map is; [`None`] if `mode` is no number of libnvdimm's.
    pub fn map(&self) -> Option<PageMapLocation> {
        PageMapLocation::from_raw(self.mode)
    }

    /// Whether it was written for this device, and not for a former one at the same place.
    pub fn is_of(&self, dax: &Dax<Core<'_>>) -> bool {
        self.is_devdax && dax.uuid() == Some(self.uuid)
    }
}
