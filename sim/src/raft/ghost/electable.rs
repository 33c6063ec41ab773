//! Who could lead, from here on.
//!
//! - **M1b Electable**: if a quorum of a node's own configuration would grant it a vote by what is durable on their disks,
//!   then it holds every committed entry. This looks one election ahead: it finds in one step what S5 finds only when the
//!   dice let that election happen.
//! - **S11 More up to date** (the paper, §5.4.1): whoever's log is at least as up to date as an entry that a leader
//!   committed *by counting* holds that entry. (The catalogue says "as another log" and "what that log knows committed".
//!   Taken literally that is false for a follower that was told a commit index beyond the entries it has, so that its own
//!   log ends in an older term than the entry that was counted; here the entry counted is what is compared with.)

use holdfast_raft::{EntryId, NodeId};

use super::{Ghost, Verdict, holds, place};
use crate::raft::node::Node;

impl Ghost {
    /// One node's log, or standing, changed.
    pub(super) fn judge_electable(&self, nodes: &[Node], at: usize) -> Verdict {
        let shadow = &self.shadows[at];
        let last = shadow.last();
        let below = self.counted.partition_point(|id| *id <= last);
        if let Some(id) = below.checked_sub(1).map(|at| self.counted[at]) {
            let fact = &self.facts[id.index.0 as usize];
            let has = shadow.at(id.index).is_some_and(|known| known.chain == fact.chain);
            holds!(
                has,
                "S11 MoreUpToDate",
                "node {} ends at {last} and does not have {id}, which a leader committed",
                at + 1
            );
        }
        if self.has_all(at) {
            return Ok(());
        }
        let node = &nodes[at];
        let acting = &shadow.acting().1;
        // Started anew it knows nothing to be committed behind its snapshot.
        let part = shadow.has_part(node.id, shadow.covered);
        if node.disk.mark.is_some() || node.disk.hard_state_lost || !part {
            return Ok(());
        }
        let grants =
            |id: NodeId| id == node.id || nodes.get(place(id)).is_some_and(|voter| would_grant(voter, last));
        holds!(
            !acting.has_quorum(grants),
            "M1b Electable",
            "node {} could be elected by {acting} with a log that ends at {last}, without {}",
            node.id,
            self.commit_id()
        );
        Ok(())
    }

    /// Disks changed, or more is committed.
    ///
    /// # Errors
    /// M1b, S11.
    pub fn judge_all_electable(&self, nodes: &[Node]) -> Verdict {
        (0..nodes.len()).try_for_each(|at| self.judge_electable(nodes, at))
    }

    /// Whether a node's log holds every committed entry.
    #[must_use]
    pub fn has_all(&self, at: usize) -> bool {
        let fact = &self.facts[self.facts.len() - 1];
        self.shadows[at].at(self.commit()).is_some_and(|known| known.chain == fact.chain)
    }
}

/// Whether this voter, started from its disk, would vote for a log that ends here.
#[must_use]
pub(super) fn would_grant(voter: &Node, last: EntryId) -> bool {
    voter.disk.may_vote() && voter.disk.voting_end() <= last
}
