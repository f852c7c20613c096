// SPDX-License-Identifier: GPL-2.0

//! The registry of memory for a specific purpose: the built-in part of hmem.
//!
//! Firmware describes such memory in two places. The HMAT names ranges and their NUMA nodes; the
//! driver of that table reports them here. The memory map marks ranges as soft-reserved; those that
//! the HMAT did not name are found at the end of the boot. `dax_hmem`, which may be a module, asks
//! what there is. What this makes for it is one platform device, by which it is loaded.
//!
//! It decides nothing: that a range is here does not say that it may be taken.

use kernel::{
    dax::hmem::Candidate,
    io::resource,
    new_mutex,
    numa::{
        self,
        NumaNode, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex,
        SetOnce, //
    },
};

use core::{
    mem,
    ops::Range, //
};

mod ffi {
    //! The functions that C calls, and the device that they need. All `unsafe` is here.
    pub(crate) mod registry;
}
mod pieces;

/// The prefix of messages of this crate.
const __LOG_PREFIX: &[u8] = b"device_hmem\0";

/// The parameter `device_hmem.disable`.
#[export_name = "device_hmem_disable"]
static DISABLE: Atomic<bool> = Atomic::new(false);

static REGISTRY: SetOnce<Mutex<Registry>> = SetOnce::new();

struct Registry {
    /// In ascending order, none overlapping.
    known: KVec<Candidate>,
    /// Whether there is a device for the driver, or somebody is about to make it.
    has_host: bool,
}

fn registry() -> &'static Mutex<Registry> {
    REGISTRY.get_or_pin_init(new_mutex!(
        Registry {
            known: KVec::new(),
            has_host: false,
        },
        "device_hmem::REGISTRY"
    ))
}

impl Registry {
    /// Adds what is not known of a range.
    fn add(&mut self, range: Range<u64>, target_node: NumaNode) -> Result {
        let mut new = KVec::new();

        for range in pieces::gaps(range, self.known.iter().map(|known| &known.range)) {
            new.push(range, GFP_KERNEL)?;
        }
        self.known.reserve(new.len(), GFP_KERNEL)?;

        for range in new {
            self.known
                .push(Candidate { range, target_node }, GFP_KERNEL)?;

            let mut unsorted = &mut self.known[..];
            while let [rest @ .., new] = unsorted {
                match rest.last_mut() {
                    Some(last) if new.range.start < last.range.start => mem::swap(new, last),
                    _ => break,
                }
                unsorted = rest;
            }
        }
        Ok(())
    }
}

/// Takes note of a range of memory. What of it is known already stays as it is.
fn register(range: Range<u64>, target_node: NumaNode) {
    if DISABLE.load(Relaxed) {
        return;
    }

    let (first, last) = (range.start, range.end.saturating_sub(1));

    if let Err(error) = add(range, target_node) {
        pr_err!(
            "cannot offer the memory 0x{:x}-0x{:x}: error {}; it stays unused until the next boot\n",
            first,
            last,
            error.to_errno()
        );
    }
}

fn add(range: Range<u64>, target_node: NumaNode) -> Result {
    let had_host = {
        let mut registry = registry().lock();

        registry.add(range, target_node)?;
        mem::replace(&mut registry.has_host, true)
    };

    // Without the lock: the driver, if it is there, is bound meanwhile, and asks what is known.
    if !had_host {
        ffi::registry::register_host().inspect_err(|_| registry().lock().has_host = false)?;
    }
    Ok(())
}

/// Returns a copy of all that is known.
fn known() -> Result<KVec<Candidate>> {
    let registry = registry().lock();
    let mut known = KVec::new();

    known.reserve(registry.known.len(), GFP_KERNEL)?;
    for candidate in &registry.known {
        known.push(candidate.clone(), GFP_KERNEL)?;
    }
    Ok(known)
}

/// Takes note of the soft-reserved memory that nobody has reported; at `device_initcall`.
fn start() -> Result {
    resource::walk_soft_reserved(&(0..u64::MAX), |range| {
        let target_node = numa::target_node(range.start);

        register(range, target_node);
        Ok(())
    })
}
