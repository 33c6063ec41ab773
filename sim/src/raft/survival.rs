//! What a crash leaves of a disk, and what the next process finds there.

use holdfast_raft::{Damage, EntryId, Hole, Index, LogOp, Persist, Recovered};

use super::disk::{Disk, Slot};
use super::rng::Rng;

/// Processes whose logs are remembered: a leader rarely misses more of them.
const ENDINGS_KEPT: usize = 6;

impl Disk {
    /// The process has ended, and the disk is as it is: what was confirmed and not healed is doubtful again.
    pub fn process_ended(&mut self) {
        let terms = self.trusted().map(|(_, entry)| entry.term).collect();
        if self.had.len() == ENDINGS_KEPT {
            self.had.pop_front();
        }
        self.had.push_back((self.start().index, terms));
        if self.mark.is_some() {
            for slot in &mut self.slots {
                if let Slot::Confirmed(entry) = slot {
                    *slot = Slot::Doubtful(entry.clone());
                }
            }
        }
    }

    /// Whether the durable log held this entry when one of the last processes ended.
    #[must_use]
    pub fn held(&self, id: EntryId) -> bool {
        self.had.iter().any(|(base, terms)| match id.index.0.checked_sub(base.0 + 1) {
            None => true,
            Some(at) => terms.get(at as usize) == Some(&id.term),
        })
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
            Slot::Whole(entry) | Slot::Doubtful(entry) | Slot::Confirmed(entry) => Some(entry.clone()),
            Slot::Hole => None,
        };
        let index = |at: usize| Index(self.base.index.0 + 1 + at as u64);
        let damage = self.mark.map(|mark| {
            let mut holes: Vec<Hole> = Vec::new();
            let mut behind = Vec::new();
            for (at, slot) in self.slots.iter().enumerate().skip(whole) {
                behind.extend(readable(slot).map(|entry| (index(at), entry)));
                if slot.trusted().is_some() {
                    continue;
                }
                match holes.last_mut() {
                    Some(hole) if hole.last.next() == index(at) => hole.last = index(at),
                    Some(_) | None => holes.push(Hole { first: index(at), last: index(at) }),
                }
            }
            Damage { holes, behind, claimed_end: self.claimed_end(mark), trustworthy: mark.trustworthy }
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
    use crate::raft::disk::Pending;
    use holdfast_raft::{Entry, HardState, Payload, PersistId, Term};

    #[test]
    fn a_crash_keeps_a_prefix() {
        let hard_state = Some(HardState { term: Term(3), vote: None });
        let entries = vec![Entry { term: Term(3), payload: Payload::Empty }; 3];
        let log = vec![LogOp::Append { first: Index(1), entries }];
        let persist = Persist { id: PersistId(1), hard_state, log };
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
