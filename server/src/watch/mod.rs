//! Watches: who is told of which change, from history on, without a gap and without a repetition.
//!
//! # Why not one list with a cursor per connection
//! The first plan was a list of all revisions, which each connection walks with a cursor of its own. Then every
//! connection looks at every event: a put costs as many looks as there are connections, wanted or not, and one idle
//! connection keeps the list alive behind it. Here a change is looked up in an index of spans once, and put into the queues
//! of the connections that want it: a put that nobody watches costs that look, and nothing waits that nobody has asked for.
//! The bytes of an event are made once (twice if some want the version before) and shared.
//!
//! # Shape
//! ```text
//!   apply ── publish(store) ──► index ──► queue of each connection concerned ──► take() ──► socket
//!                                            ▲        │ full: the watch remembers the revision, and nothing
//!                                            │        ▼ more is queued for it
//!   history ◄── advance(store) ── pieces ────┴──── drained
//! ```
//! | file | what stands there |
//! |---|---|
//! | `publish` | from an entry to the queues of those who want what it changed |
//! | `catch_up` | from history to the queue of a watch that is behind, until it is live |
//! | `machine` | machine 13 |
//! | `index` | which watches want a key |
//! | `event` | changes as bytes |
//! | `queue` | what waits for a connection, as messages |
//! | `piece` | reading history |
//! | `limits` | every bound |
//! | `plant` | rules left out on purpose, for tests |
//!
//! # Invariants
//! - A watch in Live was given every published revision that it wants, from its first on. One in Splicing or Behind was
//!   given every one below the revision that it remembers. So when what it remembers is one more than what is published, it
//!   may join the live ones, and only then.
//! - The queue of a connection keeps order, so a mark behind the events says no more than they do.
//! - A watch leaves by an end that names where to resume, or because its connection is gone.
//! - Memory: what a queue holds is bounded by [`Budget`]; a watch that is behind holds none.
//! - It is published after each entry, so that a compaction that stands right behind a write takes nothing away.
//!
//! # What this leaves out
//! Who may see a key: access control comes with its own issue, and will cut watches too.

pub mod limits;
pub mod machine;
pub mod plant;

mod catch_up;
mod event;
mod index;
mod piece;
mod publish;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use holdfast_command::Refusal;
use holdfast_command::keys::Span;
use holdfast_machine::{Machine, Numbered, Trace, decide};
use holdfast_store::{Plant as StorePlant, Store};
use holdfast_wire::Message;
use holdfast_wire::message::{WatchEnded, WatchStarted};

pub use event::Wants;
use index::Index;
pub use limits::Budget;
use limits::ENTRY_BYTES;
use machine::{Edge, Event, State, WatchMachine};
use piece::Place;
pub use piece::{Piece, Spliced};
use plant::{Bug, NoPlant, Plant};
use queue::{Entry, Queue};

use crate::node::Caller;

/// Steps of machine 13 that are remembered for a post-mortem.
const TRACED: usize = 16;

/// What a client wants to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which keys.
    pub span: Span,
    /// What of their changes.
    pub wants: Wants,
    /// From which revision on; 0 for the next.
    pub from: u64,
    /// What has to have been applied before.
    pub index: u64,
}

/// What became of a request for a watch.
pub type Opened = Result<WatchStarted, Refusal>;

/// Work for another thread.
pub type Jobs<P> = Vec<Piece<P>>;

#[derive(Debug)]
struct Watch {
    state: State,
    /// Which life of it: what was read for an earlier one is void.
    serial: u64,
    ask: Ask,
    /// Nothing below this revision is delivered.
    from: u64,
    /// In Splicing and Behind: where to go on.
    at: Place,
    /// Up to where its client knows that it has everything, once it has what is queued.
    told: u64,
    /// Its client wants to be told now.
    is_asked: bool,
}

/// What has been collected for one watch of one revision.
#[derive(Debug, Default)]
struct Gathered {
    events: Vec<bytes::Bytes>,
    cost: usize,
}

/// All watches of a node.
#[derive(Debug)]
pub struct Hub<P: Plant = NoPlant> {
    budget: Budget,
    /// Every revision up to this one was looked at.
    published: u64,
    watches: BTreeMap<Caller, Watch>,
    /// Those in Opening, by what has to be applied.
    opening: BTreeSet<(u64, Caller)>,
    index: Index,
    queues: BTreeMap<u64, Queue>,
    /// What all queues hold, and what is kept for what is being read.
    bytes: usize,
    /// Connections that something waits for.
    ready: BTreeSet<u64>,
    /// Connections for which history can be read now.
    hungry: BTreeSet<u64>,
    /// The connection that history was read for last.
    fed: u64,
    /// Pieces that are being read elsewhere.
    reading: usize,
    last_serial: u64,
    /// The watch that was last looked at for a mark.
    marked: Option<Caller>,
    trace: Trace<WatchMachine, TRACED>,
    /// Those that were refused before they began, and have not been told.
    refused: Vec<(Caller, Opened)>,
    /// Kept for its memory.
    found: Vec<Caller>,
    plant: PhantomData<P>,
}

