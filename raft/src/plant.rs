//! The core as designed, and historical ways to get it wrong that the simulator must be able to catch.
//!
//! A net that never caught anything may have a hole as large as the sea. So the code asks, at each place where a rule
//! matters, whether it is the core that breaks this rule. As the answer is a type parameter, the core that serves is
//! compiled without the question, and no cargo feature can carry a planted bug into the product.

use std::fmt;

use holdfast_machine::numbered;

numbered! {
    /// A rule left out on purpose, after a bug that some system once shipped or a rule that the paper insists on.
    pub enum Bug: u8, "B" {
        /// Commits an entry of an earlier term by counting copies (§5.4.2, Figure 8; LogCabin #44).
        CommitPriorTerm = 1,
        /// Sends a granted vote before it is durable.
        VoteBeforeDurable = 2,
        /// Asks for votes before the own term and vote are durable.
        RequestVoteBeforeDurable = 3,
        /// Acknowledges entries before they are durable.
        AckBeforeSync = 4,
        /// A leader counts itself for entries that its own disk does not hold yet, as etcd #13766 answered before the sync.
        LeaderCountsUnsynced = 5,
        /// Allows a membership change before an entry of the own term has committed, and while another is uncommitted.
        ChangeBeforeOwnTerm = 6,
        /// Keeps acting on a configuration whose entry was truncated.
        ConfigurationNotReverted = 7,
        /// Keeps a configuration from before a snapshot was installed (openraft #1808).
        ConfigurationNotFromSnapshot = 8,
        /// Answers a read before an entry of the own term has committed (etcd #7331).
        ReadBeforeOwnTerm = 9,
        /// Uses the id of a heartbeat round again (etcd #20418).
        RoundReused = 10,
        /// Obeys a `TimeoutNow` of any term (raft-rs #234).
        TimeoutNowUnbound = 11,
        /// Takes the match of a late acknowledgement although it is lower.
        MatchRegresses = 12,
        /// Counts what an earlier boot of a peer acknowledged.
        OldBootCounted = 13,
        /// Does not compare the boot that a message is addressed to.
        AddresseeBootIgnored = 14,
        /// Drops messages of senders that the own configuration does not list.
        StrangersDropped = 15,
        /// Sticks to the leader also when that leader handed its office over.
        StickyDuringTransfer = 16,
        /// A leader without a quorum stays in office (PreVote without `CheckQuorum`).
        NoCheckQuorum = 17,
        /// Counts learners for commit.
        LearnerCounted = 18,
        /// Counts only the new voters while two configurations are joint.
        JointCountsNewOnly = 19,
        /// Leaves the joint configuration before it is committed.
        JointLeftEarly = 20,
        /// Grants votes while a live leader is heard: a removed node disrupts.
        NotSticky = 21,
        /// Appends the same chunk of a snapshot twice.
        ChunkTwice = 22,
        /// Acknowledges entries behind a hole.
        HolePassedByAck = 23,
        /// Votes, and lets itself be counted, although the own term and vote are lost.
        LostHardStateCounts = 24,
        /// Takes the leader's commit index for entries that were not compared with the leader's.
        CommitBeyondVerified = 25,
        /// Truncates whatever lies behind an append, conflict or not.
        TruncatesWithoutConflict = 26,
        /// Takes a report of durability for entries that replaced the reported ones (ABA).
        DurableAba = 27,
        /// Grants votes without comparing logs (§5.4.1).
        VoteIgnoresLog = 28,
        /// Votes again in the same term.
        VotesTwice = 29,
        /// Confirms a read by answers to a heartbeat that was sent before the read arrived.
        ReadJoinsOldRound = 30,
        /// Counts a late vote of an earlier term.
        LateVoteCounted = 31,
        /// Asks for votes although it is no voter.
        NonVoterCampaigns = 32,
        /// Answers messages of lower terms with silence, so that a node stuck at a higher term stays outside.
        LowerTermIgnored = 33,
        /// Keeps the vote in memory only when the term is new.
        VoteNotPersisted = 34,
    }
}

/// Which core it is.
pub trait Plant: fmt::Debug + Clone + Copy + Send + 'static {
    /// The rule left out; `None` as well if that is not known before it runs.
    const BUG: Option<Bug>;

    /// Whether this rule is left out.
    #[must_use]
    fn plants(bug: Bug) -> bool {
        Self::BUG == Some(bug)
    }

    /// Whether any is.
    #[must_use]
    fn any() -> bool {
        Self::BUG.is_some()
    }
}

/// The core as designed.
#[derive(Clone, Copy, Debug)]
pub struct NoPlant;

impl Plant for NoPlant {
    const BUG: Option<Bug> = None;
}
