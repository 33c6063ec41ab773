//! What only a leader knows: its peers, its clocks, its quorum, and what it appends (the paper, §5.3; dissertation §6.2).

use std::collections::{BTreeMap, VecDeque};

use super::Core;
use super::reads::{Reader, Rounds};
use crate::config::{ENTRY_DATA_BYTES_MAX, LEAVING_ELECTIONS, PROBE_HEARTBEATS};
use crate::progress::{Progress, ProgressEvent, ProgressState, Sending, SendingWait};
use crate::role::{Role, RoleEvent};
use crate::{Boot, Bug, Entry, EntryId, Event, Index, NodeId, Payload, Plant, Refusal, Round};

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

    pub(super) fn progress_mut(&mut self, peer: NodeId) -> Option<&mut Progress> {
        self.leader_mut()?.peers.get_mut(&peer)
    }

    /// Takes a fact about a peer to its progress.
    pub(super) fn progress_fact(&mut self, peer: NodeId, event: ProgressEvent) {
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
            // If it has acknowledged nothing in this term, nothing is known of its log, and it is asked: it may need little.
            if progress.matched > Index(0) {
                progress.next = progress.matched.next();
            }
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
