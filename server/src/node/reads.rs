//! Reads: how fresh, and from when on.
//!
//! | consistency | served when | by |
//! |---|---|---|
//! | linearizable | the leader of the day confirmed, after the read came in, that it still is; and this node has applied what was committed by then | any member |
//! | follower | this node has applied the position that the read names | any member |
//! | stale | at once, if what this node has is young enough | any member to which a leader ever confirmed a read |
//!
//! How old the state can be is measured from the moment at which a read was *asked* that was confirmed, and never from when
//! a message came in: that may have been under way for as long as it likes, or have waited while this process was suspended.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_command::Refusal;
use holdfast_command::keys::Range;
use holdfast_command::query::{Answer, Query};
use holdfast_machine::Numbered;
use holdfast_raft::{Input as CoreInput, ReadId, ReadReady, Refusal as R};
use holdfast_store::Touched;
use holdfast_wire::Message;
use holdfast_wire::message::{self as wire, Consistency, Position, QueryDone, Read};

use super::apply::is_wide;
use super::io::{Caller, Job, read};
use super::leadership::State as Leadership;
use super::plant::{Bug, Plant};
use super::queries::{self, Parked};
use super::slow::SlowCall;
use super::writes::until;
use super::{Node, limits};

/// What is read.
#[derive(Debug)]
pub(super) enum What {
    /// Keys.
    Range(Range),
    /// Something else.
    Query(Query),
}

/// A read that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) caller: Caller,
    what: What,
    /// When its client stops waiting.
    pub(super) until: u64,
    /// What it has to be behind, whatever else it waits for.
    index: u64,
    linearizable: bool,
    /// How old the state may be when it is served; 0 for any age.
    max_stale_ms: u64,
    /// When it came; [`NEVER`] if it is meant to wait.
    came: u64,
    /// When the leader was asked for it; 0 before.
    asked_at: u64,
    /// When the leader answered; 0 before.
    confirmed_at: u64,
}

/// A moment that never comes.
const NEVER: u64 = u64::MAX;

impl Waiting {
    /// What it is and how far it came, for [`Node::note_slow_read`].
    fn progress(&self) -> ((Caller, impl FnOnce() -> SlowCall + use<'_>), [u64; 3]) {
        let call = || match &self.what {
            What::Range(range) => SlowCall::Range(range.span.clone()),
            What::Query(_) => SlowCall::Query,
        };
        ((self.caller, call), [self.came, self.asked_at, self.confirmed_at])
    }
}

/// What a leader said of its commit index.
#[derive(Clone, Copy, Debug)]
struct Report {
    term: u64,
    commit: u64,
}

/// All that was committed at a moment lies at or below an index.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    index: u64,
    at: u64,
}

/// All reads that wait, and what is known of the age of the state.
#[derive(Debug, Default)]
pub(super) struct Reads {
    last_id: u64,
    /// Not asked for yet.
    queued: Vec<Waiting>,
    /// Waiting for the leader's word.
    asked: BTreeMap<u64, Waiting>,
    /// Waiting for the store, by the index that they need and the order in which they came.
    behind: BTreeMap<(u64, u64), Waiting>,
    /// Waiting for news of a queue.
    parked: Parked,
    /// The oldest report whose commit index is not applied yet.
    open: Option<Report>,
    /// The newest report whose commit index is applied.
    reached: Option<Report>,
    /// How many were answered in this turn, and with how many bytes.
    served: usize,
    served_bytes: usize,
    /// The oldest confirmation whose index is not applied yet.
    ahead: Option<Confirmed>,
    /// The state has all that was committed then.
    fresh_at: Option<u64>,
    /// Ask the leader although nobody waits: only to learn how old the state is.
    probe_is_due: bool,
    /// That question, and when it was asked.
    probe: Option<(u64, u64)>,
}

impl Reads {
    pub(super) fn waiting(&self) -> usize {
        self.unparked() + self.parked.len()
    }

    /// Those that wait for anything but news.
    fn unparked(&self) -> usize {
        self.queued.len() + self.asked.len() + self.behind.len()
    }

    /// The leader of `term` said that this much is committed.
    pub(super) fn leader_reported(&mut self, term: u64, commit: u64, applied: u64) {
        let report = Report { term, commit };
        if commit <= applied {
            self.reached = Some(report);
        } else if self.open.is_none() {
            self.open = Some(report);
        }
    }

