//! What applying a put costs, in time, allocations and memory. `cargo run --release -p holdfast-store --example apply`
//!
//! Times are medians over rounds of some thousand puts to random keys of a store of 10,000 keys and of one of a
//! million; the cases take turns, so that whatever else the machine does meanwhile meets them all. Entries are encoded
//! beforehand. Each size and each figure of memory has a process of its own (the program starts itself once more), with
//! a heap and caches of its own.
#![allow(missing_docs, reason = "a program, not an interface")]

use std::process::Command as Process;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use holdfast_command::keys::{Compact, Put, Range, Span};
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Command, Entry, Envelope, Request, RequestKey, SessionId};
use holdfast_store::{LogPosition, Store};

const VALUE: usize = 256;
const SMALL: u64 = 10_000;
const LARGE: u64 = 1_000_000;
const ROUNDS: usize = 31;
/// Puts of one round: some milliseconds.
const PUTS: usize = 4_000;
/// Versions that are kept where history is.
const HISTORY: usize = 400_000;

fn key(number: u64) -> Bytes {
    format!("app/service/config/{number:010}").into()
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A store and the log that it is fed with.
struct Fed {
    store: Store,
    keys: u64,
    random: Random,
    sequence: u64,
}

impl Fed {
    /// Every key written once, in random order.
    fn with_keys(keys: u64) -> Self {
        let mut fed = Self { store: Store::new(), keys, random: Random(88_172_645_463_325_252), sequence: 0 };
        let mut order: Vec<u64> = (0..keys).collect();
        for at in (1..order.len()).rev() {
            let other = fed.random.below(at as u64 + 1) as usize;
            order.swap(at, other);
        }
        for (at, number) in order.into_iter().enumerate() {
            let entry = fed.entry(number, RequestKey::None);
            fed.apply(&entry);
            if at % 100_000 == 99_999 {
                fed.forget();
            }
        }
        fed.forget();
        fed
    }

    fn entry(&self, number: u64, request_key: RequestKey) -> Bytes {
        let value = Bytes::from(vec![number as u8; VALUE]);
        let command = Command::Put(Put { key: key(number), value, ..Put::default() });
        let request = Request { key: request_key, ..Request::from(command) };
        let envelope = Envelope { stamp: 1, clock: 1, ..Envelope::default() };
        Entry { envelope, request }.encode()
    }

    fn apply(&mut self, entry: &Bytes) {
        let at = LogPosition { term: 1, index: self.store.applied().index + 1 };
        let applied = self.store.apply(at, entry).expect("the next entry is applied");
        applied.outcome.0.expect("nothing is refused");
    }

    fn command(&mut self, command: Command) {
        let envelope = Envelope { stamp: 1, clock: 1, ..Envelope::default() };
        let entry = Entry { envelope, request: Request::from(command) }.encode();
        self.apply(&entry);
    }

    /// Puts to random keys, encoded.
    fn entries(&mut self) -> Vec<Bytes> {
        self.entries_with(|_| RequestKey::None)
    }

    /// The same, each with its number in session 1.
    fn numbered_entries(&mut self) -> Vec<Bytes> {
        self.entries_with(|fed| {
            fed.sequence += 1;
            let (sequence, low) = (fed.sequence, fed.sequence.saturating_sub(16).max(1));
            RequestKey::Session { session: SessionId(1), sequence, low }
        })
    }

    fn entries_with(&mut self, mut request_key: impl FnMut(&mut Self) -> RequestKey) -> Vec<Bytes> {
        // As slices of one buffer, as a connection reads them.
        let (mut buffer, mut lengths) = (BytesMut::new(), Vec::with_capacity(PUTS));
        for _ in 0..PUTS {
            let number = self.random.below(self.keys);
            let request_key = request_key(self);
            let entry = self.entry(number, request_key);
            buffer.extend_from_slice(&entry);
            lengths.push(entry.len());
        }
        lengths.into_iter().map(|length| buffer.split_to(length).freeze()).collect()
    }

    /// History is given up, so that rounds do not pile up.
    fn forget(&mut self) {
        let revision = self.store.revision();
        if revision > self.store.oldest() {
            self.command(Command::Compact(Compact { revision }));
        }
        while self.store.sweep(10_000) {}
    }

    fn round(&mut self, entries: &[Bytes]) -> Duration {
        let begin = Instant::now();
        for entry in entries {
            self.apply(entry);
        }
        let took = begin.elapsed();
        self.forget();
        took
    }
}

fn median(mut nanos: Vec<f64>) -> f64 {
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// Bytes of resident memory per key beyond key and value, with a history of one version. History is given up every
/// 100,000 puts, as the settings of a cluster do it; what it took would else stay with the process for the next.
fn memory_of_keys() {
    let before = resident();
    let fed = Fed::with_keys(LARGE);
    let beyond = (resident() - before) as f64 / LARGE as f64 - (key(0).len() + VALUE) as f64;
    assert_eq!(fed.store.keys() as u64, LARGE);
    println!("{beyond:.1}");
}

/// Bytes of resident memory per superseded version beyond key and value.
fn memory_of_history() {
    let mut fed = Fed::with_keys(SMALL);
    let before = resident();
    for _ in 0..LARGE {
        let number = fed.random.below(SMALL);
        let entry = fed.entry(number, RequestKey::None);
        fed.apply(&entry);
    }
    let beyond = (resident() - before) as f64 / LARGE as f64 - (key(0).len() + VALUE) as f64;
    println!("{beyond:.1}");
}

fn in_a_process_of_its_own(figure: &str) -> String {
    let own = std::env::current_exe().expect("a path of its own");
    let output = Process::new(own).arg(figure).output().expect("it starts once more");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("not an optimised build: run with --release");
        std::process::exit(2);
    }
    match std::env::args().nth(1).as_deref() {
        Some("keys") => memory_of_keys(),
        Some("history") => memory_of_history(),
        Some("small") => puts(SMALL),
        Some("large") => puts(LARGE),
        Some(other) => eprintln!("there is no figure {other}"),
        None => {
            println!("put of {VALUE} B, key of {} B, medians of {ROUNDS} rounds of {PUTS}", key(0).len());
            println!("{}", in_a_process_of_its_own("small"));
            println!("{}", in_a_process_of_its_own("large"));
            println!("bytes beyond key and value: {} per live key", in_a_process_of_its_own("keys"));
            println!(
                "                            {} per superseded version",
                in_a_process_of_its_own("history")
            );
        }
    }
}

/// The cost of puts to a store of so many keys.
fn puts(keys: u64) {
    let mut fed = Fed::with_keys(keys);
    fed.command(Command::OpenSession(OpenSession { ttl_ms: 60_000 }));
    fed.forget();
    let mut nanos = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let mut note = |case: usize, took: Duration| nanos[case].push(took.as_nanos() as f64 / PUTS as f64);
        let entries = fed.entries();
        note(0, fed.round(&entries));
        let entries = fed.numbered_entries();
        note(1, fed.round(&entries));
        let entries = fed.entries();
        let clone = fed.store.clone();
        note(2, fed.round(&entries));
        drop(clone);
    }
    let [plain, numbered, cloned] = nanos.map(median);
    println!(
        "{keys:>9} keys: {plain:5.0} ns; within a session {numbered:5.0} ns; the first {PUTS} after a clone was made \
         {cloned:5.0} ns"
    );
    let (plain, numbered) = (fed.entries(), fed.numbered_entries());
    let [plain, numbered] = [plain, numbered].map(|entries| {
        let counted = measure(|| entries.iter().for_each(|entry| fed.apply(entry)));
        counted.count_total as f64 / PUTS as f64
    });
    println!("                {plain:.2} allocations per put; within a session {numbered:.2}");
    fed.forget();
    if keys == SMALL {
        with_history(&mut fed);
        hot_key(&mut fed);
    } else {
        count_all(&fed);
    }
}

