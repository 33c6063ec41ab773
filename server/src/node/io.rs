//! What goes into a node and what comes out of it.

use std::net::IpAddr;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::Range;
use holdfast_command::{Actor, Outcome, SessionId};
use holdfast_hlc::UnixMillis;
use holdfast_raft::{Entry, EntryId, Envelope, Event, Index, LogRead, NodeId, Persist, PersistId};
use holdfast_store::{Applied, Halt, LogPosition, NoPlant, Plant as StorePlant, Store};
use holdfast_wire::Message;
use holdfast_wire::message::{ChangeMembers, Position, Query, Read, ReadDone, SaveSnapshot, Watch};

use super::audit::{AuditDone, AuditJob};
use super::leadership;
use super::plant::{AsDesigned, Plant};
use super::slow::Slow;
use super::snapshots::{SnapshotDone, SnapshotJob};
use crate::watch::{Piece, Spliced};

/// The time, as the owner of a node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of a clock that never goes back and starts anywhere.
    pub micros: u64,
    /// The time of day. Decides nothing; stamps the audit trail.
    pub wall: UnixMillis,
}

/// Who is to be answered: a call of a connection. Chosen by the owner, opaque to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    /// Which connection; never used again within a process.
    pub connection: u64,
    /// Which call of it.
    pub call: u64,
}

/// A write, or whatever else goes through the log.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who asked.
    pub caller: Caller,
    /// In whose name.
    pub actor: Actor,
    /// From where.
    pub address: Option<(IpAddr, u16)>,
    /// The encoded request.
    pub request: Bytes,
    /// For how many milliseconds the caller waits; 0 for ever.
    pub timeout_ms: u32,
    /// When it came, in [`Now::micros`]; what lies in the future counts as now.
    pub at: u64,
    /// An idempotency key in it was made by the owner of the node. A client may not bring one: it could guess another's.
    pub keyed_here: bool,
}

/// Something that happened outside of the node.
#[derive(Debug)]
pub enum Input<S: StorePlant = NoPlant> {
    /// 10 ms passed.
    Tick,
    /// A peer said something.
    Peer(Envelope),
    /// A connection to this peer was made anew.
    PeerConnected(NodeId),
    /// The connection to this peer broke, or cannot be made.
    PeerUnreachable(NodeId),
    /// The machine of this peer answers, and its process does not.
    PeerRefused(NodeId),
    /// A member of the cluster says that this node is none any more. Members say so of what is committed, and no number is given
    /// twice, so one that says it is enough.
    Removed {
        /// Who says it.
        by: NodeId,
    },
    /// A peer told about itself.
    Introduced {
        /// Which peer.
        from: NodeId,
        /// The highest feature level that its build can apply.
        level: u16,
        /// Where clients reach it; empty if it did not say.
        client: ByteString,
        /// Where it serves HTTP; empty if it does not, or did not say.
        http: ByteString,
    },
    /// Everything up to and with this persist is on the disk.
    Durable(PersistId),
    /// A client wants something executed.
    Submit(Submission),
    /// A client says that it is still there.
    Keep {
        /// Who asked.
        caller: Caller,
        /// In whose name.
        actor: Actor,
        /// Which session.
        session: SessionId,
        /// As in [`Submission::timeout_ms`].
        timeout_ms: u32,
    },
    /// A client wants to read.
    Read {
        /// Who asked.
        caller: Caller,
        /// What.
        read: Read,
    },
    /// A client says that the holder of a lease is still there.
    KeepLease {
        /// Who asked.
        caller: Caller,
        /// In whose name.
        actor: Actor,
        /// Which lease.
        lease: i64,
        /// As in [`Submission::timeout_ms`].
        timeout_ms: u32,
    },
    /// A client asks for what is no key.
    Query {
        /// Who asked.
        caller: Caller,
        /// What.
        query: Query,
    },
    /// An operator wants the members changed, or another leader.
    ChangeMembers {
        /// Who asked.
        caller: Caller,
        /// What.
        change: ChangeMembers,
    },
    /// An operator wants a piece of a snapshot.
    SaveSnapshot {
        /// Who asked.
        caller: Caller,
        /// Which piece.
        save: SaveSnapshot,
    },
    /// A client wants to watch; its call is the name of the watch.
    Watch {
        /// Who asked.
        caller: Caller,
        /// What.
        watch: Watch,
    },
    /// A client wants to know how far its watch is.
    AskProgress(Caller),
    /// A client wants no more of its watch.
    Unwatch(Caller),
    /// This connection is gone, and whatever was watched over it.
    Gone(u64),
    /// A [`Job::Apply`] is done.
    Executed(Executed<S>),
    /// A [`Job::Splice`] is done.
    Spliced(Spliced),
    /// A [`SnapshotJob`] is done.
    Snapshot(SnapshotDone<S>),
    /// Entries that [`Effects::log_reads`] asked for; as in the core's own input.
    LogRead {
        /// For which peer.
        to: NodeId,
        /// The first that was asked for.
        first: Index,
        /// Those from there on that could be read.
        entries: Vec<Entry>,
    },
    /// An [`AuditJob`] is done, or fails.
    Audit(AuditDone),
    /// A peer tells what it has made of entries: last index and digest of some ranges.
    Digests {
        /// Which peer.
        from: NodeId,
        /// The ranges, ascending.
        ranges: Vec<(u64, [u8; 32])>,
    },
    /// How the disk is: bytes that are free and bytes that are needed when it is too full for new writes, else `None`.
    Disk(Option<(u64, u64)>),
    /// The owner wants to stop: hand leadership over, admit nothing.
    Stop,
}

