// SPDX-License-Identifier: GPL-2.0

//! What must hold inside of a `Space` after every step, and questions that only the tests ask.

use super::*;

impl Space {
    /// Checks the tree and the books; returns the gaps, lowest address first.
    pub(crate) fn checked_gaps(&self) -> Vec<Range> {
        let mut gaps = Vec::new();
        let mut seen = 0;
        self.check_subtree(self.root, NIL, &mut gaps, &mut seen);
        assert_eq!(seen, self.nodes.len(), "nodes that the root does not reach");
        assert!(gaps.iter().all(|gap| self.region.contains(gap)));
        assert!(
            gaps.windows(2).all(|two| two[0].after() < two[1].start()),
            "gaps are unsorted, or overlap, or touch"
        );

        let free = gaps.iter().map(Range::len).sum::<u64>();
        assert_eq!(self.free, free);
        for (usable, align) in self.usable.iter().zip(&self.aligns) {
            let sum = gaps.iter().map(|gap| align.usable_len(gap)).sum::<u64>();
            assert_eq!(*usable, sum);
        }

        let room = self.nodes.capacity();
        assert!(room > self.allocations, "giving back could fail");
        assert!(gaps.len() <= self.allocations + 1);
        gaps
    }

    pub(crate) fn region(&self) -> Range {
        self.region
    }

    /// The largest size that one new range can have.
    pub(crate) fn largest(&self, align: Align) -> Result<u64, Error> {
        Ok(self.best(self.root, self.class(align)?))
    }

    /// The lowest address at which `len` bytes are free in one piece.
    pub(crate) fn find(&self, len: u64, align: Align) -> Result<Option<u64>, Error> {
        let class = self.class(align)?;
        let at = self.first_fitting(self.root, len, class);
        Ok(self.usable_part(at, class).map(|part| part.start()))
    }

    /// The memory that is set aside, in nodes, and the number of allocations.
    pub(crate) fn arena(&self) -> (usize, usize) {
        (self.nodes.capacity(), self.allocations)
    }

    fn check_subtree(&self, at: Link, parent: Link, gaps: &mut Vec<Range>, seen: &mut usize) -> u8 {
        let Some(node) = self.nodes.as_ref().get(at as usize) else {
            assert_eq!(at, NIL, "a link to no node");
            return 0;
        };
        *seen += 1;
        assert_eq!(node.parent, parent);
        let low = self.check_subtree(node.left, at, gaps, seen);
        let index = gaps.len();
        gaps.push(node.gap);
        let high = self.check_subtree(node.right, at, gaps, seen);
        assert!(low.abs_diff(high) <= 1, "out of balance");
        assert_eq!(node.height, low.max(high) + 1);
        for (class, align) in self.aligns.iter().enumerate() {
            let mut best = align.usable_len(&gaps[index]);
            for child in [node.left, node.right] {
                if let Some(child) = self.nodes.as_ref().get(child as usize) {
                    best = best.max(child.best[class]);
                }
            }
            assert_eq!(node.best[class], best);
        }
        node.height
    }
}
