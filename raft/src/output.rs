//! What a core wants done, split by what has to be durable first.
//!
//! # The laws
//! ```text
//!   send_now            needs nothing
//!   persist             to the disk, in the order of their ids; Input::Durable(id) when they are there
//!   send_after_persist  not before Input::Durable(after) could be said; then in any order
//!   apply               to the state machine, in order; Input::Applied when done
//!   reads_ready         serve when the state machine has applied up to the index
//! ```
//! What is to be sent after a persist that never becomes durable is never sent: it dies with the process.

use bytes::Bytes;
use holdfast_machine::numbered;

use crate::{
    Entry, EntryId, Envelope, HardState, Index, MembershipEdge, NodeId, Payload, PersistId, ProgressEdge,
    ReadId, Refusal, RoleEdge, SnapshotMeta, Term, TransferEdge,
};

/// What is to be done. All of one turn: [`Core::flush`](crate::Core::flush) fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Messages that promise nothing which could be forgotten.
    pub send_now: Vec<Envelope>,
    /// What the disk has to hold, at most one of a turn.
    pub persist: Option<Persist>,
    /// Messages that promise something: each only after its persist.
    pub send_after_persist: Vec<Held>,
    /// Committed entries, in order, each once per boot.
    pub apply: Vec<Committed>,
    /// Reads that are safe once the state machine has come to their index.
    pub reads_ready: Vec<ReadReady>,
    /// Reads that will not be answered.
    pub reads_refused: Vec<(ReadId, Refusal)>,
    /// Work on snapshots.
    pub snapshots: Vec<SnapshotWork>,
    /// Entries to be read back from the disk, at most one run for each peer at a time.
    pub log_reads: Vec<LogRead>,
    /// What happened, in order: for logs, metrics and tests.
    pub events: Vec<Event>,
}

impl Output {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        let Self {
            send_now,
            persist,
            send_after_persist,
            apply,
            reads_ready,
            reads_refused,
            snapshots,
            log_reads,
            events,
        } = self;
        send_now.clear();
        *persist = None;
        send_after_persist.clear();
        apply.clear();
        reads_ready.clear();
        reads_refused.clear();
        snapshots.clear();
        log_reads.clear();
        events.clear();
    }
}

/// A message that waits for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What has to be durable first.
    pub after: PersistId,
    /// The message.
    pub envelope: Envelope,
}

/// What the disk has to hold. All of it becomes durable together with all before it, or a prefix of the operations does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Its name.
    pub id: PersistId,
    /// Term and vote, when they changed. Written before the operations.
    pub hard_state: Option<HardState>,
    /// Operations on the log, in order.
    pub log: Vec<LogOp>,
}

/// An operation on the durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOp {
    /// These entries from `first` on; whatever stood at `first` and behind is superseded.
    Append {
        /// Where the first of them stands.
        first: Index,
        /// The entries, at least one.
        entries: Vec<Entry>,
    },
    /// An entry for a hole, which supersedes nothing.
    Fill {
        /// Where.
        index: Index,
        /// The entry.
        entry: Entry,
    },
    /// What is readable at this index and doubtful is of this term, a leader says: not doubtful any more.
    Confirm {
        /// Where.
        index: Index,
        /// The term of the entry there.
        term: Term,
    },
    /// The log is whole up to here, and nothing stands behind: the damage is over.
    Heal {
        /// The last index that is kept.
        whole: Index,
    },
    /// A snapshot took the place of the whole log, which goes on behind this entry.
    Reset {
        /// The last entry of the snapshot.
        last: EntryId,
    },
    /// Entries up to here are in a durable snapshot and not needed any more.
    Trim {
        /// The last index that goes.
        through: Index,
    },
}

/// A committed entry for the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What names it.
    pub id: EntryId,
    /// What it carries.
    pub payload: Payload,
}

/// A read whose index is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadReady {
    /// Which read.
    pub id: ReadId,
    /// The state machine has to have applied this before the read is served.
    pub index: Index,
}

