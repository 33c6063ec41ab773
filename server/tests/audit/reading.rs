//! What a reader asks for, and what a start says.

use bytes::Bytes;
use holdfast_command::Actor;
use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_server::audit::{
    AuditError, AuditFiles, AuditFilter, AuditPolicy, HEADER_BYTES, Header, HeaderFound, Missing,
    MissingReason, frame_check,
};
use holdfast_wal::disk::{Disk, FakeDisk};

use crate::common::{
    CLUSTER, EPOCH, Random, SMALL, append, by, encoded, expected, index_of, open, open_with, pages, read_all,
    record, stamp_of, time_of,
};

fn whole(through: u64) -> (FakeDisk, crate::common::Files) {
    let disk = FakeDisk::new(1 << 26);
    let mut files = open(&disk, 0).files;
    append(&mut files, 1..=through);
    files.sync().expect("there is room");
    (disk, files)
}

#[test]
fn a_filter_gives_exactly_the_records_that_fit() {
    let (_, mut files) = whole(400);
    let mut random = Random(1);
    for round in 0..300 {
        let from = random.below(420);
        let (since, until) = (random.below(420), random.below(420));
        let prefix = match random.below(5) {
            0 => "app/3".to_owned(),
            1 => "lock/".to_owned(),
            2 => "none".to_owned(),
            _ => String::new(),
        };
        let actor = (random.below(3) == 0).then(|| format!("actor{}", random.below(4)));
        let filter = AuditFilter {
            from,
            since: if since < 300 { stamp_of(since) } else { 0 },
            until: if until > 100 { stamp_of(until) } else { u64::MAX },
            prefix: prefix.clone().into(),
            actor: actor.clone().map(Into::into),
            limit: 1 + random.below(50) as usize,
            bytes_max: 1 + random.below(9_000) as usize,
        };
        let wanted: Vec<u64> = (from..=400)
            .filter_map(record)
            .filter(|record| record.stamp >= filter.since && record.stamp <= filter.until)
            .filter(|record| actor.as_ref().is_none_or(|actor| record.actor.name() == actor))
            .filter(|record| record.touched.iter().any(|touched| touched.name.starts_with(prefix.as_bytes())))
            .map(|record| record.index)
            .collect();
        let (records, missing) = read_all(&mut files, &filter);
        let found: Vec<u64> = records.iter().map(index_of).collect();
        assert_eq!(found, wanted, "round {round}: {filter:?}");
        assert_eq!(missing, []);
    }
}

#[test]
fn a_record_that_does_not_list_all_that_it_touched_is_kept_from_nobody() {
    let (_, mut files) = whole(0);
    let mut large = record(2).expect("it leaves one");
    (large.index, large.count) = (1, 65);
    large.touched = vec![large.touched[0].clone(); 64];
    files.append(1, &large.encode());
    let other = AuditFilter { prefix: "elsewhere/".into(), ..AuditFilter::default() };
    assert_eq!(files.read(&other).expect("it is read").records, [large.encode()]);
}

#[test]
fn what_was_appended_is_read_before_anybody_asks_for_it_to_be_written() {
    let (disk, mut files) = whole(0);
    append(&mut files, 1..=9);
    assert!(files.outstanding_bytes() > 0 && disk.names().is_empty());
    let page = files.read(&AuditFilter::default()).expect("it is read");
    assert_eq!((page.records, page.next, page.through), (expected(1..=9), None, 9));
    assert_eq!(files.outstanding_bytes(), 0);
}

#[test]
fn a_page_goes_on_where_the_one_before_ended_and_a_call_goes_through_a_part_only() {
    let disk = FakeDisk::new(1 << 30);
    let mut files = open_with(&disk, 0, AuditPolicy::default()).expect("a directory").files;
    let mut large = record(2).expect("it leaves one");
    large.reason = "r".repeat(60_000).into();
    for index in 1..=500 {
        large.index = index;
        files.append(index, &large.encode());
    }
    let nobody = AuditFilter { actor: Some("nobody".into()), ..AuditFilter::default() };
    let all = pages(&mut files, &nobody);
    assert!((7..=10).contains(&all.len()), "30 MB in {} calls", all.len());
    assert!(all.iter().all(|page| page.records.is_empty()));
    // And records of more bytes than are wanted come one by one.
    let one = AuditFilter { from: 77, bytes_max: 10, ..AuditFilter::default() };
    let page = files.read(&one).expect("it is read");
    assert_eq!((page.records.iter().map(index_of).collect::<Vec<_>>(), page.next), (vec![77], Some(78)));
}

