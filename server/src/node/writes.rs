//! Writes: admitted, stamped, proposed as one batch a turn, and answered when they were applied.
//!
//! The order of things that must not be mixed up: an entry is fixed when it is proposed; it is answered when it was applied,
//! and it is applied when it was committed. A leader that is deposed answers everything that it proposed as unknown: the
//! next leader decides.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use holdfast_command::envelope::CLOCK_STEP_MAX_MS;
use holdfast_command::leases::{ExpireLease, RENEWED_MAX, RenewLeases, Renewed};
use holdfast_command::sessions::{KeepSessions, Kept};
use holdfast_command::{
    Actor, Arena, Command, CommandNumber, Envelope, Outcome, Refusal, Reply, Request, RequestKey, SessionId,
};
use holdfast_machine::{Machine, Numbered, Trace, decide};
use holdfast_raft::{
    ENTRY_OVERHEAD_BYTES, Index, Input as CoreInput, Payload, Persist, PersistId, Refusal as R,
};
use holdfast_store::{Applied, LogPosition};
use holdfast_wire::Message;
use holdfast_wire::message::{LeaseKept, SessionKept, Submitted, TracedBatch};

use super::io::{Caller, Now, Submission};
use super::leadership::State as Leadership;
use super::path::{Event, PathMachine, State};
use super::plant::{Bug, Plant};
use super::traces::UNFOLLOWED;
use super::{Node, limits};
use crate::stage::Stage;

/// Milliseconds of cluster time between two entries while something lives by it: half of what an entry may advance it.
const CLOCK_ENTRY_MS: u64 = 1_000;

/// A moment that never comes.
const NEVER: u64 = u64::MAX;

/// Who waits for an entry.
#[derive(Debug)]
enum Waiter {
    /// A client.
    Client(Caller),
    /// The clients whose sessions it renews.
    Renewals(Vec<(Caller, SessionId)>),
    /// The clients whose leases it renews.
    LeaseRenewals(Vec<(Caller, i64)>),
    /// Nobody, but this lease is not to be proposed to end once more meanwhile.
    Expiry(i64),
    /// Nobody, or nobody any more.
    Nobody,
}

impl Waiter {
    fn calls(&self) -> usize {
        match self {
            Self::Client(_) => 1,
            Self::Renewals(callers) => callers.len(),
            Self::LeaseRenewals(callers) => callers.len(),
            Self::Expiry(_) | Self::Nobody => 0,
        }
    }
}

/// An entry that was proposed and not applied.
#[derive(Debug)]
struct Proposed {
    index: u64,
    /// What it counts in the log.
    bytes: usize,
    /// How many calls it is to answer.
    calls: usize,
    waiter: Waiter,
    /// When it came; [`NEVER`] if nobody asks how long it takes.
    came: u64,
    /// When its client stops waiting.
    until: u64,
}

impl Proposed {
    /// The client that waits, if it is one, when it came and for which entry.
    fn client(&self) -> Option<(Caller, (u64, u64))> {
        let Waiter::Client(caller) = &self.waiter else { return None };
        Some((*caller, (self.came, self.index)))
    }
}

/// A write that was not looked at yet.
#[derive(Debug)]
struct Arrived(Submission);

impl Arrived {
    /// When its client stops waiting.
    fn until(&self) -> u64 {
        until(self.0.at, self.0.timeout_ms)
    }
}

/// The writes of one turn, in machine 01.
#[derive(Debug)]
pub(super) struct Batch {
    state: State,
    last: u64,
    count: u64,
    pub(super) appended_at: u64,
    /// When the own disk held it; 0 before.
    pub(super) synced_at: u64,
    /// When it was known to be committed; 0 before.
    pub(super) committed_at: u64,
    /// Microseconds of stage 3, and of stage 4.
    pub(super) proposing: u64,
    pub(super) appending: u64,
    /// Its name among those that are followed.
    trace: u64,
}

/// A batch on its way to the own disk.
#[derive(Debug)]
struct Syncing {
    /// Its last index.
    last: u64,
    count: u64,
    appended_at: u64,
    /// Its name among those that are followed.
    trace: u64,
    /// The persist that holds it; `None` before the core has said so.
    persist: Option<PersistId>,
}

/// The cluster clock of a leader: goes on from that of the log by the leader's own monotonic time.
#[derive(Clone, Copy, Debug)]
struct LeaderClock {
    millis: u64,
    /// The moment that `millis` is about.
    at: u64,
}

