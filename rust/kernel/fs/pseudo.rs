// SPDX-License-Identifier: GPL-2.0

//! Pseudo file systems whose inodes stand for devices and carry a value of a Rust type.
//!
//! Such a file system is mounted by the kernel only and has no names. It is a way to get inodes:
//! objects with a reference count, that are found by a device number and have a page cache mapping,
//! through which everything that user space mapped of a device can be unmapped.
//!
//! A [`Node`] is the value; an [`Inode`] is a `struct inode` with the value behind it, in one
//! allocation from a slab cache of the file system's own. An [`ARef`] of it holds one of
//! the inode's references. The value is dropped with the memory of the inode, an RCU grace period
//! after the last reference is gone.
//!
//! C headers: [`include/linux/pseudo_fs.h`](srctree/include/linux/pseudo_fs.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    container_of,
    error::{
        from_err_ptr,
        Result, //
    },
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
    },
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

/// What an inode of a pseudo file system carries.
pub trait Node: Send + Sync + Sized + 'static {
    /// The name of the file system.
    const NAME: &'static CStr;

    /// The name of the slab cache of its inodes.
    const CACHE: &'static CStr;

    /// The magic number of its super block.
    const MAGIC: c_ulong;

    /// The `S_*` flags of its inodes.
    const FLAGS: u32;

    /// Called when the last reference is gone, in the context of whoever dropped it.
    ///
    /// The value itself is dropped later, in a context that must not sleep.
    fn released(&self);
}

/// A type of pseudo file system. Has to be a `static`.
///
/// # Invariants
///
/// `cache` is null, or the slab cache of inodes of type `Inode<T>`; it is the latter while the file
/// system is mounted.
#[repr(C)]
pub struct FileSystem<T: Node> {
    fs_type: Opaque<bindings::file_system_type>,
    cache: Atomic<*mut bindings::kmem_cache>,
    _node: PhantomData<fn() -> T>,
}

// SAFETY: `fs_type` is only accessed by the VFS, which locks it; the rest is atomic.
unsafe impl<T: Node> Sync for FileSystem<T> {}

