//! Leaves and branches: how they are written, parted when they are full, and joined when little is left.

use arrayvec::ArrayVec;
use triomphe::Arc;

use super::slots::{SLOTS, Separator, Slots, separator};
use crate::version::Version;

/// A node with fewer slots than this is joined with a neighbour, if both have room in one with some to spare.
const FEW: usize = SLOTS / 4;
const JOINED: usize = SLOTS * 3 / 4;
const CHILDREN: usize = SLOTS + 1;

pub(super) type Leaf = Slots<Version>;

#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// One fewer than children: what is at or above the separator at `i` is in the child at `i + 1` or behind.
    pub(super) separators: Slots<Separator>,
    pub(super) children: ArrayVec<Node, CHILDREN>,
    /// What is below it.
    pub(super) sum: Sum,
}

/// How much there is: versions, and bytes of their keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

impl Sum {
    pub(super) fn of(version: &Version) -> Self {
        Self { count: 1, bytes: version.bytes() }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, bytes: self.bytes + other.bytes }
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self { count: self.count - other.count, bytes: self.bytes - other.bytes }
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::and)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

/// What became of a node that was written.
pub(super) struct Written {
    pub(super) previous: Option<Version>,
    /// What came below it.
    pub(super) added: Sum,
    /// It was full: this much went into a new neighbour behind it.
    pub(super) split: Option<(Separator, Node)>,
}

impl Node {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Branch(branch) => branch.sum.count,
        }
    }

    pub(super) fn sum(&self) -> Sum {
        match self {
            Self::Leaf(leaf) => leaf.items.iter().map(Sum::of).sum(),
            Self::Branch(branch) => branch.sum,
        }
    }

    /// Slots that are used.
    pub(super) fn used(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Branch(branch) => branch.separators.len(),
        }
    }

    /// `last`: nothing in the tree is behind it.
    pub(super) fn update(
        &mut self,
        key: &[u8],
        last: bool,
        change: impl FnOnce(Option<&Version>) -> Option<Version>,
    ) -> Written {
        match self {
            Self::Leaf(leaf) => update_leaf(Arc::make_mut(leaf), key, last, change),
            Self::Branch(branch) => Arc::make_mut(branch).update(key, last, change),
        }
    }

    /// Puts a version behind all that is here, at the end of the tree. If there was no room: what went into a new neighbour.
    pub(super) fn append(&mut self, version: Version) -> Option<(Separator, Self)> {
        match self {
            Self::Leaf(leaf) => {
                let leaf = Arc::make_mut(leaf);
                if leaf.len() < SLOTS {
                    leaf.insert(leaf.len(), version);
                    return None;
                }
                Some(split_leaf(leaf, SLOTS, true, version))
            }
            Self::Branch(branch) => Arc::make_mut(branch).append(version),
        }
    }
}

fn update_leaf(
    leaf: &mut Leaf,
    key: &[u8],
    last: bool,
    change: impl FnOnce(Option<&Version>) -> Option<Version>,
) -> Written {
    let found = leaf.search(key);
    let version = change(found.ok().and_then(|at| leaf.items.get(at)));
    let added = version.as_ref().map(Sum::of).unwrap_or_default();
    let (mut previous, mut split) = (None, None);
    match (found, version) {
        (Ok(at), Some(version)) => {
            previous = leaf.items.get_mut(at).map(|held| std::mem::replace(held, version));
        }
        (Ok(at), None) => previous = Some(leaf.remove(at)),
        (Err(at), Some(version)) if leaf.len() < SLOTS => leaf.insert(at, version),
        (Err(at), Some(version)) => split = Some(split_leaf(leaf, at, last, version)),
        (Err(_), None) => {}
    }
    Written { previous, added, split }
}

/// Parts a full leaf and puts a version into one half. Keys that come in order at the end of the tree leave full leaves
/// behind them.
fn split_leaf(leaf: &mut Leaf, at: usize, last: bool, version: Version) -> (Separator, Node) {
    let middle = if last && at == SLOTS { SLOTS } else { SLOTS / 2 };
    let mut right = leaf.split_off(middle);
    if at > middle || middle == SLOTS {
        right.insert(at - middle, version);
    } else {
        leaf.insert(at, version);
    }
    let ends = (leaf.items.last(), right.items.first());
    let parted = match ends {
        (Some(left), Some(first)) => separator(left.key(), first.key()),
        (None, _) | (_, None) => separator(&[], &[]),
    };
    (parted, Node::Leaf(Arc::new(right)))
}

