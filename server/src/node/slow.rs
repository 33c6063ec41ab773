//! Requests that took long, and where their time went.
//!
//! Nothing is measured for it: the moments are those that the histograms of the stages are made of, and only a request that
//! turns out slow is looked at twice. What is decided when it is answered is whether it took long until then; the write to
//! its socket comes later, and is no reason.

use bytes::Bytes;
use holdfast_command::keys::Span;
use holdfast_machine::Numbered as _;
use holdfast_raft::{Index, Payload};

use super::io::Caller;
use super::plant::Plant;
use super::writes::Batch;
use super::{Node, limits};
use crate::stage::Stage;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlowCall {
    /// A write: its entry, if it came to have one and the log still holds it.
    Write(Option<Bytes>),
    /// A read of keys.
    Range(Span),
    /// Any other question.
    Query,
}

/// A request that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Who asked.
    pub caller: Caller,
    /// What.
    pub call: SlowCall,
    /// Whether it was answered with what came of it; else its client was told that it took too long.
    pub answered: bool,
    /// Microseconds since it came.
    pub took: u64,
    /// Microseconds in each stage, by position; `None` where it never was, or where nothing is known.
    pub stages: [Option<u64>; Stage::ALL.len()],
}

impl Slow {
    /// How long it was in a stage.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<u64> {
        self.stages.get(stage.position()).copied().flatten()
    }

    /// Says how long it was in a stage.
    pub fn set_stage(&mut self, stage: Stage, micros: u64) {
        if let Some(known) = self.stages.get_mut(stage.position()) {
            *known = Some(micros);
        }
    }
}

/// What a turn has noted.
#[derive(Debug, Default)]
pub(super) struct SlowRequests {
    /// Microseconds from which on a request is slow; 0 for never.
    pub(super) from: u64,
    pub(super) noted: Vec<Slow>,
    pub(super) more: u64,
}

impl<P: Plant> Node<P> {
    /// Requests that take so many microseconds are reported in [`Effects::slow`](super::Effects::slow); none if it is 0.
    pub fn set_slow_request(&mut self, micros: u64) {
        self.slow.from = micros;
    }

    /// Microseconds since `came`, if that is slow and there is room to say so.
    fn is_slow(&mut self, came: u64) -> Option<u64> {
        let took = self.now.micros.saturating_sub(came);
        if self.slow.from == 0 || took < self.slow.from {
            return None;
        }
        if self.slow.noted.len() >= limits::SLOW_NOTED {
            self.slow.more += 1;
            return None;
        }
        Some(took)
    }

    /// A write that was proposed is answered now, or its client told that nobody waits any longer.
    pub(super) fn note_slow_write(&mut self, caller: Caller, (came, index): (u64, u64), answered: bool) {
        let Some(took) = self.is_slow(came) else { return };
        let entry = self.core.entry(Index(index)).and_then(|entry| match &entry.payload {
            Payload::Data(data) => Some(data.clone()),
            Payload::Empty | Payload::Configuration(_) => None,
        });
        let mut slow =
            Slow { caller, call: SlowCall::Write(entry), answered, took, stages: [None; Stage::ALL.len()] };
        if let Some(batch) = self.writes.batch_of(index) {
            slow.of_batch(batch, came, self.now.micros);
        }
        self.slow.noted.push(slow);
    }

    /// A write that was never proposed.
    pub(super) fn note_slow_arrival(&mut self, caller: Caller, came: u64) {
        let Some(took) = self.is_slow(came) else { return };
        let mut slow = Slow {
            caller,
            call: SlowCall::Write(None),
            answered: false,
            took,
            stages: [None; Stage::ALL.len()],
        };
        slow.set_stage(Stage::Admit, took);
        self.slow.noted.push(slow);
    }

    /// A read: when it came, when the leader was asked and when it answered; 0 for what never was.
    pub(super) fn note_slow_read(
        &mut self,
        (caller, call): (Caller, impl FnOnce() -> SlowCall),
        [came, asked, confirmed]: [u64; 3],
        answered: bool,
    ) {
        let Some(took) = self.is_slow(came) else { return };
        let mut slow = Slow { caller, call: call(), answered, took, stages: [None; Stage::ALL.len()] };
        let now = self.now.micros;
        if asked > 0 {
            slow.set_stage(Stage::Admit, asked.saturating_sub(came));
            slow.set_stage(
                Stage::Replicate,
                if confirmed > 0 { confirmed } else { now }.saturating_sub(asked),
            );
        }
        if asked == 0 || confirmed > 0 {
            slow.set_stage(Stage::Commit, now.saturating_sub(came.max(confirmed)));
        }
        self.slow.noted.push(slow);
    }
}

impl Slow {
    /// What the batch of a write knows.
    fn of_batch(&mut self, batch: &Batch, came: u64, now: u64) {
        let Batch { appended_at, synced_at, committed_at, proposing, appending, .. } = *batch;
        self.set_stage(Stage::Admit, appended_at.saturating_sub(came));
        self.set_stage(Stage::Propose, proposing);
        self.set_stage(Stage::Append, appending);
        for (stage, until) in [(Stage::Sync, synced_at), (Stage::Replicate, committed_at)] {
            // What is not over has taken until now.
            self.set_stage(stage, if until > 0 { until } else { now }.saturating_sub(appended_at));
        }
        if committed_at > 0 {
            self.set_stage(Stage::Commit, now.saturating_sub(committed_at));
        }
    }
}
