//! Deep states that a run over many seeds has to reach. One that is never reached fails the run: then either the dice
//! changed or something became impossible, and in both cases the properties are not tested where it matters.

use holdfast_machine::numbered;

numbered! {
    /// A state of the cluster that bugs like.
    pub enum Probe: u8, "P" {
        /// A leader crashed or resigned while its joint configuration was uncommitted.
        JointLeaderLost = 1,
        /// A leader crashed or resigned after the joint configuration was committed and before its end was.
        JointCommittedLeaderLost = 2,
        /// A configuration entry was truncated.
        ConfigurationTruncated = 3,
        /// Two or more entries were truncated at once.
        LongTruncation = 4,
        /// An entry of an earlier term stood durably on a majority, and was overwritten (Figure 8).
        FigureEight = 5,
        /// Two nodes led at the same time, in different terms.
        TwoLeaders = 6,
        /// A leader committed what its own disk did not hold yet.
        CommitBeforeOwnSync = 7,
        /// A crash interrupted the installation of a snapshot.
        InstallCutByCrash = 8,
        /// A crash interrupted the receiving of a snapshot.
        ReceiveCutByCrash = 9,
        /// Another snapshot took the place of one that was being received.
        SnapshotSuperseded = 10,
        /// The log overtook a snapshot that was being received.
        SnapshotOvertaken = 11,
        /// The installation of a snapshot failed.
        InstallFailed = 12,
        /// A transfer of office ended with the target in office.
        TransferSucceeded = 13,
        /// A transfer of office was given up.
        TransferGivenUp = 14,
        /// A `TimeoutNow` came again and was not obeyed.
        TimeoutNowReplayed = 15,
        /// A read was confirmed at a follower.
        FollowerRead = 16,
        /// A read was refused because leadership was lost.
        ReadRefused = 17,
        /// A proposal was refused because too much was uncommitted.
        UncommittedFull = 18,
        /// A leader resigned because of its own disk.
        DiskStallResignation = 19,
        /// A learner was made a voter by the leader itself.
        AutoPromotion = 20,
        /// A leader committed a configuration without itself, and resigned.
        LeaderRemovedItself = 21,
        /// A removed node asked for votes in vain.
        RemovedNodeCampaigned = 22,
        /// A leader gave way because a node stuck at a higher term said so.
        HigherTermRejoined = 23,
        /// A damaged log became whole.
        DamageHealed = 24,
        /// A node with holes and a trustworthy end granted a vote.
        DamagedNodeVoted = 25,
        /// A node that was barred from voting by its damage was healed and granted a vote.
        BarredNodeVoted = 26,
        /// A node without hard state acknowledged entries that were not counted.
        NotCounted = 27,
        /// An acknowledgement of an earlier boot was dropped.
        OldBootDropped = 28,
        /// A message for an earlier boot of its addressee was dropped.
        StaleAddresseeDropped = 29,
        /// A leader was elected after all nodes had crashed at once.
        MassCrashSurvived = 30,
        /// A crash cut an append between two of its entries.
        TornAppend = 31,
        /// A node started with a snapshot newer than its log.
        SnapshotAheadOfLog = 32,
        /// A node crashed right after its vote was durable.
        CrashAfterVote = 33,
        /// A leader was elected although a higher term existed.
        LateElection = 34,
        /// A leader that was deposed without knowing accepted a proposal.
        StaleLeaderProposal = 35,
        /// A learner received its log as a snapshot.
        LearnerInstalled = 36,
        /// A node took entries from a leader that its configuration does not list.
        StrangerHeeded = 37,
        /// A node that joined with nothing granted a vote later.
        JoinedNodeVoted = 38,
        /// A change was refused because the members that answer are no quorum of the new configuration.
        WouldLoseQuorum = 39,
        /// A leader was paused, and another had been elected when it went on.
        PausedLeaderReturned = 40,
        /// A vote was refused because a live leader was heard.
        StickyRefusal = 41,
        /// A message of an earlier boot of the same cluster came again.
        ReplayAcrossBoots = 42,
        /// A membership change was committed whose leader had changed on the way.
        ChangeFinishedByAnother = 43,
        /// A member was replaced by another in one step.
        Replaced = 44,
        /// A node stood behind two configuration entries of which it knew neither committed.
        TwoChangesUnknown = 45,
        /// The core of a cluster went on with permanent faults around it.
        CoreWentOn = 46,
        /// No core could have gone on, and the predicate said so.
        CoreImpossible = 47,
        /// A message for another cluster or node, or with impossible numbers, was dropped.
        ForgeryDropped = 48,
        /// A node was elected that an uncommitted configuration leaves out: the others could not have done without its log.
        LeftOutLeads = 49,
        /// A leader got entries for a peer back from its disk.
        EntriesReadBack = 50,
        /// A leader did not get them.
        ReadBackFailed = 51,
    }
}
