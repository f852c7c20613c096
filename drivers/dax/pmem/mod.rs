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
    let namespace = dax.namespace().ok_or(ENODEV)?;

    provide(dax, &namespace, flags).map_err(|mut refusal| {
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
    })
}

/// Makes a region of the data of `namespace`.
fn provide(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, flags: Flags) -> Result<(), Refusal> {
    let mut pgmap = PageMap::empty();
    let block = read_info_block(dax, namespace, &mut pgmap)?;
    let data = Data::new(&block, &namespace.range())?;
    let refused = |e| Refusal::new(e, &Fault::CORE);
    let (region_id, id) = namespace.ids().map_err(refused)?;

    // The metadata is reserved here, the data by device_dax.
    namespace
        .reserve_metadata(block.data_offset)
        .map_err(|e| Refusal::new(e, &Fault::BUSY))?;

    Region::new(
        dax,
        region_id,
        data.range,
        dax.target_node(),
        data.align,
        flags,
    )
    .and_then(|region| region.create_static(id, &pgmap))
    .map_err(refused)
}

/// Lets libnvdimm read the info block and prepare the page map.
fn read_info_block(
    dax: &Dax<Core<'_>>,
    namespace: &Namespace<'_>,
    pgmap: &mut PageMap,
) -> Result<InfoBlock, Refusal> {
    let claim = namespace.claim().map_err(|e| {
        let fault = match e {
            EBUSY => &Fault::ACTIVE,
            EACCES => &Fault::LOCKED,
            _ => &Fault::NOT_CONFIGURED,
        };
        Refusal::new(e, fault)
    })?;
    let access = claim.enable().map_err(|e| Refusal::new(e, &Fault::BUSY))?;
    let found = access.read();

    match &found {
        // Who could not look at it must not write one.
        Err(ENOMEM) => return Err(Refusal::new(ENOMEM, &Fault::NO_MEMORY)),
        // Before libnvdimm goes by it, or takes a damaged one for none and writes a new one. That
        // is right for what another device left behind, but this device's own block may be worth a
        // repair.
        Ok(block) if block.is_of(dax) => {
            Data::new(block, &namespace.range())?;
        }
        _ => (),
    }

    access
        .set_up(pgmap)
        .map_err(|e| explain(e, dax, &found, namespace.range().start))
}

/// Finds out why libnvdimm could not set up a namespace that begins at `start`.
fn explain(errno: Error, dax: &Dax<Core<'_>>, found: &Result<InfoBlock>, start: u64) -> Refusal {
    let boundary = nvdimm::mapping_boundary();
    let fault = match found {
        _ if errno == EBUSY => &Fault::BUSY,
        _ if !is_aligned(start, boundary) => return Refusal::start(errno, start, boundary),
        _ if dax.map().is_none() => &Fault::NOT_CONFIGURED,
        Err(_) => &Fault::UNREADABLE,
        Ok(block) if !block.is_of(dax) => &Fault::NOT_WRITTEN,
        Ok(block) if block.align != dax.align() || block.map() != dax.map() => &Fault::SETTINGS,
        Ok(_) => &Fault::OTHER,
    };

    Refusal::new(errno, fault)
}
