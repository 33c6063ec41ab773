//! Clients: the real client core over simulated streams, and what they think of asking.
//!
//! The first client is the operator: it changes settings and members, and asks for no keys. All others draw from the verbs of the
//! seed. No value is written twice, so that an effect tells whose it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_client::core::{
    Action, Answer, Ask as ClientAsk, Config, Core, LinkId, Notice, WatchAsk, WatchId, Work,
};
use holdfast_client::{Kind as ErrorKind, Position, What};
use holdfast_command::elections::{Campaign, Resign};
use holdfast_command::keys::{
    Against, Compact, Compare, Delete, Operation, Put, Range, Relation, Span, Transaction,
};
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::query::{Answer as Queried, AuditQuery, Query, QueueKind, When};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Code, Command, Reply, Request};
use holdfast_wire::message::Consistency;

use super::machine::node_at;
use super::probes::Probe;
use super::swarm::{MACHINES_MAX, MS, SECOND, Swarm};
use super::world::{End, Happening, Way, World};
use crate::history::{self, Freshness, Grant, Lease, Op, Told, Watching};
use crate::raft::ghost::{Verdict, Violation, holds};
use crate::raft::rng::mix;
use crate::raft::trace::say;
use holdfast_server::node::plant::Plant;

/// Watches of one client at a time.
const WATCHES_MAX: usize = 3;

/// A lease that a client holds.
#[derive(Clone, Debug)]
struct Held {
    id: i64,
    ttl: u64,
    /// Where it stands in the history.
    at: usize,
    /// When the grant or renewal was sent that was acknowledged last.
    kept: u64,
    /// When a renewal was sent last.
    sent: u64,
    /// It is renewed until then, and then left to its end.
    until: u64,
}

/// Where a client is with a lock or an election.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stay {
    /// Asked for, not answered.
    Asked,
    /// In the queue; asks for news.
    Waiting,
    /// It has it, under this token; where the grant stands in the history.
    Held(u64, usize),
    /// It is giving it up.
    Leaving,
}

/// A place in a queue.
#[derive(Clone, Debug)]
struct Queued {
    kind: QueueKind,
    name: Bytes,
    lease: i64,
    stay: Stay,
    /// What it still does while it has it.
    deeds: u64,
}

/// What a call is for.
#[derive(Clone, Debug)]
enum For {
    Write(history::Ask),
    Read(history::Ask),
    Grant { until: u64 },
    Keep(i64),
    Revoke(i64),
    Enter(Bytes),
    News(Bytes),
    Leave,
    Ordered(super::members::Order),
    Other,
}

/// A watch.
#[derive(Clone, Debug)]
struct Watcher {
    id: WatchId,
    /// Where it stands in the history.
    at: usize,
    over: bool,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    core: Core<u64>,
    links: BTreeMap<LinkId, u64>,
    armed: u64,
    calls: BTreeMap<u64, (u64, For)>,
    next_call: u64,
    next_value: u64,
    /// The revision of the last modification of each key, as far as it was seen.
    seen: BTreeMap<Bytes, u64>,
    revision: u64,
    position: Option<Position>,
    leases: Vec<Held>,
    queued: Option<Queued>,
    watchers: Vec<Watcher>,
    /// What the operator still has to do at first.
    settings: Vec<(u16, u64)>,
}

impl Client {
    /// One that has asked nothing.
    ///
    /// # Panics
    /// If the addresses of the founders are none.
    #[must_use]
    pub fn new(number: usize, swarm: &Swarm) -> Self {
        // Those to come as well: in the end nobody may be left of the founders.
        let endpoints: Vec<String> = (1..=MACHINES_MAX).map(|id| format!("node-{id}:1")).collect();
        let config = Config {
            name: format!("client-{number}").into(),
            session_ttl_ms: swarm.ttl_ms.max(1_000),
            session_window: 16,
            wait_for_cluster: true,
            exactly_once: true,
            ..Config::default()
        };
        let core = Core::new(config, &endpoints, mix(swarm.seed, 0xC11E + number as u64));
        Self {
            number,
            core: core.expect("addresses"),
            links: BTreeMap::new(),
            armed: u64::MAX,
            calls: BTreeMap::new(),
            next_call: 0,
            next_value: 0,
            seen: BTreeMap::new(),
            revision: 0,
            position: None,
            leases: Vec::new(),
            queued: None,
            watchers: Vec::new(),
            settings: if number == 0 { swarm.settings.clone() } else { Vec::new() },
        }
    }

    /// Calls that are not answered.
    #[must_use]
    pub fn open(&self) -> usize {
        self.calls.len()
    }

    /// Calls that are not answered, without those that only wait or renew.
    fn asking(&self) -> usize {
        let waits = |(_, purpose): &&(u64, For)| matches!(purpose, For::News(_) | For::Keep(_));
        self.calls.len() - self.calls.values().filter(waits).count()
    }

