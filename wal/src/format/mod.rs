//! What stands in the files, byte by byte. `docs/wal-format.md` shows it with diagrams printed from these constants.
//!
//! # Why these sizes
//! A disk writes a sector of 512 bytes whole or not at all. So the head of a record, which says what the rest is, lies
//! within one sector, and each sector that the body touches has a check of its own: after a power cut each piece is there
//! or is zero, and whatever is neither was not made by a power cut.
//!
//! All numbers are little-endian. A *position* counts bytes through all segments: segment number × segment size +
//! offset in the segment. It names a record for ever, and 0 names none.

mod bounds;
mod meta;
mod record;
mod segment;

use holdfast_machine::numbered;

pub use bounds::{BOUNDS_FIELDS, Bounds, GROUP_FIELDS, GroupBounds, RANGE_FIELDS};
pub use meta::{META_FIELDS, META_FILE, META_GROUP_FIELDS, MetaSlot, SLOT_AT, SLOT_BYTES, SlotFound};
pub use record::{
    Found, HARD_STATE_FIELDS, HEAD_BYTES, HEAD_FIELDS, HardStateBody, Head, Look, MAX_PIECES, Pieces,
    Placement, head_place, look, place, write_record, write_skip,
};
pub(crate) use record::{extent, look_in};
pub use segment::{SEGMENT_FIELDS, SEGMENT_HEADER_BYTES, SegmentFound, SegmentHeader};

/// The version of the format of all files. Any other is refused as unsupported.
pub const VERSION: u32 = 1;

/// Groups at most: what a slot of the meta file and a checkpoint have room for.
pub const MAX_GROUPS: usize = 64;

/// The body of a record at most, in bytes. A larger entry is a run of fragments.
pub const MAX_FRAGMENT: u64 = 32 * 1024;

/// The smallest segment, in bytes.
pub const MIN_SEGMENT_BYTES: u64 = 16 * 1024;

/// The largest segment, in bytes: what fits into the memory that recovery reads one into, on any machine.
pub const MAX_SEGMENT_BYTES: u64 = 1024 * 1024 * 1024;

/// The largest number of a segment: positions stay far from the end of what they are counted in.
pub const MAX_SEGMENT_NUMBER: u64 = 1 << 32;

/// Whether a segment may have this size.
#[must_use]
pub fn is_segment_size(bytes: u64) -> bool {
    (MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&bytes) && bytes.is_multiple_of(4096)
}

/// Records begin at multiples of this, in bytes.
pub const ALIGN: u64 = 8;

numbered! {
    /// What a record is. Kind 0 is never valid, so that what was never written is no record.
    pub enum Kind: u8, "K" {
        /// An entry, or a fragment of one. Follows the last entry of its group, or supersedes all from its index on.
        Entry = 1,
        /// An entry that a leader sent again for an index that was damaged here. Supersedes nothing.
        Fill = 2,
        /// Term and vote of a group.
        HardState = 3,
        /// The bounds of every group and where the previous segment ends. The first record of each segment.
        Checkpoint = 4,
        /// The bounds of every group after a trim or a reset. Segments before the first live one are dead.
        Bounds = 5,
        /// Nothing but its `synced_upto`: all before that is durable.
        Mark = 6,
        /// Fills the rest of a sector.
        Skip = 7,
        /// The damage in these ranges is repaired, and the bounds of every group are these.
        Healed = 8,
    }
}

/// One field of a structure, for the tables and drawings of the docs.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its width in bytes.
    pub bytes: usize,
    /// What it says.
    pub meaning: &'static str,
}

const fn field(name: &'static str, bytes: usize, meaning: &'static str) -> Field {
    Field { name, bytes, meaning }
}

/// How many bytes `fields` take.
#[must_use]
pub const fn width(fields: &[Field]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < fields.len() {
        sum += fields[at].bytes;
        at += 1;
    }
    sum
}

/// Mixed into every check of a segment. Random, and known to nobody outside: so bytes that a client sends cannot
/// pass for a record, and records of an earlier life of a segment do not pass in a later one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u64);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(secret)")
    }
}

impl Salt {
    fn hasher(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher
    }

    /// The check of `bytes`.
    #[must_use]
    pub fn check(self, bytes: &[u8]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finalize()
    }

    /// The check of the piece of a body that stands at `position`.
    #[must_use]
    pub fn check_piece(self, position: u64, bytes: &[u8]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(&position.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Writes the fields of a structure one after the other.
pub(crate) struct Put<'a>(pub(crate) &'a mut Vec<u8>);

impl Put<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }
}

/// Reads the fields of a structure one after the other. Beyond the end every field is zero: callers check the length
/// first, and no bytes on a disk can make this panic.
pub(crate) struct Get<'a>(pub(crate) &'a [u8]);

impl Get<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.0 = rest;
                *value
            }
            None => [0; N],
        }
    }
    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }
    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
    pub(crate) fn id(&mut self) -> [u8; 16] {
        self.array()
    }
}

/// Whether all of `bytes` are zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word == &[0; 64]) && rest.iter().all(|byte| *byte == 0)
}
