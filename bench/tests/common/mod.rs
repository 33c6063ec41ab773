//! Running the program, and reading what it prints.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with its files in `dir`.
pub(crate) fn bench(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-bench"));
    command.args(arguments).arg("--dir").arg(dir).output().unwrap()
}

/// A directory of this test's own.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The fields behind `name`, at the begin of a line.
pub(crate) fn row(out: &str, name: &str) -> Vec<String> {
    let line = out.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no row {name:?} in {out}"));
    line.split_whitespace().map(str::to_owned).collect()
}
