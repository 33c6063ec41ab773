//! Where frames are written to, and the pieces they are written in.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::WireError;
use crate::message_type::BODY_CAP;

/// Where frames are written to: a plain buffer, or an [`Outbox`](crate::Outbox) that shares large sections
/// instead of copying them.
pub trait Sink {
    /// Bytes that were written and may still be changed: at least all since the last
    /// [`put`](Self::put), and the frame under construction.
    fn scratch(&mut self) -> &mut BytesMut;

    /// The longest body taken here, if that is less than the cap of its type.
    fn limit(&self) -> u32 {
        BODY_CAP
    }

    /// Appends a piece that is never changed again.
    fn put(&mut self, piece: Section<'_>);
}

impl Sink for BytesMut {
    fn scratch(&mut self) -> &mut BytesMut {
        self
    }

    fn put(&mut self, piece: Section<'_>) {
        self.extend_from_slice(piece.bytes());
    }
}

/// A piece of a body on its way out.
#[derive(Clone, Copy, Debug)]
pub enum Section<'a> {
    /// Bytes that are copied.
    Copy(&'a [u8]),
    /// Bytes that may be shared instead, if they are long enough to be worth it.
    Share(&'a Bytes),
}

impl<'a> Section<'a> {
    /// Text of at most `limit` bytes, which may be shared.
    ///
    /// # Errors
    /// [`WireError::Unencodable`] if it is longer.
    pub fn text(text: &'a ByteString, limit: u32) -> Result<Self, WireError> {
        match text.len() {
            count if count > limit as usize => Err(WireError::Unencodable {
                what: "bytes of text",
                count: count as u64,
                limit: limit.into(),
            }),
            _ => Ok(Self::Share(text.as_bytes())),
        }
    }

    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::Share(bytes) => bytes,
        }
    }
}
