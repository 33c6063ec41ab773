//! Backups: an operator takes a snapshot away, piece by piece.
//!
//! It is of the state as it is when it is asked for, or the newest one that is in place. Either way another thread writes and
//! reads it; the thread of the node makes a clone of the state, which costs a few counters, and hands pieces on. What is written
//! for an operator is none of the node's own snapshots: it stands for no log, so it need not wait for a majority to have
//! compared the last entries; and it has no name on the disk, so nothing of it is left when the operator or the process is gone.

use std::collections::BTreeSet;

use holdfast_command::Refusal;
use holdfast_raft::{EntryId, Index, SnapshotMeta, Term};
use holdfast_wire::message::{self, SaveSnapshot, SnapshotPiece};

use super::io::{Caller, NodeEvent};
use super::plant::Plant;
use super::snapshots::{NoPiece, Piece, SnapshotJob};
use super::{Node, limits};

/// Who takes snapshots away.
#[derive(Debug, Default)]
pub(super) struct Saves {
    /// Questions that another thread is at.
    under_way: usize,
    /// Connections for which something may have been written.
    connections: BTreeSet<u64>,
}

impl<P: Plant> Node<P> {
    /// An operator asks for a piece.
    pub(super) fn save_snapshot(&mut self, caller: Caller, save: &SaveSnapshot) {
        match self.save_job(caller, save) {
            Ok(job) => {
                self.snapshots.saves.under_way += 1;
                self.snapshots.jobs.push(job);
            }
            Err(refusal) => self.refuse_untouched(caller, refusal),
        }
    }

    fn save_job(&mut self, caller: Caller, save: &SaveSnapshot) -> Result<SnapshotJob<P::Store>, Refusal> {
        let &SaveSnapshot { last, offset, newest, min_position } = save;
        if self.snapshots.saves.under_way >= limits::SAVES_MAX {
            return Err(Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() });
        }
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        let last = last.map(|last| EntryId { term: Term(last.term), index: Index(last.index) });
        if last.is_some() || newest {
            return Ok(SnapshotJob::Fetch { caller, last, offset });
        }
        // A state that others have made differently is nothing to begin anew from.
        if let Some(doubt) = self.digests.doubts() {
            return Err(doubt);
        }
        let (asked, applied) = (self.index_of(min_position)?, self.store.applied());
        if applied.index < asked || applied.index == 0 {
            return Err(Refusal::PositionNotReached { applied: applied.index, asked });
        }
        self.snapshots.saves.connections.insert(caller.connection);
        let last = EntryId { term: Term(applied.term), index: Index(applied.index) };
        let configuration = self.core.configuration_at(last.index).clone();
        let meta = SnapshotMeta { last, configuration, bytes: 0 };
        Ok(SnapshotJob::Save { caller, store: Box::new(self.store.clone()), meta })
    }

    /// Another thread has a piece, or none.
    pub(super) fn fetched(&mut self, caller: Caller, piece: Result<Piece, NoPiece>) {
        self.snapshots.saves.under_way = self.snapshots.saves.under_way.saturating_sub(1);
        match piece {
            Ok(Piece { last, bytes, offset, data }) => {
                let last = message::EntryId { term: last.term.0, index: last.index.0 };
                self.replies.push((caller, SnapshotPiece { last, bytes, offset, data }.into()));
            }
            Err(NoPiece::Gone) => self.refuse_untouched(caller, Refusal::NoSnapshot),
            Err(NoPiece::Failed(why)) => {
                self.events.push(NodeEvent::SnapshotFailed(why));
                self.refuse_untouched(caller, Refusal::SnapshotFailed);
            }
        }
    }

    /// A connection is gone, and what was written for it is of no use.
    pub(super) fn forget_saves(&mut self, connection: u64) {
        if self.snapshots.saves.connections.remove(&connection) {
            self.snapshots.jobs.push(SnapshotJob::Leave(connection));
        }
    }
}