impl<P: Plant> Hub<P> {
    /// A hub that will publish what comes behind this revision.
    #[must_use]
    pub fn new(budget: Budget, published: u64) -> Self {
        Self {
            budget,
            published,
            watches: BTreeMap::new(),
            opening: BTreeSet::new(),
            index: Index::default(),
            queues: BTreeMap::new(),
            bytes: 0,
            ready: BTreeSet::new(),
            hungry: BTreeSet::new(),
            fed: 0,
            reading: 0,
            last_serial: 0,
            marked: None,
            trace: Trace::new(),
            refused: Vec::new(),
            found: Vec::new(),
            plant: PhantomData,
        }
    }

    /// Opens a watch under the call of its client. None if it has to wait for the position that it names:
    /// [`advance`](Self::advance) tells later.
    ///
    /// # Errors
    /// Why there is none: [`Refusal::EmptyKey`], [`Refusal::EmptySpan`], [`Refusal::Contradiction`] for a call that is
    /// a watch already, [`Refusal::Overloaded`], [`Refusal::Compacted`].
    pub fn open(
        &mut self,
        caller: Caller,
        ask: Ask,
        store: &Store<impl StorePlant>,
    ) -> Result<Option<WatchStarted>, Refusal> {
        match &ask.span {
            Span::Key(key) if key.is_empty() => return Err(Refusal::EmptyKey),
            Span::Between { start, end } if start >= end => return Err(Refusal::EmptySpan),
            Span::Key(_) | Span::Between { .. } | Span::From(_) => {}
        }
        if self.watches.contains_key(&caller) {
            return Err(Refusal::Contradiction);
        }
        let of_connection = self.queues.get(&caller.connection).map_or(0, |queue| queue.watches);
        if of_connection >= self.budget.connection_watches || self.watches.len() >= self.budget.node_watches {
            let retry_after_ms = crate::node::limits::RETRY_AFTER_MS.into();
            return Err(Refusal::Overloaded { retry_after_ms });
        }
        self.last_serial += 1;
        let (serial, index) = (self.last_serial, ask.index);
        let (state, at) = (WatchMachine::INITIAL, Place::default());
        let watch = Watch { state, serial, ask, from: 0, at, told: 0, is_asked: false };
        self.watches.insert(caller, watch);
        self.queues.entry(caller.connection).or_default().watches += 1;
        if index > store.applied().index {
            self.opening.insert((index, caller));
            return Ok(None);
        }
        self.begin(caller, store).map(Some)
    }

    /// A watch begins.
    fn begin(&mut self, caller: Caller, store: &Store<impl StorePlant>) -> Opened {
        let published = self.published;
        let Some(watch) = self.watches.get_mut(&caller) else { return Err(Refusal::Contradiction) };
        let from = if watch.ask.from == 0 { published + 1 } else { watch.ask.from };
        let is_past = from <= published;
        if is_past && let Err(gone) = store.changes(from).map(|_| ()) {
            self.shift(caller, Event::HistoryGone);
            self.forget(caller);
            return Err(gone);
        }
        watch.from = from;
        watch.told = if is_past { from - 1 } else { published };
        watch.at = Place { revision: from, skip: 0 };
        self.index.insert(&watch.ask.span, caller);
        if is_past {
            self.shift(caller, Event::PastWanted);
            self.lag(caller);
        } else {
            self.shift(caller, Event::FutureWanted);
        }
        Ok(WatchStarted { from, revision: published })
    }

    /// The client of a watch wants no more of it. What is queued for it still goes out, then its end.
    pub fn cancel(&mut self, caller: Caller, store: &Store<impl StorePlant>) {
        // It may have ended by itself while the wish was on its way.
        let Some(watch) = self.watches.get(&caller) else { return };
        let asked = watch.ask.index;
        let refusal = Refusal::PositionNotReached { applied: store.applied().index, asked };
        self.dismiss(caller, 0, refusal, store);
    }

    /// A connection is gone, and all of its watches with it.
    pub fn close(&mut self, connection: u64) {
        let all = Caller { connection, call: 0 }..=Caller { connection, call: u64::MAX };
        let callers: Vec<Caller> = self.watches.range(all).map(|(caller, _)| *caller).collect();
        for caller in callers {
            self.shift(caller, Event::Dismissed);
            self.forget(caller);
        }
        self.drop_queue(connection);
    }

