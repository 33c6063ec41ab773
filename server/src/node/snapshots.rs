//! Snapshots: when one is taken, and what the core asks for about them.
//!
//! A snapshot is taken of a clone, which costs a few counters; everything else (encoding, files, decoding) is done by another
//! thread, piece by piece, while this one goes on applying and answering. One is due when so many entries, or so many bytes of
//! them, were applied since the last, at the end of a range of digests. It stands for the log, so it waits until the log is
//! durable here up to its end (a leader may have applied what only the others hold so far), until a quorum has said that
//! it has the same state there, and until the audit log holds durably what the entries have left.
//!
//! One that comes from a leader replaces the state as a whole. What was handed out for application before is void then, and
//! so is an entry that is being applied on another thread.

use bytes::Bytes;
use holdfast_raft::{EntryId, Envelope, Index, Input as CoreInput, NodeId, SnapshotMeta, SnapshotWork, Term};
use holdfast_store::{NoPlant, Plant as StorePlant, Store};

use super::io::{Caller, NodeEvent};
use super::plant::{Bug, Plant};
use super::saves::Saves;
use super::{Node, limits};

/// How much may be applied before the next snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Entries, at least 1.
    pub entries: u64,
    /// Bytes of them, at least 1. Either is enough.
    pub bytes: u64,
    /// Nor is one due before as much was applied as the last one has bytes, but this many are enough for any: the log behind
    /// a snapshot is held in memory. 0 if the size of the last one is not to matter.
    pub bytes_max: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            entries: limits::SNAPSHOT_ENTRIES,
            bytes: limits::SNAPSHOT_BYTES,
            bytes_max: limits::SNAPSHOT_BYTES_MAX,
        }
    }
}

/// Work on snapshots, for another thread. Pieces are stored and installed in the order in which they were given.
#[derive(Debug)]
pub enum SnapshotJob<S: StorePlant = NoPlant> {
    /// Write a snapshot of this state, make it durable, and put it in place.
    Take {
        /// The state.
        store: Box<Store<S>>,
        /// What it covers, and the configuration there. Its size is not known yet.
        meta: SnapshotMeta,
    },
    /// Read a piece of a snapshot that is in place.
    Read {
        /// For which peer.
        to: NodeId,
        /// The last entry of the snapshot.
        last: EntryId,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// How long it may be.
        bytes_max: usize,
    },
    /// Write a piece of a snapshot that is being received. One at offset 0 begins anew.
    Store {
        /// Which snapshot.
        meta: SnapshotMeta,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece.
        data: Bytes,
        /// To be sent when it is stored.
        ack: Box<Envelope>,
    },
    /// All pieces are there: check every byte, make the snapshot durable, put it in place, and make a store of it.
    Install {
        /// Which snapshot.
        meta: SnapshotMeta,
    },
    /// Drop a state that nobody needs any more, which takes long.
    Forget(Box<Store<S>>),
    /// Write a snapshot of this state for an operator, who takes it away piece by piece; it is none of the node's own, and has
    /// no name. Answered with its first piece.
    Save {
        /// Who asked.
        caller: Caller,
        /// The state.
        store: Box<Store<S>>,
        /// What it covers, and the configuration there. Its size is not known yet.
        meta: SnapshotMeta,
    },
    /// Read a piece of a snapshot for an operator.
    Fetch {
        /// Who asked.
        caller: Caller,
        /// The last entry of the snapshot; none for the newest that is in place.
        last: Option<EntryId>,
        /// Where the piece begins, in bytes.
        offset: u64,
    },
    /// What was written for an operator over this connection is not wanted any more.
    Leave(u64),
}

/// What became of a [`SnapshotJob`].
#[derive(Debug)]
pub enum SnapshotDone<S: StorePlant = NoPlant> {
    /// The snapshot up to here is durable and in place, and has so many bytes; or why not.
    Taken {
        /// The last entry.
        last: EntryId,
        /// Its size.
        bytes: Result<u64, String>,
    },
    /// A piece; or why not.
    Read {
        /// For which peer.
        to: NodeId,
        /// The last entry of the snapshot.
        last: EntryId,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece.
        data: Result<Bytes, NoPiece>,
    },
    /// A piece is stored: this is to be sent.
    Stored(Box<Envelope>),
    /// A piece cannot be stored. The installation will fail.
    NotStored(String),
    /// A piece for an operator; or why not.
    Fetched {
        /// Who asked.
        caller: Caller,
        /// The piece.
        piece: Result<Piece, NoPiece>,
    },
    /// The snapshot is durable and in place, and this is its state; or why not, and everything is as before.
    Installed {
        /// The last entry.
        last: EntryId,
        /// The state.
        store: Result<Box<Store<S>>, String>,
    },
}

