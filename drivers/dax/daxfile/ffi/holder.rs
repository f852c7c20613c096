// SPDX-License-Identifier: GPL-2.0

//! Sealed files learn of memory that fails, as holder of their dax devices.
//!
//! A dax device has at most one holder. xfs is the holder of its own; there the failure of a frame
//! of a sealed file is only reported by the processor, to the process that touches it. ext4 is not
//! a holder. So the seals on ext4 are, all together: one of them keeps the place for the others.

use super::frames::Frames;
use core::{
    ops::Range,
    ptr::{
        self,
        null_mut, //
    }, //
};
use kernel::{
    bindings,
    page::PAGE_SHIFT,
    prelude::*,
    sync::global_lock,
    task::Task, //
};

/// A `Frames` that can be mapped.
struct Entry {
    /// Valid as long as the entry exists.
    frames: *const Frames,
    /// Whether it keeps the place of the holder.
    holds: bool,
    /// The user who made it.
    uid: u32,
}

// SAFETY: Any thread may use a `Frames`.
unsafe impl Send for Entry {}

global_lock! {
    // SAFETY: `init` is called when the module is loaded, before anything else.
    unsafe(uninit) static ENTRIES: Mutex<KVec<Entry>> = KVec::new();
}

/// Prepares the list.
///
/// # Safety
///
/// Called once, when the module is loaded.
pub(super) unsafe fn init() {
    // SAFETY: By the safety requirement.
    unsafe { ENTRIES.init() };
}

/// The holder, for comparison.
fn token() -> *mut c_void {
    ptr::from_ref(&OPERATIONS).cast_mut().cast()
}

static OPERATIONS: bindings::dax_holder_operations = bindings::dax_holder_operations {
    notify_failure: Some(notify_failure),
};

/// An entry of the list. Dropping this removes it.
pub(super) struct Known<'a>(&'a Frames);

impl<'a> Known<'a> {
    /// Adds an entry. Fails with `EUSERS` if the user has `most` entries, unless privileged.
    pub(super) fn new(frames: &'a Frames, most: u32) -> Result<Self> {
        // SAFETY: The credentials of the current task are valid, and do not change.
        let uid = unsafe { (*(*Task::current_raw()).cred).euid.val };
        let mut entries = ENTRIES.lock();

        let of_user = entries.iter().filter(|entry| entry.uid == uid);
        if of_user.fold(0u32, |n, _| n.wrapping_add(1)) >= most
            // SAFETY: The function may sleep, and so may this one.
            && !unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as c_int) }
        {
            return Err(EUSERS);
        }
        let taken = entries.iter().any(|entry| {
            // SAFETY: The entry exists.
            entry.holds && unsafe { (*entry.frames).dax() } == frames.dax()
        });

        entries.push(
            Entry {
                frames,
                holds: false,
                uid,
            },
            GFP_KERNEL,
        )?;
        if !taken {
            let mut start = 0;
            // SAFETY: The block device is open. The operations can be called until the holder is
            // removed.
            let dax = unsafe {
                bindings::fs_dax_get_by_bdev(frames.bdev(), &raw mut start, token(), &OPERATIONS)
            };
            // Null: somebody else is the holder.
            if let Some(entry) = entries.last_mut().filter(|_| !dax.is_null()) {
                entry.holds = true;
            }
        }
        Ok(Self(frames))
    }

    /// # Safety
    ///
    /// The return value of [`Self::new`] for `frames` was leaked, and this is the only call since.
    pub(super) unsafe fn of(frames: &'a Frames) -> Self {
        Self(frames)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut entries = ENTRIES.lock();
        let dax = self.0.dax();

        // Put the last entry in the place of ours.
        let Some(last) = entries.pop() else { return };
        let ours = entries
            .iter_mut()
            .find(|entry| ptr::eq(entry.frames, self.0));
        let gone = match ours {
            Some(entry) => core::mem::replace(entry, last),
            None => last,
        };
        if entries.is_empty() {
            // Nobody drops a static when the module is unloaded.
            *entries = KVec::new();
        }
        if !gone.holds {
            return;
        }
        let next = entries.iter_mut().find(|entry| {
            // SAFETY: The entry exists.
            unsafe { (*entry.frames).dax() == dax }
        });
        match next {
            // The reference to the dax device passes on with the place.
            Some(entry) => entry.holds = true,
            // SAFETY: This is the holder, and has a reference.
            None => unsafe { bindings::fs_put_dax(dax, token()) },
        }
    }
}

/// # Safety
///
/// This is the operation of `OPERATIONS`.
unsafe extern "C" fn notify_failure(
    dax: *mut bindings::dax_device,
    offset: u64,
    len: u64,
    mf_flags: c_int,
) -> c_int {
    if mf_flags & bindings::mf_flags_MF_MEM_PRE_REMOVE as c_int != 0 {
        // The bus has told before.
        return 0;
    }
    let Some(pfns) = frames_of(dax, offset, len) else {
        return EOPNOTSUPP.to_errno();
    };

    let mut any = false;
    for entry in ENTRIES.lock().iter() {
        // SAFETY: The entry exists. The memory of the dax device has struct pages.
        any |= unsafe { (*entry.frames).dax() == dax && (*entry.frames).fail(&pfns) };
    }
    if !any {
        // mm looks for others who use them.
        return EOPNOTSUPP.to_errno();
    }
    pr_err!(
        "memory failed, physical address 0x{:x}; a sealed file has it, and touching it raises SIGBUS\n",
        pfns.start << PAGE_SHIFT
    );
    if in_file_system(pfns) {
        return EOPNOTSUPP.to_errno();
    }
    0
}

/// Whether the file system has mapped one of the frames, too: a mapping of the file for reading.
fn in_file_system(mut pfns: Range<usize>) -> bool {
    // SAFETY: The memory of a dax device that calls its holder has struct pages.
    pfns.any(|pfn| unsafe {
        let folio = bindings::pfn_folio(pfn);

        !(&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping)
            .read_volatile()
            .is_null()
    })
}

/// The frames at an offset of a dax device.
fn frames_of(dax: *mut bindings::dax_device, offset: u64, len: u64) -> Option<Range<usize>> {
    let mut pfn = 0;
    let pages = usize::try_from(len >> PAGE_SHIFT).ok()?;
    // SAFETY: The dax device calls its holder in a section of `dax_read_lock()`. This mode also
    // finds memory that has failed.
    let found = unsafe {
        bindings::dax_direct_access(
            dax,
            (offset >> PAGE_SHIFT) as usize,
            c_long::try_from(pages).ok()?,
            bindings::dax_access_mode_DAX_RECOVERY_WRITE,
            null_mut(),
            &raw mut pfn,
        )
    };

    let found = usize::try_from(found).ok()?;
    Some(pfn..pfn.wrapping_add(found.min(pages)))
}
