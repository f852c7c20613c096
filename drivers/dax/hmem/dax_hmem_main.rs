// SPDX-License-Identifier: GPL-2.0

//! `dax_hmem`: device DAX over memory for a specific purpose.
//!
//! Firmware keeps such memory from the page allocator, for whoever knows what it is good for. The
//! registry, which is built in, knows where it is. This module takes what of it is really
//! soft-reserved and not CXL's, makes a platform device for each piece, and of each of these a
//! region of the dax bus with one instance.
//!
//! Memory in a window of CXL is CXL's if its drivers make a region of it; that they can tell only
//! after all devices have been probed. So the decision about it is made later, by a work item, and
//! `dax_cxl` waits for that: [`wait_for_decision`].

use kernel::{
    alloc::append::Append,
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
    io::firmware_map,
    new_mutex,
    numa,
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        lazy::Lazy,
        Arc,
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        ordered::OrderedQueue,
        Work,
        WorkItem, //
    },
    InPlaceModule, //
};

use core::{
    mem,
    ops::Range, //
};

mod offered;

module! {
    type: DaxHmem,
    name: "dax_hmem",
    authors: ["The device DAX in Rust authors"],
    description: "HMEM DAX: direct access to memory for a specific purpose",
    license: "GPL v2",
    alias: ["platform:hmem*", "platform:hmem_platform*"],
}

kernel::hmem_decision! { wait: wait_for_decision }

/// The parameter `region_idle`: whoever sets it wants to divide the memory before anybody uses it.
#[export_name = "dax_hmem_region_idle"]
static REGION_IDLE: Atomic<bool> = Atomic::new(false);

/// The queue for decisions, while the module is loaded.
static QUEUE: Lazy<Mutex<Option<Arc<OrderedQueue>>>> = Lazy::new();

fn queue() -> &'static Mutex<Option<Arc<OrderedQueue>>> {
    QUEUE.get_or_init(new_mutex!(None, "dax_hmem::QUEUE"))
}

/// Replaces the queue, and waits for what is in the old one.
fn set_queue(new: Option<Arc<OrderedQueue>>) {
    let old = mem::replace(&mut *queue().lock(), new);

    drop(old);
}

/// Waits until it is decided who has the memory in windows of CXL.
fn wait_for_decision() {
    let queue = queue().lock().clone();

    if let Some(queue) = queue {
        queue.flush();
    }
}

/// What is loaded, in the order in which it is taken back.
#[pin_data]
struct DaxHmem {
    #[pin]
    _pieces: driver::Registration<hmem::Adapter<Piece>>,
    #[pin]
    _host: driver::Registration<platform::Adapter<Host>>,
    _queue: Running,
}

impl InPlaceModule for DaxHmem {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        if cfg!(CONFIG_DEV_DAX_CXL) {
            // Where the windows are they find out.
            cxl::load_drivers();
        }

        try_pin_init!(Self {
            _queue: Running::start()?,
            _host <- driver::Registration::new(hmem::Host::NAME, module),
            _pieces <- driver::Registration::new(hmem::Adapter::<Piece>::NAME, module),
        })
    }
}

/// The queue is there.
struct Running;

impl Running {
    fn start() -> Result<Self> {
        let queue = Arc::new(OrderedQueue::new(c"dax_hmem_wq")?, GFP_KERNEL)?;

        set_queue(Some(queue));
        Ok(Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        set_queue(None);
    }
}

/// The driver of the device that stands for all of the registry's memory.
struct Host(Arc<State>);

/// What the driver and its decision share; the latter may come when the former has gone.
#[pin_data]
struct State {
    dev: ARef<platform::Device>,
    /// The devices for pieces of memory. None any more, and no new ones, when the driver is unbound.
    #[pin]
    devices: Mutex<Option<KVec<hmem::Registration>>>,
}

impl platform::Driver for Host {
    type IdInfo = ();
    type Data<'bound> = Self;

    fn probe<'bound>(
        dev: &'bound platform::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Self::bind(dev)
    }
}

