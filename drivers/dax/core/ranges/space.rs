// SPDX-License-Identifier: GPL-2.0

//! The space of a region: what of it is free, and where.
//!
//! The free gaps are the nodes of an AVL tree, ordered by address, in which each node also knows
//! the longest usable gap below it for each of the region's alignments. So "is this free" and
//! "where is the lowest place for this" are one descent each, and how much is free is kept up to
//! date. A region packed without holes has no more than one node, however many devices it has; so
//! the cost follows the fragmentation, not the number of devices.
//!
//! The nodes lie without holes in one vector and refer to each other by index. Giving space back
//! must not fail, but may split what was allocated and so need another node. Therefore allocating
//! already sets memory aside for that: there are at most as many gaps as allocations, and one more.

use super::{
    Align,
    Error,
    Range, //
};
use kernel::{
    alloc::{
        append::Append,
        flags::GFP_KERNEL,
        AllocError,
        KVVec, //
    },
    page::PAGE_SIZE, //
};

// The host tests look inside after every step.
#[cfg(test)]
#[path = "../../../../tools/testing/dax/host/invariants.rs"]
mod invariants;

/// How many alignments a region can be asked for: one for each size of page-table entries.
pub(crate) const ALIGNS: usize = 3;

/// Something for each alignment of the region.
type PerAlign = [u64; ALIGNS];

/// The index of a node.
type Link = u32;

/// No node.
const NIL: Link = Link::MAX;

/// A gap: free, with no free byte right before or behind it.
#[derive(Clone, Copy)]
struct Node {
    gap: Range,
    /// The longest usable length of the gaps in this subtree.
    best: PerAlign,
    parent: Link,
    left: Link,
    right: Link,
    /// 1 for a leaf.
    height: u8,
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The allocated and the free parts of a region.
///
/// It does not know who owns what is allocated; who gives a range back vouches for it.
///
/// # Invariants
///
/// - The gaps in `nodes` are in the region, sorted, and neither overlap nor touch each other.
/// - `nodes` has capacity for `allocations + 1` nodes.
/// - `free` and `usable` are the sums over all gaps.
pub(crate) struct Space {
    region: Range,
    aligns: [Align; ALIGNS],
    nodes: KVVec<Node>,
    root: Link,
    /// The number of ranges that were reserved and not released.
    allocations: usize,
    free: u64,
    usable: PerAlign,
}

impl Space {
    /// A region of which everything is free, and the alignments it will be asked for.
    pub(crate) fn new(region: Range, aligns: [Align; ALIGNS]) -> Result<Self, Error> {
        let mut space = Self {
            region,
            aligns,
            nodes: KVVec::new(),
            root: NIL,
            allocations: 0,
            free: 0,
            usable: [0; ALIGNS],
        };
        space.make_room(1)?;
        space.insert(region)?;
        Ok(space)
    }

    /// The free bytes of the region: O(1).
    pub(crate) fn available(&self) -> u64 {
        self.free
    }

    /// The bytes of the region that are free in pieces that `align` fits: O(1).
    pub(crate) fn usable(&self, align: Align) -> Result<u64, Error> {
        Ok(self.class(align)?.of(&self.usable))
    }

    /// Allocates exactly `range`: O(log gaps).
    pub(crate) fn reserve(&mut self, range: Range) -> Result<(), Error> {
        let gap = self.gap_holding(&range)?;
        self.make_room(1)?;
        self.cut(gap, &range)?;
        self.allocations = self.allocations.saturating_add(1);
        Ok(())
    }

    /// Gives back `range`, the whole of what was reserved: O(log gaps).
    ///
    /// Fails only if part of it is free, that is, if the caller's books are wrong.
    pub(crate) fn release(&mut self, range: Range) -> Result<(), Error> {
        self.free(&range)?;
        self.allocations = self.allocations.saturating_sub(1);
        self.shrink_arena();
        Ok(())
    }

    /// Allocates the lowest piece that is of use, no more than `len` bytes of it: O(log gaps).
    ///
    /// What is right behind `last`, which is allocated, becomes a part of that.
    pub(crate) fn allocate(
        &mut self,
        last: Option<Range>,
        len: u64,
        align: Align,
    ) -> Result<Range, Error> {
        let class = self.class(align)?;
        let gap = self.first_fitting(self.root, align.bytes(), class);
        let piece = self
            .usable_part(gap, class)
            .and_then(|part| Range::from_len(part.start(), part.len().min(len)))
            .ok_or(Error::NoSpace {
                available: self.free,
            })?;
        let more = match last.and_then(|last| last.joined(&piece)) {
            Some(_) => 0,
            None => 1,
        };

        self.make_room(more)?;
        self.cut(gap, &piece)?;
        self.allocations = self.allocations.saturating_add(more);
        Ok(piece)
    }

