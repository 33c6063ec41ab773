//! A cluster in a jar: cores, their disks, the network between them, and nothing that happens by itself.
//!
//! Each input is a turn: the core takes a step and everything that it wants done is done at once, except for what a script
//! took into its own hands with `manual`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_machine::Numbered;
use holdfast_raft::{
    Boot, ClusterId, Committed, Config, Core, DropCause, EntryId, Envelope, Event, Held, Input, LogRead,
    MembershipMachine, MembershipState, NodeId, NodeUuid, Output, PersistId, Plant, ProgressMachine,
    ProgressState, ReadReady, Refusal, Rejected, RoleEdge, RoleMachine, RoleState, SnapshotMeta,
    SnapshotWork, TransferMachine, TransferState, invariants,
};

use crate::script::disk::Disk;
use crate::script::oracle::{Before, Oracle};
use crate::script::owner::snapshot_state;
use crate::script::show;

/// How much of what happens is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Only what is broken.
    Silent,
    /// Changes of role and of members, and alarms.
    Low,
    Full,
}

/// What a script may take into its own hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hand {
    Disk,
    Apply,
    Read,
    Install,
}

/// What is to be read from a disk.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Piece(Box<SnapshotWork>),
    Entries(LogRead),
}

/// Where the machines of a core stand, followed edge by edge.
#[derive(Debug)]
struct Stands {
    role: RoleState,
    membership: MembershipState,
    transfer: TransferState,
    progress: BTreeMap<NodeId, ProgressState>,
}

/// A node: its process, if it runs, and what outlives it.
#[derive(Debug)]
pub(crate) struct Node<P: Plant> {
    pub(crate) core: Option<Core<P>>,
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    pub(crate) manual: BTreeSet<Hand>,
    /// The last write that ended.
    pub(crate) synced: PersistId,
    pub(crate) held: Vec<Held>,
    pub(crate) to_apply: VecDeque<Committed>,
    /// The state machine: what was applied, in order.
    pub(crate) state: Vec<(EntryId, String)>,
    pub(crate) ready: Vec<ReadReady>,
    pub(crate) reading: VecDeque<Reading>,
    /// The snapshot that is being received.
    pub(crate) incoming: Vec<u8>,
    pub(crate) installing: Option<SnapshotMeta>,
    stands: Stands,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct World<P: Plant> {
    pub(crate) nodes: BTreeMap<NodeId, Node<P>>,
    pub(crate) net: VecDeque<Envelope>,
    pub(crate) kept: BTreeMap<String, Envelope>,
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) disks: BTreeMap<String, (Disk, Boot)>,
    pub(crate) oracle: Oracle,
    pub(crate) volume: Volume,
    pub(crate) lines: Vec<String>,
    dropped: Vec<String>,
    /// Edges taken, refusals, causes of drops and alarms seen.
    pub(crate) seen: BTreeSet<String>,
    pub(crate) faults: usize,
}

