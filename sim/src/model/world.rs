//! One state, the actions that are possible in it, and what must hold.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use holdfast_raft::{
    Boot, ClusterId, Config, Configuration, Core, EntryId, Envelope, Event, Held, Index, Input, Member,
    Message, NodeId, NodeUuid, Output, PersistId, Plant, ReadId, Recovered, RoleEdge, RoleState, Term,
    canonical_hash, invariants,
};

use super::disk::{Disk, units};

/// How much of everything a behaviour may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Nodes, all of them voters.
    pub nodes: u64,
    /// Elections that may be started, by any node.
    pub timeouts: u8,
    /// Rounds of heartbeats beyond the first of each leader.
    pub heartbeats: u8,
    /// Entries that clients write.
    pub entries: u8,
    /// Reads.
    pub reads: u8,
    /// Crashes.
    pub crashes: u8,
    /// Packets that are lost for good.
    pub drops: u8,
    /// Packets that arrive twice, the second time as late as can be.
    pub duplicates: u8,
    /// Packets that overtake those before them on their link.
    pub reorders: u8,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The first packet of a link arrives.
    Deliver(Link),
    /// A packet further back on a link arrives.
    Overtake(Link, usize),
    /// The first packet of a link arrives, and a copy of it will once more.
    Duplicate(Link),
    /// The first packet of a link is lost.
    Lose(Link),
    /// A node waited long enough for a leader.
    Timeout(usize),
    /// A leader sends heartbeats.
    Heartbeat(usize),
    /// A leader noticed that nobody answers.
    QuorumLost(usize),
    /// The oldest write of a node is durable.
    Sync(usize),
    /// A node dies, with so many of its undurable writes on the disk, and starts again.
    Crash(usize, usize),
    /// A client writes at a leader.
    Write(usize),
    /// A client reads at a leader.
    Read(usize),
}

/// From one node to another.
pub type Link = (NodeId, NodeId);

/// What has happened, as nobody within could know it.
#[derive(Clone, Debug, Default)]
struct Ghost {
    /// Who led a term.
    leaders: BTreeMap<Term, NodeId>,
    /// What was ever committed, from index 1 on: the term of the entry, and that in which it was first known.
    committed: Vec<(Term, Term)>,
    /// How much was committed when the open read began.
    read_floor: Option<Index>,
}

/// One state.
#[derive(Clone, Debug)]
pub struct World<P: Plant> {
    bounds: Bounds,
    cores: Vec<Core<P>>,
    disks: Vec<Disk>,
    /// What is on its way, on each link in order: a connection keeps the order, and only a new one breaks it.
    links: BTreeMap<Link, VecDeque<Vec<Envelope>>>,
    ghost: Ghost,
    /// Somebody campaigned. All nodes are alike until then, so that the first one to do so may be called node 1.
    woken: bool,
}

/// Ticks of the shortest election timeout here.
const ELECTION_TICKS: u32 = 3;

fn config(id: u64, boot: Boot) -> Config {
    let (cluster, uuid) = (ClusterId([1; 16]), NodeUuid([id as u8; 16]));
    Config {
        election_ticks: ELECTION_TICKS,
        heartbeat_ticks: 1,
        disk_stall_ticks: u32::MAX,
        ..Config::new(cluster, NodeId(id), uuid, boot, 1)
    }
}

