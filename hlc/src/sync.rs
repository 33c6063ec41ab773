//! The façade: the only place this crate takes its shared types from. `loom-tests` puts loom's in its place.

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}
