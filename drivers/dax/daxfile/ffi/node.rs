// SPDX-License-Identifier: GPL-2.0

//! The sealed descriptor, its mappings and their faults.
//!
//! Each seal has a file with an inode of its own, so that the mappings of one file can be removed
//! without those of others. The file owns the seal: the last close of a descriptor or the end of
//! the last mapping drops it.

use crate::{
    daxfile::{
        rules,
        seal::Seal, //
    },
    DaxFile, //
};
use core::cmp::Ordering;
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::mapping::Placement,
    error::{
        from_err_ptr,
        from_result, //
    },
    fs::file::{
        flags::{
            O_CLOEXEC,
            O_RDWR, //
        },
        File,
        FileDescriptorReservation, //
    },
    mm::{
        fault::{
            FaultResult,
            VmFault,
            PTE_ORDER, //
        },
        vma_desc::VmaDesc, //
    },
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// Makes a descriptor of a seal for the current task, and returns its number.
///
/// Fails with `EUSERS` if the user has `most` seals already, and with `ENXIO` if the memory is
/// gone.
pub(crate) fn install(seal: Arc<Seal>, most: u32) -> Result<u32> {
    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let len = seal.len();
    let raw = Arc::into_raw(seal);

    // SAFETY: `FILE` is for a file whose private data is a seal. The name is a string.
    let file = from_err_ptr(unsafe {
        bindings::anon_inode_create_getfile(
            c"[daxfile]".as_char_ptr(),
            FILE,
            raw.cast_mut().cast(),
            O_RDWR as c_int,
            core::ptr::null(),
        )
    })
    .inspect_err(|_| {
        // SAFETY: There is no file, so the seal is still ours.
        drop(unsafe { Arc::from_raw(raw) });
    })?;

    // SAFETY: The file is new, so its inode is not in use, and it has no position.
    let (mapping, owner) = unsafe {
        (*(*file).f_inode).i_size = len as i64;
        (
            (*file).f_mapping,
            ARef::<File>::from_raw(NonNull::new_unchecked(file.cast())),
        )
    };
    // SAFETY: The file keeps the seal.
    let seal = unsafe { seal_of(file) };
    // SAFETY: Called once. The file keeps its mapping, and drops the seal before. A seal keeps its
    // file open, and with it the block device, and drops the frames first.
    unsafe { seal.frames().start(mapping, most)? };

    let number = fd.reserved_fd();
    fd.fd_install(owner);
    Ok(number)
}

/// The seal of a file.
///
/// # Safety
///
/// `file` has the operations [`FILE`], and is open for `'a`.
#[inline]
unsafe fn seal_of<'a>(file: *const bindings::file) -> &'a Seal {
    // SAFETY: `install` put a seal there, which `release` drops.
    unsafe { &*(*file).private_data.cast::<Seal>() }
}

const FILE: &bindings::file_operations = &bindings::file_operations {
    owner: this_module::<DaxFile>().as_ptr(),
    fop_flags: bindings::FOP_MMAP_SYNC,
    llseek: Some(bindings::noop_llseek),
    mmap_prepare: Some(mmap_prepare),
    get_unmapped_area: Some(get_unmapped_area),
    release: Some(release),
    show_fdinfo: Some(show_fdinfo),
    ..pin_init::zeroed()
};

const VM: &bindings::vm_operations_struct = &bindings::vm_operations_struct {
    may_split: Some(may_split),
    pagesize: Some(pagesize),
    fault: Some(fault),
    huge_fault: Some(huge_fault),
    map_pages: Some(map_pages),
    access: Some(bindings::generic_access_phys),
    ..pin_init::zeroed()
};

/// # Safety
///
/// This is the operation of `FILE`.
unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `install` put a seal there. Nobody uses the file any more.
    drop(unsafe { Arc::from_raw((*file).private_data.cast_const().cast::<Seal>()) });
    0
}

