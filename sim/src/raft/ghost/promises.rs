//! What may be said, and when.
//!
//! - **S2 Vote once** (the paper, §5.2): a node votes for one candidate in a term, over all its boots; a request for votes
//!   and a granted vote leave only when term and vote are durable (Figure 2: *persistent state*).
//! - **S9**: an acknowledgement leaves only when the disk holds what it says, before the first hole.
//! - **Damage**: a node without hard state grants nothing, and its answers say that they do not count. A node whose log may
//!   have ended further on grants nothing before it is healed.
//! - **M4**: only voters ask for votes.

use holdfast_raft::{EntryId, Envelope, HardState, Message, Term};

use super::{Ghost, Verdict, holds, place};
use crate::raft::node::Node;
use crate::raft::probes::Probe;

impl Ghost {
    /// Term and vote of a node became durable.
    ///
    /// # Errors
    /// S2, S10.
    pub fn judge_hard_state(&mut self, node: &Node, hard_state: HardState) -> Verdict {
        let shadow = &mut self.shadows[place(node.id)];
        let HardState { term, vote } = hard_state;
        if node.disk.hard_state_lost {
            return Ok(());
        }
        holds!(
            term >= shadow.durable_term,
            "S10 Monotone",
            "the durable term of node {} goes back from {} to {term}",
            node.id,
            shadow.durable_term
        );
        shadow.durable_term = term;
        let Some(vote) = vote else {
            holds!(
                !shadow.votes.contains_key(&term),
                "S2 VoteOnce",
                "node {} forgets its vote in term {term}",
                node.id
            );
            return Ok(());
        };
        let known = *shadow.votes.entry(term).or_insert(vote);
        holds!(
            known == vote,
            "S2 VoteOnce",
            "node {} votes for {known} and for {vote} in term {term}",
            node.id
        );
        Ok(())
    }

    /// What an acknowledgement says that its sender has, when it is made; zero for other messages.
    #[must_use]
    pub fn promised(&self, node: &Node, message: &Message) -> EntryId {
        let Message::AppendAck { matched, .. } = message else { return EntryId::ZERO };
        // What is not even in memory is of no term, which no disk holds.
        let term = self.shadows[place(node.id)].at(*matched).map_or(Term(0), |known| known.term);
        EntryId { term, index: *matched }
    }

    /// A message is made: by whom it says it is from, and a request for votes by a voter.
    ///
    /// # Errors
    /// M4.
    pub fn judge_making(&mut self, node: &Node, envelope: &Envelope) -> Verdict {
        let own = envelope.from == node.id && envelope.from_boot == node.boot;
        holds!(
            own,
            "F15 Identity",
            "node {} sends as node {} in boot {}",
            node.id,
            envelope.from,
            envelope.from_boot
        );
        if !matches!(envelope.message, Message::Vote { .. } | Message::PreVote { .. }) {
            return Ok(());
        }
        let newest = &self.configurations[self.configurations.len() - 1].1;
        self.probes.hit_if(newest.removed().contains(&node.id), Probe::RemovedNodeCampaigned);
        let shadow = &self.shadows[place(node.id)];
        // It may have heard of another configuration, or that one is committed, later in the turn that is ending.
        let part = shadow.turn_part || shadow.has_part(node.id, node.view.commit);
        holds!(part, "M4 NeverElected", "node {} asks for votes in {}", node.id, shadow.acting().1);
        Ok(())
    }

    /// A message leaves a node.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn judge_sending(&mut self, node: &Node, envelope: &Envelope, promised: EntryId) -> Verdict {
        match &envelope.message {
            Message::Vote { .. } => self.judge_vote(node, envelope, envelope.from),
            Message::VoteReply { granted: true } => {
                self.judge_vote(node, envelope, envelope.to)?;
                holds!(
                    node.view.may_vote,
                    "M4 Damaged",
                    "node {} votes, and is barred by its damage",
                    node.id
                );
                self.probes.hit_if(node.view.damaged, Probe::DamagedNodeVoted);
                let shadow = &self.shadows[place(node.id)];
                self.probes.hit_if(shadow.was_barred, Probe::BarredNodeVoted);
                self.probes.hit_if(shadow.joined, Probe::JoinedNodeVoted);
                Ok(())
            }
            Message::PreVoteReply { granted: true, .. } => {
                holds!(
                    !node.disk.hard_state_lost,
                    "M4 HardStateLost",
                    "node {} grants without hard state",
                    node.id
                );
                Ok(())
            }
            Message::AppendAck { matched, counting, .. } => {
                self.judge_counting(node, *counting)?;
                self.probes.hit_if(!counting && matched.0 > 0, Probe::NotCounted);
                // A later leader may have cut what was acknowledged to the one before, while the message waited.
                let moot = node.disk.hard_state.term > envelope.term;
                holds!(
                    node.disk.holds(promised) || moot,
                    "S9 OwnDurable",
                    "node {} acknowledges {promised}, and its disk is whole up to {}",
                    node.id,
                    node.disk.whole_end()
                );
                Ok(())
            }
            Message::HeartbeatAck { counting, .. } => self.judge_counting(node, *counting),
            Message::PreVote { .. }
            | Message::PreVoteReply { granted: false, .. }
            | Message::VoteReply { granted: false }
            | Message::Append { .. }
            | Message::AppendReject { .. }
            | Message::Heartbeat { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::TimeoutNow { .. }
            | Message::SnapshotChunk { .. }
            | Message::SnapshotAck { .. }
            | Message::SnapshotReject { .. }
            | Message::Notice => Ok(()),
        }
    }

    /// A vote leaves: for itself with a request, for another with an answer.
    fn judge_vote(&mut self, node: &Node, envelope: &Envelope, candidate: holdfast_raft::NodeId) -> Verdict {
        let term = envelope.term;
        holds!(!node.disk.hard_state_lost, "M4 HardStateLost", "node {} votes without hard state", node.id);
        // A turn may vote and then go to a higher term, of which alone the disk hears: it votes in no lower one any more.
        let beyond = node.disk.hard_state.term > term;
        let votes = &mut self.shadows[place(node.id)].votes;
        let known =
            if beyond { Some(*votes.entry(term).or_insert(candidate)) } else { votes.get(&term).copied() };
        holds!(
            known == Some(candidate),
            "S2 VoteOnce",
            "node {} votes for {candidate} in term {term}, and durable is {known:?}",
            node.id
        );
        Ok(())
    }

    fn judge_counting(&self, node: &Node, counting: bool) -> Verdict {
        holds!(
            !(counting && node.disk.hard_state_lost),
            "M4 HardStateLost",
            "node {} has lost term and vote, and wants to be counted",
            node.id
        );
        Ok(())
    }
}
