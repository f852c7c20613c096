// SPDX-License-Identifier: GPL-2.0

//! The dax bus: instances, and the drivers that are bound to them.
//!
//! An instance ([`Device`]) is a part of a region: some ranges of physical memory, and an alignment
//! that is also the size of every page table entry that maps it. The driver bound to it decides in
//! which form the memory is offered.
//!
//! Before anybody can reach the memory, a driver takes three steps, each a type that only the step
//! before can make: it reserves the ranges ([`Device::reserve`]), creates their struct pages
//! ([`Reserved::map_generic`]) and lets accesses in ([`Mapped::run`]). While accesses are let in
//! the instance is *alive*; whatever depends on that is reached through [`Live`] only. That is the
//! way to user space; the one to file systems begins with [`Reserved::map_fs_dax`].
//!
//! The core (`dax_bus_type`, `dax_device`) lies below the C symbols that this calls, and may be
//! built from Rust or from C.
//!
//! C headers: `drivers/dax/bus.h`, `drivers/dax/dax-private.h`

#[cfg(CONFIG_FS_DAX)]
use super::fsdax;
use super::memmap::{
    Memmap,
    Reservation,
    ReserveFunctions, //
};
#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::alloc::NumaNode;
#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::mm::memory_hotplug::{
    Blocks,
    Span, //
};
use crate::{
    bindings,
    device::{
        self,
        attribute::{
            Groups,
            Owner, //
        },
        subclass::RawDevice, //
    },
    devres,
    driver,
    error::{
        from_result,
        to_result, //
    },
    mm::memremap::{
        pages::Misfit,
        Usage, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    str::CString,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic, //
        },
    },
    task::Task,
    types::{
        ForeignOwnable,
        NotThreadSafe,
        Opaque, //
    },
    ThisModule, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Deref,
    ptr::{
        self,
        addr_of,
        addr_of_mut,
        NonNull, //
    },
    slice, //
};

/// The kinds of driver on the dax bus: `enum dax_driver_type`.
///
/// The bus binds an instance to the driver of the kind that its region asks for, until user space
/// says otherwise (`new_id`, `bind`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Adds the memory to the page allocator.
    Kmem = bindings::dax_driver_type_DAXDRV_KMEM_TYPE,
    /// Offers the memory as a character device.
    Device = bindings::dax_driver_type_DAXDRV_DEVICE_TYPE,
    /// Offers the memory to file systems.
    Fsdev = bindings::dax_driver_type_DAXDRV_FSDEV_TYPE,
}

