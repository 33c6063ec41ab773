//! One node of a cluster, without threads, sockets, files or clocks.
//!
//! # Why
//! The node is where consensus, store and clients meet, and where most of the mistakes of such systems live: a reply
//! before the sync, a read before the own-term entry, a retry that is executed twice. As a plain struct that is told what
//! happened and says what it wants done, it runs in a simulator exactly as it runs in a process.
//!
//! # Shape
//! ```text
//!   Tick, Peer, Durable,        ┌──────────────┐     send      to peers: now
//!   Submit, Keep, Read,         │ Node::handle │     persist   to the disk, in order
//!   Watch, Executed, Audit, ──► │ Node::flush  │ ──► replies   to clients
//!   Disk, Stop                  │ Node::apply  │     watched() to those who watch, as they have room
//!                               └──────────────┘     jobs      to other threads: `jobs`, `snapshots`, `audit`
//!     inside: core (raft) ── committed ──► store     events    to the log
//! ```
//! The span between two flushes is a *turn*; its second half, `apply`, comes when messages and writes are on their way. A turn
//! proposes all that clients sent as one batch, writes to the disk once
//! and sends one append to each peer. What has to wait for the disk waits in here.
//!
//! | file | what stands there |
//! |---|---|
//! | `io` | inputs, effects, jobs |
//! | `writes` | admission, stamping, proposing, answering; machine 01 |
//! | `reads` | linearizable, follower and stale reads |
//! | `queries` | leases, queues, history; waiting for news of a queue |
//! | `apply` | committed entries into the store |
//! | `leadership` | machine 15 |
//! | `snapshots` | when a snapshot is taken, and what the core wants done with those of others |
//! | `audit` | what applied commands leave, on its way to the files of the audit log |
//! | `digests` | whether all members have made the same of the same entries |
//! | `members` | changes of members, handing leadership over |
//! | `watches` | those who watch: opening, publishing, ending; `crate::watch` is what does it |
//! | `chores` | what a leader does by itself: clock entries, compaction, feature level |
//! | `limits` | every bound |
//! | `plant` | rules that are left out to test the tests |
//!
//! # Invariants
//! - No write is answered as executed before it was applied, and none is applied before it was committed.
//! - While this node does not lead, no call that depends on leading waits here.
//! - Memory: everything that waits is counted against a bound in `limits`, and refused beyond it.
//! - The same inputs give the same effects.

pub mod io;
pub mod leadership;
pub mod limits;
pub mod path;
pub mod plant;

mod apply;
mod audit;
mod chores;
mod digests;
mod members;
mod queries;
mod reads;
mod saves;
mod slow;
mod snapshots;
mod traces;
mod watches;
mod writes;

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;
use holdfast_command::{Code, Refusal};
use holdfast_hlc::Clock;
use holdfast_machine::{Machine, Numbered, Trace, decide};
use holdfast_raft::{
    Committed, Core, Envelope, Held, Input as CoreInput, Message as Raft, NodeId, Output, RoleState,
    TransferState,
};
use holdfast_store::{LogPosition, Store, Touched};
use holdfast_wire::message::{LeaderHint, Position, Refused};
use holdfast_wire::{ClusterEpoch, Message, NodeId as WireNodeId};

use audit::Audit;
pub use audit::{AuditDone, AuditJob, RefusedWrite};
use digests::Digests;
pub use io::{Caller, Effects, Executed, Input, Job, JobDone, NodeEvent, Now, Submission};
use leadership::{Edge, Event, LeadershipMachine, State};
use members::Members;
use plant::{AsDesigned, Bug, Plant};
use reads::Reads;
use slow::SlowRequests;
pub use slow::{Slow, SlowCall};
use snapshots::Snapshots;
pub use snapshots::{NoPiece, Piece, SnapshotDone, SnapshotJob, SnapshotPolicy};
use traces::Traces;
use writes::Writes;

use crate::stage::Stages;
use crate::watch::{self, Hub};

