//! The core itself: what it holds, what it is told, and what it wants done.
//!
//! [`Core::step`] takes one input and changes the state; [`Core::flush`] collects what all steps since the last flush want
//! done. The span between two flushes is a *turn*: however many inputs it has, it writes to the disk once and sends one
//! append to each peer.
//!
//! | file | what stands there |
//! |---|---|
//! | `guard` | which messages are looked at, and what a term in one does |
//! | `election` | clocks, votes, becoming and ceasing to be a leader |
//! | `follower` | appends and heartbeats as they come in |
//! | `leader` | appends as they go out, acknowledgements, commit |
//! | `durability` | what is on its way to the disk, and what may be said before it is there |
//! | `reads` | confirmed reads at leaders and followers |
//! | `change` | changes of members, and handing the office over |
//! | `snapshots` | taking, sending, receiving and installing them |
//! | `damage` | holes in the log, and when the node may vote again |

mod canonical;
mod change;
mod damage;
mod describe;
mod durability;
mod election;
mod follower;
mod guard;
pub(crate) mod leader;
mod reads;
mod snapshots;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use holdfast_machine::{Numbered, Trace, decide};

pub use canonical::{Canon, Namespace, canonical_hash};
use damage::Broken;
use durability::Durability;
use reads::Forwarded;

use crate::invariants::{self, Marks};
use crate::log::Log;
use crate::membership::{Configurations, MembershipEvent, MembershipMachine, MembershipState};
use crate::progress::Progress;
use crate::role::{Follower, Role, RoleEdge, RoleEvent, RoleMachine, RoleState};
use crate::transfer::{Transfer, TransferEvent, TransferMachine};
use crate::{
    Alarm, BadConfig, Boot, COUNT_MAX, Config, Configuration, Damage, DropCause, Entry, EntryId, Envelope,
    Event, HardState, Index, Input, LogOp, Message, NoPlant, NodeId, Output, Payload, Plant, Recovered,
    Refusal, Round, SnapshotMeta, Stretch, Term,
};

/// Edges of a machine that are remembered for a post-mortem.
const TRACED: usize = 32;

/// The consensus of one node. Pure: the same inputs lead to the same outputs, always.
#[derive(Clone, Debug)]
pub struct Core<P: Plant = NoPlant> {
    config: Config,
    hard: HardState,
    /// Term and vote may be older than what was promised: see [`Recovered::hard_state_lost`].
    hard_lost: bool,
    role: Role,
    log: Log,
    configurations: Configurations,
    membership: MembershipState,
    /// What is damaged in the log, until it is whole.
    broken: Option<Broken>,
    commit: Index,
    applied: Index,
    /// Up to here entries were handed out for application.
    handed: Index,
    /// What was handed out and is not reported applied, in bytes.
    handed_bytes: usize,
    durability: Durability,
    snapshot: Option<SnapshotMeta>,
    transfer: Transfer,
    /// The newest boot heard of each peer.
    boots: BTreeMap<NodeId, Boot>,
    /// Ticks since the start.
    now: u64,
    /// Ticks since a leader was heard, a vote granted, or an attempt begun.
    election_clock: u32,
    /// What the election clock has to come to.
    election_timeout: u32,
    /// Ticks since a leader of the present term was heard; `None` when none was.
    leader_heard: Option<u32>,
    random: u64,
    /// The last round of heartbeats. Never goes back within a boot.
    round: Round,
    /// The last stretch of replication. Never goes back within a boot.
    stretch: Stretch,
    forwarded: Forwarded,
    /// What the turn wants done so far.
    turn: Output,
    /// Messages of this turn that need the disk, if anything is on its way there.
    promises: Vec<Envelope>,
    drops: [u64; DropCause::ALL.len()],
    roles: Trace<RoleMachine, TRACED>,
    plant: PhantomData<P>,
}

