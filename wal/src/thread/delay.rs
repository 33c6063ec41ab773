//! A drill: each sync takes longer than the disk does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest sleep at once: so long it takes at most until a shorter delay acts.
const PIECE: Duration = Duration::from_millis(20);

/// How much longer each sync takes, to drill what a slow disk does to a cluster. Zero by default. Clones are the same one, so
/// that whoever keeps one changes it while the thread runs.
///
/// The sync itself is done as always, and before the wait: what is reported is durable, only later than it could be.
#[derive(Clone, Debug, Default)]
pub struct SyncDelay(Arc<AtomicU64>);

impl SyncDelay {
    /// Sets it, to the nanosecond; a sync that waits for longer now ends within some 20 ms.
    pub fn set(&self, delay: Duration) {
        self.0.store(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Waits for it on this thread.
    pub(super) fn wait(&self) {
        if self.get().is_zero() {
            return;
        }
        let began = Instant::now();
        // Looked at again after each piece: somebody may have ended the drill.
        while let Some(left) = self.get().checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            thread::sleep(left.min(PIECE));
        }
    }
}
