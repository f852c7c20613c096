// SPDX-License-Identifier: GPL-2.0

//! The dax device: the object for memory that can be accessed directly.
//!
//! C code has pointers to it, as `struct dax_device`, and never sees the inside. It is an inode of
//! a pseudo file system. So it has a reference count, a device number to find it by, and an address
//! space in which mm records all mappings of user space.
//!
//! A reference keeps the object, but not the memory. The memory exists, and its driver answers,
//! only while the device is alive. The device can die at any time. So a user enters a read-side
//! section of SRCU, and uses the device through [`Alive`], which cannot outlast the section.
//! [`DaxDevice::kill`] marks the device as dead and waits for those sections.

#[cfg(all(CONFIG_BLOCK, CONFIG_FS_DAX))]
use crate::host::Hosts;
use crate::{
    ffi::{
        self,
        liveness::Liveness,
        operations::{
            AccessMode,
            DaxOperations,
            HolderOperations,
            TableRef, //
        },
        srcu::{
            read_lock,
            ReadSection, //
        }, //
    },
    holder::Holder, //
};
use kernel::{
    bindings, char_dev,
    dax::copy::{
        IovIter,
        Window, //
    },
    ffi::{
        c_int,
        c_long,
        c_ulong,
        c_void, //
    },
    fs::pseudo::{
        FileSystem,
        Inode,
        Mount,
        Node, //
    },
    ida::{
        Id,
        Ida, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        SetOnce, //
    },
};

use core::ptr::NonNull;

/// The file system of the inodes.
static DAX_FS: FileSystem<DaxDevice> = ffi::file_system();

/// The type behind a `struct dax_device`.
pub(crate) type DaxInode = Inode<DaxDevice>;

/// A reference to a dax device.
pub(crate) type DaxRef = ARef<DaxInode>;

static REGISTRY: SetOnce<Pin<KBox<Registry>>> = SetOnce::new();

/// Creates and finds dax devices.
#[pin_data]
pub(crate) struct Registry {
    devices: Mount<DaxDevice>,
    numbers: char_dev::Region,
    #[pin]
    minors: Ida,
    #[cfg(all(CONFIG_BLOCK, CONFIG_FS_DAX))]
    #[pin]
    hosts: Hosts,
}

impl Registry {
    /// Creates the registry. Nobody finds it before [`Self::publish`].
    pub(crate) fn new() -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            #[cfg(all(CONFIG_BLOCK, CONFIG_FS_DAX))]
            try_pin_init!(Self {
                devices: DAX_FS.mount()?,
                numbers: char_dev::Region::alloc(c"dax", char_dev::MINORS)?,
                minors <- Ida::new(),
                hosts <- Hosts::new(),
            }),
            #[cfg(not(all(CONFIG_BLOCK, CONFIG_FS_DAX)))]
            try_pin_init!(Self {
                devices: DAX_FS.mount()?,
                numbers: char_dev::Region::alloc(c"dax", char_dev::MINORS)?,
                minors <- Ida::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Lets everybody find the registry. Fails with `EBUSY` when there is one already.
    pub(crate) fn publish(self: Pin<KBox<Self>>) -> Result {
        if REGISTRY.populate(self) {
            Ok(())
        } else {
            Err(EBUSY)
        }
    }

    /// Returns the registry; fails with `ENODEV` when the core has not started.
    fn get() -> Result<&'static Self> {
        match REGISTRY.as_ref() {
            Some(registry) => Ok(registry),
            None => Err(ENODEV),
        }
    }

    #[cfg(all(CONFIG_BLOCK, CONFIG_FS_DAX))]
    pub(crate) fn hosts() -> Result<&'static Hosts> {
        Ok(&Self::get()?.hosts)
    }
}

/// The value of a dax device, behind its inode.
pub(crate) struct DaxDevice {
    liveness: Liveness,
    operations: TableRef<DaxOperations<DaxInode>>,
    holder: Holder,
    // Data that was written has to be flushed out of the CPU's caches.
    write_cache: AtomicFlag,
    // Data is durable once flushed, without the help of the device.
    synchronous: AtomicFlag,
    // Writes should leave nothing in the CPU's caches.
    nocache: AtomicFlag,
    // Reads should survive poisoned memory.
    nomc: AtomicFlag,
    // Freed with the inode: until then the device number leads to it.
    _minor: Id<'static>,
}

impl Node for DaxDevice {
    const NAME: &'static CStr = c"dax";
    const CACHE: &'static CStr = c"dax_cache";
    const MAGIC: c_ulong = bindings::DAXFS_MAGIC as c_ulong;
    const FLAGS: u32 = bindings::S_DAX;

    fn released(&self) {
        // The driver must kill a device before it puts its reference, because it frees the memory
        // next.
        kernel::warn_on!(self.liveness.is_alive());
    }
}

