//! Committed entries into the store: a bounded number a turn, and what takes long on another thread.
//!
//! While one entry is being applied elsewhere, everything else goes on: messages, timers, the log. Reads are served from
//! the state before it, which is what they would have got a moment earlier; nothing reads in between.

use bytes::Bytes;
use holdfast_command::envelope::peek_number;
use holdfast_command::keys::{Delete, Operation, Span};
use holdfast_command::leases::{ExpireLease, RevokeLease};
use holdfast_command::{Command, CommandNumber, Envelope, Request};
use holdfast_machine::Numbered;
use holdfast_raft::{Committed, Index, Input as CoreInput, Payload};
use holdfast_store::{Applied, Halt, LogPosition};

use super::io::{Executed, Job, NodeEvent};
use super::leadership::State;
use super::plant::{Bug, Plant};
use super::{Node, limits};

impl<P: Plant> Node<P> {
    /// Applies what is committed, as much as a turn allows.
    pub(super) fn apply_committed(&mut self) {
        let before = self.store.applied();
        // What the turn before had no room for.
        self.serve_reads();
        for _ in 0..limits::TURN_APPLIED {
            if self.away || self.halted.is_some() || self.audit.is_full() {
                break;
            }
            let Some(Committed { id, payload }) = self.committed.pop_front() else { break };
            let at = LogPosition { index: id.index.0, term: id.term.0 };
            self.snapshots.note(payload_bytes(&payload));
            match payload {
                Payload::Empty | Payload::Configuration(_) => {
                    let skipped = self.store.skip(at);
                    self.note_halt(skipped);
                    self.snapshot_point();
                }
                Payload::Data(entry) => {
                    if self.takes_long(&entry) {
                        self.away = true;
                        let store = Box::new(self.store.clone());
                        self.jobs.push(Job::Apply { store, at, entry });
                    } else {
                        let result = self.store.apply(at, &entry);
                        self.applied(at, &entry, result);
                    }
                }
            }
        }
        if self.store.applied() != before {
            self.after_apply();
        }
        if self.committed.is_empty() && !self.away {
            self.store.sweep(limits::SWEEP_VERSIONS);
        }
    }

    /// An entry was applied on another thread.
    pub(super) fn executed(&mut self, executed: Executed<P::Store>) {
        let Executed { store, at, entry, result } = executed;
        if at.index != self.store.applied().index + 1 {
            // The state that it was applied to has made way for a snapshot.
            return self.forget(store);
        }
        self.away = false;
        self.store = *store;
        self.applied(at, &entry, result);
        self.after_apply();
    }

    fn applied(&mut self, at: LogPosition, entry: &Bytes, result: Result<Applied, Halt>) {
        match result {
            Ok(mut applied) => {
                self.audit.note(at.index, std::mem::take(&mut applied.audit));
                self.watches.publish(&self.store);
                self.counts.applied += 1;
                self.snapshot_point();
                self.answer((at, entry), &applied);
                self.touched.extend(applied.touched);
            }
            Err(halt) => self.note_halt(Err(halt)),
        }
    }

    fn note_halt(&mut self, result: Result<(), Halt>) {
        if let Err(halt) = result {
            self.halted = Some(halt.to_string());
            self.events.push(NodeEvent::Halted(halt.to_string()));
        }
    }

    /// The state has gone on: tells the core, and serves what waited for it.
    fn after_apply(&mut self) {
        let applied = self.store.applied();
        self.tell(CoreInput::Applied(Index(applied.index)));
        self.batches_executed();
        self.reads.applied(applied.index);
        let touched = std::mem::take(&mut self.touched);
        if self.leadership == State::Established || !P::plants(Bug::NewsFromLeaderOnly) {
            self.tell_touched(&touched);
        }
        self.serve_reads();
    }

    /// Whether an entry may look at so many keys, or has so many bytes, that it does not belong on this thread.
    fn takes_long(&self, entry: &Bytes) -> bool {
        if self.store.keys() <= limits::INLINE_KEYS && entry.len() <= limits::INLINE_BYTES {
            return false;
        }
        // Before anything is decoded: nearly all entries are told by their number.
        match peek_number(entry).and_then(CommandNumber::from_number) {
            Some(
                CommandNumber::Delete
                | CommandNumber::Transact
                | CommandNumber::RevokeLease
                | CommandNumber::ExpireLease,
            ) => {}
            Some(_) | None => return false,
        }
        let Ok((_, request)) = Envelope::split(entry) else { return false };
        match Request::decode(request).map(|request| request.command) {
            Ok(Command::Delete(Delete { span, .. })) => is_wide(&span),
            Ok(
                Command::RevokeLease(RevokeLease { lease }) | Command::ExpireLease(ExpireLease { lease, .. }),
            ) => self.store.lease(lease).is_some_and(|lease| lease.keys() > limits::INLINE_KEYS as u64),
            Ok(Command::Transact(transaction)) => {
                let operations = transaction.then.iter().chain(&transaction.otherwise);
                entry.len() > limits::INLINE_BYTES
                    || transaction.compares.iter().any(|compare| is_wide(&compare.span))
                    || operations.into_iter().any(|operation| match operation {
                        Operation::Put(_) | Operation::Restore(_) => false,
                        Operation::Delete(delete) => is_wide(&delete.span),
                        Operation::Range(range) => is_wide(&range.span),
                        Operation::Transaction(_) => true,
                    })
            }
            Ok(_) | Err(_) => false,
        }
    }
}

/// Bytes of an entry's payload, as far as they come from clients.
fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Data(entry) => entry.len(),
        Payload::Empty | Payload::Configuration(_) => 0,
    }
}

/// Whether a span may hold more than one key.
pub(super) fn is_wide(span: &Span) -> bool {
    match span {
        Span::Key(_) => false,
        Span::Between { .. } | Span::From(_) => true,
    }
}
