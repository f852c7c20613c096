// SPDX-License-Identifier: GPL-2.0
// compiles

//! The correct use of the interfaces that the other programs here misuse.

use kernel::{
    dax::{
        self,
        live::Count, //
    },
    device::Core,
    mm::memremap::DevPagemap,
    nvdimm::{
        self,
        Dax,
        DriverToken, //
    },
    prelude::*, //
};

module! {
    type: Control,
    name: "control",
    authors: ["The device DAX in Rust authors"],
    description: "A program that compiles",
    license: "GPL",
}

struct Provider;

impl nvdimm::Driver for Provider {
    fn probe(dax: &Dax<Core<'_>>) -> Result {
        let namespace = dax.namespace().ok_or(ENODEV)?;
        let mut pgmap = DevPagemap::empty();

        namespace.claim()?.enable()?.set_up(&mut pgmap)?;
        pgmap.fit(&namespace.range(), 4096).map_err(|_| EINVAL)
    }
}

struct Control(#[expect(dead_code)] nvdimm::Registration<Provider>);

impl kernel::Module for Control {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let token = DriverToken::take().ok_or(EBUSY)?;

        Ok(Self(nvdimm::Registration::new::<Self>(token, module)?))
    }
}

/// The number of faults.
pub fn faults(dev: &dax::Device) -> usize {
    dev.live().map_or(0, |live| live.counted(Count::Pte))
}

/// The steps of a consumer.
pub fn consume(dev: &dax::Device<Core<'_>>) -> Result {
    dev.reserve()?.map_generic()?.run()
}
