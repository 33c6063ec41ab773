//! What clients saw of a cluster, and whether a correct one can have shown them that.
//!
//! # Why from outside
//! The ghosts of the simulators know everything, and are written by those who wrote the cluster. This looks only at what
//! was asked, what was answered, and when; so it judges simulated clusters and real ones alike, and shares no assumption with
//! either. Its clock is one that all clients share, in microseconds.
//!
//! # What is asked of a workload
//! - No value is written by two calls, so that an effect tells whose it is.
//! - At the end, when all is healed, somebody reads the whole history of each key ([`End`]).
//! - All writes to the store are recorded, those of its own helpers too: what nobody asked for is a violation.
//! - Keys that are written with a lease are named in [`History::hanging`]: only they may vanish without a call.
//!
//! # Who judges what
//! | file | promise |
//! |---|---|
//! | `witness` | writes and reads, by the index and revision of the answers: long histories |
//! | `wgl` | linearizability, by times and values alone: short histories, and no belief shared with `witness` |
//! | `watches` | order, gaps and repetitions of what watches were told |
//! | `locks` | fencing tokens, and that one holds at a time |
//! | `leases` | that nothing that lives by a lease ends too early |
//!
//! Each has been seen to fail: `tests` breaks a correct history in one way per rule.

mod facts;
pub mod leases;
pub mod locks;
mod matching;
#[cfg(test)]
mod tests;
pub mod watches;
pub mod wgl;
pub mod witness;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// Microseconds on the clock that all clients share.
pub type Micros = u64;

/// Where an answer stands in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the entry.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// What a client asked of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Writes some keys, all in one revision, or none of them.
    Write {
        /// The keys, each once, with their new values; `None` deletes.
        changes: Vec<(Bytes, Option<Bytes>)>,
        /// Only if each of these keys was last modified at this revision; 0 for a key that is not there.
        only_if: Vec<(Bytes, u64)>,
        /// Only if this lock is held with this fencing token.
        fence: Option<(Bytes, u64)>,
    },
    /// Reads some keys, all at one revision.
    Read {
        /// Which.
        keys: Vec<Bytes>,
        /// How old the answer may be.
        freshness: Freshness,
    },
}

/// How old the answer to a read may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As of a moment between question and answer, whoever serves it.
    Linearizable,
    /// Any age, but not older than this index.
    NotBefore(u64),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was executed and changed something, in this revision.
    Written {
        /// The entry that did it.
        at: Position,
        /// The revision of the change.
        revision: u64,
    },
    /// It was executed, and its condition did not hold; or it deleted nothing.
    NotMet {
        /// The entry that found so.
        at: Position,
        /// The revision of the store at that entry.
        revision: u64,
    },
    /// What was read: the keys that exist, with value and revision of the last modification.
    Found {
        /// The last entry that the state reflects.
        at: Position,
        /// The revision of the store.
        revision: u64,
        /// Key, value, revision of the last modification.
        items: Vec<(Bytes, Bytes, u64)>,
    },
    /// It was not executed, and never will be.
    Refused,
    /// Nobody knows: it takes effect once at any time after it was asked, or never.
    Unknown,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Op {
    /// Whose.
    pub client: u32,
    /// What.
    pub ask: Ask,
    /// When it was asked.
    pub invoked: Micros,
    /// When it ended for the client.
    pub returned: Micros,
    /// How.
    pub answer: Answer,
}

/// A stay in a queue that came to its head: a lock that was held, an election that was won. Each stay is recorded once,
/// however often its holder asked.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The name of the lock.
    pub lock: Bytes,
    /// Who held it.
    pub client: u32,
    /// The fencing token.
    pub token: u64,
    /// An entry at which it held the lock: the one that the answer was given at; index 0 if that was not told.
    pub at: Position,
    /// When the client learned that it holds it.
    pub heard: Micros,
    /// Until when the client may have believed so: it *asked* for the release, or counted its lease as over.
    pub until: Micros,
}

/// What became of a lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// Its time to live.
    pub ttl: Micros,
    /// When each grant or renewal that was acknowledged was *asked* for: no expiry may come earlier than the time to live
    /// after the last of them.
    pub kept: Vec<Micros>,
    /// When somebody asked for its end.
    pub revoked: Option<Micros>,
    /// When somebody first saw it gone.
    pub gone: Option<Micros>,
}

/// Something a watch was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// All changes of one revision: key and value, `None` for a deletion.
    Revision {
        /// Which.
        revision: u64,
        /// What changed, in the order in which it was told.
        changes: Vec<(Bytes, Option<Bytes>)>,
    },
    /// Everything up to and with this revision was told.
    Progress(u64),
    /// What lies before this revision was compacted and will not be told; the next is this one or later.
    Compacted(u64),
}

/// A watch from its begin to its end, however often its connection broke.
#[derive(Clone, Debug)]
pub struct Watching {
    /// Whose.
    pub client: u32,
    /// Keys that begin with this.
    pub prefix: Bytes,
    /// The first revision that it wants.
    pub from: u64,
    /// What it was told, in this order.
    pub told: Vec<Told>,
    /// It was let run until everything was healed, and must have been told everything up to this revision.
    pub complete_to: Option<u64>,
}

