//! Machine 06: every edge is taken by what the log does.

mod common;

use common::{FakeLog, G, create, disk, entries, entry, open, power_cut, put};
use holdfast_wal::{Op, SegmentEdge};

fn taken(log: &FakeLog, edge: SegmentEdge) -> u64 {
    log.trace().count(edge)
}

#[test]
fn t1_a_segment_gets_its_name_only_with_its_zeros() {
    let disk = disk();
    let mut log = create(&disk);
    disk.record(true);
    log.prepare().expect("room");
    assert_eq!(taken(&log, SegmentEdge::FinishPreparing), 3);
    let calls: Vec<String> = disk.take_moments().into_iter().map(|moment| moment.before).collect();
    let place = |what: &str| {
        calls.iter().position(|call| call.starts_with(what)).unwrap_or_else(|| panic!("{calls:?}"))
    };
    let last_write = calls.iter().position(|call| call.starts_with("sync 0")).expect("synced");
    assert!(place("create") < place("allocate") && place("allocate") < place("write"));
    assert!(last_write < place("rename") && place("rename") < place("sync the directory"), "{calls:?}");
}

#[test]
fn t2_the_first_record_of_a_segment_is_its_checkpoint() {
    let disk = disk();
    let log = create(&disk);
    assert_eq!(taken(&log, SegmentEdge::Begin), 1);
    let mut lines = Vec::new();
    holdfast_wal::tools::dump(&disk, &mut |line| lines.push(line.to_string())).expect("a directory");
    let first = lines.iter().find(|line| line.contains(".seg") && line.contains(" 512 ")).expect("a record");
    assert!(first.contains("Checkpoint"), "{first}");
}

#[test]
fn t3_a_full_segment_is_sealed_and_the_log_goes_on_in_the_next() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=100, 1, 300));
    assert_eq!(taken(&log, SegmentEdge::SealFull), log.counts().rotations);
    assert!(log.counts().rotations >= 2);
}

#[test]
fn t4_a_segment_whose_tail_was_cut_is_not_appended_to() {
    let disk = disk();
    let mut log = create(&disk);
    log.append(&entries(1..=6, 1, 300)).expect("fits");
    let torn = common::partial_power_cut(&disk, |sector| sector != 1);
    let (mut log, recovery) = open(&torn);
    assert_eq!(taken(&log, SegmentEdge::SealAtCut), 1);
    let next = log.bounds(G).map_or(1, |bounds| bounds.last + 1);
    put(&mut log, &[entry(next, 1, 300)]);
    let (file, _) = common::place_of(&torn, next);
    assert_ne!(file, recovery.file);
}

#[test]
fn t5_a_segment_with_damage_is_not_appended_to() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=6, 1, 300));
    drop(log);
    let disk = power_cut(&disk);
    let (file, offset) = common::place_of(&disk, 6);
    disk.flip_bit(&file, (offset + 100) * 8);
    let (mut log, recovery) = open(&disk);
    assert_eq!(taken(&log, SegmentEdge::SealDamaged), 1);
    put(&mut log, &[entry(7, 1, 300)]);
    assert_ne!(common::place_of(&disk, 7).0, recovery.file);
}

#[test]
fn t6_a_segment_is_let_go_when_no_group_begins_in_it() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=100, 1, 300));
    put(&mut log, &[Op::Trim { group: G, first: 2 }]);
    assert_eq!(taken(&log, SegmentEdge::Retire), 0);
    put(&mut log, &[Op::Trim { group: G, first: 100 }]);
    assert_eq!(taken(&log, SegmentEdge::Retire), log.counts().retired);
    assert!(log.counts().retired >= 2);
}

#[test]
fn t7_a_prepared_segment_that_is_not_zero_is_thrown_away() {
    let disk = disk();
    let mut log = create(&disk);
    log.prepare().expect("room");
    put(&mut log, &entries(1..=3, 1, 300));
    drop(log);
    let disk = power_cut(&disk);
    disk.overwrite("0000000000000003.seg", 8000, &[1]);
    let (log, _) = open(&disk);
    assert_eq!(taken(&log, SegmentEdge::Discard), 1);
    assert!(!disk.names().contains(&"0000000000000003.seg".to_owned()));
}

#[test]
fn t8_the_name_goes_after_the_record_that_says_so_is_durable() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=100, 1, 300));
    disk.record(true);
    put(&mut log, &[Op::Trim { group: G, first: 100 }]);
    assert_eq!(taken(&log, SegmentEdge::Remove), log.counts().retired);
    let calls: Vec<String> = disk.take_moments().into_iter().map(|moment| moment.before).collect();
    let kinds: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    let wanted = ["write", "sync", "write", "sync"];
    assert_eq!(kinds[..4], wanted, "the record, then the meta file: {calls:?}");
    assert!(calls[2].contains("meta") && kinds[4..].contains(&"unlink"), "{calls:?}");
}
