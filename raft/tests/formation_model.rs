//! Formation against every order of events: two and three nodes, to the fixpoint.
//!
//! # The model
//! Nodes run the real [`Formation`]. The network is a *set* of everything ever said that can still be of use: delivering a
//! message leaves it there. So a message may come late, in any order, any number of times, or never, and what was said by
//! a process or a directory that is gone is still under way. A disk holds what was persisted before, or what is being
//! persisted, and a crash at any moment leaves either. A wipe is a crash that leaves an empty directory.
//!
//! Two reductions, neither of which hides a state of a node:
//! - An input that only makes a node say something is always given at once. The set grows, and a larger set allows all
//!   that a smaller one does.
//! - What is addressed to a life that is over is left out, once the node it is for has dropped it. So are the questions of
//!   a life that is over: they bring answers that are addressed to it, and at most begin another life of who is asked, which
//!   loses what is under way to that node; and all of that may be lost anyway.
//!
//! # What is checked in every state
//! Safety: see [`Explorer::check`]. Liveness: see [`Explorer::settle`].

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use bytes::Bytes;
use holdfast_machine::Numbered;
use holdfast_raft::formation::{
    Body, DropCause, Edge, Formation, FormationConfig, FormationInput, FormationMessage, IdentityState,
    MemberList, Mint, Seed, State, StopReason,
};
use holdfast_raft::{ClusterId, NodeId};

/// A node: its disk, its process, and what waits for its disk.
#[derive(Clone)]
struct Node {
    disk: IdentityState,
    persisting: Option<IdentityState>,
    held: Vec<FormationMessage>,
    /// How often its process was started: names its seed.
    starts: u8,
    process: Formation,
}

/// A node, a message, by number. Equal ones have one number, so a state of the world is a few of them.
type NodeNumber = u32;
type MessageNumber = u16;

/// A directory that was lost while it was not blank: whose, what it was, and in which cluster.
type Lost = (usize, State, ClusterId);

/// A state of the world.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    nodes: Vec<NodeNumber>,
    said: BTreeSet<MessageNumber>,
    lost: BTreeSet<Lost>,
    crashes: u8,
    wipes: u8,
}

/// What an input does to a node.
#[derive(Clone)]
struct Transition {
    to: NodeNumber,
    says: Rc<[MessageNumber]>,
}

struct Explorer {
    list: MemberList,
    nodes: Vec<Node>,
    node_numbers: HashMap<u128, NodeNumber>,
    messages: Vec<FormationMessage>,
    message_numbers: HashMap<FormationMessage, MessageNumber>,
    /// By node, and by input: a tick, and then each message.
    transitions: Vec<Vec<Option<Transition>>>,
    syncs: HashMap<NodeNumber, Transition>,
    /// Whether a node drops a message that is meant for another life.
    drops: HashMap<(NodeNumber, MessageNumber), bool>,
    settled: HashMap<(Vec<NodeNumber>, BTreeSet<Lost>), ()>,
    edges: BTreeSet<Edge>,
    ends: BTreeSet<String>,
}

