//! Appending: from memory into the newest file, and from one file to the next.
//!
//! What was appended is held as frames until it is durable. `written` of these bytes stand in the newest file.
//! ```text
//!   frames:  ├── written ──┼── not yet ──┤
//!            durable       written       through
//! ```

use std::collections::VecDeque;
use std::io;

use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_wal::disk::Disk;

use super::AuditPolicy;
use super::error::AuditError;
use super::format::{
    ASIDE, FRAME_HEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameHead, FrameKind, Header, frame_check, name,
};
use super::read::Cursor;

/// After so many indices without a record, a mark says so.
const MARK_EVERY: u64 = 4_096;

/// Bytes that are written before they are synced: so much is held in memory, and no sync is long. The log shares the
/// device.
const SYNC_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 1024 * 1024;

/// Smaller files are not made, whatever the policy says.
const FILE_BYTES_MIN: u64 = 4 * 1024;

/// A file that is there.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// `None` for what is not read: another life of the cluster, or no sound header.
    pub(super) header: Option<Header>,
}

/// The newest file, while it is appended to.
#[derive(Debug)]
pub(super) struct Active<F> {
    pub(super) file: F,
    pub(super) header_check: u32,
    /// Where the next frame goes.
    pub(super) at: u64,
    /// Bytes that are allocated.
    pub(super) length: u64,
    /// Its name is durable.
    pub(super) named: bool,
}

/// What is known of the files at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditStatus {
    /// See [`AuditFiles::complete_from`].
    pub complete_from: u64,
    /// See [`AuditFiles::through`].
    pub through: u64,
    /// Up to this index all of it is durable.
    pub durable: u64,
    /// How many files there are.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
}

/// The files of the audit log of a node. All calls belong on a thread that may wait for the disk.
#[derive(Debug)]
pub struct AuditFiles<D: Disk> {
    pub(super) disk: D,
    pub(super) cluster: ClusterId,
    pub(super) epoch: ClusterEpoch,
    pub(super) policy: AuditPolicy,
    /// The oldest first; those of other lives of the cluster before all of this one.
    pub(super) files: Vec<Kept>,
    pub(super) active: Option<Active<D::File>>,
    /// What is not known to be durable, as it stands in a file but for the checks.
    pub(super) frames: Vec<u8>,
    /// How many bytes of it stand in the active file.
    pub(super) written: usize,
    /// Everything up to here is durable.
    pub(super) durable: u64,
    /// Everything up to here stands in the files.
    pub(super) written_index: u64,
    /// The stamp of the last frame that was written.
    pub(super) written_stamp: u64,
    /// The index of the last frame.
    pub(super) framed: u64,
    pub(super) through: u64,
    pub(super) complete_from: u64,
    /// The same without the gaps that are not durable yet.
    pub(super) settled_from: u64,
    /// The indices of those gaps, ascending.
    pub(super) gaps: VecDeque<u64>,
    /// The highest so far.
    pub(super) stamp: u64,
    /// The highest of what is durable.
    pub(super) durable_stamp: u64,
    /// Where pages ended, the newest last.
    pub(super) cursors: VecDeque<Cursor>,
}

impl<D: Disk> AuditFiles<D> {
    /// Every index up to this one was appended, completed or passed over.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// From this index on nothing is missing, as far as is known: at most one above [`through`](Self::through).
    #[must_use]
    pub fn complete_from(&self) -> u64 {
        self.complete_from
    }

