// SPDX-License-Identifier: GPL-2.0

//! Instances for file systems (fs-dax).
//!
//! A file system finds the dax device of an instance, becomes its holder (`fs_dax_get()`), and maps
//! and copies the memory as it does with that of a block device. The driver of the instance answers
//! through [`Operations`]. It does not map the memory to user space itself; the struct pages are
//! the file system's, to make folios of as it needs them.
//!
//! The steps are those of any consumer: [`Device::reserve`], [`Reserved::map_fs_dax`] and
//! [`Mapped::run`]. With [`register`] there is a device node, too, by which user space tells the
//! file system which instance is meant.
//!
//! An [`Extent`] is the only way to an address. Only a [`Memory`] makes extents, and it exists only
//! as long as the struct pages do.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)
//!
//! [`Reserved::map_fs_dax`]: super::memory::Reserved::map_fs_dax

mod extent;

pub use self::extent::{
    Extent,
    Memory, //
};

use super::{
    copy::{
        IovIter,
        Window, //
    },
    device::Device,
    memmap::Memmap,
    memory::bring_alive, //
};
use crate::{
    bindings,
    cdev,
    device,
    devres,
    error::{
        from_result,
        to_result, //
    },
    module::this_module,
    prelude::*,
    sync::aref::ARef, //
};
use core::{
    marker::PhantomData,
    ops,
    ptr::null, //
};

