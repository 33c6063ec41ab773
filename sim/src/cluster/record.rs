//! What clients see, written down as they see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::history::{Answer, Grant, History, Lease, Micros, Op, Watching};

/// Collects a history. Clones write to the same one.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    begin: Instant,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    history: History,
    stop: bool,
    /// The last revision of the run, once it is known.
    end: Option<u64>,
    /// What clients met that no fault explains.
    troubles: Vec<String>,
}

impl Recorder {
    /// Whose clock begins now.
    pub(super) fn new() -> Self {
        Self { begin: Instant::now(), shared: Arc::default() }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock that all share.
    pub(super) fn now(&self) -> Micros {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A call has ended.
    pub(super) fn op(&self, op: Op) {
        self.shared().history.ops.push(op);
    }

    /// A lock was held and is not any more.
    pub(super) fn grant(&self, grant: Grant) {
        self.shared().history.grants.push(grant);
    }

    /// All of a lease is known.
    pub(super) fn lease(&self, lease: Lease) {
        self.shared().history.leases.push(lease);
    }

    /// A key is about to be written with this lease.
    pub(super) fn hang(&self, key: Bytes, lease: i64) {
        self.shared().history.hanging.insert(key, lease);
    }

    /// Keys that were written with leases.
    pub(super) fn hanging(&self) -> Vec<Bytes> {
        self.shared().history.hanging.keys().cloned().collect()
    }

    /// A watch has ended.
    pub(super) fn watch(&self, watch: Watching) {
        self.shared().history.watches.push(watch);
    }

    /// How many calls have ended.
    pub(super) fn count(&self) -> usize {
        self.shared().history.ops.len()
    }

    /// Nothing new is to be begun.
    pub(super) fn stop(&self) {
        self.shared().stop = true;
    }

    /// Whether nothing new is to be begun.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared().stop
    }

    /// Nothing comes behind this revision.
    pub(super) fn set_end(&self, revision: u64) {
        self.shared().end = Some(revision);
    }

    /// The last revision of the run, once it is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.shared().end
    }

    /// A client met something that no fault explains.
    pub(super) fn trouble(&self, what: String) {
        self.shared().troubles.push(what);
    }

    /// What clients met that no fault explains.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.shared().troubles.clone()
    }

    /// Everything that was written down.
    pub(super) fn take(&self) -> History {
        std::mem::take(&mut self.shared().history)
    }

    /// The first acknowledgement of a write that was asked for at `from` or later, among those of now.
    pub(super) fn first_ack_from(&self, from: Micros) -> Option<Micros> {
        first_ack_from(&self.shared().history, from)
    }
}

/// When the first write was acknowledged that was asked for at `from` or later.
pub(super) fn first_ack_from(history: &History, from: Micros) -> Option<Micros> {
    let written = |op: &&Op| op.invoked >= from && matches!(op.answer, Answer::Written { .. });
    // They were pushed in the order in which they ended, so this looks at the last ones only.
    history.ops.iter().rev().take_while(|op| op.returned >= from).filter(written).map(|op| op.returned).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Ask, Position};

    fn op(invoked: Micros, returned: Micros, written: bool) -> Op {
        let at = Position { term: 1, index: 1 };
        let ask = Ask::Write { changes: Vec::new(), only_if: Vec::new(), fence: None };
        let answer = if written { Answer::Written { at, revision: 1 } } else { Answer::Unknown };
        Op { client: 1, ask, invoked, returned, answer }
    }

    #[test]
    fn the_first_acknowledgement_behind_a_moment_is_of_a_write_that_was_asked_for_behind_it() {
        let recorder = Recorder::new();
        for (invoked, returned, written) in
            [(0, 5, true), (1, 12, true), (11, 13, false), (12, 30, true), (14, 20, true)]
        {
            recorder.op(op(invoked, returned, written));
        }
        // The list is in the order of ends in a real run; `first_ack_from` needs that only roughly.
        assert_eq!(recorder.first_ack_from(10), Some(20));
        assert_eq!(recorder.first_ack_from(31), None);
    }

    #[test]
    fn everything_is_written_down_once_by_all_clones() {
        let recorder = Recorder::new();
        recorder.op(op(1, 2, false));
        assert_eq!(recorder.count(), 1);
        recorder.clone().op(op(3, 4, true));
        assert_eq!(recorder.count(), 2);
        assert_eq!(recorder.take().ops.len(), 2);
        assert_eq!(recorder.count(), 0);
    }

    #[test]
    fn a_stop_is_seen_by_all() {
        let recorder = Recorder::new();
        let other = recorder.clone();
        assert!(!other.is_stopped());
        recorder.stop();
        assert!(other.is_stopped());
    }
}
