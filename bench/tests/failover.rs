//! `failover` as its user starts it, on a cluster of three processes.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn a_leader_is_killed_and_comes_back_and_nothing_that_was_acknowledged_is_lost() {
    let (dir, result) = (scratch(), scratch());
    let kept = result.path().join("kept");
    let load =
        ["--rounds", "1", "--writers", "2", "--readers", "1", "--settle", "0.1", "--value-bytes", "64"];
    let arguments: Vec<&str> = ["failover", "--allow-debug"].into_iter().chain(load).collect();
    let output = bench(dir.path(), &[&arguments[..], &["--out", kept.to_str().unwrap()]].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["  writes, longest gap", "  gets, longest gap", "  kill until a node is elected"] {
        row(&out, name);
    }
    assert!(out.contains("none lost"), "{out}");
    // Each caller had 50 answers before the leader was killed.
    let back: u64 = row(&out, "  writes read back")[0].replace(',', "").parse().unwrap();
    assert!(back >= 100, "{out}");
    assert!(std::fs::read_to_string(kept.join("result.json")).unwrap().contains("writes, longest gap"));
}
