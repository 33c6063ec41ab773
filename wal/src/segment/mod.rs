//! Segments: their names, how they are prepared, and what of them is open.

mod table;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, Map};
use crate::format::{MAX_SEGMENT_NUMBER, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::variant::{Break, Variant};

pub use table::{Edge, Event, SegmentMachine, State};

/// What the names of segments end with.
const SUFFIX: &str = ".seg";

/// What is appended to the name of a file that is being made.
pub(crate) const UNFINISHED: &str = ".new";

/// Zeros are written in pieces of this many bytes. Not larger: after writes of 1 MiB, ext4 keeps pages of that size, and
/// then each small append through a mapping writes back up to 1 MiB.
const ZEROS: usize = 4096;

/// The name of a segment's file: its number in 16 decimal digits, so that names sort as numbers do.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number:016}{SUFFIX}")
}

/// The number of the segment that `name` names.
#[must_use]
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|number| plain && segment_name(*number) == name && (1..=MAX_SEGMENT_NUMBER).contains(number))
}

/// Removes a name, unless it is gone already.
pub(crate) fn remove<D: Disk>(disk: &D, name: &str) -> io::Result<()> {
    match disk.unlink(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A segment that is open: shared by the log and its readers.
#[derive(Debug)]
pub(crate) struct Segment<D: Disk> {
    pub(crate) header: SegmentHeader,
    pub(crate) name: String,
    pub(crate) file: D::File,
    pub(crate) map: D::Map,
}

impl<D: Disk> Segment<D> {
    pub(crate) fn open(disk: &D, header: SegmentHeader, file: D::File) -> io::Result<Arc<Self>> {
        let map = disk.map(&file, header.size)?;
        Ok(Arc::new(Self { header, name: segment_name(header.number), file, map }))
    }

    /// The bytes between two offsets, through the mapping. They have to be written, all before position `written`: what
    /// is not may change while somebody looks at it.
    pub(crate) fn bytes(&self, range: Range<u64>, written: u64) -> io::Result<Cow<'_, [u8]>> {
        self.map.bytes(self.within(range, written))
    }

    /// The same, read from the file: a page that cannot be read is an error here, and the end of the process there.
    pub(crate) fn read(&self, disk: &D, range: Range<u64>, written: u64) -> io::Result<Vec<u8>> {
        let range = self.within(range, written);
        let mut bytes = vec![0; (range.end - range.start) as usize];
        disk.read_at(&self.file, range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// What of a range is in the segment and written.
    fn within(&self, range: Range<u64>, written: u64) -> Range<u64> {
        let end = range.end.min(self.header.size).min(written.saturating_sub(self.header.base()));
        range.start.min(end)..end
    }
}

/// A segment to be prepared: can be done on another thread while the log goes on.
#[derive(Clone, Debug)]
pub struct Preparation<D> {
    disk: D,
    header: SegmentHeader,
}

/// A prepared segment: zero, with a header, durable under its name.
#[derive(Debug)]
pub struct Prepared<D: Disk>(pub(crate) Arc<Segment<D>>);

impl<D: Disk> Preparation<D> {
    pub(crate) fn new(disk: D, header: SegmentHeader) -> Self {
        Self { disk, header }
    }

    /// Which segment it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header.size
    }

    /// How many bytes could still be allocated on its disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn free(&self) -> io::Result<u64> {
        self.disk.free()
    }

    /// Makes the file: allocates it, writes every byte of it, syncs it, and only then gives it its name, so that
    /// whatever has the name of a segment is one. What a failure leaves is removed by the next attempt.
    ///
    /// # Errors
    /// Those of the disk. `StorageFull` is no reason to end anything: what the log holds is not touched.
    pub fn run<V: Variant>(&self) -> io::Result<Prepared<D>> {
        let Self { disk, header } = self;
        let name = segment_name(header.number);
        let unfinished = format!("{name}{UNFINISHED}");
        remove(disk, &unfinished)?;
        let file = disk.create(&unfinished)?;
        let filled = self.fill(&file);
        if filled.is_err() {
            // Best effort: it is in nobody's way but takes room.
            let _ = disk.unlink(&unfinished);
        }
        filled?;
        disk.rename(&unfinished, &name)?;
        if !V::breaks(Break::SkipDirSync) {
            // No lack of room that may pass: a sync that failed is not tried again.
            disk.sync_directory().map_err(io::Error::other)?;
        }
        Segment::open(disk, *header, file).map(Prepared)
    }

    fn fill(&self, file: &D::File) -> io::Result<()> {
        let Self { disk, header } = self;
        disk.allocate(file, header.size)?;
        for at in (0..header.size).step_by(ZEROS) {
            disk.write_at(file, at, &[0; ZEROS])?;
        }
        let sector: [u8; SEGMENT_HEADER_BYTES] = header.encode();
        disk.write_at(file, 0, &sector)?;
        disk.sync(file)
    }
}
