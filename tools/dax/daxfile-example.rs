// SPDX-License-Identifier: GPL-2.0

//! Appends a record to a log in a file, durable without `fsync()`: `daxfile-example-rs /mnt/log
//! TEXT`. `daxfile create /mnt/log 2M` makes the log.

use std::{
    arch::{
        asm,
        x86_64::{__cpuid_count, _mm_clflush, _mm_sfence},
    },
    env,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::ExitCode,
    ptr, slice,
};

/// `struct daxfile_seal` of `linux/daxfile.h`.
#[repr(C)]
struct DaxfileSeal {
    fd: i32,
    flags: u32,
    align: u64,
}

/// `DAXFILE_SEAL` of `linux/daxfile.h`.
const DAXFILE_SEAL: u32 = 0xc010_da01;

/// A record is one cache line. The number of the first one is 1. A place with another number is
/// free.
#[repr(C, align(64))]
struct Record {
    number: u64,
    text: [u8; 56],
}

impl Record {
    /// Writes the cache line back to the memory, as `pmem_persist()` does.
    fn persist(&mut self) {
        let line = ptr::from_mut(self).cast::<u8>();
        // SAFETY: Any processor has `cpuid`, and the other instructions only if `cpuid` says so.
        // None changes the contents of the memory.
        unsafe {
            if __cpuid_count(7, 0).ebx & 1 << 24 != 0 {
                asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags));
            } else {
                _mm_clflush(line);
            }
            _mm_sfence();
        }
    }

    fn print(&self) {
        let end = self.text.iter().position(|&byte| byte == 0);
        let text = &self.text[..end.unwrap_or(self.text.len())];
        println!("{} {}", self.number, String::from_utf8_lossy(text));
    }
}

/// Seals a file. Returns a descriptor that is mapped like `/dev/daxX.Y`.
fn seal(file: &File) -> io::Result<OwnedFd> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/daxfile")?;
    let mut arg = DaxfileSeal {
        fd: file.as_raw_fd(),
        flags: 0,
        align: 2 << 20,
    };

    loop {
        let align = arg.align;
        // SAFETY: `arg` is what this ioctl reads and writes.
        let fd = unsafe { libc::ioctl(control.as_raw_fd(), DAXFILE_SEAL as _, &raw mut arg) };
        if fd >= 0 {
            // SAFETY: The descriptor is new, and this owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        let error = io::Error::last_os_error();
        // The blocks do not fit this align, and `arg.align` is now the largest one that they fit.
        if error.raw_os_error() != Some(libc::ERANGE) || arg.align >= align {
            return Err(error);
        }
    }
}

/// A mapping of a sealed file. It keeps the seal until it is dropped.
struct Log {
    at: *mut Record,
    length: usize,
}

impl Log {
    fn open(path: &str) -> io::Result<Self> {
        // Not for writing: that would refuse the seal.
        let file = File::open(path)?;
        let length = file.metadata()?.len() as usize;
        let sealed = seal(&file)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: The kernel chooses a free address.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                prot,
                libc::MAP_SHARED,
                sealed.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            at: at.cast(),
            length,
        })
    }

    fn records(&mut self) -> &mut [Record] {
        // SAFETY: The file is as long as the mapping, and can be sealed only once: so no other
        // process changes it. Any bytes are a valid `Record`.
        unsafe { slice::from_raw_parts_mut(self.at, self.length / size_of::<Record>()) }
    }

    /// Appends a record, and prints all.
    fn append(&mut self, text: &str) -> io::Result<()> {
        let records = self.records();
        let n = (1..)
            .zip(records.iter())
            .take_while(|(n, record)| record.number == *n)
            .count();
        records[..n].iter().for_each(Record::print);

        let record = records.get_mut(n).ok_or(io::ErrorKind::StorageFull)?;
        let length = text.len().min(record.text.len() - 1);
        record.text.fill(0);
        record.text[..length].copy_from_slice(&text.as_bytes()[..length]);
        // The number makes it a record, so the text must be durable before.
        record.persist();
        record.number = n as u64 + 1;
        record.persist();
        record.print();
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: No reference to the memory is left.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, path, text] = &arguments[..] else {
        eprintln!("give me a file and a text");
        return ExitCode::FAILURE;
    };
    match Log::open(path).and_then(|mut log| log.append(text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error} (the kernel's log may say why)");
            ExitCode::FAILURE
        }
    }
}
