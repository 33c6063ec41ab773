//! What is asked of an audit log, and what it answers.
//!
//! A member answers from its own files. They hold the same records at the same indices as those of every other member, but
//! not equally many: a member that joined by a snapshot has none from before it, and old files are deleted. So every page says
//! from which index on nothing is missing, and up to which it is about.

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use holdfast_machine::{Numbered, numbered};

use super::ITEMS_MAX;
use crate::layout::{DecodeError, Reader, length, put_section};

/// Which records are asked for; the default asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Of this log index or a later one: 0 for the first there is, then what `next` of the page before says.
    pub from: u64,
    /// Of this stamp of the hybrid clock or a later one; 0 for any.
    pub since: u64,
    /// Of this stamp or an earlier one; 0 for any.
    pub until: u64,
    /// At most so many; 0 for as many as may be.
    pub limit: u32,
    /// Those that touched a key, a lock or an election whose name begins with this; empty for any. A record that does not
    /// list all that it touched is given as well: it may have.
    pub prefix: Bytes,
    /// Those of the actor with this name; the empty name for those who have none. `None` for any.
    pub actor: Option<ByteString>,
}

numbered! {
    /// Why records are not there.
    pub enum MissingReason: u8, "W" {
        /// The member did not apply these entries, but was given the state behind them. Others may have the records.
        Passed = 1,
        /// A file that held them is damaged or gone. Others may have the records.
        Lost = 2,
    }
}

/// Indices whose records are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingRecords {
    /// The first index.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Why.
    pub why: MissingReason,
}

/// Some records, in the order of their indices.
///
/// A page may be empty and yet have a `next`: a member looks through a bounded part of its files at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// No record of this index or a later one is missing here, up to `through`.
    pub complete_from: u64,
    /// Up to which index there is a record of everything that left one; may be behind what is applied meanwhile.
    pub through: u64,
    /// Where to go on; 0 at the end.
    pub next: u64,
    /// Bytes of an [`AuditRecord`](crate::AuditRecord) each, as the member applied them.
    pub records: Vec<Bytes>,
    /// What is missing of the indices that were looked through.
    pub missing: Vec<MissingRecords>,
}

impl AuditQuery {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.from, self.since, self.until] {
            out.put_u64_le(number);
        }
        out.put_u32_le(self.limit);
        put_section(out, &self.prefix);
        out.put_u8(self.actor.is_some().into());
        if let Some(actor) = &self.actor {
            put_section(out, actor.as_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (from, since, until) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (limit, prefix) = (reader.u32()?, reader.section()?);
        let actor = match reader.flags(1)? {
            0 => None,
            _ => Some(reader.text()?),
        };
        Ok(Self { from, since, until, limit, prefix, actor })
    }
}

impl AuditPage {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.complete_from, self.through, self.next] {
            out.put_u64_le(number);
        }
        out.put_u32_le(length(self.records.len()));
        for record in &self.records {
            put_section(out, record);
        }
        out.put_u32_le(length(self.missing.len()));
        for MissingRecords { first, last, why } in &self.missing {
            out.put_u64_le(*first);
            out.put_u64_le(*last);
            out.put_u8(why.number());
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (complete_from, through, next) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let count = reader.count("records", 4, ITEMS_MAX.into())?;
        let records = reader.items(count, Reader::section)?;
        let count = reader.count("missing records", MissingRecords::BYTES, ITEMS_MAX.into())?;
        let missing = reader.items(count, MissingRecords::read)?;
        Ok(Self { complete_from, through, next, records, missing })
    }
}

impl MissingRecords {
    const BYTES: usize = 17;

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (first, last) = (reader.u64()?, reader.u64()?);
        Ok(Self { first, last, why: reader.numbered("reason why records are missing")? })
    }
}