/// Steps of machine 15 that are remembered for a post-mortem.
const TRACED: usize = 16;

/// What a node counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns.
    pub turns: u64,
    /// Requests proposed.
    pub proposed: u64,
    /// Entries applied.
    pub applied: u64,
    /// Reads served.
    pub reads: u64,
    /// Calls refused.
    pub refused: u64,
    /// Terms led.
    pub terms_led: u64,
    /// Snapshots taken of the own state, and in place.
    pub snapshots_taken: u64,
    /// Snapshots of a leader that have replaced the state.
    pub snapshots_installed: u64,
}

/// What a peer told about itself.
#[derive(Clone, Debug, Default)]
struct Peer {
    level: u16,
    client: ByteString,
    http: ByteString,
}

/// One node. See the module documentation.
#[derive(Debug)]
pub struct Node<P: Plant = AsDesigned> {
    core: Core<P::Raft>,
    store: Store<P::Store>,
    /// An entry is being applied elsewhere: `store` is the state before it.
    away: bool,
    /// Committed, and not applied yet.
    committed: VecDeque<Committed>,
    halted: Option<String>,
    /// It is halted because it is no member any more.
    is_removed: bool,
    leadership: State,
    /// The term that `leadership` is about.
    led: u64,
    leaderships: Trace<LeadershipMachine, TRACED>,
    /// Messages that wait for the disk.
    held: VecDeque<Held>,
    writes: Writes,
    reads: Reads,
    members: Members,
    digests: Digests,
    snapshots: Snapshots<P::Store>,
    audit: Audit,
    /// Queues that entries have touched since somebody looked.
    touched: Vec<Touched>,
    watches: Hub<P::Watch>,
    /// Ticks since a leader was known.
    leaderless: u64,
    stamps: Clock,
    /// It was said that clocks differ, and not yet that they do no more.
    drifts: bool,
    peers: BTreeMap<NodeId, Peer>,
    /// Where clients reach this node.
    client_address: ByteString,
    disk_full: Option<(u64, u64)>,
    stopping: bool,
    ticks: u64,
    now: Now,
    output: Output,
    replies: Vec<(Caller, Message)>,
    sends: Vec<Envelope>,
    jobs: Vec<Job<P>>,
    events: Vec<NodeEvent>,
    slow: SlowRequests,
    traces: Traces,
    stages: Stages,
    counts: Counts,
}

impl<P: Plant> Node<P> {
    /// A node around a core that was just made, and the state that its snapshot stands for: an empty store if it has none.
    #[must_use]
    pub fn new(core: Core<P::Raft>, store: Store<P::Store>, client_address: ByteString, now: Now) -> Self {
        let stamps = Clock::starting_at(store.stamp(), limits::DRIFT_MS);
        let watches = Hub::new(watch::Budget::default(), store.revision());
        let audit = Audit::behind(store.applied().index);
        Self {
            core,
            store,
            away: false,
            committed: VecDeque::new(),
            halted: None,
            is_removed: false,
            leadership: LeadershipMachine::INITIAL,
            led: 0,
            leaderships: Trace::new(),
            held: VecDeque::new(),
            writes: Writes::new(now),
            reads: Reads::default(),
            members: Members::default(),
            digests: Digests::default(),
            snapshots: Snapshots::default(),
            audit,
            touched: Vec::new(),
            watches,
            leaderless: 0,
            stamps,
            drifts: false,
            peers: BTreeMap::new(),
            client_address,
            disk_full: None,
            stopping: false,
            ticks: 0,
            now,
            output: Output::default(),
            replies: Vec::new(),
            sends: Vec::new(),
            jobs: Vec::new(),
            events: Vec::new(),
            slow: SlowRequests::default(),
            traces: Traces::default(),
            stages: Stages::new(),
            counts: Counts::default(),
        }
    }

