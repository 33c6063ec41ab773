//! The bytes of what an entry carries: in the log, and in the frames between peers.
//!
//! ```text
//!   nothing          Empty
//!   1 to 127, …      Data: a command behind its envelope, whose first byte is the envelope's layout
//!   128, …           Configuration:
//!      u8   128                              u8   version, 1
//!      u8   voters, then u64 each            u8   voters of the old half while joint, then u64 each
//!      u8   members, then for each: u64 id, 16 uuid, u8 1 if it is to be promoted else 0,
//!                                   u16 length of its context, then the context
//!      u32  removed ids, then u64 each
//! ```
//! Little-endian, all ids ascending. There is one encoding of each payload, and every other is refused, so that entries
//! which are equal on two nodes are equal byte by byte. Commands are shared, never copied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use holdfast_raft::{Configuration, Index, Member, NodeId, NodeUuid, Payload};

use super::layout::{Short, array, put_run, run};

const CONFIGURATION: u8 = 0x80;
const VERSION: u8 = 1;

/// Why bytes are no payload, or a payload has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A command that does not begin with the layout of an envelope.
    #[error("a command begins with a layout number from 1 to 127, and this one with {0:?}")]
    NoEnvelope(Option<u8>),
    /// The first byte says what no build writes.
    #[error("what begins with {0} is neither a command nor a configuration; use the build that wrote it")]
    Unknown(u8),
    /// A later build wrote this configuration.
    #[error(
        "version {0} of a configuration is of a later build than this one, which knows 1; use that build"
    )]
    Later(u8),
    /// It ends before its last field does.
    #[error("the configuration is cut off")]
    Cut,
    /// It goes on behind its last field.
    #[error("{0} bytes stand behind the configuration")]
    Trailing(usize),
    /// A rule of configurations is broken.
    #[error("no configuration: {0}")]
    Rule(&'static str),
}

impl From<Short> for PayloadError {
    fn from(_: Short) -> Self {
        Self::Cut
    }
}

impl From<bytes::TryGetError> for PayloadError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Cut
    }
}

/// The bytes of a payload. Those of a command are the command's own.
///
/// # Errors
/// [`PayloadError::NoEnvelope`] for a command that could not be told from another payload.
pub fn encode_payload(payload: &Payload) -> Result<Bytes, PayloadError> {
    match payload {
        Payload::Empty => Ok(Bytes::new()),
        Payload::Data(data) => match data.first() {
            Some(1..=127) => Ok(data.clone()),
            other => Err(PayloadError::NoEnvelope(other.copied())),
        },
        Payload::Configuration(configuration) => Ok(encode_configuration(configuration)),
    }
}

/// The payload with these bytes. A command shares them.
///
/// # Errors
/// [`PayloadError`] for every other sequence of bytes than those that [`encode_payload`] makes.
pub fn decode_payload(bytes: Bytes) -> Result<Payload, PayloadError> {
    match bytes.first() {
        None => Ok(Payload::Empty),
        Some(1..=127) => Ok(Payload::Data(bytes)),
        Some(&CONFIGURATION) => Ok(Payload::Configuration(Arc::new(decode_configuration(bytes)?))),
        Some(other) => Err(PayloadError::Unknown(*other)),
    }
}

/// The configuration that a snapshot holds, and the index of the entry that brought it: the index, and the bytes of the
/// payload.
#[must_use]
pub fn encode_membership((index, configuration): &(Index, Arc<Configuration>)) -> Bytes {
    let mut out = index.0.to_le_bytes().to_vec();
    out.extend_from_slice(&encode_configuration(configuration));
    out.into()
}

/// What [`encode_membership`] encoded.
///
/// # Errors
/// [`PayloadError`] for every other sequence of bytes.
pub fn decode_membership(mut bytes: Bytes) -> Result<(Index, Arc<Configuration>), PayloadError> {
    let index = Index(bytes.try_get_u64_le()?);
    match decode_payload(bytes)? {
        Payload::Configuration(configuration) => Ok((index, configuration)),
        Payload::Empty | Payload::Data(_) => Err(PayloadError::Rule("it is an entry of another kind")),
    }
}

/// A count that a configuration keeps below 65.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
}

fn encode_configuration(configuration: &Configuration) -> Bytes {
    let mut out = vec![CONFIGURATION, VERSION];
    for half in [configuration.voters(), configuration.outgoing()] {
        put_count(&mut out, half.len());
        half.iter().for_each(|id| out.put_u64_le(id.0));
    }
    put_count(&mut out, configuration.members().len());
    for (id, member) in configuration.members() {
        let Member { uuid, promote, context } = member;
        out.put_u64_le(id.0);
        out.put_slice(&uuid.0);
        out.put_u8(u8::from(*promote));
        put_run(&mut out, context);
    }
    // A removal is an entry, and four billion of them are more than any cluster will see.
    out.put_u32_le(u32::try_from(configuration.removed().len()).unwrap_or(u32::MAX));
    configuration.removed().iter().for_each(|id| out.put_u64_le(id.0));
    out.into()
}

fn decode_configuration(mut bytes: Bytes) -> Result<Configuration, PayloadError> {
    let [_, version] = array(&mut bytes)?;
    if version != VERSION {
        return Err(PayloadError::Later(version));
    }
    let mut half = || -> Result<Vec<NodeId>, PayloadError> {
        let count = bytes.try_get_u8()?;
        (0..count).map(|_| Ok(NodeId(bytes.try_get_u64_le()?))).collect()
    };
    let (voters, outgoing) = (half()?, half()?);
    let mut members = BTreeMap::new();
    for _ in 0..bytes.try_get_u8()? {
        let id = NodeId(bytes.try_get_u64_le()?);
        let uuid = NodeUuid(array(&mut bytes)?);
        let promote = match bytes.try_get_u8()? {
            0 => false,
            1 => true,
            _ => return Err(PayloadError::Rule("a member is to be promoted, or it is not")),
        };
        // A copy: a slice would keep the buffer that the entry was read into for as long as the configuration acts.
        let context = Bytes::copy_from_slice(&run(&mut bytes)?);
        if members.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(PayloadError::Rule("members are sorted, each once"));
        }
        members.insert(id, Member { uuid, promote, context });
    }
    let mut removed = BTreeSet::new();
    for _ in 0..bytes.try_get_u32_le()? {
        let id = NodeId(bytes.try_get_u64_le()?);
        if removed.last().is_some_and(|last| *last >= id) {
            return Err(PayloadError::Rule("removed ids are sorted, each once"));
        }
        removed.insert(id);
    }
    if !bytes.is_empty() {
        return Err(PayloadError::Trailing(bytes.len()));
    }
    Configuration::from_parts(voters, outgoing, members, removed).map_err(PayloadError::Rule)
}
