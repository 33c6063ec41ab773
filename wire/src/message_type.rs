//! The one table of message types: number, name, direction, cap, first version, whether it may be skipped.
//!
//! Adding a message is adding a line to the enum and a line to [`MessageType::spec`]; the compiler asks
//! for the second, the golden file for the first. A line is never changed or removed: a type that is no
//! longer used moves to `retired`, where its number and name stay taken.

use holdfast_machine::{Numbered, numbered};

use crate::{Flag, Flags, WireError};

numbered! {
    /// What a frame says. The number is in bytes 8 and 9 of every frame; 0 is never valid.
    pub enum MessageType: u16, "M" {
        /// First frame of a client: which cluster it means, who it is, what it can do.
        ClientHello = 1,
        /// First frame of a peer that dials: the same, plus its identity, its boot and the lane.
        PeerHello = 2,
        /// Answer to a client's Hello: version, identity, limits, where the leader is.
        ClientWelcome = 3,
        /// Answer to a peer's Hello: version and identity.
        PeerWelcome = 4,
        /// The sender opens no more calls, and why. Replies to calls in flight may still follow it.
        Goodbye = 5,
        /// Asks for a Pong with the same group, call and payload: keeps a quiet connection alive, measures a round trip.
        Ping = 6,
        /// The answer to a Ping, also to one with call 0.
        Pong = 7,

        /// Executes a request: a write, or whatever else goes through the log.
        Submit = 101,
        /// The answer to a Submit that went through the log.
        Submitted = 102,
        /// Reads a range of keys, as consistently as it says.
        Read = 103,
        /// The answer to a Read that was executed.
        ReadDone = 104,
        /// The answer to a call that the node did not take on, or gave up: why, what came of it, whom to ask.
        Refused = 105,
        /// Asks how the node is.
        Status = 106,
        /// How the node is, as it sees itself and the cluster.
        StatusReply = 107,
        /// Asks what the node has measured since it started.
        Stats = 108,
        /// What the node has measured since it started.
        StatsReply = 109,
        /// Renews a session: the leader gathers those of a turn into one entry.
        KeepSession = 110,
        /// The answer to a KeepSession that went through the log.
        SessionKept = 111,
        /// Asks for what is no key: a lease, a queue, history, settings; as consistently as it says, and now or once it has
        /// changed.
        Query = 112,
        /// The answer to a Query that was executed.
        QueryDone = 113,
        /// Renews a lease: the leader gathers those of a turn into one entry.
        KeepLease = 114,
        /// The answer to a KeepLease that went through the log.
        LeaseKept = 115,
        /// Changes who is a member, or who leads.
        ChangeMembers = 116,
        /// The answer to a ChangeMembers that was carried out.
        MembersChanged = 117,
        /// Asks the node to examine itself: its disk, its limits, its clock, what it has measured.
        Examine = 118,
        /// What a node that examined itself has found: figures and words, each with a number that says what it is.
        Examined = 119,

        /// Asks for all changes of a span of keys, from a revision on. Its call id is the name of the watch on this
        /// connection: everything about it carries it.
        Watch = 121,
        /// The answer to a Watch that was opened: what it begins with.
        WatchStarted = 122,
        /// Changes that a watch has asked for, in the order of revisions.
        WatchEvents = 123,
        /// From the node: everything up to a revision has been delivered. From the client: say so, as soon as it is true.
        WatchProgress = 124,
        /// Ends a watch.
        WatchCancel = 125,
        /// A watch has ended: why, and where to go on. Nothing follows it.
        WatchEnded = 126,

        /// Asks for a piece of a snapshot, to be taken away as a backup: of the state as it is now, or of the newest one that
        /// the node has on its disk.
        SaveSnapshot = 127,
        /// A piece of the snapshot that a SaveSnapshot has asked for.
        SnapshotPiece = 128,
        /// Asks where the time of writes went that this node has proposed.
        Trace = 129,
        /// Where their time went: what each batch has passed when, and who held it when.
        TraceReply = 130,

        /// Would you vote for me in the term after mine?
        PreVote = 201,
        /// The answer to a PreVote.
        PreVoteReply = 202,
        /// Vote for me in my term.
        Vote = 203,
        /// The answer to a Vote.
        VoteReply = 204,
        /// Entries of the leader's log, and how far it is committed.
        Append = 205,
        /// The sender's log equals the leader's up to here, durably.
        AppendAck = 206,
        /// The sender's log has something else before the entries of an Append.
        AppendReject = 207,
        /// The leader is alive.
        Heartbeat = 208,
        /// The answer to a Heartbeat.
        HeartbeatAck = 209,
        /// A follower asks how far it has to apply before it may serve reads.
        ReadIndex = 210,
        /// The answer to a ReadIndex.
        ReadIndexReply = 211,
        /// Campaign now: the leader hands its office over.
        TimeoutNow = 212,
        /// A piece of a snapshot.
        SnapshotChunk = 213,
        /// Where the next piece of a snapshot has to begin.
        SnapshotAck = 214,
        /// The snapshot cannot be taken.
        SnapshotReject = 215,
        /// This is my term, this is my boot; nothing else.
        Notice = 216,
        /// Where the clients of the sender reach it, and what its build understands.
        Introduce = 217,
        /// Digests of what the sender has applied, for the last ranges of entries.
        Digests = 218,

        /// What does your identity file say? Before there is a cluster.
        FormationAsk = 301,
        /// This is what my identity file says.
        FormationAnswer = 302,
        /// Hold these names: the lowest id has drawn them.
        FormationPrepare = 303,
    }
    families {
        "connection" = 1..=99,
        "client" = 101..=120,
        "watch" = 121..=126,
        "operator" = 127..=140,
        "peer" = 201..=299,
        "formation" = 301..=399,
    }
}

