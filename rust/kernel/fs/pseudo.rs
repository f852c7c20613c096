// SPDX-License-Identifier: GPL-2.0

//! Pseudo file systems whose inodes stand for devices and carry a value of a Rust type.
//!
//! Only the kernel mounts such a file system, and it has no names. A subsystem uses it to get
//! inodes. An inode is refcounted and has a device number to find it by. It also has an
//! `address_space`, through which the kernel can unmap everything that user space has mapped of a
//! device.
//!
//! A [`Node`] is the value. An [`Inode`] is a `struct inode` with the value behind it. Both are in
//! one allocation, from a slab cache of the file system. An [`ARef`] of an [`Inode`] owns one
//! reference. The value is dropped with the memory of the inode, an RCU grace period after the last
//! reference is put.
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     fs::pseudo::{
//!         FileSystem,
//!         Mount,
//!         Node, //
//!     },
//!     sync::aref::ARef, //
//! };
//!
//! struct Disk {
//!     size: u64,
//! }
//!
//! impl Node for Disk {
//!     const NAME: &'static CStr = c"example";
//!     const CACHE: &'static CStr = c"example_cache";
//!     const MAGIC: usize = 0x6578_616d;
//!     const FLAGS: u32 = 0;
//!
//!     fn released(&self) {}
//! }
//!
//! // SAFETY: The file system is a static. This code is built into the kernel image.
//! static DISKS: FileSystem<Disk> = unsafe { FileSystem::new() };
//!
//! fn size_of_disk(mount: &Mount<Disk>, number: u32) -> Option<u64> {
//!     Some(mount.find(number)?.size)
//! }
//!
//! let mount = DISKS.mount()?;
//! let disk = mount.create(1, Disk { size: 512 })?;
//!
//! assert_eq!(size_of_disk(&mount, 1), Some(512));
//! assert_eq!(size_of_disk(&mount, 2), None);
//! # drop(disk);
//! # Ok::<(), Error>(())
//! ```
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

/// The value of an inode of a pseudo file system.
pub trait Node: Send + Sync + Sized + 'static {
    /// The name of the file system.
    const NAME: &'static CStr;

    /// The name of the slab cache of its inodes.
    const CACHE: &'static CStr;

    /// The magic number of its super block.
    const MAGIC: c_ulong;

    /// The `S_*` flags of its inodes.
    const FLAGS: u32;

    /// Called when the last reference is put, in the context of the caller that puts it.
    ///
    /// The value is dropped later, in a context that must not sleep.
    fn released(&self);
}

/// A type of pseudo file system. It must be a `static`.
///
/// # Invariants
///
/// `cache` is null or the slab cache of inodes of type `Inode<T>`. While the file system is
/// mounted, it is not null.
#[repr(C)]
pub struct FileSystem<T: Node> {
    fs_type: Opaque<bindings::file_system_type>,
    cache: Atomic<*mut bindings::kmem_cache>,
    _node: PhantomData<fn() -> T>,
}