#[test]
fn the_empty_name_finds_what_nobody_did_under_a_name_and_not_what_the_cluster_did() {
    let disk = FakeDisk::new(1 << 30);
    let mut files = open(&disk, 0).files;
    let mut one = record(2).expect("it leaves one");
    for (index, actor) in (1..).zip([Actor::Cluster, Actor::Anonymous, Actor::Named("ann".into())]) {
        (one.index, one.actor) = (index, actor);
        files.append(index, &one.encode());
    }
    let by = |name: &str| AuditFilter { actor: Some(name.into()), ..AuditFilter::default() };
    for (name, index) in [("", 2), ("ann", 3)] {
        let page = files.read(&by(name)).expect("it is read");
        assert_eq!(page.records.iter().map(index_of).collect::<Vec<_>>(), [index], "{name:?}");
    }
}

#[test]
fn repeated_and_older_indices_are_ignored() {
    let (_, mut files) = whole(50);
    files.append(50, b"other bytes");
    files.append(7, b"other bytes");
    files.reinstalled(50);
    files.complete(3);
    append(&mut files, 40..=60);
    crate::common::assert_whole(&mut files, 60, "each once");
}

#[test]
fn marks_carry_on_where_nothing_leaves_a_record() {
    let (disk, mut files) = whole(10);
    for index in 11..=10_000 {
        files.complete(index);
    }
    files.flush().expect("there is room");
    // Without a sync, and the process is killed.
    let opened = open(&disk.after_kill(), 10);
    assert!(opened.files.through() >= 10_000 - 4_096, "{}", opened.files.through());
    assert!(files.status().bytes < 20 * 1024);
    files.sync().expect("there is room");
    assert_eq!(open(&disk.after_kill(), 10_000).files.through(), 10_000);
}

#[test]
fn a_record_that_is_too_large_for_a_frame_is_a_gap_and_not_silence() {
    let (_, mut files) = whole(10);
    files.append(11, &vec![1; 9 << 20]);
    append(&mut files, 12..=20);
    let (records, missing) = read_all(&mut files, &by(100));
    assert!(records == [expected(1..=10), expected(12..=20)].concat());
    assert_eq!(missing, [Missing { first: 11, last: 11, why: MissingReason::Passed }]);
    assert_eq!(files.complete_from(), 12);
}

#[test]
fn a_start_behind_the_files_says_what_is_missing_and_goes_on() {
    let (disk, _) = whole(40);
    let opened = open(&disk, 100);
    assert_eq!(opened.missing, Some(Missing { first: 41, last: 100, why: MissingReason::Passed }));
    let mut files = opened.files;
    append(&mut files, 101..=120);
    let (records, missing) = read_all(&mut files, &by(100));
    assert!(records == [expected(1..=40), expected(101..=120)].concat());
    assert_eq!(missing, [Missing { first: 41, last: 100, why: MissingReason::Passed }]);
    files.sync().expect("there is room");
    // It is known ever after.
    let files = open(&disk.after_kill(), 120).files;
    assert_eq!((files.complete_from(), files.through()), (101, 120));
}

#[test]
fn files_that_were_removed_by_hand_are_missed_also_by_the_next_process() {
    let (disk, files) = whole(200);
    let names = disk.names();
    assert!(names.len() > 6, "{names:?}");
    drop(files);
    disk.remove_file(&names[2]);
    let mut files = open(&disk, 200).files;
    let complete_from = files.complete_from();
    let first = u64::from_str_radix(&names[3][17..33], 16).expect("its first index");
    assert_eq!(complete_from, first);
    let (records, missing) = read_all(&mut files, &by(100));
    let lost: Vec<u64> = missing.iter().flat_map(|missing| missing.first..=missing.last).collect();
    assert_eq!(lost.last(), Some(&(first - 1)));
    let rest: Vec<Bytes> = (1..=200).filter(|index| !lost.contains(index)).filter_map(encoded).collect();
    assert!(records == rest && missing.iter().all(|missing| missing.why == MissingReason::Lost));
    // All of them: the state is all that is left.
    for name in disk.names() {
        disk.remove_file(&name);
    }
    let files = open(&disk, 200).files;
    assert_eq!((files.complete_from(), files.through()), (201, 200));
}

