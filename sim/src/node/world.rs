//! Machines, a network, clients and a clock, all made of one seed.
//!
//! One event at a time, from a queue ordered by simulated time. After each turn of a node everything it shows is compared with
//! the [`Ghost`]; what clients saw is judged at the end, by [`history`](crate::history) and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use holdfast_client::core::LinkId;
use holdfast_raft::{LogRead, NodeId, NodeUuid, PersistId};
use holdfast_wire::Message;

use super::Micros;
use super::callers::Callers;
use super::chaos::Fault;
use super::clients::Client;
use super::end::Healing;
use super::ghost::Ghost;
use super::machine::{Machine, NoStart, Origin, mint};
use super::probes::Probe;
use super::swarm::{MS, Swarm};
use super::tally::{Outcome, Tally};
use crate::history::History;
use crate::raft::ghost::{Verdict, Violation};
use crate::raft::queue::Queue;
use crate::raft::rng::{Rng, hash_bytes, mix};
use crate::raft::trace::{Trace, say};
use holdfast_server::node::plant::{AsDesigned, Plant};

/// An end of a link: a machine or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// This machine.
    Machine(usize),
    /// This client.
    Client(usize),
}

/// Which way bytes go on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the node.
    Up,
    /// From the node to the client.
    Down,
}

/// A connection of a client to a process: bytes in order, both ways, until it breaks.
#[derive(Debug)]
pub struct Stream {
    /// Whose.
    pub client: usize,
    /// What the client calls it.
    pub link: LinkId,
    /// To which machine.
    pub machine: usize,
    /// To which life of its process.
    pub life: u64,
    /// When the last bytes arrive, up and down: those behind them come later.
    due: [Micros; 2],
    /// Bytes that could not go on, up and down.
    held: [Vec<u8>; 2],
    /// The process is gone, and the client has not heard of it.
    dead: bool,
}

/// Something that happens.
#[derive(Debug)]
pub enum Happening {
    /// 10 ms have passed at a node.
    Tick(usize, u64),
    /// A message of a peer arrives.
    Arrive(usize, Bytes),
    /// Digests of a peer arrive.
    Digests(usize, NodeId, Vec<(u64, [u8; 32])>),
    /// A node is told of the connection to a peer.
    Hint(usize, NodeId, Hint),
    /// A node takes a turn.
    Turn(usize, u64),
    /// What waits is written to the log.
    Write(usize, u64),
    /// What was written is synced.
    Sync(usize, u64),
    /// The node learns that it is durable.
    Durable(usize, u64, PersistId, bool),
    /// The log is idle: it notes what is durable.
    Mark(usize, u64),
    /// Another thread does its work.
    Job(usize, u64, u64),
    /// Entries are read back from the log.
    LogRead(usize, u64, LogRead),
    /// The thread of the snapshots does one thing.
    Snapshots(usize, u64),
    /// The thread of the audit log does one thing.
    Audit(usize, u64),
    /// A process starts.
    Start(usize),
    /// A client dials.
    Dial(usize, LinkId, usize),
    /// Nothing answered a dial.
    DialTimedOut(usize, LinkId),
    /// Bytes arrive on a stream.
    Bytes(u64, Way, Vec<u8>),
    /// A stream that was held goes on.
    Drain(u64, Way),
    /// A client learns that its stream is gone.
    Broken(u64),
    /// A client has something to do by its core's own word.
    ClientTick(usize, u64),
    /// A client thinks of something to ask.
    Wake(usize),
    /// Something goes wrong.
    Fault(Fault),
    /// Faults end.
    Calm,
    /// The end is looked at.
    Judge,
}

/// What a node hears about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It was made anew: the peer introduces itself.
    Connected,
    /// It broke.
    Unreachable,
    /// The machine answers, and the process does not.
    Refused,
    /// The peer says that this node is no member any more.
    Removed,
}

