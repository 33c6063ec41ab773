//! A cluster that begins anew from a snapshot, or from what is left of it, as one node.
//!
//! # Why it is another life of the cluster
//! The cluster that the snapshot was taken of may have gone on after it, and clients may hold revisions, positions and fencing
//! tokens from then. What is restored must not give out any of them a second time with another meaning. So it counts as a later
//! *epoch*: nodes and positions of the former one are refused by it, revisions go on far above, with the gap compacted, and so do
//! tokens.
//!
//! # Order
//! ```text
//!   snapshot of the new life written, durable, under its name ─► identity file ─► (start: empty log, the snapshot, one voter)
//! ```
//! The identity is last: a crash before it leaves a directory that is not blank and belongs to nobody, and no node starts there
//! ([`StorageError::RestorationUnfinished`]).

use std::sync::Arc;

use bytestring::ByteString;
use holdfast_hlc::Stamp;
use holdfast_raft::{
    ClusterEpoch, ClusterId, Configuration, EntryId, Index, Member, NodeId, NodeUuid, SnapshotMeta,
};
use holdfast_store::snapshot::{Decoded, Header};
use holdfast_store::{LogPosition, Store};

use super::context::MemberContext;
use super::data_dir::DataDir;
use super::error::StorageError;
use super::identity::{Identity, Joining};
use super::snapshots::SnapshotFiles;
use crate::node::{SnapshotDone, SnapshotJob};

/// Revisions that a restoration passes over, for whatever was written after what is restored: as many,
pub const REVISIONS_PASSED: u64 = 1_000_000_000;

/// and so many for each second since.
pub const REVISIONS_PER_SECOND: u64 = 1_000_000;

/// Tokens that a restoration passes over, at least.
pub const TOKENS_PASSED: u64 = 1 << 40;

/// A token is at least the seconds of the time of day, shifted by so many bits.
const TOKENS_PER_SECOND_BITS: u32 = 20;

/// Who the only member will be, and when that is.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// The number of the node.
    pub node: NodeId,
    /// The name of its directory, drawn from the system's randomness.
    pub uuid: NodeUuid,
    /// What people call the cluster.
    pub cluster_name: String,
    /// Where the others will reach it.
    pub peer: ByteString,
    /// Seconds of the time of day.
    pub seconds: u64,
    /// Revisions to pass over, if that is more than the time since the snapshot asks for.
    pub revisions: u64,
}

/// The life of a cluster that another one follows.
#[derive(Debug)]
pub struct Former {
    /// The cluster.
    pub cluster: ClusterId,
    /// Which life of it.
    pub epoch: u64,
    /// The highest stamp in it.
    pub stamp: Stamp,
    /// The last entry of it.
    pub last: LogPosition,
    /// The state behind that entry.
    pub store: Store,
}

impl From<Decoded> for Former {
    fn from(decoded: Decoded) -> Self {
        let Header { cluster, epoch, stamp, last, .. } = decoded.header;
        Self { cluster: ClusterId(cluster), epoch, stamp, last, store: decoded.store }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its life.
    pub epoch: u64,
    /// The last entry of the former life.
    pub last: LogPosition,
    /// The revision with which it begins.
    pub revision: u64,
}

/// Makes a directory that a node of this cluster starts from, alone. The directory has to be blank.
///
/// # Errors
/// [`StorageError::NotBlank`], [`StorageError::NotRestored`], and those of files.
pub fn restore(
    data_dir: &DataDir,
    former: impl Into<Former>,
    restoration: Restoration,
) -> Result<Restored, StorageError> {
    if !data_dir.is_blank()? {
        return Err(StorageError::NotBlank { place: data_dir.place() });
    }
    let not = |why: String| StorageError::NotRestored { why };
    let Restoration { node, uuid, cluster_name, peer, seconds, revisions } = restoration;
    let Former { cluster, epoch, stamp, last: end, mut store } = former.into();
    let passed = seconds.saturating_sub(stamp.millis().get() / 1_000);
    let by_time = REVISIONS_PASSED.saturating_add(passed.saturating_mul(REVISIONS_PER_SECOND));
    let token = store.token().saturating_add(TOKENS_PASSED).max(seconds << TOKENS_PER_SECOND_BITS);
    store
        .begin_another_life(by_time.max(revisions), token)
        .map_err(|refusal| not(format!("the revision cannot be raised: {refusal}")))?;
    // Not only the next: a snapshot may be restored twice, and the two lives must not be taken for one another.
    let epoch = (epoch + 1).max(seconds);
    let context = MemberContext { peer, client: None, http: None, feature_level: store.level().0 }
        .encode()
        .map_err(|why| StorageError::Context { node, why })?;
    let last = EntryId::new(end.term, end.index);
    let configuration = Configuration::initial([(node, Member { uuid, promote: false, context })]);
    let meta = SnapshotMeta { last, configuration: (Index(last.index.0), Arc::new(configuration)), bytes: 0 };
    let revision = store.revision();
    let mut files = SnapshotFiles::open(data_dir.snapshot_disk()?, cluster, ClusterEpoch(epoch))?.files;
    let mut done = files.run(SnapshotJob::Take { store: Box::new(store), meta });
    while done.is_none() {
        done = files.step();
    }
    // Nothing else was asked for.
    if let Some(SnapshotDone::Taken { bytes: Err(why), .. }) = done {
        return Err(not(why));
    }
    let joining = Some(Joining { uuid, cluster: Some(cluster) });
    data_dir.store(&Identity { epoch, joining, ..Identity::blank(node, &cluster_name) })?;
    Ok(Restored { cluster, epoch, last: end, revision })
}
