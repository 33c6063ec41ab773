//! A set-once cell as a model checker sees it; neither loom nor shuttle brings one.
//!
//! std's cell holds the value. Whether another thread may see it yet is decided by a flag that the checker
//! knows, with the orderings std documents for `set` and `get`: Release and Acquire. So a reader may find
//! the cell empty for as long as the memory model allows it to, and what it finds has happened before.

use std::fmt;

use crate::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct OnceLock<T> {
    visible: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self { visible: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.visible.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.visible.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    /// Needs no ordering: whoever has `&mut` has synchronised already.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceLock").field("visible", &self.visible).finish_non_exhaustive()
    }
}