/// See the module documentation.
#[derive(Debug)]
pub struct World<P: Plant = AsDesigned> {
    /// The seed.
    pub seed: u64,
    /// What it switches on.
    pub swarm: Swarm,
    /// Where chance comes from.
    pub rng: Rng,
    /// The time.
    pub now: Micros,
    queue: Queue<Happening>,
    /// All machines that there ever were; the node of the first has id 1.
    pub machines: Vec<Machine<P>>,
    /// Directions in which nothing gets through.
    pub cut: BTreeSet<(End, End)>,
    /// Connections of clients.
    pub streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    /// Messages of peers that were sent some time: to whom, and what.
    pub recorded: VecDeque<(usize, Bytes)>,
    /// The clients.
    pub clients: Vec<Client>,
    /// What is true.
    pub ghost: Ghost,
    /// What callers are promised.
    pub callers: Callers,
    /// What was done.
    pub tally: Tally,
    /// What happened.
    pub trace: Trace,
    /// Faults are over, for all or for some.
    pub healing: Option<Healing>,
    /// No client asks anything new.
    pub closing: bool,
    /// Nothing more happens.
    pub over: bool,
    /// Jobs handed out so far.
    pub jobs: u64,
    /// The change of members that is under way.
    pub(super) changing: Option<super::members::Change>,
    /// What clients have seen.
    pub seen: History,
}

/// Events after which a run is given up: one that goes on for so long is stuck in a circle.
const EVENTS_MAX: u64 = 3_000_000;

impl<P: Plant> World<P> {
    /// The world of a seed.
    #[must_use]
    pub fn new(seed: u64, traced: bool) -> Self {
        Self::of(Swarm::draw(seed), traced)
    }

    /// One with these faults and limits.
    #[must_use]
    pub fn of(swarm: Swarm, traced: bool) -> Self {
        let seed = swarm.seed;
        let rng = Rng::new(mix(seed, 0x0057_6F72_6C64));
        let mut world = Self {
            seed,
            rng,
            now: 0,
            queue: Queue::default(),
            machines: Vec::new(),
            cut: BTreeSet::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            recorded: VecDeque::new(),
            clients: Vec::new(),
            ghost: Ghost::default(),
            callers: Callers::default(),
            tally: Tally::default(),
            trace: Trace { hash: seed, lines: traced.then(Vec::new) },
            healing: None,
            closing: false,
            over: false,
            jobs: 0,
            changing: None,
            seen: History::default(),
            swarm,
        };
        world.found();
        world
    }

    /// The machines that form the cluster.
    fn found(&mut self) {
        let founders: Vec<(NodeId, NodeUuid)> =
            (1..=self.swarm.voters as u64).map(|id| (NodeId(id), uuid(id))).collect();
        let mint = mint(&founders);
        for (id, uuid) in founders {
            let rate = self.rate();
            let machine = Machine::new(id, uuid, Origin::Founder(Box::new(mint.clone())), rate);
            machine.introduce();
            self.machines.push(machine);
        }
        for at in 0..self.machines.len() {
            let wait = self.rng.between(0, 50 * MS);
            self.after(wait, Happening::Start(at));
        }
        for client in 0..=self.swarm.clients {
            self.clients.push(Client::new(client, &self.swarm));
            let wait = self.rng.between(0, 100 * MS);
            self.after(wait, Happening::Wake(client));
        }
        self.begin_faults();
    }

    /// How fast a clock goes, in a thousandth.
    pub fn rate(&mut self) -> u64 {
        if self.swarm.skew { self.rng.between(500, 2_000) } else { self.rng.between(980, 1_020) }
    }

    /// Lets something happen.
    pub fn after(&mut self, wait: Micros, happening: Happening) {
        let order = self.rng.word();
        self.queue.push(self.now + wait, order, happening);
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let mut verdict = Ok(());
        while !self.over && verdict.is_ok() {
            let Some((now, happening)) = self.queue.pop() else { break };
            self.now = now;
            self.tally.events += 1;
            if self.tally.events > EVENTS_MAX {
                let what = "the run does not end".to_owned();
                verdict = Err(Violation { property: "Q2 Liveness", what });
                break;
            }
            verdict = self.happen(happening);
        }
        let history = self.history();
        if verdict.is_ok() {
            verdict = self.judge_history(&history);
        }
        self.outcome(verdict, &history)
    }