/// An adapter for the registration of dax drivers.
pub struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::dax_device_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct dax_device_driver` embeds a `struct device_driver`.
// - `DEVICE_DRIVER_OFFSET` is the correct byte offset to the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::dax_device_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, drv);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        ddrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct dax_device_driver` on initialization.
        unsafe {
            (*ddrv.get()).type_ = T::KIND as bindings::dax_driver_type;
            (*ddrv.get()).probe = Some(Self::probe_callback);
            (*ddrv.get()).remove = Some(Self::remove_callback);
        }
        if let Some(groups) = T::GROUPS {
            // SAFETY: As above. The driver core puts the attributes on an instance after
            // `probe_callback()` and takes them away before `remove_callback()`.
            unsafe { (*ddrv.get()).drv.dev_groups = groups.as_raw().cast_mut() };
        }

        // SAFETY: `ddrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe {
            bindings::__dax_driver_register(ddrv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(ddrv: &Opaque<Self::DriverType>) {
        // SAFETY: `ddrv` is guaranteed to be a valid `DriverType`.
        unsafe { bindings::dax_driver_unregister(ddrv.get()) }
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(dev_dax: *mut bindings::dev_dax) -> c_int {
        // SAFETY: The dax bus only ever calls the probe callback with a valid pointer to a
        // `struct dev_dax`.
        //
        // INVARIANT: `dev_dax` is valid for the duration of `probe_callback()`.
        let dev = unsafe { &*dev_dax.cast::<Device<device::CoreInternal<'_>>>() };

        from_result(|| {
            let data = T::probe(dev);

            dev.as_ref().set_drvdata(data)?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(dev_dax: *mut bindings::dev_dax) {
        // SAFETY: The dax bus only ever calls the remove callback with a valid pointer to a
        // `struct dev_dax`.
        //
        // INVARIANT: `dev_dax` is valid for the duration of `remove_callback()`.
        let dev = unsafe { &*dev_dax.cast::<Device<device::CoreInternal<'_>>>() };

        // SAFETY: `remove_callback` is only ever called after a successful call to
        // `probe_callback`, hence it's guaranteed that `Device::set_drvdata()` has been called
        // and stored a `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::unbind(dev, data);
    }
}

/// Declares a kernel module that exposes a single dax driver.
///
/// The driver appears on the bus under the name of the module. The alias by which user space finds
/// the module has to be given, as in C: `alias: ["dax:t0*"]`.
#[macro_export]
macro_rules! module_dax_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::dax::Adapter<T>, { $($f)* });
    };
}

/// The dax driver trait.
///
/// Drivers must implement this trait in order to get a dax driver registered.
pub trait Driver: Sized + 'static {
    /// What the driver does with the memory.
    const KIND: Kind;

    /// The type of the driver's bus device private data.
    ///
    /// It is dropped when the driver is unbound, before anything that was registered with devres
    /// is released; so while the instance may still be alive.
    type Data<'bound>: Send + 'bound;

    /// The files that an instance has in sysfs while it is bound to the driver.
    const GROUPS: Option<&'static Groups<Served<Self>>> = None;

    /// Dax driver probe.
    ///
    /// Called when an instance that has memory is to be bound. Context: may sleep; the device lock
    /// is held, so the alignment and the ranges of the instance do not change.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Dax driver unbind.
    ///
    /// Called when a [`Device`] is unbound from its bound [`Driver`]. Implementing this callback
    /// is optional; release operations for driver resources should be performed in `Drop`.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }
}

/// An instance that is bound to a driver of type `T`, as its attributes see it.
///
/// # Invariants
///
/// `T::probe` has succeeded and `T::unbind` was not called yet, so that the driver data of the device
/// is a `T::Data`.
#[repr(transparent)]
pub struct Served<T: Driver>(Device<device::Bound>, PhantomData<fn(&T)>);

impl<T: Driver> Served<T> {
    /// Attributes of the instance, whichever driver it is bound to, as some of this driver's.
    pub const fn groups(groups: &'static Groups<Device<device::Bound>>) -> &'static Groups<Self> {
        // SAFETY: Of each type it is the same pointers. What is served by a driver is bound, so that
        // it can be seen as a `Device<Bound>`, of which `Self` is a transparent wrapper.
        unsafe { &*ptr::from_ref(groups).cast() }
    }

    /// The instance.
    pub fn device(&self) -> &Device<device::Bound> {
        &self.0
    }

    /// Calls `f` with what the driver keeps for it.
    ///
    /// How long that has been bound is not known here. So `f` has to accept any lifetime, and cannot
    /// put a reference into the data that ends before the driver is unbound.
    pub fn with_data<R>(&self, f: impl for<'bound> FnOnce(Pin<&T::Data<'bound>>) -> R) -> R
    where
        for<'bound> T::Data<'bound>: Sync,
    {
        // SAFETY: The device is valid.
        let data = unsafe { bindings::dev_get_drvdata(self.0.as_ref().as_raw()) };

        // SAFETY: By the type invariants this is what `probe_callback()` stored, and it is dropped
        // when the driver was unbound. Other threads have shared references only. As `f` does not know
        // the lifetime of the data, it makes no difference that it is called with another one.
        f(unsafe { Pin::<KBox<T::Data<'static>>>::borrow(data.cast()) })
    }
}

// SAFETY: Only the adapter of the driver refers to `T::GROUPS`. While the driver core, or
// `class::Service`, has the files on a device, that is an instance which is bound to the driver, or
// served by it, and has its driver data.
unsafe impl<T: Driver> Owner for Served<T> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // INVARIANT: See above.
        // SAFETY: By the caller; the device is embedded in a `struct dev_dax`, of which `Self` is a
        // transparent wrapper.
        unsafe { &*dev.byte_sub(offset_of!(bindings::dev_dax, dev)).cast() }
    }
}

// SAFETY: The only attributes of this owner are those of `Served::groups`. While they are on a
// device, that is an instance which is bound to a driver, or served by it.
unsafe impl Owner for Device<device::Bound> {
    type Raw = bindings::device;

    unsafe fn from_raw<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: By the caller; the device is embedded in a `struct dev_dax`.
        unsafe { &*dev.byte_sub(offset_of!(bindings::dev_dax, dev)).cast() }
    }
}

// SAFETY: `dev` is a `struct device`, and C makes the struct with `kzalloc()`.
unsafe impl RawDevice for bindings::dev_dax {
    const OFFSET: usize = offset_of!(bindings::dev_dax, dev);
}

/// A range of physical memory of an instance: `struct dev_dax_range`.
#[repr(transparent)]
pub struct Range(pub(super) bindings::dev_dax_range);

impl Range {
    /// The first physical address.
    #[inline]
    pub fn start(&self) -> u64 {
        self.0.range.start
    }

    /// The last physical address.
    #[inline]
    pub fn end(&self) -> u64 {
        self.0.range.end
    }

    /// The length in bytes, never 0.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> u64 {
        self.end().wrapping_sub(self.start()).wrapping_add(1)
    }

    /// The offset of the range into the instance, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        self.0.pgoff
    }

    /// The offset into the instance, in pages, of what follows the range.
    #[inline]
    pub(super) fn end_pgoff(&self) -> usize {
        self.pgoff()
            .wrapping_add((self.len() >> PAGE_SHIFT) as usize)
    }
}

