// SPDX-License-Identifier: GPL-2.0

//! `kmem`: the consumer that turns an instance into System RAM.
//!
//! It hot-adds the memory of an instance as memory blocks of the target node. It can take the
//! memory back only if all blocks can be taken offline. A range with a block that stays online
//! remains System RAM until the next boot, even after the unbind and without the module.
//!
//! At the bind, the system's policy decides whether and how the blocks go online. Later, writes to
//! the file `state` decide. The driver does not learn of changes of single blocks in
//! `/sys/devices/system/memory`.
//!
//! This file has the policy. `kernel::mm::memory_hotplug` has the mechanism.

use kernel::{
    alloc::NumaNode,
    attribute_groups,
    dax::{
        self,
        driver::BoundTo,
        grow::Growth, //
    },
    device::{
        attribute::{
            Attribute,
            Groups,
            Mode,
            Output, //
        },
        Bound,
        Core, //
    },
    mm::{
        memory_hotplug::{
            Group,
            OnlineType, //
        },
        memory_tiers::{
            self,
            NodeType, //
        }, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

use core::mem;
use kmem::{
    message::{
        MappingRange,
        OnlineBlocks, //
    },
    part::{
        self,
        advise,
        check_online,
        offline_and_remove,
        Part, //
    }, //
};
use pin_init::pin_init_scope;

kernel::module_dax_driver! {
    type: Kmem,
    name: "kmem",
    authors: ["The device DAX in Rust authors"],
    description: "KMEM DAX: instances as System RAM",
    license: "GPL v2",
    alias: ["dax:t0*"],
}

mod kmem {
    pub(crate) mod message;
    pub(crate) mod part;
    pub(crate) mod state;
}

/// The abstract distance of memory without performance data from firmware. Such memory is taken to
/// be slow.
const DEFAULT_DISTANCE: i32 = memory_tiers::DISTANCE_DRAM.saturating_mul(5);

/// The name of the memory in `/proc/iomem`. It tells kexec that the memory was added after boot.
const RAM_NAME: &CStr = c"System RAM (kmem)";

/// The driver.
struct Kmem;

attribute_groups! {
    /// The files of this driver in `/sys/bus/dax/devices/daxX.Y`.
    static GROUPS: BoundTo<Kmem> = of_device DeviceAttribute None, [StateFile]
}

#[vtable]
impl dax::Driver for Kmem {
    const KIND: dax::Kind = dax::Kind::Kmem;
    const GROUPS: Option<&'static Groups<BoundTo<Self>>> = Some(&GROUPS);

    type Data<'bound> = SystemRam;

    fn probe<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init_scope(move || {
            let online = OnlineType::default_policy();
            let ram = SystemRam::new(dev, online)?;

            Ok(ram.pin_chain(move |ram| ram.start(dev, online)))
        })
    }

    fn unbind<'bound>(dev: &'bound dax::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.remove(dev);
    }

    fn grow<'bound>(
        dev: &'bound dax::Device<Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
        growth: &Growth<'_>,
    ) -> Result {
        this.grow(dev, growth)
    }
}

/// The state that the last successful request set: how the blocks went online, or [`None`] for
/// unplugged.
type State = Option<OnlineType>;

/// An instance as System RAM.
#[pin_data]
struct SystemRam {
    /// A [`State`] as a number, -1 for [`None`]. It changes only under the lock of `memory`. A
    /// reader takes no lock, so that it does not wait while the kernel migrates pages.
    state: Atomic<i32>,
    #[pin]
    memory: Mutex<Memory>,
    config: HotplugConfig,
}

/// The memory of the instance.
struct Memory {
    /// In the order of the ranges.
    parts: KVec<Part>,
    /// The memory type of the node. Must outlive the added memory.
    node_type: Option<NodeType>,
}

/// The parameters for adding memory.
struct HotplugConfig {
    node: NumaNode,
    memmap_on_memory: bool,
}

