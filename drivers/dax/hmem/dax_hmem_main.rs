// SPDX-License-Identifier: GPL-2.0

//! `dax_hmem`: the provider for soft-reserved memory.
//!
//! Firmware marks memory for a specific purpose, and the kernel keeps it from the page allocator.
//! The registry, which is built in, knows the ranges that firmware reports. This module has two
//! drivers:
//!
//! - [`HmemPlatform`] is bound to `hmem_platform.0`. It asks the registry and makes a platform
//!   device `hmem.N` for each range that is soft-reserved and does not belong to CXL.
//! - [`Hmem`] is bound to `hmem.N`. It makes a region of the dax bus with one instance.
//!
//! Memory in a CXL window belongs to CXL if the CXL drivers make a region of it. This is known only
//! after all devices have been probed. So a work item, [`Decision`], decides later, and `dax_cxl`
//! waits for it: [`wait_for_decision`].

use kernel::{
    cxl,
    dax::{
        hmem::{
            self,
            Candidate, //
        },
        region::{
            Addresses,
            Flags,
            Region,
            DEFAULT_ALIGN, //
        },
    },
    device::Core,
    driver,
    io::resource,
    new_mutex,
    numa::NumaNode,
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
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

use core::{
    mem,
    ops::Range, //
};
use pin_init::pin_init_scope;

mod ffi {
    //! The function that C calls. All `unsafe` is here.
    mod decision;
}
mod offered;

module! {
    type: DaxHmem,
    name: "dax_hmem",
    authors: ["The device DAX in Rust authors"],
    description: "HMEM DAX: direct access to memory for a specific purpose",
    license: "GPL v2",
    alias: ["platform:hmem*", "platform:hmem_platform*"],
}

/// The parameter `region_idle`: new instances get no memory, so that root can divide the region
/// first.
#[export_name = "dax_hmem_region_idle"]
static REGION_IDLE: Atomic<bool> = Atomic::new(false);

/// The queue for [`Decision`]s while the module is loaded.
static QUEUE: SetOnce<Mutex<Option<Arc<OwnedQueue>>>> = SetOnce::new();

fn queue() -> &'static Mutex<Option<Arc<OwnedQueue>>> {
    QUEUE.get_or_pin_init(new_mutex!(None, "dax_hmem::QUEUE"))
}

/// Replaces the queue. Dropping the old queue waits for its work items.
fn set_queue(new: Option<Arc<OwnedQueue>>) {
    let old = mem::replace(&mut *queue().lock(), new);

    drop(old);
}

/// Waits for the decision about memory in CXL windows.
fn wait_for_decision() {
    let queue = queue().lock().clone();

    if let Some(queue) = queue {
        queue.flush();
    }
}

/// The module. Its fields are dropped in this order.
#[pin_data]
struct DaxHmem {
    #[pin]
    _hmem: driver::Registration<hmem::Adapter<Hmem>>,
    #[pin]
    _platform: driver::Registration<platform::Adapter<HmemPlatform>>,
    _queue: QueueGuard,
}

impl InPlaceModule for DaxHmem {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        if cfg!(CONFIG_DEV_DAX_CXL) {
            // The CXL drivers find the windows.
            cxl::load_drivers();
        }

        try_pin_init!(Self {
            _queue: QueueGuard::start()?,
            _platform <- driver::Registration::new(hmem::Host::NAME, module),
            _hmem <- driver::Registration::new(hmem::Adapter::<Hmem>::NAME, module),
        })
    }
}

/// Keeps the queue. Dropping it removes the queue.
struct QueueGuard;

impl QueueGuard {
    fn start() -> Result<Self> {
        let queue = Arc::new(
            workqueue::Builder::ordered().build(c"dax_hmem_wq")?,
            GFP_KERNEL,
        )?;

        set_queue(Some(queue));
        Ok(Self)
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        set_queue(None);
    }
}

/// The driver of `hmem_platform.0`, the device for all memory in the registry.
struct HmemPlatform {
    state: Arc<State>,
}

/// The state that [`HmemPlatform`] and [`Decision`] share. The decision may come after the unbind.
#[pin_data]
struct State {
    dev: ARef<platform::Device>,
    /// The devices `hmem.N`. [`None`] after the unbind, so that a late decision adds none.
    #[pin]
    devices: Mutex<Option<KVec<hmem::Registration>>>,
}

impl platform::Driver for HmemPlatform {
    type IdInfo = ();
    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound platform::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init_scope(move || {
            let host = hmem::Host::of(dev).ok_or(ENODEV)?;
            let state = Arc::pin_init(
                try_pin_init!(State {
                    dev: dev.into(),
                    devices <- new_mutex!(Some(KVec::new())),
                }),
                GFP_KERNEL,
            )?;
            let mut contested = KVec::new();

            hmem::candidates(|memory| state.classify(memory, &mut contested))?;

            if host.has_cxl_memory() {
                for memory in &contested {
                    dev_info!(
                        dev,
                        "memory {} is left to CXL, which had some of it before; the rest is offered after a reboot\n",
                        Addresses(&memory.range)
                    );
                }
            } else if !contested.is_empty() {
                let decision = KBox::pin_init(Decision::new(state.clone(), contested), GFP_KERNEL)?;

                queue().lock().as_ref().ok_or(ENODEV)?.enqueue(decision);
            }

            Ok(try_init!(Self { state }))
        })
    }
}

