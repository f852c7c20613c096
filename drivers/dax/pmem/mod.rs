// SPDX-License-Identifier: GPL-2.0

//! Namespaces of persistent memory as regions of device DAX.
//!
//! What `dax_pmem` and `dax_pmem_compat` have in common: from each libnvdimm namespace in devdax
//! mode they make a region with one instance. Which part of the namespace that is, and with which
//! alignment, its info block says. libnvdimm checks that block, but not all of it, and often
//! without a word. So this checks the rest before memory is mapped by it, and whatever makes a
//! probe fail is told in the log, with what to do about it.
//!
//! It neither maps memory nor creates pages for it: that is `device_dax`.

use kernel::{
    dax::region::{
        Flags,
        Region, //
    },
    device::Core,
    mm::memremap::PageMap,
    nvdimm::{
        self,
        Dax,
        InfoBlock,
        Namespace, //
    },
    prelude::*, //
};

mod data;

use data::{
    is_aligned,
    Data,
    Fault,
    Refusal, //
};

/// Offers the namespace of `dax`, to the dax bus or to what stood in its place.
pub(crate) fn probe(dax: &Dax<Core<'_>>, flags: Flags) -> Result {
    // A seed: libnvdimm offers it before user space has configured it. No reason to complain.
    let namespace = &dax.namespace().ok_or(ENODEV)?;
    let refused = |e| refuse(dax, namespace, e, &Fault::CORE);
    let mut pgmap = PageMap::empty();
    let data = set_up(dax, namespace, &mut pgmap)?;
    let (region_id, id) = namespace
        .ids()
        .map_err(|e| refuse(dax, namespace, e, &Fault::NAME))?;

    // The metadata is reserved here, the data by device_dax.
    namespace
        .reserve_metadata(data.offset)
        .map_err(|e| refuse(dax, namespace, e, &Fault::BUSY))?;

    Region::new(
        dax,
        region_id,
        namespace.memory(data.range).map_err(refused)?,
        dax.target_node(),
        data.align,
        flags,
    )
    .and_then(|region| region.create_static(id, &pgmap))
    .map_err(refused)
}

/// Tells why the probe fails.
#[cold]
#[inline(never)]
fn refuse(
    dax: &Dax<Core<'_>>,
    namespace: &Namespace<'_>,
    errno: Error,
    fault: &'static Fault,
) -> Error {
    tell(dax, namespace, Refusal::new(errno, fault))
}

/// Tells why the probe fails.
#[cold]
#[inline(never)]
fn tell(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, mut refusal: Refusal) -> Error {
    let name = namespace.name();

    if refusal.errno == ENOMEM {
        refusal.fault = &Fault::NO_MEMORY;
    }
    dev_err!(
        dax,
        "{}: {}; {} {}\n",
        name,
        refusal,
        refusal.fault.remedy,
        name
    );
    refusal.errno
}

/// Lets libnvdimm read the info block and prepare the page map. Returns what the data is.
fn set_up(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, pgmap: &mut PageMap) -> Result<Data> {
    let claim = namespace.claim().map_err(|e| {
        let fault = match e {
            EBUSY => &Fault::ACTIVE,
            EACCES => &Fault::LOCKED,
            _ => &Fault::NOT_CONFIGURED,
        };
        refuse(dax, namespace, e, fault)
    })?;
    let access = claim.enable().map_err(|e| {
        let fault = match e {
            EBUSY => &Fault::BUSY,
            _ => &Fault::NOT_MAPPED,
        };
        refuse(dax, namespace, e, fault)
    })?;
    let found = access.read();

    match &found {
        // Who could not look at it must not write one.
        Err(ENOMEM) => return Err(refuse(dax, namespace, ENOMEM, &Fault::NO_MEMORY)),
        // Before libnvdimm goes by it, or takes a damaged one for none and writes a new one. That
        // is right for what another device left behind, but this device's own block may be worth a
        // repair.
        Ok(block) if block.is_of(dax) => {
            check(dax, namespace, block)?;
        }
        _ => (),
    }

    let block = access
        .set_up(pgmap)
        .map_err(|e| explain(e, dax, namespace, &found))?;
    let data = check(dax, namespace, &block)?;

    // libnvdimm's page map begins with the namespace, which may be between two multiples of the
    // data's align.
    pgmap
        .fit(&data.range, data.align.into())
        .map_err(|misfit| tell(dax, namespace, Refusal::misfit(&misfit)))?;
    Ok(data)
}

/// Checks an info block, of which libnvdimm knows only a part. Returns what the data is.
#[inline(never)]
fn check(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, block: &InfoBlock) -> Result<Data> {
    Data::new(block, &namespace.range()).map_err(|refusal| tell(dax, namespace, refusal))
}

/// Finds out why libnvdimm could not set up a namespace, and tells it.
fn explain(
    errno: Error,
    dax: &Dax<Core<'_>>,
    namespace: &Namespace<'_>,
    found: &Result<InfoBlock>,
) -> Error {
    let start = namespace.range().start;
    let boundary = nvdimm::mapping_boundary();
    let fault = match found {
        _ if errno == EBUSY => &Fault::BUSY,
        _ if !is_aligned(start, boundary) => {
            return tell(dax, namespace, Refusal::start(errno, start, boundary));
        }
        _ if dax.map().is_none() => &Fault::NOT_CONFIGURED,
        Err(_) => &Fault::UNREADABLE,
        Ok(block) if !block.is_of(dax) => &Fault::NOT_WRITTEN,
        Ok(block) if block.align != dax.align() || block.map() != dax.map() => &Fault::SETTINGS,
        Ok(_) => &Fault::OTHER,
    };

    refuse(dax, namespace, errno, fault)
}