#[test]
fn a_file_of_another_cluster_or_of_a_later_build_is_refused_and_of_another_life_passed_over() {
    let (disk, _) = whole(40);
    let error = AuditFiles::open(disk.clone(), ClusterId([8; 16]), EPOCH, 40, SMALL).expect_err("not ours");
    assert!(matches!(error, AuditError::OtherCluster { .. }), "{error}");
    // Of an earlier life: it stays, and is not read.
    let mut next =
        AuditFiles::open(disk.clone(), CLUSTER, ClusterEpoch(4), 30, SMALL).expect("another life").files;
    assert_eq!((next.complete_from(), next.through()), (31, 30));
    append(&mut next, 31..=50);
    next.sync().expect("there is room");
    let (records, missing) = read_all(&mut next, &by(100));
    assert!(records == expected(31..=50) && missing.is_empty());
    let first = &disk.names()[0];
    assert!(first.starts_with("0000000000000003-"), "{first}");
    // Of a later build: the check fits, so it is no damage.
    let bytes = disk.content(first).expect("a file");
    let HeaderFound::Valid(header, _) = Header::read(&bytes) else { panic!("a header") };
    let (mut later, _) = header.encode();
    later[8] = 2;
    let mut check = crc32fast::Hasher::new();
    check.update(&later[8..12]);
    check.update(&later[16..]);
    later[12..16].copy_from_slice(&check.finalize().to_le_bytes());
    disk.overwrite(first, 0, &later);
    let error = AuditFiles::open(disk, CLUSTER, EPOCH, 40, SMALL).expect_err("a later build's");
    assert!(matches!(error, AuditError::Later { version: 2, .. }), "{error}");
}

#[test]
fn a_header_that_is_damaged_costs_that_file_and_is_put_aside_where_it_is_in_the_way() {
    let (disk, files) = whole(60);
    drop(files);
    let newest = disk.names().pop().expect("a file");
    disk.flip_bit(&newest, 8 * 40);
    let opened = open(&disk, 30);
    assert_eq!(opened.damaged, std::slice::from_ref(&newest));
    // The log has what it held.
    let mut files = opened.files;
    append(&mut files, 31..=60);
    files.sync().expect("there is room");
    assert!(disk.names().contains(&format!("{newest}.damaged")), "{:?}", disk.names());
    crate::common::assert_whole(&mut files, 60, "it was made again");
    let opened = open(&disk.after_kill(), 60);
    assert_eq!(opened.damaged, [format!("{newest}.damaged")]);
    assert_eq!((opened.files.complete_from(), opened.files.through()), (1, 60));
}

#[test]
fn no_bytes_of_a_file_panic_or_pass_for_a_record() {
    let (disk, files) = whole(12);
    drop(files);
    let name = disk.names()[0].clone();
    let length = disk.content(&name).expect("a file").len() as u64;
    for bit in 0..length.min(1_500) * 8 {
        let disk = disk.after_kill();
        disk.flip_bit(&name, bit);
        let mut files = open(&disk, 12).files;
        let (records, _) = read_all(&mut files, &by(100));
        let indices: Vec<u64> = records.iter().map(index_of).collect();
        assert!(indices.is_sorted_by(|a, b| a < b), "bit {bit}: {indices:?}");
        assert!(records.iter().zip(&indices).all(|(record, index)| encoded(*index).as_ref() == Some(record)));
        assert_eq!(files.through(), 12, "bit {bit}");
        assert!(files.complete_from() > 1, "bit {bit}: it counts for nothing");
    }
    let mut random = Random(3);
    for round in 0..500 {
        let disk = FakeDisk::new(1 << 20);
        let mut bytes =
            Header { cluster: CLUSTER, epoch: EPOCH, number: 1, first: 1, complete_from: 1, stamp: 0 }
                .encode()
                .0
                .to_vec();
        bytes.truncate(if round % 5 == 0 {
            random.below(HEADER_BYTES as u64) as usize
        } else {
            HEADER_BYTES
        });
        bytes.extend((0..random.below(2_000)).map(|_| (random.next() % (1 + round % 256)) as u8));
        let file = disk.create("0000000000000003-0000000000000001.audit").expect("it is new");
        disk.allocate(&file, bytes.len() as u64).expect("there is room");
        disk.write_at(&file, 0, &bytes).expect("there is room");
        let mut files = open(&disk, 5).files;
        assert_eq!(read_all(&mut files, &by(100)).0, Vec::<Bytes>::new(), "round {round}");
    }
}

