//! Which messages are looked at, and what a term in one does.
//!
//! What a peer sends never panics this node. Each rule here drops what breaks it, and counts the cause. One rule is absent
//! on purpose: a message is never dropped because the configuration does not list its sender. A node that was cut off
//! during a change of members has to accept votes, appends and snapshots of members that it has not heard of.

use super::Core;
use crate::role::Role;
use crate::{
    Alarm, Boot, Bug, COUNT_MAX, DropCause, Entry, EntryId, Envelope, Event, Index, MEMBERS_MAX, Message,
    NodeId, Payload, Plant, Term,
};

/// A term that is this far above the own is malformed, and so is a boot this far above the last heard: at one election every
/// 300 ms it takes forty years to get there, and one flipped bit must not use the numbers up.
pub(crate) const JUMP_MAX: u64 = 1 << 32;

/// Boots of nodes that are remembered: of members, and of as many strangers.
const BOOTS_MAX: usize = 2 * MEMBERS_MAX;

impl<P: Plant> Core<P> {
    pub(super) fn receive(&mut self, envelope: Envelope) {
        if let Err(cause) = self.admit(&envelope) {
            self.drop_message(cause);
            return;
        }
        let Envelope { from, from_boot, to_boot, term, message, .. } = envelope;
        // The answer to a pre-vote names the term that it is about, and a voter does not take up the asker's: one that cannot
        // campaign itself would otherwise never be heard by an asker of a higher term.
        let names_its_term = matches!(message, Message::PreVoteReply { .. });
        if term < self.hard.term && !names_its_term {
            self.receive_lower(from, term, &message);
            return;
        }
        if term > self.hard.term && !self.accept_term(term, &message) {
            return;
        }
        self.handle(from, from_boot, to_boot.is_some(), term, message);
    }

