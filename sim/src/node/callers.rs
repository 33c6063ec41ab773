//! What each caller is promised besides what the log says: how old a state may be, in which order its writes are executed, and
//! that it need not wait for news that is there.
//!
//! | property | here |
//! |---|---|
//! | R3 | a state is no older than it says: it has all that was acknowledged so long ago; nor older than a stale read has allowed |
//! | C3 | of the writes that came over one connection and are executed, the earlier comes first in the log |
//! | R4 | who waits for news of a queue is told in the turn that brings it |

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_command::query::{Answer, Query as Question, QueueKind, When};
use holdfast_command::{Refusal, Request, RequestKey};
use holdfast_raft::NodeId;
use holdfast_server::node::Caller;
use holdfast_wire::message::{Consistency, Position, Query, QueryDone, Read, Submitted};

use super::Micros;
use super::swarm::MS;
use crate::raft::ghost::{Verdict, holds};

/// What is known of a question that is not answered.
#[derive(Clone, Debug)]
struct Asked {
    linearizable: bool,
    /// The bound of a stale read; 0 for none.
    max_stale_ms: u64,
    /// It waits for news of this place, at a member that serves it without asking anybody.
    waits: Option<(QueueKind, Bytes, i64)>,
    /// How many turns the node had taken.
    turns: u64,
}

/// A node, as its turns show it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    turns: u64,
    /// What it had applied behind the turn before the last.
    before: u64,
    applied: u64,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Callers {
    /// Since when everybody may rely on an index; both ascend.
    relied: Vec<(Micros, u64)>,
    asked: BTreeMap<Caller, Asked>,
    nodes: BTreeMap<NodeId, Seen>,
    /// The end of the log of the node that a write came to.
    ends: BTreeMap<Caller, u64>,
    /// Session and sequence of writes that have come in anywhere.
    sent: BTreeSet<(u64, u64)>,
    /// Where writes of connections were executed that were in no log when they came.
    executed: BTreeMap<(u64, u64), u64>,
}

impl Callers {
    /// A node took a turn.
    pub fn looked(&mut self, id: NodeId, applied: u64) {
        let seen = self.nodes.entry(id).or_default();
        *seen = Seen { turns: seen.turns + 1, before: seen.applied, applied };
    }

    /// A read came in.
    pub fn read(&mut self, id: NodeId, caller: Caller, read: &Read) {
        self.ask(id, caller, read.consistency, read.max_stale_ms, None);
    }

    /// A query came in.
    pub fn query(&mut self, id: NodeId, caller: Caller, query: &Query) {
        let waits = match Question::decode(query.query.clone()) {
            Ok(Question::Queue { kind, name, when: When::Settled { lease } })
                if query.consistency == Consistency::Follower as u8 =>
            {
                Some((kind, name, lease))
            }
            Ok(_) | Err(_) => None,
        };
        self.ask(id, caller, query.consistency, query.max_stale_ms, waits);
    }

    fn ask(
        &mut self,
        id: NodeId,
        caller: Caller,
        consistency: u8,
        max_stale_ms: u64,
        waits: Option<(QueueKind, Bytes, i64)>,
    ) {
        let turns = self.nodes.get(&id).map_or(0, |seen| seen.turns);
        let linearizable = consistency == Consistency::Linearizable as u8;
        let max_stale_ms = if consistency == Consistency::Stale as u8 { max_stale_ms } else { 0 };
        self.asked.insert(caller, Asked { linearizable, max_stale_ms, waits, turns });
    }

    /// A write came in at a node whose log ends there.
    ///
    /// One that is sent again is not judged: it is executed where it was the first time, if it was.
    pub fn write(&mut self, caller: Caller, end: u64, request: &Bytes) {
        let key = Request::decode(request.clone()).map(|request| request.key);
        let again = match key {
            Ok(RequestKey::Session { session, sequence, .. }) => !self.sent.insert((session.0, sequence)),
            Ok(RequestKey::None | RequestKey::Idempotency { .. }) | Err(_) => false,
        };
        if !again {
            self.ends.insert(caller, end);
        }
    }

    /// Everybody may rely on this index from now on.
    pub fn relies(&mut self, now: Micros, index: u64) {
        if self.relied.last().is_none_or(|(_, last)| *last < index) {
            self.relied.push((now, index));
        }
    }

    /// A read or a query is answered in the turn in which its age was measured, which began `now`. `rate` is the lowest of any
    /// clock.
    ///
    /// # Errors
    /// R3.
    pub fn aged(
        &mut self,
        (now, rate): (Micros, u64),
        id: NodeId,
        caller: Caller,
        position: Position,
        staleness_ms: u64,
    ) -> Verdict {
        let Some(asked) = self.asked.get(&caller) else { return Ok(()) };
        if asked.linearizable || staleness_ms == u64::MAX {
            return Ok(());
        }
        let bound = asked.max_stale_ms;
        holds!(
            bound == 0 || staleness_ms <= bound,
            "R3 Staleness",
            "n{id} serves a state that is up to {staleness_ms} ms old to one that allows {bound} ms"
        );
        let Some(then) = now.checked_sub(staleness_ms.saturating_mul(MS * 1_000 / rate)) else {
            return Ok(());
        };
        let known = self.relied.partition_point(|(since, _)| *since < then);
        let relied = known.checked_sub(1).map_or(0, |last| self.relied[last].1);
        holds!(
            position.index >= relied,
            "R3 Staleness",
            "n{id} says that its state is no older than {staleness_ms} ms, and it lacks what was acknowledged before \
             that: it has {}, and not {relied}",
            position.index
        );
        Ok(())
    }

    /// A query is answered.
    ///
    /// # Errors
    /// R4.
    pub fn told(&mut self, id: NodeId, caller: Caller, done: &QueryDone) -> Verdict {
        let Some(Asked { waits: Some((kind, name, lease)), turns, .. }) = self.asked.remove(&caller) else {
            return Ok(());
        };
        let seen = self.nodes.get(&id).copied().unwrap_or_default();
        let answer: Result<Result<Answer, Refusal>, _> = Answer::decode(done.answer.clone());
        let Ok(Ok(Answer::Queue(queue))) = answer else { return Ok(()) };
        let waits = queue.holder.as_ref().is_none_or(|holder| holder.lease != lease)
            && queue.places.iter().any(|place| place.lease == lease);
        // It was not so when it was asked, or it would have been answered then.
        let late = seen.turns > turns + 1 && done.position.index <= seen.before;
        holds!(
            waits || !late,
            "R4 News",
            "n{id} tells of {kind:?} {name:?} only now that lease {lease} waits no longer, which it knew a turn ago"
        );
        Ok(())
    }

    /// A write is answered.
    ///
    /// # Errors
    /// C3.
    pub fn executed(&mut self, id: NodeId, caller: Caller, done: &Submitted) -> Verdict {
        let Some(end) = self.ends.remove(&caller) else { return Ok(()) };
        let index = done.position.index;
        if index <= end {
            // A repetition, perhaps.
            return Ok(());
        }
        let Caller { connection, call } = caller;
        self.executed.insert((connection, call), index);
        let before = self.executed.range((connection, 0)..(connection, call)).next_back();
        let after = self.executed.range((connection, call + 1)..=(connection, u64::MAX)).next();
        let in_order =
            before.is_none_or(|(_, other)| *other < index) && after.is_none_or(|(_, other)| *other > index);
        holds!(
            in_order,
            "C3 Order",
            "n{id} executes call {call} of connection {connection} at {index}, and its neighbours at {before:?}, {after:?}"
        );
        Ok(())
    }
}
