//! The disk of one node: what is durable, what is being written, and what a crash leaves of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_raft::{
    Damage, Entry, EntryId, HardState, Hole, Index, LogOp, Persist, PersistId, Recovered, SnapshotMeta, Term,
};

/// A snapshot with its bytes.
pub(crate) type Snapshot = (SnapshotMeta, Vec<u8>);

/// What is durable, and behind it what is on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) hard: HardState,
    pub(crate) votes_lost: bool,
    pub(crate) prev: EntryId,
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Readable, but nobody knows whether it was ever the last word.
    pub(crate) doubtful: BTreeSet<u64>,
    /// The end that a damaged log claims to have had, and whether that is to be trusted.
    pub(crate) claim: Option<(EntryId, bool)>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) writing: VecDeque<Persist>,
}

/// The smallest thing that a power cut leaves or takes.
enum Piece {
    Hard(HardState),
    Entry(u64, Entry),
    Op(LogOp),
}

fn pieces(persist: Persist) -> Vec<Piece> {
    let hard = persist.hard_state.map(Piece::Hard);
    let ops = persist.log.into_iter().flat_map(|op| match op {
        LogOp::Append { first, entries } => {
            entries.into_iter().zip(first.0..).map(|(entry, index)| Piece::Entry(index, entry)).collect()
        }
        other => vec![Piece::Op(other)],
    });
    hard.into_iter().chain(ops).collect()
}

impl Disk {
    /// Makes the writes up to and with `id` durable.
    pub(crate) fn sync(&mut self, id: PersistId) {
        while self.writing.front().is_some_and(|persist| persist.id <= id) {
            let Some(persist) = self.writing.pop_front() else { return };
            for piece in pieces(persist) {
                self.take(piece);
            }
        }
    }

    /// A crash: of what was being written, the first `keep` pieces survive.
    pub(crate) fn crash(&mut self, keep: usize) {
        let writing = std::mem::take(&mut self.writing);
        for piece in writing.into_iter().flat_map(pieces).take(keep) {
            self.take(piece);
        }
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Hard(hard) => self.hard = hard,
            Piece::Entry(index, entry) => {
                self.cut(index);
                self.entries.insert(index, entry);
            }
            Piece::Op(LogOp::Append { .. }) => unreachable!("appends are taken entry by entry"),
            Piece::Op(LogOp::Fill { index, entry }) => {
                self.entries.insert(index.0, entry);
                self.doubtful.remove(&index.0);
            }
            Piece::Op(LogOp::Confirm { index, .. }) => {
                self.doubtful.remove(&index.0);
            }
            Piece::Op(LogOp::Heal { whole }) => {
                self.cut(whole.0 + 1);
                self.claim = None;
            }
            Piece::Op(LogOp::Reset { last }) => {
                self.cut(0);
                self.prev = last;
            }
            Piece::Op(LogOp::Trim { through }) => {
                let term = self.term_at(through.0).unwrap_or_default();
                self.prev = EntryId { term, index: through };
                self.entries.retain(|index, _| *index > through.0);
            }
        }
    }

    fn cut(&mut self, first: u64) {
        self.entries.split_off(&first);
        self.doubtful.split_off(&first);
    }

    fn term_at(&self, index: u64) -> Option<Term> {
        let covered = self.snapshot.as_ref().map(|(meta, _)| meta.last).filter(|last| last.index.0 == index);
        self.entries.get(&index).map(|entry| entry.term).or(covered.map(|last| last.term))
    }

    /// Whether this entry is certain to survive, by itself or in a snapshot.
    pub(crate) fn holds(&self, index: u64, term: Term) -> bool {
        let covered = self.snapshot.as_ref().is_some_and(|(meta, _)| meta.last.index.0 >= index);
        let entry = self.entries.get(&index).is_some_and(|entry| entry.term == term);
        covered || index <= self.prev.index.0 || (entry && !self.doubtful.contains(&index))
    }

    /// Where the entries end that are certain and without a gap.
    fn whole_end(&self) -> u64 {
        let whole = |index: &u64| self.entries.contains_key(index) && !self.doubtful.contains(index);
        (self.prev.index.0 + 1..).take_while(whole).last().unwrap_or(self.prev.index.0)
    }

    /// The last entry, whatever is missing before it.
    pub(crate) fn end(&self) -> EntryId {
        let last = self.entries.last_key_value();
        last.map_or(self.prev, |(index, entry)| EntryId { term: entry.term, index: Index(*index) })
    }

    /// What a node finds when it starts.
    pub(crate) fn recovered(&self) -> Recovered {
        let whole = self.whole_end();
        let behind: Vec<(Index, Entry)> =
            self.entries.range(whole + 1..).map(|(index, entry)| (Index(*index), entry.clone())).collect();
        let claim = self.claim.or((!behind.is_empty()).then_some((self.end(), true)));
        let damage = claim.map(|(claimed_end, trustworthy)| {
            let mut holes: Vec<Hole> = Vec::new();
            for index in (whole + 1..=claimed_end.index.0).map(Index) {
                if self.entries.contains_key(&index.0) && !self.doubtful.contains(&index.0) {
                    continue;
                }
                match holes.last_mut() {
                    Some(hole) if hole.last.next() == index => hole.last = index,
                    _ => holes.push(Hole { first: index, last: index }),
                }
            }
            Damage { holes, behind, claimed_end, trustworthy }
        });
        Recovered {
            hard_state: self.hard,
            hard_state_lost: self.votes_lost,
            snapshot: self.snapshot.as_ref().map(|(meta, _)| meta.clone()),
            prev: self.prev,
            entries: self.entries.range(..=whole).map(|(_, entry)| entry.clone()).collect(),
            damage,
        }
    }
}