impl DaxDevice {
    fn create(
        liveness: Liveness,
        operations: Option<&'static DaxOperations<DaxInode>>,
        flags: bool,
    ) -> Result<DaxRef> {
        let registry = Registry::get()?;
        let minor = registry
            .minors
            .alloc_max(char_dev::MINORS - 1, GFP_KERNEL)
            .map_err(|_| ENOMEM)?;
        let number = registry.numbers.number(minor.get()).ok_or(ENOMEM)?;

        registry.devices.create(
            number,
            Self {
                liveness,
                operations: TableRef::new(operations),
                holder: Holder::none(),
                write_cache: AtomicFlag::new(false),
                synchronous: AtomicFlag::new(flags),
                nocache: AtomicFlag::new(flags),
                nomc: AtomicFlag::new(flags),
                _minor: minor,
            },
        )
    }

    /// Creates a device for an instance on the dax bus.
    ///
    /// It is dead until a bound driver calls `run_dax()`. It is synchronous, nocache and nomc, and
    /// has no operations unless the driver sets some.
    pub(crate) fn for_instance(dev_dax: NonNull<bindings::dev_dax>) -> Result<DaxRef> {
        Self::create(Liveness::of_instance(dev_dax), None, true)
    }

    /// Creates a device for a driver. It is alive at once.
    pub(crate) fn for_driver(
        private: *mut c_void,
        operations: Option<&'static DaxOperations<DaxInode>>,
    ) -> Result<DaxRef> {
        Self::create(Liveness::of_driver(private), operations, false)
    }

    /// Returns the device that has the device number `number`.
    pub(crate) fn find(number: bindings::dev_t) -> Option<DaxRef> {
        Registry::get().ok()?.devices.find(number)
    }

    /// Returns whether the device is alive. Without a read-side section that may change at once.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.liveness.is_alive()
    }

    /// Returns access to the device for a read-side section, if it is alive.
    #[inline]
    pub(crate) fn alive<'a>(self: &'a DaxInode, _: ReadSection<'a>) -> Option<Alive<'a>> {
        if self.is_alive() {
            Some(Alive { device: self })
        } else {
            None
        }
    }

    /// Whether the device is alive, and its owner.
    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Kills the device: tells the holder, marks the device as dead, and waits for all read-side
    /// sections.
    ///
    /// This does not unmap anything, see [`Inode::unmap_all`]. Sleeps.
    pub(crate) fn kill(self: &DaxInode) {
        if !self.holder.identity().is_null() {
            let section = read_lock();
            if let Some(alive) = self.alive(section.held()) {
                // A holder without operations gets no notice. A holder that fails to release the
                // device will find it dead.
                let _ = alive.notify_failure(
                    0,
                    u64::MAX,
                    bindings::mf_flags_MF_MEM_PRE_REMOVE as c_int,
                );
            }
        }

        self.liveness.stop();
        self.holder.evict();
    }

    /// Returns the pointer that the owner left, or null when the device is dead.
    #[inline]
    pub(crate) fn owner(&self) -> *mut c_void {
        self.liveness.owner()
    }

    /// Returns the holder, or null.
    pub(crate) fn holder(&self) -> *mut c_void {
        self.holder.identity()
    }

    /// Ends the claim of `holder`.
    #[cfg(CONFIG_FS_DAX)]
    pub(crate) fn release(&self, holder: *mut c_void) {
        self.holder.release(holder);
    }

    /// Makes `holder`, a file system, the holder of an instance on the dax bus.
    ///
    /// Returns the reference that the file system is to keep. Fails with `ENODEV` when the device
    /// is dead or bound to no driver, with `EOPNOTSUPP` when it is not an instance, or bound to
    /// another driver than fsdev_dax, and with `EBUSY` when it has a holder already. Sleeps.
    #[cfg(CONFIG_FS_DAX)]
    pub(crate) fn open_instance(
        self: &DaxInode,
        holder: *mut c_void,
        operations: Option<&'static HolderOperations<DaxInode>>,
    ) -> Result<DaxRef> {
        let (instance, device) = {
            let section = read_lock();
            let instance = self.liveness.pin_instance(section.held())?;
            (instance, self.grab().ok_or(ENODEV)?)
        };

        // Not in the section: an unbind kills the device, which waits for sections, under the lock
        // of the instance. While that lock is held here, the driver stays bound and the device
        // stays alive.
        instance.with_driver(|driver| {
            match driver {
                None => return Err(ENODEV),
                Some(bindings::dax_driver_type_DAXDRV_FSDEV_TYPE) => (),
                Some(_) => return Err(EOPNOTSUPP),
            }

            let section = read_lock();
            let alive = self.alive(section.held()).ok_or(ENODEV)?;
            alive.claim(holder, operations)
        })?;
        Ok(device)
    }

    /// Gives the device operations, or takes them away.
    ///
    /// Fails with `EBUSY` when the device has operations already.
    pub(crate) fn set_operations(
        &self,
        operations: Option<&'static DaxOperations<DaxInode>>,
    ) -> Result {
        match operations {
            Some(operations) => self.operations.set_if_empty(operations),
            None => {
                self.operations.set(None);
                Ok(())
            }
        }
    }

    pub(crate) fn set_write_cache(&self, on: bool) {
        self.write_cache.store(on, Relaxed);
    }

    pub(crate) fn write_cache(&self) -> bool {
        self.write_cache.load(Relaxed)
    }

    pub(crate) fn set_synchronous(&self) {
        self.synchronous.store(true, Relaxed);
    }

    pub(crate) fn synchronous(&self) -> bool {
        self.synchronous.load(Relaxed)
    }

    pub(crate) fn set_nocache(&self) {
        self.nocache.store(true, Relaxed);
    }

    pub(crate) fn set_nomc(&self) {
        self.nomc.store(true, Relaxed);
    }

    /// Makes what was written to the window durable, if the device has a write cache.
    #[inline]
    pub(crate) fn flush(&self, window: Window<'_>) {
        if self.write_cache() {
            window.write_back();
        }
    }
}

