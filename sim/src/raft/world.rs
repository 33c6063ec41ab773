//! The simulated cluster, and the loop that lets things happen in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use holdfast_raft::{
    Boot, Bug, Configuration, Entry, EntryId, Envelope, HardState, Input, LogRead, NodeId, Payload,
    SnapshotMeta, Term,
};

use super::chaos::Fault;
use super::clients::{Wish, member};
use super::disk::Disk;
use super::ghost::{Ghost, Verdict, Violation, place};
use super::heard::{Heard, Letter};
use super::liveness::Healing;
use super::machine::Snapshot;
use super::network::{Network, Packet};
use super::node::Node;
use super::queue::{Micros, Queue};
use super::rng::{Rng, mix};
use super::swarm::Swarm;
use super::tally::{Outcome, Tally};
use super::trace::{Trace, letter, say};

/// Something that is to happen. What concerns a process names its boot: another one never hears of it.
#[derive(Debug)]
pub enum Happening {
    /// A node's clock ticks.
    Tick(usize, Boot),
    /// A message arrives.
    Arrive(Packet),
    /// A node's owner tells its core something.
    Tell(usize, Boot, Input),
    /// A turn ends.
    EndTurn(usize, Boot),
    /// A disk has done what was due.
    DiskDone(usize, Boot),
    /// A state machine applies what waits.
    Apply(usize, Boot),
    /// A piece of a snapshot has been read, for a peer.
    Piece {
        /// The node.
        at: usize,
        /// Its boot.
        boot: Boot,
        /// The peer.
        to: NodeId,
        /// Which snapshot.
        last: EntryId,
        /// Where the piece begins.
        offset: u64,
        /// How long it may be.
        bytes_max: usize,
    },
    /// Entries have been read back, for a peer.
    ReadBack(usize, Boot, LogRead),
    /// A piece of a snapshot that is being received is stored.
    Stored(usize, Boot, Envelope),
    /// A received snapshot is durable; or could not be made so.
    Installed(usize, Boot, SnapshotMeta, bool),
    /// A node's own snapshot is durable.
    Taken(usize, Boot, Box<Snapshot>),
    /// A node is started.
    Start(usize),
    /// A client wants something.
    Wish(Wish),
    /// A fault strikes.
    Fault(Fault),
    /// The faults end; for good if nobody asks for more.
    Calm,
    /// The healed core is judged.
    Judge,
}

/// A cluster and everything around it.
#[derive(Debug)]
pub struct World {
    /// What the seed switched on.
    pub swarm: Swarm,
    /// What is planted in the cores.
    pub bug: Option<Bug>,
    /// Now.
    pub now: Micros,
    /// All chance.
    pub rng: Rng,
    /// What is to happen.
    pub queue: Queue<Happening>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What is true.
    pub ghost: Ghost,
    /// The links.
    pub network: Network,
    /// What was done.
    pub trace: Trace,
    /// What it adds up to.
    pub tally: Tally,
    /// Reads that were asked for.
    pub reads: u64,
    /// The end of the run, when only a core is healed.
    pub healing: Option<Healing>,
    /// All nodes crashed at once, and no leader was elected since.
    pub after_mass_crash: bool,
    /// Nothing happens any more.
    pub over: bool,
    /// Things that waited for a node to go on, to keep their order.
    postponed: u64,
}

