//! What members of a cluster say to each other: the messages of consensus, one type each.
//!
//! They flow from the side that dialed to the side that accepted, so each pair of nodes has connections in both
//! directions. What the fields mean is said by the crate of the core; the server translates one into the other. Entries
//! and configurations are bytes here.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{Body, few};
use crate::body::{self, Parts};
use crate::message_type::{DIGESTS_MAX, ENTRIES_MAX, TEXT_CAP};
use crate::sink::{Section, Sink};
use crate::{Boot, ClusterIdentity, Header, NodeId, WireError};

/// What has to agree before a message of consensus is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHeader {
    /// Which cluster.
    pub cluster: ClusterIdentity,
    /// Who says it.
    pub from: NodeId,
    /// Which boot of the sender.
    pub from_boot: Boot,
    /// To whom.
    pub to: NodeId,
    /// Which boot of the addressee, as the sender last heard.
    pub to_boot: Option<Boot>,
    /// The sender's term when it said it.
    pub term: u64,
}

/// What names an entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryId {
    /// The term in which it was written.
    pub term: u64,
    /// Where it stands.
    pub index: u64,
}

/// Would you vote for me in the term after mine?
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVote {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The end of the sender's log.
    pub last: EntryId,
}

/// The answer to a [`PreVote`].
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteReply {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The term that was asked about.
    pub asked: u64,
    /// Whether it would.
    pub granted: bool,
}

/// Vote for me in my term.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The end of the sender's log.
    pub last: EntryId,
    /// The leader handed its office over, so nobody has to stick to it.
    pub transfer: bool,
}

/// The answer to a [`Vote`].
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteReply {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// Whether it is granted.
    pub granted: bool,
}

/// Entries of the leader's log, and how far it is committed.
///
/// Sections: terms, entries one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// What stands before the entries.
    pub prev: EntryId,
    /// How far the leader has committed.
    pub commit: u64,
    /// Whether an entry of the leader's own term has committed.
    pub established: bool,
    /// The stretch of replication that it belongs to.
    pub stretch: u64,
    /// The term of each entry, 8 bytes little-endian each.
    pub terms: Vec<u64>,
    /// The entries, as they stand in the log.
    pub entries: Vec<Bytes>,
}

/// The sender's log equals the leader's up to here, and is durable up to here.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendAck {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// Up to where.
    pub matched: u64,
    /// The stretch of the newest append that it answers.
    pub stretch: u64,
    /// Whether it counts towards a quorum.
    pub counting: bool,
}

/// The sender's log has something else in the place of `prev`.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendReject {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// What was refused.
    pub prev: EntryId,
    /// The logs may agree up to here, and not beyond.
    pub hint: EntryId,
    /// The stretch of the append that it answers.
    pub stretch: u64,
}

/// The leader is alive.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// Which round of heartbeats.
    pub round: u64,
    /// How far the leader has committed.
    pub commit: u64,
    /// As in [`Append::established`].
    pub established: bool,
}

/// The answer to a [`Heartbeat`].
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAck {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The round that it answers.
    pub round: u64,
    /// As in [`AppendAck::counting`].
    pub counting: bool,
}

/// A follower asks how far it has to apply before it may serve the reads of this batch.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndex {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// Names the batch.
    pub batch: u64,
}

/// The answer to a [`ReadIndex`].
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndexReply {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The batch.
    pub batch: u64,
    /// Apply up to here first; `None` if the sender cannot say.
    pub index: Option<u64>,
}

/// Campaign now: the leader hands its office over.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutNow {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The end of the leader's log, which the addressee's has to equal.
    pub last: EntryId,
}

/// A piece of a snapshot.
///
/// Sections: configuration, data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The last entry that the snapshot covers.
    pub last: EntryId,
    /// The index of the entry that brought the configuration.
    pub configuration_index: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// The configuration in force at its end, as an entry of the log has it.
    pub configuration: Bytes,
    /// The piece.
    pub data: Bytes,
}

/// Where the next piece of a snapshot has to begin.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAck {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The last entry of the snapshot.
    pub last: EntryId,
    /// Where to go on, in bytes.
    pub offset: u64,
}

/// The snapshot cannot be taken.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReject {
    /// Who says it to whom.
    pub peer: PeerHeader,
    /// The last entry of the snapshot.
    pub last: EntryId,
}

/// Nothing but the header: this is my term, this is my boot.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who says it to whom.
    pub peer: PeerHeader,
}

/// What a node tells of itself once it is connected: where its clients reach it, and what it understands.
///
/// Sections: client, http.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduce {
    /// Who says it.
    pub from: NodeId,
    /// Which boot of the sender.
    pub from_boot: Boot,
    /// The highest feature level that its build can apply.
    pub level: u16,
    /// Its client address as it advertises it, `host:port`.
    pub client: ByteString,
    /// Its HTTP address as it advertises it; empty if it has none.
    pub http: ByteString,
}

