//! Those who watch: any member serves them, from what it has applied itself.

use holdfast_command::Refusal;
use holdfast_command::keys::Span;
use holdfast_wire::Message;
use holdfast_wire::message::Watch;

use super::Node;
use super::io::{Caller, Job};
use super::plant::Plant;
use crate::watch::limits::LEADERLESS_TICKS;
use crate::watch::{Ask, Hub, Wants};

impl<P: Plant> Node<P> {
    /// Opens a watch, if it can be served here at all.
    pub(super) fn watch(&mut self, caller: Caller, watch: Watch) {
        match self.open_watch(caller, watch) {
            Ok(Some(started)) => self.replies.push((caller, started)),
            // It is told when the position is applied.
            Ok(None) => {}
            Err(refusal) => self.refuse_untouched(caller, refusal),
        }
    }

    fn open_watch(&mut self, caller: Caller, watch: Watch) -> Result<Option<Message>, Refusal> {
        let Watch { from, flags, min_position, span } = watch;
        let wants = Wants::from_flags(flags).ok_or(Refusal::Malformed { offset: 0 })?;
        let span = Span::decode(span)?;
        let index = self.index_of(min_position)?;
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        if let Some(doubt) = self.digests.doubts() {
            return Err(doubt);
        }
        // What comes next here may be long past elsewhere: behind a restart the log is applied once more.
        let is_blind = from == 0 && index == 0 && !self.is_ready();
        if is_blind || self.leaderless >= LEADERLESS_TICKS {
            return Err(Refusal::NoLeader);
        }
        let ask = Ask { span, wants, from, index };
        Ok(self.watches.open(caller, ask, &self.store)?.map(Message::from))
    }

    /// Opens those whose position is applied now, and reads on in history.
    pub(super) fn advance_watches(&mut self) {
        let mut pieces = Vec::new();
        for (caller, opened) in self.watches.advance(&self.store, &mut pieces) {
            match opened {
                Ok(started) => self.replies.push((caller, started.into())),
                Err(refusal) => self.refuse_untouched(caller, refusal),
            }
        }
        for piece in pieces {
            self.jobs.push(Job::Splice { store: Box::new(self.store.clone()), piece: Box::new(piece) });
        }
    }

    /// A tick for the watches. A node that has known no leader for long ends them: what it has may be long outdated, and
    /// nobody would notice.
    pub(super) fn tick_watches(&mut self) {
        self.leaderless = if self.core.leader().is_some() { 0 } else { self.leaderless.saturating_add(1) };
        if self.leaderless == LEADERLESS_TICKS {
            self.watches.end_all(Refusal::NoLeader, &self.store);
            self.give_up_parked(Refusal::NoLeader);
        }
        self.watches.tick();
    }

    /// Connections that events wait for.
    #[must_use]
    pub fn watched(&self) -> Vec<u64> {
        self.watches.ready()
    }

    /// Takes what waits for a connection, as messages with the calls that they belong to, until they have some `room`
    /// bytes. Says whether more waits. What was taken counts as told: if it cannot be sent, the connection has to end.
    pub fn take_watched(&mut self, connection: u64, room: usize, out: &mut Vec<(u64, Message)>) -> bool {
        self.watches.take(connection, room, out)
    }

    /// All who watch, for whoever looks.
    #[must_use]
    pub fn watches(&self) -> &Hub<P::Watch> {
        &self.watches
    }
}
