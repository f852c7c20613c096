// SPDX-License-Identifier: GPL-2.0

//! The character device of an instance, and the mappings of it.
//!
//! A driver implements [`Operations`] and calls [`register`] once the instance is alive. The driver
//! decides which mappings are valid. This module ensures that a file always belongs to an instance
//! that exists, and that memory is mapped only while the instance is alive.
//!
//! A file has a reference to the [`cdev`] that it was opened through, and the cdev has one to the
//! instance. So a file may stay open across any number of unbinds and binds. An unbind removes the
//! memory from all mappings. When the instance is alive again, the file can be mapped again, and an
//! old mapping works again. Neither depends on the registration that the file was opened through;
//! see [`cdev`].
//!
//! For `mm` the pages belong to the inode that the core has for the instance, whichever device node
//! the file was opened through. The inode of the device node does not change.

mod fault;
mod placement;

pub use self::fault::{
    Fault,
    Mappable, //
};
pub use self::placement::Placement;

use super::{
    bare,
    device::Device,
    live::{
        Frames,
        Pages, //
    },
    trace, //
};
use crate::{
    bindings,
    cdev,
    device,
    devres,
    error::from_result,
    fmt,
    mm::{
        fault::{
            FaultResult,
            VmFault,
            PMD_ORDER,
            PTE_ORDER, //
        },
        virt::{
            flags,
            VmaRef, //
        },
        vma_desc::VmaDesc, //
    },
    module::this_module,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    task::{
        Task,
        TASK_COMM_LEN, //
    }, //
};
use core::marker::PhantomData;

/// The operations of a driver for files and mappings of its instances.
///
/// They may be called at any time, even for an instance that is unbound or bound to another driver.
#[vtable]
pub trait Operations: Sized {
    /// Accepts a new mapping, or refuses it with an error.
    ///
    /// May change `desc`. Context: the mmap lock is held for writing.
    fn mmap(dev: &Device, desc: &mut VmaDesc) -> Result;

    /// Finds an address for a mapping.
    ///
    /// Also called for an address that user space insists on ([`Placement::fixed`]), and when a
    /// mapping moves. Context: the mmap lock is held for writing.
    fn place(dev: &Device, request: &Placement<'_>) -> Result<usize>;

    /// Accepts or refuses that a mapping is split at `addr`.
    ///
    /// Context: the mmap lock is held for writing.
    fn may_split(dev: &Device, addr: usize) -> Result;

    /// Returns the size in bytes of the entries of a mapping, for `/proc/PID/smaps`.
    fn pagesize(dev: &Device) -> usize;

    /// Handles a page fault: returns the result of [`Fault::map`], or the reason not to map.
    ///
    /// `mm` asks for one entry, of [`Fault::size`]. After [`FaultResult::FALLBACK`] it asks for a
    /// smaller one. Context: the mmap lock or the VMA lock is held for reading; may sleep.
    fn fault<B: Mappable>(fault: &Fault<'_, B>) -> FaultResult;
}

/// Offers an instance as a character device, until it is unbound.
///
/// Files can be opened while the instance is alive; otherwise opening fails with `ENXIO`. May
/// sleep. Fails with `ENOMEM`.
#[inline]
pub fn register<T: Operations>(dev: &Device<device::Core<'_>>) -> Result {
    // SAFETY: The operations are those of the driver that is bound. They are for files that `open`
    // has opened.
    unsafe { make_node(dev, VTable::<T>::FILE) }
}

/// The part of [`register`] that is the same for all drivers.
///
/// # Safety
///
/// The operations are in the module of the bound driver or in the kernel image. They can be called
/// for files that [`open`] has opened.
unsafe fn make_node(
    dev: &Device<device::Bound>,
    operations: &'static bindings::file_operations,
) -> Result {
    // SAFETY: The parent of the cdev, which `open` gets, is the `struct device` of an instance.
    // Devres drops the registration at the unbind, which is before the module of the driver is
    // removed.
    let cdev = unsafe { cdev::Registration::new(dev.as_ref(), operations)? };

    devres::register(dev.as_ref(), cdev, GFP_KERNEL)
}

/// # Safety
///
/// The caller is `chrdev_open()`, for a file of a cdev that [`register`] made.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `register` is the only user of these operations.
    let parent = unsafe { cdev::parent(inode) };
    // SAFETY: `register` makes the `struct device` of an instance the parent.
    let dev = unsafe { <Device as device::AsBusDevice<device::Normal>>::from_device(parent) };

    // The inode may have cached the cdev of an earlier bind. Then check whether the instance is
    // alive now.
    //
    // SAFETY: As above.
    if unsafe { cdev::is_removed(inode) } && dev.live().is_none() {
        return ENXIO.to_errno();
    }

    // SAFETY: `file` is being opened, so it can be changed. The inode of the instance lives as long
    // as the instance. The cdev keeps the instance, and the file keeps the cdev.
    unsafe {
        let mapping = (*bindings::dax_inode((*dev.as_raw()).dax_dev)).i_mapping;

        (*file).f_mapping = mapping;
        (*file).f_wb_err = bindings::filemap_sample_wb_err(mapping);
        (*file).f_sb_err = bindings::file_sample_sb_err(file);
        (*file).private_data = dev.as_raw().cast();
    }
    0
}

/// The name and number of the task that makes a request, for messages that refuse it.
pub struct Requester;

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; TASK_COMM_LEN];
        let task = current!();

        write!(
            f,
            "{}[{}]",
            fmt::Adapter(task.comm(&mut buffer)),
            task.pid()
        )
    }
}

