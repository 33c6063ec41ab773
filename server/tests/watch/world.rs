//! A hub between a store that follows a leader and clients that read as slowly as they like, with a judge who knows every
//! change from a replay of his own.
//!
//! The judge's rules are those of the design: W1 ordered, W2 unique, W3 no gaps, W4 a revision is never split, W5 resumable
//! behind what was seen, W6 a mark is never ahead, W7 filters and earlier versions as a naive replay has them, W8 nothing
//! before the start, W10 an end says why and where to resume.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_command::keys::{Compact, Delete, Operation, Put, Span, Transaction};
use holdfast_command::{Code, Command, Entry, Envelope, KeyValue, Refusal, Request, WatchEvent};
use holdfast_machine::Numbered;
use holdfast_server::node::Caller;
use holdfast_server::watch::machine::State;
use holdfast_server::watch::plant::Plant;
use holdfast_server::watch::{Ask, Budget, Hub, Opened, Piece, Wants};
use holdfast_store::{LogPosition, Store};
use holdfast_wire::Message;
use holdfast_wire::message::{WatchEnded, WatchEvents};

/// What is wrong, in words.
pub(crate) type Judged = Result<(), String>;

/// The same numbers for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn key(&mut self) -> Bytes {
        const KEYS: [&str; 10] = ["a", "a/1", "a/2", "a/2/x", "b", "b/1", "b/2", "c", "c/1", "d"];
        Bytes::from_static(KEYS[self.below(KEYS.len() as u64) as usize].as_bytes())
    }

    fn span(&mut self) -> Span {
        match self.below(6) {
            0 | 1 => Span::Key(self.key()),
            2 => Span::prefix("a/"),
            3 => Span::all(),
            4 => Span::From(self.key()),
            _ => {
                let (one, other) = (self.key(), self.key());
                if one < other { Span::Between { start: one, end: other } } else { Span::prefix(one) }
            }
        }
    }
}

pub(crate) fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
    Command::Put(Put { key: key.into(), value: value.into(), ..Put::default() })
}

pub(crate) fn delete(span: Span) -> Command {
    Command::Delete(Delete { span, return_previous: false })
}

pub(crate) fn entry(command: Command, stamp: u64) -> Bytes {
    let envelope = Envelope { stamp, clock: 1, ..Envelope::default() };
    Entry { envelope, request: Request::from(command) }.encode()
}

/// What a client has of its watch, over all its lives.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its watch on the node; none while it is not watching.
    pub(crate) caller: Option<Caller>,
    /// It was opened, and not answered yet.
    is_waiting: bool,
    pub(crate) span: Span,
    pub(crate) wants: Wants,
    /// The first revision of this record.
    pub(crate) from: u64,
    /// The next to be delivered, as far as it knows.
    pub(crate) next: u64,
    /// Parts of a revision that is not whole.
    partial: Vec<WatchEvent>,
    /// What was handed on.
    pub(crate) seen: Vec<Vec<WatchEvent>>,
    pub(crate) marks: Vec<u64>,
    pub(crate) ended: Option<WatchEnded>,
}

/// Everything that happens in a test.
#[derive(Debug)]
pub(crate) struct World<P: Plant> {
    pub(crate) dice: Dice,
    pub(crate) budget: Budget,
    /// Has applied every entry.
    pub(crate) leader: Store,
    /// Entries that the follower has not applied.
    pub(crate) log: Vec<Bytes>,
    /// The state of the node with the hub.
    pub(crate) store: Store,
    pub(crate) hub: Hub<P>,
    jobs: Vec<(Store, Piece<P>)>,
    pub(crate) clients: Vec<Client>,
    last_call: u64,
    /// The keys as a naive replay has them, and what each revision has changed.
    keys: BTreeMap<Bytes, KeyValue>,
    pub(crate) history: BTreeMap<u64, Vec<WatchEvent>>,
    stamp: u64,
    /// The longest event so far.
    longest: usize,
}

impl<P: Plant> World<P> {
    pub(crate) fn new(seed: u64, budget: Budget) -> Self {
        let store = Store::new();
        let hub = Hub::new(budget, store.revision());
        Self {
            dice: Dice::new(seed),
            budget,
            leader: store.clone(),
            log: Vec::new(),
            store,
            hub,
            jobs: Vec::new(),
            clients: Vec::new(),
            last_call: 0,
            keys: BTreeMap::new(),
            history: BTreeMap::new(),
            stamp: 0,
            longest: 0,
        }
    }

