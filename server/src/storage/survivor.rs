//! What the directories of nodes hold that are all that is left of a cluster, and which of them to go on with.
//!
//! # Why
//! A cluster that has lost its quorum for good stands still, and it is right to: nobody can know any more what the others have
//! acknowledged. Whoever goes on nevertheless decides to give that up, so he has to be told first what that may be. Everything
//! here only reads: the directories are looked at through an [`Overlay`], by the code that a node starts with.
//!
//! # Which one
//! The one whose log ends with the highest term, and among those the longest: the rule by which nodes vote, and for the same
//! reason (Raft, 5.4.1). What counts is the end of what is contiguous and readable.
//!
//! # What may be lost
//! A write was acknowledged when a quorum of the voters held it. If so few voters are missing, or damaged, that they are no quorum
//! by themselves, one of the whole directories was part of every quorum, and the one that is chosen holds everything that any of
//! them may have acknowledged. Otherwise the missing ones may have acknowledged something by themselves: behind the last entry that is
//! here; or, if they had elected a leader that nobody here has heard of, behind the last one that is known here to be committed. How
//! much, nobody can say. What is held here and was never acknowledged becomes effective.

use std::collections::BTreeSet;
use std::path::Path;

use holdfast_hlc::Stamp;
use holdfast_raft::formation::{Formed, IdentityState};
use holdfast_raft::{
    ClusterEpoch, ClusterId, Configuration, EntryId, Index, NodeId, NodeUuid, Payload, Term,
};
use holdfast_store::{LogPosition, NoPlant, Store};
use holdfast_wal::disk::{Overlay, RealDisk};

use super::data_dir::{DataDir, LOG_DIRECTORY};
use super::error::StorageError;
use super::recover::{LogOptions, open_log};
use super::restore::Former;
use super::snapshots::{Opened, SNAPSHOT_DIRECTORY, SnapshotFiles, start_from};
use crate::audit::{AUDIT_DIRECTORY, AuditFiles, AuditPolicy};

/// The directory of a node, as far as it can be read.
#[derive(Debug)]
pub struct Survivor {
    /// Where it is, as it was named.
    pub place: String,
    /// Whose it is.
    pub node: NodeId,
    /// Which of all directories that this node ever had.
    pub uuid: NodeUuid,
    /// What people call the cluster.
    pub cluster_name: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// Which life of it.
    pub epoch: u64,
    /// The term that it was in.
    pub term: Term,
    /// The last entry up to which everything is readable.
    pub last: EntryId,
    /// Up to here everything is known to be committed, so that no other node can have acknowledged anything else there: by its
    /// snapshots and its audit log, which hold nothing that is not. More may be, and nothing here says so.
    pub committed: Index,
    /// Where its log ended before it was damaged, if it is: [`last`](Self::last) or behind it.
    pub damaged: Option<EntryId>,
    /// Term and vote may be older than what was promised.
    pub hard_state_lost: bool,
    /// Who decides, by the last configuration up to there.
    pub configuration: Configuration,
    /// The state behind that entry, committed or not.
    pub store: Store,
}

/// How long a segment is does not matter to a log that is there.
const SEGMENT_BYTES: u64 = 64 << 20;

