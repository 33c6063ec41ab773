//! Deep states that a run over many seeds has to reach. One that is never reached fails the run.

use holdfast_machine::numbered;

numbered! {
    /// A state of the cluster that bugs like.
    pub enum Probe: u8, "P" {
        /// A log was opened that is damaged, or has lost term and vote.
        DamagedLogOpened = 1,
        /// A snapshot was found that is not whole.
        DamagedSnapshotOpened = 2,
        /// A process refused to start on damaged files.
        StartRefused = 3,
        /// A damaged log became whole again, from its peers.
        LogHealed = 4,
        /// A connection of a client broke in the middle.
        StreamBroken = 5,
        /// A crash cut the effects of a turn.
        TurnCutShort = 6,
        /// A removed node learned that it is none any more.
        RemovedNodeToldSo = 7,
        /// A leader handed its office over.
        TransferSucceeded = 8,
        /// A transfer of office was given up.
        TransferGivenUp = 9,
        /// A snapshot could not be taken or installed.
        SnapshotFailed = 10,
        /// The state of a node was replaced by a leader's snapshot.
        SnapshotInstalled = 11,
        /// The audit log could not be written.
        AuditFailed = 12,
        /// It could be written again.
        AuditGoesOn = 13,
        /// A stamp far ahead of the own time of day was reported.
        DriftReported = 14,
        /// A disk had no room for the log.
        DiskFull = 15,
        /// A sync of the log failed, and the process ended.
        SyncFailed = 16,
        /// A disk failed under snapshots or audit files.
        SideFailed = 17,
        /// All processes crashed at once.
        MassCrash = 18,
        /// A machine lost power.
        PowerCut = 19,
        /// A leader crashed.
        LeaderCrashed = 20,
        /// A leader was suspended.
        LeaderPaused = 21,
        /// A time of day jumped.
        WallJumped = 22,
        /// One machine was cut off.
        Isolated = 23,
        /// The network fell into two.
        Halves = 24,
        /// A machine was heard and did not hear.
        Deaf = 25,
        /// A machine heard and was not heard.
        Mute = 26,
        /// Everybody reached one machine, and few each other.
        Bridge = 27,
        /// Any links were cut, one way.
        AnyLinks = 28,
        /// A recorded message came again.
        Replayed = 29,
        /// A member was added.
        MemberAdded = 30,
        /// A member was removed.
        MemberRemoved = 31,
        /// A member was replaced in one step.
        Replaced = 32,
        /// A change of members was refused for good.
        ChangeRefused = 33,
        /// A machine lost its directory.
        Wiped = 34,
        /// A machine that was of no use any more was replaced.
        SpentReplaced = 35,
        /// Clients asked for far more than is usual.
        Burst = 36,
        /// A lock was granted, or an election won.
        LockGranted = 37,
        /// Somebody had to wait for a lock.
        LockWaited = 38,
        /// A holder saw that its lease was gone.
        LeaseGone = 39,
        /// A watch ended because what it needed was compacted.
        WatchCompacted = 40,
        /// The core of a cluster went on with permanent faults around it.
        CoreWentOn = 41,
        /// A write was refused because a session was unknown, or its outcome was not kept.
        SessionTrouble = 42,
        /// The outcome of a write stayed unknown.
        OutcomeUnknown = 43,
        /// A call was refused for want of room.
        Overloaded = 44,
        /// Something was refused because it was compacted.
        Compacted = 45,
        /// A leader revoked its own office, and others led on.
        LeadershipRevoked = 46,
        /// A leader noticed that a node had lost what it had acknowledged, because its disk was damaged.
        LossNoticed = 47,
        /// A disk failed, or was full, while a process started on it.
        StartDelayed = 48,
        /// A read or a query was answered with a state of a known age.
        AgedStateServed = 49,
        /// A client asked any member for news of a queue.
        NewsAskedAnywhere = 50,
        /// A leader got entries for a peer back from its log.
        EntriesReadBack = 51,
    }
}
