// SPDX-License-Identifier: GPL-2.0

//! Attributes of devices and drivers: the files in their sysfs folders.
//!
//! An attribute is a type that implements [`Attribute`]; what it reads and changes is its
//! [`Owner`], which the abstraction finds from the device or driver that sysfs names. A static
//! list of attributes, made by [`attribute_groups!`](crate::attribute_groups), is what a device
//! type, a bus or a [`GroupsRegistration`] puts into sysfs.
//!
//! C headers: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)

use super::{
    subclass::{
        Subclass,
        Type, //
    },
    Bound,
    Device, //
};
use crate::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Deref, //
};

/// Permission bits of a file in sysfs, as in `stat(2)`; 0 leaves the file out.
pub type Mode = bindings::umode_t;

/// What attributes belong to.
///
/// # Safety
///
/// `from_raw` is sound for every device or driver that attributes of this owner are put on.
pub unsafe trait Owner: 'static {
    /// What sysfs names: [`bindings::device`] or [`bindings::device_driver`].
    type Raw;

    /// The owner that sysfs's device or driver stands for.
    ///
    /// # Safety
    ///
    /// Attributes of this owner are on `raw`, which stays registered for as long as `'a`.
    unsafe fn from_raw<'a>(raw: *mut Self::Raw) -> &'a Self;
}

// SAFETY: A `Subclass<T>` only puts `T::GROUPS` on itself.
unsafe impl<T: Type> Owner for Subclass<T> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: `dev` is the `struct device` in a `Subclass<T>`.
        unsafe { Self::from_dev_raw(dev) }
    }
}

/// The text that reading an attribute gives, a page at most.
///
/// # Invariants
///
/// `page` is a page that sysfs gave to a show callback, with `len` bytes of text in it.
pub struct Output {
    page: *mut c_char,
    len: c_int,
}

impl Output {
    /// Appends a number and a newline; as C does it, which takes a third of what [`fmt`] does.
    ///
    /// [`fmt`]: mod@fmt
    pub fn number(&mut self, number: u64) {
        self.append(c"%llu\n", number);
    }

    /// The same in hexadecimal, after `0x`.
    pub fn hex(&mut self, number: u64) {
        self.append(c"%#llx\n", number);
    }

    /// The format is one of the two above.
    fn append(&mut self, format: &CStr, number: u64) {
        // SAFETY: By the type invariants; the format is for an `unsigned long long`.
        self.len = self.len.saturating_add(unsafe {
            bindings::sysfs_emit_at(self.page, self.len, format.as_char_ptr(), number)
        });
    }

    /// Appends text; what is beyond the page is cut off.
    pub fn emit(&mut self, args: fmt::Arguments<'_>) {
        // SAFETY: By the type invariants; `%pA` takes a pointer to `fmt::Arguments`.
        self.len = self.len.saturating_add(unsafe {
            bindings::sysfs_emit_at(
                self.page,
                self.len,
                c"%pA".as_char_ptr(),
                core::ptr::from_ref(&args).cast::<c_void>(),
            )
        });
    }
}

/// A file in the sysfs folder of a device or a driver.
///
/// It has those of [`show`](Self::show) and [`store`](Self::store) that [`MODE`](Self::MODE) lets
/// anybody use. Where [`mode`](Self::mode) lets nobody use one of them for an owner, it fails with
/// `EPERM` there, also after root has changed the mode of the file.
pub trait Attribute: 'static {
    /// What the file belongs to.
    type Owner: Owner;

    /// The name of the file.
    const NAME: &'static CStr;

    /// Who may read and write the file.
    const MODE: Mode;

    /// The mode of the file for one owner; for a device only.
    ///
    /// Asked when the file is made, and again at each access.
    fn mode(_owner: &Self::Owner) -> Mode {
        Self::MODE
    }

    /// The file is read.
    fn show(_owner: &Self::Owner, _out: &mut Output) -> Result {
        Err(EIO)
    }

    /// The file is written. Either all of `_input` is taken, or nothing and an error returned.
    fn store(_owner: &Self::Owner, _input: &[u8]) -> Result {
        Err(EIO)
    }
}

// There are more fields with lockdep.
#[allow(clippy::needless_update)]
const fn attribute<A: Attribute>() -> bindings::attribute {
    bindings::attribute {
        name: crate::str::as_char_ptr_in_const_context(A::NAME),
        mode: A::MODE,
        ..pin_init::zeroed()
    }
}

