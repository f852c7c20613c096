// SPDX-License-Identifier: GPL-2.0

//! The registry of memory for a specific purpose: the built-in part of hmem.
//!
//! Firmware describes such memory in two places. The HMAT names ranges and their NUMA nodes; the
//! HMAT driver reports them here. The memory map marks ranges as soft-reserved; at the end of the
//! boot the registry adds those that the HMAT did not name. `dax_hmem`, which may be a module,
//! reads the registry. The registry makes one platform device, for which udev loads `dax_hmem`.
//!
//! The registry decides nothing. A range in it may still belong to somebody else.

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
mod gaps;

/// The prefix of messages of this crate.
const __LOG_PREFIX: &[u8] = b"device_hmem\0";

/// The parameter `device_hmem.disable`.
#[export_name = "device_hmem_disable"]
static DISABLE: Atomic<bool> = Atomic::new(false);

static REGISTRY: SetOnce<Mutex<Registry>> = SetOnce::new();

struct Registry {
    /// In ascending order, without overlap.
    known: KVec<Candidate>,
    /// Whether the platform device exists or is being made.
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
    /// Adds the parts of a range that are not in the registry yet.
    fn add(&mut self, range: Range<u64>, target_node: NumaNode) -> Result {
        let mut new = KVec::new();

        for range in gaps::gaps(range, self.known.iter().map(|known| &known.range)) {
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

/// Registers a range of memory. Parts that are registered already keep their node.
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

    // Without the lock: the driver may be bound during this call, and then reads the registry.
    if !had_host {
        ffi::registry::register_host().inspect_err(|_| registry().lock().has_host = false)?;
    }
    Ok(())
}

/// Returns a copy of the registry.
fn known() -> Result<KVec<Candidate>> {
    let registry = registry().lock();
    let mut known = KVec::new();

    known.reserve(registry.known.len(), GFP_KERNEL)?;
    for candidate in &registry.known {
        known.push(candidate.clone(), GFP_KERNEL)?;
    }
    Ok(known)
}

/// Registers the soft-reserved memory that the HMAT did not name. Called at `device_initcall`.
fn start() -> Result {
    resource::walk_soft_reserved(&(0..u64::MAX), |range| {
        let target_node = numa::target_node(range.start);

        register(range, target_node);
        Ok(())
    })
}
