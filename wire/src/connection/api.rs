//! What a connection gives to its owner.

use holdfast_machine::Numbered;

use super::{Edge, State};
use crate::message::Goodbye;
use crate::{Header, Message, MessageType, WireError};

/// What a connection hands to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The other side was accepted; this is its Hello or its Welcome. Comes exactly once, before all else.
    Accepted(Message),
    /// A message of a later subsystem. Greetings and Pings are answered by the connection and not shown; a Pong is
    /// shown, because its owner may measure the round trip.
    Message(Header, Message),
    /// The other side opens no more calls, and why. Everything it asked before this has been shown.
    Goodbye(Goodbye),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The edge that closed it.
    pub edge: Edge,
    /// What was said, or would have been, by the side in [`by_other_side`](Self::by_other_side).
    pub goodbye: Goodbye,
    /// Whether the other side gave the reason.
    pub by_other_side: bool,
}

/// Why a message was not queued. It was not sent, now or later, and can be sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is not open, or is draining and this is not a reply.
    #[error("the connection is {}", state.name())]
    NotOpen {
        /// What it is instead.
        state: State,
    },
    /// The owner of this side does not send that message: it goes the other way, or the connection sends it itself.
    #[error("{message_type} is not for the owner of this side to send")]
    NotOurs {
        /// The message.
        message_type: MessageType,
    },
    /// The other side does not read what it is sent.
    #[error("{waiting} bytes wait to be written; no more is taken above {limit}")]
    Full {
        /// Bytes waiting.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// The message cannot be made into a frame, or the agreed version does not have it.
    #[error(transparent)]
    Unencodable(#[from] WireError),
}