/// 128 bits of something: two of them are equal only if what they are made from is, for all practical purposes.
fn digest(what: &impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        what.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

impl Explorer {
    fn new(count: u64) -> Self {
        let members = (1..=count).map(|id| (NodeId(id), Bytes::from(format!("node{id}:7001"))));
        Self {
            list: MemberList::new(members).unwrap(),
            nodes: Vec::new(),
            node_numbers: HashMap::new(),
            messages: Vec::new(),
            message_numbers: HashMap::new(),
            transitions: Vec::new(),
            syncs: HashMap::new(),
            drops: HashMap::new(),
            settled: HashMap::new(),
            edges: BTreeSet::new(),
            ends: BTreeSet::new(),
        }
    }

    fn id(at: usize) -> NodeId {
        NodeId(at as u64 + 1)
    }

    fn seed(at: usize, starts: u8) -> Seed {
        let mut seed = [0; 16];
        (seed[0], seed[1]) = (at as u8 + 1, starts);
        Seed(seed)
    }

    fn start(&mut self, at: usize, disk: IdentityState, starts: u8) -> NodeNumber {
        let config = FormationConfig {
            id: Self::id(at),
            members: self.list.clone(),
            seed: Self::seed(at, starts),
            ask_ticks: 1,
        };
        let process = Formation::new(config, disk.clone()).expect("the file is this node's");
        self.number(at, Node { disk, persisting: None, held: Vec::new(), starts, process })
    }

    fn number(&mut self, at: usize, node: Node) -> NodeNumber {
        let key = (at, &node.disk, &node.persisting, &node.held, node.starts, node.process.canonical());
        match self.node_numbers.entry(digest(&key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                self.nodes.push(node);
                self.transitions.push(Vec::new());
                *place.insert(self.nodes.len() as NodeNumber - 1)
            }
        }
    }

    fn message(&mut self, message: FormationMessage) -> MessageNumber {
        let next = MessageNumber::try_from(self.messages.len()).expect("few messages");
        *self.message_numbers.entry(message.clone()).or_insert_with(|| {
            self.messages.push(message);
            next
        })
    }

    /// What is said is durable at who says it.
    fn check_said(disk: &IdentityState, message: &FormationMessage) {
        match &message.body {
            Body::Ask => {}
            Body::Answer { identity, .. } => assert_eq!(identity, disk, "said and not durable"),
            Body::Prepare { mint, .. } => {
                assert_eq!(*disk, IdentityState::Minted(mint.clone()), "demanded and not durable");
            }
        }
    }

    fn says(&mut self, disk: &IdentityState, messages: Vec<FormationMessage>) -> Rc<[MessageNumber]> {
        messages.iter().for_each(|message| Self::check_said(disk, message));
        messages.into_iter().map(|message| self.message(message)).collect()
    }

    /// Gives a node a message, or a tick.
    fn step(&mut self, at: usize, from: NodeNumber, input: Option<MessageNumber>) -> Transition {
        let (row, column) = (from as usize, input.map_or(0, |message| usize::from(message) + 1));
        if let Some(Some(known)) = self.transitions[row].get(column) {
            return known.clone();
        }
        let mut node = self.nodes[from as usize].clone();
        let out = node.process.step(match input {
            None => FormationInput::Tick,
            Some(message) => FormationInput::Message(self.messages[usize::from(message)].clone()),
        });
        self.edges.extend(node.process.trace().steps().map(|step| step.edge));
        if out.persist.is_some() {
            assert_eq!(node.persisting, None, "one persist at a time");
            node.persisting.clone_from(&out.persist);
            node.held = out.send_after_persist;
        } else {
            assert!(out.send_after_persist.is_empty(), "nothing to wait for");
        }
        let says = self.says(&node.disk.clone(), out.send_now);
        let transition = Transition { to: self.number(at, node), says };
        let row = &mut self.transitions[row];
        row.resize(row.len().max(column + 1), None);
        row[column] = Some(transition.clone());
        transition
    }

    /// The disk has what it was given; the process hears of it, and what waited is said.
    fn sync(&mut self, at: usize, from: NodeNumber) -> Option<Transition> {
        let mut node = self.nodes[from as usize].clone();
        node.disk = node.persisting.take()?;
        if let Some(known) = self.syncs.get(&from) {
            return Some(known.clone());
        }
        let held = std::mem::take(&mut node.held);
        let mut says = held;
        let out = node.process.step(FormationInput::Durable);
        self.edges.extend(node.process.trace().steps().map(|step| step.edge));
        says.extend(out.send_now);
        let says = self.says(&node.disk.clone(), says);
        (node.persisting, node.held) = (out.persist, out.send_after_persist);
        let transition = Transition { to: self.number(at, node), says };
        self.syncs.insert(from, transition.clone());
        Some(transition)
    }

    /// Lets this be said, and gives every input that makes a node only say something, until nothing new is said. In what
    /// was a closed world only the node at `changed` has changed, so the others have said all else already.
    fn close(&mut self, world: &mut World, changed: usize, says: &[MessageNumber]) {
        let inputs = self.inputs(world, changed);
        let mut queue: Vec<(usize, Option<MessageNumber>)> =
            inputs.into_iter().map(|input| (changed, input)).collect();
        let mut says = says.to_vec();
        loop {
            for message in says.drain(..) {
                let to = self.messages[usize::from(message)].to.0 as usize - 1;
                if self.is_of_use(world, message) && world.said.insert(message) {
                    queue.push((to, Some(message)));
                }
            }
            let Some((at, input)) = queue.pop() else { return };
            let node = world.nodes[at];
            let transition = self.step(at, node, input);
            if transition.to == node {
                says.extend_from_slice(&transition.says);
            }
        }
    }

    /// A tick, and all messages for this node.
    fn inputs(&self, world: &World, at: usize) -> Vec<Option<MessageNumber>> {
        let mut inputs = vec![None];
        let said = world.said.iter().copied();
        inputs.extend(said.filter(|said| self.messages[usize::from(*said)].to == Self::id(at)).map(Some));
        inputs
    }

    /// Every world that one event makes of this one.
    fn successors(&mut self, world: &World, crashes: u8, wipes: u8) -> Vec<World> {
        let mut next = Vec::new();
        for at in 0..world.nodes.len() {
            let from = world.nodes[at];
            for input in self.inputs(world, at) {
                let transition = self.step(at, from, input);
                if transition.to != from {
                    next.push(self.after(world, at, &transition));
                }
            }
            if let Some(transition) = self.sync(at, from) {
                next.push(self.after(world, at, &transition));
            }
            let node = &self.nodes[from as usize];
            for disk in [Some(node.disk.clone()), node.persisting.clone()].into_iter().flatten() {
                if world.wipes < wipes {
                    let mut wiped = self.restart(world, at, IdentityState::Blank);
                    wiped.wipes += 1;
                    wiped.lost.extend(disk.mint().map(|mint| (at, disk.state(), mint.cluster())));
                    next.push(wiped);
                }
                if world.crashes < crashes {
                    let mut crashed = self.restart(world, at, disk);
                    crashed.crashes += 1;
                    next.push(crashed);
                }
            }
        }
        next
    }

    /// The world after one node has changed.
    fn after(&mut self, world: &World, at: usize, Transition { to, says }: &Transition) -> World {
        let (before, after) = (&self.nodes[world.nodes[at] as usize], &self.nodes[*to as usize]);
        if let IdentityState::Formed(_) = before.disk {
            assert_eq!(before.disk, after.disk, "formed is for ever");
        }
        let mut world = world.clone();
        world.nodes[at] = *to;
        if after.process.life() != before.process.life() {
            self.bury(&mut world);
        }
        self.close(&mut world, at, says);
        world
    }

    /// The world after a process ended and another began, with this on its disk.
    fn restart(&mut self, world: &World, at: usize, disk: IdentityState) -> World {
        let mut world = world.clone();
        let old = &self.nodes[world.nodes[at] as usize];
        let starts = old.starts + 1;
        world.nodes[at] = self.start(at, disk, starts);
        self.bury(&mut world);
        self.close(&mut world, at, &[]);
        world
    }

    /// Whether something can come of a message: not if it is a question of a life that is over, and not if it is addressed to
    /// one and the node it is for really drops it.
    fn is_of_use(&mut self, world: &World, message: MessageNumber) -> bool {
        let FormationMessage { from, life, to, ref body, .. } = self.messages[usize::from(message)];
        let present = |id: NodeId| world.nodes[id.0 as usize - 1];
        let life_of = |node: NodeNumber| self.nodes[node as usize].process.life();
        match body {
            Body::Ask => life == life_of(present(from)),
            Body::Answer { to_life, .. } | Body::Prepare { to_life, .. } => {
                let node = present(to);
                *to_life == life_of(node)
                    || !*self.drops.entry((node, message)).or_insert_with(|| {
                        let mut process = self.nodes[node as usize].process.clone();
                        let dropped = |process: &Formation| {
                            process.dropped(DropCause::OtherLife) + process.dropped(DropCause::Stopped)
                        };
                        let before = dropped(&process);
                        process.step(FormationInput::Message(self.messages[usize::from(message)].clone()));
                        dropped(&process) > before
                    })
            }
        }
    }

    /// Leaves out what is of no use any more.
    fn bury(&mut self, world: &mut World) {
        let said = std::mem::take(&mut world.said);
        world.said = said.into_iter().filter(|message| self.is_of_use(world, *message)).collect();
    }

    /// Safety, in one world.
    fn check(&self, world: &World) {
        let nodes = world.nodes.iter().map(|number| &self.nodes[*number as usize]);
        let mut formed: Option<&Mint> = None;
        for (at, node) in nodes.enumerate() {
            let lowest = at == 0;
            match (&node.disk, &node.process.stopped()) {
                (IdentityState::Formed(mint), None) => {
                    assert_eq!(formed.unwrap_or(mint), mint, "two clusters of one list");
                    formed = Some(mint);
                }
                (IdentityState::Formed(_), Some(_)) => panic!("nothing stops a formed node"),
                (IdentityState::Minted(_), _) => assert!(lowest, "only the lowest id mints"),
                (IdentityState::Prepared(_), _) => {
                    assert!(!lowest, "the lowest id prepares nobody but others");
                }
                (IdentityState::Blank, _) => {}
            }
            if let Some(acts) = node.process.formed() {
                assert_eq!(node.disk.state(), State::Formed, "acts and is not durable");
                let again = world.lost.contains(&(at, State::Formed, acts.cluster));
                assert!(!again, "acts under a uuid under which a lost directory acted");
                assert_eq!(acts.members.len(), world.nodes.len());
                assert!(acts.members.iter().any(|(id, uuid, _)| *id == Self::id(at) && *uuid == acts.uuid));
            }
        }
    }

    /// Liveness: from here on nothing crashes, what was under way is lost, and what is said from now on comes through. (The
    /// worlds after some of what was under way came are reached too, and settled from there.) Each node that stopped is
    /// started once more, because what stopped it may be over.
    ///
    /// 1. Nobody waits for ever: in the end everybody is formed, or somebody is and all others have stopped and said why.
    /// 2. Everybody is formed, unless a directory was lost that can be counted on somewhere: one that was formed; or one
    ///    that was prepared, of the mint that the lowest id still holds.
    /// 3. Who stops as wiped has lost a directory that was not blank. Nobody stops as superseded unless the
    ///    lowest id and another node have both lost directories formed in the cluster that is superseded.
    fn settle(&mut self, world: &World) {
        let key = (world.nodes.clone(), world.lost.clone());
        if self.settled.insert(key, ()).is_some() {
            return;
        }
        let held_by_lowest = |explorer: &Self| {
            let lowest = &explorer.nodes[world.nodes[0] as usize];
            let mints = [Some(&lowest.disk), lowest.persisting.as_ref()];
            mints.into_iter().flatten().filter_map(IdentityState::mint).map(Mint::cluster).collect::<Vec<_>>()
        };
        let counted_on = held_by_lowest(self);
        let harmless = world.lost.iter().all(|(_, state, cluster)| match state {
            State::Blank | State::Minted => true,
            State::Prepared => !counted_on.contains(cluster),
            State::Formed | State::Stopped => false,
        });
        let mut now = world.clone();
        now.said.clear();
        self.run(&mut now);
        for at in 0..now.nodes.len() {
            let node = self.nodes[now.nodes[at] as usize].clone();
            if node.process.stopped().is_some() {
                now = self.restart(&now, at, node.disk);
            }
        }
        self.run(&mut now);
        let ends: Vec<Node> = now.nodes.iter().map(|number| self.nodes[*number as usize].clone()).collect();
        let formed = ends.iter().filter(|node| node.process.formed().is_some()).count();
        assert!(formed == ends.len() || !harmless, "no directory of use was lost, and not all are formed");
        assert!(formed > 0, "nobody is formed");
        for (at, node) in ends.iter().enumerate().filter(|(_, node)| node.process.formed().is_none()) {
            match node.process.stopped() {
                None => panic!("a node waits for ever in {}", node.process.state().label()),
                Some(StopReason::WipedDirectory { .. }) => {
                    assert!(
                        world.lost.iter().any(|(whose, ..)| *whose == at),
                        "accused of a loss that never was"
                    );
                }
                Some(StopReason::Superseded { cluster, .. }) => {
                    let lost_formed = |lowest| {
                        let mut lost = world.lost.iter();
                        lost.any(|&(at, state, of)| {
                            (at == 0) == lowest && (state, of) == (State::Formed, *cluster)
                        })
                    };
                    assert!(
                        lost_formed(true) && lost_formed(false),
                        "superseded by the loss of one directory"
                    );
                }
                Some(reason @ (StopReason::OldCopy { .. } | StopReason::ListMismatch { .. })) => {
                    panic!("no copies and no other lists here: {reason}")
                }
            }
        }
        self.check(&now);
        let mut letters: Vec<&str> = Vec::new();
        for node in &ends {
            letters.push(match node.process.stopped() {
                None => "formed",
                Some(StopReason::WipedDirectory { .. }) => "wiped",
                Some(StopReason::Superseded { .. }) => "superseded",
                Some(StopReason::OldCopy { .. } | StopReason::ListMismatch { .. }) => "other",
            });
        }
        self.ends.insert(letters.join(" "));
    }

    /// Rounds in which everybody ticks and every message of the round comes through, until nothing changes any more.
    fn run(&mut self, world: &mut World) {
        for _ in 0..20 {
            let before = world.nodes.clone();
            let mut queue: Vec<(usize, Option<MessageNumber>)> =
                (0..world.nodes.len()).map(|at| (at, None)).collect();
            let mut next = 0;
            while let Some((at, input)) = queue.get(next).copied() {
                next += 1;
                let transition = self.step(at, world.nodes[at], input);
                world.nodes[at] = transition.to;
                let mut said = transition.says.to_vec();
                while let Some(transition) = self.sync(at, world.nodes[at]) {
                    world.nodes[at] = transition.to;
                    said.extend_from_slice(&transition.says);
                }
                for message in said {
                    let to = self.messages[usize::from(message)].to;
                    queue.push((to.0 as usize - 1, Some(message)));
                }
                assert!(queue.len() < 1000, "it never ends");
            }
            if world.nodes == before {
                return;
            }
        }
        panic!("it never settles");
    }

    /// All worlds that so many crashes and wipes can make, to the fixpoint. The number of worlds.
    fn explore(&mut self, crashes: u8, wipes: u8) -> usize {
        let count = self.list.members().len();
        let nodes = (0..count).map(|at| self.start(at, IdentityState::Blank, 0)).collect();
        let mut first = World { nodes, said: BTreeSet::new(), lost: BTreeSet::new(), crashes: 0, wipes: 0 };
        for at in 0..count {
            self.close(&mut first, at, &[]);
        }
        let mut seen = HashSet::from([digest(&first)]);
        let mut level = vec![first];
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for world in level {
                self.check(&world);
                self.settle(&world);
                for next in self.successors(&world, crashes, wipes) {
                    if seen.insert(digest(&next)) {
                        next_level.push(next);
                    }
                }
            }
            level = next_level;
        }
        seen.len()
    }
}

