// SPDX-License-Identifier: GPL-2.0

//! Compares the kernel's logic with models and reference code, for random requests and for requests
//! that a fuzzer chooses.

use crate::{
    info_block, memory, reference,
    region::{op, Fixed, Logic, Model, Op, Region, Units},
};
use proptest::{
    collection::vec,
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// A region whose ends are not multiples of the largest align.
const REGION: Fixed = Fixed {
    id: 0,
    start: (6 << 30) + (6 << 20),
    len: (4 << 30) - (16 << 20),
    align: 2 << 20,
    block: 128 << 20,
    memmap_on_memory: true,
};

/// Checks that the kernel's logic and the simple model behave the same for these requests.
fn region(ops: &[Op]) {
    let mut simple = Model::<Units>::new(REGION);
    let mut logic = Model::<Logic>::new(REGION);
    let mut now = simple.view();
    for op in ops {
        let request = op.request(&now, &REGION);
        let expected = request.make(&mut simple);
        let answer = request.make(&mut logic);
        assert_eq!(request.check("the logic", &answer, &expected), Ok(()));
        now = expected.view;
    }
}

/// Generates requests to a region from a fuzzer's bytes, and checks them.
pub fn fuzz_region(bytes: &[u8]) {
    let random = TestRng::from_seed(RngAlgorithm::PassThrough, bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    if let Ok(ops) = vec(op(), 1..=60).new_tree(&mut runner) {
        region(&ops.current());
    }
}

/// Checks the parsers with a fuzzer's bytes as the written text.
pub fn fuzz_text(bytes: &[u8]) {
    reference::check(bytes);
    memory::check_state(bytes);
}

/// Makes an info block and ranges of memory from a fuzzer's bytes, and checks them.
pub fn fuzz_memory(bytes: &[u8]) {
    let (block, namespace) = info_block::made_of(bytes);
    info_block::check(&block, &namespace);
    memory::check(bytes);
}

/// Defines libFuzzer's entry point, which calls a function with the fuzzer's bytes.
#[macro_export]
macro_rules! fuzz_target {
    ($function:path) => {
        #[no_mangle]
        extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
            let bytes = if size == 0 {
                &[][..]
            } else {
                // SAFETY: libFuzzer passes `size` bytes, and does not change them during the call.
                unsafe { std::slice::from_raw_parts(data, size) }
            };
            $function(bytes);
            0
        }
    };
}

#[cfg(test)]
#[test]
fn random_requests() {
    crate::random::check_sequences(200, 200, op(), region);
}