/// The same while history grows, as it does for hours at a node.
fn with_history(fed: &mut Fed) {
    let mut nanos = Vec::new();
    for _ in 0..HISTORY / PUTS {
        let entries = fed.entries();
        let begin = Instant::now();
        entries.iter().for_each(|entry| fed.apply(entry));
        nanos.push(begin.elapsed().as_nanos() as f64 / PUTS as f64);
    }
    let last = median(nanos.split_off(nanos.len() - ROUNDS));
    println!("                among {HISTORY} versions of history: {last:5.0} ns");
    fed.forget();
}

/// How long it takes to find an early version of a key that is written all the time.
fn hot_key(fed: &mut Fed) {
    let first = fed.store.revision() + 1;
    for _ in 0..100_000 {
        let entry = fed.entry(7, RequestKey::None);
        fed.apply(&entry);
    }
    let begin = Instant::now();
    let mut found = 0;
    for revision in (first..first + 100_000).step_by(100) {
        let range = Range { revision, ..Range::of(Span::Key(key(7))) };
        found += fed.store.range(&range).map_or(0, |page| page.entries.len());
    }
    let each = begin.elapsed() / 1_000;
    assert_eq!(found, 1_000);
    println!("                a read at a past revision, among 100,000 versions: {each:?}");
}

fn count_all(fed: &Fed) {
    let clone = fed.store.clone();
    let begin = Instant::now();
    let range = Range { content: holdfast_command::keys::Content::CountOnly, ..Range::of(Span::all()) };
    let count = clone.range(&range).ok().and_then(|page| page.count);
    println!("                counting all {} keys: {:?}", count.unwrap_or_default(), begin.elapsed());
}
