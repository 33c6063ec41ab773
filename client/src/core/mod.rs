//! The client without IO: who is asked, when again, and what an answer means.
//!
//! # Why without IO
//! Retries are where exactly-once is lost, and they happen when connections break at the worst moment. So the same code
//! runs in tests that break them at every moment. Time is an argument, in milliseconds of any
//! monotone clock; randomness comes of a seed.
//!
//! # Shape
//! ```text
//!   call(ask) ──► queue of its lane ──► route ──► wire::Connection ──► outbox      to the owner, by Action::Flush
//!                    ▲      ▲                                │
//!                    │      └── wait (backoff, retry-after) ◄┤ refused, lost
//!                    └── session opened, leader found        │
//!   next_done()  ◄───────────────────────────────────────────┘ answered, refused for good, deadline
//! ```
//! What the owner does:
//! 1. After each call of a method, take [`next_action`](Core::next_action), [`next_done`](Core::next_done) and
//!    [`next_news`](Core::next_news) until they yield nothing.
//! 2. For [`Action::Dial`], connect, and tell [`dialed`](Core::dialed) or [`dial_failed`](Core::dial_failed).
//! 3. Drive the connection of a link as `wire::Connection` says: read into its buffer, call
//!    [`received`](Core::received);
//!    write its outbox (on [`Action::Flush`], and whenever more can be written), call [`wrote`](Core::wrote); tell
//!    [`lost`](Core::lost). When [`connection`](Core::connection) yields nothing for a link, close its socket. When the
//!    connection has ended, write what is in its outbox as far as that is possible without waiting, and call
//!    [`finished`](Core::finished).
//! 4. Call [`tick`](Core::tick) no later than [`deadline`](Core::deadline).
//!
//! # Lanes
//! A call waits in the queue of its lane, and the front of a queue that cannot be sent holds up its own lane only:
//! writes wait for the session or its window, what goes to the leader waits for a leader, a stale read for any
//! connection.
//!
//! # Watches
//! They wait in no lane and have no deadline: [`watch`](Core::watch) begins one, [`next_news`](Core::next_news) says that
//! there is something to take with [`next_notice`](Core::next_notice).
//!
//! # Copies
//! Each time a call is sent is a copy. A copy that was refused with the word that it never will be executed is done
//! with; one whose connection broke, or that nobody vouches for, makes the call *uncertain* for ever. An uncertain
//! write is only sent again under a key by which the cluster recognises it, and if it ends without an answer its
//! outcome is unknown.

mod answers;
pub(crate) mod backoff;
pub mod breaker;
mod call;
mod config;
mod dispatch;
mod endpoint;
mod links;
pub(crate) mod session;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use backoff::Rng;
pub use call::{Answer, Ask, Work};
use call::{Call, Keyed, Lane, Owner, Payload, Place};
use config::CLOSE_MS;
pub use config::{ATTEMPTS_MAX, Config, ENDPOINTS_MAX, LEARNED_MAX};
use endpoint::{Endpoint, Link, is_address};
pub use endpoint::{EndpointView, LinkId};
use holdfast_command::sessions::{CloseSession, OpenSession};
use holdfast_command::{Command, Request, RequestKey, SessionId};
use holdfast_wire::ClusterIdentity;
use holdfast_wire::message::Consistency;
use session::{Sequences, Session};
use watch::Watch;
pub use watch::{Changes, Notice, WatchAsk, WatchId};

use crate::{Attempt, Error, Kind, Outcome, What};

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to this address, and tell what came of it.
    Dial {
        /// Under this name.
        link: LinkId,
        /// `host:port`.
        address: Arc<str>,
    },
    /// There is something to write on this connection, or it is to be closed.
    Flush(LinkId),
}

/// A call that has ended.
#[derive(Debug)]
pub struct Done<W> {
    /// Who waits for it.
    pub waiter: W,
    /// What it came to.
    pub result: Result<Answer, Error>,
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    index: usize,
    number: u64,
}

/// Where the client is in its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Calls are taken.
    Open,
    /// No more are taken; those under way are finished.
    Closing,
    /// No call is under way any more; sessions and connections end, by then.
    Leaving { until: u64 },
    /// There is nothing left.
    Closed,
}

/// The low bits of a wire call id are the place of the call, those above count copies.
const PLACE_BITS: u32 = 20;

