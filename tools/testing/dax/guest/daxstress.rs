// SPDX-License-Identifier: GPL-2.0

//! Several processes map a device of a dynamic region and fault on it. Meanwhile another process
//! changes the device: more memory while it is bound, unbind, resize, another align, other ranges,
//! delete, kmem, module, provider.
//!
//! `daxstress DAX_REGION ROUNDS PROCESSES SEED`. Each round is one change, and `TOUCHES` touches by
//! the processes. A touch while the device does not change must reach the right page: its physical
//! address and its contents, which are that address, are checked. A touch may fail, but must not
//! reach a wrong page. If one does, the status is 1.

use dax_host::sysfs::{number, open, physical, put, text};
use std::{
    env,
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::ExitCode,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
    },
    thread,
    time::Duration,
};

const PAGE: u64 = 4096;
const UNIT: u64 = 2 << 20;
const ALIGNS: [u64; 3] = [PAGE, UNIT, 1 << 30];
/// The pages of each unit whose contents are their own address.
const TAGGED: [u64; 4] = [0, 1, 255, 511];
/// The number of touches in a round, by all processes together.
const TOUCHES: u64 = 300;
const RANGES: usize = 64;

/// State shared by the processes: the memory of the device, and counters.
struct Shared {
    /// Odd while the device changes.
    generation: AtomicU64,
    align: AtomicU64,
    size: AtomicU64,
    /// Page offset in the device, physical address, length in bytes.
    ranges: [[AtomicU64; 3]; RANGES],
    count: AtomicU64,
    /// The device gets more memory, and nothing else changes.
    growing: AtomicBool,
    stop: AtomicBool,
    touches: AtomicU64,
    checked: AtomicU64,
    failed: AtomicU64,
    wrong: AtomicU64,
}

impl Shared {
    /// Creates one in memory that child processes share.
    fn new() -> &'static Self {
        // SAFETY: The kernel chooses a free address. All zeroes are a valid `Shared`, and the
        // memory is never unmapped.
        unsafe {
            let at = libc::mmap(
                ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            &*at.cast()
        }
    }

    /// The physical address of an offset in the device.
    fn lookup(&self, offset: u64) -> Option<u64> {
        let count = self.count.load(Relaxed) as usize;
        self.ranges[..count.min(RANGES)].iter().find_map(|range| {
            let [first, start, len] = [0, 1, 2].map(|n| range[n].load(Relaxed));
            let inside = offset.checked_sub(first * PAGE)?;
            (inside < len).then_some(start + inside)
        })
    }

    fn wrong(&self, what: String) {
        println!("wrong: {what}");
        self.wrong.fetch_add(1, SeqCst);
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }
}

/// A mapping of the device.
struct Map {
    at: u64,
    len: u64,
    offset: u64,
    /// The align of the device when the mapping was made.
    align: u64,
}

