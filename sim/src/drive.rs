//! Runs the seeds of a simulator: each twice, on some threads, with a result that does not depend on how many.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::plants::{Planted, chosen};
use crate::raft::ghost::Violation;

/// Violations after which nothing new is begun.
const VIOLATIONS_MAX: usize = 5;

/// Lines of a trace that are shown of a failing seed; `--trace` shows all.
const LINES_SHOWN: usize = 60;

/// A simulator whose runs follow from a seed.
pub trait Simulation: Debug {
    /// What its runs add up to.
    type Tally: Tally;
    /// Its command.
    const NAME: &'static str;
    /// Seeds that failed once, which always run: one on each line, before what it once showed.
    const REGRESSIONS: &'static str;
    /// A run of so many seeds has to reach everything that [`Tally::missing`] looks for.
    const SEEDS_TO_REACH_ALL: u64;

    /// One run. With `planted`, the thread has chosen the rule that is left out.
    fn live(seed: u64, planted: Option<Planted>, traced: bool) -> Outcome<Self::Tally>;
    /// How its command line calls a bug.
    fn name_of(planted: Planted) -> String;
    /// The last line: `seeds` were asked for, and `wrong` says how much was.
    fn summary(tally: &Self::Tally, seeds: u64, wrong: &str) -> String;
    /// What else there is to say.
    fn details(tally: &Self::Tally) -> String;
}

/// What runs add up to.
pub trait Tally: Clone + Debug + Default + PartialEq + Send {
    /// Adds another run's.
    fn add(&mut self, other: &Self);
    /// Of so many runs, too many showed nothing.
    fn is_void(&self, runs: u64) -> bool;
    /// What was never reached.
    fn missing(&self) -> Vec<String>;
    /// How often everything was reached.
    fn coverage(&self) -> String;
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub hash: u64,
    /// What it did.
    pub tally: T,
    /// What is wrong, if anything is.
    pub violation: Option<Violation>,
    /// When it ended, in simulated microseconds.
    pub at: u64,
    /// What happened, if it was asked for.
    pub lines: Vec<String>,
}

/// What all seeds came to.
#[derive(Debug)]
pub struct Report<S: Simulation> {
    /// How many seeds ran.
    pub runs: u64,
    /// Those of them that are of the file of regressions, and ran besides those that were asked for.
    pub regressions: u64,
    /// What they add up to.
    pub tally: S::Tally,
    /// Seeds with a violation, in order.
    pub failed: Vec<Outcome<S::Tally>>,
    /// Seeds that did something else when they were run again.
    pub nondeterministic: Vec<u64>,
}

/// The seeds of the file of regressions.
#[must_use]
pub fn regressions<S: Simulation>() -> Vec<u64> {
    let lines = S::REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|seed| seed.parse().ok()).collect()
}

/// One run of one seed, with a rule left out or as designed. A panic of the product is a violation.
#[must_use]
pub fn run<S: Simulation>(seed: u64, planted: Option<Planted>, traced: bool) -> Outcome<S::Tally> {
    let live = || S::live(seed, planted, traced);
    let lived = catch_unwind(AssertUnwindSafe(|| match planted {
        None => live(),
        Some(bug) => chosen(bug, live),
    }));
    lived.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = said.unwrap_or_else(|| "a panic without words".to_owned());
        let violation = Some(Violation { property: "panic", what });
        Outcome { seed, hash: 0, tally: S::Tally::default(), violation, at: 0, lines: Vec::new() }
    })
}

/// Runs the regressions and then `count` seeds from `start` on, each twice.
#[must_use]
pub fn run_all<S: Simulation>(start: u64, count: u64, threads: usize) -> Report<S> {
    let regressions = regressions::<S>();
    let seeds: Vec<u64> = regressions.iter().copied().chain(start..start.saturating_add(count)).collect();
    let next = AtomicU64::new(0);
    let done = Mutex::new((0, S::Tally::default(), BTreeMap::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(at as usize) else { break };
                    let (outcome, again) = (run::<S>(*seed, None, false), run::<S>(*seed, None, false));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    let (runs, tally, failed, nondeterministic) = &mut *done;
                    *runs += 1;
                    tally.add(&outcome.tally);
                    if again.hash != outcome.hash || again.tally != outcome.tally {
                        nondeterministic.push(*seed);
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
    let (runs, tally, failed, mut nondeterministic) =
        done.into_inner().unwrap_or_else(PoisonError::into_inner);
    nondeterministic.sort_unstable();
    let regressions = regressions.len() as u64;
    Report { runs, regressions, tally, failed: failed.into_values().collect(), nondeterministic }
}

impl<S: Simulation> Report<S> {
    /// Whether there is nothing wrong, and everything was reached that has to be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let reached = self.runs < S::SEEDS_TO_REACH_ALL || self.tally.missing().is_empty();
        self.failed.is_empty()
            && self.nondeterministic.is_empty()
            && reached
            && !self.tally.is_void(self.runs)
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let (violations, nondeterministic) = (self.failed.len(), self.nondeterministic.len());
        let wrong = format!("violations={violations} nondeterministic={nondeterministic}");
        S::summary(&self.tally, self.runs - self.regressions, &wrong)
    }

    /// What else there is to say.
    #[must_use]
    pub fn details(&self) -> String {
        format!("regressions={} {}", self.regressions, S::details(&self.tally))
    }
}

/// The command that runs a seed again, with everything it does.
#[must_use]
pub fn replay_command<S: Simulation>(seed: u64, planted: Option<Planted>) -> String {
    let plant = planted.map_or(String::new(), |bug| format!(" --bug {}", S::name_of(bug)));
    format!("cargo run --release -p holdfast-sim -- {} --seed {seed} --trace{plant}", S::NAME)
}

/// A failing seed for people: what is wrong, how to see it again, and the last lines of its trace.
#[must_use]
pub fn story<S: Simulation>(failed: &Outcome<S::Tally>, planted: Option<Planted>, all_lines: bool) -> String {
    let traced = run::<S>(failed.seed, planted, true);
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
    let _ = writeln!(text, "  {}", replay_command::<S>(failed.seed, planted));
    text
}

/// What became of one bug of the museum.
#[derive(Debug)]
pub struct Hunt<T> {
    /// The bug.
    pub bug: Planted,
    /// Seeds that were run, the one that found it included.
    pub seeds: u64,
    /// What found it.
    pub found: Option<Outcome<T>>,
}

/// Runs seeds without this rule until a property is violated. Nothing in a run is told what is planted.
#[must_use]
pub fn hunt<S: Simulation>(bug: Planted, seeds_max: u64) -> Hunt<S::Tally> {
    for seed in 1..=seeds_max {
        let outcome = run::<S>(seed, Some(bug), false);
        if outcome.violation.is_some() {
            return Hunt { bug, seeds: seed, found: Some(outcome) };
        }
    }
    Hunt { bug, seeds: seeds_max, found: None }
}

impl<T> Hunt<T> {
    /// A line of the museum.
    #[must_use]
    pub fn line(&self) -> String {
        let (bug, seeds) = (self.bug, self.seeds);
        let violation = self.found.as_ref().and_then(|outcome| outcome.violation.as_ref());
        match violation {
            Some(violation) => {
                let what = violation.what.lines().next().unwrap_or_default();
                format!("{bug:<36} seeds={seeds:<6} {}: {what}", violation.property)
            }
            None => format!("{bug:<36} NOT FOUND in {seeds} seeds"),
        }
    }
}
