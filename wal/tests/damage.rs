//! Damage: told apart from a torn tail, reported as holes, healed by a leader's entries, never forgotten before.

mod common;

use common::{FakeLog, G, body, create, disk, entries, entry, open, place_of, power_cut, put};
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::{AppendError, Ending, HardState, Hole, Op, ReadError, Recovery, Refusal, Row};

fn flip(disk: &FakeDisk, index: u64, byte: u64) {
    let (file, offset) = place_of(disk, index);
    disk.flip_bit(&file, (offset + byte) * 8 + 3);
}

const HEAD: u64 = 8;
const BODY: u64 = 90;

/// Entries 1 to 20 of term 1, each durable by itself, and closed in good order.
fn closed() -> FakeDisk {
    let disk = disk();
    let mut log = create(&disk);
    for index in 1..=20 {
        put(&mut log, &[entry(index, 1, 100)]);
    }
    drop(log);
    power_cut(&disk)
}

fn holes(recovery: &Recovery) -> Vec<Hole> {
    recovery.damage.iter().flat_map(|damage| damage.holes.clone()).collect()
}

fn missing(first: u64, last: u64) -> Hole {
    Hole { first, last, doubtful: false }
}

fn doubtful(first: u64, last: u64) -> Hole {
    Hole { first, last, doubtful: true }
}

fn fill(index: u64, bytes: usize) -> Op {
    Op::Fill { group: G, index, term: 1, body: body(index, 1, bytes) }
}

fn assert_whole(log: &FakeLog, last: u64) {
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(last));
    for index in 1..=last {
        assert_eq!(log.read(G, index).expect("whole").body, body(index, 1, 100), "index {index}");
    }
}

#[test]
fn a_damaged_body_is_one_hole_and_the_end_is_known() {
    let disk = closed();
    flip(&disk, 7, BODY);
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.ending, recovery.row), (Ending::Damaged, Row::H));
    assert_eq!(holes(&recovery), [missing(7, 7)]);
    assert!(recovery.trustworthy);
    assert_eq!(recovery.damage[0].claimed_end, (1, 20));
    assert!(matches!(log.read(G, 7), Err(ReadError::Hole { index: 7 })));
    assert_eq!(log.read(G, 8).expect("whole").body, body(8, 1, 100));
}

#[test]
fn a_damaged_head_leaves_a_hole_that_the_next_record_measures() {
    let disk = closed();
    flip(&disk, 7, HEAD);
    let (_, recovery) = open(&disk);
    assert_eq!(holes(&recovery), [missing(7, 7)]);
    assert!(!recovery.trustworthy, "who knows what else stood there");
}

#[test]
fn damage_to_the_last_batch_cannot_be_told_from_a_lie_and_is_not_cut() {
    let disk = closed();
    flip(&disk, 20, BODY);
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.ending, recovery.row), (Ending::Damaged, Row::I));
    assert_eq!(holes(&recovery), [missing(20, 20)]);
    assert!(recovery.trustworthy);
    assert_eq!(log.bounds(G).map(|bounds| (bounds.last, bounds.last_term)), Some((20, 1)));
}

#[test]
fn behind_a_damaged_head_with_no_later_record_everything_is_doubtful() {
    let disk = closed();
    flip(&disk, 20, HEAD);
    let (log, recovery) = open(&disk);
    assert_eq!(holes(&recovery), [doubtful(1, 19)]);
    assert!(!recovery.trustworthy);
    assert!(matches!(log.read(G, 3), Err(ReadError::Hole { .. })));
}

#[test]
fn damage_is_found_again_by_every_open_until_it_is_healed() {
    for byte in [HEAD, BODY] {
        for index in [7, 20] {
            let disk = closed();
            flip(&disk, index, byte);
            let (log, first) = open(&disk);
            drop(log);
            for _ in 0..3 {
                let (log, again) = open(&disk);
                assert_eq!((again.ending, holes(&again)), (Ending::Damaged, holes(&first)), "index {index}");
                assert_eq!(again.trustworthy, first.trustworthy, "index {index}");
                drop(log);
            }
        }
    }
}

#[test]
fn opening_a_damaged_log_again_and_again_takes_no_further_room() {
    let disk = closed();
    flip(&disk, 7, BODY);
    open(&disk);
    let names = disk.names();
    for _ in 0..5 {
        open(&disk);
        assert_eq!(disk.names(), names);
    }
}

