// SPDX-License-Identifier: GPL-2.0

//! `dax_cxl`: the provider for CXL RAM regions.
//!
//! It makes a region with one instance of each region of volatile memory on the CXL bus. Firmware
//! or a user created that CXL region.
//!
//! If the memory is also soft-reserved, `dax_hmem` first decides which of the two drivers offers
//! it.

use kernel::{
    cxl::{
        self,
        DaxRegion, //
    },
    dax::{
        hmem,
        region::{
            Addresses,
            Flags,
            Region,
            DEFAULT_ALIGN, //
        },
    },
    device::Core,
    driver,
    new_mutex,
    numa::{
        self,
        NumaNode, //
    },
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        self,
        impl_has_work,
        new_work,
        OwnedQueue,
        Work,
        WorkItem, //
    },
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

/// The driver's registration. [`None`] until the work item has registered the driver.
type LateRegistration = Mutex<Option<Pin<KBox<Registration>>>>;

struct DaxCxl {
    // Dropped first, which waits for the work item. After that nothing registers the driver any
    // more.
    _queue: OwnedQueue,
    _registration: Arc<LateRegistration>,
}

impl InPlaceModule for DaxCxl {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        Self::start(module)
    }
}

impl DaxCxl {
    fn start(module: &'static ThisModule) -> Result<Self> {
        let registration: Arc<LateRegistration> = Arc::pin_init(new_mutex!(None), GFP_KERNEL)?;
        let queue = workqueue::Builder::ordered().build(c"dax_cxl")?;
        let shared = registration.clone();

        queue.enqueue(KBox::pin_init(
            pin_init!(Start {
                registration: shared,
                module,
                work <- new_work!("dax_cxl::Start"),
            }),
            GFP_KERNEL,
        )?);
        Ok(Self {
            _queue: queue,
            _registration: registration,
        })
    }
}

/// Registers the driver after the decision of `dax_hmem`. The decision waits for the probes of all
/// other devices, so this is a work item and loading the module does not wait for it.
#[pin_data]
struct Start {
    registration: Arc<LateRegistration>,
    module: &'static ThisModule,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Start { self.work }
}

impl WorkItem for Start {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        hmem::wait_for_decision();

        match KBox::pin_init(Registration::new(c"cxl_dax_region", this.module), GFP_KERNEL) {
            Ok(registration) => *this.registration.lock() = Some(registration),
            Err(error) => pr_err!(
                "cannot register: error {}; CXL memory is not offered until dax_cxl is loaded again\n",
                error.to_errno()
            ),
        }
    }
}

/// The driver of CXL RAM regions.
struct CxlDax;

impl cxl::Driver for CxlDax {
    fn probe(dev: &DaxRegion<Core<'_>>) -> Result {
        let range = dev.range();
        let size = range.end.saturating_sub(range.start);
        let target_node = match numa::target_node(range.start) {
            NumaNode::NO_NODE => {
                let node = numa::default_node(range.start);

                dev_warn!(
                    dev,
                    "firmware names no NUMA node for {}; as System RAM it will be in node {}\n",
                    Addresses(&range),
                    node.as_raw()
                );
                node
            }
            node => node,
        };

        Region::new(
            dev,
            dev.id(),
            dev.memory(),
            target_node,
            DEFAULT_ALIGN,
            Flags::SYSTEM_RAM,
        )
        .and_then(|region| region.create_self_contained(size))
        .inspect_err(|error| {
            let advice = match *error {
                EBUSY => "if dax_hmem has the memory, unbind its hmem device, then",
                _ => "to try again",
            };

            dev_err!(
                dev,
                "no instance for {}: error {}; {}: cxl disable-region region{}; cxl enable-region region{}\n",
                Addresses(&range),
                error.to_errno(),
                advice,
                dev.id(),
                dev.id()
            );
        })
    }
}