    /// Lets everything happen up to a moment, for those who script what goes wrong.
    ///
    /// # Errors
    /// What a node did that is not right.
    pub fn run_until(&mut self, until: Micros) -> Verdict {
        while self.queue.next_at().is_some_and(|at| at <= until) {
            let Some((now, happening)) = self.queue.pop() else { break };
            self.now = now;
            self.tally.events += 1;
            self.happen(happening)?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn outcome(mut self, verdict: Verdict, history: &History) -> Outcome {
        self.tally.simulated = self.now;
        self.tally.void = u64::from(verdict.is_ok() && self.is_void(history));
        for machine in &self.machines {
            self.trace.hash = mix(self.trace.hash, machine.life);
        }
        self.trace.hash = mix(self.trace.hash, hash_bytes(&self.ghost.newest().digest()));
        Outcome {
            seed: self.seed,
            hash: self.trace.hash,
            at: self.now,
            violation: verdict.err(),
            lines: self.trace.lines.unwrap_or_default(),
            tally: self.tally,
        }
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        if let Some(happening) = self.held_back(happening) {
            self.trace.note(mix(self.now, kind(&happening)));
            match happening {
                Happening::Tick(at, life) => self.tick(at, life),
                Happening::Arrive(at, frame) => self.arrive(at, &frame),
                Happening::Digests(at, from, ranges) => {
                    self.tell(at, holdfast_server::node::Input::Digests { from, ranges });
                    Ok(())
                }
                Happening::Hint(at, from, hint) => {
                    self.hint(at, from, hint);
                    Ok(())
                }
                Happening::Turn(at, life) => self.turn(at, life),
                Happening::Write(at, life) => self.write_log(at, life),
                Happening::Sync(at, life) => self.sync(at, life),
                Happening::Durable(at, life, id, healed) => self.durable(at, life, id, healed),
                Happening::Mark(at, life) => self.mark(at, life),
                Happening::Job(at, life, job) => self.job(at, life, job),
                Happening::LogRead(at, life, read) => self.read_log(at, life, read),
                Happening::Snapshots(at, life) => self.work_on_snapshots(at, life),
                Happening::Audit(at, life) => self.work_on_audit(at, life),
                Happening::Start(at) => self.start(at),
                Happening::Dial(client, link, at) => self.dial(client, link, at),
                Happening::DialTimedOut(client, link) => {
                    self.dial_failed(client, link, &holdfast_client::What::ConnectTimedOut)
                }
                Happening::Bytes(stream, way, bytes) => self.bytes(stream, way, &bytes),
                Happening::Drain(stream, way) => self.drain(stream, way),
                Happening::Broken(stream) => self.broken(stream),
                Happening::ClientTick(client, deadline) => self.client_tick(client, deadline),
                Happening::Wake(client) => self.wake(client),
                Happening::Fault(fault) => self.strike(fault),
                Happening::Calm => self.calm(),
                Happening::Judge => self.judge(),
            }
        } else {
            Ok(())
        }
    }

    /// A machine that is paused takes nothing in: it comes later.
    fn held_back(&mut self, happening: Happening) -> Option<Happening> {
        let at = match &happening {
            Happening::Tick(at, _)
            | Happening::Arrive(at, _)
            | Happening::Digests(at, ..)
            | Happening::Hint(at, ..)
            | Happening::Turn(at, _)
            | Happening::Write(at, _)
            | Happening::Sync(at, _)
            | Happening::Durable(at, ..)
            | Happening::Mark(at, _)
            | Happening::Job(at, ..)
            | Happening::LogRead(at, ..)
            | Happening::Snapshots(at, _)
            | Happening::Audit(at, _) => *at,
            Happening::Start(_)
            | Happening::Dial(..)
            | Happening::DialTimedOut(..)
            | Happening::Bytes(..)
            | Happening::Drain(..)
            | Happening::Broken(_)
            | Happening::ClientTick(..)
            | Happening::Wake(_)
            | Happening::Fault(_)
            | Happening::Calm
            | Happening::Judge => return Some(happening),
        };
        let until = self.machines[at].paused_until;
        if until <= self.now {
            return Some(happening);
        }
        let wait = until - self.now;
        self.after(wait, happening);
        None
    }

    /// A process starts on what the disks hold.
    fn start(&mut self, at: usize) -> Verdict {
        let machine = &mut self.machines[at];
        if machine.process.is_some() || machine.retired {
            return Ok(());
        }
        match machine.start(&self.swarm, self.now) {
            Ok(started) => {
                let (id, life) = (machine.id, machine.life);
                say!(self, "n{id} starts, life {life}: {:?}", started.found);
                let damaged = started.found.log_damaged || started.found.hard_state_lost;
                self.tally.probes.hit_if(damaged, Probe::DamagedLogOpened);
                self.tally.probes.hit_if(started.found.snapshots_damaged > 0, Probe::DamagedSnapshotOpened);
                let first = self.rng.between(0, 10 * MS);
                self.after(first, Happening::Tick(at, life));
                for other in 0..self.machines.len() {
                    if other != at && self.machines[other].process.is_some() {
                        self.connect(at, other);
                        self.connect(other, at);
                    }
                }
                Ok(())
            }
            Err(why) => self.not_started(at, &why),
        }
    }

    /// A process does not start. That is what is wanted of one whose files were damaged beyond what it may rely on.
    fn not_started(&mut self, at: usize, why: &NoStart) -> Verdict {
        let text = format!("{why:?}");
        say!(self, "n{} does not start: {text}", self.machines[at].id);
        let machine = &mut self.machines[at];
        let failing = self.swarm.side_failure.is_some()
            || self.swarm.sync_failure.is_some()
            || self.swarm.full.is_some();
        if failing && !machine.damaged {
            // The disk failed while it started: it is tried again.
            self.tally.probes.hit(Probe::StartDelayed);
            self.after(200 * MS, Happening::Start(at));
            return Ok(());
        }
        if !machine.damaged {
            let what = format!("n{} does not start, and nothing of it was damaged: {text}", machine.id);
            return Err(Violation { property: "D3 Recovered", what });
        }
        machine.refused = Some(text);
        self.tally.probes.hit(Probe::StartRefused);
        Ok(())
    }

    /// `from` connects to `to`, if links allow.
    pub fn connect(&mut self, from: usize, to: usize) {
        let wait = self.rng.between(50, 2 * self.swarm.delay.max(50));
        let id = self.machines[from].id;
        if !self.is_cut(End::Machine(from), End::Machine(to)) {
            self.after(wait, Happening::Hint(to, id, Hint::Connected));
        }
    }

    /// Whether nothing gets from one to the other.
    #[must_use]
    pub fn is_cut(&self, from: End, to: End) -> bool {
        self.cut.contains(&(from, to))
    }

    /// The leader of the highest term that is established, by machine.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        use holdfast_server::node::leadership::State;
        let leads = |machine: &Machine<P>| {
            let node = &machine.process.as_ref()?.node;
            (node.leadership() == State::Established).then(|| node.core().term().0)
        };
        let all = self.machines.iter().enumerate();
        all.filter_map(|(at, machine)| Some((leads(machine)?, at))).max().map(|(_, at)| at)
    }

    /// Machines that belong to the cluster, whether a process runs there or not.
    #[must_use]
    pub fn present(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|at| !self.machines[*at].retired).collect()
    }

