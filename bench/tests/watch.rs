//! `watch` as its user starts it, on a cluster of three processes.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn puts_with_and_without_watches_are_shown_and_how_long_events_take() {
    let dir = scratch();
    let bounds = ["--allow-debug", "--operations", "200", "--seconds", "600", "--keys", "50", "--runs", "2"];
    let load =
        ["--connections", "2", "--in-flight", "4", "--watches", "60", "--watchers", "7", "--events", "5"];
    let arguments: Vec<&str> = ["watch"].into_iter().chain(bounds).chain(load).collect();
    let result = scratch();
    let kept = result.path().join("kept");
    let arguments = [&arguments[..], &["--out", kept.to_str().unwrap()]].concat();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["no watches, run 2", "no watches, median", "60 watches, run 2", "60 watches, median"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    assert!(out.contains("% of the rate without"), "{out}");
    assert!(
        out.contains("60 watches over 7 connections, from a put to the last event")
            && out.contains("(5 puts)")
    );
    // Of five there is a slowest one and no percentile.
    assert_eq!(row(&out, "put to the last event")[1..5], ["–"; 4], "{out}");
    let kept = std::fs::read_to_string(result.path().join("kept/result.json")).unwrap();
    assert!(
        kept.contains("watch, one put to the last event") && kept.contains("to the last event, max"),
        "{kept}"
    );
    assert!(std::fs::metadata(result.path().join("kept/report.html")).unwrap().len() > 0);
}
