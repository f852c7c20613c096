// SPDX-License-Identifier: GPL-2.0

//! A file whose blocks stay where they are.
//!
//! Three things together keep them there. Each is what Linux itself does for such a file:
//!
//! - `deny_write_access()`, as `fs-verity` does to build its tree. Nobody has the file open for
//!   writing now, and nobody can open it so. So no write, no `fallocate()` and no shared writable
//!   mapping is in progress or can begin.
//! - `S_SWAPFILE`, as `swapon` sets it. With it the VFS and the file systems refuse what needs no
//!   descriptor that is open for writing, above all to share the blocks (`FICLONE`), to exchange
//!   them, and to remove or replace the name.
//! - A write access to the mount, as a file that is open for writing has it. So the mount cannot
//!   become read-only.
//!
//! `swap_activate`, which `swapon` uses too, tells where the blocks are. It is the only exported
//! way to ask a file system, and leaves out only whether a block has been written. `SEEK_HOLE`
//! tells that.

use core::marker::PhantomData;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::LocalFile,
    page::PAGE_SHIFT,
    prelude::*,
    seq_file::SeqFile,
    task::Task, //
};

/// Why a file cannot be sealed: an error, and a sentence for the log.
pub(crate) struct Refusal(pub(crate) Error, pub(crate) &'static str);

impl Refusal {
    fn err<T>(err: Error, why: &'static str) -> Result<T, Self> {
        Err(Self(err, why))
    }
}

/// Consecutive pages of a file in consecutive pages of a block device.
pub(crate) struct Run {
    /// The first page, in the file.
    pub(crate) page: usize,
    /// The first page, on the block device.
    pub(crate) block: usize,
    pub(crate) pages: usize,
}

/// The block device of a file system, which is mounted for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Disk<'a>(*mut bindings::block_device, PhantomData<&'a Blocks>);

impl Disk<'_> {
    /// The block device, which is open.
    pub(crate) fn as_raw(self) -> *mut bindings::block_device {
        self.0
    }
}

/// A file whose blocks stay where they are until this is dropped.
///
/// # Invariants
///
/// - This owns a reference to `file`, which nobody else uses. It is a regular file, open for
///   reading.
/// - This owns a denial of write access to the file, a write access to its mount, and `S_SWAPFILE`
///   of its inode.
pub(crate) struct Blocks {
    file: *mut bindings::file,
}

// SAFETY: Any thread may use and drop the file.
unsafe impl Send for Blocks {}
// SAFETY: The methods take the locks that they need.
unsafe impl Sync for Blocks {}

