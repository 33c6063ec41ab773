//! The table of recovery: every combination of facts has its row, and every row is met on a disk.

mod common;

use std::io;

use common::{G, body, create, disk, entries, entry, open, partial_power_cut, place_of, power_cut, put};
use holdfast_wal::disk::{Access, Call, Disk, FakeDisk, Fault, Injection};
use holdfast_wal::{Ending, Facts, Row, Sight, Verdict};

#[test]
fn every_combination_of_facts_is_cut_only_if_a_power_cut_explains_it() {
    let mut rows = Vec::new();
    for sight in [Sight::Unwritten, Sight::SomeZero, Sight::SomeWrong, Sight::WrongHead] {
        for bits in 0..8 {
            let facts =
                Facts { sight, covered: bits & 1 != 0, in_run: bits & 2 != 0, rest_is_zero: bits & 4 != 0 };
            // What a power cut can have made: something missing that nobody was told is durable.
            let missing = matches!(sight, Sight::Unwritten | Sight::SomeZero);
            let nothing_begun = sight == Sight::Unwritten && !facts.in_run && facts.rest_is_zero;
            let wanted = match (missing && !facts.covered, nothing_begun) {
                (true, true) => Verdict::End,
                (true, false) => Verdict::Cut,
                (false, _) => Verdict::Damage,
            };
            assert_eq!(facts.row().verdict(), wanted, "{facts:?}");
            rows.push(facts.row());
        }
    }
    rows.sort_by_key(|row| *row as u8);
    rows.dedup();
    assert_eq!(rows.len(), 9, "every row is some combination's");
}

/// A log with entries 1 to 3, durable, on which `unsynced` is written and not synced.
fn with_tail(sizes: &[usize]) -> FakeDisk {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=3, 1, 100));
    let tail: Vec<_> = (4..).zip(sizes).map(|(index, bytes)| entry(index, 1, *bytes)).collect();
    log.append(&tail).expect("fits");
    disk
}

/// Opens, sees the row, and that entries 1 to `last` are whole and nothing else is there.
fn assert_row(disk: &FakeDisk, row: Row, ending: Ending, last: u64) {
    let (log, recovery) = open(disk);
    assert_eq!((recovery.row, recovery.ending), (row, ending));
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(last));
    for index in 1..=3 {
        assert_eq!(log.read(G, index).expect("durable").body, body(index, 1, 100));
    }
}

#[test]
fn row_a_nothing_of_the_tail_reached_the_disk() {
    assert_row(&power_cut(&with_tail(&[100])), Row::A, Ending::Clean, 3);
}

#[test]
fn row_b_a_later_sector_reached_the_disk_and_the_first_did_not() {
    let disk = partial_power_cut(&with_tail(&[450, 450, 450]), |sector| sector > 0);
    assert_row(&disk, Row::B, Ending::Torn, 3);
}

#[test]
fn row_c_a_sector_of_a_record_did_not_reach_the_disk() {
    let disk = partial_power_cut(&with_tail(&[1800]), |sector| sector != 2);
    assert_row(&disk, Row::C, Ending::Torn, 3);
}

#[test]
fn row_d_a_fragment_did_not_reach_the_disk() {
    let whole = with_tail(&[6000]);
    let cells = whole.unsynced().len();
    assert!(cells > 10, "an entry of several fragments");
    assert_row(&partial_power_cut(&whole, |sector| sector < 6), Row::D, Ending::Torn, 3);
    assert_row(&partial_power_cut(&whole, |sector| sector + 1 < cells), Row::D, Ending::Torn, 3);
    assert_row(&partial_power_cut(&whole, |_| true), Row::A, Ending::Clean, 4);
}

/// Entries 1 to 3, entry 4 of `bytes`, and 5 to 9 behind it, all durable and known to be.
fn covered(bytes: usize) -> FakeDisk {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &entries(1..=3, 1, 100));
    put(&mut log, &[entry(4, 1, bytes)]);
    put(&mut log, &entries(5..=9, 1, 100));
    drop(log);
    power_cut(&disk)
}

