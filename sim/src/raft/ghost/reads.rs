//! Reads (dissertation §6.4).
//!
//! - **R1 Fresh**: the index of a read is at least what was committed anywhere when it was invoked.
//! - **R1 Evidence**: a leader confirms a read only when a quorum answered heartbeats *after* the read had come in: an
//!   older answer says nothing of a leader that was elected in between. This is found long before R1 is broken by it.
//! - **R1 Own term** (§6.4 step 1): a leader answers nothing before it has committed an entry of its own term.
//! - **R2 Applied**: a read is served by a state that has applied its index, and that state is the one and only.

use std::collections::btree_map::Entry;

use holdfast_raft::{Envelope, Index, Message, NodeId, ReadId, ReadReady, Refusal, Term};

use super::{Ghost, Verdict, holds, place};
use crate::raft::node::Node;
use crate::raft::probes::Probe;
use crate::raft::queue::Micros;

impl Ghost {
    /// A client wants to read.
    pub fn note_read(&mut self, node: &Node, id: ReadId) {
        let floor = (self.now, self.commit());
        self.shadows[place(node.id)].reads.insert(id, floor);
    }

    /// Whether a quorum has answered this leader after `since`.
    fn has_evidence(&self, node: &Node, since: Micros) -> bool {
        let shadow = &self.shadows[place(node.id)];
        // Not the node's term: it may have lost the office in the turn that is ending.
        let term = shadow.answered.iter().map(|(term, _)| *term).max().unwrap_or_default();
        let answered = |id: NodeId| {
            let (of, made) = shadow.answered.get(place(id)).copied().unwrap_or((Term(0), 0));
            id == node.id || (of == term && made >= since)
        };
        // The configuration may have changed in the turn that is ending, after the read was confirmed.
        shadow.acting().1.has_quorum(answered)
            || shadow.turn_configuration.as_ref().is_some_and(|before| before.has_quorum(answered))
    }

    fn judge_own_term(&self, node: &Node) -> Verdict {
        let own = self.shadows[place(node.id)].at(node.view.commit).map(|known| known.term);
        holds!(
            own == Some(node.view.term) || !node.view.leads(),
            "R1 OwnTerm",
            "leader {} answers a read, and has committed nothing in term {}",
            node.id,
            node.view.term
        );
        Ok(())
    }

    /// A read is confirmed.
    ///
    /// # Errors
    /// R1.
    pub fn judge_ready(&mut self, node: &Node, ready: ReadReady) -> Verdict {
        let shadow = &mut self.shadows[place(node.id)];
        let Some((since, floor)) = shadow.reads.remove(&ready.id) else {
            holds!(false, "R1 Asked", "node {} answers read {}, which nobody waits for", node.id, ready.id);
            return Ok(());
        };
        let by_reply = shadow.replies.iter().any(|(index, made)| *index == ready.index && *made >= since);
        holds!(
            ready.index >= floor,
            "R1 Fresh",
            "node {} answers a read with {}, and {floor} was committed when it came",
            node.id,
            ready.index
        );
        self.probes.hit_if(by_reply && !node.view.leads(), Probe::FollowerRead);
        if by_reply {
            return Ok(());
        }
        holds!(
            self.has_evidence(node, since),
            "R1 Evidence",
            "node {} confirms read {}, and no quorum has answered since it came",
            node.id,
            ready.id
        );
        self.judge_own_term(node)
    }

    /// A leader answers a follower's read request.
    ///
    /// # Errors
    /// R1.
    pub fn judge_read_reply(&mut self, node: &Node, envelope: &Envelope) -> Verdict {
        let Message::ReadIndexReply { batch, index: Some(_) } = envelope.message else { return Ok(()) };
        let boot = envelope.to_boot.unwrap_or_default();
        let asked = self.shadows[place(node.id)].asked.entry((envelope.to, boot, batch));
        let since = match asked {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) => {
                holds!(false, "R1 Asked", "leader {} answers {}, which did not ask", node.id, envelope.to);
                return Ok(());
            }
        };
        holds!(
            self.has_evidence(node, since),
            "R1 Evidence",
            "leader {} confirms a read of {}, and no quorum has answered since it came",
            node.id,
            envelope.to
        );
        self.judge_own_term(node)
    }

    /// A read will not be answered.
    ///
    /// # Errors
    /// If nobody waits for it.
    pub fn judge_refused(&mut self, node: &Node, id: ReadId, why: Refusal) -> Verdict {
        let waits = self.shadows[place(node.id)].reads.remove(&id).is_some();
        holds!(waits, "R1 Asked", "node {} refuses read {id}, which nobody waits for", node.id);
        self.probes.hit_if(why == Refusal::LeadershipLost, Probe::ReadRefused);
        Ok(())
    }

    /// A read is served from what this node has applied.
    ///
    /// # Errors
    /// R2.
    pub fn judge_served(&mut self, node: &Node, index: Index) -> Verdict {
        self.reads += 1;
        let applied = node.machine.applied.index;
        let digest = self.fact(applied).map(|fact| fact.digest);
        holds!(
            applied >= index && digest == Some(node.machine.digest),
            "R2 Applied",
            "node {} serves a read of {index} from {applied}, with another state",
            node.id
        );
        Ok(())
    }
}
