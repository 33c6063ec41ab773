//! Where the time of writes went: what a leader knows of the batches that it proposed last.
//!
//! A histogram says how long a stage takes, and not whose fault it was that one write took two seconds. So a leader keeps, for some
//! hundred batches, when each of them had passed which stage, and when each follower had said that it holds it.

use bytes::{Buf as _, BufMut as _, Bytes};
use serde::{Deserialize, Serialize};

use super::{Body, at_most, few};
use crate::body::{self, Parts};
use crate::message_type::{MEMBERS_MAX, STAGES_MAX, TRACES_MAX};
use crate::sink::{Section, Sink};
use crate::{Header, NodeId, WireError};

/// How many stages a request has.
const STAGES: usize = 9;

/// Asks a node where the time of writes went that it proposed as the leader.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The batch that this entry was in; 0 for those that are on their way, those that were slow, and the slowest of the last.
    pub index: u64,
}

/// The answer to a [`Trace`]. Of an index that the node does not know any more, or has not proposed: no batches.
///
/// Sections: batches one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceReply {
    /// Microseconds from which on this node counts a request as slow; 0 for never.
    pub slow_from: u64,
    /// How many batches it looked at.
    pub known: u64,
    /// The newest first, at most [`TRACES_MAX`].
    pub batches: Vec<TracedBatch>,
}

/// Writes that were proposed together. A body of its own. All times are in microseconds.
///
/// Sections: stages, acks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedBatch {
    /// The index of its first entry.
    pub first: u64,
    /// The index of its last entry.
    pub last: u64,
    /// Its term.
    pub term: u64,
    /// How many clients wait for an entry of it.
    pub writes: u32,
    /// How it ended: 1 not yet ([`ON_ITS_WAY`](Self::ON_ITS_WAY)), 2 committed and applied ([`ANSWERED`](Self::ANSWERED)), 3 its leader was
    /// deposed ([`GIVEN_UP`](Self::GIVEN_UP)).
    pub end: u8,
    /// For how long it has been over; 0 if it is not.
    pub age: u64,
    /// From the moment when the first of its requests came to its end, or to now.
    pub took: u64,
    /// What each of the nine stages took, in their order, each as a u64; `None` for what is not over, or never was, is 2^64−1.
    /// Stage 9 is without the way over the network.
    pub stages: [Option<u64>; STAGES],
    /// Who holds all of it durably, and how long after it was appended the leader knew, the first first: two u64 each.
    pub acks: Vec<(NodeId, u64)>,
}

impl TracedBatch {
    /// Not over.
    pub const ON_ITS_WAY: u8 = 1;
    /// Committed and applied.
    pub const ANSWERED: u8 = 2;
    /// Its leader was deposed: nobody knows what becomes of it.
    pub const GIVEN_UP: u8 = 3;
}

#[derive(Serialize, Deserialize)]
struct TraceReplyMeta {
    slow_from: u64,
    known: u64,
}

#[derive(Serialize, Deserialize)]
struct TracedBatchMeta {
    first: u64,
    last: u64,
    term: u64,
    writes: u32,
    end: u8,
    age: u64,
    took: u64,
}

/// Bytes of a stage.
const STAGE_BYTES: usize = 8;

/// What a stage takes that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Bytes of an ack: who, and when.
const ACK_BYTES: usize = 16;

impl TracedBatch {
    fn to_bytes(&self) -> Result<Bytes, WireError> {
        let &Self { first, last, term, writes, end, age, took, stages, ref acks } = self;
        few("acks", acks.len(), MEMBERS_MAX)?;
        let mut bytes = Vec::with_capacity(acks.len() * ACK_BYTES);
        for (node, after) in acks {
            bytes.put_u64_le(node.get());
            bytes.put_u64_le(*after);
        }
        let stages = stages.map(|stage| stage.unwrap_or(UNKNOWN).to_le_bytes());
        let metadata = TracedBatchMeta { first, last, term, writes, end, age, took };
        body::to_bytes(&metadata, &[Section::Copy(stages.as_flattened()), Section::Copy(&bytes)], &[])
    }

    /// The next section, which is a body of its own.
    fn read(outer: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let parts = outer.nested()?;
        let TracedBatchMeta { first, last, term, writes, end, age, took } = parts.metadata()?;
        let mut sections = parts.sections();
        let stages = read_stages(&parts, sections.bytes()?)?;
        let acks = read_acks(&parts, sections.bytes()?)?;
        outer.skipped_inside(sections.finish(|_, _| Ok(false))?);
        Ok(Self { first, last, term, writes, end, age, took, stages, acks })
    }
}

/// The nine stages that there are; those of a later build are passed over, and those that are missing are not known.
fn read_stages(parts: &Parts, mut bytes: Bytes) -> Result<[Option<u64>; STAGES], WireError> {
    if !bytes.len().is_multiple_of(STAGE_BYTES) || bytes.len() / STAGE_BYTES > STAGES_MAX {
        return Err(parts.contradiction(format!("{} bytes are no list of stages", bytes.len())));
    }
    let mut stages = [None; STAGES];
    for stage in &mut stages {
        if bytes.remaining() >= STAGE_BYTES {
            *stage = Some(bytes.get_u64_le()).filter(|took| *took != UNKNOWN);
        }
    }
    Ok(stages)
}

fn read_acks(parts: &Parts, mut bytes: Bytes) -> Result<Vec<(NodeId, u64)>, WireError> {
    let count = bytes.len() / ACK_BYTES;
    if !bytes.len().is_multiple_of(ACK_BYTES) || count > MEMBERS_MAX {
        return Err(parts.contradiction(format!("{} bytes are no list of acknowledgements", bytes.len())));
    }
    let mut acks = Vec::with_capacity(count);
    while bytes.remaining() >= ACK_BYTES {
        let (node, after) = (bytes.get_u64_le(), bytes.get_u64_le());
        let node =
            NodeId::new(node).ok_or_else(|| parts.contradiction("no node has the number 0".to_owned()))?;
        acks.push((node, after));
    }
    Ok(acks)
}

impl Body for TraceReply {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { slow_from, known, ref batches } = self;
        few("batches", batches.len(), TRACES_MAX)?;
        let batches = batches.iter().map(TracedBatch::to_bytes).collect::<Result<Vec<_>, _>>()?;
        let sections: Vec<Section<'_>> = batches.iter().map(Section::Share).collect();
        body::write(sink, header, &TraceReplyMeta { slow_from, known }, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let TraceReplyMeta { slow_from, known } = parts.metadata()?;
        Ok(Self { slow_from, known, batches: at_most(parts, sections, TRACES_MAX, TracedBatch::read)? })
    }
}
