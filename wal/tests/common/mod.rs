//! What the tests of the log share: a small log on a fake disk, with bodies that name themselves.
#![allow(dead_code, reason = "each test program uses a part of it")]

use bytes::Bytes;
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::{Group, Identity, Kept, Log, Op, Options, Recovery, tools};

pub(crate) type FakeLog = Log<FakeDisk>;

pub(crate) const G: Group = Group(0);

pub(crate) fn options() -> Options {
    let identity = Identity { cluster: [0xC1; 16], node: [0x0D; 16] };
    Options { segment_bytes: 16 * 1024, ..Options::new(identity, 7) }
}

pub(crate) fn disk() -> FakeDisk {
    FakeDisk::new(1 << 30)
}

pub(crate) fn create(disk: &FakeDisk) -> FakeLog {
    Log::create(disk.clone(), options()).expect("an empty directory")
}

pub(crate) fn open(disk: &FakeDisk) -> (FakeLog, Recovery) {
    let (log, recovery, mut kept) = Log::open_keeping(disk.clone(), options(), G).expect("a log");
    assert_kept(&log, &mut kept);
    (log, recovery)
}

/// What was kept on opening is what is read now: entries, holes and bounds.
pub(crate) fn assert_kept(log: &FakeLog, kept: &mut Kept) {
    let (reader, bounds) = (log.reader(), log.bounds(G));
    let indices = bounds.map_or(0..=0, |bounds| bounds.first.saturating_sub(1)..=bounds.last + 1);
    for index in indices {
        let (kept, read) = (reader.read_kept(kept, index), reader.read(G, index));
        assert_eq!(format!("{kept:?}"), format!("{read:?}"), "entry {index}");
    }
}

/// A body that no other entry has.
pub(crate) fn body(index: u64, term: u64, bytes: usize) -> Bytes {
    let stamp = [index.to_le_bytes(), term.to_le_bytes()].concat();
    stamp.iter().copied().cycle().take(bytes).map(|byte| byte ^ 0x5A).collect()
}

pub(crate) fn entry(index: u64, term: u64, bytes: usize) -> Op {
    Op::Entry { group: G, index, term, body: body(index, term, bytes) }
}

pub(crate) fn entries(indices: std::ops::RangeInclusive<u64>, term: u64, bytes: usize) -> Vec<Op> {
    indices.map(|index| entry(index, term, bytes)).collect()
}

/// Appends and makes durable.
pub(crate) fn put(log: &mut FakeLog, ops: &[Op]) {
    log.append(ops).expect("fits");
    log.sync().expect("syncs");
}

/// Loses everything that is not durable.
pub(crate) fn power_cut(disk: &FakeDisk) -> FakeDisk {
    disk.after_power_cut(&vec![0; disk.unsynced().len()])
}

/// Loses nothing, as if all had been written back just in time.
pub(crate) fn lucky_power_cut(disk: &FakeDisk) -> FakeDisk {
    let all: Vec<usize> = disk.unsynced().iter().map(|cell| cell.versions - 1).collect();
    disk.after_power_cut(&all)
}

/// A power cut that keeps the newest content of the sectors for which `keep` says so, by their order of place.
pub(crate) fn partial_power_cut(disk: &FakeDisk, keep: impl Fn(usize) -> bool) -> FakeDisk {
    let cells = disk.unsynced();
    let choice: Vec<usize> =
        (0..cells.len()).map(|at| if keep(at) { cells[at].versions - 1 } else { 0 }).collect();
    disk.after_power_cut(&choice)
}

/// Where the record of an entry begins: file and offset. Of a run, the first fragment; of several, the last one.
pub(crate) fn place_of(disk: &FakeDisk, index: u64) -> (String, u64) {
    let mut place = None;
    tools::dump(disk, &mut |line| {
        if let tools::Shown::Record { head, .. } = &line.shown
            && head.is_entry()
            && head.index == index
            && head.first
        {
            place = Some((line.file.clone(), line.offset));
        }
    })
    .expect("a directory");
    place.expect("it is there")
}
