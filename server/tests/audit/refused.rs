//! The file of what was refused: lines that a tool can read, bounded in size and speed, whatever the disk does.

use std::io::ErrorKind;

use holdfast_server::audit::{Refused, RefusedLog};
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};

fn refused(message: &str) -> Refused {
    Refused {
        actor: "mallory \"m\"\n".into(),
        address: Some(([10, 0, 0, 1], 4_000).into()),
        request: "Put".into(),
        code: "HF0101".into(),
        message: message.to_owned().into(),
    }
}

fn lines(disk: &FakeDisk, name: &str) -> Vec<String> {
    let text = String::from_utf8(disk.content(name).expect("it is there")).expect("text");
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_line_is_json_whatever_stands_in_it() {
    let disk = FakeDisk::new(1 << 20);
    let mut log = RefusedLog::open(disk.clone()).expect("a directory");
    log.note(1_700_000_000_123, &refused("a \\ b\u{1b}[2J\u{202e}é"));
    log.flush().expect("there is room");
    assert_eq!(
        lines(&disk, "refused.jsonl"),
        [
            r#"{"time_ms":1700000000123,"actor":"mallory \"m\"\n","request":"Put","code":"HF0101","message":"a \\ b\u001b[2J�é","address":"10.0.0.1:4000"}"#
        ]
    );
    log.note(1_700_000_000_124, &refused(&"é".repeat(5_000)));
    log.flush().expect("there is room");
    assert!(lines(&disk, "refused.jsonl")[1].len() < 1_300, "it is cut off, between two characters");
}

#[test]
fn of_more_than_a_hundred_in_a_second_the_rest_is_counted_in_the_next_line() {
    let disk = FakeDisk::new(1 << 20);
    let mut log = RefusedLog::open(disk.clone()).expect("a directory");
    for number in 0..250 {
        log.note(5_000 + number, &refused("no"));
    }
    log.note_more(3);
    log.note(6_000, &refused("no"));
    log.note(6_001, &refused("no"));
    log.flush().expect("there is room");
    let lines = lines(&disk, "refused.jsonl");
    assert_eq!(lines.len(), 102);
    assert!(lines[100].contains(r#","suppressed_before":153}"#), "{}", lines[100]);
    assert!(!lines[101].contains("suppressed"), "{}", lines[101]);
}

#[test]
fn four_files_of_four_mebibytes_are_kept() {
    let disk = FakeDisk::new(1 << 27);
    let mut log = RefusedLog::open(disk.clone()).expect("a directory");
    let long = "x".repeat(1_000);
    for second in 0..300 {
        for _ in 0..100 {
            log.note(second * 1_000, &refused(&long));
        }
        log.flush().expect("there is room");
    }
    assert_eq!(disk.names(), ["refused.1.jsonl", "refused.2.jsonl", "refused.3.jsonl", "refused.jsonl"]);
    let bytes: usize = disk.names().iter().map(|name| disk.content(name).expect("a file").len()).sum();
    assert!((12 << 20..18 << 20).contains(&bytes), "{bytes}");
    let newest = lines(&disk, "refused.jsonl");
    assert!(newest.last().is_some_and(|line| line.contains("\"time_ms\":299000")));
    let before = lines(&disk, "refused.1.jsonl");
    assert!(before[0] < newest[0], "the older one has the lower number");
}

#[test]
fn what_a_crash_tore_becomes_blank_and_the_next_line_stands_alone() {
    let disk = FakeDisk::new(1 << 20);
    let mut log = RefusedLog::open(disk.clone()).expect("a directory");
    for second in 0..20 {
        log.note(second * 1_000, &refused("no"));
        log.flush().expect("there is room");
    }
    let (mut torn, mut images) = (0, 0);
    for disk in crate::storage_common::power_cuts(&disk, 200) {
        let mut log = RefusedLog::open(disk.clone()).expect("a directory");
        log.note(99_000, &refused("after"));
        log.flush().expect("there is room");
        let all = lines(&disk, "refused.jsonl");
        assert!(all.last().is_some_and(|line| line.starts_with("{\"time_ms\":99000")), "{all:?}");
        let plain = |line: &&String| line.starts_with('{') && line.ends_with('}');
        assert!(all.iter().all(|line| plain(&line) || line.chars().all(|c| c == ' ')), "{all:?}");
        torn += usize::from(!all.iter().all(|line| plain(&line)));
        images += 1;
    }
    assert!(torn > 20, "{torn} of {images} were torn");
}

#[test]
fn a_disk_that_fails_costs_lines_and_no_memory() {
    let disk = FakeDisk::new(1 << 24);
    let mut log = RefusedLog::open(disk.clone()).expect("a directory");
    for call in [Call::Create, Call::Allocate, Call::Write] {
        disk.inject(Injection { call, skip: 0, fault: Fault::Fail(ErrorKind::StorageFull) });
        log.note(1_000, &refused("no"));
        log.flush().expect_err("it is full");
    }
    log.flush().expect("there is room");
    assert_eq!(lines(&disk, "refused.jsonl").len(), 3);
    for second in 0..100 {
        for _ in 0..100 {
            log.note(second * 1_000, &refused(&"x".repeat(1_000)));
        }
    }
    log.flush().expect("there is room");
    let kept = lines(&disk, "refused.jsonl").len();
    assert!(kept < 400, "{kept} lines waited in memory");
}
