//! One writer's events, read by any number of readers at their own pace, without a lock.
//!
//! # Why
//! Ten thousand watches must not make a put slower. So publishing appends one node to a list and touches no
//! reader; each reader (a connection, not a watch) has a cursor in the list and walks it when it has time.
//!
//! # Shape
//! ```text
//!   Publisher (one)                                   ┌─ tail
//!      publish(e): new node, link it, step to it      ▼
//!        [ 7 ] ──► [ 8 ] ──► [ 9 ] ──► [10 ] ──► [11 ] ──► not set yet
//!          ▲                   ▲                   ▲
//!        cursor              cursor              cursor     advance(): is the link set? step over it
//! ```
//! A node is held by the link before it, by the cursors that stand on it and, if it is the last, by the
//! publisher. Nobody holds the first: when the last cursor leaves a node, the count of its holders falls to
//! zero and it is freed, at once and by that cursor's thread. A link is set exactly once and never changed,
//! so a reader that has seen it may follow it for ever: there is nothing to protect from it, which is why
//! neither a lock nor `unsafe` is needed.
//!
//! # Invariants
//! - Every cursor sees every event behind its starting point, in order, once, until it is cut or the stream
//!   ends. A stream ends when its publisher is dropped; what was published is still read first.
//! - Publishing does the same work whatever the number of cursors: one allocation, two counters, one link.
//! - Nodes are freed in a loop, never by recursion, however long the chain, whoever lets go last.
//! - A cursor keeps at most one event alive that it has read: the one it stands on.
//! - A cursor that finds itself further behind than its [`Budget`] is cut: it answers [`Gone::Lagged`], with how far and
//!   from where, now and ever after, and its owner drops it. Until then it holds what it did not read.
//!
//! # Who bounds it
//! A chain is as long as its slowest cursor is behind. Without locks nobody can cut a cursor but its owner,
//! so **the owner looks at each cursor that it does not advance**, once per turn, by [`Cursor::check`]. In
//! this system that is the node loop, which owns the cursors of all connections; a stalled client does not
//! stall their owner. A thread that keeps a cursor and stops altogether does keep memory.
//! Freeing a chain of a million nodes takes tens of milliseconds: an owner with better things to do moves a cursor that was
//! cut to a background thread and drops it there ([`Cursor`] is `Send`).
//! A budget is to be larger than what one turn may publish, or a reader that is not behind at all is cut by one large turn.
//!
//! # What this leaves out
//! Waking readers: whoever publishes knows when its turn is over and wakes once for all events of it (a
//! [`watermark`](crate::watermark) of [`Publisher::published`] does it). Filters: who wants which event is
//! an index beside the cursor.

use std::error::Error;
use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, OnceLock};

/// How far a cursor may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Events at most.
    pub events: u64,
    /// Bytes at most, as declared by the publisher.
    pub bytes: u64,
}

/// How far a cursor is behind the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Events published and not read. While the publisher is at work on another thread this may count one
    /// that is about to appear.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a cursor has no further events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was further behind than it may be, and was cut.
    Lagged {
        /// How far behind, when that was found.
        lag: Lag,
        /// What it was allowed.
        budget: Budget,
        /// How many events of the stream lie at or before its place: the next one, counted from 0, is the
        /// first it did not get.
        read: u64,
    },
    /// All events were read and the publisher is gone.
    Ended,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged { lag, budget, read } => write!(
                f,
                "cut behind event {read}: {} events ({} bytes) unread, at most {} ({} bytes) allowed",
                lag.events, lag.bytes, budget.events, budget.bytes
            ),
            Self::Ended => f.write_str("the stream has ended"),
        }
    }
}

impl Error for Gone {}

