//! `put` and `get` as their user starts them, on clusters of three processes.

mod common;

use common::{bench, row, scratch, text};

/// The report of a run of 200 operations, with all that it needs to be one.
fn small(command: &str, more: &[&str]) -> String {
    let dir = scratch();
    let bounds =
        ["--allow-debug", "--operations", "200", "--seconds", "600", "--keys", "50", "--value-bytes", "64"];
    let load = ["--spawn", "3", "--connections", "2", "--in-flight", "4"];
    let arguments: Vec<&str> =
        [command].into_iter().chain(bounds).chain(load).chain(more.iter().copied()).collect();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    out
}

/// That operations were done, and that the report is complete, with the skeleton beside the result. (That none was
/// refused would be a claim about the machine: while it is busy, the leader may change.)
fn complete(out: &str, title: &str, skeleton: &str) {
    row(out, title);
    for name in ["holdfast", skeleton] {
        let row = row(out, name);
        assert!(row[0] != "0" && row.last().unwrap() != "–", "{name}: {out}");
    }
    assert_eq!(out.contains("% of the limit's rate"), skeleton.starts_with("limit"), "{out}");
    row(out, "  generator");
}

#[test]
fn puts_are_done_and_shown_beside_the_limit_with_syncs_and_stages() {
    let out = small("put", &[]);
    complete(&out, "put 2 × 4", "limit: skeleton");
    for stage in ["5 Sync", "8 Apply", "9 Reply"] {
        row(&out, stage);
    }
}

#[test]
fn gets_find_the_keys_that_were_written() {
    complete(&small("get", &[]), "get 2 × 4", "skeleton, a put");
}

#[test]
fn reads_and_writes_are_mixed_and_each_kind_is_shown_and_kept_apart() {
    let out = scratch();
    let path = out.path().join("result");
    let kept = path.to_str().unwrap();
    let shown = small("mixed", &["--reads", "50", "--exactly-once", "--out", kept]);
    complete(&shown, "mixed once 50 % gets 2 × 4", "skeleton, a put");
    for kind in ["gets", "puts"] {
        assert!(row(&shown, kind)[0] != "0", "{shown}");
        let name = format!("mixed-once-50-gets-2x4-{kind}-only.hgrm");
        assert!(std::fs::metadata(path.join(&name)).unwrap().len() > 0, "{name}");
    }
    let result = path.join("result.json");
    let result = result.to_str().unwrap();
    let diff = bench(out.path(), &["diff", result, result]);
    let diff = text(&diff.stdout);
    assert!(diff.starts_with("no difference exceeds the noise") && diff.contains("puts only"), "{diff}");
}

#[test]
fn puts_of_a_session_are_done() {
    complete(&small("put", &["--exactly-once"]), "put once 2 × 4", "limit: skeleton");
}

#[test]
fn of_several_runs_each_is_shown_and_the_median() {
    let out = small("put", &["--runs", "2"]);
    for name in ["run 1", "run 2", "holdfast, median", "limit: skeleton, median"] {
        row(&out, name);
    }
}

/// The end of a run of an open loop: enough time for what is asked is not a claim about the machine, so its word and its code
/// have to agree, whichever they are.
#[test]
fn an_open_loop_says_its_seed_and_ends_with_3_if_its_schedule_was_missed() {
    for (rate, measured) in [("200", "1"), ("10000000", "0.05")] {
        let dir = scratch();
        let bounds =
            ["--allow-debug", "--seconds", measured, "--warmup", "0.1", "--keys", "50", "--spawn", "1"];
        let open = ["--rate", rate, "--arrivals", "poisson", "--seed", "7", "--in-flight", "64"];
        let arguments: Vec<&str> = ["put"].into_iter().chain(bounds).chain(open).collect();
        let output = bench(dir.path(), &arguments);
        let out = text(&output.stdout);
        assert!(out.contains("poisson arrivals, seed 7"), "{out}{}", text(&output.stderr));
        let void = out.contains("VOID, the schedule was missed: ");
        assert_eq!(output.status.code(), Some(if void { 3 } else { 0 }), "{out}");
        // No machine sends ten million in a second through 64 places.
        assert!(void || rate == "200", "{out}");
    }
}

