//! Bytes of all kinds, sizes at their limits, nodes that are away, readers that go away.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Stdio;

use crate::block_on;
use crate::cluster::{Cluster, free_addresses};
use crate::script::{Ended, holdfast, run};

#[test]
fn keys_and_values_are_any_bytes_up_to_their_limits_and_what_is_beyond_ends_with_8() {
    let cluster = Cluster::start(1);
    block_on(cluster.wait(0, "ready", |status| status.ready));
    let endpoint = &cluster.endpoints()[0];
    let ask = |line: &[&str], input: &[u8]| run(endpoint, line, input);
    binary(&|line, input| run(endpoint, line, input));
    files(&ask);
    limits(&ask);
    away(endpoint);
    reader_goes_away(endpoint);
}

/// Through arguments, standard input, every encoding and every format.
fn binary(ask: &dyn Fn(&[OsString], &[u8]) -> Ended) {
    let word = |text: &str| OsString::from(text);
    let raw = || OsString::from_vec(vec![0xff, 0xfe, b'k']);
    let value = b"\x00\xff\x1b[31m\n";
    let done = |ended: &Ended| assert_eq!(ended.code, Some(0), "{}", ended.said);
    done(&ask(&[word("put"), raw(), word("-")], value));
    for key in [
        vec![raw()],
        vec![word("fffe6b"), word("--encoding=hex")],
        vec![word("//5r"), word("--encoding=base64")],
    ] {
        let get = |format: &str| ask(&[&[word("get")][..], &key, &[word("-o"), word(format)]].concat(), b"");
        assert_eq!(get("value").out, value);
        assert_eq!(get("plain").out, value);
        assert_eq!(get("table").text(), "\"\\x00\\xff\\x1b[31m\\n\"\n");
        for format in ["json", "jsonl"] {
            let text = get(format).text();
            assert!(
                text.starts_with("{\"key\":{\"b64\":\"//5r\"},\"value\":{\"b64\":\"AP8bWzMxbQo=\"},"),
                "{text}"
            );
        }
    }
    done(&ask(&[word("put"), word("--encoding=hex"), word("00"), word("")], b""));
    assert_eq!(ask(&[word("ls")], b"").text(), "\"\\x00\"\t\n\"\\xff\\xfek\"\t\"\\x00\\xff\\x1b[31m\\n\"\n");
    assert_eq!(
        ask(&[word("ls"), word("--keys-only"), word("-o"), word("value")], b"").out,
        b"\x00\n\xff\xfek\n"
    );
    let txn = br#"{"if": [{"exists": {"b64": "//5r"}}], "then": [{"del": {"key": {"b64": "//5r"}}}]}"#;
    done(&ask(&[word("txn"), word("--json"), word("--file"), word("-")], txn));
    // Text with everything that JSON and tables have to escape.
    done(&ask(&[word("put"), word("t"), word("a\tb\"\\\u{e9}\u{4e2d}")], b""));
    assert_eq!(ask(&[word("get"), word("t")], b"").text(), "a\tb\"\\\u{e9}\u{4e2d}\n");
    let text = ask(&[word("get"), word("t"), word("-o"), word("json")], b"").text();
    assert!(text.contains(r#""value":"a\tb\"\\é中","#), "{text}");
    // An empty value is one, an empty key is none.
    done(&ask(&[word("put"), word("t"), word("")], b""));
    assert_eq!(ask(&[word("get"), word("t"), word("-o"), word("value")], b"").out, b"");
    for line in [&["put", "", "1"][..], &["get", ""], &["del", ""], &["history", ""]] {
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        let ended = ask(&line, b"");
        assert_eq!(ended.code, Some(2), "{line:?}: {}", ended.said);
        assert!(ended.said.contains("HF1004"), "{line:?}: {}", ended.said);
    }
}

/// From files that are there, that cannot be read, and that are half written.
fn files(ask: &dyn Fn(&[&str], &[u8]) -> Ended) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("value"), b"from a file\n").expect("written");
    assert_eq!(ask(&["put", "f", "--file", &path("value")], b"").code, Some(0));
    assert_eq!(ask(&["get", "f", "-o", "value"], b"").out, b"from a file\n");
    std::fs::write(path("txn"), "# a comment\nif value f != x\n\nthen del f\n").expect("written");
    assert_eq!(ask(&["txn", "--file", &path("txn")], b"").code, Some(0));
    std::fs::write(path("cut"), "{\"then\": [{\"put\": {\"key\": \"a\", \"val").expect("written");
    let ended = ask(&["txn", "--json", "--file", &path("cut")], b"");
    assert!(ended.code == Some(2) && ended.said.contains("EOF"), "{}", ended.said);
    let saved = path("backup.snap");
    let ended = ask(&["snapshot", "save", &saved, "-o", "json"], b"");
    assert!(ended.code == Some(0) && ended.text().contains("\"sha256\":\""), "{}", ended.said);
    assert_eq!(ask(&["snapshot", "verify", &saved], b"").code, Some(0));
    assert!(ask(&["snapshot", "inspect", &saved, "-o", "json"], b"").text().starts_with("{\"format\":1,"));
    let whole = std::fs::read(&saved).expect("it is there");
    std::fs::write(path("half.snap"), &whole[..whole.len() / 2]).expect("written");
    let half = path("half.snap");
    assert_eq!(ask(&["snapshot", "verify", &half], b"").code, Some(9));
    let (blank, peer) = (path("blank"), "127.0.0.1:1");
    let restore = ["snapshot", "restore", &half, "--node-id=1", "--data-dir", &blank, "--peer", peer];
    assert_eq!(ask(&restore, b"").code, Some(9));
    let ended = ask(&["snapshot", "save", &saved], b"");
    assert!(ended.code == Some(2) && ended.said.contains("is not overwritten"), "{}", ended.said);
    assert_eq!(ask(&["snapshot", "save", &path("no/such/place")], b"").code, Some(2));
}