/// A piece of a snapshot for an operator.
#[derive(Debug)]
pub struct Piece {
    /// The last entry of the snapshot.
    pub last: EntryId,
    /// Its size.
    pub bytes: u64,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// The piece.
    pub data: Bytes,
}

/// Why there is no piece.
#[derive(Debug)]
pub enum NoPiece {
    /// There is no such snapshot, or not any more.
    Gone,
    /// It could not be written or read.
    Failed(String),
}

/// What a node keeps about its own snapshots.
#[derive(Debug)]
pub(super) struct Snapshots<S: StorePlant> {
    pub(super) policy: SnapshotPolicy,
    /// Applied since the last one was begun.
    entries: u64,
    bytes: u64,
    /// Waits for the log to be durable up to its end.
    waiting: Option<Box<Store<S>>>,
    /// Another thread is at it.
    taking: bool,
    /// Not before this tick, because the last one failed.
    not_before: u64,
    pub(super) jobs: Vec<SnapshotJob<S>>,
    pub(super) saves: Saves,
}

impl<S: StorePlant> Default for Snapshots<S> {
    fn default() -> Self {
        Self {
            policy: SnapshotPolicy::default(),
            entries: 0,
            bytes: 0,
            waiting: None,
            taking: false,
            not_before: 0,
            jobs: Vec::new(),
            saves: Saves::default(),
        }
    }
}

impl<S: StorePlant> Snapshots<S> {
    /// An entry of so many bytes is about to be applied.
    pub(super) fn note(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Whether it is time for one, if the last one has so many bytes.
    fn is_due(&self, ticks: u64, last_bytes: u64) -> bool {
        let SnapshotPolicy { entries, bytes, bytes_max } = self.policy;
        let enough = self.entries >= entries || self.bytes >= bytes;
        let held = self.bytes.saturating_add(self.entries.saturating_mul(limits::ENTRY_BYTES));
        let enough = enough && held >= last_bytes.min(bytes_max);
        enough && self.is_idle(ticks)
    }

    /// Whether none is being taken, nor has just failed.
    fn is_idle(&self, ticks: u64) -> bool {
        self.waiting.is_none() && !self.taking && ticks >= self.not_before
    }
}

impl<P: Plant> Node<P> {
    /// Sets when snapshots are taken.
    pub fn set_snapshot_policy(&mut self, policy: SnapshotPolicy) {
        self.snapshots.policy = policy;
    }

    /// Keeps the state that a snapshot is to be taken of, if one is due and a range of digests ends here: then the others can
    /// say whether theirs is the same.
    pub(super) fn snapshot_point(&mut self) {
        let last_bytes = self.core.snapshot().map_or(0, |meta| meta.bytes);
        let wanted = self.core.wants_snapshot() && self.snapshots.is_idle(self.ticks);
        if (wanted || self.snapshots.is_due(self.ticks, last_bytes))
            && self.store.last_range().is_some_and(|(last, _)| last == self.store.applied().index)
        {
            self.snapshots.waiting = Some(Box::new(self.store.clone()));
            (self.snapshots.entries, self.snapshots.bytes) = (0, 0);
        }
    }

    /// Begins a snapshot if there is a state to take it of, which the log holds here, and which a quorum agrees on: a
    /// snapshot must not spread what one node alone has made of the log.
    pub(super) fn snapshot_if_due(&mut self) {
        let agreed = self.core.durable().0.min(self.digests.agreed());
        let waiting = self.snapshots.waiting.as_ref().map(|store| store.applied().index);
        let Some(wanted) = waiting.filter(|index| *index <= agreed) else { return };
        // The log is what the records are made of once more, if a crash takes them.
        let recorded = if P::plants(Bug::SnapshotBeforeAudit) { agreed } else { self.audit_synced(wanted) };
        let safe = agreed.min(recorded);
        let ready = self.snapshots.waiting.take_if(|store| store.applied().index <= safe);
        let Some(store) = ready else { return };
        let applied = store.applied();
        let index = Index(applied.index);
        let newest = self.core.snapshot().map_or(Index(0), |meta| meta.last.index);
        if index <= newest {
            return self.forget(store);
        }
        let last = EntryId { term: Term(applied.term), index };
        let configuration = self.core.configuration_at(index).clone();
        let meta = SnapshotMeta { last, configuration, bytes: 0 };
        self.snapshots.taking = true;
        self.snapshots.jobs.push(SnapshotJob::Take { store, meta });
    }

