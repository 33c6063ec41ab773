//! The simulator of the Raft core as a whole: a part of its seeds, that runs repeat, that it would notice, and its command
//! line.

use std::process::{Command, Output};

use holdfast_machine::Numbered;
use holdfast_raft::Bug;
use holdfast_sim::drive::{Hunt, Outcome, hunt, regressions, replay_command, run, run_all, story};
use holdfast_sim::plants::Planted;
use holdfast_sim::raft::drive::Cores;
use holdfast_sim::raft::tally::Tally;

/// Seeds that are run here, where nothing is optimised.
const SEEDS: u64 = 40;

fn simulate(seed: u64, traced: bool) -> Outcome<Tally> {
    run::<Cores>(seed, None, traced)
}

fn seek(bug: Bug) -> Hunt<Tally> {
    hunt::<Cores>(Planted::Raft(bug), 100)
}

fn silent() {
    std::panic::set_hook(Box::new(|_| {}));
}

#[test]
fn some_seeds_find_nothing_and_count_the_same_on_any_number_of_threads() {
    let one = run_all::<Cores>(1, SEEDS, 1);
    let failed: Vec<String> = one.failed.iter().map(|outcome| story::<Cores>(outcome, None, false)).collect();
    assert!(failed.is_empty(), "{}", failed.concat());
    assert_eq!(one.nondeterministic, [0; 0]);
    assert_eq!(one.runs, SEEDS + regressions::<Cores>().len() as u64);
    assert!(one.tally.elections > SEEDS && one.tally.crashes > SEEDS && one.tally.commits > 10 * SEEDS);
    assert_eq!(one.summary(), run_all::<Cores>(1, SEEDS, 2).summary());
}

#[test]
fn a_seed_does_the_same_each_time_traced_or_not_and_another_does_not() {
    let (one, again, traced, other) =
        (simulate(7, false), simulate(7, false), simulate(7, true), simulate(8, false));
    assert_eq!(one, again);
    assert_eq!((one.hash, &one.tally), (traced.hash, &traced.tally));
    assert_ne!(one.hash, other.hash);
    assert!(one.lines.is_empty() && traced.lines.len() > 100);
}

#[test]
fn bugs_are_found_each_by_a_property() {
    silent();
    for bug in [Bug::CommitPriorTerm, Bug::VoteBeforeDurable, Bug::RoundReused, Bug::StrangersDropped] {
        let found = seek(bug).found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        assert!(found.violation.is_some());
    }
}

#[test]
fn a_failing_seed_tells_how_to_see_it_again() {
    silent();
    let found = seek(Bug::VoteBeforeDurable).found.unwrap();
    let bug = Some(Planted::Raft(Bug::VoteBeforeDurable));
    let told = story::<Cores>(&found, bug, false);
    assert!(told.contains("VIOLATION") && told.contains("S2 VoteOnce"), "{told}");
    let command = replay_command::<Cores>(found.seed, bug);
    assert!(command.ends_with("--bug VoteBeforeDurable") && told.contains(&command), "{told}");
    assert!(told.contains(" → "), "messages are shown: {told}");
    assert!(replay_command::<Cores>(3, None).ends_with("raft --seed 3 --trace"));
}

#[test]
fn every_bug_has_a_name() {
    assert!(Bug::ALL.len() >= 20);
    assert!(Bug::ALL.iter().all(|bug| Planted::in_core(bug.name()) == Some(Planted::Raft(*bug))));
    assert_eq!(Planted::in_core("all"), None);
}

fn holdfast_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast-sim")).args(arguments).output().unwrap()
}

#[test]
fn the_command_line_refuses_nonsense() {
    for nonsense in [
        &["raft", "--seeds", "0"][..],
        &["raft", "--seeds", "many"],
        &["raft", "--trace"],
        &["raft", "--bug", "VotesTwice"],
        &["raft", "--seed", "1", "--seeds", "2"],
        &["raft", "--seed", "1", "--bug", "NoSuchBug"],
        &["raft", "--from-commit", "no-number"],
        &["raft", "--from-commit", "abc"],
        &["raft", "--from-commit", "abcdef0", "--start", "3"],
        &["museum", "--bug", "NoSuchBug"],
        &["museum", "--seeds", "0"],
    ] {
        let told = holdfast_sim(nonsense);
        assert_eq!(told.status.code(), Some(2), "{nonsense:?}");
        assert!(!told.stderr.is_empty(), "{nonsense:?} says why");
    }
}

#[test]
fn the_command_line_ends_with_what_was_counted() {
    let told = holdfast_sim(&["raft", "--seeds", "2", "--from-commit", "0123abc"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.starts_with("start=1194684000000\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("seeds=") && last.ends_with("violations=0 nondeterministic=0"), "{last}");
    let told = holdfast_sim(&["museum", "--bug", "VoteBeforeDurable", "--seeds", "50"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(text.lines().last().unwrap(), "planted=1 found=1");
    let told = holdfast_sim(&["raft", "--seed", "1", "--trace", "--bug", "VoteBeforeDurable"]);
    assert_eq!(told.status.code(), Some(1), "a violation is a failure");
}
