//! The quick part of the proof of the write-ahead log, as a test; and that it would notice.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_sim::wal::breaks::{NAMES, hunt};
use holdfast_sim::wal::model::{GroupModel, Model};
use holdfast_sim::wal::proof::{Extent, Proof};
use holdfast_wal::{AsDesigned, Group, Hole, Op};

/// What of the quick part is done here, where nothing is optimised.
const PART: [&str; 12] = [
    "crash create",
    "crash first-batch",
    "crash hard-states",
    "crash conflict",
    "crash marks",
    "crash back-and-forth",
    "crash reopening",
    "damage files",
    "damage sector-and-slot",
    "damage stale-sectors",
    "damage truncations",
    "damage bit-flips",
];

/// Where each fault is caught soonest.
const CAUGHT: [(&str, &str); 13] = [
    ("accept-torn", "crash first-batch"),
    ("truncate-damaged", "damage sectors"),
    ("skip-dir-sync", "crash create"),
    ("ack-before-sync", "crash create"),
    ("trust-cache-on-open", "crash create"),
    ("append-after-cut", "crash first-batch"),
    ("one-vote-copy", "damage sectors"),
    ("dead-suffix-revived", "damage files"),
    ("repair-truncates", "damage sectors"),
    ("unlink-order", "crash retire"),
    ("reuse-old-bytes", "crash turn"),
    ("no-position-binding", "damage sector-copies"),
    ("retry-sync", "crash create"),
];

#[test]
fn a_part_finds_nothing_wrong_and_counts_the_same_on_any_number_of_threads() {
    let proof = Proof::new(Extent::Quick).only(&PART);
    let two = proof.run_all::<AsDesigned>(2);
    let wrong: Vec<String> =
        two.all.wrong.iter().map(|wrong| format!("{}\n  {}\n", wrong.story, wrong.what)).collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
    assert!(two.all.images.len() > 1_000, "{}", two.summary());
    let one = proof.run_all::<AsDesigned>(1);
    assert_eq!(two.report(), one.report());
    assert_eq!(two.summary(), one.summary());
}

#[test]
fn every_planted_fault_is_caught() {
    assert_eq!(CAUGHT.map(|(name, _)| name).as_slice(), NAMES);
    std::panic::set_hook(Box::new(|_| {}));
    let caught = |(name, heading): &&(&str, &str)| {
        let proof = Proof::new(Extent::Quick).only(&[heading]);
        hunt(name, &[proof]).is_some_and(|hunt| hunt.caught.is_some())
    };
    let missed: Vec<&(&str, &str)> = CAUGHT.iter().filter(|pair| !caught(pair)).collect();
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

#[test]
fn a_fault_of_no_name_is_none() {
    assert!(hunt("accept-everything", &[]).is_none());
}

fn entry(index: u64, term: u64, body: &'static str) -> Op {
    Op::Entry { group: Group(3), index, term, body: Bytes::from(body) }
}

fn entries(model: &Model) -> Vec<(u64, u64, &str)> {
    let entries = &model.groups[&3].entries;
    let text = |body: &'static [u8]| std::str::from_utf8(body).unwrap_or("");
    // The bodies of this file are all static.
    let known: BTreeMap<&[u8], &'static [u8]> =
        ["a", "b", "c", "d", "e", "f"].map(|body| (body.as_bytes(), body.as_bytes())).into();
    entries.iter().map(|(index, (term, body))| (*index, *term, text(known[&body[..]]))).collect()
}

#[test]
fn the_model_does_what_the_operations_say() {
    let mut model = Model::new();
    for op in [entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 2, "c")] {
        model.apply(&op);
    }
    assert_eq!(entries(&model), [(1, 1, "a"), (2, 1, "b"), (3, 2, "c")]);

    // A conflict supersedes the entry and all behind it.
    model.apply(&entry(2, 3, "d"));
    assert_eq!(entries(&model), [(1, 1, "a"), (2, 3, "d")]);

    model.apply(&Op::HardState { group: Group(3), term: 4, vote: 2 });
    model.apply(&Op::HardState { group: Group(3), term: 5, vote: 0 });
    assert_eq!(model.groups[&3].hard, (5, 0, 2));

    model.apply(&Op::Trim { group: Group(3), first: 2 });
    assert_eq!(entries(&model), [(2, 3, "d")]);
    assert_eq!((model.groups[&3].first, model.groups[&3].prev_term), (2, 1));
    model.apply(&Op::Trim { group: Group(3), first: 1 });
    assert_eq!(model.groups[&3].first, 2, "a trim that is behind does nothing");

    model.apply(&Op::Reset { group: Group(3), index: 10, term: 6 });
    let known = &model.groups[&3];
    assert_eq!((known.first, known.last(), known.last_term()), (11, 10, 6));
    assert_eq!(known.hard, (5, 0, 2), "a snapshot does not touch the vote");
    assert_eq!(model.groups.len(), 1);
}

#[test]
fn the_model_knows_what_a_repair_does() {
    let mut model = Model::new();
    for op in [entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c"), entry(4, 1, "d"), entry(5, 1, "e")] {
        model.apply(&op);
    }
    let holes = [Hole { first: 2, last: 2, doubtful: false }, Hole { first: 3, last: 4, doubtful: true }];
    model.damage(Group(3), 4, &holes);
    assert_eq!(model.groups[&3].last(), 4, "the log says that it goes no further");
    let hole = |model: &Model, index| model.groups[&3].may_be_hole(index);
    assert_eq!([1, 2, 3, 4].map(|index| hole(&model, index)), [false, true, true, true]);

    model.apply(&Op::Confirm { group: Group(3), first: 1, last: 3, term: 1 });
    assert!(hole(&model, 3), "a crash forgets what was confirmed");
    model.apply(&Op::Fill { group: Group(3), index: 2, term: 1, body: Bytes::from("b") });
    assert!(!hole(&model, 2));

    // The entry that nobody confirmed is cut.
    model.apply(&Op::Heal { whole: vec![(Group(3), 3)] });
    assert_eq!(entries(&model), [(1, 1, "a"), (2, 1, "b"), (3, 1, "c")]);
    assert!(model.groups[&3].is_whole());
    assert!(GroupModel::default().is_whole());
}
