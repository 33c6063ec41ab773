//! A disk that takes its time, and forgets in a crash what it had not written.

use std::collections::VecDeque;

use holdfast_raft::{Entry, HardState, LogOp, Persist, PersistId, Recovered};

#[derive(Debug)]
pub(crate) struct Disk {
    hard_state: HardState,
    /// From index 1 on, without a gap.
    entries: Vec<Entry>,
    pub(crate) pending: VecDeque<Persist>,
}

impl Disk {
    pub(crate) fn new(formed: Recovered) -> Self {
        Self { hard_state: formed.hard_state, entries: formed.entries, pending: VecDeque::new() }
    }

    /// Writes the oldest persist that waits.
    pub(crate) fn write_next(&mut self) -> Option<PersistId> {
        let persist = self.pending.pop_front()?;
        self.write(&persist, persist.log.len());
        Some(persist.id)
    }

    /// Forgets what is not written; of the oldest persist that waits the first `kept` operations have been.
    pub(crate) fn crash(&mut self, kept: Option<usize>) {
        if let (Some(kept), Some(persist)) = (kept, self.pending.pop_front()) {
            self.write(&persist, kept);
        }
        self.pending.clear();
    }

    fn write(&mut self, persist: &Persist, operations: usize) {
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
        for operation in persist.log.iter().take(operations) {
            let LogOp::Append { first, entries } = operation else {
                panic!("nothing is damaged and nothing is compacted here: {operation:?}")
            };
            self.entries.truncate(first.0 as usize - 1);
            assert_eq!(self.entries.len() as u64 + 1, first.0, "a log has no gaps");
            self.entries.extend(entries.iter().cloned());
        }
    }

    pub(crate) fn recovered(&self) -> Recovered {
        Recovered { hard_state: self.hard_state, entries: self.entries.clone(), ..Recovered::default() }
    }

    /// Whether this entry is on it.
    pub(crate) fn holds(&self, index: u64, term: u64) -> bool {
        let entry = index.checked_sub(1).and_then(|before| self.entries.get(before as usize));
        entry.is_some_and(|entry| entry.term.0 == term)
    }
}