/// Who may send a message, on which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The dialing side, on the client port.
    ClientToServer,
    /// The accepting side, on the client port.
    ServerToClient,
    /// The dialing side, on the peer port.
    DialerToPeer,
    /// The accepting side, on the peer port.
    PeerToDialer,
    /// Either side, on the client port.
    ClientAndServer,
    /// Either side, on either port.
    Any,
}

impl Direction {
    /// As the table in the docs says it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ClientToServer => "client → server",
            Self::ServerToClient => "server → client",
            Self::DialerToPeer => "dialing peer → peer",
            Self::PeerToDialer => "peer → dialing peer",
            Self::ClientAndServer => "client ↔ server",
            Self::Any => "any",
        }
    }
}

/// One row of the message table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Who may send it.
    pub direction: Direction,
    /// The longest body in bytes, the limit of the connection notwithstanding.
    pub body_cap: u32,
    /// The protocol version that introduced it.
    pub since: u16,
    /// Whether a receiver that does not know it may skip it. Such a frame carries the flag
    /// [`Flag::MayIgnore`], since who does not know the type cannot look here, and never wants a reply, since who skips it
    /// gives none.
    pub may_skip: bool,
    /// Flags it carries in every frame.
    pub required: Flags,
    /// Flags it may carry besides.
    pub optional: Flags,
}

const KIB: u32 = 1024;

/// Cap of the messages of the handshake and the end. It is all the memory that somebody who has not said who they are
/// can claim, and it is frozen with the Hello, so it leaves room for the credentials of later builds: signed tokens and
/// tickets are up to some 12 KiB long.
pub const GREETING_CAP: u32 = 16 * KIB;

/// Longest name, build, address or explanation in any message: enough for a host name of 253 bytes, and less than a page
/// of a log.
pub const TEXT_CAP: u32 = 256;

/// Cap of a Ping: enough to measure how a round trip grows with the size of a value.
pub const PING_CAP: u32 = 64 * KIB;

/// Cap of a question without particulars: the outline of a body and room for extensions.
pub const QUESTION_CAP: u32 = KIB;

/// Cap of a Watch: two keys of the longest that the settings allow, 32 KiB each, and the outline of a body.
pub const WATCH_CAP: u32 = 68 * KIB;

/// Cap of a StatusReply: [`MEMBERS_MAX`] members with two addresses of [`TEXT_CAP`] bytes each are some 36 KiB; and as
/// much again, and more, for what later builds tell.
pub const STATUS_CAP: u32 = 128 * KIB;

