//! Fills segments with zeros, one at a time, while the log is appended to.

use std::io;
use std::task::Waker;

use holdfast_handoff::batch::{Consumer, Limits, Producer, Take, batch};
use holdfast_handoff::park::{Parker, parker};

use crate::disk::{Disk, is_full};
use crate::segment::{Preparation, Prepared};
use crate::variant::Variant;

/// One segment is prepared at a time: they are begun in the order of their numbers.
const ONE: Limits = Limits { items: 1, bytes: 0 };

/// What became of a segment that was to be prepared.
#[derive(Debug)]
pub(super) enum Outcome<D: Disk> {
    /// It is prepared.
    Prepared(Prepared<D>),
    /// There is no room for it.
    Full(Shortage),
    /// The disk failed.
    Failed(io::Error),
}

/// What a full disk lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Bytes that are free.
    pub(super) free: u64,
    /// Bytes that are needed for the next segment.
    pub(super) needed: u64,
}

/// The thread's work.
pub(super) struct Preparer<D: Disk> {
    jobs: Consumer<Preparation<D>>,
    parker: Parker,
    outcomes: Producer<Outcome<D>>,
}

impl<D: Disk> Preparer<D> {
    /// With the ends that the WAL thread keeps. `waker` is the one of that thread.
    pub(super) fn new(waker: Waker) -> (Self, Producer<Preparation<D>>, Consumer<Outcome<D>>) {
        let (parker, wake) = parker();
        let (wanted, jobs) = batch(ONE, wake);
        let (outcomes, prepared) = batch(ONE, waker);
        (Self { jobs, parker, outcomes }, wanted, prepared)
    }

    /// Does what it is asked for, until nobody can ask any more.
    pub(super) fn run<V: Variant>(mut self) {
        loop {
            match self.jobs.take() {
                Take::Items(jobs, _) => {
                    for job in jobs {
                        // Refused only if the WAL thread is gone, and then nobody wants it.
                        let _ = self.outcomes.push(prepare::<D, V>(&job), 0);
                    }
                }
                Take::Empty => self.parker.park(),
                Take::Closed => return,
            }
        }
    }
}

fn prepare<D: Disk, V: Variant>(job: &Preparation<D>) -> Outcome<D> {
    match job.run::<V>() {
        Ok(prepared) => Outcome::Prepared(prepared),
        Err(error) if is_full(&error) => {
            Outcome::Full(Shortage { free: job.free().unwrap_or(0), needed: job.bytes() })
        }
        Err(error) => Outcome::Failed(error),
    }
}