/// Whether somebody may use a file of a device in the way of `bits`; else `EPERM`, and a line in the
/// log.
///
/// The file system looks at the mode of the file, which root can change, and not at what
/// [`Attribute::mode`] says.
///
/// # Safety
///
/// `dev` is that of a show or store callback of `A`.
unsafe fn permitted<A: Attribute>(
    dev: *mut bindings::device,
    bits: Mode,
    what: &'static str,
) -> Result
where
    A::Owner: Owner<Raw = bindings::device>,
{
    // SAFETY: sysfs keeps the owner registered during the call.
    if A::mode(unsafe { A::Owner::from_raw(dev) }) & bits != 0 {
        return Ok(());
    }
    // SAFETY: The device is valid.
    refused(unsafe { Device::from_raw(dev) }, A::NAME, what)
}

#[cold]
#[inline(never)]
fn refused(dev: &Device, name: &CStr, what: &'static str) -> Result {
    crate::dev_info_ratelimited!(
        dev,
        "{} cannot be {}: not for this device, whatever the mode of the file\n",
        name,
        what
    );
    Err(EPERM)
}

/// # Safety
///
/// `raw` and `page` are those of a show callback of `A`.
unsafe fn show<A: Attribute>(raw: *mut <A::Owner as Owner>::Raw, page: *mut c_char) -> isize {
    from_result(|| {
        // INVARIANT: `page` is sysfs's, and nothing is in it yet.
        let mut out = Output { page, len: 0 };
        // SAFETY: sysfs keeps the owner registered during the call.
        A::show(unsafe { A::Owner::from_raw(raw) }, &mut out)?;
        Ok(out.len as isize)
    })
}

/// # Safety
///
/// The arguments are those of a store callback of `A`.
unsafe fn store<A: Attribute>(
    raw: *mut <A::Owner as Owner>::Raw,
    input: *const c_char,
    count: usize,
) -> isize {
    from_result(|| {
        // SAFETY: sysfs passes `count` readable bytes.
        let input = unsafe { core::slice::from_raw_parts(input.cast::<u8>(), count) };
        // SAFETY: sysfs keeps the owner registered during the call.
        A::store(unsafe { A::Owner::from_raw(raw) }, input)?;
        // A page at most, so that it fits.
        Ok(count as isize)
    })
}

/// A `struct device_attribute`, with the callback that gives its mode.
#[repr(C)]
struct Entry<O> {
    attr: bindings::device_attribute,
    mode: fn(&O) -> Mode,
}

/// A reference to the C part of a static attribute, or the end of a list of them.
#[doc(hidden)]
#[repr(transparent)]
pub struct AttributeRef<O>(*const bindings::attribute, PhantomData<fn(&O)>);

impl<O> AttributeRef<O> {
    #[doc(hidden)]
    pub const END: Self = Self(core::ptr::null(), PhantomData);
}

/// An [`Attribute`] of a device.
#[doc(hidden)]
pub struct DeviceAttribute<A>(PhantomData<A>);

impl<O: Owner<Raw = bindings::device>, A: Attribute<Owner = O>> DeviceAttribute<A> {
    const ENTRY: Entry<O> = Entry {
        attr: bindings::device_attribute {
            attr: attribute::<A>(),
            __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 {
                show: if A::MODE & 0o444 != 0 {
                    Some(Self::show)
                } else {
                    None
                },
            },
            __bindgen_anon_2: bindings::device_attribute__bindgen_ty_2 {
                store: if A::MODE & 0o222 != 0 {
                    Some(Self::store)
                } else {
                    None
                },
            },
        },
        mode: A::mode,
    };

    #[doc(hidden)]
    pub const REF: AttributeRef<O> =
        AttributeRef(core::ptr::from_ref(&Self::ENTRY).cast(), PhantomData);

    /// # Safety
    ///
    /// Only for sysfs to call: for an owner of `A`.
    unsafe extern "C" fn show(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        page: *mut c_char,
    ) -> isize {
        // SAFETY: sysfs calls this with a registered device and a page.
        unsafe {
            match permitted::<A>(dev, 0o444, "read") {
                Ok(()) => show::<A>(dev, page),
                Err(e) => e.to_errno() as isize,
            }
        }
    }

    /// # Safety
    ///
    /// Only for sysfs to call: for an owner of `A`.
    unsafe extern "C" fn store(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        input: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: sysfs calls this with a registered device and `count` bytes.
        unsafe {
            match permitted::<A>(dev, 0o222, "written") {
                Ok(()) => store::<A>(dev, input, count),
                Err(e) => e.to_errno() as isize,
            }
        }
    }
}

/// An [`Attribute`] of a driver, which is only written.
#[doc(hidden)]
pub struct DriverAttribute<A>(PhantomData<A>);

impl<O: Owner<Raw = bindings::device_driver>, A: Attribute<Owner = O>> DriverAttribute<A> {
    const ENTRY: bindings::driver_attribute = bindings::driver_attribute {
        attr: attribute::<A>(),
        show: None,
        store: Some(Self::store),
    };

