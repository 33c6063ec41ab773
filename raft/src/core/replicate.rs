//! Appends as they go out, acknowledgements as they come back, and the commit that follows (the paper, §5.3 and §5.4.2).

use super::Core;
use crate::membership::MembershipState;
use crate::progress::{Progress, ProgressEvent, ProgressState, Sending, SendingWait};
use crate::role::RoleEvent;
use crate::{
    Alarm, Boot, Bug, Configuration, DropCause, Entry, EntryId, Event, Index, LogRead, Message, NodeId,
    Payload, Plant, Stretch,
};

impl<P: Plant> Core<P> {
    /// Sends to every peer what it may have; what is due and the rounds of reads as well.
    pub(super) fn flush_leader(&mut self) {
        self.flush_rounds();
        let Some(leader) = self.leading() else { return };
        let due = leader.heartbeat_due;
        let ids: Vec<NodeId> = leader.peers.keys().copied().collect();
        let (commit, established, round) = (self.commit, self.established(), self.round);
        for id in ids {
            if due {
                self.send(id, Message::Heartbeat { round, commit, established });
            }
            self.flush_peer(id);
        }
        if let Some(leader) = self.leader_mut() {
            leader.heartbeat_due = false;
        }
        self.flush_handing(due);
    }

    fn flush_peer(&mut self, id: NodeId) {
        let first_held = self.log.prev().index;
        let Some(progress) = self.progress_mut(id) else { return };
        let gone = progress.state() != ProgressState::Snapshot && progress.next <= first_held;
        // A snapshot is offered to who is there to take it.
        if gone && progress.pause_ticks == 0 && progress.heard_lately() {
            self.offer_snapshot(id);
        }
        self.flush_snapshot(id);
        while self.append_to(id) {}
    }

    /// Sends one append, if one may be sent. Returns whether another may follow.
    fn append_to(&mut self, id: NodeId) -> bool {
        let (last, commit) = (self.log.last().index, self.commit);
        let (appends_max, bytes_max) = (self.config.inflight_appends_max, self.config.inflight_bytes_max);
        let Some(progress) = self.progress_mut(id) else { return false };
        let room = progress.inflight.len() < appends_max
            && (progress.inflight_bytes < bytes_max || progress.inflight.is_empty());
        let wanted = match progress.state() {
            ProgressState::Probe => !progress.probing,
            ProgressState::Replicate if progress.next <= last => room,
            // Nothing to send but how far the commit has come; whatever is on its way will ask for it when it is answered.
            ProgressState::Replicate => progress.told_commit < commit && progress.inflight.is_empty(),
            ProgressState::Snapshot => false,
        };
        let (next, pipelined) = (progress.next, progress.state() == ProgressState::Replicate);
        if !wanted {
            return false;
        }
        if pipelined && next <= self.log.evicted().index {
            self.read_back(id);
            return false;
        }
        // A probe for what is on the disk only has no entries: where the logs match is all that it asks.
        let (entries, bytes) = self.log.slice(next, self.config.append_bytes_max);
        self.send_append(id, entries, bytes)
            && pipelined
            && self.progress(id).is_some_and(|it| it.next <= last)
    }

    /// Sends these entries, which stand where the peer's next ones do. Returns whether they could be.
    fn send_append(&mut self, id: NodeId, entries: Vec<Entry>, bytes: usize) -> bool {
        let (commit, established) = (self.commit, self.established());
        let Some(prev) = self.progress(id).map(|progress| progress.next.previous()) else { return false };
        let Some(term) = self.log.term_at(prev) else { return false };
        let Some(progress) = self.progress_mut(id) else { return false };
        let prev = EntryId { term, index: prev };
        let end = Index(prev.index.0 + entries.len() as u64);
        progress.told_commit = commit;
        let pipelined = progress.state() == ProgressState::Replicate;
        if pipelined && !entries.is_empty() {
            progress.sent(end, bytes);
            progress.next = end.next();
        }
        progress.probing = !pipelined;
        let stretch = progress.stretch;
        self.send(id, Message::Append { prev, entries, commit, established, stretch });
        true
    }

