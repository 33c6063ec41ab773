//! A disk that takes its time, and forgets in a crash what it had not written.

use std::collections::VecDeque;

use holdfast_raft::{
    Entry, EntryId, HardState, Index, LogOp, LogRead, Payload, Persist, PersistId, Recovered, Term,
};

#[derive(Debug)]
pub(crate) struct Disk {
    hard_state: HardState,
    /// What stands before the first entry.
    prev: EntryId,
    /// Without a gap.
    entries: Vec<Entry>,
    pub(crate) pending: VecDeque<Persist>,
}

impl Disk {
    pub(crate) fn new(formed: Recovered) -> Self {
        let Recovered { hard_state, prev, entries, .. } = formed;
        Self { hard_state, prev, entries, pending: VecDeque::new() }
    }

    /// Changes the first entry for which this can be done; says whether there was one.
    pub(crate) fn change(&mut self, mut how: impl FnMut(&mut Payload) -> bool) -> bool {
        self.entries.iter_mut().any(|entry| how(&mut entry.payload))
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
            match operation {
                LogOp::Append { first, entries } => {
                    let kept = first.0.checked_sub(self.prev.index.0 + 1).expect("behind what was trimmed");
                    self.entries.truncate(kept as usize);
                    assert_eq!(self.end() + 1, first.0, "a log has no gaps");
                    self.entries.extend(entries.iter().cloned());
                }
                LogOp::Trim { through } => {
                    let count = through.0.checked_sub(self.prev.index.0).expect("it is trimmed forward");
                    for entry in self.entries.drain(..count as usize) {
                        self.prev = EntryId { index: self.prev.index.next(), term: entry.term };
                    }
                }
                LogOp::Reset { last } => {
                    (self.prev, self.entries) = (*last, Vec::new());
                }
                LogOp::Fill { .. } | LogOp::Confirm { .. } | LogOp::Heal { .. } => {
                    panic!("nothing is damaged here: {operation:?}")
                }
            }
        }
    }

    /// Entries that are read back.
    pub(crate) fn read(&self, wanted: &LogRead) -> Vec<Entry> {
        let Some(from) = wanted.first.0.checked_sub(self.prev.index.0 + 1) else { return Vec::new() };
        let count = wanted.last.0 - wanted.first.0 + 1;
        wanted.fit(self.entries.iter().skip(from as usize).take(count as usize).cloned())
    }

    pub(crate) fn recovered(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            prev: self.prev,
            entries: self.entries.clone(),
            ..Recovered::default()
        }
    }

    fn end(&self) -> u64 {
        self.prev.index.0 + self.entries.len() as u64
    }

    /// What stands before the first entry.
    pub(crate) fn prev(&self) -> Index {
        self.prev.index
    }

    /// Whether this entry is on it, or was until a snapshot stood for it.
    pub(crate) fn holds(&self, index: u64, term: u64) -> bool {
        let behind = index.checked_sub(self.prev.index.0);
        if behind.is_none_or(|behind| behind == 0) {
            return true;
        }
        let entry = behind
            .and_then(|behind| behind.checked_sub(1))
            .and_then(|before| self.entries.get(before as usize));
        entry.is_some_and(|entry| entry.term == Term(term))
    }
}