    #[doc(hidden)]
    pub const REF: AttributeRef<O> =
        AttributeRef(core::ptr::from_ref(&Self::ENTRY).cast(), PhantomData);

    /// # Safety
    ///
    /// Only for sysfs to call: for an owner of `A`.
    unsafe extern "C" fn store(
        drv: *mut bindings::device_driver,
        input: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: sysfs calls this with a registered driver and `count` bytes.
        unsafe { store::<A>(drv, input, count) }
    }
}

/// A static list of attributes, ended as C wants it.
#[doc(hidden)]
#[repr(transparent)]
pub struct List<O, const N: usize>([AttributeRef<O>; N]);

// SAFETY: The list points to constants.
unsafe impl<O, const N: usize> Sync for List<O, N> {}

impl<O, const N: usize> List<O, N> {
    #[doc(hidden)]
    pub const fn new(list: [AttributeRef<O>; N]) -> Self {
        assert!(N > 0 && list[N - 1].0.is_null());
        Self(list)
    }
}

/// A set of attributes, perhaps in a folder of its own.
#[doc(hidden)]
#[repr(transparent)]
pub struct Group<O>(bindings::attribute_group, PhantomData<fn(&O)>);

// SAFETY: A group is constant.
unsafe impl<O> Sync for Group<O> {}

impl<O: Owner<Raw = bindings::device>> Group<O> {
    #[doc(hidden)]
    pub const fn of_device<const N: usize>(
        folder: Option<&'static CStr>,
        list: &'static List<O, N>,
    ) -> Self {
        Self::new(folder, list, Some(Self::is_visible))
    }

    /// # Safety
    ///
    /// Only for sysfs to call: with the kobject of a device of `O` and an attribute of this group.
    unsafe extern "C" fn is_visible(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        _index: c_int,
    ) -> Mode {
        // SAFETY: The kobject is that of a device which gets these attributes.
        let dev = unsafe { kobj.byte_sub(offset_of!(bindings::device, kobj)) };
        // SAFETY: An `AttributeRef` of a device's attribute points to an `Entry`.
        let entry = unsafe { &*attr.cast::<Entry<O>>() };
        // SAFETY: The device is valid, and attributes with this owner are being put on it.
        (entry.mode)(unsafe { O::from_raw(dev.cast()) })
    }
}

impl<O: Owner<Raw = bindings::device_driver>> Group<O> {
    #[doc(hidden)]
    pub const fn of_driver<const N: usize>(
        folder: Option<&'static CStr>,
        list: &'static List<O, N>,
    ) -> Self {
        Self::new(folder, list, None)
    }
}

type IsVisible =
    unsafe extern "C" fn(*mut bindings::kobject, *mut bindings::attribute, c_int) -> Mode;

impl<O> Group<O> {
    const fn new<const N: usize>(
        folder: Option<&'static CStr>,
        list: &'static List<O, N>,
        is_visible: Option<IsVisible>,
    ) -> Self {
        Self(
            bindings::attribute_group {
                name: match folder {
                    Some(folder) => crate::str::as_char_ptr_in_const_context(folder),
                    None => core::ptr::null(),
                },
                __bindgen_anon_1: bindings::attribute_group__bindgen_ty_1 { is_visible },
                __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
                    attrs_const: core::ptr::from_ref(list).cast(),
                },
                ..pin_init::zeroed()
            },
            PhantomData,
        )
    }
}

/// The attributes of an owner; made by [`attribute_groups!`](crate::attribute_groups).
#[repr(transparent)]
pub struct Groups<O>([*const bindings::attribute_group; 2], PhantomData<fn(&O)>);

// SAFETY: The pointers are to constants.
unsafe impl<O> Sync for Groups<O> {}

impl<O> Groups<O> {
    #[doc(hidden)]
    pub const fn new(group: &'static Group<O>) -> Self {
        Self(
            [core::ptr::from_ref(group).cast(), core::ptr::null()],
            PhantomData,
        )
    }

    pub(crate) const fn as_raw(&'static self) -> *const *const bindings::attribute_group {
        self.0.as_ptr()
    }
}

