//! `lock` as its user starts it, on one node.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn locks_are_acquired_alone_and_contended_and_all_callers_have_their_turn() {
    let (dir, result) = (scratch(), scratch());
    let kept = result.path().join("kept");
    let bounds = ["--allow-debug", "--spawn", "1", "--seconds", "1", "--warmup", "0.1", "--runs", "2"];
    let load = ["--callers", "2", "--contenders", "3", "--out", kept.to_str().unwrap()];
    let arguments: Vec<&str> = ["lock"].into_iter().chain(bounds).chain(load).collect();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["alone: acquire", "alone: release", "contended: acquire", "contended: hand-over"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    assert!(out.contains("3 callers of one lock had it "), "{out}");
    let kept = std::fs::read_to_string(kept.join("result.json")).unwrap();
    assert!(
        kept.contains("contended: hand-over, max") && kept.contains("alone: acquire, in a second"),
        "{kept}"
    );
}
