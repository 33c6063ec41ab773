//! Each property, broken on purpose by a puppet in the place of a core: a check that never failed may check nothing.

mod deciding;
mod speaking;
mod storing;

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_raft::{
    Boot, Configuration, DropCause, Entry, EntryId, HardState, Index, Input, NodeId, Output, Payload,
    Refusal, RoleState, Term,
};

use super::{Ghost, Step, Verdict};
use crate::raft::clients::member;
use crate::raft::disk::{Disk, Slot};
use crate::raft::heard::{Heard, Letter, What};
use crate::raft::machine::command;
use crate::raft::node::Node;
use crate::raft::swarm::Swarm;
use crate::raft::under_test::{Peer, UnderTest, View};

/// A core that shows whatever a test wants it to.
#[derive(Clone, Debug)]
struct Puppet {
    view: View,
    /// From index 1 on.
    entries: Vec<Entry>,
    configuration: Arc<Configuration>,
    peers: BTreeMap<NodeId, Peer>,
    covered: Index,
    drops: u64,
}

impl UnderTest for Puppet {
    fn step(&mut self, _: Input) -> Result<Option<EntryId>, Refusal> {
        Ok(None)
    }

    fn flush(&mut self, _: &mut Output) {}

    fn view(&self) -> View {
        self.view
    }

    fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get((index.0 as usize).checked_sub(1)?)
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        if index.0 == 0 { Some(Term(0)) } else { self.entry(index).map(|entry| entry.term) }
    }

    fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    fn peer(&self, id: NodeId) -> Option<Peer> {
        self.peers.get(&id).copied()
    }

    fn drops(&self, cause: DropCause) -> u64 {
        if cause == DropCause::StaleSender { self.drops } else { 0 }
    }

    fn covered(&self) -> Index {
        self.covered
    }

    fn check(&self) {}

    fn describe(&self) -> String {
        String::new()
    }
}

impl Puppet {
    /// An entry at the end of the log in memory.
    fn append(&mut self, term: u64, payload: Payload) {
        if let Payload::Configuration(configuration) = &payload {
            self.configuration = configuration.clone();
            self.view.acting = Index(self.entries.len() as u64 + 1);
        }
        self.entries.push(Entry { term: Term(term), payload });
        self.view.last = EntryId::new(term, self.entries.len() as u64);
    }

    /// Drops what is behind this index.
    fn cut(&mut self, keep: u64) {
        self.entries.truncate(keep as usize);
        let term = self.entries.last().map_or(Term(0), |entry| entry.term);
        self.view.last = EntryId { term, index: Index(keep) };
    }
}

/// Nodes with puppets, and the ghost that watches them.
struct Stage {
    ghost: Ghost,
    nodes: Vec<Node>,
    puppets: Vec<Puppet>,
}

impl Stage {
    /// A formed cluster of so many voters.
    fn new(count: u64) -> Self {
        let swarm = Swarm::draw(1);
        let ids = (1..=count).map(NodeId);
        let initial = Arc::new(Configuration::initial(ids.map(|id| (id, member(&swarm, id, false)))));
        let ghost = Ghost::new(&swarm, &initial);
        let mut stage = Self { ghost, nodes: Vec::new(), puppets: Vec::new() };
        let first = Entry { term: Term(1), payload: Payload::Configuration(initial.clone()) };
        for id in 1..=count {
            let disk = Disk::new(HardState { term: Term(1), vote: None }, vec![first.clone()]);
            let mut node = Node::new(NodeId(id), disk);
            stage.ghost.add_node(&node);
            let view = View { last: EntryId::new(1, 1), durable: Index(1), acting: Index(1), ..node.view };
            let puppet = Puppet {
                view,
                entries: vec![first.clone()],
                configuration: initial.clone(),
                peers: BTreeMap::new(),
                covered: Index(0),
                drops: 0,
            };
            (node.boot, node.view) = (Boot(1), view);
            node.core = Some(Box::new(puppet.clone()));
            stage.nodes.push(node);
            stage.puppets.push(puppet);
        }
        for node in &stage.nodes {
            assert_eq!(stage.ghost.judge_start(node), Ok(()));
        }
        stage
    }

