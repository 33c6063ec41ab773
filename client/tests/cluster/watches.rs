//! Watches of a client over a cluster whose connections break, whose nodes are behind, stop, and end watches as they like;
//! and whose caller reads as slowly as it likes. Each revision comes once, whole and in order, whatever happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_client::command::keys::Span;
use holdfast_client::command::{Code, KeyValue, Refusal, WatchEvent};
use holdfast_client::core::{Config, Core, LinkId, Notice, Rng, WatchAsk, WatchId};
use holdfast_client::{Changes, Kind};
use holdfast_machine::Numbered;
use holdfast_wire::CallId;
use holdfast_wire::message::{Refused, Watch, WatchEnded, WatchEvents, WatchProgress, WatchStarted};

use crate::fake::{Chaos, Cluster, address};

/// What watches are told, and by whom.
#[derive(Default)]
pub(crate) struct Watched {
    /// What each revision has changed, from 2 on.
    history: Vec<Vec<WatchEvent>>,
    /// How many of them each node has applied.
    applied: Vec<usize>,
    open: BTreeMap<(LinkId, u64), Delivery>,
    /// The oldest revision that can be read.
    oldest: u64,
    /// How often a watch is ended, or refused, in 10,000.
    ends: u64,
    pub(crate) opened: u64,
    pub(crate) cancelled: u64,
}

/// Where a watch is at a node.
struct Delivery {
    next: u64,
    /// So many events of that revision were told.
    told: usize,
}

impl Watched {
    fn revision(&self) -> u64 {
        self.history.len() as u64 + 1
    }
}

impl Cluster {
    /// A revision with so many keys.
    fn write(&mut self, keys: u64) {
        let revision = self.watched.revision() + 1;
        let event = |key: u64| {
            let key = Bytes::from(format!("{key}"));
            let value = Bytes::from(vec![b'x'; 20]);
            let entry = KeyValue { key, value, mod_revision: revision, version: 1, ..KeyValue::default() };
            WatchEvent { entry, ..WatchEvent::default() }
        };
        self.watched.history.push((0..keys).map(event).collect());
    }

    pub(crate) fn open_watch(&mut self, link: LinkId, call: CallId, watch: &Watch) {
        let node = self.node_of(link).unwrap_or(0);
        if self.chance(self.watched.ends) {
            self.refuse(link, call, Code::NoLeader, Refused::NOT_APPLIED, 3);
            return;
        }
        if watch.from > 0 && watch.from <= self.watched.oldest {
            self.refuse_compacted(link, call, watch.from);
            return;
        }
        let applied = self.watched.applied.get(node).copied().unwrap_or(0) as u64 + 1;
        let from = if watch.from == 0 { applied + 1 } else { watch.from };
        self.watched.opened += 1;
        self.answer(link, call, &WatchStarted { from, revision: applied }.into());
        self.watched.open.insert((link, call.0), Delivery { next: from, told: 0 });
    }

    fn refuse_compacted(&mut self, link: LinkId, call: CallId, asked: u64) {
        let refused = Refused {
            code: Code::Compacted.number(),
            effect: Refused::NOT_APPLIED,
            retry_after_ms: 0,
            first: asked,
            second: self.watched.oldest,
            leader: None,
            detail: "".into(),
        };
        self.answer(link, call, &refused.into());
    }

    pub(crate) fn cancel_watch(&mut self, link: LinkId, call: CallId) {
        self.watched.cancelled += 1;
        self.end_watch(link, call.0, 0);
    }

    fn end_watch(&mut self, link: LinkId, call: u64, code: u16) {
        if let Some(delivery) = self.watched.open.remove(&(link, call)) {
            let ended = WatchEnded { code, resume: delivery.next, oldest: self.watched.oldest };
            self.answer(link, CallId(call), &ended.into());
        }
    }

    /// Each watch is told something, or not.
    pub(crate) fn tell_watches(&mut self) {
        for node in 0..self.watched.applied.len() {
            let most = self.watched.history.len();
            let more = self.rng.below(3) as usize;
            let applied = &mut self.watched.applied[node];
            *applied = (*applied + more).min(most);
        }
        for (link, call) in self.watched.open.keys().copied().collect::<Vec<_>>() {
            let Some(node) = self.node_of(link) else {
                self.watched.open.remove(&(link, call));
                continue;
            };
            if self.rng.below(3) == 0 {
                self.tell_one(link, call, self.watched.applied[node] as u64 + 1);
            }
            if self.chance(self.watched.ends) {
                self.end_watch(link, call, Code::Stopping.number());
            }
        }
    }

