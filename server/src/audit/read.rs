//! Reading: from an index on, so much at a time, through all files.

use std::io;

use bytes::Bytes;
use holdfast_command::Actor;
use holdfast_command::audit::{AuditRecord, TouchedKind};
use holdfast_wal::disk::{Access, Disk};

use super::error::AuditError;
use super::files::AuditFiles;
use super::format::{FRAME_HEAD_BYTES, FrameKind, Header, HeaderFound};
use super::frames::Frames;
use super::{AuditFilter, AuditPage, Missing, MissingReason};

/// Bytes of frames that a call goes through; those before the first index that is wanted are not counted, and are at most
/// one file.
const SCAN_BYTES: u64 = 4 * 1024 * 1024;

/// What opening a file counts.
const OPEN_BYTES: u64 = 64 * 1024;

/// Places where pages ended are remembered, so that the next page does not go through the file again.
const CURSORS_MAX: usize = 16;

/// Where a page ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// The first index of the file.
    first: u64,
    /// The index of the last frame that was looked at.
    index: u64,
    /// Behind that frame.
    at: u64,
}

/// A page that is being filled.
#[derive(Debug)]
struct Filling<'a> {
    filter: &'a AuditFilter,
    page: AuditPage,
    bytes: usize,
    scanned: u64,
    /// The index of the last frame that was looked at.
    last: u64,
}

/// How going through a file ended.
#[derive(Debug)]
enum Pass {
    /// There is no frame any more that counts.
    End,
    /// The page is full.
    Full { at: u64 },
    /// Nothing behind it is wanted.
    Done,
}

impl Filling<'_> {
    /// Notes that the indices behind the last one and up to this one have no records.
    fn missing(&mut self, upto: u64, why: MissingReason) {
        let first = self.last.saturating_add(1).max(self.filter.from);
        if first <= upto {
            self.page.missing.push(Missing { first, last: upto, why });
        }
        self.last = self.last.max(upto);
    }

    /// Takes the frames of a file that have indices below `end`.
    fn pass<D: Disk>(&mut self, frames: &mut Frames<'_, D>, end: Option<u64>) -> io::Result<Pass> {
        loop {
            let at = frames.at;
            // An unreadable sector is the end of what can be read.
            let Ok(Some(frame)) = frames.next() else { return Ok(Pass::End) };
            if end.is_some_and(|end| frame.index >= end) {
                return Ok(Pass::End);
            }
            let wanted = frame.index >= self.filter.from;
            if wanted {
                self.scanned += (FRAME_HEAD_BYTES + frame.payload.len()) as u64;
            }
            match frame.kind {
                FrameKind::Gap => self.missing(frame.index, MissingReason::Passed),
                FrameKind::Record if wanted => {
                    if frame.stamp > self.filter.until {
                        return Ok(Pass::Done);
                    }
                    if frame.stamp >= self.filter.since && matches(self.filter, frame.payload) {
                        let bytes = self.bytes + frame.payload.len();
                        if !self.page.records.is_empty() && bytes > self.filter.bytes_max {
                            return Ok(Pass::Full { at });
                        }
                        self.bytes = bytes;
                        self.page.records.push(Bytes::copy_from_slice(frame.payload));
                    }
                }
                FrameKind::Record | FrameKind::Mark => {}
            }
            self.last = frame.index;
            if self.is_full() {
                return Ok(Pass::Full { at: frames.at });
            }
        }
    }

    fn is_full(&self) -> bool {
        self.page.records.len() >= self.filter.limit.max(1) || self.scanned >= SCAN_BYTES
    }
}

/// Whether a record is wanted, whose index and stamp are. One that this build cannot read is: it is not for this node to keep
/// it from somebody.
fn matches(filter: &AuditFilter, record: &[u8]) -> bool {
    if filter.prefix.is_empty() && filter.actor.is_none() {
        return true;
    }
    let Ok(record) = AuditRecord::decode(Bytes::copy_from_slice(record)) else { return true };
    let is_by = |name: &str| match &record.actor {
        Actor::Anonymous => name.is_empty(),
        Actor::Named(own) => **own == *name,
        // It has no name that anybody could ask for.
        Actor::Cluster => false,
    };
    if filter.actor.as_ref().is_some_and(|actor| !is_by(actor)) {
        return false;
    }
    let named = |kind| match kind {
        TouchedKind::Key | TouchedKind::Lock | TouchedKind::Election => true,
        TouchedKind::Namespace | TouchedKind::Setting | TouchedKind::Level | TouchedKind::Session => false,
        TouchedKind::Lease | TouchedKind::History => false,
    };
    let listed = record.touched.len() as u64;
    filter.prefix.is_empty()
        || listed < record.count
        || record
            .touched
            .iter()
            .any(|touched| named(touched.kind) && touched.name.starts_with(&filter.prefix))
}

