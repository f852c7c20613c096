// SPDX-License-Identifier: GPL-2.0

//! Static SRCU domains, and tokens for their read-side critical sections.

use super::{
    Guard,
    Srcu, //
};
use crate::{
    bindings,
    types::NotThreadSafe, //
};

use core::{
    marker::PhantomData,
    ops::Deref, //
};

/// A static SRCU domain, which the type `D` names.
///
/// C code defines it with `DEFINE_SRCU()` or `DEFINE_STATIC_SRCU()`. Rust cannot define one: its
/// per-CPU counters and its lockdep map come from these macros, and in a module also the entry in
/// the section from which the module loader sets up the domains. If a [`Srcu`] was initialised at
/// run time instead, every reader would first have to check whether it exists.
///
/// The name `D` tells the domains apart at compile time: a function that takes a [`Held`]
/// of `D` cannot be called in a section of another domain.
///
/// # Invariants
///
/// The value is never dropped. No other domain has the name `D`.
///
/// # Examples
///
/// ```
/// use kernel::sync::srcu::{
///     Held,
///     StaticSrcu, //
/// };
///
/// /// The name of a domain.
/// enum Settings {}
///
/// fn limit(_section: Held<'_, Settings>) -> usize {
///     42
/// }
///
/// fn is_allowed(domain: &'static StaticSrcu<Settings>, size: usize) -> bool {
///     let guard = domain.read_lock();
///
///     size <= limit(guard.held())
/// }
/// ```
#[repr(transparent)]
pub struct StaticSrcu<D: 'static>(Srcu, PhantomData<fn(D)>);

impl<D> StaticSrcu<D> {
    /// Creates a reference to a domain that C code defines.
    ///
    /// # Safety
    ///
    /// - `DEFINE_SRCU()` or `DEFINE_STATIC_SRCU()` defines `ptr`, in the kernel image or in the
    ///   module that calls this.
    /// - `D` is the name of no other domain.
    #[inline]
    pub const unsafe fn from_raw(ptr: *mut bindings::srcu_struct) -> &'static Self {
        // INVARIANT: By the safety requirements. A reference does not drop the value.
        // SAFETY: `Self` and `Srcu` are transparent. The domain is valid as long as there is code
        // to use it.
        unsafe { &*ptr.cast() }
    }

    /// Enters an SRCU read-side critical section.
    #[inline]
    pub fn read_lock(&'static self) -> StaticGuard<D> {
        // INVARIANT: The guard is one of this domain, and `D` is its name.
        StaticGuard {
            _guard: self.0.read_lock(),
            _domain: PhantomData,
        }
    }

    /// Returns a token for a section that the caller knows to be in. Lockdep checks it.
    ///
    /// # Safety
    ///
    /// The current thread is in an SRCU read-side critical section of this domain for all of `'a`.
    #[inline]
    pub unsafe fn assume_held<'a>(&self) -> Held<'a, D> {
        // Without lockdep the helper is empty, but a kernel that does not inline helpers would
        // still call it.
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: By the type invariants of `Srcu`, this is a valid `struct srcu_struct`.
        unsafe {
            bindings::srcu_assert_held(self.0.inner.get())
        };

        // INVARIANT: By the safety requirements.
        Held(PhantomData, NotThreadSafe)
    }
}

impl<D> Deref for StaticSrcu<D> {
    type Target = Srcu;

    #[inline]
    fn deref(&self) -> &Srcu {
        &self.0
    }
}

/// Guard for an active SRCU read-side critical section of the domain `D`.
///
/// # Invariants
///
/// `_guard` is a guard of the domain that `D` names.
#[must_use = "if unused, the lock will be immediately unlocked"]
pub struct StaticGuard<D: 'static> {
    _guard: Guard<'static>,
    _domain: PhantomData<fn(D)>,
}

impl<D> StaticGuard<D> {
    /// Returns a token for the section.
    #[inline]
    pub fn held(&self) -> Held<'_, D> {
        // INVARIANT: The section lasts as long as the guard, which the token borrows.
        Held(PhantomData, NotThreadSafe)
    }
}

/// Token for an active SRCU read-side critical section, whether Rust or C code entered it.
///
/// # Invariants
///
/// The current thread is in an SRCU read-side critical section of the domain `D` for all of `'a`.
pub struct Held<'a, D: 'static>(PhantomData<&'a StaticGuard<D>>, NotThreadSafe);

impl<D> Clone for Held<'_, D> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Held<'_, D> {}
