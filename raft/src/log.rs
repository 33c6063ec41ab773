//! The log behind the snapshot, without a gap: its end in memory, what is older on the disk only.
//!
//! What is durable and applied is of use to slow peers alone. Held in memory up to the last snapshot it was as large as all
//! keys and values together (measured: 165 MB at a million keys of 256 bytes). So only the newest entries stay (see
//! [`RESIDENT_BYTES`](crate::config::RESIDENT_BYTES)); of the others the log knows the terms, in pieces, and the owner reads
//! them back when a peer needs them ([`LogRead`](crate::LogRead)). That is asked for and answered like a piece of a snapshot,
//! so a slow disk delays slow peers and nobody else.

use std::collections::VecDeque;

use crate::config::RESIDENT_SPARE_DIVISOR;
use crate::{Entry, EntryId, Index, Term};

/// Entries from `prev.index + 1` on; those from `evicted.index + 1` on are in memory.
///
/// # Invariants
/// - Terms never fall from one entry to the next, nor from `prev` to the first.
/// - `prev ≤ evicted ≤ settled ≤ last`; the ends of `pieces` ascend, and the last of them is `evicted` unless that is `prev`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    prev: EntryId,
    /// The last entry that is on the disk only; `prev` if none is.
    evicted: EntryId,
    /// What is on the disk only, in pieces of one term each: the last entry of each, and what its entries count.
    pieces: VecDeque<(EntryId, usize)>,
    entries: VecDeque<Entry>,
    /// What all entries count.
    bytes: usize,
    /// Up to here, what is in memory might be evicted, and what that counts.
    settled: (Index, usize),
}

impl Log {
    pub(crate) fn new(prev: EntryId) -> Self {
        Self { prev, evicted: prev, settled: (prev.index, 0), ..Self::default() }
    }

    /// What stands before the first entry.
    pub(crate) fn prev(&self) -> EntryId {
        self.prev
    }

    /// The last entry that is on the disk only; [`prev`](Self::prev) if all are in memory.
    pub(crate) fn evicted(&self) -> EntryId {
        self.evicted
    }

    /// The last entry; what stands before the first if there is none.
    pub(crate) fn last(&self) -> EntryId {
        let index = Index(self.evicted.index.0 + self.entries.len() as u64);
        EntryId { term: self.entries.back().map_or(self.evicted.term, |entry| entry.term), index }
    }

