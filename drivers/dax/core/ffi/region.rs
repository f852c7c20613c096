// SPDX-License-Identifier: GPL-2.0

//! A region as drivers in C see it: `struct dax_region`.
//!
//! C header: drivers/dax/dax-private.h

use super::device_raw;
use kernel::{
    bindings,
    device::Device,
    prelude::*, //
};

pub(crate) use bindings::{
    IORESOURCE_DAX_KMEM,
    IORESOURCE_DAX_STATIC, //
};
pub(crate) use kernel::dax::region::{
    IORESOURCE_DAX_CLASS,
    IORESOURCE_DAX_ERRNO, //
};

/// The `struct dax_region` at the head of a region of the core.
///
/// # Invariants
///
/// The C struct does not change.
#[repr(transparent)]
pub(crate) struct RegionHead(bindings::dax_region);

// SAFETY: By the type invariant the C struct is constant.
unsafe impl Send for RegionHead {}
// SAFETY: By the type invariant the C struct is constant.
unsafe impl Sync for RegionHead {}

impl RegionHead {
    /// Describes a region of the memory `range`, below the device `parent`.
    pub(crate) fn new(
        parent: &Device,
        id: c_int,
        range: bindings::range,
        target_node: c_int,
        align: u32,
        flags: usize,
    ) -> Self {
        // INVARIANT: No function changes the fields.
        Self(bindings::dax_region {
            id,
            target_node,
            dev: device_raw(parent),
            align,
            res: bindings::resource {
                start: range.start,
                end: range.end,
                flags: bindings::IORESOURCE_MEM as usize | flags,
                ..pin_init::zeroed()
            },
            ..pin_init::zeroed()
        })
    }

    /// Returns the pointer for C.
    pub(crate) fn as_raw(&self) -> *mut bindings::dax_region {
        (&raw const self.0).cast_mut()
    }

    pub(crate) fn id(&self) -> c_int {
        self.0.id
    }

    pub(crate) fn target_node(&self) -> c_int {
        self.0.target_node
    }

    /// Whether the provider gave the region this flag, one of `IORESOURCE_DAX_*`.
    pub(crate) fn has_flag(&self, flag: usize) -> bool {
        self.0.res.flags & flag != 0
    }
}