impl Drop for HmemPlatform {
    fn drop(&mut self) {
        let devices = self.state.devices.lock().take();

        drop(devices);
    }
}

/// The decision about memory in CXL windows. It offers the memory that no CXL region contains.
#[pin_data]
struct Decision {
    state: Arc<State>,
    contested: KVec<Candidate>,
    #[pin]
    work: Work<Self>,
}

impl Decision {
    fn new(state: Arc<State>, contested: KVec<Candidate>) -> impl PinInit<Self> {
        pin_init!(Self {
            state,
            contested,
            work <- new_work!("dax_hmem::Decision"),
        })
    }
}

impl_has_work! {
    impl HasWork<Self> for Decision { self.work }
}

impl WorkItem for Decision {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let state = &this.state;

        cxl::wait_for_drivers();
        for memory in &this.contested {
            // Whether no CXL region contains any of this memory.
            let mut whole = false;

            for range in offered::unclaimed(memory.range.clone(), cxl::region_contains) {
                whole = range == memory.range;
                if !whole {
                    state.set_cxl_has_some();
                }
                state.offer(range, memory.target_node);
            }
            if !whole {
                state.set_cxl_has_some();
            }
        }
    }
}

impl State {
    /// Looks for the soft-reserved ranges of `memory`. Offers those outside of CXL windows, and
    /// appends the others to `contested`.
    fn classify(&self, memory: &Candidate, contested: &mut KVec<Candidate>) -> Result {
        let target_node = memory.target_node;

        resource::walk_soft_reserved(&memory.range, |Range { start: mut at, end }| {
            if cfg!(CONFIG_DEV_DAX_CXL) {
                resource::walk_cxl_windows(&(at..end), |range| {
                    self.offer(at..range.start, target_node);
                    at = range.end;
                    Ok(contested.push(Candidate { range, target_node }, GFP_KERNEL)?)
                })?;
            }
            self.offer(at..end, target_node);
            Ok(())
        })
    }

    /// Records that CXL has some of the memory. The record survives the module.
    fn set_cxl_has_some(&self) {
        if let Some(host) = hmem::Host::of(&self.dev) {
            host.set_cxl_memory();
        }
    }

    /// Makes a device for the aligned part of a range. Logs an error and returns, so that one range
    /// does not affect the others.
    fn offer(&self, range: Range<u64>, target_node: NumaNode) {
        let align = u64::from(DEFAULT_ALIGN);

        if range.is_empty() {
            return;
        }
        let Some(aligned) = offered::aligned(&range, align) else {
            dev_warn!(
                self.dev,
                "memory {} stays unused: no part of it is aligned to 0x{:x}\n",
                Addresses(&range),
                align
            );
            return;
        };
        if aligned != range {
            dev_warn!(
                self.dev,
                "memory {} is not aligned to 0x{:x}; 0x{:x} bytes at its ends stay unused\n",
                Addresses(&range),
                align,
                (range.end.saturating_sub(range.start))
                    .saturating_sub(aligned.end.saturating_sub(aligned.start))
            );
        }
        if target_node == NumaNode::NO_NODE {
            dev_warn!(
                self.dev,
                "firmware names no NUMA node for memory {}: it can be mapped, but not be System RAM\n",
                Addresses(&range)
            );
        }

        let memory = Candidate {
            range: aligned,
            target_node,
        };
        let mut devices = self.devices.lock();
        // `None`: the driver was unbound while the decision waited for CXL.
        let Some(devices) = &mut *devices else {
            return;
        };
        let made = hmem::Registration::new(&self.dev, &memory)
            .and_then(|device| Ok(devices.push(device, GFP_KERNEL)?));

        if let Err(error) = made {
            self.log_error(&memory.range, error);
        }
    }

    fn log_error(&self, range: &Range<u64>, error: Error) {
        dev_err!(
            self.dev,
            "no device for memory {}: error {}; to try again, unbind and bind hmem_platform.0\n",
            Addresses(range),
            error.to_errno()
        );
    }
}

/// The driver of `hmem.N`, the device for one range.
struct Hmem;

impl hmem::Driver for Hmem {
    fn probe(dev: &hmem::Device<Core<'_>>) -> Result {
        let Candidate { range, target_node } = dev.memory();
        let (flags, size) = if REGION_IDLE.load(Relaxed) {
            (Flags::DYNAMIC, 0)
        } else {
            (Flags::SYSTEM_RAM, range.end.saturating_sub(range.start))
        };

        Region::new(
            dev,
            dev.id(),
            dev.region_memory(),
            target_node,
            DEFAULT_ALIGN,
            flags,
        )
        .and_then(|region| region.create(size))
        .inspect_err(|error| {
            let advice = match *error {
                EBUSY => "unbind its user, see the message above and /proc/iomem, then ",
                _ => "",
            };

            dev_err!(
                dev,
                "no instance for memory {}: error {}; {}bind this device to hmem again\n",
                Addresses(&range),
                error.to_errno(),
                advice
            );
        })
    }
}
