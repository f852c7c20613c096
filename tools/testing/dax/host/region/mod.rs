// SPDX-License-Identifier: GPL-2.0

//! A dynamic region from the view of user space: requests to it, and its visible state afterwards.
//!
//! [`Op`] is a random request to a region. A [`Region`] carries out requests: it is a [`Model`],
//! which has the expected results, or a real region in sysfs. The model manages devices and
//! drivers. It delegates the memory to an [`Oracle`]. There are two oracles: [`Units`], a very
//! simple one, and [`Logic`], the kernel's own source.

mod logic;
mod model;
mod op;
mod units;

#[cfg(test)]
pub(crate) use self::logic::resize;
pub use self::{
    logic::Logic,
    model::{Model, Oracle},
    op::{op, Op, Request, Text},
    units::Units,
};

use std::{collections::BTreeMap, fmt};

/// The unit of allocations, even if the align of the device is smaller: the unit of the memmap.
pub const UNIT: u64 = 2 << 20;

/// The sizes of page table entries.
pub const ALIGNS: [u64; 3] = [4096, 2 << 20, 1 << 30];

/// An error number of Linux.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Defines the expected errors, with their names.
macro_rules! errnos {
    ($($name:ident $number:literal),*) => {
        $(#[allow(missing_docs)] pub const $name: Errno = Errno($number);)*

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name => f.write_str(stringify!($name)),)*
                    Errno(other) => write!(f, "errno {other}"),
                }
            }
        }
    };
}

errnos! {
    ENXIO 6, ENOMEM 12, EFAULT 14, EBUSY 16, ENODEV 19, EINVAL 22, ENOSPC 28, ERANGE 34,
    EOPNOTSUPP 95
}

/// The drivers of the dax bus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Driver {
    /// `device_dax`
    DeviceDax,
    /// `kmem`
    Kmem,
    /// `fsdev_dax`
    FsdevDax,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DeviceDax, Self::Kmem, Self::FsdevDax];

    /// The name of its directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeviceDax => "device_dax",
            Self::Kmem => "kmem",
            Self::FsdevDax => "fsdev_dax",
        }
    }
}

/// The file that a request writes to.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// `dax_region/create`
    Create,
    /// `dax_region/delete`
    Delete,
    /// `daxX.Y/size`
    Size(u32),
    /// `daxX.Y/align`
    Align(u32),
    /// `daxX.Y/mapping`
    Mapping(u32),
    /// `daxX.Y/memmap_on_memory`
    MemmapOnMemory(u32),
    /// `bind` of a driver
    Bind(Driver),
    /// `unbind` of a driver
    Unbind(Driver),
    /// `new_id` of a driver
    NewId(Driver),
    /// `remove_id` of a driver
    RemoveId(Driver),
}

/// The constant properties of a region.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fixed {
    /// Its number.
    pub id: u32,
    /// The first physical address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// The align of new devices.
    pub align: u64,
    /// The size of a memory block.
    pub block: u64,
    /// Whether the kernel can put the memmap of System RAM into the memory itself.
    pub memmap_on_memory: bool,
}

/// A range: first and last address.
pub type Span = (u64, u64);

/// The visible state of a device.
#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    /// `size`
    pub size: u64,
    /// `align`
    pub align: u64,
    /// `resource`
    pub resource: u64,
    /// `memmap_on_memory`
    pub memmap_on_memory: bool,
    /// `mappingN`: the addresses of each range, and its page offset in the device.
    pub mappings: Vec<(Span, u64)>,
    /// `driver`
    pub driver: Option<Driver>,
    /// The entries with its name in `/proc/iomem`.
    pub reserved: Vec<Span>,
    /// The result of open(2).
    pub open: Result<(), Errno>,
}

/// The visible state of a region.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// `available_size`
    pub available: u64,
    /// `seed`
    pub seed: String,
    /// `create`
    pub create: String,
    /// The devices on the bus, by number.
    pub devices: BTreeMap<u32, Device>,
}

/// An object that carries out requests as a dynamic region does.
pub trait Region {
    /// Writes to a file.
    fn write(&mut self, target: &Target, text: &Text) -> Result<(), Errno>;

    /// Maps the entry of a device that begins at byte `offset`, and touches it. Returns the
    /// physical address that is mapped then.
    fn fault(&mut self, device: u32, offset: u64) -> Result<u64, Errno>;

    /// Returns the visible state.
    fn view(&self) -> View;
}

/// Stands for the address of an entry of 1 GiB. mm zaps such an entry when pagemap is read, so its
/// address cannot be checked. daxstress checks the contents of such entries.
pub const UNTOLD: u64 = u64::MAX;

/// The result of a request, and the visible state afterwards.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The result; for a fault, the physical address.
    pub result: Result<u64, Errno>,
    /// The visible state.
    pub view: View,
}

impl Request {
    /// Makes the request.
    pub fn make(&self, region: &mut impl Region) -> Answer {
        let result = match self {
            Self::Write(target, text) => region.write(target, text).map(|()| 0),
            Self::Fault(device, offset) => region.fault(*device, *offset),
        };
        Answer {
            result,
            view: region.view(),
        }
    }

    /// Compares the answer of `who` with the expected one.
    pub fn check(&self, who: &str, answer: &Answer, expected: &Answer) -> Result<(), String> {
        let (got, wanted) = (answer.result, expected.result);
        if got != wanted && !(got == Ok(UNTOLD) && wanted.is_ok()) {
            return Err(format!("{who}: {self}: {got:x?}, expected {wanted:x?}"));
        }
        if answer.view != expected.view {
            let difference = difference(&answer.view, &expected.view);
            return Err(format!("{who}: after {self}:\n{difference}"));
        }
        Ok(())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(target, text) => {
                write!(
                    f,
                    "{:?} to {target:?}",
                    String::from_utf8_lossy(&text.bytes)
                )
            }
            Self::Fault(device, offset) => write!(f, "a fault of device {device} at {offset:#x}"),
        }
    }
}

/// The differences between two views.
fn difference(seen: &View, wanted: &View) -> String {
    let lines = |view: &View| {
        let mut lines = vec![format!(
            "available {:#x}, seed {:?}, create {:?}, devices {:?}",
            view.available,
            view.seed,
            view.create,
            view.devices.keys().collect::<Vec<_>>()
        )];
        lines.extend(
            view.devices
                .iter()
                .map(|(id, device)| format!("device {id}: {device:x?}")),
        );
        lines
    };
    let (seen, wanted) = (lines(seen), lines(wanted));
    let mut differ: Vec<String> = Vec::new();
    differ.extend(
        seen.iter()
            .filter(|line| !wanted.contains(line))
            .map(|line| format!("  is {line}")),
    );
    differ.extend(
        wanted
            .iter()
            .filter(|line| !seen.contains(line))
            .map(|line| format!("  should be {line}")),
    );
    differ.join("\n")
}
