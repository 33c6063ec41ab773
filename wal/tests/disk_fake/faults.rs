//! What goes wrong on request.

use std::io::ErrorKind;

use holdfast_wal::disk::{Access, Call, Disk, FakeDisk, Fault, Injection, LockError, Map, SECTOR, is_full};

use super::{
    LENGTH, SECTORS, after_worst_cut, all_cuts, device, disk_with_a, durable_file, fill, next_call, shown,
};

#[test]
fn a_failed_sync_shows_what_is_not_there() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    disk.inject(next_call(Call::Sync, Fault::FailClean(ErrorKind::Other)));
    assert_eq!(disk.sync(&file).unwrap_err().kind(), ErrorKind::Other);
    disk.sync(&file).expect("what was lost is called clean");
    assert_eq!(shown(&disk, "a")[0], 1);
    assert_eq!(disk.unsynced(), [], "there is nothing to decide:");
    assert_eq!(shown(&after_worst_cut(&disk), "a")[0], 0, "it is gone");
    assert_eq!(device(&disk, &file, 0), 0, "and this is how one knows before");

    let killed = disk.after_kill();
    assert_eq!(shown(&killed, "a")[0], 1);
    let reopened = killed.open("a", Access::Write).unwrap();
    killed.sync(&reopened).unwrap();
    assert_eq!(device(&killed, &reopened, 0), 0, "a new process has no better luck");
    fill(&killed, &reopened, 0, 1);
    killed.sync(&reopened).unwrap();
    assert_eq!(shown(&after_worst_cut(&killed), "a")[0], 1, "unless it writes it again");
}

#[test]
fn a_failed_sync_may_leave_everything_to_be_synced() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    let before = disk.hash();
    disk.inject(next_call(Call::Sync, Fault::Fail(ErrorKind::StorageFull)));
    assert!(is_full(&disk.sync(&file).unwrap_err()));
    assert_eq!(disk.hash(), before);
    disk.sync(&file).unwrap();
    assert_eq!(shown(&after_worst_cut(&disk), "a")[0], 1);
}

#[test]
fn a_failed_sync_of_the_directory_shows_names_that_are_not_there() {
    let (disk, _file) = disk_with_a();
    disk.create("b").unwrap();
    disk.unlink("a").unwrap();
    disk.inject(next_call(Call::SyncDirectory, Fault::FailClean(ErrorKind::Other)));
    disk.sync_directory().unwrap_err();
    disk.sync_directory().unwrap();
    assert_eq!((disk.names(), disk.unsynced()), (vec!["b".to_owned()], vec![]));
    assert_eq!(after_worst_cut(&disk).names(), ["a"]);
}

#[test]
fn a_disk_that_lies_about_a_write_or_a_sync_shows_it_until_the_power_goes() {
    for call in [Call::Write, Call::Sync] {
        let (disk, file) = disk_with_a();
        fill(&disk, &file, 0, 1);
        disk.sync(&file).unwrap();
        disk.inject(next_call(call, Fault::Lose));
        fill(&disk, &file, 0, 2);
        disk.sync(&file).unwrap();
        disk.sync(&file).unwrap();
        assert_eq!((shown(&disk, "a")[0], device(&disk, &file, 0)), (2, 1), "{call:?}");
        assert_eq!(shown(&after_worst_cut(&disk), "a")[0], 1, "{call:?}");
    }
}

#[test]
fn a_misdirected_write_is_found_elsewhere_and_missing_where_it_belongs() {
    let (disk, a) = disk_with_a();
    let b = durable_file(&disk, "b");
    fill(&disk, &b, 3, 9);
    disk.inject(next_call(Call::Write, Fault::Misdirect { name: "b".to_owned(), sector: 2 }));
    // From the middle of one sector to the middle of the third: the disk stores three whole ones, two find
    // room.
    disk.write_at(&a, 256, &[1; 2 * SECTOR]).unwrap();
    disk.sync(&a).unwrap();
    assert_eq!(shown(&disk, "a"), [0, 1, 1, 0]);
    assert_eq!(shown(&after_worst_cut(&disk), "a"), [0, 0, 0, 0]);
    let landed = after_worst_cut(&disk).content("b").unwrap();
    assert_eq!(landed[2 * SECTOR..3 * SECTOR], [[0; 256], [1; 256]].concat());
    assert_eq!(disk.content("b").unwrap()[2 * SECTOR..3 * SECTOR], landed[2 * SECTOR..3 * SECTOR]);
    assert_eq!(landed[3 * SECTOR..], [1; SECTOR], "beneath what was not synced,");
    assert_eq!(shown(&disk, "b")[3], 9, "which the cache still shows");
    disk.sync(&b).unwrap();
    assert_eq!(shown(&after_worst_cut(&disk), "b")[3], 9);

    disk.inject(next_call(Call::Write, Fault::Misdirect { name: "a".to_owned(), sector: 0 }));
    disk.write_at(&b, 256, &[5; 2 * SECTOR]).unwrap();
    assert_eq!(shown(&disk, "a"), [0, 1, 1, 0], "beneath what the cache shows and believes clean, too");
    assert_eq!(shown(&after_worst_cut(&disk), "a"), [0, 5, 5, 0]);
}

