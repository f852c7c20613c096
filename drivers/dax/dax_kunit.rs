// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the range arithmetic of a region (`core/ranges`), and of functions of the
//! `kernel` crate with arguments that a driver must not use.
//!
//! The module has its own copy of the arithmetic, so that it can be loaded at any time on any
//! kernel. It has only a few cases: the thorough tests run on the host, see
//! `tools/testing/dax/host`. Programs that must not compile are in
//! `tools/testing/dax/compile_fail`.

// Only the core uses all of `core/ranges`.
#![allow(dead_code)]

use kernel::prelude::*;

#[path = "core/ranges/mod.rs"]
mod ranges;

module! {
    type: DaxKunit,
    name: "dax_kunit",
    description: "DAX: KUnit tests of ranges",
    license: "GPL",
}

/// Loading the module only runs the tests. KUnit finds them in a section of the module.
struct DaxKunit;

impl kernel::Module for DaxKunit {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

#[kunit_tests(dax_api)]
mod api {
    use kernel::{
        io::resource,
        numa::{
            self,
            NumaNode, //
        },
    };

    /// The C function looks up each node in a bitmap without a bounds check.
    #[test]
    fn nodes_beyond_the_bitmap() {
        for node in [i32::MIN, -4096, -2, -1, 1 << 20, i32::MAX] {
            let node = NumaNode::from_raw(node);

            assert!(numa::nearest_online_node(node) == NumaNode::NO_NODE);
        }
        let first = NumaNode::from_raw(0);
        assert!(numa::nearest_online_node(first) == first);
    }

    /// The first page, at least, is not soft-reserved.
    #[test]
    fn not_soft_reserved() {
        for range in [0..4096, 0..u64::MAX, 4096..4096, u64::MAX..u64::MAX] {
            assert!(!resource::is_soft_reserved(&range));
        }
    }
}

#[kunit_tests(dax_ranges)]
mod tests {
    use super::ranges::{
        lookup,
        parse,
        Align,
        Error,
        InstanceRange,
        InstanceRanges,
        Range,
        Space,
        ALIGNS, //
    };
    use kernel::{
        page::PAGE_SIZE,
        prelude::*, //
    };

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    /// The first address of the region.
    const BASE: u64 = 4 * GIB;

    fn align(bytes: u64) -> Result<Align> {
        Align::new(bytes).ok_or(EINVAL)
    }

    fn mib(start: u64, len: u64) -> Result<Range> {
        Range::from_len(BASE + start * MIB, len * MIB).ok_or(EINVAL)
    }

    fn space(len: u64) -> Result<Space> {
        let aligns: [Align; ALIGNS] = [align(4096)?, align(2 * MIB)?, align(GIB)?];
        Space::new(mib(0, len)?, aligns).map_err(|_| ENOMEM)
    }

    #[test]
    fn reserve_and_release() -> Result {
        let mut space = space(1024)?;
        assert!(space.reserve(mib(100, 10)?).is_ok());
        let at = BASE + 100 * MIB;
        assert_eq!(space.reserve(mib(99, 2)?), Err(Error::InUse { at }));
        let region = mib(0, 1024)?;
        assert_eq!(space.reserve(mib(1023, 2)?), Err(Error::Outside { region }));
        assert_eq!(space.available(), 1014 * MIB);
        assert_eq!(space.usable(align(2 * MIB)?), Ok(1014 * MIB));
        assert_eq!(space.usable(align(GIB)?), Ok(0));
        assert!(space.release(mib(100, 10)?).is_ok());
        assert_eq!(
            space.release(mib(100, 10)?),
            Err(Error::NotAllocated { at })
        );
        assert_eq!(space.usable(align(GIB)?), Ok(GIB));
        Ok(())
    }

    #[test]
    fn ten_thousand_devices_come_and_go() -> Result {
        let mut space = space(40_000)?;
        // Leave a gap after each device.
        for n in 0..10_000 {
            assert!(space.reserve(mib(4 * n, 2)?).is_ok());
        }
        assert_eq!(space.available(), 20_000 * MIB);
        assert_eq!(space.usable(align(GIB)?), Ok(0));
        for n in 0..10_000 {
            assert!(space.release(mib(4 * (n * 7919 % 10_000), 2)?).is_ok());
        }
        assert_eq!(space.usable(align(GIB)?), Ok(39 * GIB));
        Ok(())
    }

    #[test]
    fn resize() -> Result {
        let mut space = space(100)?;
        let align = align(2 * MIB)?;
        let mut parts = InstanceRanges::new();
        assert!(parts.add(&mut space, mib(0, 10)?, align).is_ok());
        assert!(space.reserve(mib(20, 10)?).is_ok());

        assert!(parts.check_size(&space, 30 * MIB, align).is_ok());
        for gained in [Some(mib(10, 10)?), Some(mib(30, 10)?), None] {
            assert_eq!(parts.grow(&mut space, 30 * MIB, align), Ok(gained));
        }
        assert_eq!(space.available(), 60 * MIB);

        assert!(parts.check_size(&space, 4 * MIB, align).is_ok());
        for lost in [Some(mib(30, 10)?), Some(mib(4, 16)?), None] {
            assert_eq!(parts.shrink(&mut space, 4 * MIB), lost);
        }
        let error = parts.check_size(&space, 92 * MIB, align);
        let available = 86 * MIB;
        assert_eq!(error, Err(Error::NoSpace { available }));
        Ok(())
    }

    #[test]
    fn page_to_address() -> Result {
        let pages = |mib: u64| mib * MIB / PAGE_SIZE as u64;
        let part = |pgoff, range| InstanceRange { pgoff, range };
        let device = [
            part(0, mib(8, 2)?),
            part(pages(2), mib(0, 4)?),
            part(pages(6), mib(4, 2)?),
        ];
        assert_eq!(lookup(&device, 0, 2 * MIB), Some(BASE + 8 * MIB));
        assert_eq!(lookup(&device, pages(4), 2 * MIB), Some(BASE + 2 * MIB));
        assert_eq!(lookup(&device, pages(4), 4 * MIB), None);
        assert_eq!(lookup(&device, pages(8), 1), None);
        assert_eq!(
            lookup(&device[..1], 1, 1),
            Some(BASE + 8 * MIB + PAGE_SIZE as u64)
        );
        Ok(())
    }

    #[test]
    fn strings() -> Result {
        let name = parse::name(b"dax1.23\n").map_err(|_| EINVAL)?;
        assert_eq!((name.region, name.instance), (1, 23));
        assert_eq!(parse::name(b"dax01.2"), Err(Error::Malformed));
        assert_eq!(parse::range(b"0x100000000-13fffffff\n"), Ok(mib(0, 1024)?));
        assert_eq!(parse::range(b"2-1"), Err(Error::Empty));
        assert_eq!(parse::size(b"0x200000\n"), Ok(2 * MIB));
        assert_eq!(parse::size(b"18446744073709551616"), Err(Error::TooLarge));
        Ok(())
    }
}
