//! The museum: historical bugs, planted one at a time in the real core, and the standard simulator that has to find them.
//!
//! Nothing here is told what is planted: a bug is found when a run of the usual seeds violates a property.

use holdfast_machine::Numbered;
use holdfast_raft::Bug;

use super::drive::run;
use super::tally::Outcome;

/// Within so many seeds a bug has to be found.
pub const SEEDS_MAX: u64 = 10_000;

/// What became of one bug.
#[derive(Debug)]
pub struct Hunt {
    /// The bug.
    pub bug: Bug,
    /// Seeds that were run, the one that found it included.
    pub seeds: u64,
    /// What found it.
    pub found: Option<Outcome>,
}

/// The bug of this name.
#[must_use]
pub fn named(name: &str) -> Option<Bug> {
    Bug::ALL.iter().copied().find(|bug| bug.name() == name)
}

/// Runs seeds with this bug until a property is violated.
#[must_use]
pub fn hunt(bug: Bug, seeds_max: u64) -> Hunt {
    for seed in 1..=seeds_max {
        let outcome = run(seed, Some(bug), false);
        if outcome.violation.is_some() {
            return Hunt { bug, seeds: seed, found: Some(outcome) };
        }
    }
    Hunt { bug, seeds: seeds_max, found: None }
}

/// The line of one bug.
#[must_use]
pub fn line(hunt: &Hunt) -> String {
    let violation = hunt.found.as_ref().and_then(|outcome| outcome.violation.as_ref());
    match violation {
        Some(violation) => {
            let what = violation.what.lines().next().unwrap_or_default();
            format!("{:<30} seeds={:<6} {}: {what}", hunt.bug.label(), hunt.seeds, violation.property)
        }
        None => format!("{:<30} NOT FOUND in {} seeds", hunt.bug.label(), hunt.seeds),
    }
}

/// The last line.
#[must_use]
pub fn summary(hunts: &[Hunt]) -> String {
    let found = hunts.iter().filter(|hunt| hunt.found.is_some()).count();
    let mut seeds: Vec<u64> = hunts.iter().map(|hunt| hunt.seeds).collect();
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).copied().unwrap_or_default();
    format!("planted={} found={found} median_seeds={median}", hunts.len())
}
