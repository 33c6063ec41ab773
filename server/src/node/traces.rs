//! What the last batches of writes went through: for whoever asks why one of them was slow.
//!
//! # Why
//! The histograms of the stages say what is usual. Somebody who is woken up because writes are slow wants to know of *these* writes:
//! which stage took the time, and which member it waited for. Every moment that is needed for that is known here anyway; so the last
//! [`RECENT`] batches are kept with theirs, and the last [`SLOW`] of those that held a request which was slow.
//!
//! # Bounds
//! A batch takes some 200 bytes. While that many batches are on their way at once, further ones are not followed: of those
//! that wait for something, the oldest tell more.

use std::collections::{BTreeMap, VecDeque};

use holdfast_machine::Numbered as _;
use holdfast_raft::NodeId;
use holdfast_wire::NodeId as WireNodeId;
use holdfast_wire::message::{Trace, TraceReply, TracedBatch};
use holdfast_wire::message_type::TRACES_MAX;

use super::Node;
use super::plant::Plant;
use crate::stage::Stage;

/// Batches that are kept whatever they took.
const RECENT: usize = 256;

/// Slow ones that are kept beyond those.
const SLOW: usize = 64;

/// The slowest of the recent ones that are told although none of them counts as slow.
const TOLD: usize = 8;

/// A batch that is not followed.
pub(super) const UNFOLLOWED: u64 = u64::MAX;

/// A batch and its moments, in microseconds of this node's clock.
#[derive(Debug)]
struct Followed {
    first: u64,
    last: u64,
    term: u64,
    writes: u32,
    came: u64,
    appended_at: u64,
    /// 0 while it is on its way.
    ended_at: u64,
    end: u8,
    stages: [Option<u64>; Stage::ALL.len()],
    acks: Vec<(NodeId, u64)>,
}

impl Followed {
    fn took(&self, now: u64) -> u64 {
        let until = if self.ended_at > 0 { self.ended_at } else { now };
        until.saturating_sub(self.came)
    }

    fn told(&self, now: u64) -> TracedBatch {
        let age = if self.ended_at > 0 { now.saturating_sub(self.ended_at) } else { 0 };
        let acks = self.acks.iter().filter_map(|(node, after)| Some((WireNodeId::new(node.0)?, *after)));
        TracedBatch {
            first: self.first,
            last: self.last,
            term: self.term,
            writes: self.writes,
            end: self.end,
            age,
            took: self.took(now),
            stages: self.stages,
            acks: acks.collect(),
        }
    }
}

/// See the module documentation. A batch is named by how many were followed before it.
#[derive(Debug, Default)]
pub(super) struct Traces {
    recent: VecDeque<Followed>,
    /// The name of the first of them.
    first: u64,
    slow: VecDeque<Followed>,
    /// From which batch on each follower has not acknowledged, in this term.
    awaited: BTreeMap<NodeId, u64>,
    /// The first batch of this term.
    term_from: u64,
    /// Those that have ended in this turn.
    ended: Vec<u64>,
}

impl Traces {
    fn next(&self) -> u64 {
        self.first + self.recent.len() as u64
    }

    fn get_mut(&mut self, name: u64) -> Option<&mut Followed> {
        let at = usize::try_from(name.checked_sub(self.first)?).ok()?;
        self.recent.get_mut(at)
    }

    /// Follows a batch that was appended now, and returns its name. `came` is when the first of its requests did.
    pub(super) fn begin(
        &mut self,
        (first, last, term): (u64, u64, u64),
        writes: u32,
        (came, now): (u64, u64),
        slow_from: u64,
    ) -> u64 {
        let mut acks = Vec::new();
        if self.recent.len() >= RECENT {
            match self.recent.pop_front() {
                Some(waits) if waits.ended_at == 0 => {
                    self.recent.push_front(waits);
                    return UNFOLLOWED;
                }
                Some(old) => {
                    self.first += 1;
                    if slow_from > 0 && old.took(now) >= slow_from {
                        if self.slow.len() >= SLOW {
                            self.slow.pop_front();
                        }
                        self.slow.push_back(old);
                    } else {
                        // Kept for its memory.
                        acks = old.acks;
                        acks.clear();
                    }
                }
                None => {}
            }
        }
        let name = self.next();
        let mut stages = [None; Stage::ALL.len()];
        stages[Stage::Admit.position()] = Some(now.saturating_sub(came));
        let end = TracedBatch::ON_ITS_WAY;
        let batch =
            Followed { first, last, term, writes, came, appended_at: now, ended_at: 0, end, stages, acks };
        self.recent.push_back(batch);
        name
    }

