// SPDX-License-Identifier: GPL-2.0

//! `dax_cxl`: device DAX over CXL RAM regions.
//!
//! The provider that makes a region of the dax bus, with one instance, of each region of volatile
//! memory on the CXL bus, whether firmware made that region or a user did.
//!
//! Some of this memory may be soft-reserved, too, and then `dax_hmem` decides first who has it.

use kernel::{
    cxl::{
        self,
        DaxRegion, //
    },
    dax::{
        hmem,
        region::{
            Flags,
            Region,
            DEFAULT_ALIGN, //
        },
    },
    device::Core,
    driver,
    new_mutex,
    numa,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::ordered::OrderedQueue,
    InPlaceModule, //
};

module! {
    type: DaxCxl,
    name: "dax_cxl",
    authors: ["The device DAX in Rust authors"],
    description: "CXL DAX: direct access to CXL RAM regions",
    license: "GPL",
    // MODULE_ALIAS_CXL(CXL_DEVICE_DAX_REGION)
    alias: ["cxl:t8*"],
    imports_ns: ["CXL"],
}

type Registration = driver::Registration<cxl::Adapter<CxlDax>>;

/// The driver's registration, as soon as there is one.
type Slot = Mutex<Option<Pin<KBox<Registration>>>>;

struct DaxCxl {
    // Dropped first: once it is gone, the driver is registered, or never will be.
    _queue: OrderedQueue,
    _slot: Arc<Slot>,
}

impl InPlaceModule for DaxCxl {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        Self::start(module)
    }
}

impl DaxCxl {
    /// Registers the driver, when its time has come. That may take as long as the drivers of all
    /// other devices do, so nobody waits for it here.
    fn start(module: &'static ThisModule) -> Result<Self> {
        let slot: Arc<Slot> = Arc::pin_init(new_mutex!(None), GFP_KERNEL)?;
        let queue = OrderedQueue::new(c"dax_cxl")?;
        let register_in = slot.clone();

        queue.try_spawn(GFP_KERNEL, move || {
            hmem::wait_for_decision();

            match KBox::pin_init(Registration::new(c"cxl_dax_region", module), GFP_KERNEL) {
                Ok(registration) => *register_in.lock() = Some(registration),
                Err(error) => pr_err!(
                    "cannot register: error {}; CXL memory is not offered until dax_cxl is loaded again\n",
                    error.to_errno()
                ),
            }
        })?;

        Ok(Self {
            _queue: queue,
            _slot: slot,
        })
    }
}

struct CxlDax;

impl cxl::Driver for CxlDax {
    fn probe(dev: &DaxRegion<Core<'_>>) -> Result {
        let range = dev.range();
        let size = range.end.saturating_sub(range.start);
        let last = range.end.saturating_sub(1);
        let target_node = match numa::target_node(range.start) {
            numa::NO_NODE => {
                let node = numa::default_node(range.start);

                dev_warn!(
                    dev,
                    "firmware names no NUMA node for {:#x}-{:#x}; as System RAM it will be in node {}\n",
                    range.start,
                    last,
                    node
                );
                node
            }
            node => node,
        };

        Region::new(
            dev,
            dev.id(),
            range.clone(),
            target_node,
            DEFAULT_ALIGN,
            Flags::SYSTEM_RAM,
        )
        .and_then(|region| region.create_self_contained(size))
        .inspect_err(|error| {
            dev_err!(
                dev,
                "no instance for {:#x}-{:#x}: error {}; if dax_hmem has the memory, unbind its hmem device, then: cxl disable-region region{}; cxl enable-region region{}\n",
                range.start,
                last,
                error.to_errno(),
                dev.id(),
                dev.id()
            );
        })
    }
}
