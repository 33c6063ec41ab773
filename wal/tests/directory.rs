//! Directories that are not what they should be: each is refused with an error of its own that names the file and what to
//! do, and is left as it was.

mod common;

use common::{create, disk, entries, open, options, put};
use holdfast_wal::disk::{Disk, FakeDisk};
use holdfast_wal::{Identity, Log, OpenError, Options, segment_name, tools};

/// A log of several segments, closed.
fn closed() -> FakeDisk {
    let disk = disk();
    let mut log = create(&disk);
    log.prepare().expect("room");
    put(&mut log, &entries(1..=120, 1, 300));
    log.prepare().expect("room");
    drop(log);
    open(&disk);
    disk.after_kill()
}

/// Opens, expects a refusal, and sees that nothing changed.
fn refused(disk: &FakeDisk, options: Options) -> OpenError {
    let image = |disk: &FakeDisk| -> Vec<_> {
        disk.names().into_iter().map(|name| (disk.content(&name), name)).collect()
    };
    let before = image(disk);
    let error = Log::<FakeDisk>::open(disk.clone(), options).expect_err("not what it should be");
    assert!(image(disk) == before, "{error}: the directory was changed");
    error
}

#[test]
fn an_empty_directory_holds_no_log_and_gets_no_file() {
    let disk = disk();
    let error = refused(&disk, options());
    assert!(matches!(error, OpenError::NoLog { .. }), "{error}");
    assert!(error.to_string().contains("create one"), "{error}");
}

#[test]
fn a_log_is_not_made_over_another() {
    let disk = closed();
    let error = Log::<FakeDisk>::create(disk.clone(), options()).expect_err("there is one");
    assert!(matches!(error, OpenError::Exists { .. }), "{error}");
    disk.remove_file("meta");
    let error = Log::<FakeDisk>::create(disk, options()).expect_err("segments are there");
    assert!(matches!(&error, OpenError::Exists { file, .. } if *file == segment_name(1)), "{error}");
}

#[test]
fn a_missing_segment_is_named_wherever_it_was() {
    for number in [1, 2, 3] {
        let disk = closed();
        disk.remove_file(&segment_name(number));
        let error = refused(&disk, options());
        assert!(
            matches!(&error, OpenError::MissingSegment { file, .. } if *file == segment_name(number)),
            "{error}"
        );
    }
}

#[test]
fn the_newest_segment_is_missed_too() {
    let disk = closed();
    let active = tools::stat(&disk).expect("a log").end / options().segment_bytes;
    let newest = disk.names().into_iter().filter(|name| name.ends_with(".seg")).count() as u64;
    // Without the active one and those prepared behind it, nothing in the directory shows a gap.
    for number in active..=newest {
        disk.remove_file(&segment_name(number));
    }
    let error = refused(&disk, options());
    assert!(
        matches!(&error, OpenError::MissingSegment { file, .. } if *file == segment_name(active)),
        "{error}"
    );
}

#[test]
fn a_segment_under_a_wrong_name_is_told_by_its_header() {
    let disk = closed();
    disk.rename_file(&segment_name(2), "aside");
    disk.rename_file(&segment_name(3), &segment_name(2));
    disk.rename_file("aside", &segment_name(3));
    let error = refused(&disk, options());
    assert!(
        matches!(&error, OpenError::Misnamed { file, says: 3, .. } if *file == segment_name(2)),
        "{error}"
    );
    assert!(error.to_string().contains(&segment_name(3)), "{error}");
}

#[test]
fn an_extra_segment_is_told_by_its_header() {
    let disk = closed();
    let next = disk.names().into_iter().filter(|name| name.ends_with(".seg")).count() as u64 + 1;
    disk.copy_file(&segment_name(2), &segment_name(next));
    let error = refused(&disk, options());
    assert!(matches!(error, OpenError::Misnamed { says: 2, .. }), "{error}");
    let disk = closed();
    disk.copy_file(&segment_name(2), &segment_name(next + 5));
    let error = refused(&disk, options());
    assert!(matches!(error, OpenError::Misnamed { says: 2, .. }), "{error}");
}