    /// Gives back the last `by` bytes of `range`, which is allocated and stays so otherwise.
    pub(crate) fn trim(&mut self, range: Range, by: u64) -> Result<(), Error> {
        let Some(rest) = range.trimmed(by) else {
            return Err(Error::Empty);
        };
        match Range::new(rest.after(), range.end()) {
            Some(tail) => self.free(&tail),
            None => Ok(()),
        }
    }
}

/// One of the alignments of the region.
#[derive(Clone, Copy)]
struct Class {
    align: Align,
    index: usize,
}

impl Class {
    fn of(self, values: &PerAlign) -> u64 {
        values.get(self.index).copied().unwrap_or(0)
    }
}

// Questions.
impl Space {
    fn class(&self, align: Align) -> Result<Class, Error> {
        match self.aligns.iter().position(|known| *known == align) {
            Some(index) => Ok(Class { align, index }),
            None => Err(Error::UnknownAlign { align }),
        }
    }

    fn node(&self, at: Link) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: Link) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
    }

    fn gap(&self, at: Link) -> Option<Range> {
        self.node(at).map(|node| node.gap)
    }

    fn parent(&self, at: Link) -> Link {
        self.node(at).map_or(NIL, |node| node.parent)
    }

    fn child(&self, at: Link, side: Side) -> Link {
        self.node(at).map_or(NIL, |node| match side {
            Side::Left => node.left,
            Side::Right => node.right,
        })
    }

    fn height(&self, at: Link) -> u8 {
        self.node(at).map_or(0, |node| node.height)
    }

    fn best(&self, at: Link, class: Class) -> u64 {
        self.node(at).map_or(0, |node| class.of(&node.best))
    }

    /// The part of gap `at` that can be mapped with entries of the class.
    fn usable_part(&self, at: Link, class: Class) -> Option<Range> {
        class.align.usable(&self.node(at)?.gap)
    }

    /// The last gap that starts at or before `address`, and the one behind that.
    fn around(&self, address: u64) -> (Link, Link) {
        let (mut before, mut behind) = (NIL, NIL);
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            at = if node.gap.start() <= address {
                before = at;
                node.right
            } else {
                behind = at;
                node.left
            };
        }
        (before, behind)
    }

    /// The gap that has all of `range`.
    fn gap_holding(&self, range: &Range) -> Result<Link, Error> {
        if !self.region.contains(range) {
            return Err(Error::Outside {
                region: self.region,
            });
        }
        let (at, _) = self.around(range.start());
        match self.gap(at) {
            Some(gap) if gap.contains(range) => Ok(at),
            Some(gap) if gap.end() >= range.start() => Err(Error::InUse { at: gap.after() }),
            _ => Err(Error::InUse { at: range.start() }),
        }
    }

    /// The outermost node of the subtree on one side.
    fn outermost(&self, mut at: Link, side: Side) -> Link {
        loop {
            match self.child(at, side) {
                NIL => return at,
                child => at = child,
            }
        }
    }

    /// The lowest gap in the subtree of `at` with `len` usable bytes.
    fn first_fitting(&self, mut at: Link, len: u64, class: Class) -> Link {
        while let Some(node) = self.node(at) {
            if class.of(&node.best) < len {
                return NIL;
            }
            if self.best(node.left, class) >= len {
                at = node.left;
            } else if class.align.usable_len(&node.gap) >= len {
                return at;
            } else {
                at = node.right;
            }
        }
        NIL
    }
}

// Changes.
impl Space {
    /// Sets memory aside for the gaps that `more` allocations can lead to.
    fn make_room(&mut self, more: usize) -> Result<(), AllocError> {
        let gaps = self.allocations.saturating_add(more).saturating_add(1);

        self.nodes
            .make_room(gaps.saturating_sub(self.nodes.len()), GFP_KERNEL)
    }

