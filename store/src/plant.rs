//! The store as designed, and ways to get it wrong that the comparison with the model must be able to catch.
//!
//! The same mechanism as in the Raft core: a type parameter, so that the store that serves is compiled without the
//! question.

use std::fmt;

use holdfast_machine::numbered;

numbered! {
    /// A rule left out on purpose.
    pub enum Bug: u8, "B" {
        /// A key that is created anew goes on counting versions where it was deleted.
        VersionNotReset = 1,
        /// Compaction takes the revision back to that of the newest key that is left (etcd #17780).
        CompactionMovesRevisionBack = 2,
        /// A transaction does not look at ranges whose result "nobody needs" and so does not refuse what they refuse
        /// (etcd fbba4f46e: members that skipped them differed from those that did not).
        NeedlessRangeSkipped = 3,
        /// A repetition below `low` is executed once more.
        StaleReexecuted = 4,
        /// The window of a session is an option of the node.
        CapFromNode = 5,
        /// An extension is honoured if the build knows it, whatever the replicated level says.
        LevelOfBinary = 6,
        /// The answer to a refused request is not kept, so that a repetition may be executed.
        RefusalForgotten = 7,
        /// Deleting nothing takes a revision.
        EmptyDeletionCounts = 8,
        /// The comparisons of an inner transaction see what the outer one wrote.
        InnerComparesLate = 9,
        /// The quota is checked with each operation and not at the end, and only for what was written so far.
        QuotaByOperation = 10,
        /// A deadline is compared with the clock of the envelope, which may be ahead of that of the state.
        DeadlineByEnvelope = 11,
        /// The counter of fencing tokens goes with the lock that was forgotten, and begins anew.
        TokenRepeats = 12,
        /// The keys of a lease vanish in two revisions.
        LeaseRevokedByHalves = 13,
        /// An expiry is taken at its word, whatever was renewed or granted anew since.
        ExpiryIgnoresCounter = 14,
        /// Who waits stays in the queue when its lease ends, and nobody looks at the lease when its turn comes.
        LockGrantedToDeadLease = 15,
        /// The deadline of a lease is counted from the wall clock, which the stamp shows.
        LeaseByWallClock = 16,
        /// A place is told by the number of its lease alone, so a later lease of that number inherits it.
        PlaceOfFormerLease = 17,
        /// A snapshot has no sessions in it.
        SessionsMissingFromSnapshot = 18,
        /// The digest sees that a key was written, and not what.
        ValueNotInDigest = 19,
    }
}

/// Which store it is.
pub trait Plant: fmt::Debug + Clone + Copy + Send + 'static {
    /// The rule left out; `None` as well if that is not known before it runs.
    const BUG: Option<Bug>;

    /// Whether this rule is left out.
    #[must_use]
    fn plants(bug: Bug) -> bool {
        Self::BUG == Some(bug)
    }
}

/// The store as designed.
#[derive(Clone, Copy, Debug)]
pub struct NoPlant;

impl Plant for NoPlant {
    const BUG: Option<Bug> = None;
}
