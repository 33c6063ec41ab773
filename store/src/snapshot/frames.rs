//! The outer layer: chunks with checks, and a hash over all of them.
//!
//! A check says at once that a chunk is damaged, and covers its place, so that two that were swapped are found. The hash at
//! the end says that no chunk was exchanged for one of another snapshot, which has the same place and a check that fits.

use sha2::{Digest, Sha256};

use super::{SnapshotError, SnapshotFault};

const MAGIC: [u8; 8] = *b"HFSNAPS\n";

/// The version of the format that this build writes, and the highest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes before the first chunk: magic, version, two of zero, check.
pub const PREAMBLE_BYTES: usize = 16;

/// Bytes before the payload of a chunk: length, kind, check.
pub const CHUNK_HEADER_BYTES: usize = 12;

/// The most bytes of a chunk's payload. All chunks but the last two have so many.
pub const CHUNK_BYTES: usize = 64 * 1024;

const DATA: u32 = 1;
const END: u32 = 2;

/// The payload of the last chunk: the number of records and the hash.
const END_BYTES: usize = 8 + 32;

/// The hash of a whole snapshot.
pub(super) type Hash = [u8; 32];

fn check(offset: u64, length: u32, kind: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(&kind.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn preamble(version: u16) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let check = crc32fast::hash(&out);
    out.extend_from_slice(&check.to_le_bytes());
    out
}

/// Wraps payloads.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    hash: Sha256,
    offset: u64,
}

impl Writer {
    fn put(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        self.hash.update(bytes);
        self.offset += bytes.len() as u64;
        out.extend_from_slice(bytes);
    }

    fn chunk(&mut self, out: &mut Vec<u8>, kind: u32, payload: &[u8]) {
        if self.offset == 0 {
            self.put(out, &preamble(FORMAT_VERSION));
        }
        // At most 64 KiB.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let check = check(self.offset, length, kind, payload);
        for field in [length, kind, check] {
            self.put(out, &field.to_le_bytes());
        }
        self.put(out, payload);
    }

    /// A chunk of data, 1 to [`CHUNK_BYTES`] of it; the first time behind the preamble.
    pub(super) fn data(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREAMBLE_BYTES + CHUNK_HEADER_BYTES + payload.len());
        self.chunk(&mut out, DATA, payload);
        out
    }

    /// The last chunk.
    pub(super) fn end(&mut self, records: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut payload = records.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.hash.clone().finalize());
        self.chunk(&mut out, END, &payload);
        out
    }

    /// Bytes so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

/// What the last chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) records: u64,
    pub(super) hash: Hash,
}

/// Unwraps payloads from pieces of any length.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// What has come of the preamble, or of a chunk.
    part: Vec<u8>,
    /// Where it begins.
    offset: u64,
    hash: Sha256,
    end: Option<End>,
}

/// A little-endian number at a place that is known to be there.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl Reader {
    fn fault<T>(&self, fault: SnapshotFault) -> Result<T, SnapshotError> {
        Err(SnapshotError { offset: self.offset, section: None, fault })
    }

    /// How many bytes make the part whole that begins with these, as far as it is known by now.
    fn wanted(&self, part: &[u8]) -> Result<usize, SnapshotError> {
        if self.offset == 0 {
            return Ok(PREAMBLE_BYTES);
        }
        if part.len() < CHUNK_HEADER_BYTES {
            return Ok(CHUNK_HEADER_BYTES);
        }
        let (length, kind) = (number(part, 0), number(part, 4));
        let fits = match kind {
            DATA => (1..=CHUNK_BYTES as u32).contains(&length),
            END => length == END_BYTES as u32,
            _ => return self.fault(SnapshotFault::ChunkKind { kind }),
        };
        if fits {
            Ok(CHUNK_HEADER_BYTES + length as usize)
        } else {
            self.fault(SnapshotFault::ChunkLength { length })
        }
    }

    /// Takes bytes, and shows `take` each payload, and where it begins.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(u64, &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            if self.end.is_some() {
                return self.fault(SnapshotFault::Trailing);
            }
            if self.part.is_empty()
                && let Some((part, later)) = bytes.split_at_checked(self.wanted(bytes)?)
            {
                // All of it is here: it is not copied.
                self.whole(part, &mut take)?;
                bytes = later;
                continue;
            }
            let wanted = self.wanted(&self.part)?;
            let (now, later) = bytes.split_at((wanted - self.part.len()).min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            // A header that is whole now may say that its payload follows.
            if self.part.len() == wanted && self.wanted(&self.part)? == wanted {
                let part = std::mem::take(&mut self.part);
                self.whole(&part, &mut take)?;
                self.part = part;
                self.part.clear();
            }
        }
        Ok(())
    }

    /// A part is whole.
    fn whole(
        &mut self,
        part: &[u8],
        take: &mut impl FnMut(u64, &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        if self.offset == 0 {
            self.check_preamble(part)?;
        } else {
            let (length, kind) = (number(part, 0), number(part, 4));
            let payload = part.get(CHUNK_HEADER_BYTES..).unwrap_or_default();
            if number(part, 8) != check(self.offset, length, kind, payload) {
                return self.fault(SnapshotFault::Check);
            }
            if kind == END {
                let (records, hash) = payload.split_at(8);
                let records = records.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                if hash != &self.hash.clone().finalize()[..] {
                    return self.fault(SnapshotFault::Hash);
                }
                let hash = hash.first_chunk().copied().unwrap_or_default();
                self.end = Some(End { records, hash });
            } else {
                take(self.offset + CHUNK_HEADER_BYTES as u64, payload)?;
            }
        }
        self.hash.update(part);
        self.offset += part.len() as u64;
        Ok(())
    }

    fn check_preamble(&self, part: &[u8]) -> Result<(), SnapshotError> {
        let (text, rest) = part.split_at(12);
        if !text.starts_with(&MAGIC) {
            return self.fault(SnapshotFault::NotOne);
        }
        // Where version and check stand is the same in every version, so that damage is told from a later build.
        if crc32fast::hash(text).to_le_bytes() != rest {
            return self.fault(SnapshotFault::Check);
        }
        let version = number(text, 8);
        match u16::try_from(version) {
            Ok(FORMAT_VERSION) => Ok(()),
            Ok(version) if version > FORMAT_VERSION => self.fault(SnapshotFault::LaterVersion { version }),
            Ok(_) | Err(_) => self.fault(SnapshotFault::NotOne),
        }
    }

    /// What the last chunk said.
    ///
    /// # Errors
    /// [`SnapshotFault::Cut`] if it has not come.
    pub(super) fn finish(&self) -> Result<End, SnapshotError> {
        match self.end {
            Some(end) => Ok(end),
            None => self.fault(SnapshotFault::Cut),
        }
    }

    /// Bytes that were taken and are whole.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}