// SAFETY: Only the VFS accesses `fs_type`, under a lock. `cache` is atomic.
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

    /// Creates the file system type. It is not registered before it is mounted.
    ///
    /// # Safety
    ///
    /// The value is a static of the kernel image. References to an inode may exist at any time, and
    /// the code that frees the inode must exist until then.
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

    /// Mounts the file system for as long as the kernel runs. May sleep.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is mounted already, and [`ENOMEM`].
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

        // INVARIANT: `cache` is the slab cache that was created above. Only one caller stores its
        // cache.
        if self.cache.cmpxchg(ptr::null_mut(), cache, Full).is_err() {
            // SAFETY: The cache was made above and has no objects.
            unsafe { bindings::kmem_cache_destroy(cache) };
            return Err(EBUSY);
        }
        let cache = Cache { fs: self };

        // SAFETY: `fs_type` lives forever. Its callbacks find the cache, which is stored above.
        let mnt = from_err_ptr(unsafe { bindings::kern_mount(self.fs_type.get()) })?;
        let mnt = NonNull::new(mnt).ok_or(ENOMEM)?;

        // The cache must exist as long as the mount.
        core::mem::forget(cache);
        // INVARIANT: The mount was created just now, and is never unmounted.
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

    /// Initialises the part of a slab object that stays initialised between uses: that of the VFS.
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
            // Without a device number the inode has no value: see `Inode`.
            // SAFETY: This is a `struct inode` that nothing else uses yet.
            unsafe { (*inode).i_rdev = 0 };
        }
        inode
    }

    /// # Safety
    ///
    /// `inode` is an inode of this file system to which there is no reference left.
    unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
        // SAFETY: By the safety requirement this is an inode. By the invariant of `Inode` it has a
        // value if it has a device number. RCU readers may use it as well, but only by shared
        // references.
        unsafe {
            if (*inode).i_rdev != 0 {
                Inode::<T>::from_raw(inode).node.released();
            }
        }
    }

    /// # Safety
    ///
    /// `inode` is an inode of this file system that nothing uses any more.
    unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
        // SAFETY: By the safety requirement nothing else uses the inode. By the invariant of
        // `Inode` it has a value if it has a device number. `kfree()` frees objects of any slab
        // cache. The cache itself cannot be found here: the super block may be gone.
        unsafe {
            if (*inode).i_rdev != 0 {
                ptr::drop_in_place(&raw mut (*inode.cast::<Inode<T>>()).node);
            }
            bindings::kfree(inode.cast());
        }
    }
}

/// The slab cache of a file system that is not mounted. Dropping it destroys the cache.
///
/// # Invariants
///
/// `fs.cache` is not null, and this value owns the cache.
struct Cache<T: Node> {
    fs: &'static FileSystem<T>,
}

impl<T: Node> Drop for Cache<T> {
    fn drop(&mut self) {
        // INVARIANT: The file system is not mounted, so `cache` may be null.
        let cache = self.fs.cache.xchg(ptr::null_mut(), Full);

        // SAFETY: By the type invariant `cache` is a slab cache. A failed mount may have created an
        // inode, which an RCU callback frees. `rcu_barrier()` waits for the callback.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(cache);
        }
    }
}

/// A mounted pseudo file system.
///
/// The file system stays mounted when this is dropped: references to its inodes may exist, and they
/// could not be put after an unmount.
///
/// # Invariants
///
/// `mnt` is a mount of a [`FileSystem<T>`]. It is never unmounted.
pub struct Mount<T: Node> {
    mnt: NonNull<bindings::vfsmount>,
    _node: PhantomData<fn() -> T>,
}

// SAFETY: Any thread may use a mount.
unsafe impl<T: Node> Send for Mount<T> {}
// SAFETY: The functions that take `&Mount` may be called concurrently.
unsafe impl<T: Node> Sync for Mount<T> {}

/// The argument of [`test`](Mount::test) and [`set`](Mount::set), which the VFS passes on.
struct Request<T> {
    rdev: bindings::dev_t,
    node: Option<T>,
}

impl<T: Node> Mount<T> {
    fn super_block(&self) -> *mut bindings::super_block {
        // SAFETY: By the type invariant `mnt` is valid. Its super block never changes.
        unsafe { (*self.mnt.as_ptr()).mnt_sb }
    }