    /// What the entries count against limits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it stands among those in memory.
    fn position(&self, index: Index) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.evicted.index.0 + 1)?).ok()
    }

    /// The entry at `index`, if it is in memory.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(self.position(index)?)
    }

    /// The term at `index`, also of what stands before the first entry; `None` where nothing is held.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.prev.index {
            Some(self.prev.term)
        } else if index < self.prev.index {
            None
        } else if index <= self.evicted.index {
            let piece = self.pieces.partition_point(|(end, _)| end.index < index);
            self.pieces.get(piece).map(|(end, _)| end.term)
        } else {
            self.entry(index).map(|entry| entry.term)
        }
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.term >= self.last().term, "terms never fall along a log");
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    /// Drops the entries from `first` on, which are in memory: what was ever let go of is committed.
    pub(crate) fn truncate(&mut self, first: Index) {
        assert!(first > self.settled.0, "what is durable and applied is never truncated");
        let Some(keep) = self.position(first) else { return };
        for entry in self.entries.drain(keep.min(self.entries.len())..) {
            self.bytes -= entry.bytes();
        }
    }

    /// What is up to `through` is on the disk and of use to slow peers only: when it counts more than `keep` and an eighth
    /// ([`RESIDENT_SPARE_DIVISOR`]), lets go of the oldest of it, until it counts `keep` or less.
    pub(crate) fn evict(&mut self, through: Index, keep: usize) {
        let mut settled = self.settled;
        for (index, entry) in self.iter_from(settled.0.next()).take_while(|(index, _)| *index <= through) {
            settled = (index, settled.1 + entry.bytes());
        }
        self.settled = settled;
        if self.settled.1 <= keep.saturating_add(keep / RESIDENT_SPARE_DIVISOR) {
            return;
        }
        let mut piece = 0;
        while self.settled.1 > keep
            && let Some(entry) = self.entries.pop_front()
        {
            // Not too large, for the log is trimmed by whole pieces: after a start nearly all of it goes at once.
            if piece > 0 && (entry.term != self.evicted.term || piece >= keep / RESIDENT_SPARE_DIVISOR) {
                self.pieces.push_back((self.evicted, std::mem::take(&mut piece)));
            }
            piece += entry.bytes();
            self.settled.1 -= entry.bytes();
            self.evicted = EntryId { term: entry.term, index: self.evicted.index.next() };
        }
        self.pieces.push_back((self.evicted, piece));
        // A start reads the whole log, and its room would stay.
        if self.entries.capacity() > 4 * self.entries.len() {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// The last entry of each piece that is on the disk only: between two of them is one term.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = EntryId> {
        self.pieces.iter().map(|(end, _)| *end)
    }

    /// The ends at which the log can be trimmed, in order: index, and what is before it and behind the end before.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (Index, usize)> {
        let first = self.evicted.index.next().0;
        let resident = self.entries.iter().enumerate();
        let resident = resident.map(move |(at, entry)| (Index(first + at as u64), entry.bytes()));
        self.pieces.iter().map(|(end, bytes)| (end.index, *bytes)).chain(resident)
    }

    /// Drops the entries up to `through`, which is held, and one of the [`ends`](Self::ends).
    pub(crate) fn trim(&mut self, through: Index) {
        let Some(term) = self.term_at(through) else { return };
        self.prev = EntryId { term, index: through };
        while let Some((_, bytes)) = self.pieces.pop_front_if(|(end, _)| end.index <= through) {
            self.bytes -= bytes;
        }
        if through > self.evicted.index {
            let count = (through.0 - self.evicted.index.0) as usize;
            for (entry, index) in self.entries.drain(..count).zip(self.evicted.index.0 + 1..) {
                self.bytes -= entry.bytes();
                if index <= self.settled.0.0 {
                    self.settled.1 -= entry.bytes();
                }
            }
            self.evicted = self.prev;
            self.settled.0 = self.settled.0.max(through);
        }
    }

    /// Entries in memory from `first` on, as many as `bytes_max` allows and at least one, and what they count. None if the first
    /// is on the disk only.
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

    /// The entries in memory with their indices, from `first` on.
    pub(crate) fn iter_from(&self, first: Index) -> impl Iterator<Item = (Index, &Entry)> {
        let start = self.position(first).unwrap_or(0).min(self.entries.len());
        let from = Index(self.evicted.index.0 + 1 + start as u64);
        self.entries.range(start..).enumerate().map(move |(at, entry)| (Index(from.0 + at as u64), entry))
    }

    /// The last entry at or before `bound.index` whose term is not above `bound.term`. If another log has `bound`, the two
    /// cannot agree on anything between; so a search for the end of agreement skips a whole term per round trip (§5.3).
    pub(crate) fn agreement_bound(&self, bound: EntryId) -> EntryId {
        if self.prev.index >= bound.index || self.prev.term > bound.term {
            return self.prev;
        }
        let within =
            bound.index.0.saturating_sub(self.evicted.index.0).min(self.entries.len() as u64) as usize;
        // Terms ascend, so those that are not above the bound stand in front.
        let count = self.entries.partition_point(|entry| entry.term <= bound.term).min(within);
        if let Some(last) = count.checked_sub(1) {
            return EntryId {
                term: self.entries[last].term,
                index: Index(self.evicted.index.0 + count as u64),
            };
        }
        let piece = self.pieces.partition_point(|(end, _)| end.term <= bound.term);
        let piece = piece.min(self.pieces.partition_point(|(end, _)| end.index < bound.index) + 1);
        match piece.checked_sub(1).and_then(|last| self.pieces.get(last)) {
            Some((end, _)) => EntryId { term: end.term, index: end.index.min(bound.index) },
            None => self.prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Payload;

    /// More than is ever kept.
    const KEPT: usize = 200;

    /// The same log, all of it in memory and without bounds.
    struct Plain {
        prev: EntryId,
        entries: Vec<Entry>,
    }

    impl Plain {
        fn last(&self) -> EntryId {
            let index = Index(self.prev.index.0 + self.entries.len() as u64);
            EntryId { term: self.entries.last().map_or(self.prev.term, |entry| entry.term), index }
        }

        fn term_at(&self, index: Index) -> Option<Term> {
            match index.0.checked_sub(self.prev.index.0)? {
                0 => Some(self.prev.term),
                at => self.entries.get(at as usize - 1).map(|entry| entry.term),
            }
        }

        fn agreement_bound(&self, bound: EntryId) -> EntryId {
            let indices = (self.prev.index.0..=self.last().index.0.min(bound.index.0)).rev().map(Index);
            let mut ids = indices.filter_map(|index| Some(EntryId { term: self.term_at(index)?, index }));
            ids.find(|id| id.term <= bound.term).unwrap_or(self.prev)
        }
    }

    fn matches(log: &Log, plain: &Plain, seed: u64) {
        assert_eq!((log.prev(), log.last()), (plain.prev, plain.last()), "seed {seed}");
        for index in (0..plain.last().index.0 + 3).map(Index) {
            assert_eq!(log.term_at(index), plain.term_at(index), "seed {seed}: at {index}");
            let resident = index > log.evicted().index && index <= log.last().index;
            assert_eq!(log.entry(index).is_some(), resident, "seed {seed}: at {index}");
            for term in 0..8 {
                let bound = EntryId { term: Term(term), index };
                assert_eq!(log.agreement_bound(bound), plain.agreement_bound(bound), "seed {seed}: {bound}");
            }
        }
        let resident: Vec<Index> = log.iter_from(Index(0)).map(|(index, _)| index).collect();
        let wanted = log.evicted().index.0 + 1..=log.last().index.0;
        assert_eq!(resident, wanted.map(Index).collect::<Vec<_>>(), "seed {seed}");
        let counted: usize = log.ends().map(|(_, bytes)| bytes).sum();
        assert_eq!(counted, log.bytes(), "seed {seed}");
        assert!(log.ends().is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
        let largest = crate::ENTRY_OVERHEAD_BYTES + 8;
        let most = (KEPT / RESIDENT_SPARE_DIVISOR).max(1) + largest;
        assert!(log.pieces.iter().all(|(_, bytes)| *bytes <= most), "seed {seed}: {:?}", log.pieces);
        let truth: usize = plain.entries.iter().map(Entry::bytes).sum();
        assert_eq!(log.bytes(), truth, "seed {seed}");
        let settled = log.iter_from(Index(0)).take_while(|(index, _)| *index <= log.settled.0);
        assert_eq!(settled.map(|(_, entry)| entry.bytes()).sum::<usize>(), log.settled.1, "seed {seed}");
    }

    #[test]
    fn a_log_that_is_partly_on_the_disk_knows_the_same_terms_as_one_that_is_not() {
        for seed in 0..400_u64 {
            let mut state = seed;
            let mut roll = |below: u64| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 33) % below
            };
            let prev = EntryId { term: Term(roll(2)), index: Index(roll(3)) };
            let (mut log, mut plain) = (Log::new(prev), Plain { prev, entries: Vec::new() });
            for _ in 0..40 {
                let (first, last) = (plain.prev.index.0, plain.last().index.0);
                match roll(6) {
                    0..=2 => {
                        let term = Term(plain.last().term.0 + roll(5) / 4);
                        let data = Bytes::from(vec![0; roll(9) as usize]);
                        let entry = Entry { term, payload: Payload::Data(data) };
                        log.append(entry.clone());
                        plain.entries.push(entry);
                    }
                    3 => {
                        let (through, keep) =
                            (Index(first + roll(last - first + 1)), roll(KEPT as u64) as usize);
                        log.evict(through, keep);
                        let spare = keep + keep / RESIDENT_SPARE_DIVISOR;
                        assert!(log.settled.1 <= spare, "seed {seed}: {} of {keep}", log.settled.1);
                        assert!(log.evicted().index <= log.settled.0, "seed {seed}");
                    }
                    4 => {
                        let ends: Vec<Index> = log.ends().map(|(end, _)| end).collect();
                        let Some(through) = ends.get(roll(ends.len().max(1) as u64) as usize) else {
                            continue;
                        };
                        plain.prev =
                            EntryId { term: plain.term_at(*through).expect("held"), index: *through };
                        plain.entries.drain(..(through.0 - first) as usize);
                        log.trim(*through);
                    }
                    _ => {
                        let settled = log.settled.0.0;
                        let from = settled + 1 + roll(last - settled + 1);
                        plain.entries.truncate((from - first - 1) as usize);
                        log.truncate(Index(from));
                    }
                }
                matches(&log, &plain, seed);
            }
        }
    }
}
