//! What the leader puts in front of a request: when, by whom, from where.
//!
//! ```text
//!   0  u8   layout, 1
//!   1  u8   kind of actor: 0 anonymous, 1 named, 2 the cluster itself
//!   2  u8   kind of client address: 0 none, 4, 6
//!   3  u8   length of the actor's name
//!   4  u16  port of the client
//!   6  u16  0
//!   8  u64  stamp of the hybrid clock
//!  16  u64  cluster clock, milliseconds
//!  24  u64  auth revision that admission went by, 0 as long as there is none
//!  32       address (0, 4 or 16 bytes), then the actor's name
//!   …       the request, to the end of the entry
//! ```

use std::net::IpAddr;

use bytes::{BufMut, Bytes};
use bytestring::ByteString;

use crate::layout::{Buffer, DecodeError, Fault, Reader};
use crate::request::Request;

/// The longest name of an actor, in bytes of UTF-8.
pub const ACTOR_BYTES_MAX: usize = 255;

const LAYOUT: u8 = 1;

/// Bytes of an envelope before its address.
const FIXED_BYTES: usize = 32;

/// In whose name a command is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// Nobody has proved who it is.
    #[default]
    Anonymous,
    /// Whoever proved to be this, 1 to [`ACTOR_BYTES_MAX`] bytes.
    Named(ByteString),
    /// A node, on behalf of the cluster: ticks, expiry.
    Cluster,
}

impl Actor {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Anonymous => 0,
            Self::Named(_) => 1,
            Self::Cluster => 2,
        }
    }

    /// The name, empty if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Anonymous | Self::Cluster => "",
        }
    }

    /// The actor with this kind and name.
    pub(crate) fn read<B: Buffer>(reader: &Reader<B>, kind: u8, name: B) -> Result<Self, DecodeError> {
        let name = reader.as_text(name)?;
        let length = name.as_ref().len() as u64;
        let actor = match (kind, length == 0) {
            (0, true) => Some(Self::Anonymous),
            (1, false) => Some(Self::Named(name.into())),
            (2, true) => Some(Self::Cluster),
            _ => None,
        };
        reader.known(actor, "kind of actor with or without a name", kind.into(), length)
    }

    /// Kind, length and name, for lists of actors.
    pub fn write(&self, out: &mut Vec<u8>) {
        let name = cut(self.name());
        out.put_u8(self.kind());
        out.put_u8(name.len() as u8);
        out.put_slice(name);
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes end, or are no actor.
    pub fn read_from<B: Buffer>(reader: &mut Reader<B>) -> Result<Self, DecodeError> {
        let (kind, length) = (reader.u8()?, reader.u8()?);
        let name = reader.take(length.into())?;
        Self::read(reader, kind, name)
    }
}

/// A name in the bytes that there is room for. A longer one does not get this far: nobody is admitted under it.
fn cut(name: &str) -> &[u8] {
    name.as_bytes().get(..name.floor_char_boundary(ACTOR_BYTES_MAX)).unwrap_or_default()
}

/// What the leader adds to a request. Fixed when the entry is appended; apply knows no other time and no other caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Hybrid clock, packed as `hlc::Stamp::to_bits`. At or above that of the entry before.
    pub stamp: u64,
    /// The cluster clock: milliseconds of leaders' monotonic time since formation. At or above that of the entry
    /// before, and at most [`CLOCK_STEP_MAX_MS`] above it. A leader whose own clock went on further (it was suspended)
    /// lets go of the rest and never makes up for it by many entries in a row: clients that were silent for a moment
    /// would find all time over.
    pub clock: u64,
    /// In whose name.
    pub actor: Actor,
    /// The revision of the access rules by which it was admitted; 0 as long as there are none.
    pub auth_revision: u64,
    /// From where, as the admitting node saw it: address and port.
    pub address: Option<(IpAddr, u16)>,
}

