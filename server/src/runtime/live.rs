//! What may be changed while a node runs, by whoever holds a clone of it: another thread, as the one that hears SIGHUP.
//!
//! The node looks every tenth tick, and then it is one load of one flag; so a change acts within some 100 ms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::node::SnapshotPolicy;

/// Settings that take effect while the node runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    changed: AtomicBool,
    wanted: Mutex<Wanted>,
}

/// What somebody wants otherwise than it was at the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// From when on a request is slow; none is if it is zero.
    pub(super) slow_request: Option<Duration>,
    /// When snapshots are taken.
    pub(super) snapshots: Option<SnapshotPolicy>,
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