impl Branch {
    pub(super) fn place(&self, key: &[u8]) -> usize {
        match self.separators.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    pub(super) fn update(
        &mut self,
        key: &[u8],
        last: bool,
        change: impl FnOnce(Option<&Version>) -> Option<Version>,
    ) -> Written {
        let at = self.place(key);
        let last = last && at == self.separators.len();
        let Some(child) = self.children.get_mut(at) else {
            return Written { previous: None, added: Sum::default(), split: None };
        };
        let Written { previous, added, split } = child.update(key, last, change);
        let removed = previous.as_ref().map(Sum::of).unwrap_or_default();
        self.sum = self.sum.and(added).without(removed);
        let split = split.and_then(|(separator, node)| self.adopt(at, last, separator, node));
        if added.count < removed.count {
            self.tidy(at);
        }
        Written { previous, added, split }
    }

    fn append(&mut self, version: Version) -> Option<(Separator, Node)> {
        let added = Sum::of(&version);
        let split = self.children.last_mut()?.append(version);
        self.sum = self.sum.and(added);
        split.and_then(|(separator, node)| self.adopt(self.separators.len(), true, separator, node))
    }

    /// Takes a new child in behind the one at `at`, and parts itself if it has no room.
    fn adopt(
        &mut self,
        at: usize,
        last: bool,
        separator: Separator,
        node: Node,
    ) -> Option<(Separator, Node)> {
        if self.separators.len() < SLOTS {
            self.separators.insert(at, separator);
            self.children.insert(at + 1, node);
            return None;
        }
        let middle = if last && at == SLOTS { SLOTS - 1 } else { SLOTS / 2 };
        let mut right = Self {
            separators: self.separators.split_off(middle + 1),
            children: self.children.drain(middle + 1..).collect(),
            sum: Sum::default(),
        };
        // The separator in the middle parts the halves, and belongs to neither.
        let parted = self.separators.remove(middle);
        if at > middle {
            right.adopt(at - middle - 1, last, separator, node);
        } else {
            self.adopt(at, last, separator, node);
        }
        for half in [&mut *self, &mut right] {
            half.sum = half.children.iter().map(Node::sum).sum();
        }
        Some((parted, Node::Branch(Arc::new(right))))
    }

    /// A version was removed below the child at `at`: if little is left there, it is joined with a neighbour.
    fn tidy(&mut self, at: usize) {
        let used = |at: usize| self.children.get(at).map(Node::used);
        if used(at).is_none_or(|used| used >= FEW) {
            return;
        }
        if self.separators.len() > 0 && self.children.get(at).is_some_and(|child| child.count() == 0) {
            self.children.remove(at);
            self.separators.remove(at.min(self.separators.len() - 1));
            return;
        }
        // The pair of neighbours, by the place of its first.
        let fits = |first: &usize| {
            used(*first).zip(used(first + 1)).is_some_and(|(one, other)| one + other < JOINED)
        };
        let pair = [at.checked_sub(1), Some(at)].into_iter().flatten().find(fits);
        if let Some(first) = pair {
            let between = self.separators.remove(first);
            let other = self.children.remove(first + 1);
            if let Some(one) = self.children.get_mut(first) {
                join(one, between, other);
            }
        }
    }
}

/// Moves what is in `other` behind what is in `one`. They are neighbours on one level and have room in one node.
fn join(one: &mut Node, between: Separator, other: Node) {
    match (one, other) {
        (Node::Leaf(one), Node::Leaf(other)) => Arc::make_mut(one).append(other.items.iter().cloned()),
        (Node::Branch(one), Node::Branch(other)) => {
            let one = Arc::make_mut(one);
            one.separators.append(std::iter::once(between).chain(other.separators.items.iter().cloned()));
            one.children.extend(other.children.iter().cloned());
            one.sum = one.sum.and(other.sum);
        }
        // All leaves are on one level.
        (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {}
    }
}