    pub(super) fn applied(&mut self, applied: u64) {
        if let Some(report) = self.open.take_if(|report| report.commit <= applied) {
            self.reached = Some(report);
        }
        if let Some(confirmed) = self.ahead.take_if(|confirmed| confirmed.index <= applied) {
            self.fresh_at = self.fresh_at.max(Some(confirmed.at));
        }
    }

    /// The leader confirmed a question of this moment.
    pub(super) fn confirmed(&mut self, index: u64, at: u64, applied: u64) {
        if index <= applied {
            self.fresh_at = self.fresh_at.max(Some(at));
        } else if self.ahead.is_none() {
            self.ahead = Some(Confirmed { index, at });
        }
    }

    /// From time to time the leader is asked, also when no client does. At first more often.
    pub(super) fn probe(&mut self, is_time: bool) {
        self.probe_is_due |= is_time || self.fresh_at.is_none();
    }

    /// Whether the state covers what the leader of this term had committed at some time.
    pub(super) fn has_followed(&self, term: u64) -> bool {
        self.reached.is_some_and(|report| report.term == term)
    }

    pub(super) fn begin_turn(&mut self) {
        (self.served, self.served_bytes) = (0, 0);
    }

    /// Whether this turn has served as much as a turn may.
    fn turn_is_full(&self) -> bool {
        self.served >= limits::TURN_READS || self.served_bytes >= limits::TURN_READ_BYTES
    }

    /// Whether a read waits for nothing but a turn.
    pub(super) fn can_serve(&self, applied: u64) -> bool {
        self.behind.first_key_value().is_some_and(|((index, _), _)| *index <= applied)
    }

    fn hold(&mut self, index: u64, waiting: Waiting) {
        self.last_id += 1;
        self.behind.insert((index, self.last_id), waiting);
    }
}

impl<P: Plant> Node<P> {
    /// Takes a read in, if it can be served here at all and there is room.
    pub(super) fn read(&mut self, caller: Caller, read: &Read) {
        let placed = Range::decode(read.range.clone()).map_err(Refusal::from);
        let placed = placed.and_then(|range| self.place(caller, read, What::Range(range)));
        if let Err(refusal) = placed {
            self.refuse(caller, refusal);
        }
    }

    /// Takes a query in, as a read.
    pub(super) fn query(&mut self, caller: Caller, query: &wire::Query) {
        let &wire::Query { consistency, timeout_ms, max_stale_ms, min_position, .. } = query;
        let how = Read { consistency, timeout_ms, max_stale_ms, min_position, range: Bytes::new() };
        let placed = Query::decode(query.query.clone()).map_err(Refusal::from);
        let placed = placed.and_then(|query| queries::is_valid(&query).map(|()| query));
        let placed = placed.and_then(|query| self.place(caller, &how, What::Query(query)));
        if let Err(refusal) = placed {
            self.refuse(caller, refusal);
        }
    }