    /// Whether it has asked for a write since then that is not answered.
    #[must_use]
    pub fn awaits_write(&self, since: u64) -> bool {
        let awaits = |(invoked, purpose): &(u64, For)| *invoked >= since && matches!(purpose, For::Write(_));
        self.calls.values().any(awaits)
    }

    /// A watch of it that goes on and has not been told everything up to this revision, and what it has to get next.
    #[must_use]
    pub fn behind(&self, revision: u64) -> Option<(usize, u64)> {
        let goes_on = self.watchers.iter().filter(|watcher| !watcher.over);
        let mut next = goes_on.map(|watcher| (watcher.at, self.core.watch_next(watcher.id)));
        next.find(|(_, next)| *next <= revision)
    }
}

fn key(number: u64) -> Bytes {
    format!("k/{number}").into()
}

fn request(command: Command) -> Work {
    Work::Submit { request: Request::from(command), exactly_once: None }
}

impl<P: Plant> World<P> {
    fn client_ms(&self) -> u64 {
        self.now / MS
    }

    /// A client makes a call.
    fn call(&mut self, client: usize, work: Work, purpose: For, timeout_ms: u64) -> Verdict {
        let now = self.client_ms();
        let invoked = self.now;
        let known = &mut self.clients[client];
        known.next_call += 1;
        let number = known.next_call;
        say!(self, "client {client} call {number}: {purpose:?}");
        let known = &mut self.clients[client];
        known.calls.insert(number, (invoked, purpose));
        let _ = known.core.call(ClientAsk { work, timeout_ms: Some(timeout_ms) }, number, now);
        self.settle(client)
    }

    /// Does what a client's core wants done.
    fn settle(&mut self, client: usize) -> Verdict {
        loop {
            let known = &mut self.clients[client];
            if let Some(done) = known.core.next_done() {
                self.done(client, done.waiter, &done.result)?;
            } else if let Some(watch) = known.core.next_news() {
                self.news(client, watch)?;
            } else if let Some(action) = known.core.next_action() {
                self.do_action(client, action);
            } else {
                break;
            }
        }
        self.drop_links(client);
        let known = &mut self.clients[client];
        if let Some(deadline) = known.core.deadline()
            && deadline < known.armed
        {
            known.armed = deadline;
            let wait = (deadline * MS).saturating_sub(self.now);
            self.after(wait, Happening::ClientTick(client, deadline));
        }
        Ok(())
    }

    fn do_action(&mut self, client: usize, action: Action) {
        match action {
            Action::Dial { link, address } => {
                let at = node_at(&address).map_or(usize::MAX, |id| id.0 as usize - 1);
                let wait = self.rng.between(50, self.swarm.delay.max(50));
                self.after(wait, Happening::Dial(client, link, at));
            }
            Action::Flush(link) => self.flush_client(client, link),
        }
    }

    /// What a client has to say goes on its way.
    fn flush_client(&mut self, client: usize, link: LinkId) {
        use bytes::Buf;
        let now = self.client_ms();
        let known = &mut self.clients[client];
        let Some(&stream) = known.links.get(&link) else { return };
        let Some(wire) = known.core.connection(link) else { return };
        let outbox = wire.outbox();
        let mut bytes = Vec::new();
        while outbox.has_remaining() {
            let chunk = outbox.chunk();
            bytes.extend_from_slice(chunk);
            let length = chunk.len();
            outbox.advance(length);
        }
        let ended = wire.ended().is_some();
        known.core.wrote(link, bytes.len(), now);
        self.carry(stream, Way::Up, &bytes);
        if ended {
            self.clients[client].core.finished(link, now);
        }
    }

    /// Streams of links that the client has given up.
    fn drop_links(&mut self, client: usize) {
        let known = &mut self.clients[client];
        let (core, links) = (&mut known.core, &known.links);
        let gone: Vec<(LinkId, u64)> = links
            .iter()
            .filter(|(link, _)| core.connection(**link).is_none())
            .map(|(a, b)| (*a, *b))
            .collect();
        for (link, stream) in gone {
            self.clients[client].links.remove(&link);
            if let Some(known) = self.streams.remove(&stream) {
                self.forget_served(known.machine, stream);
            }
        }
    }

    pub(super) fn dial(&mut self, client: usize, link: LinkId, at: usize) -> Verdict {
        let known = at < self.machines.len() && !self.machines[at].retired;
        if !known || self.machines[at].process.is_none() {
            return self.dial_failed(client, link, &What::ConnectRefused);
        }
        let (one, two) = (End::Client(client), End::Machine(at));
        if self.is_cut(one, two) || self.is_cut(two, one) || self.machines[at].paused_until > self.now {
            self.after(1_500 * MS, Happening::DialTimedOut(client, link));
            return Ok(());
        }
        let now = self.client_ms();
        if self.clients[client].core.dialed(link, now) {
            let stream = self.open_stream(client, link, at);
            self.clients[client].links.insert(link, stream);
            self.accept(at, stream);
        }
        self.flush_client(client, link);
        self.settle(client)
    }

