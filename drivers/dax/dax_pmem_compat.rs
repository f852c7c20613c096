// SPDX-License-Identifier: GPL-2.0

//! `dax_pmem_compat`: the provider for namespaces of persistent memory, in the class `dax`.
//!
//! It serves programs that know only the interface of Linux 4.7 to 5.0, before the dax bus. See
//! Documentation/ABI/obsolete/sysfs-class-dax. [`pmem`] turns a namespace into a region. The core
//! handles instances that are not on the bus.

use kernel::{
    dax::{
        class::DriverRef,
        region::Flags, //
    },
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
    type: DaxPmemCompat,
    name: "dax_pmem_compat",
    authors: ["The device DAX in Rust authors"],
    description: "PMEM DAX: the interface of Linux 4.7 to 5.0, /sys/class/dax",
    license: "GPL v2",
    // MODULE_ALIAS_ND_DEVICE(ND_DEVICE_DAX_PMEM)
    alias: ["nd:t7*"],
}

struct InClass;

impl nvdimm::Driver for InClass {
    fn probe(dax: &Dax<Core<'_>>) -> Result {
        // `dax_pmem` in Rust registers no driver while this module has the token. So a registered
        // `dax_pmem` is the one in C.
        if let Some(namespace) = dax.namespace().filter(|_| dax.has_driver(c"dax_pmem")) {
            dev_err!(
                dax,
                "{}: dax_pmem is not the one in Rust, so that both have namespaces; modprobe -r dax_pmem, then: ndctl enable-namespace {}\n",
                namespace.name(),
                namespace.name()
            );
            return Err(EBUSY);
        }
        pmem::probe(dax, Flags::CLASS)
    }
}

/// The resources of the module while it has the namespaces.
struct Active {
    // Dropped in this order.
    _driver: nvdimm::Registration<InClass>,
    _device_dax: DriverRef,
}

/// [`None`] if `dax_pmem` had the namespaces when this module was loaded. The module then stays
/// idle until it is removed.
struct DaxPmemCompat(#[expect(dead_code)] Option<Active>);

impl kernel::Module for DaxPmemCompat {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let Some(token) = DriverToken::take() else {
            pr_info!("idle, since dax_pmem has the namespaces, on the dax bus; for /sys/class/dax: modprobe -r dax_pmem dax_pmem_compat; modprobe dax_pmem_compat\n");
            return Ok(Self(None));
        };
        let device_dax = DriverRef::load().inspect_err(|e| {
            pr_err!("device_dax, which serves the devices, cannot be loaded: {:?}; to find out why: modprobe device_dax\n", e)
        })?;
        let driver = nvdimm::Registration::new::<Self>(token, module)?;

        pr_info!("devices appear under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem\n");
        Ok(Self(Some(Active {
            _driver: driver,
            _device_dax: device_dax,
        })))
    }
}