impl Survivor {
    /// Reads a directory, and changes nothing in it. No process may be using it meanwhile.
    ///
    /// # Errors
    /// [`StorageError`]: what would keep a node from starting there, too.
    pub fn read(path: &Path) -> Result<Self, StorageError> {
        let place = path.display().to_string();
        let look = |path: &Path| RealDisk::read_only(path).map(Overlay::new);
        let io =
            |doing: &str, error| StorageError::Io { place: place.clone(), doing: doing.to_owned(), error };
        let directory = DataDir::on(look(path).map_err(|error| io("opening the data directory", error))?)?;
        let missing = || StorageError::IdentityMissing { place: place.clone() };
        let mut identity = directory.load()?.ok_or_else(missing)?;
        let (cluster, uuid) = identity.names().ok_or(StorageError::NotFormed)?;
        if !identity.log_made && identity.epoch == 1 {
            return Err(StorageError::NotFormed);
        }
        let formed = Formed { cluster, uuid, members: founders(&identity.formation) };
        let log = look(&path.join(LOG_DIRECTORY)).map_err(|error| io("opening the log", error))?;
        let options = LogOptions { segment_bytes: SEGMENT_BYTES, prepared: 2, salt_seed: 0 };
        let (_, recovered, _) = open_log(log, &mut identity, |_| Ok(()), &formed, options)?;
        let epoch = ClusterEpoch(identity.epoch);
        let (loaded, damaged) = match look(&path.join(SNAPSHOT_DIRECTORY)) {
            Ok(disk) => {
                let Opened { loaded, damaged, .. } = SnapshotFiles::<_, NoPlant>::open(disk, cluster, epoch)?;
                (loaded, damaged)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, Vec::new()),
            Err(error) => return Err(io("opening the snapshots", error)),
        };
        let mut configuration = loaded
            .as_ref()
            .map_or_else(Configuration::default, |loaded| (*loaded.meta.configuration.1).clone());
        let (recovered, mut store) = start_from(recovered, loaded, &damaged)?;
        let mut last = EntryId::new(store.applied().term, store.applied().index);
        let audited = look(&path.join(AUDIT_DIRECTORY)).ok().and_then(|disk| {
            let opened = AuditFiles::open(disk, cluster, epoch, last.index.0, AuditPolicy::default());
            opened.map(|opened| opened.files.through()).ok()
        });
        let committed = audited.unwrap_or(last.index.0);
        let first = recovered.prev.index.0 + 1;
        // What lies behind a gap between snapshot and log is not reached.
        let reached = first <= last.index.0 + 1;
        for (index, entry) in (first..).zip(&recovered.entries).filter(|_| reached) {
            if index <= last.index.0 {
                continue;
            }
            let at = LogPosition { index, term: entry.term.0 };
            let done = match &entry.payload {
                Payload::Data(bytes) => store.apply(at, bytes).map(drop),
                Payload::Empty => store.skip(at),
                Payload::Configuration(new) => {
                    configuration = (**new).clone();
                    store.skip(at)
                }
            };
            done.map_err(|halt| StorageError::NotRestored { why: halt.to_string() })?;
            last = EntryId { term: entry.term, index: Index(index) };
        }
        Ok(Self {
            place,
            node: identity.node,
            uuid,
            cluster_name: identity.cluster_name.clone(),
            cluster,
            epoch: identity.epoch,
            term: recovered.hard_state.term,
            last,
            committed: last.index.min(Index(committed)),
            damaged: recovered.damage.map(|damage| damage.claimed_end),
            hard_state_lost: identity.hard_state_lost,
            configuration,
            store,
        })
    }

    /// Whether all that this node ever acknowledged is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_none() && !self.hard_state_lost
    }

    /// When the last entry was stamped.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.store.stamp()
    }

    /// What another life of the cluster can begin with.
    #[must_use]
    pub fn into_former(self) -> Former {
        let Self { cluster, epoch, last, store, .. } = self;
        let last = LogPosition { index: last.index.0, term: last.term.0 };
        Former { cluster, epoch, stamp: store.stamp(), last, store }
    }
}

fn founders(formation: &IdentityState) -> Vec<(NodeId, NodeUuid, bytes::Bytes)> {
    let Some(mint) = formation.mint() else { return Vec::new() };
    let members = mint.list().members().iter().zip(mint.uuids());
    members.map(|((id, address), uuid)| (*id, *uuid, address.clone())).collect()
}

/// Why directories are not what is left of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOneCluster {
    /// There is none.
    #[error("no directory can be read")]
    Nothing,
    /// Two clusters.
    #[error("{0} and {1} belong to different clusters")]
    Cluster(String, String),
    /// Two lives of one.
    #[error("{earlier} is of epoch {of}, {later} of a later one: name only directories of the later")]
    Epoch {
        /// A directory.
        earlier: String,
        /// Its epoch.
        of: u64,
        /// One of a later epoch.
        later: String,
    },
    /// One node twice.
    #[error("{0} and {1} are directories of one node: name the one that was used last")]
    Twice(String, String),
}

