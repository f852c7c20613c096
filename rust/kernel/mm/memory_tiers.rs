// SPDX-License-Identifier: GPL-2.0

//! Memory tiers: how far away the memory of a NUMA node is, seen from a program.
//!
//! The kernel demotes pages to a tier of slower memory, and promotes them to one of faster memory.
//! `/sys/devices/virtual/memory_tiering` shows which node is in which tier. That follows from the
//! *abstract distance* of the node's memory type, which the driver that brings the memory provides
//! before the memory goes online.
//!
//! C header: [`include/linux/memory-tiers.h`](srctree/include/linux/memory-tiers.h)

use super::memory_hotplug::Node;
use crate::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::{
        new_mutex,
        Mutex,
        SetOnce, //
    },
};

/// The abstract distance of ordinary memory. More is slower.
pub const DISTANCE_DRAM: c_int = bindings::MEMTIER_ADISTANCE_DRAM as c_int;

/// A node whose type was provided by a driver in Rust.
///
/// # Invariants
///
/// - `memtype` is a reference, or null in a kernel without NUMA.
/// - `init_node_memory_type()` was called with the two once.
struct Provided {
    node: Node,
    memtype: *mut bindings::memory_dev_type,
    /// How many [`NodeType`] there are for the node.
    users: usize,
}

// SAFETY: References to memory types are counted, and belong to no thread.
unsafe impl Send for Provided {}

static PROVIDED: SetOnce<Mutex<KVec<Provided>>> = SetOnce::new();

fn provided() -> &'static Mutex<KVec<Provided>> {
    PROVIDED.get_or_pin_init(new_mutex!(KVec::new(), "memory_tiers::PROVIDED"))
}

/// The memory type of a node, provided for as long as this exists. To be dropped after the last
/// memory of the node that came by it was removed; if that will never be, not at all.
///
/// A node has one type. The first one decides on it, and all others for the same node share it.
pub struct NodeType(Node);

impl NodeType {
    /// Provides the type for `node`: its abstract distance is what firmware says about the memory,
    /// or else `distance`.
    ///
    /// If the node had ordinary memory before, that decides. Sleeps. Fails with `ENOMEM`.
    pub fn new(node: Node, mut distance: c_int) -> Result<Self> {
        let mut provided = provided().lock();

        if let Some(known) = provided.iter_mut().find(|known| known.node == node) {
            known.users = known.users.checked_add(1).ok_or(EOVERFLOW)?;
            return Ok(Self(node));
        }

        provided.reserve(1, GFP_KERNEL)?;
        // SAFETY: `distance` is valid, and is only replaced by who knows better.
        unsafe { bindings::mt_calc_adistance(node.id(), &mut distance) };
        // SAFETY: Takes any number.
        let memtype = from_err_ptr(unsafe { bindings::alloc_memory_type(distance) })?;
        // SAFETY: The node is one that C has room for. C takes a reference for it.
        unsafe { bindings::init_node_memory_type(node.id(), memtype) };

        // INVARIANT: Both were done just now.
        provided
            .push_within_capacity(Provided {
                node,
                memtype,
                users: 1,
            })
            .map_err(|_| ENOMEM)?;
        Ok(Self(node))
    }
}

impl Drop for NodeType {
    fn drop(&mut self) {
        let mut provided = provided().lock();

        let Some(at) = provided.iter().position(|known| known.node == self.0) else {
            return;
        };
        if let Some(known) = provided.get_mut(at) {
            known.users = known.users.saturating_sub(1);
            if known.users > 0 {
                return;
            }
            // SAFETY: By the type invariants, this takes back what was done once. The reference is
            // not used again.
            unsafe {
                bindings::clear_node_memory_type(known.node.id(), known.memtype);
                bindings::put_memory_type(known.memtype);
            }
        }
        let _ = provided.remove(at);
    }
}
