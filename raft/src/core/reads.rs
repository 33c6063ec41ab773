//! Confirmed reads at leaders and followers (dissertation §6.4).
//!
//! A leader may have been deposed without knowing it. So before it says "up to here everything is committed", it sends a
//! round of heartbeats, and waits until a quorum has answered *that round or a later one*: each answer says that its sender
//! knew no later leader after the read had come in. One round confirms every read that was queued before it.

use std::collections::{BTreeMap, VecDeque};

use super::Core;
use crate::role::Role;
use crate::{Boot, Bug, DropCause, Index, Message, NodeId, Plant, ReadId, ReadReady, Refusal, Round};

/// Who waits for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A client of this node.
    Own(ReadId),
    /// A follower, for a batch of its clients; named with its boot, since a later boot counts its batches anew.
    Peer { from: NodeId, boot: Boot, batch: u64 },
}

/// Reads at a leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    /// Wait for a round, or for an entry of the own term to be committed.
    pub(crate) queued: Vec<Reader>,
    /// Wait for a quorum to answer: the round, the commit index when it began, and who waits.
    pub(crate) begun: VecDeque<(Round, Index, Vec<Reader>)>,
    /// How many wait in all.
    pub(crate) waiting: usize,
}

impl Rounds {
    pub(crate) fn into_readers(self) -> impl Iterator<Item = Reader> {
        self.begun.into_iter().flat_map(|(_, _, readers)| readers).chain(self.queued)
    }
}

/// Reads at a follower, on their way to the leader.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarded {
    /// Not sent yet.
    pub(super) queued: Vec<ReadId>,
    /// Sent: which reads a batch has, and when its answer is given up.
    pub(super) batches: BTreeMap<u64, (Vec<ReadId>, u64)>,
    newest: u64,
    waiting: usize,
}