impl<T: Node> FileSystem<T> {
    const OPERATIONS: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(Self::alloc_inode),
        destroy_inode: Some(Self::destroy_inode),
        free_inode: Some(Self::free_inode),
        drop_inode: Some(bindings::inode_just_drop),
        statfs: Some(bindings::simple_statfs),
        ..pin_init::zeroed()
    };

    /// Creates the file system type. Nothing exists of it before it is mounted.
    ///
    /// # Safety
    ///
    /// The value is a static of the kernel image: anybody may refer to an inode, and what frees it is
    /// needed until then.
    pub const unsafe fn new() -> Self {
        // INVARIANT: There is no cache yet.
        Self {
            fs_type: Opaque::new(bindings::file_system_type {
                name: T::NAME.to_bytes_with_nul().as_ptr(),
                init_fs_context: Some(Self::init_fs_context),
                kill_sb: Some(bindings::kill_anon_super),
                ..pin_init::zeroed()
            }),
            cache: Atomic::new(ptr::null_mut()),
            _node: PhantomData,
        }
    }

    /// Mounts the file system for the kernel, for as long as that runs.
    ///
    /// Fails with `EBUSY` when it is mounted already.
    pub fn mount(&'static self) -> Result<Mount<T>> {
        let mut args = bindings::kmem_cache_args {
            ctor: Some(Self::init_once),
            ..pin_init::zeroed()
        };

        // SAFETY: The name lives forever, and the cache is for objects of the size of `Inode<T>`.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(
                T::CACHE.as_char_ptr(),
                size_of::<Inode<T>>().try_into()?,
                &mut args,
                bindings::SLAB_HWCACHE_ALIGN
                    | bindings::SLAB_RECLAIM_ACCOUNT
                    | bindings::SLAB_ACCOUNT,
            )
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }

        // INVARIANT: Of the callers of this function one installs its cache, made above.
        if self.cache.cmpxchg(ptr::null_mut(), cache, Full).is_err() {
            // SAFETY: The cache was made above and has no objects.
            unsafe { bindings::kmem_cache_destroy(cache) };
            return Err(EBUSY);
        }
        let cache = Cache { fs: self };

        // SAFETY: `fs_type` lives forever, and its callbacks find the cache they need.
        let mnt = from_err_ptr(unsafe { bindings::kern_mount(self.fs_type.get()) })?;
        let mnt = NonNull::new(mnt).ok_or(ENOMEM)?;

        // The cache is there as long as the mount.
        core::mem::forget(cache);
        // INVARIANT: The mount was just made, and stays.
        Ok(Mount {
            mnt,
            _node: PhantomData,
        })
    }

    /// # Safety
    ///
    /// `fc` is a file system context that is being initialised, for a file system type that is
    /// within a `FileSystem<T>`.
    unsafe extern "C" fn init_fs_context(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: By the safety requirement `fc` is being initialised.
        let ctx = unsafe { bindings::init_pseudo(fc, T::MAGIC) };
        if ctx.is_null() {
            return ENOMEM.to_errno();
        }

        // SAFETY: `init_pseudo()` returned its context, which belongs to `fc`.
        unsafe { (*ctx).ops = &Self::OPERATIONS };
        0
    }

    /// Constructs what outlives the uses of a slab object: the part that belongs to the VFS.
    ///
    /// # Safety
    ///
    /// `object` is memory for an `Inode<T>`.
    unsafe extern "C" fn init_once(object: *mut c_void) {
        // SAFETY: The `struct inode` is at the beginning of an `Inode<T>`.
        unsafe { bindings::inode_init_once(object.cast()) };
    }

    /// # Safety
    ///
    /// `sb` is a super block of a file system type that is within a `FileSystem<T>`.
    unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
        // SAFETY: By the safety requirement the file system type is in a `FileSystem<T>`, and all
        // of those are static.
        let fs = unsafe {
            let fs_type = Opaque::cast_from((*sb).s_type);
            &*container_of!(fs_type.cast_mut(), Self, fs_type)
        };

        let cache = fs.cache.load(Relaxed);

        // SAFETY: By the type invariant of `FileSystem`, as there is a super block, `cache` is a
        // cache of objects that are `Inode<T>`.
        let object = unsafe { bindings::alloc_inode_sb(sb, cache, bindings::GFP_KERNEL) };

        let inode: *mut bindings::inode = object.cast();
        if !inode.is_null() {
            // Says that there is no value in it, see `Inode`.
            // SAFETY: This is a `struct inode` that nobody else knows.
            unsafe { (*inode).i_rdev = 0 };
        }
        inode
    }

    /// # Safety
    ///
    /// `inode` is an inode of this file system to which there is no reference left.
    unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
        // SAFETY: By the safety requirement this is an inode. With a device number it has a value,
        // by the invariant of `Inode`; a reference to it is unique to nobody.
        unsafe {
            if (*inode).i_rdev != 0 {
                Inode::<T>::from_raw(inode).node.released();
            }
        }
    }

    /// # Safety
    ///
    /// `inode` is an inode of this file system that is not used any more.
    unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
        // SAFETY: By the safety requirement nobody else uses the inode. With a device number it
        // has a value, by the invariant of `Inode`. The memory is freed through `kfree()`, which
        // is made for objects of any slab cache, because the super block, through which the cache
        // could be found, may be gone by now.
        unsafe {
            if (*inode).i_rdev != 0 {
                ptr::drop_in_place(&raw mut (*inode.cast::<Inode<T>>()).node);
            }
            bindings::kfree(inode.cast());
        }
    }
}

/// The slab cache of a file system that is not mounted, destroyed when dropped.
///
/// # Invariants
///
/// `fs.cache` is not null, and this owns it.
struct Cache<T: Node> {
    fs: &'static FileSystem<T>,
}

impl<T: Node> Drop for Cache<T> {
    fn drop(&mut self) {
        // INVARIANT: There is no mount any more, so that the cache need not exist.
        let cache = self.fs.cache.xchg(ptr::null_mut(), Full);

        // SAFETY: By the type invariant `cache` is a slab cache. An inode that a mount which failed
        // may have made is freed by an RCU callback, which has run after `rcu_barrier()`.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(cache);
        }
    }
}

