// SPDX-License-Identifier: GPL-2.0

//! `kmem`: the memory of an instance as System RAM.
//!
//! The consumer of the dax bus that hands an instance to the page allocator: its memory becomes
//! memory blocks of a NUMA node, the target node. From there it is taken back when all of the blocks
//! can be taken offline, and only then; what is stuck stays where it is, beyond the binding and the
//! module, until the kernel is booted again.
//!
//! When the blocks go online, and for what use, is the system's policy when the instance is bound,
//! and later the choice of whoever writes to the file `state`. What happens to single blocks, in
//! `/sys/devices/system/memory`, is not told to this driver.
//!
//! How memory is hot-added is in `kernel::mm::memory_hotplug`; this file is the rules.

use kernel::{
    attribute_groups,
    dax::{
        self,
        device::Served, //
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
    fmt,
    mm::{
        memory_hotplug::{
            self,
            Blocks,
            Group,
            OnlineType,
            Span, //
        },
        memory_tiers::{
            self,
            NodeType, //
        }, //
    },
    new_mutex,
    prelude::*,
    sizes::SizeConstants,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

use core::mem;
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
    pub(crate) mod state;
}

/// The abstract distance of memory of which firmware tells nothing: slow, whatever it is.
const DEFAULT_DISTANCE: i32 = memory_tiers::DISTANCE_DRAM.saturating_mul(5);

/// The name of the memory in `/proc/iomem`, by which kexec knows that it is not there from the start.
const RAM_NAME: &CStr = c"System RAM (kmem)";

/// The driver.
struct Kmem;

attribute_groups! {
    /// What is in `/sys/bus/dax/devices/daxX.Y` besides what the bus puts there.
    static GROUPS: Served<Kmem> = of_device DeviceAttribute None, [StateFile]
}

impl dax::Driver for Kmem {
    const KIND: dax::Kind = dax::Kind::Kmem;
    const GROUPS: Option<&'static Groups<Served<Self>>> = Some(&GROUPS);

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
        this.give_up(dev);
    }
}

/// What was last asked for: that the memory is System RAM, its blocks in this way; or that it is not,
/// which is called unplugged.
type State = Option<OnlineType>;

/// An instance as System RAM.
#[pin_data]
struct SystemRam {
    /// A [`State`] as a number, -1 for [`None`]. Changes under the lock of `memory`; whoever only reads
    /// it need not wait for memory to be moved away.
    state: Atomic<i32>,
    #[pin]
    memory: Mutex<Memory>,
    manner: Manner,
}

/// What there is to add.
struct Memory {
    /// The reserved memory, in the order of the mappings.
    spans: KVec<Span>,
    /// Outlives the memory.
    node_type: Option<NodeType>,
}

/// How it is added.
struct Manner {
    group: Group,
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
        let group = Group::new(node, whole_blocks(dev)?).inspect_err(|why| {
            dev_warn!(
                dev,
                "not System RAM: NUMA node {} takes no memory, error {}; it has to be one of /sys/devices/system/node/possible\n",
                node.id(),
                why.to_errno()
            )
        })?;
        let manner = Manner {
            group,
            memmap_on_memory: dev.memmap_on_memory(),
        };
        let memory = Memory {
            spans: reserve(dev)?,
            // Before there is memory, for which the kernel would have to guess.
            node_type: Some(NodeType::new(node, DEFAULT_DISTANCE)?),
        };