    fn tell_one(&mut self, link: LinkId, call: u64, applied: u64) {
        let Some(delivery) = self.watched.open.get_mut(&(link, call)) else { return };
        if delivery.next <= self.watched.oldest {
            self.end_watch(link, call, Code::Compacted.number());
            return;
        }
        if delivery.next > applied {
            if delivery.told == 0 && self.rng.below(10) == 0 {
                self.answer(link, CallId(call), &WatchProgress { revision: applied }.into());
            }
            return;
        }
        // Now and then a revision that was begun comes anew.
        if delivery.told > 0 && self.rng.below(5) == 0 {
            delivery.told = 0;
        }
        let continues = delivery.told > 0;
        let (mut events, mut most) = (Vec::new(), 1 + self.rng.below(6) as usize);
        while delivery.next <= applied && most > 0 {
            let all = &self.watched.history[delivery.next as usize - 2];
            let rest = &all[delivery.told..];
            let some = rest.len().min(most);
            events.extend(rest[..some].iter().map(|event| Bytes::from(event.encode())));
            (most, delivery.told) = (most - some, delivery.told + some);
            if delivery.told == all.len() {
                (delivery.next, delivery.told) = (delivery.next + 1, 0);
            }
        }
        let more = delivery.told > 0;
        self.answer(link, CallId(call), &WatchEvents { continues, more, events }.into());
    }
}

fn ask(from: u64, buffer_bytes: usize) -> WatchAsk {
    WatchAsk {
        span: Span::all(),
        from,
        previous: false,
        puts: true,
        deletes: true,
        progress: false,
        min_position: None,
        buffer_bytes,
    }
}

/// A client with one watch, and what it has handed over.
struct World {
    cluster: Cluster,
    core: Core<u64>,
    watch: WatchId,
    now: u64,
    seen: Vec<Changes>,
    end: Option<holdfast_client::Error>,
}

impl World {
    fn new(seed: u64, chaos: Chaos, from: u64, buffer_bytes: usize) -> Self {
        let mut cluster = Cluster::new(3, seed, chaos);
        cluster.watched.applied = vec![0; 3];
        let endpoints: Vec<String> = (0..3).map(address).collect();
        let mut core = Core::new(Config::default(), &endpoints, seed).expect("a client");
        let watch = core.watch(ask(from, buffer_bytes), 0);
        Self { cluster, core, watch, now: 0, seen: Vec::new(), end: None }
    }

    fn step(&mut self) {
        self.now += 1;
        assert!(self.cluster.step(&mut self.core, self.now).is_empty(), "there are no calls");
        while self.core.next_news().is_some() {}
    }

    /// Takes one thing, if there is one.
    fn take(&mut self) -> bool {
        match self.core.next_notice(self.watch, self.now) {
            None => false,
            Some(Ok(Notice::Changes(changes))) => {
                self.seen.push(changes);
                true
            }
            Some(Ok(Notice::Progress(_))) => true,
            Some(Err(error)) => {
                self.end = Some(error);
                false
            }
        }
    }
}

#[test]
fn each_revision_comes_once_whole_and_in_order_whatever_breaks_and_however_slowly_it_is_read() {
    let (mut opened, mut cancelled) = (0, 0);
    for seed in 0..40 {
        println!("seed {seed}");
        let mut dice = Rng::new(seed);
        let chaos = Chaos { breaks: 60, restarts: 20, silences: 5, elections: 10, ..Chaos::default() };
        let mut world = World::new(seed, chaos, 2, 100 + dice.below(2_000) as usize);
        world.cluster.watched.ends = dice.below(60);
        for _ in 0..1_500 {
            if dice.below(4) == 0 {
                let keys = if dice.below(10) == 0 { 30 } else { 1 + dice.below(3) };
                world.cluster.write(keys);
            }
            world.step();
            if dice.below(5) == 0 {
                world.take();
            }
        }
        // Everything is well again, and all that is there is read.
        (world.cluster.chaos, world.cluster.watched.ends) = (Chaos::default(), 0);
        world.cluster.calm(world.now);
        let count = world.cluster.watched.history.len();
        let until = world.now + 60_000;
        while world.seen.len() < count && world.now < until {
            while world.take() {}
            world.step();
        }
        let revisions: Vec<u64> = world.seen.iter().map(|changes| changes.revision).collect();
        assert_eq!(revisions, (2..2 + count as u64).collect::<Vec<_>>(), "seed {seed}");
        for (changes, events) in world.seen.iter().zip(&world.cluster.watched.history) {
            assert_eq!(changes.events, *events, "seed {seed}: revision {}", changes.revision);
        }
        assert!(world.end.is_none(), "seed {seed}: {:?}", world.end);
        (opened, cancelled) =
            (opened + world.cluster.watched.opened, cancelled + world.cluster.watched.cancelled);
    }
    assert!(opened > 300 && cancelled > 30, "too little happened: {opened} opened, {cancelled} paused");
}

