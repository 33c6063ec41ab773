//! The family of sessions: what makes a request that comes twice happen once.

use bytes::BufMut;

use crate::envelope::Actor;
use crate::layout::{DecodeError, Reader};
use crate::request::SessionId;

/// At most so many sessions are renewed by one entry.
pub const KEPT_MAX: usize = 16_384;

/// Registers a session.
///
/// Bytes: u64 time to live in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// How long the session lives after the last request or renewal, in milliseconds of the cluster clock. Has to lie
    /// within the settings.
    pub ttl_ms: u64,
}

/// One session to be renewed, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub session: SessionId,
    /// In whose name it is renewed, which has to be the name it was opened in.
    pub actor: Actor,
}

/// Renews sessions: all that asked for it in one turn of the leader.
///
/// Bytes: u32 count; for each a u64 session, a u8 kind of actor, a u8 length and the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepSessions {
    /// Which, up to [`KEPT_MAX`].
    pub kept: Vec<Kept>,
}

/// Ends a session. What it answered is forgotten, and none of its requests is executed any more.
///
/// Bytes: u64 session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseSession {
    /// Which.
    pub session: SessionId,
}

impl OpenSession {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_u64_le(self.ttl_ms);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { ttl_ms: reader.u64()? })
    }
}

impl KeepSessions {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32_le(crate::layout::length(self.kept.len()));
        for kept in &self.kept {
            out.put_u64_le(kept.session.0);
            kept.actor.write(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.count("sessions", 10, KEPT_MAX as u64)?;
        let one = |reader: &mut Reader| {
            Ok(Kept { session: SessionId(reader.u64()?), actor: Actor::read_from(reader)? })
        };
        Ok(Self { kept: reader.items(count, one)? })
    }
}

impl CloseSession {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_u64_le(self.session.0);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { session: SessionId(reader.u64()?) })
    }
}
