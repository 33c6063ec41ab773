//! Which call goes where, and its sending.

use holdfast_machine::Numbered;
use holdfast_wire::connection::SendError;
use holdfast_wire::message::{
    ChangeMembers, Examine, KeepLease, KeepSession, Query, Read, Stats, Status, Submit,
};
use holdfast_wire::{CallId, Message};

use super::breaker::BreakerState;
use super::call::{Call, Keyed, Lane, Payload, Place};
use super::endpoint::{Endpoint, LinkId};
use super::session::{Session, rekey};
use super::{Action, Answer, Core, PLACE_BITS};
use crate::{Kind, What};

/// What there is to do with the front of a queue.
enum Front {
    /// It was sent or has ended; look at the next.
    Next,
    /// It has to wait, and what is behind it too.
    Stop,
}

impl<W> Core<W> {
    /// Sends what can be sent.
    pub(super) fn dispatch(&mut self, now: u64) {
        for lane in [Lane::Control, Lane::Session, Lane::Leader, Lane::Any] {
            while let Some(&index) = self.queue(lane).front() {
                let is_there = |call: &mut Call<W>| call.lane == lane && call.place == Place::Queued;
                if !self.call_at(index).is_some_and(is_there) {
                    self.queue(lane).pop_front();
                    continue;
                }
                match self.dispatch_front(lane, index, now) {
                    Front::Next => {}
                    Front::Stop => break,
                }
            }
            self.sweep(lane);
        }
        for _ in 0..self.directed.len() {
            let Some(index) = self.directed.pop_front() else { break };
            let Some(call) = self.call_at(index) else { continue };
            let (Lane::Directed(endpoint), Place::Queued) = (call.lane, call.place) else { continue };
            if self.endpoints.get(endpoint).is_some_and(Endpoint::usable) {
                self.send(index, endpoint, now);
            } else {
                self.directed.push_back(index);
            }
        }
    }

    /// Forgets calls that have ended in a queue that does not move, once they are the greater part of it.
    fn sweep(&mut self, lane: Lane) {
        let most = 2 * self.count as usize + 64;
        if self.queue(lane).len() > most {
            let mut queue = std::mem::take(self.queue(lane));
            let mut seen = std::collections::BTreeSet::new();
            queue.retain(|index| {
                let call = self.calls.get(*index).and_then(Option::as_ref);
                call.is_some_and(|call| call.lane == lane && call.place == Place::Queued)
                    && seen.insert(*index)
            });
            *self.queue(lane) = queue;
        }
    }

    fn dispatch_front(&mut self, lane: Lane, index: usize, now: u64) -> Front {
        let avoid = self.call_at(index).and_then(|call| call.avoid);
        let route = match lane {
            Lane::Any => self.any_usable(avoid),
            Lane::Control | Lane::Session | Lane::Leader => self.leader_or_any(avoid),
            Lane::Directed(_) => None,
        };
        let Some(endpoint) = route else { return Front::Stop };
        if lane == Lane::Session {
            match self.bind(index, now) {
                Some(Front::Stop) => return Front::Stop,
                Some(Front::Next) => return Front::Next,
                None => {}
            }
        }
        self.queue(lane).pop_front();
        let Some(call) = self.call_at(index) else { return Front::Next };
        if matches!(call.payload, Payload::Connect) {
            self.finish(index, Ok(Answer::Done), now);
            return Front::Next;
        }
        self.send(index, endpoint, now);
        Front::Next
    }

    /// Gives a write its place in the session. `None` if it has one now and can be sent.
    fn bind(&mut self, index: usize, now: u64) -> Option<Front> {
        let window = self.config.session_window;
        let current = self.session();
        let call = self.calls.get_mut(index).and_then(Option::as_mut)?;
        match call.bound {
            Some(bound) if Some(bound.session) == current => return None,
            // A copy may have been executed in a session that is gone: nobody can say any more, and a new session would
            // not recognise it.
            Some(_) if call.uncertain => {
                self.queue(Lane::Session).pop_front();
                self.fail(index, Kind::Refused, "its session ended before it was answered".into(), now);
                return Some(Front::Next);
            }
            Some(_) | None => {}
        }
        match &mut self.session {
            Session::Open(open) => match open.next(window) {
                Some(bound) => {
                    call.bound = Some(bound);
                    None
                }
                None => Some(Front::Stop),
            },
            Session::Opening => Some(Front::Stop),
            Session::None => {
                self.open_session(now);
                self.dispatch_control(now);
                Some(Front::Stop)
            }
        }
    }

    /// Sends what keeps the session, which stands in a queue that was passed already.
    fn dispatch_control(&mut self, now: u64) {
        while let Some(&index) = self.control.front() {
            let queued = |call: &mut Call<W>| call.lane == Lane::Control && call.place == Place::Queued;
            if !self.call_at(index).is_some_and(queued) {
                self.control.pop_front();
            } else if matches!(self.dispatch_front(Lane::Control, index, now), Front::Stop) {
                break;
            }
        }
    }