/// The client without IO; `W` is what the owner recognises a call by. See the module documentation.
#[derive(Debug)]
pub struct Core<W> {
    config: Config,
    rng: Rng,
    endpoints: Vec<Endpoint>,
    /// Where the search for any endpoint begins: another place for each client, so that they spread.
    home: usize,
    leader: Option<usize>,
    cluster: Option<ClusterIdentity>,
    /// Some endpoint has welcomed us once.
    known: bool,
    session: Session,
    ttl_ms: u64,
    life: Life,

    calls: Vec<Option<Call<W>>>,
    free: Vec<usize>,
    count: u32,
    bytes: u64,
    control: VecDeque<usize>,
    writes: VecDeque<usize>,
    to_leader: VecDeque<usize>,
    to_any: VecDeque<usize>,
    directed: VecDeque<usize>,
    deadlines: BTreeSet<(u64, usize)>,
    waits: BTreeSet<(u64, usize)>,

    watches: BTreeMap<u64, Watch>,
    last_watch: u64,
    /// Which watch each call on a wire belongs to.
    watch_calls: BTreeMap<u64, u64>,
    /// Watches that can be opened, and those that wait for that.
    ready_watches: BTreeSet<u64>,
    watch_waits: BTreeSet<(u64, u64)>,
    /// Watches that have something new.
    news: VecDeque<u64>,

    /// Calls made so far.
    made: u64,
    /// Copies sent so far.
    copies: u64,
    /// Links made so far.
    links: u64,
    actions: VecDeque<Action>,
    done: VecDeque<Done<W>>,
    /// Requests are encoded here first, so that what is kept of them has the right size.
    scratch: Vec<u8>,
}

impl<W> Core<W> {
    /// A client of these endpoints, `host:port` each, connected to none. The seed decides over the order in which they
    /// are asked and over the jitter of waits.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if there are none, more than [`ENDPOINTS_MAX`], or one is not `host:port`; or if the name of
    /// the client is too long.
    pub fn new(config: Config, endpoints: &[String], seed: u64) -> Result<Self, Error> {
        let invalid = |detail: String| Error::before_sending(Kind::Invalid, "make a client", detail);
        let mut unique: Vec<Endpoint> = Vec::new();
        for address in endpoints {
            if !is_address(address) {
                return Err(invalid(format!("{address:?} is no endpoint, which is host:port")));
            }
            if !unique.iter().any(|other| *other.address == **address) {
                unique.push(Endpoint::new(address, false));
            }
        }
        if unique.is_empty() || unique.len() > ENDPOINTS_MAX {
            return Err(invalid(format!(
                "{} endpoints, where 1 to {ENDPOINTS_MAX} are possible",
                unique.len()
            )));
        }
        let mut rng = Rng::new(seed);
        let home = rng.below(unique.len() as u64) as usize;
        let core = Self {
            ttl_ms: config.session_ttl_ms,
            config,
            rng,
            endpoints: unique,
            home,
            leader: None,
            cluster: None,
            known: false,
            session: Session::None,
            life: Life::Open,
            calls: Vec::new(),
            free: Vec::new(),
            count: 0,
            bytes: 0,
            control: VecDeque::new(),
            writes: VecDeque::new(),
            to_leader: VecDeque::new(),
            to_any: VecDeque::new(),
            directed: VecDeque::new(),
            deadlines: BTreeSet::new(),
            waits: BTreeSet::new(),
            watches: BTreeMap::new(),
            last_watch: 0,
            watch_calls: BTreeMap::new(),
            ready_watches: BTreeSet::new(),
            watch_waits: BTreeSet::new(),
            news: VecDeque::new(),
            made: 0,
            copies: 0,
            links: 0,
            actions: VecDeque::new(),
            done: VecDeque::new(),
            scratch: Vec::new(),
        };
        core.new_connection(0).map_err(|error| invalid(error.to_string()))?;
        Ok(core)
    }

