//! How far a run has come, for whoever waits for it: as `holdfast` shows it for long work of its own.
//!
//! A thread of its own looks at a count now and then. So a cluster that answers nothing is seen as well, and the load loop
//! does no more than count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use holdfast_server::cli::progress::Progress;

use crate::load::Load;

/// How often the count is looked at: seldom, as this costs the machine that is measured.
const LOOK: Duration = Duration::from_millis(500);

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    told: Arc<AtomicU64>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Watching {
    /// For one run of `load`. Nobody waits for one that ends after so many operations.
    pub(crate) fn new(phase: &str, load: &Load) -> Self {
        let told = Arc::new(AtomicU64::new(0));
        let (phase, within) = (phase.to_owned(), load.warmup + load.measured);
        let thread = load.operations.is_none().then(|| {
            let (told, (end, ended)) = (Arc::clone(&told), channel::<()>());
            let thread = thread::spawn(move || {
                let (mut progress, mut shown) = (Progress::timed(phase, within), 0);
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    let now = told.load(Ordering::Relaxed);
                    progress.add(now - shown);
                    shown = now;
                }
            });
            (end, thread)
        });
        Self { told, thread }
    }

    /// Where the run counts its answers.
    pub(crate) fn told(&self) -> &Arc<AtomicU64> {
        &self.told
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            // What it would say is gone with the run.
            let _ = thread.join();
        }
    }
}
