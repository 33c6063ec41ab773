//! What the owner of a core tells it. A different type from what peers send, so that no peer can forge any of it.

use bytes::Bytes;
use holdfast_machine::numbered;

use crate::{Change, Entry, EntryId, Envelope, Index, NodeId, PersistId, ReadId, SnapshotMeta, Term};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One tick passed.
    Tick,
    /// Clients want these commands appended, together or not at all.
    Propose(Vec<Bytes>),
    /// A message came.
    Receive(Envelope),
    /// Everything up to and with this [`Persist`](crate::Persist) is on the disk.
    Durable(PersistId),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// Clients want to read: tell when it is safe.
    Read(Vec<ReadId>),
    /// Hand the office over to this voter.
    Transfer(NodeId),
    /// Change who is a member.
    ChangeMembership(Change),
    /// A snapshot of what was applied is durable, and takes the place of the log up to its end.
    SnapshotReady {
        /// The last index that it covers.
        index: Index,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The piece that [`SnapshotWork::Read`](crate::SnapshotWork::Read) asked for.
    SnapshotRead {
        /// For which peer.
        to: NodeId,
        /// The last entry of the snapshot.
        last: EntryId,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece; `None` if the snapshot is gone or unreadable.
        data: Option<Bytes>,
    },
    /// The entries that a [`LogRead`](crate::LogRead) asked for. Every one is answered, sooner or later.
    LogRead {
        /// For which peer.
        to: NodeId,
        /// The first entry that was asked for.
        first: Index,
        /// The entries from there on, as many as could be read; none if the first could not.
        entries: Vec<Entry>,
    },
    /// The snapshot that [`SnapshotWork::Install`](crate::SnapshotWork::Install) named is durable, and is what the state
    /// machine holds now; or it could not be, and everything is as before.
    SnapshotInstalled {
        /// The last entry of the snapshot.
        last: EntryId,
        /// Whether it is.
        done: bool,
    },
    /// A connection to this peer was made anew: what was on its way may be lost.
    PeerConnected(NodeId),
    /// The connection to this peer broke, or cannot be made.
    PeerUnreachable(NodeId),
    /// This peer's machine answers and its process does not: it is dead.
    PeerRefused(NodeId),
}

/// Term and vote: what a node must never forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The highest term it has seen; zero before the first.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}

/// A run of indices for which the log has nothing to say for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first index.
    pub first: Index,
    /// The last index.
    pub last: Index,
}

/// What is damaged in a log that was read back. It stays damaged until a [`LogOp::Heal`](crate::LogOp::Heal) is durable: whatever
/// was filled, appended, reset or trimmed meanwhile, the owner reports the same claimed end and the same trust again at the
/// next start, also when nothing unreadable is left. (It keeps them beside the log from the first start that found them.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first hole begins behind the contiguous entries of [`Recovered`]. Sorted, and not touching. Indices that are
    /// readable and doubtful are holes as well.
    pub holes: Vec<Hole>,
    /// What is readable behind the first hole, doubtful or not, by index: an entry that a leader confirms is not sent to
    /// the disk again.
    pub behind: Vec<(Index, Entry)>,
    /// The end of the log that a readable head behind the damage names: the log did not end before it.
    pub claimed_end: EntryId,
    /// Whether the log cannot have gone on beyond the claimed end. Only then may the node vote before it is whole.
    pub trustworthy: bool,
}

/// What a node finds on its disk when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Term and vote.
    pub hard_state: HardState,
    /// Term and vote may be older than what was promised. The node takes part in no quorum for ever.
    pub hard_state_lost: bool,
    /// The newest durable snapshot; the state machine starts from it.
    pub snapshot: Option<SnapshotMeta>,
    /// What stands before the first entry. Beyond the end of the snapshot only if damage is reported: then the snapshot that
    /// stood for the beginning is lost, and a leader has to send that again.
    pub prev: EntryId,
    /// The entries behind it, up to the end or the first hole.
    pub entries: Vec<Entry>,
    /// What is damaged behind them.
    pub damage: Option<Damage>,
}

numbered! {
    /// Why the core does not do what its owner asked for. Nothing has changed then.
    pub enum Refusal: u8, "R" {
        /// This node is not the leader.
        NotLeader = 1,
        /// The leader is handing its office over.
        Transferring = 2,
        /// As many bytes are uncommitted as are allowed: no quorum answers, or too slowly.
        UncommittedFull = 3,
        /// The leader has not committed an entry of its own term yet.
        NotEstablished = 4,
        /// Another change of members is under way.
        ChangePending = 5,
        /// The members that can be reached now are no quorum of the configuration asked for: it could not commit.
        WouldLoseQuorum = 6,
        /// The id belongs to a member, or did once.
        IdReused = 7,
        /// The directory belongs to another member.
        UuidTaken = 8,
        /// There is no such member.
        UnknownMember = 9,
        /// A voter cannot be promoted, a learner cannot be demoted, and nobody can be both.
        WrongKindOfMember = 10,
        /// The learner has not caught up with the log yet.
        NotCaughtUp = 11,
        /// Nobody would be left to vote.
        NoVoterLeft = 12,
        /// There would be more members, or more voters, than are allowed.
        TooManyMembers = 13,
        /// The request changes nothing.
        NothingToChange = 14,
        /// Leadership can be handed to another voter only.
        NoTransferTarget = 15,
        /// As many reads wait as are allowed.
        ReadsFull = 16,
        /// No leader is known.
        NoLeader = 17,
        /// The snapshot covers what is not applied, or not durable here.
        SnapshotAhead = 18,
        /// A newer snapshot is there already.
        SnapshotOld = 19,
        /// Leadership changed, or the answer did not come in time; whoever asked may ask again.
        LeadershipLost = 20,
        /// What is to be kept of the member is longer than allowed.
        ContextTooLong = 21,
        /// A command is longer than one message can carry.
        EntryTooLong = 22,
    }
}