    /// What this peer needs next is on the disk only: has it read, one run at a time.
    fn read_back(&mut self, id: NodeId) {
        let (last, bytes_max) = (self.log.evicted().index, self.config.append_bytes_max);
        let Some(progress) = self.progress_mut(id) else { return };
        if progress.reading.is_some() || progress.pause_ticks > 0 {
            return;
        }
        let first = progress.next;
        progress.reading = Some(first);
        self.turn.log_reads.push(LogRead { to: id, first, last, bytes_max });
    }

    /// What was read back for a peer goes to it, if that is still what it needs. It is committed, so nothing but the disk can
    /// have changed it: entries of other terms are none.
    pub(super) fn log_read(&mut self, to: NodeId, first: Index, mut entries: Vec<Entry>) {
        let Some(progress) = self.progress_mut(to).filter(|progress| progress.reading == Some(first)) else {
            return;
        };
        progress.reading = None;
        if progress.state() != ProgressState::Replicate || progress.next != first {
            return;
        }
        let evicted = self.log.evicted().index;
        let indices = (first.0..=evicted.0).map(Index);
        let right =
            entries.iter().zip(indices).take_while(|(entry, at)| self.log.term_at(*at) == Some(entry.term));
        let (count, bytes) =
            right.fold((0, 0), |(count, bytes), (entry, _)| (count + 1, bytes + entry.bytes()));
        entries.truncate(count);
        if count > 0 {
            self.send_append(to, entries, bytes);
        } else if first > self.log.prev().index {
            self.cannot_read(to, first);
        }
    }

    /// The disk does not give back what a peer needs: a snapshot that covers it will do, and if there is none, the next is wanted
    /// soon. It is not read again at once, for a disk that cannot be read will not be readable in the next turn.
    fn cannot_read(&mut self, to: NodeId, first: Index) {
        self.unreadable = self.unreadable.max(Some(first));
        if self.covered() >= first {
            self.offer_snapshot(to);
            return;
        }
        let pause = self.config.election_ticks;
        if let Some(progress) = self.progress_mut(to) {
            progress.pause_ticks = pause;
        }
    }

    pub(super) fn receive_append_ack(
        &mut self,
        from: NodeId,
        boot: Boot,
        matched: Index,
        stretch: Stretch,
        counting: bool,
    ) {
        let last = self.log.last().index;
        let Some(progress) = self.progress_mut(from) else {
            self.drop_message(DropCause::WrongRole);
            return;
        };
        if matched > last {
            self.alarm(Alarm::AckBeyondLog, from);
            return;
        }
        if progress.boot != Some(boot) && !P::plants(Bug::OldBootCounted) {
            self.drop_message(DropCause::StaleSender);
            return;
        }
        progress.counting = counting;
        let news = matched > progress.matched;
        progress.matched =
            if P::plants(Bug::MatchRegresses) { matched } else { progress.matched.max(matched) };
        progress.next = progress.next.max(progress.matched.next());
        progress.arrived(progress.matched);
        let current = progress.stretch == stretch;
        if current {
            progress.probing = false;
        }
        let installed =
            progress.sending.as_ref().is_some_and(|sending| progress.matched >= sending.meta.last.index);
        if installed {
            progress.forget_inflight();
            progress.sending = None;
            progress.next = progress.matched.next();
            self.progress_fact(from, ProgressEvent::Installed);
        } else if current {
            if progress.state() == ProgressState::Probe {
                progress.next = progress.matched.next();
            }
            self.progress_fact(from, ProgressEvent::Matched);
        }
        if news {
            self.advance_leader_commit();
        }
    }

    pub(super) fn receive_append_reject(
        &mut self,
        from: NodeId,
        prev: EntryId,
        hint: EntryId,
        stretch: Stretch,
    ) {
        let held = self.log.prev().index;
        // Where the peer's log is shorter, or of an older term, the logs can agree at most here.
        let bound = if hint.index < held { hint.index } else { self.log.agreement_bound(hint).index };
        let Some(progress) = self.progress_mut(from) else {
            self.drop_message(DropCause::WrongRole);
            return;
        };
        let expected = progress.stretch == stretch && progress.state() != ProgressState::Snapshot;
        let late = match progress.state() {
            ProgressState::Probe => prev.index.next() != progress.next,
            ProgressState::Replicate | ProgressState::Snapshot => prev.index >= progress.next,
        };
        if !expected || late || prev.index <= progress.matched {
            self.drop_message(DropCause::NotAsked);
            return;
        }
        let lost = bound < progress.floor;
        progress.next = bound.next().max(progress.matched.next());
        progress.forget_inflight();
        if progress.state() == ProgressState::Replicate {
            let stretch = self.next_stretch();
            if let Some(progress) = self.progress_mut(from) {
                progress.stretch = stretch;
            }
        }
        self.progress_fact(from, ProgressEvent::Rejected);
        if lost {
            self.turn.events.push(Event::Alarm(Alarm::AcknowledgedLost, from));
        }
    }

