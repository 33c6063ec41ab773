//! What the examples measure with: the median of many rounds, and how far the rounds lie apart.

use std::time::{Duration, Instant};

/// Rounds of each measurement: enough for a median and for quarters that mean something on a shared machine.
const ROUNDS: usize = 41;

/// One round of something: does its operations and says how long they took.
pub(crate) type Round<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// Prints nanoseconds per operation, `operations` being done in each round.
pub(crate) fn report<'a>(what: &str, operations: u32, round: impl FnMut() -> Duration + 'a) {
    compare(operations, vec![(what.to_owned(), Box::new(round))]);
}

/// As [`report`], for things that are to be compared: a round of each in turn, so that whatever else the
/// machine does meanwhile meets them all.
pub(crate) fn compare(operations: u32, mut cases: Vec<(String, Round<'_>)>) {
    if cfg!(debug_assertions) {
        eprintln!("not an optimised build: run with --release");
        std::process::exit(2);
    }
    let mut nanos = vec![Vec::new(); cases.len()];
    for (_, round) in &mut cases {
        round(); // warms caches and vectors
    }
    for _ in 0..ROUNDS {
        for ((_, round), nanos) in cases.iter_mut().zip(&mut nanos) {
            nanos.push(round().as_nanos() as f64 / f64::from(operations));
        }
    }
    for ((what, _), nanos) in cases.iter().zip(&mut nanos) {
        nanos.sort_by(f64::total_cmp);
        let [low, median, high] = [1, 2, 3].map(|quarter| nanos[ROUNDS * quarter / 4]);
        println!("{what:<58} {median:>9.1} ns  (middle half {low:.1} to {high:.1})");
    }
}

/// How long `work` takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}