/// An instance of device DAX: `struct dev_dax`.
///
/// # Invariants
///
/// A [`Device`] instance represents a valid `struct dev_dax` created by the core, which includes
/// that its `region` and `dax_dev` are valid.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::dev_dax>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::dev_dax {
        self.0.get()
    }

    /// The alignment in bytes, which is also the size of the entries that map the instance.
    ///
    /// It may change whenever no driver is bound.
    #[inline]
    pub fn align(&self) -> usize {
        // SAFETY: By the type invariant. The field may change concurrently, but not in halves.
        let align = unsafe { addr_of!((*self.as_raw()).align).read_volatile() };

        align as usize
    }

    /// The alignment as an order: an entry maps `2^order` pages.
    ///
    /// It may change whenever no driver is bound.
    #[inline]
    pub fn order(&self) -> u32 {
        self.align()
            .trailing_zeros()
            .wrapping_sub(PAGE_SHIFT as u32)
    }

    /// Begins an access to the memory, if the instance is alive.
    ///
    /// May be called wherever sleeping is allowed; does not wait for anything itself.
    #[inline]
    pub fn live(&self) -> Option<Live<'_>> {
        let (section, pgmap) = self.alive()?;
        // SAFETY: The page map is valid until the end of the section, and the fields do not
        // change meanwhile.
        let (order, ops, owner) = unsafe { ((*pgmap).vmemmap_shift, (*pgmap).ops, (*pgmap).owner) };

        // A driver in C may have brought it alive, with a page map of another kind.
        if !ptr::eq(ops, &GENERIC) {
            return None;
        }
        // INVARIANT: Only `map_generic` makes page maps with these operations, and a `Memmap` their
        // owner. The section ends with what has the memory.
        let memory = Memory {
            dev: self.as_raw(),
            order,
            owner: owner.cast(),
            _dev: PhantomData,
        };
        Some(Live {
            memory,
            _section: section,
        })
    }

    /// Begins a section in which the instance is alive, if it is, and has a page map, which is valid
    /// until the section ends.
    #[inline]
    pub(super) fn alive(&self) -> Option<(Section, *mut bindings::dev_pagemap)> {
        // SAFETY: Has no requirements.
        let section = Section(unsafe { bindings::dax_read_lock() }, NotThreadSafe);

        // SAFETY: By the type invariant; this is in a section that `dax_read_lock()` began.
        if !unsafe { bindings::dax_alive((*self.as_raw()).dax_dev) } {
            return None;
        }

        // SAFETY: By the type invariant. A driver sets the field before the instance comes alive,
        // or, if it is written in C, perhaps later.
        let pgmap = unsafe { addr_of!((*self.as_raw()).pgmap).read_volatile() };
        // It is valid as long as the instance is alive: at least until the end of the section.
        (!pgmap.is_null()).then_some((section, pgmap))
    }
}

impl Device {
    /// The number of the region that the instance is a part of, the X in `daxX.Y`.
    #[inline]
    pub fn region_id(&self) -> i32 {
        // SAFETY: By the type invariant. The field does not change.
        unsafe { (*(*self.as_raw()).region).id }
    }

    /// The name, `daxX.Y`.
    pub fn name(&self) -> &CStr {
        // SAFETY: By the type invariant the device is valid; it has its name as long as it lives.
        unsafe {
            CStr::from_char_ptr(bindings::dev_name(
                AsRef::<device::Device>::as_ref(self).as_raw(),
            ))
        }
    }
}

