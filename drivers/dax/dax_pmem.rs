// SPDX-License-Identifier: GPL-2.0

//! `dax_pmem`: device DAX over persistent memory, on the dax bus.
//!
//! How a namespace becomes a region is in [`pmem`].

use kernel::{
    dax::region::Flags,
    device::Core,
    nvdimm::{
        self,
        Dax,
        Turn, //
    },
    prelude::*, //
};

mod pmem;

module! {
    type: DaxPmem,
    name: "dax_pmem",
    authors: ["The device DAX in Rust authors"],
    description: "PMEM DAX: direct access to persistent memory",
    license: "GPL v2",
    // MODULE_ALIAS_ND_DEVICE(ND_DEVICE_DAX_PMEM)
    alias: ["nd:t7*"],
}

struct OnBus;

impl nvdimm::Driver for OnBus {
    fn probe(dax: &Dax<Core<'_>>) -> Result {
        pmem::probe(dax, Flags::STATIC)
    }
}

/// [`None`] if another module has the namespaces; as long as this is loaded, nothing changes that.
struct DaxPmem(#[expect(dead_code)] Option<nvdimm::Registration<OnBus>>);

impl kernel::Module for DaxPmem {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let Some(turn) = Turn::take() else {
            pr_info!("idle, since dax_pmem_compat has the namespaces, under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem\n");
            return Ok(Self(None));
        };
        let driver = nvdimm::Registration::new::<Self>(turn, module)?;

        Ok(Self(Some(driver)))
    }
}