/// What may be lost if the cluster goes on with what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A quorum is here and whole: it can be started as it is, and nothing has to be given up.
    QuorumIsHere,
    /// Nothing that was acknowledged.
    Nothing,
    /// Whatever others acknowledged without these: behind the last entry that is here, or, if they had a later leader that nobody
    /// here has heard of, behind [`Plan::committed`].
    Possible,
}

/// Which directory to go on with, and what that costs.
#[derive(Debug)]
pub struct Plan {
    /// Those that could be read; the freshest is the first.
    pub survivors: Vec<Survivor>,
    /// Voters of the freshest one's configuration whose directories are not among them.
    pub missing: Vec<NodeId>,
    /// What may be lost.
    pub loss: Loss,
}

impl Plan {
    /// Judges what could be read. See the module documentation.
    ///
    /// # Errors
    /// [`NotOneCluster`].
    pub fn of(mut survivors: Vec<Survivor>) -> Result<Self, NotOneCluster> {
        survivors.sort_by_key(|survivor| std::cmp::Reverse((survivor.last.term, survivor.last.index)));
        let Some(freshest) = survivors.first() else { return Err(NotOneCluster::Nothing) };
        let mut nodes = BTreeSet::new();
        for survivor in &survivors {
            let (one, other) = (freshest, survivor);
            if one.cluster != other.cluster {
                return Err(NotOneCluster::Cluster(one.place.clone(), other.place.clone()));
            }
            if one.epoch != other.epoch {
                let (earlier, later) = if one.epoch < other.epoch { (one, other) } else { (other, one) };
                return Err(NotOneCluster::Epoch {
                    earlier: earlier.place.clone(),
                    of: earlier.epoch,
                    later: later.place.clone(),
                });
            }
            if !nodes.insert(survivor.node) {
                let first = survivors.iter().find(|first| first.node == survivor.node).unwrap_or(one);
                return Err(NotOneCluster::Twice(first.place.clone(), survivor.place.clone()));
            }
        }
        let configuration = &freshest.configuration;
        let is_here = |id: NodeId| {
            let member = configuration.members().get(&id);
            survivors.iter().find(|survivor| {
                survivor.node == id && member.is_some_and(|member| member.uuid == survivor.uuid)
            })
        };
        let is_whole = |id: NodeId| is_here(id).is_some_and(Survivor::is_whole);
        let voters: BTreeSet<NodeId> =
            configuration.voters().iter().chain(configuration.outgoing()).copied().collect();
        let missing = voters.iter().copied().filter(|id| is_here(*id).is_none()).collect();
        let loss = if configuration.has_quorum(is_whole) {
            Loss::QuorumIsHere
        } else if configuration.has_quorum(|id| !is_whole(id)) {
            Loss::Possible
        } else {
            Loss::Nothing
        };
        Ok(Self { survivors, missing, loss })
    }

    /// The one to go on with.
    #[must_use]
    pub fn freshest(&self) -> &Survivor {
        &self.survivors[0]
    }

    /// Up to here nothing is lost: the highest index that any of them knows to be committed. The freshest has all that they know to
    /// be, by the rule by which it is the freshest.
    #[must_use]
    pub fn committed(&self) -> Index {
        self.survivors.iter().map(|survivor| survivor.committed).max().unwrap_or_default()
    }

    /// What somebody types who has read what is given up.
    #[must_use]
    pub fn phrase(&self) -> String {
        let freshest = self.freshest();
        let without = match self.missing.as_slice() {
            [] => String::new(),
            missing => format!(" without {}", nodes(missing)),
        };
        format!("recover {} up to index {}{without}", freshest.cluster_name, freshest.last.index)
    }
}

