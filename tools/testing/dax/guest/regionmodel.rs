// SPDX-License-Identifier: GPL-2.0

//! Makes random requests to a dynamic region of this machine and to two models of it. After each
//! request all three must return the same result and show the same state.
//!
//! `regionmodel DAX_REGION STEPS SEED`: DAX_REGION is the region's directory `dax_region`, STEPS
//! the minimum number of requests. A sequence that fails is reduced and printed, and the status is
//! 1.

use dax_host::{
    region::{op, Logic, Model, Op, Region, Units},
    sysfs::Sysfs,
};
use proptest::{
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use std::{
    cell::{Cell, RefCell},
    env,
    path::Path,
    process::ExitCode,
};

/// The maximum number of requests in a sequence.
const LONGEST: usize = 200;
/// The maximum number of attempts to shorten a sequence that fails. Each may take a second.
const ATTEMPTS: u32 = 600;

/// Makes the requests and counts them.
fn run(sysfs: &mut Sysfs, ops: &[Op], made: &Cell<u64>) -> Result<(), String> {
    sysfs.empty();
    let fixed = sysfs.fixed();
    let mut simple = Model::<Units>::new(fixed);
    let mut logic = Model::<Logic>::new(fixed);
    let mut now = simple.view();
    for (turn, op) in ops.iter().enumerate() {
        let request = op.request(&now, &fixed);
        let expected = request.make(&mut simple);
        let answer = request.make(sysfs);
        made.set(made.get() + 1);
        request
            .check("the kernel", &answer, &expected)
            .and_then(|()| request.check("its logic", &request.make(&mut logic), &expected))
            .map_err(|why| format!("request {turn}: {why}"))?;
        now = expected.view;
    }
    Ok(())
}

/// Runs the sequence again and describes each request.
fn tell(sysfs: &Sysfs, ops: &[Op]) {
    let fixed = sysfs.fixed();
    let mut simple = Model::<Units>::new(fixed);
    for (turn, op) in ops.iter().enumerate() {
        let request = op.request(&simple.view(), &fixed);
        println!(
            "{turn}: {request}: {:x?} is right",
            request.make(&mut simple).result
        );
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let numbers: Vec<u64> = arguments
        .iter()
        .skip(2)
        .filter_map(|n| n.parse().ok())
        .collect();
    let &[steps, seed] = &numbers[..] else {
        eprintln!("usage: regionmodel DAX_REGION STEPS SEED");
        return ExitCode::from(2);
    };
    let sysfs = RefCell::new(Sysfs::new(Path::new(&arguments[1])));
    let made = Cell::new(0);
    let failed = Cell::new(false);
    let mut result = Ok(());
    let mut round = seed;
    while made.get() < steps && result.is_ok() {
        let config = Config {
            cases: 10,
            max_shrink_iters: ATTEMPTS,
            failure_persistence: None,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&round.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        result = TestRunner::new_with_rng(config, random).run(&vec(op(), 1..=LONGEST), |ops| {
            run(&mut sysfs.borrow_mut(), &ops, &made).map_err(|why| {
                if !failed.replace(true) {
                    println!("seed {round}: {why}");
                }
                TestCaseError::fail(why)
            })
        });
        match &result {
            Ok(()) => {
                println!("seed {round} is right, {} requests", made.get());
                round += 1;
            }
            Err(TestError::Fail(why, ops)) => {
                println!(
                    "seed {round}, reduced to {} requests: {}",
                    ops.len(),
                    why.message()
                );
                tell(&sysfs.borrow(), ops);
            }
            Err(why) => println!("seed {round}: {why}"),
        }
    }
    sysfs.borrow_mut().empty();
    println!(
        "# count: {} requests to a region, each compared with two models",
        made.get()
    );
    ExitCode::from(u8::from(result.is_err()))
}