/// The size in bytes of the memory that a pmd entry maps.
const PMD_SIZE: usize = PAGE_SIZE << PMD_ORDER;

/// Maps nothing: [`Fault::map`] decides which pages a fault maps besides its own.
///
/// If a driver has this operation, `mm` assumes that its faults need only the VMA lock. Without it,
/// `mm` drops the VMA lock at each fault of a pte, takes the mmap lock, and starts the fault again.
///
/// # Safety
///
/// None. The type of the operation is `unsafe`.
unsafe extern "C" fn map_pages(
    _vmf: *mut bindings::vm_fault,
    _start: c_ulong,
    _end: c_ulong,
) -> bindings::vm_fault_t {
    0
}

/// Removes pud entries from the address space of a task that forks, before `mm` copies them.
///
/// `mm` copies the page tables of a VMA that had a guard or that `userfaultfd` watches. It copies a
/// pud entry without taking a reference to the folio or counting its pages. But when the child
/// exits, `mm` drops both. Without the entries, the next touch faults them in again.
///
/// # Safety
///
/// `copy` must be a VMA that was just copied from another one. The current task must hold its mmap
/// lock for writing.
#[cold]
unsafe fn drop_uncopyable(copy: *mut bindings::vm_area_struct) {
    // SAFETY: By the caller.
    let (area, parent) = unsafe { (VmaRef::from_raw(copy), (*Task::current_raw()).mm) };

    // SAFETY: By the caller.
    if unsafe { (*copy).vm_mm } == parent {
        // The VMA stays in the same address space, and `mm` moves its entries.
        return;
    }
    // SAFETY: By the caller the lock is held. The VMA that was copied has the same addresses.
    let original = unsafe { bindings::find_vma(parent, area.start()) };
    if !original.is_null() {
        // SAFETY: The lock is held, so the VMA is valid and does not change.
        unsafe { VmaRef::from_raw(original) }
            .zap_vma_range(area.start(), area.end().wrapping_sub(area.start()));
    }
}

/// Prepares a VMA of memory without struct pages: a child process does not inherit it.
fn make_bare(desc: &mut VmaDesc) -> Result {
    // A write to a private mapping would copy a page.
    if !desc.is_shared() {
        return Err(EINVAL);
    }
    desc.set_pfnmap();
    desc.set_dontfork();
    Ok(())
}

/// A debugger reads or writes memory without struct pages. Returns the number of bytes, or an
/// errno.
///
/// # Safety
///
/// `vma` must be a VMA with [`VTable::VM_FRAMES`], with its mmap lock held. `addr` is in it, and
/// `buffer` has `len` bytes.
unsafe extern "C" fn access(
    vma: *mut bindings::vm_area_struct,
    addr: c_ulong,
    buffer: *mut c_void,
    len: c_int,
    write: c_int,
) -> c_int {
    from_result(|| {
        let write = write as c_uint & bindings::FOLL_WRITE != 0;
        // SAFETY: By the caller.
        let (area, pgoff) = unsafe { (VmaRef::from_raw(vma), (*vma).vm_pgoff) };
        // SAFETY: A VMA keeps its file open. `open` stored a pointer to the instance there.
        let dev = unsafe { &*(*(*vma).vm_file).private_data.cast::<Device>() };
        let live = dev.live_with::<Frames>().ok_or(EFAULT)?;
        if write && area.flags() & flags::WRITE == 0 {
            return Err(EFAULT);
        }

        let offset = pgoff
            .wrapping_shl(PAGE_SHIFT as u32)
            .wrapping_add(addr.wrapping_sub(area.start()));
        // SAFETY: By the caller.
        let copied = unsafe { bare::access(&live, offset, buffer, usize::try_from(len)?, write)? };
        Ok(copied as c_int)
    })
}

/// The operations of `T` as C calls them.
struct VTable<T: Operations>(PhantomData<T>);

