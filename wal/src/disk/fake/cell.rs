//! The unit that a power cut keeps or loses on its own, with every content it may show afterwards.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::super::SECTOR;

/// A value of which the cache shows one version and the disk may keep any since the last sync.
#[derive(Clone, Debug)]
pub(super) struct Versions<T> {
    /// What a power cut is sure to leave if nothing was written since the last sync.
    durable: T,
    /// What else a power cut may leave, in the order in which it was first written; each once, and none the
    /// durable one.
    later: Vec<T>,
    /// What the cache shows.
    visible: T,
    /// The cache shows what the disk never stored, and believes it stored.
    lost: bool,
}

impl<T: Clone + PartialEq> Versions<T> {
    /// A value that is durable.
    pub(super) fn new(value: T) -> Self {
        Self { durable: value.clone(), later: Vec::new(), visible: value, lost: false }
    }

    /// A value made since the last sync, where `before` was durable.
    pub(super) fn unsynced(before: T, value: T) -> Self {
        let mut versions = Self::new(before);
        versions.write(value);
        versions
    }

    pub(super) fn durable(&self) -> &T {
        &self.durable
    }

    pub(super) fn visible(&self) -> &T {
        &self.visible
    }

    /// The cache takes a new content, and the disk may.
    pub(super) fn write(&mut self, value: T) {
        if value != self.durable && !self.later.contains(&value) {
            self.later.push(value.clone());
        }
        self.visible = value;
        self.lost = false;
    }

    /// The cache takes a new content, and the disk says it did too but did not.
    pub(super) fn write_lost(&mut self, value: T) {
        self.visible = value;
        self.lost = true;
    }

    /// The disk changes beneath a cache that shows it, or shows something newer.
    pub(super) fn write_beneath(&mut self, value: T) {
        if self.visible == self.durable && self.later.is_empty() {
            self.visible = value.clone();
        }
        self.durable = value;
        self.tidy();
    }

    /// Makes the visible content durable, unless the disk believes it is.
    pub(super) fn sync(&mut self) {
        self.later.clear();
        if !self.lost {
            self.durable = self.visible.clone();
        }
    }

    /// The sync failed: the cache calls clean what it shows, and the disk has none of it.
    pub(super) fn lose(&mut self) {
        self.later.clear();
        self.lost = self.visible != self.durable;
    }

    /// How many contents a power cut may leave.
    pub(super) fn count(&self) -> usize {
        1 + self.later.len()
    }

    /// What a power cut leaves: 0 is the durable version.
    pub(super) fn version(&self, number: usize) -> &T {
        match number {
            0 => &self.durable,
            later => &self.later[later - 1],
        }
    }

    /// What a read past the cache finds. What is to be written is written first, so only what is lost
    /// differs.
    pub(super) fn stored(&self) -> &T {
        if self.lost { &self.durable } else { &self.visible }
    }

    /// The visible content, durable.
    pub(super) fn settled(&self) -> Self {
        Self::new(self.visible.clone())
    }

    /// Whether there is but one content.
    pub(super) fn is_settled(&self) -> bool {
        self.later.is_empty() && self.visible == self.durable
    }

    /// Changes every version.
    pub(super) fn edit(&mut self, change: impl Fn(&T) -> T) {
        self.durable = change(&self.durable);
        self.visible = change(&self.visible);
        self.later.iter_mut().for_each(|value| *value = change(value));
        self.tidy();
    }

    /// Each version and its place, for hashing: 0 the durable one, 1 the visible one, then the others.
    pub(super) fn tagged(&self) -> impl Iterator<Item = (u64, &T)> {
        let later = self.later.iter().zip(2..).map(|(value, tag)| (tag, value));
        [(0, &self.durable), (1, &self.visible)].into_iter().chain(later)
    }

    /// Merges versions that have become equal.
    fn tidy(&mut self) {
        let all = std::mem::take(&mut self.later);
        for value in all {
            if value != self.durable && !self.later.contains(&value) {
                self.later.push(value);
            }
        }
        self.lost &= self.visible != self.durable;
    }
}

/// A sector that is not all zero, and its hash. Compared by hash first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sector {
    hash: u64,
    bytes: [u8; SECTOR],
}

/// What a sector holds; `None` is all zero, and all zero is always `None`.
pub(super) type Content = Option<Arc<Sector>>;

const ZERO: [u8; SECTOR] = [0; SECTOR];

/// The content that is these bytes.
pub(super) fn content(bytes: [u8; SECTOR]) -> Content {
    (bytes != ZERO).then(|| Arc::new(Sector { hash: hash_bytes(&bytes), bytes }))
}

/// The bytes of a content.
pub(super) fn bytes_of(content: &Content) -> &[u8; SECTOR] {
    match content {
        Some(sector) => &sector.bytes,
        None => &ZERO,
    }
}

/// What a content at a place adds to the hash of its file. Zeros add nothing.
pub(super) fn term(place: u64, content: &Content) -> u64 {
    match content {
        Some(sector) => mix(sector.hash.wrapping_add(mix(place + 1))),
        None => 0,
    }
}

/// SipHash with fixed keys: the same in every run of one build.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The finaliser of splitmix64: a bijection in which each bit of the input changes half of the output.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
