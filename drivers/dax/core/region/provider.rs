// SPDX-License-Identifier: GPL-2.0

//! A region comes and goes with its provider.

use super::{
    units,
    Region,
    RegionState, //
};
use crate::{
    ffi::region::RegionHead,
    ranges::{
        self,
        Align,
        Range,
        Space, //
    }, //
};
use kernel::{
    bindings,
    device::{
        attribute::{
            AttachTarget,
            GroupsRegistration, //
        },
        Device, //
    },
    devres,
    ida::Ida,
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SetOnce, //
    }, //
};

/// The physical memory that is in a region.
#[pin_data]
struct AllRegions {
    #[pin]
    space: Mutex<Space>,
}

static ALL_REGIONS: SetOnce<Arc<AllRegions>> = SetOnce::new();

/// Prepares for regions. Called once, before the first one is registered.
pub(crate) fn init() -> Result {
    // No range may contain the largest address.
    let all = Range::new(0, u64::MAX - 1).ok_or(EINVAL)?;
    let space = Space::new(all, units()?)?;
    let regions = Arc::pin_init(
        pin_init!(AllRegions { space <- new_mutex!(space, "dax::AllRegions") }),
        GFP_KERNEL,
    )?;

    ALL_REGIONS.populate(regions);
    Ok(())
}

/// A region's share of all memory. Dropping it gives the share back.
struct Claim(Range);

impl Claim {
    fn new(range: Range) -> Result<Self> {
        let regions = ALL_REGIONS.as_ref().ok_or(ENODEV)?;

        regions.space.lock().reserve(range)?;
        Ok(Self(range))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(regions) = ALL_REGIONS.as_ref() {
            // Cannot fail: it was reserved when this was made.
            let _ = regions.space.lock().release(self.0);
        }
    }
}

/// A region while the provider's driver is bound.
///
/// Dropping this removes the files first, so that nobody divides the region any more. Then it
/// removes the instances, puts the provider's device, and releases the claim.
struct Registration {
    files: Option<GroupsRegistration<Region>>,
    region: Arc<Region>,
    _claim: Claim,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.files = None;
        self.region.remove_all();
        self.region.forget_provider();
    }
}

/// The request of a provider for a region.
pub(crate) struct Request {
    pub(crate) id: c_int,
    pub(crate) range: bindings::range,
    pub(crate) target_node: c_int,
    pub(crate) align: u32,
    pub(crate) flags: usize,
}

/// Makes a region below the provider's device, for as long as the provider's driver is bound.
///
/// The region is refused, with the reason in the log, if the range cannot be mapped with entries of
/// the align, if it overlaps another region, or if the driver of the device uses the driver data.
pub(crate) fn register(host: AttachTarget<'_>, request: Request) -> Result<Arc<Region>> {
    let Request {
        id,
        range: raw,
        target_node,
        align,
        flags,
    } = request;
    let dev = host.device();
    let refused = |why: &dyn kernel::fmt::Display| {
        dev_err!(
            dev,
            "dax region of 0x{:x}-0x{:x} refused: {}\n",
            raw.start,
            raw.end,
            why
        );
    };

    let range = Range::new(raw.start, raw.end)
        .ok_or(EINVAL)
        .inspect_err(|_| refused(&"it is empty, or too large"))?;
    let align = Align::new(align.into())
        .ok_or(EINVAL)
        .inspect_err(|_| refused(&"its align is not the size of a pte, pmd or pud"))?;
    if !align.fits(&range) {
        let why = ranges::Error::RangeMisaligned { range, align };
        refused(&why);
        return Err(why.into());
    }
    let claim = Claim::new(range).inspect_err(|&e| {
        // Any other error means that there is no memory for the bookkeeping.
        if e == EBUSY {
            refused(&"another region has some of it");
        }
    })?;

    let state = RegionState {
        space: Space::new(range, units()?)?,
        instances: RBTree::new(),
        serial: 0,
        seed: None,
        youngest: None,
        provider: Some(ARef::from(dev as &Device)),
    };
    let region = Arc::pin_init(
        try_pin_init!(Region {
            head: RegionHead::new(dev, id, raw, target_node, align.bytes() as u32, flags),
            range,
            align,
            ids <- Ida::new(),
            state <- new_mutex!(state, "dax::Region"),
        }),
        GFP_KERNEL,
    )?;
    let files = GroupsRegistration::new(host, region.clone()).inspect_err(|&e| {
        if e == EBUSY {
            refused(&"the driver of its device has data of its own there");
        }
    })?;
    let registration = Registration {
        files: Some(files),
        region: region.clone(),
        _claim: claim,
    };
    devres::register(dev, registration, GFP_KERNEL)?;
    Ok(region)
}

impl Region {
    /// Puts the reference to the provider's device.
    fn forget_provider(&self) {
        let provider = self.state.lock().provider.take();

        // Without the lock, because dropping a reference may sleep.
        drop(provider);
    }
}
