//! `limits` as its user starts it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{bench, row, scratch, text};

/// A run that is bounded by operations: however slow the machine, it measures this many.
fn small<'a>(connections: &'a str, in_flight: &'a str) -> Vec<&'a str> {
    let bounds = ["limits", "--allow-debug", "--operations", "200", "--seconds", "600"];
    bounds.into_iter().chain(["--connections", connections, "--in-flight", in_flight]).collect()
}

/// A follower of the skeleton, without a leader yet.
fn follower(dir: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-bench"));
    command.args(["skeleton", "follower", "--name", "one", "--dir"]).arg(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_small_run_answers_its_operations_without_errors() {
    let dir = scratch();
    let output = bench(dir.path(), &small("2", "8"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out}{err}");
    for name in ["fdatasync, 1 writer", "fdatasync, 3 writers", "loopback TCP, 64 B and back", "2 × 8"] {
        let row = row(&out, name);
        assert!(row[0] != "0" && row.last().unwrap() == "0", "{name}: {row:?}");
    }
    // Each of the three syncs.
    for name in ["  leader", "  follower 1", "  follower 2"] {
        let syncs: f64 = row(&out, name)[2].parse().unwrap_or_else(|_| panic!("{out}"));
        assert!(syncs > 0.0, "{name}: {out}");
    }
    row(&out, "  generator");
}

#[test]
fn one_operation_at_a_time_is_answered_as_well() {
    let dir = scratch();
    let output = bench(dir.path(), &small("1", "1"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(row(&text(&output.stdout), "1 × 1").last().unwrap(), "0");
}

#[test]
fn a_run_leaves_no_file() {
    let dir = scratch();
    assert!(bench(dir.path(), &small("1", "4")).status.success());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_optimised_is_not_measured() {
    if cfg!(debug_assertions) {
        let dir = scratch();
        let output = bench(dir.path(), &["limits"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("build it with --release") && output.stdout.is_empty());
    }
}

#[test]
fn wrong_arguments_are_refused_with_code_2_and_named() {
    let dir = scratch();
    for (argument, value) in [
        ("--connections", "0"),
        ("--connections", "10001"),
        ("--in-flight", "0"),
        ("--in-flight", "many"),
        ("--seconds", "-1"),
        ("--seconds", "NaN"),
        ("--seconds", "inf"),
        ("--value-bytes", "1048577"),
    ] {
        let output = bench(dir.path(), &["limits", "--allow-debug", &format!("{argument}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{argument} {value}");
        assert!(text(&output.stderr).contains(argument), "{argument} {value}: {}", text(&output.stderr));
    }
}

#[test]
fn a_directory_that_cannot_be_written_ends_the_run_with_code_1_and_its_name() {
    let dir = scratch();
    let file = dir.path().join("a-file");
    fs::write(&file, b"").unwrap();
    for not_a_directory in [file, dir.path().join("missing")] {
        let output = bench(&not_a_directory, &["limits", "--allow-debug"]);
        assert_eq!(output.status.code(), Some(1));
        let err = text(&output.stderr);
        assert!(err.starts_with("error: cannot make a directory in "), "{err}");
        assert!(err.contains(not_a_directory.to_str().unwrap()), "{err}");
    }
}

/// A leader ends whenever the load has; what the follower had acknowledged until then is unread.
#[test]
fn a_follower_whose_leader_resets_the_connection_ends_well() {
    let dir = scratch();
    let mut follower = follower(dir.path());
    // Held, so that this is not its end.
    let _life = follower.stdin.take();
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut address = String::new();
    out.read_line(&mut address).unwrap();
    let mut leader = TcpStream::connect(address.trim()).unwrap();
    leader.write_all(&[7; 64]).unwrap();
    // There, and left unread: closing now makes the kernel send a reset.
    leader.peek(&mut [0; 8]).unwrap();
    drop(leader);
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_process_of_the_skeleton_ends_when_its_parent_is_gone() {
    let dir = scratch();
    let mut follower = follower(dir.path());
    let mut out = follower.stdout.take().unwrap();
    let mut first = [0; 10];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"127.0.0.1:");
    // What the kernel does to the pipes of a parent that is killed. If that were not enough, this would wait for ever.
    drop(follower.stdin.take());
    assert!(follower.wait().unwrap().success());
}