/// What there was at the end, when all was healed.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// The revision of the store.
    pub revision: u64,
    /// What is older than this is not known any more.
    pub oldest: u64,
    /// All modifications of each key from `oldest` on, oldest first: revision, and value or `None` for a deletion.
    pub keys: BTreeMap<Bytes, Vec<(u64, Option<Bytes>)>>,
}

/// Everything that clients saw in one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Calls about keys, in any order.
    pub ops: Vec<Op>,
    /// Locks that were held.
    pub grants: Vec<Grant>,
    /// Leases.
    pub leases: Vec<Lease>,
    /// Watches.
    pub watches: Vec<Watching>,
    /// What there was at the end.
    pub end: End,
    /// Keys that are written with a lease, and with which: each with one lease only. They vanish when it ends.
    pub hanging: BTreeMap<Bytes, i64>,
}

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that was acknowledged is not there.
    LostAck,
    /// An answer shows less than it had to.
    StaleRead,
    /// An answer shows what came later.
    FutureRead,
    /// One call took effect twice.
    DuplicateEffect,
    /// Something that nobody asked for, or that was refused.
    Phantom,
    /// A call took effect otherwise than it was asked, or an answer shows something else than there was.
    WrongValue,
    /// Indexes, revisions, terms and times contradict each other.
    WrongOrder,
    /// A write was executed although its condition did not hold, or the other way round.
    WrongCondition,
    /// A revision in which nothing changed.
    EmptyRevision,
    /// No order of the calls explains all answers.
    NotLinearizable,
    /// A watch was not told of a change.
    WatchGap,
    /// A watch was told of a revision behind a later one.
    WatchOrder,
    /// A watch was told of something twice.
    WatchRepeat,
    /// A watch was told of a part of a revision.
    WatchTorn,
    /// A watch was told something that was not so, or that it did not ask for.
    WatchWrong,
    /// One fencing token was given twice.
    TokenRepeats,
    /// A later grant has a smaller token.
    TokenOrder,
    /// Two believed at the same time that they hold the lock.
    TwoHolders,
    /// A write was executed with a token that was over, or refused with one that held.
    FenceBroken,
    /// A lease, or what hung on it, ended before its time.
    ExpiredEarly,
    /// A lease that was gone was renewed.
    LeaseRevived,
    /// What hung on a lease did not vanish in one revision.
    LeaseTorn,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub kind: Kind,
    /// By what, for people.
    pub what: String,
}

impl Violation {
    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// How well the clocks of clients and nodes ran, for promises about durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// All are one clock, as on one machine.
    Same,
    /// Their rates differ by at most so many in a thousand.
    Within(u64),
    /// Anything: no duration is judged.
    Wild,
}

/// How often the promises of the summary lines were broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acknowledged and not there.
    pub lost_acks: usize,
    /// Reads that show less than they had to.
    pub stale_reads: usize,
    /// Calls that took effect twice.
    pub duplicate_effects: usize,
    /// All others.
    pub other_violations: usize,
}

impl Counts {
    /// Counts these.
    #[must_use]
    pub fn of(violations: &[Violation]) -> Self {
        let mut counts = Self::default();
        for violation in violations {
            *match violation.kind {
                Kind::LostAck => &mut counts.lost_acks,
                Kind::StaleRead => &mut counts.stale_reads,
                Kind::DuplicateEffect => &mut counts.duplicate_effects,
                Kind::FutureRead
                | Kind::Phantom
                | Kind::WrongValue
                | Kind::WrongOrder
                | Kind::WrongCondition
                | Kind::EmptyRevision
                | Kind::NotLinearizable
                | Kind::WatchGap
                | Kind::WatchOrder
                | Kind::WatchRepeat
                | Kind::WatchTorn
                | Kind::WatchWrong
                | Kind::TokenRepeats
                | Kind::TokenOrder
                | Kind::TwoHolders
                | Kind::FenceBroken
                | Kind::ExpiredEarly
                | Kind::LeaseRevived
                | Kind::LeaseTorn => &mut counts.other_violations,
            } += 1;
        }
        counts
    }
}

/// Everything that is wrong in a history whose clocks are one. `wgl` is not asked: it is for short histories.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    judge_with(history, Clocks::Same)
}

/// Everything that is wrong in a history.
#[must_use]
pub fn judge_with(history: &History, clocks: Clocks) -> Vec<Violation> {
    let examined = witness::examine(history);
    let mut violations = examined.violations;
    violations.extend(watches::judge(history));
    violations.extend(locks::judge_with(history, &examined.resolved, clocks));
    violations.extend(leases::judge_with(history, clocks));
    violations
}

/// Bytes, for people.
fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(40)];
    format!("{:?}{}", String::from_utf8_lossy(shown), if bytes.len() > 40 { "…" } else { "" })
}
