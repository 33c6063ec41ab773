//! What the log asks of a disk, and nothing more.
//!
//! # Why a trait
//! Everything the log promises is about what a disk does between two calls. [`RealDisk`] is a directory of a real file
//! system; [`FakeDisk`] keeps what the cache shows and what the platter holds apart, so that every crash between any
//! two calls can be enumerated, and every lie a disk tells can be told on purpose. [`Overlay`] lets somebody look at a
//! directory with all of the log's code and changes nothing in it.
//!
//! # What the log may believe
//! - A [`write_at`](Disk::write_at) that returned is visible to reads of this process and of those after it, and lost
//!   by a power cut, in whole or in any part made of 512-byte sectors, until a [`sync`](Disk::sync) of the file *begun after
//!   it* has returned success.
//! - A name made, changed or removed may be there or not after a power cut, each independently of the others, until
//!   [`sync_directory`](Disk::sync_directory) has returned success.
//! - After a failed sync nothing is known about what was written before it: reads still show it and the next sync may
//!   call it clean. So a sync is never tried again.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::ops::Range;

mod fake;
mod overlay;
mod real;

pub use fake::*;
pub use overlay::{Overlay, OverlayFile, OverlayMap};
pub use real::RealDisk;

/// The unit that a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 512;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading. Never changes anything.
    Read,
    /// For reading and writing.
    Write,
}

/// Why a directory could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held {
        /// Its process id, if the file says one.
        by: Option<u32>,
    },
    /// The lock file cannot be opened, locked or written.
    Io(io::Error),
}

/// A flat directory of files. Clones are handles to the same directory.
///
/// Names are plain file names without a separator. All errors are those of the operating system; a full disk is
/// [`io::ErrorKind::StorageFull`] (or `QuotaExceeded`).
pub trait Disk: Clone + fmt::Debug {
    /// An open file. Stays usable when its name changes or goes.
    type File: fmt::Debug;
    /// A read-only view of a file's contents.
    type Map: Map;
    /// Keeps other processes out while it lives.
    type Lock: fmt::Debug;

    /// What stands before the name of a file in messages for people: the path of the directory.
    fn place(&self) -> String;

    /// The names in the directory, in no particular order.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Takes the lock of the directory and writes this process's id into it.
    ///
    /// # Errors
    /// [`LockError`]. What is there is not changed when it is held.
    fn lock(&self) -> Result<Self::Lock, LockError>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `ReadOnlyFilesystem`, and others.
    fn open(&self, name: &str, access: Access) -> io::Result<Self::File>;

    /// Makes an empty file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `StorageFull`, and others.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self, file: &Self::File) -> io::Result<u64>;

    /// Makes a file `len` bytes long and reserves the room for it. Its bytes read as zero.
    ///
    /// # Errors
    /// `StorageFull` when there is no room; the file may have any length up to `len` then.
    fn allocate(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, below the allocated length.
    ///
    /// # Errors
    /// Those of the operating system; any part of `bytes` may have been written then.
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `into` from `offset`, through the cache.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end, or an unreadable sector.
    fn read_at(&self, file: &Self::File, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Fills `into` from `offset`, from the device and not from the cache, as far as the file system lets one.
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    fn read_past_cache(&self, file: &Self::File, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Makes durable what was written to `file` and allocated for it, with `fdatasync`.
    ///
    /// # Errors
    /// Any error means that what was written is lost or not, and nobody knows. See the module documentation.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes durable which names there are.
    ///
    /// # Errors
    /// As [`Disk::sync`].
    fn sync_directory(&self) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// Those of the operating system.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// A view of the first `len` bytes of a file, in which later writes show up.
    ///
    /// # Errors
    /// Those of the operating system.
    fn map(&self, file: &Self::File, len: u64) -> io::Result<Self::Map>;

    /// How many bytes could still be allocated.
    ///
    /// # Errors
    /// Those of the operating system.
    fn free(&self) -> io::Result<u64>;
}

/// A read-only view of a file.
pub trait Map: fmt::Debug {
    /// The bytes in `range`.
    ///
    /// # Errors
    /// A range beyond the view is `UnexpectedEof`. A real mapping cannot report an unreadable page: reading it ends the
    /// process with SIGBUS. So recovery and scrub do not read through mappings.
    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>>;
}

/// Whether an error says that there is no room left.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
