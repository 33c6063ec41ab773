//! What can go wrong, each with what to do about it.

use std::io;

use holdfast_raft::{BadConfig, NodeId, Rejected};
use holdfast_wal::{AppendError, Fatal, OpenError, ReadError};

use super::context::BadContext;
use super::payload::PayloadError;
use super::snapshots::SnapshotFileError;

/// Why a node does not start from its data directory, or could not note something in it. The process ends with any of
/// them: what the directory holds then is found out by the next start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another process holds the directory.
    #[error("{place}: in use by {}; stop that process, or name another directory",
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        place: String,
        /// Who holds it.
        pid: Option<u32>,
    },
    /// The operating system refused something.
    #[error("{place}: {doing}: {error}")]
    Io {
        /// The directory.
        place: String,
        /// What was being done.
        doing: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The identity file is not what was written.
    #[error(
        "{place}/identity: damaged: {what}; bring back the file of this very start, or replace this member with `member replace`"
    )]
    IdentityDamaged {
        /// The directory.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A later build wrote the identity file.
    #[error(
        "{place}/identity: version {version} is of a later build than this one, which knows {known}; use that build"
    )]
    IdentityLater {
        /// The directory.
        place: String,
        /// Its version.
        version: u16,
        /// The highest version that this build knows.
        known: u16,
    },
    /// There is a log and no identity file.
    #[error(
        "{place}: there is a log and no identity file; bring the file back, or replace this member with `member replace`"
    )]
    IdentityMissing {
        /// The directory.
        place: String,
    },
    /// There are snapshots, and no file that says whose: what was restored or recovered is not there as a whole.
    #[error(
        "{place}: there are snapshots and no identity file: a restoration or a recovery did not come to its end; remove this directory \
         and begin it again, or, if it is none, bring the file back"
    )]
    RestorationUnfinished {
        /// The directory.
        place: String,
    },
    /// Nothing in it is a node's.
    #[error("{place}: no node was ever started here: there is neither an identity file nor a log")]
    NoNode {
        /// The directory.
        place: String,
    },
    /// The directory belongs to another node.
    #[error(
        "{place}: belongs to node {recorded}, and this is to be node {configured}; give the right --node-id, or another directory"
    )]
    OtherNode {
        /// The directory.
        place: String,
        /// What the identity file says.
        recorded: NodeId,
        /// What the operator says.
        configured: NodeId,
    },
    /// The directory belongs to a cluster of another name.
    #[error(
        "{place}: belongs to cluster {recorded:?}, and this is to be cluster {configured:?}; give the right --cluster, or another directory"
    )]
    OtherClusterName {
        /// The directory.
        place: String,
        /// What the identity file says.
        recorded: String,
        /// What the operator says.
        configured: String,
    },
    /// What was to be noted breaks a rule.
    #[error("{place}: no identity: {rule}")]
    IdentityRule {
        /// The directory.
        place: String,
        /// The rule.
        rule: &'static str,
    },
    /// The identity is not formed, or under other names than the formation says.
    #[error(
        "the log of a node is opened when its identity is formed, under the names that it is formed under"
    )]
    NotFormed,
    /// The node had a log, and it is gone. It may have voted: an empty log in its place could vote again.
    #[error(
        "{place}: this node is formed and its log is gone; bring the log back, or replace this member with `member replace` \
         under a new id: it must not start with an empty log, because it may have voted"
    )]
    LogGone {
        /// The directory of the log.
        place: String,
    },
    /// The node never had a log by its identity file, and there is one that was used.
    #[error(
        "{place}: the identity file knows of no log, and this one has been used: the file is an old copy; bring the newest \
         one back, or replace this member with `member replace`"
    )]
    LogInUse {
        /// The directory of the log.
        place: String,
    },
    /// The log was damaged before it was ever used.
    #[error("{place}: damaged, and never used so far; remove this directory and start again")]
    UnusedLogDamaged {
        /// The directory of the log.
        place: String,
    },
    /// The log cannot be opened or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The first entry cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The disk failed.
    #[error(transparent)]
    Failed(#[from] Fatal),
    /// An entry cannot be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry was read back whole, and is none.
    #[error("{place}: index {index}: {why}")]
    Entry {
        /// The directory of the log.
        place: String,
        /// Where the entry stands.
        index: u64,
        /// What is wrong with it.
        #[source]
        why: PayloadError,
    },
    /// A member's address cannot be part of the first configuration.
    #[error("node {node}: {why}")]
    Context {
        /// Which member.
        node: NodeId,
        /// What is wrong with it.
        #[source]
        why: BadContext,
    },
    /// The directory of the snapshots cannot be read.
    #[error(transparent)]
    Snapshots(#[from] SnapshotFileError),
    /// The log goes on behind a snapshot that is not there.
    #[error(
        "the log begins behind index {index}, and there is no snapshot up to there: bring the directory of the snapshots back, \
         or replace this member with `member replace`"
    )]
    SnapshotMissing {
        /// What stands before the first entry.
        index: u64,
    },
    /// A cluster is restored into a directory that is in use, or was.
    #[error(
        "{place}: this directory is not blank; restore into another, or remove it if nobody needs what is in it"
    )]
    NotBlank {
        /// The directory.
        place: String,
    },
    /// A snapshot could not be made the beginning of another life.
    #[error("the snapshot was not restored: {why}; remove the directory before you try again")]
    NotRestored {
        /// Why.
        why: String,
    },
    /// The options of the node are out of range.
    #[error("an option of consensus is out of range: {0}")]
    Config(BadConfig),
    /// The core refuses what was read back.
    #[error("{0}; keep a copy of the directory, report it, and replace this member with `member replace`")]
    Rejected(Rejected),
}
