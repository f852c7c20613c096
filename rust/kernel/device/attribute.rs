// SPDX-License-Identifier: GPL-2.0

//! Attributes of devices and drivers: the files in their sysfs directories.
//!
//! An attribute is a type that implements [`Attribute`]. It reads and changes its [`Owner`], which
//! the abstraction finds from the device or driver that sysfs passes.
//! [`attribute_groups!`](crate::attribute_groups) makes a static list of attributes. A device type,
//! a bus or a [`GroupsRegistration`] puts such a list into sysfs.
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

/// The owner of attributes.
///
/// # Safety
///
/// `from_raw` returns a valid reference for every device or driver that has attributes of this
/// owner.
pub unsafe trait Owner: 'static {
    /// The type that sysfs passes: [`bindings::device`] or [`bindings::device_driver`].
    type Raw;

    /// Returns the owner for a device or driver.
    ///
    /// # Safety
    ///
    /// `raw` has attributes of this owner. It is registered for `'a`.
    unsafe fn from_raw<'a>(raw: *mut Self::Raw) -> &'a Self;
}

// SAFETY: Only a `Subclass<T>` gets `T::GROUPS`.
unsafe impl<T: Type> Owner for Subclass<T> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: `dev` is the `struct device` in a `Subclass<T>`.
        unsafe { Self::from_dev_raw(dev) }
    }
}

/// The text that a read of an attribute returns, a page at most.
///
/// # Invariants
///
/// `page` is the page that sysfs passed to a show callback. It has `len` bytes of text.
pub struct Output {
    #[cfg_attr(not(CONFIG_SYSFS), expect(dead_code))]
    page: *mut c_char,
    len: c_int,
}

impl Output {
    /// Appends a number and a newline. C formats the number, in a third of the time that [`fmt`]
    /// takes.
    ///
    /// [`fmt`]: mod@fmt
    pub fn number(&mut self, number: u64) {
        self.append(c"%llu\n", number);
    }

    /// Appends a number in hexadecimal, after `0x`, and a newline.
    pub fn hex(&mut self, number: u64) {
        self.append(c"%#llx\n", number);
    }

    /// Appends a number by a format of C, which takes one number.
    #[cfg(CONFIG_SYSFS)]
    fn append(&mut self, format: &CStr, number: u64) {
        // SAFETY: By the type invariants. The format takes an `unsigned long long`.
        self.len = self.len.saturating_add(unsafe {
            bindings::sysfs_emit_at(self.page, self.len, format.as_char_ptr(), number)
        });
    }

    /// Appends text. Text beyond the page is cut off.
    #[cfg(CONFIG_SYSFS)]
    pub fn emit(&mut self, args: fmt::Arguments<'_>) {
        // SAFETY: By the type invariants. `%pA` takes a pointer to `fmt::Arguments`.
        self.len = self.len.saturating_add(unsafe {
            bindings::sysfs_emit_at(
                self.page,
                self.len,
                c"%pA".as_char_ptr(),
                core::ptr::from_ref(&args).cast::<c_void>(),
            )
        });
    }

    // Without sysfs nothing reads an attribute.

    #[cfg(not(CONFIG_SYSFS))]
    fn append(&mut self, _format: &CStr, _number: u64) {}

    /// Does nothing.
    #[cfg(not(CONFIG_SYSFS))]
    pub fn emit(&mut self, _args: fmt::Arguments<'_>) {}
}

/// A file in the sysfs directory of a device or a driver.
///
/// The file has a [`show`](Self::show) callback if [`MODE`](Self::MODE) has a read bit, and a
/// [`store`](Self::store) callback if it has a write bit. If [`mode`](Self::mode) has no such bit
/// for an owner, the access fails with [`EPERM`], even after root has changed the mode of the file.
pub trait Attribute: 'static {
    /// The owner of the file.
    type Owner: Owner;

    /// The name of the file.
    const NAME: &'static CStr;

    /// The permission bits of the file.
    const MODE: Mode;

    /// Returns the permission bits of the file for one owner. Only attributes of devices use this.
    ///
    /// The abstraction calls this when the file is created, and at each access.
    fn mode(_owner: &Self::Owner) -> Mode {
        Self::MODE
    }

    /// Called for a read of the file.
    fn show(_owner: &Self::Owner, _out: &mut Output) -> Result {
        Err(EIO)
    }

    /// Called for a write to the file. Either takes all of `_input`, or returns an error and
    /// changes nothing.
    fn store(_owner: &Self::Owner, _input: &[u8]) -> Result {
        Err(EIO)
    }
}

