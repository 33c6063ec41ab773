//! How long a disk takes to keep something: measured, with a file of its own.
//!
//! The file loses its name before anything is written to it, so nothing of it is left, however this ends; and it is written as
//! the log is: prepared first, then overwritten and synced piece by piece. So what is measured is what a write would wait for.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Bytes of a piece: what a write of a few hundred bytes takes in the log, in whole pages.
const PIECE: usize = 4_096;

/// Bytes of the file.
const FILE_BYTES: u64 = 1 << 20;

/// Syncs that are measured, if the disk is not too slow for them: enough to judge the slowest hundredth of them.
pub const SYNCS: u64 = super::nodes::PERCENTILE_SAMPLES;

/// How long is measured at most, beyond the sync that is under way.
const TIME: Duration = Duration::from_secs(5);

/// The longest sync that is told from longer ones, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// How many syncs.
    pub syncs: u64,
    /// How long half of them took at most, in microseconds.
    pub p50_us: u64,
    /// How long 99 of 100 took at most, in microseconds.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Writes and syncs in a file of its own in this directory. Nothing of it is left.
///
/// # Errors
/// Those of the operating system.
pub fn probe(directory: &Path) -> io::Result<Measured> {
    // Without a name from the beginning, where the file system has such a thing.
    let file = tempfile::tempfile_in(directory)?;
    // What is written for the first time needs metadata as well, which the log has written beforehand.
    file.write_all_at(&vec![0; FILE_BYTES as usize], 0)?;
    file.sync_all()?;
    let mut measured = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3).map_err(io::Error::other)?;
    let began = Instant::now();
    for sync in 0..SYNCS {
        let piece = [u8::try_from(sync % 251).unwrap_or(0); PIECE];
        let at = Instant::now();
        file.write_all_at(&piece, sync * PIECE as u64 % FILE_BYTES)?;
        file.sync_data()?;
        measured.saturating_record(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX).max(1));
        if began.elapsed() > TIME {
            break;
        }
    }
    Ok(Measured {
        syncs: measured.len(),
        p50_us: measured.value_at_quantile(0.5),
        p99_us: measured.value_at_quantile(0.99),
        max_us: measured.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_nothing_is_left_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let measured = probe(directory.path()).expect("it can be written");
        assert!((1..=SYNCS).contains(&measured.syncs), "{measured:?}");
        assert!(measured.p50_us <= measured.p99_us && measured.p99_us <= measured.max_us, "{measured:?}");
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
        probe(&directory.path().join("missing")).expect_err("there is no such directory");
    }
}
