//! What is on its way to the disk, and what may be said before it is there.
//!
//! A report of durability names a [`PersistId`], not an index: an index can be written, truncated and written again before
//! the first report arrives, and a report for what is gone must not count for what took its place (the ABA of etcd's
//! asynchronous writes). What a persist makes durable is clipped when its entries are truncated.

use std::collections::VecDeque;

use super::Core;
use crate::role::Role;
use crate::{Bug, Entry, HardState, Held, Index, LogOp, Message, Persist, PersistId, Plant};

/// A persist on its way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    id: PersistId,
    /// Once it is durable, so is the log up to here.
    last: Index,
    /// Once it is durable, so is this.
    hard: HardState,
    /// When it was handed out, in ticks.
    since: u64,
}

/// What is durable, what is on its way, and what will be handed out with the next flush.
#[derive(Clone, Debug, Default)]
pub(super) struct Durability {
    newest: PersistId,
    /// Oldest first.
    pending: VecDeque<Pending>,
    index: Index,
    hard: HardState,
    hard_changed: bool,
    ops: Vec<LogOp>,
}

impl Durability {
    /// What was read from the disk is durable: whoever opened the log synced it.
    pub(super) fn start(&mut self, index: Index, hard: HardState) {
        (self.index, self.hard) = (index, hard);
    }

    /// Up to here, what the log holds now is durable.
    pub(super) fn index(&self) -> Index {
        self.index
    }

    /// The term and vote that are durable.
    pub(super) fn hard(&self) -> HardState {
        self.hard
    }

    /// Term and vote changed.
    pub(super) fn hard_changed(&mut self) {
        self.hard_changed = true;
    }

    /// An entry goes to the end of the log.
    pub(super) fn append(&mut self, index: Index, entry: &Entry) {
        if let Some(LogOp::Append { first, entries }) = self.ops.last_mut()
            && first.0 + entries.len() as u64 == index.0
        {
            entries.push(entry.clone());
            return;
        }
        self.ops.push(LogOp::Append { first: index, entries: vec![entry.clone()] });
    }

    pub(super) fn op(&mut self, op: LogOp) {
        self.ops.push(op);
    }

    /// Entries from `first` on are superseded: whatever is on its way makes durable at most what stands before.
    pub(super) fn truncated(&mut self, first: Index) {
        let keep = first.previous();
        self.index = self.index.min(keep);
        for pending in &mut self.pending {
            pending.last = pending.last.min(keep);
        }
    }

    /// A snapshot that ends here is durable.
    pub(super) fn covered(&mut self, index: Index) {
        self.index = self.index.max(index);
    }

    /// Persists on their way, oldest first: what is durable after each.
    pub(super) fn on_their_way(&self) -> impl Iterator<Item = (PersistId, Index, HardState)> {
        self.pending.iter().map(|pending| (pending.id, pending.last, pending.hard))
    }

    /// Whether the oldest persist has been on its way since `before` or longer.
    pub(super) fn stalled_since(&self, before: u64) -> bool {
        self.pending.front().is_some_and(|oldest| oldest.since <= before)
    }

    /// The persist after which `last` and `hard` are durable; `None` if they are.
    fn after(&self, last: Index, hard: HardState) -> Option<PersistId> {
        if last <= self.index && hard == self.hard {
            return None;
        }
        let enough = |pending: &&Pending| pending.last >= last && pending.hard == hard;
        // Nothing on its way: then everything is there.
        self.pending.iter().find(enough).or(self.pending.back()).map(|pending| pending.id)
    }
}

impl<P: Plant> Core<P> {
    /// Appends to log and disk; configurations act at once.
    pub(super) fn append_entry(&mut self, entry: Entry) -> Index {
        let index = self.log.last().index.next();
        self.durability.append(index, &entry);
        self.hold_entry(index, entry);
        index
    }

    /// Takes up to and with this persist, everything is on the disk.
    pub(super) fn became_durable(&mut self, id: PersistId) {
        while let Some(oldest) = self.durability.pending.front().copied() {
            if oldest.id > id {
                break;
            }
            self.durability.pending.pop_front();
            // What was on its way and was truncated is clipped already, so this never claims what replaced it.
            self.durability.index = self.durability.index.max(oldest.last);
            self.durability.hard = oldest.hard;
        }
        match &self.role {
            Role::Candidate(_) => self.count_own_vote(),
            Role::Leader(_) => self.advance_leader_commit(),
            Role::Follower(_) | Role::PreCandidate(_) => {}
        }
    }

    /// Hands out what the disk has to hold.
    pub(super) fn flush_persist(&mut self) {
        let durability = &mut self.durability;
        if durability.ops.is_empty() && !durability.hard_changed {
            if durability.pending.is_empty() {
                // Also what was readable behind a hole, and joined the log without being written again.
                durability.index = self.log.last().index;
            }
            return;
        }
        durability.newest = durability.newest.next();
        let id = durability.newest;
        let hard_state = std::mem::take(&mut durability.hard_changed).then_some(self.hard);
        let log = std::mem::take(&mut durability.ops);
        let last = self.log.last().index;
        durability.pending.push_back(Pending { id, last, hard: self.hard, since: self.now });
        self.turn.persist = Some(Persist { id, hard_state, log });
    }

    /// Sends each promise of this turn, or has it held until what it promises is durable.
    pub(super) fn flush_promises(&mut self) {
        for envelope in std::mem::take(&mut self.promises) {
            // An acknowledgement promises entries up to an index; everything else promises term and vote.
            let (last, early) = match &envelope.message {
                Message::AppendAck { matched, .. } => (*matched, P::plants(Bug::AckBeforeSync)),
                Message::Vote { .. } => (Index(0), P::plants(Bug::RequestVoteBeforeDurable)),
                Message::VoteReply { .. } => (Index(0), P::plants(Bug::VoteBeforeDurable)),
                Message::PreVote { .. }
                | Message::PreVoteReply { .. }
                | Message::Append { .. }
                | Message::AppendReject { .. }
                | Message::Heartbeat { .. }
                | Message::HeartbeatAck { .. }
                | Message::ReadIndex { .. }
                | Message::ReadIndexReply { .. }
                | Message::TimeoutNow { .. }
                | Message::SnapshotChunk { .. }
                | Message::SnapshotAck { .. }
                | Message::SnapshotReject { .. }
                | Message::Notice => (Index(0), false),
            };
            match self.durability.after(last, self.hard) {
                Some(after) if !early => self.turn.send_after_persist.push(Held { after, envelope }),
                Some(_) | None => self.turn.send_now.push(envelope),
            }
        }
    }
}
