//! What a durable append costs through the thread, beside what it costs at least on this disk. `cargo run
//! --release -p holdfast-wal --example append [DIRECTORY]`
//!
//! Nine rounds of one run; in each, short blocks of everything in turn, so that whatever else the machine
//! does meanwhile meets them all. The figures are ratios within a round; absolute times drift.

mod common;
mod device;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Scratch, median};
use device::Device;
use hdrhistogram::Histogram;
use holdfast_handoff::park::{Parker, parker};
use holdfast_handoff::watermark::{Wait, Waiter};
use holdfast_wal::disk::RealDisk;
use holdfast_wal::stats::Batches;
use holdfast_wal::thread::{Handle, Running, Settings, Ticket, start};
use holdfast_wal::{AsDesigned, Group, Identity, Log, Op, Options};

const ROUNDS: usize = 9;
/// No round is begun after this.
const LONGEST: Duration = Duration::from_secs(40);
/// Blocks of a round.
const BLOCKS: usize = 10;
/// Appends in a block at depth 1, and raw ones.
const SINGLE: usize = 50;
/// Appends in a block at depth 64.
const MANY: usize = 64 * 40;
const DEPTH: u64 = 64;
const BODY: usize = 300;
/// Round trips to a thread before there is another one.
const TRIPS: usize = 20;
/// What a node does for each write beside handing it over: it reads the request and answers it.
const WORK: Duration = Duration::from_micros(1);

fn main() {
    common::refuse_debug_builds();
    let scratch = Scratch::new("append");
    println!("{scratch}; {ROUNDS} rounds, bodies of {BODY} bytes");
    let mut bench = Bench::new(scratch.path());
    bench.round(); // warms caches and vectors
    let begin = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS && begin.elapsed() < LONGEST {
        rounds.push(bench.round());
    }
    if rounds.len() < ROUNDS {
        println!("the disk is so slow that there are only {} rounds", rounds.len());
    }
    bench.report(&rounds);
}

/// What one round measured: nanoseconds of each operation, and appends per second.
#[derive(Default)]
struct Round {
    thread: Vec<u64>,
    raw: Vec<u64>,
    wake: Vec<u64>,
    burst: Many,
    stream: Many,
    /// Device bytes for each append: through the thread, raw, and at depth 64.
    device: [f64; 3],
}

/// Appends with 64 outstanding, and the raw writes of the same batches.
#[derive(Default)]
struct Many {
    thread: Vec<u64>,
    appends: u64,
    batches: u64,
    thread_time: Duration,
    /// The part of it in which the thread was at work on a batch.
    inside_time: Duration,
    raw_time: Duration,
}

struct Bench {
    wal: Wal,
    raw: Raw,
    device: Device,
}

impl Bench {
    fn new(directory: &Path) -> Self {
        let (wal, raw) = (Wal::new(directory), Raw::new(directory));
        Self { wal, raw, device: Device::of(directory) }
    }

    fn round(&mut self) -> Round {
        let mut round = Round::default();
        let mut written = [0; 3];
        for _ in 0..BLOCKS {
            let begin = self.device.written();
            self.wal.singly(&mut round.thread);
            let between = self.device.written();
            self.raw.singly(&mut round.raw);
            written[0] += between - begin;
            written[1] += self.device.written() - between;
            round_trips(&mut round.wake);
            self.many(&mut round.burst, Duration::ZERO);
            written[2] += self.many(&mut round.stream, WORK);
        }
        let appends = [BLOCKS * SINGLE, BLOCKS * SINGLE, BLOCKS * MANY];
        round.device = std::array::from_fn(|which| written[which] as f64 / appends[which] as f64);
        round
    }

    /// Through the thread, and then the same batches raw. Says what the device wrote for the first.
    fn many(&mut self, many: &mut Many, work: Duration) -> u64 {
        let before = self.wal.running.stats().snapshot();
        let begin = self.device.written();
        many.thread_time += self.wal.outstanding(work, &mut many.thread);
        let written = self.device.written() - begin;
        let mut now = self.wal.running.stats().snapshot();
        many.batches += now.counters.batches - before.counters.batches;
        many.appends += MANY as u64;
        let Batches { whole_nanos, bytes, .. } = &mut now.batches;
        whole_nanos.subtract(&before.batches.whole_nanos).expect("it only grows");
        bytes.subtract(&before.batches.bytes).expect("it only grows");
        many.inside_time += Duration::from_nanos((whole_nanos.mean() * whole_nanos.len() as f64) as u64);
        many.raw_time += self.raw.batches(bytes);
        written
    }

