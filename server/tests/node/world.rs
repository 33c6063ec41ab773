//! Nodes, their disks, a network and a clock, all of it made of one seed: what a process and a machine are to a node,
//! without either.
//!
//! What is checked at every step, whatever the test:
//! - a write is answered only when a majority has its entry on the disk;
//! - nothing that depends on leading waits at a node that does not lead;
//! - nodes that have applied the same entries have the same state, and have handed on the same audit records;
//! - no snapshot is in place of what the audit log does not hold durably;
//! - what a stale read lacks was committed no longer ago than it says;
//! - nobody is answered twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::{Range, Span};
use holdfast_command::query::{Answer, Query};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Actor, Code, Command, FeatureLevel, Request, SessionId, Setting};
use holdfast_hlc::UnixMillis;
use holdfast_machine::Numbered;
use holdfast_raft::{
    Boot, ClusterId, Config, Configuration, Core, Entry, Envelope, LogRead, Member, Message as Raft, NodeId,
    NodeUuid, Payload, Recovered, Term,
};
use holdfast_server::node::leadership::{Edge, State};
use holdfast_server::node::{
    Caller, Effects, Input, Job, JobDone, Node, NodeEvent, Now, Slow, SnapshotDone, SnapshotJob,
    SnapshotPolicy, Submission,
};
use holdfast_server::storage::{Opened, SnapshotFiles, start_from};
use holdfast_wal::disk::FakeDisk;
use holdfast_wire::Message;
use holdfast_wire::message::{self as wire, ChangeMembers, Consistency, Position, Read, Refused};

use crate::audit::Desk;
use crate::disk::Disk;
use crate::rng::Rng;

pub(crate) const MS: u64 = 1_000;

/// Connections from here on belong to tests, those below to the clients of a history.
const OWN_CONNECTION: u64 = 1 << 32;

/// How rough a run is. Times in microseconds, chances of a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rough {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) slow: u64,
    pub(crate) slow_by: u64,
    pub(crate) delay: u64,
    pub(crate) disk: u64,
    pub(crate) disk_stall: u64,
    pub(crate) turn: u64,
    pub(crate) job: u64,
}

impl Rough {
    pub(crate) const CALM: Self = Self {
        loss: 0,
        duplicate: 0,
        slow: 0,
        slow_by: 0,
        delay: MS,
        disk: MS,
        disk_stall: 0,
        turn: 100,
        job: 5 * MS,
    };
}

#[derive(Debug)]
pub(crate) enum Happening {
    Tick(usize, u64),
    Arrive(Box<Envelope>),
    DiskDone(usize, u64),
    Tell(usize, u64, Box<Input>),
    Turn(usize, u64),
    Work(usize, u64, u64),
    LogRead(usize, u64, LogRead),
    Snapshots(usize, u64),
    Audit(usize, u64),
    Answer(Caller, Box<Message>),
    Restart(usize),
    Wake(usize),
    Chaos,
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) node: Option<Node>,
    pub(crate) disk: Disk,
    pub(crate) boot: u64,
    pub(crate) level: u16,
    pub(crate) paused_until: u64,
    /// How far its time of day is ahead of what is so.
    pub(crate) ahead_ms: u64,
    /// What it has said of clocks that differ: `true` when they began to, `false` when that was over.
    pub(crate) drifts: Vec<bool>,
    /// The disk does not write.
    pub(crate) disk_held: bool,
    /// Jobs are not done.
    pub(crate) jobs_held: bool,
    disk_busy: u64,
    turn_open: bool,
    turn_began: u64,
    jobs: BTreeMap<u64, Job>,
    /// The directory of the snapshots, what is made of it while the process runs, and what it is to do.
    pub(crate) snapshot_disk: FakeDisk,
    files: Option<SnapshotFiles<FakeDisk>>,
    snapshot_jobs: VecDeque<SnapshotJob>,
    /// Work on snapshots is not done.
    pub(crate) snapshots_held: bool,
    /// The end of the newest snapshot that is in place.
    pub(crate) covered: u64,
    /// Snapshots that were taken, that came from a leader, and that failed, in all boots.
    pub(crate) snapshots: [u64; 3],
    /// The audit log of this machine, and who works on it.
    pub(crate) desk: Desk,
    /// Of machine 15 at the end of the last turn.
    pub(crate) edges: BTreeMap<&'static str, u64>,
    /// Of machine 01 in boots that are over.
    paths: BTreeMap<&'static str, u64>,
}

