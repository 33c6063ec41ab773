//! The façade of the production crates, with shuttle's types behind the same names. Its `Arc` is std's: the
//! counts are loom's business.

pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) use crate::once::OnceLock;

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}
