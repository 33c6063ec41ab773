//! Giving up the past: at once for every reader, and in slices for the memory.

use holdfast_command::audit::TouchedKind;
use holdfast_command::keys::{Compact, Span};
use holdfast_command::{Refusal, Reply, Setting};

use super::Keys;
use super::edit::REVISIONS_END;
use crate::plant::{Bug, Plant};
use crate::state::{Execute, State};
use crate::trail::Effect;
use crate::version::{Origin, Version};

impl Execute for Compact {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let State { keys, trail, .. } = state;
        if self.revision <= keys.oldest {
            return Err(Refusal::Compacted { asked: self.revision, oldest: keys.oldest });
        }
        let before = keys.oldest;
        keys.oldest = keys.readable(self.revision)?;
        trail.note(Effect::Oldest, &[keys.oldest]);
        trail.touch(TouchedKind::History, &[], before, false);
        if P::plants(Bug::CompactionMovesRevisionBack) {
            let newest = keys.current_of(&Span::all()).map(Version::mod_revision).max();
            keys.revision = newest.unwrap_or_default().max(keys.oldest);
        }
        Ok(Reply::Compacted { oldest: keys.oldest })
    }
}

impl Keys {
    /// Passes over so many revisions, and gives up all before.
    pub(crate) fn skip(&mut self, revisions: u64) -> Result<(), Refusal> {
        let revision = self.revision.checked_add(revisions).filter(|revision| *revision < REVISIONS_END);
        self.revision = revision.ok_or(Refusal::RevisionsExhausted)?;
        self.oldest = self.revision;
        self.marks.clear();
        Ok(())
    }

    /// Frees changes that no read can see any more, at most `budget` of them. True if there are more.
    pub(crate) fn sweep(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if !self.has_unswept() {
                return false;
            }
            let Some(change) = self.log.pop_front() else { return false };
            self.history_bytes -= change.held();
            if change.version.is_tombstone() {
                let key = change.version.key();
                let grave = self.graves.get(key).map(Version::mod_revision);
                if grave == Some(change.version.mod_revision()) {
                    self.graves.remove(key);
                }
            }
        }
        self.has_unswept()
    }

    fn has_unswept(&self) -> bool {
        self.log.front().is_some_and(|change| change.version.mod_revision() <= self.oldest)
    }
}

/// A revision and the cluster clock by which it had been written.
pub(super) type Mark = (u64, u64);

/// The age that history may reach is told to about this part of it.
const MARKS: u64 = 256;

/// Changes that are looked at by one question for what is due. The next one goes on from there.
const LOOKED_AT: usize = 65_536;

impl State {
    /// Notes how old the present revision is. By the cluster clock: a wall clock that jumps must not make history old.
    pub(crate) fn mark_age(&mut self) {
        let age = self.settings.get(Setting::HistoryAge);
        let marks = &mut self.keys.marks;
        if age == 0 {
            if !marks.is_empty() {
                marks.clear();
            }
            return;
        }
        while marks.front().is_some_and(|(_, revision)| *revision < self.keys.oldest) {
            marks.pop_front();
        }
        let due = marks.back().is_none_or(|(clock, revision)| {
            *revision < self.keys.revision && self.clock >= clock.saturating_add(age / MARKS)
        });
        if due {
            marks.push_back((self.clock, self.keys.revision));
        }
    }

    /// The revision that history is due to be compacted to, by age or by bytes. None while an earlier compaction is
    /// being swept, or if nothing is due.
    pub(crate) fn compaction_due(&self) -> Option<u64> {
        let keys = &self.keys;
        if keys.has_unswept() {
            return None;
        }
        let age = self.settings.get(Setting::HistoryAge);
        let old = |(clock, _): &&Mark| clock.saturating_add(age) <= self.clock;
        let by_age = keys.marks.iter().take_while(old).last().map(|(_, revision)| *revision);
        let most = match self.settings.get(Setting::HistoryBytes) {
            0 => u64::MAX,
            most => most,
        };
        let mut bytes = keys.history_bytes;
        let mut by_bytes = None;
        for change in keys.log.iter().take(LOOKED_AT) {
            if bytes <= most {
                break;
            }
            bytes -= change.held();
            by_bytes = Some(change.version.mod_revision());
        }
        by_age.max(by_bytes).filter(|revision| *revision > keys.oldest)
    }
}