/// # Safety
///
/// This is the operation of `FILE`.
unsafe extern "C" fn show_fdinfo(m: *mut bindings::seq_file, file: *mut bindings::file) {
    // SAFETY: The arguments are valid during the call, and `m` is ours.
    unsafe { seal_of(file).show(SeqFile::from_raw(m)) };
}

/// # Safety
///
/// This is the operation of `FILE`.
unsafe extern "C" fn mmap_prepare(desc: *mut bindings::vm_area_desc) -> c_int {
    // SAFETY: This is a call of `mmap_prepare`. The file is open during the call.
    let (desc, seal) = unsafe { (VmaDesc::from_raw(desc), seal_of((*desc).file)) };

    from_result(|| {
        rules::mmap(seal, desc)?;
        // SAFETY: The operations are for the areas of files with the operations `FILE`.
        unsafe { desc.set_vm_ops(VM) };
        Ok(0)
    })
}

/// # Safety
///
/// This is the operation of `FILE`.
unsafe extern "C" fn get_unmapped_area(
    file: *mut bindings::file,
    addr: c_ulong,
    len: c_ulong,
    pgoff: c_ulong,
    flags: c_ulong,
) -> c_ulong {
    // SAFETY: This is a call of `get_unmapped_area`. The file is open during the call.
    let (request, seal) = unsafe {
        (
            Placement::from_raw(file, addr, len, pgoff, flags),
            seal_of(file),
        )
    };

    match rules::place(seal, &request) {
        Ok(addr) => addr,
        Err(err) => err.to_errno() as c_ulong,
    }
}

/// # Safety
///
/// This is the operation of `VM`.
unsafe extern "C" fn may_split(vma: *mut bindings::vm_area_struct, addr: c_ulong) -> c_int {
    // SAFETY: The area keeps its file open.
    let seal = unsafe { seal_of((*vma).vm_file) };

    from_result(|| rules::may_split(seal, addr).map(|()| 0))
}

/// # Safety
///
/// This is the operation of `VM`.
unsafe extern "C" fn pagesize(vma: *mut bindings::vm_area_struct) -> c_ulong {
    // SAFETY: The area keeps its file open.
    unsafe { seal_of((*vma).vm_file) }.align()
}

/// Maps nothing. With this operation, `mm` lets faults of a pte run with the VMA lock.
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

/// # Safety
///
/// This is the operation of `VM`.
unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
    // SAFETY: The requirements are the same.
    let result = unsafe { huge_fault(vmf, PTE_ORDER) };

    // There is no smaller entry, and `mm` does not handle `FALLBACK` here.
    if result == FaultResult::FALLBACK.into_raw() {
        return FaultResult::SIGBUS.into_raw();
    }
    result
}

/// # Safety
///
/// This is the operation of `VM`.
unsafe extern "C" fn huge_fault(
    vmf: *mut bindings::vm_fault,
    order: c_uint,
) -> bindings::vm_fault_t {
    // SAFETY: The fault is being handled. The area keeps its file open.
    let (vmf, seal) = unsafe {
        let vmf = VmFault::from_raw(vmf);
        (vmf, seal_of((*vmf.vma().as_ptr()).vm_file))
    };

    handle(vmf, seal, order).into_raw()
}

/// Maps the memory at the address of a fault with one entry of the align, or nothing.
#[inline]
fn handle(vmf: &VmFault, seal: &Seal, order: u32) -> FaultResult {
    match order.cmp(&seal.frames().order()) {
        Ordering::Equal => {}
        // mm starts with the largest entry size.
        Ordering::Greater => return FaultResult::FALLBACK,
        Ordering::Less => {
            rules::refuse_smaller(seal, vmf.has_huge_disabled());
            return FaultResult::SIGBUS;
        }
    }

    // SAFETY: `rules::mmap` accepts shared areas only, and makes them areas of bare frames. `VM` is
    // for the areas of the file of the seal.
    unsafe { seal.frames().map(vmf) }
}
