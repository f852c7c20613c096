// SPDX-License-Identifier: GPL-2.0

//! `dax_pmem`: the provider for namespaces of persistent memory, on the dax bus.
//!
//! [`pmem`] turns a namespace into a region. This file registers the driver.

use kernel::{
    dax::region::Flags,
    device::Core,
    nvdimm::{
        self,
        Dax,
        DriverToken, //
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

/// The registered driver, or [`None`] if `dax_pmem_compat` had the namespaces when this module was
/// loaded. The module then stays idle until it is removed.
struct DaxPmem(#[expect(dead_code)] Option<nvdimm::Registration<OnBus>>);

impl kernel::Module for DaxPmem {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let Some(token) = DriverToken::take() else {
            pr_info!("idle, since dax_pmem_compat has the namespaces, under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem\n");
            return Ok(Self(None));
        };
        let driver = nvdimm::Registration::new::<Self>(token, module)?;

        Ok(Self(Some(driver)))
    }
}
