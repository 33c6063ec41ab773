//! The operator: who is a member, and who leads.
//!
//! One change at a time, asked again until there is a word on it. A machine whose process will not start, or that has lost its
//! vote, is replaced as the runbook says: the new one is added, and the old one is removed. A machine that was wiped comes
//! back under a new id; its own would have promised what it does not know of any more.

use holdfast_client::core::{Answer, Work};
use holdfast_client::{ChangeMembers, MemberChange};
use holdfast_command::Code;
use holdfast_machine::Numbered;
use holdfast_raft::NodeId;
use holdfast_wire::NodeUuid as WireUuid;

use super::machine::{Machine, Origin};
use super::probes::Probe;
use super::swarm::{MACHINES_MAX, MS, SECOND};
use super::world::{Happening, World, uuid};
use crate::raft::trace::say;
use holdfast_server::node::plant::Plant;

/// Voters are not more than this.
const VOTERS_MAX: usize = 5;

/// What the operator has in mind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The steps that are left.
    steps: Vec<Order>,
}

/// One step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Add this machine; it becomes a voter when it has caught up, or stays a learner.
    Add(usize, bool),
    /// Make it a voter.
    Promote(usize),
    /// Put the first, a learner, in the place of the second.
    Replace(usize, usize),
    /// Remove it.
    Remove(usize),
    /// Let it lead.
    HandTo(usize),
}

impl<P: Plant> World<P> {
    /// The operator thinks of a change of members.
    pub(super) fn plan_change(&mut self) {
        if self.changing.is_some() {
            return;
        }
        let present = self.present();
        let bad = present.iter().copied().find(|at| self.is_spent(*at));
        let voters = self.voters();
        let room = self.machines.len() < MACHINES_MAX;
        let any = |world: &mut Self, of: &[usize]| of[world.rng.position(of.len())];
        let steps = if let Some(bad) = bad {
            if !room {
                return;
            }
            let new = self.machines.len();
            self.tally.probes.hit(Probe::SpentReplaced);
            vec![Order::Add(new, true), Order::Remove(bad)]
        } else if voters.is_empty() {
            return;
        } else {
            let new = self.machines.len();
            match self.rng.below(5) {
                0 if room && voters.len() < VOTERS_MAX => vec![Order::Add(new, true)],
                1 if room => {
                    let old = any(self, &voters);
                    vec![Order::Add(new, false), Order::Replace(new, old)]
                }
                2 if voters.len() > 2 => vec![Order::Remove(any(self, &voters))],
                3 if room && voters.len() < VOTERS_MAX => {
                    vec![Order::Add(new, false), Order::Promote(new)]
                }
                4 if room => {
                    // Wiped: the directory is empty, and what it had promised is not known to it any more.
                    let old = any(self, &voters);
                    if self.may_lose(old) && voters.len() > 2 {
                        say!(self, "n{} is wiped", self.machines[old].id);
                        self.end_process(old, false);
                        self.machines[old].retired = true;
                        self.tally.probes.hit(Probe::Wiped);
                        vec![Order::Add(new, true), Order::Remove(old)]
                    } else {
                        vec![Order::Add(new, true)]
                    }
                }
                _ => return,
            }
        };
        say!(self, "the operator wants {steps:?}");
        for step in &steps {
            if let Order::Add(at, _) = step {
                let id = *at as u64 + 1;
                let rate = self.rate();
                self.machines.push(Machine::new(NodeId(id), uuid(id), Origin::Joined, rate));
                // Its directory is empty, and no process runs, until a member has been heard to take it on.
                self.machines[*at].introduce();
            }
        }
        self.changing = Some(Change { steps });
    }

    /// The operator wants another leader.
    pub(super) fn plan_transfer(&mut self) {
        let voters = self.voters();
        if self.changing.is_none() && !voters.is_empty() {
            let to = voters[self.rng.position(voters.len())];
            self.changing = Some(Change { steps: vec![Order::HandTo(to)] });
        }
    }

    /// A machine that can be of no use any more: its process will not start, or its vote does not count.
    pub(super) fn is_spent(&self, at: usize) -> bool {
        let machine = &self.machines[at];
        let lost = machine.process.as_ref().is_some_and(|process| process.identity.hard_state_lost);
        machine.refused.is_some() || lost
    }

