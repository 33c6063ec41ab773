//! Every interleaving of small models of every shared structure; one file per structure.
//!
//! The header of each test states its threads (the one that runs the model included), the bound on
//! preemptions, the property, and the classic shape of failure that it looks for:
//! - *message passing*: the flag is seen and the data behind it is not;
//! - *store buffering*: each of two threads writes, then reads what the other writes, and both read the old;
//! - *lost wake-up*: a thread goes to sleep just after the last one who would wake it has looked;
//! - *ABA*: a value is changed and changed back between a look and a swap that trusts the look;
//! - *double free on last drop*: two threads let go at once and both, or neither, believe to be the last.
//!
//! A sleeper that is never woken is a deadlock to loom, which reports it.

#![forbid(unsafe_code)]

mod batch;
mod clock;
mod latch;
mod park;
mod stream;
mod watermark;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

/// A waker that only counts. Its atomic is std's: it is read after the threads are joined, and is no part of
/// the model.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn counter() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that is counted when it is dropped, to find what is dropped twice or never.
#[derive(Debug, Clone)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn counter() -> Arc<AtomicUsize> {
        Arc::new(AtomicUsize::new(0))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
