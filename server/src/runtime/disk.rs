//! The disk of a running node: the thread of the log, and what waits for it.

use std::collections::VecDeque;

use holdfast_handoff::watermark::{Reader, Wait, Waiter};
use holdfast_raft::{LogOp, Persist, PersistId};
use holdfast_wal::disk::RealDisk;
use holdfast_wal::thread::{Handle, Running, Ticket, Why};
use holdfast_wal::{AsDesigned, Op};

use crate::storage::{PayloadError, to_ops};

/// Something for the log, translated.
#[derive(Debug)]
struct Waiting {
    id: PersistId,
    ops: Vec<Op>,
    heals: bool,
}

/// Hands persists to the thread of the log, in their order, and says when they are durable.
#[derive(Debug)]
pub(super) struct Disk {
    handle: Handle,
    waiter: Waiter,
    durable: Reader,
    running: Running<RealDisk, AsDesigned>,
    /// Not accepted yet.
    waiting: VecDeque<Waiting>,
    /// Accepted, oldest first: the ticket, what it was, whether the damage is over with it.
    accepted: VecDeque<(Ticket, PersistId, bool)>,
    full: Option<(u64, u64)>,
}

/// What has become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// All up to and with this one.
    pub(super) id: PersistId,
    /// The damage of the log is over.
    pub(super) healed: bool,
}

impl Disk {
    pub(super) fn new(handle: Handle, waiter: Waiter, running: Running<RealDisk, AsDesigned>) -> Self {
        let durable = waiter.reader();
        let (waiting, accepted) = (VecDeque::new(), VecDeque::new());
        Self { handle, waiter, durable, running, waiting, accepted, full: None }
    }

    /// Takes a persist, to be written behind all before it.
    ///
    /// # Errors
    /// What of it can stand in no log: then the core has made what it must not.
    pub(super) fn submit(&mut self, persist: Persist) -> Result<(), PayloadError> {
        let id = persist.id;
        let heals = persist.log.iter().any(|op| matches!(op, LogOp::Heal { .. }));
        self.waiting.push_back(Waiting { id, ops: to_ops(persist)?, heals });
        self.retry();
        Ok(())
    }

    /// Hands over what was not accepted before.
    pub(super) fn retry(&mut self) {
        while let Some(Waiting { id, ops, heals }) = self.waiting.pop_front() {
            match self.handle.submit(ops) {
                Ok(ticket) => {
                    self.full = None;
                    self.accepted.push_back((ticket, id, heals));
                }
                Err(refused) => {
                    if let Why::NoSpace { free, needed } = refused.why {
                        self.full = Some((free, needed));
                    }
                    self.waiting.push_front(Waiting { id, ops: refused.ops, heals });
                    return;
                }
            }
        }
    }

    /// What has become durable since the last look.
    pub(super) fn done(&mut self) -> Option<Done> {
        let durable = self.durable.get();
        let mut done: Option<Done> = None;
        while let Some((_, id, heals)) = self.accepted.pop_front_if(|(ticket, ..)| ticket.0 <= durable) {
            done = Some(Done { id, healed: heals || done.is_some_and(|done| done.healed) });
        }
        done
    }

    /// Asks to be woken for the oldest of what is not durable. Says whether it is already.
    pub(super) fn arm(&mut self) -> bool {
        let Some((ticket, ..)) = self.accepted.front() else { return false };
        matches!(self.waiter.wait_for(ticket.0), Wait::Reached(_))
    }

    /// The loop is awake and looks anyway: no wake-up is needed.
    pub(super) fn disarm(&mut self) {
        self.waiter.withdraw();
    }

    /// Bytes that are free and that are needed, if the disk is too full.
    pub(super) fn full(&self) -> Option<(u64, u64)> {
        self.full
    }

    /// Whether everything that was handed over is durable.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.accepted.is_empty()
    }

    /// Syncs, and bytes written, since the start.
    pub(super) fn counters(&self) -> (u64, u64) {
        let counters = self.running.stats().counters();
        (counters.log.syncs, counters.log.written_bytes)
    }

    /// Writes what was accepted, ends the threads, and closes the log.
    pub(super) fn close(self) {
        let Self { handle, running, .. } = self;
        drop(handle);
        drop(running.join());
    }
}
