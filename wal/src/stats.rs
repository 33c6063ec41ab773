//! What the WAL thread measures, readable from any thread at any time.
//!
//! # Why
//! The sync is where the time of a write goes, so how long each took, and how much shared it, is the first
//! question about a slow node. The log itself reads no clock, or it could not be simulated; the thread around
//! it does.
//!
//! # Shape
//! ```text
//!   WAL thread ── batch ──► │ live: the histograms of an interval, and the counters │  a short lock
//!                                   │ swapped for empty ones
//!   a reader ── snapshot ─────────► │ total: what all intervals add up to │        a lock among readers
//! ```
//! The lock that the WAL thread takes is held for five recordings or for one swap of a pointer. The adding
//! and the copying (hundreds of microseconds: a histogram is some 200 KiB) are done by the reader, under a
//! lock that the WAL thread never takes.
//!
//! # Invariants
//! - Once made, recording allocates nothing: the histograms have fixed bounds, and what is beyond them is
//!   counted at them.
//! - A snapshot holds whole batches: never the latency of one without its size.
//!
//! # What this leaves out
//! Rates and intervals: who wants one takes two snapshots and [subtracts](Histogram::subtract) them.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::log::Counts;

/// Decimal digits that a histogram keeps of each value.
const DIGITS: u8 = 3;

/// The longest time that is told from longer ones: a minute, in nanoseconds. A disk that hangs longer is
/// known to hang.
const LONGEST: u64 = 60 * 1_000_000_000;

/// The largest size that is told from larger ones: 4 GiB; a batch is bounded by the queue, far below.
const LARGEST: u64 = 1 << 32;

/// What happened to each batch: one value of each for each batch.
#[derive(Clone)]
pub struct Batches {
    /// How long it took to make it durable, in nanoseconds: the call of [`Log::sync`](crate::Log::sync).
    pub sync_nanos: Histogram<u64>,
    /// How long it took to encode and write it, in nanoseconds: the call of
    /// [`Log::append`](crate::Log::append), with the syncs of a rotation if there was one.
    pub write_nanos: Histogram<u64>,
    /// From the moment it was taken out of the queue until it was reported durable, in nanoseconds.
    pub whole_nanos: Histogram<u64>,
    /// How many operations it had.
    pub ops: Histogram<u64>,
    /// How many bytes it took in the log, those of its heads and of a checkpoint included.
    pub bytes: Histogram<u64>,
}

impl Batches {
    fn new() -> Self {
        let upto =
            |most| Histogram::new_with_bounds(1, most, DIGITS).expect("bounds that a histogram can have");
        Self {
            sync_nanos: upto(LONGEST),
            write_nanos: upto(LONGEST),
            whole_nanos: upto(LONGEST),
            ops: upto(LARGEST),
            bytes: upto(LARGEST),
        }
    }

    fn each(&mut self) -> [&mut Histogram<u64>; 5] {
        let Self { sync_nanos, write_nanos, whole_nanos, ops, bytes } = self;
        [sync_nanos, write_nanos, whole_nanos, ops, bytes]
    }

    fn record(&mut self, batch: &Batch) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sync_nanos.saturating_record(nanos(batch.sync));
        self.write_nanos.saturating_record(nanos(batch.write));
        self.whole_nanos.saturating_record(nanos(batch.whole));
        self.ops.saturating_record(batch.ops);
        self.bytes.saturating_record(batch.bytes);
    }

    /// Takes what `interval` holds, and leaves it empty.
    fn take_from(&mut self, interval: &mut Self) {
        for (total, interval) in self.each().into_iter().zip(interval.each()) {
            total.add(&*interval).expect("all have the same bounds");
            interval.reset();
        }
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("count", &self.ops.len()).finish_non_exhaustive()
    }
}

/// How often things happened since the thread was started, and what the log counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What the log counts: syncs, records, bytes, segments begun and retired.
    pub log: Counts,
    /// Submissions made durable.
    pub submissions: u64,
    /// Batches made durable.
    pub batches: u64,
    /// Segments that were prepared.
    pub prepared: u64,
    /// Attempts to prepare a segment that found the disk full.
    pub shortages: u64,
    /// Marks written.
    pub marks: u64,
    /// Submissions refused, for whatever reason.
    pub refusals: u64,
}

/// All that is measured.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How often things happened.
    pub counters: Counters,
    /// What happened to each batch.
    pub batches: Batches,
}

/// One batch, measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) submissions: u64,
    pub(crate) ops: u64,
    pub(crate) bytes: u64,
    pub(crate) write: Duration,
    pub(crate) sync: Duration,
    pub(crate) whole: Duration,
}

struct Live {
    counters: Counters,
    interval: Box<Batches>,
}

/// What the intervals add up to, and an empty one to swap in.
struct Total {
    batches: Batches,
    empty: Box<Batches>,
}

struct Shared {
    live: Mutex<Live>,
    total: Mutex<Total>,
}

/// Reads what the WAL thread measures, and outlives it. Clones read the same.
#[derive(Clone)]
pub struct Stats {
    shared: Arc<Shared>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let live = Live { counters: Counters::default(), interval: Box::new(Batches::new()) };
        let total = Total { batches: Batches::new(), empty: Box::new(Batches::new()) };
        Self { shared: Arc::new(Shared { live: Mutex::new(live), total: Mutex::new(total) }) }
    }

    /// Poisoning is passed over, here and below: what runs under the locks leaves whole numbers behind at any
    /// point.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a batch that is durable by now. `log` is what the log counts.
    pub(crate) fn batch(&self, batch: &Batch, log: Counts) {
        let mut live = self.live();
        live.interval.record(batch);
        live.counters.log = log;
        live.counters.batches += 1;
        live.counters.submissions += batch.submissions;
    }

    /// Counts something rare.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.live().counters);
    }

    /// How often things happened. Cheap.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.live().counters
    }

    /// All that was measured since the thread was started. Copies about a megabyte; the WAL thread does not
    /// wait for that.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut total = self.shared.total.lock().unwrap_or_else(PoisonError::into_inner);
        let Total { batches, empty } = &mut *total;
        let counters = {
            let mut live = self.live();
            mem::swap(&mut live.interval, empty);
            live.counters
        };
        batches.take_from(empty);
        Snapshot { counters, batches: batches.clone() }
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
