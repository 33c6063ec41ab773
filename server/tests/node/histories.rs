//! Whole histories: clients that write, read and try again while nodes crash and links break.

use crate::clients::{Fate, History};

const SEEDS: u64 = 100;

#[test]
fn no_acknowledged_write_is_lost_and_none_is_executed_twice_over_crashes_partitions_and_resends() {
    let mut tally = std::collections::BTreeMap::new();
    let mut done = 0;
    for seed in 1..=SEEDS {
        println!("seed {seed}");
        let mut history = History::new(seed);
        history.run(2_000);
        for place in &history.world.places {
            for (what, count) in ["taken", "installed", "snapshot failed"].into_iter().zip(place.snapshots) {
                *tally.entry(what).or_insert(0) += count;
            }
        }
        done += history.writes.iter().filter(|write| matches!(write.fate, Fate::Done(_))).count();
        for (what, count) in history.tally {
            *tally.entry(what).or_insert(0) += count;
        }
    }
    println!("{done} writes acknowledged, {tally:?}");
    // None of this says anything if it does not happen.
    for what in
        ["crash", "isolation", "one way", "stop", "suspension", "resent", "session ended", "once refused"]
    {
        assert!(tally.get(what).is_some_and(|count| *count > 0), "{what} never happened: {tally:?}");
    }
    assert!(tally["taken"] > 500 && tally["installed"] > 10, "too few snapshots: {tally:?}");
    for what in ["linearizable reads", "follower reads", "stale reads"] {
        assert!(tally.get(what).is_some_and(|count| *count > 500), "too few {what}: {tally:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_effects_and_another_seed_others() {
    let run = |seed| {
        let mut history = History::new(seed);
        history.world.effects_hash = Some(0);
        history.run(800);
        history.world.effects_hash
    };
    let mut all = std::collections::BTreeSet::new();
    for seed in 1_000..1_012 {
        println!("seed {seed}");
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
        assert!(all.insert(first), "seed {seed} is like another");
    }
}
