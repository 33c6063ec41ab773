//! A well-behaved client beside the attack, to which nothing may happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_client::Client;

/// Writes and reads, call after call, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<u64, String>>,
}

impl Neighbour {
    /// One that pauses for so long between its calls.
    pub(crate) fn start(endpoints: &[String], pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, endpoints) = (Arc::clone(&stop), endpoints.to_vec());
        let live = move || runtime().block_on(live(&endpoints, &theirs, pause));
        let thread =
            thread::Builder::new().name("abuse::neighbour".to_owned()).spawn(live).expect("a thread");
        Self { stop, thread }
    }

    /// Ends it, and says how many calls it made. At least one was made after this was called.
    ///
    /// # Panics
    /// If one of them failed, or read something else than was written.
    pub(crate) fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let lived = self.thread.join().expect("a thread that returns errors");
        lived.unwrap_or_else(|error| panic!("the well-behaved client was hit: {error}"))
    }
}

async fn live(endpoints: &[String], stop: &AtomicBool, pause: Duration) -> Result<u64, String> {
    let builder =
        Client::builder(endpoints.iter().cloned()).name("neighbour").timeout(Duration::from_secs(20));
    let client = builder.build().map_err(|error| error.to_string())?;
    static NEIGHBOURS: AtomicU64 = AtomicU64::new(0);
    let own = NEIGHBOURS.fetch_add(1, Ordering::Relaxed);
    let mut calls = 0;
    loop {
        let last = stop.load(Ordering::Relaxed);
        // Below all keys that an attack writes or deletes.
        let (key, value) = (format!("a/{own}/{}", calls % 64), format!("{calls}"));
        client.put(key.clone(), value.clone()).await.map_err(|error| error.to_string())?;
        let read = client.get(key.clone()).await.map_err(|error| error.to_string())?;
        let read = read.map(|entry| entry.value.to_vec());
        if read.as_deref() != Some(value.as_bytes()) {
            return Err(format!("{key} is {read:?} instead of {value}"));
        }
        calls += 2;
        if last {
            client.close().await;
            return Ok(calls);
        }
        tokio::time::sleep(pause).await;
    }
}

/// A runtime on this thread.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
