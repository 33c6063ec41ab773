//! The names of things, and what goes in and comes out.

use std::fmt;

use bytes::Bytes;

/// Indices, and whatever else is counted, are below this: no addition of one ever overflows.
pub(crate) const INDEX_LIMIT: u64 = 1 << 62;

/// A Raft group. All groups of a node share its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u32);

/// Whose log it is: stamped on every segment and slot, and compared when they are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The uuid of the node's directory.
    pub node: [u8; 16],
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cluster, node] = [self.cluster, self.node].map(u128::from_be_bytes);
        write!(f, "cluster {cluster:032x}, node {node:032x}")
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Term and vote of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The term; 0 before the first.
    pub term: u64,
    /// Who got the vote in that term; 0: nobody.
    pub vote: u64,
    /// Which hard state of this group it is, counted by the log.
    pub sequence: u64,
}

/// How to make and open a log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whose log it is.
    pub identity: Identity,
    /// The size of a segment in bytes: a multiple of 4096 from [`MIN_SEGMENT_BYTES`](crate::format::MIN_SEGMENT_BYTES)
    /// to [`MAX_SEGMENT_BYTES`](crate::format::MAX_SEGMENT_BYTES). Fixed when the log is made; an existing log keeps its own.
    pub segment_bytes: u64,
    /// Segments that are prepared ahead, the reserve for a full disk among them: at least 2.
    pub prepared: usize,
    /// Where the salts come from: drawn from the system's randomness, another one for each start of the process.
    pub salt_seed: u64,
}

impl Options {
    /// The usual ones: segments of 64 MiB, two prepared ahead.
    #[must_use]
    pub fn new(identity: Identity, salt_seed: u64) -> Self {
        Self { identity, segment_bytes: 64 * 1024 * 1024, prepared: 2, salt_seed }
    }
}

/// One thing to write. A batch of them becomes durable together, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// An entry. Its index is one after the last, or that of an entry that it supersedes together with all after it.
    Entry {
        /// The group.
        group: Group,
        /// Its index, at least 1.
        index: u64,
        /// Its term, not below that of the entry before it.
        term: u64,
        /// What it carries: opaque.
        body: Bytes,
    },
    /// Term and vote, written twice before they count as durable.
    HardState {
        /// The group.
        group: Group,
        /// The term, not below the one before.
        term: u64,
        /// Who gets the vote; 0: nobody.
        vote: u64,
    },
    /// Entries below `first` are not needed any more: a durable snapshot holds what they did.
    Trim {
        /// The group.
        group: Group,
        /// The first index that is kept: at most one after the last.
        first: u64,
    },
    /// A snapshot takes the place of the whole log, which goes on behind it.
    Reset {
        /// The group.
        group: Group,
        /// The last index in the snapshot.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// An entry for a hole, sent again by a leader. Supersedes nothing.
    Fill {
        /// The group.
        group: Group,
        /// The index of the hole.
        index: u64,
        /// The entry's term.
        term: u64,
        /// What it carries.
        body: Bytes,
    },
    /// A leader has entries of this term at these indices: what is doubtful among them is not any more, because index and
    /// term name one entry wherever it stands. It says nothing of the entries before them: these may be of a branch that
    /// was superseded in the unreadable part. Nothing is written; a crash before the damage is healed forgets it.
    Confirm {
        /// The group.
        group: Group,
        /// The first index.
        first: u64,
        /// The last index.
        last: u64,
        /// The term that the leader has at each of them.
        term: u64,
    },
    /// The damage is repaired as far as it matters: the log is whole up to what a leader says is committed. Whatever is
    /// still a hole behind that, and all that follows it, is cut.
    Heal {
        /// The commit index of each group that has holes.
        whole: Vec<(Group, u64)>,
    },
}

/// What a group's log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The first index that is kept.
    pub first: u64,
    /// The term of the entry before it.
    pub prev_term: u64,
    /// The last index; `first − 1` when there is none.
    pub last: u64,
    /// Its term.
    pub last_term: u64,
}

/// An entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its term.
    pub term: u64,
    /// What it carries.
    pub body: Bytes,
}

/// A run of indices that the log cannot answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first index.
    pub first: u64,
    /// The last index.
    pub last: u64,
    /// The bytes are there, but a part of the log that is unreadable may have superseded them.
    pub doubtful: bool,
}
