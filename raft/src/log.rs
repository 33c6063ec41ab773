//! The log in memory: the entries behind the snapshot, without a gap.
//!
//! All of it is held, not only the newest part: what is kept behind the snapshot is bounded in bytes, and a leader that had
//! to read a slow follower's entries back from the disk would pay for it in the latency of everybody else.

use std::collections::VecDeque;

use crate::{Entry, EntryId, Index, Term};

/// Entries from `prev.index + 1` on.
///
/// # Invariants
/// - Terms never fall from one entry to the next, nor from `prev` to the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    prev: EntryId,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Log {
    pub(crate) fn new(prev: EntryId) -> Self {
        Self { prev, ..Self::default() }
    }

    /// What stands before the first entry.
    pub(crate) fn prev(&self) -> EntryId {
        self.prev
    }

    /// The last entry; what stands before the first if there is none.
    pub(crate) fn last(&self) -> EntryId {
        let index = Index(self.prev.index.0 + self.entries.len() as u64);
        EntryId { term: self.entries.back().map_or(self.prev.term, |entry| entry.term), index }
    }

    /// What the entries count against limits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn position(&self, index: Index) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.prev.index.0 + 1)?).ok()
    }

    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(self.position(index)?)
    }

    /// The term at `index`, also of what stands before the first entry; `None` where nothing is held.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.prev.index {
            Some(self.prev.term)
        } else {
            self.entry(index).map(|entry| entry.term)
        }
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.term >= self.last().term, "terms never fall along a log");
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    /// Drops the entries from `first` on.
    pub(crate) fn truncate(&mut self, first: Index) {
        let Some(keep) = self.position(first) else { return };
        for entry in self.entries.drain(keep.min(self.entries.len())..) {
            self.bytes -= entry.bytes();
        }
    }

    /// Drops the entries up to `through`, which is held.
    pub(crate) fn trim(&mut self, through: Index) {
        let Some(term) = self.term_at(through) else { return };
        let count = (through.0 - self.prev.index.0) as usize;
        for entry in self.entries.drain(..count) {
            self.bytes -= entry.bytes();
        }
        self.prev = EntryId { term, index: through };
    }

    /// Entries from `first` on, as many as `bytes_max` allows and at least one, and what they count.
    pub(crate) fn slice(&self, first: Index, bytes_max: usize) -> (Vec<Entry>, usize) {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let Some(start) = self.position(first) else { return (entries, 0) };
        for entry in self.entries.range(start.min(self.entries.len())..) {
            let more = entry.bytes();
            if bytes + more > bytes_max && !entries.is_empty() {
                break;
            }
            bytes += more;
            entries.push(entry.clone());
        }
        (entries, bytes)
    }

    /// Entries with their indices, from `first` on.
    pub(crate) fn iter_from(&self, first: Index) -> impl Iterator<Item = (Index, &Entry)> {
        let start = self.position(first).unwrap_or(0).min(self.entries.len());
        let from = Index(self.prev.index.0 + 1 + start as u64);
        self.entries.range(start..).enumerate().map(move |(at, entry)| (Index(from.0 + at as u64), entry))
    }

    /// The last entry at or before `bound.index` whose term is not above `bound.term`. If another log has `bound`, the two
    /// cannot agree on anything between; so a search for the end of agreement skips a whole term per round trip (§5.3).
    pub(crate) fn agreement_bound(&self, bound: EntryId) -> EntryId {
        if self.prev.index >= bound.index || self.prev.term > bound.term {
            return self.prev;
        }
        let within = (bound.index.0 - self.prev.index.0).min(self.entries.len() as u64) as usize;
        // Terms ascend, so those that are not above the bound stand in front.
        let count = self.entries.partition_point(|entry| entry.term <= bound.term).min(within);
        let term = count.checked_sub(1).map_or(self.prev.term, |last| self.entries[last].term);
        EntryId { term, index: Index(self.prev.index.0 + count as u64) }
    }
}
