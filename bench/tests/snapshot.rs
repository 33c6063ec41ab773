//! `snapshot` as its user starts it, on a cluster of three processes.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn snapshots_are_timed_under_a_load_and_a_node_comes_back_by_one() {
    let dir = scratch();
    let state = ["--fill", "20000", "--keys", "50", "--segment-bytes", "25165824"];
    let load = ["--allow-debug", "--connections", "2", "--in-flight", "4", "--warmup", "0"];
    let when = ["--snapshots", "2", "--snapshot-entries", "2000", "--retain-bytes", "4096"];
    let arguments: Vec<&str> = ["snapshot"].into_iter().chain(state).chain(load).chain(when).collect();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["no snapshot is taken", "a snapshot is taken", "a follower is away", "it comes back"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    for line in ["snapshots of the leader, ", "its longest turn: ", "the follower had caught up after "] {
        assert!(out.contains(line), "{line}: {out}");
    }
}
