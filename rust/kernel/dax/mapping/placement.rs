// SPDX-License-Identifier: GPL-2.0

//! The addresses of mappings.

use super::PMD_SIZE;
use crate::{
    bindings,
    fmt,
    mm::virt::VmaRef,
    page::PAGE_SHIFT,
    prelude::*,
    task::Task, //
};
use core::marker::PhantomData;

/// A request for an address.
///
/// # Invariants
///
/// `file` is open, and the mmap lock of the current task is held for writing, for `'a`.
pub struct Placement<'a> {
    file: *mut bindings::file,
    addr: usize,
    len: usize,
    pgoff: usize,
    flags: usize,
    _file: PhantomData<&'a bindings::file>,
}

impl<'a> Placement<'a> {
    /// The request of a call of the `get_unmapped_area` file operation.
    ///
    /// # Safety
    ///
    /// The arguments are those of the operation, `mm` called it, and it does not return before the
    /// end of `'a`.
    pub unsafe fn from_raw(
        file: *mut bindings::file,
        addr: usize,
        len: usize,
        pgoff: usize,
        flags: usize,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            file,
            addr,
            len,
            pgoff,
            flags,
            _file: PhantomData,
        }
    }

    /// Returns the address that user space asks for, or 0 if it does not ask for one.
    pub fn addr(&self) -> usize {
        self.addr
    }

    /// Returns whether user space insists on the address.
    pub fn fixed(&self) -> bool {
        self.flags & bindings::MAP_FIXED as usize != 0
    }

    /// The length in bytes, a multiple of the page size, never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the offset into the file in bytes.
    ///
    /// An offset that is too large wraps here; `mm` refuses it elsewhere.
    pub fn offset(&self) -> usize {
        self.pgoff.wrapping_shl(PAGE_SHIFT as u32)
    }

    /// Finds an address for a mapping that consists of entries of `align`, a power of two: its
    /// distance to the offset in the file is a multiple of `align`.
    ///
    /// Fails with [`EINVAL`] if user space asks for another address. `refuse` gets the reason, for
    /// the log. At that address no entry could map the memory, and with `MAP_FIXED` `mm` would
    /// remove the present mapping for it.
    #[inline]
    pub fn place(&self, align: usize, refuse: impl FnOnce(fmt::Arguments<'_>)) -> Result<usize> {
        let asks = self.fixed() || self.addr != 0;

        if asks && !self.is_congruent(self.addr, align) {
            refuse(fmt!(
                "address 0x{:x} and offset 0x{:x} must differ by a multiple of the align 0x{:x}",
                self.addr,
                self.offset(),
                align
            ));
            return Err(EINVAL);
        }
        // mm/mremap.c treats a pud entry as a corrupt page table: it clears the entry without a
        // flush, and leaks the reference to the memory. Only this callback can prevent that.
        if align > PMD_SIZE {
            self.drop_entries();
        }
        if asks {
            self.find_at(align)
        } else {
            self.find_anywhere(align)
        }
    }

    /// Whether entries of `align` can map the memory at `addr`.
    fn is_congruent(&self, addr: usize, align: usize) -> bool {
        addr.wrapping_sub(self.offset()) & align.wrapping_sub(1) == 0
    }

    /// [`Self::place`] at the address that user space asks for, if that is free or fixed.
    #[inline(never)]
    fn find_at(&self, align: usize) -> Result<usize> {
        let addr = self.find(self.addr, self.len)?;

        if self.fixed() || self.is_congruent(addr, align) {
            return Ok(addr);
        }
        self.find_anywhere(align)
    }

    /// [`Self::place`] without a wish for an address.
    #[inline]
    fn find_anywhere(&self, align: usize) -> Result<usize> {
        // Ask for enough room to place the mapping at any offset within an entry.
        let room = self.len.checked_add(align).ok_or(ENOMEM)?;
        let Ok(addr) = self.find(0, room) else {
            // There may be enough room for the mapping alone.
            return self.find(0, self.len);
        };
        Ok(addr.wrapping_add(self.offset().wrapping_sub(addr) & align.wrapping_sub(1)))
    }

    /// Removes the entries of the current task that map any of the requested memory. The next touch
    /// faults them in again.
    ///
    /// This is for entries that `mm` cannot move: the request may be a part of `mremap()`, which
    /// the caller cannot tell. No new entry is made before the mmap lock is released.
    #[inline(never)]
    fn drop_entries(&self) {
        // SAFETY: By the type invariant the file is open.
        let mapping = unsafe { (*self.file).f_mapping };
        // SAFETY: The mapping of an open file is valid.
        if !unsafe { bindings::mapping_mapped(mapping) } {
            return;
        }

        let last = self.pgoff.saturating_add(self.len >> PAGE_SHIFT);
        let mut addr = 0;
        loop {
            // SAFETY: By the type invariant the lock is held.
            let vma = unsafe { bindings::find_vma((*Task::current_raw()).mm, addr) };
            if vma.is_null() {
                return;
            }
            // SAFETY: The lock is held, so the VMA is valid and does not change.
            let area = unsafe { VmaRef::from_raw(vma) };
            // SAFETY: As above.
            let (file, pgoff) = unsafe { ((*vma).vm_file, (*vma).vm_pgoff) };
            let len = area.end().wrapping_sub(area.start());
            addr = area.end();

            // SAFETY: A VMA keeps its file open.
            let ours = !file.is_null() && unsafe { (*file).f_mapping } == mapping;
            if ours && pgoff < last && self.pgoff < pgoff.saturating_add(len >> PAGE_SHIFT) {
                // SAFETY: By the type invariant the lock is held for writing.
                unsafe { bindings::vma_start_write(vma) };
                area.zap_vma_range(area.start(), len);
            }
        }
    }

    /// Finds an address for a mapping of `len` bytes in the default way, near `addr` if that is not
    /// 0.
    #[inline]
    pub fn find(&self, addr: usize, len: usize) -> Result<usize> {
        // SAFETY: By the type invariant the file is open and the lock is held.
        let addr =
            unsafe { bindings::mm_get_unmapped_area(self.file, addr, len, self.pgoff, self.flags) };

        // Errors are the last addresses, as in an `ERR_PTR()`.
        match i32::try_from(addr as isize) {
            Ok(errno) if errno < 0 => Err(Error::from_errno(errno)),
            _ => Ok(addr),
        }
    }
}
