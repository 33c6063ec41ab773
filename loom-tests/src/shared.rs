//! A reference count as loom sees it. loom's own `Arc` lacks `into_inner`, on which the freeing of a stream
//! stands, so the count is kept here, by the algorithm and with the orderings of std's `Arc`.
//!
//! std's `Arc` holds the memory. loom switches threads only before an operation on one of its own types, so
//! between the change of the count and the drop of std's `Arc` right behind it no other thread runs, and the
//! two counts agree; `into_inner` asserts it.

use std::ops::Deref;

use crate::sync::atomic::{AtomicU64, Ordering, fence};

#[derive(Debug)]
struct Inner<T> {
    holders: AtomicU64,
    value: T,
}

/// As `std::sync::Arc`.
#[derive(Debug)]
pub(crate) struct Arc<T> {
    /// None only after this holder has let go.
    inner: Option<std::sync::Arc<Inner<T>>>,
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { inner: Some(std::sync::Arc::new(Inner { holders: AtomicU64::new(1), value })) }
    }

    /// The value, if this was the last holder; exactly one of those that let go gets it.
    pub(crate) fn into_inner(mut this: Self) -> Option<T> {
        this.let_go()
    }

    fn let_go(&mut self) -> Option<T> {
        let inner = self.inner.take()?;
        // Release: what this holder did to the value happens before the last holder frees it.
        if inner.holders.fetch_sub(1, Ordering::Release) != 1 {
            return None;
        }
        fence(Ordering::Acquire);
        let inner = std::sync::Arc::into_inner(inner);
        Some(inner.expect("the model's count and std's agree").value)
    }

    fn inner(&self) -> &std::sync::Arc<Inner<T>> {
        self.inner.as_ref().expect("only a holder that has let go has none")
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        // Relaxed, as in std: a new holder can only come from one that exists.
        self.inner().holders.fetch_add(1, Ordering::Relaxed);
        Self { inner: Some(std::sync::Arc::clone(self.inner())) }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        drop(self.let_go());
    }
}
