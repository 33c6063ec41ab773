//! The data directory: replaced as a whole or not at all, held by one process, refused when it is another's.

mod storage_common;

use std::collections::BTreeSet;
use std::io::ErrorKind;

use holdfast_raft::formation::IdentityState;
use holdfast_raft::{EntryId, NodeId};
use holdfast_server::storage::{DamageMark, DataDir, IDENTITY_COPY, IDENTITY_FILE, Identity, StorageError};
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};
use storage_common::{NODE, crashes, data_dir, mint};

/// More than a replacement of the identity ever leaves open: all of it is tried.
const ALL: usize = 4096;

fn small_disk() -> FakeDisk {
    FakeDisk::new(1 << 20)
}

#[test]
fn a_crash_while_the_identity_is_replaced_leaves_the_old_one_or_the_new_one() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    let old = dir.begin_boot(NODE, "prod").expect("a blank directory");
    let new = Identity {
        formation: IdentityState::Formed(mint()),
        log_made: true,
        damage: Some(DamageMark { claimed_end: EntryId::new(3, 9), trustworthy: false }),
        ..old.clone()
    };
    let images = crashes(&disk, ALL, || dir.store(&new).expect("there is room"));
    let mut seen = BTreeSet::new();
    for (crash, disk) in images {
        let found = data_dir(&disk).load().unwrap_or_else(|error| panic!("{crash}: {error}"));
        let found = found.unwrap_or_else(|| panic!("{crash}: nothing left"));
        assert!(found == old || found == new, "{crash}: {found:?}");
        seen.insert((crash.starts_with("killed"), found == new));
    }
    assert_eq!(seen.len(), 4, "old and new were both left by both kinds of crash");
}

#[test]
fn a_crash_while_the_first_identity_is_written_leaves_none_or_all_of_it() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    let images = crashes(&disk, ALL, || drop(dir.begin_boot(NODE, "prod").expect("a blank directory")));
    let first = Identity { boot: 1, ..Identity::blank(NODE, "prod") };
    for (crash, disk) in images {
        let found = data_dir(&disk).load().unwrap_or_else(|error| panic!("{crash}: {error}"));
        assert!(found.is_none() || found.as_ref() == Some(&first), "{crash}: {found:?}");
    }
}

#[test]
fn a_stored_identity_survives_every_power_cut() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    for boot in 1..=3 {
        assert_eq!(dir.begin_boot(NODE, "prod").expect("it is ours").boot, boot);
        assert!(disk.unsynced().is_empty(), "nothing is left to a power cut");
    }
}

#[test]
fn no_boot_number_is_given_twice_whatever_crashes_lie_between() {
    let disk = small_disk();
    let given = data_dir(&disk).begin_boot(NODE, "prod").expect("a blank directory").boot;
    let dir = data_dir(&disk);
    // The second start is cut off anywhere, and so is the third.
    for (crash, second) in crashes(&disk, 8, || drop(dir.begin_boot(NODE, "prod").expect("it is ours"))) {
        let whole = crash.ends_with("the end");
        let dir = data_dir(&second);
        for (again, third) in crashes(&second, 8, || drop(dir.begin_boot(NODE, "prod").expect("it is ours")))
        {
            let boot = data_dir(&third).begin_boot(NODE, "prod").expect("it is ours").boot;
            let floor = given + u64::from(whole) + u64::from(again.ends_with("the end"));
            assert!(boot > floor, "{crash}, {again}: boot {boot} again");
        }
    }
}

#[test]
fn what_was_being_written_when_the_process_ended_is_in_nobodys_way() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    dir.begin_boot(NODE, "prod").expect("a blank directory");
    disk.inject(Injection { call: Call::Rename, skip: 0, fault: Fault::Fail(ErrorKind::Other) });
    assert!(matches!(dir.begin_boot(NODE, "prod"), Err(StorageError::Io { .. })));
    assert_eq!(disk.names(), [IDENTITY_FILE, IDENTITY_COPY, "identity.copy.new", "identity.new"]);
    drop(dir);
    assert_eq!(data_dir(&disk).begin_boot(NODE, "prod").expect("it is ours").boot, 2);
    assert_eq!(disk.names(), [IDENTITY_FILE, IDENTITY_COPY]);
}

#[test]
fn a_failure_of_any_step_is_reported() {
    let calls = [Call::Create, Call::Allocate, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory];
    for (call, skip) in calls.into_iter().flat_map(|call| [(call, 0), (call, 1)]) {
        if (call, skip) == (Call::SyncDirectory, 1) {
            continue; // One for both files.
        }
        let disk = small_disk();
        let dir = data_dir(&disk);
        disk.inject(Injection { call, skip, fault: Fault::Fail(ErrorKind::StorageFull) });
        let error = dir.begin_boot(NODE, "prod").expect_err("it failed");
        assert!(error.to_string().contains("replacing the identity file"), "{call:?} {skip}: {error}");
    }
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused_and_both_are_named() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    let ours = dir.begin_boot(NODE, "prod").expect("a blank directory");
    let text = |node: u64, name: &str| dir.begin_boot(NodeId(node), name).expect_err("not ours").to_string();
    let node = text(3, "prod");
    assert!(node.contains("belongs to node 2") && node.contains("to be node 3"), "{node}");
    let cluster = text(2, "test");
    assert!(cluster.contains("cluster \"prod\"") && cluster.contains("cluster \"test\""), "{cluster}");
    assert_eq!(dir.load().expect("whole"), Some(ours), "a refused start changes nothing");
}