impl Device<device::Bound> {
    /// The ranges, ordered by their offset into the instance.
    #[inline]
    pub fn ranges(&self) -> &[Range] {
        // SAFETY: By the type invariant. As long as a driver is bound the ranges do not change.
        let (ranges, count) = unsafe { ((*self.as_raw()).ranges, (*self.as_raw()).nr_range) };

        match usize::try_from(count) {
            Ok(count) if !ranges.is_null() => {
                // SAFETY: The core keeps that many ranges there; `Range` is a transparent wrapper.
                unsafe { slice::from_raw_parts(ranges.cast::<Range>(), count) }
            }
            _ => &[],
        }
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Device<device::Bound> {
    /// The NUMA node that the memory is to be as System RAM, if it is known.
    pub fn target_node(&self) -> Option<NumaNode> {
        // SAFETY: By the type invariant. The field does not change.
        NumaNode::new(unsafe { (*self.as_raw()).target_node }).ok()
    }

    /// Whether the memory map is to be in the memory, when that is System RAM.
    pub fn memmap_on_memory(&self) -> bool {
        // SAFETY: By the type invariant. The core in C changes the field only as long as the driver
        // is none of kind `Kmem`, for which alone it is meant.
        unsafe { addr_of!((*self.as_raw()).memmap_on_memory).read_volatile() }
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Device<device::Core<'_>> {
    /// Reserves memory blocks of the instance, so that they can be added as System RAM.
    ///
    /// May sleep. Fails with `EBUSY` if some of the memory belongs to somebody else, with `EINVAL` if
    /// it does not belong to one range of the instance, and with `ENOMEM`.
    pub fn reserve_blocks(&self, blocks: Blocks) -> Result<Span> {
        let dev: &Device<device::Bound> = self;

        if !dev
            .ranges()
            .iter()
            .any(|range| range.start() <= blocks.start() && blocks.end() <= range.end())
        {
            return Err(EINVAL);
        }

        // SAFETY: The memory of an instance is that of its region, see `region::Memory`. The instance is
        // ours, and everybody else has to ask for a reservation.
        unsafe { Span::reserve(blocks, dev.name()) }
    }
}

impl Device<device::Core<'_>> {
    /// Whether the driver was bound completely. If it was not, [`Driver::unbind`] takes back a probe
    /// that succeeded, since the driver core could not go on; nobody has been told of it.
    #[inline]
    pub fn is_bound(&self) -> bool {
        let dev: &Device<device::Bound> = self;

        // SAFETY: The device is valid, and in this context its lock is held.
        unsafe { bindings::device_is_bound(dev.as_ref().as_raw()) }
    }

    /// Reserves the ranges in `/proc/iomem` under the name of the instance, until it is unbound and
    /// nobody refers to a page of it any more.
    ///
    /// May sleep. Fails with `EBUSY` if a range, or a part of it, belongs to somebody else, and with
    /// `ENOMEM`.
    // Inlined into the module: nfit_test has its own functions for this there.
    #[inline]
    pub fn reserve(&self) -> Result<Reserved<'_>> {
        reserve(
            self,
            ReserveFunctions {
                request: bindings::__request_region,
                release: bindings::__release_region,
            },
        )
    }
}

/// Does what [`Device::reserve`] does.
fn reserve(dev: &Device<device::Bound>, functions: ReserveFunctions) -> Result<Reserved<'_>> {
    // One more for the memory that the memmap is in; see `Memmap::leave`.
    let room = dev.ranges().len().saturating_add(1);
    let mut addresses = KVVec::with_capacity(room, GFP_KERNEL)?;

    for (i, range) in (0..dev.ranges().len()).zip(dev.ranges()) {
        let name = CString::try_from(dev.name())?;
        let reservation = Reservation::new(functions, range.start(), range.len(), name)
            .ok_or_else(|| range_in_use(dev, i, range))?;

        addresses
            .push_within_capacity(reservation)
            .map_err(|_| ENOMEM)?;
    }

    // INVARIANT: All ranges were just reserved.
    Ok(Reserved { dev, addresses })
}

// Why these fail. Not in `map_generic`, as that is compiled into each module.

fn range_in_use(dev: &Device<device::Bound>, i: usize, range: &Range) -> Error {
    dev_warn!(
        dev,
        "mapping{}: 0x{:x}-0x{:x} could not be reserved, somebody else uses a part of it; see /proc/iomem for whom, and unbind or offline that first\n",
        i,
        range.start(),
        range.end()
    );
    EBUSY
}

fn bad_align(dev: &Device<device::Bound>, align: usize) -> Error {
    dev_warn!(
        dev,
        "align 0x{:x} is not the size of a page table entry; 0x1000, 0x200000 or 0x40000000 would be, as far as the CPU has them\n",
        align
    );
    EINVAL
}

fn unaligned_range(dev: &Device<device::Bound>, i: usize, range: &Range, align: usize) -> Error {
    dev_warn!(
        dev,
        "mapping{}: 0x{:x}-0x{:x} does not start and end at a multiple of the align 0x{:x}; set a smaller align, or delete the range and allocate another\n",
        i,
        range.start(),
        range.end(),
        align
    );
    EINVAL
}

pub(super) fn misfit(dev: &Device<device::Bound>, why: &Misfit) -> Error {
    dev_warn!(
        dev,
        "{}; such memory cannot be mapped with entries of 0x{:x} bytes, create the namespace or region again with a smaller align\n",
        why,
        dev.align()
    );
    EINVAL
}

/// An instance whose ranges are reserved; nobody else uses the memory.
///
/// # Invariants
///
/// `addresses` are the ranges of `dev`, which its driver has reserved, and nothing has been done with
/// them since. There is no second one of these, for a range cannot be reserved twice.
pub struct Reserved<'a> {
    dev: &'a Device<device::Bound>,
    addresses: KVVec<Reservation>,
}

impl<'a> Reserved<'a> {
    /// Creates the struct pages, one compound page for each entry that can map it.
    ///
    /// When some of the memory fails, the log says where, and the compound page that it is in
    /// cannot be mapped any more. The mark goes with the struct pages.
    ///
    /// May sleep. Fails with `EINVAL` if the alignment is not the size of a page table entry or if
    /// a range does not start and end at a multiple of it, with `ENOMEM`, and with the errors of
    /// `devm_memremap_pages()`.
    // Inlined into the module: nfit_test has its own functions to create struct pages there.
    #[inline]
    pub fn map_generic(self) -> Result<Mapped<'a>> {
        let Prepared {
            dev,
            mut memmap,
            counts,
        } = self.prepare_generic()?;

