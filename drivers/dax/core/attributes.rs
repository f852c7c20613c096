// SPDX-License-Identifier: GPL-2.0

//! The files of the dax bus and of the class in sysfs. Documentation/ABI/testing/sysfs-bus-dax and
//! Documentation/ABI/obsolete/sysfs-class-dax describe them.
//!
//! A write of a request that cannot be fulfilled fails, logs the reason, and changes nothing.

use crate::{
    ffi::{
        driver::Driver,
        limits, //
    },
    instance::{
        Instance,
        Mapping, //
    },
    ranges::parse,
    region::Region, //
};
use kernel::{
    attribute_groups,
    bindings,
    device::{
        attribute::{
            Attached,
            Attribute,
            Mode,
            Output, //
        },
        subclass::Subclass,
    },
    prelude::*,
    str::kstrtobool_bytes, //
};

attribute_groups! {
    /// The files of each instance, in `/sys/bus/dax/devices/daxX.Y` or `/sys/class/dax/daxX.Y`.
    pub(crate) static INSTANCE_GROUPS: Subclass<Instance> = of_device DeviceAttribute None, [Size]
}

attribute_groups! {
    /// The files in `/sys/bus/dax/devices/daxX.Y` besides these.
    pub(crate) static BUS_GROUPS: Subclass<Instance> = of_device DeviceAttribute None, [
        Modalias,
        MappingRange,
        TargetNode,
        Align,
        Resource,
        NumaNode,
        MemmapOnMemory,
        Memmap,
    ]
}

attribute_groups! {
    /// The files in `daxX.Y/mappingN`.
    pub(crate) static MAPPING_GROUPS: Subclass<Mapping> = of_device DeviceAttribute None, [
        MappingStart,
        MappingEnd,
        MappingPageOffset,
    ]
}

attribute_groups! {
    /// The directory `dax_region` of the device that a region was found on.
    pub(crate) static REGION_GROUPS: Attached<Region> = of_device DeviceAttribute Some(c"dax_region"), [
        AvailableSize,
        RegionSize,
        RegionAlign,
        Create,
        Seed,
        Delete,
        RegionId,
    ]
}

/// The mode of a file: `instead` if the region is static, because the provider decides there.
fn unless_static(region: &Region, instead: Mode, mode: Mode) -> Mode {
    if region.is_static() {
        instead
    } else {
        mode
    }
}

/// Defines an attribute: a unit struct and its [`Attribute`].
macro_rules! attribute {
    (
        $(#[$meta:meta])*
        $name:ident($owner:ty, $file:literal, $mode:literal) { $($item:item)* }
    ) => {
        $(#[$meta])*
        struct $name;

        impl Attribute for $name {
            type Owner = $owner;

            const NAME: &'static CStr = $file;
            const MODE: Mode = $mode;

            // Each function has one caller, the callback that is made of it.
            $(#[inline] $item)*
        }
    };
}

attribute! {
    /// The alias by which udev loads a driver.
    Modalias(Subclass<Instance>, c"modalias", 0o444) {
        fn show(_dev: &Subclass<Instance>, out: &mut Output) -> Result {
            out.emit(fmt!("dax:t{}\n", crate::bus::MODALIAS_TYPE));
            Ok(())
        }
    }
}

attribute! {
    /// Size of the instance in bytes. A write takes memory from the region or gives it back.
    Size(Subclass<Instance>, c"size", 0o644) {
        fn mode(dev: &Subclass<Instance>) -> Mode {
            unless_static(dev.region(), 0o444, Self::MODE)
        }

        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            let size = dev.region().with_instance(dev.key(), |state| state.size())?;

            out.number(size);
            Ok(())
        }

        fn store(dev: &Subclass<Instance>, input: &[u8]) -> Result {
            dev.region().resize(dev, parse::size(input)?)
        }
    }
}

attribute! {
    /// Takes exactly this range of the region, `start-end` in hexadecimal.
    MappingRange(Subclass<Instance>, c"mapping", 0o200) {
        fn mode(dev: &Subclass<Instance>) -> Mode {
            unless_static(dev.region(), 0, Self::MODE)
        }

        fn store(dev: &Subclass<Instance>, input: &[u8]) -> Result {
            dev.region().add_range(dev, parse::range(input)?)
        }
    }
}

attribute! {
    /// The NUMA node that the memory would be if it were onlined.
    TargetNode(Subclass<Instance>, c"target_node", 0o444) {
        fn mode(dev: &Subclass<Instance>) -> Mode {
            if dev.region().target_node() < 0 {
                0
            } else {
                Self::MODE
            }
        }

        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            out.emit(fmt!("{}\n", dev.region().target_node()));
            Ok(())
        }
    }
}

attribute! {
    /// Size in bytes of the entries that map the instance.
    Align(Subclass<Instance>, c"align", 0o644) {
        fn mode(dev: &Subclass<Instance>) -> Mode {
            unless_static(dev.region(), 0o444, Self::MODE)
        }

        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            let align = dev.region().with_instance(dev.key(), |state| state.align())?;

            out.number(align);
            Ok(())
        }

        fn store(dev: &Subclass<Instance>, input: &[u8]) -> Result {
            // The error for a malformed number is ENXIO here, as in C.
            dev.region()
                .set_align(dev, parse::size(input).map_err(|_| ENXIO)?)
        }
    }
}

attribute! {
    /// Where the memory starts.
    Resource(Subclass<Instance>, c"resource", 0o400) {
        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            let region = dev.region();
            let first = region.with_instance(dev.key(), |state| state.first())?;

            out.hex(first.unwrap_or(region.range().start()));
            Ok(())
        }
    }
}

