// SPDX-License-Identifier: GPL-2.0

//! A dynamic region of this machine, accessed through its files in sysfs.

use crate::region::{
    Device, Driver, Errno, Fixed, Region, Span, Target, Text, View, EFAULT, UNTOLD,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    ptr,
};

const DRIVERS: &str = "/sys/bus/dax/drivers";

/// A region in sysfs.
pub struct Sysfs {
    fixed: Fixed,
    /// The directory `dax_region`.
    region: PathBuf,
    /// The directory with the devices.
    devices: PathBuf,
    /// `/proc/self/pagemap`, the physical pages that this process has mapped.
    pagemap: File,
    /// The names that were successfully written to the `new_id` of a driver.
    named: Vec<(Driver, Vec<u8>)>,
}

fn errno(error: io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(0))
}

/// The contents of a small file.
pub fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    text.trim_end_matches('\n').to_owned()
}

/// The contents of a file as a number.
pub fn number(path: impl AsRef<Path>) -> u64 {
    let text = text(path);
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|_| panic!("not a number: {text}"))
}

impl Sysfs {
    /// Opens the region with this directory `dax_region`, and empties it.
    pub fn new(region: &Path) -> Self {
        let region = fs::canonicalize(region).expect("the directory dax_region");
        let devices = region.parent().expect("it is in a directory").to_owned();
        let mut fixed = Fixed {
            id: number(region.join("id")) as u32,
            start: 0,
            len: number(region.join("size")),
            align: number(region.join("align")),
            block: u64::from_str_radix(&text("/sys/devices/system/memory/block_size_bytes"), 16)
                .expect("the size of a memory block"),
            memmap_on_memory: fs::read_to_string(
                "/sys/module/memory_hotplug/parameters/memmap_on_memory",
            )
            .is_ok_and(|on| on.starts_with('Y')),
        };
        let pagemap = File::open("/proc/self/pagemap").expect("/proc/self/pagemap");
        let first = devices.join(format!("dax{}.0", fixed.id));
        let mut sysfs = Self {
            fixed,
            region,
            devices,
            pagemap,
            named: Vec::new(),
        };
        sysfs.empty();
        // For a device without memory, `resource` is the start of the region.
        fixed.start = number(first.join("resource"));
        sysfs.fixed = fixed;
        sysfs
    }

    pub fn fixed(&self) -> Fixed {
        self.fixed
    }

    fn directory(&self, id: u32) -> PathBuf {
        self.devices.join(self.name(id))
    }

    fn name(&self, id: u32) -> String {
        format!("dax{}.{id}", self.fixed.id)
    }

    /// Restores the initial state of the region.
    pub fn empty(&mut self) {
        for (driver, name) in std::mem::take(&mut self.named) {
            let file = Path::new(DRIVERS).join(driver.name()).join("remove_id");
            put(&file, &name).expect("remove_id takes what new_id took");
        }
        for id in self.ids() {
            let directory = self.directory(id);
            let name = self.name(id);
            if directory.join("driver").exists() {
                put(&directory.join("driver/unbind"), name.as_bytes()).expect("unbind");
            }
            put(&directory.join("size"), b"0").expect("size 0");
            if id == 0 {
                put(&directory.join("memmap_on_memory"), b"0").expect("memmap_on_memory 0");
                put(
                    &directory.join("align"),
                    self.fixed.align.to_string().as_bytes(),
                )
                .expect("align");
            } else {
                put(&self.region.join("delete"), name.as_bytes()).expect("delete");
            }
        }
    }

    fn ids(&self) -> Vec<u32> {
        let prefix = format!("dax{}.", self.fixed.id);
        let mut ids: Vec<u32> = fs::read_dir(&self.devices)
            .expect("the directory of the devices")
            .filter_map(|entry| {
                let name = entry.expect("an entry").file_name();
                name.to_str()?.strip_prefix(&prefix)?.parse().ok()
            })
            .collect();
        ids.sort_unstable();
        ids
    }

    fn device(&self, id: u32, iomem: &str) -> Device {
        let directory = self.directory(id);
        let name = self.name(id);
        let mut mappings = Vec::new();
        for index in 0.. {
            let mapping = directory.join(format!("mapping{index}"));
            if !mapping.exists() {
                break;
            }
            let span = (number(mapping.join("start")), number(mapping.join("end")));
            mappings.push((span, number(mapping.join("page_offset"))));
        }
        let driver = fs::read_link(directory.join("driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name).map(|name| {
            Driver::ALL
                .into_iter()
                .find(|driver| driver.name() == name)
                .unwrap_or_else(|| panic!("a driver {name:?}"))
        });
        Device {
            size: number(directory.join("size")),
            align: number(directory.join("align")),
            resource: number(directory.join("resource")),
            memmap_on_memory: number(directory.join("memmap_on_memory")) == 1,
            mappings,
            driver,
            reserved: reserved(iomem, &name),
            open: open(&self.node(id)).map(drop),
        }
    }

