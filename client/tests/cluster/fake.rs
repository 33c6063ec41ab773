//! A cluster in memory, as unkind as a real one may be: connections that break at any byte, leaders that change with
//! entries under way, entries that are executed long after their client gave up, sessions that expire.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use holdfast_client::command::outcome::{KeyValue, RangePage};
use holdfast_client::command::{Code, Command, Outcome, Refusal, Reply, Request, RequestKey, SessionId};
use holdfast_client::core::{Action, Core, Done, LinkId, Rng};
use holdfast_client::{Consistency, What};
use holdfast_machine::Numbered;
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{
    ClientWelcome, CloseReason, Features, LeaderHint, Limits, Position, ReadDone, Refused, SessionKept,
    Submitted,
};
use holdfast_wire::{
    Boot, CallId, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Message, NodeId, NodeIdentity,
    NodeUuid,
};

use crate::watches::Watched;

pub(crate) const CLUSTER: ClusterIdentity =
    ClusterIdentity { id: ClusterId([7; 16]), epoch: ClusterEpoch::FIRST };

/// How unkind: each is so many in 10,000, per millisecond or per request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chaos {
    /// A connection breaks.
    pub(crate) breaks: u64,
    /// The leader changes, or there is none for a while.
    pub(crate) elections: u64,
    /// A node stops, or comes back.
    pub(crate) restarts: u64,
    /// A connection goes silent without breaking.
    pub(crate) silences: u64,
    /// A session expires.
    pub(crate) expiries: u64,
    /// A request is refused as too much.
    pub(crate) overloads: u64,
    /// The connection breaks as the answer is about to be sent.
    pub(crate) lost_answers: u64,
    /// The answer of the store to a repetition was not kept.
    pub(crate) dropped_answers: u64,
    /// An entry takes up to this many milliseconds.
    pub(crate) slow_ms: u64,
}

/// What happened, so that a test can say that it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) repeats: u64,
    pub(crate) unknown_sessions: u64,
    pub(crate) stale: u64,
    pub(crate) leaderships_lost: u64,
    pub(crate) late: u64,
}

#[derive(Debug, Default)]
struct SessionState {
    low: u64,
    answers: BTreeMap<u64, (u64, Vec<u8>)>,
}

/// One side of a connection and what is on its way.
struct Wire {
    node: usize,
    server: Connection,
    silent: bool,
}

/// An entry that is not executed yet.
struct Entry {
    due: u64,
    request: Bytes,
    /// Who proposed it, in which term.
    term: u64,
    from: Option<(LinkId, CallId)>,
}

pub(crate) struct Cluster {
    pub(crate) rng: Rng,
    pub(crate) chaos: Chaos,
    pub(crate) seen: Seen,
    up: Vec<bool>,
    leader: Option<usize>,
    term: u64,
    wires: BTreeMap<LinkId, Wire>,
    dials: Vec<(u64, LinkId, usize)>,
    entries: Vec<Entry>,
    sessions: BTreeMap<u64, SessionState>,
    next_session: u64,
    index: u64,
    /// How often each key was written.
    pub(crate) written: BTreeMap<Bytes, u64>,
    /// Connections that broke and whose client was not told yet.
    gone: Vec<LinkId>,
    /// The setting `SessionWindow`.
    pub(crate) window: u64,
    /// The setting `SessionTtlMax`.
    pub(crate) ttl_max: u64,
    /// No session can be opened.
    pub(crate) sessions_full: bool,
    /// What watches are told, and by whom.
    pub(crate) watched: Watched,
}

pub(crate) fn address(node: usize) -> String {
    format!("node{node}:7400")
}

impl Cluster {
    pub(crate) fn new(nodes: usize, seed: u64, chaos: Chaos) -> Self {
        Self {
            rng: Rng::new(seed ^ 0xfa1e),
            chaos,
            seen: Seen::default(),
            up: vec![true; nodes],
            leader: Some(0),
            term: 1,
            wires: BTreeMap::new(),
            dials: vec![],
            entries: vec![],
            sessions: BTreeMap::new(),
            next_session: 100,
            index: 0,
            written: BTreeMap::new(),
            gone: vec![],
            window: 1_024,
            ttl_max: u64::MAX,
            sessions_full: false,
            watched: Watched::default(),
        }
    }

    pub(crate) fn chance(&mut self, in_10_000: u64) -> bool {
        self.rng.below(10_000) < in_10_000
    }

    pub(crate) fn set_up(&mut self, node: usize, up: bool) {
        self.up[node] = up;
    }

