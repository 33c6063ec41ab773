//! The ghost: what is true of the whole cluster and its whole history, kept beside the nodes and compared after each event.
//!
//! It believes nothing of what the cores say about themselves. Of each log it keeps its own copy as a chain of hashes, of
//! each disk it looks at what is durable there, of each message it knows when it was made. Names of properties are those of
//! the catalogue in `reliability.md`, section 3.
//!
//! | file | properties |
//! |---|---|
//! | `logs` | S3 leader append only, S4 log matching, S7 committed immutable, D2 no phantom |
//! | `elections` | S1 election safety, S5 leader completeness, M4 who is elected, F12 and F18 stickiness and quorum |
//! | `commits` | S6 state machine safety, S8 and S9 durable on a quorum, S12 own term |
//! | `electable` | M1b electable, S11 more up to date |
//! | `configurations` | M1 quorum overlap, M2 one at a time, M3 the acting one, M4 ids |
//! | `order` | S10 monotone, matches that never go back |
//! | `promises` | S2 vote once, nothing is said before it is durable, damage and lost hard states |
//! | `envelopes` | identity: other boots, unlisted senders, lower terms; R3 `TimeoutNow` |
//! | `reads` | R1 fresh, R2 applied |
//! | `durability` | D1 nothing acknowledged is lost, D3 what is recovered, snapshots whole |

mod commits;
mod configurations;
mod durability;
mod electable;
mod elections;
mod envelopes;
mod logs;
mod order;
mod promises;
mod reads;
mod shadow;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_raft::{Boot, Configuration, EntryId, Index, NodeId, Payload, Term};

use super::heard::Heard;
use super::machine::{configuration_hash, digest, payload_hash};
use super::node::Node;
use super::probes::Probe;
use super::queue::Micros;
use super::rng::mix;
use super::swarm::{NODES_MAX, Swarm};
use super::under_test::View;
use crate::probes::Probes;

pub use shadow::{Known, Shadow};

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name in the catalogue.
    pub property: &'static str,
    /// What is wrong.
    pub what: String,
}

/// Whether everything holds.
pub type Verdict = Result<(), Violation>;

/// Returns the violation of a property unless the condition holds. The text is made only then.
macro_rules! holds {
    ($condition:expr, $property:literal, $($what:tt)+) => {
        if !$condition {
            return Err($crate::raft::ghost::Violation { property: $property, what: format!($($what)+) });
        }
    };
}
pub(crate) use holds;

/// A committed entry.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// The term in which it was written.
    pub term: Term,
    /// The hash of what it carries.
    pub payload: u64,
    /// The hash of the log up to and with it.
    pub chain: u64,
    /// The hash of the state once it is applied.
    pub digest: u64,
    /// The lowest term in which a leader committed it, as far as that was seen.
    pub committed_in: Term,
}

/// A step that was taken, and what went before it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Which node.
    pub node: usize,
    /// What it showed before.
    pub before: View,
    /// What it was told.
    pub heard: Heard,
}

/// Everything that is known of the cluster.
#[derive(Debug)]
pub struct Ghost {
    /// Now.
    pub now: Micros,
    /// Each node's log and what belongs to it.
    pub shadows: Vec<Shadow>,
    /// Committed entries by index; the one at zero stands before the first.
    pub facts: Vec<Fact>,
    /// The committed configurations, by index.
    pub configurations: Vec<(Index, Arc<Configuration>)>,
    /// The last entries that leaders committed by counting, in order. What is before each is committed with it.
    pub counted: Vec<EntryId>,
    /// Who led in which term.
    pub leaders: BTreeMap<Term, (NodeId, Boot)>,
    /// Every entry that ever stood in a log, by index: term and chain.
    written: Vec<Vec<Known>>,
    /// Commands that were proposed are numbered up to here.
    pub commands: u64,
    /// Where each command was first written.
    placed: BTreeMap<u64, EntryId>,
    /// Pairs of consecutive configurations whose quorums were found to overlap.
    overlapping: BTreeSet<(u64, u64)>,
    /// Which directory each id has, in any configuration.
    uuids: BTreeMap<NodeId, [u8; 16]>,
    /// Changes of members that somebody asked for; the others leaders began themselves.
    pub asked_for: BTreeSet<EntryId>,
    /// To whom an office was handed over last, and in which term.
    pub handed_over: Option<(NodeId, Term)>,
    /// What was reached.
    pub probes: Probes<Probe>,
    /// Leaders' elections.
    pub elections: u64,
    /// Changes of members that were committed.
    pub membership_changes: u64,
    /// Reads that were served.
    pub reads: u64,
    /// Election timeout in ticks.
    election_ticks: u64,
    disk_stall_ticks: u64,
}

