//! What an applied command leaves behind for those who ask later who did what.
//!
//! A record is made by applying a command that changed something, from the entry and the state alone, so it is the same
//! on every node, and its bytes are part of the digest. What was refused, repeated or changed nothing leaves none; nor do
//! ticks and renewals.
//!
//! ```text
//!    0  u8   layout, 1
//!    1  u8   kind of actor: 0 anonymous, 1 named, 2 the cluster itself
//!    2  u8   kind of client address: 0 none, 4, 6
//!    3  u8   kind of request key: 0 none, 1 session, 2 idempotency key
//!    4  u8   length of the actor's name
//!    5  u8   0
//!    6  u16  port of the client
//!    8  u64  index of the entry, u64 term
//!   24  u64  stamp, u64 cluster clock of the state
//!   40  u64  revision behind it
//!   48  u16  command number, u16 reply number
//!   52  u16  length of the reason, u16 how many touched things are listed
//!   56  u64  how many there are
//!   64       address (0, 4 or 16 bytes), name, request key (0, 24 or 64 bytes), reason, then for each that is listed:
//!            u8 kind, u8 1 if it is gone, u16 length of its name, u64 before, name
//! ```
//! An audit id is (epoch, group, index, sub-order): epoch and group are said by whoever keeps the records, and as long as
//! an entry leaves one record the sub-order is 0.

use std::net::IpAddr;

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use holdfast_machine::{Numbered, numbered};

use crate::envelope::{Actor, Envelope};
use crate::layout::{DecodeError, Fault, Reader};
use crate::number::CommandNumber;
use crate::outcome::ReplyNumber;
use crate::request::{RequestKey, SessionId};

/// A record lists at most so many of the things that were touched, the first ones, and counts the rest: a deletion of a
/// million keys must not leave a record of their size. The history of the store knows all of them.
pub const LISTED_MAX: u16 = 64;

const LAYOUT: u8 = 1;

/// Bytes of a record before its address.
const FIXED_BYTES: usize = 64;

numbered! {
    /// What kind of thing was touched.
    pub enum TouchedKind: u8, "D" {
        /// A key. Before: its mod revision, 0 if it was not there.
        Key = 1,
        /// A namespace, by name. Before: 0.
        Namespace = 2,
        /// A setting; its name is its number. Before: its value.
        Setting = 3,
        /// The feature level. Before: its value.
        Level = 4,
        /// A session; its name is its number. Before: 0.
        Session = 5,
        /// A lease; its name is its number. Before: 0.
        Lease = 6,
        /// The queue of a lock. Before: the token under which it was held, 0 if it was not.
        Lock = 7,
        /// The queue of an election. Before: the same.
        Election = 8,
        /// History. Before: the oldest revision.
        History = 9,
    }
}

/// Something that a command touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of what kind.
    pub kind: TouchedKind,
    /// Its name: a key, a name, or a number as eight bytes, little-endian.
    pub name: Bytes,
    /// What it was before; see the kind.
    pub before: u64,
    /// It is no longer there; of a queue, a place in it is not.
    pub gone: bool,
}

/// What an applied command touched, being collected.
#[derive(Clone, Debug, Default)]
pub struct Touches {
    bytes: Vec<u8>,
    listed: u16,
    all: u64,
}

impl Touches {
    /// Notes one more.
    pub fn note(&mut self, kind: TouchedKind, name: &[u8], before: u64, gone: bool) {
        self.all += 1;
        if self.listed == LISTED_MAX {
            return;
        }
        self.listed += 1;
        // Names are keys, to 32 KiB, or shorter.
        let name = name.get(..name.len().min(u16::MAX.into())).unwrap_or_default();
        self.bytes.put_u8(kind.number());
        self.bytes.put_u8(gone.into());
        self.bytes.put_u16_le(name.len() as u16);
        self.bytes.put_u64_le(before);
        self.bytes.put_slice(name);
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// Forgets all of them, and keeps the room for the next.
    pub fn clear(&mut self) {
        (self.listed, self.all) = (0, 0);
        self.bytes.clear();
    }
}

/// The part of a record that is known without execution.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The highest stamp up to the entry.
    pub stamp: u64,
    /// The cluster clock of the state, in milliseconds.
    pub clock: u64,
    /// The revision behind it.
    pub revision: u64,
    /// Who, and from where.
    pub envelope: &'a Envelope,
    /// How a repetition is recognised.
    pub key: &'a RequestKey,
    /// Why.
    pub reason: &'a str,
    /// What was asked for.
    pub command: CommandNumber,
    /// What was answered.
    pub reply: ReplyNumber,
}

