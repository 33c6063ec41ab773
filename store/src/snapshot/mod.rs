//! Snapshots: a whole store as a stream of bytes, and back.
//!
//! # Why
//! The log cannot be kept for ever, and a node that was away for long, or is new, needs the state without it. A snapshot is
//! that state up to one entry. It is written while entries go on being applied, and read while the old state still serves;
//! neither side ever holds it in memory as a whole.
//!
//! # Shape
//! ```text
//!   Store ──► Encoder ──► chunks ──► a file, a peer ──► Decoder ──► Store
//!             [encode]    [frames]                      [decode]
//!
//!   preamble │ chunk │ chunk │ … │ chunk of the end: how many records, and a hash of everything before
//!            └─ length, kind, check, payload
//!               the payloads together: record, record, record … each of a numbered section, sections ascending
//! ```
//! `docs/snapshot-format.md` has every field.
//!
//! # What is in it
//! The state as of the last entry, in a form that depends on nothing else: **equal states give equal bytes**. So what differs
//! between nodes is left out: how far the sweep has come, in which order deadlines are looked at, the shape of trees, counters of
//! this process. Keys are written as they were at the oldest revision, and then every change since then, which the decoder
//! makes again; so history, changes and reads of the past are what they were, and versions, sums and jumps cannot
//! contradict each other: they are computed, not believed.
//!
//! # Invariants
//! - No bytes panic. Every byte that is damaged, missing or too many is refused, with its place.
//! - [`Encoder`] holds a chunk and a record beside the store; [`Decoder`] holds a chunk and a record beside what it has restored,
//!   whatever lengths the bytes claim.
//! - A section that a build does not know is refused, unless its number says that it may be skipped ([`MAY_SKIP`]): then no
//!   outcome depends on it.

mod decode;
mod encode;
mod frames;
mod records;
mod survey;

use bytes::Bytes;
use holdfast_command::layout::Fault;
use holdfast_command::{Actor, FeatureLevel};
use holdfast_hlc::Stamp;
use holdfast_machine::{Numbered, numbered};

pub use decode::{Decoded, Decoder};
pub use encode::Encoder;
pub use frames::{CHUNK_BYTES, CHUNK_HEADER_BYTES, FORMAT_VERSION, PREAMBLE_BYTES};
pub use records::{RECORD_BYTES_MAX, RECORD_HEADER_BYTES, Tally};
pub(crate) use records::{Records, Refused};
pub(crate) use survey::COUNT_END;
pub use survey::{Summary, Survey};

use crate::store::LogPosition;

/// Added to the number of a section: a build that does not know it may pass over it. Such a section holds nothing that an
/// outcome depends on.
pub const MAY_SKIP: u16 = 0x8000;

numbered! {
    /// What a record of a snapshot is about. Sections stand in the order of their numbers.
    pub enum Section: u16, "N" {
        /// Which cluster, up to which entry, and its time. One record.
        Header = 1,
        /// The configuration at that entry, with the ids that were ever removed, as the log holds it. One record.
        Membership = 2,
        /// The feature level, and what each setting is set to. One record.
        Settings = 3,
        /// The current revision and the oldest. One record.
        Revisions = 4,
        /// The keys as they were at the oldest revision, ascending; one record each.
        Keys = 5,
        /// The changes since then, in order; one record each.
        Changes = 6,
        /// By which clock some of the revisions had been written, ascending; one record each.
        Ages = 7,
        /// The namespaces, by name; one record each. What they hold is counted again.
        Namespaces = 8,
        /// The last number that was given to a session. One record.
        SessionNumber = 9,
        /// The sessions, by number; one record each.
        Sessions = 10,
        /// The answers that are remembered for them, by session and sequence; one record each.
        Answers = 11,
        /// The idempotency keys, by deadline and key, with their answers; one record each.
        IdempotencyKeys = 12,
        /// The last number that was chosen for a lease, and the last fencing token that was given. One record.
        Numbers = 13,
        /// The leases, by number; one record each.
        Leases = 14,
        /// The queues, those of locks before those of elections, by name; one record each.
        Queues = 15,
        /// The places in them, in the same order, the holder first; one record each.
        Places = 16,
        /// Access rules. Reserved.
        Auth = 17,
        /// Up to where audit records are durable. Reserved.
        Audit = 18,
        /// The digest behind the last entry, and by which version it was made. One record; a snapshot from before there was
        /// one has none.
        Digest = 19,
    }
}