/// The operations of a driver for the file system on an instance.
///
/// They may be called before [`Mapped::run`] has returned, by any number of threads. They may
/// sleep. [`Self::direct_access`], [`Self::zero`] and [`Self::recovery_write`] run in an SRCU
/// section, for which an unbind waits.
#[vtable]
pub trait Operations: Sized {
    /// Finds the memory at an offset of `pgoff` pages into the instance.
    ///
    /// The caller uses at most `pages` pages. If the result has fewer, it asks again for the rest.
    /// File systems handle the error `EHWPOISON`, for memory that has failed, and treat all other
    /// errors alike.
    fn direct_access(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result<Extent<'_>>;

    /// Fills `pages` pages with zeros, from an offset of `pgoff` pages on.
    fn zero(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result;

    /// Fills the window, which is at an offset of `pgoff` pages, with data from `iter`, even if
    /// some of the memory has failed. Returns the number of bytes that were written.
    fn recovery_write(
        memory: Memory<'_>,
        pgoff: usize,
        window: &Window<'_>,
        iter: &mut IovIter,
    ) -> usize;

    /// Handles the failure of the page frames `pfns`. Not all of them need to be in the instance.
    ///
    /// `flags` are `MF_*`. With `EOPNOTSUPP`, `mm` looks for processes that use the memory. Called
    /// while the instance is bound or being unbound, whether it is alive or dead.
    fn memory_failure(memory: Memory<'_>, pfns: ops::Range<usize>, flags: i32) -> Result;
}

/// An instance whose memory has struct pages for file systems.
///
/// # Invariants
///
/// `memmap` is mapped for file systems, with the ranges of `dev`.
///
/// The lifetime `'c` is that of [`Reserved`](super::memory::Reserved).
pub struct Mapped<'a, 'c, T> {
    dev: &'a Device<device::Core<'c>>,
    memmap: Pin<KBox<Memmap>>,
    _operations: PhantomData<fn(T)>,
}

impl<'a, 'c, T: Operations> Mapped<'a, 'c, T> {
    /// Creates the struct pages.
    ///
    /// # Safety
    ///
    /// `memmap` belongs to `dev`, is for file systems, and has no struct pages yet.
    #[inline]
    pub(super) unsafe fn new(
        dev: &'a Device<device::Core<'c>>,
        mut memmap: Pin<KBox<Memmap>>,
    ) -> Result<Self> {
        memmap.set_failure_handler(VTable::<T>::memory_failure);
        // SAFETY:
        // - The operations are for an owner that is a `Memmap`.
        // - There are no counters.
        // - Nobody can use the memory before the instance is alive. Then the `Running` of
        //   `bring_alive` owns the memmap, and kills the instance before it drops the memmap.
        unsafe { memmap.as_mut().map(&FS_DAX, core::ptr::null_mut())? };

        // INVARIANT: The struct pages were made just now.
        Ok(Self {
            dev,
            memmap,
            _operations: PhantomData,
        })
    }

    /// Lets file systems use the memory: sets the operations and brings the instance alive, until
    /// it is unbound.
    ///
    /// The unbind tells the holder that the memory goes away (`MF_MEM_PRE_REMOVE`). It waits for
    /// all accesses, and until nobody refers to a page (`Memmap::retire()`). Then it removes the
    /// operations and the struct pages. May sleep. Fails with `ENOMEM`, and with `EBUSY` if the
    /// instance has operations already.
    #[inline]
    pub fn run(self) -> Result {
        // SAFETY: By the type invariant. The operations are for an instance whose struct pages
        // `Mapped::new` made.
        unsafe { serve(self.dev, self.memmap, VTable::<T>::DAX) }
    }
}

/// Gives an instance its operations and brings it alive, until it is unbound.
///
/// # Safety
///
/// `memmap` is mapped for file systems, with the ranges of `dev`, and `ops` are for such an
/// instance.
unsafe fn serve(
    dev: &Device<device::Bound>,
    memmap: Pin<KBox<Memmap>>,
    ops: &'static bindings::dax_operations,
) -> Result {
    // SAFETY: By the type invariant of `Device` and the safety requirements. `OperationsSet`
    // removes the operations before the struct pages are removed.
    to_result(unsafe { bindings::dax_set_ops((*dev.as_raw()).dax_dev, ops) })?;
    // INVARIANT: Just set.
    devres::register(dev.as_ref(), OperationsSet { dev: dev.into() }, GFP_KERNEL)?;

    // SAFETY: By the safety requirements.
    unsafe { bring_alive(dev, memmap) }
}

/// The operations of a dax device. Dropping this takes them away.
///
/// # Invariants
///
/// [`Mapped::run`] set the operations.
struct OperationsSet {
    dev: ARef<Device>,
}

impl Drop for OperationsSet {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Taking operations away cannot fail.
        unsafe { bindings::dax_set_ops((*self.dev.as_raw()).dax_dev, null()) };
    }
}

/// The operations of the `struct dev_pagemap` of an instance for file systems.
///
/// The table is in the kernel image, because struct pages can outlive the driver, see
/// [`Memmap::retire`].
static FS_DAX: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    memory_failure: Some(memory_failure),
    ..pin_init::zeroed()
};

/// # Safety
///
/// The caller has a reference to `pgmap`, which has the operations [`FS_DAX`].
unsafe extern "C" fn memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    nr_pages: c_ulong,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: Only `Mapped::new` sets these operations, and it makes a `Memmap` the owner. The
    // memmap waits for the caller's reference before it is freed.
    let memmap = unsafe { &*(*pgmap).owner.cast::<Memmap>() };

    memmap.failed(pfn..pfn.saturating_add(nr_pages), mf_flags)
}

/// Makes a device node of an instance, until it is unbound. It can only be opened.
///
/// Opening it fails with `ENXIO` unless file systems can use the instance. May sleep. Fails with
/// `ENOMEM`.
#[inline]
pub fn register<T: Operations>(dev: &Device<device::Core<'_>>) -> Result {
    // SAFETY: The parent of the cdev, which `open` gets, is the `struct device` of an instance.
    // Devres drops the registration at the unbind, which is before the module of the driver is
    // removed.
    unsafe { make_node(dev, VTable::<T>::FILE) }
}

/// Makes a device node of an instance, until it is unbound.
///
/// # Safety
///
/// `fops` are valid until the unbind. They are for a cdev whose parent is the `struct device` of an
/// instance.
unsafe fn make_node(
    dev: &Device<device::Bound>,
    fops: &'static bindings::file_operations,
) -> Result {
    // SAFETY: By the safety requirements.
    let cdev = unsafe { cdev::Registration::new(dev.as_ref(), fops)? };

    devres::register(dev.as_ref(), cdev, GFP_KERNEL)
}

