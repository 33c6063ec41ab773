//! The façade of the production crates, with loom's types behind the same names.

pub(crate) use crate::lock::{Condvar, Mutex, MutexGuard};
pub(crate) use crate::once::OnceLock;
pub(crate) use crate::shared::Arc;

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}