impl Place {
    fn new(level: u16, holds: Recovered) -> Self {
        Self {
            node: None,
            disk: Disk::new(holds),
            boot: 0,
            level,
            paused_until: 0,
            ahead_ms: 0,
            drifts: Vec::new(),
            disk_held: false,
            jobs_held: false,
            disk_busy: 0,
            turn_open: false,
            turn_began: 0,
            jobs: BTreeMap::new(),
            snapshot_disk: FakeDisk::new(1 << 30),
            files: None,
            snapshot_jobs: VecDeque::new(),
            snapshots_held: false,
            covered: 0,
            snapshots: [0; 3],
            desk: Desk::default(),
            edges: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }
}

/// See the module documentation.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) rough: Rough,
    pub(crate) now: u64,
    pub(crate) places: Vec<Place>,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// A link on which everything takes so long, in microseconds.
    slow_link: Option<(usize, usize, u64)>,
    /// Answers to the calls of tests, in the order in which nodes gave them.
    pub(crate) answers: Vec<(u64, Caller, Message)>,
    calls: u64,
    answered: BTreeSet<Caller>,
    /// Whose reads are linearizable: they say 0, and are about the moment at which they came in.
    pub(crate) linearizable: BTreeSet<Caller>,
    /// When each index was first known to be committed.
    committed: Vec<u64>,
    digests: BTreeMap<u64, u64>,
    /// Audit records by index, as nodes have handed them on, and up to which index all of them are known.
    pub(crate) records: BTreeMap<u64, Bytes>,
    pub(crate) recorded: u64,
    /// Of all effects; only if it is asked for.
    pub(crate) effects_hash: Option<u64>,
    pub(crate) heartbeats: u64,
    /// Requests that took long, as nodes have told of them.
    pub(crate) slow: Vec<Slow>,
    /// Nodes that are meant to halt.
    pub(crate) halts: BTreeSet<usize>,
    /// No digests get through.
    pub(crate) mute_digests: bool,
    /// When snapshots are taken, and how much of the log is kept behind them.
    snapshot_policy: SnapshotPolicy,
    retain_bytes: usize,
    formed: Configuration,
}

