// SPDX-License-Identifier: GPL-2.0

//! Statics that are initialised at their first use.

use super::atomic::{
    ordering::{
        Acquire,
        Relaxed,
        Release, //
    },
    Atomic,
};
use crate::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};

const EMPTY: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;

/// A place for a value that has to be pinned and cannot be made at compile time, like a
/// [`Mutex`](super::Mutex), for a `static`.
///
/// Unlike [`SetOnce`](super::SetOnce) it is never found empty, and unlike
/// [`global_lock!`](super::global_lock) nobody has to see to it that it is initialised in time.
///
/// A static is never dropped, and neither is the value. In a module, leave nothing in it that has to
/// be undone.
///
/// # Invariants
///
/// - `state` is one of `EMPTY`, `BUSY`, `READY`, and changes in this order only.
/// - While it is `BUSY`, the thread that set it so has `value` for itself.
/// - When it is `READY`, `value` is initialised, and does not move any more.
pub struct Lazy<T> {
    state: Atomic<u32>,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Lazy<T> {
    /// Makes a place without a value.
    pub const fn new() -> Self {
        // INVARIANT: `EMPTY` demands nothing.
        Self {
            state: Atomic::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Returns the value, which is initialised by `init` if this is its first use.
    ///
    /// May sleep: who comes while somebody else initialises the value waits. So `init` must not use
    /// the same place.
    pub fn get_or_init(&'static self, init: impl PinInit<T>) -> &'static T {
        if self.state.load(Acquire) != READY && begin(&self.state) {
            // SAFETY: By the type invariants the value is ours alone; a static does not move.
            unsafe { pin_init::raw_init(self.value.get().cast(), init) };

            // INVARIANT: From `BUSY` to `READY`, by the thread that made it `BUSY`.
            self.state.store(READY, Release);
        }

        // SAFETY: By the type invariants, a value that is `READY` is initialised, and only shared
        // references to it are given out.
        unsafe { (*self.value.get()).assume_init_ref() }
    }
}

/// Returns whether it is for the caller to initialise the value; if not, it is `READY`.
#[cold]
fn begin(state: &Atomic<u32>) -> bool {
    // INVARIANT: From `EMPTY` to `BUSY`; only one thread succeeds.
    if state.cmpxchg(EMPTY, BUSY, Relaxed).is_ok() {
        return true;
    }

    while state.load(Acquire) != READY {
        fsleep(Delta::from_micros(10));
    }
    false
}

// SAFETY: The value can be made by one thread and be used by others.
unsafe impl<T: Send + Sync> Sync for Lazy<T> {}
