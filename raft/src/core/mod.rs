//! The core itself: what it holds, what it is told, and what it wants done.
//!
//! [`Core::step`] takes one input and changes the state; [`Core::flush`] collects what all steps since the last flush want
//! done. The span between two flushes is a *turn*: however many inputs it has, it writes to the disk once and sends one
//! append to each peer.
//!
//! | file | what stands there |
//! |---|---|
//! | `start` | how a core goes on from what the disk holds |
//! | `guard` | which messages are looked at, and what a term in one does |
//! | `election` | clocks, votes, becoming and ceasing to be a leader |
//! | `follower` | appends and heartbeats as they come in |
//! | `leader` | what only a leader knows: its peers, its clocks, its quorum |
//! | `replicate` | appends as they go out, acknowledgements, commit |
//! | `durability` | what is on its way to the disk, and what may be said before it is there |
//! | `reads` | confirmed reads at leaders and followers |
//! | `change` | changes of members, and handing the office over |
//! | `snapshots` | taking, sending, receiving and installing them |
//! | `damage` | holes in the log, and when the node may vote again |
//! | `view`, `describe` | what can be seen from outside, by programs and by people |
//! | `canonical` | when two states are the same |

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
mod replicate;
mod snapshots;
mod start;
mod view;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use holdfast_machine::{Numbered, Trace, decide};

pub use canonical::{Canon, Namespace, canonical_hash};
use damage::Broken;
use durability::Durability;
use reads::Forwarded;
pub use start::Rejected;

use crate::invariants::{self, Marks};
use crate::log::Log;
use crate::membership::{Configurations, MembershipEvent, MembershipMachine, MembershipState};
use crate::role::{Role, RoleEdge, RoleEvent, RoleMachine};
use crate::transfer::{Transfer, TransferEvent, TransferMachine};
use crate::{
    Alarm, Boot, Config, DropCause, Entry, EntryId, Envelope, Event, HardState, Index, Input, Message,
    NoPlant, NodeId, Output, Plant, Refusal, Round, SnapshotMeta, Stretch,
};

/// Edges of a machine that are remembered for a post-mortem.
const TRACED: usize = 32;

/// The consensus of one node. Pure: the same inputs lead to the same outputs, always.
#[derive(Clone, Debug)]
pub struct Core<P: Plant = NoPlant> {
    config: Config,
    hard: HardState,
    /// Term and vote may be older than what was promised: see [`hard_state_lost`](crate::Recovered::hard_state_lost).
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
    /// An entry that the disk did not give back to a peer that needs it.
    unreadable: Option<Index>,
    transfer: Transfer,
    /// The newest boot heard of each peer.
    boots: BTreeMap<NodeId, Boot>,
    /// Ticks since the start.
    now: u64,
    /// Ticks since a leader was heard, a vote granted, or an attempt begun.
    election_clock: u32,
    /// What the election clock has to come to.
    election_timeout: u32,
    /// Attempts that are still to follow soon, as the leader is known to be dead, or none is known.
    hurried: u32,
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

impl<P: Plant> Core<P> {
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
            Input::LogRead { to, first, entries } => self.log_read(to, first, entries),
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
        self.evict();
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

    /// Lets go of entries that the disk holds and the state machine has, but for the newest. None while the log is damaged:
    /// what the disk holds of it is in question.
    fn evict(&mut self) {
        let through = self.applied.min(self.durability.index());
        if self.broken.is_none() {
            self.log.evict(through, self.config.resident_bytes);
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

/// One step of splitmix64: neighbouring numbers in, unrelated numbers out.
fn spread(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
