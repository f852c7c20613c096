// SPDX-License-Identifier: GPL-2.0

//! Rate limiting of messages that user space can provoke.
//!
//! A request that is refused deserves a line in the log, but its sender must not be able to fill
//! the log. The macros here print at most a burst of messages per interval. The kernel counts the
//! messages that were held back, and reports the number when the next message passes.
//!
//! Each use of a macro has a budget of its own, as in C: a noisy message never silences another
//! one.
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     dev_err_ratelimited,
//!     device::Device, //
//! };
//!
//! /// Refuses a request of user space.
//! fn refuse(dev: &Device, size: usize) -> Error {
//!     dev_err_ratelimited!(dev, "the size {} is not a multiple of 2\n", size);
//!     EINVAL
//! }
//! ```
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::{
    bindings,
    prelude::*,
    str::CStr,
    sync::atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        },
        Atomic, //
    },
    types::Opaque, //
};

const EMPTY: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;

/// The budget of one message, for a `static`: a `struct ratelimit_state`.
///
/// C initialises such a state at compile time. Rust cannot: with lock debugging, the lock in it has
/// a magic number and a class. So the first message initialises the state.
///
/// # Invariants
///
/// - `begun` is one of `EMPTY`, `BUSY`, `READY`, and changes in this order only.
/// - While `begun` is `BUSY`, only the thread that set it accesses `state`.
/// - While `begun` is `READY`, `state` is initialised.
pub struct Ratelimit {
    begun: Atomic<u32>,
    state: Opaque<bindings::ratelimit_state>,
}

impl Ratelimit {
    /// Creates a full budget.
    ///
    /// The limits are `DEFAULT_RATELIMIT_BURST` (10) messages per `DEFAULT_RATELIMIT_INTERVAL` (5
    /// s).
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: `EMPTY` says nothing about `state`.
        Self {
            begun: Atomic::new(EMPTY),
            state: Opaque::uninit(),
        }
    }

    /// Returns whether a message may be printed now, and takes it from the budget.
    ///
    /// `site` tells where the message comes from; the kernel names it when it reports how many
    /// messages were held back. May be called from any context.
    pub fn allows(&'static self, site: &CStr) -> bool {
        if self.begun.load(Acquire) != READY {
            // INVARIANT: From `EMPTY` to `BUSY`; only one thread succeeds.
            if self.begun.cmpxchg(EMPTY, BUSY, Relaxed).is_err() {
                // Another thread is printing the first message, so there is budget left. This
                // context may be one that cannot wait for that thread.
                return true;
            }
            // SAFETY: By the type invariants only this thread accesses the state.
            unsafe { bindings::ratelimit_default_init(self.state.get()) };
            // INVARIANT: From `BUSY` to `READY`, by the thread that made it `BUSY`.
            self.begun.store(READY, Release);
        }

        // SAFETY: By the type invariants the state is initialised. The function locks it.
        unsafe { bindings::___ratelimit(self.state.get(), site.as_char_ptr()) != 0 }
    }
}

// SAFETY: By the type invariants one thread initialises the state. Then `___ratelimit()` is the
// only access to it, which any thread may call.
unsafe impl Sync for Ratelimit {}

/// Returns whether a message may be printed at the line of this macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __ratelimit_here {
    () => {{
        static LIMIT: $crate::ratelimit::Ratelimit = $crate::ratelimit::Ratelimit::new();

        LIMIT.allows($crate::c_str!(::core::concat!(
            ::core::module_path!(),
            ":",
            ::core::line!()
        )))
    }};
}

/// Prints an error-level message about a device, unless this line printed too many recently.
///
/// Equivalent to the kernel's `dev_err_ratelimited` macro.
#[macro_export]
macro_rules! dev_err_ratelimited {
    ($($f:tt)*) => {
        if $crate::__ratelimit_here!() {
            $crate::dev_err!($($f)*)
        }
    }
}

/// Prints an info-level message about a device, unless this line printed too many recently.
///
/// Equivalent to the kernel's `dev_info_ratelimited` macro.
#[macro_export]
macro_rules! dev_info_ratelimited {
    ($($f:tt)*) => {
        if $crate::__ratelimit_here!() {
            $crate::dev_info!($($f)*)
        }
    }
}
