//! What nodes say to each other.
//!
//! Every message travels in an [`Envelope`] that names the cluster, its epoch, both nodes and the boots of both, so that
//! what was meant for another life of anybody is dropped instead of believed. All messages are idempotent: they may come
//! late, twice, or never.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Boot, ClusterEpoch, ClusterId, Configuration, Entry, EntryId, Index, NodeId, Round, Stretch, Term,
};

/// A message with all that has to agree before it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which life of it.
    pub epoch: ClusterEpoch,
    /// Who says it.
    pub from: NodeId,
    /// Which boot of the sender.
    pub from_boot: Boot,
    /// To whom.
    pub to: NodeId,
    /// Which boot of the addressee, as the sender last heard; `None` if it never heard of one.
    pub to_boot: Option<Boot>,
    /// The sender's term when it said it.
    pub term: Term,
    /// What it says.
    pub message: Message,
}

/// What stands in a snapshot, and what has to be known to go on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry that it covers.
    pub last: EntryId,
    /// The configuration in force there, and the index of the entry that brought it.
    pub configuration: (Index, Arc<Configuration>),
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a node says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Would you vote for me in the term after mine? Promises nothing on either side (dissertation §9.6).
    PreVote {
        /// The end of the sender's log.
        last: EntryId,
    },
    /// The answer to a [`PreVote`](Self::PreVote).
    PreVoteReply {
        /// The term that was asked about.
        asked: Term,
        /// Whether it would.
        granted: bool,
    },
    /// Vote for me in my term. Sent after term and own vote are durable.
    Vote {
        /// The end of the sender's log.
        last: EntryId,
        /// The leader handed its office over, so nobody has to stick to it.
        transfer: bool,
    },
    /// The answer to a [`Vote`](Self::Vote). A granted one is sent after it is durable.
    VoteReply {
        /// Whether it is granted.
        granted: bool,
    },
    /// Entries of the leader's log, and how far it is committed. Empty to learn where the peer's log ends, or to say how
    /// far the commit has come.
    Append {
        /// What stands before the entries.
        prev: EntryId,
        /// The entries, in order.
        entries: Vec<Entry>,
        /// How far the leader has committed.
        commit: Index,
        /// Whether an entry of the leader's own term has committed: only then does `commit` cover all that any
        /// leader before has committed.
        established: bool,
        /// The stretch of replication that it belongs to.
        stretch: Stretch,
    },
    /// The sender's log equals the leader's up to here, and is durable up to here.
    AppendAck {
        /// Up to where.
        matched: Index,
        /// The stretch of the newest append that it answers.
        stretch: Stretch,
        /// Whether it counts towards a quorum: not from a node whose term and vote are lost.
        counting: bool,
    },
    /// The sender's log has something else than `prev`; or it is damaged, and not compared with the leader's up to there yet.
    AppendReject {
        /// The `prev` that was refused.
        prev: EntryId,
        /// The last entry of the sender at or before `prev` whose term is not above that of `prev`: the logs may agree up
        /// to there, and not beyond.
        hint: EntryId,
        /// The stretch of the append that it answers.
        stretch: Stretch,
    },
    /// The leader is alive. Confirms it to its followers, and by their answers to itself.
    Heartbeat {
        /// Which round of heartbeats.
        round: Round,
        /// How far the leader has committed.
        commit: Index,
        /// As in [`Append`](Self::Append).
        established: bool,
    },
    /// The answer to a [`Heartbeat`](Self::Heartbeat): when it was sent, the sender knew no later leader.
    HeartbeatAck {
        /// The round that it answers.
        round: Round,
        /// As in [`AppendAck`](Self::AppendAck).
        counting: bool,
    },
    /// A follower asks how far it has to apply before it may serve the reads of this batch.
    ReadIndex {
        /// Names the batch; unique within the boot of the sender.
        batch: u64,
    },
    /// The answer, sent after the leader made sure that it still was one.
    ReadIndexReply {
        /// The batch.
        batch: u64,
        /// Apply up to here first; `None` if this node cannot say.
        index: Option<Index>,
    },
    /// Campaign now: the leader hands its office over. Dead as soon as term or log go on.
    TimeoutNow {
        /// The end of the leader's log, which the addressee's has to equal.
        last: EntryId,
    },
    /// A piece of a snapshot, for a peer whose next entry is gone.
    SnapshotChunk {
        /// Which snapshot.
        meta: SnapshotMeta,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece. It is the last when it reaches `meta.bytes`.
        data: Bytes,
    },
    /// Where the next piece has to begin.
    SnapshotAck {
        /// The last entry of the snapshot.
        last: EntryId,
        /// Where to go on, in bytes; all of them while the snapshot is being installed.
        offset: u64,
    },
    /// The snapshot cannot be taken: its bytes are damaged, or the receiver could not store them.
    SnapshotReject {
        /// The last entry of the snapshot.
        last: EntryId,
    },
    /// Nothing but the envelope: this is my term, this is my boot. Says so to who used an older one.
    Notice,
}

impl Message {
    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreVote { .. } => "PreVote",
            Self::PreVoteReply { .. } => "PreVoteReply",
            Self::Vote { .. } => "Vote",
            Self::VoteReply { .. } => "VoteReply",
            Self::Append { .. } => "Append",
            Self::AppendAck { .. } => "AppendAck",
            Self::AppendReject { .. } => "AppendReject",
            Self::Heartbeat { .. } => "Heartbeat",
            Self::HeartbeatAck { .. } => "HeartbeatAck",
            Self::ReadIndex { .. } => "ReadIndex",
            Self::ReadIndexReply { .. } => "ReadIndexReply",
            Self::TimeoutNow { .. } => "TimeoutNow",
            Self::SnapshotChunk { .. } => "SnapshotChunk",
            Self::SnapshotAck { .. } => "SnapshotAck",
            Self::SnapshotReject { .. } => "SnapshotReject",
            Self::Notice => "Notice",
        }
    }
}
