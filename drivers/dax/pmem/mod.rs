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

    provide(dax, &namespace, flags).map_err(|Refusal(errno, fault)| {
        let name = namespace.name();
        let fault = if errno == ENOMEM {
            Fault::NoMemory
        } else {
            fault
        };

        dev_err!(dax, "{}: {}; {} {}\n", name, fault, fault.remedy(), name);
        errno
    })
}

/// Makes a region of the data of `namespace`.
fn provide(dax: &Dax<Core<'_>>, namespace: &Namespace<'_>, flags: Flags) -> Result<(), Refusal> {
    let (block, pgmap) = read_info_block(dax, namespace)?;
    let data = Data::new(&block, &namespace.range())?;
    let (region_id, id) = namespace.ids().map_err(|e| Refusal(e, Fault::Core))?;

    // The metadata is reserved here, the data by device_dax.
    namespace
        .reserve_metadata(block.data_offset)
        .map_err(|e| Refusal(e, Fault::Busy))?;

    Region::new(
        dax,
        region_id,
        data.range,
        dax.target_node(),
        data.align,
        flags,
    )
    .and_then(|region| region.create_static(id, &pgmap))
    .map_err(|e| Refusal(e, Fault::Core))
}

/// Lets libnvdimm read the info block and prepare the page map.
fn read_info_block(
    dax: &Dax<Core<'_>>,
    namespace: &Namespace<'_>,
) -> Result<(InfoBlock, PageMap), Refusal> {
    let claim = namespace.claim().map_err(|e| match e {
        EBUSY => Refusal(e, Fault::Active),
        EACCES => Refusal(e, Fault::Locked),
        _ => Refusal(e, Fault::NotConfigured),
    })?;
    let access = claim.enable().map_err(|e| Refusal(e, Fault::Busy))?;
    let found = match access.read() {
        // Who could not look at it must not write one.
        Err(ENOMEM) => return Err(Refusal(ENOMEM, Fault::NoMemory)),
        found => found,
    };

    // Before libnvdimm goes by it, or takes a damaged one for none and writes a new one. That is
    // right for what another device left behind, but this device's own block may be worth a repair.
    if let Some(block) = found.ok().filter(|block| block.is_of(dax)) {
        Data::new(&block, &namespace.range())?;
    }

    access
        .set_up()
        .map_err(|e| Refusal(e, explain(e, dax, found, namespace.range().start)))
}

/// Finds out why libnvdimm could not set up a namespace that begins at `start`.
fn explain(errno: Error, dax: &Dax<Core<'_>>, found: Result<InfoBlock>, start: u64) -> Fault {
    let boundary = nvdimm::mapping_boundary();

    match found {
        _ if errno == EBUSY => Fault::Busy,
        _ if !is_aligned(start, boundary) => Fault::Start { start, boundary },
        _ if dax.map().is_none() => Fault::NotConfigured,
        Err(_) => Fault::Unreadable,
        Ok(block) if !block.is_of(dax) => Fault::NotWritten,
        Ok(block) if block.align != dax.align() || block.map() != dax.map() => Fault::Settings,
        Ok(_) => Fault::Other,
    }
}