impl LeaderClock {
    /// The clock at this moment. An entry advances the state's by two seconds at most; what a suspended leader missed
    /// beyond that is let go, and not made up for by several entries in a row.
    fn at(&self, micros: u64) -> Self {
        let passed = micros.saturating_sub(self.at) / 1_000;
        if passed > CLOCK_STEP_MAX_MS {
            return Self { millis: self.millis + CLOCK_STEP_MAX_MS, at: micros };
        }
        Self { millis: self.millis + passed, at: self.at + passed * 1_000 }
    }
}

/// All that waits, and what is needed to propose it.
#[derive(Debug)]
pub(super) struct Writes {
    inbox: VecDeque<Arrived>,
    inbox_bytes: usize,
    renewals: Vec<(Caller, SessionId, Actor, u64)>,
    lease_renewals: Vec<(Caller, i64, Actor, u64)>,
    /// Leases whose end is proposed and not applied.
    expiring: BTreeSet<i64>,
    proposed: VecDeque<Proposed>,
    proposed_bytes: usize,
    proposed_calls: usize,
    batches: VecDeque<Batch>,
    /// Batches that the own disk does not hold yet, applied or not.
    syncing: VecDeque<Syncing>,
    paths: Trace<PathMachine, 16>,
    clock: LeaderClock,
    /// What a leader wants proposed by itself.
    own: Vec<Command>,
    /// Kept for its memory.
    scratch: Vec<u8>,
    /// What entries and answers are made in: apart, because entries live as long as the log holds them.
    entries: Arena,
    answers: Arena,
}

impl Writes {
    pub(super) fn new(now: Now) -> Self {
        Self {
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            renewals: Vec::new(),
            lease_renewals: Vec::new(),
            expiring: BTreeSet::new(),
            proposed: VecDeque::new(),
            proposed_bytes: 0,
            proposed_calls: 0,
            batches: VecDeque::new(),
            syncing: VecDeque::new(),
            paths: Trace::new(),
            clock: LeaderClock { millis: 0, at: now.micros },
            own: Vec::new(),
            scratch: Vec::new(),
            entries: Arena::new(),
            answers: Arena::new(),
        }
    }

    pub(super) fn start_clock(&mut self, millis: u64, micros: u64) {
        self.clock = LeaderClock { millis, at: micros };
    }

    pub(super) fn inbox_is_empty(&self) -> bool {
        let renewals = self.renewals.is_empty() && self.lease_renewals.is_empty();
        self.inbox.is_empty() && renewals && self.own.is_empty()
    }

    /// Calls that are not answered.
    pub(super) fn waiting(&self) -> usize {
        self.inbox.len() + self.renewals.len() + self.lease_renewals.len() + self.proposed_calls
    }

    /// Whether one more of so many bytes is too much.
    fn is_full(&self, bytes: usize, urgent: bool) -> bool {
        let (items, more) = if urgent { (limits::RESERVED_WRITES, limits::RESERVED_BYTES) } else { (0, 0) };
        self.waiting() >= limits::WRITES_MAX + items
            || self.inbox_bytes + self.proposed_bytes + bytes > limits::WRITE_BYTES_MAX + more
    }

    /// Takes out who does not wait any longer, of what was not proposed.
    fn give_up_unproposed(&mut self, now: u64) -> Vec<(Caller, u64)> {
        let mut late = Vec::new();
        self.inbox.retain(|arrived| {
            let is_late = arrived.until() <= now;
            if is_late {
                self.inbox_bytes -= arrived.0.request.len();
                late.push((arrived.0.caller, arrived.0.at));
            }
            !is_late
        });
        let renewals = self.renewals.extract_if(.., |(.., until)| *until <= now);
        late.extend(renewals.map(|(caller, ..)| (caller, NEVER)));
        let renewals = self.lease_renewals.extract_if(.., |(.., until)| *until <= now);
        late.extend(renewals.map(|(caller, ..)| (caller, NEVER)));
        late
    }

    /// The next one to look at.
    fn next(&mut self) -> Option<Arrived> {
        let next = self.inbox.pop_front()?;
        self.inbox_bytes -= next.0.request.len();
        Some(next)
    }

    /// The core wants a persist written: the batch that it holds is known from now on.
    pub(super) fn handed_over(&mut self, persist: &Persist) {
        for syncing in self.syncing.iter_mut().rev().take_while(|syncing| syncing.persist.is_none()) {
            syncing.persist = Some(persist.id);
        }
    }