    /// Makes a call. How it ends is told by [`next_done`](Self::next_done), with `waiter`. By what is returned it can be
    /// [cancelled](Self::cancel); `None` if it was not taken on.
    pub fn call(&mut self, ask: Ask, waiter: W, now: u64) -> Option<Made> {
        let Ask { work, timeout_ms } = ask;
        let owner = Owner::User(waiter);
        let (payload, lane) = match self.prepare(work) {
            Ok(prepared) => prepared,
            Err((payload, kind, detail)) => {
                self.reject(owner, payload, kind, detail, now);
                return None;
            }
        };
        let bytes = payload_bytes(&payload);
        if self.life != Life::Open {
            self.reject(owner, payload, Kind::Closed, String::new(), now);
        } else if self.count >= self.config.calls_max && !matches!(payload, Payload::KeepLease { .. }) {
            // There are no more renewals than leases, and a lease that is not renewed is lost, whatever else waits.
            let detail = format!("{} calls are under way, and no more are taken on", self.count);
            self.reject(owner, payload, Kind::Overloaded, detail, now);
        } else if self.count > 0 && self.bytes.saturating_add(bytes) > self.config.bytes_max {
            let detail = format!(
                "{bytes} bytes more than the {} under way, where {} are allowed",
                self.bytes, self.config.bytes_max
            );
            self.reject(owner, payload, Kind::Overloaded, detail, now);
        } else {
            let timeout = timeout_ms.unwrap_or(self.config.timeout_ms);
            let made = self.insert(owner, payload, lane, now.saturating_add(timeout), now);
            self.advance(now);
            self.fail_if_hopeless(now);
            return Some(made);
        }
        None
    }

    /// Nobody waits for a call any more: it ends now, and gives its room to others. A write goes on: it may be under way, and
    /// its session has to know what came of it. Nothing happens to a call that has ended.
    pub fn cancel(&mut self, made: Made, now: u64) {
        let Made { index, number } = made;
        if self.call_at(index).is_some_and(|call| call.number == number && !call.is_write()) {
            self.fail(index, Kind::Closed, "nobody waits for it".to_owned(), now);
            self.advance(now);
        }
    }

    /// What the owner is to do next; `None` if nothing.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// A call that has ended; `None` if no further one has.
    pub fn next_done(&mut self) -> Option<Done<W>> {
        self.done.pop_front()
    }