// With lockdep the struct has more fields.
#[allow(clippy::needless_update)]
const fn attribute<A: Attribute>() -> bindings::attribute {
    bindings::attribute {
        name: crate::str::as_char_ptr_in_const_context(A::NAME),
        mode: A::MODE,
        ..pin_init::zeroed()
    }
}

/// Checks that [`Attribute::mode`] has one of `bits` for the device. Otherwise fails with
/// [`EPERM`], and logs a message.
///
/// sysfs checks only the mode of the file, which root can change.
///
/// # Safety
///
/// `dev` is the argument of a show or store callback of `A`.
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
/// `raw` and `page` are the arguments of a show callback of `A`.
unsafe fn show<A: Attribute>(raw: *mut <A::Owner as Owner>::Raw, page: *mut c_char) -> isize {
    from_result(|| {
        // INVARIANT: sysfs passed `page`. It has no text yet.
        let mut out = Output { page, len: 0 };
        // SAFETY: sysfs keeps the owner registered during the call.
        A::show(unsafe { A::Owner::from_raw(raw) }, &mut out)?;
        Ok(out.len as isize)
    })
}

/// # Safety
///
/// The arguments are the arguments of a store callback of `A`.
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
        // The count is a page at most, so it fits.
        Ok(count as isize)
    })
}

/// A `struct device_attribute`, with the callback for its mode.
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

/// A static list of attributes, ended by a null pointer.
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

/// A set of attributes, with or without a directory of its own.
#[doc(hidden)]
#[repr(transparent)]
pub struct Group<O>(bindings::attribute_group, PhantomData<fn(&O)>);

// SAFETY: A group is constant.
unsafe impl<O> Sync for Group<O> {}

impl<O: Owner<Raw = bindings::device>> Group<O> {
    #[doc(hidden)]
    pub const fn of_device<const N: usize>(
        directory: Option<&'static CStr>,
        list: &'static List<O, N>,
    ) -> Self {
        Self::new(directory, list, Some(Self::is_visible))
    }

    /// # Safety
    ///
    /// Only for sysfs to call: with the kobject of a device of `O` and an attribute of this group.
    unsafe extern "C" fn is_visible(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        _index: c_int,
    ) -> Mode {
        // SAFETY: `kobj` is embedded in a device that gets these attributes.
        let dev = unsafe { kobj.byte_sub(offset_of!(bindings::device, kobj)) };
        // SAFETY: An `AttributeRef` of a device's attribute points to an `Entry`.
        let entry = unsafe { &*attr.cast::<Entry<O>>() };
        // SAFETY: The device is valid, and gets attributes of this owner.
        (entry.mode)(unsafe { O::from_raw(dev.cast()) })
    }
}

impl<O: Owner<Raw = bindings::device_driver>> Group<O> {
    #[doc(hidden)]
    pub const fn of_driver<const N: usize>(
        directory: Option<&'static CStr>,
        list: &'static List<O, N>,
    ) -> Self {
        Self::new(directory, list, None)
    }
}

type IsVisible =
    unsafe extern "C" fn(*mut bindings::kobject, *mut bindings::attribute, c_int) -> Mode;

impl<O> Group<O> {
    const fn new<const N: usize>(
        directory: Option<&'static CStr>,
        list: &'static List<O, N>,
        is_visible: Option<IsVisible>,
    ) -> Self {
        Self(
            bindings::attribute_group {
                name: match directory {
                    Some(directory) => crate::str::as_char_ptr_in_const_context(directory),
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

/// The attributes of an owner. [`attribute_groups!`](crate::attribute_groups) makes them.
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
/// [`subclass`](crate::device::subclass) has an example.
#[macro_export]
macro_rules! attribute_groups {
    (
        $(#[$meta:meta])*
        $vis:vis static $name:ident: $owner:ty =
            $new:ident $kind:ident $directory:expr, [$($attr:ty),* $(,)?]
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
            static GROUP: Group<$owner> = Group::$new($directory, &LIST);
            Groups::new(&GROUP)
        };
    };
}

/// Data and attributes that a subsystem attaches to the device of another driver.
pub trait Attachment: Send + Sync + Sized + 'static {
    /// The attributes of the device.
    const GROUPS: &'static Groups<Attached<Self>>;
}

/// An [`Attachment`] as the owner of its attributes.
///
/// # Invariants
///
/// The value is in the `Arc` of a [`GroupsRegistration`].
#[repr(transparent)]
pub struct Attached<A>(A);

impl<A> Attached<A> {
    /// Returns the attachment, from which the caller can take a reference.
    pub fn arc(&self) -> ArcBorrow<'_, A> {
        // SAFETY: By the type invariant the value is in an `Arc`. `Self` is a transparent wrapper.
        unsafe { ArcBorrow::from_raw(&raw const self.0) }
    }
}

impl<A> Deref for Attached<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

// SAFETY: Only a `GroupsRegistration` gives a device the attributes of an attachment. The driver
// data of the device points to the attachment as long as the device has the attributes.
unsafe impl<A: Attachment> Owner for Attached<A> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // INVARIANT: The registration has the value in an `Arc`.
        // SAFETY: The driver data is a valid `A`. `Self` is a transparent wrapper of `A`.
        unsafe { &*bindings::dev_get_drvdata(dev).cast() }
    }
}

/// A device that can have an [`Attachment`].
///
/// # Invariants
///
/// Until the driver of the device is unbound, only a [`GroupsRegistration`] sets or reads its
/// driver data.
#[derive(Clone, Copy)]
pub struct AttachTarget<'a>(&'a Device<Bound>);

