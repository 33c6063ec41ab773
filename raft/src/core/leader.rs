//! Appends as they go out, acknowledgements as they come back, and the commit that follows (the paper, §5.3 and §5.4.2).

use std::collections::{BTreeMap, VecDeque};

use super::Core;
use super::reads::{Reader, Rounds};
use crate::config::{ENTRY_DATA_BYTES_MAX, LEAVING_ELECTIONS, PROBE_HEARTBEATS};
use crate::membership::MembershipState;
use crate::progress::{Progress, ProgressEvent, ProgressState, Sending, SendingWait};
use crate::role::{Role, RoleEvent};
use crate::{
    Alarm, Boot, Bug, Configuration, DropCause, Entry, EntryId, Event, Index, Message, NodeId, Payload,
    Plant, Refusal, Round, Stretch,
};

/// What only a leader knows.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// The first entry of its own term: once it is committed, the leader knows how far the log is.
    pub(crate) first: Index,
    /// Everybody that is sent the log, without itself.
    pub(crate) peers: BTreeMap<NodeId, Progress>,
    /// Bytes of entries behind the commit index.
    pub(crate) uncommitted_bytes: usize,
    pub(crate) reads: Rounds,
    pub(crate) handing: Option<Handing>,
    /// Ticks since the election: the first answers need some time.
    pub(crate) office_ticks: u32,
    /// Ticks since heartbeats were sent.
    pub(crate) heartbeat_clock: u32,
    pub(crate) heartbeat_due: bool,
}

/// The office is being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handing {
    pub(crate) to: NodeId,
    /// Until it is given up.
    pub(crate) ticks_left: u32,
    /// The successor was told; it is told again with each heartbeat.
    pub(crate) told: bool,
}

impl Leader {
    pub(crate) fn new(first: Index, uncommitted_bytes: usize) -> Self {
        Self {
            first,
            peers: BTreeMap::new(),
            uncommitted_bytes,
            reads: Rounds::default(),
            handing: None,
            office_ticks: 0,
            heartbeat_clock: 0,
            heartbeat_due: true,
        }
    }
}

