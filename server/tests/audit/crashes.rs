//! Crashes between any two calls, calls that fail, and syncs that lie.

use std::io::ErrorKind;

use holdfast_server::audit::{AuditError, AuditPolicy};
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};

use crate::common::{Files, Random, append, assert_whole, open, open_with};
use crate::storage_common::power_cuts;

/// Appends the entries in batches, flushing and syncing now and then, and tells the disk what is durable. What fails is
/// tried again.
fn work(files: &mut Files, disk: &FakeDisk, from: u64, to: u64, seed: u64) -> Vec<AuditError> {
    let (mut random, mut errors) = (Random(seed), Vec::new());
    let mut index = from;
    let mut insist = |files: &mut Files, call: &dyn Fn(&mut Files) -> Result<u64, AuditError>| {
        for _ in 0..10 {
            match call(files) {
                Ok(done) => return done,
                Err(error) => errors.push(error),
            }
        }
        panic!("seed {seed}: it fails for ever: {errors:?}");
    };
    while index <= to {
        let last = (index + random.below(12)).min(to);
        append(files, index..=last);
        index = last + 1;
        match random.below(4) {
            0 => {}
            1 | 2 => _ = insist(files, &|files| files.flush().map(|()| 0)),
            _ => disk.set_note(insist(files, &Files::sync)),
        }
    }
    let durable = insist(files, &Files::sync);
    assert_eq!(durable, to, "seed {seed}");
    disk.set_note(durable);
    errors
}

#[test]
fn after_any_crash_a_replay_behind_what_was_durable_makes_the_records_whole() {
    let (mut images, mut cuts) = (0, 0);
    for seed in 0..6 {
        let disk = FakeDisk::new(1 << 24);
        let mut files = open(&disk, 0).files;
        disk.record(true);
        work(&mut files, &disk, 1, 60, seed);
        disk.record(false);
        let mut moments = disk.take_moments();
        moments.push(disk.moment("the end"));
        for moment in moments {
            let durable = moment.note;
            let killed = moment.state.after_kill();
            let crashed = power_cuts(&moment.state, 12).into_iter().chain([killed]);
            for (number, disk) in crashed.enumerate() {
                let what = format!("seed {seed}, before {}, image {number}", moment.before);
                let opened = open(&disk, durable);
                assert_eq!(opened.missing, None, "{what}: durable through {durable}");
                assert_eq!(opened.damaged, Vec::<String>::new(), "{what}");
                cuts += usize::from(opened.cut.is_some());
                let mut files = opened.files;
                assert!(files.through() >= durable, "{what}");
                // Some of it again, and another crash in the middle of that.
                let half = durable + (60 - durable) / 2;
                append(&mut files, durable + 1..=half);
                files.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
                let mut random = Random(seed ^ number as u64);
                let choices: Vec<usize> =
                    disk.unsynced().iter().map(|cell| random.below(cell.versions as u64) as usize).collect();
                let disk = disk.after_power_cut(&choices);
                let opened = open(&disk, durable);
                assert_eq!(opened.missing, None, "{what}, again");
                let mut files = opened.files;
                append(&mut files, durable + 1..=60);
                assert_whole(&mut files, 60, &what);
                images += 1;
            }
        }
    }
    assert!(images > 2_000 && cuts > 100, "{images} images, of which {cuts} had a torn end");
}

