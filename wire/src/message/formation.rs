//! What nodes say to each other before they belong to a cluster.
//!
//! A list of members travels whole: ids in one section, and an address in a section each. What is a legal list, and what
//! the names in it mean, is said by the crate of the core.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{Body, few};
use crate::body::{self, Parts};
use crate::message_type::{MEMBERS_MAX, TEXT_CAP};
use crate::sink::{Section, Sink};
use crate::{ClusterId, Header, Life, NodeId, NodeUuid, WireError};

/// What does your identity file say?
///
/// Sections: name, ids, addresses one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationAsk {
    /// Who says it.
    pub from: NodeId,
    /// Which life of the sender.
    pub life: Life,
    /// To whom.
    pub to: NodeId,
    /// What the operator calls the cluster.
    pub name: ByteString,
    /// The ids of the listed members, 8 bytes little-endian each.
    pub ids: Vec<u64>,
    /// Their peer addresses, in the same order.
    pub addresses: Vec<Bytes>,
}

/// This is what my identity file says.
///
/// Sections: name, ids, uuids, addresses one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationAnswer {
    /// Who says it.
    pub from: NodeId,
    /// Which life of the sender.
    pub life: Life,
    /// To whom.
    pub to: NodeId,
    /// Which life asked.
    pub to_life: Life,
    /// What the file says. 0: nothing; 1: minted; 2: prepared; 3: formed.
    pub state: u8,
    /// The cluster that it names; `None` when it says nothing.
    pub cluster: Option<ClusterId>,
    /// As in [`FormationAsk::name`].
    pub name: ByteString,
    /// As in [`FormationAsk::ids`].
    pub ids: Vec<u64>,
    /// The uuids that it gives to them, 16 bytes each, in the same order; empty when it says nothing.
    pub uuids: Vec<NodeUuid>,
    /// As in [`FormationAsk::addresses`].
    pub addresses: Vec<Bytes>,
}

/// Hold these names.
///
/// Sections: name, ids, uuids, addresses one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationPrepare {
    /// Who says it.
    pub from: NodeId,
    /// Which life of the sender.
    pub life: Life,
    /// To whom.
    pub to: NodeId,
    /// Which life answered.
    pub to_life: Life,
    /// The name of the cluster.
    pub cluster: ClusterId,
    /// As in [`FormationAsk::name`].
    pub name: ByteString,
    /// As in [`FormationAsk::ids`].
    pub ids: Vec<u64>,
    /// The uuids of their directories, 16 bytes each, in the same order.
    pub uuids: Vec<NodeUuid>,
    /// As in [`FormationAsk::addresses`].
    pub addresses: Vec<Bytes>,
}

fn ids_to_bytes(ids: &[u64]) -> Result<BytesMut, WireError> {
    few("ids", ids.len(), MEMBERS_MAX)?;
    let mut out = BytesMut::with_capacity(8 * ids.len());
    for id in ids {
        out.put_u64_le(*id);
    }
    Ok(out)
}

fn uuids_to_bytes(uuids: &[NodeUuid]) -> Result<BytesMut, WireError> {
    few("uuids", uuids.len(), MEMBERS_MAX)?;
    let mut out = BytesMut::with_capacity(16 * uuids.len());
    for uuid in uuids {
        out.put_slice(&uuid.0);
    }
    Ok(out)
}

/// Numbers of `width` bytes each, all of a section.
fn numbers<T>(
    parts: &Parts,
    mut bytes: Bytes,
    width: usize,
    one: impl Fn(&mut Bytes) -> T,
) -> Result<Vec<T>, WireError> {
    if !bytes.len().is_multiple_of(width) {
        return Err(parts.contradiction(format!("{} bytes are no list of {width} each", bytes.len())));
    }
    let count = bytes.len() / width;
    if count > MEMBERS_MAX {
        return Err(parts.contradiction(format!("a list of {count}, where {MEMBERS_MAX} are allowed")));
    }
    let mut out = Vec::with_capacity(count);
    while bytes.remaining() >= width {
        out.push(one(&mut bytes));
    }
    Ok(out)
}