impl<T: Operations> VTable<T> {
    const FILE: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        fop_flags: bindings::FOP_MMAP_SYNC,
        llseek: Some(bindings::noop_llseek),
        open: Some(open),
        mmap_prepare: Some(Self::mmap_prepare),
        get_unmapped_area: Some(Self::get_unmapped_area),
        ..pin_init::zeroed()
    };

    const VM: &'static bindings::vm_operations_struct = &bindings::vm_operations_struct {
        open: Some(Self::copied),
        may_split: Some(Self::may_split),
        pagesize: Some(Self::pagesize),
        fault: Some(Self::fault::<Pages>),
        huge_fault: Some(Self::huge_fault::<Pages>),
        map_pages: Some(map_pages),
        ..pin_init::zeroed()
    };

    /// For VMAs of memory without struct pages. They are not copied when their process forks.
    const VM_FRAMES: &'static bindings::vm_operations_struct = &bindings::vm_operations_struct {
        may_split: Some(Self::may_split),
        pagesize: Some(Self::pagesize),
        fault: Some(Self::fault::<Frames>),
        huge_fault: Some(Self::huge_fault::<Frames>),
        map_pages: Some(map_pages),
        access: Some(access),
        ..pin_init::zeroed()
    };

    /// The instance that a file was opened for.
    ///
    /// # Safety
    ///
    /// `file` must have been opened through these operations, and stay open for `'a`.
    #[inline]
    unsafe fn device<'a>(file: *const bindings::file) -> &'a Device {
        // SAFETY: `open` stored a pointer to an instance there. The file keeps the instance.
        unsafe { &*(*file).private_data.cast::<Device>() }
    }

    /// # Safety
    ///
    /// `desc` must describe a mapping that is being made of a file that was opened with `open`.
    unsafe extern "C" fn mmap_prepare(desc: *mut bindings::vm_area_desc) -> c_int {
        // SAFETY: The file stays open during the call.
        let dev = unsafe { Self::device((*desc).file) };
        // SAFETY: This is a call of `mmap_prepare`.
        let desc = unsafe { VmaDesc::from_raw(desc) };

        from_result(|| {
            T::mmap(dev, desc)?;
            // This may change later. A fault maps only memory of the kind for which the VMA was
            // made.
            let ops = if dev.is_bare() {
                make_bare(desc)?;
                Self::VM_FRAMES
            } else {
                Self::VM
            };
            // SAFETY: The operations are for VMAs of a file with these file operations, and this is
            // one. `VM_FRAMES` is for shared VMAs of bare page frames.
            unsafe { desc.set_vm_ops(ops) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `file` must have been opened with `open`, and the mmap lock must be held for writing.
    unsafe extern "C" fn get_unmapped_area(
        file: *mut bindings::file,
        addr: c_ulong,
        len: c_ulong,
        pgoff: c_ulong,
        flags: c_ulong,
    ) -> c_ulong {
        // SAFETY: The file stays open during the call.
        let dev = unsafe { Self::device(file) };
        // SAFETY: This is a call of `get_unmapped_area`.
        let request = unsafe { Placement::from_raw(file, addr, len, pgoff, flags) };

        match T::place(dev, &request) {
            Ok(addr) => addr,
            Err(err) => err.to_errno() as c_ulong,
        }
    }

    /// A VMA was copied: it was split, it moves, or its process forks.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA with these operations and without entries. The current task must hold
    /// its mmap lock for writing.
    unsafe extern "C" fn copied(vma: *mut bindings::vm_area_struct) {
        // SAFETY: A VMA keeps its file open.
        let dev = unsafe { Self::device((*vma).vm_file) };

        // SAFETY: The VMA is valid.
        if dev.align() > PMD_SIZE && unsafe { bindings::vma_is_copied_on_fork(vma) } {
            // SAFETY: By the caller.
            unsafe { drop_uncopyable(vma) };
        }
    }

    /// # Safety
    ///
    /// `vma` must be a VMA with these operations, with its lock held.
    unsafe extern "C" fn may_split(vma: *mut bindings::vm_area_struct, addr: c_ulong) -> c_int {
        // SAFETY: A VMA keeps its file open.
        let dev = unsafe { Self::device((*vma).vm_file) };

        from_result(|| T::may_split(dev, addr).map(|()| 0))
    }

    /// # Safety
    ///
    /// `vma` must be a VMA with these operations, with its lock held.
    unsafe extern "C" fn pagesize(vma: *mut bindings::vm_area_struct) -> c_ulong {
        // SAFETY: A VMA keeps its file open.
        T::pagesize(unsafe { Self::device((*vma).vm_file) })
    }

    /// # Safety
    ///
    /// `vmf` must be a fault that is being handled, in a VMA with the operations for `B`.
    unsafe extern "C" fn fault<B: Mappable>(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The requirements are the same.
        let result = unsafe { Self::huge_fault::<B>(vmf, PTE_ORDER) };

        // There is no smaller entry, and `mm` does not handle `FALLBACK` here.
        if result == FaultResult::FALLBACK.into_raw() {
            return FaultResult::SIGBUS.into_raw();
        }
        result
    }

    /// # Safety
    ///
    /// `vmf` must be a fault that is being handled, in a VMA with the operations for `B`.
    #[inline(never)]
    unsafe extern "C" fn huge_fault<B: Mappable>(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // SAFETY: The fault is being handled.
        let vmf = unsafe { VmFault::from_raw(vmf) };
        // SAFETY: A VMA keeps its file open.
        let dev = unsafe { Self::device((*vmf.vma().as_ptr()).vm_file) };

        // SAFETY: A VMA with the operations for `Frames` is shared, and one of bare page frames.
        let fault = unsafe { Fault::<B>::new(vmf, dev, order) };
        let result = T::fault(&fault);

        trace::fault(dev, vmf, order, result);
        result.into_raw()
    }
}
