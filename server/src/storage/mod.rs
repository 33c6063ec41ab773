//! What a node keeps: who it is, and its log; read back into what the consensus core starts from.
//!
//! # Why
//! The log stores bytes of groups, and the core thinks in terms, entries and damage; neither knows the other. What one
//! node may forget, and what never, is decided where they meet: here. A mistake in this place is a vote given twice.
//!
//! # Shape
//! ```text
//!   data directory
//!     lock                held while the process lives                                 DataDir
//!     identity            names, boot counter, what is known to be lost                Identity, replaced atomically
//!     wal/                the log of all groups                                        holdfast_wal::Log
//!     snapshots/          states that stand for the log up to their end                SnapshotFiles
//!
//!   start:   DataDir::open ─► begin_boot ─► (formation) ─► open_log ─► start_core
//!   run:     raft::Persist ─► to_ops ─► the thread of the log
//! ```
//! 1. Every start raises the boot counter, durably, before the process says anything.
//! 2. While the node is not formed, [`Identity::formation`] is replaced whenever the formation asks for it.
//! 3. Once it is formed, [`open_log`] makes the log, or reads it back. What is damaged or lost is noted in the identity
//!    first, so that no later start knows less.
//!
//! # Invariants
//! - A node that was formed and had a log never starts without it.
//! - What an identity says is lost stays lost; what it says is damaged stays so until [`clear_damage`], after a
//!   [`Heal`](holdfast_raft::LogOp::Heal) is durable.
//! - No bytes of a file panic, whatever they are.
//!
//! 4. [`SnapshotFiles::open`] reads the newest snapshot, and [`start_from`] puts it and the log together.

mod codec;
mod context;
mod data_dir;
mod error;
mod identity;
mod layout;
mod ops;
mod payload;
mod recover;
mod restore;
mod saves;
mod snapshots;
mod survivor;

pub use context::{BadContext, FORMED_FEATURE_LEVEL, MemberContext, is_host_and_port};
pub use data_dir::{DataDir, IDENTITY_COPY, IDENTITY_FILE, LOG_DIRECTORY, NAMES, look_at_identity};
pub use error::StorageError;
pub use identity::{CLUSTER_NAME_BYTES_MAX, DamageMark, Identity, Joining};
pub use ops::to_ops;
pub use payload::{PayloadError, decode_membership, decode_payload, encode_membership, encode_payload};
pub use recover::{
    GROUP, LogOptions, Report, clear_damage, initial_configuration, open_log, read_run, start_core,
    with_snapshot,
};
pub use restore::{
    Former, REVISIONS_PASSED, REVISIONS_PER_SECOND, Restoration, Restored, TOKENS_PASSED, restore,
};
pub use snapshots::{
    Loaded, Opened, SNAPSHOT_DIRECTORY, SnapshotFileError, SnapshotFiles, snapshot_of, start_from,
};
pub use survivor::{Loss, NotOneCluster, Plan, Survivor, nodes};