    /// What is known at a glance.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        AuditStatus {
            complete_from: self.complete_from,
            through: self.through,
            durable: self.durable,
            files: self.files.len(),
            bytes: self.files.iter().map(|file| file.bytes).sum(),
        }
    }

    /// Bytes that are only in memory.
    #[must_use]
    pub fn outstanding_bytes(&self) -> usize {
        self.frames.len() - self.written
    }

    pub(super) fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> AuditError + use<D> {
        let place = self.disk.place();
        move |error| AuditError::Io { place: place.clone(), doing, error }
    }

    /// Takes the record of an index. It is only in memory until [`flush`](Self::flush). Ignored if the index is not above
    /// [`through`](Self::through): a start replays what was there before.
    pub fn append(&mut self, index: u64, record: &[u8]) {
        if index <= self.through {
            return;
        }
        let stamp = holdfast_command::audit::stamp(record).unwrap_or(0);
        self.stamp = self.stamp.max(stamp);
        match u32::try_from(record.len()).ok().filter(|length| *length <= FRAME_PAYLOAD_BYTES_MAX) {
            Some(length) => {
                self.frame(FrameKind::Record, index, length);
                self.frames.extend_from_slice(record);
            }
            // No command leaves so large a record. If one did, that it is missing had to be said.
            None => {
                self.mark();
                self.gap(index);
            }
        }
        self.through = index;
    }

    /// Says that everything up to here was appended.
    pub fn complete(&mut self, through: u64) {
        self.through = self.through.max(through);
        if self.through - self.framed >= MARK_EVERY {
            self.frame(FrameKind::Mark, self.through, 0);
        }
    }

    /// Says that the state was replaced by one behind this index, so that the records in between never come. Ignored if the
    /// index is not above [`through`](Self::through).
    pub fn reinstalled(&mut self, index: u64) {
        if index > self.through {
            self.mark();
            self.gap(index);
            self.through = index;
        }
    }

    /// Appends the head of a frame.
    fn frame(&mut self, kind: FrameKind, index: u64, length: u32) {
        FrameHead { check: 0, length, kind, index, stamp: self.stamp }.write(&mut self.frames);
        self.framed = index;
    }

    fn gap(&mut self, index: u64) {
        self.frame(FrameKind::Gap, index, 0);
        self.complete_from = index.saturating_add(1);
        self.gaps.push_back(index);
    }

    /// Notes that records before an index are no longer here.
    pub(super) fn begins_at(&mut self, index: u64) {
        self.complete_from = self.complete_from.max(index);
        self.settled_from = self.settled_from.max(index);
    }

    /// Puts into a frame how far the records are complete.
    fn mark(&mut self) {
        if self.framed < self.through {
            self.frame(FrameKind::Mark, self.through, 0);
        }
    }

    /// Writes what was appended. It survives the end of the process then, but no power cut.
    ///
    /// # Errors
    /// [`AuditError::Io`]: nothing is lost, and the next call goes on.
    pub fn flush(&mut self) -> Result<(), AuditError> {
        while self.written < self.frames.len() {
            self.write_some()?;
            if self.written >= SYNC_BYTES {
                self.sync_active()?;
            }
        }
        self.written_index = self.framed;
        Ok(())
    }

    /// Makes durable all that was appended, and says up to which index that is.
    ///
    /// # Errors
    /// [`AuditError::Io`]: nothing is lost, and the next call goes on, in a new file if need be.
    pub fn sync(&mut self) -> Result<u64, AuditError> {
        self.mark();
        self.flush()?;
        if self.written > 0 {
            self.sync_active()?;
        }
        Ok(self.durable)
    }

    /// The frame at `at` of those in memory.
    fn head(&self, at: usize) -> Option<FrameHead> {
        FrameHead::read(self.frames.get(at..)?)
    }

    /// Writes the next frames, as many as go at once.
    fn write_some(&mut self) -> Result<(), AuditError> {
        let Some(first) = self.head(self.written) else { return Ok(()) };
        let room = self.policy.file_bytes.max(FILE_BYTES_MIN);
        let full = |at: u64, bytes: usize| at.saturating_add(bytes as u64) > room;
        let has_frames = |at: u64| at > super::HEADER_BYTES as u64;
        if self
            .active
            .as_ref()
            .is_some_and(|active| has_frames(active.at) && full(active.at, first.frame_bytes()))
        {
            // What stands in it has to be durable before the next one is begun.
            if self.written > 0 {
                self.sync_active()?;
            }
            self.active = None;
        }
        if self.active.is_none() {
            self.begin()?;
        }
        let writing = self.io("writing records");
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let (start, mut end) = (self.written, self.written);
        let (mut index, mut stamp) = (self.written_index, self.written_stamp);
        while let Some(head) = self.frames.get(end..).and_then(FrameHead::read) {
            let offset = active.at + (end - start) as u64;
            let bytes = head.frame_bytes();
            if end > start && (full(offset, bytes) || end - start + bytes > WRITE_BYTES) {
                break;
            }
            let Some(frame) = self.frames.get_mut(end..end + bytes) else { break };
            let check = frame_check(active.header_check, offset, frame);
            frame[..4].copy_from_slice(&check.to_le_bytes());
            (end, index, stamp) = (end + bytes, head.index, head.stamp);
        }
        let length = active.at + (end - start) as u64;
        if length > active.length {
            self.disk.allocate(&active.file, length).map_err(&writing)?;
            active.length = length;
        }
        // What a failure leaves of it is written over by the next attempt, with the same bytes.
        self.disk.write_at(&active.file, active.at, &self.frames[start..end]).map_err(&writing)?;
        active.at = length;
        let length = active.length;
        if let Some(newest) = self.files.last_mut() {
            newest.bytes = length;
        }
        (self.written, self.written_index, self.written_stamp) = (end, index, stamp);
        Ok(())
    }

    /// Begins a file behind what is durable. Nothing of `frames` is written.
    fn begin(&mut self) -> Result<(), AuditError> {
        let beginning = self.io("beginning a file");
        let first = self.durable.saturating_add(1);
        let name = name(self.epoch, first);
        // One that nothing durable stands in: nobody will read it.
        if let Some(newest) = self.files.last()
            && newest.header.is_some_and(|header| header.first >= first)
        {
            self.disk.unlink(&newest.name).map_err(&beginning)?;
            self.files.pop();
            self.cursors.clear();
        }
        if let Some(damaged) = self.files.iter_mut().find(|file| file.name == name) {
            let aside = format!("{name}{ASIDE}");
            self.disk.rename(&name, &aside).map_err(&beginning)?;
            damaged.name = aside;
        }
        let last = self.files.iter().rev().find_map(|file| file.header);
        let header = Header {
            cluster: self.cluster,
            epoch: self.epoch,
            number: last.map_or(1, |last| last.number.saturating_add(1)),
            first,
            complete_from: self.settled_from,
            stamp: if last.is_some() { self.durable_stamp } else { 0 },
        };
        let (bytes, header_check) = header.encode();
        let file = match self.disk.create(&name) {
            // An earlier attempt left it, and it was not written.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.unlink(&name).and_then(|()| self.disk.create(&name))
            }
            made => made,
        }
        .map_err(&beginning)?;
        let length = bytes.len() as u64;
        let headed = self.disk.allocate(&file, length).and_then(|()| self.disk.write_at(&file, 0, &bytes));
        if let Err(error) = headed {
            // The room is for others. If even that fails, the next attempt does it.
            let _ = self.disk.unlink(&name);
            return Err(beginning(error));
        }
        self.files.push(Kept { name, bytes: length, header: Some(header) });
        self.active = Some(Active { file, header_check, at: length, length, named: false });
        (self.written, self.written_index) = (0, self.durable);
        Ok(())
    }

    /// Makes durable what is written. If that fails, nobody knows what of it is: it will stand in the next file.
    fn sync_active(&mut self) -> Result<(), AuditError> {
        let syncing = self.io("syncing records");
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let synced = self
            .disk
            .sync(&active.file)
            .and_then(|()| if active.named { Ok(()) } else { self.disk.sync_directory() });
        if let Err(error) = synced {
            self.give_up();
            return Err(syncing(error));
        }
        active.named = true;
        self.durable = self.written_index;
        self.durable_stamp = self.durable_stamp.max(self.written_stamp);
        self.frames.drain(..self.written);
        if self.frames.is_empty() {
            self.frames.shrink_to(WRITE_BYTES);
        }
        while let Some(gap) = self.gaps.front().copied().filter(|gap| *gap <= self.durable) {
            self.settled_from = self.settled_from.max(gap.saturating_add(1));
            self.gaps.pop_front();
        }
        self.written = 0;
        Ok(())
    }

    /// Leaves the newest file as it is. What was not durable is written into the next one.
    pub(super) fn give_up(&mut self) {
        self.active = None;
        (self.written, self.written_index) = (0, self.durable);
        self.cursors.clear();
    }
}

// A head is always at the front of what is held.
const _: () = assert!(FRAME_HEAD_BYTES < WRITE_BYTES);
