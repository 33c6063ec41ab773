//! What runs add up to.

use holdfast_machine::Numbered;
use holdfast_raft::{Event, MembershipEdge, ProgressEdge, RoleEdge, TransferEdge};

use super::probes::Probe;
use crate::probes::Probes;

/// How often each edge of the machines 02 to 05 was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges([[u64; 24]; 4]);

impl Edges {
    /// An event of a core.
    pub fn note(&mut self, event: &Event) {
        let (machine, edge) = match event {
            Event::Role(edge, _) => (0, edge.number()),
            Event::Progress(_, edge) => (1, edge.number()),
            Event::Membership(edge, _) => (2, edge.number()),
            Event::Transfer(edge, _) => (3, edge.number()),
            Event::Alarm(..) | Event::HandedOver(_) | Event::TransferGivenUp(_) | Event::Healed(_) => return,
        };
        self.0[machine][usize::from(edge)] += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *sum += count;
        }
    }

    /// Every edge of every machine: machine, label, how often.
    #[must_use]
    pub fn report(&self) -> Vec<(&'static str, String, u64)> {
        fn of<E: Numbered<Number = u8>>(
            machine: &'static str,
            counts: &[u64],
        ) -> Vec<(&'static str, String, u64)> {
            E::ALL.iter().map(|edge| (machine, edge.label(), counts[usize::from(edge.number())])).collect()
        }
        let mut all = of::<RoleEdge>("02", &self.0[0]);
        all.extend(of::<ProgressEdge>("03", &self.0[1]));
        all.extend(of::<MembershipEdge>("04", &self.0[2]));
        all.extend(of::<TransferEdge>("05", &self.0[3]));
        all
    }
}

/// What runs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened: steps of cores, and whatever befell nodes and links.
    pub events: u64,
    /// Elections won.
    pub elections: u64,
    /// Nodes that were started again after a crash.
    pub crashes: u64,
    /// Partitions.
    pub partitions: u64,
    /// Snapshots that were installed.
    pub snapshots: u64,
    /// Changes of members that were committed.
    pub membership_changes: u64,
    /// Reads that were served.
    pub reads: u64,
    /// Commands that were committed.
    pub commits: u64,
    /// Simulated time of all runs, in microseconds.
    pub simulated: u64,
    /// Runs in which only a core was healed, and had to go on.
    pub cores: u64,
    /// Those of them in which it could not.
    pub impossible: u64,
    /// Deep states.
    pub probes: Probes<Probe>,
    /// Edges.
    pub edges: Edges,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.elections += other.elections;
        self.crashes += other.crashes;
        self.partitions += other.partitions;
        self.snapshots += other.snapshots;
        self.membership_changes += other.membership_changes;
        self.reads += other.reads;
        self.commits += other.commits;
        self.simulated += other.simulated;
        self.cores += other.cores;
        self.impossible += other.impossible;
        self.probes.add(&other.probes);
        self.edges.add(&other.edges);
    }
}

/// How a run ended.
pub type Outcome = crate::drive::Outcome<Tally>;
