//! Reading entries back, on any thread, and looking for rot.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Log, Shared};
use crate::disk::Disk;
use crate::error::ReadError;
use crate::format::{Found, Look, Pieces, SEGMENT_HEADER_BYTES, SegmentFound, SegmentHeader, look};
use crate::recovery::{Kept, MOST_FRONT, load, read_entry};
use crate::segment::Segment;
use crate::types::{Entry, Group, LogBounds};
use crate::variant::{AsDesigned, Variant};

/// Reads entries while the log is written, and from the files: what cannot be read is an error, and not the end of the process
/// as it would be through the mappings. Clones read side by side.
///
/// Every read verifies all checks. Reading an entry that is written and not yet durable is possible: it is the caller who
/// knows what was reported.
#[derive(Debug)]
pub struct Reader<D: Disk, V: Variant = AsDesigned> {
    disk: D,
    shared: Arc<Shared<D>>,
    variant: std::marker::PhantomData<V>,
}

impl<D: Disk, V: Variant> Clone for Reader<D, V> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), shared: Arc::clone(&self.shared), variant: std::marker::PhantomData }
    }
}

/// What a scrub of one segment found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// The segment's file.
    pub file: String,
    /// Records that were verified.
    pub records: u64,
    /// Offsets of places where no whole record stands, though one did.
    pub damaged: Vec<u64>,
}

impl<D: Disk, V: Variant> Log<D, V> {
    /// A reader that shares what the log knows.
    #[must_use]
    pub fn reader(&self) -> Reader<D, V> {
        Reader {
            disk: self.disk.clone(),
            shared: Arc::clone(&self.shared),
            variant: std::marker::PhantomData,
        }
    }

    /// Reads an entry. See [`Reader::read`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, group: Group, index: u64) -> Result<Entry, ReadError> {
        self.reader().read(group, index)
    }
}

impl<D: Disk, V: Variant> Reader<D, V> {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`ReadError`]: it is trimmed, not there yet, in a hole, or damaged since.
    pub fn read(&self, group: Group, index: u64) -> Result<Entry, ReadError> {
        let (at, segment) = self.find(group, index)?;
        let written = self.shared.written.load(Ordering::Acquire);
        let offset = at - segment.header.base();
        let damaged = || ReadError::Damaged { index, file: segment.name.clone(), offset };
        let fetch = |range| segment.read(&self.disk, range, written).map(Cow::Owned);
        let (head, body) = read_entry::<V>(fetch, &segment.header, offset)
            .map_err(|error| ReadError::Io { file: segment.name.clone(), error })?
            .ok_or_else(damaged)?;
        if (head.group, head.index) != (group, index) {
            return Err(damaged());
        }
        Ok(Entry { term: head.term, body })
    }

    /// Reads an entry of the group whose entries were kept when the log was opened ([`Log::open_keeping`]): the same as
    /// [`read`](Self::read) gives, without reading and verifying it again. What was not kept is read.
    ///
    /// # Errors
    /// Those of [`read`](Self::read). An entry that was kept was whole on the device, whatever became of it since.
    pub fn read_kept(&self, kept: &mut Kept, index: u64) -> Result<Entry, ReadError> {
        let group = kept.group().unwrap_or_default();
        let known = self.shared.groups().get(group).and_then(|log| log.position(index));
        let found = known.filter(|(_, sound)| *sound).and_then(|(at, _)| kept.take(at));
        match found {
            Some((term, body)) => Ok(Entry { term, body }),
            None => self.read(group, index),
        }
    }

    /// The term of the entry at `index`, or of the one before the first. `None` if the log does not know.
    #[must_use]
    pub fn term(&self, group: Group, index: u64) -> Option<u64> {
        self.shared.groups().get(group)?.term(index)
    }

    /// What the log holds of a group.
    #[must_use]
    pub fn bounds(&self, group: Group) -> Option<LogBounds> {
        self.shared.groups().get(group).map(crate::groups::GroupLog::bounds)
    }

    fn find(&self, group: Group, index: u64) -> Result<(u64, Arc<Segment<D>>), ReadError> {
        // Both under the lock of the groups: a trim takes an entry away before it takes the segment.
        let groups = self.shared.groups();
        let Some(log) = groups.get(group) else {
            return Err(ReadError::Beyond { index, last: 0 });
        };
        let LogBounds { first, last, .. } = log.bounds();
        if index < first {
            return Err(ReadError::Trimmed { index, first });
        }
        let Some((at, sound)) = log.position(index) else {
            return Err(ReadError::Beyond { index, last });
        };
        if !sound {
            return Err(ReadError::Hole { index });
        }
        let segments = self.shared.segments();
        // All segments have one size, and positions count through all of them.
        let size = segments.values().next().map_or(1, |segment| segment.header.size);
        let segment = segments.get(&(at / size)).ok_or(ReadError::Trimmed { index, first })?;
        Ok((at, Arc::clone(segment)))
    }

    /// The sealed segments, by number: those that a scrub can look at.
    #[must_use]
    pub fn sealed(&self) -> Vec<u64> {
        let segments = self.shared.segments();
        let mut numbers: Vec<u64> = segments.keys().copied().collect();
        numbers.pop();
        numbers
    }

    /// Reads a sealed segment from the device, past the cache and not through the mapping, and verifies every record
    /// of it. A segment that is gone meanwhile has nothing to verify.
    ///
    /// # Errors
    /// Never for what stands in the segment: what cannot be read is damaged.
    pub fn scrub(&self, number: u64) -> io::Result<Option<Scrubbed>> {
        let (segment, next) = {
            let segments = self.shared.segments();
            let Some(segment) = segments.get(&number).map(Arc::clone) else {
                return Ok(None);
            };
            (segment, segments.get(&(number + 1)).map(Arc::clone))
        };
        let size = segment.header.size;
        let mut bytes = vec![0; size as usize];
        let end = match next {
            None => return Ok(None),
            Some(next) => {
                let front = next.bytes(0..MOST_FRONT, self.shared.written.load(Ordering::Acquire))?;
                crate::recovery::previous_end::<V>(&front, &next.header)
                    .unwrap_or(segment.header.base() + size)
            }
        };
        load::<D, V>(&self.disk, &segment.file, &mut bytes);
        let mut found = Scrubbed { file: segment.name.clone(), records: 0, damaged: Vec::new() };
        let header = SegmentHeader::read(&bytes);
        if header != SegmentFound::Valid(segment.header) {
            found.damaged.push(0);
        }
        let mut at = SEGMENT_HEADER_BYTES as u64;
        let base = segment.header.base();
        while base + at < end {
            match look::<V>(&bytes, base, segment.header.salt, at) {
                Some(Look { found: Found::Record { pieces, .. }, at: here, end, .. }) => {
                    found.records += 1;
                    if pieces != Pieces::Exact {
                        found.damaged.push(here);
                    }
                    at = end;
                }
                Some(Look { at: here, .. }) => {
                    // Known to be damaged, perhaps since before the log was opened: one more look is no news.
                    found.damaged.push(here);
                    break;
                }
                None => break,
            }
        }
        Ok(Some(found))
    }
}
