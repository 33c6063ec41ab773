//! The header of a segment: one sector.

use super::{Field, Get, MAX_SEGMENT_NUMBER, Put, Salt, VERSION, field, is_segment_size};
use crate::Identity;
use crate::disk::SECTOR;

/// Bytes before the first record of a segment.
pub const SEGMENT_HEADER_BYTES: usize = SECTOR;

const MAGIC: [u8; 8] = *b"HFWALSEG";

/// The header, field by field; zero up to the end of the sector.
pub const SEGMENT_FIELDS: [Field; 9] = [
    field("magic", 8, "`HFWALSEG`; read first"),
    field("version", 4, "of the format; read second, so that a later one is *unsupported* and not *corrupt*"),
    field("check", 4, "CRC32 of version and of all bytes behind this field up to the end of the sector"),
    field("cluster", 16, "id of the cluster"),
    field("node", 16, "uuid of the node's directory"),
    field("number", 8, "of this segment; the file is named after it"),
    field("base", 8, "position of the first byte of this segment: number × size"),
    field("size", 8, "of this segment in bytes; the same for all of a directory"),
    field("salt", 8, "random; mixed into every check of this segment"),
];

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose log this is.
    pub identity: Identity,
    /// Counted from 1.
    pub number: u64,
    /// Length of the file in bytes.
    pub size: u64,
    /// Mixed into the checks of the records.
    pub salt: Salt,
}

/// What stands where a header should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentFound {
    /// A header.
    Valid(SegmentHeader),
    /// A header of another version of the format.
    Unsupported(u32),
    /// No header: wrong magic, wrong check, or numbers that contradict each other.
    Wrong,
}

impl SegmentHeader {
    /// The position of the first byte of the segment.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.number * self.size
    }

    /// The sector.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        let mut put = Put(&mut bytes);
        put.bytes(&MAGIC);
        put.u32(VERSION);
        put.u32(0);
        put.bytes(&self.identity.cluster);
        put.bytes(&self.identity.node);
        put.u64(self.number);
        put.u64(self.base());
        put.u64(self.size);
        put.u64(self.salt.0);
        bytes.resize(SEGMENT_HEADER_BYTES, 0);
        let check = check(&bytes);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        let mut sector = [0; SEGMENT_HEADER_BYTES];
        sector.copy_from_slice(&bytes);
        sector
    }

    /// Reads the sector: magic, then version, then check.
    #[must_use]
    pub fn read(sector: &[u8]) -> SegmentFound {
        if sector.len() < SEGMENT_HEADER_BYTES || sector[..8] != MAGIC {
            return SegmentFound::Wrong;
        }
        let sector = &sector[..SEGMENT_HEADER_BYTES];
        let mut get = Get(&sector[8..]);
        let version = get.u32();
        if version != VERSION {
            return SegmentFound::Unsupported(version);
        }
        let declared = get.u32();
        let identity = Identity { cluster: get.id(), node: get.id() };
        let (number, base, size, salt) = (get.u64(), get.u64(), get.u64(), Salt(get.u64()));
        let sound =
            is_segment_size(size) && number <= MAX_SEGMENT_NUMBER && number.checked_mul(size) == Some(base);
        if declared != check(sector) || !sound {
            return SegmentFound::Wrong;
        }
        SegmentFound::Valid(Self { identity, number, size, salt })
    }
}

/// The check of a sector or slot that begins with magic, version and check: all but magic and check.
pub(super) fn check(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[8..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}