impl Host {
    fn bind(dev: &platform::Device<Core<'_>>) -> Result<Self> {
        let host = hmem::Host::of(dev).ok_or(ENODEV)?;
        let state = Arc::pin_init(
            try_pin_init!(State {
                dev: dev.into(),
                devices <- new_mutex!(Some(KVec::new())),
            }),
            GFP_KERNEL,
        )?;
        let mut contested = KVec::new();

        hmem::candidates(|memory| state.divide(memory, &mut contested))?;

        if host.has_yielded() {
            for memory in &contested {
                dev_info!(
                    dev,
                    "memory {} is left to CXL, which had some of it before; what it has not is offered after a reboot\n",
                    Addresses(&memory.range)
                );
            }
        } else if !contested.is_empty() {
            let decision = KBox::pin_init(Decision::new(state.clone(), contested), GFP_KERNEL)?;

            queue().lock().as_ref().ok_or(ENODEV)?.enqueue(decision);
        }

        Ok(Self(state))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let devices = self.0.devices.lock().take();

        drop(devices);
    }
}

/// The decision about memory in windows of CXL: what its drivers have made no region of is offered.
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
            let mut whole = false;

            for range in offered::unclaimed(memory.range.clone(), cxl::region_contains) {
                whole = range == memory.range;
                if !whole {
                    state.set_yielded();
                }
                state.offer(range, memory.target_node);
            }
            if !whole {
                state.set_yielded();
            }
        }
    }
}

impl State {
    /// Offers what of the memory is soft-reserved, but what is in windows of CXL, which it adds to
    /// `contested`.
    fn divide(&self, memory: &Candidate, contested: &mut KVec<Candidate>) -> Result {
        let target_node = memory.target_node;

        firmware_map::soft_reserved(&memory.range, |Range { start: mut at, end }| {
            if cfg!(CONFIG_DEV_DAX_CXL) {
                firmware_map::cxl_windows(&(at..end), |range| {
                    self.offer(at..range.start, target_node);
                    at = range.end;
                    Ok(contested.append(Candidate { range, target_node }, GFP_KERNEL)?)
                })?;
            }
            self.offer(at..end, target_node);
            Ok(())
        })
    }

    /// Keeps in mind that CXL has some of the memory.
    fn set_yielded(&self) {
        if let Some(host) = hmem::Host::of(&self.dev) {
            host.set_yielded();
        }
    }

    /// Makes a device for what of a range can be mapped. If that fails, the others go on.
    fn offer(&self, range: Range<u64>, target_node: i32) {
        let align = u64::from(DEFAULT_ALIGN);

        if range.is_empty() {
            return;
        }
        let Some(aligned) = offered::aligned(&range, align) else {
            dev_warn!(
                self.dev,
                "memory {} stays unused: nothing of it is aligned to 0x{:x}\n",
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
        if target_node == numa::NO_NODE {
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
        // Otherwise the driver was unbound while this waited for CXL.
        let Some(devices) = &mut *devices else {
            return;
        };
        let made = hmem::Registration::new(&self.dev, &memory)
            .and_then(|device| Ok(devices.append(device, GFP_KERNEL)?));

        if let Err(error) = made {
            self.complain(&memory.range, error);
        }
    }

    fn complain(&self, range: &Range<u64>, error: Error) {
        dev_err!(
            self.dev,
            "no device for memory {}: error {}; to try again, unbind and bind hmem_platform.0\n",
            Addresses(range),
            error.to_errno()
        );
    }
}

/// The driver of the device for a piece of memory.
struct Piece;

impl hmem::Driver for Piece {
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
            let first = match *error {
                EBUSY => "unbind what has it, see the message above and /proc/iomem, then ",
                _ => "",
            };

            dev_err!(
                dev,
                "no instance for memory {}: error {}; {}bind this device to hmem again\n",
                Addresses(&range),
                error.to_errno(),
                first
            );
        })
    }
}
