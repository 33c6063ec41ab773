//! The log on a real disk: processes killed, power cut, disks that are full or cannot be written.
//!
//! `HOLDFAST_SEED` repeats a run; `HOLDFAST_ROUNDS` says how often the writer is killed (40; 200 for a
//! thorough run).

#[path = "real_disk/model.rs"]
mod model;
#[path = "real_disk/mount.rs"]
mod mount;
#[path = "real_disk/writer.rs"]
mod writer;

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_handoff::park::{Parker, parker};
use holdfast_handoff::watermark::{Wait, Waiter};
use holdfast_wal::disk::RealDisk;
use holdfast_wal::thread::{Handle, Running, Settings, Ticket, Why, start};
use holdfast_wal::{AsDesigned, Ending, Log, Op, OpenError};
use model::{GROUP, Model};
use mount::{LoopDisk, skipped};
use writer::{Draw, Told, Writer, options};

type WalLog = Log<RealDisk, AsDesigned>;

/// After so many kills the writer begins with an empty directory.
const LIVES: u64 = 10;
const POWER_CUTS: u64 = 6;
const MIB: u64 = 1024 * 1024;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// Printed, and so shown when the test fails.
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("HOLDFAST_SEED").unwrap_or_else(now);
    println!("HOLDFAST_SEED={seed}");
    seed
}

/// No test: what a process does that these tests start. Does nothing otherwise.
#[test]
fn writer() {
    writer::write_until_killed();
}

/// Opens what a writer left, and checks it against what the writer said.
fn check(directory: &Path, model: &mut Model, told: &Told, salt: u64) {
    let opened = Log::open(RealDisk::open(directory).unwrap(), options(salt));
    let (log, recovery): (WalLog, _) = match opened {
        Err(OpenError::NoLog { .. }) if told.steps.is_empty() => return,
        opened => opened.unwrap_or_else(|error| panic!("{error}")),
    };
    assert_ne!(recovery.ending, Ending::Damaged, "{recovery:?}");
    model.meets(&log, &told.steps, told.durable);
}

#[test]
fn a_writer_that_is_killed_loses_nothing_that_it_reported() {
    let mut draw = Draw(seed());
    let (mut steps, mut reported) = (0, 0);
    let mut directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut model = Model::default();
    for round in 0..number("HOLDFAST_ROUNDS").unwrap_or(40) {
        if round % LIVES == 0 {
            directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            model = Model::default();
        }
        println!("round {round}");
        let mut writer = Writer::start(directory.path(), draw.below(u64::MAX));
        for _ in 0..draw.below(800) {
            assert!(writer.hear(), "it ended by itself");
        }
        writer.kill();
        let (told, status) = writer.end();
        assert_eq!(status.signal(), Some(9));
        check(directory.path(), &mut model, &told, draw.below(u64::MAX));
        (steps, reported) = (steps + told.steps.len(), reported + told.durable);
    }
    println!("{steps} steps, {reported} of them reported");
}