#[test]
fn a_torn_write_leaves_its_first_bytes() {
    let (disk, file) = disk_with_a();
    disk.inject(next_call(Call::Write, Fault::Tear { bytes: 700, kind: ErrorKind::Other }));
    assert_eq!(disk.write_at(&file, 100, &[1; 1000]).unwrap_err().kind(), ErrorKind::Other);
    assert_eq!(
        disk.content("a").unwrap(),
        [vec![0; 100], vec![1; 700], vec![0; LENGTH as usize - 800]].concat()
    );
    assert_eq!(disk.unsynced().len(), 2);
}

#[test]
fn an_injection_waits_for_its_call_and_happens_once() {
    let (disk, file) = disk_with_a();
    let mut byte = [0];
    disk.inject(Injection { call: Call::Read, skip: 2, fault: Fault::Fail(ErrorKind::Other) });
    for fails in [false, false, true, false] {
        drop(disk.read_past_cache(&file, 0, &mut byte));
        assert_eq!(disk.read_at(&file, 0, &mut byte).is_err(), fails);
    }
    assert_eq!(disk.pending(), []);
}

#[test]
fn every_call_can_fail_and_does_nothing_then() {
    let (disk, file) = disk_with_a();
    let before = disk.hash();
    let fail = |call| disk.inject(next_call(call, Fault::Fail(ErrorKind::QuotaExceeded)));
    let mut byte = [0];
    let mut errors = Vec::new();
    fail(Call::List);
    errors.push(disk.list().unwrap_err());
    fail(Call::Lock);
    match disk.lock() {
        Err(LockError::Io(error)) => errors.push(error),
        other => panic!("{other:?}"),
    }
    fail(Call::Open);
    errors.push(disk.open("a", Access::Read).unwrap_err());
    fail(Call::Create);
    errors.push(disk.create("b").unwrap_err());
    fail(Call::Len);
    errors.push(disk.len(&file).unwrap_err());
    fail(Call::Allocate);
    errors.push(disk.allocate(&file, 2 * LENGTH).unwrap_err());
    fail(Call::Write);
    errors.push(disk.write_at(&file, 0, &[1]).unwrap_err());
    fail(Call::Read);
    errors.push(disk.read_at(&file, 0, &mut byte).unwrap_err());
    fail(Call::ReadPastCache);
    errors.push(disk.read_past_cache(&file, 0, &mut byte).unwrap_err());
    fail(Call::Sync);
    errors.push(disk.sync(&file).unwrap_err());
    fail(Call::SyncDirectory);
    errors.push(disk.sync_directory().unwrap_err());
    fail(Call::Rename);
    errors.push(disk.rename("a", "b").unwrap_err());
    fail(Call::Unlink);
    errors.push(disk.unlink("a").unwrap_err());
    fail(Call::Map);
    errors.push(disk.map(&file, LENGTH).unwrap_err());
    fail(Call::Free);
    errors.push(disk.free().unwrap_err());
    assert_eq!(errors.len(), 15);
    for error in errors {
        assert!(is_full(&error), "{error}");
    }
    assert_eq!((disk.hash(), disk.pending()), (before, vec![]));
    disk.lock().unwrap();
}

