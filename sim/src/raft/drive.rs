//! Runs seeds: each twice, on some threads, with a result that does not depend on how many.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use holdfast_raft::Bug;

use super::tally::{Outcome, Tally};
use super::world::World;
use crate::plants::{Planted, chosen};
use crate::raft::probes::Probe;
use holdfast_machine::Numbered;

/// Seeds that failed once. They always run.
const REGRESSIONS: &str = include_str!("../../regressions/raft.txt");

/// Violations after which nothing new is begun.
const VIOLATIONS_MAX: usize = 5;

/// A run of so many seeds has to reach every probe and every edge.
pub const SEEDS_TO_REACH_ALL: u64 = 5_000;

/// At most one core in so many may be one that could not go on: such a run shows nothing of liveness.
const CORES_PER_IMPOSSIBLE: u64 = 20;

/// Lines of a trace that are shown of a failing seed; `--trace` shows all.
const LINES_SHOWN: usize = 60;

/// The seeds of the file of regressions: one on each line, before what it once showed.
#[must_use]
pub fn regressions() -> Vec<u64> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|seed| seed.parse().ok()).collect()
}

/// One run of one seed, with a rule left out or as designed.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>, traced: bool) -> Outcome {
    let lived = || World::new(seed, bug, traced).run();
    match bug {
        None => lived(),
        Some(bug) => chosen(Planted::Raft(bug), lived),
    }
}

/// What a seed came to.
#[derive(Debug)]
struct Done {
    outcome: Outcome,
    /// A second run did something else.
    nondeterministic: bool,
}

fn run_twice(seed: u64) -> Done {
    let outcome = run(seed, None, false);
    let again = run(seed, None, false);
    let nondeterministic = again.hash != outcome.hash || again.tally != outcome.tally;
    Done { outcome, nondeterministic }
}

/// What all seeds came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Seeds of the file of regressions, which ran besides those that were asked for.
    pub regressions: u64,
    /// What they add up to.
    pub tally: Tally,
    /// Seeds with a violation, in order.
    pub failed: Vec<Outcome>,
    /// Seeds that did something else when they were run again.
    pub nondeterministic: Vec<u64>,
}

/// Runs the regressions and then `count` seeds from `start` on, each twice.
#[must_use]
pub fn run_all(start: u64, count: u64, threads: usize) -> Report {
    let seeds: Vec<u64> = regressions().into_iter().chain(start..start.saturating_add(count)).collect();
    let next = AtomicU64::new(0);
    let done: Mutex<(Report, BTreeMap<u64, Outcome>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(at as usize) else { break };
                    let Done { outcome, nondeterministic } = run_twice(*seed);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    let (report, failed) = &mut *done;
                    report.tally.add(&outcome.tally);
                    if nondeterministic {
                        report.nondeterministic.push(*seed);
                    }
                    if outcome.violation.is_some() {
                        failed.insert(at, outcome);
                    }
                    if failed.len() >= VIOLATIONS_MAX {
                        break;
                    }
                }
            });
        }
    });
    let (mut report, failed) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.regressions = regressions().len() as u64;
    report.failed = failed.into_values().collect();
    report.nondeterministic.sort_unstable();
    report
}

impl Report {
    /// Whether there is nothing wrong, and everything was reached that has to be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let reached = self.tally.seeds < SEEDS_TO_REACH_ALL || self.tally.missing().is_empty();
        let void = self.tally.impossible * CORES_PER_IMPOSSIBLE > self.tally.cores.max(CORES_PER_IMPOSSIBLE);
        self.failed.is_empty() && self.nondeterministic.is_empty() && reached && !void
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let tally = &self.tally;
        format!(
            "seeds={} events={} elections={} crashes={} partitions={} snapshots={} membership_changes={} reads={} \
             probes_hit={}/{} violations={} nondeterministic={}",
            tally.seeds - self.regressions,
            tally.events,
            tally.elections,
            tally.crashes,
            tally.partitions,
            tally.snapshots,
            tally.membership_changes,
            tally.reads,
            tally.probes.reached(),
            Probe::ALL.len(),
            self.failed.len(),
            self.nondeterministic.len()
        )
    }

    /// What else there is to say.
    #[must_use]
    pub fn details(&self) -> String {
        let tally = &self.tally;
        format!(
            "regressions={} commits={} simulated_hours={:.1} cores={} impossible={}",
            self.regressions,
            tally.commits,
            tally.simulated as f64 / 3.6e9,
            tally.cores,
            tally.impossible
        )
    }
}

/// The command that runs a seed again, with everything it does.
#[must_use]
pub fn replay_command(seed: u64, bug: Option<Bug>) -> String {
    let plant = bug.map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
    format!("cargo run --release -p holdfast-sim -- raft --seed {seed} --trace{plant}")
}

/// A failing seed for people: what is wrong, how to see it again, and the last lines of its trace.
#[must_use]
pub fn story(failed: &Outcome, bug: Option<Bug>, all_lines: bool) -> String {
    let traced = run(failed.seed, bug, true);
    let skip = if all_lines { 0 } else { traced.lines.len().saturating_sub(LINES_SHOWN) };
    let mut text = String::new();
    for line in &traced.lines[skip..] {
        let _ = writeln!(text, "{line}");
    }
    if let Some(violation) = &failed.violation {
        let at = failed.at as f64 / 1e6;
        let _ = writeln!(text, "VIOLATION seed {} at {at:.6} s: {}", failed.seed, violation.property);
        let _ = writeln!(text, "  {}", violation.what);
    }
    let _ = writeln!(text, "  {}", replay_command(failed.seed, bug));
    text
}