#[test]
fn a_second_open_names_the_process_that_holds_the_directory() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut writer = Writer::start(directory.path(), 1);
    while !writer.told.ready {
        assert!(writer.hear(), "it ended by itself");
    }
    let opened: Result<(WalLog, _), _> = Log::open(RealDisk::open(directory.path()).unwrap(), options(1));
    match opened {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(writer.id())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_reported() {
    let mut disk = match LoopDisk::new(64 * MIB) {
        Ok(disk) => disk,
        Err(reason) => return skipped("power cut test", &reason),
    };
    let mut draw = Draw(seed());
    let mut model = Model::default();
    let directory = disk.path().join("wal");
    for cut in 0..POWER_CUTS {
        println!("cut {cut}");
        let mut writer = Writer::start(&directory, draw.below(u64::MAX));
        while !writer.told.ready {
            assert!(writer.hear(), "it ended by itself");
        }
        for _ in 0..draw.below(1500) {
            assert!(writer.hear(), "it ended by itself");
        }
        if let Err(reason) = disk.cut_power() {
            return skipped("power cut test", &reason);
        }
        let (told, status) = writer.end();
        // SIGABRT: a sync failed, and that ends the process.
        assert_eq!(status.signal(), Some(6), "{status}");
        disk.unmount().unwrap();
        disk.mount("rw").unwrap();
        check(&directory, &mut model, &told, draw.below(u64::MAX));
    }
}

#[test]
fn a_log_on_a_read_only_file_system_is_refused_with_what_to_do() {
    let mut disk = match LoopDisk::new(16 * MIB) {
        Ok(disk) => disk,
        Err(reason) => return skipped("read-only test", &reason),
    };
    let directory = disk.path().join("wal");
    let log: WalLog = Log::create(RealDisk::create(&directory).unwrap(), options(1)).unwrap();
    drop(log);
    disk.unmount().unwrap();
    disk.mount("ro").unwrap();
    let opened: Result<(WalLog, _), _> = Log::open(RealDisk::open(&directory).unwrap(), options(1));
    match opened {
        Err(error @ OpenError::Io { .. }) => {
            assert!(error.to_string().ends_with("; remount it writable"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// A log behind its thread on a disk of its own.
struct Small {
    handle: Handle,
    waiter: Waiter,
    parker: Parker,
    running: Running<RealDisk, AsDesigned>,
    index: u64,
    /// Last, because what is before has files on it.
    disk: LoopDisk,
}

impl Small {
    fn new() -> Result<Self, String> {
        let disk = LoopDisk::new(8 * MIB)?;
        let directory = RealDisk::create(disk.path().join("wal")).unwrap();
        let mut log: WalLog = Log::create(directory, options(1)).unwrap();
        log.prepare().unwrap();
        let (parker, waker) = parker();
        let settings = Settings { retry: Duration::from_millis(10), ..Settings::default() };
        let (handle, waiter, running) = start(log, settings, waker).unwrap();
        Ok(Self { handle, waiter, parker, running, index: 0, disk })
    }

    fn submit(&mut self) -> Result<Ticket, Why> {
        let body = Bytes::from(vec![self.index as u8; 4000]);
        let entry = Op::Entry { group: GROUP, index: self.index + 1, term: 1, body };
        let ticket = self.handle.submit(vec![entry]).map_err(|refused| refused.why)?;
        self.index += 1;
        Ok(ticket)
    }

    /// Submits until the disk is full.
    fn fill(&mut self) {
        loop {
            match self.submit() {
                Ok(ticket) => self.finish(ticket),
                Err(Why::NoSpace { free, needed }) => {
                    assert!(free < needed, "{free} are free, {needed} are needed");
                    return;
                }
                Err(Why::Preparing) => self.parker.park(),
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn finish(&mut self, ticket: Ticket) {
        while self.waiter.wait_for(ticket.0) == Wait::Pending {
            self.parker.park();
        }
        assert!(self.waiter.reader().get() >= ticket.0);
    }

    /// Submits until an entry is accepted again.
    fn submit_again(&mut self) -> Ticket {
        loop {
            match self.submit() {
                Ok(ticket) => return ticket,
                Err(Why::NoSpace { .. } | Why::Preparing) => self.parker.park(),
                Err(why) => panic!("{why}"),
            }
        }
    }
}

#[test]
fn a_disk_that_is_full_refuses_entries_and_keeps_those_it_took() {
    let mut small = match Small::new() {
        Ok(small) => small,
        Err(reason) => return skipped("full disk test", &reason),
    };
    small.fill();
    let Small { handle, running, index, disk, .. } = small;
    drop(handle);
    drop(running.join());
    let opened = Log::open(RealDisk::open(disk.path().join("wal")).unwrap(), options(2));
    let (log, _): (WalLog, _) = opened.unwrap();
    assert_eq!(log.bounds(GROUP).unwrap().last, index);
}

#[test]
fn a_disk_that_is_full_accepts_entries_after_a_trim() {
    let mut small = match Small::new() {
        Ok(small) => small,
        Err(reason) => return skipped("full disk test", &reason),
    };
    small.fill();
    let first = small.index;
    let trim = small.handle.submit(vec![Op::Trim { group: GROUP, first }]).unwrap();
    small.finish(trim);
    let ticket = small.submit_again();
    small.finish(ticket);
}

#[test]
fn a_disk_that_is_full_accepts_entries_when_somebody_makes_room() -> io::Result<()> {
    let mut small = match Small::new() {
        Ok(small) => small,
        Err(reason) => {
            skipped("full disk test", &reason);
            return Ok(());
        }
    };
    let other = small.disk.path().join("of somebody else");
    std::fs::write(&other, vec![0; 1_000_000])?;
    small.fill();
    std::fs::remove_file(&other)?;
    let ticket = small.submit_again();
    small.finish(ticket);
    Ok(())
}