    /// What a stage of it took.
    pub(super) fn note(&mut self, name: u64, stage: Stage, micros: u64) {
        if let Some(known) = self.get_mut(name).and_then(|batch| batch.stages.get_mut(stage.position())) {
            *known = Some(micros);
        }
    }

    /// It is over now.
    pub(super) fn end(&mut self, name: u64, now: u64, end: u8) {
        if let Some(batch) = self.get_mut(name) {
            (batch.ended_at, batch.end) = (now, end);
            self.ended.push(name);
        }
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.ended.clear();
    }

    /// What the stages took that whole turns have in common, of those that ended in this one.
    fn note_turn(&mut self, stages: &[(Stage, u64)]) {
        for name in std::mem::take(&mut self.ended) {
            if self.get_mut(name).is_some_and(|batch| batch.end == TracedBatch::ANSWERED) {
                for (stage, micros) in stages {
                    self.note(name, *stage, *micros);
                }
            }
        }
    }

    /// A follower holds everything up to this index, as the leader knows now.
    pub(super) fn acked(&mut self, from: NodeId, matched: u64, now: u64) {
        let first = self.first.max(self.term_from);
        let mut name = self.awaited.get(&from).copied().unwrap_or_default().max(first);
        while let Some(batch) = self.get_mut(name).filter(|batch| batch.last <= matched) {
            batch.acks.push((from, now.saturating_sub(batch.appended_at)));
            name += 1;
        }
        self.awaited.insert(from, name);
    }

    /// The term is over: what followers hold in the next one says nothing about these.
    pub(super) fn deposed(&mut self) {
        self.awaited.clear();
        self.term_from = self.next();
    }

    fn answer(&self, index: u64, now: u64, slow_from: u64) -> TraceReply {
        let all = || self.slow.iter().chain(&self.recent).rev();
        let known = (self.slow.len() + self.recent.len()) as u64;
        let mut batches: Vec<TracedBatch> = if index > 0 {
            // Of two leaderships the later one: what was proposed before may have been replaced.
            all()
                .find(|batch| (batch.first..=batch.last).contains(&index))
                .map(|batch| batch.told(now))
                .into_iter()
                .collect()
        } else {
            let tells =
                |batch: &&Followed| batch.ended_at == 0 || slow_from > 0 && batch.took(now) >= slow_from;
            all().filter(tells).take(TRACES_MAX).map(|batch| batch.told(now)).collect()
        };
        if index == 0 && batches.is_empty() {
            let mut slowest: Vec<&Followed> = all().filter(|batch| batch.writes > 0).collect();
            slowest.sort_by_key(|batch| std::cmp::Reverse(batch.took(now)));
            slowest.truncate(TOLD);
            batches = slowest.into_iter().map(|batch| batch.told(now)).collect();
        }
        TraceReply { slow_from, known, batches }
    }
}

impl<P: Plant> Node<P> {
    /// Where the time of writes went that this node has proposed, as known at this moment.
    #[must_use]
    pub fn trace(&self, trace: Trace, micros: u64) -> TraceReply {
        self.traces.answer(trace.index, micros, self.slow.from)
    }

