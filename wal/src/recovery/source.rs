//! The bytes that recovery works on: read from the device, and put together again.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::disk::{Disk, SECTOR};
use crate::format::{
    ALIGN, Bounds, Found, Head, Kind, Look, Pieces, SEGMENT_HEADER_BYTES, SegmentFound, SegmentHeader,
    extent, head_place, is_zero, look, look_in,
};
use crate::variant::{Break, Variant};

/// Read at once.
const CHUNK: usize = 1024 * 1024;

/// A buffer that begins at a multiple of this is read into without a copy, from any device in use.
pub(super) const DIRECT: usize = 4096;

/// The header and the largest checkpoint of a segment fit into this many bytes.
pub(crate) const MOST_FRONT: u64 = 64 * 1024;

/// What stands in the place of a sector that the device cannot read: neither zero nor right.
const UNREADABLE: u8 = 0xBD;

/// A segment's file, opened.
#[derive(Debug)]
pub(crate) struct SegmentFile<F> {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) file: F,
    pub(crate) header: SegmentFound,
    /// Where the previous segment ends, by this one's checkpoint.
    pub(crate) previous_end: Option<u64>,
    /// Something but zero stands behind the header.
    pub(crate) in_use: bool,
}

/// Whether the cache shows zero from offset `from` to the end. After a failed sync it may show what the device does not
/// have, as clean: invisible to whoever reads the device, and written after all with the next change to the same page.
pub(crate) fn cache_is_zero<D: Disk>(disk: &D, file: &D::File, from: u64, size: u64) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    for at in (from..size).step_by(CHUNK) {
        let into = &mut chunk[..((size - at) as usize).min(CHUNK)];
        disk.read_at(file, at, into)?;
        if !is_zero(into) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a file's first bytes from the device. What cannot be read is neither zero nor right.
pub(crate) fn load<D: Disk, V: Variant>(disk: &D, file: &D::File, bytes: &mut [u8]) {
    for (chunk, into) in bytes.chunks_mut(CHUNK).enumerate() {
        load_chunk::<D, V>(disk, file, chunk * CHUNK, into);
    }
}

fn load_chunk<D: Disk, V: Variant>(disk: &D, file: &D::File, from: usize, into: &mut [u8]) {
    let read = |at: usize, into: &mut [u8]| {
        if V::breaks(Break::TrustCacheOnOpen) {
            disk.read_at(file, at as u64, into)
        } else {
            disk.read_past_cache(file, at as u64, into)
        }
    };
    if read(from, into).is_ok() {
        return;
    }
    for (sector, into) in into.chunks_mut(SECTOR).enumerate() {
        if read(from + sector * SECTOR, into).is_err() {
            into.fill(UNREADABLE);
        }
    }
}

/// Whether the device has zero from offset `from` to the end. What cannot be read is not zero. Nothing of it is kept: a segment
/// that was prepared is looked at once, and memory for all of it would cost more than the look.
fn device_is_zero<D: Disk, V: Variant>(disk: &D, file: &D::File, from: usize, size: usize) -> bool {
    let mut room = vec![0; CHUNK + DIRECT];
    let chunk = aligned(&mut room);
    (from..size).step_by(CHUNK).all(|at| {
        let into = &mut chunk[..(size - at).min(CHUNK)];
        load_chunk::<D, V>(disk, file, at, into);
        is_zero(into)
    })
}

/// The part of a buffer that begins where a direct read may put its bytes at once: all but [`DIRECT`] bytes of it.
pub(super) fn aligned(room: &mut [u8]) -> &mut [u8] {
    let lead = room.as_ptr().align_offset(DIRECT).min(DIRECT);
    let bytes = room.len().saturating_sub(DIRECT);
    room.get_mut(lead..lead + bytes).unwrap_or_default()
}

/// Reads the header and the checkpoint of a segment of `size` bytes.
pub(crate) fn open_segment<D: Disk, V: Variant>(
    disk: &D,
    number: u64,
    name: String,
    file: D::File,
    size: u64,
) -> SegmentFile<D::File> {
    let mut front = vec![0; size.min(MOST_FRONT) as usize];
    load::<D, V>(disk, &file, &mut front);
    let header = SegmentHeader::read(&front);
    let mut in_use = !is_zero(&front[SEGMENT_HEADER_BYTES..]);
    let previous_end = match header {
        SegmentFound::Valid(header) => previous_end::<V>(&front, &header),
        SegmentFound::Wrong | SegmentFound::Unsupported(_) => None,
    };
    if !in_use {
        in_use = !device_is_zero::<D, V>(disk, &file, front.len(), size as usize);
    }
    SegmentFile { number, name, file, header, previous_end, in_use }
}

/// Where the segment before the one whose first bytes are `front` ends, if its checkpoint is whole.
pub(crate) fn previous_end<V: Variant>(front: &[u8], header: &SegmentHeader) -> Option<u64> {
    let look = look::<V>(front, header.base(), header.salt, SEGMENT_HEADER_BYTES as u64)?;
    let Found::Record { head: Head { kind: Kind::Checkpoint, length, .. }, pieces: Pieces::Exact } =
        look.found
    else {
        return None;
    };
    Some(Bounds::read(&front[look.body_at as usize..][..length as usize])?.previous_end)
}

/// The first multiple of 8 behind everything in the segment that is not zero.
pub(super) fn end_of_data(bytes: &[u8]) -> u64 {
    let last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    last.next_multiple_of(ALIGN)
}

/// The body of an entry that begins at offset `at` of a segment, put together from its fragments. `fetch` gives the bytes
/// between two offsets, and only those that the entry takes are fetched. `None` if a check does not hold.
///
/// # Errors
/// Those of `fetch`.
pub(crate) fn read_entry<'a, V: Variant>(
    fetch: impl Fn(Range<u64>) -> io::Result<Cow<'a, [u8]>>,
    header: &SegmentHeader,
    at: u64,
) -> io::Result<Option<(Head, Bytes)>> {
    let (base, salt) = (header.base(), header.salt);
    let mut at = head_place(at);
    let mut whole: Option<(Head, Vec<u8>)> = None;
    loop {
        let sector_end = (at + 1).next_multiple_of(SECTOR as u64);
        let Some(end) = extent::<V>(&fetch(at..sector_end)?, base, salt, at) else {
            return Ok(None);
        };
        let bytes = fetch(at..end.max(sector_end))?;
        let Some(Look { found: Found::Record { head, pieces }, body_at, end, .. }) =
            look_in::<V>(&bytes, at, base, salt, at)
        else {
            return Ok(None);
        };
        let here = at;
        at = head_place(end);
        if head.kind == Kind::Skip {
            continue;
        }
        let sound = pieces == Pieces::Exact || (pieces == Pieces::SomeZero && V::breaks(Break::AcceptTorn));
        if !sound || !head.is_entry() || head.first != whole.is_none() {
            return Ok(None);
        }
        let body = &bytes[(body_at - here) as usize..][..head.length as usize];
        if head.first && head.last {
            return Ok(Some((head, Bytes::copy_from_slice(body))));
        }
        let (first, gathered) = whole.get_or_insert_with(|| (head, Vec::new()));
        if (first.group, first.index, first.term) != (head.group, head.index, head.term) {
            return Ok(None);
        }
        gathered.extend_from_slice(body);
        if head.last {
            return Ok(whole.map(|(head, body)| (head, Bytes::from(body))));
        }
    }
}
