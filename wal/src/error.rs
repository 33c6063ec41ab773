//! What can go wrong, each with what to do about it.

use std::io;

use crate::types::{Group, Identity};

/// Why a directory was not opened or made. The directory is as it was; only a disk that is full or fails while the log is
/// brought into a state to go on can leave it changed, and then another open goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no log in the directory.
    #[error("{place}: there is no log here; create one, or name the right directory")]
    NoLog {
        /// The directory.
        place: String,
    },
    /// There is a log in the directory already.
    #[error("{place}: there is a log here already ({file}); open it, or name an empty directory")]
    Exists {
        /// The directory.
        place: String,
        /// A file of it.
        file: String,
    },
    /// Another process holds the directory.
    #[error("{place}: in use by {}; stop that process, or name another directory",
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        place: String,
        /// Who holds it.
        pid: Option<u32>,
    },
    /// The operating system refused something: reading, writing, naming.
    #[error("{place}: {doing}: {error}{}", hint(.error))]
    Io {
        /// The directory.
        place: String,
        /// What was being done.
        doing: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// There is no room for the segments that a log needs ahead.
    #[error(
        "{place}: {needed} bytes are needed for segments and {free} are free; free some, or use a larger disk"
    )]
    NoSpace {
        /// The directory.
        place: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A file was written by a later build.
    #[error(
        "{place}/{file}: {what} {version} is of a later build than this one, which knows {known}; use that build"
    )]
    Unsupported {
        /// The directory.
        place: String,
        /// The file.
        file: String,
        /// What is unknown: a format version, a kind of record.
        what: &'static str,
        /// Its number.
        version: u32,
        /// The largest number this build knows.
        known: u32,
    },
    /// A file belongs to another node or another cluster.
    #[error(
        "{place}/{file}: belongs to {found}, and this is {expected}; put the file back where it came from"
    )]
    Foreign {
        /// The directory.
        place: String,
        /// The file.
        file: String,
        /// What it says.
        found: Identity,
        /// Who wants to open it.
        expected: Identity,
    },
    /// A segment stands under the name of another.
    #[error("{place}/{file}: is segment {says} by its header; give it back its name, {}", crate::segment_name(*.says))]
    Misnamed {
        /// The directory.
        place: String,
        /// The file.
        file: String,
        /// The number in its header.
        says: u64,
    },
    /// A segment that must be there is not.
    #[error("{place}: {file} is missing; bring it back, or replace this member")]
    MissingSegment {
        /// The directory.
        place: String,
        /// Its name.
        file: String,
    },
    /// The meta file is not there, but segments are.
    #[error(
        "{place}: {file} is missing, and with it one of two copies of the vote; bring it back, or replace this member"
    )]
    MissingMeta {
        /// The directory.
        place: String,
        /// Its name.
        file: String,
    },
    /// A file is smaller or larger than it should be.
    #[error(
        "{place}/{file}: has {found} bytes and should have {expected}; bring back the whole file, or replace this member"
    )]
    WrongSize {
        /// The directory.
        place: String,
        /// The file.
        file: String,
        /// Its length.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Nothing readable says how large the segments are.
    #[error("{place}: neither meta nor any segment is readable; replace this member")]
    Unreadable {
        /// The directory.
        place: String,
    },
    /// Records that are whole contradict each other: made by a fault of the program or by hand, not by a disk.
    #[error(
        "{place}/{file}: the record at offset {offset} contradicts those before it; keep a copy of the directory, report it, and replace this member"
    )]
    Contradiction {
        /// The directory.
        place: String,
        /// The file.
        file: String,
        /// Where the record stands.
        offset: u64,
    },
    /// The options ask for what cannot be.
    #[error("segment size {0} is not a multiple of 4096 from 16 KiB to 1 GiB")]
    SegmentSize(u64),
}

fn hint(error: &io::Error) -> &'static str {
    let hints = [
        (io::ErrorKind::ReadOnlyFilesystem, "; remount it writable"),
        (io::ErrorKind::PermissionDenied, "; make it writable for the user that runs holdfast"),
        (io::ErrorKind::NotFound, "; name the right directory"),
    ];
    hints.into_iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, hint)| hint)
}

/// A sync failed, or a write into allocated room, or what was written cannot be read back. The log does nothing more: what
/// was not reported as durable before may be lost or not, and nobody can know. The process has to end, and
/// recovery decides from what the device really holds.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {doing}: {error}; nothing is acknowledged any more, the process has to end and recover")]
pub struct Fatal {
    /// The directory.
    pub place: String,
    /// What was being done.
    pub doing: String,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An operation does not fit what the log holds. Those before it in the batch are written, it and those after it are not.
    #[error("operation {at} of the batch: {why}")]
    Refused {
        /// Which one, counted from 0.
        at: usize,
        /// Why.
        #[source]
        why: Refusal,
    },
    /// There is no room for the batch: nothing of it is written, and what was accepted before stays safe.
    #[error(
        "no room: {needed} bytes are needed to prepare a segment and {free} are free; trim the log, or free some"
    )]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The disk failed.
    #[error(transparent)]
    Failed(#[from] Fatal),
}

/// Why an operation does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The index is neither the next one nor one that the log holds.
    #[error("index {index} of group {} does not follow: the log holds {first} to {last}", .group.0)]
    NotContiguous {
        /// The group.
        group: Group,
        /// The index.
        index: u64,
        /// The first one held.
        first: u64,
        /// The last one held.
        last: u64,
    },
    /// The term is below the one before it.
    #[error("term {term} of group {} is below {before}", .group.0)]
    TermBackwards {
        /// The group.
        group: Group,
        /// The term.
        term: u64,
        /// The one before.
        before: u64,
    },
    /// The entry is larger than any may be.
    #[error("an entry of {bytes} bytes is larger than {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// There are as many groups as there may be.
    #[error("there are {0} groups already")]
    TooManyGroups(usize),
    /// An index at or beyond 2⁶³, or zero.
    #[error("index {0} is out of range")]
    IndexOutOfRange(u64),
    /// The index to fill is no hole.
    #[error("index {index} of group {} is no hole", .group.0)]
    NoHole {
        /// The group.
        group: Group,
        /// The index.
        index: u64,
    },
    /// The entry at that index has another term here, or is missing.
    #[error("index {index} of group {} is not of term {term} here", .group.0)]
    NotConfirmed {
        /// The group.
        group: Group,
        /// The index.
        index: u64,
        /// The term that the leader has.
        term: u64,
    },
    /// There are holes still.
    #[error("group {} has no entry {index} yet", .group.0)]
    NotWhole {
        /// The group.
        group: Group,
        /// The first index that is missing.
        index: u64,
    },
}

/// Why an entry was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The index is below the first that is kept.
    #[error("index {index} is trimmed: the log begins at {first}")]
    Trimmed {
        /// The index.
        index: u64,
        /// The first one held.
        first: u64,
    },
    /// The index is beyond the last.
    #[error("index {index} is beyond the last one, {last}")]
    Beyond {
        /// The index.
        index: u64,
        /// The last one held.
        last: u64,
    },
    /// The index is in a part that was found damaged on open.
    #[error("index {index} is in a hole: a leader has to send it again")]
    Hole {
        /// The index.
        index: u64,
    },
    /// The bytes have been damaged since the log was opened.
    #[error(
        "{file}: index {index} at offset {offset} is damaged; restart the node, which repairs it from its peers"
    )]
    Damaged {
        /// The index.
        index: u64,
        /// The file.
        file: String,
        /// Where the record stands in it.
        offset: u64,
    },
    /// The file cannot be read.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}
