//! Who leads.
//!
//! - **S1 Election safety** (the paper, §5.2): one leader in a term, over the whole history and over all boots.
//! - **S2 Vote once**: whoever becomes leader has durable votes of a quorum, cast in that very term. Together with the
//!   promises this makes S1 true, and is checked where S1 may hold by luck.
//! - **S5 Leader completeness** (§5.4): a new leader has everything that was committed in a lower term.
//! - **M4 Never elected**: learners, removed nodes, nodes with holes, nodes without hard state. A voter that is left out by
//!   a configuration which it does not know to be committed has to be electable: the others may need its log.
//! - **F10, F11** (*CheckQuorum*): a leader that hears no quorum, or whose disk does not answer, resigns in time.
//! - **F12, F18** (stickiness, dissertation §4.2.3): a node that hears a live leader raises its term for nobody, except
//!   for whom that leader hands over to.

use holdfast_raft::{EntryId, Index, NodeId, Term};

use super::{Ghost, Step, Verdict, holds, note_two_leaders, place};
use crate::raft::heard::{Heard, Letter, What};
use crate::raft::node::Node;
use crate::raft::probes::Probe;

impl Ghost {
    /// The role of a node after a step.
    pub(super) fn judge_role(&mut self, nodes: &[Node], step: &Step) -> Verdict {
        let node = &nodes[step.node];
        let (before, after) = (step.before, node.view);
        if after.leads() && !(before.leads() && before.term == after.term) {
            self.judge_election(nodes, step.node)?;
        }
        if let Heard::Letter(letter) = step.heard {
            self.judge_stickiness(node, step, &letter)?;
            self.note_heard(node, step, &letter);
        }
        if matches!(step.heard, Heard::Refused(id) if Some(id) == before.leader) {
            // A leader whose process is dead is not live, and nobody has to stick to it.
            self.shadows[step.node].leader_at = None;
        }
        if matches!(step.heard, Heard::Tick) && after.leads() {
            self.judge_quorum_heard(node)?;
            let oldest = node.disk.oldest().map_or(node.ticks, |(_, tick)| tick);
            let late = node.ticks - oldest > self.disk_stall_ticks + 2 * self.election_ticks;
            holds!(!late, "F10 DiskStall", "leader {} stays in office, and its disk has stalled", node.id);
        }
        if after.term != before.term || after.leader != before.leader {
            self.shadows[step.node].leader_at = after.leader.map(|_| node.ticks);
        }
        Ok(())
    }

    fn judge_election(&mut self, nodes: &[Node], at: usize) -> Verdict {
        let node = &nodes[at];
        let term = node.view.term;
        let known = *self.leaders.entry(term).or_insert((node.id, node.boot));
        holds!(
            known == (node.id, node.boot),
            "S1 ElectionSafety",
            "node {} leads in term {term}, in which node {} (boot {}) led",
            node.id,
            known.0,
            known.1
        );
        let acting = node.running().configuration();
        let part = self.shadows[at].has_part(node.id, node.view.commit);
        holds!(part, "M4 NeverElected", "node {} leads and is no voter of {acting}", node.id);
        self.probes.hit_if(!acting.is_voter(node.id), Probe::LeftOutLeads);
        let whole = !node.view.damaged && !node.disk.hard_state_lost;
        holds!(whole, "M4 NeverElected", "node {} leads, and its disk is not whole", node.id);
        let voted = |id: NodeId| {
            self.shadows.get(place(id)).is_some_and(|shadow| shadow.votes.get(&term) == Some(&node.id))
        };
        holds!(
            acting.has_quorum(voted),
            "S2 VoteOnce",
            "node {} leads in term {term} without durable votes of a quorum of {acting}",
            node.id
        );
        self.elections += 1;
        self.probes
            .hit_if(nodes.iter().any(|other| other.is_up() && other.view.term > term), Probe::LateElection);
        let handed = self.handed_over == Some((node.id, Term(term.0 - 1)));
        self.probes.hit_if(handed, Probe::TransferSucceeded);
        note_two_leaders(nodes, &mut self.probes);
        let shadow = &mut self.shadows[at];
        shadow.heard_at = [node.ticks; _];
        shadow.answered = [(term, 0); _];
        self.judge_complete(at, term)
    }