    /// Voters by the newest configuration that is known, as machines.
    pub(super) fn voters(&self) -> Vec<usize> {
        let acting = self.machines.iter().filter_map(|machine| {
            let process = machine.process.as_ref()?;
            let (index, configuration) = process.node.core().configuration();
            Some((index.0, configuration))
        });
        let newest = acting.max_by_key(|(index, _)| *index);
        newest.map_or(Vec::new(), |(_, configuration)| {
            configuration.voters().iter().map(|id| id.0 as usize - 1).collect()
        })
    }

    /// What the operator asks next, if anything.
    pub(super) fn next_order(&mut self) -> Option<(Order, Work)> {
        let order = *self.changing.as_ref()?.steps.first()?;
        let id = |at: usize| holdfast_wire::NodeId::new(at as u64 + 1).expect("ids begin with 1");
        let change = |kind: MemberChange, at: usize| ChangeMembers {
            timeout_ms: 0,
            change: kind.number(),
            node: id(at),
            other: None,
            uuid: None,
            promote: false,
            peer: "".into(),
        };
        let change = match order {
            Order::Add(at, promote) => ChangeMembers {
                uuid: Some(WireUuid(uuid(at as u64 + 1).0)),
                promote,
                peer: format!("node-{}:2", at + 1).into(),
                ..change(MemberChange::AddLearner, at)
            },
            Order::Promote(at) => change(MemberChange::Promote, at),
            Order::Replace(new, old) => {
                ChangeMembers { other: Some(id(old)), ..change(MemberChange::Replace, new) }
            }
            Order::Remove(at) => change(MemberChange::Remove, at),
            Order::HandTo(at) => change(MemberChange::Transfer, at),
        };
        Some((order, Work::ChangeMembers(change)))
    }

    /// What became of a step.
    pub(super) fn carried_out(&mut self, order: Order, result: &Result<Answer, holdfast_client::Error>) {
        let passing = |code: Code| {
            code.is_retryable()
                || matches!(code, Code::ChangePending | Code::WouldLoseQuorum | Code::NotCaughtUp)
        };
        let done = match result {
            Ok(_) => true,
            Err(error) => {
                let over = error.code.is_some_and(|code| !passing(code));
                say!(self, "{order:?}: {error:?}");
                if over {
                    // Nothing of it will be: a member that is none, a step that has been taken.
                    self.tally.probes.hit(Probe::ChangeRefused);
                }
                over
            }
        };
        if !done {
            // Nobody waits for another leader, nor for a quorum that a member which has to be replaced first would be part of.
            let code = result.as_ref().err().and_then(|error| error.code);
            let hopeless = code == Some(Code::WouldLoseQuorum)
                && self.voters().iter().any(|at| self.is_spent(*at) && order != Order::Remove(*at));
            if matches!(order, Order::HandTo(_)) || hopeless {
                self.changing = None;
                if let Order::Add(at, _) = order {
                    self.machines[at].retired = true;
                }
            }
            return;
        }
        if result.is_ok() {
            match order {
                Order::Add(at, _) => {
                    self.tally.membership_changes += 1;
                    self.tally.probes.hit(Probe::MemberAdded);
                    self.after(20 * MS, Happening::Start(at));
                }
                Order::Promote(_) => self.tally.membership_changes += 1,
                Order::Replace(_, old) | Order::Remove(old) => {
                    self.tally.membership_changes += 1;
                    self.tally.probes.hit_if(matches!(order, Order::Replace(..)), Probe::Replaced);
                    self.tally.probes.hit_if(matches!(order, Order::Remove(_)), Probe::MemberRemoved);
                    // It is told so, or else the operator ends it some time.
                    self.after(2 * SECOND, Happening::Fault(super::chaos::Fault::Retire(old)));
                }
                Order::HandTo(_) => self.tally.probes.hit(Probe::TransferSucceeded),
            }
        } else if let Order::Add(at, _) = order {
            self.machines[at].retired = true;
        }
        let Some(change) = &mut self.changing else { return };
        change.steps.remove(0);
        if change.steps.is_empty() || (result.is_err() && !matches!(order, Order::Remove(_))) {
            self.changing = None;
        }
    }
}
