//! Clients with sessions, and what they know: every write has a value of its own, so that the history of the store tells
//! which were executed, and how often.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_command::keys::{Operation, Put, Range, Span, Transaction};
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Actor, Code, Command, Refusal, Reply, Request, RequestKey, SessionId};
use holdfast_machine::Numbered;
use holdfast_server::node::{Caller, Input, Submission};
use holdfast_wire::message::{Consistency, Position, Read, Refused};
use holdfast_wire::{ClusterEpoch, Message};

use crate::rng::Rng;
use crate::world::{Happening, MS, Rough, World, outcome};

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not answered yet.
    Open,
    /// Executed, with this revision.
    Done(u64),
    /// Not executed, and never will be.
    Not,
    /// The client gave up to find out.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) value: String,
    command: Command,
    /// How many keys it writes.
    pub(crate) keys: usize,
    pub(crate) fate: Fate,
}

/// A write of a session that is not answered.
#[derive(Debug)]
struct Outstanding {
    write: usize,
    sent_at: u64,
    at: usize,
    again: bool,
}

#[derive(Debug)]
struct Client {
    actor: Actor,
    session: Option<SessionId>,
    opening: Option<u64>,
    renewed_at: u64,
    sequence: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    /// The last position that it was answered with, and the revision there.
    seen: Option<(Position, u64)>,
    goes_to: usize,
    /// Says nothing before.
    asleep_until: u64,
}

#[derive(Debug)]
enum Asked {
    Open,
    Keep(SessionId),
    /// A write of a session, by its sequence.
    Keyed(SessionId, u64),
    /// A write that is sent once.
    Once(usize),
    Read {
        consistency: Consistency,
        floor: u64,
        position: Option<Position>,
    },
}

/// What a read saw.
#[derive(Debug)]
struct Seen {
    key: Bytes,
    revision: u64,
    found: Vec<(u64, Bytes)>,
}

/// A world with clients and mishaps in it.
pub(crate) struct History {
    pub(crate) world: World,
    clients: Vec<Client>,
    pub(crate) writes: Vec<Write>,
    calls: BTreeMap<u64, (usize, Asked)>,
    next_call: u64,
    seen: Vec<Seen>,
    /// The highest revision that any client was answered with.
    acknowledged: u64,
    /// Mishaps of a thousand looks.
    mishaps: u64,
    ttl_ms: u64,
    /// No new writes any more.
    closing: bool,
    pub(crate) tally: BTreeMap<&'static str, u64>,
}

