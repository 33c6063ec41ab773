//! Writers that never rest, and what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_client::{Client, Outcome, ReadOptions};
use holdfast_command::Reply;
use holdfast_command::keys::{Range, Span};

use crate::machines::{PATIENCE, Site};

/// Writers at a time.
const WRITERS: u64 = 3;
/// How long one try of a write may take before it counts as unknown.
const TRY: Duration = Duration::from_secs(10);
/// Writes that are waited for where a test wants some.
const SOME: usize = 20;

/// What a writer was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is there, in a state of this revision at least.
    Acknowledged(u64),
    /// It was not executed.
    NotApplied,
    /// Nobody knows.
    Unknown,
}

/// What all writers were told, by key. Each key is written once, with itself as the value.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    writes: Arc<Mutex<BTreeMap<String, Told>>>,
    stop: Arc<AtomicBool>,
    /// The size of the values that are written from now on, at least.
    bytes: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<()>>,
    endpoints: Vec<String>,
}

fn block_on<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, what)
}

impl Ledger {
    /// Begins to write to this site, and waits until something is acknowledged.
    pub(crate) fn begin(site: &Site) -> Self {
        Self::begin_with(site, 0)
    }

    /// The same with values of so many bytes at least, until [`Self::write_small`].
    pub(crate) fn begin_with(site: &Site, bytes: usize) -> Self {
        static LEDGERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let mut ledger = Self::default();
        ledger.endpoints = site.endpoints();
        ledger.bytes.store(bytes, Ordering::Relaxed);
        let begun = LEDGERS.fetch_add(1, Ordering::Relaxed);
        for writer in 0..WRITERS {
            let (endpoints, bytes) = (ledger.endpoints.clone(), Arc::clone(&ledger.bytes));
            let (writes, stop) = (Arc::clone(&ledger.writes), Arc::clone(&ledger.stop));
            let names = format!("w/{begun}/{writer}");
            let run = move || block_on(write(endpoints, names, &bytes, &writes, &stop));
            ledger.writers.push(std::thread::spawn(run));
        }
        ledger.await_more();
        ledger
    }

    /// Writes nothing large any more: it would fill any disk again while a test goes on.
    pub(crate) fn write_small(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn acknowledged(&self) -> usize {
        let writes = self.writes.lock().expect("no writer panics");
        writes.values().filter(|told| matches!(told, Told::Acknowledged(_))).count()
    }

    /// Waits until some more writes are acknowledged: the cluster takes them.
    pub(crate) fn await_more(&self) {
        let before = self.acknowledged();
        let until = std::time::Instant::now() + PATIENCE;
        while self.acknowledged() < before + SOME {
            assert!(std::time::Instant::now() < until, "nothing more is acknowledged");
            std::thread::sleep(crate::machines::PAUSE);
        }
    }

    /// Stops writing; what was told until now.
    pub(crate) fn stop(&mut self) -> BTreeMap<String, Told> {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            writer.join().expect("no writer panics");
        }
        self.writes.lock().expect("no writer panics").clone()
    }

    /// Stops writing, and compares: the keys that were acknowledged and are not there. Panics if something is there that was
    /// not applied, or that is not what was written.
    pub(crate) fn lost(&mut self) -> BTreeMap<String, u64> {
        let told = self.stop();
        let there = block_on(read_all(self.endpoints.clone()));
        for (key, value) in &there {
            assert!(value.starts_with(key.as_str()), "{key} has a value that nobody wrote");
            assert_ne!(told.get(key), Some(&Told::NotApplied), "{key} was not to be applied");
        }
        let acknowledged = told.iter().filter_map(|(key, told)| match told {
            Told::Acknowledged(revision) => Some((key.clone(), *revision)),
            Told::NotApplied | Told::Unknown => None,
        });
        acknowledged.filter(|(key, _)| !there.contains_key(key)).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The value of a key: the key, and whatever fills it up.
fn value(key: &str, bytes: usize) -> String {
    format!("{key}{}", " ".repeat(bytes))
}

/// All keys of all ledgers that are there.
pub(crate) fn keys(site: &Site) -> BTreeMap<String, String> {
    block_on(read_all(site.endpoints()))
}

async fn write(
    endpoints: Vec<String>,
    names: String,
    bytes: &AtomicUsize,
    writes: &Mutex<BTreeMap<String, Told>>,
    stop: &AtomicBool,
) {
    let client = Client::builder(endpoints).timeout(TRY).wait_for_cluster(true).build().expect("a client");
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{names}/{count}");
        let told = match client.put(key.clone(), value(&key, bytes.load(Ordering::Relaxed))).await {
            Ok((Reply::Put { revision, .. }, _)) => Told::Acknowledged(revision),
            Ok((reply, _)) => panic!("a put is answered with {reply:?}"),
            Err(error) => match error.outcome {
                Outcome::Applied => Told::Acknowledged(0),
                Outcome::Unknown => Told::Unknown,
                Outcome::NotApplied => Told::NotApplied,
            },
        };
        writes.lock().expect("no writer panics").insert(key, told);
        // A few hundred writes in a second are plenty, and leave the machine to the nodes.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.close().await;
}

async fn read_all(endpoints: Vec<String>) -> BTreeMap<String, String> {
    let client =
        Client::builder(endpoints).timeout(PATIENCE).wait_for_cluster(true).build().expect("a client");
    let (mut range, mut all) = (Range::of(Span::prefix("w/")), BTreeMap::new());
    loop {
        let read = client.read(range.clone(), ReadOptions::default()).await.expect("a linearizable read");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.extend(
            read.page
                .entries
                .iter()
                .map(|entry| (text(&entry.key), text(&entry.value[..entry.value.len().min(64)]))),
        );
        if read.page.continuation.is_empty() {
            client.close().await;
            return all;
        }
        range.continuation = read.page.continuation;
    }
}
