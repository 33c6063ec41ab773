//! The disk of a node: what is durable, what waits to become so, and what a crash leaves of it.
//!
//! # Model
//! Persists become durable in the order of their ids, each after a random time. A crash keeps what is durable, and of what
//! waits any prefix of its operations, cut between two of them or between two entries of an append: that is what the
//! write-ahead log promises (its own simulator shows that it keeps the promise on disks that lie).
//! A snapshot is put in place at once or not at all.
//!
//! # Damage
//! Indices may become holes, or readable and doubtful. The mark of the damage stays until the log is healed, also over
//! further starts.

use std::collections::VecDeque;

use holdfast_raft::{Entry, EntryId, HardState, Index, LogOp, Persist, PersistId, Term};

use super::machine::Snapshot;
use super::queue::Micros;

/// What stands at one index of the durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// An entry that can be trusted.
    Whole(Entry),
    /// An entry that may have been superseded in the damaged part.
    Doubtful(Entry),
    /// One that a leader has confirmed: to be trusted by this process, and doubtful again for the next one, until the log
    /// is healed.
    Confirmed(Entry),
    /// Nothing readable.
    Hole,
}

impl Slot {
    /// The entry, if it can be trusted.
    #[must_use]
    pub fn trusted(&self) -> Option<&Entry> {
        match self {
            Self::Whole(entry) | Self::Confirmed(entry) => Some(entry),
            Self::Doubtful(_) | Self::Hole => None,
        }
    }
}

/// What a damaged log says about its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The log did not end before this entry.
    pub claimed_end: EntryId,
    /// It did not end behind it either.
    pub trustworthy: bool,
}

/// A persist on its way to the disk.
#[derive(Clone, Debug)]
pub struct Pending {
    /// When it is durable.
    pub due: Micros,
    /// The node's own tick count when it was handed over.
    pub issued_at_tick: u64,
    /// What is written.
    pub persist: Persist,
}

/// One node's disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Durable term and vote.
    pub hard_state: HardState,
    /// Term and vote may be older than what was promised. For ever.
    pub hard_state_lost: bool,
    /// What stands before the first slot.
    pub base: EntryId,
    /// The durable log behind it.
    pub slots: Vec<Slot>,
    /// Damage that is not healed.
    pub mark: Option<Mark>,
    /// The newest durable snapshot.
    pub snapshot: Option<Snapshot>,
    /// What waits, oldest first.
    pub pending: VecDeque<Pending>,
    /// What stood in the log when the last processes ended, newest last: the index before the first, and the terms of the
    /// whole entries. A leader that has not heard of a later process may count that.
    pub(super) had: VecDeque<(Index, Vec<Term>)>,
}

impl Disk {
    /// A disk with this log and nothing else.
    #[must_use]
    pub fn new(hard_state: HardState, entries: Vec<Entry>) -> Self {
        Self {
            hard_state,
            hard_state_lost: false,
            base: EntryId::ZERO,
            slots: entries.into_iter().map(Slot::Whole).collect(),
            mark: None,
            snapshot: None,
            pending: VecDeque::new(),
            had: VecDeque::new(),
        }
    }

    fn position(&self, index: Index) -> Option<usize> {
        index.0.checked_sub(self.base.index.0 + 1).map(|at| at as usize)
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        self.slots.get(self.position(index)?)
    }

