// SPDX-License-Identifier: GPL-2.0

//! Rate limiting of messages that user space can provoke.
//!
//! A request that is refused deserves a line in the log, but whoever sends the request must not be
//! able to fill the log with it. The macros here print at most a burst of messages per interval;
//! what was held back is counted and reported by the kernel when the next message passes.
//!
//! The budget is one per module (and one for everything that is built in), not one per line.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::bindings;

/// Returns whether a message may be printed now, and takes it from the budget.
///
/// The limits are `DEFAULT_RATELIMIT_BURST` (10) messages per `DEFAULT_RATELIMIT_INTERVAL` (5 s).
/// May be called from any context.
#[inline]
pub fn ratelimit() -> bool {
    // SAFETY: The helper only uses a `struct ratelimit_state` of its own.
    unsafe { bindings::ratelimit() }
}

/// Prints an error-level message about a device, unless there were too many of late.
///
/// Equivalent to the kernel's `dev_err_ratelimited` macro, but see [`ratelimit`](self) for the
/// budget.
#[macro_export]
macro_rules! dev_err_ratelimited {
    ($($f:tt)*) => {
        if $crate::ratelimit::ratelimit() {
            $crate::dev_err!($($f)*)
        }
    }
}

/// Prints an info-level message about a device, unless there were too many of late.
///
/// Equivalent to the kernel's `dev_info_ratelimited` macro, but see [`ratelimit`](self) for the
/// budget.
#[macro_export]
macro_rules! dev_info_ratelimited {
    ($($f:tt)*) => {
        if $crate::ratelimit::ratelimit() {
            $crate::dev_info!($($f)*)
        }
    }
}