    /// What the core wants done.
    pub(super) fn snapshot_work(&mut self, work: SnapshotWork) {
        let job = match work {
            SnapshotWork::Read { to, last, offset, bytes_max } => {
                SnapshotJob::Read { to, last, offset, bytes_max }
            }
            SnapshotWork::Store { meta, offset, data, ack } => {
                SnapshotJob::Store { meta, offset, data, ack: Box::new(ack) }
            }
            SnapshotWork::Install { meta } => SnapshotJob::Install { meta },
        };
        self.snapshots.jobs.push(job);
    }

    /// What another thread has done.
    pub(super) fn snapshot_done(&mut self, done: SnapshotDone<P::Store>) {
        match done {
            SnapshotDone::Taken { last, bytes } => self.snapshot_taken(last, bytes),
            SnapshotDone::Read { to, last, offset, data } => {
                // A peer that was silent for long may ask for one that newer ones have replaced: it is offered the newest.
                if let Err(NoPiece::Failed(why)) = &data {
                    self.events.push(NodeEvent::SnapshotFailed(why.clone()));
                }
                self.tell(CoreInput::SnapshotRead { to, last, offset, data: data.ok() });
            }
            SnapshotDone::Stored(ack) => self.sends.push(*ack),
            SnapshotDone::Fetched { caller, piece } => self.fetched(caller, piece),
            SnapshotDone::NotStored(why) => self.events.push(NodeEvent::SnapshotFailed(why)),
            SnapshotDone::Installed { last, store: Ok(store) } => self.installed(last, store),
            SnapshotDone::Installed { last, store: Err(why) } => {
                self.events.push(NodeEvent::SnapshotFailed(why));
                self.tell(CoreInput::SnapshotInstalled { last, done: false });
            }
        }
    }

    fn snapshot_taken(&mut self, last: EntryId, bytes: Result<u64, String>) {
        self.snapshots.taking = false;
        match bytes {
            Ok(bytes) => {
                // Refused if one that a leader sent is newer, and then there is nothing to be done.
                let told = self.core.step(CoreInput::SnapshotReady { index: last.index, bytes });
                if told.is_ok() {
                    self.counts.snapshots_taken += 1;
                    self.events.push(NodeEvent::SnapshotTaken { last, bytes });
                }
            }
            Err(why) => {
                // A disk that is full now will not be empty in the next turn.
                self.snapshots.not_before = self.ticks + limits::SNAPSHOT_RETRY_TICKS;
                let SnapshotPolicy { bytes, bytes_max, .. } = self.snapshots.policy;
                self.snapshots.bytes = self.snapshots.bytes.saturating_add(bytes.max(bytes_max));
                self.events.push(NodeEvent::SnapshotFailed(why));
            }
        }
    }

    /// The state of a leader takes the place of the own one.
    fn installed(&mut self, last: EntryId, store: Box<Store<P::Store>>) {
        self.audit_passes_over(last.index.0);
        let old = std::mem::replace(&mut self.store, *store);
        self.forget(Box::new(old));
        if let Some(waiting) = self.snapshots.waiting.take() {
            self.forget(waiting);
        }
        (self.snapshots.entries, self.snapshots.bytes) = (0, 0);
        // They stand for a state that is gone; what another thread is applying comes back too late, and is dropped.
        self.committed.clear();
        self.away = false;
        self.counts.snapshots_installed += 1;
        self.tell(CoreInput::SnapshotInstalled { last, done: true });
        self.reinstalled();
    }

    /// Everything that hangs on the state, when it was replaced.
    fn reinstalled(&mut self) {
        let applied = self.store.applied();
        self.batches_executed();
        self.reads.applied(applied.index);
        self.touched.clear();
        self.tell_all();
        self.watches.reinstalled(&self.store);
        self.serve_reads();
        self.events.push(NodeEvent::Reinstalled { index: applied.index, revision: self.store.revision() });
    }

    /// Lets a state go on another thread.
    pub(super) fn forget(&mut self, store: Box<Store<P::Store>>) {
        self.snapshots.jobs.push(SnapshotJob::Forget(store));
    }
}
