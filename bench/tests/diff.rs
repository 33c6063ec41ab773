//! `diff` and `gate` as their user starts them, as far as nothing is measured.

mod common;

use common::{bench, row, scratch, text};

const RESULT: &str = include_str!("golden/result.json");

#[test]
fn two_results_are_compared_in_words_and_the_code_says_if_something_is_worse() {
    let dir = scratch();
    let (a, b) = (dir.path().join("a.json"), dir.path().join("b.json"));
    std::fs::write(&a, RESULT).unwrap();
    let slower = RESULT.replace("\"p90\": 2699263", "\"p90\": 5398526");
    assert_ne!(slower, RESULT);
    std::fs::write(&b, slower).unwrap();
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let run = |from, to| {
        let output = bench(dir.path(), &["diff", from, to]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, out) = run(a, a);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("no difference exceeds the noise\n"), "{out}");
    let (code, out) = run(a, b);
    assert_eq!(code, Some(4), "{out}");
    assert!(out.starts_with("beyond the noise: 1 worse, 0 better\n"), "{out}");
    row(&out, "  p90");
    let (code, out) = run(b, a);
    assert!(code == Some(0) && out.starts_with("beyond the noise: 0 worse, 1 better\n"), "{out}");
}

#[test]
fn a_file_that_is_no_result_is_named() {
    let dir = scratch();
    let path = dir.path().join("x.json");
    std::fs::write(&path, "{}").unwrap();
    let path = path.to_str().unwrap();
    let output = bench(dir.path(), &["diff", path, path]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains(path) && err.contains("names no format"), "{err}");
}

#[test]
fn a_history_that_is_damaged_is_told_before_anything_is_measured() {
    let dir = scratch();
    let history = dir.path().join("history.jsonl");
    std::fs::write(&history, "{\n").unwrap();
    let output = bench(dir.path(), &["gate", "--allow-debug", "--history", history.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("line 1: ") && err.contains("nothing was measured"), "{err}");
    assert!(output.stdout.is_empty());
}
