//! What a node is told, in short: as much of an input as is judged after the step that takes it.

use holdfast_raft::{Boot, EntryId, Envelope, Index, Message, NodeId, Round, Term};

use super::network::Packet;
use super::queue::Micros;

/// What a message says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A pre-vote.
    PreVote,
    /// A request for a vote.
    Vote {
        /// The candidate's log.
        last: EntryId,
        /// The leader hands over.
        transfer: bool,
    },
    /// An append, heartbeat or chunk: only leaders say these.
    FromLeader,
    /// An acknowledgement of entries.
    AppendAck,
    /// An answer to a heartbeat.
    HeartbeatAck {
        /// Which round.
        round: Round,
        /// Whether it counts.
        counting: bool,
    },
    /// A follower asks for a read index.
    ReadIndex {
        /// Which batch.
        batch: u64,
    },
    /// A read index.
    ReadIndexReply {
        /// Which.
        index: Option<Index>,
    },
    /// Campaign now.
    TimeoutNow,
    /// Another answer.
    Answer,
    /// A notice.
    Notice,
}

/// A message, in short.
#[derive(Clone, Copy, Debug)]
pub struct Letter {
    /// Who said it.
    pub from: NodeId,
    /// In which boot.
    pub from_boot: Boot,
    /// To which boot.
    pub to_boot: Option<Boot>,
    /// In which term.
    pub term: Term,
    /// When its sender made it.
    pub made: Micros,
    /// It was recorded, and came again.
    pub replayed: bool,
    /// What it says.
    pub what: What,
}

/// An input, in short.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    /// A tick of the node's clock.
    Tick,
    /// A message.
    Letter(Letter),
    /// A peer's machine answers and its process does not.
    Refused(NodeId),
    /// Anything else.
    Other,
}

impl Letter {
    /// The short form of a message.
    #[must_use]
    pub fn of(packet: &Packet) -> Self {
        let Packet { made, replayed, envelope } = packet;
        let Envelope { from, from_boot, to_boot, term, message, .. } = envelope;
        let what = match message {
            Message::PreVote { .. } => What::PreVote,
            Message::Vote { last, transfer } => What::Vote { last: *last, transfer: *transfer },
            Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. } => {
                What::FromLeader
            }
            Message::AppendAck { .. } => What::AppendAck,
            Message::HeartbeatAck { round, counting } => {
                What::HeartbeatAck { round: *round, counting: *counting }
            }
            Message::ReadIndex { batch } => What::ReadIndex { batch: *batch },
            Message::ReadIndexReply { index, .. } => What::ReadIndexReply { index: *index },
            Message::TimeoutNow { .. } => What::TimeoutNow,
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendReject { .. }
            | Message::SnapshotAck { .. }
            | Message::SnapshotReject { .. } => What::Answer,
            Message::Notice => What::Notice,
        };
        Self {
            from: *from,
            from_boot: *from_boot,
            to_boot: *to_boot,
            term: *term,
            made: *made,
            replayed: *replayed,
            what,
        }
    }

    /// Whether it may come from somebody who hears this leader.
    #[must_use]
    pub fn answers(&self) -> bool {
        match self.what {
            What::AppendAck | What::HeartbeatAck { .. } | What::ReadIndex { .. } | What::Answer => true,
            What::PreVote
            | What::Vote { .. }
            | What::FromLeader
            | What::ReadIndexReply { .. }
            | What::TimeoutNow
            | What::Notice => false,
        }
    }

    /// Whether it asks for something, so that even a lower term is answered.
    #[must_use]
    pub fn asks(&self) -> bool {
        match self.what {
            What::PreVote
            | What::Vote { .. }
            | What::FromLeader
            | What::ReadIndex { .. }
            | What::TimeoutNow => true,
            What::AppendAck
            | What::HeartbeatAck { .. }
            | What::ReadIndexReply { .. }
            | What::Answer
            | What::Notice => false,
        }
    }
}
