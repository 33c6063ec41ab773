//! What runs add up to.

use std::collections::BTreeMap;

use holdfast_client::Outcome as Fate;
use holdfast_command::Code;
use holdfast_machine::Numbered;
use holdfast_raft::RoleEdge;
use holdfast_server::node::leadership;

use super::probes::Probe;
use crate::probes::Probes;

/// What runs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs in which too little was answered to show anything.
    pub void: u64,
    /// Things that happened.
    pub events: u64,
    /// Simulated time, in microseconds.
    pub simulated: u64,
    /// Calls of clients that ended, however they did.
    pub ops: u64,
    /// Those of them that were answered and not refused.
    pub answered: u64,
    /// Revisions that watches were told.
    pub events_told: u64,
    /// Processes that ended by a crash or a power cut.
    pub crashes: u64,
    /// Processes that ended by themselves because a disk failed.
    pub fail_stops: u64,
    /// Partitions.
    pub partitions: u64,
    /// Snapshots that replaced a state.
    pub snapshots: u64,
    /// Snapshots that were taken.
    pub snapshots_taken: u64,
    /// Changes of members that were carried out.
    pub membership_changes: u64,
    /// Files that were damaged.
    pub damages: u64,
    /// Logs that were repaired from peers.
    pub repairs: u64,
    /// Elections won.
    pub elections: u64,
    /// Runs in which only a core was healed at first.
    pub cores: u64,
    /// Histories that the independent checker found linearizable.
    pub searched: u64,
    /// Histories that the independent checker could not decide within its bound.
    pub undecided: u64,
    /// Errors by code, for people.
    pub errors: BTreeMap<String, u64>,
    /// Deep states.
    pub probes: Probes<Probe>,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.void += other.void;
        self.events += other.events;
        self.simulated += other.simulated;
        self.ops += other.ops;
        self.answered += other.answered;
        self.events_told += other.events_told;
        self.crashes += other.crashes;
        self.fail_stops += other.fail_stops;
        self.partitions += other.partitions;
        self.snapshots += other.snapshots;
        self.snapshots_taken += other.snapshots_taken;
        self.membership_changes += other.membership_changes;
        self.damages += other.damages;
        self.repairs += other.repairs;
        self.elections += other.elections;
        self.cores += other.cores;
        self.searched += other.searched;
        self.undecided += other.undecided;
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.probes.add(&other.probes);
    }

    /// A node took an edge of its role.
    pub fn note_role(&mut self, edge: RoleEdge) {
        self.elections += u64::from(edge == RoleEdge::WinElection);
    }

    /// A node took an edge of its leadership.
    pub fn note_leadership(&mut self, edge: leadership::Edge) {
        self.probes.hit_if(edge == leadership::Edge::Revoke, Probe::LeadershipRevoked);
    }

    /// A call of a client failed.
    pub fn note_error(&mut self, error: &holdfast_client::Error) {
        let code = error.code.map_or_else(|| format!("{:?}", error.kind), Numbered::label);
        *self.errors.entry(code).or_default() += 1;
        self.probes.hit_if(error.outcome == Fate::Unknown, Probe::OutcomeUnknown);
        if let Some(code) = error.code {
            let session = matches!(code, Code::UnknownSession | Code::AppliedReplyDropped);
            self.probes.hit_if(session, Probe::SessionTrouble);
            self.probes.hit_if(code == Code::Overloaded, Probe::Overloaded);
            self.probes.hit_if(code == Code::Compacted, Probe::Compacted);
        }
    }
}

/// How a run ended.
pub type Outcome = crate::drive::Outcome<Tally>;