#[test]
fn filled_holes_count_and_only_healing_ends_the_damage() {
    let disk = closed();
    flip(&disk, 7, BODY);
    let (mut log, _) = open(&disk);
    let early = log.append(&[Op::Heal { whole: Vec::new() }]);
    let why = Refusal::NotWhole { group: G, index: 7 };
    assert!(matches!(early, Err(AppendError::Refused { why: given, .. }) if given == why));
    put(&mut log, &[fill(7, 100)]);
    assert_whole(&log, 20);
    drop(log);
    let disk = power_cut(&disk);
    let (mut log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(recovery.healable, "the fill is there: nothing is missing any more");
    put(&mut log, &[Op::Heal { whole: Vec::new() }]);
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_whole(&log, 20);
}

#[test]
fn a_fill_supersedes_nothing() {
    let disk = closed();
    flip(&disk, 7, BODY);
    let (mut log, _) = open(&disk);
    put(&mut log, &[fill(7, 100)]);
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(20));
    let again = log.append(&[fill(7, 100)]);
    assert!(matches!(again, Err(AppendError::Refused { why: Refusal::NoHole { index: 7, .. }, .. })));
}

#[test]
fn a_leader_confirms_what_is_doubtful_and_healing_cuts_what_it_did_not() {
    let disk = closed();
    flip(&disk, 20, HEAD);
    let (mut log, _) = open(&disk);
    let wrong = log.append(&[Op::Confirm { group: G, first: 1, last: 15, term: 9 }]);
    assert!(matches!(wrong, Err(AppendError::Refused { why: Refusal::NotConfirmed { .. }, .. })));
    put(&mut log, &[Op::Confirm { group: G, first: 1, last: 15, term: 1 }]);
    assert_eq!(log.holes(G), [doubtful(16, 19)]);
    let early = log.append(&[Op::Heal { whole: vec![(G, 16)] }]);
    assert!(matches!(early, Err(AppendError::Refused { why: Refusal::NotWhole { index: 16, .. }, .. })));
    put(&mut log, &[Op::Heal { whole: vec![(G, 15)] }]);
    assert_whole(&log, 15);
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_whole(&log, 15);
}

#[test]
fn a_confirmation_says_nothing_of_the_entries_before_it() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=10, 1, 100));
    let mut unreadable = Vec::new();
    for (index, term) in [(2, 2), (3, 2), (4, 2), (4, 3)] {
        put(&mut log, &[entry(index, term, 100)]);
        unreadable.push(place_of(&disk, index));
    }
    put(&mut log, &entries(5..=7, 3, 100));
    drop(log);
    let disk = power_cut(&disk);
    for (file, offset) in unreadable {
        disk.flip_bit(&file, (offset + HEAD) * 8);
    }
    // Entries 2 and 3 of term 1 are dead, and nothing that is readable says so.
    let (mut log, recovery) = open(&disk);
    assert_eq!(holes(&recovery), [doubtful(1, 3), missing(4, 4)]);
    put(&mut log, &[Op::Confirm { group: G, first: 5, last: 7, term: 3 }]);
    assert_eq!(log.holes(G), [doubtful(1, 3), missing(4, 4)]);
    for (first, last) in [(2, 3), (4, 4), (7, 8)] {
        let wrong = log.append(&[Op::Confirm { group: G, first, last, term: 2 }]);
        assert!(matches!(wrong, Err(AppendError::Refused { why: Refusal::NotConfirmed { .. }, .. })));
    }
    put(&mut log, &[Op::Confirm { group: G, first: 1, last: 1, term: 1 }]);
    assert_eq!(log.holes(G), [doubtful(2, 3), missing(4, 4)]);
}

#[test]
fn a_trim_behind_a_hole_of_unknown_term_does_not_make_one_up() {
    let disk = closed();
    flip(&disk, 7, HEAD);
    flip(&disk, 8, HEAD);
    let (mut log, _) = open(&disk);
    put(&mut log, &[Op::Trim { group: G, first: 8 }]);
    assert_eq!(log.reader().term(G, 7), None);
}

#[test]
fn damage_to_an_entry_alone_costs_no_vote() {
    let disk = closed();
    flip(&disk, 7, BODY);
    disk.flip_bit("meta", 100 * 8);
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(!log.hard_state_lost(), "every head is readable, and none was of a hard state");
}

#[test]
fn a_confirmation_that_was_not_healed_is_forgotten_by_a_crash() {
    let disk = closed();
    flip(&disk, 20, HEAD);
    let (mut log, _) = open(&disk);
    put(&mut log, &[Op::Confirm { group: G, first: 1, last: 19, term: 1 }, entry(20, 1, 100)]);
    drop(log);
    let (_, recovery) = open(&power_cut(&disk));
    assert_eq!(holes(&recovery), [doubtful(1, 19)]);
}