    /// When [`tick`](Self::tick) has something to do if nothing else happens before; `None` for never.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let calls = self.deadlines.first().map(|(at, _)| *at);
        let waits = self.waits.first().map(|(at, _)| *at);
        let watches = self.watch_waits.first().map(|(at, _)| *at);
        let keep = match &self.session {
            Session::Open(open) if self.life == Life::Open => Some(open.keep_at),
            Session::Open(_) | Session::Opening | Session::None => None,
        };
        let leaving = match self.life {
            Life::Leaving { until } => Some(until),
            Life::Open | Life::Closing | Life::Closed => None,
        };
        let links = self.endpoints.iter().filter_map(|endpoint| self.link_deadline(endpoint)).min();
        [calls, waits, watches, keep, leaving, links].into_iter().flatten().min()
    }

    /// Does what is due. What has arrived must have been given to [`received`](Self::received) first.
    pub fn tick(&mut self, now: u64) {
        for endpoint in 0..self.endpoints.len() {
            self.tick_link(endpoint, now);
        }
        while let Some(&(at, index)) = self.deadlines.first()
            && at <= now
        {
            self.expire(index, now);
        }
        while let Some(&(at, index)) = self.waits.first()
            && at <= now
        {
            self.requeue(index);
        }
        self.keep_session(now);
        if let Life::Leaving { until } = self.life
            && until <= now
        {
            self.drop_everything(now);
        }
        self.advance(now);
        self.fail_if_hopeless(now);
    }

    /// Takes no more calls, finishes those under way, then closes the session and the connections.
    pub fn close(&mut self, now: u64) {
        if self.life == Life::Open {
            self.life = Life::Closing;
            self.end_watches();
        }
        self.advance(now);
    }

    /// The same, with nobody left who waits for a call: those under way end at once.
    pub fn abandon(&mut self, now: u64) {
        self.fail_users(Kind::Closed, now);
        self.close(now);
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// How many calls are under way or waiting, those of the session included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.count
    }

    /// The cluster that welcomed this client first, at the latest epoch that it has shown.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterIdentity> {
        self.cluster
    }

    /// The session, if one is open.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match &self.session {
            Session::Open(open) => Some(open.session()),
            Session::Opening | Session::None => None,
        }
    }

    /// The endpoints and how each is.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let view = |(index, endpoint): (usize, &Endpoint)| EndpointView {
            address: endpoint.address.to_string(),
            node: endpoint.node,
            learned: endpoint.learned,
            connected: endpoint.usable(),
            leader: self.leader == Some(index),
            breaker: endpoint.breaker.state(),
            last_failure: endpoint.last.as_ref().map(|(what, _)| what.clone()),
        };
        self.endpoints.iter().enumerate().map(view).collect()
    }

    /// What a work comes to as a payload, and the lane it waits in.
    fn prepare(&mut self, work: Work) -> Result<(Payload, Lane), (Payload, Kind, String)> {
        Ok(match work {
            Work::Connect => (Payload::Connect, Lane::Any),
            Work::Submit { mut request, exactly_once } => {
                let keyed = call::keyed(&request, exactly_once.unwrap_or(self.config.exactly_once));
                if keyed == Keyed::Session {
                    // Only the room for it: the numbers are filled in when it is sent.
                    request.key = RequestKey::Session { session: SessionId(0), sequence: 0, low: 0 };
                }
                let request = self.encode(|out| request.write(out));
                let lane = if keyed == Keyed::Session { Lane::Session } else { Lane::Leader };
                (Payload::Submit { request, keyed }, lane)
            }
            Work::Read { range, consistency, max_stale_ms, min_position } => {
                let range = self.encode(|out| range.write(out));
                let lane = match consistency {
                    Consistency::Linearizable => Lane::Leader,
                    Consistency::Follower | Consistency::Stale => Lane::Any,
                };
                (Payload::Read { range, consistency, max_stale_ms, min_position }, lane)
            }
            Work::Query { query, consistency, max_stale_ms, min_position } => {
                let lane = match consistency {
                    Consistency::Linearizable => Lane::Leader,
                    Consistency::Follower | Consistency::Stale => Lane::Any,
                };
                let query = query.encode();
                (Payload::Query { query, consistency, max_stale_ms, min_position }, lane)
            }
            Work::QueryAt(address, query) => {
                let (query, consistency) = (query.encode(), Consistency::Follower);
                self.direct(
                    Payload::Query { query, consistency, max_stale_ms: 0, min_position: None },
                    &address,
                )?
            }
            // Ahead of all that waits for the leader: a lease that is renewed late is lost.
            Work::KeepLease(lease) => (Payload::KeepLease { lease }, Lane::Control),
            Work::ChangeMembers(change) => (Payload::ChangeMembers(change), Lane::Leader),
            Work::Status(address) => self.direct(Payload::Status, &address)?,
            Work::Stats(address) => self.direct(Payload::Stats, &address)?,
            Work::Trace(address, trace) => self.direct(Payload::Trace(trace), &address)?,
            Work::Examine(address) => self.direct(Payload::Examine, &address)?,
            Work::SaveSnapshot(address, save) => self.direct(Payload::SaveSnapshot(save), &address)?,
        })
    }

    fn direct(
        &mut self,
        payload: Payload,
        address: &str,
    ) -> Result<(Payload, Lane), (Payload, Kind, String)> {
        match self.endpoint_at(address) {
            Some(endpoint) => Ok((payload, Lane::Directed(endpoint))),
            None => Err((payload, Kind::Invalid, format!("{address:?} cannot be another endpoint"))),
        }
    }

    fn encode(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bytes::Bytes {
        self.scratch.clear();
        write(&mut self.scratch);
        let encoded = bytes::Bytes::copy_from_slice(&self.scratch);
        if self.scratch.capacity() > 64 * 1024 {
            self.scratch = Vec::new();
        }
        encoded
    }

    /// Ends a call that was never taken on.
    fn reject(&mut self, owner: Owner<W>, payload: Payload, kind: Kind, detail: String, now: u64) {
        let mut call = new_call(owner, payload, Lane::Control, now, now);
        let error = call.error(kind, Outcome::NotApplied, detail, now);
        self.tell(call.owner, Err(error), now);
    }

    fn insert(&mut self, owner: Owner<W>, payload: Payload, lane: Lane, deadline: u64, now: u64) -> Made {
        let mut call = new_call(owner, payload, lane, deadline, now);
        self.made += 1;
        let number = self.made;
        call.number = number;
        self.count += 1;
        self.bytes += call.bytes;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.calls.push(None);
                self.calls.len() - 1
            }
        };
        if let Some(place) = self.calls.get_mut(index) {
            *place = Some(call);
        }
        self.deadlines.insert((deadline, index));
        self.queue(lane).push_back(index);
        Made { index, number }
    }

    fn call_at(&mut self, index: usize) -> Option<&mut Call<W>> {
        self.calls.get_mut(index).and_then(Option::as_mut)
    }

    fn queue(&mut self, lane: Lane) -> &mut VecDeque<usize> {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Session => &mut self.writes,
            Lane::Leader => &mut self.to_leader,
            Lane::Any => &mut self.to_any,
            Lane::Directed(_) => &mut self.directed,
        }
    }

    /// Puts a call in front of its queue: it is older than what waits there, and what waits there may wait for it,
    /// since the window of the session moves with the oldest.
    fn requeue(&mut self, index: usize) {
        let Some(call) = self.call_at(index) else { return };
        let (lane, place) = (call.lane, call.place);
        call.place = Place::Queued;
        if let Place::Waiting { until } = place {
            self.waits.remove(&(until, index));
        }
        self.queue(lane).push_front(index);
    }

    /// Tries a call again after a wait: at least `least_ms`, or none at all if `at_once`.
    fn retry(&mut self, index: usize, least_ms: u64, at_once: bool, now: u64) {
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        let left = call.deadline.saturating_sub(now);
        if left <= least_ms {
            self.fail(index, Kind::TimedOut, String::new(), now);
            return;
        }
        if at_once && least_ms == 0 {
            self.requeue(index);
            return;
        }
        let wait = backoff::retry(call.tries, &mut self.rng);
        call.tries += 1;
        // A last try before the deadline rather than none.
        let wait = wait.min(left - left / 4).max(least_ms).max(1);
        let until = now.saturating_add(wait);
        call.place = Place::Waiting { until };
        self.waits.insert((until, index));
    }

    /// Ends a call with an error; its outcome is what is known of its copies.
    fn fail(&mut self, index: usize, kind: Kind, detail: String, now: u64) {
        let Some(call) = self.call_at(index) else { return };
        let outcome = call.outcome();
        self.fail_with(index, kind, outcome, detail, now);
    }

    fn fail_with(&mut self, index: usize, kind: Kind, outcome: Outcome, detail: String, now: u64) {
        let untried = self.untried(index, kind, now);
        let Some(call) = self.call_at(index) else { return };
        call.attempts.extend(untried);
        let outcome = if call.is_write() { outcome } else { Outcome::NotApplied };
        let error = call.error(kind, outcome, detail, now);
        self.finish(index, Err(error), now);
    }

    /// What there is to say of the endpoints that a call has not tried.
    fn untried(&self, index: usize, kind: Kind, now: u64) -> Vec<Attempt> {
        let Some(Some(call)) = self.calls.get(index) else { return Vec::new() };
        let only = match call.lane {
            Lane::Directed(endpoint) => Some(endpoint),
            Lane::Control | Lane::Session | Lane::Leader | Lane::Any => None,
        };
        if !matches!(kind, Kind::TimedOut | Kind::NoEndpoint | Kind::Incompatible) {
            return Vec::new();
        }
        let mut untried = Vec::new();
        for (place, endpoint) in self.endpoints.iter().enumerate() {
            let tried = call.attempts.iter().any(|attempt| attempt.endpoint == *endpoint.address);
            if tried || only.is_some_and(|only| only != place) {
                continue;
            }
            let (what, ms) = match (&endpoint.link, &endpoint.last) {
                (_, Some((what, ms))) => (what.clone(), *ms),
                (Link::Up(up), None) if up.accepted => (What::NotAsked, 0),
                (Link::Up(up), None) => (What::Connecting, now.saturating_sub(up.since)),
                (Link::Dialing { since, .. }, None) => (What::Connecting, now.saturating_sub(*since)),
                (Link::Idle, None) => (What::NotAsked, 0),
            };
            untried.push(Attempt { endpoint: endpoint.address.to_string(), node: endpoint.node, what, ms });
        }
        untried
    }

    /// Takes a call out and tells its owner.
    fn finish(&mut self, index: usize, result: Result<Answer, Error>, now: u64) {
        let Some(call) = self.calls.get_mut(index).and_then(Option::take) else { return };
        self.free.push(index);
        self.count -= 1;
        self.bytes -= call.bytes;
        self.deadlines.remove(&(call.deadline, index));
        match call.place {
            Place::Queued => {}
            Place::Waiting { until } => {
                self.waits.remove(&(until, index));
            }
            Place::Sent { endpoint, .. } => {
                if let Some(up) = self.endpoints.get_mut(endpoint).and_then(Endpoint::up) {
                    up.sent = up.sent.saturating_sub(1);
                }
            }
        }
        if let (Some(bound), Session::Open(open)) = (call.bound, &mut self.session) {
            open.finish(bound);
        }
        self.tell(call.owner, result, now);
    }

    fn tell(&mut self, owner: Owner<W>, result: Result<Answer, Error>, now: u64) {
        match owner {
            Owner::User(waiter) => self.done.push_back(Done { waiter, result }),
            Owner::Opening => self.session_opened(result, now),
            Owner::Keeping => {
                if let Session::Open(open) = &mut self.session {
                    // One that was not answered is followed by another at once: the session may be near its end.
                    let timed_out = result.is_err_and(|error| error.kind == Kind::TimedOut);
                    open.keep_at = if timed_out { now } else { now.saturating_add(self.ttl_ms / 3) };
                }
            }
            Owner::Closing => self.session = Session::None,
        }
    }

    /// The deadline of a call has come.
    fn expire(&mut self, index: usize, now: u64) {
        let Some(Some(call)) = self.calls.get_mut(index) else {
            self.deadlines.retain(|(_, other)| *other != index);
            return;
        };
        if let Place::Sent { endpoint, at, .. } = call.place {
            call.uncertain = true;
            if let Some(endpoint) = self.endpoints.get(endpoint) {
                call.note(&endpoint.address, endpoint.node, What::NoAnswer, now.saturating_sub(at));
            }
        }
        // A write that waits for its session has tried what the session has tried.
        let is_opening = |call: &&Call<W>| matches!(call.owner, Owner::Opening);
        let opening = match self.session {
            Session::Opening => self.calls.iter().flatten().find(is_opening),
            Session::None | Session::Open(_) => None,
        };
        if let Some((tried, met)) = opening.map(|opening| (opening.attempts.clone(), opening.met.clone())) {
            self.lend(index, &tried, met.as_deref());
        }
        self.fail(index, Kind::TimedOut, String::new(), now);
    }

    /// Tells a write that waits for its session, and has tried nothing itself, what was tried for it.
    fn lend(&mut self, index: usize, tried: &[Attempt], met: Option<&call::Met>) {
        if let Some(call) = self.call_at(index)
            && call.lane == Lane::Session
            && call.attempts.is_empty()
        {
            call.attempts = tried.to_vec();
            call.met = met.cloned().map(Box::new);
        }
    }

    /// All that can be done now: connections that are wanted, calls that can be sent, the next step of an end.
    fn advance(&mut self, now: u64) {
        self.dial_wanted(now);
        self.dispatch(now);
        self.dispatch_watches(now);
        if self.life != Life::Open {
            self.advance_end(now);
        }
    }

    /// Asks for a session.
    fn open_session(&mut self, now: u64) {
        self.session = Session::Opening;
        let request = Request::from(Command::OpenSession(OpenSession { ttl_ms: self.ttl_ms }));
        let request = self.encode(|out| request.write(out));
        // One that was opened and not heard of ends by itself: a second copy does no harm.
        let payload = Payload::Submit { request, keyed: Keyed::Own };
        let deadline = now.saturating_add(self.config.timeout_ms);
        self.insert(Owner::Opening, payload, Lane::Control, deadline, now);
    }

    /// The cluster has given the session its number, or has not.
    fn session_opened(&mut self, result: Result<Answer, Error>, now: u64) {
        self.session = Session::None;
        let error = match result {
            Ok(Answer::Written { reply: holdfast_command::Reply::SessionOpened { session }, .. }) => {
                self.session = Session::Open(Sequences::new(session, now.saturating_add(self.ttl_ms / 3)));
                return;
            }
            Ok(_) => Error::before_sending(Kind::Unreadable, "open a session", "an answer of another kind"),
            Err(error) => error,
        };
        match (&error.kind, error.refusal) {
            // The nearest that the cluster allows.
            (_, Some(holdfast_command::Refusal::TtlOutOfRange { bound_ms, .. }))
                if self.ttl_ms != bound_ms =>
            {
                self.ttl_ms = bound_ms;
            }
            // Whoever still waits asks for it again, and knows what was tried.
            (Kind::TimedOut, _) => {
                let met = met_by(&error);
                for index in self.writes.clone() {
                    self.lend(index, &error.tried, met.as_deref());
                }
            }
            _ => {
                let waiting: Vec<usize> = self.writes.drain(..).collect();
                for index in waiting {
                    self.fail_like(index, &error, now);
                }
            }
        }
    }

    /// Ends a write as the opening of its session ended.
    fn fail_like(&mut self, index: usize, error: &Error, now: u64) {
        let Some(call) = self.call_at(index) else { return };
        if call.lane != Lane::Session || call.place != Place::Queued {
            return;
        }
        call.met = met_by(error);
        let detail = format!("no session could be opened{}", separated(&error.detail));
        self.fail(index, error.kind, detail, now);
    }

    /// Renews the session if that is due.
    fn keep_session(&mut self, now: u64) {
        let third = self.ttl_ms / 3;
        let Session::Open(open) = &mut self.session else { return };
        if self.life != Life::Open || now < open.keep_at {
            return;
        }
        let deadline = now.saturating_add(third.max(1));
        // Not again before this one has ended.
        open.keep_at = deadline.saturating_add(1);
        let session = open.session().0;
        self.insert(Owner::Keeping, Payload::Keep { session }, Lane::Control, deadline, now);
    }

    /// A request of the session was answered that was sent at `at`, so the session was alive then.
    fn session_heard(&mut self, session: SessionId, at: u64) {
        if let Session::Open(open) = &mut self.session
            && open.session() == session
        {
            open.keep_at = open.keep_at.max(at.saturating_add(self.ttl_ms / 3));
        }
    }

    /// The cluster does not know this session any more.
    fn session_lost(&mut self, lost: SessionId) {
        if self.session() == Some(lost) {
            self.session = Session::None;
        }
    }

    /// The next step of the end.
    fn advance_end(&mut self, now: u64) {
        if self.life == Life::Closing && self.count == 0 {
            self.life = Life::Leaving { until: now.saturating_add(CLOSE_MS) };
            if let Session::Open(open) = &self.session {
                let close = Command::CloseSession(CloseSession { session: open.session() });
                let request = self.encode(|out| Request::from(close).write(out));
                let payload = Payload::Submit { request, keyed: Keyed::Own };
                self.insert(Owner::Closing, payload, Lane::Control, now.saturating_add(CLOSE_MS), now);
                self.dispatch(now);
            }
        }
        if matches!(self.life, Life::Leaving { .. }) && self.count == 0 {
            self.leave_links(now);
            if self.endpoints.iter().all(|endpoint| matches!(endpoint.link, Link::Idle)) {
                self.life = Life::Closed;
            }
        }
    }

    fn drop_everything(&mut self, now: u64) {
        for index in 0..self.calls.len() {
            self.fail(index, Kind::Closed, String::new(), now);
        }
        for endpoint in &mut self.endpoints {
            endpoint.link = Link::Idle;
        }
        self.life = Life::Closed;
    }

    /// Ends all calls of users.
    fn fail_users(&mut self, kind: Kind, now: u64) {
        for index in 0..self.calls.len() {
            let Some(call) = self.call_at(index) else { continue };
            if matches!(call.owner, Owner::User(_)) {
                call.uncertain |= matches!(call.place, Place::Sent { .. });
                self.fail(index, kind, String::new(), now);
            }
        }
    }
}

