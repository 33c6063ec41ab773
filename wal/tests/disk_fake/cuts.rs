//! What a power cut or the end of the process may leave, how one tells images apart, and what a disk does on
//! a good day.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use holdfast_wal::disk::{Access, Cell, CellKind, Disk, FakeDisk, LockError, Map, SECTOR, is_full};

use super::{LENGTH, SECTORS, after_worst_cut, all_cuts, disk_with_a, durable_file, fill, shown};

#[test]
fn an_unsynced_write_may_be_lost_and_may_stay() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    fill(&disk, &file, 2, 2);
    let images: Vec<_> = all_cuts(&disk).iter().map(|image| shown(image, "a")).collect();
    assert_eq!(images, [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 2, 0], [1, 0, 2, 0]]);
    assert_eq!(shown(&disk, "a"), [1, 0, 2, 0]);
}

#[test]
fn a_sector_may_keep_any_content_since_the_last_sync() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 1, 1);
    disk.sync(&file).unwrap();
    for byte in [2, 3, 2, 1, 3, 1] {
        fill(&disk, &file, 1, byte);
    }
    let kind = CellKind::Sector { name: "a".to_owned(), inode: 1, sector: 1 };
    assert_eq!(disk.unsynced(), [Cell { kind, versions: 3 }]);
    let kept: Vec<_> = all_cuts(&disk).iter().map(|image| shown(image, "a")[1]).collect();
    assert_eq!(kept, [1, 2, 3], "in the order in which they were first written, the durable one first");
    assert_eq!(shown(&disk, "a")[1], 1, "the cache shows the last one");
}

#[test]
fn a_write_that_changes_nothing_leaves_nothing_to_decide() {
    let (disk, file) = disk_with_a();
    let before = disk.hash();
    disk.write_at(&file, 0, &[0; LENGTH as usize]).unwrap();
    assert_eq!(disk.unsynced(), []);
    assert_eq!(disk.hash(), before);
}

#[test]
fn a_sync_decides_for_its_own_file_only() {
    let (disk, a) = disk_with_a();
    let b = durable_file(&disk, "b");
    fill(&disk, &a, 0, 1);
    fill(&disk, &b, 0, 2);
    disk.sync(&a).unwrap();
    let worst = after_worst_cut(&disk);
    assert_eq!((shown(&worst, "a")[0], shown(&worst, "b")[0]), (1, 0));
}

#[test]
fn a_length_lasts_only_after_the_file_was_synced() {
    let disk = FakeDisk::new(1 << 20);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap();
    disk.allocate(&file, LENGTH).unwrap();
    fill(&disk, &file, 1, 7);
    let images: BTreeSet<_> = all_cuts(&disk).iter().map(|image| shown(image, "a")).collect();
    assert_eq!(images, BTreeSet::from([vec![], vec![0, 0, 0, 0], vec![0, 7, 0, 0]]));
    disk.sync(&file).unwrap();
    assert_eq!(disk.unsynced(), []);
    assert_eq!(shown(&after_worst_cut(&disk), "a"), [0, 7, 0, 0]);
}

#[test]
fn a_name_lasts_only_after_the_directory_was_synced() {
    let disk = FakeDisk::new(1 << 20);
    let file = disk.create("a").unwrap();
    disk.allocate(&file, LENGTH).unwrap();
    disk.sync(&file).unwrap();
    assert_eq!(after_worst_cut(&disk).names(), [""; 0]);
    disk.sync_directory().unwrap();
    assert_eq!(after_worst_cut(&disk).names(), ["a"]);
    disk.unlink("a").unwrap();
    assert_eq!(disk.names(), [""; 0]);
    assert_eq!(after_worst_cut(&disk).names(), ["a"], "and so does its absence");
    disk.sync_directory().unwrap();
    assert_eq!(all_cuts(&disk).len(), 1);
    assert_eq!(after_worst_cut(&disk).names(), [""; 0]);
}

