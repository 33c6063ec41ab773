//! The exploration finds what is planted: a net that never caught anything proves nothing.

use holdfast_raft::{Bug, NoPlant, Plant};
use holdfast_sim::model::scenarios::{SCENARIOS, Scenario};
use holdfast_sim::model::{Bounds, explore};

/// Far more than any of these needs, and few enough for an unoptimised build.
const STATES_MAX: u64 = 60_000;

macro_rules! planted {
    ($($name:ident = $bug:ident),+) => { $(
        #[derive(Clone, Copy, Debug)]
        struct $name;
        impl Plant for $name {
            const BUG: Option<Bug> = Some(Bug::$bug);
        }
    )+ };
}

planted!(TwoVotes = VotesTwice, EarlyAck = AckBeforeSync, Unsynced = LeaderCountsUnsynced);

fn scenario(name: &str) -> Bounds {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.map(|Scenario { bounds, .. }| *bounds).expect("a scenario of this name")
}

fn violation<P: Plant + Sync>(bounds: Bounds) -> String {
    let found = explore::<P>(bounds, STATES_MAX, 2);
    found.violation.map(|(what, _)| what).unwrap_or_else(|| format!("nothing in {} states", found.states))
}

#[test]
fn a_voter_that_votes_twice_gives_a_term_two_leaders() {
    assert!(violation::<TwoVotes>(scenario("rivals")).starts_with("S1"));
}

#[test]
fn an_acknowledgement_before_the_sync_commits_what_no_majority_has() {
    assert!(violation::<EarlyAck>(scenario("entry-crash")).starts_with("S8"));
}

#[test]
fn a_leader_that_counts_what_its_disk_lacks_commits_what_no_majority_has() {
    assert!(violation::<Unsynced>(scenario("entry-crash")).starts_with("S8"));
}

#[test]
fn the_same_bounds_lead_to_the_same_states_on_any_number_of_threads() {
    let bounds = Bounds { timeouts: 1, entries: 0, crashes: 0, drops: 0, ..scenario("entry-crash") };
    let [one, three] = [1, 3].map(|threads| explore::<NoPlant>(bounds, STATES_MAX, threads));
    assert_eq!((one.states, one.steps, one.depth), (three.states, three.steps, three.depth));
    assert!(one.fixpoint && one.violation.is_none(), "{:?}", one.violation);
    assert!(one.states > 1000, "an election has more states than {}", one.states);
}
