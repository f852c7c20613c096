// SPDX-License-Identifier: GPL-2.0

//! Rust DAX sample: a provider and a consumer on the dax bus.
//!
//! The *provider* offers a range of physical memory as a region with one instance, `dax1000.0`. The
//! parameters `start` and `size` give the range. The page allocator must not have it: use
//! `memmap=64M$0x100000000` on the kernel's command line, for example. A real provider finds its
//! memory on a bus.
//!
//! The *consumer* is a small version of `device_dax`. It makes `/dev/dax1000.0`, which programs map
//! page by page.
//!
//! See Documentation/driver-api/dax/writing-drivers.rst.

use kernel::{
    dax::{
        self,
        mapping::{
            self,
            Fault,
            Mappable,
            Placement,
            Requester, //
        },
        region::{
            Flags,
            Memory,
            Region, //
        },
    },
    dev_info_ratelimited,
    device::Core,
    driver,
    faux,
    mm::{
        fault::FaultResult,
        vma_desc::VmaDesc, //
    },
    numa::NumaNode,
    page::PAGE_SIZE,
    prelude::*,
    InPlaceModule, //
};

use pin_init::pin_init_scope;

/// The number of the region. A real provider gets a number from its bus or from
/// [`kernel::memregion`], which counts from 0.
const REGION: i32 = 1000;

module! {
    type: Sample,
    name: "rust_driver_dax",
    authors: ["Rust for Linux Contributors"],
    description: "Rust DAX sample: a provider and a consumer",
    license: "GPL",
    params: {
        start: u64 {
            default: 0,
            description: "Physical address of the memory to offer",
        },
        size: u64 {
            default: 0,
            description: "Size in bytes of the memory to offer",
        },
    },
}

#[pin_data]
struct Sample {
    #[pin]
    _consumer: driver::Registration<dax::Adapter<Consumer>>,
    // This device owns the region and its instance. They are removed with it.
    _provider: faux::Registration,
}

impl InPlaceModule for Sample {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // First, so that the driver is registered when the instance appears.
            _consumer <- driver::Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            _provider: provide()?,
        })
    }
}

/// The provider: makes a region, and one instance with all of its memory.
fn provide() -> Result<faux::Registration> {
    let start = module_parameters::start.value();
    let size = module_parameters::size.value();
    let end = start.checked_add(size).ok_or(EINVAL)?;
    let parent = faux::Registration::new(c"rust_driver_dax", None)?;

    let region = Memory::from_firmware(start..end)
        .inspect_err(|_| {
            dev_err!(
                parent.as_ref(),
                "no region of {:#x} bytes at {:#x}: firmware must have it as soft-reserved or persistent memory, see /proc/iomem for start= and size=\n",
                size,
                start
            );
        })
        .and_then(|memory| {
            Region::new(
                &parent,
                REGION,
                memory,
                // The target node of the memory is unknown.
                NumaNode::NO_NODE,
                PAGE_SIZE as u32,
                Flags::DYNAMIC,
            )
            .inspect_err(|&error| {
                let reason = match error {
                    EINVAL => "start= and size= must be multiples of the size of a page",
                    EBUSY => "another provider has some of it, see the message above",
                    _ => "there is no memory for it",
                };

                dev_err!(
                    parent.as_ref(),
                    "no region of {:#x} bytes at {:#x}: {}\n",
                    size,
                    start,
                    reason
                );
            })
        })?;
    region.create(size)?;

    Ok(parent)
}

/// The consumer. It has no data: devres undoes all that `probe` sets up.
struct Consumer;

#[vtable]
impl dax::Driver for Consumer {
    // The bus offers this driver each instance that has no driver and is not meant for kmem.
    const KIND: dax::Kind = dax::Kind::Device;

    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init_scope(move || {
            // This errno makes the bus try the next driver.
            if dev.region_id() != REGION {
                return Err(ENODEV);
            }
            if dev.align() != PAGE_SIZE {
                dev_warn!(
                    dev,
                    "align {:#x} is not supported; set {:#x}, or bind the instance to device_dax\n",
                    dev.align(),
                    PAGE_SIZE
                );
                return Err(EINVAL);
            }

            // Reserve the memory, create its memmap, make it alive. The types enforce this order.
            dev.reserve()?.map_generic()?.run()?;
            // Last, so that nobody opens an instance that is not alive.
            mapping::register::<Self>(dev)?;

            for range in dev.ranges().iter() {
                dev_info!(dev, "offers {:#x}-{:#x}\n", range.start(), range.end());
            }
            Ok(try_init!(Self {}))
        })
    }
}

#[vtable]
impl mapping::Operations for Consumer {
    fn mmap(dev: &dax::Device, desc: &mut VmaDesc) -> Result {
        // The file may have been opened before an unbind.
        if dev.live().is_none() {
            return Err(ENXIO);
        }
        if !desc.is_shared() {
            dev_info_ratelimited!(dev, "{}: mmap refused: use MAP_SHARED\n", Requester);
            return Err(EINVAL);
        }
        Ok(())
    }

    fn place(_dev: &dax::Device, request: &Placement<'_>) -> Result<usize> {
        request.find(request.addr(), request.len())
    }

    fn may_split(_dev: &dax::Device, _addr: usize) -> Result {
        // Each page is an entry of its own, so a mapping can be split at any page.
        Ok(())
    }

    fn pagesize(_dev: &dax::Device) -> usize {
        PAGE_SIZE
    }

    fn fault<B: Mappable>(fault: &Fault<'_, B>) -> FaultResult {
        if fault.size() != PAGE_SIZE {
            return FaultResult::FALLBACK;
        }
        // Map one page, and none ahead.
        fault.map(|_| 0).unwrap_or(FaultResult::SIGBUS)
    }
}