impl<'a> AttachTarget<'a> {
    /// Creates the value.
    ///
    /// # Safety
    ///
    /// Until the driver of `dev` is unbound, nothing else sets or reads its driver data. This rules
    /// out devices of buses that keep the private data of a driver in Rust there.
    pub unsafe fn new(dev: &'a Device<Bound>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(dev)
    }

    /// Returns the device.
    pub fn device(self) -> &'a Device<Bound> {
        self.0
    }
}

/// The registration of an [`Attachment`] on a device. Dropping it removes the attributes.
///
/// The driver data of the device points to the attachment. Dropping waits until no attribute is in
/// use.
///
/// # Invariants
///
/// `dev` has the attributes `A::GROUPS`. Its driver data points to the value in `attachment`.
///
/// # Examples
///
/// ```
/// use kernel::{
///     attribute_groups,
///     device::attribute::{
///         AttachTarget,
///         Attached,
///         Attachment,
///         Attribute,
///         Groups,
///         GroupsRegistration,
///         Mode,
///         Output, //
///     },
///     sync::Arc, //
/// };
///
/// struct Region {
///     id: u64,
/// }
///
/// impl Attachment for Region {
///     const GROUPS: &'static Groups<Attached<Self>> = &GROUPS;
/// }
///
/// attribute_groups! {
///     /// The files in the directory `region` of the device.
///     static GROUPS: Attached<Region> = of_device DeviceAttribute Some(c"region"), [Id]
/// }
///
/// enum Id {}
///
/// impl Attribute for Id {
///     type Owner = Attached<Region>;
///
///     const NAME: &'static CStr = c"id";
///     const MODE: Mode = 0o444;
///
///     fn show(region: &Attached<Region>, out: &mut Output) -> Result {
///         out.number(region.id);
///         Ok(())
///     }
/// }
///
/// fn attach(target: AttachTarget<'_>, id: u64) -> Result<GroupsRegistration<Region>> {
///     GroupsRegistration::new(target, Arc::new(Region { id }, GFP_KERNEL)?)
/// }
/// ```
pub struct GroupsRegistration<A: Attachment> {
    dev: ARef<Device>,
    attachment: Arc<A>,
}

impl<A: Attachment> GroupsRegistration<A> {
    /// Gives a device the attributes of `attachment`. May sleep.
    ///
    /// Fails with [`EBUSY`] if the device has driver data, or as `device_add_groups()` does.
    pub fn new(target: AttachTarget<'_>, attachment: Arc<A>) -> Result<Self> {
        let raw = target.0.as_raw();

        // SAFETY: `raw` is a valid device.
        if unsafe { !bindings::dev_get_drvdata(raw).is_null() } {
            return Err(EBUSY);
        }
        // SAFETY: `raw` is a valid device. The registration keeps `attachment` until it has removed
        // the attributes.
        to_result(unsafe {
            bindings::dev_set_drvdata(raw, core::ptr::from_ref::<A>(&attachment).cast_mut().cast());
            bindings::device_add_groups(raw, A::GROUPS.as_raw())
        })
        .inspect_err(|_| {
            // SAFETY: `raw` is a valid device.
            unsafe { bindings::dev_set_drvdata(raw, core::ptr::null_mut()) }
        })?;

        // INVARIANT: The device got the driver data and the attributes just now.
        Ok(Self {
            dev: target.0.into(),
            attachment,
        })
    }

    /// Returns the attachment.
    pub fn attachment(&self) -> &Arc<A> {
        &self.attachment
    }
}

impl<A: Attachment> Drop for GroupsRegistration<A> {
    fn drop(&mut self) {
        let raw = self.dev.as_raw();

        // SAFETY: By the type invariants. Without the attributes nothing reads the driver data.
        unsafe {
            bindings::device_remove_groups(raw, A::GROUPS.as_raw());
            bindings::dev_set_drvdata(raw, core::ptr::null_mut());
        }
    }
}
