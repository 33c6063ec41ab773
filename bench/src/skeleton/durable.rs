//! The thread that syncs the leader's file, and what it shares with the node thread.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use tokio::sync::Notify;

/// What the two threads share.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// Written to the file up to here.
    written: AtomicU64,
    /// Durable up to here.
    durable: AtomicU64,
    /// Whether the node thread can do nothing before `durable` rises. Without this it would be woken by each sync,
    /// mostly for nothing: on a quiet machine this sync ends before a follower has acknowledged.
    wanted: AtomicBool,
    syncs: AtomicU64,
}

impl Durable {
    /// Calls of `fdatasync` so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Syncs whatever was written while the last sync ran, for ever.
    fn run(&self, file: &File, wake: &Notify) -> io::Result<()> {
        let mut done = 0;
        loop {
            let written = self.written.load(Ordering::SeqCst);
            if written == done {
                thread::park();
                continue;
            }
            file.sync_data()?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            done = written;
            self.durable.store(done, Ordering::SeqCst);
            if self.wanted.swap(false, Ordering::SeqCst) {
                wake.notify_one();
            }
        }
    }
}

/// The thread that syncs, as the node thread sees it. It lives as long as the process.
#[derive(Debug)]
pub(crate) struct Syncer {
    durable: Arc<Durable>,
    thread: Thread,
}

impl Syncer {
    /// Starts it. `wake` is notified when something wanted is durable.
    pub(crate) fn start(file: File, wake: Arc<Notify>) -> io::Result<Self> {
        let durable = Arc::new(Durable::default());
        let shared = Arc::clone(&durable);
        let run = move || {
            if let Err(error) = shared.run(&file, &wake) {
                eprintln!("cannot sync: {error}");
                std::process::exit(1);
            }
        };
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(run)?.thread().clone();
        Ok(Self { durable, thread })
    }

    /// What it shares.
    pub(crate) fn durable(&self) -> Arc<Durable> {
        Arc::clone(&self.durable)
    }

    /// Everything up to `position` is written, and is to be synced.
    pub(crate) fn sync_to(&self, position: u64) {
        self.durable.written.store(position, Ordering::SeqCst);
        self.thread.unpark();
    }

    /// Up to where the file is durable. If that is below `wanted`, a notification comes when it rises.
    pub(crate) fn reaching(&self, wanted: u64) -> u64 {
        let durable = self.durable.durable.load(Ordering::SeqCst);
        if durable >= wanted {
            return durable;
        }
        self.durable.wanted.store(true, Ordering::SeqCst);
        // Again: a sync that ended in between has not seen that it is wanted.
        self.durable.durable.load(Ordering::SeqCst)
    }
}