const KEYS: u64 = 5;

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5EED);
        let nodes = [1, 2, 3, 3, 3, 3, 4, 5][rng.position(8)];
        let mut pick = |values: &[u64]| values[rng.position(values.len())];
        let rough = Rough {
            loss: pick(&[0, 0, 10, 50, 150]),
            duplicate: pick(&[0, 10, 100]),
            slow: pick(&[0, 10, 100]),
            slow_by: pick(&[20 * MS, 300 * MS]),
            delay: pick(&[200, 2 * MS, 10 * MS]),
            disk: pick(&[200, 2 * MS, 15 * MS]),
            disk_stall: pick(&[0, 5, 20]),
            turn: pick(&[0, 100, 3 * MS]),
            job: 5 * MS,
        };
        let mishaps = pick(&[0, 200, 500, 800]);
        let ttl_ms = pick(&[1_000, 4_000]);
        let count = pick(&[1, 3, 5]);
        // Every third history has snapshots all the time, and a log that does not reach back far.
        let world = match seed % 3 {
            0 => World::with_snapshots(seed, nodes, rough, (5 + seed % 17, 2_000)),
            _ => World::new(seed, nodes, rough),
        };
        let mut history = Self {
            world,
            clients: Vec::new(),
            writes: Vec::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            seen: Vec::new(),
            acknowledged: 0,
            mishaps,
            ttl_ms,
            closing: false,
            tally: BTreeMap::new(),
        };
        for client in 0..count as usize {
            history.clients.push(Client {
                actor: Actor::Named(format!("client-{client}").into()),
                session: None,
                opening: None,
                renewed_at: 0,
                sequence: 0,
                outstanding: BTreeMap::new(),
                seen: None,
                goes_to: client % nodes,
                asleep_until: 0,
            });
            history.world.after(0, Happening::Wake(client));
        }
        history.world.after(200 * MS, Happening::Chaos);
        history
    }

    /// Some seconds of trouble, then peace until all is known; then everything is compared.
    pub(crate) fn run(&mut self, ms: u64) {
        self.run_until(ms * MS);
        self.closing = true;
        self.world.rough =
            Rough { loss: 0, duplicate: 0, slow: 0, disk_stall: 0, disk: 2 * MS, ..self.world.rough };
        self.world.heal();
        for at in 0..self.world.members() {
            self.world.places[at].paused_until = 0;
            self.world.start(at);
        }
        let deadline = self.world.now + 30_000 * MS;
        while self.clients.iter().any(|client| !client.outstanding.is_empty())
            || self.writes.iter().any(|write| write.fate == Fate::Open)
        {
            assert!(self.world.now < deadline, "seed {}: writes stay open in peace", self.world.seed);
            self.step();
        }
        // Long enough for the last commit index to reach everybody.
        let end = self.world.now + 1_500 * MS;
        self.mishaps = 0;
        for client in &mut self.clients {
            client.session = None;
        }
        self.run_until(end);
        // The clock of the log goes on while sessions live: at some moment all have come equally far.
        while !self.world.all_equally_far() {
            assert!(self.world.now < end + 30_000 * MS, "seed {}: somebody stays behind", self.world.seed);
            self.step();
        }
        self.judge();
        self.world.judge_audit();
    }

    fn run_until(&mut self, end: u64) {
        while self.world.now < end {
            self.step();
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        match self.world.step() {
            Some(Happening::Wake(client)) => self.wake(client),
            Some(Happening::Answer(caller, message)) => self.hear(caller, *message),
            Some(Happening::Chaos) => self.mishap(),
            _ => {}
        }
    }

    fn mishap(&mut self) {
        self.world.after(150 * MS, Happening::Chaos);
        if self.closing || !self.world.rng.chance(self.mishaps) {
            return;
        }
        let nodes = self.world.members();
        let leader = self.world.leader();
        let anybody = self.world.rng.position(nodes);
        let victim = if self.world.rng.chance(500) { leader.unwrap_or(anybody) } else { anybody };
        match self.world.rng.between(0, 7) {
            0 | 1 => {
                self.note("crash");
                self.world.crash(victim);
                let wait = self.world.rng.between(0, 700 * MS);
                self.world.after(wait, Happening::Restart(victim));
            }
            2 => {
                self.note("isolation");
                self.world.isolate(victim);
            }
            3 => {
                // One way only.
                self.note("one way");
                for other in (0..nodes).filter(|other| *other != victim) {
                    self.world.cut.insert((victim, other));
                }
            }
            4 => {
                self.note("heal");
                self.world.heal();
            }
            5 => {
                self.note("suspension");
                let until = self.world.now + self.world.rng.between(100 * MS, 1_500 * MS);
                self.world.places[victim].paused_until = until;
            }
            6 => {
                self.note("sleep");
                let client = self.world.rng.position(self.clients.len());
                self.clients[client].asleep_until = self.world.now + 1_500 * MS;
            }
            _ => {
                self.note("stop");
                if self.world.places[victim].node.is_some() {
                    self.world.input(victim, Input::Stop);
                    let wait = self.world.rng.between(0, 300 * MS);
                    let now = self.world.now;
                    while self.world.now < now + wait {
                        self.step();
                    }
                    self.world.crash(victim);
                    self.world.after(100 * MS, Happening::Restart(victim));
                }
            }
        }
    }

    fn call(&mut self, client: usize, asked: Asked) -> Caller {
        self.next_call += 1;
        self.calls.insert(self.next_call, (client, asked));
        Caller { connection: client as u64, call: self.next_call }
    }

    /// Sends something to a node; it may get lost on the way.
    fn tell(&mut self, at: usize, input: Input) {
        let wait = self.world.rng.between(50, 2 * MS);
        let boot = self.world.places[at].boot;
        if self.world.places[at].node.is_some() && !self.world.rng.chance(10) {
            self.world.after(wait, Happening::Tell(at, boot, Box::new(input)));
        }
    }

    fn submit(&mut self, client: usize, at: usize, asked: Asked, request: &Request) {
        let caller = self.call(client, asked);
        let timeout_ms = [0, 200, 1_000][self.world.rng.position(3)];
        let actor = self.clients[client].actor.clone();
        let submission = Submission {
            caller,
            actor,
            address: None,
            request: request.encode(),
            timeout_ms,
            at: u64::MAX,
            keyed_here: false,
        };
        self.tell(at, Input::Submit(submission));
    }

    fn wake(&mut self, client: usize) {
        let wait = self.world.rng.between(2 * MS, 30 * MS);
        self.world.after(wait, Happening::Wake(client));
        let now = self.world.now;
        let nodes = self.world.members();
        if now < self.clients[client].asleep_until {
            return;
        }
        let goes_to = self.clients[client].goes_to;
        let Some(session) = self.clients[client].session else {
            if !self.closing && self.clients[client].opening.is_none_or(|since| now > since + 500 * MS) {
                self.clients[client].opening = Some(now);
                let at = self.world.rng.position(nodes);
                let open = Request::from(Command::OpenSession(OpenSession { ttl_ms: self.ttl_ms }));
                self.submit(client, at, Asked::Open, &open);
            }
            return;
        };
        if now > self.clients[client].renewed_at + 700 * MS {
            self.clients[client].renewed_at = now;
            let (caller, actor) =
                (self.call(client, Asked::Keep(session)), self.clients[client].actor.clone());
            self.tell(goes_to, Input::Keep { caller, actor, session, timeout_ms: 1_000 });
        }
        // What was refused, or met with silence, goes to somebody else.
        let silent = |one: &Outstanding| one.again || now > one.sent_at + 600 * MS;
        let again: Vec<u64> = self.clients[client]
            .outstanding
            .iter()
            .filter(|(_, one)| silent(one))
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in again {
            self.note("resent");
            let other = self.world.rng.position(nodes);
            self.clients[client].goes_to = other;
            self.send_keyed(client, sequence, other);
        }
        if !self.closing && self.clients[client].outstanding.len() < 3 && self.world.rng.chance(600) {
            self.write(client);
        }
        if !self.closing && self.world.rng.chance(600) {
            self.read(client);
        }
    }

    fn write(&mut self, client: usize) {
        let number = self.writes.len();
        let value = format!("w{number}");
        let key = |rng: &mut Rng| Bytes::from(format!("k{}", rng.between(1, KEYS)));
        let put = |key: Bytes| Put { key, value: value.clone().into(), ..Put::default() };
        let one = key(&mut self.world.rng);
        let (command, keys) = if self.world.rng.chance(300) {
            let then = vec![Operation::Put(put(one)), Operation::Put(put(format!("own-{client}").into()))];
            (Command::Transact(Transaction { then, ..Transaction::default() }), 2)
        } else {
            (Command::Put(put(one)), 1)
        };
        self.writes.push(Write { value, command: command.clone(), keys, fate: Fate::Open });
        let goes_to = self.clients[client].goes_to;
        if self.world.rng.chance(250) {
            // Without a request key it may be sent once.
            self.submit(client, goes_to, Asked::Once(number), &Request::from(command));
            // Whether it arrives is known to nobody.
            self.writes[number].fate = Fate::Unknown;
            return;
        }
        let now = self.world.now;
        let own = &mut self.clients[client];
        own.sequence += 1;
        let sequence = own.sequence;
        own.outstanding
            .insert(sequence, Outstanding { write: number, sent_at: now, at: goes_to, again: false });
        self.send_keyed(client, sequence, goes_to);
    }

    fn send_keyed(&mut self, client: usize, sequence: u64, at: usize) {
        let now = self.world.now;
        let own = &mut self.clients[client];
        let Some(session) = own.session else { return };
        let low = *own.outstanding.keys().next().expect("this one is outstanding");
        let one = own.outstanding.get_mut(&sequence).expect("it is outstanding");
        (one.sent_at, one.at, one.again) = (now, at, false);
        let key = RequestKey::Session { session, sequence, low };
        let command = self.writes[one.write].command.clone();
        let request = Request { key, ..Request::from(command) };
        self.submit(client, at, Asked::Keyed(session, sequence), &request);
    }

    fn read(&mut self, client: usize) {
        let at = self.world.rng.position(self.world.members());
        let consistency = Consistency::ALL[self.world.rng.position(3)];
        let key = Bytes::from(format!("k{}", self.world.rng.between(1, KEYS)));
        let mut range = Vec::new();
        Range::of(Span::Key(key)).write(&mut range);
        let seen = self.clients[client].seen;
        let (position, floor) = match consistency {
            Consistency::Linearizable => (None, self.acknowledged),
            Consistency::Follower => (seen.map(|seen| seen.0), seen.map_or(0, |seen| seen.1)),
            Consistency::Stale => (None, 0),
        };
        let max_stale_ms = if self.world.rng.chance(300) { 700 } else { 0 };
        let read = Read {
            consistency: consistency.number(),
            timeout_ms: 500,
            max_stale_ms,
            min_position: position,
            range: range.into(),
        };
        let caller = self.call(client, Asked::Read { consistency, floor, position });
        if consistency == Consistency::Linearizable {
            self.world.linearizable.insert(caller);
        }
        self.tell(at, Input::Read { caller, read });
    }

    fn hear(&mut self, caller: Caller, message: Message) {
        let Some((client, asked)) = self.calls.remove(&caller.call) else { return };
        match (asked, message) {
            (Asked::Open, Message::Submitted(done)) => {
                if let Ok(Reply::SessionOpened { session }) = outcome(done.outcome)
                    && self.clients[client].session.is_none()
                {
                    let now = self.world.now;
                    let own = &mut self.clients[client];
                    (own.session, own.opening, own.renewed_at, own.sequence) = (Some(session), None, now, 0);
                }
            }
            (Asked::Open, _) => self.clients[client].opening = None,
            (Asked::Keep(session), Message::SessionKept(kept)) => {
                if !kept.known {
                    self.session_ended(client, session);
                }
            }
            (Asked::Keep(_), _) => self.clients[client].renewed_at = 0,
            (Asked::Keyed(session, sequence), message) => self.keyed(client, (session, sequence), message),
            (Asked::Once(write), Message::Submitted(done)) => {
                let done_at = done.position;
                match outcome(done.outcome) {
                    Ok(reply) => self.done(client, write, done_at, &reply),
                    Err(refusal) => panic!("seed {}: {refusal:?}", self.world.seed),
                }
            }
            (Asked::Once(write), Message::Refused(refused)) => {
                self.note("once refused");
                if refused.effect == Refused::NOT_APPLIED {
                    self.writes[write].fate = Fate::Not;
                }
            }
            (Asked::Read { consistency, floor, position }, Message::ReadDone(done)) => {
                let Ok(Reply::Ranged(page)) = outcome(done.outcome) else { return };
                let seed = self.world.seed;
                assert!(
                    page.revision >= floor,
                    "seed {seed}: a {consistency} read sees revision {}, and {floor} was acknowledged before",
                    page.revision
                );
                if let Some(position) = position {
                    assert!(done.position.index >= position.index, "seed {seed}");
                }
                self.note(match consistency {
                    Consistency::Linearizable => "linearizable reads",
                    Consistency::Follower => "follower reads",
                    Consistency::Stale => "stale reads",
                });
                for entry in &page.entries {
                    assert!(entry.mod_revision <= page.revision, "seed {seed}");
                }
                let found: Vec<(u64, Bytes)> =
                    page.entries.iter().map(|entry| (entry.mod_revision, entry.value.clone())).collect();
                if let Some(entry) = page.entries.first() {
                    self.seen.push(Seen { key: entry.key.clone(), revision: page.revision, found });
                }
            }
            (Asked::Read { consistency: Consistency::Stale, .. }, Message::Refused(refused)) => {
                let code = Code::from_number(refused.code);
                assert!(
                    matches!(code, Some(Code::NoLeader | Code::TooStale | Code::Overloaded)),
                    "seed {}: {code:?}",
                    self.world.seed
                );
            }
            (Asked::Read { .. }, _) => self.note("reads refused"),
            (asked, message) => panic!("seed {}: {asked:?} is answered {message:?}", self.world.seed),
        }
    }

    fn keyed(&mut self, client: usize, (session, sequence): (SessionId, u64), message: Message) {
        let current = self.clients[client].session == Some(session);
        match message {
            Message::Submitted(done) => match outcome(done.outcome) {
                Ok(reply) => {
                    if !current {
                        return;
                    }
                    if let Some(one) = self.clients[client].outstanding.remove(&sequence) {
                        self.done(client, one.write, done.position, &reply);
                    }
                }
                // A copy that came late.
                Err(Refusal::StaleSequence { .. })
                    if !self.clients[client].outstanding.contains_key(&sequence) => {}
                Err(Refusal::UnknownSession { .. }) => self.session_ended(client, session),
                Err(refusal) => panic!("seed {}: {session} {sequence}: {refusal:?}", self.world.seed),
            },
            Message::Refused(refused) => {
                let code = Code::from_number(refused.code).expect("a code that exists");
                assert!(code.is_retryable() || code == Code::TimedOut, "seed {}: {code:?}", self.world.seed);
                if let Some(one) = self.clients[client].outstanding.get_mut(&sequence).filter(|_| current) {
                    one.again = true;
                }
            }
            other => panic!("seed {}: {other:?}", self.world.seed),
        }
    }

    fn done(&mut self, client: usize, write: usize, position: Position, reply: &Reply) {
        let revision = match reply {
            Reply::Put { revision, .. } | Reply::Transacted { revision, .. } => *revision,
            other => panic!("seed {}: {other:?}", self.world.seed),
        };
        self.note("done");
        self.writes[write].fate = Fate::Done(revision);
        self.acknowledged = self.acknowledged.max(revision);
        let seen = &mut self.clients[client].seen;
        if seen.is_none_or(|(_, before)| before < revision) {
            *seen = Some((position, revision));
        }
    }

    fn session_ended(&mut self, client: usize, session: SessionId) {
        if self.clients[client].session != Some(session) {
            return;
        }
        self.note("session ended");
        let own = &mut self.clients[client];
        own.session = None;
        own.opening = None;
        for (_, one) in std::mem::take(&mut own.outstanding) {
            self.writes[one.write].fate = Fate::Unknown;
        }
    }

    /// What was promised, against what is there.
    fn judge(&self) {
        let seed = self.world.seed;
        self.world.judge_equal();
        let store = self.world.node(0).store();
        let mut executed: BTreeMap<Bytes, Vec<(u64, Bytes)>> = BTreeMap::new();
        for change in store.changes(2).expect("nothing was compacted") {
            let version = &change.version;
            let value = Bytes::copy_from_slice(version.value());
            let key = Bytes::copy_from_slice(version.key());
            executed.entry(value).or_default().push((version.mod_revision(), key));
        }
        for write in &self.writes {
            let times = executed.remove(write.value.as_bytes()).unwrap_or_default();
            let revisions: BTreeSet<u64> = times.iter().map(|(revision, _)| *revision).collect();
            assert!(
                revisions.len() <= 1 && (times.is_empty() || times.len() == write.keys),
                "seed {seed}: {write:?} was executed more than once, or in part: {times:?}"
            );
            match write.fate {
                Fate::Done(revision) => assert!(
                    revisions.contains(&revision),
                    "seed {seed}: {write:?} was acknowledged, and is lost: {times:?}"
                ),
                Fate::Not => {
                    assert!(times.is_empty(), "seed {seed}: {write:?} was refused, and executed: {times:?}");
                }
                Fate::Unknown => {}
                Fate::Open => panic!("seed {seed}: {write:?}"),
            }
        }
        assert!(executed.is_empty(), "seed {seed}: nobody wrote {executed:?}");
        for seen in &self.seen {
            let range = Range { revision: seen.revision, ..Range::of(Span::Key(seen.key.clone())) };
            let page = store.range(&range).expect("nothing was compacted").to_reply();
            let there: Vec<(u64, Bytes)> =
                page.entries.iter().map(|entry| (entry.mod_revision, entry.value.clone())).collect();
            assert_eq!(
                seen.found, there,
                "seed {seed}: a read at revision {} saw it otherwise",
                seen.revision
            );
        }
    }
}

/// A position of a test.
pub(crate) fn position(epoch: u64, group: u32, term: u64, index: u64) -> Position {
    Position { epoch: ClusterEpoch::new(epoch).expect("at least 1"), group, term, index }
}

/// A put without a request key.
pub(crate) fn put(key: &str, value: impl Into<Bytes>) -> Request {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Request::from(Command::Put(Put { key, value: value.into(), ..Put::default() }))
}

/// A read of everything that begins with this, or of one key.
pub(crate) fn read(consistency: Consistency, span: Span, min_position: Option<Position>) -> Read {
    let mut range = Vec::new();
    Range::of(span).write(&mut range);
    let consistency = consistency.number();
    Read { consistency, timeout_ms: 0, max_stale_ms: 0, min_position, range: range.into() }
}