    pub(crate) fn elect(&mut self, leader: Option<usize>) {
        self.term += 1;
        self.leader = leader;
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn expire_sessions(&mut self) {
        self.sessions.clear();
    }

    pub(crate) fn connections(&self) -> usize {
        self.wires.len()
    }

    /// Nothing is in the way from now on.
    pub(crate) fn calm(&mut self, now: u64) {
        self.chaos = Chaos::default();
        self.up.fill(true);
        self.elect(Some(0));
        for entry in &mut self.entries {
            entry.due = now;
        }
    }

    /// One millisecond of everything. What the calls of the client came to.
    pub(crate) fn step<W>(&mut self, core: &mut Core<W>, now: u64) -> Vec<Done<W>> {
        self.misfortunes(core, now);
        self.execute_due(now);
        self.tell_watches();
        for link in std::mem::take(&mut self.gone) {
            core.lost(link, "reset", now);
        }
        self.connect(core, now);
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            self.carry(core, link, now);
        }
        if core.deadline().is_some_and(|due| due <= now) {
            core.tick(now);
            assert!(core.deadline().is_none_or(|due| due > now), "what was due at {now} was done");
        }
        while let Some(action) = core.next_action() {
            if let Action::Dial { link, address } = action {
                let delay = self.rng.below(4);
                let node = address.strip_prefix("node").and_then(|rest| rest.split(':').next()?.parse().ok());
                self.dials.push((now + delay, link, node.expect("an address of this cluster")));
            }
        }
        std::iter::from_fn(|| core.next_done()).collect()
    }

