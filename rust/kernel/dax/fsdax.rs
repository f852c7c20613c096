// SPDX-License-Identifier: GPL-2.0

//! Instances for file systems (fs-dax).
//!
//! A file system finds the dax device of an instance, becomes its holder (`fs_dax_get()`), and maps
//! and copies the memory as it does with that of a block device. The driver of the instance answers
//! through [`Operations`]. It does not map the memory to user space itself; the struct pages are the
//! file system's, to make folios of as it needs them.
//!
//! The steps are those of any consumer: [`Device::reserve`], [`Reserved::map_fs_dax`] and
//! [`Mapped::run`]. With [`register`] there is a device node, too, by which user space tells the
//! file system which instance is meant.
//!
//! An [`Extent`] is the only way to an address. Only a [`Memory`] makes extents, and it exists only as
//! long as the struct pages do.
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

/// What a driver does for the file system on an instance.
///
/// All of it may be called before [`Mapped::run`] has returned, by any number of threads. Context:
/// may sleep, but for [`Self::direct_access`], [`Self::zero`] and [`Self::recovery_write`] only as
/// long as a section of SRCU may last: whoever unbinds the driver waits for them.
#[vtable]
pub trait Operations: Sized {
    /// Finds the memory at an offset of `pgoff` pages into the instance.
    ///
    /// At most `pages` pages of it are of use; it may be fewer, then the caller asks again for what
    /// follows. The errors that file systems know are `EHWPOISON`, for memory that has failed, and
    /// any other.
    fn direct_access(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result<Extent<'_>>;

    /// Fills `pages` pages with zeros, from an offset of `pgoff` pages on.
    fn zero(memory: Memory<'_>, pgoff: usize, pages: usize) -> Result;

    /// Fills the window, which is at an offset of `pgoff` pages, with data from `iter`, although
    /// some of it may have failed. Returns the number of bytes that were written.
    fn recovery_write(
        memory: Memory<'_>,
        pgoff: usize,
        window: &Window<'_>,
        iter: &mut IovIter,
    ) -> usize;

    /// Some memory failed: the page frames `pfns`, some of which are those of the instance.
    ///
    /// `flags` are `MF_*`. With `EOPNOTSUPP`, `mm` looks for processes that use the memory itself.
    /// Called while the instance is bound or being unbound, alive or not.
    fn memory_failure(memory: Memory<'_>, pfns: ops::Range<usize>, flags: i32) -> Result;
}

/// An instance whose memory has struct pages for file systems.
///
/// # Invariants
///
/// `memmap` is mapped for file systems, with the ranges of `dev`.
pub struct Mapped<'a, T> {
    dev: &'a Device<device::Bound>,
    memmap: Pin<KBox<Memmap>>,
    _operations: PhantomData<fn(T)>,
}

impl<'a, T: Operations> Mapped<'a, T> {
    /// Creates the struct pages.
    ///
    /// # Safety
    ///
    /// `memmap` is that of `dev`, for file systems, and nothing has been done with it.
    #[inline]
    pub(super) unsafe fn new(
        dev: &'a Device<device::Bound>,
        mut memmap: Pin<KBox<Memmap>>,
    ) -> Result<Self> {
        memmap.tell_of_failures(VTable::<T>::memory_failure);
        // SAFETY:
        // - The operations are for an owner that is a `Memmap`.
        // - There are no counters.
        // - Nobody has any of the memory before the instance comes alive; then `bring_alive` has it.
        unsafe { memmap.as_mut().map(&PAGE_MAP, core::ptr::null_mut())? };

        // INVARIANT: The struct pages were made just now.
        Ok(Self {
            dev,
            memmap,
            _operations: PhantomData,
        })
    }

    /// Lets file systems in: the instance gets its operations and comes alive, until it is unbound.
    ///
    /// The unbind then tells the holder that the memory goes away (`MF_MEM_PRE_REMOVE`) and waits
    /// for all accesses, and until nobody refers to a page (`Memmap::retire()`), before the operations
    /// and the struct pages go. May sleep. Fails with `ENOMEM`, and with `EBUSY` if the instance has
    /// operations already.
    #[inline]
    pub fn run(self) -> Result {
        // SAFETY: By the type invariant. The operations are for an instance with the struct pages
        // that we made.
        unsafe { serve(self.dev, self.memmap, VTable::<T>::DAX) }
    }
}

/// Gives an instance its operations and brings it alive, until it is unbound.
///
/// # Safety
///
/// `memmap` is mapped for file systems, with the ranges of `dev`, and `ops` are for such an instance.
unsafe fn serve(
    dev: &Device<device::Bound>,
    memmap: Pin<KBox<Memmap>>,
    ops: &'static bindings::dax_operations,
) -> Result {
    // SAFETY: By the type invariant of `Device` and the safety requirements. The operations are
    // taken away below before the struct pages go.
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
static PAGE_MAP: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    memory_failure: Some(memory_failure),
    ..pin_init::zeroed()
};

/// # Safety
///
/// To be called with a reference to a `struct dev_pagemap` that [`Mapped::new`] gave this operation.
unsafe extern "C" fn memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    nr_pages: c_ulong,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: The owner is a `Memmap`, which waits for the reference before it goes.
    let memmap = unsafe { &*(*pgmap).owner.cast::<Memmap>() };

    memmap.failed(pfn..pfn.saturating_add(nr_pages), mf_flags)
}

/// Makes a device node of an instance, until it is unbound. It can be opened, and that is all.
///
/// It fails with `ENXIO` to open it when file systems cannot use the instance. May sleep. Fails
/// with `ENOMEM`.
#[inline]
pub fn register<T: Operations>(dev: &Device<device::Core<'_>>) -> Result {
    // SAFETY: The parent of the cdev, and so what `open` is called for, is the `struct device` of
    // an instance. Devres drops the registration when the driver is unbound, which is before its
    // module goes away.
    unsafe { make_node(dev, VTable::<T>::FILE) }
}

/// Makes a device node of an instance, until it is unbound.
///
/// # Safety
///
/// `fops` are valid until then, and for a cdev whose parent is the `struct device` of an instance.
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
    /// To be called as `struct dax_operations` says, for a device that [`Mapped::run`] gave these
    /// operations.
    unsafe extern "C" fn direct_access(
        dax_dev: *mut bindings::dax_device,
        pgoff: c_ulong,
        nr_pages: c_long,
        _mode: bindings::dax_access_mode,
        kaddr: *mut *mut c_void,
        pfn: *mut c_ulong,
    ) -> c_long {
        // SAFETY: This is such an operation.
        let Some(memory) = (unsafe { Memory::of(dax_dev) }) else {
            return ENXIO.to_errno() as c_long;
        };
        let pages = usize::try_from(nr_pages).unwrap_or(0);

        match T::direct_access(memory, pgoff, pages) {
            Ok(extent) => {
                // SAFETY: Each of them is null or a place for a result.
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
            // SAFETY: This is such an operation.
            let memory = unsafe { Memory::of(dax_dev) }.ok_or(ENXIO)?;

            T::zero(memory, pgoff, nr_pages).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::direct_access`]; `addr` is in the first page of what that returned for
    /// `pgoff`, and so are `bytes` bytes from there on.
    unsafe extern "C" fn recovery_write(
        dax_dev: *mut bindings::dax_device,
        pgoff: c_ulong,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        // SAFETY: This is such an operation.
        let Some(memory) = (unsafe { Memory::of(dax_dev) }) else {
            return 0;
        };
        // SAFETY: By the safety requirements, and those on the iterator in `dax_operations`.
        let (window, iter) = unsafe { (Window::new(addr, bytes), IovIter::from_raw(iter)) };

        // The caller goes on behind what was written.
        T::recovery_write(memory, pgoff, &window, iter).min(bytes)
    }

    /// # Safety
    ///
    /// `dev_dax` is bound, or being unbound, with struct pages from [`Mapped::new`].
    unsafe fn memory_failure(
        dev_dax: *mut bindings::dev_dax,
        pfns: ops::Range<usize>,
        mf_flags: c_int,
    ) -> Result {
        // SAFETY: By the safety requirements.
        T::memory_failure(unsafe { Memory::from_raw(dev_dax) }, pfns, mf_flags)
    }

    /// # Safety
    ///
    /// To be called from `chrdev_open()` only.
    unsafe extern "C" fn open(inode: *mut bindings::inode, _file: *mut bindings::file) -> c_int {
        // SAFETY: `register` is the only user of these operations.
        let parent = unsafe { cdev::parent(inode) };
        // SAFETY: `register` makes the `struct device` of an instance the parent.
        let dev = unsafe { <Device as device::AsBusDevice<device::Normal>>::from_device(parent) };

        // This may be a cdev of a bind in the past, cached in the inode.
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
