//! `recovery` and `memory` as their user starts them, on clusters of a few hundred keys.

mod common;

use common::{bench, row, scratch, text};

fn run(arguments: &[&str]) -> String {
    let (dir, result) = (scratch(), scratch());
    let kept = result.path().join("kept");
    let small = [
        "--allow-debug",
        "--keys",
        "300",
        "--value-bytes",
        "64",
        "--runs",
        "1",
        "--segment-bytes",
        "25165824",
    ];
    let out = ["--out", kept.to_str().unwrap()];
    let output = bench(dir.path(), &[arguments, &small, &out].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    assert!(std::fs::read_to_string(kept.join("result.json")).unwrap().contains("\"sheets\""));
    out
}

#[test]
fn nodes_that_were_stopped_in_order_or_killed_have_their_keys_when_they_are_started_again() {
    for (how, name) in [(&["recovery"][..], "ended in order"), (&["recovery", "--kill"], "ended kill -9")] {
        let out = run(how);
        assert!(out.contains(name), "{out}");
        for name in [
            "  all nodes: start until the first read is answered",
            "  all nodes: reads its log, slowest node",
            "  one node: start until Ready",
        ] {
            row(&out, name);
        }
    }
}

#[test]
fn the_only_node_of_a_cluster_recovers_as_well() {
    let out = run(&["recovery", "--spawn", "1"]);
    row(&out, "  all nodes: start until the first read is answered");
    assert!(!out.contains("one node: "), "{out}");
}

#[test]
fn memory_of_each_node_is_shown_beside_key_and_value() {
    let out = run(&["memory"]);
    for name in ["leader", "follower 1", "follower 2"] {
        for figure in [
            "anonymous beside key and value, per key",
            "entries behind the newest snapshot",
            "resident, full",
        ] {
            row(&out, &format!("  {name}: {figure}"));
        }
    }
}
