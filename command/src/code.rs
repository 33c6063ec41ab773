//! Why a request was refused, as a number that people can look up.
//!
//! A code is printed as `HF1302`, stands in scripts and runbooks, and never changes its meaning. Its doc comment is
//! written for somebody who has never seen holdfast: it is what `holdfast explain` will print.

use holdfast_machine::numbered;

/// What a refused request has done. If it was sent more than once, see [`Code::is_of_copy`] too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It was executed when it came for the first time.
    Applied,
    /// It was not executed.
    NotApplied,
    /// Nobody can say. Of a request that the log has refused (`UnknownSession`, `StaleSequence`), this copy was not
    /// executed, and whether an earlier one was is forgotten. Of one that nobody waits for any more (`LeadershipLost`,
    /// `TimedOut`), this copy may still be executed.
    Unknown,
}

numbered! {
    /// Why a request was refused.
    pub enum Code: u16, "HF" {
        /// The bytes are not a request. A client of a broken or much later version sent them; nothing was executed.
        Malformed = 1001,
        /// The cluster does not know this command. Either the client is newer than the cluster, or not every member has
        /// been upgraded yet: a command can be used once the feature level of the whole cluster includes it.
        UnknownCommand = 1002,
        /// The request asks for a feature that not every member of the cluster is known to support. Upgrade all members
        /// and raise the feature level, or send the request without it.
        UnsupportedFeature = 1003,
        /// A key has at least one byte.
        EmptyKey = 1004,
        /// The end of the span is not above its start, so it could never hold a key. Probably the two are swapped.
        EmptySpan = 1005,
        /// A transaction changes the same key twice. All its changes get the same revision, so there would be no
        /// telling which came last. Write the key once, with its final value.
        DuplicateKey = 1006,
        /// The request contradicts itself: it gives a value or lease and asks to keep the old one, sets a setting
        /// twice, or compares the token of a lock or election over more than one name.
        Contradiction = 1007,
        /// The request came later than it said that it may be executed. Nothing was done; ask again with a new
        /// deadline.
        TooLate = 1008,
        /// The continuation was not made by this range: the span, the order or the revision is another. Start again
        /// without.
        BadContinuation = 1009,
        /// A sequence starts at 1, and `low` lies between 1 and the sequence. The client library is broken.
        BadSequence = 1010,
        /// Only nodes send this command, on behalf of the cluster.
        NotForClients = 1011,

        /// The key is longer than the replicated setting `KeyBytes` allows.
        KeyTooLong = 1101,
        /// The value is longer than the setting `ValueBytes`, or the namespace of the key, allows; of a lock or an
        /// election, longer than 4,096 bytes.
        ValueTooLong = 1102,
        /// The request as a whole is longer than the setting `RequestBytes` allows. Split it.
        RequestTooLong = 1103,
        /// The transaction has more comparisons and operations than the setting `Operations` allows. Split it.
        TooManyOperations = 1104,
        /// The reason is longer than 1,024 bytes.
        ReasonTooLong = 1105,
        /// The namespace holds as many keys as its quota allows. Delete some, or raise the quota.
        QuotaOfKeys = 1106,
        /// The keys and values of the namespace would have more bytes than its quota allows. Delete some, or raise the
        /// quota.
        QuotaOfBytes = 1107,
        /// There are as many client sessions as the setting `Sessions` allows. Clients that open sessions and never
        /// close them are the usual cause; sessions end by themselves when their time is over.
        TooManySessions = 1108,
        /// As many idempotency keys are remembered as the setting `IdempotencyKeys` allows. They are forgotten when
        /// their time is over.
        TooManyIdempotencyKeys = 1109,
        /// There are as many namespaces as the setting `Namespaces` allows.
        TooManyNamespaces = 1110,
        /// The answer would have more bytes than the setting `ReplyBytes` allows. Nothing was executed. Read with
        /// smaller pages, or do not ask for previous values.
        ReplyTooLong = 1111,
        /// A description, an owner's name or the list of owners of a namespace is longer than it may be.
        DescriptionTooLong = 1112,
        /// The command would look at more keys than the setting `Visits` allows. Nothing was executed. Delete or read
        /// in several steps, over smaller spans.
        TooManyVisits = 1113,

        /// This member is not the leader, and writes go through the leader. The answer says who is, if the member knows;
        /// clients go there by themselves.
        NotLeader = 1201,
        /// As much is waiting at this member as it takes on. Nothing was executed; ask again after the time given.
        Overloaded = 1202,
        /// No leader is known: too few members can reach each other for a quorum, or an election is under way. Nothing was
        /// executed. If it lasts longer than some seconds, look at the members' states.
        NoLeader = 1203,
        /// The member stopped being the leader while the request was under way. Whether it will have been executed is
        /// decided by the next leader; within a session, sending it again under its sequence is safe.
        LeadershipLost = 1204,
        /// The request was not decided within the time that the client gave it. It may still be executed; within a session,
        /// sending it again under its sequence is safe.
        TimedOut = 1205,
        /// The member has not applied the position that the read asked for within the time that the client gave it. Both
        /// indices are given.
        PositionNotReached = 1206,
        /// The position belongs to another life of the cluster: it was restored or recovered since. What was read or written
        /// under the old one may be gone.
        OtherEpoch = 1207,
        /// The position belongs to another Raft group.
        OtherGroup = 1208,
        /// What this member holds may be older than the read allows. Ask another one, or allow more.
        TooStale = 1209,
        /// The disk of the leader is full: nothing new is accepted until there is room. What was acknowledged is safe.
        DiskFull = 1210,
        /// The member is starting: it has no cluster yet, or has not read its log.
        Starting = 1211,
        /// The member is stopping. Ask another one.
        Stopping = 1212,
        /// The members have applied the same entries to different states, and no majority has the same: something is broken,
        /// memory or a build. The member serves nobody until a majority agrees; it goes on replicating. Keep the directories of
        /// all members, and report it.
        Diverged = 1213,
        /// The member cannot read the files of its audit log at the moment; its own log says why. The others keep the same
        /// records: ask one of them.
        AuditUnreadable = 1214,
        /// The member does not have that snapshot: it has taken none yet, or a newer one has taken its place. Begin anew.
        NoSnapshot = 1215,
        /// The member could not write or read a snapshot: its disk may be full or broken. Its log says more. Ask another one.
        SnapshotFailed = 1216,

        /// There is no such key, and the request needs one: it reads it, or keeps its value or lease.
        KeyNotFound = 1301,
        /// The revision was compacted: history is kept for a limited time, and this is older. The oldest that can be
        /// read is given. A watch has to start anew from the current state.
        Compacted = 1302,
        /// The revision lies in the future. Either it belongs to another cluster, or this cluster was restored from a
        /// backup.
        FutureRevision = 1303,
        /// All revisions there are, some nine quintillions, have been used.
        RevisionsExhausted = 1304,
        /// The key is not at the revision that the request demands: somebody else wrote or deleted it meanwhile, or it exists and
        /// must not. Nothing was changed. Read the key and decide anew.
        WrongRevision = 1305,

        /// The cluster does not know this session: it expired while the client was away, was closed, belongs to
        /// somebody else, or to another cluster. This copy of the request was not executed; an earlier one may have
        /// been. Look at the keys before writing again.
        UnknownSession = 1401,
        /// The client has said before that it no longer waits for this request, so that its answer was forgotten. This
        /// copy was not executed.
        StaleSequence = 1402,
        /// The client has more requests under way in this session than the setting `SessionWindow` allows. This one was
        /// not executed.
        WindowFull = 1403,
        /// The request was executed when it came for the first time. Its answer was too long to be kept and cannot be
        /// repeated: of a transaction, not even which of its two lists was done. Look at the keys.
        AppliedReplyDropped = 1404,
        /// The same idempotency key was used for another request. Nothing was executed. Use a new key for each new
        /// request.
        IdempotencyMismatch = 1405,
        /// The time to live of a session has to lie between the settings `SessionTtlMin` and `SessionTtlMax`.
        TtlOutOfRange = 1406,

        /// There is no setting of this number in this version.
        UnknownSetting = 1501,
        /// The value lies outside of the bounds of the setting, or the shortest time to live above the longest.
        SettingOutOfRange = 1502,
        /// The feature level is raised one at a time and never goes back.
        LevelNotNext = 1503,
        /// There is no namespace of this name.
        UnknownNamespace = 1504,
        /// A namespace is called like `team/app/`: it ends in a slash, does not begin with one, has no empty part, and
        /// at most 255 bytes.
        BadNamespaceName = 1505,

        /// The lease does not exist, has ended, or was granted to somebody else: nothing can be attached to it, held
        /// or renewed by it. Whoever held something by it has lost it. Grant a new one.
        UnknownLease = 1601,
        /// There is a lease of this number already. Choose another, or let the store choose one.
        LeaseExists = 1602,
        /// The time to live of a lease has to lie between the settings `LeaseTtlMin` and `LeaseTtlMax`.
        LeaseTtlOutOfRange = 1603,
        /// There are as many leases as the setting `Leases` allows. Leases end by themselves when nobody renews them.
        TooManyLeases = 1604,
        /// As many keys would hang on the lease as the setting `LeaseKeys` allows: they all go at once when it ends.
        /// Spread them over several leases.
        TooManyKeysOfLease = 1605,
        /// The number of a lease is positive. Only a grant may leave it to the store, by 0.
        BadLease = 1606,

        /// Somebody else holds the lock, and the request did not want to wait. The token of the holder is given.
        LockHeld = 1701,
        /// The lease neither holds this lock nor waits for it; nor does it stand in this election.
        NotInQueue = 1702,
        /// As many places in the queues of all locks and elections are taken as the setting `Places` allows.
        TooManyPlaces = 1703,
        /// The name of a lock or an election has 1 to 255 bytes.
        BadName = 1704,
        /// All fencing tokens below 2^53 were given, or are promised to those who wait. Only a stamp far in the future
        /// at the first grant gets there.
        TokensExhausted = 1705,

        /// The lease is not in office in this term. Whoever was elected since may have proclaimed something else.
        NotElected = 1801,

        /// Another change of the members is under way. Nothing was changed; ask again when it is done.
        ChangePending = 2001,
        /// The members that can be reached now are no quorum of the configuration asked for: it could not be committed, and the
        /// cluster would have no leader that could undo it. Bring more members up first.
        WouldLoseQuorum = 2002,
        /// The number belongs to a member, or did once. Numbers of nodes are never used again: take one that is new.
        NodeIdUsed = 2003,
        /// The data directory belongs to another member.
        DirectoryTaken = 2004,
        /// There is no member of this number.
        UnknownMember = 2005,
        /// A voter cannot be promoted, and a learner cannot be demoted.
        WrongKindOfMember = 2006,
        /// The learner has not caught up with the log yet, so it could not help to commit anything. Look at `holdfast member list`
        /// how far it has come, and ask again.
        NotCaughtUp = 2007,
        /// Nobody would be left to vote.
        NoVoterLeft = 2008,
        /// There would be more members, or more voters, than a cluster may have: 64 and 15.
        TooManyMembers = 2009,
        /// The change would change nothing: what it asks for is so already.
        NothingToChange = 2010,
        /// Leadership can be handed to another voter only, and to one that takes part in elections.
        NoTransferTarget = 2011,
        /// Leadership was to be handed over, and the other voter did not take it in time. This member still leads.
        TransferFailed = 2012,
        /// The address of a member is none that the others could reach it at: it has to be a host and a port.
        BadAddress = 2013,

        /// There is nothing under this path of the HTTP interface. `docs/http.md` lists what there is.
        NoSuchRoute = 2101,
        /// The path exists, and this method does nothing with it. The header `Allow` names those that do.
        MethodNotAllowed = 2102,
        /// A parameter of the query, a header or a part of the path is unknown, missing, there twice, or not of the form that it
        /// has to have. The message says which and what is expected.
        BadParameter = 2103,
        /// The body is not what this path takes: no JSON, JSON with a field that is unknown, missing or of another type, or
        /// longer or shorter than its header says.
        BadBody = 2104,
        /// The body or the header of the request is longer than any that is taken.
        BodyTooLong = 2105,
        /// The request did not come to its end in time. Nothing was executed.
        BodyTooSlow = 2106,
        /// This node was asked to forward the request to the leader, and got no answer from it. The request may have been
        /// executed; with an idempotency key it can be sent again.
        ForwardFailed = 2107,
        /// A browser made this request for a page of somebody else, or under a name that is not this node's. Whoever listens on
        /// loopback only would else be at the mercy of every page that is opened on the machine.
        ForeignOrigin = 2108,
    }
    families {
        "request" = 1001..=1099,
        "limit" = 1101..=1199,
        "availability" = 1201..=1299,
        "revision" = 1301..=1399,
        "session" = 1401..=1499,
        "setting" = 1501..=1599,
        "lease" = 1601..=1699,
        "lock" = 1701..=1799,
        "election" = 1801..=1899,
        "access" = 1901..=1999,
        "membership" = 2001..=2099,
        "http" = 2101..=2199,
    }
}

