// SPDX-License-Identifier: GPL-2.0

//! Growing a vector without a panic.
//!
//! The arithmetic in [`Vec::reserve`] and [`Vec::push`] cannot overflow, but the compiler does not
//! know that. Whoever calls them, in a kernel with `CONFIG_RUST_OVERFLOW_CHECKS`, has a panic in
//! the object code, which nobody can tell from one that can happen. These here have none.

use super::{
    AllocError,
    Allocator,
    Flags,
    NumaNode,
    Vec, //
};
use core::{
    alloc::Layout,
    mem,
    ptr::NonNull, //
};

/// Growing without a panic.
pub trait Append<T> {
    /// Makes room for `more` elements, at least. In the long run that takes O(1) for each element,
    /// even if the vector grows one by one.
    fn make_room(&mut self, more: usize, flags: Flags) -> Result<(), AllocError>;

    /// Adds an element at the end.
    fn append(&mut self, element: T, flags: Flags) -> Result<(), AllocError>;
}

impl<T, A: Allocator> Append<T> for Vec<T, A> {
    #[inline]
    fn make_room(&mut self, more: usize, flags: Flags) -> Result<(), AllocError> {
        // By the type invariants of `Vec` this does not wrap.
        if more <= self.capacity().wrapping_sub(self.len()) {
            return Ok(());
        }
        if size_of::<T>() == 0 {
            return Err(AllocError);
        }

        let (start, len, capacity) = mem::take(self).into_raw_parts();
        // SAFETY: `start` is what the vector had, which nobody else frees.
        let (start, capacity, result) = unsafe {
            let start = NonNull::new_unchecked(start).cast();

            match grown::<A>(start, len, capacity, more, Layout::new::<T>(), flags) {
                Ok((start, capacity)) => (start, capacity, Ok(())),
                Err(error) => (start, capacity, Err(error)),
            }
        };
        // SAFETY: `start` has room for so many elements, and the first `len` are still there.
        let vec = unsafe { Vec::from_raw_parts(start.as_ptr().cast(), len, capacity) };
        // The one that took its place is empty: there is nothing to free.
        mem::forget(mem::replace(self, vec));
        result
    }

    #[inline]
    fn append(&mut self, element: T, flags: Flags) -> Result<(), AllocError> {
        self.make_room(1, flags)?;
        self.push_within_capacity(element).map_err(|_| AllocError)
    }
}

/// Larger memory, with the same in it, and how many elements there is room for.
///
/// It does not depend on the type of the elements, so that there is one for all of them.
///
/// # Safety
///
/// `start` is memory of `A` for `capacity` elements of a layout that is not empty, or dangling if
/// that is 0. It belongs to the caller, and no more so once this succeeds.
#[inline(never)]
unsafe fn grown<A: Allocator>(
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
    more: usize,
    element: Layout,
    flags: Flags,
) -> Result<(NonNull<u8>, usize), AllocError> {
    let needed = len.checked_add(more).ok_or(AllocError)?;
    let room = needed.max(capacity.saturating_mul(2));
    let array = |len: usize| {
        let size = element.size().checked_mul(len).ok_or(AllocError)?;

        Layout::from_size_align(size, element.align()).map_err(|_| AllocError)
    };

    // SAFETY: By the caller; the layouts are those of arrays.
    let memory = unsafe {
        A::realloc(
            Some(start),
            array(room)?,
            array(capacity)?,
            flags,
            NumaNode::NO_NODE,
        )
    }?;
    Ok((memory.cast(), room))
}
