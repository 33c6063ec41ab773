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

use holdfast_raft::{
    Damage, Entry, EntryId, HardState, Hole, Index, LogOp, Persist, PersistId, Recovered, Term,
};

use super::machine::Snapshot;
use super::queue::Micros;
use super::rng::Rng;

/// What stands at one index of the durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// An entry that can be trusted.
    Whole(Entry),
    /// An entry that may have been superseded in the damaged part.
    Doubtful(Entry),
    /// Nothing readable.
    Hole,
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
        }
    }

    fn position(&self, index: Index) -> Option<usize> {
        index.0.checked_sub(self.base.index.0 + 1).map(|at| at as usize)
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        self.slots.get(self.position(index)?)
    }

    /// How many slots are whole before the first that is not.
    fn whole_slots(&self) -> usize {
        match self.mark {
            None => self.slots.len(),
            Some(_) => {
                let broken = self.slots.iter().position(|slot| !matches!(slot, Slot::Whole(_)));
                broken.unwrap_or(self.slots.len())
            }
        }
    }

    /// The last entry before the first hole.
    #[must_use]
    pub fn whole_end(&self) -> EntryId {
        let count = self.whole_slots();
        let index = Index(self.base.index.0 + count as u64);
        match count.checked_sub(1).and_then(|at| self.slots.get(at)) {
            Some(Slot::Whole(entry) | Slot::Doubtful(entry)) => EntryId { term: entry.term, index },
            Some(Slot::Hole) | None => self.base,
        }
    }

    /// The last index that a durable snapshot covers.
    #[must_use]
    pub fn covered(&self) -> Index {
        self.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.meta.last.index)
    }

    /// The term of the entry at this index, if it stands before the first hole.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if self.mark.is_some() && self.position(index)? >= self.whole_slots() {
            return None;
        }
        match self.slot(index)? {
            Slot::Whole(entry) => Some(entry.term),
            Slot::Doubtful(_) | Slot::Hole => None,
        }
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
        self.mark.map_or(end, |mark| end.max(mark.claimed_end))
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
                    Some(Slot::Whole(_)) => return Err("a fill of what is no hole"),
                    None => return Err("a fill beyond the log"),
                }
            }
            LogOp::Confirm { index, term } => {
                let at = self.position(*index).ok_or("a confirmation reaches before the log")?;
                match self.slots.get_mut(at) {
                    Some(slot) => match slot {
                        Slot::Doubtful(entry) if entry.term == *term => *slot = Slot::Whole(entry.clone()),
                        Slot::Doubtful(_) => return Err("a confirmation of another term"),
                        Slot::Whole(_) => return Err("a confirmation of what is not doubtful"),
                        Slot::Hole => return Err("a confirmation of a hole"),
                    },
                    None => return Err("a confirmation beyond the log"),
                }
            }
            LogOp::Heal { whole } => {
                if self.whole_end().index < *whole {
                    return Err("a log with a hole is called whole");
                }
                let keep = self.whole_slots();
                self.slots.truncate(keep);
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
                let term = self.term_at(*through).ok_or("a trim beyond the log, or over a hole")?;
                let count = self.position(*through).map_or(0, |at| at + 1);
                self.slots.drain(..count);
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

    /// What a crash leaves of what waits: a random prefix of it, as persists that may be cut. Says also whether an append
    /// was cut between two of its entries.
    pub fn crash(&mut self, rng: &mut Rng) -> (Vec<Persist>, bool) {
        let pending: Vec<Persist> = self.pending.drain(..).map(|pending| pending.persist).collect();
        let total: u64 = pending.iter().map(units).sum();
        // Nothing and all of it are the cases that matter most.
        let mut kept = match rng.below(4) {
            0 => 0,
            1 => total,
            _ => rng.between(0, total),
        };
        let mut survivors = Vec::new();
        let mut torn = false;
        for persist in pending {
            if kept == 0 {
                break;
            }
            let mut part = Persist { id: persist.id, hard_state: None, log: Vec::new() };
            if persist.hard_state.is_some() {
                part.hard_state = persist.hard_state;
                kept -= 1;
            }
            for op in persist.log {
                if kept == 0 {
                    break;
                }
                match op {
                    LogOp::Append { first, mut entries } => {
                        torn |= kept < entries.len() as u64;
                        entries.truncate(kept as usize);
                        kept -= entries.len() as u64;
                        part.log.push(LogOp::Append { first, entries });
                    }
                    LogOp::Fill { .. }
                    | LogOp::Confirm { .. }
                    | LogOp::Heal { .. }
                    | LogOp::Reset { .. }
                    | LogOp::Trim { .. } => {
                        kept -= 1;
                        part.log.push(op);
                    }
                }
            }
            survivors.push(part);
        }
        (survivors, torn)
    }

    /// What the node finds when it starts.
    #[must_use]
    pub fn recover(&self) -> Recovered {
        let whole = self.whole_slots();
        let readable = |slot: &Slot| match slot {
            Slot::Whole(entry) | Slot::Doubtful(entry) => Some(entry.clone()),
            Slot::Hole => None,
        };
        let index = |at: usize| Index(self.base.index.0 + 1 + at as u64);
        let damage = self.mark.map(|mark| {
            let mut holes: Vec<Hole> = Vec::new();
            let mut behind = Vec::new();
            for (at, slot) in self.slots.iter().enumerate().skip(whole) {
                behind.extend(readable(slot).map(|entry| (index(at), entry)));
                if matches!(slot, Slot::Whole(_)) {
                    continue;
                }
                match holes.last_mut() {
                    Some(hole) if hole.last.next() == index(at) => hole.last = index(at),
                    Some(_) | None => holes.push(Hole { first: index(at), last: index(at) }),
                }
            }
            Damage { holes, behind, claimed_end: mark.claimed_end, trustworthy: mark.trustworthy }
        });
        Recovered {
            hard_state: self.hard_state,
            hard_state_lost: self.hard_state_lost,
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.meta.clone()),
            prev: self.base,
            entries: self.slots[..whole].iter().filter_map(readable).collect(),
            damage,
        }
    }

    /// The persist that waits longest, with the tick at which it was handed over.
    #[must_use]
    pub fn oldest(&self) -> Option<(PersistId, u64)> {
        self.pending.front().map(|pending| (pending.persist.id, pending.issued_at_tick))
    }
}

/// In how many steps a persist is written.
fn units(persist: &Persist) -> u64 {
    let op = |op: &LogOp| match op {
        LogOp::Append { entries, .. } => entries.len() as u64,
        LogOp::Fill { .. }
        | LogOp::Confirm { .. }
        | LogOp::Heal { .. }
        | LogOp::Reset { .. }
        | LogOp::Trim { .. } => 1,
    };
    u64::from(persist.hard_state.is_some()) + persist.log.iter().map(op).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_raft::Payload;

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

    #[test]
    fn a_crash_keeps_a_prefix() {
        let hard_state = Some(HardState { term: Term(3), vote: None });
        let persist = Persist { id: PersistId(1), hard_state, log: vec![append(1, &[3, 3, 3])] };
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut disk = Disk::new(HardState::default(), Vec::new());
            disk.pending.push_back(Pending { due: 5, issued_at_tick: 0, persist: persist.clone() });
            let (kept, torn) = disk.crash(&mut Rng::new(seed));
            assert!(disk.pending.is_empty());
            let count = kept.iter().map(units).sum::<u64>();
            assert_eq!(torn, count == 2 || count == 3, "{kept:?}");
            assert!(count == 0 || kept[0].hard_state == hard_state, "the first to be written");
            lengths.insert(count);
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
