//! How long a log of a million entries takes to open, and how much memory that takes.
//! `cargo run --release -p holdfast-wal --example open [DIRECTORY]`
//!
//! Opening reads every live segment past the cache, so that the device is measured and not the memory.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Scratch, median};
use holdfast_wal::disk::RealDisk;
use holdfast_wal::{AsDesigned, Ending, Group, Identity, Log, Op, Options};

const ENTRIES: u64 = 1_000_000;
const BODY: usize = 300;
/// Entries written with one call.
const AT_ONCE: u64 = 1_000;
const OPENS: usize = 7;
/// Seconds to open it in.
const GOAL: f64 = 1.5;

fn main() {
    common::refuse_debug_builds();
    let scratch = Scratch::new("open");
    println!("{scratch}; {ENTRIES} entries of {BODY} bytes");
    let options = Options::new(Identity { cluster: [1; 16], node: [2; 16] }, 3);
    let disk = RealDisk::open(scratch.path()).expect("the directory is there");

    let begin = Instant::now();
    let segments = write(&disk, options);
    println!("written in {:.1} s: {segments} segments", begin.elapsed().as_secs_f64());
    let before = peak();
    let mut times = Vec::new();
    for _ in 0..OPENS {
        let begin = Instant::now();
        let opened: (Log<RealDisk, AsDesigned>, _) = Log::open(disk.clone(), options).expect("it opens");
        times.push(begin.elapsed());
        let (log, recovery) = opened;
        assert_eq!(recovery.ending, Ending::Clean);
        assert_eq!(log.bounds(Group(0)).map(|bounds| bounds.last), Some(ENTRIES));
    }
    let each: Vec<String> = times.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
    let middle = median(times.iter().map(Duration::as_secs_f64).collect());
    let met = if middle < GOAL { "met" } else { "NOT MET" };
    println!("open: median {middle:.2} s (each: {}); < {GOAL} s: {met}", each.join(" "));

    let after = peak();
    let segment = options.segment_bytes;
    let slots = ENTRIES * 24;
    println!(
        "peak resident memory: {} MiB, {} MiB of them before the first open; \
         one segment and 24 bytes for each entry are {} MiB",
        after >> 20,
        before >> 20,
        (segment + slots) >> 20
    );
}

/// Writes the log and closes it. Says how many segments it has.
fn write(disk: &RealDisk, options: Options) -> u64 {
    let mut log: Log<RealDisk, AsDesigned> = Log::create(disk.clone(), options).expect("a log can be made");
    let body = Bytes::from(vec![0x5A; BODY]);
    for first in (1..=ENTRIES).step_by(AT_ONCE as usize) {
        let entry = |index| Op::Entry { group: Group(0), index, term: 1, body: body.clone() };
        let ops: Vec<Op> = (first..first + AT_ONCE).map(entry).collect();
        log.append(&ops).expect("there is room");
        log.sync().expect("it can be synced");
    }
    log.counts().rotations + 1
}

/// The largest amount of memory that this process had at once, in bytes. 0 if the system does not say.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