impl Head<'_> {
    /// Appends the record.
    pub fn write(&self, touches: &Touches, out: &mut impl BufMut) {
        let Envelope { actor, address, .. } = self.envelope;
        let name = actor.name().as_bytes();
        let (address_kind, port) = match address {
            None => (0, 0),
            Some((IpAddr::V4(_), port)) => (4, *port),
            Some((IpAddr::V6(_), port)) => (6, *port),
        };
        // What every record has goes out in one piece.
        let mut fixed = [0; FIXED_BYTES];
        let mut begin = &mut fixed[..];
        begin.put_u8(LAYOUT);
        begin.put_u8(actor.kind());
        begin.put_u8(address_kind);
        begin.put_u8(match self.key {
            RequestKey::None => 0,
            RequestKey::Session { .. } => 1,
            RequestKey::Idempotency { .. } => 2,
        });
        begin.put_u8(name.len() as u8);
        begin.put_u8(0);
        begin.put_u16_le(port);
        for field in [self.index, self.term, self.stamp, self.clock, self.revision] {
            begin.put_u64_le(field);
        }
        begin.put_u16_le(self.command.number());
        begin.put_u16_le(self.reply.number());
        begin.put_u16_le(self.reason.len() as u16);
        begin.put_u16_le(touches.listed);
        begin.put_u64_le(touches.all);
        out.put_slice(&fixed);
        match address {
            None => {}
            Some((IpAddr::V4(ip), _)) => out.put_slice(&ip.octets()),
            Some((IpAddr::V6(ip), _)) => out.put_slice(&ip.octets()),
        }
        out.put_slice(name);
        match self.key {
            RequestKey::None => {}
            RequestKey::Session { session, sequence, low } => {
                for field in [session.0, *sequence, *low] {
                    out.put_u64_le(field);
                }
            }
            RequestKey::Idempotency { key, request } => {
                out.put_slice(key);
                out.put_slice(request);
            }
        }
        out.put_slice(self.reason.as_bytes());
        out.put_slice(&touches.bytes);
    }
}

/// The stamp of an encoded record; `None` if this build does not know its layout, or it is cut off.
#[must_use]
pub fn stamp(record: &[u8]) -> Option<u64> {
    let bytes = record.get(24..)?.first_chunk::<8>()?;
    (*record.first()? == LAYOUT).then_some(u64::from_le_bytes(*bytes))
}

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The highest stamp up to the entry.
    pub stamp: u64,
    /// The cluster clock of the state, in milliseconds.
    pub clock: u64,
    /// The revision behind it.
    pub revision: u64,
    /// In whose name.
    pub actor: Actor,
    /// From where.
    pub address: Option<(IpAddr, u16)>,
    /// How a repetition is recognised.
    pub key: RequestKey,
    /// Why.
    pub reason: ByteString,
    /// What was asked for.
    pub command: CommandNumber,
    /// What was answered.
    pub reply: ReplyNumber,
    /// How many things were touched.
    pub count: u64,
    /// The first of them, up to [`LISTED_MAX`], in the order in which they were touched.
    pub touched: Vec<Touched>,
}

impl AuditRecord {
    /// The record of these bytes, all of them. Names and texts share them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let layout = reader.u8()?;
        reader.known((layout == LAYOUT).then_some(()), "layout of an audit record", layout.into(), 1)?;
        let (actor_kind, address_kind, key_kind) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let (name_length, zero, port) = (reader.u8()?, reader.u8()?, reader.u16()?);
        reader.known((zero == 0).then_some(()), "reserved field", zero.into(), 3)?;
        let (index, term, stamp) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (clock, revision) = (reader.u64()?, reader.u64()?);
        let command = reader.u16()?;
        let command = reader.known(CommandNumber::from_number(command), "command", command.into(), 2)?;
        let reply = reader.u16()?;
        let reply = reader.known(ReplyNumber::from_number(reply), "reply", reply.into(), 2)?;
        let (reason_length, listed, count) = (reader.u16()?, reader.u16()?, reader.u64()?);
        if u64::from(listed) != count.min(LISTED_MAX.into()) {
            let what = "count of those that are listed";
            return reader.fault_at(54, Fault::Unknown { what, number: listed.into() });
        }
        let address = match (address_kind, port) {
            (0, 0) => None,
            (4, port) => Some((IpAddr::from(reader.array::<4>()?), port)),
            (6, port) => Some((IpAddr::from(reader.array::<16>()?), port)),
            _ => {
                let what = "kind of address with this port";
                return reader.fault_at(2, Fault::Unknown { what, number: address_kind.into() });
            }
        };
        let name = reader.take(name_length.into())?;
        let actor = Actor::read(&reader, actor_kind, name)?;
        let key = match key_kind {
            0 => RequestKey::None,
            1 => RequestKey::Session {
                session: SessionId(reader.u64()?),
                sequence: reader.u64()?,
                low: reader.u64()?,
            },
            2 => RequestKey::Idempotency { key: reader.array()?, request: reader.array()? },
            _ => {
                let what = "kind of request key";
                return reader.fault_at(3, Fault::Unknown { what, number: key_kind.into() });
            }
        };
        let reason = reader.take(reason_length.into())?;
        let reason = reader.as_text(reason)?;
        let touched = reader.items(listed.into(), |reader| {
            let (kind, gone) = (reader.numbered("kind of thing")?, reader.flags(1)? != 0);
            let (length, before) = (reader.u16()?, reader.u64()?);
            Ok(Touched { kind, name: reader.take(length.into())?, before, gone })
        })?;
        reader.finish()?;
        Ok(Self {
            index,
            term,
            stamp,
            clock,
            revision,
            actor,
            address,
            key,
            reason,
            command,
            reply,
            count,
            touched,
        })
    }

    /// The bytes of the record.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut touches = Touches::default();
        for Touched { kind, name, before, gone } in &self.touched {
            touches.note(*kind, name, *before, *gone);
        }
        touches.all = self.count;
        let envelope = Envelope { actor: self.actor.clone(), address: self.address, ..Envelope::default() };
        let head = Head {
            index: self.index,
            term: self.term,
            stamp: self.stamp,
            clock: self.clock,
            revision: self.revision,
            envelope: &envelope,
            key: &self.key,
            reason: &self.reason,
            command: self.command,
            reply: self.reply,
        };
        let mut out = Vec::new();
        head.write(&touches, &mut out);
        out.into()
    }
}
