//! Who is meant, and who speaks (`raft.md`, *Identity*).
//!
//! - **F15 Replay is a no-op**: what comes from an earlier boot of its sender, or is meant for another boot of this node,
//!   changes nothing and is counted.
//! - **F18 Unlisted senders**: what a leader of a higher term says is never ignored, whoever the configuration lists.
//! - **F13 Rejoin**: a question of a lower term is answered, so that nobody stays outside at a higher term for ever.
//! - **R3 `TimeoutNow`**: only the leader of the node's own term is obeyed.
//! - A leader forgets what a peer acknowledged as soon as it hears of a new boot.

use holdfast_raft::{Boot, DropCause, Index, RoleState};

use super::{Ghost, Step, Verdict, holds, place};
use crate::raft::heard::{Heard, Letter, What};
use crate::raft::node::Node;
use crate::raft::probes::Probe;

impl Ghost {
    /// Whether a message is from an earlier boot of its sender, or for another boot of its addressee.
    pub(super) fn is_stale(&self, node: &Node, letter: &Letter) -> bool {
        let heard = self.shadows[place(node.id)].boots[place(letter.from)];
        letter.from_boot < heard || letter.to_boot.is_some_and(|boot| boot != node.boot)
    }

    /// Before a message is taken: how many were dropped as stale.
    #[must_use]
    pub fn stale_drops(node: &Node) -> u64 {
        let core = node.running();
        core.drops(DropCause::StaleSender) + core.drops(DropCause::StaleAddressee)
    }

    /// After a message that is stale was taken: it was dropped, and counted.
    ///
    /// # Errors
    /// F15.
    pub fn judge_stale(&self, node: &Node, letter: &Letter, drops_before: u64) -> Verdict {
        let counted = Self::stale_drops(node) == drops_before + 1;
        holds!(
            counted || !self.is_stale(node, letter),
            "F15 ReplayNoOp",
            "node {} (boot {}) takes a message of node {} (boot {}) for boot {:?}",
            node.id,
            node.boot,
            letter.from,
            letter.from_boot,
            letter.to_boot
        );
        Ok(())
    }

    pub(super) fn judge_envelope(&mut self, node: &Node, step: &Step) -> Verdict {
        let Heard::Letter(letter) = step.heard else { return Ok(()) };
        let (before, after) = (step.before, node.view);
        let from = place(letter.from);
        if self.is_stale(node, &letter) {
            holds!(
                before == after,
                "F15 ReplayNoOp",
                "node {} is changed by a message of another boot",
                node.id
            );
            let shadow = &self.shadows[place(node.id)];
            let old_sender = letter.from_boot < shadow.boots[from];
            self.probes.hit_if(old_sender && letter.what == What::AppendAck, Probe::OldBootDropped);
            self.probes.hit_if(!old_sender, Probe::StaleAddresseeDropped);
            self.probes.hit_if(letter.replayed, Probe::ReplayAcrossBoots);
            return Ok(());
        }
        self.judge_new_boot(node, &letter)?;
        let stranger =
            !before.leads() && !node.running().configuration().members().contains_key(&letter.from);
        if letter.what == What::FromLeader {
            holds!(
                after.term >= letter.term,
                "F18 StrangerHeeded",
                "node {} stays in term {} although a leader of term {} speaks",
                node.id,
                after.term,
                letter.term
            );
            let heeded = after.last.index > before.last.index;
            self.probes.hit_if(stranger && heeded && after.acting > Index(0), Probe::StrangerHeeded);
        }
        if letter.term < before.term && letter.asks() {
            self.shadows[place(node.id)].owed.push(letter.from);
        }
        if letter.what == What::TimeoutNow {
            let obeyed = before.role == RoleState::Follower && after.role == RoleState::Candidate;
            let led = self.leaders.get(&before.term) == Some(&(letter.from, letter.from_boot));
            holds!(
                !obeyed || (led && letter.term == before.term),
                "R3 TimeoutNow",
                "node {} in term {} obeys node {} of term {}",
                node.id,
                before.term,
                letter.from,
                letter.term
            );
            self.probes.hit_if(letter.replayed && !obeyed, Probe::TimeoutNowReplayed);
        }
        let gave_way = before.leads() && !after.leads() && after.term > before.term;
        self.probes.hit_if(gave_way && letter.what == What::Notice, Probe::HigherTermRejoined);
        match letter.what {
            What::ReadIndex { batch } => {
                let asked = &mut self.shadows[place(node.id)].asked;
                asked.entry((letter.from, letter.from_boot, batch)).or_insert(self.now);
            }
            What::ReadIndexReply { index: Some(index) } => {
                self.shadows[place(node.id)].replies.push((index, letter.made));
            }
            What::PreVote
            | What::Vote { .. }
            | What::FromLeader
            | What::AppendAck
            | What::HeartbeatAck { .. }
            | What::ReadIndexReply { index: None }
            | What::TimeoutNow
            | What::Answer
            | What::Notice => {}
        }
        Ok(())
    }

    /// The first message of a new boot of a peer: what the boot before acknowledged does not count any more.
    fn judge_new_boot(&mut self, node: &Node, letter: &Letter) -> Verdict {
        let known = self.shadows[place(node.id)].boots[place(letter.from)];
        if known == Boot(0) || letter.from_boot <= known || letter.what == What::AppendAck {
            return Ok(());
        }
        let matched = node.running().peer(letter.from).map_or(Index(0), |peer| peer.matched);
        holds!(
            matched == Index(0),
            "F15 BootForgotten",
            "leader {} still counts {matched} of node {}, which has been started anew",
            node.id,
            letter.from
        );
        Ok(())
    }

    /// At the end of a turn: whoever asked in a lower term was told the term.
    ///
    /// # Errors
    /// F13.
    pub fn judge_answers(&mut self, node: &Node) -> Verdict {
        let output = &node.output;
        let shadow = &mut self.shadows[place(node.id)];
        for asker in shadow.owed.drain(..) {
            let now = output.send_now.iter();
            let mut all = now.chain(output.send_after_persist.iter().map(|held| &held.envelope));
            let answered = all.any(|envelope| envelope.to == asker);
            holds!(answered, "F13 Rejoin", "node {} leaves node {asker} alone in a lower term", node.id);
        }
        Ok(())
    }
}
