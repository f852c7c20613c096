// SPDX-License-Identifier: GPL-2.0

//! A stand-in on the host for the items of the `kernel` crate that the logic uses: vectors and
//! trees whose growth can fail, `fmt`, errors and the info block of libnvdimm. Names and semantics
//! are the same. In addition, tests can make allocations fail, and visits to the nodes of trees are
//! counted.

pub use core::fmt;

#[path = "../../../../../rust/kernel/dax/search.rs"]
pub mod search;

#[path = "../../../../../rust/kernel/mm/memremap/pages.rs"]
pub mod pages;

pub mod rbtree;

/// Items that need no other kernel code.
pub mod dax {
    pub use crate::search;

    /// The memory of instances.
    pub mod memory {
        use std::fmt;

        /// As on x86-64.
        pub fn align_is_valid(align: usize) -> bool {
            [4 << 10, 2 << 20, 1 << 30].contains(&align)
        }

        /// The same, as messages show it.
        pub struct Aligns;

        impl fmt::Display for Aligns {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0x1000, 0x200000 or 0x40000000")
            }
        }
    }
}

/// Memory management.
pub mod mm {
    /// The pages of a dev_pagemap.
    pub mod memremap {
        pub use crate::pages;
    }
}

/// Pages.
pub mod page {
    /// The page size of x86-64 and of most others.
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
    /// Its logarithm.
    pub const PAGE_SHIFT: usize = 12;
}

/// The prelude.
pub mod prelude {
    /// An error, by its number in C.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Error(i32);

    /// Bad message.
    pub const EBADMSG: Error = Error(-74);
    /// Operation not supported.
    pub const EOPNOTSUPP: Error = Error(-95);
}

/// Namespaces of persistent memory.
pub mod nvdimm {
    /// The bytes at the start of a namespace that are reserved for the info block.
    pub const INFO_BLOCK_RESERVE: u64 = 8 << 10;
    /// Size in bytes of the memmap's entry for one page.
    pub const PAGE_STRUCT_SIZE: u64 = 64;

    /// Where the memmap is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum MemmapLocation {
        /// In System RAM.
        Ram,
        /// In the namespace.
        Namespace,
    }

    /// The contents of an info block.
    #[derive(Clone, Copy, Debug)]
    #[allow(missing_docs)]
    pub struct InfoBlock {
        pub is_intact: bool,
        pub version: (u16, u16),
        pub mode: u32,
        pub data_offset: u64,
        pub npfns: u64,
        pub start_pad: u32,
        pub end_trunc: u32,
        pub align: u64,
    }

    impl InfoBlock {
        /// Where the memmap is, by the block.
        pub fn map(&self) -> Option<MemmapLocation> {
            match self.mode {
                1 => Some(MemmapLocation::Ram),
                2 => Some(MemmapLocation::Namespace),
                _ => None,
            }
        }
    }
}

/// Fallible allocation.
pub mod alloc {
    use std::{
        cell::Cell,
        ops::{Deref, DerefMut},
    };

    /// Allocation flags.
    pub mod flags {
        /// The flags of an allocation; this stand-in has only one kind.
        #[derive(Clone, Copy)]
        pub struct Flags;
        /// An allocation that may sleep.
        pub const GFP_KERNEL: Flags = Flags;
    }
    use flags::Flags;

    /// The allocation failed.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct AllocError;

    /// The vector is full; returns the element.
    #[derive(Debug)]
    pub struct PushError<T>(pub T);

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static VISITS: Cell<usize> = const { Cell::new(0) };
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    /// Lets the next `allocations` allocations of this thread succeed and all later ones fail. With
    /// `None`, all succeed.
    pub fn succeed(allocations: Option<usize>) {
        LEFT.set(allocations);
    }

    /// The number of tree nodes that this thread has visited since the last call.
    pub fn visits() -> usize {
        VISITS.replace(0)
    }

    /// Counts a visit to a node.
    pub(crate) fn visit() {
        VISITS.set(VISITS.get() + 1);
    }

    /// An allocation of this thread, with its size.
    pub(crate) struct Memory(usize);

    impl Memory {
        pub(crate) fn new(bytes: usize) -> Result<Self, AllocError> {
            allocate()?;
            BYTES.set(BYTES.get() + bytes);
            Ok(Self(bytes))
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            BYTES.set(BYTES.get() - self.0);
        }
    }

    /// The number of bytes that this thread's vectors and trees occupy.
    pub fn bytes() -> usize {
        BYTES.get()
    }

    fn allocate() -> Result<(), AllocError> {
        match LEFT.get() {
            Some(0) => Err(AllocError),
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    /// A vector.
    pub struct KVVec<T> {
        inner: Vec<T>,
        /// The requested capacity; `inner` may have more.
        capacity: usize,
    }

    #[allow(clippy::len_without_is_empty)] // Through the slice, as in the kernel.
    impl<T> KVVec<T> {
        /// An empty vector, without an allocation.
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self {
                inner: Vec::new(),
                capacity: 0,
            }
        }

        fn set_capacity(&mut self, capacity: usize) {
            BYTES.set(BYTES.get() + capacity * size_of::<T>() - self.capacity * size_of::<T>());
            self.capacity = capacity;
        }

        /// Reserves room for `additional` more elements.
        pub fn reserve(&mut self, additional: usize, _: Flags) -> Result<(), AllocError> {
            if self.capacity - self.inner.len() >= additional {
                return Ok(());
            }
            allocate()?;
            self.set_capacity(usize::max(self.capacity * 2, self.inner.len() + additional));
            Ok(())
        }

        /// Appends an element.
        pub fn push(&mut self, element: T, flags: Flags) -> Result<(), AllocError> {
            self.reserve(1, flags)?;
            self.inner.push(element);
            Ok(())
        }

        /// Appends an element without an allocation.
        pub fn push_within_capacity(&mut self, element: T) -> Result<(), PushError<T>> {
            if self.inner.len() == self.capacity {
                return Err(PushError(element));
            }
            self.inner.push(element);
            Ok(())
        }

        /// Removes the last element.
        pub fn pop(&mut self) -> Option<T> {
            self.inner.pop()
        }

        /// The number of elements.
        pub fn len(&self) -> usize {
            self.inner.len()
        }

        /// The number of elements that fit without another allocation.
        pub fn capacity(&self) -> usize {
            self.capacity
        }
    }

    impl<T> Drop for KVVec<T> {
        fn drop(&mut self) {
            self.set_capacity(0);
        }
    }

    impl<T> Deref for KVVec<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.inner
        }
    }

    impl<T> DerefMut for KVVec<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.inner
        }
    }
}
