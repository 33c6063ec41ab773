//! The durable log of a node, shared by every Raft group of it: one sync serves all.
//!
//! # What it promises
//! [`Log::append`] writes a batch; [`Log::sync`] says up to which position everything is durable. After that, a crash or
//! a power cut at any moment, followed by [`Log::open`], gives back every operation that was reported, in order, then at
//! most a contiguous run of those submitted behind it; never a hole that is not reported as one, and never a mix. A sync
//! that fails ends the log: it is never tried again, and nothing is acknowledged any more.
//!
//! # What it assumes
//! - A sector of 512 bytes is written whole or not at all. A write that fails stops between sectors.
//! - What was written before a sync that returned success is kept. Where a disk breaks this (rot, lost or misdirected
//!   writes), the log finds out, as far as anything written later tells; see *damaged* below.
//!
//! # The dangers of a mapping
//! Segments are read through read-only mappings, and written with `pwrite` and `fdatasync` only:
//! - Reading a page that the device cannot deliver is SIGBUS: the process ends. So recovery and [`Reader::scrub`] read with
//!   `pread`, past the cache where that is possible.
//! - A store into a mapping is evidence of nothing, and it succeeds even when the disk is gone. Only the return of a sync
//!   says that something is durable.
//! - A sparse file that is stored into on a full disk is SIGBUS too. So segments exist in full before they are used.
//!
//! # Torn, damaged, unsupported
//! What a power cut can have made, and nobody was told of, is *torn*: it is cut. What a power cut cannot have made, or was
//! reported durable, is *damaged*: it is not cut, holes are reported, and a leader fills them. What a later build wrote is
//! *unsupported*. `docs/state-machines/07-wal-recovery.md` has the table.
//!
//! # Shape
//! ```text
//!   node ──Op──►  thread ──►  Log          append, sync, mark        one thread, no clock, no randomness of its own
//!                              │
//!                              ├─ Groups    what it holds of each group, built from records alone
//!                              ├─ segment   made whole ahead; sealed; retired               machine 06
//!                              ├─ recovery  scan, and a table for whatever is not whole      table 07
//!                              ├─ format    the bytes
//!                              └─ Disk      RealDisk, FakeDisk
//!   followers that catch up ──► Reader     through the mappings, every check verified
//! ```
//!
//! ```
//! use holdfast_wal::disk::FakeDisk;
//! use holdfast_wal::{Group, Identity, Log, Op, Options};
//!
//! let disk = FakeDisk::new(1 << 20);
//! let identity = Identity { cluster: [1; 16], node: [2; 16] };
//! let options = Options { segment_bytes: 16 * 1024, ..Options::new(identity, 42) };
//! let mut log: Log<FakeDisk> = Log::create(disk.clone(), options)?;
//! let group = Group(0);
//! let end = log.append(&[Op::Entry { group, index: 1, term: 1, body: "set a 1".into() }])?;
//! assert_eq!(log.sync()?, end);
//! drop(log);
//!
//! // The power goes, and with it whatever was not synced.
//! let disk = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
//! let (log, recovery): (Log<FakeDisk>, _) = Log::open(disk, options)?;
//! assert_eq!(recovery.records, 2); // the checkpoint, and the entry
//! assert_eq!(log.read(group, 1)?.body, "set a 1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

pub mod disk;
pub mod format;
pub mod stats;
pub mod thread;
pub mod tools;

mod error;
mod groups;
mod log;
mod map;
mod recovery;
mod segment;
mod types;
mod variant;

pub use error::{AppendError, Fatal, OpenError, ReadError, Refusal};
pub use log::{Counts, Ending, GroupDamage, Log, Reader, Recovery, Room, Scrubbed, Tariff};
pub use recovery::{Facts, Kept, Region, Row, Sight, Verdict};
pub use segment::{
    Edge as SegmentEdge, Event as SegmentEvent, Preparation, Prepared, SegmentMachine, State as SegmentState,
    segment_name, segment_number,
};
pub use types::{Entry, Group, HardState, Hole, Identity, LogBounds, Op, Options};
pub use variant::{AsDesigned, Break, Variant};
