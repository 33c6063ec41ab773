//! The inner layer: records of numbered sections, which pay no heed to where chunks begin and end.

use bytes::{Bytes, BytesMut};
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
        if holds { Ok(()) } else { Err(Self::rule(rule)) }
    }

    /// This rule is broken.
    pub(crate) fn rule(rule: &'static str) -> Self {
        Self(SnapshotFault::Rule(rule))
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// The number of its section.
    pub(super) number: u16,
    fields: &'a [u8],
}

impl<'a> Record<'a> {
    /// A reader for what copies what it keeps.
    pub(super) fn fields(&self) -> Reader<&'a [u8]> {
        Reader::over(self.fields)
    }

    /// A reader of a copy: whoever keeps a part of it keeps this record, and no chunk.
    pub(super) fn reader(&self) -> Reader {
        Reader::new(Bytes::copy_from_slice(self.fields))
    }
}

/// Finds records in payloads.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// A record that began in a payload and does not end in it; mostly one in two hundred.
    begun: Vec<u8>,
    /// Where the first byte of the record that comes next stands.
    offset: u64,
    tallies: Vec<Tally>,
}

impl Parser {
    /// Takes a payload, and shows `take` each record.
    pub(super) fn push(
        &mut self,
        offset: u64,
        mut payload: &[u8],
        mut take: impl FnMut(Record<'_>) -> Result<(), SnapshotFault>,
    ) -> Result<(), SnapshotError> {
        if self.begun.is_empty() {
            self.offset = offset;
        }
        let end = offset + payload.len() as u64;
        while !self.begun.is_empty() && !payload.is_empty() {
            let wanted = self.wanted(&self.begun)?;
            let (now, later) = payload.split_at((wanted - self.begun.len()).min(payload.len()));
            self.begun.extend_from_slice(now);
            payload = later;
            // A header that is whole now may say that fields follow.
            if self.begun.len() == wanted && self.wanted(&self.begun)? == wanted {
                let begun = std::mem::take(&mut self.begun);
                self.whole(&begun, &mut take)?;
                self.begun = begun;
                self.begun.clear();
                self.begun.shrink_to(CHUNK_BYTES);
                self.offset = end - payload.len() as u64;
            }
        }
        while let Some((record, later)) = payload.split_at_checked(self.wanted(payload)?) {
            self.whole(record, &mut take)?;
            payload = later;
            // What is left came with this payload.
            self.offset = end - payload.len() as u64;
        }
        self.begun.extend_from_slice(payload);
        Ok(())
    }

    /// How many bytes make the record whole that begins with these, as far as it is known by now.
    fn wanted(&self, bytes: &[u8]) -> Result<usize, SnapshotError> {
        match header(bytes) {
            None => Ok(RECORD_HEADER_BYTES),
            Some((_, length)) if length as usize <= RECORD_BYTES_MAX => {
                Ok(RECORD_HEADER_BYTES + length as usize)
            }
            Some((number, length)) => {
                let fault = SnapshotFault::RecordLength { length };
                Err(SnapshotError { offset: self.offset, section: Some(number), fault })
            }
        }
    }

    /// A record is whole.
    fn whole(
        &mut self,
        record: &[u8],
        take: &mut impl FnMut(Record<'_>) -> Result<(), SnapshotFault>,
    ) -> Result<(), SnapshotError> {
        let Some(((number, length), fields)) = header(record).zip(record.get(RECORD_HEADER_BYTES..)) else {
            return Ok(());
        };
        let offset = self.offset;
        let fault = |fault| SnapshotError { offset, section: Some(number), fault };
        self.tally(number, length).map_err(fault)?;
        take(Record { number, fields }).map_err(fault)
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
        if !self.begun.is_empty() {
            let section = header(&self.begun).map(|(number, _)| number);
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
