//! The store from outside: entries go in, outcomes come out, and everybody may look.

use std::marker::PhantomData;
use std::ops::Bound;

use bytes::Bytes;
use holdfast_command::audit::Head;
use holdfast_command::envelope::CLOCK_STEP_MAX_MS;
use holdfast_command::extension::Asked;
use holdfast_command::keys::Range;
use holdfast_command::{
    Actor, Command, CommandNumber, Envelope, FeatureLevel, Limits, Outcome, Refusal, Reply, Request,
    RequestKey, SessionId, Setting, Settings, validate, validate_key,
};
use holdfast_hlc::Stamp;
use holdfast_machine::Numbered;

use crate::keys::{Change, Page};
use crate::leases::{Lease, LeaseEdge};
use crate::namespaces::{Namespace, Usage};
use crate::plant::{Bug, NoPlant, Plant};
use crate::queues::{Place, Queue, QueueKind, Standing, Touched, election, lock};
use crate::sessions::{Edge, Given, Recognised, Session};
use crate::state::{Execute, State};
use crate::trail::{Digest, Effect};
use crate::version::{Origin, Version};

/// What is kept of the buffer that answers are encoded in.
const SCRATCH_BYTES: usize = 4096;

/// A place in the Raft log. Ordered by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// What applying an entry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What is answered.
    pub outcome: Outcome,
    /// Where the request was executed: this entry, or that of the first time.
    pub at: LogPosition,
    /// The request was here before, and nothing was executed.
    pub repeated: bool,
    /// What was done to queues of locks and elections, in order; mostly nothing, which costs nothing.
    pub touched: Vec<Touched>,
    /// The bytes of an [`AuditRecord`](holdfast_command::AuditRecord); empty if nothing was changed.
    pub audit: Bytes,
}

/// Why a node cannot go on applying: it would differ from the others, or already does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The entry is not the one that follows.
    #[error("entry {} was to be applied, and the next one is {}", given.index, expected)]
    NotNext {
        /// What was given.
        given: LogPosition,
        /// The index that comes next.
        expected: u64,
    },
    /// The cluster has raised its feature level above what this build understands.
    #[error("the cluster goes on at feature level {}, and this build knows {}: upgrade it", level.0, FeatureLevel::LATEST.0)]
    LevelUnknown {
        /// The level.
        level: FeatureLevel,
    },
    /// It has halted before.
    #[error("it has halted before, at entry {}", at.index)]
    Halted {
        /// The last entry that was applied.
        at: LogPosition,
    },
}

/// The replicated state machine. A clone costs a few counters, whatever it holds, and goes its own way.
#[derive(Clone, Debug)]
pub struct Store<P: Plant = NoPlant> {
    state: State,
    applied: LogPosition,
    halted: bool,
    plant: PhantomData<P>,
}

impl<P: Plant> Default for Store<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plant> Store<P> {
    /// The state before the first entry.
    #[must_use]
    pub fn new() -> Self {
        let (state, applied) = (State::default(), LogPosition::default());
        Self { state, applied, halted: false, plant: PhantomData }
    }

    /// Applies the entry behind the last one. Whatever its bytes, this ends in an outcome; the steps are those of
    /// `docs/store.md`.
    ///
    /// # Errors
    /// [`Halt`]: this node must not go on. Every further call halts as well, and the state is good for nothing but a
    /// look.
    pub fn apply(&mut self, at: LogPosition, entry: &Bytes) -> Result<Applied, Halt> {
        self.advance(at)?;
        self.state.trail.begin(at, self.state.level);
        let (outcome, first) = match Envelope::split(entry) {
            Err(_) => (Outcome(Err(Refusal::Malformed { offset: 0 })), None),
            Ok((envelope, request)) => {
                self.pass_time(&envelope);
                let answer = self.answer(at, &request, &envelope);
                self.state.mark_age();
                answer
            }
        };
        let State { trail, touched, audit, scratch, settings, .. } = &mut self.state;
        let (touched, audit) = (std::mem::take(touched), std::mem::take(audit));
        trail.queues(&touched);
        trail.outcome(&outcome, first.is_some(), scratch);
        trail.end(at.index, entry.len(), settings.get(Setting::DigestRange));
        shrink(scratch);
        let applied = Applied { outcome, at: first.unwrap_or(at), repeated: first.is_some(), touched, audit };
        if self.state.level > FeatureLevel::LATEST {
            self.halted = true;
            return Err(Halt::LevelUnknown { level: self.state.level });
        }
        Ok(applied)
    }

