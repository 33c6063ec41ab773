//! Each rule, broken on purpose in a history that is correct otherwise: a check that never failed may check nothing.

mod breaks;
mod generator;
mod searches;

use super::*;
use generator::{Shape, generate};

/// So many seeds are looked at; each names its history.
const SEEDS: u64 = 600;

#[test]
fn correct_histories_are_clean() {
    let (mut unknown, mut not_met) = (0, 0);
    for seed in 0..SEEDS {
        let history = generate(seed, Shape::of);
        let wrong = judge(&history);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
        unknown += witness::examine(&history).resolved.len();
        not_met += history.ops.iter().filter(|op| matches!(op.answer, Answer::NotMet { .. })).count();
    }
    assert!(unknown > 500 && not_met > 5_000, "{unknown} {not_met}");
}