impl Ghost {
    /// The truth about a new cluster: one committed entry, on these nodes.
    #[must_use]
    pub fn new(swarm: &Swarm, initial: &Arc<Configuration>) -> Self {
        let payload = payload_hash(&Payload::Configuration(initial.clone()));
        let nothing = Fact { term: Term(0), payload: 0, chain: 0, digest: 0, committed_in: Term(0) };
        let known = Known::behind(0, Term(1), payload);
        let first = Fact {
            term: Term(1),
            payload,
            chain: known.chain,
            digest: digest(0, Index(1), payload),
            committed_in: Term(1),
        };
        let uuids = initial.members().iter().map(|(id, member)| (*id, member.uuid.0)).collect();
        Self {
            now: 0,
            shadows: Vec::new(),
            facts: vec![nothing, first],
            configurations: vec![(Index(0), Arc::default()), (Index(1), initial.clone())],
            counted: vec![EntryId::new(1, 1)],
            leaders: BTreeMap::new(),
            written: vec![vec![], vec![known]],
            commands: 0,
            placed: BTreeMap::new(),
            overlapping: BTreeSet::new(),
            uuids,
            asked_for: BTreeSet::new(),
            handed_over: None,
            probes: Probes::default(),
            elections: 0,
            membership_changes: 0,
            reads: 0,
            election_ticks: u64::from(swarm.limits.election_ticks),
            disk_stall_ticks: u64::from(swarm.limits.disk_stall_ticks),
        }
    }

    /// How far anything is committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        Index(self.facts.len() as u64 - 1)
    }

    /// What names the last committed entry.
    #[must_use]
    pub fn commit_id(&self) -> EntryId {
        EntryId { term: self.facts[self.facts.len() - 1].term, index: self.commit() }
    }

    /// The committed entry at this index.
    #[must_use]
    pub fn fact(&self, index: Index) -> Option<&Fact> {
        self.facts.get(index.0 as usize)
    }

    /// The committed configuration in force at this index.
    #[must_use]
    pub fn configuration_at(&self, index: Index) -> &(Index, Arc<Configuration>) {
        let behind = self.configurations.partition_point(|(at, _)| *at <= index);
        &self.configurations[behind.max(1) - 1]
    }

    /// Whether this boot of a node was the leader of the term that it is in, also if it has left the office in it.
    fn led(&self, node: &Node) -> bool {
        self.leaders.get(&node.view.term) == Some(&(node.id, node.boot))
    }

    /// A node exists from now on.
    pub fn add_node(&mut self, node: &Node) {
        self.shadows.push(Shadow::new());
        debug_assert!(self.shadows.len() <= NODES_MAX);
        debug_assert_eq!(self.shadows.len() as u64, node.id.0);
        self.read_disk(node);
    }

    /// After a step of a node: everything that one node's step can break.
    ///
    /// # Errors
    /// The first property that does not hold.
    pub fn after_step(&mut self, nodes: &[Node], step: &Step) -> Verdict {
        let node = &nodes[step.node];
        let after = node.view;
        self.judge_envelope(node, step)?;
        self.judge_order(node, step)?;
        self.judge_role(nodes, step)?;
        let acting_before = self.shadows[step.node].acting().1.clone();
        let moved = after.last != step.before.last || after.prev != step.before.prev;
        let commits = after.commit != step.before.commit;
        // A leader commits what it has, and may append the end of a joint configuration upon that; a follower appends first.
        let commits_first = commits && after.commit <= step.before.last.index && self.led(node);
        if commits_first {
            self.judge_commit(nodes, step, &acting_before)?;
        }
        if moved {
            self.follow_log(nodes, step)?;
        }
        self.judge_acting(node, moved)?;
        if commits && !commits_first {
            self.judge_commit(nodes, step, &acting_before)?;
        }
        if moved || after.term != step.before.term {
            self.judge_electable(nodes, step.node)?;
        }
        self.judge_own_durability(node)
    }
}

/// The name of a pair of consecutive configurations.
fn pair(before: &Configuration, next: &Configuration) -> (u64, u64) {
    (configuration_hash(before), configuration_hash(next))
}

/// A hash of what is true now, for the comparison of two runs.
#[must_use]
pub fn fingerprint(view: &View) -> u64 {
    let ids = mix(mix(view.term.0, view.last.term.0), view.last.index.0);
    let marks = mix(mix(view.commit.0, view.applied.0), view.prev.index.0 << 1 | u64::from(view.leads()));
    mix(ids, marks)
}

/// The place of a node among the nodes.
#[must_use]
pub fn place(id: NodeId) -> usize {
    (id.0 as usize).wrapping_sub(1)
}

/// Counts a state that only a look at several nodes shows.
pub(crate) fn note_two_leaders(nodes: &[Node], probes: &mut Probes<Probe>) {
    let leaders = nodes.iter().filter(|node| node.leads()).count();
    probes.hit_if(leaders > 1, Probe::TwoLeaders);
}