impl Blocks {
    /// Holds the blocks of a file.
    ///
    /// The caller must own the file and may write to it. May sleep.
    pub(crate) fn hold(user: &LocalFile) -> Result<Self, Refusal> {
        let user = user.as_ptr();
        // SAFETY: The file is open.
        let (inode, mapping, mode) =
            unsafe { ((*user).f_inode, (*user).f_mapping, (*user).f_mode) };
        // SAFETY: The file is open, so its inode, its mapping and its super block are valid.
        let (host, kind, flags, blkbits, has_walk) = unsafe {
            (
                (*mapping).host,
                u32::from((*inode).i_mode) & bindings::S_IFMT,
                (*inode).i_flags,
                u32::from((*inode).i_blkbits),
                (*(*mapping).a_ops).swap_activate.is_some() && !(*(*inode).i_sb).s_bdev.is_null(),
            )
        };

        if kind != bindings::S_IFREG {
            return Refusal::err(EINVAL, "it is not a regular file");
        }
        if mode & bindings::FMODE_READ == 0 {
            return Refusal::err(EBADF, "the descriptor must be open for reading");
        }
        if host != inode || flags & bindings::S_DAX == 0 || !has_walk {
            return Refusal::err(
                EOPNOTSUPP,
                "it is not on a file system that maps it directly; use ext4 or xfs on persistent memory, mounted with -o dax",
            );
        }
        if blkbits as usize != PAGE_SHIFT {
            return Refusal::err(
                EOPNOTSUPP,
                "the blocks of the file system must have the size of a page",
            );
        }
        if flags & (bindings::S_IMMUTABLE | bindings::S_APPEND) != 0 {
            return Refusal::err(
                EPERM,
                "it is immutable or append-only; remove that with chattr",
            );
        }
        if flags & (bindings::S_VERITY | bindings::S_ENCRYPTED) != 0 {
            return Refusal::err(EOPNOTSUPP, "it is encrypted, or has fs-verity");
        }

        // SAFETY: The file is open.
        let (owns, may_write) = unsafe {
            let idmap = bindings::file_mnt_idmap(user);
            (
                bindings::inode_owner_or_capable(idmap, inode),
                bindings::inode_permission(
                    idmap,
                    inode,
                    (bindings::MAY_READ | bindings::MAY_WRITE) as c_int,
                ),
            )
        };
        if !owns {
            return Refusal::err(EPERM, "only the owner of the file may seal it");
        }
        to_result(may_write).map_err(|err| {
            if err == EROFS {
                Refusal(err, "the file system is read-only")
            } else {
                Refusal(err, "the caller may not write to it")
            }
        })?;

        // The seal gets an open file of its own, with a position that nobody else changes. SAFETY:
        // The path of an open file is valid, and so are the credentials of the current task.
        let file = from_err_ptr(unsafe {
            bindings::dentry_open(
                &raw const (*user).__bindgen_anon_1.f_path,
                (bindings::O_RDONLY | bindings::O_LARGEFILE) as c_int,
                (*Task::current_raw()).cred,
            )
        })
        .map_err(|err| Refusal(err, "it cannot be opened for reading"))?;
        let file = OpenFile(file);

        // SAFETY: The file is open.
        to_result(unsafe { bindings::mnt_get_write_access(file.mount()) })
            .map_err(|err| Refusal(err, "the mount is read-only"))?;
        let file = WithMount(file);

        // SAFETY: The file is open.
        to_result(unsafe { bindings::deny_write_access(file.0 .0) }).map_err(|err| {
            Refusal(
                err,
                "it is open for writing, or mapped so; close all such descriptors, that of the caller too",
            )
        })?;
        let file = Denied(file);

        // SAFETY: The inode is valid. The lock protects the flags.
        let taken = unsafe {
            bindings::inode_lock(inode);
            let flags = &raw mut (*inode).i_flags;
            let taken = *flags & bindings::S_SWAPFILE != 0;
            *flags |= bindings::S_SWAPFILE;
            bindings::inode_unlock(inode);
            taken
        };
        if taken {
            return Refusal::err(EBUSY, "it is sealed already, or a swap file");
        }
        // INVARIANT: The steps above.
        let this = Self { file: file.0 .0 .0 };
        core::mem::forget(file);
        Ok(this)
    }

    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: By the type invariant the file is open.
        unsafe { (*self.file).f_inode }
    }

    /// The length of the file in bytes. It does not change.
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: By the type invariant. Nothing changes the size of the file.
        unsafe { (*self.inode()).i_size as u64 }
    }

    /// The main block device of the file system.
    fn bdev(&self) -> *mut bindings::block_device {
        // SAFETY: By the type invariant. `hold` has checked that there is one.
        unsafe { (*(*self.inode()).i_sb).s_bdev }
    }

    /// Makes the data and the metadata of the file durable. May sleep.
    pub(crate) fn sync(&self) -> Result {
        // SAFETY: By the type invariant the file is open.
        to_result(unsafe { bindings::vfs_fsync(self.file, 0) })
    }

    /// The offset in bytes of the first hole or unwritten extent; the length if there is none.
    pub(crate) fn first_hole(&self) -> Result<u64> {
        // SAFETY: By the type invariant the file is open, and nobody else uses its position.
        let offset = unsafe { bindings::vfs_llseek(self.file, 0, bindings::SEEK_HOLE as c_int) };

        u64::try_from(offset).map_err(|_| Error::from_errno(offset as i32))
    }

    /// Asks the file system where the blocks are, and calls `f` for each run of them, in the order
    /// of the file. Returns the block device that they are on. May sleep.
    ///
    /// Fails with `EINVAL` if a block is shared, missing, or on another device.
    pub(crate) fn runs(&self, mut f: impl FnMut(Run) -> Result) -> Result<Disk<'_>> {
        let pages = u32::try_from(self.len() >> PAGE_SHIFT).map_err(|_| EFBIG)?;
        let mut walk = KBox::new(
            Walk(bindings::swap_info_struct {
                max: pages,
                bdev: self.bdev(),
                ..pin_init::zeroed()
            }),
            GFP_KERNEL,
        )?;
        let mut span = 0;

        // SAFETY: By the type invariant the file is open and has the operation. The operation uses
        // these members of the structure, and `add_swap_extent()` the tree; an empty tree is zero.
        to_result(unsafe {
            match (*(*(*self.file).f_mapping).a_ops).swap_activate {
                Some(activate) => activate(&raw mut walk.0, self.file, &raw mut span),
                None => EOPNOTSUPP.to_errno(),
            }
        })?;

        // SAFETY: Only this accesses the tree.
        let mut node = unsafe { bindings::rb_first(&raw const walk.0.swap_extent_root) };
        while !node.is_null() {
            // SAFETY: The nodes of this tree are in a `struct swap_extent` each.
            let extent = unsafe { kernel::container_of!(node, bindings::swap_extent, rb_node) };
            // SAFETY: As above.
            let run = unsafe {
                Run {
                    page: (*extent).start_page,
                    block: (*extent).start_block as usize,
                    pages: (*extent).nr_pages,
                }
            };
            f(run)?;
            // SAFETY: The node is in the tree.
            node = unsafe { bindings::rb_next(node) };
        }
        Ok(Disk(walk.0.bdev, PhantomData))
    }

    /// Prints the path of the file.
    pub(crate) fn print_path(&self, m: &SeqFile) {
        // SAFETY: `SeqFile` is a transparent wrapper. By the type invariant the file is open.
        unsafe {
            bindings::seq_path(
                core::ptr::from_ref(m)
                    .cast::<bindings::seq_file>()
                    .cast_mut(),
                &raw const (*self.file).__bindgen_anon_1.f_path,
                c"\n".as_char_ptr(),
            )
        };
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let inode = self.inode();

        // SAFETY: By the type invariant the flag is ours. The lock protects the flags.
        unsafe {
            bindings::inode_lock(inode);
            (*inode).i_flags &= !bindings::S_SWAPFILE;
            bindings::inode_unlock(inode);
        }
        // INVARIANT: This has the same as `Denied` has, besides the flag. It is not used any more.
        drop(Denied(WithMount(OpenFile(self.file))));
    }
}

