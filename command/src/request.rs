//! What a client asks for, as the bytes that stay in the log.
//!
//! ```text
//!   0  u16  command number
//!   2  u8   kind of request key: 0 none, 1 session, 2 idempotency key
//!   3  u8   0
//!   4  u32  length of the body
//!   8  u16  length of the reason
//!  10       request key: nothing
//!                    or: u64 session, u64 sequence, u64 low
//!                    or: 32 bytes hash of (actor, key), 32 bytes hash of the request
//!   …       reason (UTF-8), body, then extensions to the end: u16 tag, u32 length, value
//! ```

use std::fmt;

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use holdfast_machine::Numbered;

use crate::elections::{Campaign, Proclaim, Resign};
use crate::extension::Extensions;
use crate::keys::{Compact, Delete, Put, Restore, Transaction};
use crate::layout::{DecodeError, Fault, Reader, length};
use crate::leases::{ExpireLease, GrantLease, RenewLeases, RevokeLease};
use crate::locks::{Acquire, Release};
use crate::namespaces::{DeleteNamespace, SetNamespace};
use crate::number::CommandNumber;
use crate::sessions::{CloseSession, KeepSessions, OpenSession};
use crate::settings::{ChangeSettings, RaiseFeatureLevel};

/// The longest reason, in bytes of UTF-8. It is kept with every version that the request writes.
pub const REASON_BYTES_MAX: usize = 1024;

/// The number that a session was given when it was opened. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How a request that comes a second time is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestKey {
    /// Not at all: executed as often as it comes.
    #[default]
    None,
    /// By its number within a session.
    Session {
        /// Which session.
        session: SessionId,
        /// Which request of it, from 1; the client gives each request another.
        sequence: u64,
        /// The lowest sequence that the client still waits for. Answers to lower ones are forgotten; 1 to `sequence`.
        low: u64,
    },
    /// By a key that the caller made up (HTTP's `Idempotency-Key`). Both hashes are made by the node that admits it;
    /// the store compares them and nothing else.
    Idempotency {
        /// Hash of the actor and the key.
        key: [u8; 32],
        /// Hash of what is asked for, so that the same key cannot mean two things.
        request: [u8; 32],
    },
}

/// A command of any family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// See [`CommandNumber::Put`].
    Put(Put),
    /// See [`CommandNumber::Delete`].
    Delete(Delete),
    /// See [`CommandNumber::Transact`].
    Transact(Transaction),
    /// See [`CommandNumber::Restore`].
    Restore(Restore),
    /// See [`CommandNumber::Compact`].
    Compact(Compact),
    /// See [`CommandNumber::SetNamespace`].
    SetNamespace(SetNamespace),
    /// See [`CommandNumber::DeleteNamespace`].
    DeleteNamespace(DeleteNamespace),
    /// See [`CommandNumber::ChangeSettings`].
    ChangeSettings(ChangeSettings),
    /// See [`CommandNumber::RaiseFeatureLevel`].
    RaiseFeatureLevel(RaiseFeatureLevel),
    /// See [`CommandNumber::OpenSession`].
    OpenSession(OpenSession),
    /// See [`CommandNumber::KeepSessions`].
    KeepSessions(KeepSessions),
    /// See [`CommandNumber::CloseSession`].
    CloseSession(CloseSession),
    /// See [`CommandNumber::Tick`].
    Tick,
    /// See [`CommandNumber::GrantLease`].
    GrantLease(GrantLease),
    /// See [`CommandNumber::RenewLeases`].
    RenewLeases(RenewLeases),
    /// See [`CommandNumber::RevokeLease`].
    RevokeLease(RevokeLease),
    /// See [`CommandNumber::ExpireLease`].
    ExpireLease(ExpireLease),
    /// See [`CommandNumber::Acquire`].
    Acquire(Acquire),
    /// See [`CommandNumber::Release`].
    Release(Release),
    /// See [`CommandNumber::Campaign`].
    Campaign(Campaign),
    /// See [`CommandNumber::Proclaim`].
    Proclaim(Proclaim),
    /// See [`CommandNumber::Resign`].
    Resign(Resign),
}

