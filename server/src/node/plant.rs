//! The node as designed, and ways to get it wrong that the simulator of whole nodes must be able to catch.
//!
//! The same mechanism as in the core, the store and the hub, whose plants it brings along: a type parameter, so that the node
//! that serves is compiled without the question, and no cargo feature can carry a planted bug into the product.

use std::fmt;

use holdfast_machine::numbered;

use crate::watch;

numbered! {
    /// A rule left out on purpose: each is one that somebody outside can see broken, by what clients are told or by what a crash
    /// leaves.
    pub enum Bug: u8, "B" {
        /// Answers a write as executed when it is in the own log, from what it would come to.
        AnsweredWhenAppended = 1,
        /// Answers a write as executed when the own disk holds it, whatever the others have (etcd #13766 with other words).
        AnsweredAtOwnSync = 2,
        /// A leader serves linearizable reads on its own word that it still is the leader (etcd #741, Consul #54).
        LeaderReadsUnconfirmed = 3,
        /// A follower that knows a leader serves linearizable reads from what it has.
        FollowerReadsUnconfirmed = 4,
        /// Serves a confirmed read from what is applied now, and not from what was committed when it was confirmed.
        ReadBeforeApplied = 5,
        /// Serves a read that names a position before that position is applied.
        PositionIgnored = 6,
        /// Serves a stale read whatever age its client has set as the bound.
        StaleBoundIgnored = 7,
        /// Counts the age of the state from when a confirmation came, and not from when it was asked for.
        FreshFromAnswer = 8,
        /// Counts the age of the state from the last message of the leader, however long that was under way.
        FreshFromHeartbeat = 9,
        /// A deposed leader says of the writes that it has proposed that they are not applied (nebula #3880).
        DeposedSaysNotApplied = 10,
        /// Says of a write that it has proposed, and whose client waits no longer, that it is not applied.
        TimeoutSaysNotApplied = 11,
        /// Proposes a write after its client was told that its time was over before.
        GivenUpYetProposed = 12,
        /// A deposed leader keeps its calls, and answers them with whatever comes to stand at their indexes.
        AnsweredByIndex = 13,
        /// A deposed leader forgets its calls and answers none of them.
        SilentWhenDeposed = 14,
        /// Nobody is told that the time of a call is over.
        TimeoutsNotKept = 15,
        /// A new leader begins the clock of the cluster with its own time of day, and not with the clock of the log.
        ClockFromWall = 16,
        /// Each entry moves the clock of the cluster by all the time since this leader began.
        TimeCountedAgain = 17,
        /// A leader renews a lease on its own word, and the log does not know (etcd #15247).
        RenewalNotReplicated = 18,
        /// A deposed leader believes for ever that it has proposed the end of a lease, and does not do so when it leads again.
        ExpiryNotRepeated = 19,
        /// Sends at once what has to wait for the disk.
        HeldSentAtOnce = 20,
        /// Takes for durable what the disk was only given.
        DurableWhenGiven = 21,
        /// Takes a snapshot of entries whose audit records a crash can still take.
        SnapshotBeforeAudit = 22,
        /// What gives room overtakes what the same client has sent before.
        UrgentOvertakes = 23,
        /// Only a leader tells those who wait for news of a queue.
        NewsFromLeaderOnly = 24,
    }
}

/// Which node it is, with all that it is made of.
pub trait Plant: fmt::Debug + Clone + Copy + Send + 'static {
    /// Which core it has.
    type Raft: holdfast_raft::Plant;
    /// Which store.
    type Store: holdfast_store::Plant;
    /// And which hub.
    type Watch: watch::plant::Plant;

    /// Whether this rule is left out.
    #[must_use]
    fn plants(bug: Bug) -> bool;
}

/// The node as designed.
#[derive(Clone, Copy, Debug)]
pub struct AsDesigned;

impl Plant for AsDesigned {
    type Raft = holdfast_raft::NoPlant;
    type Store = holdfast_store::NoPlant;
    type Watch = watch::plant::NoPlant;

    fn plants(_: Bug) -> bool {
        false
    }
}
