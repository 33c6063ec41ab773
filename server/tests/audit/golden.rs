//! The bytes of a file against what was promised before.
//!
//! `golden/audit-001.audit` and what follows are files that builds have written. Each is read for ever; the newest is what this
//! build writes. `UPDATE_GOLDEN=1` adds one if that has changed, and then fails, so that no run is green by writing it.

use std::path::PathBuf;

use holdfast_server::audit::{Missing, MissingReason};
use holdfast_wal::disk::{Disk, FakeDisk};

use crate::common::{append, by, expected, open, read_all};

const NAME: &str = "0000000000000003-0000000000000001.audit";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/audit/golden")
}

/// Names and contents, the oldest first.
fn golden() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("it can be read"))
        })
        .collect();
    all.sort();
    all
}

/// A file with every kind of frame.
fn sample() -> Vec<u8> {
    let disk = FakeDisk::new(1 << 20);
    let mut files = open(&disk, 0).files;
    append(&mut files, 1..=4);
    files.complete(6);
    files.sync().expect("there is room");
    files.reinstalled(90);
    append(&mut files, 91..=93);
    files.sync().expect("there is room");
    disk.content(NAME).expect("the first file")
}

#[test]
fn this_build_writes_what_the_newest_golden_file_holds() {
    let (all, now) = (golden(), sample());
    if all.last().is_some_and(|(_, newest)| *newest == now) {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = folder().join(format!("audit-{:03}.audit", all.len() + 1));
        std::fs::write(&path, &now).expect("it can be written");
        panic!("{} is new; look at it and run again", path.display());
    }
    panic!("other bytes are written than before; UPDATE_GOLDEN=1 adds them to those that are read for ever");
}

#[test]
fn every_golden_file_is_read_as_what_it_was_written_of() {
    assert!(!golden().is_empty());
    for (name, bytes) in golden() {
        let disk = FakeDisk::new(1 << 20);
        let file = disk.create(NAME).expect("it is new");
        disk.allocate(&file, bytes.len() as u64).expect("there is room");
        disk.write_at(&file, 0, &bytes).expect("there is room");
        let opened = open(&disk, 93);
        assert_eq!((opened.cut, opened.missing), (None, None), "{name}");
        let mut files = opened.files;
        assert_eq!((files.complete_from(), files.through()), (91, 93), "{name}");
        let (records, missing) = read_all(&mut files, &by(100));
        assert!(records == [expected(1..=4), expected(91..=93)].concat(), "{name}");
        assert_eq!(missing, [Missing { first: 7, last: 90, why: MissingReason::Passed }], "{name}");
    }
}