    /// The batch that holds an entry which is not answered yet.
    pub(super) fn batch_of(&self, index: u64) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.last >= index)
    }

    /// How often machine 01 took an edge.
    pub(super) fn paths(&self) -> &Trace<PathMachine, 16> {
        &self.paths
    }

    /// The only place where a batch changes its state.
    fn shift(paths: &mut Trace<PathMachine, 16>, batch: &mut Batch, event: Event) {
        if let Some(edge) = decide::<PathMachine>(batch.state, event) {
            paths.record(batch.last, batch.state, event, edge);
            batch.state = PathMachine::target(edge);
        }
    }
}

/// Whether a request gives room or keeps a promise, so that it may come in when others may not.
fn is_urgent(request: &[u8]) -> bool {
    Request::number(request).and_then(CommandNumber::from_number).is_some_and(|number| match number {
        CommandNumber::Delete
        | CommandNumber::CloseSession
        | CommandNumber::Compact
        | CommandNumber::RevokeLease
        | CommandNumber::Release
        | CommandNumber::Resign => true,
        CommandNumber::Put
        | CommandNumber::Transact
        | CommandNumber::Restore
        | CommandNumber::SetNamespace
        | CommandNumber::DeleteNamespace
        | CommandNumber::ChangeSettings
        | CommandNumber::RaiseFeatureLevel
        | CommandNumber::OpenSession
        | CommandNumber::KeepSessions
        | CommandNumber::GrantLease
        | CommandNumber::RenewLeases
        | CommandNumber::ExpireLease
        | CommandNumber::Acquire
        | CommandNumber::Campaign
        | CommandNumber::Proclaim
        | CommandNumber::Tick => false,
    })
}

/// When a call that came at `from` is over.
pub(super) fn until(from: u64, timeout_ms: u32) -> u64 {
    let millis = if timeout_ms == 0 { limits::CALL_MS_MAX } else { limits::CALL_MS_MAX.min(timeout_ms) };
    from.saturating_add(u64::from(millis) * 1_000)
}

impl<P: Plant> Node<P> {
    /// Takes a write in, if there is room.
    pub(super) fn submit(&mut self, submission: Submission) {
        if let Some(refusal) = self.not_serving() {
            return self.refuse_write(&submission, refusal);
        }
        let urgent = is_urgent(&submission.request);
        if let (Some((free, needed)), false) = (self.disk_full, urgent) {
            return self.refuse_write(&submission, Refusal::DiskFull { free, needed });
        }
        if self.writes.is_full(submission.request.len(), urgent) {
            let retry_after_ms = limits::RETRY_AFTER_MS.into();
            return self.refuse_write(&submission, Refusal::Overloaded { retry_after_ms });
        }
        self.writes.inbox_bytes += submission.request.len();
        // In the order in which they came, the urgent ones too: a client that pipelines a put and a delete means that.
        let at = submission.at.min(self.now.micros);
        let arrived = Arrived(Submission { at, ..submission });
        if urgent && P::plants(Bug::UrgentOvertakes) {
            return self.writes.inbox.push_front(arrived);
        }
        self.writes.inbox.push_back(arrived);
    }

    /// Answers a write that was looked at and is not let in.
    fn refuse_write(&mut self, submission: &Submission, refusal: Refusal) {
        self.note_refused((&submission.actor, submission.address), &submission.request, refusal);
        self.refuse(submission.caller, refusal);
    }

    /// Takes a renewal in.
    pub(super) fn keep(&mut self, caller: Caller, (session, actor): (SessionId, Actor), timeout_ms: u32) {
        match self.not_renewing() {
            Some(refusal) => self.refuse(caller, refusal),
            None => {
                self.writes.renewals.push((caller, session, actor, until(self.now.micros, timeout_ms)));
            }
        }
    }

    /// Takes a renewal of a lease in.
    pub(super) fn keep_lease(&mut self, caller: Caller, (lease, actor): (i64, Actor), timeout_ms: u32) {
        match self.not_renewing() {
            Some(refusal) => self.refuse(caller, refusal),
            None => {
                if P::plants(Bug::RenewalNotReplicated)
                    && let Some(known) = self.store.lease(lease).filter(|known| *known.actor() == actor)
                {
                    let (position, ttl_ms) = (self.position(self.store.applied()), known.ttl_ms());
                    return self.replies.push((caller, LeaseKept { position, known: true, ttl_ms }.into()));
                }
                let until = until(self.now.micros, timeout_ms);
                self.writes.lease_renewals.push((caller, lease, actor, until));
            }
        }
    }