    /// The leader; or, while nobody knows it or it cannot be reached, anybody.
    fn leader_or_any(&self, avoid: Option<usize>) -> Option<usize> {
        if let Some(leader) = self.leader
            && let Some(endpoint) = self.endpoints.get(leader)
        {
            if endpoint.usable() {
                return Some(leader);
            }
            // It is being connected, and others would only name it again. Unless it was gone: then somebody else may lead by now.
            if self.is_coming(endpoint) && endpoint.breaker.state() == BreakerState::Closed {
                return None;
            }
        }
        self.any_usable(avoid)
    }

    /// The first endpoint that can be asked: from home on, or from the one behind `avoid`, so that tries go round all of them.
    pub(super) fn any_usable(&self, avoid: Option<usize>) -> Option<usize> {
        let count = self.endpoints.len();
        let start = avoid.map_or(self.home, |avoid| avoid + 1);
        let mut order = (0..count).map(|place| (start + place) % count);
        order.find(|place| self.endpoints.get(*place).is_some_and(Endpoint::usable))
    }

    /// Sends one more copy of a call.
    fn send(&mut self, index: usize, endpoint: usize, now: u64) {
        let low = match &self.session {
            Session::Open(open) => open.low(),
            Session::Opening | Session::None => 0,
        };
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        let Some(target) = self.endpoints.get_mut(endpoint) else { return };
        let Some(up) = target.up() else { return };
        let timeout_ms = wire_timeout(call.deadline, now);
        let message = match &mut call.payload {
            Payload::Connect => return,
            Payload::Submit { request, keyed } => {
                let mut bytes = std::mem::take(request);
                if let (Keyed::Session, Some(bound)) = (*keyed, call.bound) {
                    bytes = rekey(bytes, bound, low);
                }
                Message::from(Submit { timeout_ms, request: bytes })
            }
            Payload::Read { range, consistency, max_stale_ms, min_position } => Message::from(Read {
                consistency: consistency.number(),
                timeout_ms,
                max_stale_ms: *max_stale_ms,
                min_position: min_position.map(Into::into),
                range: range.clone(),
            }),
            Payload::Query { query, consistency, max_stale_ms, min_position } => Message::from(Query {
                consistency: consistency.number(),
                timeout_ms,
                max_stale_ms: *max_stale_ms,
                min_position: min_position.map(Into::into),
                query: query.clone(),
            }),
            Payload::KeepLease { lease } => Message::from(KeepLease { timeout_ms, lease: *lease }),
            Payload::ChangeMembers(change) => Message::from(ChangeMembers { timeout_ms, ..change.clone() }),
            Payload::Keep { session } => Message::from(KeepSession { timeout_ms, session: *session }),
            Payload::Status => Message::from(Status {}),
            Payload::Stats => Message::from(Stats {}),
            Payload::Trace(trace) => Message::from(*trace),
            Payload::Examine => Message::from(Examine {}),
            Payload::SaveSnapshot(save) => Message::from(*save),
        };
        let wire = (self.copies + 1) << PLACE_BITS | index as u64;
        let mut header = message.header();
        header.call = CallId(wire);
        let sent = up.wire.send(header, &message);
        if let (Payload::Submit { request, .. }, Message::Submit(submit)) = (&mut call.payload, message) {
            *request = submit.request;
        }
        match sent {
            Ok(()) => {
                self.copies += 1;
                call.place = Place::Sent { endpoint, wire, at: now };
                if !up.owes() {
                    (up.quiet_since, up.pinged) = (now, false);
                }
                up.sent += 1;
                if !up.flush_told {
                    up.flush_told = true;
                    self.actions.push_back(Action::Flush(LinkId { endpoint, number: up.number }));
                }
            }
            Err(SendError::Full { .. } | SendError::NotOpen { .. }) => {
                up.full = true;
                let lane = call.lane;
                self.queue(lane).push_front(index);
            }
            Err(error @ (SendError::NotOurs { .. } | SendError::Unencodable(_))) => {
                call.note(&target.address, target.node, What::NotAsked, 0);
                self.fail(index, Kind::Invalid, error.to_string(), now);
            }
        }
    }
}

/// For how long a node is told that the caller waits: a little less than it does, so that a node's own word on what it
/// waited for comes in time. 0 for no limit.
fn wire_timeout(deadline: u64, now: u64) -> u32 {
    if deadline == u64::MAX {
        return 0;
    }
    let left = deadline.saturating_sub(now);
    let told = left - left / 10;
    u32::try_from(told).unwrap_or(u32::MAX).max(1)
}
