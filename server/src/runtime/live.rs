//! What may be changed while a node runs, by whoever holds a clone of it: another thread, as the one that hears SIGHUP.
//!
//! The node looks every tenth tick, and then it is one load of one flag; so a change acts within some 100 ms.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_wal::thread::SyncDelay;

use crate::node::SnapshotPolicy;

/// Settings that take effect while the node runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    changed: AtomicBool,
    wanted: Mutex<Wanted>,
    /// The thread of the log looks at it before each sync, so it needs nobody to carry it there.
    sync_delay: SyncDelay,
}

/// What somebody wants otherwise than it was at the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// From when on a request is slow; none is if it is zero.
    pub(super) slow_request: Option<Duration>,
    /// When snapshots are taken.
    pub(super) snapshots: Option<SnapshotPolicy>,
    /// With whom it has no connection.
    pub(super) cut: Option<BTreeSet<u64>>,
}

impl Live {
    /// Requests that take this long are reported; none if it is zero.
    pub fn set_slow_request(&self, slow: Duration) {
        self.change(|wanted| wanted.slow_request = Some(slow));
    }

    /// When snapshots are taken from now on.
    pub fn set_snapshots(&self, policy: SnapshotPolicy) {
        self.change(|wanted| wanted.snapshots = Some(policy));
    }

    /// A drill: each sync of the log takes so much longer; zero for none. At most some seconds are of use: after that the node
    /// takes its disk for stalled.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.0.sync_delay.set(delay);
    }

    /// A drill: the node has no connection with these nodes, in neither direction, for as long as they stand here.
    pub fn set_cut(&self, cut: BTreeSet<u64>) {
        self.change(|wanted| wanted.cut = Some(cut));
    }

    /// What the thread of the log is given.
    pub(super) fn sync_delay(&self) -> SyncDelay {
        self.0.sync_delay.clone()
    }

    /// What a drill adds to each sync of the log, in microseconds; 0 if none is on.
    pub(super) fn sync_delay_micros(&self) -> u64 {
        u64::try_from(self.0.sync_delay.get().as_micros()).unwrap_or(u64::MAX)
    }

    /// With whom it is to have no connection, if somebody said so since [`take`](Self::take) was last called; for those who look
    /// before there is a loop that takes.
    pub(super) fn wanted_cut(&self) -> Option<BTreeSet<u64>> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner).cut.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.store(true, Ordering::Release);
    }

    /// What was wanted since this was last asked.
    pub(super) fn take(&self) -> Option<Wanted> {
        if !self.0.changed.load(Ordering::Relaxed) || !self.0.changed.swap(false, Ordering::AcqRel) {
            return None;
        }
        Some(std::mem::take(&mut *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