    /// Returns memory that was set aside for allocations that are gone.
    fn shrink_arena(&mut self) {
        let needed = self.allocations.saturating_add(1).saturating_mul(2);
        let capacity = self.nodes.capacity();
        // Nothing is gained from less than a page, and what is set aside at twice the need and
        // returned at four times the need is not moved to and fro.
        if capacity.saturating_mul(core::mem::size_of::<Node>()) <= PAGE_SIZE
            || capacity / 2 < needed
        {
            return;
        }

        // A vector that is told to shrink may keep its memory, so the nodes go to another one.
        let mut nodes = KVVec::new();
        if nodes.make_room(needed, GFP_KERNEL).is_err() {
            // Next time, then.
            return;
        }
        for node in self.nodes.iter() {
            // There is room: no more nodes than allocations, and one.
            let _ = nodes.push_within_capacity(*node);
        }
        self.nodes = nodes;
    }

    /// Takes `range` out of the gap `at`, which has all of it.
    fn cut(&mut self, at: Link, range: &Range) -> Result<(), AllocError> {
        let Some(gap) = self.gap(at) else {
            return Ok(());
        };
        let before = Range::until(gap.start(), range.start());
        let behind = Range::new(range.after(), gap.end());
        match (before, behind) {
            (None, None) => self.remove(at),
            (Some(rest), None) | (None, Some(rest)) => self.set_gap(at, rest),
            (Some(before), Some(behind)) => {
                self.insert(behind)?;
                self.set_gap(at, before);
            }
        }
        Ok(())
    }

    /// Makes `range` free.
    fn free(&mut self, range: &Range) -> Result<(), Error> {
        if !self.region.contains(range) {
            return Err(Error::Outside {
                region: self.region,
            });
        }
        let (before, behind) = self.around(range.end());
        let gap = self.gap(before);
        if let Some(gap) = gap.filter(|gap| gap.end() >= range.start()) {
            return Err(Error::NotAllocated {
                at: gap.start().max(range.start()),
            });
        }
        let joins_before = gap.filter(|gap| gap.after() == range.start());
        let joins_behind = self.gap(behind).filter(|gap| range.after() == gap.start());
        let start = joins_before.map_or(range.start(), |gap| gap.start());
        let end = joins_behind.map_or(range.end(), |gap| gap.end());
        let joined = Range::new(start, end).ok_or(Error::Empty)?;

        match (joins_before, joins_behind) {
            (None, None) => self.insert(joined)?,
            (Some(_), None) => self.set_gap(before, joined),
            (None, Some(_)) => self.set_gap(behind, joined),
            (Some(_), Some(_)) => {
                self.set_gap(before, joined);
                self.remove(behind);
            }
        }
        Ok(())
    }

    /// Adds a gap to the totals.
    fn count(&mut self, gap: &Range) {
        self.free = self.free.wrapping_add(gap.len());
        for (usable, align) in self.usable.iter_mut().zip(&self.aligns) {
            *usable = usable.wrapping_add(align.usable_len(gap));
        }
    }

    /// Takes a gap out of the totals.
    fn discount(&mut self, gap: &Range) {
        self.free = self.free.wrapping_sub(gap.len());
        for (usable, align) in self.usable.iter_mut().zip(&self.aligns) {
            *usable = usable.wrapping_sub(align.usable_len(gap));
        }
    }

    /// Changes the ends of the gap `at`, which keeps its place among the gaps.
    fn set_gap(&mut self, at: Link, gap: Range) {
        let Some(node) = self.node_mut(at) else {
            return;
        };
        let old = core::mem::replace(&mut node.gap, gap);
        self.discount(&old);
        self.count(&gap);
        if self.root == at && self.nodes.len() == 1 {
            // By far the most regions have but this gap, of which the totals say it all.
            let usable = self.usable;
            if let Some(node) = self.node_mut(at) {
                node.best = usable;
            }
            return;
        }
        self.settle(at);
    }

