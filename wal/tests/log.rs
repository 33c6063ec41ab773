//! The log over a disk that does what it is told: what goes in comes out, now and after a restart.

mod common;

use bytes::Bytes;
use common::{FakeLog, G, body, create, disk, entries, entry, open, options, power_cut, put};
use holdfast_wal::{AppendError, Ending, Group, HardState, Log, Op, ReadError, Refusal};

#[test]
fn what_was_reported_durable_is_there_after_a_power_cut() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=40, 3, 300));
    log.append(&[entry(41, 3, 300)]).expect("fits");
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(log.bounds(G).map(|bounds| (bounds.first, bounds.last)), Some((1, 40)));
    for index in 1..=40 {
        let entry = log.read(G, index).expect("durable");
        assert_eq!((entry.term, entry.body), (3, body(index, 3, 300)), "index {index}");
    }
    assert!(matches!(log.read(G, 41), Err(ReadError::Beyond { last: 40, .. })));
}

#[test]
fn a_body_of_any_size_up_to_half_a_segment_comes_back_whole() {
    let disk = disk();
    let mut log = create(&disk);
    let limit = log.max_entry_bytes() as usize;
    let sizes = [0, 1, 7, 100, 399, 400, 401, 511, 512, 513, 2047, 2048, 2049, 4096, 5000, limit - 1, limit];
    for (index, bytes) in (1..).zip(sizes) {
        put(&mut log, &[entry(index, 1, bytes)]);
    }
    drop(log);
    let (log, _) = open(&power_cut(&disk));
    for (index, bytes) in (1..).zip(sizes) {
        assert_eq!(log.read(G, index).expect("there").body, body(index, 1, bytes), "{bytes} bytes");
    }
}

#[test]
fn what_opening_kept_is_not_read_a_second_time() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=30, 1, 300));
    // Cut, trimmed, and one of several fragments.
    put(&mut log, &entries(20..=25, 2, 100));
    put(&mut log, &[Op::Trim { group: G, first: 3 }, entry(26, 2, 7_000)]);
    drop(log);
    let disk = power_cut(&disk);
    let (log, _, mut kept) = Log::open_keeping(disk.clone(), options(), G).expect("a log");
    let log: FakeLog = log;
    assert_eq!(log.bounds(G).map(|bounds| (bounds.first, bounds.last)), Some((3, 26)));
    // From here on no entry can be read any more.
    for name in disk.names().iter().filter(|name| name.ends_with(".seg")) {
        disk.overwrite(name, 512, &[0xFF; 15 * 1024]);
    }
    let reader = log.reader();
    for index in (3..=26).chain([20, 3, 26]) {
        assert!(matches!(reader.read(G, index), Err(ReadError::Damaged { .. })), "entry {index}");
        let kept = reader.read_kept(&mut kept, index).expect("it was kept");
        let (term, bytes) = match index {
            ..20 => (1, 300),
            20..=25 => (2, 100),
            _ => (2, 7_000),
        };
        assert_eq!((kept.term, kept.body), (term, body(index, term, bytes)), "entry {index}");
    }
    assert!(matches!(reader.read_kept(&mut kept, 2), Err(ReadError::Trimmed { first: 3, .. })));
    assert!(matches!(reader.read_kept(&mut kept, 27), Err(ReadError::Beyond { last: 26, .. })));
}

#[test]
fn an_entry_larger_than_half_a_segment_is_refused_and_nothing_is_written() {
    let disk = disk();
    let mut log = create(&disk);
    let end = log.end();
    let big = Bytes::from(vec![1; log.max_entry_bytes() as usize + 1]);
    let refused = log.append(&[Op::Entry { group: G, index: 1, term: 1, body: big }]);
    assert!(matches!(
        refused,
        Err(AppendError::Refused { at: 0, why: Refusal::TooLarge { limit: 8192, .. } })
    ));
    assert_eq!(log.end(), end);
}

#[test]
fn an_entry_at_an_index_that_is_there_supersedes_it_and_all_behind_it() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=10, 1, 50));
    put(&mut log, &[entry(4, 2, 50)]);
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(4));
    drop(log);
    let (log, _) = open(&power_cut(&disk));
    assert_eq!(log.bounds(G).map(|bounds| (bounds.last, bounds.last_term)), Some((4, 2)));
    assert_eq!(log.read(G, 4).expect("there").body, body(4, 2, 50));
    assert_eq!(log.read(G, 3).expect("there").body, body(3, 1, 50));
}