    /// That the message is meant for this node, in this life, and makes sense.
    fn admit(&mut self, envelope: &Envelope) -> Result<(), DropCause> {
        let Envelope { cluster, epoch, from, from_boot, to, to_boot, term, message } = envelope;
        if *cluster != self.config.cluster {
            return Err(DropCause::OtherCluster);
        }
        if *epoch != self.config.epoch {
            return Err(DropCause::OtherEpoch);
        }
        if *to != self.config.id || *from == self.config.id {
            return Err(DropCause::WrongAddressee);
        }
        let jump = term.0.saturating_sub(self.hard.term.0);
        // A process that is started once a second gets there in a hundred and thirty years; one flipped bit at once.
        let boot_jump =
            self.boots.get(from).is_some_and(|known| from_boot.0.saturating_sub(known.0) > JUMP_MAX);
        let in_range =
            !boot_jump && from.0 >= 1 && from_boot.0 >= 1 && from_boot.0 < COUNT_MAX && term.0 < COUNT_MAX;
        if !in_range || jump > JUMP_MAX || !is_well_formed(*term, message) {
            return Err(DropCause::Malformed);
        }
        self.learn_boot(*from, *from_boot)?;
        if P::plants(Bug::StrangersDropped) && !self.configuration().1.members().contains_key(from) {
            return Err(DropCause::WrongAddressee);
        }
        match to_boot {
            Some(boot) if *boot > self.config.boot => {
                self.turn.events.push(Event::Alarm(Alarm::OwnBootFromTheFuture, *from));
                Err(DropCause::Impossible)
            }
            Some(boot) if *boot < self.config.boot && !P::plants(Bug::AddresseeBootIgnored) => {
                if !matches!(message, Message::Notice) {
                    self.send(*from, Message::Notice);
                }
                Err(DropCause::StaleAddressee)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Takes note of the sender's boot. On a new one, a leader forgets what the one before acknowledged.
    fn learn_boot(&mut self, from: NodeId, boot: Boot) -> Result<(), DropCause> {
        match self.boots.get(&from) {
            Some(known) if *known > boot && P::plants(Bug::OldBootCounted) => return Ok(()),
            Some(known) if *known > boot => return Err(DropCause::StaleSender),
            Some(known) if *known == boot => {}
            Some(_) => {
                self.boots.insert(from, boot);
            }
            None if self.boots.len() < BOOTS_MAX || self.configuration().1.members().contains_key(&from) => {
                self.boots.insert(from, boot);
            }
            None => {}
        }
        self.progress_boot(from, boot);
        Ok(())
    }

    /// A message of a lower term. Whoever asks is told the term, so that it catches up instead of being ignored for ever;
    /// answers to old questions are not answered, or two nodes would talk for ever.
    fn receive_lower(&mut self, from: NodeId, term: Term, message: &Message) {
        self.drop_message(DropCause::LowerTerm);
        match message {
            // The answer to a pre-vote carries the own term, and says no.
            Message::PreVote { .. } => {
                self.send(from, Message::PreVoteReply { asked: term.next(), granted: false });
            }
            Message::TimeoutNow { .. } if P::plants(Bug::TimeoutNowUnbound) => self.take_over_unbound(),
            Message::VoteReply { granted } if P::plants(Bug::LateVoteCounted) => {
                self.receive_vote_reply(from, *granted);
            }
            Message::Vote { .. }
            | Message::Append { .. }
            | Message::Heartbeat { .. }
            | Message::ReadIndex { .. }
            | Message::TimeoutNow { .. }
            | Message::SnapshotChunk { .. } => {
                if !P::plants(Bug::LowerTermIgnored) {
                    self.send(from, Message::Notice);
                }
            }
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendAck { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatAck { .. }
            | Message::ReadIndexReply { .. }
            | Message::SnapshotAck { .. }
            | Message::SnapshotReject { .. }
            | Message::Notice => {}
        }
    }

    /// A message of a higher term: whether to go on with it.
    fn accept_term(&mut self, term: Term, message: &Message) -> bool {
        match message {
            // A pre-vote promises nothing, and raises nobody's term.
            Message::PreVote { .. } => return true,
            Message::Vote { transfer, .. } if self.sticks_to_leader(*transfer) => {
                self.drop_message(DropCause::Sticky);
                return false;
            }
            Message::Vote { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::Append { .. }
            | Message::AppendAck { .. }
            | Message::AppendReject { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatAck { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::TimeoutNow { .. }
            | Message::SnapshotChunk { .. }
            | Message::SnapshotAck { .. }
            | Message::SnapshotReject { .. }
            | Message::Notice => {}
        }
        self.adopt_term(term);
        true
    }

    /// A message of the own term, or a pre-vote of a higher one; `named` if it names this boot.
    fn handle(&mut self, from: NodeId, from_boot: Boot, named: bool, term: Term, message: Message) {
        if answers_leader(&message) {
            self.peer_answered(from);
        }
        match message {
            Message::PreVote { last } => self.receive_pre_vote(from, term.next(), last),
            Message::PreVoteReply { asked, granted } => self.receive_pre_vote_reply(from, asked, granted),
            Message::Vote { last, .. } => self.receive_vote(from, last),
            Message::VoteReply { granted } => self.receive_vote_reply(from, granted),
            Message::Append { prev, entries, commit, established, stretch } => {
                if self.heed(from) {
                    self.receive_append(from, prev, entries, stretch);
                    self.follow_commit(commit, established && named);
                }
            }
            Message::Heartbeat { round, commit, established } => {
                if self.heed(from) {
                    let counting = !self.hard_lost || P::plants(Bug::LostHardStateCounts);
                    self.promise(from, Message::HeartbeatAck { round, counting });
                    self.follow_commit(commit, established && named);
                }
            }
            Message::AppendAck { matched, stretch, counting } => {
                self.receive_append_ack(from, from_boot, matched, stretch, counting);
            }
            Message::AppendReject { prev, hint, stretch } => {
                self.receive_append_reject(from, prev, hint, stretch);
            }
            Message::HeartbeatAck { round, counting } => self.receive_heartbeat_ack(from, round, counting),
            Message::ReadIndex { batch } => self.receive_read_index(from, from_boot, batch),
            Message::ReadIndexReply { batch, index } => self.receive_read_index_reply(batch, index),
            Message::TimeoutNow { last } => {
                if self.heed(from) {
                    self.receive_timeout_now(last);
                }
            }
            Message::SnapshotChunk { meta, offset, data } => {
                if self.heed(from) {
                    self.receive_chunk((from, from_boot), meta, offset, &data);
                }
            }
            Message::SnapshotAck { last, offset } => self.receive_snapshot_ack(from, last, offset),
            Message::SnapshotReject { last } => self.receive_snapshot_reject(from, last),
            Message::Notice => {}
        }
    }

    /// A leader of the own term says something: whether this node follows it now.
    fn heed(&mut self, from: NodeId) -> bool {
        match &mut self.role {
            Role::Leader(_) => {
                self.alarm(Alarm::SecondLeader, from);
                return false;
            }
            Role::PreCandidate(_) | Role::Candidate(_) => self.heed_leader(),
            Role::Follower(_) => {}
        }
        let Role::Follower(follower) = &mut self.role else { return false };
        match follower.leader {
            Some(other) if other != from => {
                self.alarm(Alarm::SecondLeader, from);
                return false;
            }
            Some(_) => {}
            None => follower.leader = Some(from),
        }
        self.leader_heard = Some(0);
        self.hurried = 0;
        self.election_clock = 0;
        true
    }
}

/// Whether only a node that hears the leader of this term sends this to it: what counts for the leader's quorum. A question
/// for votes does not: it comes from who does not hear the leader.
fn answers_leader(message: &Message) -> bool {
    match message {
        Message::AppendAck { .. }
        | Message::AppendReject { .. }
        | Message::HeartbeatAck { .. }
        | Message::ReadIndex { .. }
        | Message::SnapshotAck { .. }
        | Message::SnapshotReject { .. } => true,
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::Vote { .. }
        | Message::VoteReply { .. }
        | Message::Append { .. }
        | Message::Heartbeat { .. }
        | Message::ReadIndexReply { .. }
        | Message::TimeoutNow { .. }
        | Message::SnapshotChunk { .. }
        | Message::Notice => false,
    }
}

/// Whether all numbers of a message are in range and fit each other, whoever sent it.
fn is_well_formed(term: Term, message: &Message) -> bool {
    let index = |index: Index| index.0 < COUNT_MAX;
    // What stands before the first entry has neither term nor index; everything else has both.
    let id = |id: EntryId| index(id.index) && id.term <= term && (id.index.0 == 0) == (id.term.0 == 0);
    match message {
        // A candidate's log never has a later term than its own.
        Message::PreVote { last } | Message::Vote { last, .. } | Message::TimeoutNow { last } => id(*last),
        Message::PreVoteReply { asked, .. } => asked.0 < COUNT_MAX,
        Message::VoteReply { .. } | Message::Notice => true,
        Message::Append { prev, entries, commit, .. } => {
            id(*prev)
                && index(*commit)
                && prev.index.0 + (entries.len() as u64) < COUNT_MAX
                && terms_ascend(prev.term, entries, term)
        }
        Message::AppendAck { matched, .. } => index(*matched),
        Message::AppendReject { prev, hint, .. } => id(*prev) && index(hint.index) && hint.index < prev.index,
        Message::Heartbeat { commit, round, .. } => index(*commit) && round.0 < COUNT_MAX,
        Message::HeartbeatAck { round, .. } => round.0 < COUNT_MAX,
        Message::ReadIndex { .. } => true,
        Message::ReadIndexReply { index: at, .. } => at.is_none_or(index),
        Message::SnapshotChunk { meta, offset, data } => {
            let end = offset.checked_add(data.len() as u64);
            id(meta.last)
                && meta.last.index.0 >= 1
                && meta.configuration.0 <= meta.last.index
                && !meta.configuration.1.voters().is_empty()
                && end.is_some_and(|end| end <= meta.bytes)
        }
        Message::SnapshotAck { last, .. } | Message::SnapshotReject { last } => index(last.index),
    }
}

fn terms_ascend(prev: Term, entries: &[Entry], term: Term) -> bool {
    let mut before = prev;
    entries.iter().all(|entry| {
        let fine = entry.term >= before && entry.term.0 >= 1 && entry.term <= term;
        let decides = match &entry.payload {
            Payload::Configuration(configuration) => !configuration.voters().is_empty(),
            Payload::Empty | Payload::Data(_) => true,
        };
        before = entry.term;
        fine && decides
    })
}
