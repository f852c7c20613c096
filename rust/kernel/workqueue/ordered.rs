// SPDX-License-Identifier: GPL-2.0

//! Queues of one's own.
//!
//! Whoever queues work that is code of a module has to wait for it before the module goes. The
//! queues of the system cannot be waited for; one's own is, when it is dropped.

use super::{
    Queue,
    RawWorkItem, //
};
use crate::{
    bindings,
    prelude::*, //
};
use core::ptr::NonNull;

/// A queue that runs one item at a time, in the order in which they came.
///
/// Dropping it waits until all items have run. So no item of it may own it.
///
/// # Invariants
///
/// The pointer is to a workqueue that only this value destroys.
pub struct OrderedQueue(NonNull<bindings::workqueue_struct>);

impl OrderedQueue {
    /// Makes a queue. The name is for those who look for it, in `ps` for instance.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The format takes one string, of which the function makes a copy.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_UNBOUND | bindings::wq_flags___WQ_ORDERED,
                1,
                name.as_char_ptr(),
            )
        };

        // INVARIANT: Just made.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// Puts an item into the queue.
    ///
    /// There is no `try_spawn()` here as [`Queue`] has it. To lockdep all that is queued so is the
    /// same, so an item that waits for another queue seems to wait for itself; and the name of the
    /// lock class goes with the module that is unloaded, but the class does not.
    pub fn enqueue<W, const ID: u64>(&self, item: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        // SAFETY: By the type invariant, the queue is valid for as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr()) }.enqueue(item)
    }

    /// Waits until the items that are in the queue now have run. Not from one of them.
    pub fn flush(&self) {
        // SAFETY: By the type invariant, the queue is valid.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) }
    }
}

impl Drop for OrderedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the queue is ours to destroy.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) }
    }
}

// SAFETY: A workqueue can be used and destroyed by any thread.
unsafe impl Send for OrderedQueue {}

// SAFETY: What can be done with a shared reference is thread safe.
unsafe impl Sync for OrderedQueue {}