#[test]
fn arrivals_and_seeds_need_a_rate_that_can_be() {
    let dir = scratch();
    for wrong in [
        &["--arrivals", "poisson"][..],
        &["--seed", "1"],
        &["--rate", "0"],
        &["--rate", "inf"],
        &["--rate", "-5"],
    ] {
        let all: Vec<&str> =
            ["put", "--allow-debug", "--spawn", "1"].into_iter().chain(wrong.iter().copied()).collect();
        assert_eq!(bench(dir.path(), &all).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_run_leaves_its_result_where_it_is_wanted_and_a_second_one_is_refused_before_it_begins() {
    let out = scratch();
    let path = out.path().join("result");
    let shown = small("put", &["--out", path.to_str().unwrap(), "--with-limit=false"]);
    assert!(shown.contains("result.json") && !shown.contains("skeleton"), "{shown}");
    for name in ["result.json", "report.html", "put-2x4.hgrm", "put-2x4.hlog"] {
        assert!(std::fs::metadata(path.join(name)).unwrap().len() > 0, "{name}");
    }
    let dir = scratch();
    let arguments = ["put", "--allow-debug", "--spawn", "3", "--out", path.to_str().unwrap()];
    let output = bench(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is there already; nothing was measured"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn nodes_come_from_one_place() {
    let dir = scratch();
    for place in [&[][..], &["--spawn", "3", "--endpoints", "127.0.0.1:1"], &["--spawn", "0"]] {
        let arguments: Vec<&str> =
            ["put", "--allow-debug"].into_iter().chain(place.iter().copied()).collect();
        assert_eq!(bench(dir.path(), &arguments).status.code(), Some(2), "{place:?}");
    }
}

#[test]
fn endpoints_without_a_cluster_are_named_in_the_error() {
    let dir = scratch();
    // Port 1 is for one service that nobody runs; what listens to it would not be holdfast.
    let output = bench(dir.path(), &["put", "--allow-debug", "--endpoints", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("127.0.0.1:1: "), "{}", text(&output.stderr));
}

/// What is asked for is looked at before anything is started: the reason is one line, and nothing is left.
#[test]
fn a_result_that_cannot_be_kept_is_refused_before_it_is_measured_and_named() {
    let dir = scratch();
    let file = dir.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let below = file.join("result");
    // /proc takes no directories and no files, whoever asks: permissions would not stop root.
    let proc = std::path::Path::new("/proc");
    for out in [file.as_path(), &below, proc, &proc.join("holdfast-bench")] {
        for load in [&["put", "--spawn", "3"][..], &["failover"], &["wal"]] {
            let scratch = scratch();
            let arguments = [load, &["--allow-debug", "--out", out.to_str().unwrap()]].concat();
            let output = bench(scratch.path(), &arguments);
            let err = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{load:?} {}: {err}", out.display());
            let doing = if out == proc { "error: cannot write to " } else { "error: cannot make " };
            assert!(err.starts_with(doing) && err.lines().count() == 1, "{err}");
            assert!(err.contains(out.to_str().unwrap()) && output.stdout.is_empty(), "{err}");
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "files are left");
        }
    }
}

#[test]
fn a_rate_that_cannot_be_is_refused_by_its_name_and_says_what_can() {
    let dir = scratch();
    for (rate, says) in [
        ("0", "from 1 to 10000000"),
        ("0.5", "from 1 to 10000000"),
        ("10000001", "from 1 to 10000000"),
        ("inf", "from 1 to 10000000"),
        ("NaN", "from 1 to 10000000"),
        ("-5", "from 1 to 10000000"),
        ("many", "not a number of operations a second"),
        ("", "not a number of operations a second"),
    ] {
        for load in ["put", "get", "mixed"] {
            let rate = format!("--rate={rate}");
            let output = bench(dir.path(), &[load, "--allow-debug", "--spawn", "1", &rate]);
            let err = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{load} {rate}: {err}");
            assert!(err.contains("--rate") && err.contains(says), "{load} {rate}: {err}");
        }
    }
}

#[test]
fn each_endpoint_that_cannot_be_reached_is_named_with_its_reason_and_at_once() {
    let dir = scratch();
    let begin = std::time::Instant::now();
    for load in ["put", "get", "mixed"] {
        let endpoints = "127.0.0.1:1,127.0.0.1:2,no-such-host.invalid:7400,nonsense";
        let output = bench(dir.path(), &[load, "--allow-debug", "--endpoints", endpoints]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.starts_with("error: cannot find a cluster in which one node leads"), "{err}");
        for endpoint in endpoints.split(',') {
            assert!(err.contains(&format!("{endpoint}: ")), "{endpoint}: {err}");
        }
    }
    // Nobody is there: there is no election to be waited for.
    assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", begin.elapsed());
}