#[test]
fn damage_is_in_the_cache_and_on_the_disk() {
    let (disk, file) = disk_with_a();
    for sector in 0..SECTORS {
        fill(&disk, &file, sector, sector as u8 + 1);
    }
    disk.sync(&file).unwrap();
    let earlier = disk.after_kill();
    let unsynced = disk.after_kill();
    fill(&unsynced, &unsynced.open("a", Access::Write).unwrap(), 0, 77);
    let both = |expected: [u8; 4]| {
        assert_eq!(shown(&disk, "a"), expected);
        assert_eq!(shown(&after_worst_cut(&disk), "a"), expected);
    };
    disk.flip_bit("a", 8 * 1024 + 7);
    both([1, 2, 3 + 128, 4]);
    disk.overwrite("a", 511, &[9, 8]);
    both([1, 8, 131, 4]);
    assert_eq!(disk.content("a").unwrap()[511], 9);
    disk.swap_sectors("a", 0, "a", 3);
    both([4, 8, 131, 1]);
    disk.restore_sector("a", 2, &earlier);
    both([4, 8, 3, 1]);
    disk.restore_sector("a", 0, &unsynced);
    both([77, 8, 3, 1]);
    disk.restore_file("a", &unsynced);
    both([77, 2, 3, 4]);
    disk.restore_file("a", &earlier);
    both([1, 2, 3, 4]);
    assert_eq!(disk.hash(), earlier.hash());
    let mut byte = [0];
    disk.read_at(&file, 0, &mut byte).unwrap();
    assert_eq!(byte, [1], "open handles see it too");
}

#[test]
fn damage_befalls_every_content_that_a_sector_may_have() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    fill(&disk, &file, 0, 2);
    disk.flip_bit("a", 2);
    let kept: Vec<_> = all_cuts(&disk).iter().map(|image| shown(image, "a")[0]).collect();
    assert_eq!((kept, shown(&disk, "a")[0]), (vec![4, 5, 6], 6));
    disk.overwrite("a", 0, &[7; SECTOR]);
    assert_eq!(disk.unsynced(), [], "which may make them one");
    assert_eq!(shown(&after_worst_cut(&disk), "a")[0], 7);
}

#[test]
fn a_file_of_another_length_has_zeros_where_it_grew_again() {
    let (disk, file) = disk_with_a();
    for synced in [false, true] {
        disk.write_at(&file, 0, &[1; LENGTH as usize]).unwrap();
        if synced {
            disk.sync(&file).unwrap();
        }
        disk.set_length("a", 700);
        assert_eq!(disk.content("a").unwrap(), [1; 700]);
        disk.set_length("a", LENGTH);
        let expected = [vec![1; 700], vec![0; LENGTH as usize - 700]].concat();
        assert_eq!(disk.content("a").unwrap(), expected);
        assert_eq!(disk.len(&file).unwrap(), LENGTH);
    }
}

#[test]
fn names_can_be_damaged_and_that_lasts() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    disk.copy_file("a", "b");
    disk.rename_file("a", "c");
    for disk in [&disk, &after_worst_cut(&disk)] {
        assert_eq!(disk.names(), ["b", "c"]);
        assert_eq!(shown(disk, "b")[0], 1);
    }
    assert_eq!(shown(&after_worst_cut(&disk), "c")[0], 0, "only the copy is durable");
    fill(&disk, &file, 0, 2);
    assert_eq!((shown(&disk, "b")[0], shown(&disk, "c")[0]), (1, 2), "and apart");
    let earlier = disk.after_kill();
    disk.remove_file("b");
    assert_eq!((disk.names(), disk.unsynced().len()), (vec!["c".to_owned()], 1));
    disk.restore_file("b", &earlier);
    assert_eq!(after_worst_cut(&disk).names(), ["b", "c"]);
}

#[test]
fn an_unreadable_sector_fails_every_read_that_touches_it_until_it_is_written_whole() {
    let (disk, file) = disk_with_a();
    disk.make_unreadable("a", 1);
    let map = disk.map(&file, LENGTH).unwrap();
    let mut bytes = [0; 2];
    disk.read_at(&file, 510, &mut bytes).unwrap();
    assert_eq!(disk.read_at(&file, 511, &mut bytes).unwrap_err().kind(), ErrorKind::Other);
    assert_eq!(disk.read_past_cache(&file, 1023, &mut bytes).unwrap_err().kind(), ErrorKind::Other);
    assert!(map.bytes(500..600).is_err());
    disk.read_past_cache(&file, 1024, &mut bytes).unwrap();
    let after = after_worst_cut(&disk);
    let reopened = after.open("a", Access::Read).unwrap();
    after.read_at(&reopened, 600, &mut bytes).unwrap_err();
    disk.write_at(&file, 600, &[1]).unwrap_err();
    fill(&disk, &file, 1, 3);
    disk.read_at(&file, 511, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 3]);
}

#[test]
#[should_panic = "does not befall"]
fn a_read_cannot_be_misdirected_without_the_test_being_told() {
    FakeDisk::new(0).inject(next_call(Call::Read, Fault::Lose));
}
