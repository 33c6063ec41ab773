//! The simulator of the core, as what [`drive`](crate::drive) runs.

use holdfast_machine::Numbered;

use super::tally::{Outcome, Tally};
use super::world::World;
use crate::drive::Simulation;
use crate::plants::Planted;

/// At most one core in so many may be one that could not go on: such a run shows nothing of liveness.
const CORES_PER_IMPOSSIBLE: u64 = 20;

/// Clusters of the core.
#[derive(Clone, Copy, Debug)]
pub struct Cores;

impl Simulation for Cores {
    type Tally = Tally;
    const NAME: &'static str = "raft";
    const REGRESSIONS: &'static str = include_str!("../../regressions/raft.txt");
    const SEEDS_TO_REACH_ALL: u64 = 5_000;

    fn live(seed: u64, planted: Option<Planted>, traced: bool) -> Outcome {
        let bug = planted.and_then(|planted| match planted {
            Planted::Raft(bug) => Some(bug),
            Planted::Store(_) | Planted::Watch(_) | Planted::Node(_) => None,
        });
        World::new(seed, bug, traced).run()
    }

    fn name_of(planted: Planted) -> String {
        match planted {
            Planted::Raft(bug) => bug.name().to_owned(),
            Planted::Store(_) | Planted::Watch(_) | Planted::Node(_) => planted.to_string(),
        }
    }

    fn summary(tally: &Tally, seeds: u64, wrong: &str) -> String {
        format!(
            "seeds={seeds} events={} elections={} crashes={} partitions={} snapshots={} membership_changes={} reads={} \
             probes_hit={} {wrong}",
            tally.events,
            tally.elections,
            tally.crashes,
            tally.partitions,
            tally.snapshots,
            tally.membership_changes,
            tally.reads,
            tally.probes.reached()
        )
    }

    fn details(tally: &Tally) -> String {
        format!(
            "commits={} simulated_hours={:.1} cores={} impossible={}",
            tally.commits,
            tally.simulated as f64 / 3.6e9,
            tally.cores,
            tally.impossible
        )
    }
}

impl crate::drive::Tally for Tally {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }

    fn is_void(&self, _runs: u64) -> bool {
        self.impossible * CORES_PER_IMPOSSIBLE > self.cores.max(CORES_PER_IMPOSSIBLE)
    }

    fn missing(&self) -> Vec<String> {
        let edges = self.edges.report().into_iter().filter(|(.., count)| *count == 0);
        let edges = edges.map(|(machine, edge, _)| format!("machine {machine} {edge}"));
        self.probes.missing().chain(edges).collect()
    }

    fn coverage(&self) -> String {
        let edges = self.edges.report().into_iter();
        let edges = edges.map(|(machine, edge, count)| format!("{count:>10}  machine {machine} {edge}\n"));
        self.probes.coverage().chain(edges).collect()
    }
}