    /// Takes one input. What it wants done is collected until the next [`flush`](Self::flush).
    pub fn handle(&mut self, now: Now, input: Input<P::Store>) {
        self.now = now;
        match input {
            Input::Tick => self.tick(),
            Input::Peer(envelope) => self.hear(envelope),
            Input::PeerConnected(id) => self.tell(CoreInput::PeerConnected(id)),
            Input::PeerUnreachable(id) => self.tell(CoreInput::PeerUnreachable(id)),
            Input::PeerRefused(id) => self.tell(CoreInput::PeerRefused(id)),
            Input::Removed { by } => self.removed(&format!("as node {by} says")),
            Input::Introduced { from, level, client, http } => {
                self.peers.insert(from, Peer { level, client, http });
            }
            Input::Durable(id) => {
                while let Some(held) = self.held.pop_front_if(|held| held.after <= id) {
                    self.sends.push(held.envelope);
                }
                self.tell(CoreInput::Durable(id));
                self.own_disk_done(id);
            }
            Input::Submit(submission) => self.submit(submission),
            Input::Keep { caller, actor, session, timeout_ms } => {
                self.keep(caller, (session, actor), timeout_ms);
            }
            Input::Read { caller, read } => self.read(caller, &read),
            Input::Query { caller, query } => self.query(caller, &query),
            Input::KeepLease { caller, actor, lease, timeout_ms } => {
                self.keep_lease(caller, (lease, actor), timeout_ms);
            }
            Input::ChangeMembers { caller, change } => self.change_members(caller, &change),
            Input::SaveSnapshot { caller, save } => self.save_snapshot(caller, &save),
            Input::Watch { caller, watch } => self.watch(caller, watch),
            Input::AskProgress(caller) => self.watches.ask(caller),
            Input::Unwatch(caller) => self.watches.cancel(caller, &self.store),
            Input::Gone(connection) => {
                self.watches.close(connection);
                self.forget_parked(connection);
                self.forget_saves(connection);
            }
            Input::Executed(executed) => self.executed(executed),
            Input::Spliced(spliced) => self.watches.spliced(spliced),
            Input::Snapshot(done) => self.snapshot_done(done),
            Input::LogRead { to, first, entries } => self.tell(CoreInput::LogRead { to, first, entries }),
            Input::Audit(done) => self.audit_done(done),
            Input::Digests { from, ranges } => self.hear_digests(from, ranges),
            Input::Disk(full) => self.disk_full = full,
            Input::Stop => self.stop(),
        }
    }

    /// Ends the first half of a turn: proposes what clients sent, and adds to `effects` what goes to peers and to the disk.
    /// All of that should be on its way before [`apply`](Self::apply), which takes longer and hurries nobody else.
    pub fn flush(&mut self, now: Now, effects: &mut Effects<P>) {
        self.now = now;
        self.counts.turns += 1;
        self.reads.begin_turn();
        self.traces.begin_turn();
        self.propose();
        self.ask_for_reads();
        let mut output = std::mem::take(&mut self.output);
        self.core.flush(&mut output);
        for event in output.events.drain(..) {
            self.events.push(NodeEvent::Raft(event));
        }
        // Before anything else is done as a follower.
        self.follow_the_core();
        if let Some(persist) = output.persist.take() {
            self.writes.handed_over(&persist);
            let id = persist.id;
            effects.persist.push(persist);
            if P::plants(Bug::DurableWhenGiven) {
                self.tell(CoreInput::Durable(id));
            }
        }
        effects.send.append(&mut output.send_now);
        effects.digests.append(&mut self.digests.told);
        effects.send.append(&mut self.sends);
        if P::plants(Bug::HeldSentAtOnce) {
            effects.send.extend(output.send_after_persist.drain(..).map(|held| held.envelope));
        }
        self.held.extend(output.send_after_persist.drain(..));
        for (id, why) in output.reads_refused.drain(..) {
            self.read_refused(id, why);
        }
        for ready in output.reads_ready.drain(..) {
            self.read_confirmed(ready);
        }
        self.committed.extend(output.apply.drain(..));
        for work in output.snapshots.drain(..) {
            self.snapshot_work(work);
        }
        effects.log_reads.append(&mut output.log_reads);
        self.output = output;
        self.quorum_done();
        self.settle_members();
        self.stop_if_removed();
    }