fn id(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn at(id: NodeId) -> usize {
    id.0 as usize - 1
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, rough: Rough) -> Self {
        Self::of_levels(seed, &vec![FeatureLevel::LATEST.0; nodes], rough)
    }

    /// Nodes whose builds understand these feature levels; 0 introduces itself to nobody.
    pub(crate) fn of_levels(seed: u64, levels: &[u16], rough: Rough) -> Self {
        Self::of(seed, levels, rough, (SnapshotPolicy::default(), holdfast_raft::config::RETAIN_BYTES), &[])
    }

    /// One node, whose log holds these entries from the first, and whose turns are long.
    pub(crate) fn with_entries(seed: u64, entries: &[Entry]) -> Self {
        let usual = (SnapshotPolicy::default(), holdfast_raft::config::RETAIN_BYTES);
        let rough = Rough { turn: 100 * MS, ..Rough::CALM };
        Self::of(seed, &[FeatureLevel::LATEST.0], rough, usual, entries)
    }

    /// Nodes that take a snapshot every so many entries, and keep an eighth of so many bytes of the log behind it.
    pub(crate) fn with_snapshots(
        seed: u64,
        nodes: usize,
        rough: Rough,
        (entries, retain): (u64, usize),
    ) -> Self {
        let policy = SnapshotPolicy { entries, bytes_max: 0, ..SnapshotPolicy::default() };
        Self::of(seed, &vec![FeatureLevel::LATEST.0; nodes], rough, (policy, retain), &[short_ranges()])
    }

    /// From now on, for all nodes that run.
    pub(crate) fn set_slow_request(&mut self, micros: u64) {
        for node in self.places.iter_mut().filter_map(|place| place.node.as_mut()) {
            node.set_slow_request(micros);
        }
    }

    /// From now on, for all nodes.
    pub(crate) fn set_snapshot_policy(&mut self, policy: SnapshotPolicy) {
        self.snapshot_policy = policy;
        for node in self.places.iter_mut().filter_map(|place| place.node.as_mut()) {
            node.set_snapshot_policy(policy);
        }
    }

    fn of(
        seed: u64,
        levels: &[u16],
        rough: Rough,
        (snapshot_policy, retain_bytes): (SnapshotPolicy, usize),
        entries: &[Entry],
    ) -> Self {
        let member =
            |at: usize| Member { uuid: NodeUuid([at as u8 + 1; 16]), promote: false, context: Bytes::new() };
        let formed = Configuration::initial((0..levels.len()).map(|at| (id(at), member(at))));
        let mut first = Recovered::formed(formed.clone());
        first.entries.extend_from_slice(entries);
        let place = |level: &u16| Place::new(*level, first.clone());
        let mut world = Self {
            seed,
            rng: Rng::new(seed),
            rough,
            now: 0,
            places: levels.iter().map(place).collect(),
            queue: BTreeMap::new(),
            queued: 0,
            cut: BTreeSet::new(),
            slow_link: None,
            answers: Vec::new(),
            calls: 0,
            answered: BTreeSet::new(),
            linearizable: BTreeSet::new(),
            committed: Vec::new(),
            digests: BTreeMap::new(),
            records: BTreeMap::new(),
            recorded: 0,
            effects_hash: None,
            heartbeats: 0,
            slow: Vec::new(),
            halts: BTreeSet::new(),
            mute_digests: false,
            snapshot_policy,
            retain_bytes,
            formed,
        };
        for at in 0..levels.len() {
            world.start(at);
        }
        world
    }

    /// Nodes that form a cluster, an established leader among them, and so many behind them that belong to none.
    pub(crate) fn calm_with_blanks(seed: u64, nodes: usize, blanks: usize) -> (Self, usize) {
        let (mut world, leader) = Self::calm(seed, nodes);
        for at in nodes..nodes + blanks {
            world.places.push(Place::new(FeatureLevel::LATEST.0, Recovered::default()));
            world.start(at);
        }
        (world, leader)
    }

    /// One that has an established leader.
    pub(crate) fn calm(seed: u64, nodes: usize) -> (Self, usize) {
        let mut world = Self::new(seed, nodes, Rough::CALM);
        // Behind the first thing that a leader does by itself.
        world.until("the feature level is raised everywhere", 20_000, |world| {
            (0..nodes).all(|at| world.node(at).store().level() == FeatureLevel::LATEST)
        });
        let leader = world.await_leader();
        (world, leader)
    }

    pub(crate) fn after(&mut self, micros: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + micros, self.queued), happening);
    }

    /// The next thing that happens.
    pub(crate) fn step(&mut self) -> Option<Happening> {
        let ((now, _), happening) = self.queue.pop_first()?;
        self.now = now;
        let paused = match &happening {
            Happening::Arrive(envelope) => Some(at(envelope.to)),
            Happening::Tick(at, _)
            | Happening::DiskDone(at, _)
            | Happening::Tell(at, ..)
            | Happening::Turn(at, _)
            | Happening::Work(at, ..)
            | Happening::LogRead(at, ..)
            | Happening::Snapshots(at, _)
            | Happening::Audit(at, _) => Some(*at),
            Happening::Answer(..) | Happening::Restart(_) | Happening::Wake(_) | Happening::Chaos => None,
        };
        if let Some(until) = paused.map(|at| self.places[at].paused_until).filter(|until| *until > now) {
            // In the order in which they came; a tick comes once, however long the gap was.
            self.after(until - now, happening);
            return None;
        }
        match happening {
            Happening::Tick(at, boot) => {
                if self.tell(at, boot, Input::Tick) {
                    self.after(10 * MS, Happening::Tick(at, boot));
                }
            }
            Happening::Arrive(envelope) => {
                let to = at(envelope.to);
                let boot = self.places[to].boot;
                self.tell(to, boot, Input::Peer(*envelope));
            }
            Happening::DiskDone(at, boot) => self.disk_done(at, boot),
            Happening::Tell(at, boot, input) => {
                self.tell(at, boot, *input);
            }
            Happening::Turn(at, boot) => self.turn(at, boot),
            Happening::Work(at, boot, job) => self.work(at, boot, job),
            Happening::LogRead(at, boot, wanted) => {
                let entries = self.places[at].disk.read(&wanted);
                let LogRead { to, first, .. } = wanted;
                self.tell(at, boot, Input::LogRead { to, first, entries });
            }
            Happening::Snapshots(at, boot) => self.work_on_snapshots(at, boot),
            Happening::Audit(at, boot) => self.work_on_audit(at, boot),
            Happening::Restart(at) => self.start(at),
            Happening::Answer(..) | Happening::Wake(_) | Happening::Chaos => return Some(happening),
        }
        None
    }

    /// Lets time pass.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        self.run_until_micros(end);
    }

    /// Until just before a node that is suspended goes on.
    pub(crate) fn run_until_awake(&mut self, at: usize) {
        let end = self.places[at].paused_until - 1;
        self.run_until_micros(end);
        self.places[at].paused_until = 0;
    }

    fn run_until_micros(&mut self, end: u64) {
        while self.queue.first_key_value().is_some_and(|((due, _), _)| *due <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds.
    pub(crate) fn until(&mut self, what: &str, ms: u64, holds: impl Fn(&Self) -> bool) {
        let end = self.now + ms * MS;
        while !holds(self) {
            assert!(self.now < end, "seed {}: {what}: not within {ms} ms", self.seed);
            let due = self.queue.first_key_value().map_or(end, |((due, _), _)| *due);
            if due > end {
                self.now = end;
            } else {
                self.step();
            }
        }
    }

    pub(crate) fn time(&self, at: usize) -> Now {
        // Clocks that never go back start anywhere, and times of day differ.
        let micros = self.now + 7_777 * (at as u64 + 1);
        let wall =
            UnixMillis::new(1_700_000_000_000 + self.now / MS + 40 * at as u64 + self.places[at].ahead_ms);
        Now { micros, wall: wall.expect("a time of day in range") }
    }

    /// Starts a process from what the disk holds.
    pub(crate) fn start(&mut self, at: usize) {
        if self.places[at].node.is_some() {
            return;
        }
        self.places[at].boot += 1;
        let boot = self.places[at].boot;
        let mut config =
            Config::new(ClusterId([7; 16]), id(at), NodeUuid([at as u8 + 1; 16]), Boot(boot), self.seed);
        config.retain_bytes = self.retain_bytes;
        // In some worlds hardly anything is held in memory.
        config.resident_bytes = if self.seed.is_multiple_of(2) { 0 } else { config.resident_bytes };
        let place = &mut self.places[at];
        let opened = SnapshotFiles::open(place.snapshot_disk.clone(), config.cluster, config.epoch);
        let Opened { files, loaded, damaged } = opened.expect("a directory");
        assert!(damaged.is_empty(), "seed {}: {damaged:?}", self.seed);
        place.covered = loaded.as_ref().map_or(0, |loaded| loaded.meta.last.index.0);
        let (recovered, store) =
            start_from(place.disk.recovered(), loaded, &damaged).expect("log and snapshot meet");
        place.desk.open(config.cluster, config.epoch, store.applied().index);
        let core = Core::new(config, recovered).expect("a sound log");
        let mut node = Node::new(core, store, address(at), self.time(at));
        node.set_snapshot_policy(self.snapshot_policy);
        let place = &mut self.places[at];
        (place.node, place.files) = (Some(node), Some(files));
        (place.turn_open, place.disk_busy) = (false, 0);
        let first = self.rng.between(0, 10 * MS);
        self.after(first, Happening::Tick(at, boot));
        for other in 0..self.places.len() {
            if other != at && self.places[other].node.is_some() {
                self.introduce(at, other);
                self.introduce(other, at);
            }
        }
    }

    /// A connection from one node to another is made: `from` introduces itself.
    pub(crate) fn introduce(&mut self, from: usize, to: usize) {
        let (level, boot) = (self.places[from].level, self.places[to].boot);
        if level > 0 {
            self.tell(
                to,
                boot,
                Input::Introduced { from: id(from), level, client: address(from), http: "".into() },
            );
        }
        self.tell(to, boot, Input::PeerConnected(id(from)));
    }

    /// Ends a process. What the disk had not written is lost.
    pub(crate) fn crash(&mut self, at: usize) {
        let kept = self.rng.chance(300).then(|| self.rng.position(2));
        let place = &mut self.places[at];
        let Some(node) = place.node.take() else { return };
        for (edge, count) in node.path_edges() {
            *place.paths.entry(edge).or_default() += count;
        }
        place.disk.crash(kept);
        place.jobs.clear();
        place.snapshot_jobs.clear();
        place.files = None;
        // By the end of the process, or by a power cut that keeps all of what was not synced, or nothing.
        let cells = place.snapshot_disk.unsynced();
        let choices: Vec<usize> =
            cells.iter().map(|cell| if self.rng.chance(500) { 0 } else { cell.versions - 1 }).collect();
        place.snapshot_disk = if self.rng.chance(500) {
            place.snapshot_disk.after_kill()
        } else {
            place.snapshot_disk.after_power_cut(&choices)
        };
        place.paused_until = 0;
        place.desk.crash(&mut self.rng);
    }

    /// Nothing gets from one of these to another, either way.
    pub(crate) fn part(&mut self, one: usize, other: usize) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Nobody reaches this one.
    pub(crate) fn isolate(&mut self, at: usize) {
        for other in (0..self.places.len()).filter(|other| *other != at) {
            self.part(at, other);
        }
    }

    /// What goes from one to the other takes so long from now on.
    pub(crate) fn slow_link(&mut self, from: usize, to: usize, ms: u64) {
        self.slow_link = Some((from, to, ms * MS));
    }

    pub(crate) fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.cut) {
            if self.places[from].node.is_some() && self.places[to].node.is_some() {
                let boot = self.places[to].boot;
                self.tell(to, boot, Input::PeerConnected(id(from)));
            }
        }
    }

    /// Tells a node something; false if that boot is over.
    pub(crate) fn tell(&mut self, at: usize, boot: u64, input: Input) -> bool {
        let now = self.time(at);
        let place = &mut self.places[at];
        let Some(node) = place.node.as_mut().filter(|_| place.boot == boot) else { return false };
        node.handle(now, input);
        if !place.turn_open {
            (place.turn_open, place.turn_began) = (true, self.now);
            let wait = self.rng.between(0, self.rough.turn);
            self.after(wait, Happening::Turn(at, boot));
        }
        true
    }

    fn disk_done(&mut self, at: usize, boot: u64) {
        let place = &mut self.places[at];
        if place.node.is_none() || place.boot != boot || place.disk_held {
            return;
        }
        if let Some(persist) = place.disk.write_next() {
            self.tell(at, boot, Input::Durable(persist));
        }
    }

    /// The disk writes, or it does not.
    pub(crate) fn hold_disk(&mut self, at: usize, held: bool) {
        self.places[at].disk_held = held;
        for _ in 0..self.places[at].disk.pending.len() {
            let boot = self.places[at].boot;
            self.after(0, Happening::DiskDone(at, boot));
        }
    }

    /// Other threads do their work, or they do not.
    pub(crate) fn hold_jobs(&mut self, at: usize, held: bool) {
        self.places[at].jobs_held = held;
        let (boot, jobs): (_, Vec<u64>) =
            (self.places[at].boot, self.places[at].jobs.keys().copied().collect());
        for job in jobs {
            self.after(0, Happening::Work(at, boot, job));
        }
    }

    pub(crate) fn jobs(&self, at: usize) -> usize {
        self.places[at].jobs.len()
    }

    fn work(&mut self, at: usize, boot: u64, job: u64) {
        let place = &mut self.places[at];
        if place.node.is_none() || place.boot != boot || place.jobs_held {
            return;
        }
        let Some(job) = place.jobs.remove(&job) else { return };
        match job.run() {
            JobDone::Executed(executed) => {
                self.tell(at, boot, Input::Executed(executed));
            }
            JobDone::Spliced(spliced) => {
                self.tell(at, boot, Input::Spliced(spliced));
            }
            // How old it is was judged when it was taken.
            JobDone::Answer(caller, message) => self.pass_on(caller, message),
        }
    }

    /// Work on snapshots is done, or it is not.
    pub(crate) fn hold_snapshots(&mut self, at: usize, held: bool) {
        let place = &mut self.places[at];
        place.snapshots_held = held;
        let boot = place.boot;
        self.after(0, Happening::Snapshots(at, boot));
    }

    /// The thread of the snapshots does one thing.
    fn work_on_snapshots(&mut self, at: usize, boot: u64) {
        let place = &mut self.places[at];
        if place.boot != boot || place.snapshots_held {
            return;
        }
        let Some(files) = &mut place.files else { return };
        let done = match place.snapshot_jobs.pop_front() {
            Some(job) => files.run(job),
            None => files.step(),
        };
        if files.is_taking() || !place.snapshot_jobs.is_empty() {
            let wait = self.rng.between(0, self.rough.job);
            self.after(wait, Happening::Snapshots(at, boot));
        }
        let Some(done) = done else { return };
        let place = &mut self.places[at];
        match &done {
            SnapshotDone::Taken { last, bytes: Ok(_) } => {
                place.snapshots[0] += 1;
                place.covered = place.covered.max(last.index.0);
                let durable = place.desk.status().durable;
                assert!(
                    durable >= last.index.0,
                    "seed {}: the snapshot {last}, and records up to {durable}",
                    self.seed
                );
            }
            SnapshotDone::Installed { last, store: Ok(_) } => {
                place.snapshots[1] += 1;
                place.covered = place.covered.max(last.index.0);
            }
            SnapshotDone::Taken { bytes: Err(_), .. }
            | SnapshotDone::NotStored(_)
            | SnapshotDone::Installed { store: Err(_), .. } => place.snapshots[2] += 1,
            SnapshotDone::Read { .. } | SnapshotDone::Stored(_) | SnapshotDone::Fetched { .. } => {}
        }
        self.tell(at, boot, Input::Snapshot(done));
    }

    /// Both halves of a turn.
    fn turn(&mut self, at: usize, boot: u64) {
        let now = self.time(at);
        let place = &mut self.places[at];
        if place.boot != boot {
            return;
        }
        let Some(node) = place.node.as_mut() else { return };
        place.turn_open = false;
        let mut effects = Effects::default();
        node.flush(now, &mut effects);
        let commit = node.core().commit().0;
        if self.committed.len() < commit as usize {
            self.committed.resize(commit as usize, self.now);
        }
        let place = &mut self.places[at];
        let node = place.node.as_mut().expect("it is there");
        node.apply(now, &mut effects);
        holdfast_raft::invariants::check(node.core());
        self.note_effects(&effects);
        let Effects {
            send,
            persist,
            replies,
            jobs,
            snapshots,
            log_reads,
            audit,
            digests,
            events,
            slow,
            more,
        } = effects;
        for read in log_reads {
            let wait = self.rng.between(0, self.rough.job);
            self.after(wait, Happening::LogRead(at, boot, read));
        }
        self.slow.extend(slow.0);
        if !digests.is_empty() {
            self.tell_digests(at, &digests);
        }
        for persist in persist {
            let stalls = self.rng.chance(self.rough.disk_stall);
            let takes = self.rng.between(0, if stalls { 40 * self.rough.disk } else { self.rough.disk });
            let place = &mut self.places[at];
            place.disk.pending.push_back(persist);
            place.disk_busy = place.disk_busy.max(self.now) + takes;
            let wait = place.disk_busy - self.now;
            self.after(wait, Happening::DiskDone(at, boot));
        }
        for envelope in send {
            self.send(&envelope);
        }
        self.judge_order(at, &events, &replies);
        let mut removed = false;
        for event in events {
            match event {
                NodeEvent::Leadership(edge, _) => {
                    *self.places[at].edges.entry(edge.name()).or_default() += 1;
                }
                NodeEvent::Halted(why)
                    if why.starts_with("it was removed")
                        || self.halts.contains(&at)
                            && (why.contains("differs from what a majority has")
                                || why.contains("upgrade it")) =>
                {
                    removed = true;
                }
                NodeEvent::Halted(why) => panic!("seed {}: node {} halted: {why}", self.seed, at + 1),
                NodeEvent::Raft(_)
                | NodeEvent::SnapshotTaken { .. }
                | NodeEvent::SnapshotFailed(_)
                | NodeEvent::Reinstalled { .. } => {}
                NodeEvent::Drift(_) => self.places[at].drifts.push(true),
                NodeEvent::DriftOver => self.places[at].drifts.push(false),
                NodeEvent::AuditFailed(_) => self.places[at].desk.failures += 1,
                NodeEvent::AuditGoesOn => self.places[at].desk.recoveries += 1,
            }
        }
        if !snapshots.is_empty() {
            let place = &mut self.places[at];
            let idle =
                place.snapshot_jobs.is_empty() && !place.files.as_ref().is_some_and(SnapshotFiles::is_taking);
            place.snapshot_jobs.extend(snapshots);
            if idle {
                let wait = self.rng.between(0, self.rough.job);
                self.after(wait, Happening::Snapshots(at, boot));
            }
        }
        self.give_audit(at, audit);
        for (caller, message) in replies {
            self.reply(at, caller, message);
        }
        for job in jobs {
            if let Job::Read { caller, position, staleness_ms, .. } = &job {
                self.judge_staleness(at, *caller, *position, *staleness_ms);
            }
            self.queued += 1;
            let (number, takes) = (self.queued, self.rng.between(0, self.rough.job));
            self.places[at].jobs.insert(number, job);
            self.after(takes, Happening::Work(at, boot, number));
        }
        if more && !self.places[at].turn_open {
            let place = &mut self.places[at];
            (place.turn_open, place.turn_began) = (true, self.now);
            let wait = self.rng.between(1, self.rough.turn.max(1));
            self.after(wait, Happening::Turn(at, boot));
        }
        self.judge_state(at);
        if removed {
            // The process of a member that was removed ends.
            self.places[at].node = None;
        }
    }

    /// A deposed leader answers all that depended on leading before it settles as a follower.
    fn judge_order(&self, at: usize, events: &[NodeEvent], replies: &[(Caller, Message)]) {
        let settles = |event: &NodeEvent| matches!(event, NodeEvent::Leadership(Edge::Settle, _));
        if !events.iter().any(settles) {
            return;
        }
        let node = self.node(at);
        // What is behind a settled leadership was answered in that very turn.
        if node.leadership() == State::Revoked {
            assert_eq!(node.waiting_writes(), 0, "seed {}: node {} settled, {replies:?}", self.seed, at + 1);
        }
    }

    fn judge_state(&mut self, at: usize) {
        let node = self.node(at);
        if node.leadership() == State::Revoked {
            let waiting = node.waiting_writes();
            assert_eq!(waiting, 0, "seed {}: node {} does not lead, and writes wait", self.seed, at + 1);
        }
        let store = node.store();
        let mut hasher = DefaultHasher::new();
        (store.revision(), store.clock(), store.stamp(), store.keys(), store.level().0).hash(&mut hasher);
        (store.sessions().count(), store.session_reply_bytes(), store.applied().term).hash(&mut hasher);
        let (index, digest) = (store.applied().index, hasher.finish());
        if self.halts.contains(&at) {
            // It differs, and that is what the test is about.
            return;
        }
        let known = *self.digests.entry(index).or_insert(digest);
        assert_eq!(known, digest, "seed {}: node {} has another state at {index}", self.seed, at + 1);
    }

    fn reply(&mut self, at: usize, caller: Caller, message: Message) {
        match &message {
            Message::Submitted(done) => self.judge_durable(at, done.position),
            Message::SessionKept(kept) => self.judge_durable(at, kept.position),
            Message::LeaseKept(kept) => self.judge_durable(at, kept.position),
            Message::QueryDone(done) => self.judge_staleness(at, caller, done.position, done.staleness_ms),
            Message::MembersChanged(_) => {}
            Message::ReadDone(done) => self.judge_staleness(at, caller, done.position, done.staleness_ms),
            Message::Refused(_) | Message::WatchStarted(_) | Message::SnapshotPiece(_) => {}
            other => panic!("seed {}: node {} answers {other:?}", self.seed, at + 1),
        }
        self.pass_on(caller, message);
    }

    fn pass_on(&mut self, caller: Caller, message: Message) {
        assert!(
            self.answered.insert(caller),
            "seed {}: {caller:?} is answered twice: {message:?}",
            self.seed
        );
        if caller.connection >= OWN_CONNECTION {
            self.answers.push((self.now, caller, message));
        } else {
            let wait = self.rng.between(1, 2 * self.rough.delay);
            self.after(wait, Happening::Answer(caller, Box::new(message)));
        }
    }

    /// A majority has the entry of what is answered on its disk, now.
    fn judge_durable(&self, at: usize, position: Position) {
        let (_, configuration) = self.node(at).core().configuration();
        let voters = configuration.voters();
        let holds = |id: &&NodeId| {
            let place = &self.places[id.0 as usize - 1];
            place.covered >= position.index || place.disk.holds(position.index, position.term)
        };
        let count = voters.iter().filter(holds).count();
        assert!(
            count > voters.len() / 2,
            "seed {}: node {} answers {position:?}, which {count} of {} hold",
            self.seed,
            at + 1,
            voters.len()
        );
    }

    /// What a read lacks was committed no longer ago than it says, when it was served: not before the turn began, within
    /// which the process may have been suspended. A linearizable one is judged by who asked.
    fn judge_staleness(&self, at: usize, caller: Caller, position: Position, staleness_ms: u64) {
        if self.linearizable.contains(&caller) {
            assert_eq!(staleness_ms, 0, "seed {}", self.seed);
            return;
        }
        let Some(committed) = self.committed.get(position.index as usize) else { return };
        let age = self.places[at].turn_began.saturating_sub(*committed) / MS;
        assert!(
            age <= staleness_ms,
            "seed {}: node {} reads at {}, calls that {staleness_ms} ms old, and lacks what was committed {age} ms ago",
            self.seed,
            at + 1,
            position.index
        );
    }

    /// Tells all others, as far as links and luck allow.
    fn tell_digests(&mut self, from: usize, ranges: &[(u64, [u8; 32])]) {
        if self.mute_digests {
            return;
        }
        for to in (0..self.places.len()).filter(|to| *to != from) {
            let lost = self.cut.contains(&(from, to)) || self.rng.chance(self.rough.loss);
            let wait = self.rng.between(50, self.rough.delay.max(50));
            if !lost {
                let input = Input::Digests { from: id(from), ranges: ranges.to_vec() };
                let boot = self.places[to].boot;
                self.after(wait, Happening::Tell(to, boot, Box::new(input)));
            }
        }
    }

    fn send(&mut self, envelope: &Envelope) {
        self.heartbeats += u64::from(matches!(envelope.message, Raft::Heartbeat { .. }));
        let copies = if self.rng.chance(self.rough.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let lost =
                self.cut.contains(&(at(envelope.from), at(envelope.to))) || self.rng.chance(self.rough.loss);
            let mut wait = self.rng.between(50, self.rough.delay.max(50));
            if self.rng.chance(self.rough.slow) {
                wait += self.rng.between(0, self.rough.slow_by);
            }
            if let Some((from, to, late)) = self.slow_link
                && (from, to) == (at(envelope.from), at(envelope.to))
            {
                wait = wait.max(late);
            }
            if !lost {
                self.after(wait, Happening::Arrive(Box::new(envelope.clone())));
            }
        }
    }

    fn note_effects(&mut self, effects: &Effects) {
        if let Some(hash) = &mut self.effects_hash {
            // What is slow changes nothing, and is only told.
            let Effects {
                send,
                persist,
                replies,
                jobs,
                snapshots,
                log_reads,
                audit,
                digests,
                events,
                slow: _,
                more,
            } = effects;
            let jobs: Vec<String> = jobs
                .iter()
                .map(|job| match job {
                    Job::Apply { at, entry, .. } => format!("{at:?} {entry:?}"),
                    Job::Read { range, caller, position, staleness_ms, .. } => {
                        format!("{range:?} {caller:?} {position:?} {staleness_ms}")
                    }
                    Job::Splice { piece, .. } => format!("{piece:?}"),
                })
                .collect();
            let snapshots = snapshots.len();
            let text = format!(
                "{send:?} {persist:?} {replies:?} {jobs:?} {snapshots} {log_reads:?} {audit:?} {digests:?} {events:?} {more}"
            );
            let mut hasher = DefaultHasher::new();
            (*hash, self.now, text).hash(&mut hasher);
            *hash = hasher.finish();
        }
    }

    pub(crate) fn node(&self, at: usize) -> &Node {
        self.places[at].node.as_ref().expect("the node runs")
    }

    /// The established leader of the highest term.
    pub(crate) fn leader(&self) -> Option<usize> {
        let running = |at: &usize| self.places[*at].node.is_some();
        let leads = |at: &usize| self.node(*at).leadership() == State::Established;
        (0..self.places.len()).filter(running).filter(leads).max_by_key(|at| self.node(*at).core().term())
    }

    pub(crate) fn await_leader(&mut self) -> usize {
        self.until("a leader", 20_000, |world| world.leader().is_some());
        self.leader().expect("just seen")
    }

    /// A name for a call of the test.
    pub(crate) fn caller(&mut self) -> Caller {
        self.calls += 1;
        Caller { connection: OWN_CONNECTION, call: self.calls }
    }

    fn tell_now(&mut self, at: usize, input: Input) {
        let boot = self.places[at].boot;
        assert!(self.tell(at, boot, input), "node {} does not run", at + 1);
    }

    pub(crate) fn input(&mut self, at: usize, input: Input) {
        self.tell_now(at, input);
    }

    pub(crate) fn submit(&mut self, at: usize, request: &Request, timeout_ms: u32) -> Caller {
        self.submit_bytes(at, request.encode(), timeout_ms)
    }

    pub(crate) fn submit_bytes(&mut self, at: usize, request: Bytes, timeout_ms: u32) -> Caller {
        let caller = self.caller();
        let submission = Submission {
            caller,
            actor: Actor::Anonymous,
            address: None,
            request,
            timeout_ms,
            at: u64::MAX,
            keyed_here: false,
        };
        self.tell_now(at, Input::Submit(submission));
        caller
    }

    pub(crate) fn keep(&mut self, at: usize, session: SessionId) -> Caller {
        let caller = self.caller();
        self.tell_now(at, Input::Keep { caller, actor: Actor::Anonymous, session, timeout_ms: 0 });
        caller
    }

    pub(crate) fn keep_lease(&mut self, at: usize, lease: i64) -> Caller {
        let caller = self.caller();
        self.tell_now(at, Input::KeepLease { caller, actor: Actor::Anonymous, lease, timeout_ms: 0 });
        caller
    }

    /// Asks linearizably.
    pub(crate) fn query(&mut self, at: usize, query: &Query, timeout_ms: u32) -> Caller {
        let caller = self.caller();
        self.linearizable.insert(caller);
        let query = wire::Query {
            consistency: Consistency::Linearizable.number(),
            timeout_ms,
            max_stale_ms: 0,
            min_position: None,
            query: query.encode(),
        };
        self.tell_now(at, Input::Query { caller, query });
        caller
    }

    pub(crate) fn await_answer_to_query(&mut self, caller: Caller) -> Answer {
        match self.await_answer(caller) {
            Message::QueryDone(done) => {
                Answer::decode(done.answer).expect("an answer").expect("one that is not refused")
            }
            other => panic!("seed {}: not answered: {other:?}", self.seed),
        }
    }

    pub(crate) fn save_snapshot(&mut self, at: usize, save: wire::SaveSnapshot) -> Caller {
        let caller = self.caller();
        self.tell_now(at, Input::SaveSnapshot { caller, save });
        caller
    }

    pub(crate) fn change_members(&mut self, at: usize, change: ChangeMembers) -> Caller {
        let caller = self.caller();
        self.tell_now(at, Input::ChangeMembers { caller, change });
        caller
    }

    pub(crate) fn read(&mut self, at: usize, read: Read) -> Caller {
        let caller = self.caller();
        if read.consistency == Consistency::Linearizable.number() {
            self.linearizable.insert(caller);
        }
        self.tell_now(at, Input::Read { caller, read });
        caller
    }

    /// What waits for a watch of the test at this node.
    pub(crate) fn take_watched(&mut self, at: usize, caller: Caller) -> Vec<Message> {
        let node = self.places[at].node.as_mut().expect("the node runs");
        let mut messages = Vec::new();
        node.take_watched(caller.connection, usize::MAX, &mut messages);
        messages.into_iter().filter(|(call, _)| *call == caller.call).map(|(_, message)| message).collect()
    }

    /// What a call of the test was answered.
    pub(crate) fn answer(&self, caller: Caller) -> Option<&Message> {
        self.answers.iter().find(|(_, to, _)| *to == caller).map(|(.., message)| message)
    }

    pub(crate) fn await_answer(&mut self, caller: Caller) -> Message {
        self.until("an answer", 20_000, |world| world.answer(caller).is_some());
        self.answer(caller).cloned().expect("just seen")
    }

    pub(crate) fn await_refusal(&mut self, caller: Caller) -> (Code, Refused) {
        match self.await_answer(caller) {
            Message::Refused(refused) => {
                (Code::from_number(refused.code).expect("a code that exists"), refused)
            }
            other => panic!("seed {}: not refused: {other:?}", self.seed),
        }
    }

    /// Submits, and waits for the position and the outcome.
    pub(crate) fn done(
        &mut self,
        at: usize,
        request: &Request,
    ) -> (Position, Result<holdfast_command::Reply, holdfast_command::Refusal>) {
        let caller = self.submit(at, request, 0);
        self.await_done(caller)
    }

    pub(crate) fn await_done(
        &mut self,
        caller: Caller,
    ) -> (Position, Result<holdfast_command::Reply, holdfast_command::Refusal>) {
        match self.await_answer(caller) {
            Message::Submitted(done) => (done.position, outcome(done.outcome)),
            other => panic!("seed {}: not executed: {other:?}", self.seed),
        }
    }

    /// How often each edge of machine 01 was taken at this node, in all its boots.
    pub(crate) fn paths(&self, at: usize) -> BTreeMap<&'static str, u64> {
        let mut all = self.places[at].paths.clone();
        for (edge, count) in self.places[at].node.iter().flat_map(Node::path_edges) {
            *all.entry(edge).or_default() += count;
        }
        all
    }

    /// Whether all nodes run and have applied equally much.
    pub(crate) fn all_equally_far(&self) -> bool {
        let applied = |place: &Place| place.node.as_ref().map(|node| node.store().applied());
        let first = self.places.first().and_then(applied);
        first.is_some() && self.places.iter().all(|place| applied(place) == first)
    }

    /// All nodes have applied the same, and it is the same to the last byte.
    pub(crate) fn judge_equal(&self) {
        let everything = Range::of(Span::all());
        let running: VecDeque<&Node> = self.places.iter().filter_map(|place| place.node.as_ref()).collect();
        for pair in running.iter().zip(running.iter().skip(1)) {
            let (one, other) = (pair.0.store(), pair.1.store());
            assert_eq!(one.applied(), other.applied(), "seed {}", self.seed);
            assert_eq!(one.revision(), other.revision(), "seed {}", self.seed);
            let [left, right] = [one, other].map(|store| {
                let page = store.range(&everything).expect("everything can be read").to_reply();
                let changes: Vec<String> =
                    store.changes(2).expect("nothing was compacted").map(|one| format!("{one:?}")).collect();
                (page, changes)
            });
            assert_eq!(left, right, "seed {}", self.seed);
        }
    }

    pub(crate) fn members(&self) -> usize {
        self.formed.members().len()
    }
}

/// The entry that makes ranges of digests short, in a cluster that takes snapshots all the time: they are taken where one
/// ends.
fn short_ranges() -> Entry {
    let change = ChangeSettings { changes: vec![(Setting::DigestRange.number(), 4)] };
    let request = Request::from(Command::ChangeSettings(change));
    let entry = holdfast_command::Entry { envelope: holdfast_command::Envelope::default(), request };
    Entry { term: Term(1), payload: Payload::Data(entry.encode()) }
}

pub(crate) fn address(at: usize) -> ByteString {
    format!("node-{}:1", at + 1).into()
}

pub(crate) fn outcome(bytes: Bytes) -> Result<holdfast_command::Reply, holdfast_command::Refusal> {
    holdfast_command::Outcome::decode(bytes).expect("an outcome").0
}