    fn drop_queue(&mut self, connection: u64) {
        if let Some(queue) = self.queues.remove(&connection) {
            self.bytes -= queue.taken();
        }
        self.ready.remove(&connection);
        self.hungry.remove(&connection);
    }

    /// Ends all watches for this reason: the node stops, or knows no leader.
    pub fn end_all(&mut self, why: Refusal, store: &Store<impl StorePlant>) {
        let callers: Vec<Caller> = self.watches.keys().copied().collect();
        for caller in callers {
            self.dismiss(caller, why.code().number(), why, store);
        }
    }

    /// Ends a watch; one that has not begun is refused instead.
    fn dismiss(&mut self, caller: Caller, code: u16, refusal: Refusal, store: &Store<impl StorePlant>) {
        let is_opening = self.state(caller) == Some(State::Opening);
        self.shift(caller, Event::Dismissed);
        if is_opening {
            self.forget(caller);
            self.refused.push((caller, Err(refusal)));
        } else {
            self.end(caller, code, store.oldest());
        }
    }

    /// Tells a watch that it has ended, and forgets it.
    fn end(&mut self, caller: Caller, code: u16, oldest: u64) {
        let Some(watch) = self.watches.get(&caller) else { return };
        let lags =
            self.queues.get(&caller.connection).is_some_and(|queue| queue.lagging.contains(&caller.call));
        let lags = lags && !P::plants(Bug::ResumesTooLate);
        let resume = if lags { watch.at.revision } else { watch.from.max(self.published + 1) };
        self.forget(caller);
        self.push(caller, |call| Entry::Ended { call, ended: WatchEnded { code, resume, oldest } });
    }

    /// Everything that is known of a watch but what is queued.
    fn forget(&mut self, caller: Caller) {
        let Some(watch) = self.watches.remove(&caller) else { return };
        self.opening.remove(&(watch.ask.index, caller));
        if watch.from > 0 {
            self.index.remove(&watch.ask.span, caller);
        }
        if let Some(queue) = self.queues.get_mut(&caller.connection) {
            queue.watches -= 1;
            queue.lagging.remove(&caller.call);
        }
        self.refresh(caller.connection);
    }

    /// The only place where the state of a watch changes.
    fn shift(&mut self, caller: Caller, event: Event) {
        let Some(watch) = self.watches.get_mut(&caller) else { return };
        let Some(edge) = decide::<WatchMachine>(watch.state, event) else { return };
        self.trace.record(self.published, watch.state, event, edge);
        watch.state = WatchMachine::target(edge);
    }

    /// Puts something into the queue of a connection.
    fn push(&mut self, caller: Caller, entry: impl FnOnce(u64) -> Entry) {
        let entry = entry(caller.call);
        self.bytes += entry.cost();
        self.queues.entry(caller.connection).or_default().push(entry);
        self.ready.insert(caller.connection);
    }

    /// A watch is in Splicing or Behind from now on.
    fn lag(&mut self, caller: Caller) {
        self.queues.entry(caller.connection).or_default().lagging.insert(caller.call);
        self.refresh(caller.connection);
    }

    /// Whether history can be read for this connection: some watch lags, nothing is being read, and there is room.
    fn refresh(&mut self, connection: u64) {
        let Some(queue) = self.queues.get(&connection) else { return };
        if queue.watches == 0 && queue.is_empty() && queue.reserved.is_none() {
            return self.drop_queue(connection);
        }
        // Where all queues together are full, an empty one still gets a piece.
        let of_node = self.bytes + self.budget.piece_bytes <= self.budget.node_bytes || queue.is_empty();
        let has_room = queue.bytes() <= self.budget.connection_bytes / 2 && of_node;
        if !queue.lagging.is_empty() && queue.reserved.is_none() && has_room {
            self.hungry.insert(connection);
        } else {
            self.hungry.remove(&connection);
        }
    }

    /// A client wants to know how far its watch is, as soon as it has caught up.
    pub fn ask(&mut self, caller: Caller) {
        let Some(watch) = self.watches.get_mut(&caller) else { return };
        watch.is_asked = true;
        if watch.state == State::Live {
            self.mark(caller);
        }
    }

