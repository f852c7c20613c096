// SPDX-License-Identifier: GPL-2.0

//! Compares the check of info blocks with a plain form of its rules, in integers that cannot
//! overflow.

use crate::data::Data;
use kernel::nvdimm::{InfoBlock, INFO_BLOCK_RESERVE, PAGE_STRUCT_SIZE};
use std::ops::Range;

const PAGE: i128 = 4096;

/// The range of the data, if the block is valid for this namespace.
fn expected(block: &InfoBlock, namespace: &Range<u64>) -> Option<(i128, i128)> {
    let wide = |number: u64| i128::from(number);
    let (start_pad, end_trunc) = (i128::from(block.start_pad), i128::from(block.end_trunc));
    let start = wide(namespace.start) + start_pad + wide(block.data_offset);
    let end = wide(namespace.end) - end_trunc;
    let align = wide(block.align);
    let memmap = (end - wide(namespace.start) - start_pad - wide(INFO_BLOCK_RESERVE)) / PAGE
        * wide(PAGE_STRUCT_SIZE);

    let is_good = block.is_intact
        && block.version.0 == 1
        && [4 << 10, 2 << 20, 1 << 30].contains(&align)
        && wide(block.data_offset) >= wide(INFO_BLOCK_RESERVE)
        && end - start == wide(block.npfns) * PAGE
        && end > start
        && start % align == 0
        && end % align == 0
        && match block.mode {
            1 => true,
            2 => wide(block.data_offset) >= wide(INFO_BLOCK_RESERVE) + memmap,
            _ => false,
        };

    is_good.then_some((start, end))
}

/// Compares the result of the check with the rules. A refusal must come with a sentence.
pub(crate) fn check(block: &InfoBlock, namespace: &Range<u64>) -> bool {
    let found = Data::new(block, namespace);

    match &found {
        Ok(data) => {
            assert_eq!(
                u64::from(data.align),
                block.align,
                "{block:?} {namespace:x?}"
            );
            assert!(data.range.start >= namespace.start && data.range.end <= namespace.end);
        }
        Err(refusal) => assert!(format!("{}; {}", refusal, refusal.fault.remedy).len() > 20),
    }
    let found = found
        .ok()
        .map(|data| (data.range.start.into(), data.range.end.into()));
    assert_eq!(
        found,
        expected(block, namespace),
        "{block:?} {namespace:x?}"
    );
    found.is_some()
}

/// Makes a block and a namespace from bytes. Each field has ndctl's value or one from the bytes.
pub(crate) fn made_of(bytes: &[u8]) -> (InfoBlock, Range<u64>) {
    let mut bytes = bytes.iter().copied();
    let mut byte = || bytes.next().unwrap_or(0);
    let odd = byte();
    let more = byte();
    let mut any = |bit: bool, usual: u64| {
        if !bit {
            return usual;
        }
        let number = u64::from_le_bytes(std::array::from_fn(|_| byte()));
        number >> (number & 63)
    };
    let align = [4 << 10, 2 << 20, 1 << 30][usize::from(more & 3) % 3];
    let start = any(odd & 1 != 0, 4 << 30);
    let size = any(odd & 2 != 0, 3 << 30);
    let namespace = start..start.saturating_add(size);
    let mode = any(odd & 4 != 0, u64::from(more >> 2 & 1) + 1) as u32;
    let align = any(odd & 8 != 0, align);
    // The right number of pages, or a few too many or too few.
    let missing = if more & 0xc0 == 0x40 {
        u64::from(more >> 4 & 3) << 12
    } else {
        0
    };
    let room = if mode == 2 {
        (size / 64).saturating_sub(missing)
    } else {
        0
    };
    let usual = (INFO_BLOCK_RESERVE + room)
        .checked_next_multiple_of(align.max(1))
        .unwrap_or(u64::MAX);
    let data_offset = any(odd & 16 != 0, usual);
    let start_pad = any(odd & 32 != 0, 0) as u32;
    let end_trunc = any(odd & 64 != 0, 0) as u32;
    let left = size
        .saturating_sub(data_offset)
        .saturating_sub(start_pad.into())
        .saturating_sub(end_trunc.into());
    let npfns = any(odd & 128 != 0, left / 4096);
    let block = InfoBlock {
        is_intact: more & 8 == 0 || more & 0xf0 != 0,
        version: if more & 0xf0 == 0x10 {
            (any(true, 0) as u16, 0)
        } else {
            (1, 4)
        },
        mode,
        data_offset,
        npfns,
        start_pad,
        end_trunc,
        align,
    };

    (block, namespace)
}

#[cfg(test)]
#[test]
fn random_info_blocks() {
    let mut random = crate::random::Random::new(5);
    let mut good = 0;
    for _ in 0..500_000 {
        let bytes: Vec<u8> = (0..40).map(|_| random.number() as u8).collect();
        let mut bytes = bytes;
        // Only a few fields have unusual values.
        bytes[0] &= random.number() as u8 & random.number() as u8;
        let (block, namespace) = made_of(&bytes);
        good += u32::from(check(&block, &namespace));
    }
    assert!((50_000..450_000).contains(&good), "{good}");
}

#[cfg(test)]
#[test]
fn one_field_at_a_time() {
    let good = made_of(&[]);
    assert!(check(&good.0, &good.1));
    let namespace = good.1;
    let wrong = |change: &dyn Fn(&mut InfoBlock)| {
        let mut block = good.0;
        change(&mut block);
        assert!(!check(&block, &namespace), "{block:?}");
    };
    wrong(&|b| b.is_intact = false);
    wrong(&|b| b.version.0 = 2);
    wrong(&|b| b.mode = 3);
    wrong(&|b| b.align = 8192);
    wrong(&|b| b.npfns -= 1);
    wrong(&|b| b.npfns += 1);
    wrong(&|b| b.npfns = 0);
    wrong(&|b| b.npfns = u64::MAX);
    wrong(&|b| b.data_offset = 4096);
    wrong(&|b| b.data_offset = u64::MAX);
    wrong(&|b| b.start_pad = 4096);
    wrong(&|b| b.end_trunc = u32::MAX);
}