impl Command {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> CommandNumber {
        match self {
            Self::Put(_) => CommandNumber::Put,
            Self::Delete(_) => CommandNumber::Delete,
            Self::Transact(_) => CommandNumber::Transact,
            Self::Restore(_) => CommandNumber::Restore,
            Self::Compact(_) => CommandNumber::Compact,
            Self::SetNamespace(_) => CommandNumber::SetNamespace,
            Self::DeleteNamespace(_) => CommandNumber::DeleteNamespace,
            Self::ChangeSettings(_) => CommandNumber::ChangeSettings,
            Self::RaiseFeatureLevel(_) => CommandNumber::RaiseFeatureLevel,
            Self::OpenSession(_) => CommandNumber::OpenSession,
            Self::KeepSessions(_) => CommandNumber::KeepSessions,
            Self::CloseSession(_) => CommandNumber::CloseSession,
            Self::Tick => CommandNumber::Tick,
            Self::GrantLease(_) => CommandNumber::GrantLease,
            Self::RenewLeases(_) => CommandNumber::RenewLeases,
            Self::RevokeLease(_) => CommandNumber::RevokeLease,
            Self::ExpireLease(_) => CommandNumber::ExpireLease,
            Self::Acquire(_) => CommandNumber::Acquire,
            Self::Release(_) => CommandNumber::Release,
            Self::Campaign(_) => CommandNumber::Campaign,
            Self::Proclaim(_) => CommandNumber::Proclaim,
            Self::Resign(_) => CommandNumber::Resign,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put(put) => put.write(out),
            Self::Delete(delete) => delete.write(out),
            Self::Transact(transaction) => transaction.write(out),
            Self::Restore(restore) => restore.write(out),
            Self::Compact(compact) => compact.write(out),
            Self::SetNamespace(set) => set.write(out),
            Self::DeleteNamespace(delete) => delete.write(out),
            Self::ChangeSettings(change) => change.write(out),
            Self::RaiseFeatureLevel(raise) => raise.write(out),
            Self::OpenSession(open) => open.write(out),
            Self::KeepSessions(keep) => keep.write(out),
            Self::CloseSession(close) => close.write(out),
            Self::Tick => {}
            Self::GrantLease(grant) => grant.write(out),
            Self::RenewLeases(renew) => renew.write(out),
            Self::RevokeLease(revoke) => revoke.write(out),
            Self::ExpireLease(expire) => expire.write(out),
            Self::Acquire(acquire) => acquire.write(out),
            Self::Release(release) => release.write(out),
            Self::Campaign(campaign) => campaign.write(out),
            Self::Proclaim(proclaim) => proclaim.write(out),
            Self::Resign(resign) => resign.write(out),
        }
    }

    fn read(number: CommandNumber, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match number {
            CommandNumber::Put => Self::Put(Put::read(reader)?),
            CommandNumber::Delete => Self::Delete(Delete::read(reader)?),
            CommandNumber::Transact => Self::Transact(Transaction::read_outermost(reader)?),
            CommandNumber::Restore => Self::Restore(Restore::read(reader)?),
            CommandNumber::Compact => Self::Compact(Compact::read(reader)?),
            CommandNumber::SetNamespace => Self::SetNamespace(SetNamespace::read(reader)?),
            CommandNumber::DeleteNamespace => Self::DeleteNamespace(DeleteNamespace::read(reader)?),
            CommandNumber::ChangeSettings => Self::ChangeSettings(ChangeSettings::read(reader)?),
            CommandNumber::RaiseFeatureLevel => Self::RaiseFeatureLevel(RaiseFeatureLevel::read(reader)?),
            CommandNumber::OpenSession => Self::OpenSession(OpenSession::read(reader)?),
            CommandNumber::KeepSessions => Self::KeepSessions(KeepSessions::read(reader)?),
            CommandNumber::CloseSession => Self::CloseSession(CloseSession::read(reader)?),
            CommandNumber::Tick => Self::Tick,
            CommandNumber::GrantLease => Self::GrantLease(GrantLease::read(reader)?),
            CommandNumber::RenewLeases => Self::RenewLeases(RenewLeases::read(reader)?),
            CommandNumber::RevokeLease => Self::RevokeLease(RevokeLease::read(reader)?),
            CommandNumber::ExpireLease => Self::ExpireLease(ExpireLease::read(reader)?),
            CommandNumber::Acquire => Self::Acquire(Acquire::read(reader)?),
            CommandNumber::Release => Self::Release(Release::read(reader)?),
            CommandNumber::Campaign => Self::Campaign(Campaign::read(reader)?),
            CommandNumber::Proclaim => Self::Proclaim(Proclaim::read(reader)?),
            CommandNumber::Resign => Self::Resign(Resign::read(reader)?),
        })
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How it is recognised when it comes again.
    pub key: RequestKey,
    /// Why, in the caller's words, up to [`REASON_BYTES_MAX`]; empty for none. It is kept with what is written.
    pub reason: ByteString,
    /// What.
    pub command: Command,
    /// What later versions added.
    pub extensions: Extensions,
}