#[test]
fn a_suffix_that_was_cut_in_an_unreadable_part_does_not_come_back() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=10, 1, 100));
    put(&mut log, &[entry(5, 2, 100)]);
    put(&mut log, &entries(6..=7, 2, 100));
    drop(log);
    let disk = power_cut(&disk);
    flip(&disk, 5, HEAD);
    let (log, recovery) = open(&disk);
    assert_eq!(holes(&recovery), [missing(5, 5)], "6 says where the cut began, so 1 to 4 survive");
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(7));
}

#[test]
fn two_cuts_in_an_unreadable_part_leave_everything_before_them_in_doubt() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=10, 1, 100));
    put(&mut log, &[entry(5, 2, 100)]);
    let first = place_of(&disk, 5);
    put(&mut log, &[entry(4, 3, 100)]);
    put(&mut log, &entries(5..=7, 3, 100));
    drop(log);
    let disk = power_cut(&disk);
    disk.flip_bit(&first.0, (first.1 + HEAD) * 8);
    flip(&disk, 4, HEAD);
    let (_, recovery) = open(&disk);
    assert_eq!(holes(&recovery), [doubtful(1, 3), missing(4, 4)]);
}

#[test]
fn a_damaged_mark_is_healed_here_and_now() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=3, 1, 100));
    let at = log.end() % 16384;
    log.mark().expect("room");
    log.sync().expect("syncs");
    put(&mut log, &entries(4..=20, 1, 100));
    drop(log);
    let disk = power_cut(&disk);
    disk.flip_bit("0000000000000001.seg", (at + HEAD) * 8);
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(recovery.healed && !log.is_damaged());
    assert_whole(&log, 20);
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_whole(&log, 20);
}

#[test]
fn a_trim_does_not_make_older_records_impossible() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=60, 1, 300));
    // Superseded in a later segment than the one where it first stood, and trimmed beyond.
    put(&mut log, &[entry(20, 2, 300)]);
    put(&mut log, &entries(21..=60, 2, 300));
    put(&mut log, &[Op::Trim { group: G, first: 40 }]);
    drop(log);
    let disk = power_cut(&disk);
    let first = disk.names()[0].clone();
    for damaged in [false, true] {
        if damaged {
            // The first checkpoint.
            disk.flip_bit(&first, (512 + HEAD) * 8);
        }
        let (log, recovery) = open(&disk);
        assert_eq!(log.bounds(G).map(|bounds| (bounds.first, bounds.last)), Some((40, 60)), "{recovery:?}");
        for index in 40..=60 {
            assert_eq!(log.read(G, index).expect("kept").body, body(index, 2, 300), "index {index}");
        }
    }
}

#[test]
fn the_meta_file_knows_of_a_snapshot_whose_record_is_damaged() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=60, 1, 300));
    let at = log.end();
    put(&mut log, &[Op::Reset { group: G, index: 1000, term: 7 }]);
    drop(log);
    let disk = power_cut(&disk);
    let file = holdfast_wal::segment_name(at / 16384);
    disk.flip_bit(&file, (at % 16384 + HEAD) * 8);
    for _ in 0..2 {
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.ending, Ending::Damaged);
        let bounds = log.bounds(G).expect("known");
        assert_eq!((bounds.first, bounds.prev_term, bounds.last), (1001, 7, 1000));
    }
}

#[test]
fn a_trim_right_behind_an_entry_that_superseded_one_of_an_earlier_segment_is_no_damage() {
    let disk = disk();
    let mut log = create(&disk);
    let mut last = 0;
    while log.counts().rotations == 0 {
        last += 1;
        put(&mut log, &[entry(last, 1, 500)]);
    }
    // The last one is the first of its segment. Another leader supersedes it and the one before it.
    put(&mut log, &[entry(last - 1, 2, 500), entry(last, 2, 500), entry(last + 1, 2, 500)]);
    put(&mut log, &[Op::Trim { group: G, first: last }]);
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean, "{recovery:?}");
    assert_eq!(log.bounds(G).map(|bounds| (bounds.first, bounds.prev_term)), Some((last, 2)));
}