    /// Ends the second half of a turn: applies what is committed, and adds to `effects` what goes to clients.
    pub fn apply(&mut self, now: Now, effects: &mut Effects<P>) {
        self.now = now;
        self.apply_committed();
        self.advance_watches();
        self.follow_the_core();
        self.snapshot_if_due();
        self.hand_over_audit();
        effects.more |= self.has_more();
        effects.replies.append(&mut self.replies);
        effects.jobs.append(&mut self.jobs);
        effects.snapshots.append(&mut self.snapshots.jobs);
        effects.audit.append(&mut self.audit.jobs);
        effects.events.append(&mut self.events);
        effects.slow.0.append(&mut self.slow.noted);
        effects.slow.1 += std::mem::take(&mut self.slow.more);
    }

    /// Whether something is left to do that needs no further input.
    fn has_more(&self) -> bool {
        // While a snapshot is being installed, the core hands nothing out.
        let installing = self.core.transfer() == TransferState::Installing;
        let behind =
            self.store.applied().index < self.core.commit().0 && !(installing && self.committed.is_empty());
        let asked = self.leadership == State::Established && !self.writes.inbox_is_empty();
        self.halted.is_none()
            && ((behind && !self.away && !self.audit.is_full())
                || asked
                || self.reads.can_serve(self.store.applied().index)
                || self.watches.has_more())
    }

    /// Tells the core something that it never refuses.
    fn tell(&mut self, input: CoreInput) {
        let told = self.core.step(input);
        debug_assert!(told.is_ok(), "reports and messages are not refused: {told:?}");
    }