/// An entry advances the cluster clock by at most so many milliseconds, so that a leader that was suspended cannot end
/// everybody's lease at once.
pub const CLOCK_STEP_MAX_MS: u64 = 2_000;

impl Envelope {
    /// Appends the envelope. What follows it has to be the request, as it came.
    pub fn write(&self, out: &mut Vec<u8>) {
        let name = cut(self.actor.name());
        let (kind, port) = match self.address {
            None => (0, 0),
            Some((IpAddr::V4(_), port)) => (4, port),
            Some((IpAddr::V6(_), port)) => (6, port),
        };
        out.put_u8(LAYOUT);
        out.put_u8(self.actor.kind());
        out.put_u8(kind);
        out.put_u8(name.len() as u8);
        out.put_u16_le(port);
        out.put_u16_le(0);
        out.put_u64_le(self.stamp);
        out.put_u64_le(self.clock);
        out.put_u64_le(self.auth_revision);
        match self.address {
            None => {}
            Some((IpAddr::V4(ip), _)) => out.put_slice(&ip.octets()),
            Some((IpAddr::V6(ip), _)) => out.put_slice(&ip.octets()),
        }
        out.put_slice(name);
    }

    /// Takes an envelope from the front of an entry, and gives back the request behind it, not yet decoded. Whoever
    /// decodes that by itself counts offsets from its first byte.
    ///
    /// # Errors
    /// [`DecodeError`] if it is cut off, of an unknown layout or contradicts itself.
    pub fn split(entry: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Reader::new(entry.clone());
        let layout = reader.u8()?;
        reader.known((layout == LAYOUT).then_some(()), "layout of an envelope", layout.into(), 1)?;
        let (actor, kind, length) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let (port, zero) = (reader.u16()?, reader.u16()?);
        reader.known((zero == 0).then_some(()), "reserved field", zero.into(), 2)?;
        let (stamp, clock, auth_revision) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let ip = match (kind, port) {
            (0, 0) => None,
            (4, _) => Some(IpAddr::from(reader.array::<4>()?)),
            (6, _) => Some(IpAddr::from(reader.array::<16>()?)),
            (0, _) => {
                return reader
                    .fault_at(4, Fault::Unknown { what: "port of no address", number: port.into() });
            }
            _ => return reader.fault_at(2, Fault::Unknown { what: "kind of address", number: kind.into() }),
        };
        let name = reader.take(length.into())?;
        let actor = Actor::read(&reader, actor, name)?;
        let address = ip.map(|ip| (ip, port));
        let request = reader.take(reader.left())?;
        Ok((Self { stamp, clock, actor, auth_revision, address }, request))
    }
}

/// The number of the command in an entry, without a look at anything else: what it says of an entry that is not whole means
/// nothing, and neither does it of one whose [envelope](Envelope::split) is none.
#[must_use]
pub fn peek_number(entry: &[u8]) -> Option<u16> {
    let (kind, name) = (*entry.get(2)?, *entry.get(3)?);
    let address = match kind {
        0 => 0,
        4 => 4,
        6 => 16,
        _ => return None,
    };
    Request::number(entry.get(FIXED_BYTES + address + usize::from(name)..)?)
}

/// An entry of the log, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the leader put in front.
    pub envelope: Envelope,
    /// What the client asked for.
    pub request: Request,
}

impl Entry {
    /// The bytes of the entry.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.envelope.write(&mut out);
        self.request.write(&mut out);
        out.into()
    }

    /// The entry of these bytes.
    ///
    /// # Errors
    /// [`DecodeError`]; see [`Envelope::split`] and [`Request::decode`].
    pub fn decode(entry: &Bytes) -> Result<Self, DecodeError> {
        let (envelope, request) = Envelope::split(entry)?;
        let before = (entry.len() - request.len()) as u64;
        let moved = |error: DecodeError| DecodeError { offset: error.offset + before, ..error };
        Ok(Self { envelope, request: Request::decode(request).map_err(moved)? })
    }
}