impl Map {
    fn new(file: &File, offset: u64, len: u64, align: u64) -> Option<Self> {
        // SAFETY: The kernel chooses a free address, and only the kernel accesses the memory.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        (at != libc::MAP_FAILED).then_some(Self {
            at: at as u64,
            len,
            offset,
            align,
        })
    }

    /// The offset of a random entry.
    fn entry(&self, random: &mut Random) -> u64 {
        random.below(self.len / self.align) * self.align
    }

    fn advise(&self, at: u64, advice: i32) {
        // SAFETY: The range is inside the mapping, and no reference to its memory exists.
        unsafe { libc::madvise((self.at + at) as *mut _, self.align as usize, advice) };
    }

    fn protect(&self, at: u64, protection: i32) {
        // SAFETY: As above.
        unsafe { libc::mprotect((self.at + at) as *mut _, self.align as usize, protection) };
    }

    /// Moves the mapping to an address with the alignment of its entries.
    fn relocate(&mut self) {
        // SAFETY: The target is a free range that the kernel has just chosen, and no reference to
        // the mapping exists.
        unsafe {
            let room = (self.len + self.align) as usize;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let free = libc::mmap(ptr::null_mut(), room, libc::PROT_NONE, flags, -1, 0);
            if free == libc::MAP_FAILED {
                return;
            }
            let to = (free as u64).next_multiple_of(self.align);
            libc::munmap(free, room);
            let moved = libc::mremap(
                self.at as *mut _,
                self.len as usize,
                self.len as usize,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                to as *mut libc::c_void,
            );
            if moved != libc::MAP_FAILED {
                self.at = to;
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: No reference to the memory exists.
        unsafe { libc::munmap(self.at as *mut _, self.len as usize) };
    }
}

/// A pipe: the descriptors for the reader and the writer.
fn pipe() -> [i32; 2] {
    let mut pipe = [0; 2];
    // SAFETY: The array has room for two descriptors.
    let status = unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(status, 0, "pipe");
    pipe
}

/// A process that uses the device.
struct User {
    shared: &'static Shared,
    node: PathBuf,
    random: Random,
    pipe: [i32; 2],
    pagemap: File,
    files: Vec<File>,
    maps: Vec<Map>,
}

impl User {
    fn new(shared: &'static Shared, node: &Path, seed: u64) -> Self {
        Self {
            shared,
            node: node.to_owned(),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            pipe: pipe(),
            pagemap: File::open("/proc/self/pagemap").expect("pagemap"),
            files: Vec::new(),
            maps: Vec::new(),
        }
    }

    fn run(&mut self) {
        while !self.shared.stop.load(Relaxed) {
            self.step();
        }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0 => self.files.clear(),
            1 | 2 => self.open(),
            3..=8 => self.map(),
            9..=11 => {
                let some = self.random.below(self.maps.len() as u64 + 1) as usize;
                self.maps.truncate(some);
            }
            12 | 13 => self.fork(),
            14..=22 => self.change(),
            _ => self.touch(),
        }
    }

    fn open(&mut self) {
        if self.files.len() > 3 {
            self.files.remove(0);
        }
        match open(&self.node) {
            Ok(file) => self.files.push(file),
            // No driver is bound; give the owner time.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }

    fn map(&mut self) {
        if self.files.is_empty() {
            self.open();
        }
        let Some(file) = self.files.last() else {
            return;
        };
        let (align, size) = (
            self.shared.align.load(Relaxed),
            self.shared.size.load(Relaxed),
        );
        if align == 0 {
            return;
        }
        // Up to one entry after the end.
        let first = self.random.below(size / align + 1);
        let len = (1 + self.random.below(4)) * align;
        if self.maps.len() > 6 {
            self.maps.remove(0);
        }
        self.maps.extend(Map::new(file, first * align, len, align));
    }

    /// Forks. The child has the same mappings in a page table of its own; it touches them and
    /// exits.
    fn fork(&mut self) {
        // SAFETY: This process has one thread only.
        match unsafe { libc::fork() } {
            -1 => (),
            0 => {
                self.pipe = pipe();
                self.pagemap = File::open("/proc/self/pagemap").expect("pagemap");
                for _ in 0..4 {
                    self.touch();
                }
                // SAFETY: The child exits without running destructors, which is intended.
                unsafe { libc::_exit(0) };
            }
            child => {
                self.touch();
                // SAFETY: A null pointer for the status is allowed.
                unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
            }
        }
    }

    fn change(&mut self) {
        if self.maps.is_empty() {
            return self.map();
        }
        let which = self.random.below(self.maps.len() as u64) as usize;
        let what = self.random.below(9);
        let map = &mut self.maps[which];
        let at = map.entry(&mut self.random);
        match what {
            0 | 1 => map.relocate(),
            2 | 3 => map.advise(at, libc::MADV_DONTNEED),
            4 => map.advise(at, libc::MADV_POPULATE_READ),
            5 => map.advise(at, libc::MADV_POPULATE_WRITE),
            6 => map.protect(at, libc::PROT_READ),
            7 => map.protect(at, libc::PROT_READ | libc::PROT_WRITE),
            _ => {
                // Unmap the first entry.
                if map.len > map.align {
                    // SAFETY: No reference to the memory exists.
                    unsafe { libc::munmap(map.at as *mut _, map.align as usize) };
                    map.at += map.align;
                    map.offset += map.align;
                    map.len -= map.align;
                }
            }
        }
    }

    /// Touches a tagged page through the kernel, so that a failure is an errno and not a signal. If
    /// the device did not change meanwhile, it must be the right page.
    fn touch(&mut self) {
        if self.maps.is_empty() {
            return self.map();
        }
        let which = self.random.below(self.maps.len() as u64) as usize;
        let map = &self.maps[which];
        let mut page = self.random.below(map.len / PAGE);
        if map.align > PAGE {
            page = page / 512 * 512 + TAGGED[self.random.below(4) as usize];
        }
        let inside = page * PAGE;
        let at = map.at + inside;
        let write = self.random.below(3) == 0;

        let before = self.shared.generation.load(Acquire);
        let expected = self.shared.lookup(map.offset + inside);
        let content = self.access(at, write);
        let physical = physical(&self.pagemap, at);
        let growing = self.shared.growing.load(SeqCst);
        let same = before % 2 == 0 && self.shared.generation.load(SeqCst) == before;
        self.shared.touches.fetch_add(1, Relaxed);

        let Some(content) = content else {
            self.shared.failed.fetch_add(1, Relaxed);
            return;
        };
        let Some(expected) = expected.filter(|_| same) else {
            if same && !growing {
                self.shared
                    .wrong(format!("{content:#x} after the end of the device"));
            }
            return;
        };
        self.shared.checked.fetch_add(1, Relaxed);
        let what = || format!("offset {:#x}", map.offset + inside);
        // mm zaps an entry of 1 GiB when pagemap is read, so only its contents can be checked.
        if physical.is_some_and(|physical| physical != expected) {
            let what = what();
            self.shared.wrong(format!(
                "{what}: {physical:x?} is mapped, not {expected:#x}"
            ));
        } else if TAGGED.contains(&(expected / PAGE % 512)) && content != expected {
            let what = what();
            self.shared
                .wrong(format!("{what}: {content:#x} is in {expected:#x}"));
        }
    }

    /// Reads the first word of the page. With `write`, first writes to a word that nothing checks.
    fn access(&self, at: u64, write: bool) -> Option<u64> {
        let [from, to] = self.pipe;
        let mut word = 0u64;
        let mine = (&raw mut word).cast();
        // SAFETY: Only the kernel accesses the page, and it returns an error if it cannot.
        unsafe {
            if write {
                libc::write(to, mine, 8);
                if libc::read(from, (at + 64) as *mut _, 8) != 8 {
                    // The word is still in the pipe.
                    libc::read(from, mine, 8);
                    return None;
                }
            }
            if libc::write(to, at as *const _, 8) != 8 {
                return None;
            }
            libc::read(from, mine, 8);
        }
        Some(word)
    }
}

/// The process that changes the device.
struct Owner {
    shared: &'static Shared,
    /// The directory `dax_region`.
    region: PathBuf,
    devices: PathBuf,
    name: String,
    random: Random,
    start: u64,
    len: u64,
    counts: [u64; 7],
}

const DRIVERS: &str = "/sys/bus/dax/drivers";

impl Owner {
    fn file(&self, file: &str) -> PathBuf {
        self.devices.join(&self.name).join(file)
    }

    fn put(&self, path: impl AsRef<Path>, value: impl ToString) -> bool {
        put(path.as_ref(), value.to_string().as_bytes()).is_ok()
    }

    fn driver(&self, driver: &str, file: &str) -> bool {
        self.put(Path::new(DRIVERS).join(driver).join(file), &self.name)
    }

    fn create(&mut self) {
        assert!(self.put(self.region.join("create"), 1), "create");
        self.name = text(self.region.join("create"));
    }

    /// Gives the device a random align, and memory in one or more ranges.
    fn shape(&mut self) {
        let align = ALIGNS[[0, 0, 1, 1, 1, 2][self.random.below(6) as usize]];
        if self.random.below(3) == 0 {
            assert!(self.put(self.file("size"), 0), "size 0");
        }
        if !self.put(self.file("align"), align) {
            assert!(self.put(self.file("size"), 0), "size 0");
            assert!(self.put(self.file("align"), align), "align");
        }
        if align < 1 << 30 {
            for _ in 0..self.random.below(4) {
                // The write fails if the range is in use.
                let first = self.start + self.random.below(512) * UNIT;
                let last = first + (1 + self.random.below(16)) * UNIT - 1;
                self.put(self.file("mapping"), format!("{first:x}-{last:x}"));
            }
        }
        if number(self.file("size")) == 0 || self.random.below(2) == 0 {
            let size = match align {
                0x4000_0000 => (1 + self.random.below(2)) << 30,
                _ => (1 + self.random.below(64)) * UNIT,
            };
            assert!(self.put(self.file("size"), size), "size {size:#x}");
        }
    }

    /// Gives the device more memory while it is bound. Meanwhile the memory that it has must stay.
    fn grow(&mut self) {
        let align = number(self.file("align")).max(UNIT);

        self.shared.growing.store(true, SeqCst);
        let size = number(self.file("size")) + (1 + self.random.below(4)) * align;
        let grown = if self.random.below(2) == 0 || align > UNIT {
            // The write fails if no memory is left.
            self.put(self.file("size"), size)
        } else {
            let first = self.start + self.random.below(512) * UNIT;
            let last = first + (1 + self.random.below(16)) * UNIT - 1;
            self.put(self.file("mapping"), format!("{first:x}-{last:x}"))
        };
        self.shared.generation.fetch_add(1, SeqCst);
        self.shared.growing.store(false, SeqCst);
        self.counts[6] += u64::from(grown);
        self.publish();
    }

    /// Changes the device: lets it grow, or unbinds it and binds it again.
    fn round(&mut self) {
        if self.random.below(3) == 0 && self.shared.count.load(Relaxed) < RANGES as u64 / 2 {
            return self.grow();
        }
        self.shared.generation.fetch_add(1, SeqCst);
        self.shared.align.store(0, SeqCst);
        let what = self.random.below(16) as usize;
        let kind = match what {
            // Nothing changes.
            0..=3 => {
                assert!(self.driver("device_dax", "unbind"), "unbind");
                0
            }
            4..=8 => {
                assert!(self.driver("device_dax", "unbind"), "unbind");
                self.shape();
                1
            }
            9..=11 => {
                assert!(self.driver("device_dax", "unbind"), "unbind");
                assert!(self.put(self.file("size"), 0), "size 0");
                assert!(self.put(self.region.join("delete"), &self.name), "delete");
                self.create();
                self.shape();
                2
            }
            12 | 13 => {
                assert!(self.driver("device_dax", "unbind"), "unbind");
                assert!(self.put(self.file("size"), 0), "size 0");
                assert!(self.put(self.file("align"), UNIT), "align");
                assert!(self.put(self.file("size"), 256 << 20), "size of 256 MiB");
                self.system_ram();
                3
            }
            14 => {
                // If the module is in use, it stays loaded. The attempt matters.
                run("modprobe", &["-r", "device_dax"]);
                run("modprobe", &["device_dax"]);
                self.driver("device_dax", "unbind");
                4
            }
            _ => {
                self.provider();
                5
            }
        };
        self.counts[kind] += 1;
        self.give();
    }

    /// Makes the device System RAM and back: online, offline, remove.
    fn system_ram(&mut self) {
        assert!(self.driver("kmem", "bind"), "bind to kmem");
        let state = self.file("state");
        self.put(&state, "unplugged");
        self.put(&state, "online_movable");
        // A page of it may be pinned for a while.
        for _ in 0..100 {
            if self.put(&state, "unplugged") {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(text(&state), "unplugged");
        assert!(self.driver("kmem", "unbind"), "unbind of kmem");
        self.tag();
    }

    /// Unbinds the provider's driver, which removes the region, and binds it again.
    fn provider(&mut self) {
        let device = self.devices.file_name().expect("a name").to_owned();
        let driver = fs::canonicalize(self.devices.join("driver")).expect("the provider's driver");
        let name = device.to_str().expect("a name");
        assert!(
            self.put(driver.join("unbind"), name),
            "unbind of the provider"
        );
        assert!(self.put(driver.join("bind"), name), "bind of the provider");
        self.begin();
        self.tag();
    }

    /// Empties the first device, and creates the device for the processes.
    fn begin(&mut self) {
        let id = number(self.region.join("id"));
        let first = self.devices.join(format!("dax{id}.0"));
        // kmem may have bound to the new device.
        if first.join("driver").exists() {
            self.put(first.join("driver/unbind"), format!("dax{id}.0"));
        }
        assert!(
            self.put(first.join("size"), 0),
            "size 0 of the first device"
        );
        self.start = number(first.join("resource"));
        self.len = number(self.region.join("size"));
        self.create();
        self.shape();
    }

    /// Binds the device and publishes its ranges.
    fn give(&mut self) {
        // If its name is already in the driver's list, the device is bound already.
        if !self.file("driver").exists() {
            self.driver("device_dax", "new_id");
        }
        let driver = fs::read_link(self.file("driver")).unwrap_or_default();
        assert!(
            driver.ends_with("device_dax"),
            "{} is bound to {driver:?}",
            self.name
        );
        self.publish();
    }

    fn publish(&self) {
        let mut count = 0;
        for (index, range) in self.shared.ranges.iter().enumerate() {
            let mapping = self.file(&format!("mapping{index}"));
            if !mapping.exists() {
                break;
            }
            let (start, end) = (number(mapping.join("start")), number(mapping.join("end")));
            range[0].store(number(mapping.join("page_offset")), Relaxed);
            range[1].store(start, Relaxed);
            range[2].store(end + 1 - start, Relaxed);
            count += 1;
        }
        assert!(count < RANGES as u64);
        self.shared.count.store(count, Relaxed);
        self.shared.size.store(number(self.file("size")), Relaxed);
        self.shared.align.store(number(self.file("align")), Relaxed);
        self.shared.generation.fetch_add(1, SeqCst);
    }

    /// Writes to the tagged pages of the whole region their own address, through a device that has
    /// all memory.
    fn tag(&mut self) {
        let before = self.name.clone();
        let id = number(self.region.join("id"));
        assert!(self.put(self.file("size"), 0), "size 0");
        self.name = format!("dax{id}.0");
        assert!(self.put(self.file("size"), self.len), "all of the region");
        assert!(
            self.driver("device_dax", "new_id"),
            "new_id of the first device"
        );
        let file = open(&Path::new("/dev").join(&self.name)).expect("the first device");
        let map = Map::new(&file, 0, self.len, UNIT).expect("a mapping of all");
        for unit in 0..self.len / UNIT {
            for page in TAGGED {
                let inside = unit * UNIT + page * PAGE;
                // SAFETY: The address is mapped, and no other code accesses it.
                unsafe { *((map.at + inside) as *mut u64) = self.start + inside };
            }
        }
        drop(map);
        drop(file);
        assert!(
            self.driver("device_dax", "unbind"),
            "unbind of the first device"
        );
        assert!(self.driver("device_dax", "remove_id"), "remove_id");
        assert!(self.put(self.file("size"), 0), "size 0 of the first device");
        self.name = before;
        self.shape();
    }
}

/// Makes the kernel kill a user process when the owner dies.
fn die_with_parent() {
    // SAFETY: No memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn run(program: &str, arguments: &[&str]) {
    // The command may fail if the module is in use.
    let _ = std::process::Command::new(program)
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .status();
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let numbers: Vec<u64> = arguments
        .iter()
        .skip(2)
        .filter_map(|n| n.parse().ok())
        .collect();
    let &[rounds, processes, seed] = &numbers[..] else {
        eprintln!("usage: daxstress DAX_REGION ROUNDS PROCESSES SEED");
        return ExitCode::from(2);
    };
    let shared = Shared::new();
    let region = fs::canonicalize(&arguments[1]).expect("the directory dax_region");
    let mut owner = Owner {
        shared,
        devices: region.parent().expect("it is in a directory").to_owned(),
        region,
        name: String::new(),
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        start: 0,
        len: 0,
        counts: [0; 7],
    };
    shared.generation.store(1, Release);
    owner.begin();
    owner.tag();
    owner.give();

    let node = Path::new("/dev").join(&owner.name);
    let users: Vec<i32> = (0..processes)
        .map(|user| {
            // SAFETY: This process has one thread only.
            match unsafe { libc::fork() } {
                0 => {
                    die_with_parent();
                    User::new(shared, &node, seed * 100 + user).run();
                    std::process::exit(0)
                }
                -1 => panic!("fork: {}", io::Error::last_os_error()),
                child => child,
            }
        })
        .collect();
    for _ in 0..rounds {
        let enough = shared.touches.load(Relaxed) + TOUCHES;
        while shared.touches.load(Relaxed) < enough {
            thread::sleep(Duration::from_millis(1));
        }
        owner.round();
    }
    shared.stop.store(true, SeqCst);
    let mut ended = 0;
    for user in users {
        let mut status = 0;
        // SAFETY: `status` is valid for writes.
        unsafe { libc::waitpid(user, &mut status, 0) };
        ended += u64::from(status == 0);
    }

    let [rebound, shaped, made, onlined, module, provider, grown] = owner.counts;
    println!(
        "# bound again {rebound} times; after a change of its ranges {shaped}, after delete and create \
         {made}, after being System RAM {onlined}, after a reload of device_dax {module}, after an \
         unbind of its provider {provider}; grew while it was bound {grown} times"
    );
    let load = |counter: &AtomicU64| counter.load(SeqCst);
    println!(
        "# {} touches failed because the device was unbound",
        load(&shared.failed)
    );
    println!("# count: {rounds} changes of a device under processes that use it");
    println!("# count: {} touches meanwhile", load(&shared.touches));
    println!(
        "# count: {} physical addresses and contents checked",
        load(&shared.checked)
    );
    let good = load(&shared.wrong) == 0 && ended == processes && load(&shared.checked) > rounds;
    if ended != processes {
        println!(
            "{} of {processes} processes ended otherwise than they should",
            processes - ended
        );
    }
    ExitCode::from(u8::from(!good))
}