    /// An entry is committed: the leader applies it, the follower will.
    pub(crate) fn commit(&mut self, command: Command) {
        self.stamp += 1;
        self.replay(&command);
        let entry = entry(command, self.stamp);
        apply(&mut self.leader, &entry);
        self.log.push(entry);
    }

    /// What a command changes, found without the store.
    fn replay(&mut self, command: &Command) {
        let revision = self.leader.revision() + 1;
        let mut events = Vec::new();
        match command {
            Command::Put(put) => self.replay_put(put, revision, &mut events),
            Command::Delete(delete) => self.replay_delete(&delete.span, revision, &mut events),
            Command::Transact(transaction) => {
                for operation in &transaction.then {
                    match operation {
                        Operation::Put(put) => self.replay_put(put, revision, &mut events),
                        Operation::Delete(delete) => self.replay_delete(&delete.span, revision, &mut events),
                        other => panic!("not used here: {other:?}"),
                    }
                }
            }
            Command::Compact(_) => {}
            other => panic!("not used here: {other:?}"),
        }
        for event in &events {
            self.longest = self.longest.max(event.encode().len());
        }
        if !events.is_empty() {
            self.history.insert(revision, events);
        }
    }

    fn replay_put(&mut self, put: &Put, revision: u64, events: &mut Vec<WatchEvent>) {
        let previous = self.keys.get(&put.key).cloned();
        let entry = KeyValue {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: previous.as_ref().map_or(revision, |previous| previous.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(1, |previous| previous.version + 1),
            lease: 0,
            stamp: self.stamp,
        };
        self.keys.insert(put.key.clone(), entry.clone());
        events.push(WatchEvent { deleted: false, entry, previous, previous_left_out: false });
    }

    fn replay_delete(&mut self, span: &Span, revision: u64, events: &mut Vec<WatchEvent>) {
        let gone: Vec<Bytes> = self.keys.keys().filter(|key| span.contains(key)).cloned().collect();
        for key in gone {
            let previous = self.keys.remove(&key);
            let entry = KeyValue { key, mod_revision: revision, stamp: self.stamp, ..KeyValue::default() };
            events.push(WatchEvent { deleted: true, entry, previous, previous_left_out: false });
        }
    }

    /// The follower applies up to so many entries.
    pub(crate) fn apply(&mut self, count: usize) {
        let count = count.min(self.log.len());
        for entry in self.log.drain(..count) {
            apply(&mut self.store, &entry);
            self.hub.publish(&self.store);
        }
    }

    /// The follower gets the state of the leader, and what it had not applied is void.
    pub(crate) fn reinstall(&mut self) {
        self.log.clear();
        self.store = self.leader.clone();
        self.hub.reinstalled(&self.store);
    }

    /// The hub reads on, and says who was opened.
    pub(crate) fn advance(&mut self) -> Judged {
        let mut pieces = Vec::new();
        let opened = self.hub.advance(&self.store, &mut pieces);
        self.jobs.extend(pieces.into_iter().map(|piece| (self.store.clone(), piece)));
        for (caller, opened) in opened {
            let client = self.clients.iter_mut().find(|client| client.caller == Some(caller));
            if let Some(client) = client {
                told(client, opened)?;
            }
        }
        Ok(())
    }

    /// Another thread has done one of its jobs.
    pub(crate) fn run_job(&mut self) -> bool {
        if self.jobs.is_empty() {
            return false;
        }
        let at = self.dice.below(self.jobs.len() as u64) as usize;
        let (store, piece) = self.jobs.swap_remove(at);
        self.hub.spliced(piece.run(&store));
        true
    }

    /// A new watch on this connection, with a record of its own.
    pub(crate) fn open(
        &mut self,
        connection: u64,
        span: Span,
        wants: Wants,
        from: u64,
    ) -> Result<usize, String> {
        let client = Client {
            caller: None,
            is_waiting: false,
            span,
            wants,
            from,
            next: from,
            partial: Vec::new(),
            seen: Vec::new(),
            marks: Vec::new(),
            ended: None,
        };
        self.clients.push(client);
        let number = self.clients.len() - 1;
        self.reopen(number, connection, 0)?;
        Ok(number)
    }

    /// A client watches (again) from where it is.
    pub(crate) fn reopen(&mut self, number: usize, connection: u64, index: u64) -> Judged {
        self.last_call += 1;
        let caller = Caller { connection, call: self.last_call };
        let client = &mut self.clients[number];
        client.partial.clear();
        client.ended = None;
        client.caller = Some(caller);
        client.is_waiting = true;
        let ask = Ask { span: client.span.clone(), wants: client.wants, from: client.next, index };
        match self.hub.open(caller, ask, &self.store) {
            Ok(None) => Ok(()),
            Ok(Some(started)) => told(&mut self.clients[number], Ok(started)),
            Err(refusal) => told(&mut self.clients[number], Err(refusal)),
        }
    }

    /// The node gives a connection what it has room for.
    pub(crate) fn take(&mut self, connection: u64, room: usize) -> Judged {
        let mut messages = Vec::new();
        self.hub.take(connection, room, &mut messages);
        for (call, message) in messages {
            let caller = Caller { connection, call };
            let Some(number) = self.clients.iter().position(|client| client.caller == Some(caller)) else {
                continue;
            };
            self.hear(number, message)?;
        }
        Ok(())
    }

    /// All that a watch of this client should have got of revisions from its first up to and with this one.
    fn expected(&self, client: &Client, to: u64) -> Vec<Vec<WatchEvent>> {
        if client.from == 0 {
            return Vec::new();
        }
        let revisions = self.history.range(client.from..).take_while(|(revision, _)| **revision <= to);
        let filtered = revisions.map(|(_, events)| {
            let wanted = events.iter().filter(|event| {
                client.span.contains(&event.entry.key)
                    && if event.deleted { client.wants.deletes } else { client.wants.puts }
            });
            let shown = wanted.cloned().map(|event| WatchEvent {
                previous: event.previous.filter(|_| client.wants.previous),
                ..event
            });
            let mut shown: Vec<WatchEvent> = shown.collect();
            shown.sort_by(|one, other| one.entry.key.cmp(&other.entry.key));
            shown
        });
        filtered.filter(|events| !events.is_empty()).collect()
    }

    /// A client hears a message, as the wire's words for it say it has to.
    fn hear(&mut self, number: usize, message: Message) -> Judged {
        let client = &mut self.clients[number];
        if client.is_waiting {
            return Err(format!("{message:?} before the answer to the call"));
        }
        if client.ended.is_some() {
            return Err(format!("{message:?} behind the end"));
        }
        match message {
            Message::WatchEvents(events) => self.hear_events(number, events),
            Message::WatchProgress(progress) => {
                if !client.partial.is_empty() {
                    return Err("W6: a mark within a revision".into());
                }
                client.marks.push(progress.revision);
                client.next = client.next.max(progress.revision + 1);
                let client = &self.clients[number];
                let expected = self.expected(client, progress.revision);
                if client.seen.len() < expected.len() {
                    return Err(format!("W6: mark {} with {:?} missing", progress.revision, expected));
                }
                Ok(())
            }
            Message::WatchEnded(ended) => {
                client.ended = Some(ended);
                client.caller = None;
                let known = ended.code == 0 || Code::from_number(ended.code).is_some();
                let partial_from = client.partial.first().map(WatchEvent::revision);
                if !known
                    || ended.resume < client.next
                    || partial_from.is_some_and(|from| from != ended.resume)
                {
                    return Err(format!("W10: {ended:?}, with {} to come", client.next));
                }
                client.partial.clear();
                let client = &self.clients[number];
                let expected = self.expected(client, ended.resume - 1);
                if client.seen != expected {
                    return Err(format!("W10: {ended:?} with {:?} of {expected:?}", client.seen));
                }
                let gone = ended.code == Code::Compacted.number();
                if gone && ended.resume > ended.oldest {
                    return Err(format!("W10: {ended:?} says that what is there is gone"));
                }
                self.clients[number].next = ended.resume;
                Ok(())
            }
            other => Err(format!("{other:?} for a watch")),
        }
    }

    fn hear_events(&mut self, number: usize, message: WatchEvents) -> Judged {
        let client = &mut self.clients[number];
        let WatchEvents { continues, more, events } = message;
        if !continues {
            client.partial.clear();
        } else if client.partial.is_empty() {
            return Err("W4: the rest of a revision that has no beginning".into());
        }
        let mut open = std::mem::take(&mut client.partial);
        let mut whole = Vec::new();
        for bytes in events {
            let event = WatchEvent::decode(bytes).map_err(|error| error.to_string())?;
            if open.first().is_some_and(|first: &WatchEvent| first.revision() != event.revision()) {
                whole.push(std::mem::take(&mut open));
            }
            open.push(event);
        }
        if more {
            client.partial = open;
        } else {
            whole.push(open);
        }
        for mut revision in whole {
            let own = revision.first().map_or(0, WatchEvent::revision);
            if own < client.next {
                return Err(format!("W1, W2, W8: revision {own} comes after {} should be next", client.next));
            }
            revision.sort_by(|one, other| one.entry.key.cmp(&other.entry.key));
            client.seen.push(revision);
            client.next = own + 1;
        }
        // W3, W4 and W7: what is seen is what a naive replay has, up to the last of it.
        let client = &self.clients[number];
        let expected = self.expected(client, client.next - 1);
        if client.seen != expected {
            let (seen, last) = (client.seen.last(), expected.last());
            return Err(format!(
                "W3, W4, W7: seen {} {seen:?}, where {} {last:?}",
                client.seen.len(),
                expected.len()
            ));
        }
        Ok(())
    }

    /// Bounds that hold at every moment.
    pub(crate) fn bounds(&self) -> Judged {
        let faults = self.hub.faults();
        if !faults.is_empty() {
            return Err(format!("{faults:?}"));
        }
        let connections = 4;
        // One event may be longer than a queue; ends and marks come on top.
        let most = connections * (self.budget.connection_bytes + self.longest + 64) + 64 * self.clients.len();
        if self.hub.bytes() > most {
            return Err(format!("{} bytes are queued, and {most} may be", self.hub.bytes()));
        }
        Ok(())
    }

    /// Everything is applied, read and taken: each watch has all there is.
    pub(crate) fn settle(&mut self) -> Judged {
        self.apply(usize::MAX);
        for _ in 0..100_000 {
            self.advance()?;
            while self.run_job() {}
            let ready = self.hub.ready();
            if ready.is_empty() && !self.hub.has_more() && self.jobs.is_empty() {
                return self.judge_all();
            }
            for connection in ready {
                self.take(connection, 1 << 20)?;
            }
            self.bounds()?;
        }
        Err("it never comes to rest".into())
    }

    fn judge_all(&self) -> Judged {
        for client in &self.clients {
            let Some(caller) = client.caller else { continue };
            if client.is_waiting {
                // For a position that nobody has reached.
                if self.hub.state(caller) != Some(State::Opening) {
                    return Err(format!("{caller:?} was not answered"));
                }
                continue;
            }
            if self.hub.state(caller) != Some(State::Live) {
                return Err(format!("{caller:?} is in {:?} and all is quiet", self.hub.state(caller)));
            }
            let expected = self.expected(client, self.store.revision());
            if client.seen != expected {
                return Err(format!("W3: seen {:?} of {expected:?}", client.seen));
            }
        }
        Ok(())
    }

    /// A command of any kind that is used here.
    pub(crate) fn random_command(&mut self) -> Command {
        let revision = self.leader.revision();
        let dice = &mut self.dice;
        let value = |dice: &mut Dice| Bytes::from(vec![b'v'; dice.below(40) as usize]);
        match dice.below(20) {
            0..=9 => put(dice.key(), value(dice)),
            10..=12 => delete(Span::Key(dice.key())),
            13 => delete(dice.span()),
            14..=17 => {
                let mut then = Vec::new();
                let mut keys: Vec<Bytes> = (0..dice.below(9) + 1).map(|_| dice.key()).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    then.push(if dice.chance(70) {
                        let value = value(dice);
                        Operation::Put(Put { key, value, ..Put::default() })
                    } else {
                        Operation::Delete(Delete { span: Span::Key(key), return_previous: false })
                    });
                }
                Command::Transact(Transaction { then, ..Transaction::default() })
            }
            _ => Command::Compact(Compact { revision: revision - dice.below(revision.min(6)) }),
        }
    }

