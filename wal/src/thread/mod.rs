//! The thread that makes things durable, and the one that prepares segments for it.
//!
//! # Why a thread
//! A sync takes some 110 µs in which the node can do other work. And while one sync runs, what arrives
//! gathers, so that the next sync serves all of it: group commit by itself, without a timer. The [`Log`]
//! knows nothing of this; the simulator drives the same `Log` without a thread.
//!
//! # Shape
//! ```text
//!   caller                      WAL thread                                     preparer
//!     submit(ops) ──batch────►   take everything
//!       ticket n                 append once, sync once                          fill a segment
//!     wait_for(n) ◄─watermark─   publish the last ticket                           with zeros
//!                  ◄─watermarks─ publish how much may be accepted ◄────batch────   hand it over
//!                                wants another one?               ─────batch────►
//! ```
//! Tickets count up by one from 1. Ticket `n` is durable when the watermark is at `n`, and then so are all
//! before it.
//!
//! # Why what is accepted never runs out of room
//! A full disk has to be met before a write is accepted, because after that only a lie or a halt are left. So
//! `submit` refuses what the *prepared* segments do not hold, and asks no file system.
//!
//! Let `paid` be what all accepted submissions cost together, `done` the part of it that is written, and
//! `room` what [`Log::room`] says. The WAL thread publishes `limit = done + room − mark`, where `mark` is the
//! cost of a mark that is still to come after the last batch, or 0. A submission is accepted only if `paid +
//! cost ≤ limit`, `cost` being its own [cost](crate::Tariff::cost) and that of one mark.
//!
//! 1. *The limit never falls.* Writing submissions adds their cost to `done`, and takes off `room` at most
//!    that cost less the marks paid for, of which there is one at least; it makes one mark owed. Writing the
//!    mark takes at most `mark` off `room`, and none is owed. A prepared segment adds to `room`. Nothing else
//!    changes it.
//! 2. So what was accepted under an old limit is still covered by the present one: whenever the next accepted
//!    submission is written, `room ≥ limit − done ≥` its cost. It fits, whatever the file system says by
//!    then.
//!
//! There are two such limits. Entries and fills count against the room without the reserve, so that they stop
//! first; terms, votes, trims, resets and heals count against all of it: a full disk can still be voted on,
//! and trimmed. Both limits only grow, so each is a [`watermark`](holdfast_handoff::watermark); a caller that
//! was refused is woken when its submission would fit. As the arithmetic is the log's upper bound, which for
//! small entries is some four times what they take in the end, much may be refused in the last moments before
//! a segment is ready. That costs a little waiting and never a promise.
//!
//! # A full disk
//! The preparer finds it out, at least one segment before the log does, and [`Why::NoSpace`] says what is
//! free and needed. Whoever was told to wait for it is woken to hear that instead. It tries again after each
//! batch that retired segments, and every [`Settings::retry`]: nobody has to do anything but make room.
//!
//! # Failure
//! A failed sync, a failed write into allocated room, and an operation that the log refuses (a mistake of
//! whoever submitted it) end in one place: [`Settings::on_fatal`] is called, once, on the WAL thread. When it
//! returns, nothing more is published, and the watermarks are closed. The default ends the process, because
//! only recovery can tell what the disk holds.
//!
//! # Stopping
//! Dropping the [`Handle`] lets nothing more in. What was accepted is written, synced and published; a mark
//! says so in the log; both threads end; [`Running::join`] gives the log back. A [`Running`] that is dropped
//! lets the threads go on until then.
//!
//! # What this leaves out
//! Scrubbing: whoever owns the background work of the node calls [`Reader::scrub`](crate::Reader::scrub) for
//! one of [`Reader::sealed`](crate::Reader::sealed) now and then, on its own thread. A scrub reads a whole
//! segment past the cache, and the preparer must not be in the middle of that when the next segment is
//! wanted.

mod delay;
mod handle;
mod preparer;
mod writer;

use std::fmt;
use std::io;
use std::panic;
use std::process;
use std::sync::Arc;
use std::task::Waker;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use holdfast_handoff::batch::{Limits, batch};
use holdfast_handoff::park::parker;
use holdfast_handoff::watermark::{Waiter, watermark};

use crate::disk::Disk;
use crate::error::{Fatal, Refusal};
use crate::log::Log;
use crate::segment::{Preparation, Prepared};
use crate::stats::Stats;
use crate::variant::Variant;

pub use delay::SyncDelay;
pub use handle::{Handle, Refused, Ticket, Why};
use preparer::Preparer;
use writer::Writer;

