// SPDX-License-Identifier: GPL-2.0

//! The invariants of a `Space`, and methods that only the tests on the host use.

use super::*;

impl Space {
    /// Checks the trees and the totals; returns the gaps, lowest address first.
    pub(crate) fn checked_gaps(&self) -> Vec<Range> {
        let mut gaps = Vec::new();
        for (level, tree) in self.levels.iter().enumerate() {
            for (end, gap) in tree.iter() {
                assert_eq!(*end, gap.end());
                for (index, align) in self.aligns.iter().enumerate() {
                    assert_eq!(
                        align.usable_len(gap) > 0,
                        index < level,
                        "at the wrong level"
                    );
                }
                gaps.push(*gap);
            }
        }
        gaps.sort_by_key(Range::start);
        assert!(gaps.iter().all(|gap| self.region.contains(gap)));
        assert!(
            gaps.windows(2).all(|two| two[0].after() < two[1].start()),
            "gaps overlap, or touch"
        );

        let free = gaps.iter().map(Range::len).sum::<u64>();
        assert_eq!(self.free, free);
        for (usable, align) in self.usable.iter().zip(&self.aligns) {
            let sum = gaps.iter().map(|gap| align.usable_len(gap)).sum::<u64>();
            assert_eq!(*usable, sum);
        }

        let spares: Vec<u64> = self.spares.nodes.iter().map(|(key, _)| *key).collect();
        assert!(spares.iter().copied().eq(0..self.spares.len));
        gaps
    }

    pub(crate) fn region(&self) -> Range {
        self.region
    }

    /// The lowest address with a free unit of `align`.
    pub(crate) fn find(&self, align: Align) -> Result<Option<u64>, Error> {
        let gap = self.lowest(align)?;
        Ok(gap.and_then(|gap| Some(align.usable(&gap)?.start())))
    }

    /// The number of nodes, including spare nodes.
    pub(crate) fn nodes(&self) -> usize {
        let gaps: usize = self.levels.iter().map(RBTree::len).sum();
        gaps + self.spares.nodes.len()
    }
}