/// Work on snapshots, whose bytes the core never sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotWork {
    /// Read a piece of this snapshot, which was the newest when it was offered, and say so with [`Input::SnapshotRead`](crate::Input::SnapshotRead).
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
    /// Write a piece of a snapshot that is being received to its temporary place. A piece at offset 0 begins anew. The
    /// acknowledgement asks for the next piece: sent when this one is stored, it paces the sender by the disk (one that asks
    /// again after an election timeout is told at once). A piece that cannot be stored needs no report: the installation
    /// fails.
    Store {
        /// Which snapshot.
        meta: SnapshotMeta,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece.
        data: Bytes,
        /// To be sent when it is stored.
        ack: Envelope,
    },
    /// All pieces are there: verify, make durable, put in place and swap the state machine, and say so with
    /// [`Input::SnapshotInstalled`](crate::Input::SnapshotInstalled).
    Install {
        /// Which snapshot.
        meta: SnapshotMeta,
    },
}

/// Entries that the log holds on the disk only, and that a peer needs next: to be read back, and told with
/// [`Input::LogRead`](crate::Input::LogRead). It need not be quick, nor in the order of other work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// For which peer.
    pub to: NodeId,
    /// The first entry.
    pub first: Index,
    /// The last that may be read.
    pub last: Index,
    /// How much they may count in all ([`Entry::bytes`](crate::Entry::bytes)); the first is read whatever it counts.
    pub bytes_max: usize,
}

impl LogRead {
    /// Of these entries, which stand from [`first`](Self::first) on, as many as are wanted.
    pub fn fit(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
        let (mut fit, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            bytes += entry.bytes();
            if bytes > self.bytes_max && !fit.is_empty() {
                break;
            }
            fit.push(entry);
        }
        fit
    }
}

/// Something that happened inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An edge of machine 02: the role of this node, and the term behind it.
    Role(RoleEdge, Term),
    /// An edge of machine 03: replication to this peer.
    Progress(NodeId, ProgressEdge),
    /// An edge of machine 04: the configuration, and the index of the one that acts now.
    Membership(MembershipEdge, Index),
    /// An edge of machine 05: the receiving of a snapshot that ends here.
    Transfer(TransferEdge, Index),
    /// Something that no correct peer sends.
    Alarm(Alarm, NodeId),
    /// The leader told this voter to take over.
    HandedOver(NodeId),
    /// The transfer to this voter was given up.
    TransferGivenUp(NodeId),
    /// The damaged log is whole again up to here.
    Healed(Index),
}

numbered! {
    /// Why a message was dropped. Counted; nothing else comes of it.
    pub enum DropCause: u8, "D" {
        /// It is for another cluster.
        OtherCluster = 1,
        /// It is for another life of this cluster.
        OtherEpoch = 2,
        /// It is for another node, or from this one.
        WrongAddressee = 3,
        /// A later boot of the sender has been heard.
        StaleSender = 4,
        /// It is for another boot of this node. Answered with the current one.
        StaleAddressee = 5,
        /// A number in it is out of range, or contradicts another.
        Malformed = 6,
        /// Its term is lower. Answered with the own one, unless it is itself an answer.
        LowerTerm = 7,
        /// It asks for a vote while a live leader is heard.
        Sticky = 8,
        /// It answers a question that is not open any more.
        NotAsked = 9,
        /// It is an answer to a leader, and this node is none, or does not send its log to the sender.
        WrongRole = 10,
        /// No correct node says this. See [`Alarm`].
        Impossible = 11,
        /// This node takes part in no vote: its own are lost, or its log has holes.
        MayNotVote = 12,
    }
}

numbered! {
    /// Something that no correct peer sends, or that no sound disk gives back: a person has to look.
    pub enum Alarm: u8, "A" {
        /// A second leader in the own term.
        SecondLeader = 1,
        /// Entries that contradict what is committed here.
        CommittedConflict = 2,
        /// A peer acknowledges more than this leader ever had.
        AckBeyondLog = 3,
        /// A peer came back with less than it had acknowledged to this leader: its disk lost it, or an old copy of its
        /// directory was put in place. It is not counted until it has caught up to what it had.
        AcknowledgedLost = 4,
        /// A message has the boot of this node that is still to come: this directory is an old copy.
        OwnBootFromTheFuture = 5,
        /// A joint configuration behind a joint one.
        ImpossibleConfiguration = 6,
    }
}