    pub(super) fn dial_failed(&mut self, client: usize, link: LinkId, what: &What) -> Verdict {
        let now = self.client_ms();
        self.clients[client].core.dial_failed(link, what, now);
        self.settle(client)
    }

    /// Bytes of a node came to a client.
    pub(super) fn hear_node(&mut self, client: usize, link: LinkId, bytes: &[u8]) -> Verdict {
        let now = self.client_ms();
        let known = &mut self.clients[client];
        let Some(wire) = known.core.connection(link) else { return Ok(()) };
        wire.buffer().extend_from_slice(bytes);
        known.core.received(link, now);
        self.flush_client(client, link);
        self.settle(client)
    }

    /// A client learns that a link is gone.
    pub(super) fn lose_link(&mut self, client: usize, link: LinkId) -> Verdict {
        let now = self.client_ms();
        let known = &mut self.clients[client];
        known.links.remove(&link);
        known.core.lost(link, "reset by the other side", now);
        self.settle(client)
    }

    pub(super) fn client_tick(&mut self, client: usize, deadline: u64) -> Verdict {
        let now = self.client_ms();
        let known = &mut self.clients[client];
        if known.armed == deadline {
            known.armed = u64::MAX;
        }
        if known.core.deadline().is_some_and(|due| due <= now) {
            known.core.tick(now);
            let links: Vec<LinkId> = known.links.keys().copied().collect();
            for link in links {
                self.flush_client(client, link);
            }
        }
        self.settle(client)
    }

    // ---- what they ask ----

    /// A client thinks of something.
    pub(super) fn wake(&mut self, client: usize) -> Verdict {
        let wait = self.rng.gap(self.swarm.gap.max(MS));
        self.after(wait, Happening::Wake(client));
        if client == 0 {
            return self.operate();
        }
        self.keep_leases(client)?;
        if let Some(queued) = self.clients[client].queued.clone() {
            self.go_on(client, queued)?;
        }
        if self.closing || self.clients[client].asking() >= self.swarm.in_flight {
            return Ok(());
        }
        self.think(client)
    }

    /// The operator: settings first, then members.
    fn operate(&mut self) -> Verdict {
        if self.clients[0].open() > 0 {
            return Ok(());
        }
        if let Some(change) = self.clients[0].settings.pop() {
            let command = Command::ChangeSettings(ChangeSettings { changes: vec![change] });
            return self.call(0, request(command), For::Other, 5_000);
        }
        match self.next_order() {
            Some((order, work)) => self.call(0, work, For::Ordered(order), 3_000),
            None => Ok(()),
        }
    }

    /// More calls at once than anybody expects.
    pub(super) fn burst(&mut self) -> Verdict {
        let client = 1 + self.rng.position(self.swarm.clients);
        for _ in 0..40 {
            if !self.closing {
                self.think(client)?;
            }
        }
        self.tally.probes.hit(Probe::Burst);
        Ok(())
    }

    fn think(&mut self, client: usize) -> Verdict {
        let verbs = self.swarm.verbs.clone();
        let weights = [
            verbs.put,
            verbs.swap,
            verbs.delete,
            verbs.transact,
            verbs.read,
            verbs.follow,
            verbs.lease,
            verbs.lock,
            verbs.elect,
            verbs.watch,
            verbs.compact,
            verbs.query,
        ];
        let mut drawn = self.rng.below(weights.iter().sum());
        let mut verb = 0;
        while drawn >= weights[verb] {
            drawn -= weights[verb];
            verb += 1;
        }
        let timeout = *self.rng.pick(&[300, 1_000, 3_000]);
        match verb {
            0 => self.write(client, 1, None, timeout),
            1 => self.swap(client, timeout),
            2 => self.delete(client, timeout),
            3 => {
                let keys = self.rng.between(2, 3.min(self.swarm.keys.max(2)));
                self.write(client, keys, None, timeout)
            }
            4 => self.read(client, true, timeout),
            5 => self.read(client, false, timeout),
            6 => self.lease(client, timeout),
            7 => self.enter(client, QueueKind::Lock, timeout),
            8 => self.enter(client, QueueKind::Election, timeout),
            9 => self.watch(client),
            10 => self.compact(client, timeout),
            _ => self.question(client, timeout),
        }
    }

    fn value(&mut self, client: usize) -> Bytes {
        let known = &mut self.clients[client];
        known.next_value += 1;
        let mut value = format!("c{client}-{}", known.next_value);
        if self.rng.chance(100) {
            let more = self.rng.position(600);
            value.extend(std::iter::repeat_n('.', more));
        }
        value.into()
    }

    fn some_key(&mut self) -> Bytes {
        key(self.rng.below(self.swarm.keys))
    }

    fn write(&mut self, client: usize, keys: u64, fence: Option<(Bytes, u64)>, timeout: u64) -> Verdict {
        let mut chosen = BTreeSet::new();
        for _ in 0..keys {
            chosen.insert(self.some_key());
        }
        let value = self.value(client);
        let changes: Vec<(Bytes, Option<Bytes>)> =
            chosen.into_iter().map(|key| (key, Some(value.clone()))).collect();
        self.ask_write(client, changes, Vec::new(), fence, timeout)
    }