/// How much was published: events and bytes, each since the beginning of the stream.
#[derive(Debug)]
struct Head {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// What comes after a node.
enum Link<T> {
    Node(Arc<Node<T>>),
    /// Nothing, ever.
    End,
}

struct Node<T> {
    /// None only in the node that a stream begins with.
    event: Option<T>,
    /// Events and bytes of the stream up to this node and with it; the sum of bytes may go round.
    events: u64,
    bytes: u64,
    next: OnceLock<Link<T>>,
}

impl<T> Drop for Node<T> {
    /// Dropping a node drops its link, which may be the last to hold the next node, whose drop would drop
    /// its link: one stack frame per node. So the chain is taken apart in a loop.
    fn drop(&mut self) {
        let mut link = self.next.take();
        while let Some(Link::Node(node)) = link {
            // `into_inner` and not `try_unwrap`: when two cursors let go of the same node at once, exactly
            // one of them gets it. With `try_unwrap` both could be told "not the last", and the node would
            // go by plain drop after all, one level deeper.
            let Some(mut node) = Arc::into_inner(node) else { return };
            link = node.next.take();
        }
    }
}

/// Publishes events. Dropping it ends the stream.
pub struct Publisher<T> {
    tail: Arc<Node<T>>,
    head: Arc<Head>,
}

/// A place in the stream. A clone has the same place and budget and goes its own way from there.
pub struct Cursor<T> {
    /// The node of the event read last.
    at: Arc<Node<T>>,
    /// Why there are no further events, once that is so.
    gone: Option<Gone>,
    head: Arc<Head>,
    budget: Budget,
}

impl<T> Default for Publisher<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Publisher<T> {
    /// A stream without events.
    #[must_use]
    pub fn new() -> Self {
        let first = Node { event: None, events: 0, bytes: 0, next: OnceLock::new() };
        let head = Head { events: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        Self { tail: Arc::new(first), head: Arc::new(head) }
    }

    /// Appends `event`, which counts as `bytes`.
    pub fn publish(&mut self, event: T, bytes: u64) {
        let events = self.tail.events + 1;
        let bytes = self.tail.bytes.wrapping_add(bytes);
        let node = Arc::new(Node { event: Some(event), events, bytes, next: OnceLock::new() });
        // Before the link, whose Release carries them to whoever follows it: a cursor is never ahead of the
        // counters. Relaxed, because nothing else is inferred from them.
        self.head.events.store(events, Ordering::Relaxed);
        self.head.bytes.store(bytes, Ordering::Relaxed);
        // `set` is a Release that pairs with the Acquire of `get` in `advance`: who sees the link sees the
        // node behind it, whole (message passing).
        self.link(Link::Node(Arc::clone(&node)));
        self.tail = node;
    }

    fn link(&self, link: Link<T>) {
        assert!(self.tail.next.set(link).is_ok(), "only the publisher sets a link, and each once");
    }

    /// A cursor that gets the events published after this.
    #[must_use]
    pub fn subscribe(&self, budget: Budget) -> Cursor<T> {
        Cursor { at: Arc::clone(&self.tail), gone: None, head: Arc::clone(&self.head), budget }
    }

    /// How many events were published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.tail.events
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        // The end is a link like any other, so no reader can see it before the last event.
        self.link(Link::End);
    }
}

impl<T> Cursor<T> {
    /// Steps to the next event and returns it; `None` if there is none yet.
    ///
    /// # Errors
    /// [`Gone`] once and for all: cut, or the end.
    pub fn advance(&mut self) -> Result<Option<&T>, Gone> {
        self.check()?;
        match self.at.next.get() {
            None => Ok(None),
            Some(Link::End) => {
                self.gone = Some(Gone::Ended);
                Err(Gone::Ended)
            }
            Some(Link::Node(node)) => {
                // Hold the next before letting go of this: if this was the last to hold it, the link goes
                // with it, and then nothing else would hold the next.
                let node = Arc::clone(node);
                self.at = node;
                Ok(self.at.event.as_ref())
            }
        }
    }

    /// How far behind it is, and cuts it if that is too far. Costs the same however far that is: the events it did not
    /// read are let go when it is dropped, and where.
    ///
    /// # Errors
    /// [`Gone`] once and for all: cut now or before, or the end was read.
    pub fn check(&mut self) -> Result<Lag, Gone> {
        if let Some(gone) = self.gone {
            return Err(gone);
        }
        let at = &self.at;
        let lag = Lag {
            events: self.head.events.load(Ordering::Relaxed) - at.events,
            // The sum of bytes may have gone round; a difference below 2^64 is right all the same.
            bytes: self.head.bytes.load(Ordering::Relaxed).wrapping_sub(at.bytes),
        };
        if lag.events <= self.budget.events && lag.bytes <= self.budget.bytes {
            return Ok(lag);
        }
        let gone = Gone::Lagged { lag, budget: self.budget, read: at.events };
        self.gone = Some(gone);
        Err(gone)
    }
}

impl<T> Clone for Cursor<T> {
    fn clone(&self) -> Self {
        Self { at: Arc::clone(&self.at), gone: self.gone, head: Arc::clone(&self.head), budget: self.budget }
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("published", &self.published()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Cursor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = self.at.events;
        f.debug_struct("Cursor")
            .field("read", &read)
            .field("gone", &self.gone)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