impl<P: Plant> Core<P> {
    pub(super) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    pub(super) fn leading(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    fn progress_mut(&mut self, peer: NodeId) -> Option<&mut Progress> {
        self.leader_mut()?.peers.get_mut(&peer)
    }

    /// Takes a fact about a peer to its progress.
    fn progress_fact(&mut self, peer: NodeId, event: ProgressEvent) {
        let Some(progress) = self.progress_mut(peer) else { return };
        if let Some(edge) = progress.shift(event) {
            self.turn.events.push(Event::Progress(peer, edge));
        }
    }

    /// A peer shows that it hears this leader.
    pub(super) fn peer_answered(&mut self, from: NodeId) {
        if let Some(progress) = self.progress_mut(from) {
            progress.heard();
        }
    }

    /// Starts sending to members that are new, and lets those go slowly that are not members any more.
    pub(super) fn add_peers(&mut self) {
        let configuration = self.configuration().1.clone();
        let (last, own) = (self.log.last().index, self.config.id);
        for id in configuration.members().keys().copied().filter(|id| *id != own) {
            let (boot, stretch) = (self.boots.get(&id).copied(), self.next_stretch());
            let Some(leader) = self.leader_mut() else { return };
            let progress = leader.peers.entry(id).or_insert_with(|| Progress::new(last, boot, stretch));
            progress.leaving_ticks = None;
        }
        let patience = LEAVING_ELECTIONS * self.config.election_ticks;
        let Some(leader) = self.leader_mut() else { return };
        for (id, progress) in &mut leader.peers {
            if !configuration.members().contains_key(id) {
                progress.leaving_ticks.get_or_insert(patience);
            }
        }
    }

    /// The first entry of a leader: empty, so that something of its own term can commit (§8).
    pub(super) fn append_own_term(&mut self) {
        self.append_as_leader(Payload::Empty);
    }

    /// Appends an entry of the own term.
    pub(super) fn append_as_leader(&mut self, payload: Payload) -> EntryId {
        let entry = Entry { term: self.hard.term, payload };
        let (bytes, changes) = (entry.bytes(), matches!(entry.payload, Payload::Configuration(_)));
        let index = self.append_entry(entry);
        if let Some(leader) = self.leader_mut() {
            leader.uncommitted_bytes += bytes;
        }
        if changes {
            self.add_peers();
        }
        EntryId { term: self.hard.term, index }
    }

    pub(super) fn propose(&mut self, batch: Vec<bytes::Bytes>) -> Result<EntryId, Refusal> {
        if batch.iter().any(|data| data.len() > ENTRY_DATA_BYTES_MAX) {
            return Err(Refusal::EntryTooLong);
        }
        let limit = self.config.uncommitted_bytes_max;
        let leader = self.leading().ok_or(Refusal::NotLeader)?;
        if leader.handing.is_some() {
            return Err(Refusal::Transferring);
        }
        let bytes: usize = batch.iter().map(|data| crate::ENTRY_OVERHEAD_BYTES + data.len()).sum();
        if leader.uncommitted_bytes > 0 && leader.uncommitted_bytes + bytes > limit {
            return Err(Refusal::UncommittedFull);
        }
        let mut ids = batch.into_iter().map(|data| self.append_as_leader(Payload::Data(data)));
        let first = ids.next().ok_or(Refusal::NothingToChange)?;
        ids.for_each(drop);
        Ok(first)
    }

    pub(super) fn tick_leader(&mut self) {
        if self.disk_stalled() {
            self.tell_best_successor();
            self.resign(RoleEvent::DiskStalled);
            return;
        }
        let (election_ticks, heartbeat_ticks) = (self.config.election_ticks, self.config.heartbeat_ticks);
        let Some(leader) = self.leader_mut() else { return };
        leader.heartbeat_clock += 1;
        let beat = leader.heartbeat_clock >= heartbeat_ticks;
        if beat {
            leader.heartbeat_clock = 0;
            leader.heartbeat_due = true;
        }
        leader.office_ticks = leader.office_ticks.saturating_add(1);
        let count = leader.office_ticks >= election_ticks;
        let mut lost = Vec::new();
        for (id, progress) in &mut leader.peers {
            progress.tick(election_ticks);
            let waits = !progress.inflight.is_empty() || progress.probing || progress.sending.is_some();
            progress.silent_ticks = if waits { progress.silent_ticks + 1 } else { 0 };
            // A lost probe holds everything up and costs little to repeat.
            let patience = if progress.probing { PROBE_HEARTBEATS * heartbeat_ticks } else { election_ticks };
            if progress.silent_ticks >= patience {
                lost.push(*id);
            }
            if let Some(ticks) = &mut progress.leaving_ticks {
                *ticks = ticks.saturating_sub(1);
            }
        }
        leader.peers.retain(|_, progress| progress.leaving_ticks != Some(0));
        for id in lost {
            self.peer_silent(id);
        }
        self.tick_handing();
        if beat {
            self.promote_learner();
        }
        if count {
            self.count_quorum();
        }
    }

    /// A leader that no quorum answered for an election timeout resigns: it could not commit anything (dissertation §6.2).
    fn count_quorum(&mut self) {
        let own = self.config.id;
        let heard = |id: NodeId| {
            let progress = self.progress(id);
            id == own || progress.is_some_and(|peer| peer.heard_lately() && peer.counting)
        };
        if !self.configuration().1.has_quorum(heard) && !P::plants(Bug::NoCheckQuorum) {
            self.resign(RoleEvent::QuorumLost);
        }
    }

    /// What is on its way to this peer may be lost: begins another stretch, with a probe.
    pub(super) fn peer_lost(&mut self, id: NodeId) {
        if self.progress_mut(id).is_none() {
            return;
        }
        let stretch = self.next_stretch();
        let Some(progress) = self.progress_mut(id) else { return };
        progress.forget_inflight();
        progress.stretch = stretch;
        progress.sending = None;
        if progress.state() != ProgressState::Probe {
            progress.next = progress.matched.next();
        }
        self.progress_fact(id, ProgressEvent::Lost);
    }

    /// Nothing that is on its way to this peer was answered for an election timeout.
    fn peer_silent(&mut self, id: NodeId) {
        let Some(progress) = self.progress_mut(id) else { return };
        progress.silent_ticks = 0;
        match (progress.state(), &mut progress.sending) {
            // The piece, or its acknowledgement, is lost; the peer knows how far it has come.
            (_, Some(sending)) => sending.wait = SendingWait::Nothing,
            // The same question again: an answer to either counts, so that a link slower than this is no obstacle.
            (ProgressState::Probe, None) => progress.probing = false,
            (ProgressState::Replicate | ProgressState::Snapshot, None) => self.peer_lost(id),
        }
    }

    /// A new boot of a peer: what the one before acknowledged may be lost, so it does not count (and a directory that
    /// was replaced by an old copy is noticed).
    pub(super) fn progress_boot(&mut self, from: NodeId, boot: Boot) {
        let Some(progress) = self.progress_mut(from) else { return };
        if progress.boot == Some(boot) {
            return;
        }
        let first_heard = progress.boot.is_none();
        progress.boot = Some(boot);
        if !first_heard {
            progress.floor = progress.floor.max(progress.matched);
            progress.next = progress.matched.next();
            progress.matched = Index(0);
            progress.round = Round(0);
            progress.counting = false;
            let next = progress.next;
            self.peer_lost(from);
            if let Some(progress) = self.progress_mut(from) {
                progress.next = next;
            }
        }
    }

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
        let (next, stretch) = (progress.next, progress.stretch);
        if !wanted {
            return false;
        }
        let Some(term) = self.log.term_at(next.previous()) else { return false };
        let prev = EntryId { term, index: next.previous() };
        let (entries, bytes) = self.log.slice(next, self.config.append_bytes_max);
        let end = Index(prev.index.0 + entries.len() as u64);
        let established = self.established();
        let Some(progress) = self.progress_mut(id) else { return false };
        progress.told_commit = commit;
        let pipelined = progress.state() == ProgressState::Replicate;
        if pipelined && !entries.is_empty() {
            progress.sent(end, bytes);
            progress.next = end.next();
        }
        progress.probing = !pipelined;
        self.send(id, Message::Append { prev, entries, commit, established, stretch });
        pipelined && end < last
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

    /// Leaves what only a leader holds in order: reads that wait are refused.
    pub(super) fn end_leadership(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        let reads = std::mem::take(&mut leader.reads);
        for reader in reads.into_readers() {
            self.refuse_reader(reader);
        }
    }

    fn refuse_reader(&mut self, reader: Reader) {
        match reader {
            Reader::Own(id) => self.turn.reads_refused.push((id, Refusal::LeadershipLost)),
            Reader::Peer { from, boot, batch } => self.answer_read(from, boot, batch, None),
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

    pub(super) fn sending_mut(&mut self, id: NodeId) -> Option<&mut Sending> {
        let progress = self.progress_mut(id)?;
        progress.silent_ticks = 0;
        progress.sending.as_mut()
    }

    /// The queue of appends on their way to a peer, for tests and people.
    #[must_use]
    pub fn inflight(&self, peer: NodeId) -> Option<&VecDeque<(Index, usize)>> {
        self.progress(peer).map(|progress| &progress.inflight)
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
