//! A number that only grows, and at most one thread that sleeps until it has grown far enough.
//!
//! # Why
//! The WAL thread says "durable up to here" some ten thousand times a second. The node thread looks at it
//! anyway when it has other work, and a wake-up costs 31 µs and a switch of threads, so it is woken only
//! when it has nothing else to do and only when the position it waits for is there.
//!
//! # Shape
//! ```text
//!   Writer (one)                   shared                    Waiter (one)
//!     publish(v)                                               wait_for(w)
//!       position = v ───────────► position ◄─────────┐           beyond = w - 1
//!       fence                                        │           fence
//!       read beyond ◄──────────── beyond  ◄──────────┼────────── (the store above)
//!       v > beyond? take it, wake                    └────────── read position: already there?
//!                                                      ▲
//!                                  Reader (any number) ┘ get()
//! ```
//! Each side writes, then fences, then reads what the other writes. So at least one of the two sees the
//! other: the writer sees the wish and wakes, or the waiter sees the position and does not sleep. Without
//! the fences both may read the old value (store buffering) and the waiter sleeps for ever.
//!
//! `beyond` holds "wake me when the position is greater than this" instead of the position wanted: no
//! position is greater than `u64::MAX`, so that value means nobody waits and no position is lost to it.
//!
//! # Invariants
//! - The position never goes back; [`Writer::publish`] refuses it.
//! - Whoever reads position `v` sees everything the writer did before publishing `v`.
//! - After [`Wait::Pending`] exactly one of these happens: one wake when the position is reached, one when
//!   the writer goes, or the waiter withdraws. A wake that was under way at a withdrawal may still arrive.
//! - When nobody waits, publishing wakes nobody and makes no system call.
//!
//! # What this leaves out
//! Several waiters: the node thread is the only one, and it fans out itself.

use std::error::Error;
use std::fmt;
use std::task::Waker;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// No position is beyond this one: nobody waits.
const NOBODY: u64 = u64::MAX;

#[derive(Debug)]
struct Shared {
    position: AtomicU64,
    /// The waiter wants to be woken once the position is greater.
    beyond: AtomicU64,
    closed: AtomicBool,
    waker: Waker,
}

impl Shared {
    /// Acquire: pairs with the Release of `publish`, so that what was written before the position was
    /// published is there for whoever acts on it (message passing).
    fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }
}

/// The position would go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backwards {
    /// What is published already.
    pub published: u64,
    /// What was to be published.
    pub given: u64,
}

impl fmt::Display for Backwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {} is published and cannot go back to {}", self.published, self.given)
    }
}

impl Error for Backwards {}

/// What [`Waiter::wait_for`] found.
#[must_use = "to sleep without looking is to sleep for ever when the position is there already"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The position is there; this is how far it is by now. Nothing is asked for any more; a wake that was under way may
    /// still arrive.
    Reached(u64),
    /// Not yet. The waker will be used once it is, or once the writer is gone.
    Pending,
    /// The writer is gone and left the position here, short of what is wanted. A wake that was under way may still
    /// arrive.
    Closed(u64),
}

/// Publishes the position. Dropping it closes the watermark and wakes a waiter.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// The position as last published: this is the only side that writes it.
    published: u64,
}

/// Waits for a position.
#[derive(Debug)]
pub struct Waiter {
    shared: Arc<Shared>,
    /// Whether `beyond` may still hold a wish of ours.
    registered: bool,
}

/// Looks at the position.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// A watermark at `start`, whose waiter is woken through `waker`.
#[must_use]
pub fn watermark(start: u64, waker: Waker) -> (Writer, Waiter) {
    let shared = Arc::new(Shared {
        position: AtomicU64::new(start),
        beyond: AtomicU64::new(NOBODY),
        closed: AtomicBool::new(false),
        waker,
    });
    (Writer { shared: Arc::clone(&shared), published: start }, Waiter { shared, registered: false })
}

impl Writer {
    /// Moves the position to `to` and wakes the waiter if that is what it waits for; says whether it did.
    ///
    /// # Errors
    /// [`Backwards`] if `to` is below what is published; nothing has changed then.
    pub fn publish(&mut self, to: u64) -> Result<bool, Backwards> {
        if to < self.published {
            return Err(Backwards { published: self.published, given: to });
        }
        self.published = to;
        // Release: pairs with the Acquire of every reader.
        self.shared.position.store(to, Ordering::Release);
        // SeqCst: the store above comes before the load below for every thread that fences too. Release
        // and Acquire do not order a store before a later load; this is the only thing that does.
        fence(Ordering::SeqCst);
        // Relaxed here and below: `beyond` carries no data, only the decision to wake, and the fence has
        // ordered it.
        let beyond = self.shared.beyond.load(Ordering::Relaxed);
        if to <= beyond {
            return Ok(false);
        }
        // Take the wish, so that the next publication does not wake again. If it is no longer the wish we
        // read, the waiter has changed it after our fence, and has seen the position then: no wake is owed.
        // If it was withdrawn and made anew with the same number (ABA), waking is still right.
        let taken = self.shared.beyond.compare_exchange(beyond, NOBODY, Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_ok() {
            self.shared.waker.wake_by_ref();
        }
        Ok(taken.is_ok())
    }

    /// The position as last published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Another pair of eyes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The same handshake as in `publish`, with `closed` for the position.
        // Release: whoever sees it closed sees the last position. (The fence of the last `publish` happens to
        // give that already; this does not lean on it.)
        self.shared.closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.shared.beyond.load(Ordering::Relaxed) != NOBODY {
            self.shared.waker.wake_by_ref();
        }
    }
}

impl Waiter {
    /// Asks to be woken once the position is at least `want`, unless it already is. Replaces what was asked
    /// for before.
    ///
    /// Whoever is woken by something else [withdraws](Self::withdraw) first: a wish that stands while its owner is awake
    /// and looks anyway costs the writer the wake-up that this structure exists to save.
    pub fn wait_for(&mut self, want: u64) -> Wait {
        let position = self.shared.position();
        let (false, Some(beyond)) = (position >= want, want.checked_sub(1)) else {
            self.withdraw();
            return Wait::Reached(position);
        };
        self.registered = true;
        self.wish(beyond);
        // SeqCst: the other half of the handshake; see `publish`.
        fence(Ordering::SeqCst);
        // `closed` first. The writer sets it after its last position, so with the Acquire the position read
        // next is the last one, and "closed" is never said of a position that was reached.
        let closed = self.shared.closed.load(Ordering::Acquire);
        let position = self.shared.position();
        if position >= want {
            self.withdraw();
            return Wait::Reached(position);
        }
        if closed {
            self.withdraw();
            return Wait::Closed(position);
        }
        Wait::Pending
    }

    /// Writes `beyond`. By `swap`, where a store would do: loom lets a plain store slip between the two halves
    /// of the writer's compare-and-swap, which no machine does, and so could not check this. A locked
    /// instruction is nothing beside the sleep that it prepares.
    fn wish(&self, beyond: u64) {
        self.shared.beyond.swap(beyond, Ordering::Relaxed);
    }

    /// Takes back what was asked for. A wake that is under way may still arrive.
    pub fn withdraw(&mut self) {
        if self.registered {
            self.registered = false;
            self.wish(NOBODY);
        }
    }

    /// Another pair of eyes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Reader {
    /// The position; what the writer did before publishing it is visible.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.shared.position()
    }

    /// Whether the writer is gone. If so, a [`get`](Self::get) after this is the last position.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}