/// How the thread behaves.
pub struct Settings {
    /// How much may wait in the queue: submissions, and bytes of operations with their bodies. As much again
    /// may be in the hands of the WAL thread. The queue should hold what arrives during a few syncs.
    pub limits: Limits,
    /// How long nothing must have arrived before a mark is written, so that the log itself says that its last
    /// batch is durable.
    pub idle: Duration,
    /// After how long a preparation that found the disk full is tried again.
    pub retry: Duration,
    /// How much longer than the disk each sync of what was submitted takes, and of a mark: for drills.
    pub sync_delay: SyncDelay,
    /// What is done about the end. Called on the WAL thread, which ends when it returns.
    pub on_fatal: Box<dyn FnOnce(Failure) + Send>,
}

impl Default for Settings {
    /// A queue of 4,096 submissions and 16 MiB, a mark after a second, another attempt at a full disk every
    /// second, no drill; and a failure is printed to standard error and aborts the process.
    fn default() -> Self {
        Self {
            // 16 MiB: some 100 ms of a disk that writes 200 MB/s. 4,096: more than the 1,024 writes that a
            // node has outstanding at 8 × 128, each in a submission of its own.
            limits: Limits { items: 4_096, bytes: 16 * 1024 * 1024 },
            idle: Duration::from_secs(1),
            retry: Duration::from_secs(1),
            sync_delay: SyncDelay::default(),
            on_fatal: Box::new(|failure| {
                eprintln!("holdfast: {failure}");
                process::abort();
            }),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, idle, retry, sync_delay, on_fatal: _ } = self;
        let mut shown = f.debug_struct("Settings");
        shown.field("limits", limits).field("idle", idle).field("retry", retry);
        shown.field("sync_delay", sync_delay).finish_non_exhaustive()
    }
}

/// Why the thread ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] Fatal),
    /// An operation does not fit what the log holds: a mistake of whoever submitted it.
    #[error("operation {at} of submission {ticket}: {why}; nothing is acknowledged any more")]
    Refused {
        /// The submission.
        ticket: Ticket,
        /// Which of its operations, counted from 0.
        at: usize,
        /// Why.
        #[source]
        why: Refusal,
    },
    /// What was accepted does not fit after all: a mistake in the accounting of this module.
    #[error("submission {ticket} was accepted and does not fit: {needed} bytes are needed, {free} are free")]
    NoRoom {
        /// The submission.
        ticket: Ticket,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A segment could not be prepared, and not because the disk is full.
    #[error("preparing a segment: {0}; nothing is acknowledged any more")]
    Preparing(#[source] io::Error),
}

/// The threads, running.
pub struct Running<D: Disk, V: Variant> {
    thread: JoinHandle<Log<D, V>>,
    stats: Stats,
}

impl<D: Disk, V: Variant> fmt::Debug for Running<D, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<D: Disk, V: Variant> Running<D, V> {
    /// Waits for the end of both threads and gives back the log: that of an orderly stop, or one that failed
    /// and refuses everything. For ever, if the [`Handle`] still lives and nothing fails.
    ///
    /// # Panics
    /// If one of the threads did.
    #[must_use]
    pub fn join(self) -> Log<D, V> {
        self.thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }

    /// What the WAL thread measures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

/// Gives the log to a thread of its own. Submissions go in through the handle; the waiter waits for tickets,
/// through `waker`, which is also used when what was refused for want of room would be accepted.
///
/// Entries that take more than a few KiB are refused with [`Why::Preparing`] until a first segment is
/// prepared. Who cannot wait for that calls [`Log::prepare`] before.
///
/// # Errors
/// Those of the operating system, which may refuse a thread. The log is closed then.
pub fn start<D, V>(
    log: Log<D, V>,
    settings: Settings,
    waker: Waker,
) -> io::Result<(Handle, Waiter, Running<D, V>)>
where
    D: Disk,
    V: Variant,
    Log<D, V>: Send + 'static,
    Preparation<D>: Send + 'static,
    Prepared<D>: Send + 'static,
{
    let stats = Stats::new();
    let shortage = Arc::default();
    let (durable, waiter) = watermark(0, waker.clone());
    let (entries, entries_allowed) = watermark(0, waker.clone());
    let (control, control_allowed) = watermark(0, waker.clone());
    let (parker, wake) = parker();
    let (queue, inbox) = batch(settings.limits, wake.clone());
    let (preparer, jobs, outcomes) = Preparer::new(wake);
    let handle = Handle::new(
        queue,
        (entries_allowed, control_allowed),
        (log.tariff(), settings.limits),
        (Arc::clone(&shortage), stats.clone()),
    );
    let limits = (durable, entries, control);
    let writer =
        Writer::new(log, (inbox, parker), limits, (jobs, outcomes), (shortage, stats.clone()), waker);
    let preparing = Builder::new().name("wal-prepare".to_owned()).spawn(move || preparer.run::<V>())?;
    let thread = Builder::new().name("wal".to_owned()).spawn(move || writer.run(settings, preparing))?;
    Ok((handle, waiter, Running { thread, stats }))
}
