//! What a start makes of the files.

use std::collections::VecDeque;
use std::io;

use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_wal::disk::{Access, Disk};

use super::error::AuditError;
use super::files::{AuditFiles, Kept};
use super::format::{FrameKind, HEADER_BYTES, Header, HeaderFound, parse};
use super::frames::Frames;
use super::{AuditPolicy, Missing, MissingReason};

/// What a start finds.
#[derive(Debug)]
pub struct AuditOpened<D: Disk> {
    /// The files.
    pub files: AuditFiles<D>,
    /// What stood behind the last frame of the newest file. What a crash leaves, or damage.
    pub cut: Option<Cut>,
    /// Files that have no sound header. They are not read.
    pub damaged: Vec<String>,
    /// What is missing between the newest file and the state. Either the state was replaced just before the crash, or
    /// there is damage.
    pub missing: Option<Missing>,
}

/// Where the newest file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub name: String,
    /// Behind its last frame.
    pub offset: u64,
    /// The index of that frame.
    pub index: u64,
}

/// What the newest file holds.
#[derive(Clone, Copy, Debug)]
struct End {
    at: u64,
    index: u64,
    stamp: u64,
    complete_from: u64,
    has_rest: bool,
}

impl<D: Disk> AuditFiles<D> {
    /// Opens the directory for a node whose state is that behind the index `applied`; the entries behind it are replayed
    /// then. What is counted from here on is durable.
    ///
    /// # Errors
    /// [`AuditError`]. Nothing that holds records was changed.
    pub fn open(
        disk: D,
        cluster: ClusterId,
        epoch: ClusterEpoch,
        applied: u64,
        policy: AuditPolicy,
    ) -> Result<AuditOpened<D>, AuditError> {
        let mut files = Self {
            disk,
            cluster,
            epoch,
            policy,
            files: Vec::new(),
            active: None,
            frames: Vec::new(),
            written: 0,
            durable: applied,
            written_index: applied,
            written_stamp: 0,
            framed: applied,
            through: applied,
            complete_from: applied.saturating_add(1),
            settled_from: applied.saturating_add(1),
            gaps: VecDeque::new(),
            stamp: 0,
            durable_stamp: 0,
            cursors: VecDeque::new(),
        };
        let (damaged, newest_check) = files.look_around()?;
        let newest = files.files.last().and_then(|kept| Some((kept.name.clone(), kept.header?)));
        let Some((name, header)) = newest else {
            return Ok(AuditOpened { files, cut: None, damaged, missing: None });
        };
        let end =
            files.find_end(&name, &header, newest_check).map_err(files.io("reading the newest file"))?;
        let chain = files.unbroken_from();
        files.durable = end.index;
        (files.written_index, files.framed, files.through) = (end.index, end.index, end.index);
        (files.stamp, files.written_stamp, files.durable_stamp) = (end.stamp, end.stamp, end.stamp);
        files.complete_from = end.complete_from.max(chain);
        files.settled_from = files.complete_from;
        let cut = end.has_rest.then_some(Cut { name: name.clone(), offset: end.at, index: end.index });
        if end.index < applied {
            files.reinstalled(applied);
            let (first, last) = (end.index.saturating_add(1), applied);
            let missing = Some(Missing { first, last, why: MissingReason::Passed });
            return Ok(AuditOpened { files, cut, damaged, missing });
        }
        Ok(AuditOpened { files, cut, damaged, missing: None })
    }

    /// Reads all headers. Says what is damaged, and the check of the newest header.
    fn look_around(&mut self) -> Result<(Vec<String>, u32), AuditError> {
        let listing = self.io("listing");
        let mut names = self.disk.list().map_err(&listing)?;
        // A process that was killed may have made or removed names and not come to make that durable.
        self.disk.sync_directory().map_err(self.io("syncing the directory"))?;
        names.retain(|name| parse(name).is_some());
        names.sort_unstable_by_key(|name| {
            parse(name).map(|(epoch, first, aside)| (epoch == self.epoch, epoch.0, first, !aside))
        });
        let (mut damaged, mut newest_check) = (Vec::new(), 0);
        let mut names = names.into_iter().peekable();
        while let Some(name) = names.next() {
            let Some((epoch, first, aside)) = parse(&name) else { continue };
            let (found, bytes) = self.header_of(&name).map_err(self.io("reading a header"))?;
            let header = match found {
                HeaderFound::Later(version) => {
                    return Err(AuditError::Later { place: self.disk.place(), name, version });
                }
                HeaderFound::Valid(header, _) if header.cluster != self.cluster => {
                    return Err(AuditError::OtherCluster { place: self.disk.place(), name });
                }
                HeaderFound::Valid(header, check)
                    if header.epoch == epoch && header.first == first && !aside =>
                {
                    if epoch == self.epoch {
                        newest_check = check;
                        Some(header)
                    } else {
                        None
                    }
                }
                HeaderFound::Unwritten if epoch == self.epoch && names.peek().is_none() => {
                    // It was being begun, and so was nothing behind it.
                    self.disk.unlink(&name).map_err(self.io("removing what was left"))?;
                    continue;
                }
                HeaderFound::Valid(..) | HeaderFound::Unwritten | HeaderFound::Wrong => {
                    damaged.push(name.clone());
                    None
                }
            };
            self.files.push(Kept { name, bytes, header });
        }
        // What cannot be read is not in the way of the newest that can.
        self.files.sort_by_key(|kept| kept.header.is_some_and(|header| header.epoch == self.epoch));
        Ok((damaged, newest_check))
    }

    pub(super) fn header_of(&self, name: &str) -> io::Result<(HeaderFound, u64)> {
        let file = self.disk.open(name, Access::Read)?;
        let length = self.disk.len(&file)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(HEADER_BYTES).min(HEADER_BYTES)];
        match self.disk.read_at(&file, 0, &mut bytes) {
            Ok(()) => Ok((Header::read(&bytes), length)),
            // An unreadable sector. What else may be wrong, the next steps meet as well.
            Err(_) => Ok((HeaderFound::Wrong, length)),
        }
    }

    /// Syncs the newest file, and goes through it.
    fn find_end(&self, name: &str, header: &Header, header_check: u32) -> io::Result<End> {
        let file = self.disk.open(name, Access::Write)?;
        self.disk.sync(&file)?;
        let mut frames = Frames::new(&self.disk, &file, header_check, header.first)?.past_cache();
        let (mut stamp, mut complete_from) = (header.stamp, header.complete_from);
        // An unreadable sector is the end of what can be read.
        while let Ok(Some(frame)) = frames.next() {
            stamp = stamp.max(frame.stamp);
            match frame.kind {
                FrameKind::Gap => complete_from = complete_from.max(frame.index.saturating_add(1)),
                FrameKind::Record | FrameKind::Mark => {}
            }
        }
        let (at, index) = (frames.at, frames.index);
        let has_rest = frames.has_rest().unwrap_or(true);
        Ok(End { at, index, stamp, complete_from, has_rest })
    }

    /// The first index of the oldest file from which on none is missing.
    pub(super) fn unbroken_from(&self) -> u64 {
        let mut from: Option<Header> = None;
        for header in self.files.iter().rev().map_while(|kept| kept.header) {
            match from {
                Some(later) if header.number.checked_add(1) != Some(later.number) => break,
                Some(_) | None => from = Some(header),
            }
        }
        from.map_or(0, |header| header.first)
    }
}