    /// Passes over an entry that holds no command: the empty one that a leader begins with, or a configuration.
    ///
    /// # Errors
    /// [`Halt::NotNext`], [`Halt::Halted`].
    pub fn skip(&mut self, at: LogPosition) -> Result<(), Halt> {
        self.advance(at)?;
        let State { trail, settings, level, .. } = &mut self.state;
        trail.begin(at, *level);
        trail.note(Effect::Skipped, &[]);
        trail.end(at.index, 0, settings.get(Setting::DigestRange));
        Ok(())
    }

    /// The digest behind the last entry; see [`trail`](crate::trail).
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state.trail.digest()
    }

    /// The ranges of entries that this node has finished, ascending: the last index of each, and the digest there. A range ends
    /// where the index and one is a multiple of the setting `DigestRange`, and where its entries have 16 MiB. The last 4,096 of them, without those that a
    /// snapshot came behind.
    pub fn digest_ranges(&self) -> impl DoubleEndedIterator<Item = (u64, Digest)> {
        self.state.trail.finished()
    }

    /// The digest at the end of the one whose last index this is.
    #[must_use]
    pub fn digest_at(&self, last: u64) -> Option<Digest> {
        self.state.trail.finished_at(last)
    }

    /// The last of them.
    #[must_use]
    pub fn last_range(&self) -> Option<(u64, Digest)> {
        self.state.trail.last_finished()
    }

    /// The state that a snapshot holds, up to this entry.
    pub(crate) fn restored(state: State, applied: LogPosition) -> Self {
        Self { state, applied, halted: false, plant: PhantomData }
    }

    /// Begins another life of the state, as the one that a cluster restored from a snapshot goes on with: the revision is
    /// raised by `revisions` and everything before it compacted, and the fencing tokens go on above `token`. So no position,
    /// watch or token of the former life, which may have gone on after the snapshot, can be mistaken for one of this.
    ///
    /// # Errors
    /// [`Refusal::RevisionsExhausted`]; nothing has changed then.
    pub fn begin_another_life(&mut self, revisions: u64, token: u64) -> Result<(), Refusal> {
        self.state.keys.skip(revisions)?;
        self.state.queues.raise(token);
        Ok(())
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted
    }

    fn advance(&mut self, at: LogPosition) -> Result<(), Halt> {
        if self.halted {
            return Err(Halt::Halted { at: self.applied });
        }
        let expected = self.applied.index + 1;
        if at.index != expected {
            self.halted = true;
            return Err(Halt::NotNext { given: at, expected });
        }
        self.applied = at;
        Ok(())
    }

    /// Steps 2 and 3: clock, stamp, and what ends by them.
    fn pass_time(&mut self, envelope: &Envelope) {
        let state = &mut self.state;
        let most = state.clock.saturating_add(CLOCK_STEP_MAX_MS);
        state.clock = envelope.clock.clamp(state.clock, most);
        state.stamp = state.stamp.max(Stamp::from_bits(envelope.stamp));
        state.trail.note(Effect::Time, &[state.clock, state.stamp.to_bits()]);
        for ended in state.sessions.expire(state.clock) {
            state.trail.note(Effect::Session, &[ended.0, 0]);
        }
        let forgotten = state.idempotency.expire(state.clock);
        if forgotten > 0 {
            state.trail.note(Effect::Forgotten, &[forgotten]);
        }
        state.leases.pass(state.clock);
    }

    /// Steps 4 to 9: the outcome, and where the request was executed before if it was.
    fn answer(
        &mut self,
        at: LogPosition,
        bytes: &Bytes,
        envelope: &Envelope,
    ) -> (Outcome, Option<LogPosition>) {
        let refused = |refusal| (Outcome(Err(refusal)), None);
        let (request, asked) = match self.read(bytes, &envelope.actor) {
            Ok(read) => read,
            Err(refusal) => return refused(refusal),
        };
        match self.recognise(&request, &envelope.actor) {
            Recognised::New => {}
            Recognised::Before(outcome, first) => return (outcome, Some(first)),
            Recognised::Refused(refusal) => return refused(refusal),
        }
        // What a command sets holds from the next entry on.
        let settings = self.state.settings;
        let outcome = Outcome(self.execute((&request, &asked), bytes.len(), envelope, at.index));
        self.leave_record(at, &request, envelope, &outcome);
        if !P::plants(Bug::RefusalForgotten) || outcome.0.is_ok() {
            self.remember(&request.key, at, &outcome, &settings);
        }
        (outcome, None)
    }

    /// Step 4: what no limit can help.
    fn read(&self, bytes: &Bytes, actor: &Actor) -> Result<(Request, Asked), Refusal> {
        let level = if P::plants(Bug::LevelOfBinary) { FeatureLevel::LATEST } else { self.state.level };
        let number = Request::number(bytes).ok_or(Refusal::Malformed { offset: 0 })?;
        if CommandNumber::from_number(number).is_none_or(|number| number.since() > level) {
            return Err(Refusal::UnknownCommand { number, level: self.state.level });
        }
        let request = Request::decode(bytes.clone())?;
        let asked = request.extensions.interpret(level)?;
        validate_key(&request, actor)?;
        Ok((request, asked))
    }

    /// Step 5: whether it was here before.
    fn recognise(&mut self, request: &Request, actor: &Actor) -> Recognised {
        let State { sessions, idempotency, settings, clock, trail, .. } = &mut self.state;
        match &request.key {
            RequestKey::None => Recognised::New,
            RequestKey::Session { session, sequence, low } => {
                sessions.recognise::<P>((*session, *sequence, *low), actor, (*clock, settings), trail)
            }
            RequestKey::Idempotency { key, request } => idempotency.recognise(key, request, settings),
        }
    }

    /// Steps 6 to 8: limits, deadline, execution.
    fn execute(
        &mut self,
        (request, asked): (&Request, &Asked),
        bytes: usize,
        envelope: &Envelope,
        index: u64,
    ) -> Result<Reply, Refusal> {
        let state = &mut self.state;
        validate(request, bytes, &Limits::from(&state.settings))?;
        let clock = if P::plants(Bug::DeadlineByEnvelope) { envelope.clock } else { state.clock };
        if let Some(not_after) = asked.not_after.filter(|not_after| clock > *not_after) {
            return Err(Refusal::TooLate { clock, not_after });
        }
        let origin = Origin { index, actor: &envelope.actor, reason: &request.reason, stamp: state.stamp };
        execute::<P>(&request.command, state, origin)
    }

    /// The audit record of what was executed, if that changed anything.
    fn leave_record(&mut self, at: LogPosition, request: &Request, envelope: &Envelope, outcome: &Outcome) {
        let State { trail, audit, keys, clock, stamp, .. } = &mut self.state;
        let Ok(reply) = &outcome.0 else { return trail.forget_touches() };
        let head = Head {
            index: at.index,
            term: at.term,
            stamp: stamp.to_bits(),
            clock: *clock,
            revision: keys.revision(),
            envelope,
            key: &request.key,
            reason: &request.reason,
            command: request.command.number(),
            reply: reply.number(),
        };
        *audit = trail.record(|touches, out| head.write(touches, out));
    }

    /// Step 9: what a repetition is to be answered.
    fn remember(&mut self, key: &RequestKey, at: LogPosition, outcome: &Outcome, settings: &Settings) {
        if *key == RequestKey::None {
            return;
        }
        let State { sessions, idempotency, clock, scratch, .. } = &mut self.state;
        scratch.clear();
        outcome.write(scratch);
        let given = Given { at, refused: outcome.0.is_err(), encoded: scratch };
        match *key {
            RequestKey::None => {}
            RequestKey::Session { session, sequence, .. } => {
                sessions.remember((session, sequence), &given, settings);
            }
            RequestKey::Idempotency { key, request } => {
                idempotency.remember((key, request), &given, *clock, settings);
            }
        }
        shrink(scratch);
    }

    /// Whether a request may enter the log: what steps 4 and 6 would refuse does not, unless step 5 comes before with
    /// an answer of its own. What depends on keys and quotas is found out when it is applied. A feature level that this
    /// build does not know is not raised to.
    ///
    /// # Errors
    /// What apply would refuse it with now. It speaks of this copy of the request only, whatever the code: another may
    /// be on its way through the log.
    pub fn admit(&self, bytes: &Bytes, actor: &Actor) -> Result<Request, Refusal> {
        let (request, _) = self.read(bytes, actor)?;
        let State { sessions, idempotency, settings, level, .. } = &self.state;
        let is_new = match &request.key {
            RequestKey::None => true,
            RequestKey::Session { session, sequence, .. } => sessions.is_new(*session, *sequence, actor),
            RequestKey::Idempotency { key, .. } => idempotency.is_new(key),
        };
        if is_new {
            validate(&request, bytes.len(), &Limits::from(settings))?;
        }
        if let Command::RaiseFeatureLevel(raise) = &request.command
            && raise.level > FeatureLevel::LATEST
        {
            return Err(Refusal::LevelNotNext { level: *level, asked: raise.level });
        }
        Ok(request)
    }

    /// The last entry that was applied or passed over.
    #[must_use]
    pub fn applied(&self) -> LogPosition {
        self.applied
    }

    /// The current revision: 1 in an empty store, below 2^63.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.keys.revision()
    }

    /// The oldest revision that can be read.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.state.keys.oldest()
    }

    /// The cluster clock, in milliseconds.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.state.clock
    }

    /// The highest stamp of an entry so far.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.state.stamp
    }

    /// What every member is known to understand.
    #[must_use]
    pub fn level(&self) -> FeatureLevel {
        self.state.level
    }

    /// The replicated settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.state.keys.len()
    }

    /// The current version of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Version> {
        self.state.keys.get(key)
    }

    /// Reads a page of a range. Its versions are shared with the store, not copied.
    ///
    /// # Errors
    /// [`Refusal::EmptyKey`], [`Refusal::EmptySpan`], [`Refusal::BadContinuation`], [`Refusal::FutureRevision`],
    /// [`Refusal::Compacted`].
    pub fn range(&self, range: &Range) -> Result<Page, Refusal> {
        self.state.keys.range(range, self.state.settings.get(Setting::ReplyBytes))
    }

    /// The versions of a key, newest first and at most `limit` of them, tombstones included, back to the one that is
    /// current at the oldest revision.
    #[must_use]
    pub fn history(&self, key: &[u8], limit: usize) -> Vec<Version> {
        self.state.keys.history(key, 0).take(limit).cloned().collect()
    }

    /// The same, only those of revisions below `before`, unless that is 0. Found without a walk over the later ones.
    pub fn history_before(&self, key: &[u8], before: u64) -> impl Iterator<Item = &Version> {
        self.state.keys.history(key, before)
    }

    /// All changes of revisions from `from` on, in order.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] if not all of them are known any more, so at and below the oldest revision;
    /// [`Refusal::FutureRevision`] beyond the next revision.
    pub fn changes(&self, from: u64) -> Result<impl Iterator<Item = &Change>, Refusal> {
        self.state.keys.changes(from)
    }

    /// Bytes of keys and values that are history and no longer current, as far as they are not freed yet. Differs
    /// between nodes.
    #[must_use]
    pub fn history_bytes(&self) -> u64 {
        self.state.keys.history_bytes()
    }

    /// The revision that is due to be compacted to, by the settings `HistoryAge` and `HistoryBytes`. The leader
    /// proposes it; none while an earlier compaction is being swept. At most 65,536 changes are looked at, so more may
    /// be due as soon as those are swept: ask again then.
    #[must_use]
    pub fn compaction_due(&self) -> Option<u64> {
        self.state.compaction_due()
    }

    /// Frees what was compacted, at most `budget` versions; true if there is more. Nothing that can be read depends on
    /// it.
    pub fn sweep(&mut self, budget: usize) -> bool {
        self.state.keys.sweep(budget)
    }

    /// All namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.state.namespaces.iter()
    }

    /// What is held outside of all namespaces.
    #[must_use]
    pub fn default_usage(&self) -> Usage {
        self.state.namespaces.outside()
    }

    /// All sessions, by number.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.state.sessions.iter()
    }

    /// Bytes of the answers that are kept for all sessions.
    #[must_use]
    pub fn session_reply_bytes(&self) -> u64 {
        self.state.sessions.reply_bytes()
    }

    /// How often sessions took this edge of machine 09.
    #[must_use]
    pub fn session_edges(&self, edge: Edge) -> u64 {
        self.state.sessions.edge_count(edge)
    }

    /// A lease that is alive.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<&Lease> {
        self.state.leases.get(id)
    }

    /// All leases from number `from` on, ascending.
    pub fn leases(&self, from: i64) -> impl Iterator<Item = (i64, &Lease)> {
        self.state.leases.from(from)
    }

    /// How many leases there are.
    #[must_use]
    pub fn lease_count(&self) -> usize {
        self.state.leases.len()
    }

    /// The keys that hang on a lease, in order.
    pub fn lease_keys(&self, id: i64) -> impl Iterator<Item = &Bytes> {
        self.state.leases.keys_of(id)
    }

    /// The queues that a lease has a place in: locks, then elections, each by name.
    pub fn lease_places(&self, id: i64) -> impl Iterator<Item = (QueueKind, &Bytes)> {
        self.state.queues.places_of(id)
    }

    /// The leases whose deadline lies at or before `clock`, a time of the cluster clock, each with the counter that an
    /// [`ExpireLease`](holdfast_command::leases::ExpireLease) has to name. The leader proposes those; until that is
    /// applied they live, and come again. Costs two look-ups while nothing is due, if `clock` is about that of the
    /// state.
    pub fn leases_due(&self, clock: u64) -> impl Iterator<Item = (i64, u64)> {
        self.state.leases.due(clock)
    }

    /// How often leases took this edge of machine 10.
    #[must_use]
    pub fn lease_edges(&self, edge: LeaseEdge) -> u64 {
        self.state.leases.edge_count(edge)
    }

    /// The queue of a lock or an election; none if nobody holds it.
    #[must_use]
    pub fn queue(&self, kind: QueueKind, name: &[u8]) -> Option<&Queue> {
        self.state.queues.get(kind, name)
    }

    /// Where a lease stands in a queue; none if it has no place there.
    #[must_use]
    pub fn standing(&self, kind: QueueKind, name: &[u8], lease: i64) -> Option<Standing> {
        self.state.queues.standing(kind, name, lease)
    }

    /// The place of a lease in a queue, whether it holds or waits.
    #[must_use]
    pub fn place(&self, kind: QueueKind, name: &[u8], lease: i64) -> Option<&Place> {
        self.state.queues.place(kind, name, lease)
    }

    /// The queues of a kind behind a name, by name.
    pub fn queues_after(&self, kind: QueueKind, after: &[u8]) -> impl Iterator<Item = (&Bytes, &Queue)> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.state.queues.of(kind).range::<_, [u8]>(behind).map(|(name, queue)| (name, &**queue))
    }

    /// All queues of a kind, by name.
    pub fn queues(&self, kind: QueueKind) -> impl Iterator<Item = (&Bytes, &Queue)> {
        self.state.queues.of(kind).iter().map(|(name, queue)| (name, &**queue))
    }

    /// How many hold or wait, in all queues.
    #[must_use]
    pub fn places(&self) -> usize {
        self.state.queues.places()
    }

    /// The last fencing token that was given; 0 before the first. Below 2^53.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.state.queues.token()
    }

    /// How often places took this edge of machine 11.
    #[must_use]
    pub fn lock_edges(&self, edge: lock::Edge) -> u64 {
        self.state.queues.lock_edges(edge)
    }

    /// How often candidacies took this edge of machine 12.
    #[must_use]
    pub fn election_edges(&self, edge: election::Edge) -> u64 {
        self.state.queues.election_edges(edge)
    }

    /// How many idempotency keys are remembered.
    #[must_use]
    pub fn idempotency_keys(&self) -> usize {
        self.state.idempotency.len()
    }

    /// Bytes of the answers that are kept for them.
    #[must_use]
    pub fn idempotency_reply_bytes(&self) -> u64 {
        self.state.idempotency.reply_bytes()
    }

    /// Whether something lives by the cluster clock, so that a leader has to propose a tick at least each second when
    /// it proposes nothing else: sessions, leases, idempotency keys, history that is to be given up by age.
    #[must_use]
    pub fn needs_ticks(&self) -> bool {
        let state = &self.state;
        let history = state.settings.get(Setting::HistoryAge) > 0 && self.revision() > self.oldest();
        let lives = [state.sessions.len(), state.leases.len(), state.idempotency.len()];
        history || lives.iter().any(|count| *count > 0)
    }
}

