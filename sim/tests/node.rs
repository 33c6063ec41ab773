//! The simulator of whole nodes, on a few seeds: that it finds nothing where nothing is, runs the same twice, and finds a planted bug.

use holdfast_sim::drive::{replay_command, run, run_all};
use holdfast_sim::node::drive::Nodes;

#[test]
fn a_few_seeds_violate_nothing_and_run_the_same_twice() {
    let report = run_all::<Nodes>(1, 4, 2);
    let failed: Vec<String> =
        report.failed.iter().map(|failed| format!("seed {}: {:?}", failed.seed, failed.violation)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(report.nondeterministic, [0; 0]);
    assert!(report.tally.ops > 100, "{}", report.summary());
}

#[test]
fn a_trace_is_made_only_when_asked_for_and_changes_nothing() {
    let (quiet, traced) = (run::<Nodes>(2, None, false), run::<Nodes>(2, None, true));
    assert_eq!((quiet.hash, &quiet.tally), (traced.hash, &traced.tally));
    assert!(quiet.lines.is_empty() && traced.lines.len() > 100);
    assert_eq!(
        replay_command::<Nodes>(2, None),
        "cargo run --release -p holdfast-sim -- node --seed 2 --trace"
    );
}