impl<P: Plant> Core<P> {
    pub(super) fn read(&mut self, ids: Vec<ReadId>) -> Result<(), Refusal> {
        let max = self.config.reads_max;
        match &mut self.role {
            Role::Leader(leader) => {
                if leader.reads.waiting + ids.len() > max {
                    return Err(Refusal::ReadsFull);
                }
                leader.reads.waiting += ids.len();
                leader.reads.queued.extend(ids.into_iter().map(Reader::Own));
                Ok(())
            }
            Role::Follower(follower) if follower.leader.is_some() => {
                if self.forwarded.waiting + ids.len() > max {
                    return Err(Refusal::ReadsFull);
                }
                self.forwarded.waiting += ids.len();
                self.forwarded.queued.extend(ids);
                Ok(())
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => Err(Refusal::NoLeader),
        }
    }

    /// Begins a round for the reads that are queued. They wait until an entry of the own term has committed: before that, a
    /// leader does not know how far those before it had committed.
    pub(super) fn flush_rounds(&mut self) {
        let may = self.established() || P::plants(Bug::ReadBeforeOwnTerm);
        let (commit, next) = (self.commit, self.round.next());
        let Some(leader) = self.leader_mut() else { return };
        if !may || leader.reads.queued.is_empty() {
            // A change of members may have made a quorum of those that have answered.
            self.confirm_rounds();
            return;
        }
        let readers = std::mem::take(&mut leader.reads.queued);
        if P::plants(Bug::ReadJoinsOldRound) && !leader.reads.begun.is_empty() {
            if let Some((_, index, waiting)) = leader.reads.begun.back_mut() {
                *index = commit;
                waiting.extend(readers);
            }
            return;
        }
        // What the bug was: the id counted leaderships, not rounds.
        let reuse = P::plants(Bug::RoundReused) && self.round.0 > 0;
        let round = if reuse { self.round } else { next };
        let Some(leader) = self.leader_mut() else { return };
        leader.reads.begun.push_back((round, commit, readers));
        leader.heartbeat_due = true;
        self.round = round;
        self.confirm_rounds();
    }

    pub(super) fn receive_heartbeat_ack(&mut self, from: NodeId, round: Round, counting: bool) {
        let newest = self.round;
        let progress = self.leader_mut().and_then(|leader| leader.peers.get_mut(&from));
        let Some(progress) = progress else {
            self.drop_message(DropCause::WrongRole);
            return;
        };
        if round > newest {
            self.drop_message(DropCause::NotAsked);
            return;
        }
        progress.counting = counting;
        progress.round = progress.round.max(round);
        self.confirm_rounds();
    }

    /// Answers the reads of every round that a quorum has answered.
    fn confirm_rounds(&mut self) {
        let own = self.config.id;
        let configuration = self.configuration().1.clone();
        loop {
            let Some(leader) = self.leader_mut() else { return };
            let Some((round, ..)) = leader.reads.begun.front() else { return };
            let round = *round;
            let answered = |id: NodeId| {
                let answers = |peer: &crate::Progress| peer.counts() && peer.round >= round;
                id == own || leader.peers.get(&id).is_some_and(answers)
            };
            if !configuration.has_quorum(answered) {
                return;
            }
            let Some((_, index, readers)) = leader.reads.begun.pop_front() else { return };
            leader.reads.waiting -= readers.len();
            for reader in readers {
                match reader {
                    Reader::Own(id) => self.turn.reads_ready.push(ReadReady { id, index }),
                    Reader::Peer { from, boot, batch } => self.answer_read(from, boot, batch, Some(index)),
                }
            }
        }
    }

    /// Answers the boot that asked, not a later one: that one counts its batches anew.
    pub(super) fn answer_read(&mut self, to: NodeId, boot: Boot, batch: u64, index: Option<Index>) {
        let mut envelope = self.envelope(to, Message::ReadIndexReply { batch, index });
        envelope.to_boot = Some(boot);
        self.turn.send_now.push(envelope);
    }

    pub(super) fn receive_read_index(&mut self, from: NodeId, boot: Boot, batch: u64) {
        let max = self.config.reads_max;
        match self.leader_mut() {
            Some(leader) if leader.reads.waiting < max => {
                leader.reads.waiting += 1;
                leader.reads.queued.push(Reader::Peer { from, boot, batch });
            }
            Some(_) | None => self.answer_read(from, boot, batch, None),
        }
    }

    pub(super) fn receive_read_index_reply(&mut self, batch: u64, index: Option<Index>) {
        let Some((ids, _)) = self.forwarded.batches.remove(&batch) else {
            self.drop_message(DropCause::NotAsked);
            return;
        };
        self.forwarded.waiting -= ids.len();
        for id in ids {
            match index {
                Some(index) => self.turn.reads_ready.push(ReadReady { id, index }),
                None => self.turn.reads_refused.push((id, Refusal::LeadershipLost)),
            }
        }
    }

    /// Sends the reads of this turn to the leader, as one batch.
    pub(super) fn flush_forwarded(&mut self) {
        if self.forwarded.queued.is_empty() {
            return;
        }
        let Some(leader) = self.leader().filter(|leader| *leader != self.config.id) else {
            self.refuse_forwarded();
            return;
        };
        let ids = std::mem::take(&mut self.forwarded.queued);
        self.forwarded.newest += 1;
        let batch = self.forwarded.newest;
        let until = self.now + u64::from(self.config.election_ticks);
        self.forwarded.batches.insert(batch, (ids, until));
        self.send(leader, Message::ReadIndex { batch });
    }

    /// Gives up what was not answered for an election timeout.
    pub(super) fn expire_forwarded(&mut self) {
        let now = self.now;
        let late = |(_, until): &(Vec<ReadId>, u64)| *until <= now;
        while self.forwarded.batches.first_key_value().is_some_and(|(_, batch)| late(batch)) {
            if let Some((_, (ids, _))) = self.forwarded.batches.pop_first() {
                self.refuse_reads(ids);
            }
        }
    }

    /// The leader that was asked is none any more.
    pub(super) fn refuse_forwarded(&mut self) {
        for (_, (ids, _)) in std::mem::take(&mut self.forwarded.batches) {
            self.refuse_reads(ids);
        }
        let queued = std::mem::take(&mut self.forwarded.queued);
        self.refuse_reads(queued);
    }

    fn refuse_reads(&mut self, ids: Vec<ReadId>) {
        self.forwarded.waiting -= ids.len();
        self.turn.reads_refused.extend(ids.into_iter().map(|id| (id, Refusal::LeadershipLost)));
    }
}