/// Cap of a StatsReply: ten histograms of up to some 40 KiB.
pub const STATS_CAP: u32 = KIB * KIB;

/// Cap of a TraceReply: [`TRACES_MAX`] batches with [`MEMBERS_MAX`] acknowledgements of 16 bytes are some 160 KiB.
pub const TRACE_CAP: u32 = 256 * KIB;

/// Most batches in a TraceReply.
pub const TRACES_MAX: usize = 128;

/// Cap of an Examined: some forty figures and those of 64 peers are some 6 KiB, a few words as much; and room for those of
/// later builds.
pub const EXAMINED_CAP: u32 = 64 * KIB;

/// Cap of a SnapshotPiece: [`PIECE_BYTES`] of it, and the outline of a body.
pub const PIECE_CAP: u32 = 513 * KIB;

/// Most bytes of a snapshot in one piece: what a connection sends between two other messages, and all that is kept in memory
/// for a reader, however slow.
pub const PIECE_BYTES: usize = 512 * 1024;

/// Cap of a message of consensus that carries neither entries nor a snapshot: so short that it never delays a heartbeat.
pub const CONTROL_CAP: u32 = 4 * KIB;

/// Most members in one message: as many as a configuration of the cluster can hold. Without it, a message of empty
/// sections would take many times its own length.
pub const MEMBERS_MAX: usize = 64;

/// Most histograms of stages in a StatsReply: nine today, and room for those of later builds.
pub const STAGES_MAX: usize = 64;

/// Most digests in one message: it stays below [`CONTROL_CAP`].
pub const DIGESTS_MAX: usize = 64;

/// Most entries in an Append: a section each, and one for the terms. (A sender stops at bytes long before.)
pub const ENTRIES_MAX: usize = u16::MAX as usize - 1;

/// Most events in a WatchEvents: a section each. (A sender stops at bytes long before.)
pub const EVENTS_MAX: usize = 16_384;

/// Cap of a body of a type that this build does not know but may skip. A type may only be marked as
/// skippable with a cap up to this, so that an old build can skip whatever a new one sends.
pub const SKIPPABLE_CAP: u32 = 64 * KIB;

/// No body is longer than this: the default transaction of 4 MiB four times over, so that the replicated
/// limit can be raised without a new protocol version.
pub const BODY_CAP: u32 = 16 * KIB * KIB;

impl MessageType {
    /// The row of this type.
    #[must_use]
    pub const fn spec(self) -> Spec {
        use Direction::{Any, ClientAndServer, ClientToServer, DialerToPeer, PeerToDialer, ServerToClient};
        match self {
            Self::ClientHello => row(ClientToServer, GREETING_CAP, 1),
            Self::PeerHello => row(DialerToPeer, GREETING_CAP, 1),
            Self::ClientWelcome => row(ServerToClient, GREETING_CAP, 1),
            Self::PeerWelcome => row(PeerToDialer, GREETING_CAP, 1),
            Self::Goodbye => row(Any, GREETING_CAP, 1),
            Self::Ping => row(Any, PING_CAP, 1),
            Self::Pong => Spec { required: Flags::of(Flag::Reply), ..row(Any, PING_CAP, 1) },
            Self::Submit | Self::Read | Self::Query => row(ClientToServer, BODY_CAP, 1),
            Self::Submitted | Self::ReadDone | Self::QueryDone => reply(BODY_CAP),
            Self::Refused => {
                Spec { required: Flags::of(Flag::Reply).and(Flags::of(Flag::Error)), ..reply(GREETING_CAP) }
            }
            Self::Status
            | Self::Stats
            | Self::KeepSession
            | Self::KeepLease
            | Self::ChangeMembers
            | Self::SaveSnapshot
            | Self::Trace
            | Self::Examine => row(ClientToServer, QUESTION_CAP, 1),
            Self::SessionKept | Self::LeaseKept | Self::MembersChanged | Self::WatchStarted => {
                reply(QUESTION_CAP)
            }
            Self::Watch => row(ClientToServer, WATCH_CAP, 1),
            Self::WatchCancel => row(ClientToServer, QUESTION_CAP, 1),
            Self::WatchEvents => row(ServerToClient, BODY_CAP, 1),
            Self::WatchProgress => row(ClientAndServer, QUESTION_CAP, 1),
            Self::WatchEnded => row(ServerToClient, QUESTION_CAP, 1),
            Self::StatusReply => reply(STATUS_CAP),
            Self::StatsReply => reply(STATS_CAP),
            Self::Examined => reply(EXAMINED_CAP),
            Self::SnapshotPiece => reply(PIECE_CAP),
            Self::TraceReply => reply(TRACE_CAP),
            Self::Append | Self::SnapshotChunk => row(DialerToPeer, BODY_CAP, 1),
            Self::PreVote
            | Self::PreVoteReply
            | Self::Vote
            | Self::VoteReply
            | Self::AppendAck
            | Self::AppendReject
            | Self::Heartbeat
            | Self::HeartbeatAck
            | Self::ReadIndex
            | Self::ReadIndexReply
            | Self::TimeoutNow
            | Self::SnapshotAck
            | Self::SnapshotReject
            | Self::Notice
            | Self::Introduce
            | Self::Digests => row(DialerToPeer, CONTROL_CAP, 1),
            Self::FormationAsk | Self::FormationAnswer | Self::FormationPrepare => {
                row(DialerToPeer, GREETING_CAP, 1)
            }
        }
    }