impl SystemRam {
    /// Reserves the memory of an instance that is being bound.
    fn new(dev: &dax::Device<Core<'_>>, online: OnlineType) -> Result<impl PinInit<Self, Error>> {
        let node = dev.target_node().ok_or(EINVAL).inspect_err(|_| {
            advise(
                dev,
                fmt!("not System RAM: nobody said which NUMA node the memory is, and mixing it with faster memory would slow everything down; firmware must tell (ACPI SRAT), as memory to be mapped it can be used: daxctl reconfigure-device --mode=devdax"),
            )
        })?;
        let group = Group::new(node, part::whole_blocks(dev)?).inspect_err(|why| {
            dev_warn!(
                dev,
                "not System RAM: NUMA node {} takes no memory, error {}; it has to be one of /sys/devices/system/node/possible\n",
                node.as_raw(),
                why.to_errno()
            )
        })?;
        let config = HotplugConfig {
            node,
            memmap_on_memory: dev.memmap_on_memory(),
        };
        let memory = Memory {
            parts: part::reserve(dev, Arc::new(group, GFP_KERNEL)?)?,
            // Must exist before memory is added. Otherwise the kernel guesses a type.
            node_type: Some(NodeType::new(node, DEFAULT_DISTANCE)?),
        };

        Ok(try_pin_init!(Self {
            state: Atomic::new(online.as_raw()),
            memory <- new_mutex!(memory, "kmem::Memory"),
            config,
        }))
    }

    /// Adds the memory of an instance that is being bound.
    ///
    /// Leaves out a range that cannot be added. Fails only if no range could be added: on some
    /// machines other drivers use a part of the memory, and this driver has always used the rest.
    fn start(&self, dev: &dax::Device<Core<'_>>, online: OnlineType) -> Result {
        let mut result = Err(EBUSY);

        for part in &mut self.memory.lock().parts {
            match self.config.add(dev, part, online) {
                Ok(()) => {
                    result = Ok(());
                    // Not an error: user space can bring the blocks online later.
                    let _ = check_online(dev, part, online);
                }
                Err(why) => result = result.or(Err(why)),
            }
        }
        result
    }

    /// Takes the memory that the instance is given, and adds it unless the memory is unplugged. On
    /// failure nothing has changed.
    fn grow(&self, dev: &dax::Device<Core<'_>>, growth: &Growth<'_>) -> Result {
        let mut memory = self.memory.lock();
        let mut more = part::reserve_more(dev, growth, self.config.node)?;
        memory.parts.reserve(more.len(), GFP_KERNEL)?;

        if let Some(online) = self.state() {
            let mut parts = more.iter_mut();
            if let Err(why) = parts.try_for_each(|part| self.config.add(dev, part, online)) {
                let Err(stuck) = offline_and_remove(&mut more) else {
                    return Err(why);
                };
                // Memory that is in use must stay in the instance.
                dev_warn!(
                    dev,
                    "an instance could not grow, but some of the new memory is online and cannot be taken back, error {}; it keeps the memory\n",
                    stuck.to_errno()
                );
            }
            for part in more.iter().filter(|part| part.span.is_added()) {
                // As at the bind.
                let _ = check_online(dev, part, online);
            }
        }
        for part in more {
            memory
                .parts
                .push_within_capacity(part)
                .map_err(|_| ENOMEM)?;
        }
        Ok(())
    }

    fn state(&self) -> State {
        OnlineType::from_raw(self.state.load(Relaxed))
    }

    fn set_state(&self, state: State) {
        self.state
            .store(state.map_or(-1, OnlineType::as_raw), Relaxed)
    }

    /// Brings all of the memory into a state. On failure nothing has changed.
    fn change(&self, dev: &dax::Device<Bound>, wanted: State) -> Result {
        let mut memory = self.memory.lock();

        match (self.state(), wanted) {
            (_, None) => self.unplug(dev, &mut memory.parts),
            (None, Some(online)) => self.plug(dev, &mut memory.parts, online),
            (Some(now), Some(online)) if now == online => memory
                .parts
                .iter()
                .filter(|part| part.span.is_added())
                .try_for_each(|part| check_online(dev, part, online).map_err(|_| EBUSY)),
            (Some(now), Some(online)) => {
                dev_warn!(
                    dev,
                    "state {} refused: it is {}; first write unplugged\n",
                    online.name(),
                    now.name()
                );
                Err(EBUSY)
            }
        }
    }

    /// Adds all of the memory and brings it online, or does nothing.
    fn plug(&self, dev: &dax::Device<Bound>, parts: &mut [Part], online: OnlineType) -> Result {
        parts
            .iter_mut()
            .try_for_each(|part| {
                self.config.add(dev, part, online)?;
                check_online(dev, part, online)
            })
            .inspect(|()| self.set_state(Some(online)))
            .inspect_err(|_| {
                if let Err(why) = offline_and_remove(parts) {
                    // Some of the memory is already in use. Record it as added, so that a later
                    // `unplugged` can remove it.
                    self.set_state(Some(online));
                    dev_warn!(
                        dev,
                        "a part of the memory is online nevertheless, and cannot be taken back, error {}; write unplugged to state to try again\n",
                        why.to_errno()
                    );
                }
            })
    }

