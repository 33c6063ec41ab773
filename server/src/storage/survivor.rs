//! What the directories of nodes hold that are all that is left of a cluster, and which of them to go on with.
//!
//! # Why
//! A cluster that has lost its quorum for good stands still, and it is right to: nobody can know any more what the others have
//! acknowledged. Whoever goes on nevertheless decides to give that up, so he has to be told first what that may be. Everything
//! here only reads: the directories are looked at through an [`Overlay`], by the code that a node starts with.
//!
//! # Which one
//! Of those that hold everything that any of them knows to be committed, the one whose log ends with the highest term, and among
//! those the longest: the rule by which nodes vote, and for the same reason (Raft, 5.4.1). What counts is the end of what is
//! contiguous and readable. The condition is not idle: a leader that was deposed ends with its own term, and a follower may know of
//! a commit in a later one although its log ends in an earlier (Raft, figure 8).
//!
//! # What may be lost
//! A write was acknowledged when a quorum of the voters held it. If so few voters are missing, or damaged, that they are no quorum
//! by themselves, one of the whole directories was part of every quorum, and the one that is chosen holds everything that any of
//! them may have acknowledged. That has to hold in every configuration that may have been in force: the last one that is known to
//! be committed, and each that stands behind it in any log, since the others may never have heard of it. Otherwise the missing ones
//! may have acknowledged something by themselves: behind the last entry that is here; or, if they had elected a leader that nobody
//! here has heard of, behind the last one that is known here to be committed. How much, nobody can say. What is held here and was
//! never acknowledged becomes effective.

use std::collections::BTreeSet;
use std::path::Path;

use holdfast_hlc::Stamp;
use holdfast_raft::formation::Formed;
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
    /// All configurations that its newest snapshot and its log hold, with the index of each, ascending.
    pub configurations: Vec<(Index, Configuration)>,
    /// The last index that its newest whole snapshot covers; all of that is committed.
    pub covered: Index,
    /// From which index on its entries are of which term, behind what is covered, ascending.
    pub terms: Vec<(Index, Term)>,
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
        let missing = || {
            let place = place.clone();
            if path.join(LOG_DIRECTORY).is_dir() {
                StorageError::IdentityMissing { place }
            } else {
                StorageError::NoNode { place }
            }
        };
        let mut identity = directory.load()?.ok_or_else(missing)?;
        let (cluster, uuid) = identity.names().ok_or(StorageError::NotFormed)?;
        if !identity.log_made && identity.epoch == 1 {
            return Err(StorageError::NotFormed);
        }
        // Whose log it is; who founded the cluster matters only where a log is made.
        let formed = Formed { cluster, uuid, members: Vec::new() };
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
        let of_snapshot = loaded.as_ref().map(|loaded| &loaded.meta.configuration);
        let mut configurations: Vec<(Index, Configuration)> = of_snapshot
            .map(|(index, configuration)| (*index, (**configuration).clone()))
            .into_iter()
            .collect();
        let (recovered, mut store) = start_from(recovered, loaded, &damaged)?;
        let mut last = EntryId::new(store.applied().term, store.applied().index);
        let audited = look(&path.join(AUDIT_DIRECTORY)).ok().and_then(|disk| {
            let opened = AuditFiles::open(disk, cluster, epoch, last.index.0, AuditPolicy::default());
            opened.map(|opened| opened.files.through()).ok()
        });
        let committed = audited.unwrap_or(last.index.0);
        let (covered, mut terms) = (last.index, vec![(last.index, last.term)]);
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
                    configurations.push((Index(index), (**new).clone()));
                    store.skip(at)
                }
            };
            done.map_err(|halt| StorageError::NotRestored { why: halt.to_string() })?;
            if entry.term != last.term {
                terms.push((Index(index), entry.term));
            }
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
            configurations,
            covered,
            terms,
            store,
        })
    }

    /// Whether all that this node ever acknowledged is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_none() && !self.hard_state_lost
    }

    /// The term of its entry at an index that is not covered, if it has one there.
    fn term_at(&self, index: Index) -> Option<Term> {
        let term = self.terms.iter().rev().find(|(from, _)| *from <= index).map(|(_, term)| *term);
        term.filter(|_| index <= self.last.index)
    }

    /// Whether it holds everything that another one knows to be committed.
    fn holds_what_is_committed_at(&self, other: &Self) -> bool {
        let committed = other.committed;
        committed <= self.covered
            || self.term_at(committed).is_some_and(|own| other.term_at(committed) == Some(own))
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
    /// Those that could be read; the one to go on with is the first.
    pub survivors: Vec<Survivor>,
    /// Voters, of any configuration that may be in force, whose directories are not among them.
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
        let lacks: BTreeSet<NodeId> = survivors
            .iter()
            .filter(|one| !survivors.iter().all(|other| one.holds_what_is_committed_at(other)))
            .map(|one| one.node)
            .collect();
        survivors.sort_by_key(|survivor| {
            let EntryId { term, index } = survivor.last;
            (lacks.contains(&survivor.node), std::cmp::Reverse((term, index)))
        });
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
        let committed = survivors.iter().map(|survivor| survivor.committed).max().unwrap_or_default();
        let in_force = in_force(&survivors, committed);
        let here = |configuration: &Configuration, id: NodeId| {
            let member = configuration.members().get(&id);
            let is_it = |survivor: &&Survivor| {
                survivor.node == id && member.is_some_and(|member| member.uuid == survivor.uuid)
            };
            survivors.iter().find(is_it)
        };
        let is_whole =
            |configuration: &Configuration, id| here(configuration, id).is_some_and(Survivor::is_whole);
        let mut missing = BTreeSet::new();
        for configuration in &in_force {
            let voters = configuration.voters().iter().chain(configuration.outgoing());
            missing.extend(voters.copied().filter(|id| here(configuration, *id).is_none()));
        }
        let all = |holds: &dyn Fn(&Configuration) -> bool| !in_force.is_empty() && in_force.iter().all(holds);
        let loss = if all(&|of| of.has_quorum(|id| is_whole(of, id))) {
            Loss::QuorumIsHere
        } else if all(&|of| !of.has_quorum(|id| !is_whole(of, id))) {
            Loss::Nothing
        } else {
            Loss::Possible
        };
        let missing = missing.into_iter().collect();
        Ok(Self { survivors, missing, loss })
    }

    /// The one to go on with.
    #[must_use]
    pub fn freshest(&self) -> &Survivor {
        &self.survivors[0]
    }

    /// Up to here nothing is lost: the highest index that any of them knows to be committed. The one to go on with holds all of that:
    /// no other is chosen.
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

