//! Appends and heartbeats as they come in (the paper, §5.3).

use super::Core;
use crate::membership::{self, MembershipEvent};
use crate::role::Role;
use crate::transfer::{Transfer, TransferEvent};
use crate::{Alarm, Bug, Entry, EntryId, Index, Message, NodeId, Payload, Plant, Stretch};

impl<P: Plant> Core<P> {
    /// Puts an entry at the end of the log in memory. A configuration acts from now on.
    pub(super) fn hold_entry(&mut self, index: Index, entry: Entry) {
        if let Payload::Configuration(next) = &entry.payload {
            let fact = membership::appended(&self.configuration().1, next);
            self.configurations.append(index, next.clone());
            self.membership_fact(fact);
        }
        self.log.append(entry);
    }

    /// Drops entries that another leader has replaced; a configuration among them does not act any more.
    pub(super) fn truncate_log(&mut self, first: Index) {
        assert!(first > self.commit, "a committed entry is never truncated");
        self.log.truncate(first);
        if let Some(broken) = &mut self.broken {
            broken.cut_behind(first.previous());
        }
        if !P::plants(Bug::DurableAba) {
            self.durability.truncated(first);
        }
        if !P::plants(Bug::ConfigurationNotReverted) {
            self.configurations.truncate(first);
            self.membership_fact(self.configurations.found(self.commit));
        }
    }

    pub(super) fn receive_append(
        &mut self,
        from: NodeId,
        prev: EntryId,
        entries: Vec<Entry>,
        stretch: Stretch,
    ) {
        let end = Index(prev.index.0 + entries.len() as u64);
        let held = self.log.prev().index;
        // What is below the own snapshot is committed, so it equals what any leader has.
        let covered = held.0.saturating_sub(prev.index.0);
        let (prev, covered) = if covered > 0 { (self.log.prev(), covered) } else { (prev, 0) };
        if end < held {
            self.owe_ack(self.commit, stretch);
            return;
        }
        if covered > 0 && entries[covered as usize - 1].term != prev.term {
            self.alarm(Alarm::CommittedConflict, from);
            return;
        }
        if let Some(hint) = self.proven_before(prev.index) {
            self.send(from, Message::AppendReject { prev, hint, stretch });
            return;
        }
        if self.log.term_at(prev.index) != Some(prev.term) {
            if prev.index <= self.commit {
                self.alarm(Alarm::CommittedConflict, from);
                return;
            }
            let hint = self.log.agreement_bound(EntryId { index: prev.index.previous(), ..prev });
            self.send(from, Message::AppendReject { prev, hint, stretch });
            return;
        }
        let verified = match &self.role {
            Role::Follower(follower) => follower.verified,
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => return,
        };
        let mut index = prev.index;
        for entry in entries.into_iter().skip(covered as usize) {
            index = index.next();
            match self.log.term_at(index) {
                Some(term) if term == entry.term => {}
                // Nor does a leader replace what it has itself sent.
                Some(_) if index <= self.commit.max(verified) => {
                    self.alarm(Alarm::CommittedConflict, from);
                    return;
                }
                held => {
                    if held.is_some() {
                        self.truncate_log(index);
                    }
                    if !self.take_entry(from, index, entry) {
                        return;
                    }
                }
            }
        }
        if P::plants(Bug::TruncatesWithoutConflict) && end > self.commit && end < self.log.last().index {
            self.truncate_log(end.next());
        }
        self.owe_ack(end, stretch);
    }

    /// Appends an entry of a leader, unless it contradicts what it would stand behind: no correct leader sends that.
    fn take_entry(&mut self, from: NodeId, index: Index, entry: Entry) -> bool {
        if let Payload::Configuration(next) = &entry.payload
            && self.configuration().1.is_joint()
            && next.is_joint()
        {
            self.alarm(Alarm::ImpossibleConfiguration, from);
            return false;
        }
        match &self.broken {
            Some(broken) if !broken.leads_to_base(index, entry.term) => return false,
            Some(_) => self.append_behind_hole(index, entry),
            None => {
                self.append_entry(entry);
            }
        }
        true
    }

    /// The log equals the leader's up to here: an acknowledgement is sent with the next flush, once that is durable.
    pub(super) fn owe_ack(&mut self, verified: Index, stretch: Stretch) {
        let Role::Follower(follower) = &mut self.role else { return };
        follower.verified = follower.verified.max(verified);
        follower.owes_ack = Some(stretch);
    }

    /// One acknowledgement for all appends of the turn.
    pub(super) fn flush_ack(&mut self) {
        let Role::Follower(follower) = &mut self.role else { return };
        let (Some(leader), Some(stretch)) = (follower.leader, follower.owes_ack.take()) else { return };
        let mut matched = follower.verified.min(self.log.last().index);
        if P::plants(Bug::HolePassedByAck) {
            matched = self.broken.as_ref().map_or(matched, |broken| matched.max(broken.claimed_end().index));
        }
        let counting = !self.hard_lost || P::plants(Bug::LostHardStateCounts);
        self.promise(leader, Message::AppendAck { matched, stretch, counting });
    }

    /// What the leader says of its commit: true of everything that was compared with its log. If the leader is established
    /// and knows this boot, a damaged log may be whole by it.
    pub(super) fn follow_commit(&mut self, commit: Index, complete: bool) {
        let Role::Follower(follower) = &self.role else { return };
        let verified = follower.verified.min(self.log.last().index);
        let known = if P::plants(Bug::CommitBeyondVerified) { self.log.last().index } else { verified };
        self.advance_commit(commit.min(known));
        if complete {
            self.whole_up_to(commit, verified);
        }
    }

    /// Moves the commit index forward, never back. Not past a snapshot that is being installed: nothing is applied meanwhile,
    /// and what takes the place of the log must not contradict what was said to be committed.
    pub(super) fn advance_commit(&mut self, to: Index) {
        let to = match &self.transfer {
            Transfer::Installing(meta) => to.min(meta.last.index.previous()),
            Transfer::Idle | Transfer::Receiving(_) => to,
        };
        if to <= self.commit {
            return;
        }
        let acting = self.configuration().0;
        let news = self.commit < acting && acting <= to;
        self.commit = to;
        if news {
            self.membership_fact(MembershipEvent::Committed);
        }
        let overtaken = match &self.transfer {
            Transfer::Receiving(receiving) => receiving.meta.last.index <= to,
            Transfer::Idle | Transfer::Installing(_) => false,
        };
        if overtaken {
            self.transfer_fact(TransferEvent::Overtaken, Transfer::Idle);
        }
    }
}