    fn hear(&mut self, envelope: Envelope) {
        let report = match &envelope.message {
            Raft::Append { commit, established: true, .. }
            | Raft::Heartbeat { commit, established: true, .. } => {
                Some((envelope.from, envelope.term, *commit))
            }
            Raft::Append { .. }
            | Raft::Heartbeat { .. }
            | Raft::PreVote { .. }
            | Raft::PreVoteReply { .. }
            | Raft::Vote { .. }
            | Raft::VoteReply { .. }
            | Raft::AppendAck { .. }
            | Raft::AppendReject { .. }
            | Raft::HeartbeatAck { .. }
            | Raft::ReadIndex { .. }
            | Raft::ReadIndexReply { .. }
            | Raft::TimeoutNow { .. }
            | Raft::SnapshotChunk { .. }
            | Raft::SnapshotAck { .. }
            | Raft::SnapshotReject { .. }
            | Raft::Notice => None,
        };
        let acked = matches!(envelope.message, Raft::AppendAck { .. }).then_some(envelope.from);
        self.tell(CoreInput::Receive(envelope));
        if let Some((from, peer)) = acked.and_then(|from| Some((from, self.core.progress(from)?))) {
            self.traces.acked(from, peer.matched.0, self.now.micros);
        }
        if let Some((from, term, commit)) = report
            && self.core.leader() == Some(from)
            && self.core.term() == term
        {
            let applied = self.store.applied().index;
            self.reads.leader_reported(term.0, commit.0, applied);
            if P::plants(Bug::FreshFromHeartbeat) {
                self.reads.confirmed(commit.0, self.now.micros, applied);
            }
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.tell(CoreInput::Tick);
        self.tick_watches();
        self.tick_audit();
        if self.ticks.is_multiple_of(limits::TIMEOUT_TICKS) {
            if !P::plants(Bug::TimeoutsNotKept) {
                self.give_up_late_writes();
                self.give_up_late_reads();
            }
            self.reads.probe(self.ticks.is_multiple_of(limits::PROBE_TICKS));
        }
        self.expire_leases();
        self.tell_digests();
        if self.ticks.is_multiple_of(limits::CHORE_TICKS) {
            self.compare_clocks();
            self.chores();
        }
    }

    /// Brings machine 15 up to what the core is.
    fn follow_the_core(&mut self) {
        let term = self.core.term().0;
        let leads = self.core.role() == RoleState::Leader;
        if self.leadership != State::Revoked && !(leads && term == self.led) {
            self.shift(Event::Deposed);
            self.revoke();
            self.shift(Event::Settled);
        }
        if leads && self.leadership == State::Revoked {
            self.led = term;
            self.counts.terms_led += 1;
            self.shift(Event::Elected);
        }
        if leads && self.store.applied().term == term && self.leadership == State::Establishing {
            self.shift(Event::OwnTermApplied);
            self.establish();
        }
    }

    /// The only place where `leadership` changes.
    fn shift(&mut self, event: Event) {
        let Some(edge) = decide::<LeadershipMachine>(self.leadership, event) else { return };
        self.leaderships.record(self.ticks, self.leadership, event, edge);
        self.leadership = LeadershipMachine::target(edge);
        self.events.push(NodeEvent::Leadership(edge, self.led));
    }

    /// What begins with an established leadership: the clocks go on from what was applied.
    fn establish(&mut self) {
        debug_assert!(self.leaderships.count(Edge::Establish) > 0);
        let from_wall = P::plants(Bug::ClockFromWall);
        let clock = if from_wall { self.now.wall.get() } else { self.store.clock() };
        self.writes.start_clock(clock, self.now.micros);
        self.compare_clocks();
    }

    /// Says when stamps that were applied get ahead of this node's time of day, and when that is over. Every member looks, because
    /// it is the leader's stamps that are ahead, and a leader whose clock is wrong finds nothing wrong with them.
    fn compare_clocks(&mut self) {
        let drift = self.stamps.merge(self.store.stamp(), self.now.wall);
        match (drift, std::mem::replace(&mut self.drifts, drift.is_some())) {
            (Some(drift), false) => self.events.push(NodeEvent::Drift(drift.to_string())),
            (None, true) => self.events.push(NodeEvent::DriftOver),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Admits nothing more, and hands leadership to the voter that has most of the log.
    fn stop(&mut self) {
        self.stopping = true;
        // With what is so: they ask the next one.
        self.tell_all();
        self.watches.end_all(Refusal::Stopping, &self.store);
        let (_, configuration) = self.core.configuration();
        let others = configuration.voters().iter().filter(|id| **id != self.core.id());
        let best = others.max_by_key(|id| self.core.progress(**id).map(|progress| progress.matched));
        if let Some(best) = best.copied()
            && self.core.role() == RoleState::Leader
        {
            // Refused if there is nobody to hand it to; then the others find out by themselves.
            let _ = self.core.step(CoreInput::Transfer(best));
        }
    }

    /// An answer that says why not, with what the code says of the effect.
    fn refuse(&mut self, caller: Caller, refusal: Refusal) {
        let unknown = matches!(refusal.code(), Code::LeadershipLost | Code::TimedOut);
        self.answer_refused(caller, refusal, if unknown { Refused::UNKNOWN } else { Refused::NOT_APPLIED });
    }

    /// An answer that says why not, to a call of which nothing was done and never will be.
    fn refuse_untouched(&mut self, caller: Caller, refusal: Refusal) {
        self.answer_refused(caller, refusal, Refused::NOT_APPLIED);
    }

    fn answer_refused(&mut self, caller: Caller, refusal: Refusal, effect: u8) {
        self.counts.refused += 1;
        let message = self.refusal(refusal, effect);
        self.replies.push((caller, message));
    }

    fn refusal(&self, refusal: Refusal, effect: u8) -> Message {
        let code = refusal.code();
        let [first, second] = refusal.particulars();
        let retry_after_ms = if matches!(code, Code::NotLeader | Code::NoLeader | Code::LeadershipLost) {
            limits::LEADER_AFTER_MS
        } else if code.is_retryable() {
            limits::RETRY_AFTER_MS
        } else {
            0
        };
        let redirect =
            matches!(code, Code::NotLeader | Code::NoLeader | Code::LeadershipLost | Code::Stopping);
        Refused {
            code: code.number(),
            effect,
            retry_after_ms,
            first,
            second,
            leader: if redirect { self.leader_hint() } else { None },
            detail: ByteString::new(),
        }
        .into()
    }

    /// Why this node takes no writes, if it takes none.
    fn not_serving(&self) -> Option<Refusal> {
        self.digests.doubts().or_else(|| self.not_leading())
    }

    /// Why this node carries out no changes of members, if it does not.
    fn not_leading(&self) -> Option<Refusal> {
        match self.leadership {
            State::Established | State::Establishing if self.stopping => Some(Refusal::Stopping),
            State::Established | State::Establishing => None,
            State::Revoked | State::Revoking if self.core.leader().is_some() => Some(Refusal::NotLeader),
            State::Revoked | State::Revoking => Some(Refusal::NoLeader),
        }
    }

    /// Where clients reach a member, as far as it has said so.
    #[must_use]
    pub fn client_address(&self, id: NodeId) -> ByteString {
        if id == self.core.id() {
            return self.client_address.clone();
        }
        self.peers.get(&id).map(|peer| peer.client.clone()).unwrap_or_default()
    }

    /// Where another member serves HTTP, as far as it has said so; empty for this node.
    #[must_use]
    pub fn http_address(&self, id: NodeId) -> ByteString {
        self.peers.get(&id).map(|peer| peer.http.clone()).unwrap_or_default()
    }

    /// Where writes go, if this node knows; also for the greeting of a client.
    #[must_use]
    pub fn leader_hint(&self) -> Option<LeaderHint> {
        let leader = self.core.leader()?;
        let address = self.client_address(leader);
        (!address.is_empty()).then_some(LeaderHint { node_id: WireNodeId::new(leader.0)?, address })
    }

    fn position(&self, at: LogPosition) -> Position {
        let epoch = ClusterEpoch::new(self.core.config().epoch.0).unwrap_or(ClusterEpoch::FIRST);
        Position { epoch, group: 0, term: at.term, index: at.index }
    }

    /// Whether it serves: it knows a leader whose own-term entry is committed, and has applied up to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why it does not serve, in words; `None` if it does.
    #[must_use]
    pub fn unready(&self) -> Option<&'static str> {
        if self.audit.is_full() {
            return Some("the audit log cannot be written, and holds up everything that is to be applied");
        }
        match self.leadership {
            State::Established => None,
            State::Establishing => Some("it was elected, and has not committed an entry of its own term yet"),
            State::Revoking => Some("it leads no more, and has not told all who wait"),
            State::Revoked if self.core.leader().is_none() => Some("it knows no leader"),
            State::Revoked if !self.reads.has_followed(self.core.term().0) => {
                Some("it has not applied what its leader had committed")
            }
            State::Revoked => None,
        }
    }

    /// The core, for whoever looks.
    #[must_use]
    pub fn core(&self) -> &Core<P::Raft> {
        &self.core
    }

    /// The state up to what was applied, for whoever looks.
    #[must_use]
    pub fn store(&self) -> &Store<P::Store> {
        &self.store
    }

    /// Where machine 15 is.
    #[must_use]
    pub fn leadership(&self) -> State {
        self.leadership
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How long the stages took.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The same, for what the owner measures: stages 1 and 9, and turns.
    pub fn stages_mut(&mut self) -> &mut Stages {
        &mut self.stages
    }

    /// Calls that are not answered yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writes.waiting() + self.reads.waiting() + self.audit.waiting() + self.members.waiting()
    }

    /// Those of them that depend on leading: none while machine 15 is in Revoked.
    #[must_use]
    pub fn waiting_writes(&self) -> usize {
        self.writes.waiting()
    }

    /// Why it went no further; `None` while it does.
    #[must_use]
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Whether that is because it is no member any more, and nothing is wrong with it.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.is_removed
    }
}