    /// Commits what a quorum holds, if it is of the own term (§5.4.2): copies of earlier entries prove nothing (Figure 8).
    pub(super) fn advance_leader_commit(&mut self) {
        let Some(leader) = self.leading() else { return };
        let own = self.config.id;
        // The leader's own disk is one of the quorum, no faster than the others: it counts what is durable there.
        let unsynced = P::plants(Bug::LeaderCountsUnsynced);
        let durable = if unsynced { self.log.last().index } else { self.durability.index() };
        let held = |id: NodeId| {
            if id == own { durable } else { leader.peers.get(&id).map_or(Index(0), Progress::counted) }
        };
        let quorum = quorum_index::<P>(&self.configuration().1, held);
        let of_own_term = self.log.term_at(quorum) == Some(self.hard.term) || P::plants(Bug::CommitPriorTerm);
        if quorum <= self.commit || !of_own_term {
            return;
        }
        let before = self.commit;
        let done = (quorum.0 - before.0) as usize;
        let bytes: usize = self.log.iter_from(before.next()).take(done).map(|(_, entry)| entry.bytes()).sum();
        if let Some(leader) = self.leader_mut() {
            leader.uncommitted_bytes -= bytes.min(leader.uncommitted_bytes);
        }
        self.advance_commit(quorum);
        self.committed_as_leader();
    }

    /// What a leader does when its commit index moved: changes of members go on.
    fn committed_as_leader(&mut self) {
        let (index, configuration) = self.configuration().clone();
        if index > self.commit {
            return;
        }
        if self.membership == MembershipState::Joint && self.established() {
            self.append_as_leader(Payload::Configuration(configuration.leave_joint().into()));
        } else if !configuration.is_joint() && !configuration.is_voter(self.config.id) {
            self.tell_best_successor();
            self.resign(RoleEvent::VoteTaken);
        }
    }

    /// The next entry of this peer is gone: it is sent the newest snapshot.
    fn offer_snapshot(&mut self, id: NodeId) {
        let Some(meta) = self.snapshot.clone() else { return };
        let stretch = self.next_stretch();
        let Some(progress) = self.progress_mut(id) else { return };
        progress.forget_inflight();
        progress.stretch = stretch;
        progress.sending = Some(Sending { meta, offset: 0, wait: SendingWait::Nothing });
        self.progress_fact(id, ProgressEvent::Gone);
    }

    /// A snapshot that cannot go on: see what the peer needs now, but no sooner than after `pause_ticks`.
    pub(super) fn abandon_snapshot(&mut self, id: NodeId, pause_ticks: u32) {
        let stretch = self.next_stretch();
        let Some(progress) = self.progress_mut(id) else { return };
        progress.pause_ticks = pause_ticks;
        progress.forget_inflight();
        progress.stretch = stretch;
        progress.sending = None;
        progress.next = progress.matched.next();
        self.progress_fact(id, ProgressEvent::SnapshotFailed);
    }
}

fn quorum_index<P: Plant>(configuration: &Configuration, held: impl Fn(NodeId) -> Index) -> Index {
    if P::plants(Bug::JointCountsNewOnly) {
        return configuration.incoming_index(held);
    }
    if P::plants(Bug::LearnerCounted) {
        let mut indices: Vec<Index> = configuration.members().keys().map(|id| held(*id)).collect();
        indices.sort_unstable();
        let majority = configuration.voters().len() / 2 + 1;
        return indices.iter().rev().nth(majority - 1).copied().unwrap_or_default();
    }
    configuration.quorum_index(held)
}
