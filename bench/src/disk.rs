//! Where runs keep their files, and what a durable append costs there at least.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Recorder, Window};

/// Bytes of a file that is written round and round; enough that the disk is not asked for one block all the time.
const FILE: u64 = 64 << 20;
/// Files are filled in pieces of this size. The page cache then holds pages of this size, and a small append writes
/// one of those; larger pieces make larger pages.
const PIECE: usize = 4096;

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    file_system: String,
}

impl Scratch {
    /// In `parent`, or in the system's directory for temporary files.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let directory = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(&parent);
        let directory = directory.doing(|| format!("make a directory in {}", parent.display()))?;
        let file_system = file_system(directory.path());
        Ok(Self { directory, file_system })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The type of its file system.
    pub(crate) fn file_system(&self) -> &str {
        &self.file_system
    }

    /// Whether its file system is in memory, where a sync does nothing.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
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
    file_system_in(&mounts, &path).unwrap_or_else(|| "an unknown file system".to_owned())
}

fn file_system_in(mounts: &str, path: &Path) -> Option<String> {
    let kind = |line: &str| {
        let (mount, rest) = line.split_once(" - ")?;
        Some((PathBuf::from(mount.split(' ').nth(4)?), rest.split(' ').next()?.to_owned()))
    };
    // The last of several at one point is the one that is seen.
    let holding = mounts.lines().filter_map(kind).filter(|(point, _)| path.starts_with(point));
    holding.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

/// A file full of zeros that is written from its begin to its end and then from its begin again, so that no write
/// allocates a block or changes a size, and a sync writes data only.
#[derive(Debug)]
pub(crate) struct Ring {
    file: File,
    position: u64,
}

impl Ring {
    /// Makes the file `name` in `dir`, in the place of one that an earlier run left there, and syncs it.
    pub(crate) fn create(dir: &Path, name: &str) -> Result<Self, Failure> {
        let path = dir.join(name);
        let fill = || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            let zeros = [0; PIECE];
            for piece in 0..FILE / PIECE as u64 {
                file.write_all_at(&zeros, piece * PIECE as u64)?;
            }
            file.sync_all()?;
            Ok::<_, io::Error>(file)
        };
        let file = fill().doing(|| format!("fill {} with zeros", path.display()))?;
        Ok(Self { file, position: 0 })
    }

    /// Writes `bytes` behind the last ones.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let at = self.position % FILE;
            let fits = bytes.len().min(usize::try_from(FILE - at).unwrap_or(usize::MAX));
            let (now, rest) = bytes.split_at(fits);
            self.file.write_all_at(now, at)?;
            self.position += fits as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Returns when everything appended is durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same file, for another thread to sync.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Appends and syncs in as many threads as `load` has connections, each with a file of its own.
pub(crate) fn syncs(load: &Load, dir: &Path) -> Result<Answers, Failure> {
    let body = vec![0xA5; load.value_bytes as usize];
    let writers: Result<Vec<Ring>, Failure> =
        (0..load.connections).map(|writer| Ring::create(dir, &format!("syncs-{writer}"))).collect();
    let writers = writers?;
    let window = load.window();
    let results: Vec<_> = thread::scope(|scope| {
        let body = &body;
        let start = |ring| scope.spawn(move || write(ring, body, load, window));
        let threads: Vec<_> = writers.into_iter().map(start).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut all: Option<Answers> = None;
    for result in results {
        let one = result.map_err(|_| Failure::new("measure syncs", "a thread panicked"))??;
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.latencies.add(&one.latencies).doing(|| "add histograms".to_owned())?;
                all.elapsed = all.elapsed.max(one.elapsed);
            }
        }
    }
    all.ok_or_else(|| Failure::new("measure syncs", "there are no writers"))
}

fn write(mut ring: Ring, body: &[u8], load: &Load, window: Window) -> Result<Answers, Failure> {
    let mut recorder = Recorder::new(load, window)?;
    let mut now = Instant::now();
    while !recorder.is_over(now) {
        let begin = now;
        ring.append(body).and_then(|()| ring.sync()).doing(|| "append and sync".to_owned())?;
        now = Instant::now();
        recorder.answer(begin, now);
    }
    Ok(recorder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_longest_mount_point_and_the_last_there() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                      2 1 8:2 / /data rw shared:1 - xfs /dev/b rw\n\
                      3 2 8:3 / /data rw - btrfs /dev/c rw\n\
                      4 1 0:5 / /dat rw - tmpfs none rw\n";
        let kind = |path: &str| file_system_in(mounts, Path::new(path));
        assert_eq!(kind("/data/x").as_deref(), Some("btrfs"));
        assert_eq!(kind("/database").as_deref(), Some("ext4"));
        assert_eq!(file_system_in("", Path::new("/")), None);
    }

    #[test]
    fn a_ring_goes_on_at_its_begin_and_keeps_its_size() {
        let scratch = Scratch::new(None).unwrap();
        let mut ring = Ring::create(scratch.path(), "ring").unwrap();
        ring.position = FILE - 3;
        ring.append(b"abcdef").unwrap();
        ring.sync().unwrap();
        let mut begin = [0; 4];
        ring.file.read_exact_at(&mut begin, 0).unwrap();
        let mut end = [0; 3];
        ring.file.read_exact_at(&mut end, FILE - 3).unwrap();
        assert_eq!((&begin, &end), (b"def\0", b"abc"));
        assert_eq!(ring.file.metadata().unwrap().len(), FILE);
    }

    #[test]
    fn a_directory_is_gone_when_it_is_dropped() {
        let scratch = Scratch::new(None).unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