    fn swap(&mut self, client: usize, timeout: u64) -> Verdict {
        let (one, two) = (self.some_key(), self.some_key());
        let value = self.value(client);
        let known = &self.clients[client];
        let expected = known.seen.get(&one).copied().unwrap_or(0);
        self.ask_write(client, vec![(two, Some(value))], vec![(one, expected)], None, timeout)
    }

    fn delete(&mut self, client: usize, timeout: u64) -> Verdict {
        let key = self.some_key();
        self.ask_write(client, vec![(key, None)], Vec::new(), None, timeout)
    }

    fn ask_write(
        &mut self,
        client: usize,
        changes: Vec<(Bytes, Option<Bytes>)>,
        only_if: Vec<(Bytes, u64)>,
        fence: Option<(Bytes, u64)>,
        timeout: u64,
    ) -> Verdict {
        let operation = |(key, value): &(Bytes, Option<Bytes>)| match value {
            Some(value) => Operation::Put(Put { key: key.clone(), value: value.clone(), ..Put::default() }),
            None => Operation::Delete(Delete { span: Span::Key(key.clone()), return_previous: false }),
        };
        let plain = changes.len() == 1 && only_if.is_empty() && fence.is_none();
        let command = if plain {
            match operation(&changes[0]) {
                Operation::Put(put) => Command::Put(put),
                Operation::Delete(delete) => Command::Delete(delete),
                Operation::Range(_) | Operation::Transaction(_) | Operation::Restore(_) => return Ok(()),
            }
        } else {
            let equal = |key: &Bytes, against| Compare {
                span: Span::Key(key.clone()),
                relation: Relation::Equal,
                against,
            };
            let compares = only_if
                .iter()
                .map(|(key, revision)| equal(key, Against::ModRevision(*revision)))
                .chain(fence.iter().map(|(lock, token)| equal(lock, Against::Fence(*token))));
            Command::Transact(Transaction {
                compares: compares.collect(),
                then: changes.iter().map(operation).collect(),
                otherwise: Vec::new(),
            })
        };
        let ask = history::Ask::Write { changes, only_if, fence };
        self.call(client, request(command), For::Write(ask), timeout)
    }

    fn read(&mut self, client: usize, linearizable: bool, timeout: u64) -> Verdict {
        let position = self.clients[client].position;
        let stale = !linearizable && self.rng.chance(500);
        let (consistency, freshness, min_position) = if linearizable {
            (Consistency::Linearizable, Freshness::Linearizable, None)
        } else if stale && self.rng.chance(600) {
            (Consistency::Stale, Freshness::NotBefore(0), None)
        } else {
            let index = position.map_or(0, |position| position.wire().index);
            let consistency = if stale { Consistency::Stale } else { Consistency::Follower };
            (consistency, Freshness::NotBefore(index), position)
        };
        let max_stale_ms = if stale { *self.rng.pick(&[0, 20, 200, 1_000]) } else { 0 };
        let (span, keys) = if self.rng.chance(600) {
            let key = self.some_key();
            (Span::Key(key.clone()), vec![key])
        } else {
            (Span::prefix("k/"), (0..self.swarm.keys).map(key).collect())
        };
        let work = Work::Read { range: Range::of(span), consistency, max_stale_ms, min_position };
        self.call(client, work, For::Read(history::Ask::Read { keys, freshness }), timeout)
    }

    fn compact(&mut self, client: usize, timeout: u64) -> Verdict {
        let seen = self.clients[client].revision;
        let revision = self.rng.between(seen.saturating_sub(8).max(1), seen.max(1));
        self.call(client, request(Command::Compact(Compact { revision })), For::Other, timeout)
    }

    fn question(&mut self, client: usize, timeout: u64) -> Verdict {
        let lease = self.clients[client].leases.first().map_or(1, |held| held.id);
        let key = self.some_key();
        let query = match self.rng.below(5) {
            0 => Query::Lease { lease },
            1 => Query::Leases { after: 0, limit: 10 },
            2 => Query::Queues { kind: QueueKind::Lock, after: Bytes::new(), limit: 10 },
            3 => Query::History { key, before: 0, limit: 5 },
            _ => Query::Audit(AuditQuery::default()),
        };
        let consistency = *self.rng.pick(&[Consistency::Linearizable, Consistency::Follower]);
        let work = Work::Query { query, consistency, max_stale_ms: 0, min_position: None };
        self.call(client, work, For::Other, timeout)
    }

    // ---- leases ----