    /// Why no renewal is taken in, if none is.
    fn not_renewing(&self) -> Option<Refusal> {
        let full = || Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() };
        self.not_serving().or_else(|| self.writes.is_full(0, true).then(full))
    }

    /// Proposes the end of leases whose time is over by this leader's clock: some per look, so that ten thousand of them that
    /// end at once do not fill a turn.
    pub(super) fn expire_leases(&mut self) {
        if self.leadership != Leadership::Established || self.stopping || self.digests.doubts().is_some() {
            return;
        }
        let clock = self.writes.clock.at(self.now.micros).millis;
        let due = self.store.leases_due(clock).filter(|(lease, _)| !self.writes.expiring.contains(lease));
        let due: Vec<(i64, u64)> = due.take(limits::EXPIRIES).collect();
        for (lease, counter) in due {
            self.writes.expiring.insert(lease);
            self.writes.own.push(Command::ExpireLease(ExpireLease { lease, counter }));
        }
    }

    /// Wants a command executed in the name of the cluster.
    pub(super) fn propose_own(&mut self, command: Command) {
        self.writes.own.push(command);
    }

    /// Whether the log should be given the time: nothing was stamped for a while.
    pub(super) fn clock_is_due(&self) -> bool {
        self.now.micros.saturating_sub(self.writes.clock.at) >= CLOCK_ENTRY_MS * 1_000 / 2
    }

    /// Whether this request may be executed, by what is known without the log.
    fn admit(&self, submission: &Submission) -> Result<(), Refusal> {
        let request = self.store.admit(&submission.request, &submission.actor)?;
        if let (RequestKey::Idempotency { .. }, false) = (request.key, submission.keyed_here) {
            // The hashes are made by the node that admits a foreign request; nobody may bring his own.
            return Err(Refusal::Malformed { offset: 2 });
        }
        let asked = request.extensions.interpret(self.store.level())?;
        let clock = self.writes.clock.at(self.now.micros).millis;
        match asked.not_after {
            Some(not_after) if clock > not_after => Err(Refusal::TooLate { clock, not_after }),
            Some(_) | None => Ok(()),
        }
    }

    /// Proposes what waits, up to the budget of a turn.
    pub(super) fn propose(&mut self) {
        if self.leadership != Leadership::Established || self.writes.inbox_is_empty() {
            return;
        }
        let mut entries: Vec<Bytes> = Vec::new();
        let mut waiters: Vec<Proposed> = Vec::new();
        let mut add = |node: &mut Self, entry: &Entry<'_>, waiter: Waiter, (came, until): (u64, u64)| {
            let entry = node.stamp(entry);
            let (bytes, calls) = (entry.len() + ENTRY_OVERHEAD_BYTES, waiter.calls());
            entries.push(entry);
            waiters.push(Proposed { index: 0, bytes, calls, waiter, came, until });
        };
        for command in std::mem::take(&mut self.writes.own) {
            let waiter = if let Command::ExpireLease(ExpireLease { lease, .. }) = &command {
                Waiter::Expiry(*lease)
            } else {
                Waiter::Nobody
            };
            let request = Request::from(command).encode();
            let entry = Entry { actor: &Actor::Cluster, address: None, request: &request };
            add(self, &entry, waiter, (NEVER, NEVER));
        }
        self.renew(&mut add);
        self.renew_leases(&mut add);
        let began = self.now.micros;
        let (mut taken, mut bytes) = (0, 0);
        while taken < limits::TURN_WRITES && bytes < limits::TURN_BYTES {
            let Some(arrived) = self.writes.next() else { break };
            let until = arrived.until();
            let Arrived(submission) = arrived;
            taken += 1;
            self.stages.record(Stage::Admit, began.saturating_sub(submission.at), 1);
            match self.admit(&submission) {
                Ok(()) if until <= began && P::plants(Bug::GivenUpYetProposed) => {
                    self.refuse_untouched(submission.caller, Refusal::TimedOut);
                    let Submission { ref actor, address, ref request, .. } = submission;
                    add(self, &Entry { actor, address, request }, Waiter::Nobody, (NEVER, NEVER));
                }
                _ if until <= began => {
                    self.note_slow_arrival(submission.caller, submission.at);
                    self.refuse_untouched(submission.caller, Refusal::TimedOut);
                }
                Err(refusal) => self.refuse_write(&submission, refusal),
                Ok(()) => {
                    let Submission { caller, ref actor, address, ref request, .. } = submission;
                    bytes += request.len();
                    add(
                        self,
                        &Entry { actor, address, request },
                        Waiter::Client(caller),
                        (submission.at, until),
                    );
                }
            }
        }
        if !entries.is_empty() {
            self.propose_batch(entries, waiters);
        }
    }

    /// All renewals that wait, in as few entries as they fit.
    fn renew(&mut self, add: &mut impl FnMut(&mut Self, &Entry<'_>, Waiter, (u64, u64))) {
        let mut renewals = std::mem::take(&mut self.writes.renewals).into_iter().peekable();
        while renewals.peek().is_some() {
            let (mut kept, mut callers, mut latest) = (Vec::new(), Vec::new(), 0);
            for (caller, session, actor, until) in
                renewals.by_ref().take(holdfast_command::sessions::KEPT_MAX)
            {
                kept.push(Kept { session, actor });
                callers.push((caller, session));
                latest = latest.max(until);
            }
            let request = Request::from(Command::KeepSessions(KeepSessions { kept })).encode();
            let entry = Entry { actor: &Actor::Cluster, address: None, request: &request };
            add(self, &entry, Waiter::Renewals(callers), (NEVER, latest));
        }
    }

    /// All renewals of leases that wait, in as few entries as they fit. What comes of an entry is said by the number of a lease,
    /// so those of its holder stand in other entries than those of whoever else has tried: else the one would be told what was
    /// meant for the other.
    fn renew_leases(&mut self, add: &mut impl FnMut(&mut Self, &Entry<'_>, Waiter, (u64, u64))) {
        let renewals = std::mem::take(&mut self.writes.lease_renewals);
        let is_holder = |(_, lease, actor, _): &(Caller, i64, Actor, u64)| {
            self.store.lease(*lease).is_some_and(|lease| lease.actor() == actor)
        };
        let (holders, others): (Vec<_>, Vec<_>) = renewals.into_iter().partition(is_holder);
        for some in [holders, others] {
            self.renew_leases_of(some, add);
        }
    }

    fn renew_leases_of(
        &mut self,
        renewals: Vec<(Caller, i64, Actor, u64)>,
        add: &mut impl FnMut(&mut Self, &Entry<'_>, Waiter, (u64, u64)),
    ) {
        let mut renewals = renewals.into_iter().peekable();
        while renewals.peek().is_some() {
            let (mut kept, mut callers, mut latest) = (Vec::new(), Vec::new(), 0);
            for (caller, lease, actor, until) in renewals.by_ref().take(RENEWED_MAX) {
                kept.push(Renewed { lease, actor });
                callers.push((caller, lease));
                latest = latest.max(until);
            }
            let request = Request::from(Command::RenewLeases(RenewLeases { kept })).encode();
            let entry = Entry { actor: &Actor::Cluster, address: None, request: &request };
            add(self, &entry, Waiter::LeaseRenewals(callers), (NEVER, latest));
        }
    }

    /// An entry of the log: the envelope of now, and the request as it came.
    fn stamp(&mut self, entry: &Entry<'_>) -> Bytes {
        let Node { writes, stamps, now, .. } = self;
        let began = writes.clock.at;
        writes.clock = writes.clock.at(now.micros);
        if P::plants(Bug::TimeCountedAgain) {
            writes.clock.at = began;
        }
        let envelope = Envelope {
            // A broken clock somewhere must not stop the cluster: order then comes from the log alone.
            stamp: stamps.tick(now.wall).unwrap_or_else(|_| stamps.last()).to_bits(),
            clock: writes.clock.millis,
            actor: entry.actor.clone(),
            auth_revision: 0,
            address: entry.address,
        };
        writes.scratch.clear();
        envelope.write(&mut writes.scratch);
        writes.entries.copy(&[&writes.scratch, entry.request])
    }

    fn propose_batch(&mut self, entries: Vec<Bytes>, waiters: Vec<Proposed>) {
        let count = entries.len() as u64;
        let micros = self.now.micros;
        let mut batch = Batch {
            state: PathMachine::INITIAL,
            last: 0,
            count,
            appended_at: micros,
            synced_at: 0,
            committed_at: 0,
            proposing: 0,
            appending: 0,
            trace: UNFOLLOWED,
        };
        let came = waiters.iter().map(|waiter| waiter.came).fold(micros, u64::min);
        let clients = waiters.iter().filter(|waiter| waiter.client().is_some()).count();
        match self.core.step(CoreInput::Propose(entries)) {
            Ok(first) => {
                let first = first.unwrap_or_default().index.0;
                batch.last = first + count - 1;
                Writes::shift(&mut self.writes.paths, &mut batch, Event::Taken);
                let (of, slow) = ((first, batch.last, self.core.term().0), self.slow.from);
                batch.trace = self.traces.begin(of, clients as u32, (came, micros), slow);
                let Batch { last, appended_at, trace, .. } = batch;
                self.writes.syncing.push_back(Syncing { last, count, appended_at, trace, persist: None });
                self.writes.batches.push_back(batch);
                for (index, waiter) in (first..).zip(waiters) {
                    self.writes.proposed_bytes += waiter.bytes;
                    self.writes.proposed_calls += waiter.calls;
                    self.writes.proposed.push_back(Proposed { index, ..waiter });
                }
                self.counts.proposed += count;
                if P::plants(Bug::AnsweredWhenAppended) {
                    self.answer_ahead(last);
                }
            }
            Err(why) => {
                Writes::shift(&mut self.writes.paths, &mut batch, Event::NotTaken);
                let refusal = match why {
                    R::NotLeader | R::Transferring => Refusal::NotLeader,
                    R::UncommittedFull
                    | R::EntryTooLong
                    | R::NotEstablished
                    | R::ChangePending
                    | R::WouldLoseQuorum
                    | R::IdReused
                    | R::UuidTaken
                    | R::UnknownMember
                    | R::WrongKindOfMember
                    | R::NotCaughtUp
                    | R::NoVoterLeft
                    | R::TooManyMembers
                    | R::NothingToChange
                    | R::NoTransferTarget
                    | R::ReadsFull
                    | R::NoLeader
                    | R::SnapshotAhead
                    | R::SnapshotOld
                    | R::LeadershipLost
                    | R::ContextTooLong => {
                        Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() }
                    }
                };
                for Proposed { waiter, .. } in waiters {
                    self.refuse_waiter(waiter, refusal);
                }
            }
        }
    }

    fn refuse_waiter(&mut self, waiter: Waiter, refusal: Refusal) {
        match waiter {
            Waiter::Client(caller) => self.refuse(caller, refusal),
            Waiter::Renewals(callers) => {
                for (caller, _) in callers {
                    self.refuse(caller, refusal);
                }
            }
            Waiter::LeaseRenewals(callers) => {
                for (caller, _) in callers {
                    self.refuse(caller, refusal);
                }
            }
            Waiter::Expiry(lease) => {
                if !P::plants(Bug::ExpiryNotRepeated) {
                    self.writes.expiring.remove(&lease);
                }
            }
            Waiter::Nobody => {}
        }
    }

    /// How long stages 3 and 4 of a turn took that flushed at `began`, for the batch that it proposed, if it did; and stage 1, the
    /// longest of those that it took in.
    pub fn note_handed_over(&mut self, began: Now, [proposing, appending]: [u64; 2], decoding: Option<u64>) {
        if let Some(batch) = self.writes.batches.back_mut().filter(|batch| batch.appended_at == began.micros)
        {
            (batch.proposing, batch.appending) = (proposing, appending);
            self.traces.note(batch.trace, Stage::Propose, proposing);
            self.traces.note(batch.trace, Stage::Append, appending);
            if let Some(decoding) = decoding {
                self.traces.note(batch.trace, Stage::Decode, decoding);
            }
        }
    }

    /// The own disk holds everything up to this persist.
    pub(super) fn own_disk_done(&mut self, id: PersistId) {
        let (writes, stages) = (&mut self.writes, &mut self.stages);
        let is_done = |syncing: &mut Syncing| syncing.persist.is_some_and(|persist| persist <= id);
        while let Some(syncing) = writes.syncing.pop_front_if(is_done) {
            let Syncing { last, count, appended_at, trace, .. } = syncing;
            let took = self.now.micros.saturating_sub(appended_at);
            stages.record(Stage::Sync, took, count);
            self.traces.note(trace, Stage::Sync, took);
            // Gone if it was answered on the word of the followers, or given up.
            if let Some(batch) = writes.batches.iter_mut().find(|batch| batch.last == last) {
                batch.synced_at = self.now.micros;
                Writes::shift(&mut writes.paths, batch, Event::OwnDiskDone);
            }
        }
        if P::plants(Bug::AnsweredAtOwnSync) {
            self.answer_ahead(self.core.durable().0);
        }
    }

    /// What [`Bug::AnsweredWhenAppended`] and [`Bug::AnsweredAtOwnSync`] do instead of waiting: the log is applied to a clone, and
    /// what comes of it is answered.
    fn answer_ahead(&mut self, through: u64) {
        let mut ahead = self.store.clone();
        while ahead.applied().index < through {
            let index = Index(ahead.applied().index + 1);
            let Some(entry) = self.core.entry(index) else { return };
            let (at, payload) = (LogPosition { index: index.0, term: entry.term.0 }, entry.payload.clone());
            let Payload::Data(entry) = payload else {
                let _ = ahead.skip(at);
                continue;
            };
            let Ok(applied) = ahead.apply(at, &entry) else { return };
            let waits = self.writes.proposed.front().is_some_and(|proposed| proposed.index == at.index);
            if waits {
                self.answer((at, &entry), &applied);
            }
        }
    }

    /// Looks which batches are committed.
    pub(super) fn quorum_done(&mut self) {
        let (commit, micros) = (self.core.commit().0, self.now.micros);
        let (writes, stages) = (&mut self.writes, &mut self.stages);
        for batch in writes.batches.iter_mut().take_while(|batch| batch.last <= commit) {
            if matches!(batch.state, State::Appended | State::Synced) {
                let took = micros.saturating_sub(batch.appended_at);
                stages.record(Stage::Replicate, took, batch.count);
                self.traces.note(batch.trace, Stage::Replicate, took);
                batch.committed_at = micros;
                Writes::shift(&mut writes.paths, batch, Event::QuorumDone);
            }
        }
    }

    /// Looks which batches are executed.
    pub(super) fn batches_executed(&mut self) {
        let applied = self.store.applied().index;
        while let Some(mut batch) = self.writes.batches.pop_front_if(|batch| batch.last <= applied) {
            Writes::shift(&mut self.writes.paths, &mut batch, Event::Executed);
            let micros = self.now.micros.saturating_sub(batch.committed_at);
            self.stages.record(Stage::Commit, micros, batch.count);
            self.traces.note(batch.trace, Stage::Commit, micros);
            self.traces.end(batch.trace, self.now.micros, TracedBatch::ANSWERED);
        }
    }

    /// Answers whoever waits for this entry.
    pub(super) fn answer(&mut self, (at, entry): (LogPosition, &Bytes), applied: &Applied) {
        let Some(proposed) = self.writes.proposed.pop_front_if(|proposed| proposed.index <= at.index) else {
            return;
        };
        let in_order = proposed.index == at.index || P::plants(Bug::AnsweredByIndex);
        debug_assert!(in_order, "entries are applied in order, and each once: {proposed:?}, {at:?}");
        self.writes.proposed_bytes -= proposed.bytes;
        self.writes.proposed_calls -= proposed.calls;
        match proposed.waiter {
            Waiter::Nobody => {}
            Waiter::Expiry(lease) => {
                self.writes.expiring.remove(&lease);
            }
            Waiter::LeaseRenewals(callers) => self.answer_lease_renewals(callers, at, &applied.outcome),
            Waiter::Client(caller) => {
                self.note_slow_write(caller, (proposed.came, proposed.index), true);
                if let (Err(refusal), false) = (&applied.outcome.0, applied.repeated)
                    && let Ok((envelope, request)) = Envelope::split(entry)
                {
                    self.note_refused((&envelope.actor, envelope.address), &request, *refusal);
                }
                self.writes.scratch.clear();
                applied.outcome.write(&mut self.writes.scratch);
                let outcome = self.writes.answers.copy(&[&self.writes.scratch]);
                let message = Submitted { position: self.position(applied.at), outcome };
                self.replies.push((caller, message.into()));
            }
            Waiter::Renewals(callers) => self.answer_renewals(callers, at, &applied.outcome),
        }
    }

    fn answer_renewals(&mut self, callers: Vec<(Caller, SessionId)>, at: LogPosition, outcome: &Outcome) {
        let position = self.position(at);
        match &outcome.0 {
            Ok(Reply::SessionsKept { unknown }) => {
                for (caller, session) in callers {
                    let known = !unknown.contains(&session);
                    self.replies.push((caller, Message::from(SessionKept { position, known })));
                }
            }
            // A renewal of the cluster is refused by nothing; if it were, nobody would have been renewed.
            Ok(_) | Err(_) => {
                for (caller, _) in callers {
                    self.replies.push((caller, SessionKept { position, known: false }.into()));
                }
            }
        }
    }

    fn answer_lease_renewals(&mut self, callers: Vec<(Caller, i64)>, at: LogPosition, outcome: &Outcome) {
        let position = self.position(at);
        // A renewal of the cluster is refused by nothing; if it were, nobody would have been renewed.
        let unknown = match &outcome.0 {
            Ok(Reply::LeasesRenewed { unknown }) => Some(unknown.iter().copied().collect::<BTreeSet<i64>>()),
            Ok(_) | Err(_) => None,
        };
        for (caller, lease) in callers {
            let known = unknown.as_ref().is_some_and(|unknown| !unknown.contains(&lease));
            let ttl_ms = self.store.lease(lease).filter(|_| known).map_or(0, holdfast_store::Lease::ttl_ms);
            self.replies.push((caller, LeaseKept { position, known, ttl_ms }.into()));
        }
    }

    /// Answers what was proposed in a term that is over, and what waited to be.
    pub(super) fn revoke(&mut self) {
        let clients: Vec<_> = self.writes.proposed.iter().filter_map(Proposed::client).collect();
        for (caller, of) in clients {
            self.note_slow_write(caller, of, false);
        }
        for mut batch in std::mem::take(&mut self.writes.batches) {
            Writes::shift(&mut self.writes.paths, &mut batch, Event::Deposed);
            self.traces.end(batch.trace, self.now.micros, TracedBatch::GIVEN_UP);
        }
        self.traces.deposed();
        if !P::plants(Bug::AnsweredByIndex) {
            let says_no = P::plants(Bug::DeposedSaysNotApplied);
            let refusal = if says_no { Refusal::NotLeader } else { Refusal::LeadershipLost };
            for proposed in std::mem::take(&mut self.writes.proposed) {
                let silent = P::plants(Bug::SilentWhenDeposed);
                self.refuse_waiter(if silent { Waiter::Nobody } else { proposed.waiter }, refusal);
            }
            (self.writes.proposed_bytes, self.writes.proposed_calls) = (0, 0);
        }
        self.writes.own.clear();
        let elsewhere = if self.core.leader().is_some() { Refusal::NotLeader } else { Refusal::NoLeader };
        while let Some(arrived) = self.writes.next() {
            self.refuse(arrived.0.caller, elsewhere);
        }
        for (caller, ..) in std::mem::take(&mut self.writes.renewals) {
            self.refuse(caller, elsewhere);
        }
        for (caller, ..) in std::mem::take(&mut self.writes.lease_renewals) {
            self.refuse(caller, elsewhere);
        }
        if !P::plants(Bug::ExpiryNotRepeated) {
            self.writes.expiring.clear();
        }
    }

    /// Answers whoever does not wait any longer; the entries stay where they are.
    pub(super) fn give_up_late_writes(&mut self) {
        let now = self.now.micros;
        if !P::plants(Bug::GivenUpYetProposed) {
            for (caller, came) in self.writes.give_up_unproposed(now) {
                self.note_slow_arrival(caller, came);
                self.refuse_untouched(caller, Refusal::TimedOut);
            }
        }
        let mut late = Vec::new();
        for proposed in self.writes.proposed.iter_mut().filter(|proposed| proposed.until <= now) {
            late.push((
                std::mem::replace(&mut proposed.waiter, Waiter::Nobody),
                (proposed.came, proposed.index),
            ));
            proposed.until = NEVER;
        }
        for (waiter, of) in late {
            if let Waiter::Client(caller) = &waiter {
                self.note_slow_write(*caller, of, false);
            }
            if let (Waiter::Client(caller), true) = (&waiter, P::plants(Bug::TimeoutSaysNotApplied)) {
                self.refuse_untouched(*caller, Refusal::TimedOut);
            } else {
                self.refuse_waiter(waiter, Refusal::TimedOut);
            }
        }
    }

    /// How often each edge of machine 01 was taken.
    #[must_use]
    pub fn path_edges(&self) -> Vec<(&'static str, u64)> {
        super::path::Edge::ALL.iter().map(|edge| (edge.name(), self.writes.paths().count(*edge))).collect()
    }
}

/// What an entry is made of.
struct Entry<'a> {
    actor: &'a Actor,
    address: Option<(std::net::IpAddr, u16)>,
    request: &'a Bytes,
}