    fn place(&mut self, caller: Caller, read: &Read, what: What) -> Result<(), Refusal> {
        let consistency =
            Consistency::from_number(read.consistency).ok_or(Refusal::Malformed { offset: 0 })?;
        if let Some(doubt) = self.digests.doubts() {
            return Err(doubt);
        }
        if self.reads.unparked() >= limits::READS_MAX {
            return Err(Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() });
        }
        let index = self.index_of(read.min_position)?;
        let until = until(self.now.micros, read.timeout_ms);
        let linearizable = consistency == Consistency::Linearizable;
        let stale = consistency == Consistency::Stale;
        let max_stale_ms = if stale { read.max_stale_ms } else { 0 };
        let (came, asked_at, confirmed_at) = (self.now.micros, 0, 0);
        let waiting =
            Waiting { caller, what, until, index, linearizable, max_stale_ms, came, asked_at, confirmed_at };
        let is_here = index <= self.store.applied().index || P::plants(Bug::PositionIgnored);
        match consistency {
            Consistency::Linearizable if is_here && self.reads_unconfirmed() => self.serve(waiting),
            Consistency::Linearizable => self.reads.queued.push(waiting),
            Consistency::Follower if is_here => self.serve(waiting),
            Consistency::Follower => self.reads.hold(index, waiting),
            Consistency::Stale => {
                let staleness_ms = self.staleness_ms().ok_or(Refusal::NoLeader)?;
                if let Some(refusal) = Self::too_stale(staleness_ms, max_stale_ms) {
                    return Err(refusal);
                }
                if is_here {
                    self.serve(waiting);
                } else {
                    self.reads.hold(index, waiting);
                }
            }
        }
        Ok(())
    }

    /// Why a state of this age is not given to one that allows so much, if it is not.
    fn too_stale(staleness_ms: u64, bound_ms: u64) -> Option<Refusal> {
        let is_older = bound_ms > 0 && staleness_ms > bound_ms && !P::plants(Bug::StaleBoundIgnored);
        is_older.then_some(Refusal::TooStale { staleness_ms, bound_ms })
    }

    /// Whether nobody is asked for a linearizable read: never, unless a bug is planted.
    fn reads_unconfirmed(&self) -> bool {
        match self.leadership {
            Leadership::Established => P::plants(Bug::LeaderReadsUnconfirmed),
            Leadership::Establishing | Leadership::Revoking => false,
            Leadership::Revoked => P::plants(Bug::FollowerReadsUnconfirmed) && self.core.leader().is_some(),
        }
    }

    /// The index that a position names.
    pub(super) fn index_of(&self, position: Option<Position>) -> Result<u64, Refusal> {
        let Some(Position { epoch, group, index, .. }) = position else { return Ok(0) };
        let current = self.core.config().epoch.0;
        if epoch.get() != current {
            return Err(Refusal::OtherEpoch { asked: epoch.get(), current });
        }
        if group != 0 {
            return Err(Refusal::OtherGroup { asked: group.into() });
        }
        Ok(index)
    }

    /// How old the state can be at most, in milliseconds: since the newest question that a leader confirmed and whose index
    /// is applied was asked. `None` if there never was one.
    pub(super) fn staleness_ms(&self) -> Option<u64> {
        Some(self.now.micros.saturating_sub(self.reads.fresh_at?).div_ceil(1_000))
    }

    /// Asks the core for the reads of this turn, all at once.
    pub(super) fn ask_for_reads(&mut self) {
        let (asked_at, probes) = (self.now.micros, std::mem::take(&mut self.reads.probe_is_due));
        let probes = probes && self.reads.probe.is_none();
        if self.reads.queued.is_empty() && !probes {
            return;
        }
        let mut ids = Vec::with_capacity(self.reads.queued.len());
        for waiting in std::mem::take(&mut self.reads.queued) {
            self.reads.last_id += 1;
            ids.push(ReadId(self.reads.last_id));
            self.reads.asked.insert(self.reads.last_id, Waiting { asked_at, ..waiting });
        }
        // What clients ask says as much as a question of our own.
        if ids.is_empty() {
            self.reads.last_id += 1;
            ids.push(ReadId(self.reads.last_id));
            self.reads.probe = Some((self.reads.last_id, asked_at));
        }
        if let Err(why) = self.core.step(CoreInput::Read(ids.clone())) {
            for id in ids {
                self.read_refused(id, why);
            }
        }
    }

    pub(super) fn read_refused(&mut self, id: ReadId, why: R) {
        self.reads.probe.take_if(|(probe, _)| *probe == id.0);
        let Some(waiting) = self.reads.asked.remove(&id.0) else { return };
        let refusal = match why {
            R::ReadsFull => Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() },
            R::NotLeader
            | R::Transferring
            | R::UncommittedFull
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
            | R::NoLeader
            | R::SnapshotAhead
            | R::SnapshotOld
            | R::LeadershipLost
            | R::ContextTooLong
            | R::EntryTooLong => Refusal::NoLeader,
        };
        self.refuse(waiting.caller, refusal);
    }

    /// The leader said how far to apply.
    pub(super) fn read_confirmed(&mut self, ready: ReadReady) {
        let applied = self.store.applied().index;
        let since = |asked_at| if P::plants(Bug::FreshFromAnswer) { self.now.micros } else { asked_at };
        if let Some((_, at)) = self.reads.probe.take_if(|(id, _)| *id == ready.id.0) {
            self.reads.confirmed(ready.index.0, since(at), applied);
        }
        let Some(mut waiting) = self.reads.asked.remove(&ready.id.0) else { return };
        waiting.confirmed_at = self.now.micros;
        self.reads.confirmed(ready.index.0, since(waiting.asked_at), applied);
        let index = ready.index.0.max(waiting.index);
        if index <= applied || P::plants(Bug::ReadBeforeApplied) {
            self.serve(waiting);
        } else {
            self.reads.hold(index, waiting);
        }
    }

    /// Serves what the store has come to.
    pub(super) fn serve_reads(&mut self) {
        let applied = self.store.applied().index;
        while !self.reads.turn_is_full()
            && let Some(first) = self.reads.behind.first_entry().filter(|first| first.key().0 <= applied)
        {
            let waiting = first.remove();
            self.serve(waiting);
        }
    }

    fn serve(&mut self, waiting: Waiting) {
        if self.reads.turn_is_full() {
            return self.reads.hold(0, waiting);
        }
        if let What::Query(query) = &waiting.what
            && !self.stopping
            && let Some(news) = queries::waits_for(query, &self.store)
        {
            if self.reads.parked.len() >= limits::PARKED_MAX {
                let retry_after_ms = limits::RETRY_AFTER_MS.into();
                return self.refuse_untouched(waiting.caller, Refusal::Overloaded { retry_after_ms });
            }
            return self.reads.parked.park(news, Waiting { came: NEVER, ..waiting });
        }
        self.give(waiting);
    }

    /// Answers a read with what is so.
    fn give(&mut self, waiting: Waiting) {
        if let Some(doubt) = self.digests.doubts() {
            return self.refuse_untouched(waiting.caller, doubt);
        }
        self.reads.served += 1;
        let (call, moments) = waiting.progress();
        self.note_slow_read(call, moments, true);
        let Waiting { caller, what, linearizable, max_stale_ms, .. } = waiting;
        let staleness_ms = if linearizable { 0 } else { self.staleness_ms().unwrap_or(u64::MAX) };
        // It may have become so while it waited for its position, or for news.
        if let Some(refusal) = Self::too_stale(staleness_ms, max_stale_ms) {
            return self.refuse_untouched(caller, refusal);
        }
        self.counts.reads += 1;
        let position = self.position(self.store.applied());
        let range = match what {
            What::Range(range) => range,
            What::Query(Query::Audit(query)) => {
                return self.read_audit(caller, query, position, staleness_ms);
            }
            What::Query(query) => {
                let answer = Answer::encode(&queries::answer(&query, &self.store));
                self.reads.served_bytes += answer.len();
                self.replies.push((caller, QueryDone { position, staleness_ms, answer }.into()));
                return;
            }
        };
        if is_wide(&range.span) && self.store.keys() > limits::INLINE_KEYS {
            let (store, range) = (Box::new(self.store.clone()), Box::new(range));
            self.jobs.push(Job::Read { store, range, caller, position, staleness_ms });
        } else {
            let message = read(&self.store, &range, position, staleness_ms);
            if let Message::ReadDone(done) = &message {
                self.reads.served_bytes += done.outcome.len();
            }
            self.replies.push((caller, message));
        }
    }

    /// Looks again at the queries that wait for news of these queues.
    pub(super) fn tell_touched(&mut self, touched: &[Touched]) {
        for waiting in self.reads.parked.touched(touched) {
            self.serve(waiting);
        }
    }

    /// The state was replaced as a whole: looks at all queries again that wait for news.
    pub(super) fn tell_all(&mut self) {
        for waiting in self.reads.parked.all() {
            self.serve(waiting);
        }
    }

    /// Tells those who wait for news that there will be none from here.
    pub(super) fn give_up_parked(&mut self, refusal: Refusal) {
        for waiting in self.reads.parked.all() {
            self.refuse_untouched(waiting.caller, refusal);
        }
    }

    /// Forgets those who waited for news on a connection that is gone.
    pub(super) fn forget_parked(&mut self, connection: u64) {
        self.reads.parked.drop_connection(connection);
    }

    /// Answers whoever does not wait any longer.
    pub(super) fn give_up_late_reads(&mut self) {
        for waiting in self.reads.parked.late(self.now.micros) {
            self.give(waiting);
        }
        let (now, applied) = (self.now.micros, self.store.applied().index);
        let late = self.reads.asked.extract_if(.., |_, waiting| waiting.until <= now);
        let mut refused: Vec<_> = late.map(|(_, waiting)| (waiting, Refusal::TimedOut)).collect();
        let late = self.reads.behind.extract_if(.., |_, waiting| waiting.until <= now);
        refused.extend(
            late.map(|((asked, _), waiting)| (waiting, Refusal::PositionNotReached { applied, asked })),
        );
        // A read that was not made has no outcome that could be unknown.
        for (waiting, refusal) in refused {
            let (call, moments) = waiting.progress();
            self.note_slow_read(call, moments, false);
            self.refuse_untouched(waiting.caller, refusal);
        }
    }
}
