//! What the examples share: a directory on a real disk, and medians.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Ends the process if this is not an optimised build.
pub(crate) fn refuse_debug_builds() {
    if cfg!(debug_assertions) {
        eprintln!("not an optimised build: run with --release");
        std::process::exit(2);
    }
}

/// A directory that is removed at the end, on a file system that keeps what is synced.
pub(crate) struct Scratch {
    directory: TempDir,
    file_system: String,
}

impl Scratch {
    /// In the directory that the first argument names, or else in the current one. Ends the process if that
    /// is in memory.
    pub(crate) fn new(name: &str) -> Self {
        let parent = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
        let prefix = format!("holdfast-{name}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
        let directory = directory.unwrap_or_else(|error| {
            eprintln!("{}: {error}", parent.display());
            std::process::exit(2);
        });
        let file_system = file_system(directory.path());
        if file_system == "tmpfs" || file_system == "ramfs" {
            eprintln!("{} is in memory: name a directory on a disk", parent.display());
            drop(directory);
            std::process::exit(2);
        }
        Self { directory, file_system }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl fmt::Display for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.path().display(), self.file_system)
    }
}

/// The type of the file system that holds `path`: that of the longest mount point above it.
fn file_system(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let kind = |line: &str| {
        let (mount, rest) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    // The last of several at one point is the one that is seen.
    let holding = mounts.lines().filter_map(kind).filter(|(point, _)| path.starts_with(point));
    holding
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