impl Code {
    /// What a request that was refused with this code has done.
    #[must_use]
    pub const fn effect(self) -> Effect {
        match self {
            Self::AppliedReplyDropped => Effect::Applied,
            Self::UnknownSession
            | Self::StaleSequence
            | Self::LeadershipLost
            | Self::TimedOut
            | Self::ForwardFailed => Effect::Unknown,
            Self::Malformed
            | Self::UnknownCommand
            | Self::UnsupportedFeature
            | Self::EmptyKey
            | Self::EmptySpan
            | Self::DuplicateKey
            | Self::Contradiction
            | Self::TooLate
            | Self::BadContinuation
            | Self::BadSequence
            | Self::NotForClients
            | Self::KeyTooLong
            | Self::ValueTooLong
            | Self::RequestTooLong
            | Self::TooManyOperations
            | Self::ReasonTooLong
            | Self::QuotaOfKeys
            | Self::QuotaOfBytes
            | Self::TooManySessions
            | Self::TooManyIdempotencyKeys
            | Self::TooManyNamespaces
            | Self::ReplyTooLong
            | Self::DescriptionTooLong
            | Self::TooManyVisits
            | Self::KeyNotFound
            | Self::Compacted
            | Self::FutureRevision
            | Self::RevisionsExhausted
            | Self::WrongRevision
            | Self::WindowFull
            | Self::IdempotencyMismatch
            | Self::TtlOutOfRange
            | Self::UnknownSetting
            | Self::SettingOutOfRange
            | Self::LevelNotNext
            | Self::UnknownNamespace
            | Self::BadNamespaceName
            | Self::UnknownLease
            | Self::LeaseExists
            | Self::LeaseTtlOutOfRange
            | Self::TooManyLeases
            | Self::TooManyKeysOfLease
            | Self::BadLease
            | Self::LockHeld
            | Self::NotInQueue
            | Self::TooManyPlaces
            | Self::BadName
            | Self::TokensExhausted
            | Self::NotElected
            | Self::ChangePending
            | Self::WouldLoseQuorum
            | Self::NodeIdUsed
            | Self::DirectoryTaken
            | Self::UnknownMember
            | Self::WrongKindOfMember
            | Self::NotCaughtUp
            | Self::NoVoterLeft
            | Self::TooManyMembers
            | Self::NothingToChange
            | Self::NoTransferTarget
            | Self::TransferFailed
            | Self::BadAddress
            | Self::NoSuchRoute
            | Self::MethodNotAllowed
            | Self::BadParameter
            | Self::BadBody
            | Self::BodyTooLong
            | Self::BodyTooSlow
            | Self::ForeignOrigin
            | Self::NotLeader
            | Self::Overloaded
            | Self::NoLeader
            | Self::PositionNotReached
            | Self::OtherEpoch
            | Self::OtherGroup
            | Self::TooStale
            | Self::DiskFull
            | Self::Starting
            | Self::Stopping
            | Self::Diverged
            | Self::AuditUnreadable
            | Self::NoSnapshot
            | Self::SnapshotFailed => Effect::NotApplied,
        }
    }