#[test]
fn age_and_size_take_whole_files_from_the_old_end_and_never_the_newest() {
    let (disk, mut files) = whole(400);
    drop(files);
    let count = disk.names().len();
    let policy = AuditPolicy { age_ms: 5_000, ..SMALL };
    files = open_with(&disk, 400, policy).expect("a directory").files;
    // Ten entries a second: what is older than entry 300 may go, and nothing else.
    let removed = files.retain(time_of(350)).expect("a directory");
    assert!(removed.len() > 5 && disk.names().len() + removed.len() == count);
    let complete_from = files.complete_from();
    assert!((280..=300).contains(&complete_from), "{complete_from}");
    let (records, missing) = read_all(&mut files, &by(100));
    assert!(records == expected(complete_from..=400) && missing.is_empty());
    assert_eq!(files.retain(time_of(350)).expect("a directory"), Vec::<String>::new());
    // However long it is ago.
    files.retain(u64::MAX).expect("a directory");
    assert_eq!(disk.names().len(), 1);
    let policy = AuditPolicy { total_bytes: 0, ..SMALL };
    files = open_with(&disk, 400, policy).expect("a directory").files;
    assert_eq!(files.retain(0).expect("a directory"), Vec::<String>::new());
}

#[test]
fn a_crash_during_retention_leaves_the_newest_without_a_hole() {
    let disk = FakeDisk::new(1 << 26);
    let policy = AuditPolicy { total_bytes: 8 * 1024, ..SMALL };
    let mut files = open_with(&disk, 0, policy).expect("a directory").files;
    append(&mut files, 1..=150);
    files.sync().expect("there is room");
    let images = crate::storage_common::crashes(&disk, 64, || {
        assert!(files.retain(0).expect("a directory").len() > 3);
    });
    let mut begins = std::collections::BTreeSet::new();
    for (crash, disk) in images {
        let opened = open_with(&disk, 150, policy).expect("a directory");
        assert_eq!(opened.missing, None, "{crash}");
        let mut files = opened.files;
        let from = files.complete_from();
        let (records, missing) = read_all(&mut files, &by(100));
        assert!(records == expected(from..=150), "{crash}: from {from}");
        assert_eq!(missing, [], "{crash}");
        begins.insert(from);
    }
    assert!(begins.len() > 3, "{begins:?}");
}

#[test]
fn what_left_no_record_before_a_gap_is_not_taken_to_be_in_it() {
    let (_, mut files) = whole(10);
    files.complete(15);
    files.reinstalled(30);
    let (_, missing) = read_all(&mut files, &by(100));
    assert_eq!(missing, [Missing { first: 16, last: 30, why: MissingReason::Passed }]);
}

#[test]
fn a_frame_whose_index_is_not_above_the_one_before_is_none() {
    let header = Header { cluster: CLUSTER, epoch: EPOCH, number: 1, first: 1, complete_from: 1, stamp: 0 };
    let (bytes, header_check) = header.encode();
    let mut bytes = bytes.to_vec();
    for index in [1, 3, 2, 4] {
        // A mark: four bytes of check, no payload, kind 2.
        let mut frame = vec![0; 4 + 4];
        frame.extend([2, 0, 0, 0]);
        frame.extend(u64::to_le_bytes(index));
        frame.extend([0; 8]);
        let check = frame_check(header_check, bytes.len() as u64, &frame);
        frame[..4].copy_from_slice(&check.to_le_bytes());
        bytes.extend(frame);
    }
    let disk = FakeDisk::new(1 << 20);
    let file = disk.create("0000000000000003-0000000000000001.audit").expect("it is new");
    disk.allocate(&file, bytes.len() as u64).expect("there is room");
    disk.write_at(&file, 0, &bytes).expect("there is room");
    let opened = open(&disk, 0);
    assert_eq!(opened.files.through(), 3);
    assert_eq!(opened.cut.map(|cut| cut.index), Some(3));
}