#[test]
fn groups_share_the_log_and_keep_apart() {
    let disk = disk();
    let mut log = create(&disk);
    for index in 1..=100 {
        let of = |group, term| Op::Entry { group: Group(group), index, term, body: body(index, term, 20) };
        put(&mut log, &[of(0, 1), of(9, 2)]);
    }
    put(&mut log, &[Op::Entry { group: Group(9), index: 50, term: 3, body: Bytes::new() }]);
    drop(log);
    let (log, _) = open(&power_cut(&disk));
    assert_eq!(log.bounds(Group(0)).map(|bounds| bounds.last), Some(100));
    assert_eq!(log.bounds(Group(9)).map(|bounds| bounds.last), Some(50));
    assert_eq!(log.read(Group(0), 70).expect("there").body, body(70, 1, 20));
    assert_eq!(log.read(Group(9), 49).expect("there").body, body(49, 2, 20));
}

#[test]
fn a_vote_is_there_after_a_power_cut_and_counts_on_in_order() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &[Op::HardState { group: G, term: 4, vote: 2 }]);
    put(
        &mut log,
        &[Op::HardState { group: G, term: 4, vote: 2 }, Op::HardState { group: G, term: 5, vote: 0 }],
    );
    drop(log);
    let (mut log, _) = open(&power_cut(&disk));
    assert_eq!(log.hard_state(G), HardState { term: 5, vote: 0, sequence: 3 });
    let back = log.append(&[Op::HardState { group: G, term: 4, vote: 1 }]);
    assert!(matches!(back, Err(AppendError::Refused { why: Refusal::TermBackwards { before: 5, .. }, .. })));
}

#[test]
fn a_trim_removes_the_segments_that_nobody_needs_and_only_those() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=200, 1, 300));
    let before = disk.names().len();
    put(&mut log, &[Op::Trim { group: G, first: 150 }]);
    assert!(disk.names().len() < before, "segments went");
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert!(matches!(log.read(G, 149), Err(ReadError::Trimmed { first: 150, .. })));
    for index in 150..=200 {
        assert_eq!(log.read(G, index).expect("kept").body, body(index, 1, 300));
    }
}

#[test]
fn a_reset_begins_the_log_anew_behind_a_snapshot() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=20, 1, 300));
    put(&mut log, &[Op::Reset { group: G, index: 1000, term: 7 }]);
    put(&mut log, &[entry(1001, 7, 10)]);
    drop(log);
    let (log, _) = open(&power_cut(&disk));
    let bounds = log.bounds(G).expect("known");
    assert_eq!((bounds.first, bounds.prev_term, bounds.last), (1001, 7, 1001));
    assert!(matches!(log.read(G, 20), Err(ReadError::Trimmed { .. })));
}

#[test]
fn what_does_not_follow_is_refused_by_name_and_what_came_before_it_in_the_batch_stays() {
    let disk = disk();
    let mut log = create(&disk);
    let refused = log.append(&[entry(1, 1, 10), entry(3, 1, 10), entry(2, 1, 10)]);
    let why = Refusal::NotContiguous { group: G, index: 3, first: 1, last: 1 };
    assert!(matches!(refused, Err(AppendError::Refused { at: 1, why: given }) if given == why));
    log.sync().expect("syncs");
    put(&mut log, &[entry(2, 5, 10)]);
    let back = log.append(&[entry(3, 4, 10)]);
    assert!(matches!(back, Err(AppendError::Refused { why: Refusal::TermBackwards { before: 5, .. }, .. })));
    drop(log);
    let (log, _) = open(&power_cut(&disk));
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(2));
}

#[test]
fn a_log_goes_on_across_many_restarts_and_segments() {
    let mut disk = disk();
    let mut log = create(&disk);
    let mut next = 1;
    for round in 1..=20 {
        put(&mut log, &entries(next..=next + 30, round, 200));
        next += 31;
        drop(log);
        disk = power_cut(&disk);
        log = open(&disk).0;
    }
    for index in 1..next {
        let term = (index - 1) / 31 + 1;
        assert_eq!(log.read(G, index).expect("there").body, body(index, term, 200));
    }
}

#[test]
fn an_open_log_scrubs_clean_and_finds_the_bit_that_flipped() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=200, 1, 300));
    let reader = log.reader();
    let sealed = reader.sealed();
    assert!(sealed.len() > 2);
    for number in &sealed {
        let scrubbed = reader.scrub(*number).expect("readable").expect("there");
        assert!(scrubbed.records > 10 && scrubbed.damaged.is_empty(), "{scrubbed:?}");
    }
    disk.flip_bit("0000000000000002.seg", 8 * 5000);
    let scrubbed = reader.scrub(2).expect("readable").expect("there");
    assert_eq!(scrubbed.damaged.len(), 1, "{scrubbed:?}");
}
