//! Runs one model and says what it covered.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Operations in one interleaving at most. loom panics beyond it, which is how a thread that spins is found;
/// the longest of these models has a few hundred.
const BRANCHES_MAX: usize = 5_000;

/// How much of a model is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Every interleaving that loom tries. (It skips some: see `loom-tests/README.md`, what loom cannot see.)
    None,
    /// Those with at most this many switches away from a thread that could have gone on.
    Preemptions(usize),
}

/// Runs `body` in every interleaving within `bound`, and prints their number.
///
/// Nothing else bounds the search: the limits of loom that would end it quietly (permutations, duration, a
/// checkpoint, all settable by environment) are off.
///
/// # Panics
/// If an interleaving fails, if a limit is hit, or if there was only one interleaving: a model of one
/// interleaving checks nothing.
pub fn explore(name: &str, bound: Bound, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bounded = match bound {
        Bound::None => None,
        Bound::Preemptions(most) => Some(most),
    };
    builder.preemption_bound = bounded;
    builder.max_branches = BRANCHES_MAX;
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;

    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let begin = Instant::now();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let seen = seen.load(Ordering::Relaxed);
    let seconds = begin.elapsed().as_secs_f64();
    // Past the capture of the test harness, which only `print!` and its kin go through: the number is part
    // of the result. A closed stderr is no reason to fail.
    let bound =
        bounded.map_or_else(|| "no bound on preemptions".to_owned(), |most| format!("preemptions <= {most}"));
    let line = format!("loom {name}: {seen} interleavings, {bound}, {seconds:.2} s\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
    assert!(seen > 1, "{name} has a single interleaving");
}