/// Nodes in words: `node 2`, `nodes 2 and 3`, `nodes 1, 2 and 3`.
#[must_use]
pub fn nodes(ids: &[NodeId]) -> String {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => "no node".to_owned(),
        [one] => format!("node {one}"),
        [first @ .., last] => format!("nodes {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_raft::Member;

    use super::*;

    /// A whole directory of a node of three voters.
    fn survivor(node: u64, term: u64, index: u64) -> Survivor {
        let member =
            |id: u64| Member { uuid: NodeUuid([id as u8; 16]), promote: false, context: bytes::Bytes::new() };
        Survivor {
            place: format!("n{node}"),
            node: NodeId(node),
            uuid: NodeUuid([node as u8; 16]),
            cluster_name: "billing".to_owned(),
            cluster: ClusterId([7; 16]),
            epoch: 1,
            term: Term(term),
            last: EntryId::new(term, index),
            committed: Index(index / 2),
            damaged: None,
            hard_state_lost: false,
            configuration: Configuration::initial((1..=3).map(|id| (NodeId(id), member(id)))),
            store: Store::new(),
        }
    }

    fn plan(survivors: impl IntoIterator<Item = Survivor>) -> Plan {
        Plan::of(survivors.into_iter().collect()).expect("one cluster")
    }

    #[test]
    fn the_last_term_decides_before_the_length() {
        let plan = plan([survivor(1, 4, 900), survivor(3, 5, 20)]);
        assert_eq!(plan.freshest().node, NodeId(3));
    }

    #[test]
    fn one_of_three_may_have_lost_what_the_others_acknowledged_and_the_phrase_names_them() {
        let plan = plan([survivor(1, 4, 9)]);
        assert_eq!((plan.loss, plan.missing.as_slice()), (Loss::Possible, &[NodeId(2), NodeId(3)][..]));
        assert_eq!(plan.phrase(), "recover billing up to index 9 without nodes 2 and 3");
    }

    #[test]
    fn two_whole_ones_of_three_are_a_quorum_and_two_of_which_one_is_damaged_are_none() {
        assert_eq!(plan([survivor(1, 4, 9), survivor(2, 4, 8)]).loss, Loss::QuorumIsHere);
        for break_it in [
            |survivor: &mut Survivor| survivor.damaged = Some(EntryId::new(4, 12)),
            |survivor: &mut Survivor| survivor.hard_state_lost = true,
        ] {
            let mut damaged = survivor(2, 4, 8);
            break_it(&mut damaged);
            assert_eq!(plan([survivor(1, 4, 9), damaged]).loss, Loss::Possible);
        }
    }

    #[test]
    fn two_of_four_were_part_of_every_quorum_and_are_none() {
        let member =
            |id: u64| Member { uuid: NodeUuid([id as u8; 16]), promote: false, context: bytes::Bytes::new() };
        let four = Configuration::initial((1..=4).map(|id| (NodeId(id), member(id))));
        let of = |node, index| Survivor { configuration: four.clone(), ..survivor(node, 2, index) };
        let plan = plan([of(1, 30), of(2, 31)]);
        assert_eq!((plan.loss, plan.freshest().node), (Loss::Nothing, NodeId(2)));
    }

    #[test]
    fn what_any_of_them_knows_to_be_committed_is() {
        let knowing =
            Survivor { committed: Index(8), damaged: Some(EntryId::new(4, 20)), ..survivor(2, 4, 8) };
        assert_eq!(plan([survivor(1, 4, 9), knowing]).committed(), Index(8));
    }

    #[test]
    fn a_directory_that_the_configuration_does_not_name_is_no_voter() {
        let strange = Survivor { uuid: NodeUuid([99; 16]), ..survivor(2, 4, 9) };
        let plan = plan([survivor(1, 4, 9), strange]);
        assert_eq!((plan.loss, plan.missing.as_slice()), (Loss::Possible, &[NodeId(2), NodeId(3)][..]));
    }

    #[test]
    fn directories_of_two_clusters_two_lives_or_one_node_are_refused() {
        let refused = |survivors: [Survivor; 2]| Plan::of(survivors.into()).expect_err("no plan");
        let other = Survivor { cluster: ClusterId([8; 16]), ..survivor(2, 1, 1) };
        assert!(matches!(refused([survivor(1, 4, 9), other]), NotOneCluster::Cluster(..)));
        let later = Survivor { epoch: 2, ..survivor(2, 1, 1) };
        let epoch = refused([survivor(1, 4, 9), later]);
        assert_eq!(epoch, NotOneCluster::Epoch { earlier: "n1".into(), of: 1, later: "n2".into() });
        assert!(matches!(refused([survivor(1, 4, 9), survivor(1, 4, 8)]), NotOneCluster::Twice(..)));
        assert_eq!(Plan::of(Vec::new()).expect_err("no plan"), NotOneCluster::Nothing);
    }
}
