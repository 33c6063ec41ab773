//! What never goes back.
//!
//! - **S10 Monotone**: term, and the vote within a term; commit and applied index within a boot; and always
//!   `purged ≤ snapshot ≤ applied ≤ commit ≤ last`.
//! - **Matches** (F15): what a leader knows of a peer never goes back within its term and the peer's boot.

use holdfast_raft::{Boot, Index, NodeId};

use super::{Ghost, Step, Verdict, holds, place};
use crate::raft::heard::Heard;
use crate::raft::node::Node;
use crate::raft::under_test::View;

impl Ghost {
    pub(super) fn judge_order(&mut self, node: &Node, step: &Step) -> Verdict {
        let (before, after) = (step.before, node.view);
        let same_vote = after.vote == before.vote || before.vote.is_none();
        let forward = after.term > before.term || (after.term == before.term && same_vote);
        holds!(forward, "S10 Monotone", "node {} goes from {} to {}", node.id, voted(&before), voted(&after));
        holds!(
            after.commit >= before.commit && after.applied >= before.applied,
            "S10 Monotone",
            "node {} goes back from commit {} and applied {} to {} and {}",
            node.id,
            before.commit,
            before.applied,
            after.commit,
            after.applied
        );
        let covered = node.running().covered();
        let ordered =
            after.prev.index <= covered && covered <= after.applied && after.applied <= after.commit;
        holds!(
            ordered,
            "S10 Monotone",
            "node {}: purged {} ≤ snapshot {covered} ≤ applied {} ≤ commit {} does not hold",
            node.id,
            after.prev,
            after.applied,
            after.commit
        );
        match step.heard {
            Heard::Letter(letter) => self.judge_match(node, letter.from),
            Heard::Tick | Heard::Refused(_) | Heard::Other => Ok(()),
        }
    }

    fn judge_match(&mut self, node: &Node, peer: NodeId) -> Verdict {
        if !node.view.leads() {
            return Ok(());
        }
        let Some(progress) = node.running().peer(peer) else { return Ok(()) };
        let now = (node.view.term, progress.boot.unwrap_or(Boot(0)), progress.matched);
        let known = &mut self.shadows[place(node.id)].matched[place(peer)];
        let same = (known.0, known.1) == (now.0, now.1);
        holds!(
            !same || now.2 >= known.2,
            "F15 MatchForward",
            "leader {} takes the match of {peer} back from {} to {}",
            node.id,
            known.2,
            now.2
        );
        *known = now;
        Ok(())
    }

    /// What a core believes durable is so (**S9**): on the disk, or in a durable snapshot.
    pub(super) fn judge_own_durability(&self, node: &Node) -> Verdict {
        let durable = node.view.durable;
        if durable == Index(0) || durable <= node.disk.covered() {
            return Ok(());
        }
        let here = node.running().term_at(durable);
        holds!(
            here.is_some() && here == node.disk.term_at(durable),
            "S9 OwnDurable",
            "node {} believes {durable} of term {here:?} durable, and the disk has {:?} and ends at {}",
            node.id,
            node.disk.term_at(durable),
            node.disk.whole_end()
        );
        Ok(())
    }
}

fn voted(view: &View) -> String {
    match view.vote {
        Some(vote) => format!("term {} with a vote for {vote}", view.term),
        None => format!("term {} without a vote", view.term),
    }
}
