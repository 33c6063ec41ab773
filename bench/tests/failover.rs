//! `failover` as its user starts it, on a cluster of three processes.

mod common;

use common::{bench, row, scratch, text};

/// One round; what it prints.
fn round(more: &[&str]) -> String {
    let dir = scratch();
    let load =
        ["--rounds", "1", "--writers", "2", "--readers", "1", "--settle", "0.1", "--value-bytes", "64"];
    let arguments: Vec<&str> = ["failover", "--allow-debug"].into_iter().chain(load).collect();
    let output = bench(dir.path(), &[&arguments[..], more].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    assert!(out.contains("none lost"), "{out}");
    for name in ["  writes, longest gap", "  gets, longest gap"] {
        row(&out, name);
    }
    // Each caller had 50 answers before the leader was taken away.
    let back: u64 = row(&out, "  writes read back")[0].replace(',', "").parse().unwrap();
    assert!(back >= 100, "{out}");
    out
}

#[test]
fn a_leader_is_killed_and_comes_back_and_nothing_that_was_acknowledged_is_lost() {
    let result = scratch();
    let kept = result.path().join("kept");
    let out = round(&["--out", kept.to_str().unwrap()]);
    row(&out, "  kill until a node is elected");
    row(&out, "  start of the node until it has caught up");
    assert!(std::fs::read_to_string(kept.join("result.json")).unwrap().contains("writes, longest gap"));
}

#[test]
fn a_leader_that_hangs_goes_on_as_a_follower_and_nothing_is_lost() {
    let out = round(&["--how", "pause"]);
    row(&out, "failover, leader hangs");
    row(&out, "  pause until a node is elected");
    row(&out, "  resumption of the node until it has caught up");
}

#[test]
fn a_leader_that_is_stopped_in_order_hands_over_and_comes_back() {
    let out = round(&["--how", "stop"]);
    row(&out, "failover, leader is stopped");
    row(&out, "  stop until a node is elected");
    row(&out, "  start of the node until it has caught up");
}
