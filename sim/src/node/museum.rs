//! The museum of whole nodes: rules left out of them one at a time, and the standard simulator that has to find each.
//!
//! Nothing here is told what is planted: a bug is found when a run of the usual seeds violates a property.
//!
//! Shown are the rules whose loss it was seen to notice ([`SHOWN`]). All others that can be left out ([`Planted::all`]) are hunted by
//! name, and wait for a workload or a check that notices; those of core, store and hub are shown by the tests of their own part.

use holdfast_server::node::plant::Bug as N;
use holdfast_store::Bug as S;

use super::drive::run;
use super::tally::Outcome;
use crate::plants::Planted;

/// Within so many seeds a bug has to be found.
pub const SEEDS_MAX: u64 = 200;

/// What is planted in whole nodes when nobody names a bug.
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

/// What became of one bug.
#[derive(Debug)]
pub struct Hunt {
    /// The bug.
    pub bug: Planted,
    /// Seeds that were run, the one that found it included.
    pub seeds: u64,
    /// What found it.
    pub found: Option<Outcome>,
}

/// Runs seeds with this bug until a property is violated.
#[must_use]
pub fn hunt(bug: Planted, seeds_max: u64) -> Hunt {
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
            format!("{:<34} seeds={:<6} {}: {what}", hunt.bug, hunt.seeds, violation.property)
        }
        None => format!("{:<34} NOT FOUND in {} seeds", hunt.bug, hunt.seeds),
    }
}