#[test]
fn whatever_call_fails_nothing_is_lost_and_what_was_said_to_be_durable_is() {
    let mut failed = 0;
    for call in [
        Call::Create,
        Call::Allocate,
        Call::Write,
        Call::Sync,
        Call::SyncDirectory,
        Call::Unlink,
        Call::Rename,
    ] {
        let mut faults = vec![Fault::Fail(ErrorKind::StorageFull), Fault::Fail(ErrorKind::Other)];
        match call {
            Call::Write => {
                faults.extend([1, 40, 300].map(|bytes| Fault::Tear { bytes, kind: ErrorKind::Other }));
            }
            Call::Sync | Call::SyncDirectory => faults.push(Fault::FailClean(ErrorKind::Other)),
            _ => {}
        }
        for fault in faults {
            for (skip, twice) in (0..14).flat_map(|skip| [(skip, false), (skip, true)]) {
                let what = format!("{call:?} {fault:?} skip {skip} twice {twice}");
                let disk = FakeDisk::new(1 << 24);
                let mut files = open(&disk, 0).files;
                for _ in 0..=usize::from(twice) {
                    disk.inject(Injection { call, skip, fault: fault.clone() });
                }
                failed += work(&mut files, &disk, 1, 80, skip as u64).len();
                assert_whole(&mut files, 80, &what);
                // Only what is on the platter.
                let disk = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
                let opened = open(&disk, 80);
                assert_eq!(opened.missing, None, "{what}");
                let mut files = opened.files;
                assert_whole(&mut files, 80, &what);
                append(&mut files, 81..=90);
                assert_whole(&mut files, 90, &what);
            }
        }
    }
    assert!(failed > 200, "{failed} calls failed");
}

#[test]
fn a_sync_that_failed_and_is_called_clean_is_not_believed_by_the_next_process() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk, 0).files;
    append(&mut files, 1..=4);
    assert_eq!(files.sync().expect("it is stored"), 4);
    append(&mut files, 5..=9);
    disk.inject(Injection { call: Call::Sync, skip: 0, fault: Fault::FailClean(ErrorKind::Other) });
    files.sync().expect_err("it failed");
    // The cache shows all of it, and every later sync says that it is stored.
    let disk = disk.after_kill();
    let opened = open(&disk, 4);
    assert_eq!(opened.files.through(), 4, "the rest is not on the disk");
    let mut files = opened.files;
    append(&mut files, 5..=9);
    assert_eq!(files.sync().expect("it is stored"), 9);
    let disk = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
    assert_whole(&mut open(&disk, 9).files, 9, "after a power cut");
}

#[test]
fn a_full_disk_loses_nothing_and_what_is_there_can_be_read_meanwhile() {
    let disk = FakeDisk::new(6 * 1024);
    let mut files = open(&disk, 0).files;
    let mut index = 0;
    let error = loop {
        index += 1;
        append(&mut files, index..=index);
        if let Err(error) = files.flush() {
            break error;
        }
        assert!(index < 1_000, "the disk is never full");
    };
    assert!(error.to_string().contains("fake: "), "{error}");
    append(&mut files, index + 1..=300);
    files.sync().expect_err("it is full");
    let (records, missing) = crate::common::read_all(&mut files, &crate::common::by(10));
    assert!(missing.is_empty() && !records.is_empty());
    let last = crate::common::index_of(records.last().expect("some"));
    assert!(last < index && records == crate::common::expected(1..=last), "a beginning of it");
    disk.set_capacity(1 << 24);
    assert_eq!(files.sync().expect("there is room"), 300);
    assert_whole(&mut files, 300, "with room again");
}

#[test]
fn what_is_damaged_before_it_was_durable_is_written_again_from_memory() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open_with(&disk, 0, AuditPolicy::default()).expect("a directory").files;
    append(&mut files, 1..=8);
    files.flush().expect("there is room");
    let name = disk.names()[0].clone();
    disk.flip_bit(&name, 8 * 200);
    assert_whole(&mut files, 8, "nothing of it was durable");
    // And what was durable is lost, but nothing else.
    append(&mut files, 9..=20);
    files.sync().expect("there is room");
    append(&mut files, 21..=30);
    files.flush().expect("there is room");
    let newest = disk.names().pop().expect("a file");
    disk.flip_bit(&newest, 8 * 100);
    let (records, missing) = crate::common::read_all(&mut files, &crate::common::by(100));
    let lost = missing.first().expect("something is lost");
    assert_eq!((missing.len(), lost.last), (1, 20));
    let rest = [crate::common::expected(1..=lost.first - 1), crate::common::expected(21..=30)].concat();
    assert!(records == rest, "{lost:?}");
    assert_eq!((files.complete_from(), files.through()), (21, 30));
    assert_eq!(files.sync().expect("there is room"), 30);
}