#[test]
fn a_node_id_or_a_name_that_cannot_be_is_refused_before_anything_is_written() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    let long = "x".repeat(256);
    for (node, name) in [(0, "prod"), (1 << 62, "prod"), (2, ""), (2, &long)] {
        let refused = dir.begin_boot(NodeId(node), name);
        assert!(matches!(refused, Err(StorageError::IdentityRule { .. })), "{node} {name}: {refused:?}");
    }
    assert!(disk.names().is_empty());
}

#[test]
fn an_identity_file_or_its_copy_may_be_damaged_missing_or_old_and_the_next_start_mends_it() {
    let disk = small_disk();
    let dir = data_dir(&disk);
    dir.begin_boot(NODE, "prod").expect("a blank directory");
    let old = disk.after_kill();
    let second = dir.begin_boot(NODE, "prod").expect("it is ours");
    for name in [IDENTITY_FILE, IDENTITY_COPY] {
        for harm in 0..5 {
            let disk = disk.after_kill();
            match harm {
                0 => disk.flip_bit(name, 8 * 25),
                1 => disk.set_length(name, 0),
                2 => disk.set_length(name, 100_000),
                3 => disk.remove_file(name),
                _ => disk.restore_file(name, &old),
            }
            let dir = data_dir(&disk);
            assert_eq!(dir.load().expect("the other counts"), Some(second.clone()), "{name} {harm}");
            assert_eq!(dir.begin_boot(NODE, "prod").expect("it is ours").boot, 3, "{name} {harm}");
            drop(dir);
            let other = if name == IDENTITY_FILE { IDENTITY_COPY } else { IDENTITY_FILE };
            disk.remove_file(other);
            assert_eq!(
                data_dir(&disk).load().expect("mended").map(|found| found.boot),
                Some(3),
                "{name} {harm}"
            );
        }
    }
}

#[test]
fn of_two_identities_of_one_boot_the_one_that_knows_more_counts() {
    let first = Identity { formation: IdentityState::Formed(mint()), ..Identity::blank(NODE, "prod") };
    let made = Identity { log_made: true, ..first.clone() };
    let lost = Identity { hard_state_lost: true, ..made.clone() };
    let mark = DamageMark { claimed_end: EntryId::new(3, 9), trustworthy: false };
    let damaged = Identity { damage: Some(mark), ..made.clone() };
    for (old, new, expected) in [
        (&first, &made, &made),
        (&made, &lost, &lost),
        (&made, &damaged, &damaged),
        (&damaged, &made, &damaged),
        (&damaged, &lost, &Identity { damage: Some(mark), ..lost.clone() }),
    ] {
        for stale in [IDENTITY_FILE, IDENTITY_COPY] {
            let disk = small_disk();
            let dir = data_dir(&disk);
            dir.store(old).expect("there is room");
            let before = disk.after_kill();
            dir.store(new).expect("there is room");
            disk.restore_file(stale, &before);
            assert_eq!(dir.load().expect("whole").as_ref(), Some(expected), "{stale}: {old:?} {new:?}");
        }
    }
}

#[test]
fn a_damaged_identity_without_a_copy_that_is_whole_names_what_to_do() {
    let disk = small_disk();
    data_dir(&disk).begin_boot(NODE, "prod").expect("a blank directory");
    let whole = disk.after_kill();
    disk.flip_bit(IDENTITY_FILE, 8 * 25);
    disk.flip_bit(IDENTITY_COPY, 8 * 25);
    let error = data_dir(&disk).begin_boot(NODE, "prod").expect_err("damaged");
    assert!(error.to_string().contains("member replace"), "{error}");

    whole.remove_file(IDENTITY_COPY);
    for length in [0, 5, 100_000] {
        whole.set_length(IDENTITY_FILE, length);
        let cut = data_dir(&whole).load();
        assert!(matches!(cut, Err(StorageError::IdentityDamaged { .. })), "{length} bytes: {cut:?}");
    }
}

#[test]
fn a_log_without_an_identity_file_is_not_the_start_of_a_new_node() {
    let path = tempfile::tempdir().expect("a temporary directory");
    let dir = DataDir::open(path.path()).expect("a directory");
    dir.begin_boot(NODE, "prod").expect("a blank directory");
    dir.log_disk().expect("a directory in it");
    for name in [IDENTITY_FILE, IDENTITY_COPY] {
        std::fs::remove_file(path.path().join(name)).expect("it is there");
    }
    let error = dir.begin_boot(NODE, "prod").expect_err("who was it?");
    assert!(matches!(error, StorageError::IdentityMissing { .. }), "{error}");
    assert!(error.to_string().contains("member replace"), "{error}");
}

/// As a restoration leaves it that was killed before the identity was written.
#[test]
fn snapshots_without_an_identity_file_are_not_the_start_of_a_new_node() {
    let path = tempfile::tempdir().expect("a temporary directory");
    let dir = DataDir::open(path.path()).expect("a directory");
    dir.snapshot_disk().expect("a directory in it");
    let error = dir.begin_boot(NODE, "prod").expect_err("it belongs to nobody");
    assert!(matches!(error, StorageError::RestorationUnfinished { .. }), "{error}");
    assert!(!path.path().join(IDENTITY_FILE).exists(), "nothing was written");
}

#[test]
fn a_directory_is_made_and_held_by_one_at_a_time() {
    let path = tempfile::tempdir().expect("a temporary directory");
    let deep = path.path().join("var/holdfast/node-2");
    let first = DataDir::open(&deep).expect("made");
    let error = DataDir::open(&deep).expect_err("held");
    assert!(matches!(error, StorageError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(first.begin_boot(NODE, "prod").expect("blank").boot, 1);
    drop(first);
    let second = DataDir::open(&deep).expect("free again");
    assert_eq!(second.begin_boot(NODE, "prod").expect("ours").boot, 2);
}