        // SAFETY:
        // - The operations, which are in the kernel image, are for an owner that is a `Memmap`.
        // - `prepare_generic` made the counters for this.
        // - Nobody has any of the memory before the instance comes alive; then `Running` has it.
        unsafe { memmap.as_mut().map(&GENERIC, counts)? };

        // INVARIANT: Just done.
        Ok(Mapped { dev, memmap })
    }

    /// All of [`Self::map_generic`] but to create the struct pages.
    fn prepare_generic(self) -> Result<Prepared<'a>> {
        let Self { dev, addresses } = self;
        let align = dev.align();

        // SAFETY: Has no requirements.
        if !unsafe { bindings::dax_align_valid(align) } {
            return Err(bad_align(dev, align));
        }
        for (i, range) in (0..dev.ranges().len()).zip(dev.ranges()) {
            if (range.start() | range.len()) & (align as u64).wrapping_sub(1) != 0 {
                return Err(unaligned_range(dev, i, range, align));
            }
        }

        let memmap = Memmap::new(dev, addresses, Usage::Generic)?;
        // SAFETY: The device is bound.
        let counts = unsafe {
            bindings::__devm_alloc_percpu(
                dev.as_ref().as_raw(),
                size_of::<[c_ulong; COUNTS]>(),
                align_of::<c_ulong>(),
            )
        };
        if counts.is_null() {
            return Err(ENOMEM);
        }
        Ok(Prepared {
            dev,
            memmap,
            counts: counts.cast(),
        })
    }

    /// Creates the struct pages for file systems, which make of them what they need.
    ///
    /// What an earlier driver made of the pages does not matter: they are new. May sleep. Fails
    /// with the errors of `devm_memremap_pages()`.
    #[cfg(CONFIG_FS_DAX)]
    #[inline]
    pub fn map_fs_dax<T: fsdax::Operations>(self) -> Result<fsdax::Mapped<'a, T>> {
        let Self { dev, addresses } = self;
        let memmap = Memmap::new(dev, addresses, Usage::FsDax)?;

        // SAFETY: By the type invariant the ranges are reserved by us, and nothing was done with
        // them.
        unsafe { fsdax::Mapped::new(dev, memmap) }
    }
}

/// What [`Reserved::map_generic`] needs to create the struct pages.
struct Prepared<'a> {
    dev: &'a Device<device::Bound>,
    memmap: Pin<KBox<Memmap>>,
    /// Per-CPU counters.
    counts: *mut c_ulong,
}

/// An instance whose memory has struct pages.
///
/// # Invariants
///
/// `memmap` is mapped as generic device memory, in compound pages of the alignment of `dev`.
pub struct Mapped<'a> {
    dev: &'a Device<device::Bound>,
    memmap: Pin<KBox<Memmap>>,
}

impl Mapped<'_> {
    /// Lets accesses in: the instance comes alive, until it is unbound.
    ///
    /// The unbind then waits until all accesses have ended ([`Live`]), removes the memory from all
    /// address spaces, and waits until nobody refers to a page (`Memmap::retire()`), before the struct
    /// pages go away. May sleep. Fails with `ENOMEM`.
    pub fn run(self) -> Result {
        let dev = self.dev.as_raw();

        // SAFETY: By the type invariant of `Device`. The inode of the instance and its mapping
        // live as long as it does, and pages of the mapping are dirtied only while it is alive.
        unsafe { (*(*bindings::dax_inode((*dev).dax_dev)).i_mapping).a_ops = &DAX_AOPS };

        // SAFETY: By the type invariant.
        unsafe { bring_alive(self.dev, self.memmap) }
    }
}

/// Lets accesses in until the driver of `dev` is unbound.
///
/// # Safety
///
/// `memmap` is mapped, with the ranges of `dev`.
pub(super) unsafe fn bring_alive(
    dev: &Device<device::Bound>,
    mut memmap: Pin<KBox<Memmap>>,
) -> Result {
    let pgmap = memmap.as_mut().pgmap();
    // SAFETY: By the type invariant of `Device`. The field belongs to the bound driver.
    let given = unsafe { core::mem::replace(&mut (*dev.as_raw()).pgmap, pgmap) };

    // SAFETY: By the type invariant of `Device`.
    unsafe { bindings::run_dax((*dev.as_raw()).dax_dev) };

    // INVARIANT: Just done.
    let running = Running {
        memmap: Some(memmap),
        given,
    };
    devres::register(dev.as_ref(), running, GFP_KERNEL)
}

/// An instance that is alive; dropping it ends that.
///
/// # Invariants
///
/// - The instance of `memmap` was brought alive by [`bring_alive`], and is bound still.
/// - `given` is what its driver found as its `struct dev_pagemap`.
struct Running {
    memmap: Option<Pin<KBox<Memmap>>>,
    given: *mut bindings::dev_pagemap,
}

