//! The simulator of whole nodes, as what [`drive`](crate::drive) runs; and the bugs of its museum.

use holdfast_server::node::plant::{AsDesigned, Bug as N};
use holdfast_store::Bug as S;

use super::tally::{Outcome, Tally};
use super::world::World;
use crate::drive::Simulation;
use crate::plants::{Chosen, Planted};

/// Whole nodes.
#[derive(Clone, Copy, Debug)]
pub struct Nodes;

impl Simulation for Nodes {
    type Tally = Tally;
    const NAME: &'static str = "node";
    const REGRESSIONS: &'static str = include_str!("../../regressions/node.txt");
    const SEEDS_TO_REACH_ALL: u64 = 1_000;

    fn live(seed: u64, planted: Option<Planted>, traced: bool) -> Outcome {
        match planted {
            None => World::<AsDesigned>::new(seed, traced).run(),
            Some(_) => World::<Chosen>::new(seed, traced).run(),
        }
    }

    fn name_of(planted: Planted) -> String {
        planted.to_string()
    }

    fn summary(tally: &Tally, seeds: u64, wrong: &str) -> String {
        format!(
            "seeds={seeds} sim_hours={:.1} ops={} crashes={} partitions={} snapshots={} membership_changes={} repairs={} \
             probes_hit={} {wrong} void={}",
            tally.simulated as f64 / 3.6e9,
            tally.ops,
            tally.crashes,
            tally.partitions,
            tally.snapshots,
            tally.membership_changes,
            tally.repairs,
            tally.probes.reached(),
            tally.void
        )
    }

    fn details(tally: &Tally) -> String {
        format!(
            "events={} answered={} events_told={} elections={} snapshots_taken={} fail_stops={} damages={} cores={} \
             searched={} undecided={}",
            tally.events,
            tally.answered,
            tally.events_told,
            tally.elections,
            tally.snapshots_taken,
            tally.fail_stops,
            tally.damages,
            tally.cores,
            tally.searched,
            tally.undecided
        )
    }
}

impl crate::drive::Tally for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn is_void(&self, runs: u64) -> bool {
        self.void * 100 >= runs.max(100)
    }

    fn missing(&self) -> Vec<String> {
        self.probes.missing().collect()
    }

    fn coverage(&self) -> String {
        let errors = self.errors.iter().map(|(error, count)| format!("{count:>10}  error {error}\n"));
        self.probes.coverage().chain(errors).collect()
    }
}

/// What is planted in whole nodes when nobody names a bug: the rules whose loss `node` was seen to notice. All others that can be
/// left out ([`Planted::all`]) are hunted by name, and wait for a workload or a check that notices; those of core, store and hub
/// are shown by the tests of their own part.
pub const SHOWN: &[Planted] = &[
    Planted::Store(S::VersionNotReset),
    Planted::Store(S::CapFromNode),
    Planted::Store(S::RefusalForgotten),
    Planted::Store(S::TokenRepeats),
    Planted::Store(S::LeaseByWallClock),
    Planted::Store(S::SessionsMissingFromSnapshot),
    Planted::Store(S::ValueNotInDigest),
    Planted::Node(N::AnsweredWhenAppended),
    Planted::Node(N::AnsweredAtOwnSync),
    Planted::Node(N::FollowerReadsUnconfirmed),
    Planted::Node(N::ReadBeforeApplied),
    Planted::Node(N::PositionIgnored),
    Planted::Node(N::StaleBoundIgnored),
    Planted::Node(N::FreshFromHeartbeat),
    Planted::Node(N::DeposedSaysNotApplied),
    Planted::Node(N::TimeoutSaysNotApplied),
    Planted::Node(N::AnsweredByIndex),
    Planted::Node(N::RenewalNotReplicated),
    Planted::Node(N::HeldSentAtOnce),
    Planted::Node(N::DurableWhenGiven),
    Planted::Node(N::SnapshotBeforeAudit),
    Planted::Node(N::UrgentOvertakes),
    Planted::Node(N::NewsFromLeaderOnly),
];
