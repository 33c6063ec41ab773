//! Why a connection ends, said by the side that ends it.

use bytestring::ByteString;
use holdfast_machine::{Numbered, numbered};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::body::{self, Parts};
use crate::message_type::GREETING_CAP;
use crate::sink::{Section, Sink};
use crate::{Header, WireError};

numbered! {
    /// Why a connection ends. Shown to people, counted in metrics, and what a dialer decides by whether to
    /// try again, elsewhere or not at all.
    pub enum CloseReason: u16, "C" {
        /// The sender is stopping in good order; calls in flight are answered first. Try another node.
        Shutdown = 1,
        /// The connection is no longer needed.
        Done = 2,
        /// No whole greeting within the handshake deadline.
        HandshakeTimeout = 3,
        /// Nothing was heard within the idle deadline.
        Silence = 4,
        /// Calls in flight were not answered within the drain deadline.
        DrainTimeout = 5,
        /// What came is not the protocol, or not in this place.
        Violation = 6,
        /// No protocol version is in both ranges. Upgrade the older side.
        NoCommonVersion = 7,
        /// A client called the peer port, or a peer the client port.
        WrongPort = 8,
        /// Credentials came, and this build cannot check any.
        CredentialsUnsupported = 9,
        /// The two sides belong to different clusters.
        WrongCluster = 10,
        /// Same cluster, other epoch: one side was restored or recovered and the other missed it.
        WrongEpoch = 11,
        /// The caller meant another node: an address leads somewhere else than it should.
        WrongNode = 12,
        /// A node reached itself: its own address is in its list of peers under another id.
        OwnReflection = 13,
        /// Two nodes with different data directories claim the same node id.
        DuplicateNode = 14,
        /// The transport ended without a Goodbye. Never sent; it is what the side left behind notes.
        Lost = 15,
        /// What was sent stayed unread until nothing more was read from this side either.
        Unread = 16,
        /// A peer opened a lane that this build does not know. Upgrade the older side.
        UnknownLane = 17,
        /// The cluster has removed the node that calls. Its number is never used again, and it has nothing to do here.
        Removed = 18,
    }
}

/// The sender opens no more calls: the end of a connection begins, or has come.
///
/// Read by builds of any age, so the reason stays a number here: an unknown one is shown, not refused.
///
/// Sections: detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Number of a [`CloseReason`], or of one that a later build added.
    pub reason: u16,
    /// For people: what was found, what was expected, what to do.
    pub detail: ByteString,
}

impl Goodbye {
    /// A Goodbye for this reason.
    #[must_use]
    pub fn new(reason: CloseReason, detail: impl Into<ByteString>) -> Self {
        Self { reason: reason.number(), detail: detail.into() }
    }

    /// The same with a detail of at most `limit` bytes, cut between characters.
    #[must_use]
    pub(crate) fn cut(mut self, limit: usize) -> Self {
        if self.detail.len() > limit {
            let (kept, _) = self.detail.split_at(self.detail.floor_char_boundary(limit));
            self.detail = kept;
        }
        self
    }

    /// The reason, if this build knows it.
    #[must_use]
    pub fn known_reason(&self) -> Option<CloseReason> {
        CloseReason::from_number(self.reason)
    }
}

#[derive(Serialize, Deserialize)]
struct GoodbyeMeta {
    reason: u16,
}

impl Body for Goodbye {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let metadata = GoodbyeMeta { reason: self.reason };
        body::write(sink, header, &metadata, &[Section::text(&self.detail, GREETING_CAP)?], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let GoodbyeMeta { reason } = parts.metadata()?;
        Ok(Self { reason, detail: sections.text(GREETING_CAP)? })
    }
}
