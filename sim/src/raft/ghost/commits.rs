//! What is committed.
//!
//! - **S6 State machine safety** (the paper, §5.4.3): at each index one entry is ever committed, and every node hands out
//!   that one.
//! - **S8 Quorum log, S9 Own acknowledgement**: what a leader commits is durable, on the disks themselves, on a quorum of
//!   the configuration that acted; its own copy counts only where it is durable. Disks without hard state do not count.
//! - **S12 Current term commit** (§5.4.2, Figure 8): a leader counts copies of entries of its own term only.
//! - **S5 Leader completeness** is judged at elections, and here for leaders of later terms that exist already.

use std::sync::Arc;

use holdfast_raft::{Boot, Committed, Configuration, EntryId, Index, Term};

use super::{Fact, Ghost, Step, Verdict, holds, place};
use crate::raft::machine::{digest, payload_hash};
use crate::raft::node::Node;
use crate::raft::probes::Probe;

/// Whether a leader may count this node for an entry: its disk holds it, and its holder takes part in quorums. As long as the
/// leader has not heard of its present boot, what the one before had is meant: damage that happened in between is the
/// business of those who vote later, and M1b looks at them.
fn counts(node: &Node, heard_of: Boot, id: EntryId) -> bool {
    let before = heard_of < node.boot || !node.is_up();
    (before && node.disk.held(id)) || (!node.disk.hard_state_lost && node.disk.holds(id))
}

impl Ghost {
    /// The commit index of a node moved.
    pub(super) fn judge_commit(
        &mut self,
        nodes: &[Node],
        step: &Step,
        acting: &Arc<Configuration>,
    ) -> Verdict {
        let node = &nodes[step.node];
        let view = node.view;
        let shadow = &self.shadows[step.node];
        holds!(
            view.commit <= view.last.index,
            "S10 Monotone",
            "node {} commits {} and its log ends at {}",
            node.id,
            view.commit,
            view.last
        );
        let Some(known) = shadow.at(view.commit).copied() else {
            holds!(
                false,
                "S6 StateMachineSafety",
                "node {} commits {}, which it does not have",
                node.id,
                view.commit
            );
            return Ok(());
        };
        if let Some(fact) = self.fact(view.commit) {
            let same = fact.chain == known.chain;
            holds!(
                same,
                "S6 StateMachineSafety",
                "node {} commits another log up to {}",
                node.id,
                view.commit
            );
        }
        if !self.led(node) {
            holds!(
                view.commit <= self.commit(),
                "S6 StateMachineSafety",
                "follower {} commits {}, and no leader has",
                node.id,
                view.commit
            );
            return Ok(());
        }
        holds!(
            known.term == view.term,
            "S12 CurrentTermCommit",
            "leader {} of term {} commits by {}@{}",
            node.id,
            view.term,
            view.commit,
            known.term
        );
        let id = EntryId { term: known.term, index: view.commit };
        let boots = self.shadows[step.node].boots;
        let counted = |node: &Node| counts(node, boots[place(node.id)], id);
        let own = !node.disk.hard_state_lost && node.disk.holds(id);
        let durable = acting.has_quorum(|voter| {
            if voter == node.id { own } else { nodes.get(place(voter)).is_some_and(counted) }
        });
        holds!(
            durable,
            "S8 QuorumLog",
            "leader {} commits {id}, which is not durable on a quorum of {acting}",
            node.id
        );
        self.probes.hit_if(!node.disk.holds(id), Probe::CommitBeforeOwnSync);
        self.commit_up_to(step.node, id, view.term);
        self.judge_later_leaders(nodes, view.term)?;
        self.judge_all_electable(nodes)
    }

    /// A leader of this term committed its log up to here.
    fn commit_up_to(&mut self, at: usize, id: EntryId, term: Term) {
        // An entry may be committed again in a lower term, by a leader that did not know that it was deposed.
        let known = self.facts.len().min(id.index.0 as usize + 1);
        for fact in self.facts[..known].iter_mut().rev() {
            if fact.committed_in <= term {
                break;
            }
            fact.committed_in = term;
        }
        let from = self.commit();
        for index in from.0 + 1..=id.index.0 {
            let known = self.shadows[at].log[index as usize];
            let before = self.facts[index as usize - 1].digest;
            self.facts.push(Fact {
                term: known.term,
                payload: known.payload,
                chain: known.chain,
                digest: digest(before, Index(index), known.payload),
                committed_in: term,
            });
        }
        let news =
            self.shadows[at].configurations.iter().filter(|(index, _)| *index > from && *index <= id.index);
        for (index, configuration) in news.cloned().collect::<Vec<_>>() {
            let other = self.facts[index.0 as usize].term != term;
            self.probes.hit_if(other, Probe::ChangeFinishedByAnother);
            self.note_committed(index, configuration);
        }
        if self.counted.last().is_some_and(|last| *last < id) {
            self.counted.push(id);
        }
    }

    /// Leaders of later terms hold what was committed in this one.
    fn judge_later_leaders(&self, nodes: &[Node], term: Term) -> Verdict {
        for node in nodes.iter().filter(|node| node.leads() && node.view.term > term) {
            self.judge_complete(place(node.id), node.view.term)?;
        }
        Ok(())
    }

    /// Entries are handed out to be applied.
    ///
    /// # Errors
    /// S6, and that each is handed out once and in order.
    pub fn judge_apply(&self, node: &Node, entry: &Committed) -> Verdict {
        let next = node.machine.handed().next();
        holds!(
            entry.id.index == next,
            "S6 StateMachineSafety",
            "node {} hands out {} before {next}",
            node.id,
            entry.id
        );
        let fact = self.fact(entry.id.index);
        let same = fact
            .is_some_and(|fact| fact.term == entry.id.term && fact.payload == payload_hash(&entry.payload));
        holds!(
            same,
            "S6 StateMachineSafety",
            "node {} hands out {}, which is not what is committed",
            node.id,
            entry.id
        );
        Ok(())
    }
}
