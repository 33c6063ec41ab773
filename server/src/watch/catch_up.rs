//! Catching up: a watch that begins in the past, or whose queue was full, is fed from history until it may join the live ones.

use std::marker::PhantomData;

use holdfast_command::Code;
use holdfast_machine::Numbered;
use holdfast_store::{Plant as StorePlant, Store};

use super::machine::{Event, State};
use super::piece::{Piece, Place, Spliced};
use super::plant::{Bug, Plant};
use super::queue::Entry;
use super::{Hub, Jobs, Opened};
use crate::node::Caller;

impl<P: Plant> Hub<P> {
    /// Opens what was waiting for a position, and reads on in history for those who have room. Says who was opened, and
    /// adds to `jobs` what another thread should read.
    pub fn advance(&mut self, store: &Store<impl StorePlant>, jobs: &mut Jobs<P>) -> Vec<(Caller, Opened)> {
        let mut opened = std::mem::take(&mut self.refused);
        while let Some((index, caller)) = self.opening.first().copied()
            && index <= store.applied().index
        {
            self.opening.pop_first();
            opened.push((caller, self.begin(caller, store)));
        }
        let mut looked = 0;
        while looked <= self.budget.turn_changes
            && let Some(connection) = self.next_hungry()
        {
            self.fed = connection;
            let Some(used) = self.feed(connection, store, jobs) else { break };
            looked += used + 1;
        }
        opened
    }

    /// Whether [`advance`](Self::advance) has something to do without anything else having happened.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.hungry.is_empty() && self.reading < self.budget.reading
    }

    fn next_hungry(&self) -> Option<u64> {
        self.hungry.range(self.fed + 1..).chain(&self.hungry).next().copied()
    }

    /// One piece of history for one watch of a connection. Says how many changes were looked at here; `None` if nothing
    /// can be done for now.
    fn feed(&mut self, connection: u64, store: &Store<impl StorePlant>, jobs: &mut Jobs<P>) -> Option<usize> {
        let queue = self.queues.get_mut(&connection)?;
        let call = queue.next_lagging()?;
        let caller = Caller { connection, call };
        let taken = queue.taken();
        let watch = self.watches.get(&caller)?;
        if watch.state == State::Behind {
            self.shift(caller, Event::Drained);
        }
        let watch = self.watches.get(&caller)?;
        let at = watch.at;
        if at.revision > self.published {
            self.queues.get_mut(&connection)?.served = call;
            self.caught_up(caller);
            return Some(0);
        }
        let left = store.changes(at.revision).map_or(0, |changes| changes.size_hint().0);
        let is_short = left <= self.budget.inline_changes;
        if !is_short && self.reading >= self.budget.reading {
            return None;
        }
        let bytes = self.budget.piece_bytes.min(self.budget.connection_bytes.saturating_sub(taken));
        let piece = Piece {
            caller,
            serial: watch.serial,
            span: watch.ask.span.clone(),
            wants: watch.ask.wants,
            at,
            bytes,
            changes: self.budget.piece_changes,
            longest: self.budget.event_bytes,
            plant: PhantomData,
        };
        let queue = self.queues.get_mut(&connection)?;
        queue.served = call;
        if is_short {
            let spliced = piece.run(store);
            let looked = spliced.looked;
            self.settle(spliced);
            Some(looked)
        } else {
            queue.reserved = Some((piece.serial, bytes));
            self.bytes += bytes;
            self.reading += 1;
            self.refresh(connection);
            jobs.push(piece);
            Some(0)
        }
    }

    /// A piece was read elsewhere.
    pub fn spliced(&mut self, spliced: Spliced) {
        self.reading = self.reading.saturating_sub(1);
        let connection = spliced.caller.connection;
        if let Some(queue) = self.queues.get_mut(&connection)
            && let Some((_, reserved)) = queue.reserved.take_if(|(serial, _)| *serial == spliced.serial)
        {
            self.bytes -= reserved;
        }
        self.settle(spliced);
        self.refresh(connection);
    }

    fn settle(&mut self, spliced: Spliced) {
        let Spliced { caller, serial, events, at, gone, at_end, .. } = spliced;
        let connection = caller.connection;
        let Some(watch) = self.watches.get_mut(&caller).filter(|watch| watch.serial == serial) else {
            return;
        };
        if let Some(oldest) = gone {
            if P::plants(Bug::LostAtCompaction) {
                watch.at = Place { revision: oldest + 1, skip: 0 };
                return self.refresh(connection);
            }
            self.shift(caller, Event::HistoryGone);
            return self.end(caller, Code::Compacted.number(), oldest);
        }
        watch.at = at;
        watch.told = at.revision - 1;
        for found in events {
            self.push(caller, |call| Entry::Event {
                call,
                first: found.first,
                last: found.last,
                bytes: found.bytes,
            });
        }
        if at.revision > self.published || (at_end && P::plants(Bug::GapAtSplice)) {
            return self.caught_up(caller);
        }
        let full = self.queues.get(&connection).is_some_and(|queue| {
            queue.bytes() > self.budget.connection_bytes / 2 && queue.lagging.contains(&caller.call)
        });
        if full {
            self.shift(caller, Event::QueueFull);
        }
        self.refresh(connection);
    }

    fn caught_up(&mut self, caller: Caller) {
        self.shift(caller, Event::CaughtUp);
        if let Some(queue) = self.queues.get_mut(&caller.connection) {
            queue.lagging.remove(&caller.call);
        }
        if let Some(watch) = self.watches.get_mut(&caller) {
            // That it has all of it is said once, and soon: nothing of the rest may have been for it.
            watch.told = watch.told.min(self.published.saturating_sub(1));
            if watch.is_asked {
                self.mark(caller);
            }
        }
        self.refresh(caller.connection);
    }
}
