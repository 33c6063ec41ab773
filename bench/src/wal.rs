//! `wal`: the log of a node alone, with its thread and on a real disk: no network, no consensus, no store.
//!
//! One caller keeps so many appends outstanding, each a submission of its own, as the node's thread does. Beside it stands what
//! the disk can do: the same bytes written and synced one by one.
//!
//! ```text
//!   caller ──append──► queue ──► WAL thread: all that waits is one write and one sync
//!      ▲                                │
//!      └────────── durable up to n ─────┘          the latency: from the append until this is seen
//! ```

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use holdfast_wal::disk::RealDisk;
use holdfast_wal::stats::Snapshot;
use holdfast_wal::thread::{Settings, Why, start};
use holdfast_wal::{Group, Identity, Log, Op, Options};

use crate::disk::{self, Scratch};
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::load::{Answers, Load, Recorder};
use crate::output::Keep;
use crate::process::Use;
use crate::report::{Summary, Table, show};
use crate::seconds;
use crate::watching::Watching;

/// The one group whose entries are appended.
const GROUP: Group = Group(0);
/// Whoever waits for room looks again after this, if nobody wakes it.
const LOOK: Duration = Duration::from_millis(10);

/// What is appended, and how much at once.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench wal --dir /data
  holdfast-bench wal --outstanding 1,16,256 --entry-bytes 4096 --runs 3 --dir /data --out wal")]
pub(crate) struct WalArgs {
    /// Appends outstanding, of one load after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    outstanding: Vec<u32>,
    /// Bytes of each entry.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    entry_bytes: u32,
    /// How long each figure is measured.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How long each load runs before it is measured.
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// How often each load is run, on a new log each time, in turns with the raw disk.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Ends each measurement after so many appends, and leaves the warm-up out.
    #[arg(long, hide = true)]
    operations: Option<u64>,
    #[command(flatten)]
    keep: Keep,
}

/// Runs all loads, and prints what came.
pub(crate) fn run(args: &WalArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let asked =
        [("entry bytes", args.entry_bytes.to_string()), ("seconds", args.seconds.as_secs_f64().to_string())];
    let mut sheet = Sheet::new("wal", &asked);
    let load = |outstanding| Load {
        connections: 1,
        in_flight: outstanding,
        value_bytes: args.entry_bytes,
        warmup: if args.operations.is_some() { Duration::ZERO } else { args.warmup },
        measured: args.seconds,
        operations: args.operations,
        pace: None,
    };
    for number in 1..=args.runs {
        let mut table = Table::new(&format!("{} bytes, run {number}", args.entry_bytes), "per s");
        let mut notes = String::new();
        for outstanding in &args.outstanding {
            // A moment before each of them, as a disk that others use is not the same for long.
            let raw = Summary::of(&disk::syncs(&load(1), scratch.path())?);
            sheet.summary("raw write and fdatasync", &raw);
            table.row("raw write and fdatasync", raw.clone());
            let measured = measure(&load(*outstanding), &scratch.path().join("wal"))?;
            let name = format!("{outstanding} outstanding");
            let summary = Summary::of(&measured.answers);
            table.row(&name, summary.clone());
            notes.push_str(&add(&mut sheet, &name, &measured, &summary, &raw));
        }
        show(format!("{table}{notes}"))?;
    }
    show(&sheet)?;
    keeping.finish(vec![sheet])
}

/// What came of one load.
#[derive(Debug)]
struct Measured {
    answers: Answers,
    /// What the log did in the window.
    done: Done,
}

/// What a log, and this process, did in a time.
#[derive(Debug, Clone, PartialEq)]
struct Done {
    appends: u64,
    batches: u64,
    syncs: u64,
    /// Bytes of entries, those that were written for them, and those that went to the device.
    user: u64,
    written: u64,
    device: Option<u64>,
    /// Submissions for which there was no room yet.
    refused: u64,
    /// Nanoseconds of each sync.
    sync: Histogram<u64>,
}

impl Done {
    /// Since the beginning of the log.
    fn so_far(snapshot: Snapshot) -> Self {
        let (all, log) = (snapshot.counters, snapshot.counters.log);
        Self {
            appends: all.submissions,
            batches: all.batches,
            syncs: log.syncs,
            user: log.payload_bytes,
            written: log.written_bytes,
            device: Use::of_self().and_then(|used| used.written),
            refused: all.refusals,
            sync: snapshot.batches.sync_nanos,
        }
    }

