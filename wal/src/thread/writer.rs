//! The side that writes: takes what gathered, makes it durable, says so, and keeps segments ahead.

use std::io;
use std::mem;
use std::panic;
use std::sync::PoisonError;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_handoff::batch::{Consumer, Producer, Take};
use holdfast_handoff::park::Parker;
use holdfast_handoff::watermark;

use super::handle::{Found, Submission};
use super::preparer::{Outcome, Shortage};
use super::{Failure, Settings, SyncDelay, Ticket};
use crate::disk::Disk;
use crate::error::AppendError;
use crate::log::{Log, Room};
use crate::segment::Preparation;
use crate::stats::{Batch, Stats};
use crate::types::Op;
use crate::variant::Variant;

/// What is written together.
#[derive(Default)]
struct Gathered {
    ops: Vec<Op>,
    /// For each submission, where it ends in `ops`.
    ends: Vec<usize>,
    /// What all of it was charged.
    cost: u64,
}

impl Gathered {
    fn add(&mut self, mut submission: Submission) {
        self.ops.append(&mut submission.ops);
        self.ends.push(self.ops.len());
        self.cost += submission.cost;
    }

    fn clear(&mut self) {
        self.ops.clear();
        self.ends.clear();
        self.cost = 0;
    }

    /// Which submission the operation belongs to, and where that begins.
    fn owner(&self, op: usize) -> (u64, usize) {
        let number = self.ends.partition_point(|end| *end <= op);
        (number as u64, number.checked_sub(1).map_or(0, |before| self.ends[before]))
    }
}

/// The WAL thread's work.
pub(super) struct Writer<D: Disk, V: Variant> {
    log: Log<D, V>,
    inbox: Consumer<Submission>,
    parker: Parker,
    durable: watermark::Writer,
    /// Up to where all that is accepted may cost, if there are entries in it.
    entries: watermark::Writer,
    /// The same for the others.
    control: watermark::Writer,
    jobs: Producer<Preparation<D>>,
    outcomes: Consumer<Outcome<D>>,
    /// Whether the preparer is at work.
    preparing: bool,
    /// The disk was full. When to try again.
    retry_at: Option<Instant>,
    /// A mark is owed, and will be written if nothing arrives until then.
    mark_at: Option<Instant>,
    gathered: Gathered,
    /// What all that is written was charged.
    done: u64,
    /// What the log had room for when this was last looked at.
    room: Room,
    shortage: Found,
    stats: Stats,
    sync_delay: SyncDelay,
    /// That of whoever submits.
    waker: Waker,
}

impl<D: Disk, V: Variant> Writer<D, V> {
    pub(super) fn new(
        log: Log<D, V>,
        (inbox, parker): (Consumer<Submission>, Parker),
        (durable, entries, control): (watermark::Writer, watermark::Writer, watermark::Writer),
        (jobs, outcomes): (Producer<Preparation<D>>, Consumer<Outcome<D>>),
        (shortage, stats): (Found, Stats),
        waker: Waker,
    ) -> Self {
        let room = log.room();
        let mut writer = Self {
            log,
            inbox,
            parker,
            durable,
            entries,
            control,
            jobs,
            outcomes,
            preparing: false,
            retry_at: None,
            mark_at: None,
            gathered: Gathered::default(),
            done: 0,
            room,
            shortage,
            stats,
            sync_delay: SyncDelay::default(),
            waker,
        };
        writer.allow();
        writer
    }

    /// Works until the handle is gone or something fails, and gives the log back.
    pub(super) fn run(mut self, settings: Settings, preparer: JoinHandle<()>) -> Log<D, V> {
        let Settings { limits: _, idle, retry, sync_delay, on_fatal } = settings;
        self.sync_delay = sync_delay;
        let ended = self.work(idle, retry);
        let orderly = ended.is_ok();
        // The only place where anybody hears of a failure.
        if let Err(failure) = ended {
            on_fatal(failure);
        }
        let Self { mut log, jobs, mut outcomes, .. } = self;
        drop(jobs);
        if let Err(panicked) = preparer.join() {
            panic::resume_unwind(panicked);
        }
        if orderly && let Take::Items(late, _) = outcomes.take() {
            for outcome in late {
                match outcome {
                    Outcome::Prepared(prepared) => log.add_prepared(prepared),
                    Outcome::Full(_) | Outcome::Failed(_) => {}
                }
            }
        }
        log
    }

    fn work(&mut self, idle: Duration, retry: Duration) -> Result<(), Failure> {
        loop {
            self.prepare(retry)?;
            let begun = match self.inbox.take() {
                Take::Items(submissions, _) => {
                    let begun = Instant::now();
                    submissions.for_each(|submission| self.gathered.add(submission));
                    Some(begun)
                }
                Take::Empty => None,
                Take::Closed => break,
            };
            match begun {
                Some(begun) => self.write(begun, idle)?,
                None => self.rest()?,
            }
        }
        if self.mark_at.is_some() { self.mark() } else { Ok(()) }
    }