fn read_ids(parts: &Parts, bytes: Bytes) -> Result<Vec<u64>, WireError> {
    numbers(parts, bytes, 8, Buf::get_u64_le)
}

fn read_uuids(parts: &Parts, bytes: Bytes) -> Result<Vec<NodeUuid>, WireError> {
    numbers(parts, bytes, 16, |bytes| {
        let mut uuid = [0; 16];
        bytes.copy_to_slice(&mut uuid);
        NodeUuid(uuid)
    })
}

fn read_addresses(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Vec<Bytes>, WireError> {
    super::at_most(parts, sections, MEMBERS_MAX, body::Sections::bytes)
}

/// The sections of all three: the fixed ones, then an address each.
fn with_addresses<'a>(fixed: &[Section<'a>], addresses: &'a [Bytes]) -> Result<Vec<Section<'a>>, WireError> {
    few("addresses", addresses.len(), MEMBERS_MAX)?;
    Ok(fixed.iter().copied().chain(addresses.iter().map(Section::Share)).collect())
}

#[derive(Serialize, Deserialize)]
struct FormationAskMeta {
    from: NodeId,
    life: Life,
    to: NodeId,
}

impl Body for FormationAsk {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, life, to, ref name, ref ids, ref addresses } = self;
        let ids = ids_to_bytes(ids)?;
        let fixed = [Section::text(name, TEXT_CAP)?, Section::Copy(&ids)];
        body::write(
            sink,
            header,
            &FormationAskMeta { from, life, to },
            &with_addresses(&fixed, addresses)?,
            &[],
        )
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let FormationAskMeta { from, life, to } = parts.metadata()?;
        let name = sections.text(TEXT_CAP)?;
        let ids = read_ids(parts, sections.bytes()?)?;
        Ok(Self { from, life, to, name, ids, addresses: read_addresses(parts, sections)? })
    }
}

#[derive(Serialize, Deserialize)]
struct FormationAnswerMeta {
    from: NodeId,
    life: Life,
    to: NodeId,
    to_life: Life,
    state: u8,
    cluster: Option<ClusterId>,
}

impl Body for FormationAnswer {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, life, to, to_life, state, cluster, ref name, ref ids, ref uuids, ref addresses } =
            self;
        let metadata = FormationAnswerMeta { from, life, to, to_life, state, cluster };
        let (ids, uuids) = (ids_to_bytes(ids)?, uuids_to_bytes(uuids)?);
        let fixed = [Section::text(name, TEXT_CAP)?, Section::Copy(&ids), Section::Copy(&uuids)];
        body::write(sink, header, &metadata, &with_addresses(&fixed, addresses)?, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let FormationAnswerMeta { from, life, to, to_life, state, cluster } = parts.metadata()?;
        let name = sections.text(TEXT_CAP)?;
        let ids = read_ids(parts, sections.bytes()?)?;
        let uuids = read_uuids(parts, sections.bytes()?)?;
        let addresses = read_addresses(parts, sections)?;
        Ok(Self { from, life, to, to_life, state, cluster, name, ids, uuids, addresses })
    }
}

#[derive(Serialize, Deserialize)]
struct FormationPrepareMeta {
    from: NodeId,
    life: Life,
    to: NodeId,
    to_life: Life,
    cluster: ClusterId,
}

impl Body for FormationPrepare {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, life, to, to_life, cluster, ref name, ref ids, ref uuids, ref addresses } = self;
        let metadata = FormationPrepareMeta { from, life, to, to_life, cluster };
        let (ids, uuids) = (ids_to_bytes(ids)?, uuids_to_bytes(uuids)?);
        let fixed = [Section::text(name, TEXT_CAP)?, Section::Copy(&ids), Section::Copy(&uuids)];
        body::write(sink, header, &metadata, &with_addresses(&fixed, addresses)?, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let FormationPrepareMeta { from, life, to, to_life, cluster } = parts.metadata()?;
        let name = sections.text(TEXT_CAP)?;
        let ids = read_ids(parts, sections.bytes()?)?;
        let uuids = read_uuids(parts, sections.bytes()?)?;
        let addresses = read_addresses(parts, sections)?;
        Ok(Self { from, life, to, to_life, cluster, name, ids, uuids, addresses })
    }
}
