// SPDX-License-Identifier: GPL-2.0

//! The free space of a region: how much there is, and where.
//!
//! [`kernel::rbtree`] keeps no sums over subtrees, and needs none here. A request is never for the
//! lowest gap of *some* length: a device takes the lowest gap that holds one unit of its alignment,
//! and goes on with the next one. Alignments are multiples of each other, so each gap has a
//! *level*: how many of the region's alignments it holds a unit of. There is one tree for each
//! level, ordered by address. The lowest gap for an alignment is the lowest of the first nodes of
//! the trees from its level on. The totals are numbers beside the trees.
//!
//! Every operation is a fixed number of descents, O(log gaps). A region that is packed without
//! holes has one gap, however many devices it has.
//!
//! Giving space back must not fail, but may leave one more gap. So each allocation allocates a node
//! for that: there are at most as many gaps as allocations, and one more.

use super::{
    Align,
    Error,
    Range, //
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    }, //
};

// The host tests look inside after every step.
#[cfg(test)]
mod invariants;

/// The number of alignments that a region can be asked for: one for each size of page table entry.
pub(crate) const ALIGNS: usize = 3;

/// One value for each alignment of the region.
type PerAlign = [u64; ALIGNS];

/// Gaps by their last address, which stays the same when the lowest part of a gap is allocated.
type Gaps = RBTree<u64, Range>;

/// The memory for a node of [`Gaps`].
type Spare = RBTreeNodeReservation<u64, Range>;

/// The free ranges of a region.
///
/// A `Space` does not know who owns an allocated range. The caller must only release what it
/// allocated.
///
/// # Invariants
///
/// - `aligns` ascend, and each is a multiple of the one before.
/// - The gaps in `levels` are in the region, and neither overlap nor touch each other. Each gap is
///   in the tree of its level: the number of `aligns` that it holds a unit of.
/// - There are as many gaps and spare nodes together as allocations, and one more.
/// - `free` and `usable` are the sums over all gaps.
pub(crate) struct Space {
    region: Range,
    aligns: [Align; ALIGNS],
    levels: [Gaps; ALIGNS + 1],
    spares: Spares,
    free: u64,
    usable: PerAlign,
}

impl Space {
    /// Creates a region that is all free. `aligns` are the alignments that it will be asked for, in
    /// ascending order.
    pub(crate) fn new(region: Range, aligns: [Align; ALIGNS]) -> Result<Self, Error> {
        let mut space = Self {
            region,
            aligns,
            levels: Default::default(),
            spares: Spares::new(),
            free: 0,
            usable: [0; ALIGNS],
        };

        space.insert(new_spare()?, region);
        Ok(space)
    }

    /// Returns the free bytes of the region: O(1).
    pub(crate) fn available(&self) -> u64 {
        self.free
    }

    /// Returns the free bytes that can be mapped with entries of `align`: O(1).
    pub(crate) fn usable(&self, align: Align) -> Result<u64, Error> {
        let index = self.index(align)?;

        Ok(self.usable.get(index).copied().unwrap_or(0))
    }

    /// Allocates exactly `range`: O(log gaps).
    pub(crate) fn reserve(&mut self, range: Range) -> Result<(), Error> {
        let gap = self.gap_around(&range)?;

        self.spares.push(new_spare()?, self.region);
        self.cut(gap, range)
    }

    /// Releases `range`, the whole of one allocation: O(log gaps).
    ///
    /// Fails only if a part of it is free, which is a mistake of the caller.
    pub(crate) fn release(&mut self, range: Range) -> Result<(), Error> {
        self.free(range)?;
        self.spares.pop();
        Ok(())
    }

    /// Allocates the lowest range of whole units of `align`, at most `len` bytes: O(log gaps).
    ///
    /// If it begins at the end of `last`, which is allocated, both are one allocation from then on.
    pub(crate) fn allocate(
        &mut self,
        last: Option<Range>,
        len: u64,
        align: Align,
    ) -> Result<Range, Error> {
        let no_space = Error::NoSpace {
            available: self.free,
        };
        let gap = self.lowest(align)?.ok_or(no_space)?;
        let range = align
            .usable(&gap)
            .and_then(|usable| Range::from_len(usable.start(), usable.len().min(len)))
            .ok_or(no_space)?;

        if last.and_then(|last| last.joined(&range)).is_none() {
            self.spares.push(new_spare()?, self.region);
        }
        self.cut(gap, range)?;
        Ok(range)
    }

