//! The inside of a node: things in the order of their keys, with the head of each key beside.

use std::cmp::Ordering;

use arrayvec::ArrayVec;
use triomphe::ThinArc;

use crate::version::Version;

/// Versions in a leaf, and separators in a branch, at most. 64 make a tree of a million keys four levels high; more
/// would make the copy of a shared leaf dearer.
pub(super) const SLOTS: usize = 64;
/// What has a key.
pub(super) trait Keyed: Clone {
    fn key(&self) -> &[u8];
}

impl Keyed for Version {
    fn key(&self) -> &[u8] {
        Version::key(self)
    }
}

/// The copy of a key, or of as much of it as is needed.
#[derive(Clone, Debug)]
pub(super) struct Separator(ThinArc<(), u8>);

impl Keyed for Separator {
    fn key(&self) -> &[u8] {
        &self.0.slice
    }
}

/// The shortest key that is above `left` and not above `right`, which is above `left`.
pub(super) fn separator(left: &[u8], right: &[u8]) -> Separator {
    let shared = common(left, right);
    Separator(ThinArc::from_header_and_slice((), right.get(..=shared).unwrap_or(right)))
}

/// How many bytes two keys have in common.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The four bytes behind the prefix, zeros where there are none. Never descends from key to key.
pub(super) fn head(key: &[u8], prefix: usize) -> u32 {
    let rest = key.get(prefix..).unwrap_or_default();
    match rest.first_chunk() {
        Some(four) => u32::from_be_bytes(*four),
        None => {
            rest.iter().fold(0, |head, byte| (head << 8) | u32::from(*byte)) << (8 * (4 - rest.len())).min(31)
        }
    }
}

/// Things in the order of their keys, with their heads.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    /// Bytes that all keys have in common.
    pub(super) prefix: usize,
    pub(super) heads: ArrayVec<u32, SLOTS>,
    pub(super) items: ArrayVec<T, SLOTS>,
}

impl<T: Keyed> Slots<T> {
    pub(super) fn new() -> Self {
        Self { prefix: 0, heads: ArrayVec::new(), items: ArrayVec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Where `key` stands, or where it would.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let wanted = head(key, self.prefix);
        let first = self.heads.partition_point(|head| *head < wanted);
        let Some(near) = self.items.get(first).or(self.items.last()) else { return Err(0) };
        // Heads say nothing of a key that has not even the prefix; then it is before or behind all of them.
        let prefix = near.key().get(..self.prefix).unwrap_or_default();
        let own = key.get(..self.prefix.min(key.len())).unwrap_or_default();
        match own.cmp(prefix) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let equal = self.heads.iter().skip(first).take_while(|head| **head == wanted).count();
        let candidates = self.items.get(first..first + equal).unwrap_or_default();
        match candidates.binary_search_by(|item| item.key().cmp(key)) {
            Ok(at) => Ok(first + at),
            Err(at) => Err(first + at),
        }
    }

    /// Puts something where [`search`](Self::search) said. There has to be room.
    pub(super) fn insert(&mut self, at: usize, item: T) {
        let prefix = match self.items.first() {
            None => item.key().len(),
            Some(first) => common(first.key(), item.key()).min(self.prefix),
        };
        let head = head(item.key(), prefix);
        self.items.insert(at, item);
        if prefix == self.prefix || self.len() == 1 {
            self.prefix = prefix;
            self.heads.insert(at, head);
        } else {
            self.refresh();
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        self.heads.remove(at);
        self.items.remove(at)
    }

    /// Finds the longest prefix, and makes all heads anew.
    fn refresh(&mut self) {
        self.prefix = match (self.items.first(), self.items.last()) {
            (Some(first), Some(last)) => common(first.key(), last.key()),
            (None, _) | (_, None) => 0,
        };
        self.heads = self.items.iter().map(|item| head(item.key(), self.prefix)).collect();
    }

    /// Takes everything from `at` on away.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let items = self.items.drain(at..).collect();
        let mut rest = Self { prefix: 0, heads: ArrayVec::new(), items };
        self.refresh();
        rest.refresh();
        rest
    }

    /// Appends things that come behind. There has to be room.
    pub(super) fn append(&mut self, others: impl IntoIterator<Item = T>) {
        self.items.extend(others);
        self.refresh();
    }
}