/// Explores, shows what was seen, and compares how formations end: a word for each node, in order of ids.
fn explore(count: u64, crashes: u8, wipes: u8, ends: &[&str]) -> BTreeSet<Edge> {
    let mut explorer = Explorer::new(count);
    let worlds = explorer.explore(crashes, wipes);
    println!(
        "nodes={count} crashes={crashes} wipes={wipes} worlds={worlds} states_of_nodes={} messages={} fixpoint=true",
        explorer.nodes.len(),
        explorer.messages.len(),
    );
    assert_eq!(explorer.ends.iter().map(String::as_str).collect::<Vec<_>>(), ends);
    explorer.edges
}

#[test]
fn one_node_forms_a_cluster_of_itself_whatever_is_lost() {
    assert_eq!(explore(1, 2, 2, &["formed"]), BTreeSet::from([Edge::Mint, Edge::FormFirst]));
}

#[test]
fn two_nodes_form_one_cluster_or_say_who_lost_a_directory() {
    let ends = ["formed formed", "formed wiped", "wiped formed"];
    for (crashes, wipes) in [(2, 1), (1, 2), (0, 3)] {
        explore(2, crashes, wipes, &ends);
    }
}

#[test]
fn nodes_that_lose_no_directory_always_form_one_cluster() {
    for (nodes, ends) in [(2, "formed formed"), (3, "formed formed formed")] {
        explore(nodes, 2, 0, &[ends]);
    }
}