    fn misfortunes<W>(&mut self, core: &mut Core<W>, now: u64) {
        let chaos = self.chaos;
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            if self.chance(chaos.breaks) {
                self.cut(core, link, now);
            } else if self.chance(chaos.silences) {
                self.wires.get_mut(&link).unwrap().silent = true;
            }
        }
        if self.chance(chaos.elections) {
            let choice = self.rng.below(self.up.len() as u64 + 1) as usize;
            self.elect((choice < self.up.len()).then_some(choice));
        }
        if self.chance(chaos.restarts) {
            let node = self.rng.below(self.up.len() as u64) as usize;
            self.up[node] = !self.up[node];
            if self.up[node] && self.rng.below(2) == 0 {
                let links: Vec<_> =
                    self.wires.iter().filter(|(_, wire)| wire.node == node).map(|(link, _)| *link).collect();
                for link in links {
                    // In good order: what was asked is still answered.
                    self.wires.get_mut(&link).unwrap().server.close(CloseReason::Shutdown, "restart", now);
                }
            }
        }
        if self.chance(chaos.expiries) {
            let ids: Vec<_> = self.sessions.keys().copied().collect();
            if !ids.is_empty() {
                self.sessions.remove(&ids[self.rng.below(ids.len() as u64) as usize]);
            }
        }
        // Who lost its office gives up what it proposed; whether the entries survive it does not know.
        let (term, leader) = (self.term, self.leader);
        for place in 0..self.entries.len() {
            if self.entries[place].term != term || leader.is_none() {
                self.entries[place].term = term;
                if let Some((link, call)) = self.entries[place].from.take() {
                    self.seen.leaderships_lost += 1;
                    let late = self.rng.below(3_000);
                    self.entries[place].due = if self.rng.below(2) == 0 { now + late } else { u64::MAX };
                    self.refuse(link, call, Code::LeadershipLost, Refused::UNKNOWN, 0);
                }
            }
        }
        self.entries.retain(|entry| entry.due != u64::MAX);
    }

    fn cut<W>(&mut self, core: &mut Core<W>, link: LinkId, now: u64) {
        self.wires.remove(&link);
        core.lost(link, "reset", now);
    }

    fn connect<W>(&mut self, core: &mut Core<W>, now: u64) {
        for (due, link, node) in std::mem::take(&mut self.dials) {
            if due > now {
                self.dials.push((due, link, node));
            } else if !self.up.get(node).copied().unwrap_or(false) {
                core.dial_failed(link, &What::ConnectRefused, now);
            } else if core.dialed(link, now) {
                let leader = self.hint();
                let welcome = welcome(node, leader);
                let server = Connection::new(Role::Server(welcome), now).unwrap();
                self.wires.insert(link, Wire { node, server, silent: false });
            }
        }
    }

    fn hint(&mut self) -> Option<LeaderHint> {
        // Now and then somebody who is behind.
        let known = if self.rng.below(10) == 0 {
            Some(self.rng.below(self.up.len() as u64) as usize)
        } else {
            self.leader
        };
        let leader = known?;
        Some(LeaderHint { node_id: node_id(leader), address: address(leader).into() })
    }

    /// Moves some bytes each way, and answers what has come.
    fn carry<W>(&mut self, core: &mut Core<W>, link: LinkId, now: u64) {
        let (to, from) = (self.rng.below(3_000) as usize, self.rng.below(3_000) as usize);
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let Some(client) = core.connection(link) else {
            self.wires.remove(&link);
            return;
        };
        if !self.up[wire.node] {
            self.cut(core, link, now);
            return;
        }
        if wire.silent {
            return;
        }
        let came = shift(&mut wire.server, client, from);
        let went = shift(client, &mut wire.server, to);
        if came > 0 {
            core.received(link, now);
        }
        if went > 0 {
            core.wrote(link, went, now);
        }
        let mut asked = vec![];
        while let Some(incoming) = wire.server.next(now) {
            if let Incoming::Message(header, message) = incoming {
                asked.push((header.call, message));
            }
        }
        wire.server.tick(now);
        wire.server.drained(now);
        for (call, message) in asked {
            self.asked(link, call, message, now);
        }
        let over = |wire: &Wire| wire.server.ended().is_some();
        if core.connection(link).is_some_and(|client| client.ended().is_some()) {
            core.finished(link, now);
            self.wires.remove(&link);
        } else if self.wires.get(&link).is_none_or(over) {
            self.wires.remove(&link);
            core.lost(link, "closed by the other side", now);
        }
    }

    fn asked(&mut self, link: LinkId, call: CallId, message: Message, now: u64) {
        let node = self.wires.get(&link).map_or(0, |wire| wire.node);
        let leads = self.leader == Some(node);
        match message {
            Message::Submit(submit) if leads => {
                if self.chance(self.chaos.overloads) {
                    self.refuse(link, call, Code::Overloaded, Refused::NOT_APPLIED, 20);
                    return;
                }
                let due = now + self.rng.below(self.chaos.slow_ms + 1);
                let term = self.term;
                self.entries.push(Entry { due, request: submit.request, term, from: Some((link, call)) });
            }
            Message::Submit(_) => self.not_leader(link, call),
            Message::Watch(watch) => self.open_watch(link, call, &watch),
            Message::WatchCancel(_) => self.cancel_watch(link, call),
            Message::KeepSession(keep) if leads => {
                let known = self.sessions.contains_key(&keep.session);
                self.answer(link, call, &SessionKept { position: self.position(), known }.into());
            }
            Message::KeepSession(_) => self.not_leader(link, call),
            Message::Read(read) => {
                let linearizable = read.consistency == Consistency::Linearizable.number();
                if linearizable && !leads && self.leader.is_none() {
                    self.not_leader(link, call);
                    return;
                }
                let entry = KeyValue { version: self.written.values().sum(), ..KeyValue::default() };
                let page = RangePage { entries: vec![entry], ..RangePage::default() };
                let outcome = Outcome(Ok(Reply::Ranged(page))).encode().into();
                let answer = ReadDone { position: self.position(), staleness_ms: 0, outcome };
                self.answer(link, call, &answer.into());
            }
            _ => {}
        }
    }

    pub(crate) fn node_of(&self, link: LinkId) -> Option<usize> {
        self.wires.get(&link).map(|wire| wire.node)
    }

    fn not_leader(&mut self, link: LinkId, call: CallId) {
        let code = if self.leader.is_some() { Code::NotLeader } else { Code::NoLeader };
        self.refuse(link, call, code, Refused::NOT_APPLIED, 0);
    }

    pub(crate) fn refuse(&mut self, link: LinkId, call: CallId, code: Code, effect: u8, retry_after_ms: u32) {
        let leader = self.hint();
        let refused = Refused {
            code: code.number(),
            effect,
            retry_after_ms,
            first: u64::from(retry_after_ms),
            second: 0,
            leader,
            detail: "".into(),
        };
        self.answer(link, call, &refused.into());
    }

    pub(crate) fn answer(&mut self, link: LinkId, call: CallId, message: &Message) {
        if let Some(wire) = self.wires.get_mut(&link) {
            let mut header = message.header();
            header.call = call;
            // A connection that has ended takes no more: the answer is lost.
            let _ = wire.server.send(header, message);
        }
    }

    fn position(&self) -> Position {
        Position { epoch: ClusterEpoch::FIRST, group: 0, term: self.term, index: self.index }
    }

    fn execute_due(&mut self, now: u64) {
        let mut due: Vec<Entry> = self.entries.extract_if(.., |entry| entry.due <= now).collect();
        // In any order.
        for place in (1..due.len()).rev() {
            due.swap(place, self.rng.below(place as u64 + 1) as usize);
        }
        for Entry { request, from, .. } in due {
            self.seen.late += u64::from(from.is_none());
            self.index += 1;
            let (position, outcome) = self.apply(request);
            let Some((link, call)) = from else { continue };
            if self.chance(self.chaos.lost_answers) {
                self.wires.remove(&link);
                self.gone.push(link);
                continue;
            }
            self.answer(link, call, &Submitted { position, outcome: outcome.into() }.into());
        }
    }

    /// What the store does with an entry.
    fn apply(&mut self, request: Bytes) -> (Position, Vec<u8>) {
        let request = Request::decode(request).expect("a request that the client encoded");
        let here = self.position();
        let refused = |refusal| (here, Outcome(Err(refusal)).encode());
        let RequestKey::Session { session, sequence, low } = request.key else {
            return (here, self.execute(request.command));
        };
        assert!((1..=sequence).contains(&low), "low {low} of sequence {sequence}");
        let Some(state) = self.sessions.get_mut(&session.0) else {
            self.seen.unknown_sessions += 1;
            return refused(Refusal::UnknownSession { session });
        };
        state.low = state.low.max(low);
        let floor = state.low;
        state.answers.retain(|sequence, _| *sequence >= floor);
        if sequence < floor {
            self.seen.stale += 1;
            return refused(Refusal::StaleSequence { sequence, low: floor });
        }
        if let Some((index, outcome)) = state.answers.get(&sequence) {
            self.seen.repeats += 1;
            let (index, outcome) = (*index, outcome.clone());
            let is_refusal = outcome.first_chunk() == Some(&[0, 0]);
            if !is_refusal && self.chance(self.chaos.dropped_answers) {
                return refused(Refusal::AppliedReplyDropped { index });
            }
            return (Position { index, ..here }, outcome);
        }
        assert!(sequence < floor + self.window, "sequence {sequence} at low {floor}");
        let outcome = self.execute(request.command);
        if let Some(state) = self.sessions.get_mut(&session.0) {
            state.answers.insert(sequence, (here.index, outcome.clone()));
        }
        (here, outcome)
    }

    fn execute(&mut self, command: Command) -> Vec<u8> {
        let result = match command {
            Command::Put(put) if put.key.starts_with(b"long") => {
                Err(Refusal::KeyTooLong { bytes: 9, limit: 1 })
            }
            Command::Put(put) => {
                *self.written.entry(put.key).or_default() += 1;
                Ok(Reply::Put { revision: self.index, previous: None })
            }
            Command::OpenSession(open) if open.ttl_ms > self.ttl_max => {
                Err(Refusal::TtlOutOfRange { ttl_ms: open.ttl_ms, bound_ms: self.ttl_max })
            }
            Command::OpenSession(_) if self.sessions_full => Err(Refusal::TooManySessions { limit: 0 }),
            Command::OpenSession(_) => {
                self.next_session += 1;
                self.sessions.insert(self.next_session, SessionState::default());
                Ok(Reply::SessionOpened { session: SessionId(self.next_session) })
            }
            Command::CloseSession(close) => match self.sessions.remove(&close.session.0) {
                Some(_) => Ok(Reply::SessionClosed),
                None => Err(Refusal::UnknownSession { session: close.session }),
            },
            other => panic!("the tests do not ask for {:?}", other.number()),
        };
        Outcome(result).encode()
    }
}

fn shift(from: &mut Connection, to: &mut Connection, most: usize) -> usize {
    let outbox = from.outbox();
    let mut moved = 0;
    while moved < most && outbox.has_remaining() {
        let count = outbox.chunk().len().min(most - moved);
        to.buffer().extend_from_slice(&outbox.chunk()[..count]);
        outbox.advance(count);
        moved += count;
    }
    moved
}

pub(crate) fn node_id(node: usize) -> NodeId {
    NodeId::new(node as u64 + 1).unwrap()
}

pub(crate) fn welcome(node: usize, leader: Option<LeaderHint>) -> ClientWelcome {
    ClientWelcome {
        version: 1,
        cluster: Some(CLUSTER),
        node: NodeIdentity { id: node_id(node), uuid: NodeUuid([node as u8; 16]), boot: Boot::FIRST },
        features: Features(0),
        limits: Limits {
            frame_bytes: 16 << 20,
            request_bytes: 4 << 20,
            transaction_bytes: 4 << 20,
            transaction_operations: 4096,
        },
        leader,
        build: "0.1.0".into(),
    }
}