    /// A leader of this term has what was committed in any lower one.
    pub(super) fn judge_complete(&self, at: usize, term: Term) -> Verdict {
        let Some(last) = self.facts.iter().rposition(|fact| fact.committed_in < term) else { return Ok(()) };
        let id = EntryId { term: self.facts[last].term, index: Index(last as u64) };
        let has = self.shadows[at].at(id.index).is_some_and(|known| known.chain == self.facts[last].chain);
        holds!(
            has,
            "S5 LeaderCompleteness",
            "node {} leads in term {term} without {id}, committed in term {}",
            at + 1,
            self.facts[last].committed_in
        );
        Ok(())
    }

    /// A leader heard each voter at some time: when a quorum was last heard.
    fn judge_quorum_heard(&mut self, node: &Node) -> Verdict {
        let acting = node.running().configuration();
        let shadow = &self.shadows[place(node.id)];
        let lately = |id: NodeId| {
            let heard = shadow.heard_at.get(place(id)).copied().unwrap_or_default();
            id == node.id || node.ticks - heard <= 3 * self.election_ticks
        };
        holds!(
            acting.has_quorum(lately),
            "F11 CheckQuorum",
            "leader {} has heard no quorum of {acting} for three election timeouts",
            node.id
        );
        Ok(())
    }

    fn judge_stickiness(&mut self, node: &Node, step: &Step, letter: &Letter) -> Verdict {
        let What::Vote { transfer, .. } = letter.what else { return Ok(()) };
        let (before, after) = (step.before, node.view);
        if letter.term <= before.term || self.is_stale(node, letter) {
            return Ok(());
        }
        let heard = self.shadows[place(node.id)].leader_at;
        let live = before.leads()
            || (before.leader.is_some() && heard.is_some_and(|tick| node.ticks - tick < self.election_ticks));
        if transfer {
            let adopted = after.term >= letter.term;
            holds!(adopted, "F18 TransferHeeded", "node {} sticks to a leader that hands over", node.id);
        } else if live {
            holds!(
                after.term == before.term,
                "F12 Stickiness",
                "node {} hears the leader of term {}, and goes to term {} for a vote",
                node.id,
                before.term,
                after.term
            );
            self.probes.hit(Probe::StickyRefusal);
        } else if before.leader.is_none() && before.may_vote {
            let adopted = after.term >= letter.term;
            holds!(
                adopted,
                "S2 VoteConsidered",
                "node {} has no leader and ignores a request for its vote",
                node.id
            );
        }
        Ok(())
    }

    /// Notes whom a node heard, and when.
    fn note_heard(&mut self, node: &Node, step: &Step, letter: &Letter) {
        let peer = place(letter.from);
        let shadow = &mut self.shadows[place(node.id)];
        if letter.from_boot < shadow.boots[peer] {
            return;
        }
        shadow.boots[peer] = letter.from_boot;
        if letter.to_boot.is_some_and(|boot| boot != node.boot) {
            return;
        }
        let term = node.view.term;
        if letter.term == term && letter.answers() {
            shadow.heard_at[peer] = node.ticks;
        }
        if letter.what == What::FromLeader && letter.term == term && !node.view.leads() {
            shadow.leader_at = Some(node.ticks);
        }
        let counted = matches!(letter.what, What::HeartbeatAck { counting: true, .. });
        if counted && letter.term == term && node.view.leads() && step.before.leads() {
            let (of, made) = &mut shadow.answered[peer];
            if *of == term {
                *made = letter.made.max(*made);
            } else {
                (*of, *made) = (term, letter.made);
            }
        }
    }
}