// SAFETY: The pointer is not bound to a thread.
unsafe impl Send for Running {}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(memmap) = self.memmap.take() else {
            return;
        };
        let dev = memmap.device().as_raw();

        // SAFETY: By the type invariant of `Device`. The core may have killed the instance already.
        // Nobody looks at the field after that but the next driver, which is to find what the
        // provider gave.
        unsafe {
            bindings::kill_dev_dax(dev);
            (*dev).pgmap = self.given;
        }
        memmap.retire();
    }
}

/// The address space operations of the pages of an instance.
///
/// There is nothing to write back, so a page is never dirty. This is in the kernel image: the inode
/// of the instance, and with it this pointer, can outlive the module.
static DAX_AOPS: bindings::address_space_operations = bindings::address_space_operations {
    dirty_folio: Some(never_dirty),
    ..pin_init::zeroed()
};

/// A page was written: that is nothing to remember.
///
/// `noop_dirty_folio()` marks it, and `mm` makes entries of such pages dirty from the beginning, so
/// that the next process has pages which seem to be written, and cost more to unmap.
///
/// # Safety
///
/// There are no requirements; it is of the type of the operation.
unsafe extern "C" fn never_dirty(
    _mapping: *mut bindings::address_space,
    _folio: *mut bindings::folio,
) -> bool {
    false
}

/// The operations of the page map of an instance that user space maps.
///
/// In the kernel image, as [`DAX_AOPS`].
static GENERIC: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
    memory_failure: Some(memory_failure),
    ..pin_init::zeroed()
};

/// What is counted of the faults and mappings of an instance that user space maps.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Count {
    /// A fault was answered with a pte ...
    Pte,
    /// ... a pmd ...
    Pmd,
    /// ... a pud.
    Pud,
    /// A page was mapped in advance.
    Ahead,
    /// A fault was refused: entries of this size, or in this area, are not those of the align.
    RefusedAlign,
    /// A fault was refused: there is no memory at the offset, as it is beyond the end.
    RefusedOffset,
    /// A fault was refused: the memory has failed.
    RefusedFailed,
    /// A mapping was refused.
    RefusedMmap,
}

impl Count {
    /// All of them.
    pub const ALL: [Self; COUNTS] = [
        Self::Pte,
        Self::Pmd,
        Self::Pud,
        Self::Ahead,
        Self::RefusedAlign,
        Self::RefusedOffset,
        Self::RefusedFailed,
        Self::RefusedMmap,
    ];

    /// The name that user space sees.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::Pte => c"faults_pte",
            Self::Pmd => c"faults_pmd",
            Self::Pud => c"faults_pud",
            Self::Ahead => c"pages_ahead",
            Self::RefusedAlign => c"refused_align",
            Self::RefusedOffset => c"refused_offset",
            Self::RefusedFailed => c"refused_failed",
            Self::RefusedMmap => c"refused_mmap",
        }
    }
}

/// The number of counters.
const COUNTS: usize = Count::RefusedMmap as usize + 1;

/// The field `mapping` of a folio.
///
/// # Safety
///
/// `folio` must be valid for `'a`, and a folio of generic device memory, so that nobody sets the
/// field to anything but the mapping of the instance.
#[inline]
unsafe fn mapping_of<'a>(folio: *mut bindings::folio) -> &'a Atomic<*mut bindings::address_space> {
    // SAFETY: By the caller. C accesses the field in one piece, too.
    unsafe {
        let page = addr_of_mut!((*folio).__bindgen_anon_1.__bindgen_anon_1);

        Atomic::from_ptr(addr_of_mut!((*page).mapping))
    }
}

/// A page has failed: mark the compound page, which no fault maps then.
///
/// With `EOPNOTSUPP` `mm` goes on, and sends signals to the processes that have it mapped and want
/// to know. It can do that only for memory that was mapped once.
///
/// # Safety
///
/// To be called with a reference to a `struct dev_pagemap` that [`Reserved::map_generic`] gave this
/// operation.
unsafe extern "C" fn memory_failure(
    pgmap: *mut bindings::dev_pagemap,
    pfn: c_ulong,
    _nr_pages: c_ulong,
    _flags: c_int,
) -> c_int {
    // SAFETY: The owner is a `Memmap`, which waits for the reference before it goes.
    let memmap = unsafe { &*(*pgmap).owner.cast::<Memmap>() };
    let dev = memmap.device();
    let phys = (pfn as u64).wrapping_shl(PAGE_SHIFT as u32);
    let Some(range) = memmap
        .ranges()
        .find(|r| r.start() <= phys && phys <= r.end())
    else {
        // What holds the page map itself: nobody can do without.
        return ENXIO.to_errno();
    };

    let first = (range.start() >> PAGE_SHIFT) as usize;
    let failed = range.pgoff().wrapping_add(pfn.wrapping_sub(first));
    let pages = memmap.folio_pages();
    let pgoff = failed & !pages.wrapping_sub(1);

    crate::dev_err_ratelimited!(
        dev,
        "memory failed at offset 0x{:x}, physical address 0x{:x}; touching 0x{:x} bytes from offset 0x{:x} on raises SIGBUS until the device is unbound and bound again\n",
        failed.wrapping_shl(PAGE_SHIFT as u32),
        phys,
        pages.wrapping_shl(PAGE_SHIFT as u32),
        pgoff.wrapping_shl(PAGE_SHIFT as u32)
    );

    // SAFETY: The page is one of the instance.
    let in_use = unsafe {
        let folio = bindings::pfn_folio(pfn);

        // A fault that leaves it to `mm` to map the folio holds the lock until that is done.
        bindings::folio_lock(folio);
        bindings::folio_set_hwpoison(folio);
        bindings::folio_unlock(folio);
        // mm reads the index next.
        !mapping_of(folio).load(Acquire).is_null()
    };
    // Without memory for this, a process that does not ask for early signals keeps the entry that
    // it has, and hears of the failure from the processor.
    let _ = Unmap::queue(dev, pgoff, pages);

    if in_use {
        EOPNOTSUPP.to_errno()
    } else {
        0
    }
}