#[test]
fn a_renamed_file_may_be_there_under_both_names_or_neither() {
    let (disk, a) = disk_with_a();
    fill(&disk, &a, 0, 1);
    disk.sync(&a).unwrap();
    let b = durable_file(&disk, "b");
    fill(&disk, &b, 0, 2);
    disk.sync(&b).unwrap();
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.names(), ["b"]);
    let images = all_cuts(&disk);
    let first = |image: &FakeDisk, name| image.content(name).map(|bytes| bytes[0]);
    let images: Vec<_> = images.iter().map(|image| (first(image, "a"), first(image, "b"))).collect();
    assert_eq!(images, [(Some(1), Some(2)), (None, Some(2)), (Some(1), Some(1)), (None, Some(1))]);
}

/// One step of the check against the naive model.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u64, u8),
    Sync,
}

/// For one sector: everything written since the last sync, and what was there then.
fn naive_contents(steps: &[Step], sector: u64) -> BTreeSet<u8> {
    let mut contents = vec![0];
    for step in steps {
        match *step {
            Step::Write(to, byte) if to == sector => contents.push(byte),
            Step::Write(..) => {}
            Step::Sync => contents = contents.split_off(contents.len() - 1),
        }
    }
    contents.into_iter().collect()
}

#[test]
fn the_possible_images_are_those_of_the_naive_model_for_all_short_histories() {
    let steps = [
        Step::Write(0, 1),
        Step::Write(0, 2),
        Step::Write(0, 0),
        Step::Write(1, 1),
        Step::Write(1, 0),
        Step::Sync,
    ];
    let mut histories: Vec<Vec<Step>> = vec![vec![]];
    let mut checked = 0;
    for _ in 0..4 {
        histories = histories
            .iter()
            .flat_map(|history| steps.map(|step| history.iter().copied().chain([step]).collect()))
            .collect();
        for history in &histories {
            let (disk, file) = disk_with_a();
            for step in history {
                match *step {
                    Step::Write(sector, byte) => fill(&disk, &file, sector, byte),
                    Step::Sync => disk.sync(&file).unwrap(),
                }
            }
            let images = all_cuts(&disk);
            let found: BTreeSet<_> = images.iter().map(|image| shown(image, "a")[..2].to_vec()).collect();
            let second = naive_contents(history, 1);
            let expected: BTreeSet<_> = naive_contents(history, 0)
                .iter()
                .flat_map(|&first| second.iter().map(move |&second| vec![first, second]))
                .collect();
            assert_eq!(found, expected, "{history:?}");
            assert_eq!(images.len(), found.len(), "no image twice: {history:?}");
            let hashes: BTreeSet<_> = images.iter().map(FakeDisk::hash).collect();
            assert_eq!(hashes.len(), found.len(), "a hash for each: {history:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6 + 36 + 216 + 1296);
}

#[test]
fn images_that_are_alike_have_one_hash_whatever_led_to_them() {
    let (straight, file) = disk_with_a();
    fill(&straight, &file, 0, 5);
    straight.sync(&file).unwrap();

    let winding = FakeDisk::new(1 << 30);
    durable_file(&winding, "gone");
    let file = winding.create("b").unwrap();
    winding.rename("b", "a").unwrap();
    winding.allocate(&file, 100).unwrap();
    winding.allocate(&file, LENGTH).unwrap();
    fill(&winding, &file, 3, 9);
    winding.sync(&file).unwrap();
    fill(&winding, &file, 3, 0);
    fill(&winding, &file, 0, 6);
    fill(&winding, &file, 0, 5);
    winding.unlink("gone").unwrap();
    assert_ne!(winding.hash(), straight.hash(), "not yet: it may still turn out otherwise");
    winding.sync(&file).unwrap();
    winding.sync_directory().unwrap();
    assert_eq!(winding.hash(), straight.hash());
    assert_eq!(after_worst_cut(&winding).hash(), straight.hash());
    assert_eq!(winding.after_kill().hash(), straight.hash());
}

#[test]
fn a_disk_that_may_still_lose_something_has_another_hash_than_what_it_may_become() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    let first = disk.hash();
    fill(&disk, &file, 0, 2);
    let second = disk.hash();
    fill(&disk, &file, 0, 1);
    let third = disk.hash();
    let images = all_cuts(&disk);
    let hashes: BTreeSet<_> = images.iter().map(FakeDisk::hash).chain([first, second, third]).collect();
    assert_eq!(hashes.len(), 3 + 3);
}

#[test]
fn images_that_differ_in_place_length_name_or_readability_differ_in_hash() {
    let make = |change: &dyn Fn(&FakeDisk)| {
        let (disk, file) = disk_with_a();
        fill(&disk, &file, 1, 5);
        disk.sync(&file).unwrap();
        change(&disk);
        disk.hash()
    };
    let hashes = [
        make(&|_| {}),
        make(&|disk| disk.swap_sectors("a", 1, "a", 2)),
        make(&|disk| disk.set_length("a", LENGTH + 1)),
        make(&|disk| disk.set_length("a", LENGTH - 1)),
        make(&|disk| disk.rename_file("a", "b")),
        make(&|disk| disk.copy_file("a", "b")),
        make(&|disk| disk.make_unreadable("a", 1)),
        make(&|disk| disk.flip_bit("a", 4096 + 4095)),
        make(&|disk| assert!(disk.create("b").is_ok())),
    ];
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
}

#[test]
fn a_full_disk_refuses_to_allocate_and_never_to_write() {
    let disk = FakeDisk::new(LENGTH + 10);
    let file = durable_file(&disk, "a");
    let other = disk.create("b").unwrap();
    assert!(is_full(&disk.allocate(&other, 11).unwrap_err()));
    disk.allocate(&other, 10).unwrap();
    assert_eq!(disk.free().unwrap(), 0);
    for sector in 0..SECTORS {
        fill(&disk, &file, sector, 1);
    }
    disk.write_at(&other, 0, &[1; 10]).unwrap();
    disk.unlink("a").unwrap();
    assert_eq!(disk.free().unwrap(), 0, "a power cut may still bring it back");
    disk.sync_directory().unwrap();
    assert_eq!(disk.free().unwrap(), LENGTH);
    disk.set_capacity(5);
    assert_eq!(disk.free().unwrap(), 0);
}

#[test]
fn a_killed_process_loses_nothing_but_the_lock_and_files_without_a_name() {
    let (disk, file) = disk_with_a();
    let lock = disk.lock().unwrap();
    fill(&disk, &file, 0, 1);
    disk.create("b").unwrap();
    let killed = disk.after_kill();
    killed.lock().unwrap();
    assert_eq!((killed.hash(), killed.unsynced()), (disk.hash(), disk.unsynced()));
    assert_eq!(shown(&killed, "a")[0], 1);

    fill(&disk, &file, 1, 2);
    disk.unlink("a").unwrap();
    assert_eq!(shown(&killed, "a"), [1, 0, 0, 0], "and is a disk of its own");
    disk.sync_directory().unwrap();
    let mut bytes = [0; 1];
    disk.read_at(&file, SECTOR as u64, &mut bytes).unwrap();
    assert_eq!(bytes, [2], "a file is there while it is open,");
    assert_eq!(disk.after_kill().names(), ["b"], "and no longer");
    drop(lock);
}

#[test]
fn a_second_lock_is_told_who_holds_the_first() {
    let disk = FakeDisk::new(0);
    let lock = disk.lock().unwrap();
    match disk.clone().lock() {
        Err(LockError::Held { by }) => assert_eq!(by, Some(FakeDisk::PID)),
        other => panic!("{other:?}"),
    }
    drop(lock);
    disk.lock().unwrap();
}

#[test]
fn a_moment_is_kept_before_each_call_that_changes_something() {
    let disk = FakeDisk::new(1 << 20);
    disk.create("unseen").unwrap();
    disk.record(true);
    disk.set_note(7);
    let file = disk.create("a").unwrap();
    disk.allocate(&file, LENGTH).unwrap();
    disk.set_note(8);
    disk.write_at(&file, 512, &[1; 384]).unwrap();
    let mut bytes = [0; 4];
    disk.read_at(&file, 512, &mut bytes).unwrap();
    disk.sync(&file).unwrap();
    disk.rename("a", "b").unwrap();
    disk.sync_directory().unwrap();
    disk.unlink("b").unwrap();
    disk.record(false);
    disk.sync_directory().unwrap();

    let moments = disk.take_moments();
    let calls: Vec<_> = moments.iter().map(|moment| (moment.note, moment.before.as_str())).collect();
    let expected = [
        (7, "create a"),
        (7, "allocate a 2048"),
        (8, "write a 512+384"),
        (8, "sync a"),
        (8, "rename a to b"),
        (8, "sync the directory"),
        (8, "unlink b"),
    ];
    assert_eq!(calls, expected);
    assert_eq!(moments[0].state.names(), ["unseen"]);
    assert_eq!(shown(&moments[2].state, "a"), [0, 0, 0, 0]);
    assert_eq!(shown(&moments[3].state, "a"), [0, 1, 0, 0]);
    assert!(moments[3].state.unsynced().len() > moments[4].state.unsynced().len());
    assert!(disk.take_moments().is_empty());
    assert!(moments[0].state.take_moments().is_empty());
    let now = disk.moment("the end");
    assert_eq!((now.before.as_str(), now.note, now.state.hash()), ("the end", 8, disk.hash()));
}

#[test]
fn a_map_shows_later_writes_and_ends_where_it_was_told() {
    let (disk, file) = disk_with_a();
    let map = disk.map(&file, 600).unwrap();
    disk.write_at(&file, 500, &[1; 50]).unwrap();
    assert_eq!(*map.bytes(499..551).unwrap(), [vec![0], vec![1; 50], vec![0]].concat());
    assert_eq!(map.bytes(599..601).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(disk.map(&file, LENGTH + 1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn calls_refuse_what_a_file_system_refuses() {
    let (disk, file) = disk_with_a();
    let mut bytes = [0; 2];
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(disk.read_at(&file, LENGTH - 1, &mut bytes)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(disk.read_past_cache(&file, u64::MAX, &mut bytes)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(disk.open("b", Access::Read).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(disk.create("a").map(drop)), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.rename("b", "a")), ErrorKind::NotFound);
    assert_eq!(kind(disk.unlink("b")), ErrorKind::NotFound);
    let reader = disk.open("a", Access::Read).unwrap();
    assert_eq!(kind(disk.write_at(&reader, 0, &[1])), ErrorKind::PermissionDenied);
    assert_eq!(kind(disk.allocate(&reader, 2 * LENGTH)), ErrorKind::PermissionDenied);
    disk.rename("a", "a").unwrap();
    assert_eq!((disk.names(), disk.unsynced()), (vec!["a".to_owned()], vec![]));
    disk.allocate(&file, 1).unwrap();
    assert_eq!(disk.len(&file).unwrap(), LENGTH, "a file is not made shorter");
}

#[test]
#[should_panic = "a write beyond what is allocated"]
fn a_write_beyond_what_is_allocated_is_the_callers_mistake() {
    let (disk, file) = disk_with_a();
    drop(disk.write_at(&file, LENGTH - 1, &[1, 1]));
}

#[test]
#[should_panic = "version 2 of a cell that has 2"]
fn a_power_cut_keeps_no_version_that_never_was() {
    let (disk, file) = disk_with_a();
    fill(&disk, &file, 0, 1);
    drop(disk.after_power_cut(&[2]));
}

#[test]
#[should_panic = "more choices than unsynced cells"]
fn a_power_cut_decides_about_no_more_than_there_is() {
    drop(FakeDisk::new(0).after_power_cut(&[0]));
}

#[test]
fn a_disk_can_be_handed_to_another_thread() {
    let (disk, file) = disk_with_a();
    let handle = disk.clone();
    std::thread::spawn(move || fill(&handle, &file, 0, 1)).join().unwrap();
    assert_eq!(shown(&disk, "a")[0], 1);
}
