// SPDX-License-Identifier: GPL-2.0

//! SRCU domains that exist from the start of the kernel.
//!
//! [`Srcu`](crate::sync::Srcu) is initialised at run time, so a static one would have to be looked
//! for, and found missing, each time it is used. A [`StaticSrcu`] is defined at compile time
//! instead, by `DEFINE_SRCU()` in C: its per-CPU counters, its lockdep map and, in a module, its
//! entry in the list of domains to set up come from that macro, and there is no counterpart to
//! them in Rust. Its read side compiles to what `srcu_read_lock()` compiles to.
//!
//! C header: [`include/linux/srcu.h`](srctree/include/linux/srcu.h)

use crate::{
    bindings,
    ffi::c_int,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use core::marker::PhantomData;

/// An SRCU domain that `DEFINE_SRCU()` defines.
///
/// There is no way to make one in Rust; this is a reference to one that C has made. The type `D` is its
/// name, so that a section of another domain is not taken for one of this.
///
/// # Invariants
///
/// The value is an initialised `struct srcu_struct` that lives forever, and the only one with this `D`.
#[repr(transparent)]
pub struct StaticSrcu<D: 'static>(Opaque<bindings::srcu_struct>, PhantomData<fn(D)>);

// SAFETY: All functions of SRCU may be called from any thread, concurrently.
unsafe impl<D> Sync for StaticSrcu<D> {}

impl<D> StaticSrcu<D> {
    /// Makes a reference of a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is a `struct srcu_struct` that `DEFINE_SRCU()` or `DEFINE_STATIC_SRCU()` defines in
    /// the kernel, or in the module that calls this. `D` is used for no other one.
    #[inline]
    pub const unsafe fn from_raw(ptr: *mut bindings::srcu_struct) -> &'static Self {
        // SAFETY: `Self` is transparent.
        // INVARIANT: By the safety requirement it is initialised, and lives forever.
        unsafe { &*ptr.cast() }
    }

    /// Enters a read-side critical section, which lasts until the guard is dropped.
    ///
    /// The section may sleep. [`Self::synchronize`] waits for it.
    #[inline]
    pub fn read_lock(&'static self) -> Guard<D> {
        // INVARIANT: The index comes from `srcu_read_lock()` of this domain.
        Guard {
            domain: self,
            index: self.read_lock_raw(),
            _not_send: NotThreadSafe,
        }
    }

    /// Enters a read-side critical section that C code will leave.
    ///
    /// Returns the index that `srcu_read_unlock()` wants.
    #[inline]
    pub fn read_lock_raw(&self) -> c_int {
        // SAFETY: By the type invariant this is an initialised `struct srcu_struct`.
        unsafe { bindings::srcu_read_lock(self.0.get()) }
    }

    /// Leaves a read-side critical section that C code entered.
    ///
    /// # Safety
    ///
    /// `index` comes from [`Self::read_lock_raw`] of this domain and is not used again, and what
    /// the section protects is not used any more.
    #[inline]
    pub unsafe fn read_unlock_raw(&self, index: c_int) {
        // SAFETY: By the type invariant this is an initialised `struct srcu_struct`, and the
        // caller vouches for the index.
        unsafe { bindings::srcu_read_unlock(self.0.get(), index) };
    }

    /// Takes the caller's word that it runs in a read-side critical section; lockdep checks it.
    ///
    /// # Safety
    ///
    /// The current thread is in a read-side critical section of this domain all through `'a`.
    #[inline]
    pub unsafe fn assume_held<'a>(&self) -> Held<'a, D> {
        // With lockdep only: elsewhere the helper is empty, and would still be called in a kernel
        // that does not inline helpers.
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: By the type invariant this is an initialised `struct srcu_struct`.
        unsafe {
            bindings::srcu_assert_held(self.0.get())
        };

        // INVARIANT: By the safety requirement the section lasts for `'a`.
        Held(PhantomData, NotThreadSafe)
    }

    /// Waits until every read-side critical section that is under way has ended. Sleeps.
    #[inline]
    pub fn synchronize(&self) {
        // SAFETY: By the type invariant this is an initialised `struct srcu_struct`.
        unsafe { bindings::synchronize_srcu(self.0.get()) };
    }
}

/// A read-side critical section. It ends when this is dropped.
///
/// # Invariants
///
/// `index` comes from `srcu_read_lock()` of `domain`, and its section has not ended.
#[must_use = "the critical section ends at once when the guard is unused"]
pub struct Guard<D: 'static> {
    domain: &'static StaticSrcu<D>,
    index: c_int,
    _not_send: NotThreadSafe,
}

impl<D> Guard<D> {
    /// Returns the proof that the section has not ended.
    #[inline]
    pub fn held(&self) -> Held<'_, D> {
        // INVARIANT: The section lasts as long as the guard, which is borrowed.
        Held(PhantomData, NotThreadSafe)
    }
}

impl<D> Drop for Guard<D> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant `index` belongs to `domain` and is not used elsewhere.
        // Whatever the section protects was reached through a `Held`, which borrows `self`.
        unsafe { self.domain.read_unlock_raw(self.index) };
    }
}

/// The proof that a read-side critical section lasts for `'a`, whoever entered it.
///
/// # Invariants
///
/// The current thread is in a read-side critical section of the domain `D` for `'a`.
pub struct Held<'a, D: 'static>(PhantomData<&'a Guard<D>>, NotThreadSafe);

impl<D> Clone for Held<'_, D> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Held<'_, D> {}