    fn lease(&mut self, client: usize, timeout: u64) -> Verdict {
        let held = self.clients[client].leases.clone();
        if held.len() >= 3 || (!held.is_empty() && self.rng.chance(300)) {
            let held = &held[self.rng.position(held.len())];
            let in_use = self.clients[client].queued.as_ref().is_some_and(|queued| queued.lease == held.id);
            if self.rng.chance(400) && !in_use {
                let revoked = Some(self.now);
                let lease = &mut self.seen.leases[held.at];
                lease.revoked = lease.revoked.or(revoked);
                let command = Command::RevokeLease(RevokeLease { lease: held.id });
                return self.call(client, request(command), For::Revoke(held.id), timeout);
            }
            // A key that lives and ends with it.
            let (key, lease) = (Bytes::from(format!("l/{}", held.id)), held.id);
            let value = self.value(client);
            let put = Put { key: key.clone(), value: value.clone(), lease, ..Put::default() };
            self.seen.hanging.insert(key.clone(), lease);
            let changes = vec![(key, Some(value))];
            let ask = history::Ask::Write { changes, only_if: Vec::new(), fence: None };
            return self.call(client, request(Command::Put(put)), For::Write(ask), timeout);
        }
        self.grant(client, timeout)
    }

    fn grant(&mut self, client: usize, timeout: u64) -> Verdict {
        let until = self.now + self.rng.between(0, 6 * self.swarm.ttl_ms) * MS;
        let command = Command::GrantLease(GrantLease { lease: 0, ttl_ms: self.swarm.ttl_ms });
        self.call(client, request(command), For::Grant { until }, timeout)
    }

    /// Renews what is due, and forgets what its time is over for.
    fn keep_leases(&mut self, client: usize) -> Verdict {
        let now = self.now;
        let in_use = self.clients[client].queued.as_ref().map(|queued| queued.lease);
        let closing = self.closing;
        let due: Vec<i64> = self.clients[client]
            .leases
            .iter_mut()
            .filter(|held| {
                let wanted = !closing && (held.until > now || in_use == Some(held.id));
                wanted && now >= held.sent + held.ttl * MS / 3
            })
            .map(|held| {
                held.sent = now;
                held.id
            })
            .collect();
        for lease in due {
            let ttl = self.swarm.ttl_ms;
            self.call(client, Work::KeepLease(lease), For::Keep(lease), ttl)?;
        }
        let over = |held: &Held| now > held.kept + 4 * held.ttl * MS + 10 * SECOND;
        self.clients[client].leases.retain(|held| !over(held));
        Ok(())
    }

    /// Somebody sees that a lease is gone.
    fn lease_gone(&mut self, client: usize, lease: i64) {
        let now = self.now;
        let known = &mut self.clients[client];
        if let Some(place) = known.leases.iter().position(|held| held.id == lease) {
            let held = known.leases.remove(place);
            let gone = &mut self.seen.leases[held.at].gone;
            *gone = Some(gone.unwrap_or(now));
            self.tally.probes.hit(Probe::LeaseGone);
        }
        if let Some(queued) = self.clients[client].queued.clone()
            && queued.lease == lease
        {
            self.leave_queue(client, &queued);
        }
    }

    // ---- locks and elections ----

    fn enter(&mut self, client: usize, kind: QueueKind, timeout: u64) -> Verdict {
        if self.clients[client].queued.is_some() {
            return Ok(());
        }
        let now = self.now;
        let fresh = |held: &&Held| held.until > now + held.ttl * MS;
        let Some(lease) = self.clients[client].leases.iter().find(fresh).map(|held| held.id) else {
            return self.grant(client, timeout);
        };
        let name: Bytes = format!("q/{}", self.rng.below(2)).into();
        let value = self.value(client);
        let command = match kind {
            QueueKind::Lock => {
                let wait = self.rng.chance(700);
                Command::Acquire(Acquire { name: name.clone(), lease, wait, value })
            }
            QueueKind::Election => Command::Campaign(Campaign { name: name.clone(), lease, value }),
        };
        let deeds = self.rng.between(0, 5);
        self.clients[client].queued =
            Some(Queued { kind, name: name.clone(), lease, stay: Stay::Asked, deeds });
        self.call(client, request(command), For::Enter(name), timeout)
    }