/// Why a core cannot be made of what the disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A number of the configuration is out of range.
    Config(BadConfig),
    /// What was recovered contradicts itself.
    Contradiction(String),
    /// The log was written in a later term than the hard state says: the hard state is not the last one that was written.
    /// The owner notes for good that it is lost, and starts again with [`Recovered::hard_state_lost`].
    HardStateOlder {
        /// What the hard state says.
        hard_state: Term,
        /// What the log proves.
        log: Term,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Contradiction(what) => f.write_str(what),
            Self::HardStateOlder { hard_state, log } => write!(
                f,
                "the log was written in term {log}, and the term on the disk is {hard_state}: term and vote are lost"
            ),
        }
    }
}

impl std::error::Error for Rejected {}

impl Recovered {
    /// What every node of a new cluster starts with: one entry of term 1 that says who is in it. It is the same on all of
    /// them, so it counts as if a leader of term 1 had committed it; the first election is for term 2.
    #[must_use]
    pub fn formed(initial: Configuration) -> Self {
        Self {
            hard_state: HardState { term: Term(1), vote: None },
            entries: vec![Entry { term: Term(1), payload: Payload::Configuration(Arc::new(initial)) }],
            ..Self::default()
        }
    }
}

impl<P: Plant> Core<P> {
    /// A core that goes on from what the disk holds.
    ///
    /// # Errors
    /// [`Rejected`] with the reason, if the configuration is out of range, or what was recovered contradicts itself (entries
    /// that begin behind the snapshot, terms that fall, holes where entries are), or term and vote are older than the log.
    pub fn new(config: Config, recovered: Recovered) -> Result<Self, Rejected> {
        config.validate().map_err(Rejected::Config)?;
        let contradiction = |what: String| Err(Rejected::Contradiction(what));
        let Recovered { hard_state, hard_state_lost, snapshot, prev, entries, damage } = recovered;
        let covered = snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last);
        if prev.index > covered.index {
            return contradiction(format!(
                "the log begins behind {prev}, and the snapshot ends at {covered}"
            ));
        }
        let mut log = Log::new(prev);
        for entry in entries {
            let last = log.last();
            if entry.term < last.term || entry.term == Term(0) || entry.term.0 > COUNT_MAX {
                return contradiction(format!("an entry of term {} stands behind {last}", entry.term));
            }
            log.append(entry);
        }
        let base = snapshot.as_ref().map(|meta| meta.configuration.clone()).unwrap_or_default();
        let mut damage = damage;
        let ends_before = log.last().index < covered.index;
        let readable_behind = |damage: &Damage| damage.behind.iter().any(|(index, _)| *index > covered.index);
        if let Some(damage) = damage.as_mut().filter(|damage| ends_before && readable_behind(damage)) {
            // What the snapshot covers is not missed: the log goes on behind it with what is readable there.
            log = go_on_behind(covered, damage);
        }
        // Whatever stands in the log was written with a hard state of its term or a later one: an older one is not the last
        // that was written. A snapshot of a later term proves nothing, for others made it; but its term is known now.
        let claimed = damage.as_ref().map_or(Term(0), |damage| {
            let behind = damage.behind.iter().map(|(_, entry)| entry.term);
            behind.fold(damage.claimed_end.term, Term::max)
        });
        let seen = log.last().term.max(claimed);
        if seen > hard_state.term && !hard_state_lost {
            return Err(Rejected::HardStateOlder { hard_state: hard_state.term, log: seen });
        }
        let term = hard_state.term.max(seen).max(covered.term);
        let vote = hard_state.vote.filter(|_| term == hard_state.term);
        let mut core = Self {
            hard_lost: hard_state_lost,
            hard: HardState { term, vote },
            role: Role::Follower(Follower::default()),
            configurations: Configurations::new(base),
            membership: MembershipState::Stable,
            broken: damage
                .map(|damage| Broken::new(damage, log.last()))
                .transpose()
                .map_err(Rejected::Contradiction)?,
            commit: covered.index,
            applied: covered.index,
            handed: covered.index,
            handed_bytes: 0,
            durability: Durability::default(),
            transfer: Transfer::Idle,
            boots: BTreeMap::new(),
            now: 0,
            election_clock: 0,
            election_timeout: 0,
            leader_heard: None,
            // Even equal seeds, a likely mistake, differ from node to node and from boot to boot.
            random: config.seed.wrapping_add(spread(config.id.0)).wrapping_add(spread(spread(config.boot.0))),
            round: Round(0),
            stretch: Stretch(0),
            forwarded: Forwarded::default(),
            turn: Output::default(),
            promises: Vec::new(),
            drops: [0; DropCause::ALL.len()],
            roles: Trace::new(),
            plant: PhantomData,
            log,
            snapshot,
            config,
        };
        core.durability.start(core.log.last().index.max(covered.index), hard_state);
        if core.hard != hard_state {
            core.durability.hard_changed();
        }
        if core.log.term_at(covered.index) != Some(covered.term) {
            // A crash between the installation of a snapshot and the reset of the log.
            core.reset_log(covered);
        } else if core.log.prev().index > prev.index {
            core.durability.op(LogOp::Trim { through: core.log.prev().index });
        }
        core.read_configurations();
        core.reset_election_clock();
        Ok(core)
    }

    /// Takes one input. What it wants done is collected until the next [`flush`](Self::flush).
    ///
    /// Returns what names the first entry appended by [`Input::Propose`] or [`Input::ChangeMembership`]; `None` for every
    /// other input. Whether the entry commits is known when it, or another entry at its index, is handed out.
    ///
    /// # Errors
    /// A [`Refusal`] for what the owner asked and the core does not do; then nothing has changed. Messages and reports are
    /// never refused: what is wrong with them is dropped and counted.
    pub fn step(&mut self, input: Input) -> Result<Option<EntryId>, Refusal> {
        let before = cfg!(debug_assertions).then(|| Marks::of(self));
        let outcome = self.dispatch(input);
        if let Some(before) = before {
            invariants::check_step(&before, self);
        }
        outcome
    }

    fn dispatch(&mut self, input: Input) -> Result<Option<EntryId>, Refusal> {
        match input {
            Input::Tick => self.tick(),
            Input::Propose(batch) => return self.propose(batch).map(Some),
            Input::Receive(envelope) => self.receive(envelope),
            Input::Durable(id) => self.became_durable(id),
            Input::Applied(index) => self.was_applied(index),
            Input::Read(ids) => return self.read(ids).map(|()| None),
            Input::Transfer(to) => return self.hand_over(to).map(|()| None),
            Input::ChangeMembership(change) => return self.change_membership(&change).map(Some),
            Input::SnapshotReady { index, bytes } => return self.snapshot_ready(index, bytes).map(|()| None),
            Input::SnapshotRead { to, last, offset, data } => self.snapshot_read(to, last, offset, data),
            Input::SnapshotInstalled { last, done } => self.snapshot_installed(last, done),
            Input::PeerConnected(id) | Input::PeerUnreachable(id) => self.peer_lost(id),
            Input::PeerRefused(id) => self.peer_refused(id),
        }
        Ok(None)
    }

    /// Ends the turn: fills `output`, which is cleared first, with all that is to be done.
    pub fn flush(&mut self, output: &mut Output) {
        self.flush_ack();
        self.flush_leader();
        self.flush_forwarded();
        self.flush_persist();
        self.flush_promises();
        self.flush_apply();
        output.clear();
        std::mem::swap(output, &mut self.turn);
    }

    /// Committed entries that fit the window, in order. None while a snapshot is being installed: the owner is about to put
    /// another state in the place of what they would be applied to.
    fn flush_apply(&mut self) {
        let installing = matches!(self.transfer, Transfer::Installing(_));
        while self.handed < self.commit && !installing {
            let index = self.handed.next();
            let Some(entry) = self.log.entry(index) else { break };
            let bytes = entry.bytes();
            if self.handed_bytes > 0 && self.handed_bytes + bytes > self.config.apply_bytes_max {
                break;
            }
            let id = EntryId { term: entry.term, index };
            self.turn.apply.push(crate::Committed { id, payload: entry.payload.clone() });
            self.handed = index;
            self.handed_bytes += bytes;
        }
    }

    fn was_applied(&mut self, index: Index) {
        while self.applied < index.min(self.handed) {
            self.applied = self.applied.next();
            self.handed_bytes -= self.log.entry(self.applied).map_or(0, Entry::bytes);
        }
    }

    /// The choke point of machine 02: looks the edge up and notes it. Whoever calls it puts the role in place.
    fn role_edge(&mut self, event: RoleEvent) -> Option<RoleEdge> {
        let from = self.role.state();
        let edge = decide::<RoleMachine>(from, event)?;
        self.roles.record(self.now, from, event, edge);
        self.turn.events.push(Event::Role(edge, self.hard.term));
        Some(edge)
    }

    /// The choke point of machine 04.
    fn membership_fact(&mut self, event: MembershipEvent) {
        if let Some(edge) = decide::<MembershipMachine>(self.membership, event) {
            self.membership = <MembershipMachine as holdfast_machine::Machine>::target(edge);
            self.turn.events.push(Event::Membership(edge, self.configurations.acting().0));
        }
    }

    /// The choke point of machine 05: the fact, and the data of the state that it leads to.
    fn transfer_fact(&mut self, event: TransferEvent, to: Transfer) {
        if let Some(edge) = decide::<TransferMachine>(self.transfer.state(), event) {
            let ends_at = self.transfer_end(&to);
            assert_eq!(to.state(), <TransferMachine as holdfast_machine::Machine>::target(edge), "{edge:?}");
            self.transfer = to;
            self.turn.events.push(Event::Transfer(edge, ends_at));
        }
    }

    /// The end of the snapshot that a step of machine 05 is about.
    fn transfer_end(&self, to: &Transfer) -> Index {
        let of = |transfer: &Transfer| match transfer {
            Transfer::Idle => None,
            Transfer::Receiving(receiving) => Some(receiving.meta.last.index),
            Transfer::Installing(meta) => Some(meta.last.index),
        };
        of(to).or(of(&self.transfer)).unwrap_or_default()
    }

    /// Reads the configurations of the log anew, and puts machine 04 where they say.
    fn read_configurations(&mut self) {
        let (base, _) = *self.configurations.acting();
        let later: Vec<(Index, Arc<Configuration>)> = self
            .log
            .iter_from(base.next())
            .filter_map(|(index, entry)| match &entry.payload {
                Payload::Configuration(configuration) => Some((index, configuration.clone())),
                Payload::Empty | Payload::Data(_) => None,
            })
            .collect();
        for (index, configuration) in later {
            self.configurations.append(index, configuration);
        }
        self.membership_fact(self.configurations.found(self.commit));
    }

    fn envelope(&self, to: NodeId, message: Message) -> Envelope {
        Envelope {
            cluster: self.config.cluster,
            epoch: self.config.epoch,
            from: self.config.id,
            from_boot: self.config.boot,
            to,
            to_boot: self.boots.get(&to).copied(),
            term: self.hard.term,
            message,
        }
    }

    /// Sends what promises nothing.
    fn send(&mut self, to: NodeId, message: Message) {
        let envelope = self.envelope(to, message);
        self.turn.send_now.push(envelope);
    }

    /// Sends what promises something: once all that is in memory now is durable.
    fn promise(&mut self, to: NodeId, message: Message) {
        let envelope = self.envelope(to, message);
        self.promises.push(envelope);
    }

    fn drop_message(&mut self, cause: DropCause) {
        self.drops[cause.position()] += 1;
    }

    fn alarm(&mut self, alarm: Alarm, about: NodeId) {
        self.drop_message(DropCause::Impossible);
        self.turn.events.push(Event::Alarm(alarm, about));
    }

    fn next_stretch(&mut self) -> Stretch {
        self.stretch = self.stretch.next();
        self.stretch
    }

    /// The next number of a small generator: spreads election timeouts, and nothing else.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(1);
        spread(self.random)
    }
}