impl<D: Disk> AuditFiles<D> {
    /// Reads records. What was appended before is seen; if it cannot be written to its file now, the page ends before it and
    /// says so in [`through`](AuditPage::through). A call goes through a bounded part of the files: a page may be empty and
    /// not the last.
    ///
    /// # Errors
    /// [`AuditError::Io`] if a file that is there cannot be opened. Damage is no error: see [`AuditPage::missing`].
    pub fn read(&mut self, filter: &AuditFilter) -> Result<AuditPage, AuditError> {
        let (page, damaged) = self.read_once(filter)?;
        // What was in memory may stand in another file by now.
        if damaged && self.flush().is_ok() && self.active.is_some() {
            return Ok(self.read_once(filter)?.0);
        }
        Ok(page)
    }

    /// Reads records, and says whether the newest file turned out to be damaged.
    fn read_once(&mut self, filter: &AuditFilter) -> Result<(AuditPage, bool), AuditError> {
        let flushed = self.flush().is_ok();
        let through = if flushed { self.through } else { self.written_index };
        let own: Vec<(String, Header)> =
            self.files.iter().filter_map(|kept| Some((kept.name.clone(), kept.header?))).collect();
        let next_of = |at: usize| own.get(at + 1).map(|(_, header)| *header);
        // The last file that may hold the first index; the first file if all begin behind it.
        let start = own.partition_point(|(_, header)| header.first <= filter.from).saturating_sub(1);
        let page = AuditPage { through, ..AuditPage::default() };
        let mut filling = Filling { filter, page, bytes: 0, scanned: 0, last: 0 };
        let (mut full, mut damaged) = (None, false);
        for (at, (name, header)) in own.iter().enumerate().skip(start) {
            let next = next_of(at);
            filling.last = filling.last.max(header.first.saturating_sub(1));
            if next.is_some_and(|next| next.stamp != 0 && next.stamp < filter.since) {
                continue;
            }
            let passed = self.pass(name, header, next, &mut filling)?;
            match passed {
                Pass::Full { at } => {
                    full = Some(Cursor { first: header.first, index: filling.last, at });
                    break;
                }
                Pass::Done => break,
                Pass::End => {}
            }
            // What of the indices before the next file was not there. What is in memory goes into another file.
            let Some(next) = next else {
                if filling.last < self.written_index {
                    let last = filling.last;
                    filling.missing(self.durable, MissingReason::Lost);
                    filling.page.through = filling.last;
                    self.begins_after_loss(last);
                    damaged = true;
                }
                break;
            };
            if filling.last.saturating_add(1) < next.first {
                filling.missing(next.first - 1, MissingReason::Lost);
                self.begins_at(next.first);
            }
            filling.scanned += OPEN_BYTES;
            if filling.is_full() {
                full = Some(Cursor { first: header.first, index: filling.last, at: 0 });
                break;
            }
        }
        let Filling { mut page, last, .. } = filling;
        let reached = last.max(filter.from.saturating_sub(1));
        page.next = (full.is_some() && reached < through).then_some(reached + 1);
        page.complete_from = self.complete_from;
        if let Some(cursor) = full.filter(|cursor| cursor.at > 0) {
            if self.cursors.len() >= CURSORS_MAX {
                self.cursors.pop_front();
            }
            self.cursors.push_back(cursor);
        }
        Ok((page, damaged))
    }

    /// Goes through one file.
    fn pass(
        &mut self,
        name: &str,
        header: &Header,
        next: Option<Header>,
        filling: &mut Filling<'_>,
    ) -> Result<Pass, AuditError> {
        let reading = self.io("reading records");
        let file = match self.disk.open(name, Access::Read) {
            // Somebody removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pass::End),
            opened => opened.map_err(&reading)?,
        };
        // What is not the file that was there at the start is as good as gone.
        let Ok((HeaderFound::Valid(found, check), _)) = self.header_of(name) else { return Ok(Pass::End) };
        if found != *header {
            return Ok(Pass::End);
        }
        let mut frames = Frames::new(&self.disk, &file, check, header.first).map_err(&reading)?;
        let cursor = self.cursors.iter().rev().find(|cursor| {
            cursor.first == header.first && cursor.index.saturating_add(1) == filling.filter.from
        });
        if let Some(cursor) = cursor {
            frames = frames.from(cursor.at, cursor.index);
            filling.last = cursor.index;
        }
        filling.pass(&mut frames, next.map(|next| next.first)).map_err(&reading)
    }

    /// Leaves the newest file, which cannot be read behind this index.
    fn begins_after_loss(&mut self, last: u64) {
        if last < self.durable {
            self.begins_at(self.durable.saturating_add(1));
        }
        self.give_up();
    }
}