impl<P: Plant> World<P> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            net: VecDeque::new(),
            kept: BTreeMap::new(),
            cut: BTreeSet::new(),
            disks: BTreeMap::new(),
            oracle: Oracle::default(),
            volume: Volume::Full,
            lines: Vec::new(),
            dropped: Vec::new(),
            seen: BTreeSet::new(),
            faults: 0,
        }
    }

    pub(crate) fn say(&mut self, volume: Volume, line: String) {
        if volume <= self.volume {
            self.lines.push(line);
        }
    }

    /// Something that must never be true.
    pub(crate) fn fault(&mut self, text: &str) {
        self.faults += 1;
        let line = format!("! {text}");
        if self.lines.last() != Some(&line) {
            self.lines.push(line);
        }
    }

    /// Identity and limits of a node: an election timeout of 10 to 19 ticks, a heartbeat every 2.
    pub(crate) fn config(id: NodeId) -> Config {
        let uuid = NodeUuid([id.0 as u8; 16]);
        Config {
            election_ticks: 10,
            heartbeat_ticks: 2,
            disk_stall_ticks: 20,
            ..Config::new(ClusterId([7; 16]), id, uuid, Boot(1), 0)
        }
    }

    pub(crate) fn add(&mut self, config: Config, disk: Disk) {
        let stands = Stands {
            role: RoleState::Follower,
            membership: MembershipState::Stable,
            transfer: TransferState::Idle,
            progress: BTreeMap::new(),
        };
        let id = config.id;
        let node = Node {
            core: None,
            config,
            disk,
            manual: BTreeSet::new(),
            synced: PersistId(0),
            held: Vec::new(),
            to_apply: VecDeque::new(),
            state: Vec::new(),
            ready: Vec::new(),
            reading: VecDeque::new(),
            incoming: Vec::new(),
            installing: None,
            stands,
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    /// Starts the process of a node from what its disk holds.
    pub(crate) fn start(&mut self, n: NodeId) {
        let Some(node) = self.nodes.get_mut(&n) else { return };
        let found = node.disk.recovered();
        let core = match Core::new(node.config.clone(), found) {
            Ok(core) => core,
            Err(error @ Rejected::HardStateOlder { .. }) => {
                // What an owner does: it notes for good that they are lost, and starts again.
                node.disk.votes_lost = true;
                self.say(Volume::Full, format!("n{n} finds that {error}"));
                return self.start(n);
            }
            Err(error) => {
                self.fault(&format!("n{n} cannot start: {error}"));
                return;
            }
        };
        node.synced = PersistId(0);
        node.held.clear();
        node.state = node.disk.snapshot.as_ref().map(|(_, bytes)| snapshot_state(bytes)).unwrap_or_default();
        node.stands.role = RoleState::Follower;
        node.stands.membership = MembershipState::Stable;
        node.stands.transfer = TransferState::Idle;
        self.oracle.started(&core);
        node.core = Some(core);
        self.turn(n);
    }

    /// Ends the process of a node: of what its disk was writing, the first `keep` pieces survive.
    pub(crate) fn crash(&mut self, n: NodeId, keep: usize) {
        let Some(node) = self.nodes.get_mut(&n) else { return };
        node.core = None;
        node.disk.crash(keep);
        node.held.clear();
        node.to_apply.clear();
        node.ready.clear();
        node.reading.clear();
        node.incoming.clear();
        node.installing = None;
    }

    pub(crate) fn core(&self, n: NodeId) -> Option<&Core<P>> {
        self.nodes.get(&n)?.core.as_ref()
    }

    /// One input, without the turn that does what it asks for.
    pub(crate) fn step(&mut self, n: NodeId, input: Input) -> Result<Option<EntryId>, Refusal> {
        let about = match &input {
            Input::Receive(envelope) => format!("{} of n{}", envelope.message.name(), envelope.from),
            _ => String::new(),
        };
        let Some(core) = self.nodes.get_mut(&n).and_then(|node| node.core.as_mut()) else { return Ok(None) };
        let before = Before::of(core);
        let drops = DropCause::ALL.iter().map(|cause| core.drops(*cause)).collect::<Vec<u64>>();
        let outcome = core.step(input);
        for (cause, before) in DropCause::ALL.iter().zip(drops) {
            let more = self.core(n).is_some_and(|core| core.drops(*cause) > before);
            if more {
                self.seen.insert(cause.label());
                self.dropped.push(format!("n{n} drops {about}: {}", cause.label()));
            }
        }
        self.check(n, &before);
        outcome
    }

    /// The invariants of the core and of the cluster.
    fn check(&mut self, n: NodeId, before: &Before) {
        let disks = self.nodes.iter().map(|(id, node)| (*id, &node.disk)).collect();
        let Some(core) = self.nodes.get(&n).and_then(|node| node.core.as_ref()) else { return };
        // The core's own checks are switched off where a bug is planted; these are not.
        let own = catch_unwind(AssertUnwindSafe(|| {
            invariants::check(core);
            invariants::check_log(core);
        }));
        if let Err(panic) = own {
            let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let words =
                words.lines().next().unwrap_or_default().replace("assertion `left == right` failed: ", "");
            self.oracle.faults.push(format!("not so at n{n}: {words}"));
        }
        self.oracle.stepped(core, before, &disks);
        for other in self.nodes.values().filter_map(|node| node.core.as_ref()) {
            self.oracle.match_logs(core, other);
        }
    }

    pub(crate) fn tell_faults(&mut self) {
        for fault in std::mem::take(&mut self.oracle.faults) {
            self.fault(&fault);
        }
    }

    /// An input and its turn.
    pub(crate) fn act(&mut self, n: NodeId, input: Input) -> Result<Option<EntryId>, Refusal> {
        let outcome = self.step(n, input);
        self.turn(n);
        outcome
    }

    /// Does what a core wants done, until it wants nothing more.
    pub(crate) fn turn(&mut self, n: NodeId) {
        let mut output = Output::default();
        for _ in 0..1000 {
            let Some(core) = self.nodes.get_mut(&n).and_then(|node| node.core.as_mut()) else { return };
            core.flush(&mut output);
            if output == Output::default() {
                self.tell_drops();
                self.serve(n);
                return;
            }
            self.tell_events(n, &output);
            self.tell_drops();
            self.send(n, std::mem::take(&mut output.send_now));
            let mut inputs = self.write(n, &mut output);
            inputs.extend(self.apply_later(n, &mut output));
            inputs.extend(self.snapshot_work(n, &mut output));
            for (id, refusal) in &output.reads_refused {
                self.seen.insert(refusal.label());
                self.say(Volume::Full, format!("n{n} refuses r{id}: {}", show::refusal(*refusal)));
            }
            for input in inputs {
                let _ = self.step(n, input);
            }
        }
        self.fault(&format!("n{n} does not cease to want things done"));
    }

    /// Behind the edges that the same message took: it changed the term, and then was dropped.
    fn tell_drops(&mut self) {
        for line in std::mem::take(&mut self.dropped) {
            self.say(Volume::Full, line);
        }
        self.tell_faults();
    }

    fn tell_events(&mut self, n: NodeId, output: &Output) {
        for event in &output.events {
            let Some(node) = self.nodes.get_mut(&n) else { return };
            let (stands, core) = (&mut node.stands, node.core.as_ref());
            let (volume, label, line) = match *event {
                Event::Role(edge, term) => {
                    if edge == RoleEdge::WinElection {
                        stands.progress.clear();
                    }
                    let line = show::edge::<RoleMachine>(&mut stands.role, edge);
                    (Volume::Low, format!("role {}", edge.label()), format!("{line}, term {term}"))
                }
                Event::Membership(edge, index) => {
                    let line = show::edge::<MembershipMachine>(&mut stands.membership, edge);
                    let entry = core.and_then(|core| core.entry(index));
                    let carried = entry.map(|entry| show::payload(&entry.payload)).unwrap_or_default();
                    (Volume::Low, format!("membership {}", edge.label()), format!("{line}, {index}{carried}"))
                }
                Event::Progress(peer, edge) => {
                    let from = stands.progress.entry(peer).or_insert(ProgressState::Probe);
                    let line = show::edge::<ProgressMachine>(from, edge);
                    (Volume::Full, format!("progress {}", edge.label()), format!("{line}, of n{peer}"))
                }
                Event::Transfer(edge, end) => {
                    let line = show::edge::<TransferMachine>(&mut stands.transfer, edge);
                    (
                        Volume::Low,
                        format!("transfer {}", edge.label()),
                        format!("{line}, snapshot up to {end}"),
                    )
                }
                Event::Alarm(alarm, about) => {
                    (Volume::Low, alarm.label(), format!("ALARM {}, about n{about}", alarm.label()))
                }
                Event::HandedOver(to) => (Volume::Low, "handed".into(), format!("tells n{to} to take over")),
                Event::TransferGivenUp(to) => {
                    (Volume::Low, "given up".into(), format!("gives up handing over to n{to}"))
                }
                Event::Healed(index) => {
                    (Volume::Low, "healed".into(), format!("has a whole log again, up to {index}"))
                }
            };
            self.seen.insert(label);
            self.say(volume, format!("n{n} {line}"));
        }
    }

    /// Puts messages into the network, or loses them where the link is cut.
    pub(crate) fn send(&mut self, n: NodeId, messages: Vec<Envelope>) {
        let mut told: Vec<(String, Vec<(NodeId, bool)>)> = Vec::new();
        for envelope in messages {
            let Some(Node { core: Some(core), disk, .. }) = self.nodes.get(&n) else { return };
            self.oracle.sent(core, disk, &envelope);
            let lost = self.cut.contains(&(n, envelope.to));
            let text = show::message(&envelope);
            match told.iter_mut().find(|(known, _)| *known == text) {
                Some((_, to)) => to.push((envelope.to, lost)),
                None => told.push((text, vec![(envelope.to, lost)])),
            }
            if !lost {
                self.net.push_back(envelope);
            }
        }
        for (text, to) in told {
            self.say(Volume::Full, format!("n{n} → {}: {text}", show::addressees(&to)));
        }
        self.tell_faults();
    }
}
