//! The inner layer: records of numbered sections, which pay no heed to where chunks begin and end.

use bytes::{Buf, Bytes, BytesMut};
use holdfast_command::DecodeError;
use holdfast_command::layout::{Reader, put_nested};
use holdfast_machine::Numbered;

use super::{CHUNK_BYTES, Section, SnapshotError, SnapshotFault};

/// Bytes before the fields of a record: section and length.
pub const RECORD_HEADER_BYTES: usize = 6;

/// The most bytes of fields: twice the longest value, so that no key and no answer comes near.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Records on their way into chunks.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: BytesMut,
    scratch: Vec<u8>,
    count: u64,
}

impl Records {
    /// Appends a record.
    pub(crate) fn put(&mut self, section: Section, write: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.extend_from_slice(&section.number().to_le_bytes());
        put_nested(&mut self.scratch, write);
        self.bytes.extend_from_slice(&self.scratch);
        self.scratch.clear();
        self.scratch.shrink_to(CHUNK_BYTES);
        self.count += 1;
    }

    /// Whether there is enough for a chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    /// The next chunk's payload; empty if nothing is left.
    pub(super) fn take(&mut self) -> BytesMut {
        let count = self.bytes.len().min(CHUNK_BYTES);
        self.bytes.split_to(count)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(super) SnapshotFault);

impl From<DecodeError> for Refused {
    fn from(DecodeError { offset, fault }: DecodeError) -> Self {
        Self(SnapshotFault::Field { offset, fault })
    }
}

impl Refused {
    /// Nothing, if it holds.
    pub(crate) fn unless(holds: bool, rule: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self(SnapshotFault::Rule(rule))) }
    }
}

/// How much there is of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Its number.
    pub number: u16,
    /// How many records.
    pub records: u64,
    /// Bytes of them, with what stands before their fields.
    pub bytes: u64,
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    /// The number of its section.
    pub(super) number: u16,
    pub(super) fields: Bytes,
}

impl Record {
    pub(super) fn reader(&self) -> Reader {
        Reader::new(self.fields.clone())
    }
}

/// Finds records in payloads.
#[derive(Debug, Default)]
pub(super) struct Parser {
    bytes: BytesMut,
    /// Where the first byte of it stands.
    offset: u64,
    tallies: Vec<Tally>,
}

impl Parser {
    /// Takes a payload, and shows `take` each record.
    pub(super) fn push(
        &mut self,
        offset: u64,
        payload: &[u8],
        mut take: impl FnMut(Record) -> Result<(), SnapshotFault>,
    ) -> Result<(), SnapshotError> {
        if self.bytes.is_empty() {
            self.offset = offset;
        }
        self.bytes.extend_from_slice(payload);
        let end = offset + payload.len() as u64;
        while let Some((number, length)) = header(&self.bytes) {
            let offset = self.offset;
            let fault = |fault| SnapshotError { offset, section: Some(number), fault };
            if length as usize > RECORD_BYTES_MAX {
                return Err(fault(SnapshotFault::RecordLength { length }));
            }
            if self.bytes.len() < RECORD_HEADER_BYTES + length as usize {
                break;
            }
            self.tally(number, length).map_err(fault)?;
            self.bytes.advance(RECORD_HEADER_BYTES);
            let fields = self.bytes.split_to(length as usize).freeze();
            take(Record { number, fields }).map_err(fault)?;
            // What is left came with this payload.
            self.offset = end - self.bytes.len() as u64;
        }
        Ok(())
    }

    fn tally(&mut self, number: u16, length: u32) -> Result<(), SnapshotFault> {
        let bytes = RECORD_HEADER_BYTES as u64 + u64::from(length);
        match self.tallies.last_mut() {
            Some(last) if last.number == number => {
                let single = Section::from_number(number).and_then(Section::is_single);
                if single == Some(true) {
                    return Err(SnapshotFault::Order);
                }
                last.records += 1;
                last.bytes += bytes;
            }
            Some(last) if last.number > number => return Err(SnapshotFault::Order),
            Some(_) | None => self.tallies.push(Tally { number, records: 1, bytes }),
        }
        Ok(())
    }

    /// No record was begun and not ended; and there are so many.
    pub(super) fn finish(self, records: u64, offset: u64) -> Result<Vec<Tally>, SnapshotError> {
        let fault = |section, fault| SnapshotError { offset, section, fault };
        if !self.bytes.is_empty() {
            let section = header(&self.bytes).map(|(number, _)| number);
            return Err(SnapshotError { offset: self.offset, ..fault(section, SnapshotFault::Cut) });
        }
        if self.tallies.iter().map(|tally| tally.records).sum::<u64>() != records {
            return Err(fault(None, SnapshotFault::Hash));
        }
        Ok(self.tallies)
    }
}

/// Section and length of the record that begins here.
fn header(bytes: &[u8]) -> Option<(u16, u32)> {
    let (number, rest) = bytes.split_first_chunk()?;
    let length = rest.first_chunk()?;
    Some((u16::from_le_bytes(*number), u32::from_le_bytes(*length)))
}