/// A mounted pseudo file system.
///
/// It stays mounted when this is dropped: an inode of a file system that is unmounted could not be
/// given back any more, and anybody may have a reference.
///
/// # Invariants
///
/// `mnt` is a mount of a [`FileSystem<T>`], which is never unmounted.
pub struct Mount<T: Node> {
    mnt: NonNull<bindings::vfsmount>,
    _node: PhantomData<fn() -> T>,
}

// SAFETY: A mount is not tied to the thread that made it.
unsafe impl<T: Node> Send for Mount<T> {}
// SAFETY: What `&Mount` offers is safe to call concurrently.
unsafe impl<T: Node> Sync for Mount<T> {}

/// What the VFS passes through to [`test`](Mount::test) and [`set`](Mount::set).
struct Request<T> {
    rdev: bindings::dev_t,
    node: Option<T>,
}

impl<T: Node> Mount<T> {
    fn super_block(&self) -> *mut bindings::super_block {
        // SAFETY: By the type invariant `mnt` is valid; its super block never changes.
        unsafe { (*self.mnt.as_ptr()).mnt_sb }
    }

    /// Creates the inode of device number `rdev`, which carries `node`.
    ///
    /// Nobody else sees it before it is complete. Fails with `EINVAL` when `rdev` is zero, with
    /// `EEXIST` when there is such an inode already, and with `ENOMEM` without memory. Sleeps.
    pub fn create(&self, rdev: bindings::dev_t, node: T) -> Result<ARef<Inode<T>>> {
        if rdev == 0 {
            return Err(EINVAL);
        }
        let mut request = Request {
            rdev,
            node: Some(node),
        };

        // SAFETY: The super block is mounted; `test` and `set` get the request they expect.
        let inode = unsafe {
            bindings::iget5_locked(
                self.super_block(),
                rdev.into(),
                Some(Self::test),
                Some(Self::set),
                (&raw mut request).cast(),
            )
        };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;

        // SAFETY: The inode is one of this file system with a device number, so that it has a
        // value, and `iget5_locked()` passed a reference of it to the caller.
        let this = unsafe { ARef::from_raw(inode.cast::<Inode<T>>()) };
        if request.node.is_some() {
            return Err(EEXIST);
        }

        // SAFETY: The inode is new, and everybody else waits for `unlock_new_inode()`.
        unsafe {
            let inode = inode.as_ptr();

            *bindings::inode_cdev(inode) = this.cdev.get();
            (*inode).i_mode = bindings::S_IFCHR as bindings::umode_t;
            (*inode).i_flags = T::FLAGS;
            bindings::mapping_set_gfp_mask(&raw mut (*inode).i_data, bindings::GFP_USER);
            bindings::unlock_new_inode(inode);
        }
        Ok(this)
    }

    /// Returns the inode of device number `rdev`, if there is one. Sleeps.
    pub fn find(&self, rdev: bindings::dev_t) -> Option<ARef<Inode<T>>> {
        let mut request = Request::<T> { rdev, node: None };

        // SAFETY: The super block is mounted, and `test` gets the request it expects.
        let inode = unsafe {
            bindings::ilookup5(
                self.super_block(),
                rdev.into(),
                Some(Self::test),
                (&raw mut request).cast(),
            )
        };

        // SAFETY: The inode is one of this file system with a device number, so that it has a
        // value, and `ilookup5()` passed a reference of it to the caller.
        NonNull::new(inode).map(|inode| unsafe { ARef::from_raw(inode.cast()) })
    }

    /// # Safety
    ///
    /// `inode` is an inode of this file system, and `request` is a `Request<T>`.
    unsafe extern "C" fn test(inode: *mut bindings::inode, request: *mut c_void) -> c_int {
        // SAFETY: By the safety requirement.
        unsafe { ((*inode).i_rdev == (*request.cast::<Request<T>>()).rdev).into() }
    }