    pub(crate) fn random_watch(&mut self) -> (Span, Wants, u64) {
        let dice = &mut self.dice;
        let wants = Wants {
            previous: dice.chance(50),
            puts: !dice.chance(20),
            deletes: !dice.chance(20),
            progress: dice.chance(70),
        };
        let revision = self.leader.revision();
        let from = match dice.below(4) {
            0 => 0,
            1 => revision + 1 + dice.below(6),
            _ => 1 + dice.below(revision),
        };
        (dice.span(), wants, from)
    }

    /// One thing that may happen.
    pub(crate) fn step(&mut self) -> Judged {
        match self.dice.below(100) {
            0..=34 => {
                let command = self.random_command();
                self.commit(command);
            }
            35..=54 => {
                let count = 1 + self.dice.below(4) as usize;
                self.apply(count);
            }
            55..=61 => {
                let (connection, (span, wants, from)) = (1 + self.dice.below(4), self.random_watch());
                let number = self.open(connection, span, wants, from)?;
                if self.dice.chance(20) && self.clients[number].caller.is_some() {
                    // Not before what this node has not applied.
                    self.hang_up(number);
                    let index = self.store.applied().index + self.dice.below(8);
                    self.reopen(number, connection, index)?;
                }
            }
            62..=76 => {
                let (connection, room) = (1 + self.dice.below(4), 1 + self.dice.below(300) as usize);
                self.take(connection, room)?;
            }
            77..=86 => {
                self.run_job();
            }
            87..=89 => {
                for _ in 0..1 + self.dice.below(4) {
                    self.hub.tick();
                }
            }
            90 => self.close(),
            91..=92 => {
                if let Some(caller) = self.some_caller() {
                    self.hub.ask(caller);
                }
            }
            93 => {
                if let Some(caller) = self.some_caller() {
                    self.hub.cancel(caller, &self.store);
                }
            }
            94..=95 => self.resume()?,
            96 => {
                self.store.sweep(3);
            }
            97 => self.reinstall(),
            98 if self.dice.chance(20) => self.hub.end_all(Refusal::NoLeader, &self.store),
            _ => {}
        }
        self.advance()?;
        self.bounds()
    }

