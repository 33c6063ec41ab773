//! `leases` as its user starts it, on a cluster of three processes.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn leases_that_are_kept_outlive_the_leader_and_end_when_nobody_keeps_them() {
    let dir = scratch();
    let bounds = ["--allow-debug", "--operations", "200", "--seconds", "600", "--keys", "50", "--runs", "2"];
    let load = ["--connections", "2", "--in-flight", "4"];
    let leases = ["--leases", "60", "--keepers", "7", "--ttl", "6", "--every", "0.5"];
    let arguments: Vec<&str> = ["leases"].into_iter().chain(bounds).chain(load).chain(leases).collect();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["no leases, run 2", "no leases, median", "60 leases, run 2", "60 leases, median"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    for name in ["before the leader is killed", "after it"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    assert!(out.contains("0 of 60 leases expired early"), "{out}");
    assert!(out.contains("nobody renews them any more: the last one ended"), "{out}");
}

#[test]
fn a_lease_that_could_not_be_renewed_in_time_is_refused() {
    let dir = scratch();
    let output = bench(dir.path(), &["lease", "--allow-debug", "--ttl", "5", "--every", "5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("more than once"), "{}", text(&output.stderr));
}