/// The configurations that may be in force: of the one to go on with, the last up to what is committed; and all behind that, of
/// whomever.
fn in_force(survivors: &[Survivor], committed: Index) -> Vec<Configuration> {
    let known = survivors.first().into_iter().flat_map(|freshest| &freshest.configurations);
    let settled = known.filter(|(index, _)| *index <= committed).last();
    let behind = survivors.iter().flat_map(|survivor| &survivor.configurations);
    let behind = behind.filter(|(index, _)| *index > committed);
    settled.into_iter().chain(behind).map(|(_, configuration)| configuration.clone()).collect()
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

    fn member(id: u64) -> (NodeId, Member) {
        let uuid = NodeUuid([id as u8; 16]);
        (NodeId(id), Member { uuid, promote: false, context: bytes::Bytes::new() })
    }

    /// A configuration of these voters.
    fn of(voters: std::ops::RangeInclusive<u64>) -> Configuration {
        Configuration::initial(voters.map(member))
    }

    /// A whole directory of a node of three voters, that knows nothing to be committed.
    fn survivor(node: u64, term: u64, index: u64) -> Survivor {
        Survivor {
            place: format!("n{node}"),
            node: NodeId(node),
            uuid: NodeUuid([node as u8; 16]),
            cluster_name: "billing".to_owned(),
            cluster: ClusterId([7; 16]),
            epoch: 1,
            term: Term(term),
            last: EntryId::new(term, index),
            committed: Index(0),
            damaged: None,
            hard_state_lost: false,
            configurations: vec![(Index(1), of(1..=3))],
            covered: Index(0),
            terms: vec![(Index(0), Term(term))],
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
        let four = |node, index| Survivor {
            configurations: vec![(Index(1), of(1..=4))],
            ..survivor(node, 2, index)
        };
        let plan = plan([four(1, 30), four(2, 31)]);
        assert_eq!((plan.loss, plan.freshest().node), (Loss::Nothing, NodeId(2)));
    }

    /// The leader and a learner that it was about to promote: the others may have gone on with the configuration before.
    #[test]
    fn a_change_of_voters_that_is_not_known_to_be_committed_does_not_hide_what_the_others_may_have_decided() {
        let joint = Configuration::from_parts(
            vec![NodeId(1), NodeId(2), NodeId(3), NodeId(4)],
            vec![NodeId(1), NodeId(2), NodeId(3)],
            (1..=4).map(member).collect(),
            BTreeSet::new(),
        );
        let joint = joint.expect("a configuration");
        let promoting = |node, committed| Survivor {
            configurations: vec![(Index(1), of(1..=3)), (Index(15), joint.clone())],
            committed: Index(committed),
            ..survivor(node, 3, 15)
        };
        let unsure = plan([promoting(1, 14), promoting(4, 10)]);
        assert_eq!((unsure.loss, unsure.missing.as_slice()), (Loss::Possible, &[NodeId(2), NodeId(3)][..]));
        // Once it is committed, nothing is decided without a majority of the four.
        assert_eq!(plan([promoting(1, 15), promoting(4, 10)]).loss, Loss::Nothing);
    }

    /// Raft, figure 8: an entry of term 2 that a leader of term 4 has committed, and one of term 3 in its place.
    #[test]
    fn who_lacks_what_another_one_knows_to_be_committed_is_not_gone_on_with_though_its_term_is_higher() {
        let knowing = Survivor { committed: Index(10), ..survivor(2, 2, 10) };
        let deposed =
            Survivor { terms: vec![(Index(0), Term(2)), (Index(10), Term(3))], ..survivor(1, 3, 10) };
        let plan = plan([deposed, knowing]);
        assert_eq!((plan.freshest().node, plan.committed()), (NodeId(2), Index(10)));
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