#[test]
fn three_nodes_of_which_one_lost_its_directory_leave_two_that_are_formed() {
    explore(
        3,
        1,
        1,
        &["formed formed formed", "formed formed wiped", "formed wiped formed", "wiped formed formed"],
    );
}

#[test]
fn three_nodes_that_lose_two_directories_never_form_two_clusters() {
    let edges = explore(
        3,
        0,
        2,
        &[
            "formed formed formed",
            "formed formed wiped",
            "formed wiped formed",
            "formed wiped wiped",
            "wiped formed formed",
            "wiped formed superseded",
            "wiped formed wiped",
            "wiped superseded formed",
            "wiped wiped formed",
        ],
    );
    // The others need an old copy, or another list.
    let unseen: Vec<Edge> = Edge::ALL.iter().copied().filter(|edge| !edges.contains(edge)).collect();
    assert_eq!(unseen, [Edge::StopOldCopy, Edge::StopMismatch]);
}

#[test]
#[ignore = "minutes; prints what a larger world comes to: DEEPER=nodes,crashes,wipes"]
fn deeper() {
    let shape = std::env::var("DEEPER").unwrap_or("3,1,2".into());
    let numbers: Vec<u8> = shape.split(',').map(|number| number.parse().unwrap()).collect();
    let mut explorer = Explorer::new(numbers[0].into());
    let worlds = explorer.explore(numbers[1], numbers[2]);
    println!("nodes,crashes,wipes={shape} worlds={worlds} fixpoint=true ends={:#?}", explorer.ends);
}