    fn report(self, rounds: &[Round]) {
        for (what, of) in [
            ("append, depth 1, through the thread", (|round| &round.thread) as fn(&Round) -> &Vec<u64>),
            ("pwrite + fdatasync, same thread", |round| &round.raw),
            ("park/unpark round trip", |round| &round.wake),
            ("append, 64 outstanding in bursts", |round| &round.burst.thread),
            ("append, 64 outstanding, 1 µs apart", |round| &round.stream.thread),
        ] {
            println!("{what}");
            for part in [50, 99] {
                let each: Vec<f64> = rounds.iter().map(|round| micros(at(of(round), part))).collect();
                let shown: Vec<String> = each.iter().map(|value| format!("{value:.0}")).collect();
                println!("  p{part}: median {:>6.1} µs   rounds: {}", median(each), shown.join(" "));
            }
        }
        let half = |times: &Vec<u64>| micros(at(times, 50));
        let over = |round: &Round| half(&round.thread) - half(&round.raw);
        let each: Vec<f64> = rounds.iter().map(over).collect();
        println!("depth 1: p50 through the thread − p50 raw: {:.1} µs", median(each));
        let trips: Vec<f64> = rounds.iter().map(|round| over(round) / half(&round.wake)).collect();
        println!("  in round trips: {}", verdict(trips, "≤", 1.2));
        for (what, of) in [
            ("in bursts", (|round| &round.burst) as fn(&Round) -> &Many),
            ("1 µs apart", |round| &round.stream),
        ] {
            let to_raw = |time: fn(&Many) -> Duration| {
                let ratio = |round: &Round| of(round).raw_time.as_secs_f64() / time(of(round)).as_secs_f64();
                rounds.iter().map(ratio).collect::<Vec<f64>>()
            };
            let rate = |round: &Round| of(round).appends as f64 / of(round).thread_time.as_secs_f64() / 1e3;
            let size = |round: &Round| of(round).appends as f64 / of(round).batches as f64;
            let rates = median(rounds.iter().map(rate).collect());
            let sizes = median(rounds.iter().map(size).collect());
            println!("64 outstanding, {what}: {rates:.0} k appends/s, {sizes:.1} to a sync");
            let (all, inside) = (to_raw(|many| many.thread_time), to_raw(|many| many.inside_time));
            println!("  throughput ÷ that of the same batches raw: {}", verdict(all, "≥", 0.95));
            println!("  the same without waking and being woken: {:.2}", median(inside));
        }
        let device = [0, 1, 2].map(|which| median(rounds.iter().map(|round| round.device[which]).collect()));
        let [thread, raw, many] = device;
        println!("{}, per append: depth 1 {thread:.0}, raw {raw:.0}, 64 outstanding {many:.0}", self.device);
        let snapshot = self.wal.running.stats().snapshot();
        println!("{:?}", snapshot.counters);
        let Batches { sync_nanos, write_nanos, whole_nanos, ops, bytes } = &snapshot.batches;
        for (what, histogram, unit) in [
            ("sync", sync_nanos, 1e3),
            ("write", write_nanos, 1e3),
            ("whole batch", whole_nanos, 1e3),
            ("ops in a batch", ops, 1.0),
            ("bytes in a batch", bytes, 1.0),
        ] {
            let [half, most] = [50.0, 99.0].map(|part| histogram.value_at_percentile(part) as f64 / unit);
            println!("  {what}: p50 {half:.1}, p99 {most:.1}");
        }
        drop(self.wal.handle);
        let _ = self.wal.running.join();
    }
}

fn verdict(mut each: Vec<f64>, sense: &str, bound: f64) -> String {
    each.sort_by(f64::total_cmp);
    let (low, middle, high) = (each[0], median(each.clone()), each[each.len() - 1]);
    let met = if sense == "≤" { middle <= bound } else { middle >= bound };
    let met = if met { "met" } else { "NOT MET" };
    format!("{middle:.2} ({low:.2} to {high:.2}); {sense} {bound}: {met}")
}

/// The log behind its thread.
struct Wal {
    handle: Handle,
    waiter: Waiter,
    parker: Parker,
    running: Running<RealDisk, AsDesigned>,
    index: u64,
    body: Bytes,
}