/// Removes memory that has failed from all address spaces, after `mm` has dealt with the failure.
///
/// `mm` goes by the entries of processes when it sends signals, so this has to come later; and when
/// there was nobody to be sent one, it leaves the entries where they are.
#[repr(C)]
struct Unmap {
    work: bindings::callback_head,
    dev: ARef<Device>,
    /// Offset into the instance, in pages.
    pgoff: usize,
    pages: usize,
}

impl Unmap {
    /// Does it before the current task returns to user space.
    ///
    /// A task that never does has heard of the failure from the processor, not from user space; then
    /// whoever touches the memory will hear of it the same way.
    #[inline(never)]
    fn queue(dev: &Device, pgoff: usize, pages: usize) -> Result {
        let task = Task::current_raw();

        // SAFETY: The current task is valid; this flag of it does not change.
        if unsafe { (*task).flags } & bindings::PF_KTHREAD != 0 {
            return Ok(());
        }

        let this = KBox::into_raw(KBox::new(
            Self {
                work: bindings::callback_head {
                    func: Some(Self::run),
                    ..pin_init::zeroed()
                },
                dev: dev.into(),
                pgoff,
                pages,
            },
            GFP_KERNEL,
        )?);
        // SAFETY: The work is valid, and left alone until it is run.
        let queued = unsafe {
            bindings::task_work_add(
                task,
                &raw mut (*this).work,
                bindings::task_work_notify_mode_TWA_RESUME,
            )
        };

        to_result(queued).inspect_err(|_| {
            // SAFETY: It was not queued, so it is ours still.
            drop(unsafe { KBox::from_raw(this) });
        })
    }

    /// # Safety
    ///
    /// To be called once, with the work that [`Self::queue`] queued.
    unsafe extern "C" fn run(work: *mut bindings::callback_head) {
        // SAFETY: It was queued as a part of such a box, which is ours now.
        let this = unsafe { KBox::from_raw(crate::container_of!(work, Self, work)) };

        // SAFETY: By the type invariant of `Device`. If the instance was unbound meanwhile, this
        // removes nothing, or what the next fault makes anew.
        unsafe {
            let mapping = (*bindings::dax_inode((*this.dev.as_raw()).dax_dev)).i_mapping;

            bindings::unmap_mapping_pages(mapping, this.pgoff, this.pages, false);
        }
    }
}

/// A section begun by `dax_read_lock()`.
pub(super) struct Section(c_int, NotThreadSafe);

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self.0` is what `dax_read_lock()` returned.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}

/// An instance that is alive as long as this exists.
///
/// This is a read-side critical section of the core's SRCU domain; an unbind waits for its end.
#[must_use = "if unused, the section ends immediately"]
pub struct Live<'a> {
    memory: Memory<'a>,
    _section: Section,
}

impl<'a> Deref for Live<'a> {
    type Target = Memory<'a>;

    #[inline]
    fn deref(&self) -> &Memory<'a> {
        &self.memory
    }
}

/// The memory of an instance that is alive.
///
/// # Invariants
///
/// A section was begun before `dev`, which is valid for `'a`, was seen to be alive with a page map
/// of generic device memory in compound pages of `2^order` pages, which belongs to `owner`; and it
/// has not ended.
pub struct Memory<'a> {
    dev: *mut bindings::dev_dax,
    order: usize,
    owner: *const Memmap,
    _dev: PhantomData<&'a Device>,
}