    /// Since `before`.
    fn since(mut self, before: &Self) -> Result<Self, Failure> {
        self.sync.subtract(&before.sync).doing(|| "subtract syncs".to_owned())?;
        Ok(Self {
            appends: self.appends.saturating_sub(before.appends),
            batches: self.batches.saturating_sub(before.batches),
            syncs: self.syncs.saturating_sub(before.syncs),
            user: self.user.saturating_sub(before.user),
            written: self.written.saturating_sub(before.written),
            device: self.device.zip(before.device).map(|(after, before)| after.saturating_sub(before)),
            refused: self.refused.saturating_sub(before.refused),
            sync: self.sync,
        })
    }
}

/// Adds the figures of a load, and says which of them stand in no table.
fn add(sheet: &mut Sheet, name: &str, measured: &Measured, summary: &Summary, raw: &Summary) -> String {
    let done = &measured.done;
    sheet.summary(&format!("{name}: append"), summary);
    let sync = Summary::of_histogram(&done.sync, measured.answers.elapsed, 1);
    sheet.latencies(&format!("{name}: a sync of the log"), &sync);
    let by = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let p50 = summary.median_latency().zip(raw.median_latency());
    let ratios = [
        ("p50 by the raw one", Better::Lower, p50.and_then(|(ours, raw)| by(ours, raw))),
        ("appends that one sync serves", Better::Higher, by(done.appends, done.batches)),
        ("bytes written per byte of an entry", Better::Lower, by(done.written, done.user)),
        (
            "bytes of the device per byte of an entry",
            Better::Lower,
            done.device.and_then(|device| by(device, done.user)),
        ),
    ];
    let mut words = Vec::new();
    for (what, better, ratio) in ratios {
        if let Some(ratio) = ratio {
            sheet.add(&format!("{name}: {what}"), Unit::Times, better, ratio);
            words.push(format!("{ratio:.2} {what}"));
        }
    }
    sheet.add(&format!("{name}: syncs"), Unit::Count, Better::Neither, done.syncs as f64);
    sheet.add(
        &format!("{name}: appends that waited for room"),
        Unit::Count,
        Better::Lower,
        done.refused as f64,
    );
    format!("{name}: {}; {} waited for room\n", words.join(", "), done.refused)
}

/// Wakes the thread that appends.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `load` on a new log in `dir`, which is removed.
fn measure(load: &Load, dir: &Path) -> Result<Measured, Failure> {
    let doing = || "append to a log".to_owned();
    let options = Options::new(Identity { cluster: [1; 16], node: [1; 16] }, 1);
    let log: Log<RealDisk> = Log::create(RealDisk::create(dir).doing(doing)?, options).doing(doing)?;
    let mut log = log;
    // What a node waits for as well before it serves.
    log.prepare().doing(doing)?;
    let broken: Arc<Mutex<Option<String>>> = Arc::default();
    let told = Arc::clone(&broken);
    let on_fatal = Box::new(move |failure: holdfast_wal::thread::Failure| {
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
    });
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut handle, mut waiter, running) =
        start(log, Settings { on_fatal, ..Settings::default() }, waker).doing(doing)?;
    let (stats, durable) = (running.stats(), waiter.reader());
    let closed = || {
        let why = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        Failure::new(doing(), why.unwrap_or_else(|| "its thread has ended".to_owned()))
    };

    let watching = Watching::new(&format!("wal, {} outstanding", load.in_flight), load);
    let window = load.window();
    let mut recorder = Recorder::new(load, window)?.telling(watching.told());
    let body = Bytes::from(vec![0xA5; load.value_bytes as usize]);
    let mut open: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut trim = Trim::new(options.segment_bytes);
    let (mut index, mut before) = (0, None);
    let mut now = Instant::now();
    while !recorder.is_over(now) {
        if before.is_none() && now >= window.begin {
            before = Some(Done::so_far(stats.snapshot()));
            now = Instant::now();
        }
        while open.len() < load.in_flight as usize {
            let mut ops = vec![Op::Entry { group: GROUP, index: index + 1, term: 1, body: body.clone() }];
            ops.extend(trim.next(index, body.len()).map(|first| Op::Trim { group: GROUP, first }));
            match handle.submit(ops) {
                Ok(ticket) => {
                    index += 1;
                    trim.appended(body.len());
                    open.push_back((ticket.0, now));
                }
                // It will be accepted when a segment is ready, or something is durable.
                Err(refused) if matches!(refused.why, Why::Preparing | Why::Full(_)) => break,
                Err(refused) if refused.why == Why::Stopped => return Err(closed()),
                Err(refused) => return Err(Failure::new(doing(), refused)),
            }
        }
        let Some((first, _)) = open.front().copied() else {
            thread::park_timeout(LOOK);
            now = Instant::now();
            continue;
        };
        // Asks to be woken; what it finds is looked at below.
        let _ = waiter.wait_for(first);
        while durable.get() < first {
            if durable.is_closed() {
                return Err(closed());
            }
            thread::park();
            let _ = waiter.wait_for(first);
        }
        waiter.withdraw();
        now = Instant::now();
        let reached = durable.get();
        while let Some((_, since)) = open.pop_front_if(|(ticket, _)| *ticket <= reached) {
            recorder.answer(since, now);
        }
    }
    let after = Done::so_far(stats.snapshot());
    let before = before.ok_or_else(|| Failure::new(doing(), "the window never began"))?;
    drop((handle, waiter));
    drop(running.join());
    let _ = fs::remove_dir_all(dir);
    Ok(Measured { answers: recorder.finish(), done: after.since(&before)? })
}