    /// Moves the value into a new inode. The VFS holds a spin lock.
    ///
    /// # Safety
    ///
    /// `inode` is an inode of this file system that nobody else knows, and `request` is a
    /// `Request<T>`.
    unsafe extern "C" fn set(inode: *mut bindings::inode, request: *mut c_void) -> c_int {
        // SAFETY: By the safety requirement.
        let request = unsafe { &mut *request.cast::<Request<T>>() };
        let Some(node) = request.node.take() else {
            return EINVAL.to_errno();
        };
        let this: *mut Inode<T> = inode.cast();

        // INVARIANT: The value is complete before the device number says that it is there.
        // SAFETY: By the safety requirement this is memory of an `Inode<T>`, without a value.
        unsafe {
            (&raw mut (*this).cdev).write(Opaque::zeroed());
            (&raw mut (*this).node).write(node);
            (*inode).i_rdev = request.rdev;
        }
        0
    }
}

/// An inode of a pseudo file system, with the value that it carries.
///
/// C code may keep a `struct cdev` in it, which it finds as the inode's `i_cdev`.
///
/// # Invariants
///
/// - `inode` is a `struct inode` that [`FileSystem`] made.
/// - `node` is initialised if and only if the inode has a device number other than zero, which
///   never changes once set. There are no references to an `Inode` without.
#[repr(C)]
pub struct Inode<T> {
    inode: Opaque<bindings::inode>,
    cdev: Opaque<bindings::cdev>,
    node: T,
}

// SAFETY: An inode may be dropped by any thread, and so may its value.
unsafe impl<T: Node> Send for Inode<T> {}
// SAFETY: The VFS locks inodes; the value is `Sync`.
unsafe impl<T: Node> Sync for Inode<T> {}

impl<T: Node> Inode<T> {
    /// Makes a reference of a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` points to an inode of a [`FileSystem<T>`] that [`Mount::create`] returned, and whose
    /// memory stays valid for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the safety requirement and the type invariant.
        unsafe { &*ptr.cast() }
    }

    /// Finds the inode whose `struct cdev` another one leads to.
    ///
    /// That is an inode which the character device was opened through.
    ///
    /// # Safety
    ///
    /// As for [`Self::from_raw`], of the inode that `ptr` leads to.
    #[inline]
    pub unsafe fn from_opened<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the safety requirement `i_cdev` is embedded in an `Inode`.
        unsafe {
            let cdev = *bindings::inode_cdev(ptr);
            &*container_of!(Opaque::cast_from(cdev).cast_mut(), Self, cdev)
        }
    }

    /// Returns the `struct inode`.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::inode {
        self.inode.get()
    }

    /// Returns the device number.
    pub fn rdev(&self) -> bindings::dev_t {
        // SAFETY: By the type invariant the device number does not change.
        unsafe { (*self.as_raw()).i_rdev }
    }

    /// Takes a reference, unless the last one is gone already.
    pub fn grab(&self) -> Option<ARef<Self>> {
        // SAFETY: By the type invariant this is a valid inode.
        let inode = unsafe { bindings::igrab(self.as_raw()) };

        // SAFETY: `igrab()` took the reference that the `ARef` will own.
        NonNull::new(inode).map(|inode| unsafe { ARef::from_raw(inode.cast()) })
    }

    /// Unmaps everything that user space has mapped of the device.
    pub fn unmap_all(&self) {
        // SAFETY: By the type invariant this is a valid inode, whose `i_mapping` is valid.
        unsafe { bindings::unmap_mapping_range((*self.as_raw()).i_mapping, 0, 0, 1) };
    }
}

impl<T: Node> Deref for Inode<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.node
    }
}

// SAFETY: The reference count of the `struct inode` keeps all of its memory alive.
unsafe impl<T: Node> AlwaysRefCounted for Inode<T> {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant this is a valid inode; a caller who knows it has, or
        // borrows, a reference.
        unsafe { bindings::ihold(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the safety requirement the caller owns the reference.
        unsafe { bindings::iput(obj.as_ptr().cast()) };
    }
}
