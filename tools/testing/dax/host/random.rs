// SPDX-License-Identifier: GPL-2.0

//! Random test input that is the same on every run.

/// A generator of numbers: xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 16) % limit
    }

    /// One of the elements.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Runs `property` on `cases` sequences of up to `longest` random steps. If one fails, leaves out
/// whatever it does not need to fail, and fails with what remains.
pub(crate) fn check_sequences<Step: Clone + std::fmt::Debug>(
    cases: u64,
    longest: u64,
    mut step: impl FnMut(&mut Random) -> Step,
    property: impl Fn(&[Step]),
) {
    let fails = |steps: &[Step]| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(steps))).is_err()
    };
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let len = 1 + random.below(longest);
        let mut steps: Vec<Step> = (0..len).map(|_| step(&mut random)).collect();
        if !fails(&steps) {
            continue;
        }
        let mut size = steps.len();
        while size > 0 {
            let mut at = 0;
            while at < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(at..steps.len().min(at + size));
                if fails(&fewer) {
                    steps = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        println!("seed {seed}, reduced to {} steps: {steps:#?}", steps.len());
        property(&steps);
        unreachable!();
    }
}
