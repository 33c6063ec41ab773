//! Who a node is, and what it must not forget about itself.

use holdfast_raft::formation::IdentityState;
use holdfast_raft::{COUNT_MAX, ClusterId, EntryId, NodeId, NodeUuid};

/// Bytes of UTF-8 that the name of a cluster may have.
pub const CLUSTER_NAME_BYTES_MAX: usize = 255;

/// What a damaged log says about its end. Kept here from the first start that found it, because the log itself may not
/// show it any more at the next one: a filled hole is no hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamageMark {
    /// The log did not end before this index, nor before this term.
    pub claimed_end: EntryId,
    /// It did not go on beyond it either.
    pub trustworthy: bool,
}

impl DamageMark {
    /// What two looks at one log say together. Term and index are raised apart: a damaged log may be a mixture of
    /// branches, and then the highest index need not belong to the highest term. Claiming too much costs time, never
    /// safety.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (one, two) = (self.claimed_end, other.claimed_end);
        let claimed_end = EntryId { term: one.term.max(two.term), index: one.index.max(two.index) };
        Self { claimed_end, trustworthy: self.trustworthy && other.trustworthy }
    }
}

/// That a node belongs, or is about to belong, to a cluster that was formed without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// The name of the directory, which it drew itself.
    pub uuid: NodeUuid,
    /// The cluster that took it on; `None` before one has.
    pub cluster: Option<ClusterId>,
}

/// What the identity file of a data directory says.
///
/// # Invariants
/// [`broken_rule`](Self::broken_rule) is `None`: the file is not written otherwise, and not believed when read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the node, 1 to below [`COUNT_MAX`].
    pub node: NodeId,
    /// What people call the cluster, 1 to [`CLUSTER_NAME_BYTES_MAX`] bytes.
    pub cluster_name: String,
    /// How often the process was started, this time included; 0 before the first. Below [`COUNT_MAX`].
    pub boot: u64,
    /// How far the node has come on its way into a cluster.
    pub formation: IdentityState,
    /// Which life of the cluster it belongs to, 1 to below [`COUNT_MAX`]: one more with each restoration from a snapshot.
    pub epoch: u64,
    /// Set if it joins a cluster instead of forming one, or was restored.
    pub joining: Option<Joining>,
    /// The log was made: from here on it must not be missing. Only of a node that was formed or has joined.
    pub log_made: bool,
    /// Term and vote may be older than what was promised. The node takes part in no quorum, for ever.
    pub hard_state_lost: bool,
    /// The log is damaged, and not healed yet.
    pub damage: Option<DamageMark>,
}

impl Identity {
    /// A node that was never started.
    #[must_use]
    pub fn blank(node: NodeId, cluster_name: &str) -> Self {
        Self {
            node,
            cluster_name: cluster_name.to_owned(),
            boot: 0,
            formation: IdentityState::Blank,
            epoch: 1,
            joining: None,
            log_made: false,
            hard_state_lost: false,
            damage: None,
        }
    }

    /// Of two that were written by one node: the later one. What is noted in an identity is never taken back, but for damage;
    /// and damage that only one of them knows costs a healing, and no more.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        let progress = |identity: &Self| {
            let cluster = identity.joining.map(|joining| joining.cluster.is_some());
            let formation = match identity.formation {
                IdentityState::Blank => 0,
                IdentityState::Minted(_) => 1,
                IdentityState::Prepared(_) => 2,
                IdentityState::Formed(_) => 3,
            };
            (identity.boot, identity.epoch, formation, cluster, identity.log_made, identity.hard_state_lost)
        };
        let same_boot = self.boot == other.boot;
        let damage = match (self.damage, other.damage) {
            (Some(one), Some(another)) => Some(one.and(another)),
            (one, another) => one.or(another),
        };
        let later = if progress(&other) > progress(&self) { other } else { self };
        Self { damage: if same_boot && later.log_made { damage } else { later.damage }, ..later }
    }

    /// The names of cluster and directory, once it belongs to one.
    #[must_use]
    pub fn names(&self) -> Option<(ClusterId, NodeUuid)> {
        match (&self.formation, self.joining) {
            (IdentityState::Formed(mint), _) => Some((mint.cluster(), mint.uuid(self.node)?)),
            (_, Some(joining)) => Some((joining.cluster?, joining.uuid)),
            (_, None) => None,
        }
    }

    /// The first rule that does not hold.
    #[must_use]
    pub fn broken_rule(&self) -> Option<&'static str> {
        let belongs = self.names().is_some();
        let blank = matches!(self.formation, IdentityState::Blank);
        let listed = self.formation.mint().is_none_or(|mint| mint.uuid(self.node).is_some());
        let claimed = self.damage.map_or(0, |mark| mark.claimed_end.term.0.max(mark.claimed_end.index.0));
        let name = self.cluster_name.len();
        let rules = [
            ((1..COUNT_MAX).contains(&self.node.0), "a node id is 1 to below 2^62"),
            ((1..=CLUSTER_NAME_BYTES_MAX).contains(&name), "the name of a cluster has 1 to 255 bytes"),
            ((1..COUNT_MAX).contains(&self.epoch), "a cluster epoch is 1 to below 2^62"),
            (self.epoch == 1 || belongs, "only a node that belongs to a cluster is in a later life of it"),
            (self.boot < COUNT_MAX, "a node starts less than 2^62 times"),
            (listed, "the names that a node holds are for a list that has the node"),
            (blank || self.joining.is_none(), "a node forms a cluster or joins one, and does not do both"),
            (belongs || !self.log_made, "only a node that belongs to a cluster has a log"),
            (self.log_made || !self.hard_state_lost && self.damage.is_none(), "only a log is damaged"),
            (claimed < COUNT_MAX, "terms and indices are below 2^62"),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| *rule)
    }
}