    /// Hello or Welcome: said once, before anything else.
    pub(crate) const fn is_greeting(self) -> bool {
        matches!(self, Self::ClientHello | Self::PeerHello | Self::ClientWelcome | Self::PeerWelcome)
    }

    /// Said by the connection itself and about itself: greetings and Goodbye. They belong to no group and no call.
    pub(crate) const fn is_handshake(self) -> bool {
        self.is_greeting() || matches!(self, Self::Goodbye)
    }

    /// The highest live number, for messages to people.
    pub(crate) fn highest() -> u16 {
        Self::ALL.last().map_or(0, |last| last.number())
    }
}

impl Spec {
    /// The flags that every frame of this type carries, and those it may carry in all.
    pub(crate) fn legal_flags(self) -> (Flags, Flags) {
        let skip = if self.may_skip { Flags::of(Flag::MayIgnore) } else { Flags::NONE };
        let required = self.required.and(skip);
        (required, required.and(self.optional))
    }

    /// That the agreed protocol version has this message type.
    ///
    /// # Errors
    /// [`WireError::NotInVersion`] if a later version introduced it: the other side broke its word.
    pub(crate) fn in_version(self, message_type: MessageType, agreed: u16) -> Result<(), WireError> {
        if self.since > agreed {
            return Err(WireError::NotInVersion { message_type, since: self.since, agreed });
        }
        Ok(())
    }
}

/// A row of an answer to a client.
const fn reply(body_cap: u32) -> Spec {
    Spec { required: Flags::of(Flag::Reply), ..row(Direction::ServerToClient, body_cap, 1) }
}

/// A row of a type that every build knows and that carries no flags.
const fn row(direction: Direction, body_cap: u32, since: u16) -> Spec {
    Spec { direction, body_cap, since, may_skip: false, required: Flags::NONE, optional: Flags::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cap_is_within_the_cap_of_any_body_and_skippable_types_are_small() {
        for message_type in MessageType::ALL {
            let spec = message_type.spec();
            assert!(spec.body_cap <= BODY_CAP, "{message_type}");
            assert!(!spec.may_skip || spec.body_cap <= SKIPPABLE_CAP, "{message_type}");
            assert!(spec.since >= 1, "{message_type}");
        }
    }

    #[test]
    fn a_type_of_a_later_version_is_refused_before_that_version() {
        let (ping, later) = (MessageType::Ping, Spec { since: 3, ..MessageType::Ping.spec() });
        assert_eq!(later.in_version(ping, 3), Ok(()));
        let error = WireError::NotInVersion { message_type: ping, since: 3, agreed: 2 };
        assert_eq!(later.in_version(ping, 2), Err(error));
    }
}