/// An open file.
struct OpenFile(*mut bindings::file);

impl OpenFile {
    fn mount(&self) -> *mut bindings::vfsmount {
        // SAFETY: The file is open.
        unsafe { (*self.0).__bindgen_anon_1.f_path.mnt }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // SAFETY: This owns a reference.
        unsafe { bindings::fput(self.0) };
    }
}

/// An open file, with a write access to its mount.
struct WithMount(OpenFile);

impl Drop for WithMount {
    fn drop(&mut self) {
        // SAFETY: This owns a write access.
        unsafe { bindings::mnt_put_write_access(self.0.mount()) };
    }
}

/// Such a file, with write access to it denied.
struct Denied(WithMount);

impl Drop for Denied {
    fn drop(&mut self) {
        // SAFETY: This owns a denial.
        unsafe { bindings::allow_write_access(self.0 .0 .0) };
    }
}

/// What `swap_activate` fills: the tree of extents.
struct Walk(bindings::swap_info_struct);

impl Drop for Walk {
    fn drop(&mut self) {
        // SAFETY: Only this accesses the tree. `add_swap_extent()` allocated each node with
        // `kmalloc()`. The next one is read before a node is freed.
        unsafe {
            let mut node = bindings::rb_first_postorder(&raw const self.0.swap_extent_root);
            while !node.is_null() {
                let next = bindings::rb_next_postorder(node);
                bindings::kfree(
                    kernel::container_of!(node, bindings::swap_extent, rb_node).cast::<c_void>(),
                );
                node = next;
            }
        }
    }
}
