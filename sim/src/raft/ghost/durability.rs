//! What is never lost.
//!
//! - **D1 Durability**: after crashes, also of all nodes, whoever can be elected has everything committed (M1b, judged on
//!   the disks), and at the end of a run with a healed core every state machine of it has applied all that was committed.
//! - **D3 Recovered**: a node starts with what its disk holds, and nothing else.
//! - **F19 Snapshots**: what is installed is whole, and is the state at its index.

use holdfast_raft::{Index, SnapshotMeta};

use super::{Ghost, Verdict, holds, place};
use crate::raft::machine::{configuration_hash, content};
use crate::raft::node::{Incoming, Node};
use crate::raft::probes::Probe;

impl Ghost {
    /// A node has started.
    ///
    /// # Errors
    /// D3, S10.
    pub fn judge_start(&mut self, node: &Node) -> Verdict {
        self.read_disk(node);
        let at = place(node.id);
        let shadow = &mut self.shadows[at];
        let view = node.view;
        let ahead = node.disk.covered() > node.disk.whole_end().index;
        self.probes.hit_if(ahead, Probe::SnapshotAheadOfLog);
        shadow.covered = shadow.covered.max(node.disk.covered());
        shadow.was_barred |= !view.may_vote && !node.disk.hard_state_lost;
        holds!(
            view.last == shadow.last(),
            "D3 Recovered",
            "node {} starts with a log that ends at {}, and its disk ends at {}",
            node.id,
            view.last,
            shadow.last()
        );
        let same = (view.prev.index.0 + 1..=view.last.index.0).all(|index| {
            node.running().term_at(Index(index)) == shadow.at(Index(index)).map(|known| known.term)
        });
        holds!(same, "D3 Recovered", "node {} starts with another log than its disk holds", node.id);
        let disk = node.disk.hard_state;
        let kept = view.term >= disk.term && (view.term > disk.term || view.vote == disk.vote);
        holds!(kept, "S10 Monotone", "node {} starts without the term or vote of its disk", node.id);
        self.judge_acting(node, true)
    }

    /// A piece of a snapshot is to be stored behind what has come. `None` when it begins anew.
    ///
    /// # Errors
    /// F19.
    pub fn judge_piece(
        &self,
        node: &Node,
        incoming: Option<&Incoming>,
        meta: &SnapshotMeta,
        offset: u64,
    ) -> Verdict {
        let expected =
            incoming.filter(|incoming| incoming.meta == *meta).map_or(0, |incoming| incoming.bytes.len());
        holds!(
            offset == 0 || offset == expected as u64,
            "F19 SnapshotWhole",
            "node {} stores a piece at {offset}, and {expected} bytes have come",
            node.id
        );
        let installing = incoming.is_some_and(|incoming| incoming.installing);
        holds!(!installing, "F19 SnapshotWhole", "node {} stores a piece while it installs", node.id);
        Ok(())
    }

    /// A snapshot is to be installed.
    ///
    /// # Errors
    /// F19.
    pub fn judge_install(&self, node: &Node, incoming: Option<&Incoming>, meta: &SnapshotMeta) -> Verdict {
        let fact = self.fact(meta.last.index).filter(|fact| fact.term == meta.last.term);
        let whole = match (incoming, fact) {
            (Some(incoming), Some(fact)) => {
                incoming.meta == *meta && incoming.bytes == content(meta.last.index, fact.digest, meta.bytes)
            }
            (Some(_) | None, _) => false,
        };
        holds!(
            whole,
            "F19 SnapshotWhole",
            "node {} installs a snapshot to {} that is not whole",
            node.id,
            meta.last
        );
        let (index, configuration) = self.configuration_at(meta.last.index);
        let same = meta.configuration.0 == *index
            && configuration_hash(configuration) == configuration_hash(&meta.configuration.1);
        holds!(same, "M3 ActingConfiguration", "the snapshot to {} has another configuration", meta.last);
        holds!(
            meta.last.index > node.machine.applied.index,
            "S10 Monotone",
            "node {} takes its state back to {}",
            node.id,
            meta.last
        );
        Ok(())
    }

    /// A snapshot is durable on a node.
    ///
    /// # Errors
    /// S10.
    pub fn judge_snapshot(&mut self, node: &Node, index: Index) -> Verdict {
        let covered = self.shadows[place(node.id)].covered;
        holds!(index >= covered, "S10 Monotone", "node {} goes back from a snapshot to {covered}", node.id);
        self.shadows[place(node.id)].covered = index;
        Ok(())
    }

    /// Whether anything is committed behind `commit` that was proposed from this number on.
    #[must_use]
    pub fn is_newly_committed(&self, commit: Index, number: u64) -> bool {
        self.placed
            .range(number..)
            .any(|(_, id)| id.index > commit && self.fact(id.index).is_some_and(|fact| fact.term == id.term))
    }

    /// What a node has applied is what is committed.
    ///
    /// # Errors
    /// S6.
    pub fn judge_state(&self, node: &Node) -> Verdict {
        let fact = self.fact(node.machine.applied.index);
        let same = fact.is_some_and(|fact| fact.digest == node.machine.digest);
        holds!(
            same,
            "S6 StateMachineSafety",
            "node {} has another state at {}",
            node.id,
            node.machine.applied
        );
        Ok(())
    }
}