/// A dax device that was seen alive in a read-side section.
///
/// Until the section ends the memory is there and the driver answers.
#[derive(Clone, Copy)]
pub(crate) struct Alive<'a> {
    device: &'a DaxInode,
}

impl<'a> Alive<'a> {
    /// Returns the operations of the driver. An instance of device_dax has none: its memory is only
    /// mapped.
    #[inline]
    fn operations(self) -> Result<&'static DaxOperations<DaxInode>> {
        self.device.operations.get().ok_or(EOPNOTSUPP)
    }

    /// Translates the page offset `pgoff` to an address and a page frame number.
    ///
    /// Returns how many pages, at most `nr_pages`, can be accessed there. Fails with `ERANGE` if
    /// the driver returns 0, and with the error of the driver.
    #[inline]
    pub(crate) fn direct_access(
        self,
        pgoff: usize,
        nr_pages: c_long,
        mode: AccessMode,
        kaddr: Option<&mut *mut c_void>,
        pfn: Option<&mut usize>,
    ) -> Result<c_long> {
        let operations = self.operations()?;
        if nr_pages < 0 {
            return Err(EINVAL);
        }

        let available = operations.direct_access(self.device, pgoff, nr_pages, mode, kaddr, pfn);
        if available > 0 {
            return Ok(available.min(nr_pages));
        }
        Err(match available {
            0 => ERANGE,
            errno => Error::from_errno(errno as c_int),
        })
    }

    /// Fills `nr_pages` pages from `pgoff` on with zeros.
    ///
    /// Fails with `EIO` unless that is one page, because the device mapper does not split a request
    /// that crosses targets. Poison is reported as `EIO`, as by a block device.
    pub(crate) fn zero_page_range(self, pgoff: usize, nr_pages: usize) -> Result {
        let operations = self.operations()?;
        if nr_pages != 1 {
            return Err(EIO);
        }

        match operations.zero_page_range(self.device, pgoff, nr_pages) {
            Err(error) if error.to_errno() == -(bindings::EHWPOISON as c_int) => Err(EIO),
            result => result,
        }
    }

    /// Writes over poisoned memory. Returns how many bytes were written.
    pub(crate) fn recovery_write(
        self,
        pgoff: usize,
        window: Window<'_>,
        iter: &mut IovIter,
    ) -> usize {
        match self.operations() {
            Ok(operations) => operations.recovery_write(self.device, pgoff, window, iter),
            Err(_) => 0,
        }
    }

    /// Copies from `iter` to the device. Returns how many bytes were copied.
    pub(crate) fn copy_from_iter(self, window: Window<'_>, iter: &mut IovIter) -> usize {
        if self.device.nocache.load(Relaxed) {
            window.copy_from_flushcache(iter)
        } else {
            window.copy_from(iter)
        }
    }

    /// Copies from the device to `iter`. Returns how many bytes were copied.
    pub(crate) fn copy_to_iter(self, window: Window<'_>, iter: &mut IovIter) -> usize {
        if self.device.nomc.load(Relaxed) {
            window.copy_to_mc(iter)
        } else {
            window.copy_to(iter)
        }
    }

    /// Tells the holder that `len` bytes from `offset` on failed, or are about to go away.
    ///
    /// Fails with `EOPNOTSUPP` when there is no holder with a callback.
    pub(crate) fn notify_failure(self, offset: u64, len: u64, flags: c_int) -> Result {
        let operations = self.device.holder.operations().ok_or(EOPNOTSUPP)?;
        operations.notify_failure(self.device, offset, len, flags)
    }

    /// Makes `holder` the holder. Fails with `EBUSY` when there is one already.
    ///
    /// This needs a device that is alive, so that [`DaxDevice::kill`] evicts the holder.
    #[cfg_attr(not(CONFIG_FS_DAX), expect(dead_code))]
    pub(crate) fn claim(
        self,
        holder: *mut c_void,
        operations: Option<&'static HolderOperations<DaxInode>>,
    ) -> Result {
        self.device.holder.claim(holder, operations)
    }
}
