//! The configuration of real processes: what `config` shows and checks, what `server` refuses, and what SIGHUP changes.
//! Needs real time: it waits for what is to happen, and fails only when that takes longer than [`process::PATIENCE`].

mod drills;
mod process;
mod reload;
mod wal;

use process::{Place, holdfast, said};

#[test]
fn config_show_tells_each_value_and_who_says_so_through_all_five_layers() {
    let place = Place::new();
    let file = place
        .file("node.toml", "node_id = 1\ndata_dir = \"data\"\nelection = \"310ms\"\nheartbeat_ms = 60\n");
    let directory = place.directory("node.d");
    place.file("node.d/10.toml", "retain = \"1MiB\"\nelection = \"320ms\"\n");
    let mut command =
        holdfast(&["config", "show", "--origin", "--config", &file, "--config-dir", &directory]);
    command.arg("--snapshot-entries=7").env("HOLDFAST_SLOW_REQUEST", "1s");
    let (code, out, err) = said(command);
    assert_eq!(code, Some(0), "{err}");
    let row = |key: &str| {
        let row = out
            .lines()
            .find(|line| line.starts_with(&format!("{key}\t")))
            .unwrap_or_else(|| panic!("{key}: {out}"));
        let (_, rest) = row.split_once('\t').expect("three columns");
        rest.replace(&place.path(""), "")
    };
    assert_eq!(row("cluster"), "holdfast\tdefault");
    assert_eq!(row("node_id"), "1\tnode.toml:1");
    assert_eq!(row("election"), "320ms\tnode.d/10.toml:2");
    assert_eq!(row("heartbeat"), "60ms\tnode.toml:4");
    assert_eq!(row("slow_request"), "1s\tHOLDFAST_SLOW_REQUEST");
    assert_eq!(row("snapshot_entries"), "7\t--snapshot-entries");
    assert_eq!(err.lines().count(), 1, "only the old name is warned about: {err}");
    assert!(err.contains("node.toml:4: `heartbeat_ms` is called `heartbeat` now"), "{err}");
}

#[test]
fn config_show_prints_documents_that_tools_read() {
    let (code, out, _) = said(holdfast(&["config", "show", "-o", "json", "--origin", "--join=a:1,b:2"]));
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!(document["join"], serde_json::json!({ "value": ["a:1", "b:2"], "origin": "--join" }));
    assert_eq!(document["advertise_http"]["value"], serde_json::Value::Null);
    let place = Place::new();
    let (_, out, _) = said(holdfast(&[
        "config",
        "show",
        "-o",
        "toml",
        "--origin",
        "--join=a:1",
        "--node-id=3",
        "--data-dir=d",
    ]));
    let file = place.file("shown.toml", &out);
    let (code, again, err) = said(holdfast(&["config", "show", "-o", "toml", "--config", &file]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(again.contains("join = [\"a:1\"]") && again.contains("node_id = 3"), "{again}");
}

#[test]
fn config_check_and_server_refuse_the_same_with_code_2_and_start_nothing() {
    let place = Place::new();
    let cut = place.file("cut.toml", "heartbeat = \"50");
    let typo = place.file("typo.toml", "heartbeet = \"50ms\"");
    let bytes = place.raw("bytes.toml", b"log = \"\xff\"");
    let text = place.file("text.toml", "node_id = \"1\"");
    let missing = place.path("missing.toml");
    let data = place.path("data");
    let cases: [(&[&str], &str); 14] = [
        (&["--config", &cut], "cut.toml:1: no TOML"),
        (&["--config", &typo], "typo.toml:1: there is no option `heartbeet`; did you mean `heartbeat`?"),
        (&["--config", &bytes], "bytes.toml:1: not UTF-8"),
        (&["--config", &text], "text.toml:1: `node_id`: this is text"),
        (&["--config", &missing], "missing.toml: cannot be read"),
        (&["--config-dir", &missing], "missing.toml: cannot be read"),
        (&["--heartbeat=5"], "--heartbeat: `heartbeat`: \"5\": a duration has a unit"),
        (&["--heartbeat=5ms"], "expected a duration from 10ms to 100s"),
        (&["--heartbeat-ms=5"], "expected a duration from 10ms to 100s"),
        (&["--heartbeat=200ms"], "longer than two heartbeats"),
        (&["--listen-client=0.0.0.0:7400"], "can be reached from other machines"),
        (&["--tls-cert=a"], "TLS comes later"),
        (&["--learner"], "give it `join`"),
        (&["--heartbeet=50ms"], "similar argument exists: '--heartbeat'"),
    ];
    for (arguments, why) in cases {
        for verb in [&["config", "check"][..], &["server"]] {
            let mut command = holdfast(verb);
            command
                .args(["--node-id=1", "--data-dir", &data, "--initial-cluster=1=127.0.0.1:1"])
                .args(arguments);
            let (code, out, err) = said(command);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{verb:?} {arguments:?}: {err}");
            assert!(err.contains(why), "{verb:?} {arguments:?}: {err}");
        }
    }
    assert!(!place.exists("data"), "nothing was started");
}

#[test]
fn config_check_finds_what_is_fine_and_what_only_this_machine_knows() {
    let place = Place::new();
    let data = place.path("data");
    let check = |data: &str, further: &[&str]| {
        let mut command = holdfast(&["config", "check", "--node-id=1", "--data-dir", data]);
        command.args(further);
        said(command)
    };
    let (code, out, err) =
        check(&data, &["--audit-days=7", "--allow-plaintext", "--listen-client=10.0.0.1:7400"]);
    assert_eq!((code, out.as_str()), (Some(0), "the configuration is fine, with 2 warnings\n"), "{err}");
    assert!(err.contains("`--audit-age=7d`") && err.contains("nothing is encrypted"), "{err}");
    assert!(!place.exists("data"), "checking makes nothing");
    let mut command = holdfast(&["config", "check"]);
    let node = place.file("node.toml", &format!("node_id = 1\ndata_dir = {data:?}\n"));
    command.env("HOLDFAST_CONFIG", node).env("HOLDFAST_ENDPOINTS", "a:1").env("HOLDFAST_TOKEN", "7");
    let wanted = (Some(0), "the configuration is fine\n".to_owned(), String::new());
    assert_eq!(said(command), wanted, "variables of other commands are known");
    let file = place.file("file", "");
    let (code, _, err) = check(&file, &[]);
    assert_eq!(code, Some(2), "{err}");
    let (code, _, err) = check(&format!("{file}/below"), &[]);
    assert_eq!(code, Some(2), "{err}");
}