impl World {
    /// The cluster of this seed, formed and not started.
    #[must_use]
    pub fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        let swarm = Swarm::draw(seed);
        let ids = (1..=swarm.voters as u64).map(NodeId);
        let initial = Arc::new(Configuration::initial(ids.map(|id| (id, member(&swarm, id, false)))));
        let ghost = Ghost::new(&swarm, &initial);
        let mut world = Self {
            bug,
            now: 0,
            rng: Rng::new(seed),
            queue: Queue::default(),
            nodes: Vec::new(),
            ghost,
            network: Network::default(),
            trace: Trace { hash: seed, lines: traced.then(Vec::new) },
            tally: Tally::default(),
            reads: 0,
            healing: None,
            after_mass_crash: false,
            over: false,
            postponed: 0,
            swarm,
        };
        let entry = Entry { term: Term(1), payload: Payload::Configuration(initial) };
        let formed = HardState { term: Term(1), vote: None };
        for id in 1..=world.swarm.voters as u64 {
            world.add(Node::new(NodeId(id), Disk::new(formed, vec![entry.clone()])));
        }
        world.begin();
        world
    }

    /// A node exists from now on, and is started.
    pub fn add(&mut self, mut node: Node) {
        if self.swarm.skew {
            node.rate = self.rng.between(500, 2000);
        }
        self.ghost.add_node(&node);
        let at = place(node.id);
        self.nodes.push(node);
        self.after(0, Happening::Start(at));
    }

    /// Lets something happen, so much later.
    pub fn after(&mut self, wait: Micros, what: Happening) {
        let order = self.rng.word();
        self.queue.push(self.now + wait, order, what);
    }

    /// Runs to the end, or to the first violation.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let ended = catch_unwind(AssertUnwindSafe(|| self.go_on()));
        let violation = match ended {
            Ok(verdict) => verdict.err(),
            Err(panic) => Some(Violation { property: "Panic", what: panic_text(&*panic) }),
        };
        self.tally.elections = self.ghost.elections;
        self.tally.membership_changes = self.ghost.membership_changes;
        self.tally.reads = self.ghost.reads;
        self.tally.commits = self.ghost.commit().0;
        self.tally.simulated = self.now;
        self.tally.probes = self.ghost.probes;
        Outcome {
            seed: self.swarm.seed,
            hash: self.trace.hash,
            tally: self.tally,
            violation,
            at: self.now,
            lines: self.trace.lines.unwrap_or_default(),
        }
    }

    fn go_on(&mut self) -> Verdict {
        while !self.over {
            let Some((at, what)) = self.queue.pop() else { break };
            self.now = at;
            self.ghost.now = at;
            self.happen(what)?;
        }
        Ok(())
    }

    /// The node that something concerns, if it is still the same process. Postpones what comes while it stands still.
    fn awake(&mut self, at: usize, boot: Boot, what: Happening) -> Option<Happening> {
        let node = &self.nodes[at];
        if !node.is_up() || node.boot != boot {
            return None;
        }
        if node.paused_until > self.now {
            self.postponed += 1;
            self.queue.push(node.paused_until, self.postponed, what);
            return None;
        }
        Some(what)
    }

    fn happen(&mut self, what: Happening) -> Verdict {
        self.tally.events += 1;
        let concerns = match &what {
            Happening::Tick(at, boot)
            | Happening::Tell(at, boot, _)
            | Happening::EndTurn(at, boot)
            | Happening::Apply(at, boot)
            | Happening::Piece { at, boot, .. }
            | Happening::ReadBack(at, boot, _)
            | Happening::Stored(at, boot, _)
            | Happening::Installed(at, boot, ..)
            | Happening::Taken(at, boot, _) => Some((*at, *boot)),
            Happening::Arrive(packet) => {
                let to = place(packet.envelope.to);
                if !self.nodes[to].is_up() {
                    self.refuse(packet.envelope.from, packet.envelope.to);
                    return Ok(());
                }
                Some((to, self.nodes[to].boot))
            }
            // A disk goes on while its node stands still.
            Happening::DiskDone(..)
            | Happening::Start(_)
            | Happening::Wish(_)
            | Happening::Fault(_)
            | Happening::Calm
            | Happening::Judge => None,
        };
        let what = match concerns {
            None => what,
            Some((at, boot)) => match self.awake(at, boot, what) {
                Some(what) => what,
                None => return Ok(()),
            },
        };
        match what {
            Happening::Tick(at, boot) => {
                let node = &mut self.nodes[at];
                node.ticks += 1;
                let wait = self.swarm.tick * 1000 / node.rate;
                self.after(wait, Happening::Tick(at, boot));
                self.tell(at, Input::Tick, Heard::Tick).map(|_| ())
            }
            Happening::Arrive(packet) => {
                let at = place(packet.envelope.to);
                say!(self, "{}", letter(&packet));
                self.trace.note(mix(packet.made, packet.envelope.from.0));
                let heard = Heard::Letter(Letter::of(&packet));
                self.tell(at, Input::Receive(packet.envelope), heard).map(|_| ())
            }
            Happening::Tell(at, _, Input::Durable(id)) => self.report_durable(at, id),
            Happening::Tell(at, _, Input::PeerRefused(id)) => {
                self.tell(at, Input::PeerRefused(id), Heard::Refused(id)).map(|_| ())
            }
            Happening::Tell(at, _, input) => self.tell(at, input, Heard::Other).map(|_| ()),
            Happening::EndTurn(at, _) => self.end_turn(at),
            Happening::DiskDone(at, boot) => self.disk_done(at, boot),
            Happening::Apply(at, _) => self.apply(at),
            Happening::Piece { at, to, last, offset, bytes_max, .. } => {
                self.piece_read(at, to, last, offset, bytes_max)
            }
            Happening::ReadBack(at, _, read) => self.entries_read(at, read),
            Happening::Stored(at, _, ack) => self.stored(at, ack),
            Happening::Installed(at, _, meta, done) => self.installed(at, &meta, done),
            Happening::Taken(at, _, snapshot) => self.taken(at, *snapshot),
            Happening::Start(at) => self.start(at),
            Happening::Wish(wish) => self.grant(wish),
            Happening::Fault(fault) => self.strike(fault),
            Happening::Calm => self.calm(),
            Happening::Judge => self.judge_core(),
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text").to_owned()
}