    /// Releases the last `by` bytes of `range`; the rest stays allocated: O(log gaps).
    pub(crate) fn trim(&mut self, range: Range, by: u64) -> Result<(), Error> {
        let rest = range.trimmed(by).ok_or(Error::Empty)?;

        match Range::new(rest.after(), range.end()) {
            Some(tail) => self.free(tail),
            None => Ok(()),
        }
    }

    fn index(&self, align: Align) -> Result<usize, Error> {
        self.aligns
            .iter()
            .position(|known| *known == align)
            .ok_or(Error::UnknownAlign { align })
    }

    /// Returns the lowest gap that holds a unit of `align`.
    fn lowest(&self, align: Align) -> Result<Option<Range>, Error> {
        let index = self.index(align)?;

        Ok(self
            .levels
            .iter()
            .skip(index.saturating_add(1))
            .filter_map(|gaps| gaps.cursor_front().map(|first| *first.current().1))
            .min_by_key(Range::start))
    }

    /// Returns the last gap that starts at or before `address`, and the first one behind that.
    fn neighbours(&self, address: u64) -> (Option<Range>, Option<Range>) {
        let (mut before, mut behind) = (None::<Range>, None::<Range>);

        for gaps in &self.levels {
            let next = gaps.cursor_lower_bound(&address);
            let (low, high) = match &next {
                Some(next) if next.current().1.start() <= address => {
                    (Some(next.current()), next.peek_next())
                }
                Some(next) => (next.peek_prev(), Some(next.current())),
                None => (None, None),
            };
            let last = match next {
                Some(_) => None,
                None => gaps.cursor_back(),
            };
            let low = low.or(last.as_ref().map(|last| last.current()));

            if let Some((_, gap)) = low {
                before = before
                    .filter(|best| best.start() > gap.start())
                    .or(Some(*gap));
            }
            if let Some((_, gap)) = high {
                behind = behind
                    .filter(|best| best.start() < gap.start())
                    .or(Some(*gap));
            }
        }
        (before, behind)
    }

    /// Returns the gap that contains `range`.
    fn gap_around(&self, range: &Range) -> Result<Range, Error> {
        self.check_inside(range)?;

        match self.neighbours(range.start()) {
            (Some(gap), _) if gap.contains(range) => Ok(gap),
            (Some(gap), _) if gap.end() >= range.start() => Err(Error::InUse { at: gap.after() }),
            _ => Err(Error::InUse { at: range.start() }),
        }
    }

    fn check_inside(&self, range: &Range) -> Result<(), Error> {
        if self.region.contains(range) {
            Ok(())
        } else {
            Err(Error::Outside {
                region: self.region,
            })
        }
    }

    /// Takes `range` out of `gap`, which contains it. There is a spare node for the second gap.
    fn cut(&mut self, gap: Range, range: Range) -> Result<(), Error> {
        let before = Range::until(gap.start(), range.start());
        let behind = Range::new(range.after(), gap.end());

        self.replace([Some(gap), None], [before, behind])
    }

    /// Frees `range`, and merges it with the gaps on either side.
    fn free(&mut self, range: Range) -> Result<(), Error> {
        self.check_inside(&range)?;

        let (before, behind) = self.neighbours(range.end());
        if let Some(gap) = before.filter(|gap| gap.end() >= range.start()) {
            return Err(Error::NotAllocated {
                at: gap.start().max(range.start()),
            });
        }

        let before = before.filter(|gap| gap.after() == range.start());
        let behind = behind.filter(|gap| range.after() == gap.start());
        let start = before.unwrap_or(range).start();
        let end = behind.unwrap_or(range).end();

        self.replace([before, behind], [Range::new(start, end), None])
    }

