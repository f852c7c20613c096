// SPDX-License-Identifier: GPL-2.0

//! `daxfile`: files on persistent memory that are mapped like a device.
//!
//! A program seals a file through `/dev/daxfile` and gets a descriptor. While the descriptor or a
//! mapping of it exists, no block of the file moves. So the program maps the blocks by the rules of
//! `device_dax`: a page fault looks up an array that never changes, and installs one page table
//! entry of a fixed size. It does not call the file system, and takes none of its locks. The
//! metadata is durable before the file is sealed, so stores are durable once they have left the
//! caches of the processor.
//!
//! - `seal`: what a seal is made of.
//! - `extents`: the array.
//! - `rules`: which mappings are valid.
//! - `ffi`: what the module asks of C.

use kernel::{
    bindings,
    dax::mapping::Requester,
    device::Device,
    fs::{
        File,
        LocalFile, //
    },
    ioctl::_IOWR,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    sync::aref::ARef,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

mod daxfile {
    pub(crate) mod extents;
    pub(crate) mod ffi;
    pub(crate) mod rules;
    pub(crate) mod seal;
}

use crate::daxfile::{
    ffi::node,
    rules::refuse,
    seal::{
        order_of,
        Aligns,
        Failed,
        Seal, //
    }, //
};

/// Returns whether a message may be printed at the line of this macro.
#[macro_export]
macro_rules! ratelimit_here {
    () => {
        ::kernel::__ratelimit_here!()
    };
}

module! {
    type: DaxFile,
    name: "daxfile",
    authors: ["The device DAX in Rust authors"],
    description: "DAX files: files that are mapped like a device",
    license: "GPL v2",
    params: {
        seals_per_user: u32 {
            default: 128,
            description: "How many files a user may have sealed, without CAP_SYS_RESOURCE",
        },
    },
}

/// The module: the device `/dev/daxfile`.
#[pin_data]
pub(crate) struct DaxFile {
    #[pin]
    _device: MiscDeviceRegistration<Control>,
}

impl DaxFile {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"daxfile" }),
        })
    }
}

/// The operations of `/dev/daxfile`.
struct Control;

const SEAL: u32 = _IOWR::<bindings::daxfile_seal>(bindings::DAXFILE_IOC_TYPE, 1);

#[vtable]
impl MiscDevice for Control {
    type Ptr = ARef<Device>;

    fn open(_file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        Ok(misc.device().into())
    }

    fn ioctl(_dev: &Device, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            SEAL => seal(UserPtr::from_addr(arg)),
            _ => Err(ENOTTY),
        }
    }
}

/// `DAXFILE_SEAL`.
fn seal(arg: UserPtr) -> Result<isize> {
    let bytes = size_of::<bindings::daxfile_seal>();
    let mut reader = UserSlice::new(arg, bytes).reader();
    let (fd, flags): (u32, u32) = (reader.read()?, reader.read()?);
    let align: u64 = reader.read()?;

    if flags != 0 {
        refuse!("seal", "flags must be 0");
        return Err(EINVAL);
    }
    let Some(order) = order_of(align) else {
        refuse!(
            "seal",
            "the align 0x{:x} is none of the sizes of a page table entry: {}",
            align,
            Aligns
        );
        return Err(EINVAL);
    };
    let file = LocalFile::fget(fd)?;

    match Seal::new(&file, order) {
        Ok(seal) => match node::install(seal, *module_parameters::seals_per_user.value_ref()) {
            Ok(fd) => Ok(fd as isize),
            Err(err) => {
                refuse!("seal", "{}", why_not_installed(err));
                Err(err)
            }
        },
        Err(Failed::Because(err, why)) => {
            refuse!("seal", "{}", why);
            Err(err)
        }
        Err(Failed::Hole(offset)) => {
            refuse!(
                "seal",
                "a hole or an unwritten extent begins at offset 0x{:x}; write zeros there",
                offset
            );
            Err(ENODATA)
        }
        Err(Failed::Length(len)) => {
            refuse!(
                "seal",
                "the length 0x{:x} must be a multiple of the align 0x{:x}, and not 0",
                len,
                align
            );
            Err(EINVAL)
        }
        Err(Failed::Align(largest)) => {
            refuse!(
                "seal",
                "its extents do not fit the align 0x{:x}; the largest that would do is 0x{:x}",
                align,
                largest
            );
            let mut writer = UserSlice::new(arg, bytes).writer();
            writer.write(&fd)?;
            writer.write(&flags)?;
            writer.write(&largest)?;
            Err(ERANGE)
        }
    }
}

fn why_not_installed(err: Error) -> &'static str {
    if err == EUSERS {
        "the user has too many sealed files; see the parameter seals_per_user of the module"
    } else if err == ENXIO {
        "the memory of the file is being removed"
    } else {
        "there is no descriptor or no memory left"
    }
}
