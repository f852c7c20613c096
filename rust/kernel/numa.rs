// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes of physical addresses.
//!
//! C header: [`include/linux/numa.h`](srctree/include/linux/numa.h)
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     alloc::NumaNode,
//!     numa, //
//! };
//!
//! /// The node that memory at `addr` joins as System RAM.
//! fn node_of(addr: u64) -> NumaNode {
//!     match numa::target_node(addr) {
//!         NumaNode::NO_NODE => numa::default_node(addr),
//!         node => node,
//!     }
//! }
//!
//! assert!(node_of(0) != NumaNode::NO_NODE);
//! ```

#[cfg(CONFIG_NUMA)]
use crate::bindings;
#[cfg(not(CONFIG_NUMA))]
use crate::prelude::*;

pub use crate::alloc::NumaNode;

/// Returns the node that firmware names for the memory at a physical address. It is the node that
/// the memory has, or would have as System RAM. Returns [`NumaNode::NO_NODE`] if firmware names
/// none.
#[doc(alias = "phys_to_target_node")]
pub fn target_node(addr: u64) -> NumaNode {
    #[cfg(CONFIG_NUMA)]
    // SAFETY: The function takes any address.
    let node = unsafe { bindings::phys_to_target_node(addr) };

    #[cfg(not(CONFIG_NUMA))]
    let node = single_node(addr);

    NumaNode::from_raw(node)
}

/// Returns the node that memory at a physical address joins when it is hot-added without a node.
/// That is some node even if firmware names none.
#[doc(alias = "memory_add_physaddr_to_nid")]
pub fn default_node(addr: u64) -> NumaNode {
    #[cfg(CONFIG_NUMA)]
    // SAFETY: The function takes any address.
    let node = unsafe { bindings::memory_add_physaddr_to_nid(addr) };

    #[cfg(not(CONFIG_NUMA))]
    let node = single_node(addr);

    NumaNode::from_raw(node)
}

/// Returns the online node that is closest to `node`, and [`NumaNode::NO_NODE`] for
/// [`NumaNode::NO_NODE`].
#[doc(alias = "numa_nearest_node")]
pub fn nearest_online_node(node: NumaNode) -> NumaNode {
    #[cfg(CONFIG_NUMA)]
    if node != NumaNode::NO_NODE {
        // SAFETY: The function looks the node up in a bitmap, which has a bit for each node.
        let online =
            unsafe { bindings::numa_nearest_node(node.as_raw(), bindings::node_states_N_ONLINE) };

        return NumaNode::from_raw(online);
    }

    let _ = node;
    NumaNode::NO_NODE
}

/// All memory of a kernel without NUMA is in node 0.
#[cfg(not(CONFIG_NUMA))]
fn single_node(_addr: u64) -> c_int {
    0
}