impl Wal {
    fn new(directory: &Path) -> Self {
        let disk = RealDisk::create(directory.join("wal")).expect("a directory can be made");
        let options = Options::new(Identity { cluster: [1; 16], node: [2; 16] }, 3);
        let mut log: Log<RealDisk, AsDesigned> = Log::create(disk, options).expect("a log can be made");
        log.prepare().expect("segments can be made");
        let (parker, waker) = parker();
        let (handle, waiter, running) = start(log, Settings::default(), waker).expect("a thread can be made");
        Self { handle, waiter, parker, running, index: 0, body: Bytes::from(vec![0x5A; BODY]) }
    }

    fn submit(&mut self) -> Ticket {
        self.index += 1;
        let entry = Op::Entry { group: Group(0), index: self.index, term: 1, body: self.body.clone() };
        self.handle.submit(vec![entry]).expect("there is room")
    }

    fn wait_for(&mut self, ticket: u64) -> u64 {
        loop {
            match self.waiter.wait_for(ticket) {
                Wait::Reached(position) => return position,
                Wait::Pending => self.parker.park(),
                Wait::Closed(_) => panic!("the thread has ended"),
            }
        }
    }

    fn singly(&mut self, nanos: &mut Vec<u64>) {
        for _ in 0..SINGLE {
            let begin = Instant::now();
            let ticket = self.submit();
            self.wait_for(ticket.0);
            nanos.push(elapsed(begin));
        }
    }

    /// Appends with 64 outstanding, and does `work` for each.
    fn outstanding(&mut self, work: Duration, nanos: &mut Vec<u64>) -> Duration {
        let begin = Instant::now();
        let first = self.handle.last().0;
        let last = first + MANY as u64;
        let mut begun = vec![begin; MANY];
        let mut durable = first;
        while durable < last {
            while self.handle.last().0 < last.min(durable + DEPTH) {
                let now = Instant::now();
                while now.elapsed() < work {}
                let ticket = self.submit();
                begun[(ticket.0 - first - 1) as usize] = now;
            }
            let upto = self.wait_for(durable + 1);
            nanos.extend(
                begun[(durable - first) as usize..(upto - first) as usize].iter().map(|at| elapsed(*at)),
            );
            durable = upto;
        }
        begin.elapsed()
    }
}

/// A file of zeros that is written to as the log does, with nothing around it.
struct Raw {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Raw {
    const LENGTH: u64 = 256 * 1024 * 1024;

    fn new(directory: &Path) -> Self {
        let file = File::create_new(directory.join("raw")).expect("a file can be made");
        for at in (0..Self::LENGTH).step_by(4096) {
            file.write_all_at(&[0; 4096], at).expect("there is room");
        }
        file.sync_all().expect("it can be synced");
        Self { file, at: 0, bytes: vec![0x5A; 1024 * 1024] }
    }

    fn write(&mut self, bytes: usize) {
        if self.at + bytes as u64 > Self::LENGTH {
            self.at = 0;
        }
        self.file.write_all_at(&self.bytes[..bytes], self.at).expect("it can be written");
        self.file.sync_data().expect("it can be synced");
        self.at += bytes as u64;
    }

    fn singly(&mut self, nanos: &mut Vec<u64>) {
        for _ in 0..SINGLE {
            let begin = Instant::now();
            self.write(BODY);
            nanos.push(elapsed(begin));
        }
    }

    fn batches(&mut self, sizes: &Histogram<u64>) -> Duration {
        let begin = Instant::now();
        for size in sizes.iter_recorded() {
            for _ in 0..size.count_at_value() {
                self.write(size.value_iterated_to() as usize);
            }
        }
        begin.elapsed()
    }
}

/// Wakes another thread, which wakes this one. A new one each time: the system places it on an idle core, and
/// after some tens of round trips moves both to one core, where waking costs a tenth. The threads of a node
/// are not that close.
fn round_trips(nanos: &mut Vec<u64>) {
    let (mut here, wake_here) = parker();
    let (mut there, wake_there) = parker();
    let other = thread::spawn(move || {
        for _ in 0..TRIPS {
            there.park();
            wake_here.wake_by_ref();
        }
    });
    for _ in 0..TRIPS {
        let begin = Instant::now();
        wake_there.wake_by_ref();
        here.park();
        nanos.push(elapsed(begin));
    }
    other.join().expect("it does not panic");
}

fn elapsed(begin: Instant) -> u64 {
    begin.elapsed().as_nanos() as u64
}

/// The value that `part` percent are below.
fn at(values: &[u64], part: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * part / 100]
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
