//! Every structure that two threads of a node share, and nothing else.
//!
//! # Why
//! Waking another thread costs about 31 µs on the machine this was built for, an uncontended lock about
//! 6 ns, and a mistake in either costs an acknowledged write. So the places where threads meet are few,
//! small, in one crate, and each is checked over all interleavings by `loom-tests`, which compiles these
//! very files against loom's types.
//!
//! # Shape
//! ```text
//!   node thread                                  WAL thread
//!      │  batch: everything that accumulated        │
//!      ├───────────────────────────────────────────►│
//!      │  watermark: durable up to here             │
//!      │◄───────────────────────────────────────────┤   wakes only if it was asked to
//!      │
//!      │  stream: events, published once            any number of readers, each at its own place
//!      ├───────────────────────────────────────────►  ○   ○   ○
//!      │  latch: stop, in this order                 every thread
//!      └───────────────────────────────────────────►  and each says when it has
//! ```
//! | module | writers → readers | how |
//! |---|---|---|
//! | [`watermark`] | 1 → many, one of which may wait | two atomics and a fence |
//! | [`batch`] | many → 1 | two vectors swapped under a lock |
//! | [`stream`] | 1 → many | a list whose links are each set once |
//! | [`latch`] | 1 → many → 1 | one packed atomic word |
//! | [`park`] | many → 1 | a token under a lock and a condition variable |
//!
//! # How a waiter is woken
//! Whoever waits hands in a [`std::task::Waker`] when the structure is made; the structure never asks what
//! is behind it. A plain thread gets one from [`park::parker`]. A tokio thread wraps what its loop already
//! selects on:
//! ```
//! # struct Notify; impl Notify { fn notify_one(&self) {} } // stands for tokio::sync::Notify
//! struct WakeLoop(Notify);
//! impl std::task::Wake for WakeLoop {
//!     fn wake(self: std::sync::Arc<Self>) {
//!         self.0.notify_one();
//!     }
//! }
//! let waker = std::task::Waker::from(std::sync::Arc::new(WakeLoop(Notify)));
//! ```
//! A waker must behave as both of these do: a wake that comes before the wait is not lost (it leaves a
//! token), and several may be seen as one; and it must not panic, because then those after it would not be woken. A waiter
//! must behave as every waiter should: a wake means "look again", not "it is so".
//!
//! # Invariants
//! - No `unsafe`. What needs it (reference counts, set-once cells, locks) is taken from `std`.
//! - Everything is bounded, or says who bounds it ([`stream`]: the owner of the cursors).
//! - Either side may be dropped at any moment, and nobody waits for ever because of it: whoever could wait for the one that
//!   went learns it by a value. (A writer does not learn that its waiter went, nor a publisher that its readers did: they
//!   wait for nobody.)
//! - No code of the caller runs under a lock: no waker, no destructor of an item.
//! - No clock is read and no thread started.
//!
//! # Source
//! Orderings after the C++20 memory model as `std::sync::atomic` states it; the naive version of each
//! structure and the interleaving it loses are drawn in `docs/concurrency.md`.
//!
//! # What this leaves out
//! No channel of single messages (a turn moves everything at once), no async traits (the loops of this
//! system select on one notification and then look everywhere), no time limits but that of
//! [`park::Parker::park_timeout`].

#![forbid(unsafe_code)]

pub mod batch;
pub mod latch;
pub mod park;
pub mod stream;
mod sync;
pub mod watermark;
