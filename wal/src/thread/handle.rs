//! The side that submits: counts what was accepted against what is promised to fit.

use std::error::Error;
use std::fmt;
use std::mem::size_of;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_handoff::batch::{self, Limits, Producer};
use holdfast_handoff::watermark::{Wait, Waiter};

use super::preparer::Shortage;
use crate::log::{Room, Tariff};
use crate::stats::Stats;
use crate::types::Op;

/// The number of a submission. They count up by one from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a submission was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// As much waits as may. It may be tried again when any ticket that is out has become durable.
    #[error("the queue of the log is full: {} submissions or {} bytes wait", .0.items, .0.bytes)]
    Full(Limits),
    /// It is larger than any submission may be, and never will be accepted.
    #[error("a submission that takes {bytes} bytes is larger than {limit}")]
    TooLarge {
        /// What it takes: in the queue, or in the log at most.
        bytes: u64,
        /// What it may take.
        limit: u64,
    },
    /// The disk is full: a segment could not be prepared, and those that are do not hold this. What was
    /// accepted is safe. The waker is used when it would be accepted.
    #[error("no room: {needed} bytes are needed for a segment of the log and {free} are free; free some")]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A segment is being prepared, and those that are do not hold this. The waker is used when it would be
    /// accepted.
    #[error("the next segment of the log is being prepared")]
    Preparing,
    /// The thread has ended, by a failure.
    #[error("the log is closed")]
    Stopped,
}

/// A submission that was not accepted, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// The operations, unchanged.
    pub ops: Vec<Op>,
    /// The reason.
    pub why: Why,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("why", &self.why).finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl Error for Refused {}

/// What waits in the queue.
pub(super) struct Submission {
    pub(super) ops: Vec<Op>,
    /// What it was charged.
    pub(super) cost: u64,
}

/// What the preparer found, for those who are refused because of it.
pub(super) type Found = Arc<Mutex<Option<Shortage>>>;

/// Submits operations. See the [module documentation](super). Dropping it stops the threads in an orderly
/// way.
#[derive(Debug)]
pub struct Handle {
    queue: Producer<Submission>,
    limits: Limits,
    /// Up to where all that was accepted may cost, if there are entries in it.
    entries: Waiter,
    /// The same for the others.
    control: Waiter,
    tariff: Tariff,
    /// The cost of a mark.
    mark: u64,
    /// What all that was accepted costs.
    paid: u64,
    last: Ticket,
    shortage: Found,
    stats: Stats,
}

impl Handle {
    pub(super) fn new(
        queue: Producer<Submission>,
        (entries, control): (Waiter, Waiter),
        (tariff, limits): (Tariff, Limits),
        (shortage, stats): (Found, Stats),
    ) -> Self {
        let mark = tariff.cost(&[]);
        let (paid, last) = (0, Ticket(0));
        Self { queue, limits, entries, control, tariff, mark, paid, last, shortage, stats }
    }

    /// Hands operations over, to be written in their order and after all that was submitted before. They are
    /// durable when the watermark is at the ticket. No operation may be one that the log
    /// [refuses](crate::Refusal): that ends the thread.
    ///
    /// # Errors
    /// [`Refused`] with the operations: see [`Why`]. Nothing was written, and the next ticket is the same.
    pub fn submit(&mut self, ops: Vec<Op>) -> Result<Ticket, Refused> {
        match self.admit(&ops) {
            Ok((cost, bytes)) => match self.queue.push(Submission { ops, cost }, bytes) {
                Ok(()) => {
                    self.paid += cost;
                    self.last.0 += 1;
                    Ok(self.last)
                }
                Err(refused) => Err(self.refused(refused.item.ops, self.queue_says(refused.why))),
            },
            Err(why) => Err(self.refused(ops, why)),
        }
    }

    /// The ticket of the last submission that was accepted; 0 before the first.
    #[must_use]
    pub fn last(&self) -> Ticket {
        self.last
    }

    /// What operations cost, and how many bytes they are in the queue, if there is room for them.
    fn admit(&mut self, ops: &[Op]) -> Result<(u64, usize), Why> {
        let cost = self.tariff.cost(ops) + self.mark;
        let Room { entries, control } = self.tariff.certain();
        let (allowed, certain) = if ops.iter().any(holds_entry) {
            (&mut self.entries, entries)
        } else {
            (&mut self.control, control)
        };
        // When all is written, all segments are prepared and a mark is owed, this much is accepted.
        let limit = certain.saturating_sub(self.mark);
        if cost > limit {
            return Err(Why::TooLarge { bytes: cost, limit });
        }
        match allowed.wait_for(self.paid + cost) {
            Wait::Reached(_) => Ok((cost, ops.iter().map(bytes_of).sum())),
            Wait::Pending => Err(match *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(Shortage { free, needed }) => Why::NoSpace { free, needed },
                None => Why::Preparing,
            }),
            Wait::Closed(_) => Err(Why::Stopped),
        }
    }

    fn queue_says(&self, why: batch::Why) -> Why {
        match why {
            batch::Why::FullOfItems { .. } | batch::Why::FullOfBytes { .. } => Why::Full(self.limits),
            batch::Why::TooLarge { limit, asked } => {
                Why::TooLarge { bytes: asked as u64, limit: limit as u64 }
            }
            batch::Why::Closed => Why::Stopped,
        }
    }

    fn refused(&self, ops: Vec<Op>, why: Why) -> Refused {
        self.stats.count(|counters| counters.refusals += 1);
        Refused { ops, why }
    }
}

/// Whether it counts against the room without the reserve: what carries a body of a client.
fn holds_entry(op: &Op) -> bool {
    match op {
        Op::Entry { .. } | Op::Fill { .. } => true,
        Op::HardState { .. } | Op::Trim { .. } | Op::Reset { .. } | Op::Confirm { .. } | Op::Heal { .. } => {
            false
        }
    }
}

/// What an operation takes in memory.
fn bytes_of(op: &Op) -> usize {
    size_of::<Op>()
        + match op {
            Op::Entry { body, .. } | Op::Fill { body, .. } => body.len(),
            Op::Heal { whole } => size_of_val(whole.as_slice()),
            Op::HardState { .. } | Op::Trim { .. } | Op::Reset { .. } | Op::Confirm { .. } => 0,
        }
}
