//! Snapshots that operators take away: written to files that have no name, so that nothing of them is ever left.
//!
//! A file loses its name as soon as it is made and lives while it is open: until it was read to its end, its reader is gone, or
//! newer ones have taken its place. It is never used by the node itself.

use std::collections::VecDeque;

use holdfast_raft::{EntryId, SnapshotMeta};
use holdfast_store::snapshot::Encoder;
use holdfast_store::{Plant, Store};
use holdfast_wal::disk::Disk;
use holdfast_wire::message_type::PIECE_BYTES;

use super::snapshots::{SnapshotFileError, SnapshotFiles};
use crate::node::{Caller, NoPiece, Piece, SnapshotDone};

/// The name of a file for the moment in which it has one.
pub(super) const SAVING: &str = "saving.new";

/// So many whole ones are kept: each may be as large as the state.
const SAVED: usize = 2;

/// One that is being written.
#[derive(Debug)]
struct Saving<F, S: Plant> {
    caller: Caller,
    file: F,
    encoder: Encoder<S>,
    last: EntryId,
    bytes: u64,
    synced: u64,
}

/// One that is whole.
#[derive(Debug)]
struct Saved<F> {
    /// Over which connection it is read.
    connection: u64,
    file: F,
    last: EntryId,
    bytes: u64,
}

/// What is written, and what is read.
#[derive(Debug)]
pub(super) struct Saves<F, S: Plant> {
    saving: VecDeque<Saving<F, S>>,
    saved: VecDeque<Saved<F>>,
    /// Whose were dropped before they were whole. Each is still to be answered: until then the node counts its place as taken.
    dropped: Vec<Caller>,
}

impl<F, S: Plant> Default for Saves<F, S> {
    fn default() -> Self {
        Self { saving: VecDeque::new(), saved: VecDeque::new(), dropped: Vec::new() }
    }
}

impl<F, S: Plant> Saves<F, S> {
    /// Whether something is to be written, or somebody to be answered.
    pub(super) fn is_busy(&self) -> bool {
        !self.saving.is_empty() || !self.dropped.is_empty()
    }

    /// A connection is gone: what was written for it, or is being written, is dropped.
    pub(super) fn leave(&mut self, connection: u64) {
        let dropped = &mut self.dropped;
        self.saving.retain(|saving| {
            let stays = saving.caller.connection != connection;
            if !stays {
                dropped.push(saving.caller);
            }
            stays
        });
        self.saved.retain(|saved| saved.connection != connection);
    }

    /// The answer to one of those whose were dropped. Nobody reads it, but with it the place is free again.
    pub(super) fn answer_dropped(&mut self) -> Option<SnapshotDone<S>> {
        self.dropped.pop().map(|caller| SnapshotDone::Fetched { caller, piece: Err(NoPiece::Gone) })
    }
}

impl<D: Disk, S: Plant> SnapshotFiles<D, S> {
    /// Begins to write a state for an operator.
    pub(super) fn save(
        &mut self,
        caller: Caller,
        store: Store<S>,
        meta: &SnapshotMeta,
    ) -> Option<SnapshotDone<S>> {
        match self.begin_save(caller, store, meta) {
            Ok(saving) => {
                self.saves.saving.push_back(saving);
                None
            }
            Err(error) => Some(failed(caller, &error)),
        }
    }

    fn begin_save(
        &self,
        caller: Caller,
        store: Store<S>,
        meta: &SnapshotMeta,
    ) -> Result<Saving<D::File, S>, SnapshotFileError> {
        let encoder = self.encoder(store, meta)?;
        let file = self.create(SAVING).map_err(|error| self.io("beginning a snapshot to save", error))?;
        self.disk.unlink(SAVING).map_err(|error| self.io("beginning a snapshot to save", error))?;
        Ok(Saving { caller, file, encoder, last: meta.last, bytes: 0, synced: 0 })
    }

    /// Writes one more chunk. Answers when all of it is there, or it cannot be written.
    pub(super) fn save_step(&mut self) -> Option<SnapshotDone<S>> {
        let mut saving = self.saves.saving.pop_front()?;
        let caller = saving.caller;
        let Some(chunk) = saving.encoder.next() else {
            let Saving { file, last, bytes, .. } = saving;
            self.saves.saved.push_back(Saved { connection: caller.connection, file, last, bytes });
            while self.saves.saved.len() > SAVED {
                self.saves.saved.pop_front();
            }
            return Some(SnapshotDone::Fetched { caller, piece: self.fetch(caller, Some(last), 0) });
        };
        match self.append(&saving.file, saving.bytes, &mut saving.synced, &chunk) {
            Ok(end) => {
                saving.bytes = end;
                self.saves.saving.push_front(saving);
                None
            }
            Err(error) => Some(failed(caller, &self.io("writing a snapshot to save", error))),
        }
    }

    /// A piece for an operator: of what was written for his connection, or of a snapshot of the node.
    pub(super) fn fetch(
        &mut self,
        caller: Caller,
        last: Option<EntryId>,
        offset: u64,
    ) -> Result<Piece, NoPiece> {
        let last = last.or(self.newest()).ok_or(NoPiece::Gone)?;
        let ours = |saved: &Saved<D::File>| saved.connection == caller.connection && saved.last == last;
        let Some(at) = self.saves.saved.iter().position(ours) else {
            let (data, bytes) = self.read(last, offset, PIECE_BYTES)?;
            return Ok(Piece { last, bytes, offset, data });
        };
        let saved = self.saves.saved.get(at).ok_or(NoPiece::Gone)?;
        let bytes = saved.bytes;
        let data = self
            .piece(&saved.file, bytes, offset, PIECE_BYTES)
            .map_err(|error| NoPiece::Failed(self.io("reading a snapshot to save", error).to_string()))?;
        if offset + data.len() as u64 >= bytes {
            self.saves.saved.remove(at);
        }
        Ok(Piece { last, bytes, offset, data })
    }
}

fn failed<S: Plant>(caller: Caller, error: &SnapshotFileError) -> SnapshotDone<S> {
    SnapshotDone::Fetched { caller, piece: Err(NoPiece::Failed(error.to_string())) }
}
