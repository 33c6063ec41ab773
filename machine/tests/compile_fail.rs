//! What must not compile, with the error code that must say so.
//!
//! Each file in `compile_fail/` starts with `//~ CODES text`: all the error codes that the compiler must
//! report and no others, and a part of its message. `good.rs` is the control: the same shape, whole, and it compiles, so
//! that a case cannot fail for the wrong reason (a missing crate, a syntax error) unnoticed.
//!
//! The usual harness for this compares the compiler's whole output to the letter, which changes with
//! every stable release; what is promised here is the code. So the compiler is called directly: this
//! crate has no dependency, and its library builds in a moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    let mut seen = 0;
    for case in std::fs::read_dir(here.join("tests/compile_fail")).expect("the cases are there") {
        let case = case.expect("the cases can be listed").path();
        let source = std::fs::read_to_string(&case).expect("a case can be read");
        let (ok, codes, text) = compile(&case, &out, &["--extern", &library, "--emit", "metadata"]);
        let wanted = source.lines().next().and_then(|line| line.strip_prefix("//~ ")).unwrap_or_default();
        match wanted.split_once(' ') {
            None => assert!(ok && wanted == "compiles", "{}: {text}", case.display()),
            Some((wanted, message)) => {
                assert!(!ok, "{} compiles", case.display());
                assert_eq!(codes, wanted, "{}: {text}", case.display());
                assert!(text.contains(message), "{} does not say {message:?}: {text}", case.display());
            }
        }
        seen += 1;
    }
    std::fs::remove_dir_all(&out).expect("the test's own directory can be removed");
    assert_eq!(seen, 13, "cases in compile_fail/");
}