/// The operations of `T` as C calls them.
struct VTable<T: Operations>(PhantomData<T>);

impl<T: Operations> VTable<T> {
    const DAX: &'static bindings::dax_operations = &bindings::dax_operations {
        direct_access: Some(Self::direct_access),
        zero_page_range: Some(Self::zero_page_range),
        recovery_write: Some(Self::recovery_write),
    };

    const FILE: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        llseek: Some(bindings::noop_llseek),
        open: Some(Self::open),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// The arguments are those that `struct dax_operations` documents. [`Mapped::run`] gave these
    /// operations to the device.
    unsafe extern "C" fn direct_access(
        dax_dev: *mut bindings::dax_device,
        pgoff: c_ulong,
        nr_pages: c_long,
        _mode: bindings::dax_access_mode,
        kaddr: *mut *mut c_void,
        pfn: *mut c_ulong,
    ) -> c_long {
        // SAFETY: This is an operation of `VTable::DAX`, and the caller is in an SRCU section.
        let Some(memory) = (unsafe { Memory::of(dax_dev) }) else {
            return ENXIO.to_errno() as c_long;
        };
        let pages = usize::try_from(nr_pages).unwrap_or(0);

        match T::direct_access(memory, pgoff, pages) {
            Ok(extent) => {
                // SAFETY: By the safety requirements each pointer is null or valid for a result.
                unsafe {
                    if let Some(kaddr) = kaddr.as_mut() {
                        *kaddr = extent.window().as_ptr();
                    }
                    if let Some(pfn) = pfn.as_mut() {
                        *pfn = extent.pfn;
                    }
                }
                c_long::try_from(extent.pages()).unwrap_or(c_long::MAX)
            }
            Err(err) => err.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// As for [`Self::direct_access`].
    unsafe extern "C" fn zero_page_range(
        dax_dev: *mut bindings::dax_device,
        pgoff: c_ulong,
        nr_pages: usize,
    ) -> c_int {
        from_result(|| {
            // SAFETY: As in `direct_access`.
            let memory = unsafe { Memory::of(dax_dev) }.ok_or(ENXIO)?;

            T::zero(memory, pgoff, nr_pages).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::direct_access`]. That function returned `addr` for `pgoff`, and the `bytes`
    /// bytes from `addr` on are in one page.
    unsafe extern "C" fn recovery_write(
        dax_dev: *mut bindings::dax_device,
        pgoff: c_ulong,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        // SAFETY: As in `direct_access`.
        let Some(memory) = (unsafe { Memory::of(dax_dev) }) else {
            return 0;
        };
        // SAFETY: By the safety requirements. By the contract of `struct dax_operations` the
        // iterator is valid and nothing else uses it.
        let (window, iter) = unsafe { (Window::new(addr, bytes), IovIter::from_raw(iter)) };

        // The caller continues after the bytes that were written.
        T::recovery_write(memory, pgoff, &window, iter).min(bytes)
    }

    /// # Safety
    ///
    /// The instance is bound, or being unbound. `memmap` is that of [`Mapped::new`].
    unsafe fn memory_failure(memmap: &Memmap, pfns: ops::Range<usize>, mf_flags: c_int) -> Result {
        // SAFETY: By the safety requirements.
        T::memory_failure(unsafe { Memory::new(memmap) }, pfns, mf_flags)
    }

    /// # Safety
    ///
    /// The caller is `chrdev_open()`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, _file: *mut bindings::file) -> c_int {
        // SAFETY: `register` is the only user of these operations.
        let parent = unsafe { cdev::parent(inode) };
        // SAFETY: `register` makes the `struct device` of an instance the parent.
        let dev = unsafe { <Device as device::AsBusDevice<device::Normal>>::from_device(parent) };

        // The inode may have cached the cdev of an earlier bind.
        let alive = dev.alive().is_some_and(|(_section, pgmap)| {
            // SAFETY: The dev_pagemap is valid until the section ends.
            unsafe { (*pgmap).type_ == bindings::memory_type_MEMORY_DEVICE_FS_DAX }
        });

        if alive {
            0
        } else {
            ENXIO.to_errno()
        }
    }
}