    fn some_caller(&mut self) -> Option<Caller> {
        let open: Vec<Caller> = self.clients.iter().filter_map(|client| client.caller).collect();
        let at = self.dice.below(open.len() as u64) as usize;
        open.get(at).copied()
    }

    /// A connection breaks, with all that was on its way.
    pub(crate) fn close(&mut self) {
        let connection = 1 + self.dice.below(4);
        self.hub.close(connection);
        for client in &mut self.clients {
            if client.caller.take_if(|caller| caller.connection == connection).is_some() {
                client.is_waiting = false;
                client.partial.clear();
            }
        }
    }

    /// The connection of this client breaks.
    fn hang_up(&mut self, number: usize) {
        if let Some(caller) = self.clients[number].caller {
            self.hub.close(caller.connection);
            for client in &mut self.clients {
                if client.caller.take_if(|other| other.connection == caller.connection).is_some() {
                    client.is_waiting = false;
                    client.partial.clear();
                }
            }
        }
    }

    /// W5: those who are not watching watch again, from behind what they have.
    fn resume(&mut self) -> Judged {
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            if client.caller.is_none() && client.next > 0 && self.dice.chance(50) {
                let connection = 1 + self.dice.below(4);
                self.reopen(number, connection, 0)?;
            }
        }
        Ok(())
    }
}

/// The answer to the call that opened a watch.
fn told(client: &mut Client, opened: Opened) -> Judged {
    client.is_waiting = false;
    match opened {
        Ok(started) => {
            if client.next > 0 && started.from != client.next {
                return Err(format!("W5: asked for {}, and got {started:?}", client.next));
            }
            client.next = started.from;
            client.from = if client.from == 0 { started.from } else { client.from };
            Ok(())
        }
        Err(refusal) => {
            client.caller = None;
            match refusal {
                Refusal::Compacted { asked, oldest } if asked > oldest => {
                    Err(format!("W10: {refusal:?} of what is there"))
                }
                Refusal::Compacted { .. }
                | Refusal::PositionNotReached { .. }
                | Refusal::NoLeader
                | Refusal::Stopping
                | Refusal::Overloaded { .. } => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    }
}

pub(crate) fn apply(store: &mut Store, entry: &Bytes) {
    let at = LogPosition { term: 1, index: store.applied().index + 1 };
    let applied = store.apply(at, entry).expect("the next entry is applied");
    let refused = applied.outcome.0.err();
    assert!(
        refused.is_none_or(|refusal| matches!(refusal.code(), Code::Compacted | Code::FutureRevision)),
        "{refused:?}"
    );
}