    fn node(&self, id: u32) -> PathBuf {
        Path::new("/dev").join(self.name(id))
    }
}

/// Writes with one write(2).
pub fn put(path: &Path, bytes: &[u8]) -> Result<(), Errno> {
    let mut file = OpenOptions::new().write(true).open(path).map_err(errno)?;
    let written = file.write(bytes).map_err(errno)?;
    assert_eq!(written, bytes.len(), "short write to {}", path.display());
    Ok(())
}

/// Opens a device for reading and writing.
pub fn open(node: &Path) -> Result<File, Errno> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(node)
        .map_err(errno)
}

/// The physical address that this process has mapped at `at`, from `/proc/self/pagemap`.
pub fn physical(pagemap: &File, at: u64) -> Option<u64> {
    let mut entry = [0; 8];
    pagemap
        .read_exact_at(&mut entry, at / 4096 * 8)
        .expect("/proc/self/pagemap");
    let entry = u64::from_ne_bytes(entry);
    (entry >> 63 == 1).then_some((entry & ((1 << 55) - 1)) * 4096 + at % 4096)
}

/// The entries with this name in /proc/iomem.
fn reserved(iomem: &str, name: &str) -> Vec<Span> {
    let mut found: Vec<Span> = iomem
        .lines()
        .filter_map(|line| {
            let (range, owner) = line.trim_start().split_once(" : ")?;
            let (start, end) = range.split_once('-')?;
            let address = |hex| u64::from_str_radix(hex, 16).ok();
            (owner == name).then_some((address(start)?, address(end)?))
        })
        .collect();
    found.sort_unstable();
    found
}

impl Region for Sysfs {
    fn write(&mut self, target: &Target, text: &Text) -> Result<(), Errno> {
        let driver = |driver: &Driver, file| Path::new(DRIVERS).join(driver.name()).join(file);
        let path = match target {
            Target::Create => self.region.join("create"),
            Target::Delete => self.region.join("delete"),
            Target::Size(id) => self.directory(*id).join("size"),
            Target::Align(id) => self.directory(*id).join("align"),
            Target::Mapping(id) => self.directory(*id).join("mapping"),
            Target::MemmapOnMemory(id) => self.directory(*id).join("memmap_on_memory"),
            Target::Bind(of) => driver(of, "bind"),
            Target::Unbind(of) => driver(of, "unbind"),
            Target::NewId(of) => driver(of, "new_id"),
            Target::RemoveId(of) => driver(of, "remove_id"),
        };
        put(&path, &text.bytes)?;
        if let Target::NewId(driver) = *target {
            self.named.push((driver, text.bytes.clone()));
        }
        Ok(())
    }

    fn fault(&mut self, id: u32, offset: u64) -> Result<u64, Errno> {
        let file = open(&self.node(id))?;
        let align = number(self.directory(id).join("align")) as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let mut pipe = [0; 2];
        // SAFETY: The kernel chooses a free address for the mapping, so no Rust object is there.
        // The address is only passed to the kernel, and unmapped at the end of this block.
        unsafe {
            let at = libc::mmap(
                ptr::null_mut(),
                align,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset as libc::off_t,
            );
            if at == libc::MAP_FAILED {
                return Err(errno(io::Error::last_os_error()));
            }
            // The kernel touches the entry, so that a failure is an error and not a signal.
            assert_eq!(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC), 0);
            let touched = if libc::write(pipe[1], at, 1) == 1 {
                match physical(&self.pagemap, at as u64) {
                    None if align == 1 << 30 => Ok(UNTOLD),
                    address => address.ok_or(EFAULT),
                }
            } else {
                Err(errno(io::Error::last_os_error()))
            };
            libc::close(pipe[0]);
            libc::close(pipe[1]);
            libc::munmap(at, align);
            touched
        }
    }

    fn view(&self) -> View {
        let iomem = text("/proc/iomem");
        let devices: BTreeMap<u32, Device> = self
            .ids()
            .into_iter()
            .map(|id| (id, self.device(id, &iomem)))
            .collect();
        View {
            available: number(self.region.join("available_size")),
            seed: text(self.region.join("seed")),
            create: text(self.region.join("create")),
            devices,
        }
    }
}