fn new_call<W>(owner: Owner<W>, payload: Payload, lane: Lane, deadline: u64, now: u64) -> Call<W> {
    Call {
        number: 0,
        bytes: payload_bytes(&payload),
        owner,
        payload,
        lane,
        place: Place::Queued,
        started: now,
        deadline,
        bound: None,
        uncertain: false,
        tries: 0,
        redirects: 0,
        sessions: 0,
        avoid: None,
        met: None,
        attempts: Vec::new(),
        attempts_before: 0,
    }
}

fn payload_bytes(payload: &Payload) -> u64 {
    match payload {
        Payload::Submit { request, .. } => request.len() as u64,
        Payload::Read { range, .. } => range.len() as u64,
        Payload::Query { query, .. } => query.len() as u64,
        Payload::ChangeMembers(change) => change.peer.len() as u64,
        Payload::Connect
        | Payload::Keep { .. }
        | Payload::KeepLease { .. }
        | Payload::Status
        | Payload::Stats
        | Payload::Trace(_)
        | Payload::Examine
        | Payload::SaveSnapshot(_) => 0,
    }
}

/// The refusal that an error tells of.
fn met_by(error: &Error) -> Option<Box<call::Met>> {
    (error.code_number != 0).then(|| {
        Box::new(call::Met {
            code: error.code_number,
            particulars: error.refusal.map_or([0; 2], |refusal| refusal.particulars()),
            detail: String::new(),
        })
    })
}

fn separated(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}