    /// Goes on with a lock or an election.
    fn go_on(&mut self, client: usize, queued: Queued) -> Verdict {
        let now = self.now;
        let known = &self.clients[client];
        let held = known.leases.iter().find(|held| held.id == queued.lease);
        // Nine tenths of its time, from the sending of what was acknowledged last.
        let trusts = held.is_some_and(|held| now < held.kept + held.ttl * MS / 10 * 9);
        match queued.stay {
            Stay::Asked | Stay::Leaving => Ok(()),
            Stay::Waiting if !trusts => {
                self.leave_queue(client, &queued);
                Ok(())
            }
            Stay::Waiting => {
                let asks = |(_, purpose): &(u64, For)| matches!(purpose, For::News(_));
                if self.clients[client].calls.values().any(asks) {
                    return Ok(());
                }
                let when = When::Settled { lease: queued.lease };
                let query = Query::Queue { kind: queued.kind, name: queued.name.clone(), when };
                // Anywhere else it is enough to have seen itself wait.
                let anywhere = self.rng.chance(500);
                let consistency = if anywhere { Consistency::Follower } else { Consistency::Linearizable };
                let min_position = self.clients[client].position.filter(|_| anywhere);
                self.tally.probes.hit_if(anywhere, Probe::NewsAskedAnywhere);
                let work = Work::Query { query, consistency, max_stale_ms: 0, min_position };
                self.call(client, work, For::News(queued.name), 1_000)
            }
            // One that does not trust its lease any more writes once more all the same: the fence is what holds.
            Stay::Held(token, _) if queued.deeds > 0 && !self.closing => {
                if let Some(own) = &mut self.clients[client].queued {
                    own.deeds -= 1;
                }
                let fence = (queued.kind == QueueKind::Lock).then(|| (queued.name.clone(), token));
                self.write(client, 1, fence, 1_000)
            }
            Stay::Held(_, at) => {
                let until = self.trusted_until(client, queued.lease);
                self.seen.grants[at].until = until.min(now);
                if let Some(own) = &mut self.clients[client].queued {
                    own.stay = Stay::Leaving;
                }
                let (name, lease) = (queued.name.clone(), queued.lease);
                let command = match queued.kind {
                    QueueKind::Lock => Command::Release(Release { name, lease }),
                    QueueKind::Election => Command::Resign(Resign { name, lease }),
                };
                self.call(client, request(command), For::Leave, 1_000)
            }
        }
    }

    fn trusted_until(&self, client: usize, lease: i64) -> u64 {
        let held = self.clients[client].leases.iter().find(|held| held.id == lease);
        held.map_or(0, |held| held.kept + held.ttl * MS / 10 * 9)
    }

    /// It has no place any more, or does not believe so.
    fn leave_queue(&mut self, client: usize, queued: &Queued) {
        if let Stay::Held(_, at) = queued.stay {
            let until = self.trusted_until(client, queued.lease).min(self.now);
            let grant = &mut self.seen.grants[at];
            grant.until = grant.until.min(until.max(grant.heard));
        }
        self.clients[client].queued = None;
    }

    fn granted(&mut self, client: usize, name: &Bytes, token: u64, position: Position) {
        let now = self.now;
        let at = history::Position { term: position.wire().term, index: position.wire().index };
        let Some(queued) = self.clients[client].queued.clone() else { return };
        let until = self.trusted_until(client, queued.lease);
        let kind = if queued.kind == QueueKind::Lock { "lock " } else { "election " };
        let lock = [kind.as_bytes(), name].concat().into();
        let grant = Grant { lock, client: client as u32, token, at, heard: now, until };
        // It may have had it before, and not have heard that; then it is the same stay.
        let same = |one: &Grant| one.lock == grant.lock && one.token == token && one.client == grant.client;
        let place = self.seen.grants.iter().position(same).unwrap_or(self.seen.grants.len());
        if place == self.seen.grants.len() {
            self.seen.grants.push(grant);
        } else {
            self.seen.grants[place].until = until;
        }
        if let Some(queued) = &mut self.clients[client].queued {
            queued.stay = Stay::Held(token, place);
        }
        self.tally.probes.hit(Probe::LockGranted);
    }

    // ---- watches ----

    fn watch(&mut self, client: usize) -> Verdict {
        let now = self.client_ms();
        let goes_on = self.clients[client].watchers.iter().filter(|watcher| !watcher.over).count();
        if goes_on >= WATCHES_MAX {
            return Ok(());
        }
        let seen = self.clients[client].revision;
        let from = match self.rng.below(4) {
            0 => 1,
            1 => seen.saturating_sub(self.rng.below(10)).max(1),
            2 => seen + 1,
            _ => seen + 1 + self.rng.below(5),
        };
        let prefix = if self.rng.chance(500) { Bytes::from_static(b"k/") } else { self.some_key() };
        let ask = WatchAsk {
            span: Span::prefix(prefix.clone()),
            from,
            previous: self.rng.chance(300),
            puts: true,
            deletes: true,
            progress: true,
            min_position: None,
            buffer_bytes: *self.rng.pick(&[200, 10_000, 1 << 20]),
        };
        say!(self, "client {client} watches {prefix:?} from {from}");
        let known = &mut self.clients[client];
        let id = known.core.watch(ask, now);
        self.seen.watches.push(Watching {
            client: client as u32,
            prefix,
            from,
            told: Vec::new(),
            complete_to: None,
        });
        known.watchers.push(Watcher { id, at: self.seen.watches.len() - 1, over: false });
        self.settle(client)
    }