impl Memory<'_> {
    /// The same, to be moved into a function.
    #[inline]
    pub(super) fn reborrow(&self) -> Memory<'_> {
        // INVARIANT: As for `self`, which is borrowed.
        Memory {
            dev: self.dev,
            order: self.order,
            owner: self.owner,
            _dev: PhantomData,
        }
    }

    /// Counts one more of `what`.
    #[inline]
    pub fn count(&self, what: Count) {
        // SAFETY: By the type invariant the owner has counters.
        unsafe { bindings::this_cpu_inc_ulong(self.counter(what)) };
    }

    /// How many of `what` there were since the instance was bound.
    pub fn counted(&self, what: Count) -> usize {
        // SAFETY: As above.
        unsafe { bindings::percpu_sum_ulong(self.counter(what)) }
    }

    /// The counter of `what`, a per-CPU pointer.
    #[inline]
    fn counter(&self, what: Count) -> *mut c_ulong {
        // SAFETY: By the type invariant the owner is valid.
        let counts = unsafe { (*self.owner).counts };

        counts.wrapping_add(what as usize)
    }

    /// The memory of `2^order` pages at an offset of `pgoff` pages into the instance.
    ///
    /// [`None`] if there is none, if a part of it lies in another range, or if `order` is not that
    /// of the alignment.
    ///
    /// # Safety
    ///
    /// `pgoff` must be a multiple of `2^order`. Otherwise this would take a tail page for a folio.
    #[inline]
    pub(super) unsafe fn folio(&self, pgoff: usize, order: u32) -> Option<LiveFolio<'_>> {
        if self.order != order as usize {
            return None;
        }
        // SAFETY: By the type invariant, `dev` is valid.
        let phys =
            unsafe { bindings::dax_pgoff_to_phys(self.dev, pgoff, PAGE_SIZE.wrapping_shl(order)) };
        if phys == bindings::phys_addr_t::MAX {
            return None;
        }

        // INVARIANT: The ranges start at multiples of the alignment, in the memory as well as in
        // the instance, and so do the compound pages of the page map, which by the type invariant
        // exist as long as the section. By the caller so does the offset.
        Some(LiveFolio {
            // SAFETY: By the type invariant there is a struct page for the address, and as a
            // compound page begins there, it is the folio.
            folio: unsafe { bindings::pfn_to_page((phys >> PAGE_SHIFT) as usize) }.cast(),
            pgoff,
            owner: self.owner,
            _live: PhantomData,
        })
    }
}

/// A compound page of an instance that is alive.
///
/// # Invariants
///
/// `folio` is the folio at an offset of `pgoff` pages into an instance that is alive for `'a`, with a
/// memmap that is `owner`.
#[derive(Clone, Copy)]
pub(super) struct LiveFolio<'a> {
    folio: *mut bindings::folio,
    pgoff: usize,
    owner: *const Memmap,
    _live: PhantomData<&'a ()>,
}

impl LiveFolio<'_> {
    /// Returns the raw pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::folio {
        self.folio
    }

    /// Whether some of the memory has failed.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        // SAFETY: By the type invariant the folio is valid.
        unsafe { bindings::folio_test_hwpoison(self.folio) }
    }

    /// Lets reverse lookups (memory failure) find the file of the instance from its memory.
    ///
    /// # Safety
    ///
    /// `mapping` must be that of the instance.
    #[inline]
    pub(crate) unsafe fn set_mapping(&self, mapping: *mut bindings::address_space) {
        // SAFETY: By the type invariant the folio is valid. The fields belong to the driver of the
        // page map. Whoever sets them concurrently sets the same values: they are the same for
        // every mapping of this folio until the page map goes away.
        let published = unsafe { mapping_of(self.folio) };

        if published.load(Relaxed).is_null() {
            // SAFETY: As above. By the type invariant the owner is valid.
            unsafe {
                // The first time since the instance was bound.
                (*self.owner).touch(self.pgoff);

                let page = addr_of_mut!((*self.folio).__bindgen_anon_1.__bindgen_anon_1);

                addr_of_mut!((*page).__bindgen_anon_2.index).write_volatile(self.pgoff);
            }
            // Whoever sees the mapping sees the index, too.
            published.store(mapping, Release);
        }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct dev_dax`.
// The offset is guaranteed to point to a valid device field inside `Device`.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::dev_dax, dev);
}

// SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on `Device`'s generic
// argument.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: Instances of `Device` are always reference-counted.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference guarantees that the refcount is non-zero.
        unsafe { bindings::get_device(self.as_ref().as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The safety requirements guarantee that the refcount is non-zero, so `obj` is
        // valid.
        unsafe { bindings::put_device(obj.as_ref().as_ref().as_raw()) }
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    #[inline]
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant of `Self`, `self.as_raw()` is a pointer to a valid
        // `struct dev_dax`, and so is the `struct device` in it.
        unsafe { device::Device::from_raw(addr_of_mut!((*self.as_raw()).dev)) }
    }
}

// SAFETY: A `Device` is always reference-counted and can be released from any thread.
unsafe impl Send for Device {}

// SAFETY: `Device` can be shared among threads because all methods of `Device`
// (i.e. `Device<Normal>) are thread safe.
unsafe impl Sync for Device {}

// SAFETY: Same as `Device<Normal>` -- the underlying `struct dev_dax` is the same; `Bound` is a
// zero-sized type-state marker that does not affect thread safety.
unsafe impl Sync for Device<device::Bound> {}