impl From<Command> for Request {
    /// Without request key, reason or extensions.
    fn from(command: Command) -> Self {
        Self { key: RequestKey::None, reason: ByteString::new(), command, extensions: Extensions::default() }
    }
}

impl Request {
    /// The number in front of an encoded request, known or not; `None` if there are no two bytes.
    #[must_use]
    pub fn number(bytes: &[u8]) -> Option<u16> {
        bytes.first_chunk().copied().map(u16::from_le_bytes)
    }

    /// Appends the request.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // More than there is room for is refused by whoever looks at the limits; it must not become part of the body.
        let reason = self.reason.floor_char_boundary(u16::MAX.into());
        let reason = self.reason.as_bytes().get(..reason).unwrap_or_default();
        out.put_u16_le(self.command.number().number());
        out.put_u8(match self.key {
            RequestKey::None => 0,
            RequestKey::Session { .. } => 1,
            RequestKey::Idempotency { .. } => 2,
        });
        out.put_u8(0);
        out.put_u32_le(0);
        out.put_u16_le(reason.len() as u16);
        match &self.key {
            RequestKey::None => {}
            RequestKey::Session { session, sequence, low } => {
                out.put_u64_le(session.0);
                out.put_u64_le(*sequence);
                out.put_u64_le(*low);
            }
            RequestKey::Idempotency { key, request } => {
                out.put_slice(key);
                out.put_slice(request);
            }
        }
        out.put_slice(reason);
        let body = out.len();
        self.command.write(out);
        let count = length(out.len() - body).to_le_bytes();
        if let Some(field) = out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&count);
        }
        self.extensions.write(out);
    }

    /// The bytes of the request.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }

    /// The request of these bytes, all of them. Keys and values share them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u16()?;
        let number = reader.known(CommandNumber::from_number(number), "command", number.into(), 2)?;
        let (kind, zero) = (reader.u8()?, reader.u8()?);
        reader.known((zero == 0).then_some(()), "reserved field", zero.into(), 1)?;
        let (body, reason) = (reader.u32()?, reader.u16()?);
        let key = match kind {
            0 => RequestKey::None,
            1 => RequestKey::Session {
                session: SessionId(reader.u64()?),
                sequence: reader.u64()?,
                low: reader.u64()?,
            },
            2 => RequestKey::Idempotency { key: reader.array()?, request: reader.array()? },
            _ => {
                return reader
                    .fault_at(2, Fault::Unknown { what: "kind of request key", number: kind.into() });
            }
        };
        let reason = reader.take(reason.into())?;
        let reason = reader.as_text(reason)?;
        let mut inner = reader.part(body as usize)?;
        let command = Command::read(number, &mut inner)?;
        inner.finish()?;
        let extensions = Extensions::read(&mut reader)?;
        Ok(Self { key, reason, command, extensions })
    }
}