    // ---- streams of clients ----

    /// A stream of its own number.
    pub(super) fn open_stream(&mut self, client: usize, link: LinkId, machine: usize) -> u64 {
        self.next_stream += 1;
        let life = self.machines[machine].life;
        let stream = Stream {
            client,
            link,
            machine,
            life,
            due: [self.now; 2],
            held: [Vec::new(), Vec::new()],
            dead: false,
        };
        self.streams.insert(self.next_stream, stream);
        self.next_stream
    }

    /// Sends bytes on a stream.
    pub(super) fn carry(&mut self, stream: u64, way: Way, bytes: &[u8]) {
        if bytes.is_empty() || !self.streams.contains_key(&stream) {
            return;
        }
        if self.healing.is_none() && self.rng.chance(self.swarm.hangups) {
            self.tally.probes.hit(Probe::StreamBroken);
            self.hang_up(stream);
            return;
        }
        // In pieces of any length, as TCP brings them.
        let at = if self.rng.chance(200) { self.rng.position(bytes.len()) } else { 0 };
        let (one, two) = bytes.split_at(at);
        for piece in [one, two] {
            if piece.is_empty() {
                continue;
            }
            let delay = self.rng.between(self.swarm.delay / 2, self.swarm.delay);
            let Some(known) = self.streams.get_mut(&stream) else { return };
            let due = &mut known.due[way as usize];
            *due = (*due + 1).max(self.now + delay);
            let wait = *due - self.now;
            self.after(wait, Happening::Bytes(stream, way, piece.to_vec()));
        }
    }

