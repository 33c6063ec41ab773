//! Which commands there are.

use holdfast_machine::numbered;

numbered! {
    /// A replicated command. Its number stands in the log for ever.
    pub enum CommandNumber: u16, "C" {
        /// Writes one key.
        Put = 1,
        /// Deletes one key, or all keys of a span.
        Delete = 2,
        /// Compares, and then does one of two lists of operations, all in one revision or not at all.
        Transact = 3,
        /// Writes the value that a key had at an earlier revision, or deletes it if it was not there.
        Restore = 4,
        /// Gives up all revisions below one, for ever.
        Compact = 5,
        /// Creates a namespace or replaces its settings.
        SetNamespace = 101,
        /// Removes a namespace. Its keys stay, under the rules of what encloses it.
        DeleteNamespace = 102,
        /// Changes some of the replicated settings, all at once.
        ChangeSettings = 201,
        /// Raises the feature level, which never goes back.
        RaiseFeatureLevel = 202,
        /// Registers a client session.
        OpenSession = 301,
        /// Renews sessions, many clients' in one entry.
        KeepSessions = 302,
        /// Ends a session before its time.
        CloseSession = 303,
        /// Lets the cluster clock go on when nothing else does.
        Tick = 401,
        /// Grants a lease.
        GrantLease = 501,
        /// Renews leases, many clients' in one entry.
        RenewLeases = 502,
        /// Ends a lease, with its keys and its places in queues.
        RevokeLease = 503,
        /// Ends a lease whose time is over, unless it was renewed since.
        ExpireLease = 504,
        /// Takes a lock, or queues up for it.
        Acquire = 601,
        /// Gives up a lock, or the place in its queue.
        Release = 602,
        /// Stands for election.
        Campaign = 701,
        /// Proclaims another value, within the term of office.
        Proclaim = 702,
        /// Gives up the office, or the candidacy.
        Resign = 703,
    }
    families {
        "keys" = 1..=99,
        "namespaces" = 101..=199,
        "settings" = 201..=299,
        "sessions" = 301..=399,
        "time" = 401..=499,
        "leases" = 501..=599,
        "locks" = 601..=699,
        "elections" = 701..=799,
    }
}

/// What every member of the cluster is known to understand. It is part of the replicated state, starts at
/// [`FIRST`](Self::FIRST), is raised by a command once every member can follow, and never goes back.
///
/// A command, a setting or an extension above the level of the *state* is refused, also by a build that knows it:
/// otherwise members of two versions would apply the same entry to different effect. A new number *inside* a body (an
/// operation, a flag, a kind of span) has no level of its own and would be malformed to the one and not to the other:
/// it comes with a new command number, or in an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureLevel(pub u16);

impl FeatureLevel {
    /// The level of every new cluster.
    pub const FIRST: Self = Self(1);
    /// The highest that this build understands.
    pub const LATEST: Self = Self(2);
}

/// Who may ask for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Any client.
    Client,
    /// Only a node itself, on behalf of the cluster or of many clients at once.
    Node,
}

impl CommandNumber {
    /// The lowest feature level at which it may stand in the log.
    #[must_use]
    pub const fn since(self) -> FeatureLevel {
        FeatureLevel::FIRST
    }

    /// Who may ask for it.
    #[must_use]
    pub const fn origin(self) -> Origin {
        match self {
            Self::Put
            | Self::Delete
            | Self::Transact
            | Self::Restore
            | Self::Compact
            | Self::SetNamespace
            | Self::DeleteNamespace
            | Self::ChangeSettings
            | Self::OpenSession
            | Self::CloseSession
            | Self::GrantLease
            | Self::RevokeLease
            | Self::Acquire
            | Self::Release
            | Self::Campaign
            | Self::Proclaim
            | Self::Resign => Origin::Client,
            // Only the leader knows what every member understands, and whose time is over.
            Self::RaiseFeatureLevel
            | Self::KeepSessions
            | Self::Tick
            | Self::RenewLeases
            | Self::ExpireLease => Origin::Node,
        }
    }
}