/// When entries are given up, as a node does behind a snapshot: each time a segment's worth of them was appended, those before.
#[derive(Debug)]
struct Trim {
    segment_bytes: u64,
    since: u64,
}

impl Trim {
    fn new(segment_bytes: u64) -> Self {
        Self { segment_bytes, since: 0 }
    }

    /// The first entry that is kept from now on, if it is time, when so many have been appended.
    fn next(&self, appended: u64, bytes: usize) -> Option<u64> {
        (self.since + bytes as u64 > self.segment_bytes && appended > 0).then_some(appended)
    }

    /// One was accepted.
    fn appended(&mut self, bytes: usize) {
        self.since += bytes as u64;
        if self.since > self.segment_bytes {
            self.since = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_given_up_once_for_each_segment_and_never_the_last() {
        let mut trim = Trim::new(100);
        let mut given_up = Vec::new();
        for index in 0..12 {
            given_up.extend(trim.next(index, 30));
            trim.appended(30);
        }
        assert_eq!(given_up, [3, 7, 11]);
        assert_eq!(Trim::new(10).next(0, 30), None);
    }

    #[test]
    fn a_small_load_is_durable_and_its_bytes_and_syncs_are_those_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let load = Load {
            connections: 1,
            in_flight: 8,
            value_bytes: 100,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(600),
            operations: Some(300),
            pace: None,
        };
        let measured = measure(&load, &dir.path().join("log")).unwrap();
        let done = &measured.done;
        assert_eq!(measured.answers.latencies.len(), 300);
        assert!(done.appends >= 300 && done.user >= 300 * 100 && done.written > done.user, "{done:?}");
        assert!(done.batches > 0 && done.batches <= done.appends && done.syncs >= done.batches, "{done:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    }

    #[test]
    fn figures_of_a_load_are_ratios_of_what_was_done() {
        let mut sync = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        sync.record_n(110_000, 500).unwrap();
        let done = Done {
            appends: 4000,
            batches: 500,
            syncs: 501,
            user: 1000,
            written: 1250,
            device: Some(2000),
            refused: 3,
            sync,
        };
        let load = Load {
            connections: 1,
            in_flight: 8,
            value_bytes: 1,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(1),
            operations: None,
            pace: None,
        };
        let answers = Recorder::new(&load, load.window()).unwrap().finish();
        let summary = Summary::of(&answers);
        let mut sheet = Sheet::new("wal", &[]);
        let words =
            add(&mut sheet, "8 outstanding", &Measured { answers, done: done.clone() }, &summary, &summary);
        assert!(words.contains("8.00 appends that one sync serves, 1.25 bytes written per byte"), "{words}");
        let of = |name: &str| sheet.figures.iter().find(|figure| figure.name == name).unwrap().runs.clone();
        assert_eq!(of("8 outstanding: bytes of the device per byte of an entry"), [2.0]);
        assert_eq!(of("8 outstanding: appends that waited for room"), [3.0]);
        // Without a device that is told, and without a median, there is no such figure.
        let mut bare = Sheet::new("wal", &[]);
        let none = Done { device: None, user: 0, ..done.clone() };
        let answers = Recorder::new(&load, load.window()).unwrap().finish();
        let words = add(&mut bare, "x", &Measured { answers, done: none }, &summary, &summary);
        assert!(!words.contains("per byte") && !words.contains("NaN"), "{words}");
        let mut later = done.clone();
        later.sync.record_n(90_000, 7).unwrap();
        let since = Done { appends: 4100, device: None, ..later }.since(&done).unwrap();
        assert_eq!((since.appends, since.batches, since.device, since.sync.len()), (100, 0, None, 7));
    }
}
