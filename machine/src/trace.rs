//! What a machine did: the last steps for a post-mortem, and a count of every edge for ever.
//!
//! Fixed size, because it stands inside long-lived structures (one per connection, one per node) and on
//! the path of every step: recording writes one slot and adds one, and never allocates.

use std::fmt;

use crate::{Machine, Numbered, Verdict};

/// One edge taken.
pub struct Step<M: Machine> {
    /// When, in whatever unit the owner passed to [`Trace::record`].
    pub at: u64,
    /// The state before.
    pub from: M::State,
    /// The fact that caused it.
    pub event: M::Event,
    /// The edge.
    pub edge: M::Edge,
}

/// A ring of the last `N` steps of a machine, and a counter per edge.
///
/// # Invariants
/// - [`total`](Self::total) is the sum of all counters, and never decreases.
/// - [`steps`](Self::steps) yields the `min(N, total)` newest steps, oldest first.
pub struct Trace<M: Machine, const N: usize> {
    ring: [Option<Step<M>>; N],
    /// By [`Numbered::position`] of the edge.
    counts: Box<[u64]>,
    total: u64,
}

impl<M: Machine, const N: usize> Trace<M, N> {
    /// An empty trace. The only allocation it ever makes: eight bytes per edge of the machine.
    ///
    /// A ring without a slot does not compile.
    #[must_use]
    pub fn new() -> Self {
        const { assert!(N > 0, "a trace needs at least one slot") };
        Self { ring: [const { None }; N], counts: vec![0; M::Edge::ALL.len()].into(), total: 0 }
    }

    /// Notes that `edge` was taken from `from` because of `event`, overwriting the oldest step when the
    /// ring is full. `at` is a time or a sequence in the owner's own unit; nothing here reads it.
    ///
    /// # Panics
    /// In debug builds, if the table does not have this edge in this cell: the trace would be a lie.
    pub fn record(&mut self, at: u64, from: M::State, event: M::Event, edge: M::Edge) {
        debug_assert!(M::next(from, event) == Verdict::Take(edge), "{} is not in the table", edge.label());
        let slot = (self.total % N as u64) as usize;
        self.ring[slot] = Some(Step { at, from, event, edge });
        self.counts[edge.position()] += 1;
        self.total += 1;
    }

    /// How often `edge` has been taken since the trace was made.
    #[must_use]
    pub fn count(&self, edge: M::Edge) -> u64 {
        self.counts[edge.position()]
    }

    /// How many edges have been taken since the trace was made, kept in the ring or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The steps still in the ring, oldest first.
    pub fn steps(&self) -> impl Iterator<Item = &Step<M>> {
        let oldest = self.total.saturating_sub(N as u64);
        (oldest..self.total).filter_map(|i| self.ring[(i % N as u64) as usize].as_ref())
    }
}

// By hand, since a derive would ask the same of the machine itself.
impl<M: Machine> Clone for Step<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Step<M> {}

impl<M: Machine, const N: usize> Clone for Trace<M, N> {
    fn clone(&self) -> Self {
        Self { ring: self.ring, counts: self.counts.clone(), total: self.total }
    }
}

impl<M: Machine, const N: usize> Default for Trace<M, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// `T4 WinElection Candidate → Leader (E3 VoteWon)`.
impl<M: Machine> fmt::Display for Step<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.name(), M::target(self.edge).name());
        write!(f, "{} {from} → {to} ({})", self.edge.label(), self.event.label())
    }
}

impl<M: Machine> fmt::Debug for Step<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.at)
    }
}

/// The steps in the ring, one a line, behind the number of older ones that fell out of it.
impl<M: Machine, const N: usize> fmt::Debug for Trace<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} older ", M::NAME, self.total.saturating_sub(N as u64))?;
        f.debug_list().entries(self.steps()).finish()
    }
}