    /// Adds a gap, without allocating memory.
    fn insert(&mut self, gap: Range) -> Result<(), AllocError> {
        let new = Link::try_from(self.nodes.len()).map_err(|_| AllocError)?;
        let mut parent = NIL;
        let mut side = Side::Left;
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            parent = at;
            (side, at) = if gap.start() < node.gap.start() {
                (Side::Left, node.left)
            } else {
                (Side::Right, node.right)
            };
        }
        self.nodes
            .push_within_capacity(Node {
                gap,
                best: [0; ALIGNS],
                parent,
                left: NIL,
                right: NIL,
                height: 0,
            })
            .map_err(|_| AllocError)?;
        match parent {
            NIL => self.root = new,
            parent => self.set_child(parent, side, new),
        }
        self.count(&gap);
        self.settle(new);
        Ok(())
    }

    /// Removes the gap `at`. Indices of other gaps change.
    fn remove(&mut self, at: Link) {
        let Some(node) = self.node(at) else {
            return;
        };
        let (gap, left, right) = (node.gap, node.left, node.right);
        self.discount(&gap);

        // A node with two children stays and takes over the next gap, whose node has no left child.
        let victim = match (left, right) {
            (NIL, _) | (_, NIL) => at,
            (_, right) => self.outermost(right, Side::Left),
        };
        if let (Some(moved), Some(node)) = (self.gap(victim), self.node_mut(at)) {
            node.gap = moved;
        }

        let child = match self.child(victim, Side::Left) {
            NIL => self.child(victim, Side::Right),
            left => left,
        };
        let parent = self.parent(victim);
        self.replace_child(parent, victim, child);
        self.settle(parent);
        if victim != at {
            // What changed there need not be felt as far up as here, where there is another gap now.
            self.settle(at);
        }
        self.drop_node(victim);
    }

    /// Forgets a node that nothing refers to, and lets the last one take its place.
    fn drop_node(&mut self, at: Link) {
        let Some(moved) = self.nodes.pop() else {
            return;
        };
        let last = self.nodes.len() as Link;
        let Some(slot) = self.node_mut(at) else {
            // It was the last one.
            return;
        };
        *slot = moved;
        self.replace_child(moved.parent, last, at);
        for child in [moved.left, moved.right] {
            if let Some(child) = self.node_mut(child) {
                child.parent = at;
            }
        }
    }

    /// Links `child`, which may be [`NIL`], on one side below `at`.
    fn set_child(&mut self, at: Link, side: Side, child: Link) {
        if let Some(node) = self.node_mut(at) {
            match side {
                Side::Left => node.left = child,
                Side::Right => node.right = child,
            }
        }
        if let Some(node) = self.node_mut(child) {
            node.parent = at;
        }
    }

    /// Links `new`, which may be [`NIL`], where `old` was linked below `parent` or as the root.
    fn replace_child(&mut self, parent: Link, old: Link, new: Link) {
        if parent == NIL {
            self.root = new;
            if let Some(node) = self.node_mut(new) {
                node.parent = NIL;
            }
        } else if self.child(parent, Side::Left) == old {
            self.set_child(parent, Side::Left, new);
        } else {
            self.set_child(parent, Side::Right, new);
        }
    }

    /// Computes what a node knows about its subtree; says whether that has changed.
    fn refresh(&mut self, at: Link) -> bool {
        let Some(node) = self.node(at).copied() else {
            return false;
        };
        let mut fresh = node;
        fresh.height = self
            .height(node.left)
            .max(self.height(node.right))
            .saturating_add(1);
        for (best, align) in fresh.best.iter_mut().zip(&self.aligns) {
            *best = align.usable_len(&node.gap);
        }
        for child in [node.left, node.right] {
            if let Some(child) = self.node(child) {
                for (best, below) in fresh.best.iter_mut().zip(&child.best) {
                    *best = (*best).max(*below);
                }
            }
        }
        let changed = fresh.height != node.height || fresh.best != node.best;
        if let Some(node) = self.node_mut(at) {
            *node = fresh;
        }
        changed
    }

    /// Restores balance and what nodes know about their subtrees, from `at` up to the root.
    fn settle(&mut self, mut at: Link) {
        while at != NIL {
            let mut changed = self.refresh(at);
            let left = self.child(at, Side::Left);
            let right = self.child(at, Side::Right);
            let (low, high) = (self.height(left), self.height(right));
            if low > high.saturating_add(1) {
                at = self.lift(at, left, Side::Left);
                changed = true;
            } else if high > low.saturating_add(1) {
                at = self.lift(at, right, Side::Right);
                changed = true;
            }
            if !changed {
                return;
            }
            at = self.parent(at);
        }
    }

    /// Balances `top`, whose `child` on `side` is too high; returns what is at the top then.
    fn lift(&mut self, top: Link, child: Link, side: Side) -> Link {
        let other = side.other();
        if self.height(self.child(child, side)) < self.height(self.child(child, other)) {
            self.rotate(child, other);
        }
        self.rotate(top, side)
    }

    /// Puts the child of `top` on `side` in its place, and `top` below that; returns it.
    fn rotate(&mut self, top: Link, side: Side) -> Link {
        let other = side.other();
        let up = self.child(top, side);
        let between = self.child(up, other);
        self.replace_child(self.parent(top), top, up);
        self.set_child(top, side, between);
        self.set_child(up, other, top);
        self.refresh(top);
        self.refresh(up);
        up
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}
