// SPDX-License-Identifier: GPL-2.0

//! Memory tiers: how far the memory of a NUMA node is from a program.
//!
//! The kernel demotes pages to a tier of slower memory, and promotes them to one of faster memory.
//! `/sys/devices/virtual/memory_tiering` shows which node is in which tier. The tier follows from
//! the *abstract distance* of the node's memory type. The driver that adds the memory provides the
//! type before the memory goes online.
//!
//! C header: [`include/linux/memory-tiers.h`](srctree/include/linux/memory-tiers.h)

use crate::{
    alloc::NumaNode,
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

/// A node whose memory type a driver in Rust provided.
///
/// # Invariants
///
/// - `memtype` is a reference, or null in a kernel without NUMA.
/// - `init_node_memory_type()` was called once with `node` and `memtype`.
struct Provided {
    node: NumaNode,
    memtype: *mut bindings::memory_dev_type,
    /// The number of [`NodeType`] for the node.
    users: usize,
}

// SAFETY: Memory types are refcounted. Any thread may put a reference.
unsafe impl Send for Provided {}

static PROVIDED: SetOnce<Mutex<KVec<Provided>>> = SetOnce::new();

fn provided() -> &'static Mutex<KVec<Provided>> {
    PROVIDED.get_or_pin_init(new_mutex!(KVec::new(), "memory_tiers::PROVIDED"))
}

/// Keeps the memory type of a node provided.
///
/// A node has one type. The first [`NodeType`] for the node sets it, and all others share it. Drop
/// a [`NodeType`] after the memory that was added under it is removed. If that memory cannot be
/// removed, leak the [`NodeType`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     alloc::NumaNode,
///     mm::memory_tiers::{
///         NodeType,
///         DISTANCE_DRAM, //
///     },
/// };
///
/// /// Provides a type for `node`, which has slower memory than DRAM if firmware says nothing.
/// fn provide(node: NumaNode) -> Result<NodeType> {
///     NodeType::new(node, 5 * DISTANCE_DRAM)
/// }
/// ```
pub struct NodeType(NumaNode);

impl NodeType {
    /// Provides the type for `node`. May sleep.
    ///
    /// The abstract distance of the type is what firmware says about the memory, or else
    /// `distance`. If the node had DRAM before, its type stays.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for [`NumaNode::NO_NODE`], and [`ENOMEM`].
    pub fn new(node: NumaNode, mut distance: c_int) -> Result<Self> {
        // C uses the number as an index.
        if node == NumaNode::NO_NODE {
            return Err(EINVAL);
        }

        let mut provided = provided().lock();

        if let Some(known) = provided.iter_mut().find(|known| known.node == node) {
            known.users = known.users.checked_add(1).ok_or(EOVERFLOW)?;
            return Ok(Self(node));
        }

        provided.reserve(1, GFP_KERNEL)?;
        // SAFETY: `distance` is valid for reads and writes.
        unsafe { bindings::mt_calc_adistance(node.as_raw(), &mut distance) };
        // SAFETY: The function takes any number.
        let memtype = from_err_ptr(unsafe { bindings::alloc_memory_type(distance) })?;
        // SAFETY: The node is one that C has room for. C takes a reference of its own to the type.
        unsafe { bindings::init_node_memory_type(node.as_raw(), memtype) };

        // INVARIANT: `memtype` is a new reference, and the node was initialised with it.
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
            // SAFETY: By the type invariants, the node was initialised once with the type, and
            // `memtype` is a reference. It is not used again.
            unsafe {
                bindings::clear_node_memory_type(known.node.as_raw(), known.memtype);
                bindings::put_memory_type(known.memtype);
            }
        }
        let _ = provided.remove(at);
    }
}
