// SPDX-License-Identifier: GPL-2.0

//! The common part of `dax_pmem` and `dax_pmem_compat`: namespaces as regions of device DAX.
//!
//! Each libnvdimm namespace in devdax mode becomes a region with one instance. The info block of
//! the namespace says where the data is and what its align is. libnvdimm checks a part of that
//! block, and often fails without a message. So this module checks the rest before anybody relies
//! on the block. If a probe fails, it logs the reason and what to do.
//!
//! This module neither maps memory nor creates its memmap; `device_dax` does.

use kernel::{
    dax::region::{
        Flags,
        Region, //
    },
    device::Core,
    mm::memremap::DevPagemap,
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

/// Makes a region and an instance of the namespace that `dax` claims.
pub(crate) fn probe(dax: &Dax<Core<'_>>, flags: Flags) -> Result {
    // libnvdimm also probes a seed, which user space has not configured yet. That is no error.
    let namespace = &dax.namespace().ok_or(ENODEV)?;
    let refused = |e| refuse(dax, namespace, e, &Fault::CORE);
    let mut pgmap = DevPagemap::empty();
    let data = set_up(dax, namespace, &mut pgmap)?;
    let (region_id, id) = namespace
        .ids()
        .map_err(|e| refuse(dax, namespace, e, &Fault::NAME))?;

    // device_dax reserves the data.
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

/// Logs `fault` as the reason why the probe fails, and returns the error.
#[cold]
#[inline(never)]
fn refuse(
    dax: &Dax<Core<'_>>,
    namespace: &Namespace<'_>,
    errno: Error,
    fault: &'static Fault,
) -> Error {
    report(dax, namespace, Refusal::new(errno, fault))
}

/// Logs why the probe fails, and returns the error.
#[cold]
#[inline(never)]
fn report(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, mut refusal: Refusal) -> Error {
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

/// Lets libnvdimm read the info block and fill in the dev_pagemap. Returns where the data is.
fn set_up(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, pgmap: &mut DevPagemap) -> Result<Data> {
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
        // libnvdimm must not write a new block over one that could not be read.
        Err(ENOMEM) => return Err(refuse(dax, namespace, ENOMEM, &Fault::NO_MEMORY)),
        // libnvdimm treats a damaged block as no block, and writes a new one. That is right for a
        // block that another device left. But a damaged block of this device may be worth a repair,
        // so check it before libnvdimm uses it.
        Ok(block) if block.is_of(dax) => {
            check(dax, namespace, block)?;
        }
        _ => (),
    }

    let block = access
        .set_up(pgmap)
        .map_err(|e| explain(e, dax, namespace, &found))?;
    let data = check(dax, namespace, &block)?;

    // The range of the dev_pagemap begins with the namespace, which need not begin at a multiple of
    // the data's align.
    pgmap
        .fit(&data.range, data.align.into())
        .map_err(|misfit| report(dax, namespace, Refusal::misfit(&misfit)))?;
    Ok(data)
}

/// Checks an info block, including the fields that libnvdimm does not check. Returns where the data
/// is.
#[inline(never)]
fn check(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, block: &InfoBlock) -> Result<Data> {
    Data::new(block, &namespace.range()).map_err(|refusal| report(dax, namespace, refusal))
}

/// Finds out and logs why libnvdimm could not set up a namespace.
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
            return report(dax, namespace, Refusal::start(errno, start, boundary));
        }
        _ if dax.map().is_none() => &Fault::NOT_CONFIGURED,
        Err(_) => &Fault::UNREADABLE,
        Ok(block) if !block.is_of(dax) => &Fault::NOT_WRITTEN,
        Ok(block) if block.align != dax.align() || block.map() != dax.map() => &Fault::SETTINGS,
        Ok(_) => &Fault::OTHER,
    };

    refuse(dax, namespace, errno, fault)
}