    /// What a turn took for all that it executed and answered: for the batches that have ended in it.
    pub fn note_executed(&mut self, applying: u64, replying: u64) {
        self.traces.note_turn(&[(Stage::Apply, applying), (Stage::Reply, replying)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW_FROM: u64 = 1_000;

    fn begin(traces: &mut Traces, index: u64, now: u64) -> u64 {
        traces.begin((index, index, 1), 1, (now - 10, now), SLOW_FROM)
    }

    #[test]
    fn what_is_on_its_way_and_what_was_slow_is_told_newest_first_and_the_rest_is_not() {
        let mut traces = Traces::default();
        for (index, took) in [(1, 5), (2, 5_000), (3, 5), (4, 2_000)] {
            let name = begin(&mut traces, index, 100_000 * index);
            traces.note(name, Stage::Sync, took);
            traces.end(name, 100_000 * index + took, TracedBatch::ANSWERED);
        }
        begin(&mut traces, 5, 600_000);
        let reply = traces.answer(0, 600_500, SLOW_FROM);
        let told: Vec<(u64, u8, u64)> =
            reply.batches.iter().map(|batch| (batch.last, batch.end, batch.took)).collect();
        let (waits, answered) = (TracedBatch::ON_ITS_WAY, TracedBatch::ANSWERED);
        assert_eq!(told, [(5, waits, 510), (4, answered, 2_010), (2, answered, 5_010)]);
        assert_eq!(reply.known, 5);
        assert_eq!(reply.batches[2].stages[Stage::Sync.position()], Some(5_000));
        assert_eq!(traces.answer(3, 0, SLOW_FROM).batches[0].took, 15);
        assert!(traces.answer(6, 0, SLOW_FROM).batches.is_empty());
    }

    #[test]
    fn if_none_was_slow_the_slowest_are_told() {
        let mut traces = Traces::default();
        for index in 1..=100 {
            let name = begin(&mut traces, index, 100_000 * index);
            traces.end(name, 100_000 * index + (index * 37) % 101, TracedBatch::ANSWERED);
        }
        let took: Vec<u64> =
            traces.answer(0, 0, SLOW_FROM).batches.iter().map(|batch| batch.took - 10).collect();
        assert_eq!(took, [100, 99, 98, 97, 96, 95, 94, 93]);
    }

    #[test]
    fn a_slow_one_is_kept_when_hundreds_have_come_after_it_and_memory_has_a_bound() {
        let mut traces = Traces::default();
        for index in 1..=10_000 {
            let name = begin(&mut traces, index, 100_000 * index);
            let took = if index % 97 == 0 { 50_000 } else { 20 };
            traces.end(name, 100_000 * index + took, TracedBatch::ANSWERED);
        }
        assert_eq!((traces.recent.len(), traces.slow.len()), (RECENT, SLOW));
        let reply = traces.answer(0, 0, SLOW_FROM);
        let recent = (1..=10_000).rev().take(RECENT).filter(|index| index % 97 == 0).count();
        assert_eq!(reply.batches.len(), SLOW + recent);
        assert!(reply.batches.is_sorted_by(|newer, older| newer.last > older.last));
    }

    #[test]
    fn while_all_that_are_followed_wait_the_oldest_stay() {
        let mut traces = Traces::default();
        for index in 1..=RECENT as u64 {
            assert_ne!(begin(&mut traces, index, 1_000 + index), UNFOLLOWED);
        }
        assert_eq!(begin(&mut traces, 1_000, 9_000), UNFOLLOWED);
        traces.note(UNFOLLOWED, Stage::Sync, 1);
        traces.end(UNFOLLOWED, 1, TracedBatch::ANSWERED);
        assert_eq!(traces.recent.front().map(|batch| batch.last), Some(1));
    }

    #[test]
    fn a_follower_is_noted_once_for_each_batch_and_not_for_those_of_an_earlier_term() {
        let mut traces = Traces::default();
        let (one, other) = (NodeId(2), NodeId(3));
        begin(&mut traces, 1, 1_000);
        traces.deposed();
        begin(&mut traces, 2, 2_000);
        begin(&mut traces, 3, 3_000);
        traces.acked(one, 2, 2_500);
        traces.acked(one, 2, 2_600);
        traces.acked(other, 3, 3_400);
        traces.acked(one, 3, 3_500);
        let acks = |traces: &Traces, at: usize| traces.recent[at].acks.clone();
        assert_eq!(acks(&traces, 0), []);
        assert_eq!(acks(&traces, 1), [(one, 500), (other, 1_400)]);
        assert_eq!(acks(&traces, 2), [(other, 400), (one, 500)]);
    }
}