#[test]
fn a_watch_that_comes_too_late_ends_with_the_revision_it_wanted_and_the_oldest_there_is() {
    for is_open in [false, true] {
        let mut world = World::new(1, Chaos::default(), 2, 1 << 20);
        for _ in 0..10 {
            world.cluster.write(1);
        }
        let most = if is_open { 300 } else { 0 };
        for _ in 0..most {
            world.step();
            while world.take() {}
        }
        world.cluster.watched.oldest = 11 + most;
        for _ in 0..10 * u64::from(is_open) * 40 {
            world.cluster.write(1);
        }
        for _ in 0..2_000 {
            world.step();
            while world.take() {}
        }
        let (error, next) = (world.end.clone().expect("it has ended"), world.core.watch_next(world.watch));
        assert_eq!(error.kind, Kind::Refused);
        assert_eq!(error.refusal, Some(Refusal::Compacted { asked: next, oldest: 11 + most }));
        assert!(!world.take() && world.end == Some(error), "it stays so");
    }
}

#[test]
fn a_watch_of_what_comes_next_resumes_where_it_began_although_nothing_has_come() {
    let mut world = World::new(3, Chaos::default(), 0, 1 << 20);
    for _ in 0..5 {
        world.cluster.write(1);
    }
    world.cluster.watched.applied = vec![5; 3];
    for _ in 0..100 {
        world.step();
    }
    assert_eq!(world.core.watch_next(world.watch), 7);
    // Its node goes, and what was written meanwhile is told by another.
    for node in 0..3 {
        world.cluster.set_up(node, false);
    }
    for _ in 0..10 {
        world.step();
    }
    world.cluster.write(2);
    world.cluster.watched.applied = vec![6; 3];
    for node in 0..3 {
        world.cluster.set_up(node, true);
    }
    for _ in 0..10_000 {
        world.step();
        while world.take() {}
    }
    assert_eq!(world.seen.iter().map(|changes| changes.revision).collect::<Vec<_>>(), [7]);
}

#[test]
fn a_watch_that_is_dropped_is_cancelled_and_one_of_a_closed_client_ends() {
    let mut world = World::new(4, Chaos::default(), 2, 1 << 20);
    for _ in 0..100 {
        world.step();
    }
    assert_eq!(world.cluster.watched.open.len(), 1);
    world.core.unwatch(world.watch);
    for _ in 0..100 {
        world.step();
    }
    assert_eq!((world.cluster.watched.open.len(), world.cluster.watched.cancelled), (0, 1));

    let late = world.core.watch(ask(2, 1 << 20), world.now);
    world.core.close(world.now);
    let after = world.core.watch(ask(2, 1 << 20), world.now);
    for watch in [late, after] {
        let end = world.core.next_notice(watch, world.now).expect("it has ended");
        assert_eq!(end.expect_err("closed").kind, Kind::Closed);
    }
    for _ in 0..2_000 {
        world.step();
    }
    assert!(world.core.is_closed(), "watches hold nothing up");
}

#[test]
fn a_paused_watch_holds_up_no_other_on_the_same_connection() {
    let mut world = World::new(5, Chaos::default(), 2, 200);
    let other = world.core.watch(ask(2, 1 << 20), 0);
    for _ in 0..60 {
        world.cluster.write(2);
    }
    let mut count = 0;
    for _ in 0..3_000 {
        world.step();
        while let Some(Ok(_)) = world.core.next_notice(other, world.now) {
            count += 1;
        }
    }
    assert_eq!(count, 60, "the one that is read has all");
    assert!(world.cluster.watched.cancelled > 0, "and the other is paused");
    assert_eq!(world.cluster.watched.open.len(), 1);
}
