//! The properties of watches, on random schedules of writes, compactions, slow readers, cancels and snapshots.

use std::cell::Cell;

use holdfast_machine::Numbered;
use holdfast_server::watch::Budget;
use holdfast_server::watch::machine::Edge;
use holdfast_server::watch::plant::{Bug, NoPlant, Plant};

use crate::world::{Dice, Judged, World};

/// Steps of one schedule.
const STEPS: usize = 250;

/// Schedules of one run.
const SEEDS: u64 = 400;

fn budget(seed: u64) -> Budget {
    let mut dice = Dice::new(seed ^ 0xb0d6e7);
    let connection_bytes = 200 + dice.below(1_200) as usize;
    Budget {
        connection_watches: 64,
        node_watches: 200,
        connection_bytes,
        node_bytes: connection_bytes * (1 + dice.below(4) as usize),
        batch_bytes: 1 + dice.below(600) as usize,
        piece_bytes: 1 + dice.below(connection_bytes as u64) as usize,
        piece_changes: 1 + dice.below(12) as usize,
        inline_changes: dice.below(8) as usize,
        turn_changes: 1 + dice.below(20) as usize,
        reading: 1 + dice.below(3) as usize,
        mark_ticks: 1 + dice.below(3) as usize,
        event_bytes: 1 << 20,
    }
}

/// Runs one schedule; gives back how often each edge was taken.
fn run<P: Plant>(seed: u64) -> Result<Vec<u64>, String> {
    let mut world = World::<P>::new(seed, budget(seed));
    let all = |world: &mut World<P>| -> Judged {
        for _ in 0..STEPS {
            world.step()?;
        }
        world.settle()
    };
    all(&mut world)?;
    Ok(Edge::ALL.iter().map(|edge| world.hub.edges(*edge)).collect())
}

#[test]
fn w1_to_w8_and_w10_hold_on_every_schedule_and_every_edge_is_taken() {
    let mut taken = vec![0; Edge::ALL.len()];
    for seed in 0..SEEDS {
        match run::<NoPlant>(seed) {
            Ok(edges) => edges.iter().zip(&mut taken).for_each(|(count, sum)| *sum += count),
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    let never: Vec<String> =
        Edge::ALL.iter().filter(|edge| taken[edge.position()] == 0).map(|edge| edge.label()).collect();
    assert_eq!(never, [""; 0], "edges that no schedule took; {taken:?}");
}

thread_local! {
    static LEFT_OUT: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// The hub without the rule that this thread has chosen: one type for all, or the hub would be compiled for each.
#[derive(Clone, Copy, Debug)]
struct Chosen;

impl Plant for Chosen {
    const BUG: Option<Bug> = None;

    fn plants(bug: Bug) -> bool {
        LEFT_OUT.get() == Some(bug)
    }
}

macro_rules! planted {
    ($( $test:ident: $bug:ident, $rule:literal; )+) => { $(
        #[test]
        fn $test() {
            LEFT_OUT.set(Some(Bug::$bug));
            let found = (0..SEEDS).find_map(|seed| run::<Chosen>(seed).err());
            LEFT_OUT.set(None);
            let why = found.expect("a schedule that shows it");
            let rules = $rule;
            assert!(rules.is_empty() || rules.split(", ").any(|rule| why.contains(rule)), "{why}");
        }
    )+

        #[test]
        fn every_rule_that_can_be_left_out_is_left_out_in_a_test() {
            let planted = [$( Bug::$bug ),+];
            assert_eq!(planted[..], *Bug::ALL);
        }
    };
}

planted! {
    what_is_lost_at_compaction_is_caught: LostAtCompaction, "W3, W10";
    a_mark_that_comes_too_early_is_caught: MarkTooEarly, "W6, W1";
    a_revision_that_is_repeated_after_a_snapshot_is_caught: RepeatedAfterInstall, "W2, W10";
    a_gap_between_history_and_live_is_caught: GapAtSplice, "";
    a_revision_that_is_split_is_caught: RevisionSplit, "W4";
    what_is_delivered_before_the_start_is_caught: FutureDeliversPast, "W8";
    what_is_lost_in_a_full_queue_is_caught: LostWhenFull, "W3, W10";
    a_queue_without_a_bound_is_caught: QueueUnbounded, "bytes are queued";
    an_end_that_names_a_revision_too_late_is_caught: ResumesTooLate, "W10";
    an_earlier_version_that_is_not_one_is_caught: PreviousIsCurrent, "W7";
    a_filter_that_lets_pass_is_caught: DeletesNotFiltered, "W7";
}