    /// The entry at this index, if it is there and can be trusted.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.slot(index)?.trusted()
    }

    /// How many slots are whole before the first that is not.
    pub(super) fn whole_slots(&self) -> usize {
        match self.mark {
            None => self.slots.len(),
            Some(_) => {
                let broken = self.slots.iter().position(|slot| slot.trusted().is_none());
                broken.unwrap_or(self.slots.len())
            }
        }
    }

    /// What stands before the entries that can be trusted: mostly what stands before the first slot; but what a snapshot
    /// covers is not missed, so that holes before its end are none.
    #[must_use]
    pub fn start(&self) -> EntryId {
        let snapshot = self.snapshot.as_ref().filter(|_| self.mark.is_some());
        let end = self.base.index.0 + self.whole_slots() as u64;
        snapshot.map(|snapshot| snapshot.meta.last).filter(|last| last.index.0 > end).unwrap_or(self.base)
    }

    /// The entries behind that, up to the first hole or the first fall of the term.
    pub fn trusted(&self) -> impl Iterator<Item = (Index, &Entry)> {
        let start = self.start();
        let mut term = start.term;
        let slots =
            self.slots.iter().zip(self.base.index.0 + 1..).skip((start.index.0 - self.base.index.0) as usize);
        let trusted = slots.map_while(|(slot, index)| slot.trusted().map(|entry| (Index(index), entry)));
        trusted.take_while(move |(_, entry)| entry.term >= std::mem::replace(&mut term, entry.term))
    }

    /// The last entry before the first hole.
    #[must_use]
    pub fn whole_end(&self) -> EntryId {
        if self.mark.is_none() {
            let last = self.slots.last().and_then(Slot::trusted);
            let index = Index(self.base.index.0 + self.slots.len() as u64);
            return last.map_or(self.base, |entry| EntryId { term: entry.term, index });
        }
        self.trusted().last().map_or(self.start(), |(index, entry)| EntryId { term: entry.term, index })
    }

    /// The last index that a durable snapshot covers.
    #[must_use]
    pub fn covered(&self) -> Index {
        self.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.meta.last.index)
    }

    /// The term of the entry at this index, if it stands before the first hole.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if self.mark.is_some() {
            let start = self.start();
            let mut trusted = self.trusted();
            return if index == start.index {
                Some(start.term)
            } else {
                trusted.find(|(at, _)| *at == index).map(|(_, entry)| entry.term)
            };
        }
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.slot(index)?.trusted().map(|entry| entry.term)
    }

    /// Whether the durable log holds this entry and all before it, or a durable snapshot does.
    #[must_use]
    pub fn holds(&self, id: EntryId) -> bool {
        id.index <= self.base.index || id.index <= self.covered() || self.term_at(id.index) == Some(id.term)
    }

    /// The end that this node compares with a candidate's: what it could not have lost.
    #[must_use]
    pub fn voting_end(&self) -> EntryId {
        let end = self.snapshot.as_ref().map_or(EntryId::ZERO, |snapshot| snapshot.meta.last);
        let end = end.max(self.whole_end());
        self.mark.map_or(end, |mark| end.max(self.claimed_end(mark)))
    }

    /// What a damaged log says of its end: no less than what can be read of it now.
    pub(super) fn claimed_end(&self, mark: Mark) -> EntryId {
        let readable =
            self.slots.iter().zip(self.base.index.0 + 1..).filter_map(|(slot, index)| match slot {
                Slot::Whole(entry) | Slot::Doubtful(entry) | Slot::Confirmed(entry) => {
                    Some((entry.term, Index(index)))
                }
                Slot::Hole => None,
            });
        readable.fold(mark.claimed_end, |end, (term, index)| EntryId {
            term: end.term.max(term),
            index: end.index.max(index),
        })
    }

    /// Whether this node may vote when it starts from here.
    #[must_use]
    pub fn may_vote(&self) -> bool {
        !self.hard_state_lost && self.mark.is_none_or(|mark| mark.trustworthy)
    }

    /// Writes one operation. Says what it may not do with this log.
    ///
    /// # Errors
    /// What is wrong with the operation.
    pub fn write(&mut self, op: &LogOp) -> Result<(), &'static str> {
        match op {
            LogOp::Append { first, entries } => {
                let at = self.position(*first).ok_or("an append reaches before the log")?;
                if at > self.slots.len() {
                    return Err("an append leaves a gap");
                }
                self.slots.truncate(at);
                self.slots.extend(entries.iter().cloned().map(Slot::Whole));
            }
            LogOp::Fill { index, entry } => {
                let at = self.position(*index).ok_or("a fill reaches before the log")?;
                match self.slots.get_mut(at) {
                    Some(slot @ (Slot::Hole | Slot::Doubtful(_))) => *slot = Slot::Whole(entry.clone()),
                    Some(Slot::Whole(_) | Slot::Confirmed(_)) => return Err("a fill of what is no hole"),
                    None => return Err("a fill beyond the log"),
                }
            }
            LogOp::Confirm { index, term } => {
                let at = self.position(*index).ok_or("a confirmation reaches before the log")?;
                match self.slots.get_mut(at) {
                    Some(slot) => match slot {
                        Slot::Doubtful(entry) if entry.term == *term => {
                            *slot = Slot::Confirmed(entry.clone());
                        }
                        Slot::Doubtful(_) => return Err("a confirmation of another term"),
                        Slot::Whole(_) | Slot::Confirmed(_) => {
                            return Err("a confirmation of what is not doubtful");
                        }
                        Slot::Hole => return Err("a confirmation of a hole"),
                    },
                    None => return Err("a confirmation beyond the log"),
                }
            }
            LogOp::Heal { whole } => {
                if self.whole_end().index < *whole {
                    return Err("a log with a hole is called whole");
                }
                let keep = self.position(self.whole_end().index).map_or(0, |at| at + 1);
                self.slots.truncate(keep);
                for slot in &mut self.slots {
                    if let Slot::Confirmed(entry) = slot {
                        *slot = Slot::Whole(entry.clone());
                    }
                }
                self.mark = None;
            }
            LogOp::Reset { last } => {
                if self.covered() < last.index {
                    return Err("a reset to a snapshot that is not durable");
                }
                // The damage is closed by healing only: what the log may have ended with is still not known.
                self.slots.clear();
                self.base = *last;
            }
            LogOp::Trim { through } => {
                if self.covered() < *through {
                    return Err("a trim of what no durable snapshot covers");
                }
                let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.meta.last);
                let covers = snapshot.filter(|last| last.index == *through).map(|last| last.term);
                // What is read where it stands: a later snapshot may be durable already, behind which the log would start.
                let stands = self.slot(*through).and_then(Slot::trusted).map(|entry| entry.term);
                let term = covers.or(stands).ok_or("a trim beyond the log, or over a hole")?;
                let at = self.position(*through).ok_or("a trim of what is gone")?;
                self.slots.drain(..(at + 1).min(self.slots.len()));
                self.base = EntryId { term, index: *through };
            }
        }
        Ok(())
    }

    /// Takes the oldest persist that waits off the queue if it is due.
    pub fn next_due(&mut self, now: Micros) -> Option<Persist> {
        if self.pending.front()?.due > now {
            return None;
        }
        self.pending.pop_front().map(|pending| pending.persist)
    }

    /// The persist that waits longest, with the tick at which it was handed over.
    #[must_use]
    pub fn oldest(&self) -> Option<(PersistId, u64)> {
        self.pending.front().map(|pending| (pending.persist.id, pending.issued_at_tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_raft::{Hole, Payload};

    fn entry(term: u64) -> Entry {
        Entry { term: Term(term), payload: Payload::Empty }
    }

    fn append(first: u64, terms: &[u64]) -> LogOp {
        LogOp::Append { first: Index(first), entries: terms.iter().copied().map(entry).collect() }
    }

    #[test]
    fn an_append_supersedes_and_leaves_no_gap() {
        let mut disk = Disk::new(HardState::default(), vec![entry(1), entry(1), entry(1)]);
        disk.write(&append(2, &[2])).unwrap();
        assert_eq!(disk.whole_end(), EntryId::new(2, 2));
        assert!(disk.holds(EntryId::new(1, 1)) && !disk.holds(EntryId::new(1, 2)));
        assert_eq!(disk.write(&append(4, &[2])), Err("an append leaves a gap"));
        assert_eq!(
            disk.write(&LogOp::Trim { through: Index(1) }),
            Err("a trim of what no durable snapshot covers")
        );
    }

    #[test]
    fn a_hole_hides_what_is_behind_it_until_it_is_filled() {
        let mut disk = Disk::new(HardState::default(), vec![entry(1), entry(1), entry(2)]);
        disk.slots[1] = Slot::Hole;
        disk.mark = Some(Mark { claimed_end: EntryId::new(2, 3), trustworthy: true });
        assert_eq!((disk.whole_end(), disk.voting_end()), (EntryId::new(1, 1), EntryId::new(2, 3)));
        let damage = disk.recover().damage.unwrap();
        assert_eq!(damage.holes, [Hole { first: Index(2), last: Index(2) }]);
        assert_eq!(damage.behind, [(Index(3), entry(2))]);
        assert!(disk.write(&LogOp::Heal { whole: Index(3) }).is_err());
        disk.write(&LogOp::Fill { index: Index(2), entry: entry(1) }).unwrap();
        disk.write(&LogOp::Heal { whole: Index(3) }).unwrap();
        assert_eq!((disk.whole_end(), disk.mark), (EntryId::new(2, 3), None));
    }
}