    /// Which ends bytes on a stream go from and to.
    fn ends(&self, stream: u64, way: Way) -> Option<(End, End)> {
        let stream = self.streams.get(&stream)?;
        let (client, machine) = (End::Client(stream.client), End::Machine(stream.machine));
        Some(match way {
            Way::Up => (client, machine),
            Way::Down => (machine, client),
        })
    }

    fn bytes(&mut self, stream: u64, way: Way, bytes: &[u8]) -> Verdict {
        let Some((from, to)) = self.ends(stream, way) else { return Ok(()) };
        let cut = self.is_cut(from, to);
        let Some(known) = self.streams.get_mut(&stream) else { return Ok(()) };
        let machine = &self.machines[known.machine];
        let paused = way == Way::Up && machine.paused_until > self.now && machine.life == known.life;
        let held = &mut known.held[way as usize];
        if cut || paused || !held.is_empty() {
            held.extend_from_slice(bytes);
            if paused && held.len() == bytes.len() {
                let wait = machine.paused_until - self.now;
                self.after(wait, Happening::Drain(stream, way));
            }
            return Ok(());
        }
        self.deliver(stream, way, bytes)
    }

    fn drain(&mut self, stream: u64, way: Way) -> Verdict {
        let Some((from, to)) = self.ends(stream, way) else { return Ok(()) };
        if self.is_cut(from, to) {
            return Ok(());
        }
        let Some(known) = self.streams.get_mut(&stream) else { return Ok(()) };
        let machine = &self.machines[known.machine];
        if way == Way::Up && machine.paused_until > self.now && machine.life == known.life {
            // It was suspended once more before it went on.
            let wait = machine.paused_until - self.now;
            self.after(wait, Happening::Drain(stream, way));
            return Ok(());
        }
        let bytes = std::mem::take(&mut known.held[way as usize]);
        if bytes.is_empty() { Ok(()) } else { self.deliver(stream, way, &bytes) }
    }

    fn deliver(&mut self, stream: u64, way: Way, bytes: &[u8]) -> Verdict {
        let Some(known) = self.streams.get(&stream) else { return Ok(()) };
        let (client, link, machine, life) = (known.client, known.link, known.machine, known.life);
        match way {
            Way::Up => {
                let process = &self.machines[machine];
                if known.dead || process.process.is_none() || process.life != life {
                    // Nobody knows of this connection there: the answer is a reset.
                    let wait = self.rng.between(50, self.swarm.delay.max(50));
                    self.after(wait, Happening::Broken(stream));
                    return Ok(());
                }
                self.hear_client(machine, stream, bytes)
            }
            Way::Down => self.hear_node(client, link, bytes),
        }
    }