/// Makes a static list of attributes of one owner.
///
/// ```ignore
/// attribute_groups! {
///     /// The files in `/sys/bus/dax/devices/daxX.Y`.
///     static GROUPS: Subclass<Instance> = of_device DeviceAttribute None, [Align, Size]
/// }
/// ```
#[macro_export]
macro_rules! attribute_groups {
    (
        $(#[$meta:meta])*
        $vis:vis static $name:ident: $owner:ty =
            $new:ident $kind:ident $folder:expr, [$($attr:ty),* $(,)?]
    ) => {
        $(#[$meta])*
        $vis static $name: $crate::device::attribute::Groups<$owner> = {
            use $crate::device::attribute::{
                $kind,
                AttributeRef,
                Group,
                Groups,
                List, //
            };

            const N: usize = 1 $(+ {
                let _ = ::core::marker::PhantomData::<$attr>;
                1
            })*;
            static LIST: List<$owner, N> =
                List::new([$($kind::<$attr>::REF,)* AttributeRef::END]);
            static GROUP: Group<$owner> = Group::$new($folder, &LIST);
            Groups::new(&GROUP)
        };
    };
}

/// What a subsystem puts on a device that belongs to somebody else.
pub trait Guest: Send + Sync + Sized + 'static {
    /// The attributes that the device gets.
    const GROUPS: &'static Groups<Hosted<Self>>;
}

/// A [`Guest`] as the owner of its attributes.
///
/// # Invariants
///
/// It is in the `Arc` of a [`GroupsRegistration`].
#[repr(transparent)]
pub struct Hosted<G>(G);

impl<G> Hosted<G> {
    /// The guest, for who wants to keep a reference.
    pub fn arc(&self) -> ArcBorrow<'_, G> {
        // SAFETY: A `GroupsRegistration` has the guest in an `Arc`, and `Self` wraps it.
        unsafe { ArcBorrow::from_raw(&raw const self.0) }
    }
}

impl<G> Deref for Hosted<G> {
    type Target = G;

    fn deref(&self) -> &G {
        &self.0
    }
}

// SAFETY: Only a `GroupsRegistration` puts the attributes of a guest on a device, and the driver
// data of that device points to the guest for longer than they are there.
unsafe impl<G: Guest> Owner for Hosted<G> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // INVARIANT: The registration has it in an `Arc`.
        // SAFETY: The driver data is a valid `G`, and `Self` is a transparent wrapper of that.
        unsafe { &*bindings::dev_get_drvdata(dev).cast() }
    }
}

/// A device that a [`Guest`] can be put on.
///
/// # Invariants
///
/// Nobody but a [`GroupsRegistration`] sets or reads the driver data of the device before its driver
/// has been unbound.
#[derive(Clone, Copy)]
pub struct HostDevice<'a>(&'a Device<Bound>);

impl<'a> HostDevice<'a> {
    /// Takes the caller's word for it.
    ///
    /// # Safety
    ///
    /// Nobody else sets or reads the driver data of `dev` before its driver has been unbound. This rules
    /// out the devices of those buses that keep the private data of a driver in Rust there.
    pub unsafe fn new(dev: &'a Device<Bound>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(dev)
    }

    /// The device.
    pub fn device(self) -> &'a Device<Bound> {
        self.0
    }
}

/// The attributes of a [`Guest`] on a device, taken away when this is dropped.
///
/// The device's driver data is the guest meanwhile.
/// Dropping waits for running accesses to the attributes.
///
/// # Invariants
///
/// `G::GROUPS` are on `dev`, and its driver data points into `guest`.
pub struct GroupsRegistration<G: Guest> {
    dev: ARef<Device>,
    guest: Arc<G>,
}

impl<G: Guest> GroupsRegistration<G> {
    /// Puts the attributes of `guest` on `dev`.
    ///
    /// Fails with `EBUSY` if the device has driver data, or as `sysfs_create_groups()` does.
    /// Sleeps.
    pub fn new(host: HostDevice<'_>, guest: Arc<G>) -> Result<Self> {
        let raw = host.0.as_raw();

        // SAFETY: `raw` is a valid device.
        if unsafe { !bindings::dev_get_drvdata(raw).is_null() } {
            return Err(EBUSY);
        }
        // SAFETY: As above; `guest` outlives the groups.
        to_result(unsafe {
            bindings::dev_set_drvdata(raw, core::ptr::from_ref::<G>(&guest).cast_mut().cast());
            bindings::sysfs_create_groups(&raw mut (*raw).kobj, G::GROUPS.as_raw().cast_mut())
        })
        .inspect_err(|_| {
            // SAFETY: As above.
            unsafe { bindings::dev_set_drvdata(raw, core::ptr::null_mut()) }
        })?;

        // INVARIANT: Both were done just now.
        Ok(Self {
            dev: host.0.into(),
            guest,
        })
    }

    /// What the attributes belong to.
    pub fn guest(&self) -> &Arc<G> {
        &self.guest
    }
}

impl<G: Guest> Drop for GroupsRegistration<G> {
    fn drop(&mut self) {
        let raw = self.dev.as_raw();

        // SAFETY: By the type invariants. After the groups are gone nobody looks for the guest.
        unsafe {
            bindings::sysfs_remove_groups(&raw mut (*raw).kobj, G::GROUPS.as_raw().cast_mut());
            bindings::dev_set_drvdata(raw, core::ptr::null_mut());
        }
    }
}