impl<P: Plant> World<P> {
    /// A cluster that was just formed.
    ///
    /// # Panics
    /// If there is no node.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let member =
            |id: u64| Member { uuid: NodeUuid([id as u8; 16]), promote: false, context: Bytes::new() };
        let formed =
            Recovered::formed(Configuration::initial((1..=bounds.nodes).map(|id| (NodeId(id), member(id)))));
        let core = |id| Core::new(config(id, Boot(1)), formed.clone()).expect("a formed node starts");
        let disk = Disk { hard: formed.hard_state, log: formed.entries.clone(), queue: VecDeque::new() };
        Self {
            bounds,
            cores: (1..=bounds.nodes).map(core).collect(),
            disks: (0..bounds.nodes).map(|_| disk.clone()).collect(),
            links: BTreeMap::new(),
            ghost: Ghost { committed: vec![(Term(1), Term(1))], ..Ghost::default() },
            woken: false,
        }
    }

    /// What names this state.
    #[must_use]
    pub fn hash(&self) -> u128 {
        let held = self.disks.iter().flat_map(|disk| disk.queue.iter().flat_map(|(_, held)| held));
        let messages: Vec<&Envelope> = self.links.values().flatten().flatten().chain(held).collect();
        let mut hash = canonical_hash(&self.cores.iter().collect::<Vec<_>>(), &messages);
        let mut mix = |value: u64| {
            hash = (hash ^ u128::from(value)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        };
        let Bounds { nodes: _, timeouts, heartbeats, entries, reads, crashes, drops, duplicates, reorders } =
            self.bounds;
        let left = [timeouts, heartbeats, entries, reads, crashes, drops, duplicates, reorders];
        left.iter().for_each(|left| mix(u64::from(*left)));
        // In which order messages are on their links, which travel together, and which are held for which write.
        self.links.values().flatten().flatten().for_each(|envelope| {
            mix(envelope.from.0 << 8 | envelope.to.0);
            mix(envelope.term.0);
            envelope.message.name().bytes().for_each(|letter| mix(letter.into()));
        });
        self.links.values().flatten().for_each(|packet| mix(packet.len() as u64));
        self.disks.iter().for_each(|disk| {
            mix(disk.hard.term.0);
            mix(disk.hard.vote.map_or(0, |vote| vote.0));
            disk.log.iter().for_each(|entry| mix(entry.term.0));
            mix(1 << 32);
            disk.queue.iter().for_each(|(persist, held)| {
                mix(units(persist).count() as u64);
                mix(held.len() as u64);
            });
        });
        self.ghost.leaders.iter().for_each(|(term, id)| mix(term.0 << 8 | id.0));
        self.ghost.committed.iter().for_each(|(of, known)| mix(of.0 << 32 | known.0));
        mix(self.ghost.read_floor.map_or(0, |floor| floor.0));
        hash
    }

    /// Everything that can happen now.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let left = self.bounds;
        for (link, packets) in &self.links {
            actions.push(Action::Deliver(*link));
            if left.duplicates > 0 {
                actions.push(Action::Duplicate(*link));
            }
            if left.drops > 0 {
                actions.push(Action::Lose(*link));
            }
            if left.reorders > 0 {
                actions.extend((1..packets.len()).map(|at| Action::Overtake(*link, at)));
            }
        }
        for (at, core) in self.cores.iter().enumerate() {
            if core.role() == RoleState::Leader {
                if left.heartbeats > 0 {
                    actions.extend([Action::Heartbeat(at), Action::QuorumLost(at)]);
                }
                if left.entries > 0 {
                    actions.push(Action::Write(at));
                }
                if left.reads > 0 && self.ghost.read_floor.is_none() {
                    actions.push(Action::Read(at));
                }
            } else if left.timeouts > 0 && (at == 0 || self.woken) {
                actions.push(Action::Timeout(at));
            }
            if !self.disks[at].queue.is_empty() {
                actions.push(Action::Sync(at));
            }
            if left.crashes > 0 {
                let undurable = self.disks[at].undurable();
                actions.extend((0..=undurable).map(|kept| Action::Crash(at, kept)));
            }
        }
        actions
    }

    /// Takes an action.
    ///
    /// # Errors
    /// What does not hold afterwards.
    pub fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Deliver(link) => self.deliver(link, 0)?,
            Action::Overtake(link, at) => {
                self.bounds.reorders -= 1;
                self.deliver(link, at)?;
            }
            Action::Duplicate(link) => {
                self.bounds.duplicates -= 1;
                let copy = self.links[&link][0].clone();
                self.deliver(link, 0)?;
                self.links.entry(link).or_default().push_back(copy);
            }
            Action::Lose(link) => {
                self.bounds.drops -= 1;
                self.take(link, 0);
            }
            Action::Timeout(at) => {
                self.bounds.timeouts -= 1;
                self.woken = true;
                // At most twice the shortest timeout, whatever was drawn.
                for _ in 0..2 * ELECTION_TICKS {
                    let before = self.cores[at].roles().total();
                    self.step(at, Input::Tick);
                    if self.cores[at].roles().total() > before {
                        break;
                    }
                }
                self.flush(at)?;
            }
            Action::Heartbeat(at) => {
                self.bounds.heartbeats -= 1;
                self.step(at, Input::Tick);
                self.flush(at)?;
            }
            Action::QuorumLost(at) => {
                self.bounds.heartbeats -= 1;
                for _ in 0..=ELECTION_TICKS {
                    self.step(at, Input::Tick);
                }
                self.flush(at)?;
            }
            Action::Sync(at) => self.sync(at)?,
            Action::Crash(at, kept) => self.crash(at, kept)?,
            Action::Write(at) => {
                self.bounds.entries -= 1;
                let name = Bytes::copy_from_slice(&[self.bounds.entries]);
                self.step(at, Input::Propose(vec![name]));
                self.flush(at)?;
            }
            Action::Read(at) => {
                self.bounds.reads -= 1;
                self.ghost.read_floor = Some(Index(self.ghost.committed.len() as u64));
                self.step(at, Input::Read(vec![ReadId(1)]));
                self.flush(at)?;
            }
        }
        self.sync_followers()?;
        self.forget_dead_answers();
        self.check()
    }

    fn step(&mut self, at: usize, input: Input) {
        // What a core refuses changes nothing, and the state is found to be an old one.
        let _ = self.cores[at].step(input);
    }

    /// Takes a packet off its link.
    fn take(&mut self, link: Link, at: usize) -> Vec<Envelope> {
        let Some(packets) = self.links.get_mut(&link) else { return Vec::new() };
        let packet = packets.remove(at).unwrap_or_default();
        if packets.is_empty() {
            self.links.remove(&link);
        }
        packet
    }

    fn deliver(&mut self, link: Link, at: usize) -> Result<(), String> {
        let to = link.1.0 as usize - 1;
        for envelope in self.take(link, at) {
            self.step(to, Input::Receive(envelope));
        }
        self.flush(to)
    }

    fn sync(&mut self, at: usize) -> Result<(), String> {
        let Some((persist, held)) = self.disks[at].queue.pop_front() else { return Ok(()) };
        units(&persist).for_each(|unit| self.disks[at].write(&unit));
        self.send(held);
        self.step(at, Input::Durable(persist.id));
        self.flush(at)
    }

    /// While no crash can come any more, a follower's slow disk is the same as a slow answer: it is not explored twice.
    fn sync_followers(&mut self) -> Result<(), String> {
        for at in 0..self.cores.len() {
            while self.bounds.crashes == 0
                && self.cores[at].role() == RoleState::Follower
                && !self.disks[at].queue.is_empty()
            {
                self.sync(at)?;
            }
        }
        Ok(())
    }

    fn crash(&mut self, at: usize, kept: usize) -> Result<(), String> {
        self.bounds.crashes -= 1;
        let disk = &mut self.disks[at];
        let queue = std::mem::take(&mut disk.queue);
        for unit in queue.iter().flat_map(|(persist, _)| units(persist)).take(kept) {
            disk.write(&unit);
        }
        let boot = Boot(self.cores[at].config().boot.0 + 1);
        let recovered =
            Recovered { hard_state: disk.hard, entries: disk.log.clone(), ..Recovered::default() };
        let config = config(self.cores[at].id().0, boot);
        self.cores[at] = Core::new(config, recovered).map_err(|error| format!("does not start: {error}"))?;
        if self.ghost.read_floor.is_some() && self.cores.iter().all(|core| core.role() != RoleState::Leader) {
            self.ghost.read_floor = None;
        }
        self.flush(at)
    }

    /// Ends a node's turn: queues what the disk has to hold, sends what may be sent, applies what is committed.
    fn flush(&mut self, at: usize) -> Result<(), String> {
        let mut output = Output::default();
        loop {
            self.cores[at].flush(&mut output);
            let mut now = std::mem::take(&mut output.send_now);
            if let Some(persist) = output.persist.take() {
                self.disks[at].queue.push_back((persist, Vec::new()));
            }
            for Held { after, envelope } in output.send_after_persist.drain(..) {
                match self.disks[at].queue.iter_mut().find(|(persist, _)| persist.id == after) {
                    Some((_, held)) => held.push(envelope),
                    None => now.push(envelope),
                }
            }
            self.send(now);
            for event in &output.events {
                if let Event::Role(RoleEdge::WinElection, term) = event {
                    self.won(at, *term)?;
                }
            }
            for ready in &output.reads_ready {
                let floor = self.ghost.read_floor.take().unwrap_or_default();
                if ready.index < floor {
                    return Err(format!(
                        "R1: a read got index {}, and {floor} was committed before",
                        ready.index
                    ));
                }
            }
            if !output.reads_refused.is_empty() {
                self.ghost.read_floor = None;
            }
            let Some(last) = output.apply.last().map(|committed| committed.id.index) else { return Ok(()) };
            for committed in &output.apply {
                self.committed(committed.id, self.cores[at].term())?;
            }
            self.step(at, Input::Applied(last));
        }
    }

    /// Messages of one turn to one peer are one packet.
    fn send(&mut self, envelopes: Vec<Envelope>) {
        let mut packets: BTreeMap<NodeId, Vec<Envelope>> = BTreeMap::new();
        for envelope in envelopes {
            packets.entry(envelope.to).or_default().push(envelope);
        }
        for (to, packet) in packets {
            self.links.entry((packet[0].from, to)).or_default().push_back(packet);
        }
    }

    /// Drops answers that can do nothing any more, wherever they arrive: without them, more states are the same.
    fn forget_dead_answers(&mut self) {
        if P::BUG.is_some() {
            return; // With a bug they might do something.
        }
        let cores = &self.cores;
        let alive = |envelope: &Envelope| {
            let to = &cores[envelope.to.0 as usize - 1];
            let role = to.role();
            let current = envelope.term == to.term();
            let answers = match &envelope.message {
                // No role is taken twice in one term, but that of a pre-candidate.
                Message::VoteReply { .. } => current && role == RoleState::Candidate,
                Message::PreVoteReply { asked, .. } => *asked == to.term().next(),
                Message::AppendAck { .. } | Message::AppendReject { .. } | Message::HeartbeatAck { .. } => {
                    current && role == RoleState::Leader
                }
                Message::Notice => false,
                Message::PreVote { .. }
                | Message::Vote { .. }
                | Message::Append { .. }
                | Message::Heartbeat { .. }
                | Message::ReadIndex { .. }
                | Message::ReadIndexReply { .. }
                | Message::TimeoutNow { .. }
                | Message::SnapshotChunk { .. }
                | Message::SnapshotAck { .. }
                | Message::SnapshotReject { .. } => true,
            };
            answers || envelope.term > to.term()
        };
        for packets in self.links.values_mut() {
            packets.iter_mut().for_each(|packet| packet.retain(alive));
            packets.retain(|packet| !packet.is_empty());
        }
        self.links.retain(|_, packets| !packets.is_empty());
    }

    /// S1 Election Safety and S5 Leader Completeness, at every election.
    fn won(&mut self, at: usize, term: Term) -> Result<(), String> {
        let id = self.cores[at].id();
        if let Some(other) = self.ghost.leaders.insert(term, id).filter(|other| *other != id) {
            return Err(format!("S1: {other} and {id} both led term {term}"));
        }
        for ((of, known), index) in self.ghost.committed.iter().zip(1..) {
            if *known < term && self.cores[at].term_at(Index(index)) != Some(*of) {
                return Err(format!("S5: {id} leads term {term} without {index}@{of}, which was committed"));
            }
        }
        Ok(())
    }

    /// S6 State Machine Safety and S8: what is committed is the same everywhere, and on a majority of disks.
    fn committed(&mut self, id: EntryId, known: Term) -> Result<(), String> {
        let at = id.index.0 as usize - 1;
        match self.ghost.committed.get(at) {
            Some((term, _)) if *term == id.term => return Ok(()),
            Some((term, _)) => {
                return Err(format!("S6: {id} is applied where {}@{term} was committed", id.index));
            }
            None => self.ghost.committed.push((id.term, known)),
        }
        let holds = |disk: &&Disk| disk.log.get(at).is_some_and(|entry| entry.term == id.term);
        let durable = self.disks.iter().filter(holds).count();
        if 2 * durable > self.disks.len() {
            Ok(())
        } else {
            Err(format!("S8: {id} is committed and on {durable} of {} disks", self.disks.len()))
        }
    }

    /// What is true of each core at every moment.
    fn check(&self) -> Result<(), String> {
        for core in &self.cores {
            if P::BUG.is_none() {
                invariants::check(core);
            }
            // A commit index that outran what was ever handed out shows itself there.
            let commit = core.commit().0 as usize;
            if commit > self.ghost.committed.len() {
                return Err(format!(
                    "S6: {} takes {commit} for committed, which nobody committed",
                    core.id()
                ));
            }
        }
        Ok(())
    }

    /// The state in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let cores: String = self.cores.iter().map(Core::describe).collect();
        let queued = |disk: &Disk| disk.queue.back().map_or(PersistId(0), |(persist, _)| persist.id);
        let disks: Vec<PersistId> = self.disks.iter().map(queued).collect();
        format!(
            "{cores}on their way to the disks up to {disks:?}, packets {}\n",
            self.links.values().flatten().count()
        )
    }
}