fn zero(disk: &FakeDisk, offset: u64, bytes: usize) {
    disk.overwrite("0000000000000001.seg", offset, &vec![0; bytes]);
}

#[test]
fn row_e_a_durable_record_is_gone() {
    let disk = covered(300);
    let (_, offset) = place_of(&disk, 4);
    zero(&disk, offset, 512 - offset as usize % 512);
    assert_row(&disk, Row::E, Ending::Damaged, 9);
}

#[test]
fn row_f_a_sector_of_a_durable_body_is_gone() {
    let disk = covered(1800);
    let (_, offset) = place_of(&disk, 4);
    zero(&disk, (offset / 512 + 2) * 512, 512);
    assert_row(&disk, Row::F, Ending::Damaged, 9);
}

#[test]
fn row_g_a_fragment_of_a_durable_entry_is_gone() {
    let disk = covered(6000);
    let (_, offset) = place_of(&disk, 4);
    zero(&disk, (offset / 512 + 6) * 512, 512);
    assert_row(&disk, Row::G, Ending::Damaged, 9);
}

#[test]
fn row_h_a_durable_record_is_damaged() {
    let disk = covered(300);
    let (name, offset) = place_of(&disk, 4);
    disk.flip_bit(&name, (offset + 100) * 8);
    assert_row(&disk, Row::H, Ending::Damaged, 9);
}

#[test]
fn row_i_the_last_batch_is_damaged() {
    let disk = covered(300);
    let (name, offset) = place_of(&disk, 9);
    disk.flip_bit(&name, (offset + 100) * 8);
    assert_row(&disk, Row::I, Ending::Damaged, 9);
}

#[test]
fn nothing_behind_a_cut_comes_back() {
    let torn = partial_power_cut(&with_tail(&[450, 450, 450]), |sector| sector > 0);
    let (mut log, _) = open(&torn);
    put(&mut log, &[entry(4, 2, 450)]);
    drop(log);
    // Whatever stood in place of the lost sector: the tail behind it is still there, and dead.
    let (log, recovery) = open(&power_cut(&torn));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(log.bounds(G).map(|bounds| (bounds.last, bounds.last_term)), Some((4, 2)));
}

#[test]
fn what_a_killed_process_wrote_counts_only_once_open_has_synced_it() {
    let killed = with_tail(&[100]).after_kill();
    let (log, recovery) = open(&killed);
    assert_eq!(recovery.groups[0].1.last, 4, "the cache still had it");
    drop(log);
    assert!(killed.unsynced().is_empty());
    let (log, _) = open(&power_cut(&killed));
    assert_eq!(log.bounds(G).map(|bounds| bounds.last), Some(4));
    assert!(log.read(G, 4).is_ok());
}

#[test]
fn what_a_failed_sync_left_in_the_cache_alone_does_not_come_back() {
    let disk = with_tail(&[100, 100]);
    let sync = disk.open("0000000000000001.seg", Access::Write).expect("there");
    disk.inject(Injection { call: Call::Sync, skip: 0, fault: Fault::FailClean(io::ErrorKind::Other) });
    disk.sync(&sync).expect_err("injected");
    let disk = disk.after_kill();
    let (mut log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Torn, "the device has a clean end, the cache shows more");
    put(&mut log, &[entry(4, 2, 20)]);
    drop(log);
    let (log, recovery) = open(&power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(log.bounds(G).map(|bounds| (bounds.last, bounds.last_term)), Some((4, 2)));
}

#[test]
fn files_of_an_interrupted_preparation_are_swept() {
    let torn = partial_power_cut(&with_tail(&[450, 450, 450]), |sector| sector > 0);
    for disk in [covered(300), torn] {
        disk.copy_file("meta", "0000000000000002.seg.new");
        open(&disk);
        assert!(!disk.list().expect("a directory").contains(&"0000000000000002.seg.new".to_owned()));
    }
}
