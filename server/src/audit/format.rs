//! What stands in a file of the audit log, byte by byte. All numbers are little-endian.

use holdfast_machine::numbered;
use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_wal::format::Field;

/// The version of the format that this build writes, and the highest that it reads.
pub const AUDIT_VERSION: u32 = 1;

/// Bytes before the first frame. Within one sector, which a disk writes whole or not at all.
pub const HEADER_BYTES: usize = 72;

/// Bytes of a frame before its payload.
pub const FRAME_HEAD_BYTES: usize = 28;

/// The most bytes of a payload: nearly twice the largest record.
pub const FRAME_PAYLOAD_BYTES_MAX: u32 = 8 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"HFAUDIT\n";

const SUFFIX: &str = ".audit";

/// Appended to the name of a file without a sound header that is in the way of another.
pub(super) const ASIDE: &str = ".damaged";

const fn field(name: &'static str, bytes: usize, meaning: &'static str) -> Field {
    Field { name, bytes, meaning }
}

/// The header of a file, field by field.
pub const HEADER_FIELDS: [Field; 9] = [
    field("magic", 8, "`HFAUDIT` and a line feed"),
    field(
        "version",
        4,
        "of the format; looked at when the check fits, so that a later one is told from damage",
    ),
    field(
        "check",
        4,
        "CRC32 of version and of all behind this field; mixed into the checks of the frames as well",
    ),
    field("cluster", 16, "id of the cluster"),
    field("epoch", 8, "its life; stands in the name too"),
    field("number", 8, "of the file, one more than that of the file before"),
    field("first", 8, "the lowest index that a frame may have; stands in the name too"),
    field(
        "complete_from",
        8,
        "from this index on the files up to this one lack nothing, as far as was known",
    ),
    field("stamp", 8, "the highest stamp in the files before this one, 0 if it is not known"),
];

/// The head of a frame, field by field.
pub const FRAME_FIELDS: [Field; 6] = [
    field(
        "check",
        4,
        "CRC32 of the check of the header, the offset of the frame (u64), the rest of its head, and its payload",
    ),
    field("length", 4, "of the payload"),
    field("kind", 1, "see below"),
    field("zero", 3, "0"),
    field("index", 8, "above that of the frame before"),
    field("stamp", 8, "the highest up to here; not below that of the frame before"),
];

numbered! {
    /// What a frame says. Kind 0 is never valid, so that what was never written is no frame.
    pub enum FrameKind: u8, "F" {
        /// The record of its index, which is the payload. The indices between this frame and the one before left none.
        Record = 1,
        /// The indices behind the frame before, up to its own, left no record. No payload.
        Mark = 2,
        /// Nothing is known of the indices behind the frame before, up to its own. No payload.
        Gap = 3,
    }
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose records these are.
    pub cluster: ClusterId,
    /// Of which life of the cluster.
    pub epoch: ClusterEpoch,
    /// Of the file, counted from 1.
    pub number: u64,
    /// The lowest index that a frame may have.
    pub first: u64,
    /// From this index on nothing was known to be missing when the file was begun.
    pub complete_from: u64,
    /// The highest stamp in the files before this one, 0 if it is not known.
    pub stamp: u64,
}

/// What stands where a header should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFound {
    /// A header, and its check.
    Valid(Header, u32),
    /// A header of another version.
    Later(u32),
    /// Nothing but zeros, or less than a header: the file was being begun.
    Unwritten,
    /// No header.
    Wrong,
}

fn header_check(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[8..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

/// The number at `at`. All callers read within arrays whose length they know.
fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(wide)
}

impl Header {
    /// The bytes of it, and the check in them.
    #[must_use]
    pub fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&AUDIT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.0);
        let numbers = [self.epoch.0, self.number, self.first, self.complete_from, self.stamp];
        for (place, number) in bytes[32..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let check = header_check(&bytes);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        (bytes, check)
    }

    /// Reads the first bytes of a file: magic, then check, then version. All versions have their check in the same place.
    #[must_use]
    pub fn read(bytes: &[u8]) -> HeaderFound {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return HeaderFound::Unwritten };
        if *bytes == [0; HEADER_BYTES] {
            return HeaderFound::Unwritten;
        }
        let declared = |at: usize| u64_at(bytes, at) as u32;
        if bytes[..8] != MAGIC {
            return HeaderFound::Wrong;
        }
        let check = header_check(bytes);
        if declared(12) != check {
            return HeaderFound::Wrong;
        }
        if declared(8) != AUDIT_VERSION {
            return HeaderFound::Later(declared(8));
        }
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&bytes[16..32]);
        let header = Self {
            cluster: ClusterId(cluster),
            epoch: ClusterEpoch(u64_at(bytes, 32)),
            number: u64_at(bytes, 40),
            first: u64_at(bytes, 48),
            complete_from: u64_at(bytes, 56),
            stamp: u64_at(bytes, 64),
        };
        HeaderFound::Valid(header, check)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) check: u32,
    pub(super) length: u32,
    pub(super) kind: FrameKind,
    pub(super) index: u64,
    pub(super) stamp: u64,
}

impl FrameHead {
    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.check.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&[holdfast_machine::Numbered::number(self.kind), 0, 0, 0]);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.stamp.to_le_bytes());
    }

    /// What these bytes say. Nothing is known of the check yet.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        use holdfast_machine::Numbered;
        let (check, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (stamp, _) = rest.split_first_chunk::<8>()?;
        let [kind, 0, 0, 0] = *kind else { return None };
        let length = u32::from_le_bytes(*length);
        let kind = FrameKind::from_number(kind)?;
        let sound = match kind {
            FrameKind::Record => length <= FRAME_PAYLOAD_BYTES_MAX,
            FrameKind::Mark | FrameKind::Gap => length == 0,
        };
        sound.then_some(Self {
            check: u32::from_le_bytes(*check),
            length,
            kind,
            index: u64::from_le_bytes(*index),
            stamp: u64::from_le_bytes(*stamp),
        })
    }

    /// Bytes of the frame.
    pub(super) fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.length as usize
    }
}

/// The check of a frame at `offset` of a file whose header has this check. `frame` is its head and payload, and its first
/// four bytes, where the check stands, are passed over.
#[must_use]
pub fn frame_check(header_check: u32, offset: u64, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header_check.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(frame.get(4..).unwrap_or_default());
    hasher.finalize()
}

/// The name of a file.
pub(super) fn name(epoch: ClusterEpoch, first: u64) -> String {
    format!("{:016x}-{first:016x}{SUFFIX}", epoch.0)
}

/// Epoch and first index of a file with this name, and whether it was put aside.
pub(super) fn parse(name: &str) -> Option<(ClusterEpoch, u64, bool)> {
    let (plain, aside) = match name.strip_suffix(ASIDE) {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let (epoch, first) = plain.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (epoch, first) = (ClusterEpoch(number(epoch)?), number(first)?);
    // One name of each.
    (self::name(epoch, first) == plain).then_some((epoch, first, aside))
}
