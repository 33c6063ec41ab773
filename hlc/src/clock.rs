//! The clock: one atomic word that only grows.

use std::error::Error;
use std::fmt;

use crate::stamp::{Stamp, UnixMillis};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The clock has seen the last stamp there is ([`Stamp::MAX`], in the year 10889): somebody's stamp was not a
/// stamp, or somebody's clock is thousands of years ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no stamp is left after {}", Stamp::MAX)
    }
}

impl Error for Exhausted {}

/// A warning: a stamp is ahead of our physical time by more than clocks should differ. Either of the two
/// clocks may be the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// The stamp.
    pub stamp: Stamp,
    /// Our physical time when we saw it.
    pub now: UnixMillis,
    /// How far it is ahead.
    pub ahead_ms: u64,
    /// What was allowed.
    pub bound_ms: u64,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stamp, now, ahead_ms, bound_ms } = self;
        let now = Stamp::new(*now, 0);
        write!(
            f,
            "stamp {stamp} is {ahead_ms} ms ahead of this node's clock ({now}); {bound_ms} ms is allowed"
        )
    }
}

/// A hybrid logical clock, shared by reference.
///
/// # Why `Relaxed` everywhere
/// The promises are about the values of this one word. All threads agree on the order of changes to one
/// atomic word, whatever the ordering; each change here is a read-modify-write that raises it, so stamps are
/// unique and grow. "b was caused by a" means that something else (a queue, a socket, a join) made a's tick
/// happen before b's, and then coherence alone obliges b's read to see a's value or a later one. The word
/// guards no other memory, so there is nothing for Acquire and Release to carry.
#[derive(Debug)]
pub struct Clock {
    last: AtomicU64,
    bound_ms: u64,
}

impl Clock {
    /// A clock all of whose stamps are above `last`, and that warns of stamps more than `bound_ms` ahead.
    #[must_use]
    pub fn starting_at(last: Stamp, bound_ms: u64) -> Self {
        Self { last: AtomicU64::new(last.to_bits()), bound_ms }
    }

    /// A new stamp: above all that this clock made or merged, and not below `now`.
    ///
    /// # Errors
    /// [`Exhausted`] when there is no stamp left. The caller raises an alarm and goes on with [`last`](Self::last): a stamp
    /// orders an audit log and decides nothing, so to stop writing because of it would be the greater harm.
    pub fn tick(&self, now: UnixMillis) -> Result<Stamp, Exhausted> {
        let now = Stamp::new(now, 0);
        let mut seen = self.last.load(Ordering::Relaxed);
        loop {
            let next = Stamp::from_bits(seen).next().ok_or(Exhausted)?.max(now);
            let swap =
                self.last.compare_exchange_weak(seen, next.to_bits(), Ordering::Relaxed, Ordering::Relaxed);
            match swap {
                Ok(_) => return Ok(next),
                // Another thread was faster. It made progress, so all threads together always do.
                Err(now_seen) => seen = now_seen,
            }
        }
    }

    /// Takes note of a stamp made elsewhere: every later tick is above it. It is never refused; if it is
    /// further ahead of `now` than allowed, the warning says so.
    pub fn merge(&self, theirs: Stamp, now: UnixMillis) -> Option<Drift> {
        self.last.fetch_max(theirs.to_bits(), Ordering::Relaxed);
        self.ahead(theirs, now)
    }

    /// Whether this clock itself is further ahead of `now` than allowed: after a start from a log with stamps of a clock
    /// that was wrong, after such a stamp was merged, or because our own physical time stepped back.
    pub fn drift(&self, now: UnixMillis) -> Option<Drift> {
        self.ahead(self.last(), now)
    }

    fn ahead(&self, stamp: Stamp, now: UnixMillis) -> Option<Drift> {
        let ahead_ms = stamp.millis().get().saturating_sub(now.get());
        (ahead_ms > self.bound_ms).then_some(Drift { stamp, now, ahead_ms, bound_ms: self.bound_ms })
    }

    /// The highest stamp that this clock has made or merged.
    #[must_use]
    pub fn last(&self) -> Stamp {
        Stamp::from_bits(self.last.load(Ordering::Relaxed))
    }
}
