//! The names and numbers of consensus. Newtypes, so that a term is never passed where an index is wanted.

use std::fmt;

/// Defines newtypes over `u64` that are shown as the bare number.
macro_rules! counted {
    ($( $( #[$doc:meta] )+ $name:ident ),+ $(,)?) => { $(
        $( #[$doc] )+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The one that follows. Never overflows for what passed the guards: see [`COUNT_MAX`].
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The one before; nothing precedes zero.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+ };
}

counted! {
    /// A period of at most one leader (the paper, §5.1). Zero before the first.
    Term,
    /// The position of an entry in the log, from 1. Zero stands before the first entry.
    Index,
    /// The small number that people use for a node, from 1. Never given to another node, also not after its removal.
    NodeId,
    /// How often a node's process was started, from 1; raised and durable before the process says anything.
    Boot,
    /// How often a cluster was restored or recovered, plus one.
    ClusterEpoch,
    /// Names a [`Persist`](crate::Persist) of one boot; counted from 1, and durable in this order.
    PersistId,
    /// Names a round of heartbeats of one boot, counted from 1 and never used again, also not by a later leadership of
    /// the same process. (etcd #20418: a reused id let a delayed answer confirm a stale read.)
    Round,
    /// Names a stretch of a leader's replication to one peer; another one from each reconnect or fallback on. Rejections
    /// and losses that belong to an earlier stretch change nothing.
    Stretch,
    /// Names a read of this node's clients; chosen by the owner, unique within a boot.
    ReadId,
}

/// Terms, indices and whatever else is counted stay below this, so that adding one never overflows. A message that
/// claims more is malformed.
pub const COUNT_MAX: u64 = 1 << 62;

/// Defines newtypes over 16 bytes that are shown as 32 hexadecimal digits.
macro_rules! random_id {
    ($( $( #[$doc:meta] )+ $name:ident ),+ $(,)?) => { $(
        $( #[$doc] )+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }
    )+ };
}

random_id! {
    /// 128 random bits, minted once when a cluster is formed.
    ClusterId,
    /// 128 random bits, minted with a data directory: tells a wiped node from the one that had its id before.
    NodeUuid,
}

/// What names one entry wherever it stands: two logs that hold the same index and term are equal up to there (Log
/// Matching, §5.3). Ordered as logs are compared for votes: by term, then by index (§5.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term in which it was written.
    pub term: Term,
    /// Where it stands.
    pub index: Index,
}

impl EntryId {
    /// What stands before the first entry of every log.
    pub const ZERO: Self = Self { term: Term(0), index: Index(0) };

    /// Term, then index.
    #[must_use]
    pub const fn new(term: u64, index: u64) -> Self {
        Self { term: Term(term), index: Index(index) }
    }
}

/// `7@3`: index 7, written in term 3.
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