    /// Whether the refusal speaks only of the copy of the request that met it: it is not kept under the request key,
    /// and what it depends on may change. Another copy, still under way, may yet be executed. So a client that has sent
    /// a request more than once knows no more than before; it knows when it has said, by `low`, that it no longer
    /// waits, and that was applied.
    ///
    /// Every refusal at admission, before the log, is of that kind, whatever its code.
    #[must_use]
    pub const fn is_of_copy(self) -> bool {
        matches!(
            self,
            Self::UnknownCommand
                | Self::UnsupportedFeature
                | Self::WindowFull
                | Self::TooManyIdempotencyKeys
                | Self::IdempotencyMismatch
                | Self::UnknownSession
                | Self::StaleSequence
                | Self::NotLeader
                | Self::Overloaded
                | Self::NoLeader
                | Self::LeadershipLost
                | Self::TimedOut
                | Self::PositionNotReached
                | Self::OtherEpoch
                | Self::OtherGroup
                | Self::TooStale
                | Self::DiskFull
                | Self::Starting
                | Self::Stopping
                | Self::Diverged
                | Self::AuditUnreadable
                | Self::NoSnapshot
                | Self::SnapshotFailed
                | Self::ForwardFailed
        )
    }

    /// Whether waiting helps: what is in the way goes away as time passes or others finish. A request that was refused
    /// under a request key while it was executed stays refused under it, and needs a new one.
    ///
    /// Where the [`effect`](Self::effect) is unknown, sending again is safe only under the same request key: without one,
    /// it could be executed twice.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::QuotaOfKeys
                | Self::QuotaOfBytes
                | Self::TooManySessions
                | Self::TooManyIdempotencyKeys
                | Self::TooManyNamespaces
                | Self::TooManyLeases
                | Self::TooManyKeysOfLease
                | Self::LockHeld
                | Self::TooManyPlaces
                | Self::WindowFull
                | Self::NotLeader
                | Self::Overloaded
                | Self::NoLeader
                | Self::LeadershipLost
                | Self::TimedOut
                | Self::PositionNotReached
                | Self::TooStale
                | Self::DiskFull
                | Self::Starting
                | Self::Stopping
                | Self::Diverged
                | Self::AuditUnreadable
                | Self::BodyTooSlow
                | Self::ForwardFailed
        )
    }
}
