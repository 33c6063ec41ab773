//! What a leader does by itself.

use holdfast_command::keys::Compact;
use holdfast_command::settings::RaiseFeatureLevel;
use holdfast_command::{Command, FeatureLevel};

use super::Node;
use super::leadership::State;
use super::plant::Plant;

impl<P: Plant> Node<P> {
    /// Proposes what is due: the time of the log while something lives by it, compaction, the next feature level.
    pub(super) fn chores(&mut self) {
        if self.leadership != State::Established || self.stopping || self.away {
            return;
        }
        if let Some(revision) = self.store.compaction_due() {
            self.propose_own(Command::Compact(Compact { revision }));
        }
        if let Some(level) = self.next_level() {
            self.propose_own(Command::RaiseFeatureLevel(RaiseFeatureLevel { level }));
        }
        if self.store.needs_ticks() && self.clock_is_due() {
            self.propose_own(Command::Tick);
        }
    }

    /// The feature level behind the present one, if every member has said that its build can apply it.
    fn next_level(&self) -> Option<FeatureLevel> {
        let next = FeatureLevel(self.store.level().0 + 1);
        let (_, configuration) = self.core.configuration();
        let follows = |id| {
            if id == self.core.id() {
                FeatureLevel::LATEST >= next
            } else {
                self.peers.get(&id).is_some_and(|peer| peer.level >= next.0)
            }
        };
        configuration.members().keys().all(|id| follows(*id)).then_some(next)
    }
}
