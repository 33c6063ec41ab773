//! Runs seeds: each twice, on some threads, with a result that does not depend on how many.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use holdfast_machine::Numbered;
use holdfast_server::node::plant::AsDesigned;

use super::probes::Probe;
use super::tally::{Outcome, Tally};
use super::world::World;
use crate::plants::{Chosen, Planted, chosen};
use crate::raft::ghost::Violation;

/// Seeds that failed once. They always run.
const REGRESSIONS: &str = include_str!("../../regressions/node.txt");

/// Violations after which nothing new is begun.
const VIOLATIONS_MAX: usize = 5;

/// A run of so many seeds has to reach every probe.
pub const SEEDS_TO_REACH_ALL: u64 = 1_000;

/// Lines of a trace that are shown of a failing seed; `--trace` shows all.
const LINES_SHOWN: usize = 60;

/// The seeds of the file of regressions: one on each line, before what it once showed.
#[must_use]
pub fn regressions() -> Vec<u64> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|seed| seed.parse().ok()).collect()
}

/// One run of one seed, with a rule left out or as designed. A panic of the product is a violation.
#[must_use]
pub fn run(seed: u64, planted: Option<Planted>, traced: bool) -> Outcome {
    let lived = catch_unwind(AssertUnwindSafe(|| match planted {
        None => World::<AsDesigned>::new(seed, traced).run(),
        Some(bug) => chosen(bug, || World::<Chosen>::new(seed, traced).run()),
    }));
    lived.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = said.unwrap_or_else(|| "a panic without words".to_owned());
        Outcome {
            seed,
            hash: 0,
            tally: Tally { seeds: 1, ..Tally::default() },
            violation: Some(Violation { property: "panic", what }),
            at: 0,
            lines: Vec::new(),
        }
    })
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
                    let outcome = run(*seed, None, false);
                    let again = run(*seed, None, false);
                    let same = again.hash == outcome.hash && again.tally == outcome.tally;
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    let (report, failed) = &mut *done;
                    report.tally.add(&outcome.tally);
                    if !same {
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
        let void = self.tally.void * 100 >= self.tally.seeds.max(100);
        self.failed.is_empty() && self.nondeterministic.is_empty() && reached && !void
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let tally = &self.tally;
        format!(
            "seeds={} sim_hours={:.1} ops={} crashes={} partitions={} snapshots={} membership_changes={} repairs={} \
             probes_hit={}/{} violations={} nondeterministic={} void={}",
            tally.seeds - self.regressions,
            tally.simulated as f64 / 3.6e9,
            tally.ops,
            tally.crashes,
            tally.partitions,
            tally.snapshots,
            tally.membership_changes,
            tally.repairs,
            tally.probes.reached(),
            Probe::ALL.len(),
            self.failed.len(),
            self.nondeterministic.len(),
            tally.void
        )
    }

    /// What else there is to say.
    #[must_use]
    pub fn details(&self) -> String {
        let tally = &self.tally;
        format!(
            "regressions={} events={} answered={} events_told={} elections={} snapshots_taken={} fail_stops={} damages={} \
             cores={} searched={} undecided={}",
            self.regressions,
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

/// The command that runs a seed again, with everything it does.
#[must_use]
pub fn replay_command(seed: u64, planted: Option<Planted>) -> String {
    let plant = planted.map_or(String::new(), |bug| format!(" --bug {bug}"));
    format!("cargo run --release -p holdfast-sim -- node --seed {seed} --trace{plant}")
}

/// A failing seed for people: what is wrong, how to see it again, and the last lines of its trace.
#[must_use]
pub fn story(failed: &Outcome, planted: Option<Planted>, all_lines: bool) -> String {
    let traced = run(failed.seed, planted, true);
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
    let _ = writeln!(text, "  {}", replay_command(failed.seed, planted));
    text
}
