//! Deep states that the events of a core show.

use holdfast_raft::{Event, RoleEdge, Term, TransferEdge};

use super::probes::Probe;
use super::world::World;

impl World {
    /// Counts what an event of a core shows.
    pub fn watch(&mut self, at: usize, event: &Event) {
        match event {
            Event::Healed(_) => self.ghost.probes.hit(Probe::DamageHealed),
            Event::TransferGivenUp(_) => self.ghost.probes.hit(Probe::TransferGivenUp),
            Event::HandedOver(to) => self.ghost.handed_over = Some((*to, self.nodes[at].view.term)),
            Event::Role(edge, term) => self.watch_role(at, *edge, *term),
            Event::Transfer(edge, _) => match edge {
                TransferEdge::BeginAgain => self.ghost.probes.hit(Probe::SnapshotSuperseded),
                TransferEdge::Discard => self.ghost.probes.hit(Probe::SnapshotOvertaken),
                TransferEdge::Begin | TransferEdge::Complete | TransferEdge::Install | TransferEdge::Fail => {
                }
            },
            Event::Progress(..) | Event::Membership(..) | Event::Alarm(..) => {}
        }
    }

    fn watch_role(&mut self, at: usize, edge: RoleEdge, term: Term) {
        match edge {
            RoleEdge::WinElection => {
                self.ghost.probes.hit_if(self.after_mass_crash, Probe::MassCrashSurvived);
                self.after_mass_crash = false;
            }
            RoleEdge::GiveWay | RoleEdge::ResignWithoutQuorum => self.watch_lost_leader(at),
            RoleEdge::ResignStalled => {
                self.ghost.probes.hit(Probe::DiskStallResignation);
                self.watch_lost_leader(at);
            }
            RoleEdge::TakeOver => self.owe_term(term),
            RoleEdge::ResignRemoved => self.ghost.probes.hit(Probe::LeaderRemovedItself),
            RoleEdge::AskAround
            | RoleEdge::AskAgain
            | RoleEdge::Campaign
            | RoleEdge::StandBack
            | RoleEdge::HeedLeader
            | RoleEdge::AdoptTerm
            | RoleEdge::StartOver => {}
        }
    }

    /// Counts what a leader leaves behind that crashes or leaves its office.
    pub fn watch_lost_leader(&mut self, at: usize) {
        let all = &self.ghost.shadows[at].configurations;
        let [.., (_, before), (index, acting)] = &all[..] else { return };
        if *index <= self.nodes[at].view.commit {
            return;
        }
        // A leader ends a joint configuration in the step that commits it.
        let probes = &mut self.ghost.probes;
        probes.hit_if(acting.is_joint(), Probe::JointLeaderLost);
        probes.hit_if(before.is_joint(), Probe::JointCommittedLeaderLost);
    }
}