#[test]
fn the_directory_of_another_cluster_or_node_is_refused_with_both_names() {
    let Identity { cluster, node } = options().identity;
    for identity in [Identity { cluster: [9; 16], node }, Identity { cluster, node: [9; 16] }] {
        let error = refused(&closed(), Options { identity, ..options() });
        assert!(matches!(&error, OpenError::Foreign { expected, .. } if *expected == identity), "{error}");
    }
}

#[test]
fn a_foreign_segment_among_ones_own_is_named() {
    let other = disk();
    let foreign = Options { identity: Identity { cluster: [9; 16], node: [9; 16] }, ..options() };
    let mut log = Log::<FakeDisk>::create(other.clone(), foreign).expect("an empty directory");
    log.prepare().expect("room");
    drop(log);
    let disk = closed();
    disk.restore_file(&segment_name(2), &other);
    let error = refused(&disk, options());
    assert!(matches!(&error, OpenError::Foreign { file, .. } if *file == segment_name(2)), "{error}");
}

#[test]
fn a_later_format_is_unsupported_and_not_corrupt() {
    for (name, known) in [(segment_name(1), 1), ("meta".to_owned(), 1)] {
        let disk = closed();
        disk.overwrite(&name, 8, &7_u32.to_le_bytes());
        let error = refused(&disk, options());
        let as_expected =
            matches!(&error, OpenError::Unsupported { file, version: 7, known: 1, .. } if *file == name);
        assert!(as_expected && known == 1, "{error}");
    }
}

#[test]
fn a_file_that_is_smaller_or_larger_than_it_should_be_is_named_with_both_sizes() {
    for (name, length, right) in
        [(segment_name(2), 8192, 16384), (segment_name(2), 20480, 16384), ("meta".to_owned(), 4096, 12288)]
    {
        let disk = closed();
        disk.set_length(&name, length);
        let error = refused(&disk, options());
        let as_expected = matches!(&error, OpenError::WrongSize { file, found, expected, .. }
            if *file == name && *found == length && *expected == right);
        assert!(as_expected, "{error}");
    }
}

#[test]
fn a_missing_meta_file_is_missed() {
    let disk = closed();
    disk.remove_file("meta");
    let error = refused(&disk, options());
    assert!(matches!(error, OpenError::MissingMeta { .. }), "{error}");
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let disk = disk();
    let _log = create(&disk);
    let error = refused(&disk, options());
    assert!(matches!(error, OpenError::Locked { pid: Some(FakeDisk::PID), .. }), "{error}");
    assert!(error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_segment_size_that_cannot_be_is_refused() {
    for segment_bytes in [0, 4096, 16 * 1024 + 1, 2 << 30] {
        let error =
            Log::<FakeDisk>::create(disk(), Options { segment_bytes, ..options() }).expect_err("impossible");
        assert!(matches!(error, OpenError::SegmentSize(size) if size == segment_bytes), "{error}");
    }
}

#[test]
fn a_log_keeps_the_segment_size_it_was_made_with() {
    let disk = closed();
    let (log, _) =
        Log::<FakeDisk>::open(disk, Options { segment_bytes: 64 * 1024, ..options() }).expect("a log");
    assert_eq!(log.segment_bytes(), 16 * 1024);
}

#[test]
fn a_disk_without_room_is_told_with_what_is_free_and_what_is_needed() {
    let error = Log::<FakeDisk>::create(FakeDisk::new(20_000), options()).expect_err("no room");
    assert!(matches!(error, OpenError::NoSpace { needed: 49152, .. }), "{error}");
}

#[test]
fn files_of_others_are_left_alone() {
    let disk = closed();
    disk.copy_file("meta", "notes.txt");
    open(&disk);
    assert!(disk.list().expect("a directory").contains(&"notes.txt".to_owned()));
}
