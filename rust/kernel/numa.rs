// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes of physical addresses.
//!
//! C header: [`include/linux/numa.h`](srctree/include/linux/numa.h)

#[cfg(CONFIG_NUMA)]
use crate::bindings;

/// No node, or none that is known.
pub const NO_NODE: i32 = -1;

/// Returns the node that the memory at a physical address has, or would have as System RAM: the one
/// that firmware names for it. [`NO_NODE`] if it names none.
pub fn target_node(addr: u64) -> i32 {
    #[cfg(CONFIG_NUMA)]
    // SAFETY: Only looks the address up.
    return unsafe { bindings::phys_to_target_node(addr) };

    #[cfg(not(CONFIG_NUMA))]
    {
        let _ = addr;
        0
    }
}

/// Returns the node that memory at a physical address joins when it is hot-added without anybody
/// saying which: some node, even if firmware names none.
pub fn default_node(addr: u64) -> i32 {
    #[cfg(CONFIG_NUMA)]
    // SAFETY: Only looks the address up.
    return unsafe { bindings::memory_add_physaddr_to_nid(addr) };

    #[cfg(not(CONFIG_NUMA))]
    {
        let _ = addr;
        0
    }
}

/// Returns the online node that is closest to `node`; [`NO_NODE`] for none, and for a number that no
/// node can have.
pub fn nearest_online_node(node: i32) -> i32 {
    #[cfg(CONFIG_NUMA)]
    if (0..bindings::MAX_NUMNODES as i32).contains(&node) {
        // SAFETY: The number is one that a node can have; C looks it up in a bitmap of these.
        return unsafe { bindings::numa_nearest_node(node, bindings::node_states_N_ONLINE) };
    }

    let _ = node;
    NO_NODE
}
