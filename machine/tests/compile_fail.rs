//! What must not compile, with the error code that must say so.
//!
//! Each file in `compile_fail/` starts with `//~ CODES text`: all the error codes that the compiler must
//! report and no others, and a part of its message. `good.rs` is the control: a whole machine, and it compiles, so that a case
//! cannot fail for the wrong reason (a missing crate, a syntax error) unnoticed. The machines with a hole are `good.rs` less
//! one line, [`HOLES`].
//!
//! The usual harness for this compares the compiler's whole output to the letter, which changes with
//! every stable release; what is promised here is the code. So the compiler is called directly: this
//! crate has no dependency, and its library builds in a moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A line of `good.rs`, and what the compiler says without it.
const HOLES: [(&str, &str); 2] = [
    ("(S::Busy, E::Begin) => Verdict::Stay", "//~ E0004 (S::Busy, E::Begin)"),
    ("T::Stop => S::Idle", "//~ E0004 T::Stop"),
];

/// Compiles `source` into `out`: whether it went well, the error codes reported, and all that was said.
fn compile(source: &Path, out: &Path, args: &[&str]) -> (bool, String, String) {
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--color", "never", "--out-dir"])
        .args([out, source])
        .args(args)
        .output()
        .expect("the compiler that built this test can be started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let codes: BTreeSet<&str> =
        text.split("error[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    (output.status.success(), Vec::from_iter(codes).join(","), text)
}

#[test]
fn each_bad_declaration_fails_with_its_own_error_code() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("compile-fail-{}", std::process::id()));
    std::fs::create_dir_all(&out).expect("the target directory is writable");

    let name = ["--crate-name", "holdfast_machine"];
    let (ok, _, text) = compile(&here.join("src/lib.rs"), &out, &name);
    assert!(ok, "the library itself: {text}");
    let library = format!("holdfast_machine={}", out.join("libholdfast_machine.rlib").display());

    let listed = std::fs::read_dir(here.join("tests/compile_fail")).expect("the cases are there");
    let mut cases: Vec<PathBuf> = listed.map(|case| case.expect("the cases can be listed").path()).collect();
    let good =
        std::fs::read_to_string(here.join("tests/compile_fail/good.rs")).expect("the control is there");
    for (at, (hole, wanted)) in HOLES.iter().enumerate() {
        let kept: Vec<&str> = good.lines().skip(1).filter(|line| !line.contains(hole)).collect();
        assert_eq!(kept.len() + 2, good.lines().count(), "one line of good.rs has {hole:?}");
        let case = out.join(format!("hole_{at}.rs"));
        std::fs::write(&case, format!("{wanted}\n{}\n", kept.join("\n"))).expect("a case can be written");
        cases.push(case);
    }
    assert_eq!(cases.len(), 13, "cases in compile_fail/, and holes");
    for case in &cases {
        let source = std::fs::read_to_string(case).expect("a case can be read");
        let (ok, codes, text) = compile(case, &out, &["--extern", &library, "--emit", "metadata"]);
        let wanted = source.lines().next().and_then(|line| line.strip_prefix("//~ ")).unwrap_or_default();
        match wanted.split_once(' ') {
            None => assert!(ok && wanted == "compiles", "{}: {text}", case.display()),
            Some((wanted, message)) => {
                assert!(!ok, "{} compiles", case.display());
                assert_eq!(codes, wanted, "{}: {text}", case.display());
                assert!(text.contains(message), "{} does not say {message:?}: {text}", case.display());
            }
        }
    }
    std::fs::remove_dir_all(&out).expect("the test's own directory can be removed");
}
