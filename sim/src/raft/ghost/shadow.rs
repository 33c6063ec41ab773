//! The ghost's own copy of what one node has.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_raft::{Boot, Configuration, EntryId, Index, NodeId, ReadId, Term};

use crate::raft::queue::Micros;
use crate::raft::rng::mix;
use crate::raft::swarm::NODES_MAX;

/// An entry of a log: what it is, and what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its term.
    pub term: Term,
    /// The hash of what it carries.
    pub payload: u64,
    /// The hash of the whole log up to and with it: equal chains are equal logs.
    pub chain: u64,
}

impl Known {
    /// What stands before the first entry.
    pub const ZERO: Self = Self { term: Term(0), payload: 0, chain: 0 };

    /// An entry behind what this chain stands for.
    #[must_use]
    pub fn behind(chain: u64, term: Term, payload: u64) -> Self {
        Self { term, payload, chain: mix(mix(chain, term.0), payload) }
    }
}

/// One node's log, in memory while it runs and durable while it is down, and what it was told.
#[derive(Debug)]
pub struct Shadow {
    /// By index; what a snapshot covers is filled in from what is committed.
    pub log: Vec<Known>,
    /// The configurations of that log.
    pub configurations: Vec<(Index, Arc<Configuration>)>,
    /// The newest boot of each peer that it must have heard of, in this boot.
    pub boots: [Boot; NODES_MAX],
    /// The tick at which a leader last heard each peer.
    pub heard_at: [u64; NODES_MAX],
    /// The tick at which the leader of its term was last heard.
    pub leader_at: Option<u64>,
    /// What each peer acknowledged: in which term of this leader, in which boot of the peer, up to where.
    pub matched: [(Term, Boot, Index); NODES_MAX],
    /// When each peer made the newest answer to a heartbeat of this leader's term.
    pub answered: [(Term, Micros); NODES_MAX],
    /// What it durably voted, by term.
    pub votes: BTreeMap<Term, NodeId>,
    /// Batches of read requests, by peer, boot and number, and when they came.
    pub asked: BTreeMap<(NodeId, Boot, u64), Micros>,
    /// Read indices that came in this turn, and when they were made.
    pub replies: Vec<(Index, Micros)>,
    /// Reads that wait: when they were invoked, and what was committed then.
    pub reads: BTreeMap<ReadId, (Micros, Index)>,
    /// Who said something of a lower term in this turn, and waits for an answer.
    pub owed: Vec<NodeId>,
    /// The configuration that acted when the turn began.
    pub turn_configuration: Option<Arc<Configuration>>,
    /// It had a part in elections when the turn began.
    pub turn_part: bool,
    /// The newest snapshot it ever had.
    pub covered: Index,
    /// The highest term that was ever durable.
    pub durable_term: Term,
    /// It was barred from voting, and its damage healed since.
    pub was_barred: bool,
    /// It joined with an empty disk.
    pub joined: bool,
}

impl Default for Shadow {
    fn default() -> Self {
        Self::new()
    }
}

impl Shadow {
    /// A node that has nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            log: vec![Known::ZERO],
            configurations: vec![(Index(0), Arc::default())],
            boots: [Boot(0); NODES_MAX],
            heard_at: [0; NODES_MAX],
            leader_at: None,
            matched: [(Term(0), Boot(0), Index(0)); NODES_MAX],
            answered: [(Term(0), 0); NODES_MAX],
            votes: BTreeMap::new(),
            asked: BTreeMap::new(),
            replies: Vec::new(),
            reads: BTreeMap::new(),
            owed: Vec::new(),
            turn_configuration: None,
            turn_part: false,
            covered: Index(0),
            durable_term: Term(0),
            was_barred: false,
            joined: false,
        }
    }

    /// The end of the log.
    #[must_use]
    pub fn last(&self) -> EntryId {
        let index = Index(self.log.len() as u64 - 1);
        EntryId { term: self.log[self.log.len() - 1].term, index }
    }

    /// What stands at this index.
    #[must_use]
    pub fn at(&self, index: Index) -> Option<&Known> {
        self.log.get(index.0 as usize)
    }

    /// The configuration that acts by this log: the last one in it.
    #[must_use]
    pub fn acting(&self) -> &(Index, Arc<Configuration>) {
        &self.configurations[self.configurations.len() - 1]
    }

    /// Whether this node, which knows the log to be committed up to here, has a part in elections: it votes by the
    /// configuration that acts; or it did by the one before, and does not know the one that leaves it out to be committed
    /// (dissertation §4.2.2).
    #[must_use]
    pub fn has_part(&self, id: NodeId, commit: Index) -> bool {
        let mut newest = self.configurations.iter().rev();
        let acting = newest.next();
        acting.is_some_and(|(index, acting)| {
            let before = if *index > commit { newest.next() } else { None };
            acting.is_voter(id) || before.is_some_and(|(_, before)| before.is_voter(id))
        })
    }

    /// Drops what is behind this index.
    pub fn cut(&mut self, keep: Index) {
        self.log.truncate(keep.0 as usize + 1);
        self.configurations.retain(|(at, _)| *at <= keep);
    }

    /// The process ended: what only it knew is gone.
    pub fn forget(&mut self) {
        self.boots = [Boot(0); NODES_MAX];
        self.heard_at = [0; NODES_MAX];
        self.leader_at = None;
        self.matched = [(Term(0), Boot(0), Index(0)); NODES_MAX];
        self.answered = [(Term(0), 0); NODES_MAX];
        self.asked.clear();
        self.replies.clear();
        self.reads.clear();
        self.owed.clear();
        self.turn_configuration = None;
    }
}