        Ok(try_pin_init!(Self {
            state: Atomic::new(online.as_raw()),
            memory <- new_mutex!(memory, "kmem::Memory"),
            manner,
        }))
    }

    /// Adds the memory of an instance that is being bound.
    ///
    /// What cannot be had is left out, as long as there is something: on some machines other drivers
    /// have a part of the memory, and the rest was always used.
    fn start(&self, dev: &dax::Device<Core<'_>>, online: OnlineType) -> Result {
        let mut result = Err(EBUSY);

        for span in &mut self.memory.lock().spans {
            match self.manner.add(dev, span, online) {
                Ok(()) => {
                    result = Ok(());
                    // They can be brought online later, one by one.
                    let _ = check_online(dev, span, online);
                }
                Err(why) => result = result.or(Err(why)),
            }
        }
        result
    }

    fn state(&self) -> State {
        OnlineType::from_raw(self.state.load(Relaxed))
    }

    fn set_state(&self, state: State) {
        self.state
            .store(state.map_or(-1, OnlineType::as_raw), Relaxed)
    }

    /// Brings all of the memory into a state. If that fails, none of it has changed.
    fn change(&self, dev: &dax::Device<Bound>, wanted: State) -> Result {
        let mut memory = self.memory.lock();

        match (self.state(), wanted) {
            (_, None) => self.unplug(dev, &mut memory.spans),
            (None, Some(online)) => self.plug(dev, &mut memory.spans, online),
            (Some(now), Some(online)) if now == online => memory
                .spans
                .iter()
                .filter(|span| span.is_added())
                .try_for_each(|span| check_online(dev, span, online).map_err(|_| EBUSY)),
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

    /// Adds all of the memory, or nothing.
    fn plug(&self, dev: &dax::Device<Bound>, spans: &mut [Span], online: OnlineType) -> Result {
        spans
            .iter_mut()
            .try_for_each(|span| {
                self.manner.add(dev, span, online)?;
                check_online(dev, span, online)
            })
            .inspect(|()| self.set_state(Some(online)))
            .inspect_err(|_| {
                if let Err(why) = Span::offline_and_remove(spans) {
                    // In use already. It is there, so it has to be possible to get rid of it.
                    self.set_state(Some(online));
                    dev_warn!(
                        dev,
                        "a part of the memory is online nevertheless, and cannot be taken back, error {}; write unplugged to state to try again\n",
                        why.to_errno()
                    );
                }
            })
    }

    /// Removes all of the memory, or nothing.
    fn unplug(&self, dev: &dax::Device<Bound>, spans: &mut [Span]) -> Result {
        Span::offline_and_remove(spans)
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

    /// Removes what is offline when the instance is unbound, which cannot fail and must not take long.
    /// So what is online stays, unless it was brought online just now, by a bind that failed.
    fn give_up(&self, dev: &dax::Device<Core<'_>>) {
        let mut memory = self.memory.lock();

        if !dev.is_bound() {
            // What is left of it is dealt with below.
            let _ = Span::offline_and_remove(&mut memory.spans);
        }
        for mut span in mem::take(&mut memory.spans) {
            let Err(why) = span.remove() else { continue };
            let blocks = span.blocks();

            advise(
                dev,
                fmt!(
                    "mapping{} stays System RAM until the next boot, error {}; its online memory blocks: {}; before an unbind: daxctl offline-memory",
                    Place::of(dev, blocks),
                    why.to_errno(),
                    OnlineBlocks(blocks)
                ),
            );
            // For good: its resources, and their names, are those of memory that will not go. The
            // group stays by itself, since it has the memory.
            mem::forget(span);
            // The node has memory of the type that we gave it, so it has to keep it.
            mem::forget(memory.node_type.take());
        }
    }
}

impl Manner {
    /// Adds memory to the page allocator.
    fn add(&self, dev: &dax::Device<Bound>, span: &mut Span, online: OnlineType) -> Result {
        span.add(&self.group, RAM_NAME, self.memmap_on_memory, online)
            .inspect_err(|&why| {
                dev_warn!(
                    dev,
                    "mapping{} could not be added to the page allocator, error {}: {}\n",
                    Place::of(dev, span.blocks()),
                    why.to_errno(),
                    match why {
                        ENOMEM => "there is no room for its memory map, 1/64 of its size",
                        EEXIST => "a part of it is System RAM already, see /proc/iomem",
                        _ => "the kernel takes no memory at these addresses, see above",
                    }
                );
            })
    }
}

/// Fails with `EIO` if blocks that are to be online are not.
fn check_online(dev: &dax::Device<Bound>, span: &Span, online: OnlineType) -> Result {
    let blocks = span.blocks();
    let (mut all, mut offline) = (0usize, 0usize);
    for block in blocks.iter() {
        all = all.saturating_add(1);
        offline = offline.saturating_add(usize::from(!block.is_online()));
    }

    if online == OnlineType::Offline || offline == 0 {
        return Ok(());
    }
    advise(
        dev,
        fmt!(
            "mapping{}: {} of {} memory blocks are not online; to try again: daxctl online-memory",
            Place::of(dev, blocks),
            offline,
            all
        ),
    );
    Err(EIO)
}

/// The size of the whole memory blocks in all ranges of the instance, in bytes, at least one block.
fn whole_blocks(dev: &dax::Device<Bound>) -> Result<u64> {
    let unit = Size(memory_hotplug::block_size());
    let mut bytes = 0u64;

    for range in dev.ranges() {
        let place = Place {
            dev,
            start: range.start(),
            end: range.end(),
        };
        let Some(blocks) = Blocks::within(range.start(), range.end()) else {
            dev_warn!(
                dev,
                "mapping{}, {}, is left out: there is no whole memory block in it, which is {} at a multiple of {}\n",
                place,
                Size(range.len()),
                unit,
                unit
            );
            continue;
        };
        bytes = bytes.saturating_add(blocks.len());
        if blocks.len() != range.len() {
            dev_warn!(
                dev,
                "mapping{}, {}, is trimmed to 0x{:x}-0x{:x}, {}: memory is added in blocks of {}; {} are not used\n",
                place,
                Size(range.len()),
                blocks.start(),
                blocks.end(),
                Size(blocks.len()),
                unit,
                Size(range.len().wrapping_sub(blocks.len()))
            );
        }
    }
    if bytes == 0 {
        advise(
            dev,
            fmt!("not System RAM: none of its ranges has a whole memory block; make it {} larger, or use it as it is: daxctl reconfigure-device --mode=devdax", unit),
        );
        return Err(EINVAL);
    }
    Ok(bytes)
}

/// Reserves what nobody else has, at least one range.
fn reserve(dev: &dax::Device<Core<'_>>) -> Result<KVec<Span>> {
    let ranges = dev.ranges();
    let mut spans = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;

    for range in ranges {
        let Some(blocks) = Blocks::within(range.start(), range.end()) else {
            continue;
        };
        match dev.reserve_blocks(blocks) {
            Ok(span) => spans.push_within_capacity(span).map_err(|_| ENOMEM)?,
            Err(EBUSY) => dev_warn!(
                dev,
                "mapping{} could not be reserved, somebody else uses a part of it; see /proc/iomem for whom, and unbind or offline that first\n",
                Place::of(dev, &blocks)
            ),
            Err(why) => return Err(why),
        }
    }
    if spans.is_empty() {
        return Err(EBUSY);
    }
    Ok(spans)
}

/// Warns, with the name of the instance at the end: what to do about it is a command that takes it.
#[cold]
#[inline(never)]
fn advise(dev: &dax::Device<Bound>, what: fmt::Arguments<'_>) {
    dev_warn!(dev, "{} {}\n", what, dev.name());
}

/// The file `state` of an instance.
struct StateFile;

impl Attribute for StateFile {
    type Owner = Served<Kmem>;

    const NAME: &'static CStr = c"state";
    const MODE: Mode = 0o644;

    #[inline]
    fn show(owner: &Served<Kmem>, out: &mut Output) -> Result {
        let state = owner.with_data(|ram| ram.state());

        out.emit(fmt!("{}\n", name(state)));
        Ok(())
    }

    fn store(owner: &Served<Kmem>, input: &[u8]) -> Result {
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

/// The states that one can ask for, by name.
///
/// Offline is none: it would not last, as anybody may bring the blocks online.
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

/// The name of a state.
#[inline(never)]
fn name(state: State) -> &'static str {
    let name = state.map_or(c"unplugged", OnlineType::name);

    name.to_str().unwrap_or_default()
}

/// Memory of an instance, for people: `0: 0x180000000-0x27fffffff`, what "mapping" goes before.
struct Place<'a> {
    dev: &'a dax::Device<Bound>,
    start: u64,
    end: u64,
}

impl<'a> Place<'a> {
    fn of(dev: &'a dax::Device<Bound>, blocks: &Blocks) -> Self {
        Self {
            dev,
            start: blocks.start(),
            end: blocks.end(),
        }
    }
}

impl fmt::Display for Place<'_> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The N in `daxX.Y/mappingN` of the range that it is in.
        let holds =
            |range: &dax::device::Range| (range.start()..=range.end()).contains(&self.start);
        let mapping = self.dev.ranges().iter().position(holds).unwrap_or(0);

        write!(f, "{}: 0x{:x}-0x{:x}", mapping, self.start, self.end)
    }
}

/// A number of bytes, for people.
struct Size(u64);

impl fmt::Display for Size {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = if self.0 & (u64::SZ_1M - 1) == 0 {
            (self.0 / u64::SZ_1M, " MiB")
        } else {
            (self.0 / u64::SZ_1K, " KiB")
        };

        fmt::Display::fmt(&number, f)?;
        f.write_str(unit)
    }
}

/// Those of the blocks that are online: `memory48-memory51, memory53`.
struct OnlineBlocks<'a>(&'a Blocks);

impl fmt::Display for OnlineBlocks<'_> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let online = self.0.iter().filter(|block| block.is_online());
        let mut ids = online.map(|block| block.id()).peekable();
        // A line of the log is not for more.
        let mut room = 16;

        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if(|id| *id == last.wrapping_add(1)) {
                last = next;
            }
            if first == last {
                write!(f, "memory{first}")?;
            } else {
                write!(f, "memory{first}-memory{last}")?;
            }
            if ids.peek().is_some() {
                write!(f, ", ")?;
            }
            room -= 1;
            if room == 0 {
                return write!(f, "...");
            }
        }
        Ok(())
    }
}