#[test]
fn a_damaged_mark_at_the_end_may_have_been_a_batch_and_is_not_healed() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=3, 1, 100));
    let at = log.end() % 16384;
    log.mark().expect("room");
    log.sync().expect("syncs");
    drop(log);
    let disk = power_cut(&disk);
    disk.flip_bit("0000000000000001.seg", (at + HEAD) * 8);
    for _ in 0..3 {
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.ending, Ending::Damaged);
        assert!(!recovery.healed && !recovery.trustworthy && log.is_damaged());
    }
}

#[test]
fn a_damaged_segment_header_costs_its_entries_and_no_others() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=120, 1, 100));
    drop(log);
    let disk = power_cut(&disk);
    disk.flip_bit("0000000000000001.seg", 300);
    let (log, recovery) = open(&disk);
    let Hole { first: 1, last, doubtful: false } = holes(&recovery)[0] else { panic!("{recovery:?}") };
    assert!(last < 120);
    assert_eq!(log.read(G, last + 1).expect("in the next segment").body, body(last + 1, 1, 100));
    assert!(!recovery.trustworthy);
}

#[test]
fn a_vote_survives_damage_to_its_record_because_it_is_written_twice() {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &[Op::HardState { group: G, term: 1, vote: 1 }]);
    let at = log.end() % 16384;
    put(&mut log, &[Op::HardState { group: G, term: 2, vote: 3 }]);
    drop(log);
    let disk = power_cut(&disk);
    disk.flip_bit("0000000000000001.seg", (at + HEAD) * 8);
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(!log.hard_state_lost());
    assert_eq!(log.hard_state(G), HardState { term: 2, vote: 3, sequence: 2 });
}

#[test]
fn a_vote_is_lost_for_good_when_log_and_meta_are_damaged() {
    for slot in [0, 8192] {
        let disk = closed();
        flip(&disk, 7, HEAD);
        disk.flip_bit("meta", (slot + 100) * 8);
        let (log, recovery) = open(&disk);
        assert!(recovery.hard_state_lost && log.hard_state_lost());
        drop(log);
        let (log, recovery) = open(&power_cut(&disk));
        assert!(recovery.hard_state_lost && log.hard_state_lost(), "a restart does not find it again");
    }
}

#[test]
fn a_log_of_which_everything_is_gone_is_damaged_and_not_new() {
    let disk = closed();
    disk.overwrite("meta", 0, &[0; 12288]);
    disk.overwrite("0000000000000001.seg", 512, &[0; 16384 - 512]);
    let (_, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(recovery.hard_state_lost && !recovery.trustworthy);
}

#[test]
fn either_slot_of_a_whole_log_is_made_good_again() {
    for slot in [0, 8192] {
        let disk = closed();
        disk.flip_bit("meta", (slot + 100) * 8);
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.ending, Ending::Clean);
        assert!(!log.hard_state_lost());
        drop(log);
        let disk = power_cut(&disk);
        flip(&disk, 7, BODY);
        let (log, _) = open(&disk);
        assert!(!log.hard_state_lost(), "both slots were readable again");
    }
}

#[test]
fn an_unreadable_sector_is_damage_and_not_the_end() {
    let disk = closed();
    let (file, offset) = place_of(&disk, 7);
    disk.make_unreadable(&file, offset / 512);
    let (_, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    assert!(!holes(&recovery).is_empty());
}

#[test]
fn a_lost_write_below_what_was_known_to_be_durable_is_damage() {
    let disk = closed();
    let (file, offset) = place_of(&disk, 7);
    disk.overwrite(&file, offset / 512 * 512, &[0; 512]);
    let (_, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    let lost = holes(&recovery);
    assert!(lost.iter().any(|hole| (hole.first..=hole.last).contains(&7)), "{lost:?}");
    assert!(lost.iter().all(|hole| !hole.doubtful), "{lost:?}");
}

#[test]
fn a_mark_makes_a_lost_last_batch_visible() {
    for marked in [false, true] {
        let disk = disk();
        let mut log = create(&disk);
        put(&mut log, &entries(1..=3, 1, 100));
        if marked {
            log.mark().expect("room");
            log.sync().expect("syncs");
        }
        let (file, offset) = place_of(&disk, 3);
        let end = log.end();
        drop(log);
        let disk = power_cut(&disk);
        // All of entry 3 is gone, as if it had never been written. What stands behind it, if anything, is whole.
        let gone = if marked { 176 } else { end % 16384 - offset };
        disk.overwrite(&file, offset, &vec![0; gone as usize]);
        let (_, recovery) = open(&disk);
        let wanted = if marked { Ending::Damaged } else { Ending::Clean };
        assert_eq!(recovery.ending, wanted, "without a mark nothing is left that could tell");
    }
}
