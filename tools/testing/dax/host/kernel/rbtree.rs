// SPDX-License-Identifier: GPL-2.0

//! Trees whose nodes are allocated in advance.

use crate::alloc::{flags::Flags, visit, AllocError, Memory};
use std::{cmp::Ordering, collections::BTreeMap, marker::PhantomData, ops::Bound};

/// A key that counts how often it is compared.
struct Key<K>(K);

impl<K: Ord> Ord for Key<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        visit();
        self.0.cmp(&other.0)
    }
}

impl<K: Ord> PartialOrd for Key<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> PartialEq for Key<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for Key<K> {}

/// The memory of a node.
pub struct RBTreeNodeReservation<K, V>(Memory, PhantomData<(K, V)>);

impl<K, V> RBTreeNodeReservation<K, V> {
    /// Allocates the memory of a node.
    pub fn new(_: Flags) -> Result<Self, AllocError> {
        // The links of a kernel node take three words.
        let bytes = size_of::<(K, V)>() + 3 * size_of::<usize>();

        Ok(Self(Memory::new(bytes)?, PhantomData))
    }

    /// Makes a node.
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        RBTreeNode {
            memory: self.0,
            key,
            value,
        }
    }
}

/// A node that is in no tree.
pub struct RBTreeNode<K, V> {
    memory: Memory,
    key: K,
    value: V,
}

impl<K, V> RBTreeNode<K, V> {
    /// Drops key and value, and keeps the memory.
    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(self.memory, PhantomData)
    }
}

/// A tree.
pub struct RBTree<K, V>(BTreeMap<Key<K>, (Memory, V)>);

impl<K: Ord, V> Default for RBTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> RBTree<K, V> {
    /// An empty tree.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Inserts a node. The tests have no two with the same key.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let old = self.0.insert(Key(node.key), (node.memory, node.value));

        assert!(old.is_none(), "two nodes have the same key");
        None
    }

    /// Removes a node.
    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>>
    where
        K: Copy,
    {
        let (Key(key), (memory, value)) = self.0.remove_entry(&Key(*key))?;

        Some(RBTreeNode { memory, key, value })
    }

    /// The value of a node.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V>
    where
        K: Copy,
    {
        self.0.get_mut(&Key(*key)).map(|(_, value)| value)
    }

    /// The number of nodes.
    #[allow(clippy::len_without_is_empty)] // The kernel's has neither.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The nodes in ascending order. Does not count visits.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, (_, value))| (&key.0, value))
    }

    fn cursor<'a>(&'a self, at: Option<(&'a Key<K>, &'a (Memory, V))>) -> Option<Cursor<'a, K, V>> {
        let (key, (_, value)) = at?;

        visit();
        Some(Cursor {
            tree: self,
            key,
            value,
        })
    }

    /// The first node.
    pub fn cursor_front(&self) -> Option<Cursor<'_, K, V>> {
        self.cursor(self.0.first_key_value())
    }

    /// The last node.
    pub fn cursor_back(&self) -> Option<Cursor<'_, K, V>> {
        self.cursor(self.0.last_key_value())
    }

    /// The first node whose key is not less.
    pub fn cursor_lower_bound(&self, key: &K) -> Option<Cursor<'_, K, V>>
    where
        K: Copy,
    {
        self.cursor(self.0.range(Key(*key)..).next())
    }
}

/// A node in a tree.
pub struct Cursor<'a, K, V> {
    tree: &'a RBTree<K, V>,
    key: &'a Key<K>,
    value: &'a V,
}

impl<K: Ord, V> Cursor<'_, K, V> {
    /// The node.
    pub fn current(&self) -> (&K, &V) {
        (&self.key.0, self.value)
    }

    /// The previous node.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        let before = (Bound::Unbounded, Bound::Excluded(self.key));
        let (key, (_, value)) = self.tree.0.range(before).next_back()?;

        Some((&key.0, value))
    }

    /// The next node.
    pub fn peek_next(&self) -> Option<(&K, &V)> {
        let behind = (Bound::Excluded(self.key), Bound::Unbounded);
        let (key, (_, value)) = self.tree.0.range(behind).next()?;

        Some((&key.0, value))
    }
}
