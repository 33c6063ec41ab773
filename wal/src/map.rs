#![allow(unsafe_code, reason = "mapping memory is the one thing this crate cannot do without it")]
//! The only unsafe code of this crate: a read-only mapping of a file.
//!
//! # Why
//! Followers that catch up and tools read the log without copying it through a buffer. A mapping of the file
//! that [`write_at`](crate::disk::Disk::write_at) writes shows the same page cache, so that nothing is kept
//! twice.
//!
//! # Invariants
//! - What is handed out is a slice of exactly the range asked for. No reference to the rest of the mapping
//!   ever exists, so that the part of a file which is still being written may change.
//! - Whoever asks asks only for bytes that were written before, and those are never written again while a
//!   mapping of their file exists: a segment is appended to, and one that is to be zeroed again is unmapped
//!   first.
//! - A file is never made shorter while it is mapped. This crate does not, and the lock on the directory
//!   keeps other processes of this kind out. One that ignores the lock could.
//!
//! # Hazards
//! - Reading a page that the device cannot read, or beyond the end of a file that someone made shorter, ends
//!   the process with SIGBUS. So recovery and scrub read with `pread`.
//! - What a mapping shows is evidence of nothing: it is the cache, not the disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::slice;

use memmap2::{MmapOptions, MmapRaw};

/// The first bytes of a file, mapped for reading only.
#[derive(Debug)]
pub(crate) struct FileMap {
    map: MmapRaw,
    len: usize,
}

impl FileMap {
    /// Maps the first `len` bytes of `file`, which has that many.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is shorter, else those of the operating system.
    pub(crate) fn new(file: &File, len: u64) -> io::Result<Self> {
        let there = file.metadata()?.len();
        if there < len {
            let short = format!("{len} bytes were to be mapped, the file has {there}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
        }
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self { map, len })
    }

    /// The bytes in `range`, or `None` if it is not within the mapping.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        if start > end || end > self.len {
            return None;
        }
        // SAFETY: start <= end <= len, and the mapping is at least `len` bytes long and lives as long as
        // `self`, from which the slice borrows, so that pointer and length are valid, and bytes have no
        // alignment or invalid values. It is not written through: the mapping is read-only. That nobody
        // changes these bytes or cuts them off while the slice lives is what the module documentation demands
        // of this crate (Invariants, the second and third) and what the lock on the directory demands of
        // other processes. What remains is SIGBUS (Hazards), which ends the process and so cannot be observed
        // as a wrong value.
        Some(unsafe { slice::from_raw_parts(self.map.as_ptr().add(start), end - start) })
    }
}
