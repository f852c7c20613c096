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
    Vec, //
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
        let needed = self.len().checked_add(more).ok_or(AllocError)?;
        if needed <= self.capacity() {
            return Ok(());
        }

        let room = needed.max(self.capacity().saturating_mul(2));
        let larger = Vec::with_capacity(room, flags)?;
        for element in core::mem::replace(self, larger) {
            self.push_within_capacity(element).map_err(|_| AllocError)?;
        }
        Ok(())
    }

    #[inline]
    fn append(&mut self, element: T, flags: Flags) -> Result<(), AllocError> {
        self.make_room(1, flags)?;
        self.push_within_capacity(element).map_err(|_| AllocError)
    }
}
