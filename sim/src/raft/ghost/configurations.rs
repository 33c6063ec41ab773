//! Who decides.
//!
//! - **M1 Quorum overlap** (the paper, §6): in every log, each configuration's quorums intersect those of the one before.
//! - **M2 One at a time** (dissertation §4.1; Ongaro's erratum of 2015): no log holds two configurations that are
//!   uncommitted, and none is appended before its term has committed an entry.
//! - **M3 The acting one**: it is the last of the log, or of the snapshot, as recomputed from scratch.
//! - **M4 Ids**: no id is used again after its removal, nor for another directory.

use std::sync::Arc;

use holdfast_raft::{Configuration, EntryId, Index, NodeId};

use super::{Ghost, Verdict, holds, pair, place};
use crate::raft::machine::configuration_hash;
use crate::raft::node::Node;
use crate::raft::probes::Probe;

/// Whether every quorum of one has a node in every quorum of the other. Tries every set of voters: a quorum of the one and
/// its complement a quorum of the other is what may not be.
#[must_use]
pub(super) fn quorums_overlap(one: &Configuration, other: &Configuration) -> bool {
    let mut voters: Vec<NodeId> = Vec::new();
    for configuration in [one, other] {
        voters.extend(configuration.voters().iter().chain(configuration.outgoing()));
    }
    voters.sort_unstable();
    voters.dedup();
    (0..1_u32 << voters.len()).all(|set| {
        let inside = |id: NodeId| voters.binary_search(&id).is_ok_and(|at| set >> at & 1 == 1);
        !(one.has_quorum(inside) && other.has_quorum(|id| !inside(id)))
    })
}

impl Ghost {
    /// A configuration is appended to a log.
    pub(super) fn judge_configuration(
        &mut self,
        at: usize,
        index: Index,
        before: &Arc<Configuration>,
        next: &Arc<Configuration>,
    ) -> Verdict {
        let shadow = &self.shadows[at];
        let uncommitted = shadow.configurations.iter().filter(|(index, _)| *index > self.commit()).count();
        holds!(
            uncommitted == 0,
            "M2 OneAtATime",
            "node {} appends a configuration at {index} behind another uncommitted one",
            at + 1
        );
        if before.voters().is_empty() {
            return Ok(());
        }
        let names = pair(before, next);
        if !self.overlapping.contains(&names) {
            holds!(quorums_overlap(before, next), "M1 QuorumOverlap", "{before} and then {next}, at {index}");
            let again = next.members().keys().find(|id| before.removed().contains(id));
            holds!(again.is_none(), "M4 Ids", "{index} brings back {again:?}, which was removed");
            self.overlapping.insert(names);
        }
        for (id, member) in next.members() {
            let known = self.uuids.entry(*id).or_insert(member.uuid.0);
            holds!(*known == member.uuid.0, "M4 Ids", "{index} gives the id {id} to another directory");
        }
        Ok(())
    }

    /// What acts is what the log says.
    pub(super) fn judge_acting(&mut self, node: &Node, moved: bool) -> Verdict {
        let shadow = &self.shadows[place(node.id)];
        let (index, configuration) = shadow.acting();
        let acting = node.running().configuration();
        let same = node.view.acting == *index
            && (Arc::ptr_eq(configuration, acting)
                || !moved
                || configuration_hash(configuration) == configuration_hash(acting));
        holds!(
            same,
            "M3 ActingConfiguration",
            "node {} acts on {} ({acting}), and its log says {index} ({configuration})",
            node.id,
            node.view.acting
        );
        let unknown = shadow.configurations.iter().filter(|(index, _)| *index > node.view.commit).count();
        self.probes.hit_if(unknown > 1, Probe::TwoChangesUnknown);
        Ok(())
    }

    /// A configuration was committed.
    pub(super) fn note_committed(&mut self, index: Index, configuration: Arc<Configuration>) {
        let before = self.configurations[self.configurations.len() - 1].1.clone();
        if !configuration.is_joint() {
            self.membership_changes += 1;
        } else if !configuration.removed().is_empty() {
            let gone = |id: &&NodeId| before.is_voter(**id) && !configuration.voters().contains(id);
            let came = |id: &&NodeId| !before.is_voter(**id);
            let replaced = before.voters().iter().any(|id| gone(&id))
                && configuration.voters().iter().any(|id| came(&id));
            self.probes.hit_if(replaced, Probe::Replaced);
        }
        if configuration.is_joint() {
            let id = EntryId { term: self.facts[index.0 as usize].term, index };
            self.probes.hit_if(!self.asked_for.contains(&id), Probe::AutoPromotion);
        }
        self.configurations.push((index, configuration));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use holdfast_raft::{Change, Member, NodeUuid};

    fn of(ids: &[u64]) -> Configuration {
        let member = |id: &u64| {
            let uuid = NodeUuid([*id as u8; 16]);
            (NodeId(*id), Member { uuid, promote: false, context: Bytes::new() })
        };
        Configuration::initial(ids.iter().map(member))
    }

    #[test]
    fn one_server_at_a_time_overlaps_and_two_do_not() {
        assert!(quorums_overlap(&of(&[1, 2, 3]), &of(&[1, 2, 3, 4])));
        assert!(!quorums_overlap(&of(&[1, 2, 3]), &of(&[1, 2, 3, 4, 5])), "1 2 and 3 4 5");
        assert!(!quorums_overlap(&of(&[1]), &of(&[2])));
    }

    #[test]
    fn a_joint_configuration_overlaps_both_halves() {
        let before = of(&[1, 2, 3]);
        let remove = vec![NodeId(1), NodeId(2)];
        let joint = before.plan(&Change::Reconfigure { promote: vec![], demote: vec![], remove }).unwrap();
        assert!(joint.is_joint() && quorums_overlap(&before, &joint));
        assert!(quorums_overlap(&joint, &joint.leave_joint()));
    }
}