    /// Removes all of the memory, or does nothing.
    fn unplug(&self, dev: &dax::Device<Bound>, parts: &mut [Part]) -> Result {
        offline_and_remove(parts)
            .inspect(|()| self.set_state(None))
            .inspect_err(|why| match *why {
                EINTR => dev_info!(
                    dev,
                    "state unplugged refused: a signal came before all of the memory could be moved away; all of it stays System RAM\n"
                ),
                EBUSY => advise(
                    dev,
                    fmt!("state unplugged refused: some of the memory is in use and cannot be moved away, error {}; all of it stays System RAM. To see which memory block it is: daxctl offline-memory", EBUSY.to_errno()),
                ),
                why => dev_warn!(
                    dev,
                    "state unplugged refused: error {}; all of the memory stays System RAM; write it again to try again\n",
                    why.to_errno()
                ),
            })
    }

    /// Removes the offline memory at an unbind. Online memory stays, because an unbind cannot fail
    /// and must not take long. After a failed bind it also tries to remove online memory, which
    /// that bind has just added.
    fn remove(&self, dev: &dax::Device<Core<'_>>) {
        let mut memory = self.memory.lock();

        if !dev.is_bound() {
            // The loop below handles spans that could not be removed.
            let _ = offline_and_remove(&mut memory.parts);
        }
        for mut part in mem::take(&mut memory.parts) {
            let Err(why) = part.span.remove() else {
                continue;
            };

            advise(
                dev,
                fmt!(
                    "mapping{} stays System RAM until the next boot, error {}; its online memory blocks: {}; before an unbind: daxctl offline-memory",
                    MappingRange::of(part.mapping, part.span.blocks()),
                    why.to_errno(),
                    OnlineBlocks(part.span.blocks())
                ),
            );
            // Leak the resources and their names: the memory keeps using them. The memory group
            // needs no leak; the kernel keeps it while it has blocks.
            mem::forget(part.span);
            // Leak the node's memory type, too: the node still has memory of this type.
            mem::forget(memory.node_type.take());
        }
    }
}

impl HotplugConfig {
    /// Adds memory to the page allocator.
    fn add(&self, dev: &dax::Device<Bound>, part: &mut Part, online: OnlineType) -> Result {
        part.span
            .add(&part.group, RAM_NAME, self.memmap_on_memory, online)
            .inspect_err(|&why| {
                dev_warn!(
                    dev,
                    "mapping{} could not be added to the page allocator, error {}: {}\n",
                    MappingRange::of(part.mapping, part.span.blocks()),
                    why.to_errno(),
                    match why {
                        ENOMEM => "there is no room for its memmap, 1/64 of its size",
                        EEXIST => "a part of it is System RAM already, see /proc/iomem",
                        _ => "the kernel takes no memory at these addresses, see above",
                    }
                );
            })
    }
}

/// The file `state` of an instance.
struct StateFile;

impl Attribute for StateFile {
    type Owner = BoundTo<Kmem>;

    const NAME: &'static CStr = c"state";
    const MODE: Mode = 0o644;

    #[inline]
    fn show(owner: &BoundTo<Kmem>, out: &mut Output) -> Result {
        let state = owner.with_data(|ram| ram.state());

        out.emit(fmt!("{}\n", name(state)));
        Ok(())
    }

    fn store(owner: &BoundTo<Kmem>, input: &[u8]) -> Result {
        let dev = owner.device();
        let wanted = kmem::state::parse(input, wanted_states())
            .ok_or(EINVAL)
            .inspect_err(|_| {
                dev_info!(
                    dev,
                    "state refused: it takes unplugged, online, online_kernel or online_movable; to have the memory offline: daxctl offline-memory {}\n",
                    dev.name()
                )
            })?;

        owner.with_data(|ram| ram.change(dev, wanted))
    }
}

/// Returns the states that can be written, by name.
///
/// `offline` is not among them. It would not last, because user space can bring blocks online.
fn wanted_states() -> impl Iterator<Item = (&'static [u8], State)> {
    let states = [
        None,
        Some(OnlineType::Online),
        Some(OnlineType::Kernel),
        Some(OnlineType::Movable),
    ];

    states
        .into_iter()
        .map(|state| (name(state).as_bytes(), state))
}

/// Returns the name of a state.
#[inline(never)]
fn name(state: State) -> &'static str {
    let name = state.map_or(c"unplugged", OnlineType::name);

    name.to_str().unwrap_or_default()
}
