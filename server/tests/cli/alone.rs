//! What needs no cluster: usage, files, nobody there.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::script::{Names, run};

/// Nobody listens on the first port.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn an_endpoint_where_nobody_listens_is_said_with_all_that_there_is_to_say() {
    let ended = run(NOBODY, &["get", "x"], b"");
    assert_eq!((ended.code, ended.text().as_str()), (Some(3), ""));
    let wanted = "error: cannot read \"x\": no endpoint could be reached\n  \
                  tried    127.0.0.1:1 connection refused\n  \
                  outcome  nothing was to be changed, and nothing was\n  \
                  next     check that a node runs at 127.0.0.1:1 (`holdfast dev` starts three), or name others with --endpoints\n";
    assert_eq!(ended.said, wanted);
    for arguments in [
        &["put", "a", "1"][..],
        &["watch", "a"],
        &["status"],
        &["audit"],
        &["member", "list"],
        &["lease", "ls"],
    ] {
        assert_eq!(run(NOBODY, arguments, b"").code, Some(3), "{arguments:?}");
    }
    assert_eq!(run(NOBODY, &["lock", "l", "--", "true"], b"").code, Some(125));
    let colours = run(NOBODY, &["get", "x", "--color", "always"], b"");
    assert!(colours.said.starts_with("\u{1b}[1;31merror\u{1b}[0m: "), "{}", colours.said);
}

#[test]
fn arguments_that_make_no_sense_end_with_2_and_say_what_was_probably_meant() {
    let cases = [
        ("putt a 1", "similar subcommand exists: 'put'"),
        ("put a 1 --reson x", "similar argument exists: '--reason'"),
        ("put a", "required"),
        ("put a 1 2", "unexpected argument '2'"),
        ("put a 1 --if-rev 1 --if-absent", "cannot be used with"),
        ("put a 1 --if-rev 0", "0 is not in"),
        ("put a 1 --if-rev many", "invalid digit"),
        ("put a 1 --lease x", "invalid digit"),
        ("put a --resaon", "similar argument"),
        ("get a --timeout 5x", "its unit is none of ms, s, m, h, d"),
        ("get a --timeout 0", "from 1ms to 1d"),
        ("get a --timeout 99999999999999999999999s", "longer than a year"),
        ("get a --max-stale -1s", "unexpected argument"),
        ("get a --max-stale 5s --consistency linearizable", "--max-stale is for stale reads"),
        ("get a --min-position 1.2", "four parts"),
        ("get a -o xml", "possible values"),
        ("get a --endpoints nonsense", "nonsense"),
        ("get a --endpoints ''", "error"),
        ("get a --encoding hex", "is not hexadecimal"),
        ("put --encoding base64 YQ== A", "is not base64"),
        ("ls --count --limit 1", "cannot be used with"),
        ("diff a --prefix", "--from"),
        ("diff a --from 3 --to 2", "lies behind"),
        ("rollback a", "--to"),
        ("txn 'then put a'", "line 1"),
        ("txn ''", "the transaction is empty"),
        ("txn --json '{\"then\": ['", "EOF"),
        ("txn --json '{\"than\": []}'", "unknown field `than`"),
        ("txn --file a b", "cannot be used with"),
        ("lease grant soon", "write it as 500ms"),
        ("lease keep x", "invalid digit"),
        ("lock", "required"),
        ("settings set HistoryAg=1d", "did you mean HistoryAge?"),
        ("settings set HistoryAge", "NAME=VALUE"),
        ("settings set ValueBytes=1", "lies between"),
        ("settings set ValueBytes=1TB", "none of B, KiB, MiB, GiB"),
        ("namespace set a/ --quota-bytes 99999999999999999999GiB", "write it as"),
        ("namespace set a/ --quota-bytes 18446744073709551615KiB", "more bytes than there can be"),
        ("member promote 0", "at least 1"),
        ("member move 1 --peer nowhere", "is not HOST:PORT"),
        ("member add 4 --peer a:1 --uuid 12", "32 hexadecimal digits"),
        ("audit --since whenever", "write it as 2026-11-21"),
        ("audit --follow --until 2026-11-21", "cannot be used with"),
        ("status --watch soon", "write it as 500ms"),
        ("completions tcsh", "possible values"),
        ("wal verify /nothing/here", "  outcome  "),
        ("config show --config /nothing/here", "/nothing/here"),
        ("snapshot verify /nothing/here", "cannot read /nothing/here"),
        ("put a --file /nothing/here", "cannot read /nothing/here"),
        ("put a --file /", "cannot read /"),
        ("txn --file /nothing/here", "cannot read /nothing/here"),
    ];
    for (line, why) in cases {
        let ended = run(NOBODY, &Names::default().words(line), b"");
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.said);
        assert!(ended.said.contains(why), "{line}: {}", ended.said);
        assert!(ended.out.is_empty(), "{line}: {}", ended.text());
    }
}

#[test]
fn an_argument_that_is_no_text_ends_with_2_where_it_has_to_be_text() {
    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let word = |text: &str| OsString::from(text);
    for arguments in [
        vec![word("put"), word("a"), word("1"), word("--reason"), bytes()],
        vec![word("txn"), bytes()],
        vec![word("lock"), bytes()],
        vec![bytes()],
        vec![word("get"), word("a"), word("--timeout"), bytes()],
    ] {
        let ended = run(NOBODY, &arguments, b"");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.said);
    }
    // Keys and values may be any bytes, so these come as far as to ask somebody.
    for arguments in
        [vec![word("get"), bytes()], vec![word("put"), bytes(), bytes()], vec![word("ls"), bytes()]]
    {
        assert_eq!(run(NOBODY, &arguments, b"").code, Some(3), "{arguments:?}");
    }
    let ended = run(NOBODY, &["txn"], b"then put a \xff");
    assert!(ended.code == Some(2) && ended.said.contains("byte 11 is not UTF-8"), "{}", ended.said);
}

#[test]
fn a_file_that_is_cut_or_no_snapshot_ends_with_9() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in [("empty", &b""[..]), ("text", b"then put a 1"), ("cut", b"HFSNAP")] {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        for verb in ["verify", "inspect"] {
            let ended = run(NOBODY, &[OsString::from("snapshot"), verb.into(), path.clone().into()], b"");
            assert_eq!(ended.code, Some(9), "{verb} {name}: {}", ended.said);
            assert!(
                ended.said.contains("is no whole snapshot") && ended.said.contains("\n  outcome  "),
                "{}",
                ended.said
            );
        }
    }
}

#[test]
fn the_help_comes_with_0_and_without_a_command_with_2() {
    for line in ["--help", "help", "put --help", "help lock", "member remove --help", "--version"] {
        let ended = run(NOBODY, &Names::default().words(line), b"");
        assert_eq!((ended.code, ended.said.as_str()), (Some(0), ""), "{line}");
    }
    let ended = run(NOBODY, &[""; 0], b"");
    assert!(
        ended.code == Some(2) && ended.said.contains("\nCoordination\n"),
        "{:?} {}",
        ended.code,
        ended.said
    );
    let help = run(NOBODY, &["put", "--help"], b"").text();
    assert!(help.starts_with("Examples:\n  holdfast put "), "{help}");
}
