//! The audit log of a node: files that say who changed what, when and why, and for how long that is known.
//!
//! # Why
//! The state says what is, and its history what was. Who did it, from where, and with which reason is in the records that each
//! applied command leaves ([`holdfast_command::audit`]); they are the same on every node, and here they are kept. Nothing that
//! a client waits for waits for these files: what a crash takes of them is made again from the log, because no snapshot
//! replaces a part of the log before the records of that part are durable.
//!
//! # Shape
//! ```text
//!   DATA/audit/
//!     0000000000000001-0000000000000001.audit     epoch and first index (hexadecimal)
//!     0000000000000001-00000000000004b1.audit     the newest: appended to
//!     refused.jsonl  refused.1.jsonl …            what was not executed, on this node only: RefusedLog
//!
//!   file:   header │ frame │ frame │ … │ zeros or nothing
//!   frame:  record of an index  │  mark: complete up to an index  │  gap: nothing is known up to an index
//! ```
//! `docs/audit-format.md` has every field. Reading goes through the frames one after the other and stops at the first that is
//! none; it never looks for the next one behind it, so what a client wrote into a record cannot pass for a frame.
//!
//! # Rules
//! 1. Indices ascend from frame to frame. Between two frames lies no record, unless the second is a gap.
//! 2. **What stands in a file counts up to the first index of the next file.** A file is begun only behind what is durable in
//!    those before it. So whatever a failed write or sync left at the end of a file is overruled by beginning the next one.
//! 3. After a failed sync a file is never synced again: what was not durable is kept in memory, and written into the next
//!    file. See [`holdfast_wal::disk`] for why.
//! 4. At a start the newest file is synced and then read past the cache, so that what is counted as durable is. It is not
//!    appended to: after a sync that failed in an earlier process, nothing tells that its length is stored.
//! 5. If the files hold less than the state requires, a gap says what is missing.
//! 6. Files carry consecutive numbers; so one that is missing is noticed, also after a restart.
//!
//! # Promise
//! For every index from [`complete_from`](AuditFiles::complete_from) to [`through`](AuditFiles::through): there is the one
//! record of it if the command changed something, and none otherwise. Damage is found when a file is read, and raises
//! `complete_from` then. No bytes of a file panic, whatever they are.

mod error;
mod files;
mod format;
mod frames;
mod open;
mod read;
mod refused;
mod retain;
mod verify;
mod work;

use bytes::Bytes;
use bytestring::ByteString;

pub use error::AuditError;
pub use files::{AuditFiles, AuditStatus};
pub use format::{
    AUDIT_VERSION, FRAME_FIELDS, FRAME_HEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, HEADER_BYTES,
    HEADER_FIELDS, Header, HeaderFound, frame_check,
};
pub use open::{AuditOpened, Cut};
pub use refused::{Refused, RefusedLog};
pub use verify::{AuditVerified, verify};
pub use work::AuditWork;

/// The directory of these files, in the data directory.
pub const AUDIT_DIRECTORY: &str = "audit";

/// How large the files become, and how long they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPolicy {
    /// From so many bytes on, the next record goes into a new file.
    pub file_bytes: u64,
    /// The oldest files go while all together have more bytes. The newest stays in any case.
    pub total_bytes: u64,
    /// A file goes when its newest record is older, in milliseconds. The newest file stays in any case.
    pub age_ms: u64,
}

impl Default for AuditPolicy {
    /// Files of 16 MiB, together 1 GiB, for 90 days.
    fn default() -> Self {
        Self { file_bytes: 16 << 20, total_bytes: 1 << 30, age_ms: 90 * 24 * 60 * 60 * 1000 }
    }
}

/// Which records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFilter {
    /// The lowest index.
    pub from: u64,
    /// The lowest stamp.
    pub since: u64,
    /// The highest stamp.
    pub until: u64,
    /// What touched a key, a lock or an election whose name begins so. Empty for everything. A record that does not list
    /// all that it touched is taken to match: nobody who asks who changed something is kept from seeing who may have.
    pub prefix: Bytes,
    /// What was done in this name. `None` for everybody, the empty name for those who have none.
    pub actor: Option<ByteString>,
    /// So many records at most, and one at least.
    pub limit: usize,
    /// So many bytes of records at most, unless the first alone has more.
    pub bytes_max: usize,
}

impl Default for AuditFilter {
    /// Everything, up to 1,000 records and 1 MiB at a time.
    fn default() -> Self {
        let (prefix, actor) = (Bytes::new(), None);
        Self { from: 0, since: 0, until: u64::MAX, prefix, actor, limit: 1_000, bytes_max: 1 << 20 }
    }
}

/// Some of the records that are wanted, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Encoded [`AuditRecord`](holdfast_command::audit::AuditRecord)s.
    pub records: Vec<Bytes>,
    /// From which index on to ask for more; `None` if there are none that were looked for.
    pub next: Option<u64>,
    /// From this index on nothing is missing, as far as is known by now.
    pub complete_from: u64,
    /// Up to this index everything was there to be read.
    pub through: u64,
    /// What is missing of the indices that were gone through.
    pub missing: Vec<Missing>,
}

/// Indices whose records are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Why.
    pub why: MissingReason,
}

/// Why records are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingReason {
    /// This node did not apply these entries, but was given the state behind them. Others may have the records.
    Passed,
    /// A file that held them is damaged or gone. Others have the records.
    Lost,
}