/// A buffer that was needed once for a long answer is not kept for all the short ones.
fn shrink(scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.shrink_to(SCRATCH_BYTES);
}

fn execute<P: Plant>(command: &Command, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
    match command {
        Command::Put(put) => put.execute::<P>(state, origin),
        Command::Delete(delete) => delete.execute::<P>(state, origin),
        Command::Transact(transaction) => transaction.execute::<P>(state, origin),
        Command::Restore(restore) => restore.execute::<P>(state, origin),
        Command::Compact(compact) => compact.execute::<P>(state, origin),
        Command::SetNamespace(set) => set.execute::<P>(state, origin),
        Command::DeleteNamespace(delete) => delete.execute::<P>(state, origin),
        Command::ChangeSettings(change) => change.execute::<P>(state, origin),
        Command::RaiseFeatureLevel(raise) => raise.execute::<P>(state, origin),
        Command::OpenSession(open) => open.execute::<P>(state, origin),
        Command::KeepSessions(keep) => keep.execute::<P>(state, origin),
        Command::CloseSession(close) => close.execute::<P>(state, origin),
        Command::Tick => Ok(Reply::Ticked),
        Command::GrantLease(grant) => grant.execute::<P>(state, origin),
        Command::RenewLeases(renew) => renew.execute::<P>(state, origin),
        Command::RevokeLease(revoke) => revoke.execute::<P>(state, origin),
        Command::ExpireLease(expire) => expire.execute::<P>(state, origin),
        Command::Acquire(acquire) => acquire.execute::<P>(state, origin),
        Command::Release(release) => release.execute::<P>(state, origin),
        Command::Campaign(campaign) => campaign.execute::<P>(state, origin),
        Command::Proclaim(proclaim) => proclaim.execute::<P>(state, origin),
        Command::Resign(resign) => resign.execute::<P>(state, origin),
    }
}