    /// Creates the inode of device number `rdev` with the value `node`. May sleep.
    ///
    /// [`Self::find`] does not return the inode before it is complete.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if `rdev` is zero, [`EEXIST`] if the inode exists already, and [`ENOMEM`].
    pub fn create(&self, rdev: bindings::dev_t, node: T) -> Result<ARef<Inode<T>>> {
        if rdev == 0 {
            return Err(EINVAL);
        }
        let mut request = Request {
            rdev,
            node: Some(node),
        };

        // SAFETY: The super block is mounted. `test` and `set` get the request that they expect.
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

        // SAFETY: The inode is one of this file system with a device number, so it has a value.
        // `iget5_locked()` passed a reference to the caller.
        let this = unsafe { ARef::from_raw(inode.cast::<Inode<T>>()) };
        if request.node.is_some() {
            return Err(EEXIST);
        }

        // SAFETY: The inode is new. Other users wait for `unlock_new_inode()`.
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

    /// Returns the inode of device number `rdev`, if it exists. May sleep.
    pub fn find(&self, rdev: bindings::dev_t) -> Option<ARef<Inode<T>>> {
        let mut request = Request::<T> { rdev, node: None };

        // SAFETY: The super block is mounted. `test` gets the request that it expects.
        let inode = unsafe {
            bindings::ilookup5(
                self.super_block(),
                rdev.into(),
                Some(Self::test),
                (&raw mut request).cast(),
            )
        };

        // SAFETY: The inode is one of this file system with a device number, so it has a value.
        // `ilookup5()` passed a reference to the caller.
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
    /// `inode` is an inode of this file system that nothing else uses. `request` is a `Request<T>`.
    unsafe extern "C" fn set(inode: *mut bindings::inode, request: *mut c_void) -> c_int {
        // SAFETY: By the safety requirement.
        let request = unsafe { &mut *request.cast::<Request<T>>() };
        let Some(node) = request.node.take() else {
            return EINVAL.to_errno();
        };
        let this: *mut Inode<T> = inode.cast();

        // INVARIANT: The value is complete before the device number is set.
        // SAFETY: By the safety requirement this is the memory of an `Inode<T>` without a value.
        unsafe {
            (&raw mut (*this).cdev).write(Opaque::zeroed());
            (&raw mut (*this).node).write(node);
            (*inode).i_rdev = request.rdev;
        }
        0
    }
}

/// An inode of a pseudo file system, with its value.
///
/// C code may use the `struct cdev` in it. `i_cdev` of the inode points to it.
///
/// # Invariants
///
/// - `inode` is a `struct inode` that [`FileSystem`] created.
/// - `node` is initialised if and only if the device number of the inode is not zero. Once the
///   number is set, it never changes. References exist only to an `Inode` with a device number.
#[repr(C)]
pub struct Inode<T> {
    inode: Opaque<bindings::inode>,
    cdev: Opaque<bindings::cdev>,
    node: T,
}

// SAFETY: Any thread may put the last reference to an inode, and drop its value.
unsafe impl<T: Node> Send for Inode<T> {}
// SAFETY: The VFS locks inodes. The value is `Sync`.
unsafe impl<T: Node> Sync for Inode<T> {}

impl<T: Node> Inode<T> {
    /// Creates a reference from a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` points to an inode of a [`FileSystem<T>`] that [`Mount::create`] returned. Its memory
    /// is valid for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the safety requirement and the type invariant.
        unsafe { &*ptr.cast() }
    }

    /// Returns the inode of a char device from the inode through which the device was opened.
    ///
    /// # Safety
    ///
    /// `i_cdev` of `ptr` points to the `struct cdev` of an inode for which the requirements of
    /// [`Self::from_raw`] hold.
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

    /// Takes a reference, unless the last one was put already.
    pub fn grab(&self) -> Option<ARef<Self>> {
        // SAFETY: By the type invariant this is a valid inode.
        let inode = unsafe { bindings::igrab(self.as_raw()) };

        // SAFETY: `igrab()` took the reference that the `ARef` will own.
        NonNull::new(inode).map(|inode| unsafe { ARef::from_raw(inode.cast()) })
    }

    /// Unmaps everything that user space has mapped of the device. May sleep.
    pub fn unmap_all(&self) {
        // SAFETY: By the type invariant the inode is valid, and so is its `i_mapping`.
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

// SAFETY: The refcount of the `struct inode` keeps the whole allocation alive.
unsafe impl<T: Node> AlwaysRefCounted for Inode<T> {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant the inode is valid. A reference to `self` implies that the
        // refcount is not zero.
        unsafe { bindings::ihold(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the safety requirement the caller owns the reference.
        unsafe { bindings::iput(obj.as_ptr().cast()) };
    }
}
