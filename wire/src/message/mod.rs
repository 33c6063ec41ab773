//! The typed bodies: one struct per message type, joined by [`Message`].
//!
//! Each struct says in one `write` and one `read` which fields are metadata, which are sections and which are
//! extensions; [`crate::body`] does the rest. `docs/wire-format.md` shows every one of them laid out, drawn
//! from these structs.

mod goodbye;
mod greeting;

use bytes::Bytes;
pub use goodbye::{CloseReason, Goodbye};
pub use greeting::{
    ClientHello, ClientWelcome, Credentials, Features, Lane, LeaderHint, Limits, PeerHello, PeerWelcome,
};

use crate::body::{self, Parts};
use crate::sink::{Section, Sink};
use crate::{Frame, Header, MessageType, WireError};

/// One message of any type that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`MessageType::ClientHello`].
    ClientHello(ClientHello),
    /// See [`MessageType::PeerHello`].
    PeerHello(PeerHello),
    /// See [`MessageType::ClientWelcome`].
    ClientWelcome(ClientWelcome),
    /// See [`MessageType::PeerWelcome`].
    PeerWelcome(PeerWelcome),
    /// See [`MessageType::Goodbye`].
    Goodbye(Goodbye),
    /// See [`MessageType::Ping`].
    Ping(Echo),
    /// See [`MessageType::Pong`].
    Pong(Echo),
}

/// The body of a Ping and of its Pong, which gives back what came.
///
/// Sections: payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// Up to [`PING_CAP`](crate::message_type::PING_CAP) bytes, less what the layout needs.
    pub payload: Bytes,
}

/// What every body can do. Private: messages are encoded and decoded through [`Message`].
trait Body: Sized {
    /// Appends the frame.
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError>;

    /// Reads metadata and sections; the caller checks that no section is left over and walks the extensions.
    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError>;
}

impl Message {
    /// Which row of the message table this is.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::ClientHello(_) => MessageType::ClientHello,
            Self::PeerHello(_) => MessageType::PeerHello,
            Self::ClientWelcome(_) => MessageType::ClientWelcome,
            Self::PeerWelcome(_) => MessageType::PeerWelcome,
            Self::Goodbye(_) => MessageType::Goodbye,
            Self::Ping(_) => MessageType::Ping,
            Self::Pong(_) => MessageType::Pong,
        }
    }

    /// A header for this message: its type, the flags of that type, group 0, no call.
    #[must_use]
    pub fn header(&self) -> Header {
        Header::of(self.message_type())
    }

    /// Appends this message as a frame to a buffer or an [`Outbox`](crate::Outbox). The type in `header` is
    /// replaced by that of the message.
    ///
    /// # Errors
    /// [`WireError::OverCap`], [`WireError::Unencodable`], [`WireError::BadFlags`], [`WireError::Addressed`]; nothing has
    /// then been written.
    pub fn encode<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let header = Header { message_type: self.message_type(), ..header };
        match self {
            Self::ClientHello(body) => body.write(header, sink),
            Self::PeerHello(body) => body.write(header, sink),
            Self::ClientWelcome(body) => body.write(header, sink),
            Self::PeerWelcome(body) => body.write(header, sink),
            Self::Goodbye(body) => body.write(header, sink),
            Self::Ping(body) | Self::Pong(body) => body.write(header, sink),
        }
    }

    /// The message in a frame. Adds to `skipped` the extensions that this build did not know and skipped.
    ///
    /// # Errors
    /// Whatever is wrong with the body, with an offset that counts from the start of the frame.
    pub fn decode(frame: &Frame, skipped: &mut u64) -> Result<Self, WireError> {
        let body = frame.body.clone();
        Ok(match frame.header.message_type {
            MessageType::ClientHello => Self::ClientHello(read(body, skipped)?),
            MessageType::PeerHello => Self::PeerHello(read(body, skipped)?),
            MessageType::ClientWelcome => Self::ClientWelcome(read(body, skipped)?),
            MessageType::PeerWelcome => Self::PeerWelcome(read(body, skipped)?),
            MessageType::Goodbye => Self::Goodbye(read(body, skipped)?),
            MessageType::Ping => Self::Ping(read(body, skipped)?),
            MessageType::Pong => Self::Pong(read(body, skipped)?),
        })
    }
}

/// Reads a whole body: outline, metadata, sections, and that nothing else is there but extensions, none of
/// which is known to any message so far.
fn read<B: Body>(body: Bytes, skipped: &mut u64) -> Result<B, WireError> {
    let parts = Parts::parse(body)?;
    let mut sections = parts.sections();
    let value = B::read(&parts, &mut sections)?;
    *skipped += sections.finish(|_, _| Ok(false))?;
    Ok(value)
}

impl Body for Echo {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        body::write(sink, header, &(), &[Section::Share(&self.payload)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let () = parts.metadata()?;
        Ok(Self { payload: sections.bytes()? })
    }
}

macro_rules! from_body {
    ($( $variant:ident ),+) => { $(
        impl From<$variant> for Message {
            fn from(body: $variant) -> Self {
                Self::$variant(body)
            }
        }
    )+ };
}

from_body!(ClientHello, PeerHello, ClientWelcome, PeerWelcome, Goodbye);