/// A key has 4,096 bytes at most, a value 1 MiB.
fn limits(ask: &dyn Fn(&[&str], &[u8]) -> Ended) {
    let key = "k".repeat(4_096);
    assert_eq!(ask(&["put", &key, "1"], b"").code, Some(0));
    assert_eq!(ask(&["get", &key], b"").text(), "1\n");
    let ended = ask(&["put", &format!("{key}k"), "1"], b"");
    assert!(ended.code == Some(8) && ended.said.contains("HF1101"), "{}", ended.said);
    let value = vec![b'v'; 1 << 20];
    assert_eq!(ask(&["put", "big", "-"], &value).code, Some(0));
    assert_eq!(ask(&["get", "big", "-o", "value"], b"").out, value);
    let ended = ask(&["put", "big", "-"], &vec![b'v'; (1 << 20) + 1]);
    assert!(ended.code == Some(8) && ended.said.contains("HF1102"), "{}", ended.said);
    assert!(
        ended.said.contains("\n  outcome  NOT applied\n  next     holdfast explain HF1102\n"),
        "{}",
        ended.said
    );
    let ended = ask(&["put", "a", "1", "--reason", &"r".repeat(1_025)], b"");
    assert!(ended.code == Some(8) && ended.said.contains("HF1105"), "{}", ended.said);
}

/// Endpoints that answer among some that do not.
fn away(endpoint: &str) {
    let dead = free_addresses(2).join(",");
    for endpoints in [format!("{dead},{endpoint}"), format!("{endpoint},{dead}")] {
        for line in [
            &["put", "m", "1"][..],
            &["get", "m"],
            &["ls"],
            &["lock", "l", "--", "true"],
            &["watch", "m", "--from-rev=2", "--count=1"],
        ] {
            let ended = run(&endpoints, line, b"");
            assert_eq!(ended.code, Some(0), "{line:?} {endpoints}: {}", ended.said);
        }
    }
}

/// As `head -1` does.
fn reader_goes_away(endpoint: &str) {
    for key in 0..4 {
        assert_eq!(
            run(endpoint, &["put", &format!("pipe/{key}"), "-"], &vec![b'v'; 512 << 10]).code,
            Some(0)
        );
    }
    for line in [
        &["ls", "pipe/"][..],
        &["ls", "pipe/", "-o", "json"],
        &["get", "pipe/0", "-o", "value"],
        &["explain"],
        &["completions", "bash"],
    ] {
        let mut command = holdfast();
        command.args(line).env("HOLDFAST_ENDPOINTS", endpoint).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary that cargo built");
        let mut first = [0; 1];
        process.stdout.take().expect("piped").read_exact(&mut first).expect("it prints something");
        let output = process.wait_with_output().expect("it is ours");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{line:?}");
    }
}