attribute! {
    /// The NUMA node that is closest to the memory.
    NumaNode(Subclass<Instance>, c"numa_node", 0o444) {
        fn mode(_dev: &Subclass<Instance>) -> Mode {
            if cfg!(CONFIG_NUMA) {
                Self::MODE
            } else {
                0
            }
        }

        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            out.emit(fmt!("{}\n", dev.numa_node()));
            Ok(())
        }
    }
}

attribute! {
    /// Whether `kmem` keeps the memmap of the memory in the memory itself.
    MemmapOnMemory(Subclass<Instance>, c"memmap_on_memory", 0o644) {
        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            let on = dev.region().with_instance(dev.key(), |state| state.memmap_on_memory)?;

            out.number(on.into());
            Ok(())
        }

        fn store(dev: &Subclass<Instance>, input: &[u8]) -> Result {
            let on = kstrtobool_bytes(input)?;

            if on && !limits::supports_memmap_on_memory() {
                return Err(EOPNOTSUPP);
            }
            let guard = dev.lock();
            let kmem = Driver::of(&guard)
                .is_some_and(|drv| drv.kind() == bindings::dax_driver_type_DAXDRV_KMEM_TYPE);
            dev.region().with_instance(dev.key(), |state| {
                if kmem && state.memmap_on_memory != on {
                    return Err(EBUSY);
                }
                state.memmap_on_memory = on;
                Ok(())
            })?
        }
    }
}

attribute! {
    /// Whether the memory gets struct pages when a driver is bound.
    Memmap(Subclass<Instance>, c"memmap", 0o644) {
        fn show(dev: &Subclass<Instance>, out: &mut Output) -> Result {
            let bare = dev.region().with_instance(dev.key(), |state| state.bare)?;

            out.number((!bare).into());
            Ok(())
        }

        fn store(dev: &Subclass<Instance>, input: &[u8]) -> Result {
            dev.region().set_memmap(dev, kstrtobool_bytes(input)?)
        }
    }
}

attribute! {
    /// The first address of the range.
    MappingStart(Subclass<Mapping>, c"start", 0o400) {
        fn show(dev: &Subclass<Mapping>, out: &mut Output) -> Result {
            out.hex(dev.extent()?.range.start());
            Ok(())
        }
    }
}

attribute! {
    /// The last address of the range.
    MappingEnd(Subclass<Mapping>, c"end", 0o400) {
        fn show(dev: &Subclass<Mapping>, out: &mut Output) -> Result {
            out.hex(dev.extent()?.range.end());
            Ok(())
        }
    }
}

attribute! {
    /// The page of the instance at which the range starts.
    MappingPageOffset(Subclass<Mapping>, c"page_offset", 0o400) {
        fn show(dev: &Subclass<Mapping>, out: &mut Output) -> Result {
            out.hex(dev.extent()?.pgoff);
            Ok(())
        }
    }
}

attribute! {
    /// The number of the region.
    RegionId(Attached<Region>, c"id", 0o444) {
        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            out.number(region.id().into());
            Ok(())
        }
    }
}

attribute! {
    /// Size of the region in bytes.
    RegionSize(Attached<Region>, c"size", 0o444) {
        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            out.number(region.range().len());
            Ok(())
        }
    }
}

attribute! {
    /// The align that new instances get.
    RegionAlign(Attached<Region>, c"align", 0o444) {
        fn mode(region: &Attached<Region>) -> Mode {
            // An instance on the bus has an align of its own, which everybody may read.
            if region.is_in_class() {
                Self::MODE
            } else {
                0o400
            }
        }

        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            out.number(region.align());
            Ok(())
        }
    }
}

attribute! {
    /// Bytes of the region that no instance has.
    AvailableSize(Attached<Region>, c"available_size", 0o444) {
        fn mode(region: &Attached<Region>) -> Mode {
            unless_static(region, 0, Self::MODE)
        }

        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            out.number(region.available());
            Ok(())
        }
    }
}

attribute! {
    /// A write of 1 makes a new instance without memory. A read gives the name of the last such
    /// instance.
    Create(Attached<Region>, c"create", 0o644) {
        fn mode(region: &Attached<Region>) -> Mode {
            unless_static(region, 0, Self::MODE)
        }

        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            show_name(region, region.youngest(), out)
        }

        fn store(region: &Attached<Region>, input: &[u8]) -> Result {
            parse::create(input)?;
            Region::create_empty(&region.arc().into())
        }
    }
}

attribute! {
    /// The name of the first instance that has not been bound yet.
    Seed(Attached<Region>, c"seed", 0o444) {
        fn mode(region: &Attached<Region>) -> Mode {
            unless_static(region, 0, Self::MODE)
        }

        fn show(region: &Attached<Region>, out: &mut Output) -> Result {
            show_name(region, region.seed(), out)
        }
    }
}

attribute! {
    /// Removes an instance that is idle and has no memory, by name.
    Delete(Attached<Region>, c"delete", 0o200) {
        fn mode(region: &Attached<Region>) -> Mode {
            unless_static(region, 0, Self::MODE)
        }

        fn store(region: &Attached<Region>, input: &[u8]) -> Result {
            // A malformed name never matches an instance.
            let name = parse::name(input).map_err(|_| ENXIO)?;

            if name.region != region.id() {
                return Err(ENXIO);
            }
            region.delete(name.instance)
        }
    }
}

fn show_name(region: &Region, id: Option<u32>, out: &mut Output) -> Result {
    match id {
        Some(id) => out.emit(fmt!("dax{}.{id}\n", region.id())),
        None => out.emit(fmt!("\n")),
    }
    Ok(())
}