/// The log behind a snapshot, as far as it is readable there; what is damaged before the snapshot's end is not any more.
fn go_on_behind(covered: EntryId, damage: &mut Damage) -> Log {
    let mut log = Log::new(covered);
    damage.holes.retain(|hole| hole.last > covered.index);
    if let Some(hole) = damage.holes.first_mut() {
        hole.first = hole.first.max(covered.index.next());
    }
    let mut behind: BTreeMap<Index, Entry> = std::mem::take(&mut damage.behind).into_iter().collect();
    behind.retain(|index, _| *index > covered.index);
    let hole = damage.holes.first().map(|hole| hole.first);
    while let Some(entry) = behind.remove(&log.last().index.next()) {
        if hole == Some(log.last().index.next()) || entry.term < log.last().term {
            behind.insert(log.last().index.next(), entry);
            break;
        }
        log.append(entry);
    }
    damage.behind = behind.into_iter().collect();
    log
}

/// One step of splitmix64: neighbouring numbers in, unrelated numbers out.
fn spread(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What can be seen from outside.
impl<P: Plant> Core<P> {
    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard.term
    }

    /// Whom it voted for in its term.
    #[must_use]
    pub fn vote(&self) -> Option<NodeId> {
        self.hard.vote
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> RoleState {
        self.role.state()
    }

    /// The leader of its term, if it knows one; itself, if it is one.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.config.id),
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// How far it knows the log to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// How far its owner has reported to have applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The end of its log, up to the first hole.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.log.last()
    }

    /// What stands before the first entry that it holds.
    #[must_use]
    pub fn prev(&self) -> EntryId {
        self.log.prev()
    }

    /// Up to here, what the log holds now is durable.
    #[must_use]
    pub fn durable(&self) -> Index {
        self.durability.index()
    }

    /// An entry that it holds.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.entry(index)
    }

    /// The term at an index: of an entry that it holds, or of what stands before the first.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term_at(index)
    }

    /// The configuration that acts, and the index of its entry.
    #[must_use]
    pub fn configuration(&self) -> &(Index, Arc<Configuration>) {
        self.configurations.acting()
    }

    /// How far the change that led to it has come.
    #[must_use]
    pub fn membership(&self) -> MembershipState {
        self.membership
    }

    /// The newest snapshot that is durable here.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// How far a snapshot has come that is being received.
    #[must_use]
    pub fn transfer(&self) -> crate::TransferState {
        self.transfer.state()
    }

    /// Whether it leads and has committed an entry of its own term: only then does it know how far the log is committed.
    #[must_use]
    pub fn established(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.first <= self.commit,
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    /// What it knows of a peer's log; only while it leads, and only of those that it replicates to.
    #[must_use]
    pub fn progress(&self, peer: NodeId) -> Option<&Progress> {
        match &self.role {
            Role::Leader(leader) => leader.peers.get(&peer),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// Whether its log has holes, or may have lost its end.
    #[must_use]
    pub fn damaged(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether its term and vote are lost: it takes part in no quorum, for ever.
    #[must_use]
    pub fn hard_state_lost(&self) -> bool {
        self.hard_lost
    }

    /// How often messages were dropped for this cause.
    #[must_use]
    pub fn drops(&self, cause: DropCause) -> u64 {
        self.drops[cause.position()]
    }

    /// The last edges of machine 02, and how often each was taken.
    #[must_use]
    pub fn roles(&self) -> &Trace<RoleMachine, TRACED> {
        &self.roles
    }
}