    /// Makes durable what is gathered, and says so.
    fn write(&mut self, begun: Instant, idle: Duration) -> Result<(), Failure> {
        let before = self.log.counts();
        self.append()?;
        let written = Instant::now();
        self.log.sync()?;
        self.sync_delay.wait();
        let synced = Instant::now();

        let counts = self.log.counts();
        if counts.retired > before.retired {
            self.retry_at = None;
        }
        self.mark_at = self.log.wants_mark().then(|| synced + idle);
        self.done += self.gathered.cost;
        let submissions = self.gathered.ends.len() as u64;
        // Before it is reported: whoever hears of it finds the room that it left, and finds it counted.
        self.allow();
        let batch = Batch {
            submissions,
            ops: self.gathered.ops.len() as u64,
            bytes: counts.written_bytes - before.written_bytes,
            write: written - begun,
            sync: synced - written,
            whole: begun.elapsed(),
        };
        self.stats.batch(&batch, counts);
        self.durable.publish(self.durable.published() + submissions).expect("tickets count up");
        self.gathered.clear();
        Ok(())
    }

    /// Writes what is gathered: with one call, if the room that the log demands for all of it together is
    /// there. What it demands of them one by one was promised to each.
    fn append(&mut self) -> Result<(), Failure> {
        let Gathered { ops, ends, .. } = &self.gathered;
        let at_once = self.log.cost(ops) <= self.room.entries;
        let pieces = if at_once { &ends[ends.len() - 1..] } else { &ends[..] };
        let mut from = 0;
        for end in pieces {
            if let Err(error) = self.log.append(&ops[from..*end]) {
                return Err(self.failure(error, from));
            }
            from = *end;
        }
        Ok(())
    }

    /// What the log said of the operations from `from` on.
    fn failure(&self, error: AppendError, from: usize) -> Failure {
        let ticket = |number| Ticket(self.durable.published() + 1 + number);
        match error {
            AppendError::Failed(fatal) => Failure::Disk(fatal),
            AppendError::Refused { at, why } => {
                let (number, begin) = self.gathered.owner(from + at);
                Failure::Refused { ticket: ticket(number), at: from + at - begin, why }
            }
            AppendError::NoSpace { free, needed } => {
                Failure::NoRoom { ticket: ticket(self.gathered.owner(from).0), free, needed }
            }
        }
    }

    /// Says how much may be accepted. See the module documentation for why this never falls.
    fn allow(&mut self) {
        self.room = self.log.room();
        let Room { entries, control } = self.room;
        let mark = if self.mark_at.is_some() { self.log.cost(&[]) } else { 0 };
        for (limit, room) in [(&mut self.entries, entries), (&mut self.control, control)] {
            let upto = (self.done + room).saturating_sub(mark);
            let fell = limit.publish(upto.max(limit.published())).is_err() || upto < limit.published();
            debug_assert!(!fell, "the limit never falls");
        }
    }

    /// Nothing is there to be written.
    fn rest(&mut self) -> Result<(), Failure> {
        let Some(next) = [self.mark_at, self.retry_at].into_iter().flatten().min() else {
            self.parker.park();
            return Ok(());
        };
        let now = Instant::now();
        if now < next {
            // Woken or not: everything is looked at again.
            let _ = self.parker.park_timeout(next - now);
            return Ok(());
        }
        if self.mark_at.is_some_and(|at| at <= now) { self.mark() } else { Ok(()) }
    }

    /// Says in the log that the last batch is durable.
    fn mark(&mut self) -> Result<(), Failure> {
        self.log.mark().map_err(|error| self.failure(error, 0))?;
        self.log.sync()?;
        self.sync_delay.wait();
        self.mark_at = None;
        self.allow();
        let counts = self.log.counts();
        self.stats.count(|counters| {
            counters.marks += 1;
            counters.log = counts;
        });
        Ok(())
    }

    /// Takes what the preparer has done, and asks for the next segment that is wanted.
    fn prepare(&mut self, retry: Duration) -> Result<(), Failure> {
        let outcome = match self.outcomes.take() {
            // There is one job at a time, so there is one outcome.
            Take::Items(mut outcomes, _) => outcomes.next(),
            Take::Empty => None,
            Take::Closed => {
                let error = io::Error::other("the thread that prepares segments has panicked");
                return Err(Failure::Preparing(error));
            }
        };
        if let Some(outcome) = outcome {
            self.preparing = false;
            match outcome {
                Outcome::Prepared(prepared) => {
                    self.set_shortage(None);
                    self.log.add_prepared(prepared);
                    self.stats.count(|counters| counters.prepared += 1);
                    self.allow();
                }
                Outcome::Full(shortage) => {
                    self.retry_at = Some(Instant::now() + retry);
                    self.stats.count(|counters| counters.shortages += 1);
                    if self.set_shortage(Some(shortage)).is_none() {
                        // Who was refused because a segment was being prepared waits in vain.
                        self.waker.wake_by_ref();
                    }
                }
                Outcome::Failed(error) => return Err(Failure::Preparing(error)),
            }
        }
        if self.preparing || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        self.retry_at = None;
        if let Some(wanted) = self.log.wants_prepared() {
            // Refused only if the preparer is gone, and then its outcomes are closed.
            self.preparing = self.jobs.push(wanted, 0).is_ok();
        }
        Ok(())
    }

    /// Says what is lacking, and what was before.
    fn set_shortage(&self, now: Option<Shortage>) -> Option<Shortage> {
        mem::replace(&mut *self.shortage.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}