impl Section {
    /// How many records it has: `Some(true)` exactly one, `Some(false)` any number, `None` none, because this build does not
    /// write it.
    pub(crate) fn is_single(self) -> Option<bool> {
        match self {
            Self::Header
            | Self::Membership
            | Self::Settings
            | Self::Revisions
            | Self::SessionNumber
            | Self::Numbers
            | Self::Digest => Some(true),
            Self::Keys
            | Self::Changes
            | Self::Ages
            | Self::Namespaces
            | Self::Sessions
            | Self::Answers
            | Self::IdempotencyKeys
            | Self::Leases
            | Self::Queues
            | Self::Places => Some(false),
            Self::Auth | Self::Audit => None,
        }
    }
}

/// What stands in a snapshot beside the state, said by whoever takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The cluster.
    pub cluster: [u8; 16],
    /// Its life, counted from 1.
    pub epoch: u64,
    /// The configuration at the last entry, encoded.
    pub membership: Bytes,
}

/// What the first record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster: [u8; 16],
    /// Its life, counted from 1.
    pub epoch: u64,
    /// The last entry that is in it.
    pub last: LogPosition,
    /// The cluster clock there, in milliseconds.
    pub clock: u64,
    /// The highest stamp up to there.
    pub stamp: Stamp,
}

/// Why bytes are no snapshot, or not one that this build can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}, {}: {fault}", place(*.section))]
pub struct SnapshotError {
    /// Where: the first byte of the chunk or record that is wrong, counted from the first byte of the snapshot.
    pub offset: u64,
    /// The number of the section that the record belongs to; none if it is the frame that is wrong.
    pub section: Option<u16>,
    /// What is wrong there.
    pub fault: SnapshotFault,
}

/// The actor with a name of its own: a slice would keep the chunk that it came in.
pub(crate) fn own_actor(actor: Actor) -> Actor {
    match actor {
        Actor::Named(name) => Actor::Named((*name).into()),
        other @ (Actor::Anonymous | Actor::Cluster) => other,
    }
}

fn place(section: Option<u16>) -> String {
    match section.map(|number| (number, Section::from_number(number))) {
        None => "frame".to_owned(),
        Some((_, Some(section))) => format!("section {section}"),
        Some((number, None)) => format!("section {number}"),
    }
}

/// What can be wrong with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// It does not begin like one.
    #[error("this is no snapshot of holdfast")]
    NotOne,
    /// A later build wrote it.
    #[error("version {version} is of a later build than this one, which knows {FORMAT_VERSION}")]
    LaterVersion {
        /// Its version.
        version: u16,
    },
    /// A check does not fit its bytes.
    #[error("damaged: its check does not fit")]
    Check,
    /// A chunk has no such length.
    #[error("damaged: a chunk does not have {length} bytes")]
    ChunkLength {
        /// The length.
        length: u32,
    },
    /// There is no such kind of chunk.
    #[error("{kind} is no kind of chunk")]
    ChunkKind {
        /// The number.
        kind: u32,
    },
    /// The hash at the end is not that of what stands before it, or the number of records is not.
    #[error("what stands before is not what was written")]
    Hash,
    /// It ends before its end.
    #[error("it ends here, and that is not its end")]
    Cut,
    /// Something stands behind its end.
    #[error("something stands behind the end")]
    Trailing,
    /// A record is longer than any.
    #[error("a record does not have {length} bytes")]
    RecordLength {
        /// The length.
        length: u32,
    },
    /// This build does not know the section, and may not pass over it.
    #[error("this build does not know it; use the one that wrote it, or a later one")]
    UnknownSection,
    /// The section stands behind one with a higher number, or has a second record.
    #[error("a record out of order")]
    Order,
    /// A section that has to be there is not.
    #[error("{0} should stand before it")]
    Missing(Section),
    /// The fields of a record do not fit its bytes.
    #[error("byte {offset} of the record: {fault}")]
    Field {
        /// Where in the record.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },
    /// What the record says cannot be.
    #[error("{0}")]
    Rule(&'static str),
    /// The cluster has raised its feature level above what this build understands.
    #[error("feature level {}, and this build knows {}: upgrade it", level.0, FeatureLevel::LATEST.0)]
    Level {
        /// The level.
        level: FeatureLevel,
    },
}
