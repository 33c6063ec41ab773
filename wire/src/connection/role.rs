//! The four roles a side can have, and who may say what.

use crate::message::{ClientHello, ClientWelcome, PeerHello, PeerWelcome};
use crate::message_type::{BODY_CAP, GREETING_CAP};
use crate::{Direction, Message, MessageType};

/// Which side of which port this is, and what it says of itself.
#[derive(Clone, Debug)]
pub enum Role {
    /// Dials the client port.
    Client(ClientHello),
    /// Accepts on the client port. `version` is filled in when it is known.
    Server(ClientWelcome),
    /// Dials the peer port.
    DialingPeer(PeerHello),
    /// Accepts on the peer port. `version` is filled in when it is known.
    AcceptingPeer(PeerWelcome),
}

impl Role {
    /// Whether this is the side that connects.
    pub(super) fn dials(&self) -> bool {
        match self {
            Self::Client(_) | Self::DialingPeer(_) => true,
            Self::Server(_) | Self::AcceptingPeer(_) => false,
        }
    }

    /// What this side says of itself.
    pub(super) fn greeting(&self) -> Message {
        match self {
            Self::Client(hello) => hello.clone().into(),
            Self::DialingPeer(hello) => hello.clone().into(),
            Self::Server(welcome) => welcome.clone().into(),
            Self::AcceptingPeer(welcome) => welcome.clone().into(),
        }
    }

    /// The message types this side sends on this port, and those it is sent.
    fn directions(&self) -> (Direction, Direction) {
        use Direction::{ClientToServer, DialerToPeer, PeerToDialer, ServerToClient};
        match self {
            Self::Client(_) => (ClientToServer, ServerToClient),
            Self::Server(_) => (ServerToClient, ClientToServer),
            Self::DialingPeer(_) => (DialerToPeer, PeerToDialer),
            Self::AcceptingPeer(_) => (PeerToDialer, DialerToPeer),
        }
    }

    pub(super) fn may_say(&self, message_type: MessageType) -> bool {
        self.is_of_both(message_type) || message_type.spec().direction == self.directions().0
    }

    pub(super) fn may_hear(&self, message_type: MessageType) -> bool {
        self.is_of_both(message_type) || message_type.spec().direction == self.directions().1
    }

    /// Whether either side of this port may say it.
    fn is_of_both(&self, message_type: MessageType) -> bool {
        match message_type.spec().direction {
            Direction::Any => true,
            Direction::ClientAndServer => matches!(self, Self::Client(_) | Self::Server(_)),
            Direction::ClientToServer
            | Direction::ServerToClient
            | Direction::DialerToPeer
            | Direction::PeerToDialer => false,
        }
    }

    /// The longest body either side sends, as the accepting side's Welcome says it.
    pub(super) fn frame_limit(&self, greeting: &Message) -> u32 {
        let limit = match (self, greeting) {
            (Self::Server(ours), _) => ours.limits.frame_bytes,
            (Self::AcceptingPeer(ours), _) => ours.frame_bytes,
            (Self::Client(_) | Self::DialingPeer(_), Message::ClientWelcome(theirs)) => {
                theirs.limits.frame_bytes
            }
            (Self::Client(_) | Self::DialingPeer(_), Message::PeerWelcome(theirs)) => theirs.frame_bytes,
            (Self::Client(_) | Self::DialingPeer(_), _) => BODY_CAP,
        };
        // A Goodbye must always fit, whatever the other side calls its limit.
        limit.max(GREETING_CAP)
    }
}