    /// A tick has passed: some watches are told how far they are, if that is further than they know.
    pub fn tick(&mut self) {
        let turns = self.watches.len().div_ceil(self.budget.mark_ticks.max(1));
        for _ in 0..turns {
            let after = match self.marked {
                Some(marked) => (std::ops::Bound::Excluded(marked), std::ops::Bound::Unbounded),
                None => (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
            };
            let Some((caller, watch)) = self.watches.range(after).next() else {
                self.marked = None;
                continue;
            };
            let caller = *caller;
            self.marked = Some(caller);
            let is_due = watch.is_asked || (watch.ask.wants.progress && watch.told < self.published);
            let is_live =
                watch.state == State::Live || (P::plants(Bug::MarkTooEarly) && watch.state != State::Opening);
            if is_due && is_live {
                self.mark(caller);
            }
        }
    }

    /// Everything published was queued for a watch: says so behind it, if there is room.
    fn mark(&mut self, caller: Caller) {
        let revision = self.published;
        if !self.has_room(caller.connection, ENTRY_BYTES) {
            // Another tick.
            return;
        }
        if let Some(watch) = self.watches.get_mut(&caller) {
            watch.told = revision;
            watch.is_asked = false;
            self.push(caller, |call| Entry::Progress { call, revision });
        }
    }

    /// The state was replaced by that of a snapshot. Each watch goes on behind the last revision that was queued for it,
    /// out of the history that the snapshot brought, or is told that it is gone. What is queued was committed, and stays.
    pub fn reinstalled(&mut self, store: &Store<impl StorePlant>) {
        let before = self.published;
        self.published = store.revision();
        let callers: Vec<Caller> = self.watches.keys().copied().collect();
        for caller in callers {
            let Some(watch) = self.watches.get_mut(&caller) else { continue };
            // What is being read for it is of the state before.
            self.last_serial += 1;
            watch.serial = self.last_serial;
            match watch.state {
                State::Live => {
                    let next = if P::plants(Bug::RepeatedAfterInstall) { before } else { before + 1 };
                    watch.from = watch.from.max(next);
                    watch.at = Place { revision: watch.from, skip: 0 };
                    self.shift(caller, Event::Reinstalled);
                    self.lag(caller);
                }
                State::Splicing | State::Behind => {
                    watch.at.skip = 0;
                    self.shift(caller, Event::Reinstalled);
                    self.lag(caller);
                }
                State::Opening | State::Ended => {}
            }
        }
    }

    /// Connections that something waits for.
    #[must_use]
    pub fn ready(&self) -> Vec<u64> {
        self.ready.iter().copied().collect()
    }

    /// Whether something waits for any connection.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What waits for a connection, as messages with their calls, until they have some `room` bytes; the last may go
    /// beyond. Says whether more waits.
    pub fn take(&mut self, connection: u64, room: usize, out: &mut Vec<(u64, Message)>) -> bool {
        let Some(queue) = self.queues.get_mut(&connection) else { return false };
        let mut given = 0;
        while given < room {
            let before = queue.bytes();
            let Some(message) = queue.pop::<P>(self.budget.batch_bytes) else { break };
            given += before - queue.bytes();
            out.push(message);
        }
        self.bytes -= given;
        let more = !queue.is_empty();
        if !more {
            self.ready.remove(&connection);
        }
        self.refresh(connection);
        more
    }

    /// How many watches there are.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Where a watch is; none if there is no such.
    #[must_use]
    pub fn state(&self, caller: Caller) -> Option<State> {
        self.watches.get(&caller).map(|watch| watch.state)
    }

    /// Bytes that wait for all connections, and that are kept for what is being read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every revision up to this one was looked at.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published
    }

    /// How often watches took this edge of machine 13.
    #[must_use]
    pub fn edges(&self, edge: Edge) -> u64 {
        self.trace.count(edge)
    }

    /// What is not as it should be, in words; for tests.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let sum: usize = self.queues.values().map(Queue::taken).sum();
        if sum != self.bytes {
            faults.push(format!("{} bytes counted, {sum} there", self.bytes));
        }
        for (connection, queue) in &self.queues {
            let own = |caller: &&Caller| caller.connection == *connection;
            let count = self.watches.keys().filter(own).count();
            if count != queue.watches {
                faults.push(format!("{} watches counted, {count} there", queue.watches));
            }
            if queue.is_empty() == self.ready.contains(connection) {
                faults.push(format!(
                    "connection {connection} is ready without a reason, or has one and is not"
                ));
            }
            // Beyond the budget: one event that is longer than all of it, marks and ends.
        }
        for (caller, watch) in &self.watches {
            let queue = self.queues.get(&caller.connection);
            let lags = queue.is_some_and(|queue| queue.lagging.contains(&caller.call));
            if lags != matches!(watch.state, State::Splicing | State::Behind) {
                faults.push(format!("{caller:?} is in {:?} and lags: {lags}", watch.state));
            }
        }
        faults
    }
}
