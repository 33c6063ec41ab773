//! Histories that a correct store can have shown: a sequential machine behind clients that overlap.
//!
//! A call has three moments: it is asked, executed by the machine, and answered. Between them others come. Some
//! calls are refused, of some nobody learns what became of them: those are executed at once, much later, or never.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::history::{
    Answer, Ask, End, Freshness, Grant, History, Lease, Micros, Op, Position, Told, Watching,
};
use crate::raft::rng::Rng;

/// What a history is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How many calls.
    pub(super) ops: usize,
    /// How many clients.
    pub(super) clients: u32,
    /// How many keys they share.
    pub(super) keys: u64,
    /// How many calls of a thousand have an unknown outcome.
    pub(super) unknown: u64,
    /// Locks, leases, and watches as well.
    pub(super) coordination: bool,
    /// The beginning is compacted at the end.
    pub(super) compacted: bool,
}

impl Shape {
    /// Everything, in a size and with a share of unknown outcomes that the seed chooses.
    pub(super) fn of(rng: &mut Rng) -> Self {
        Self {
            ops: rng.between(80, 300) as usize,
            clients: rng.between(2, 8) as u32,
            keys: rng.between(2, 8),
            unknown: *rng.pick(&[0, 20, 100]),
            coordination: true,
            compacted: rng.chance(400),
        }
    }