/// Digests of what the sender has applied, for the last ranges of entries. Equal logs give equal digests; who differs from a
/// majority must not go on.
///
/// Sections: ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Who says it.
    pub from: NodeId,
    /// Which boot of the sender.
    pub from_boot: Boot,
    /// Last index (8 bytes, little-endian) and digest (32 bytes) of each range, ascending; at most
    /// [`DIGESTS_MAX`].
    pub ranges: Vec<(u64, [u8; 32])>,
}

/// Bytes of one of them.
const DIGEST_BYTES: usize = 40;

#[derive(Serialize, Deserialize)]
struct DigestsMeta {
    from: NodeId,
    from_boot: Boot,
}

impl Body for Digests {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, from_boot, ref ranges } = self;
        few("ranges", ranges.len(), DIGESTS_MAX)?;
        let mut digests = Vec::with_capacity(ranges.len() * DIGEST_BYTES);
        for (last, digest) in ranges {
            digests.extend_from_slice(&last.to_le_bytes());
            digests.extend_from_slice(digest);
        }
        let digests = digests.into();
        body::write(sink, header, &DigestsMeta { from, from_boot }, &[Section::Share(&digests)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let DigestsMeta { from, from_boot } = parts.metadata()?;
        let digests = sections.bytes()?;
        let (ranges, rest) = digests.as_chunks::<DIGEST_BYTES>();
        if !rest.is_empty() || ranges.len() > DIGESTS_MAX {
            return Err(parts.contradiction(format!("{} bytes are no list of digests", digests.len())));
        }
        let range = |bytes: &[u8; DIGEST_BYTES]| {
            let (last, digest) = bytes.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*last), *digest.first_chunk()?))
        };
        Ok(Self { from, from_boot, ranges: ranges.iter().filter_map(range).collect() })
    }
}

#[derive(Serialize, Deserialize)]
struct AppendMeta {
    peer: PeerHeader,
    prev: EntryId,
    commit: u64,
    established: bool,
    stretch: u64,
}

impl Body for Append {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { peer, prev, commit, established, stretch, ref terms, ref entries } = self;
        few("entries", entries.len(), ENTRIES_MAX)?;
        if terms.len() != entries.len() {
            let (few, many) = (terms.len().min(entries.len()), terms.len().max(entries.len()));
            let (what, count, limit) = ("terms or entries", many as u64, few as u64);
            return Err(WireError::Unencodable { what, count, limit });
        }
        let metadata = AppendMeta { peer, prev, commit, established, stretch };
        let mut encoded = BytesMut::with_capacity(8 * terms.len());
        for term in terms {
            encoded.put_u64_le(*term);
        }
        let mut sections = Vec::with_capacity(1 + entries.len());
        sections.push(Section::Copy(&encoded));
        sections.extend(entries.iter().map(Section::Share));
        body::write(sink, header, &metadata, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let AppendMeta { peer, prev, commit, established, stretch } = parts.metadata()?;
        let mut encoded = sections.bytes()?;
        if encoded.len() != 8 * usize::from(sections.left()) {
            let why = format!("{} bytes of terms for {} entries", encoded.len(), sections.left());
            return Err(parts.contradiction(why));
        }
        let mut terms = Vec::with_capacity(encoded.len() / 8);
        while encoded.remaining() >= 8 {
            terms.push(encoded.get_u64_le());
        }
        let entries = super::at_most(parts, sections, ENTRIES_MAX, body::Sections::bytes)?;
        Ok(Self { peer, prev, commit, established, stretch, terms, entries })
    }
}

#[derive(Serialize, Deserialize)]
struct SnapshotChunkMeta {
    peer: PeerHeader,
    last: EntryId,
    configuration_index: u64,
    bytes: u64,
    offset: u64,
}

impl Body for SnapshotChunk {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { peer, last, configuration_index, bytes, offset, ref configuration, ref data } = self;
        let metadata = SnapshotChunkMeta { peer, last, configuration_index, bytes, offset };
        body::write(sink, header, &metadata, &[Section::Share(configuration), Section::Share(data)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let SnapshotChunkMeta { peer, last, configuration_index, bytes, offset } = parts.metadata()?;
        let (configuration, data) = (sections.bytes()?, sections.bytes()?);
        Ok(Self { peer, last, configuration_index, bytes, offset, configuration, data })
    }
}

#[derive(Serialize, Deserialize)]
struct IntroduceMeta {
    from: NodeId,
    from_boot: Boot,
    level: u16,
}

impl Body for Introduce {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, from_boot, level, ref client, ref http } = self;
        let sections = [Section::text(client, TEXT_CAP)?, Section::text(http, TEXT_CAP)?];
        body::write(sink, header, &IntroduceMeta { from, from_boot, level }, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let IntroduceMeta { from, from_boot, level } = parts.metadata()?;
        Ok(Self { from, from_boot, level, client: sections.text(TEXT_CAP)?, http: sections.text(TEXT_CAP)? })
    }
}