    /// Replaces the gaps `old` by `new`. The caller ensures that there are enough spare nodes.
    fn replace(&mut self, old: [Option<Range>; 2], new: [Option<Range>; 2]) -> Result<(), Error> {
        if let ([Some(gap), None] | [None, Some(gap)], [Some(new), None] | [None, Some(new)]) =
            (old, new)
        {
            if self.move_start(gap, new) {
                return Ok(());
            }
        }

        let mut nodes = old.map(|gap| self.remove(gap?));

        for gap in new.into_iter().flatten() {
            let [first, second] = &mut nodes;
            let node = first.take().or_else(|| second.take());
            let node = node.or_else(|| self.spares.pop()).ok_or(Error::NoMemory)?;

            self.insert(node, gap);
        }
        for node in nodes.into_iter().flatten() {
            self.spares.push(node, self.region);
        }
        Ok(())
    }

    /// The number of alignments that `gap` holds a unit of.
    #[inline(never)]
    fn level(&self, gap: &Range) -> usize {
        self.aligns
            .iter()
            .take_while(|align| align.usable_len(gap) > 0)
            .count()
    }

    /// Gives a gap another start, if its node can stay where it is.
    fn move_start(&mut self, gap: Range, new: Range) -> bool {
        if gap.end() != new.end() {
            return false;
        }

        // The gap is in another tree if its level changes.
        let level = self.level(&new);
        let gaps = self.levels.get_mut(level);
        let Some(found) = gaps.and_then(|gaps| gaps.get_mut(&new.end())) else {
            return false;
        };
        *found = new;
        self.count(Some(gap), Some(new));
        true
    }

    /// Adds a gap to its tree, and its size to the totals.
    fn insert(&mut self, node: Spare, gap: Range) {
        let level = self.level(&gap);

        self.count(None, Some(gap));
        if let Some(gaps) = self.levels.get_mut(level) {
            gaps.insert(node.into_node(gap.end(), gap));
        }
    }

    /// Removes a gap from its tree, and its size from the totals. Returns the node.
    #[inline(never)]
    fn remove(&mut self, gap: Range) -> Option<Spare> {
        let level = self.level(&gap);
        let node = self.levels.get_mut(level)?.remove_node(&gap.end())?;

        self.count(Some(gap), None);
        Some(node.into_reservation())
    }

    /// Subtracts a gap that is gone from the totals, and adds a new one.
    #[inline(never)]
    fn count(&mut self, gone: Option<Range>, new: Option<Range>) {
        self.free = change(self.free, Align::BYTE, &gone, &new);
        for (usable, align) in self.usable.iter_mut().zip(self.aligns) {
            *usable = change(*usable, align, &gone, &new);
        }
    }
}

/// Returns a total of what `align` can map, with one gap less and another more.
// Not inlined, because the loop above is unrolled.
#[inline(never)]
fn change(total: u64, align: Align, gone: &Option<Range>, new: &Option<Range>) -> u64 {
    let [gone, new] = [gone, new].map(|gap| gap.map_or(0, |gap| align.usable_len(&gap)));

    total.wrapping_sub(gone).wrapping_add(new)
}

/// Allocates memory for a node. May sleep.
fn new_spare() -> Result<Spare, Error> {
    Spare::new(GFP_KERNEL).map_err(|_| Error::NoMemory)
}

/// A stack of nodes without a gap.
///
/// It is a tree because a tree holds any number of nodes without an allocation of its own.
///
/// # Invariants
///
/// The keys are the numbers below `len`.
struct Spares {
    nodes: Gaps,
    len: u64,
}

impl Spares {
    fn new() -> Self {
        Self {
            nodes: Gaps::new(),
            len: 0,
        }
    }

    /// Adds a node. It needs some range as its value.
    fn push(&mut self, node: Spare, value: Range) {
        self.nodes.insert(node.into_node(self.len, value));
        self.len = self.len.wrapping_add(1);
    }

    fn pop(&mut self) -> Option<Spare> {
        let last = self.len.checked_sub(1)?;

        self.len = last;
        Some(self.nodes.remove_node(&last)?.into_reservation())
    }
}
