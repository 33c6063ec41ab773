//! Walking over versions, from the first to the last or back.

use std::ops::Bound;

use arrayvec::ArrayVec;

use super::node::Node;
use crate::version::Version;

/// Levels of a tree that fits into memory: 64 slots are at least a quarter full, and 16^16 is 2^64.
const LEVELS: usize = 16;

/// Versions in order.
#[derive(Debug)]
pub(crate) struct Iter<'a> {
    /// The children that are still to come, from the root down.
    pub(super) path: ArrayVec<&'a [Node], LEVELS>,
    /// The versions that are still to come in this leaf.
    pub(super) leaf: &'a [Version],
    /// Versions that are still to come in all.
    pub(super) left: usize,
    pub(super) descending: bool,
}

impl<'a> Iter<'a> {
    /// Goes down to where the first version is.
    pub(super) fn seek(&mut self, root: &'a Node, from: Bound<&[u8]>) {
        let mut node = root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let at = match from {
                        Bound::Included(key) | Bound::Excluded(key) => branch.place(key),
                        Bound::Unbounded if self.descending => branch.separators.len(),
                        Bound::Unbounded => 0,
                    };
                    let (before, rest) = branch.children.split_at(at.min(branch.children.len()));
                    let Some((child, behind)) = rest.split_first() else { return };
                    self.path.push(if self.descending { before } else { behind });
                    node = child;
                }
                Node::Leaf(leaf) => {
                    let at = match (from, self.descending) {
                        (Bound::Unbounded, false) => 0,
                        (Bound::Unbounded, true) => leaf.len(),
                        (Bound::Included(key), false) | (Bound::Excluded(key), true) => {
                            leaf.search(key).unwrap_or_else(|at| at)
                        }
                        (Bound::Excluded(key), false) | (Bound::Included(key), true) => {
                            leaf.search(key).map_or_else(|at| at, |at| at + 1)
                        }
                    };
                    let (before, behind) = leaf.items.split_at(at.min(leaf.len()));
                    self.leaf = if self.descending { before } else { behind };
                    return;
                }
            }
        }
    }

    /// Goes on to the next leaf.
    fn next_leaf(&mut self) -> Option<()> {
        let mut node = loop {
            let children = self.path.last_mut()?;
            let next = if self.descending { children.split_last() } else { children.split_first() };
            match next {
                Some((child, rest)) => {
                    *children = rest;
                    break child;
                }
                None => {
                    self.path.pop();
                }
            }
        };
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = &leaf.items;
                    return Some(());
                }
                Node::Branch(branch) => {
                    let children = &branch.children[..];
                    let (child, rest) =
                        if self.descending { children.split_last() } else { children.split_first() }?;
                    self.path.push(rest);
                    node = child;
                }
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Version;

    fn next(&mut self) -> Option<&'a Version> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let next = if self.descending { self.leaf.split_last() } else { self.leaf.split_first() };
            if let Some((version, rest)) = next {
                self.leaf = rest;
                return Some(version);
            }
            self.next_leaf()?;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
