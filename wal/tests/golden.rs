//! The bytes of a small log against what was promised before.
//!
//! `golden/log.txt` holds a directory: the length of each file, and each sector of it that is not zero. It may change, with
//! a reason in the commit, until the tag `format-1`; from then on a log that stands in it has to open for ever.
//! `UPDATE_GOLDEN=1` writes it anew and then fails, so that no run is green by rewriting.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{G, body, create, disk, entry, open, place_of, put};
use holdfast_machine::Numbered;
use holdfast_wal::disk::{Disk, FakeDisk, SECTOR};
use holdfast_wal::format::{Head, Kind};
use holdfast_wal::tools::{self, Shown};
use holdfast_wal::{Ending, Group, HardState, LogBounds, Op};

const H: Group = Group(5);

fn of_other_group(index: u64, term: u64) -> Op {
    Op::Entry { group: H, index, term, body: body(index, term, 40) }
}

/// A log of two lives: every kind of record, an entry in fragments, a conflict, and damage that a leader's entry healed.
fn sample() -> FakeDisk {
    let disk = disk();
    let mut log = create(&disk);
    put(&mut log, &[entry(1, 1, 60), entry(2, 1, 700), of_other_group(1, 1)]);
    put(&mut log, &[Op::HardState { group: G, term: 2, vote: 3 }]);
    // The head and the table of this one do not fit into the rest of a sector: a skip record goes before it.
    put(&mut log, &[entry(2, 2, 122), entry(3, 2, 2100), entry(4, 2, 0)]);
    put(&mut log, &[Op::Trim { group: G, first: 2 }]);
    log.mark().expect("room");
    log.sync().expect("syncs");
    drop(log);
    let (file, offset) = place_of(&disk, 3);
    disk.flip_bit(&file, (offset + 200) * 8);
    let (mut log, recovery) = open(&disk);
    assert_eq!(recovery.ending, Ending::Damaged);
    put(&mut log, &[Op::Fill { group: G, index: 3, term: 2, body: body(3, 2, 2100) }]);
    put(&mut log, &[Op::Heal { whole: vec![(G, 4), (H, 1)] }, entry(5, 2, 1)]);
    drop(log);
    common::power_cut(&disk)
}

/// The length of each file, and each of its sectors that is not zero.
fn written_down(disk: &FakeDisk) -> String {
    let mut text =
        String::from("# FILE is LENGTH, FILE SECTOR: bytes in hexadecimal. See wal/tests/golden.rs.\n");
    for name in disk.names() {
        let bytes = disk.content(&name).expect("it is listed");
        text += &format!("{name} is {}\n", bytes.len());
        for (at, sector) in
            bytes.chunks(SECTOR).enumerate().filter(|(_, sector)| sector.iter().any(|b| *b != 0))
        {
            let hex: String = sector.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("{name} {at}: {hex}\n");
        }
    }
    text
}

/// The directory that a text describes.
fn made_of(text: &str) -> FakeDisk {
    let disk = disk();
    let mut files = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, length)) = line.split_once(" is ") {
            let file = disk.create(name).expect("named once");
            disk.allocate(&file, length.parse().expect("a length")).expect("room");
            files.insert(name, file);
        } else {
            let (place, hex) = line.split_once(": ").expect("FILE SECTOR: bytes");
            let (name, sector) = place.split_once(' ').expect("FILE SECTOR");
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
                .collect();
            let offset = sector.parse::<u64>().expect("a number") * SECTOR as u64;
            disk.write_at(&files[name], offset, &bytes).expect("within the file");
        }
    }
    for file in files.values() {
        disk.sync(file).expect("a fake disk");
    }
    disk.sync_directory().expect("a fake disk");
    disk
}

fn golden() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

fn heads(disk: &FakeDisk) -> Vec<Head> {
    let mut heads = Vec::new();
    tools::dump(disk, &mut |line| {
        if let Shown::Record { head, .. } = &line.shown {
            heads.push(*head);
        }
    })
    .expect("a directory");
    heads
}

#[test]
fn the_bytes_of_a_log_are_the_promised_ones() {
    let (path, promised) = golden();
    let current = written_down(&sample());
    if std::env::var_os("UPDATE_GOLDEN").is_some() && current != promised {
        std::fs::write(&path, &current).expect("the golden file can be written");
        panic!("rewrote {}; say in the commit why it changed", path.display());
    }
    let place = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
    for (now, then) in current.lines().zip(promised.lines()) {
        assert!(
            now == then,
            "{}: {} is not as promised; see the head of this test",
            path.display(),
            place(then)
        );
    }
    assert_eq!(current.lines().count(), promised.lines().count(), "sectors were added or removed");
}

#[test]
fn the_promised_log_opens_and_reads_as_it_did() {
    let disk = made_of(&golden().1);
    let (log, recovery) = open(&disk);
    assert_eq!(
        (recovery.ending, recovery.hard_state_lost),
        (Ending::Clean, false),
        "healed in its second life"
    );
    assert_eq!(log.bounds(G), Some(LogBounds { first: 2, prev_term: 1, last: 5, last_term: 2 }));
    assert_eq!(log.bounds(H), Some(LogBounds { first: 1, prev_term: 0, last: 1, last_term: 1 }));
    assert_eq!(log.hard_state(G), HardState { term: 2, vote: 3, sequence: 1 });
    for (index, term, bytes) in [(2, 2, 122), (3, 2, 2100), (4, 2, 0), (5, 2, 1)] {
        let entry = log.read(G, index).expect("whole");
        assert_eq!((entry.term, entry.body), (term, body(index, term, bytes)), "index {index}");
    }
    assert_eq!(log.read(H, 1).expect("whole").body, body(1, 1, 40));
}

#[test]
fn the_promised_log_can_be_gone_on_with() {
    let disk = made_of(&golden().1);
    let (mut log, _) = open(&disk);
    put(&mut log, &[entry(6, 3, 5000), Op::HardState { group: H, term: 3, vote: 0 }]);
    drop(log);
    let (log, recovery) = open(&common::power_cut(&disk));
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(log.read(G, 6).expect("whole").body, body(6, 3, 5000));
    assert_eq!(log.hard_state(H).term, 3);
}

#[test]
fn the_promised_log_holds_every_kind_of_record_and_both_slots() {
    let disk = made_of(&golden().1);
    let heads = heads(&disk);
    let kinds: BTreeSet<Kind> = heads.iter().map(|head| head.kind).collect();
    assert_eq!(Vec::from_iter(kinds), Kind::ALL);
    for kind in [Kind::Entry, Kind::Fill] {
        let of_kind = || heads.iter().filter(move |head| head.kind == kind);
        assert!(of_kind().any(|head| head.first && !head.last), "{kind:?}: a first fragment");
        assert!(of_kind().any(|head| !head.first && head.last), "{kind:?}: a last fragment");
    }
    assert!(heads.iter().any(|head| head.cuts > 0 && head.cut_from > 0), "a conflict");
    let mut slots = 0;
    tools::dump(&disk, &mut |line| slots += u32::from(matches!(line.shown, Shown::Slot(_))))
        .expect("a directory");
    assert_eq!(slots, 2);
}