    /// A step of a node (counted from 1), after which its core shows what `change` makes of it.
    fn hears(&mut self, id: usize, heard: Heard, change: impl FnOnce(&mut Puppet)) -> Verdict {
        let at = id - 1;
        let before = self.nodes[at].view;
        change(&mut self.puppets[at]);
        self.nodes[at].core = Some(Box::new(self.puppets[at].clone()));
        self.nodes[at].view = self.puppets[at].view;
        self.ghost.after_step(&self.nodes, &Step { node: at, before, heard })
    }

    fn step(&mut self, id: usize, change: impl FnOnce(&mut Puppet)) -> Verdict {
        self.hears(id, Heard::Other, change)
    }

    /// A durable vote.
    fn vote(&mut self, voter: usize, term: u64, candidate: u64) -> Verdict {
        let hard_state = HardState { term: Term(term), vote: Some(NodeId(candidate)) };
        self.ghost.judge_hard_state(&self.nodes[voter - 1], hard_state)?;
        self.nodes[voter - 1].disk.hard_state = hard_state;
        Ok(())
    }

    /// A node wins an election, by the votes of these.
    fn elect(&mut self, id: usize, term: u64, voters: &[usize]) -> Verdict {
        for voter in voters {
            self.vote(*voter, term, id as u64)?;
        }
        self.step(id, |puppet| {
            (puppet.view.term, puppet.view.role) = (Term(term), RoleState::Leader);
            puppet.view.leader = Some(NodeId(id as u64));
        })
    }

    /// A node follows somebody in a term.
    fn follow(&mut self, id: usize, term: u64, leader: u64) -> Verdict {
        self.step(id, |puppet| {
            (puppet.view.term, puppet.view.role) = (Term(term), RoleState::Follower);
            puppet.view.leader = Some(NodeId(leader));
        })
    }

    /// An entry stands at the end of these nodes' logs, and is durable there. The first is its leader.
    fn append(&mut self, ids: &[usize], term: u64, payload: &Payload) -> Verdict {
        for id in ids {
            self.step(*id, |puppet| puppet.append(term, payload.clone()))?;
            let entry = Entry { term: Term(term), payload: payload.clone() };
            self.nodes[*id - 1].disk.slots.push(Slot::Whole(entry));
        }
        Ok(())
    }

    /// A node commits.
    fn commit(&mut self, id: usize, index: u64) -> Verdict {
        self.step(id, |puppet| puppet.view.commit = Index(index))
    }

    /// The next command.
    fn command(&mut self) -> Payload {
        self.ghost.commands += 1;
        Payload::Data(command(self.ghost.commands - 1, 12))
    }

    /// Node 1 leads in term 2 and has committed its first entry, which nodes 1 and 2 hold.
    fn with_leader() -> Self {
        let mut stage = Self::new(3);
        assert_eq!(stage.elect(1, 2, &[1, 2]), Ok(()));
        assert_eq!(stage.follow(2, 2, 1), Ok(()));
        assert_eq!(stage.append(&[1, 2], 2, &Payload::Empty), Ok(()));
        assert_eq!(stage.commit(1, 2), Ok(()));
        stage
    }
}

/// A message from a node in its first boot to one in its first boot.
fn letter(from: u64, term: u64, what: What) -> Letter {
    Letter {
        from: NodeId(from),
        from_boot: Boot(1),
        to_boot: Some(Boot(1)),
        term: Term(term),
        made: 0,
        replayed: false,
        what,
    }
}

/// That exactly this property is violated.
#[track_caller]
fn violates(verdict: Verdict, property: &str) {
    match verdict {
        Ok(()) => panic!("{property} was not checked"),
        Err(violation) => assert_eq!(violation.property, property, "{}", violation.what),
    }
}