    /// A stream breaks at both ends.
    pub(super) fn hang_up(&mut self, stream: u64) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        known.dead = true;
        let machine = known.machine;
        self.forget_served(machine, stream);
        let wait = self.rng.between(50, self.swarm.delay.max(50));
        self.after(wait, Happening::Broken(stream));
    }

    /// A client learns that its stream is gone, if it can.
    fn broken(&mut self, stream: u64) -> Verdict {
        let Some((from, to)) = self.ends(stream, Way::Down) else { return Ok(()) };
        if self.is_cut(from, to) {
            return Ok(());
        }
        let Some(known) = self.streams.remove(&stream) else { return Ok(()) };
        self.forget_served(known.machine, stream);
        self.lose_link(known.client, known.link)
    }

    /// Streams that were held go on, as far as links are whole.
    pub(super) fn mend_streams(&mut self) {
        let all: Vec<(u64, bool)> =
            self.streams.iter().map(|(stream, known)| (*stream, known.dead)).collect();
        for (stream, dead) in all {
            let wait = self.rng.between(50, self.swarm.delay.max(50));
            for way in [Way::Up, Way::Down] {
                self.after(wait, Happening::Drain(stream, way));
            }
            if dead {
                self.after(wait, Happening::Broken(stream));
            }
        }
    }

    /// The process of a machine is gone, and with it its connections.
    pub(super) fn end_streams(&mut self, at: usize) {
        let life = self.machines[at].life;
        let gone = self.streams.iter_mut().filter(|(_, known)| known.machine == at && known.life == life);
        let gone: Vec<u64> = gone
            .map(|(stream, known)| {
                known.dead = true;
                *stream
            })
            .collect();
        for stream in gone {
            let wait = self.rng.between(50, self.swarm.delay.max(50));
            self.after(wait, Happening::Broken(stream));
        }
    }

    // ---- messages of peers ----

    /// Sends an encoded message of one node to another, as luck has it.
    pub(super) fn send_frame(&mut self, from: usize, to: usize, frame: &Bytes) {
        let copies = if self.rng.chance(self.swarm.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let cut = self.is_cut(End::Machine(from), End::Machine(to));
            let lost = self.rng.chance(self.swarm.loss);
            let mut wait = self.rng.between(self.swarm.delay / 2, self.swarm.delay.max(50));
            if self.rng.chance(self.swarm.slow) {
                wait += self.rng.between(0, self.swarm.delay_long);
            }
            if !cut && !lost {
                self.after(wait, Happening::Arrive(to, frame.clone()));
            }
        }
        if self.swarm.replay.is_some() && self.rng.chance(100) {
            self.recorded.push_back((to, frame.clone()));
            if self.recorded.len() > 64 {
                self.recorded.pop_front();
            }
        }
    }
}

/// The name of the directory of a node.
#[must_use]
pub fn uuid(id: u64) -> NodeUuid {
    let mut bytes = [0x5A; 16];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    NodeUuid(bytes)
}

/// A message as its frame.
///
/// # Panics
/// If it is one that the wire does not know.
#[must_use]
pub fn frame_of(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(message.header(), &mut out).expect("what a node says can be encoded");
    out.freeze()
}

/// What is hashed of an event besides its time.
fn kind(happening: &Happening) -> u64 {
    let (kind, about) = match happening {
        Happening::Tick(at, life) => (1, mix(*at as u64, *life)),
        Happening::Arrive(at, frame) => (2, mix(*at as u64, hash_bytes(frame))),
        Happening::Digests(at, from, ranges) => (3, mix(*at as u64, mix(from.0, ranges.len() as u64))),
        Happening::Hint(at, from, hint) => (4, mix(*at as u64, mix(from.0, *hint as u64))),
        Happening::Turn(at, life) => (5, mix(*at as u64, *life)),
        Happening::Write(at, life) => (6, mix(*at as u64, *life)),
        Happening::Sync(at, life) => (7, mix(*at as u64, *life)),
        Happening::Durable(at, life, id, _) => (8, mix(*at as u64, mix(*life, id.0))),
        Happening::Mark(at, life) => (9, mix(*at as u64, *life)),
        Happening::Job(at, life, job) => (10, mix(*at as u64, mix(*life, *job))),
        Happening::Snapshots(at, life) => (11, mix(*at as u64, *life)),
        Happening::Audit(at, life) => (12, mix(*at as u64, *life)),
        Happening::Start(at) => (13, *at as u64),
        Happening::Dial(client, _, at) => (14, mix(*client as u64, *at as u64)),
        Happening::DialTimedOut(client, _) => (15, *client as u64),
        Happening::Bytes(stream, way, bytes) => (16, mix(*stream, mix(*way as u64, hash_bytes(bytes)))),
        Happening::Drain(stream, way) => (17, mix(*stream, *way as u64)),
        Happening::Broken(stream) => (18, *stream),
        Happening::ClientTick(client, deadline) => (19, mix(*client as u64, *deadline)),
        Happening::Wake(client) => (20, *client as u64),
        Happening::Fault(_) => (21, 0),
        Happening::Calm => (22, 0),
        Happening::Judge => (23, 0),
        Happening::LogRead(at, life, read) => (24, mix(*at as u64, mix(*life, read.first.0))),
    };
    mix(kind, about)
}