    /// A watch has something new.
    fn news(&mut self, client: usize, id: WatchId) -> Verdict {
        let now = self.client_ms();
        let Some(place) = self.clients[client].watchers.iter().position(|watcher| watcher.id == id) else {
            return Ok(());
        };
        let at = self.clients[client].watchers[place].at;
        while let Some(notice) = self.clients[client].core.next_notice(id, now) {
            match notice {
                Ok(Notice::Changes(changes)) => {
                    let told = changes.events.iter().map(|event| {
                        let entry = &event.entry;
                        (entry.key.clone(), (!event.deleted).then(|| entry.value.clone()))
                    });
                    self.seen.watches[at]
                        .told
                        .push(Told::Revision { revision: changes.revision, changes: told.collect() });
                    self.tally.events_told += 1;
                }
                Ok(Notice::Progress(revision)) => {
                    self.seen.watches[at].told.push(Told::Progress(revision));
                }
                Err(error) => {
                    let watcher = &mut self.clients[client].watchers[place];
                    if watcher.over {
                        break;
                    }
                    watcher.over = true;
                    say!(self, "client {client}: a watch ends: {error:?}");
                    let compacted = error.code == Some(Code::Compacted);
                    self.tally.probes.hit_if(compacted, Probe::WatchCompacted);
                    holds!(compacted, "W10 WatchEnd", "a watch of client {client} ends: {error:?}");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Marks watches that have come to the end as complete.
    pub(super) fn complete_watches(&mut self, revision: u64) {
        for client in &self.clients {
            for watcher in client.watchers.iter().filter(|watcher| !watcher.over) {
                if client.core.watch_next(watcher.id) > revision {
                    self.seen.watches[watcher.at].complete_to = Some(revision);
                }
            }
        }
    }

    // ---- what they are answered ----

    fn done(
        &mut self,
        client: usize,
        number: u64,
        result: &Result<Answer, holdfast_client::Error>,
    ) -> Verdict {
        let Some((invoked, purpose)) = self.clients[client].calls.remove(&number) else { return Ok(()) };
        say!(self, "client {client} call {number} is answered: {result:?}");
        self.tally.ops += 1;
        let position = match result {
            Ok(Answer::Written { position, .. } | Answer::Queried { position, .. }) => Some(*position),
            Ok(Answer::Read(page)) => Some(page.position),
            Ok(
                Answer::LeaseKept { .. }
                | Answer::MembersChanged { .. }
                | Answer::Status(_)
                | Answer::Stats(_)
                | Answer::Trace(_)
                | Answer::Examined(_)
                | Answer::Snapshot(_)
                | Answer::Done,
            )
            | Err(_) => None,
        };
        if let Some(position) = position {
            let known = &mut self.clients[client].position;
            let newer = known.is_none_or(|known| known.wire().index < position.wire().index);
            if newer {
                *known = Some(position);
            }
        }
        if let Err(error) = result {
            self.tally.note_error(error);
            // What this build says to itself is always understood.
            let odd = matches!(error.kind, ErrorKind::Unreadable | ErrorKind::Incompatible);
            holds!(!odd, "Q3 Wire", "client {client}: {error:?}");
        } else {
            self.tally.answered += 1;
        }
        match purpose {
            For::Write(ask) => self.wrote(client, invoked, ask, result),
            For::Read(ask) => self.has_read(client, invoked, ask, result),
            For::Grant { until } => self.lease_granted(client, invoked, until, result),
            For::Keep(lease) => self.lease_kept(client, invoked, lease, result),
            For::Revoke(lease) => {
                if result.is_ok() {
                    self.lease_gone(client, lease);
                }
            }
            For::Enter(name) => self.entered(client, &name, result),
            For::News(name) => self.queue_told(client, &name, result),
            For::Leave => {
                // Known or not: it does nothing more with it, and its lease ends.
                self.clients[client].queued = None;
            }
            For::Ordered(order) => self.carried_out(order, result),
            For::Other => {}
        }
        Ok(())
    }

    fn record(&mut self, client: usize, invoked: u64, ask: history::Ask, answer: history::Answer) {
        let returned = self.now;
        self.seen.ops.push(Op { client: client as u32, ask, invoked, returned, answer });
    }

    fn saw(&mut self, client: usize, revision: u64) {
        let known = &mut self.clients[client];
        known.revision = known.revision.max(revision);
    }

    fn wrote(
        &mut self,
        client: usize,
        invoked: u64,
        ask: history::Ask,
        result: &Result<Answer, holdfast_client::Error>,
    ) {
        let answer = match result {
            Ok(Answer::Written { reply, position }) => {
                let at = history::Position { term: position.wire().term, index: position.wire().index };
                #[expect(clippy::wildcard_enum_match_arm, reason = "a write is answered by these")]
                let answer = match reply {
                    Reply::Put { revision, .. } => history::Answer::Written { at, revision: *revision },
                    Reply::Deleted { revision, count: 0, .. } => {
                        history::Answer::NotMet { at, revision: *revision }
                    }
                    Reply::Deleted { revision, .. } => history::Answer::Written { at, revision: *revision },
                    Reply::Transacted { revision, succeeded: true, .. } => {
                        history::Answer::Written { at, revision: *revision }
                    }
                    Reply::Transacted { revision, .. } => history::Answer::NotMet { at, revision: *revision },
                    _ => history::Answer::Unknown,
                };
                answer
            }
            Err(error) if error.outcome == holdfast_client::Outcome::NotApplied => history::Answer::Refused,
            Ok(_) | Err(_) => history::Answer::Unknown,
        };
        if let (history::Answer::Written { revision, .. }, history::Ask::Write { changes, .. }) =
            (&answer, &ask)
        {
            for (key, value) in changes {
                let seen = if value.is_some() { *revision } else { 0 };
                self.clients[client].seen.insert(key.clone(), seen);
            }
        }
        if let history::Answer::Written { revision, .. } | history::Answer::NotMet { revision, .. } = answer {
            self.saw(client, revision);
        }
        self.record(client, invoked, ask, answer);
    }

    fn has_read(
        &mut self,
        client: usize,
        invoked: u64,
        ask: history::Ask,
        result: &Result<Answer, holdfast_client::Error>,
    ) {
        let Ok(Answer::Read(page)) = result else {
            self.record(client, invoked, ask, history::Answer::Refused);
            return;
        };
        let at = history::Position { term: page.position.wire().term, index: page.position.wire().index };
        let items: Vec<(Bytes, Bytes, u64)> = page
            .page
            .entries
            .iter()
            .map(|item| (item.key.clone(), item.value.clone(), item.mod_revision))
            .collect();
        let revision = page.page.revision;
        if let history::Ask::Read { keys, .. } = &ask {
            for key in keys {
                let found = items.iter().find(|(found, ..)| found == key).map_or(0, |(_, _, seen)| *seen);
                self.clients[client].seen.insert(key.clone(), found);
            }
        }
        self.saw(client, revision);
        self.record(client, invoked, ask, history::Answer::Found { at, revision, items });
    }

    fn lease_granted(
        &mut self,
        client: usize,
        invoked: u64,
        until: u64,
        result: &Result<Answer, holdfast_client::Error>,
    ) {
        let Ok(Answer::Written { reply: Reply::LeaseGranted { lease, ttl_ms }, .. }) = result else { return };
        let ttl = ttl_ms * MS;
        self.seen.leases.push(Lease { id: *lease, ttl, kept: vec![invoked], revoked: None, gone: None });
        let at = self.seen.leases.len() - 1;
        let held = Held { id: *lease, ttl: *ttl_ms, at, kept: invoked, sent: invoked, until };
        self.clients[client].leases.push(held);
    }

    fn lease_kept(
        &mut self,
        client: usize,
        invoked: u64,
        lease: i64,
        result: &Result<Answer, holdfast_client::Error>,
    ) {
        match result {
            Ok(Answer::LeaseKept { known: true, .. }) => {
                let now = self.now;
                let known = &mut self.clients[client];
                let Some(held) = known.leases.iter_mut().find(|held| held.id == lease) else { return };
                held.kept = held.kept.max(invoked);
                let (at, until) = (held.at, held.kept + held.ttl * MS / 10 * 9);
                self.seen.leases[at].kept.push(invoked);
                if let Some(Queued { stay: Stay::Held(_, grant), lease: own, .. }) = &known.queued
                    && *own == lease
                    && self.seen.grants[*grant].until >= now
                {
                    self.seen.grants[*grant].until = until;
                }
            }
            Ok(Answer::LeaseKept { known: false, .. }) => self.lease_gone(client, lease),
            Ok(_) | Err(_) => {}
        }
    }

    fn entered(&mut self, client: usize, name: &Bytes, result: &Result<Answer, holdfast_client::Error>) {
        match result {
            Ok(Answer::Written {
                reply: Reply::LockGranted { token } | Reply::Elected { token },
                position,
            }) => {
                self.granted(client, name, *token, *position);
            }
            Ok(Answer::Written { reply: Reply::LockQueued { .. } | Reply::Campaigning { .. }, .. }) => {
                if let Some(queued) = &mut self.clients[client].queued {
                    queued.stay = Stay::Waiting;
                }
                self.tally.probes.hit(Probe::LockWaited);
            }
            Ok(_) | Err(_) => self.clients[client].queued = None,
        }
    }

    fn queue_told(&mut self, client: usize, name: &Bytes, result: &Result<Answer, holdfast_client::Error>) {
        let Ok(Answer::Queried { answer: Queried::Queue(queue), position }) = result else { return };
        let Some(queued) = self.clients[client].queued.clone() else { return };
        if queued.stay != Stay::Waiting {
            return;
        }
        if let Some(holder) = &queue.holder
            && holder.lease == queued.lease
        {
            self.granted(client, name, holder.token, *position);
        }
    }

    /// Whether all is answered that was asked.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.clients.iter().skip(1).all(|client| client.open() == 0)
    }

    /// A violation about a client.
    #[must_use]
    pub(super) fn complaint(client: &Client) -> Violation {
        let what = format!("client {} has calls that are never answered: {:?}", client.number, client.calls);
        Violation { property: "Q2 Liveness", what }
    }
}
