//! A persistent ordered set of versions, by key: a B+ tree whose nodes are shared between clones.
//!
//! # Why our own
//! The best general one (imbl's `OrdSet`) spent most of a put on memory: a binary search in a node looks at six keys,
//! each of which stands in an allocation of its own, so a look-up among a million keys waits some twenty times for
//! memory, and a put needs two of them, one to see what is there and one to replace it. This one knows three things
//! more:
//!
//! - Keys of a node have a long common prefix (`app/service/config/…`). A node keeps its length, and of each key the four bytes
//!   behind it, its **head**. A search compares heads, which stand together, and then looks at one key.
//! - [`Tree::update`] sees what is there and replaces it on one way down.
//! - A subtree knows how many versions it has, so keys are counted without being walked over.
//!
//! ```text
//!   branch   separators  [ app/k ]   [ app/t ]        a separator is the shortest key that parts its neighbours; it is a copy,
//!              ┌─────────────┼─────────────┐           so that no old value is kept alive by it
//!   leaf     prefix app/, heads "aaaa" "cab\0" …, and the versions
//! ```
//! `docs/store.md` has the figures.
//!
//! # Invariants
//! - Keys ascend within a leaf and from leaf to leaf; a leaf that is not the root has at least one version.
//! - The prefix of a node is common to all its keys; it may be shorter than it could be, after a removal.
//! - Only nodes that no clone shares are written in place; others are copied first, which touches each version of a leaf once.
//!
//! Source of the heads: Neumann and Freitag, "Umbra" (CIDR 2020), and Graefe, "Modern B-Tree Techniques" (2011), 3.6.

mod iter;
mod node;
mod slots;
#[cfg(test)]
mod tests;

use std::ops::Bound;

use arrayvec::ArrayVec;
pub(crate) use iter::Iter;
pub(crate) use node::Sum;
use node::{Branch, Leaf, Node, Written};
use slots::{Separator, Slots};
use triomphe::Arc;

use crate::version::Version;

/// The set. A clone is one counter.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Node);

impl Default for Tree {
    fn default() -> Self {
        Self(Node::Leaf(Arc::new(Leaf::new())))
    }
}

/// Between which keys.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl Tree {
    /// How many versions there are.
    pub(crate) fn len(&self) -> usize {
        self.0.count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Version> {
        let mut node = &self.0;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.items.get(leaf.search(key).ok()?),
                Node::Branch(branch) => node = branch.children.get(branch.place(key))?,
            }
        }
    }

    /// Shows `change` what is there under `key`, puts what it gives into its place (a version of that key) or nothing,
    /// and gives back what was there.
    pub(crate) fn update(
        &mut self,
        key: &[u8],
        change: impl FnOnce(Option<&Version>) -> Option<Version>,
    ) -> Option<Version> {
        let Written { previous, split, .. } = self.0.update(key, true, change);
        self.grow(split);
        while let Node::Branch(branch) = &self.0
            && branch.separators.len() == 0
            && let Some(only) = branch.children.first().cloned()
        {
            self.0 = only;
        }
        previous
    }

    /// The root was parted: one that has both parts takes its place.
    fn grow(&mut self, split: Option<(Separator, Node)>) {
        if let Some((separator, right)) = split {
            let left = std::mem::replace(&mut self.0, right.clone());
            let sum = left.sum().and(right.sum());
            let mut separators = Slots::new();
            separators.insert(0, separator);
            let children = [left, right].into_iter().collect();
            self.0 = Node::Branch(Arc::new(Branch { separators, children, sum }));
        }
    }

    /// Puts a version into the place of its key, and gives back what was there.
    pub(crate) fn insert(&mut self, version: Version) -> Option<Version> {
        let key = version.clone();
        self.update(key.key(), |_| Some(version))
    }

    /// The version with the last key.
    pub(crate) fn last(&self) -> Option<&Version> {
        let mut node = &self.0;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.items.last(),
                Node::Branch(branch) => node = branch.children.last()?,
            }
        }
    }

    /// Puts a version behind all others, whose keys are below its own: without a search.
    pub(crate) fn append(&mut self, version: Version) {
        debug_assert!(self.last().is_none_or(|last| last.key() < version.key()), "keys ascend");
        let split = self.0.append(version);
        self.grow(split);
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Version> {
        self.update(key, |_| None)
    }

    /// How many versions have a key below `key`, or up to it.
    fn rank(&self, key: &[u8], inclusive: bool) -> usize {
        let (mut node, mut before) = (&self.0, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    return before
                        + match leaf.search(key) {
                            Ok(at) => at + usize::from(inclusive),
                            Err(at) => at,
                        };
                }
                Node::Branch(branch) => {
                    let at = branch.place(key);
                    before += branch.children.iter().take(at).map(Node::count).sum::<usize>();
                    match branch.children.get(at) {
                        Some(child) => node = child,
                        None => return before,
                    }
                }
            }
        }
    }

    /// How many versions there are between two keys, without walking over them.
    pub(crate) fn count(&self, (from, to): Bounds<'_>) -> usize {
        let from = match from {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.rank(key, false),
            Bound::Excluded(key) => self.rank(key, true),
        };
        let to = match to {
            Bound::Unbounded => self.len(),
            Bound::Included(key) => self.rank(key, true),
            Bound::Excluded(key) => self.rank(key, false),
        };
        to.saturating_sub(from)
    }

    /// What there is from `from` on and below `to`, without walking over it.
    pub(crate) fn sum(&self, from: &[u8], to: Option<&[u8]>) -> Sum {
        let to = to.map_or_else(|| self.0.sum(), |to| self.sum_below(to));
        to.without(self.sum_below(from))
    }

    fn sum_below(&self, key: &[u8]) -> Sum {
        let (mut node, mut before) = (&self.0, Sum::default());
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = leaf.search(key).unwrap_or_else(|at| at);
                    return before.and(leaf.items.iter().take(at).map(Sum::of).sum());
                }
                Node::Branch(branch) => {
                    let at = branch.place(key);
                    before = before.and(branch.children.iter().take(at).map(Node::sum).sum());
                    match branch.children.get(at) {
                        Some(child) => node = child,
                        None => return before,
                    }
                }
            }
        }
    }

    /// The versions between two keys, in order, or from the last to the first.
    pub(crate) fn range(&self, bounds: Bounds<'_>, descending: bool) -> Iter<'_> {
        let mut iter = Iter { path: ArrayVec::new(), leaf: &[], left: self.count(bounds), descending };
        let (from, to) = bounds;
        iter.seek(&self.0, if descending { to } else { from });
        iter
    }
}