/// Work that takes too long for the thread of the node.
#[derive(Debug)]
pub enum Job<P: Plant = AsDesigned> {
    /// Apply one entry to this store, and say so with [`Input::Executed`].
    Apply {
        /// The state before it.
        store: Box<Store<P::Store>>,
        /// Where it stands.
        at: LogPosition,
        /// The entry.
        entry: Bytes,
    },
    /// Read a range of this store, and answer.
    Read {
        /// The state.
        store: Box<Store<P::Store>>,
        /// What.
        range: Box<Range>,
        /// Whom to answer.
        caller: Caller,
        /// What the state is.
        position: Position,
        /// How old it is at most.
        staleness_ms: u64,
    },
    /// Read a piece of the history of this store for a watch, and give it back with [`Input::Spliced`].
    Splice {
        /// The state.
        store: Box<Store<P::Store>>,
        /// What.
        piece: Box<Piece<P::Watch>>,
    },
}

/// What became of a [`Job::Apply`].
#[derive(Debug)]
pub struct Executed<S: StorePlant = NoPlant> {
    /// The state behind the entry.
    pub store: Box<Store<S>>,
    /// Which entry.
    pub at: LogPosition,
    /// Its bytes.
    pub entry: Bytes,
    /// Its outcome.
    pub result: Result<Applied, Halt>,
}

/// What became of a [`Job`].
#[derive(Debug)]
pub enum JobDone<S: StorePlant = NoPlant> {
    /// For the node.
    Executed(Executed<S>),
    /// For the watches of the node.
    Spliced(Spliced),
    /// For a client.
    Answer(Caller, Message),
}

impl<P: Plant> Job<P> {
    /// Does the work, on whatever thread.
    #[must_use]
    pub fn run(self) -> JobDone<P::Store> {
        match self {
            Self::Apply { mut store, at, entry } => {
                let result = store.apply(at, &entry);
                JobDone::Executed(Executed { store, at, entry, result })
            }
            Self::Read { store, range, caller, position, staleness_ms } => {
                JobDone::Answer(caller, read(&store, &range, position, staleness_ms))
            }
            Self::Splice { store, piece } => JobDone::Spliced(piece.run(&store)),
        }
    }
}

/// The answer to a read.
pub(super) fn read(
    store: &Store<impl StorePlant>,
    range: &Range,
    position: Position,
    staleness_ms: u64,
) -> Message {
    let outcome = store.range(range).map(|page| holdfast_command::Reply::Ranged(page.to_reply()));
    ReadDone { position, staleness_ms, outcome: Outcome(outcome).encode().into() }.into()
}

/// What a node wants done. The owner does all of it before it gives the node the next turn; in any order, but for two
/// laws: persists go to the disk in their order, and what is sent does not wait for them.
#[derive(Debug)]
pub struct Effects<P: Plant = AsDesigned> {
    /// Messages to peers.
    pub send: Vec<Envelope>,
    /// What the disk has to hold; [`Input::Durable`] when it does.
    pub persist: Vec<Persist>,
    /// Answers to clients.
    pub replies: Vec<(Caller, Message)>,
    /// Work for another thread.
    pub jobs: Vec<Job<P>>,
    /// Work on snapshots, in this order.
    pub snapshots: Vec<SnapshotJob<P::Store>>,
    /// Entries to be read back from the disk for peers, each answered with [`Input::LogRead`].
    pub log_reads: Vec<LogRead>,
    /// Work on the audit log, in this order.
    pub audit: Vec<AuditJob>,
    /// What all peers are to be told with [`Input::Digests`]; empty for nothing.
    pub digests: Vec<(u64, [u8; 32])>,
    /// What happened, for logs.
    pub events: Vec<NodeEvent>,
    /// Requests that took long, for logs, and how many more there were.
    pub slow: (Vec<Slow>, u64),
    /// More is to be done without any further input: give another turn soon.
    pub more: bool,
}

impl<P: Plant> Default for Effects<P> {
    fn default() -> Self {
        Self {
            send: Vec::new(),
            persist: Vec::new(),
            replies: Vec::new(),
            jobs: Vec::new(),
            snapshots: Vec::new(),
            log_reads: Vec::new(),
            audit: Vec::new(),
            digests: Vec::new(),
            events: Vec::new(),
            slow: (Vec::new(), 0),
            more: false,
        }
    }
}

impl<P: Plant> Effects<P> {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        let Self { send, persist, replies, jobs, snapshots, log_reads, audit, digests, events, slow, more } =
            self;
        send.clear();
        persist.clear();
        replies.clear();
        jobs.clear();
        snapshots.clear();
        log_reads.clear();
        audit.clear();
        digests.clear();
        events.clear();
        slow.0.clear();
        slow.1 = 0;
        *more = false;
    }
}

/// Something that happened inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// In the core.
    Raft(Event),
    /// An edge of machine 15, and the term that it is about.
    Leadership(leadership::Edge, u64),
    /// The node cannot go on, and must not: it would differ from the others.
    Halted(String),
    /// A snapshot is durable and in place, and stands for the log up to its last entry.
    SnapshotTaken {
        /// The last entry.
        last: EntryId,
        /// Its size.
        bytes: u64,
    },
    /// A snapshot could not be taken, stored or installed. Nothing is lost by it.
    SnapshotFailed(String),
    /// The state was replaced as a whole by the snapshot of a leader: what hangs on it has to be looked at anew.
    Reinstalled {
        /// The last entry that is applied now.
        index: u64,
        /// The revision now.
        revision: u64,
    },
    /// The audit log cannot be written, or not be made durable. It is tried again; nothing is lost, but in time nothing more is
    /// applied, and no snapshot is taken.
    AuditFailed(String),
    /// The audit log can be written again.
    AuditGoesOn,
    /// A stamp is far ahead of this node's time of day.
    Drift(String),
    /// What was said with [`Drift`](Self::Drift) is over.
    DriftOver,
}
