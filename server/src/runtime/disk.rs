//! The disk of a running node: the thread of the log, and what waits for it.

use std::collections::VecDeque;

use holdfast_handoff::watermark::{Reader, Wait, Waiter};
use holdfast_raft::{LogOp, Persist, PersistId};
use holdfast_wal::disk::RealDisk;
use holdfast_wal::stats::Stats;
use holdfast_wal::thread::{Handle, Running, Ticket, Why};
use holdfast_wal::{AsDesigned, Op};

use super::RunError;
use crate::storage::to_ops;

/// Bytes of bodies in one submission. An operation that has more goes alone; none has more than 12 MiB, which a segment
/// that is prepared holds.
const PIECE_BYTES: usize = 1024 * 1024;

/// Bytes of a submission's operation beside its body, so that a million empty ones are not free.
const OP_BYTES: usize = 64;

fn size(op: &Op) -> usize {
    OP_BYTES
        + match op {
            Op::Entry { body, .. } | Op::Fill { body, .. } => body.len(),
            Op::HardState { .. }
            | Op::Trim { .. }
            | Op::Reset { .. }
            | Op::Confirm { .. }
            | Op::Heal { .. } => 0,
        }
}

/// Something for the log, translated.
#[derive(Debug)]
struct Waiting {
    /// What is durable with it; `None` for all pieces of a persist but the last.
    id: Option<PersistId>,
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
    accepted: VecDeque<(Ticket, Option<PersistId>, bool)>,
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
    /// What of it can stand in no log: then the core has made what it must not. And those of [`retry`](Self::retry).
    pub(super) fn submit(&mut self, persist: Persist) -> Result<(), RunError> {
        let id = persist.id;
        let heals = persist.log.iter().any(|op| matches!(op, LogOp::Heal { .. }));
        let mut ops = to_ops(persist)?.into_iter().peekable();
        // In pieces that the prepared segments are sure to hold, whatever a turn has gathered. They become durable in order.
        loop {
            let (mut piece, mut bytes) = (Vec::new(), 0);
            while let Some(op) = ops.next_if(|op| piece.is_empty() || bytes + size(op) <= PIECE_BYTES) {
                bytes += size(&op);
                piece.push(op);
            }
            let last = ops.peek().is_none();
            self.waiting.push_back(Waiting { id: last.then_some(id), ops: piece, heals: heals && last });
            if last {
                return self.retry();
            }
        }
    }

    /// Hands over what was not accepted before.
    ///
    /// # Errors
    /// The log has ended, or will never take it.
    pub(super) fn retry(&mut self) -> Result<(), RunError> {
        while let Some(Waiting { id, ops, heals }) = self.waiting.pop_front() {
            match self.handle.submit(ops) {
                Ok(ticket) => {
                    self.full = None;
                    self.accepted.push_back((ticket, id, heals));
                }
                Err(refused) => match refused.why {
                    Why::TooLarge { .. } | Why::Stopped => {
                        return Err(RunError::Log(refused.why.to_string()));
                    }
                    why @ (Why::Full(_) | Why::NoSpace { .. } | Why::Preparing | _) => {
                        if let Why::NoSpace { free, needed } = why {
                            self.full = Some((free, needed));
                        }
                        self.waiting.push_front(Waiting { id, ops: refused.ops, heals });
                        return Ok(());
                    }
                },
            }
        }
        Ok(())
    }

    /// What has become durable since the last look.
    pub(super) fn done(&mut self) -> Option<Done> {
        let durable = self.durable.get();
        let mut done: Option<Done> = None;
        while let Some((_, id, heals)) = self.accepted.pop_front_if(|(ticket, ..)| ticket.0 <= durable) {
            if let Some(id) = id {
                done = Some(Done { id, healed: heals || done.is_some_and(|done| done.healed) });
            }
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

    /// All that the log measures, for whoever has time to read it.
    pub(super) fn stats(&self) -> Stats {
        self.running.stats()
    }

    /// Writes what was accepted, ends the threads, and closes the log.
    pub(super) fn close(self) {
        let Self { handle, running, .. } = self;
        drop(handle);
        drop(running.join());
    }
}