    /// As small as a search wants it: few calls, keys of their own.
    pub(super) fn small(rng: &mut Rng) -> Self {
        Self {
            ops: rng.between(20, 60) as usize,
            clients: rng.between(2, 5) as u32,
            keys: rng.between(1, 4),
            unknown: *rng.pick(&[0, 50]),
            coordination: false,
            compacted: false,
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client asks for something.
    Ask(u32),
    /// This call is executed.
    Execute(usize),
    /// A client wants this lock.
    Lock(u32, u64),
    /// The machine takes this lock back.
    Free(u64),
    /// A lease is renewed, or ends if its time is over.
    Tend(usize),
}

#[derive(Debug)]
struct LeaseState {
    deadline: Micros,
    renewals: u64,
    keys: Vec<Bytes>,
    over: bool,
}

/// The machine, and those who ask it.
pub(super) struct World {
    rng: Rng,
    shape: Shape,
    history: History,
    queue: BTreeMap<(Micros, u64), Event>,
    sequence: u64,
    now: Micros,
    values: u64,
    /// What there is: value and revision.
    state: BTreeMap<Bytes, (Bytes, u64)>,
    versions: BTreeMap<Bytes, Vec<(u64, Option<Bytes>)>>,
    revision: u64,
    /// Each index with its term, and the revision there.
    log: Vec<(Position, u64)>,
    token: u64,
    /// By lock, who holds it: the token.
    holders: BTreeMap<u64, u64>,
    /// The last token that each client was given, with its lock.
    tokens: BTreeMap<u32, (u64, u64)>,
    leases: Vec<LeaseState>,
}

/// The key of this number.
pub(super) fn key(number: u64) -> Bytes {
    Bytes::from(format!("{}/{number}", if number.is_multiple_of(2) { "a" } else { "b" }))
}

fn lock(number: u64) -> Bytes {
    Bytes::from(format!("lock{number}"))
}

/// A correct history.
pub(super) fn generate(seed: u64, shape: impl Fn(&mut Rng) -> Shape) -> History {
    let mut rng = Rng::new(seed);
    let shape = shape(&mut rng);
    let mut world = World {
        rng,
        shape,
        history: History::default(),
        queue: BTreeMap::new(),
        sequence: 0,
        now: 1_000,
        values: 0,
        state: BTreeMap::new(),
        versions: BTreeMap::new(),
        revision: 1,
        log: vec![(Position { term: 1, index: 1 }, 1)],
        token: 100,
        holders: BTreeMap::new(),
        tokens: BTreeMap::new(),
        leases: Vec::new(),
    };
    world.run();
    world.history
}

impl World {
    fn after(&mut self, delay: Micros, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    fn run(&mut self) {
        if self.shape.coordination {
            for number in 0..4 {
                self.grant_lease(number);
            }
        }
        for client in 0..self.shape.clients {
            let delay = self.rng.between(0, 500);
            self.after(delay, Event::Ask(client));
            if self.shape.coordination {
                let delay = self.rng.between(0, 5_000);
                self.after(delay, Event::Lock(client, u64::from(client) % 2));
            }
        }
        while let Some(((now, _), event)) = self.queue.pop_first() {
            self.now = now;
            match event {
                Event::Ask(client) => self.ask(client),
                Event::Execute(op) => self.execute(op),
                Event::Lock(client, lock) => self.acquire(client, lock),
                Event::Free(lock) => {
                    self.holders.remove(&lock);
                    self.append();
                }
                Event::Tend(lease) => self.tend(lease),
            }
        }
        self.finish();
    }

    /// One more entry of the log.
    fn append(&mut self) -> Position {
        let last = self.log.last().map_or(Position::default(), |(at, _)| *at);
        let term = last.term + u64::from(self.rng.chance(20));
        let at = Position { term, index: last.index + 1 };
        self.log.push((at, self.revision));
        at
    }

    fn value(&mut self) -> Bytes {
        self.values += 1;
        Bytes::from(format!("v{}", self.values))
    }

    fn more(&self) -> bool {
        self.history.ops.len() < self.shape.ops
    }

    fn ask(&mut self, client: u32) {
        if !self.more() {
            return;
        }
        let any = key(self.rng.below(self.shape.keys));
        let other = key(self.rng.below(self.shape.keys));
        let several = self.rng.chance(if self.shape.coordination { 200 } else { 40 }) && other != any;
        let ask = if self.rng.chance(400) {
            let keys = if several { vec![any, other] } else { vec![any] };
            let freshness = if self.rng.chance(250) {
                let (at, _) = *self.rng.pick(&self.log);
                Freshness::NotBefore(at.index)
            } else {
                Freshness::Linearizable
            };
            Ask::Read { keys, freshness }
        } else {
            let deletes = self.rng.chance(250);
            let mut changes = vec![(any.clone(), if deletes { None } else { Some(self.value()) })];
            if several {
                let value = self.value();
                changes.push((other, Some(value)));
            }
            let mut only_if = Vec::new();
            if self.rng.chance(250) {
                let modified = self.state.get(&any).map_or(0, |(_, modified)| *modified);
                only_if.push((any, modified));
            }
            let known = self.tokens.get(&client).copied();
            let fence = known.filter(|_| self.rng.chance(500)).map(|(of, token)| (lock(of), token));
            Ask::Write { changes, only_if, fence }
        };
        let mut op = Op { client, ask, invoked: self.now, returned: 0, answer: Answer::Unknown };
        let number = self.history.ops.len();
        let gap = self.rng.between(1, 300);
        let before = self.rng.between(1, 200);
        let behind = self.rng.between(1, 200);
        op.returned = self.now + before + behind;
        if self.rng.chance(30) {
            op.answer = Answer::Refused;
        } else if self.rng.chance(self.shape.unknown) {
            if let Ask::Write { .. } = op.ask
                && self.rng.chance(600)
            {
                let later = if self.rng.chance(500) { before } else { self.rng.between(1, 5_000) };
                self.after(later, Event::Execute(number));
            }
        } else {
            self.after(before, Event::Execute(number));
            // Until then it is not known; see `execute`.
            op.answer = Answer::NotMet { at: Position::default(), revision: 0 };
        }
        self.history.ops.push(op);
        self.after(before + behind + gap, Event::Ask(client));
    }

    fn execute(&mut self, number: usize) {
        let op = self.history.ops[number].clone();
        let answer = match &op.ask {
            Ask::Read { keys, freshness } => self.read(keys, *freshness),
            Ask::Write { changes, only_if, fence } => {
                let modified = |key: &Bytes| self.state.get(key).map_or(0, |(_, modified)| *modified);
                let met = only_if.iter().all(|(key, revision)| modified(key) == *revision);
                let held = fence.as_ref().is_none_or(|(name, token)| {
                    self.holders.iter().any(|(of, holds)| lock(*of) == *name && holds == token)
                });
                let done = met && held && self.change(changes);
                let at = self.append();
                let revision = self.revision;
                if done { Answer::Written { at, revision } } else { Answer::NotMet { at, revision } }
            }
        };
        if op.answer != Answer::Unknown {
            self.history.ops[number].answer = answer;
        }
    }

    /// Changes keys, all in one revision; whether there was anything to change.
    fn change(&mut self, changes: &[(Bytes, Option<Bytes>)]) -> bool {
        let real = changes.iter().filter(|(key, value)| value.is_some() || self.state.contains_key(key));
        let real: Vec<_> = real.cloned().collect();
        if real.is_empty() {
            return false;
        }
        self.revision += 1;
        for (key, value) in real {
            match &value {
                Some(value) => _ = self.state.insert(key.clone(), (value.clone(), self.revision)),
                None => _ = self.state.remove(&key),
            }
            self.versions.entry(key).or_default().push((self.revision, value));
        }
        true
    }

    fn read(&mut self, keys: &[Bytes], freshness: Freshness) -> Answer {
        let newest = self.log.len() - 1;
        let place = match freshness {
            Freshness::Linearizable => newest,
            Freshness::NotBefore(index) => {
                let least = self.log.partition_point(|(at, _)| at.index < index);
                self.rng.between(least as u64, newest as u64) as usize
            }
        };
        let (at, revision) = self.log[place];
        Answer::Found { at, revision, items: items(&self.versions, keys, revision) }
    }

    fn acquire(&mut self, client: u32, name: u64) {
        if !self.more() {
            return;
        }
        if self.holders.contains_key(&name) {
            let again = self.rng.between(100, 2_000);
            return self.after(again, Event::Lock(client, name));
        }
        self.token += self.rng.between(1, 3);
        let at = self.append();
        let token = self.token;
        self.holders.insert(name, token);
        self.tokens.insert(client, (name, token));
        let heard = self.now + self.rng.between(1, 200);
        let until = heard + self.rng.between(100, 4_000);
        self.history.grants.push(Grant { lock: lock(name), client, token, at, heard, until });
        let free = until - self.now + self.rng.between(1, 500);
        self.after(free, Event::Free(name));
        let again = free + self.rng.between(1, 4_000);
        self.after(again, Event::Lock(client, name));
    }

    /// A lease with two keys, which its owner writes at once.
    fn grant_lease(&mut self, number: usize) {
        let ttl = self.rng.between(3, 12) * 1_000;
        let id = number as i64 + 7;
        let asked = self.now;
        self.now += self.rng.between(1, 100);
        self.append();
        let deadline = self.now + ttl;
        self.history.leases.push(Lease { id, ttl, kept: vec![asked], revoked: None, gone: None });
        let mut keys = Vec::new();
        for part in ["x", "y"] {
            let name = Bytes::from(format!("lease/{id}/{part}"));
            let value = self.value();
            let changes = vec![(name.clone(), Some(value))];
            let invoked = self.now;
            self.now += self.rng.between(1, 50);
            self.change(&changes);
            let at = self.append();
            let answer = Answer::Written { at, revision: self.revision };
            self.now += self.rng.between(1, 50);
            let ask = Ask::Write { changes, only_if: Vec::new(), fence: None };
            self.history.ops.push(Op { client: 99, ask, invoked, returned: self.now, answer });
            self.history.hanging.insert(name.clone(), id);
            keys.push(name);
        }
        self.leases.push(LeaseState { deadline, renewals: self.rng.between(0, 5), keys, over: false });
        let next = self.rng.between(500, 2_000);
        self.after(next, Event::Tend(number));
    }

    fn tend(&mut self, number: usize) {
        if self.leases[number].over {
            return;
        }
        let next = self.rng.between(500, 2_000);
        let renews = self.leases[number].renewals > 0;
        let revokes = !renews && self.rng.chance(100);
        if renews {
            let asked = self.now - self.rng.between(0, 100);
            let ttl = self.history.leases[number].ttl;
            self.history.leases[number].kept.push(asked);
            self.leases[number].renewals -= 1;
            self.leases[number].deadline = self.now + ttl;
            self.append();
        } else if revokes || self.now >= self.leases[number].deadline {
            self.leases[number].over = true;
            let changes: Vec<_> = self.leases[number].keys.iter().map(|key| (key.clone(), None)).collect();
            self.change(&changes);
            self.append();
            let seen = self.now + self.rng.between(0, 300);
            let lease = &mut self.history.leases[number];
            lease.revoked = revokes.then_some(self.now - 1);
            lease.gone = Some(seen);
            // Somebody sees that the keys are gone.
            let name = self.leases[number].keys[0].clone();
            let (at, revision) = self.log[self.log.len() - 1];
            let answer = Answer::Found { at, revision, items: Vec::new() };
            let ask = Ask::Read { keys: vec![name], freshness: Freshness::Linearizable };
            self.history.ops.push(Op { client: 98, ask, invoked: self.now, returned: self.now, answer });
            return;
        }
        self.after(next, Event::Tend(number));
    }

    fn finish(&mut self) {
        let oldest =
            if self.shape.compacted { self.rng.between(2, self.revision.div_ceil(2).max(2)) } else { 1 };
        let with_current = self.rng.chance(500);
        let mut end = End { revision: self.revision, oldest, keys: BTreeMap::new() };
        for (key, versions) in &self.versions {
            let first = versions.partition_point(|(revision, _)| *revision < oldest);
            let current = first.checked_sub(1).filter(|at| with_current && versions[*at].1.is_some());
            end.keys.insert(key.clone(), versions[current.unwrap_or(first)..].to_vec());
        }
        if self.shape.coordination {
            for (client, prefix) in ["a/", "b/", "", "lease/", "a/2"].into_iter().enumerate() {
                let from = self.rng.between(1, self.revision);
                let watch = self.watch(client as u32, Bytes::from_static(prefix.as_bytes()), from, oldest);
                self.history.watches.push(watch);
            }
        }
        self.history.end = end;
    }

    fn watch(&mut self, client: u32, prefix: Bytes, from: u64, oldest: u64) -> Watching {
        let mut changes: BTreeMap<u64, Vec<(Bytes, Option<Bytes>)>> = BTreeMap::new();
        for (key, versions) in self.versions.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            for (revision, value) in versions.iter().filter(|(revision, _)| *revision >= from) {
                changes.entry(*revision).or_default().push((key.clone(), value.clone()));
            }
        }
        let mut told = Vec::new();
        // It was away for a while, and what it wants was compacted in between.
        if oldest > from && self.rng.chance(500) {
            let seen = self.rng.between(from, oldest);
            told.extend(
                changes.range(..seen).map(|(revision, changes)| Told::Revision {
                    revision: *revision,
                    changes: changes.clone(),
                }),
            );
            told.push(Told::Compacted(oldest));
            changes = changes.split_off(&oldest);
        }
        let last = if self.rng.chance(700) { self.revision } else { self.rng.between(from, self.revision) };
        let mut before = 0;
        for (revision, changes) in changes.into_iter().filter(|(revision, _)| *revision <= last) {
            if self.rng.chance(100) && before > 0 {
                let to = self.rng.between(before, revision - 1);
                told.push(Told::Progress(to));
            }
            before = revision;
            told.push(Told::Revision { revision, changes });
        }
        Watching { client, prefix, from, told, complete_to: (last == self.revision).then_some(last) }
    }
}

/// What a read of these keys finds at a revision.
pub(super) fn items(
    versions: &BTreeMap<Bytes, Vec<(u64, Option<Bytes>)>>,
    keys: &[Bytes],
    revision: u64,
) -> Vec<(Bytes, Bytes, u64)> {
    let mut found = Vec::new();
    for key in keys {
        let list = versions.get(key).map_or(&[][..], |list| list);
        let behind = list.partition_point(|(modified, _)| *modified <= revision);
        if let Some((modified, Some(value))) = behind.checked_sub(1).map(|at| &list[at]) {
            found.push((key.clone(), value.clone(), *modified));
        }
    }
    found
}
