//! The façade: the only place this crate takes its shared types from.
//!
//! `loom-tests` compiles the other files of this crate beside a `sync` module of its own, in which the same
//! names are loom's (or shuttle's) types. What stands here must exist there, which is why it is short.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}
