//! The hub as designed, and ways to get it wrong that the properties must be able to catch.
//!
//! The same mechanism as in the store: a type parameter, so that the hub that serves is compiled without the question.

use std::fmt;

use holdfast_machine::numbered;

numbered! {
    /// A rule left out on purpose.
    pub enum Bug: u8, "B" {
        /// What was compacted while a watch was behind is passed over.
        LostAtCompaction = 1,
        /// A watch is told how far the node is, and not how far the watch is.
        MarkTooEarly = 2,
        /// After a snapshot a watch begins anew with the last revision that it had.
        RepeatedAfterInstall = 3,
        /// A watch joins the live events as soon as the history of the clone is read, whatever was applied meanwhile.
        GapAtSplice = 4,
        /// A message ends where it is long enough, and says that the revision is whole.
        RevisionSplit = 5,
        /// A watch that begins in the future gets what comes before.
        FutureDeliversPast = 6,
        /// A revision that does not fit into the queue is left out.
        LostWhenFull = 7,
        /// A queue has no bound.
        QueueUnbounded = 8,
        /// A watch that ends while it is behind is told to resume where the node is.
        ResumesTooLate = 9,
        /// The version before is that of the key now.
        PreviousIsCurrent = 10,
        /// The deletions are not left out.
        DeletesNotFiltered = 11,
    }
}

/// Which hub it is.
pub trait Plant: fmt::Debug + Clone + Copy + Send + 'static {
    /// The rule left out; `None` as well if that is not known before it runs.
    const BUG: Option<Bug>;

    /// Whether this rule is left out.
    #[must_use]
    fn plants(bug: Bug) -> bool {
        Self::BUG == Some(bug)
    }
}

/// The hub as designed.
#[derive(Clone, Copy, Debug)]
pub struct NoPlant;

impl Plant for NoPlant {
    const BUG: Option<Bug> = None;
}
