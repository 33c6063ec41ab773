//! What people and programs want of the cluster: commands, reads, snapshots, transfers of office, changes of members.

use bytes::Bytes;
use holdfast_raft::{Change, EntryId, Index, Input, Member, NodeId, ReadId, Refusal};

use super::ghost::{Verdict, Violation};
use super::heard::Heard;
use super::machine::command;
use super::node::Node;
use super::probes::Probe;
use super::queue::Micros;
use super::swarm::Swarm;
use super::trace::say;
use super::world::{Happening, World};

/// What somebody wants, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Commands are proposed.
    Propose,
    /// Something is read.
    Read,
    /// A node takes a snapshot.
    Snapshot,
    /// An office changes hands.
    Transfer,
    /// Members change.
    Change,
}

/// Clients wait when so many entries are not committed. With one entry in an append and one on its way, a cluster commits one
/// in a round trip, and a longer queue would only make everything late.
const OUTSTANDING_MAX: u64 = 25;

/// What a configuration says of a node of this run.
#[must_use]
pub(super) fn member(swarm: &Swarm, id: NodeId, promote: bool) -> Member {
    Member { uuid: swarm.uuid(id), promote, context: Bytes::new() }
}

impl World {
    /// How long until this is wanted again.
    pub fn wait_for(&mut self, wish: Wish) -> Option<Micros> {
        let mean = match wish {
            Wish::Propose => Some(self.swarm.propose),
            Wish::Read => self.swarm.read.map(|gap| gap.max(20_000)),
            Wish::Snapshot => self.swarm.snapshot,
            Wish::Transfer => self.swarm.transfer,
            Wish::Change => self.swarm.change,
        }?;
        Some(self.rng.gap(mean))
    }

    /// Somebody wants something.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn grant(&mut self, wish: Wish) -> Verdict {
        if let Some(wait) = self.wait_for(wish) {
            self.after(wait, Happening::Wish(wish));
        }
        match wish {
            Wish::Propose => self.likely_leader().map_or(Ok(()), |at| self.propose(at)),
            Wish::Read => self.any_node().map_or(Ok(()), |at| self.read(at)),
            Wish::Snapshot => {
                self.snapshot();
                Ok(())
            }
            Wish::Transfer => self.transfer(),
            Wish::Change => self.change(),
        }
    }

    /// A node that runs and does not stand still.
    pub fn any_node(&mut self) -> Option<usize> {
        let awake = |node: &Node| node.is_up() && node.paused_until <= self.now;
        let all: Vec<usize> = (0..self.nodes.len()).filter(|at| awake(&self.nodes[*at])).collect();
        if all.is_empty() { None } else { Some(*self.rng.pick(&all)) }
    }

    /// A node that believes that it leads.
    pub fn any_leader(&mut self) -> Option<usize> {
        let awake = |node: &Node| node.leads() && node.paused_until <= self.now;
        let all: Vec<usize> = (0..self.nodes.len()).filter(|at| awake(&self.nodes[*at])).collect();
        if all.is_empty() { None } else { Some(*self.rng.pick(&all)) }
    }

    /// Mostly a leader.
    fn likely_leader(&mut self) -> Option<usize> {
        if self.rng.chance(900) { self.any_leader() } else { self.any_node() }
    }

    /// Commands are proposed at this node.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn propose(&mut self, at: usize) -> Verdict {
        let view = self.nodes[at].view;
        if view.last.index.0 - view.commit.0 > OUTSTANDING_MAX {
            return Ok(());
        }
        let count = self.rng.between(1, self.swarm.batch);
        let first = self.ghost.commands;
        self.ghost.commands += count;
        let length = self.rng.between(8, self.swarm.command) as usize;
        let batch = (first..first + count).map(|number| command(number, length)).collect();
        let outcome = self.tell(at, Input::Propose(batch), Heard::Other)?;
        match outcome {
            Ok(id) => {
                let newer = self.nodes.iter().any(|node| node.leads() && node.view.term > view.term);
                self.ghost.probes.hit_if(newer, Probe::StaleLeaderProposal);
                self.judge_placed(at, id, count)
            }
            Err(why) => {
                self.ghost.probes.hit_if(why == Refusal::UncommittedFull, Probe::UncommittedFull);
                Ok(())
            }
        }
    }

    /// A batch that was taken stands at the end of the log, all of it.
    fn judge_placed(&self, at: usize, id: Option<EntryId>, count: u64) -> Verdict {
        let last = self.nodes[at].view.last;
        let expected = EntryId { term: last.term, index: Index(last.index.0 + 1 - count) };
        if id == Some(expected) {
            return Ok(());
        }
        let what = format!("node {} says {id:?} of {count} commands, and its log ends at {last}", at + 1);
        Err(Violation { property: "D2 NoPhantom", what })
    }

    /// Something is read at this node.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn read(&mut self, at: usize) -> Verdict {
        let count = self.rng.between(1, 2);
        let ids: Vec<ReadId> = (0..count).map(|more| ReadId(self.reads + more)).collect();
        self.reads += count;
        for id in &ids {
            self.ghost.note_read(&self.nodes[at], *id);
        }
        let boot = self.nodes[at].boot;
        // The turn may end with the step, and the process with it; then nobody waits any more.
        if self.tell(at, Input::Read(ids.clone()), Heard::Other)?.is_err() && self.nodes[at].boot == boot {
            for id in &ids {
                self.ghost.shadows[at].reads.remove(id);
            }
        }
        Ok(())
    }

    fn snapshot(&mut self) {
        let Some(at) = self.any_node() else { return };
        let node = &self.nodes[at];
        if node.machine.applied.index <= node.disk.covered() || node.machine.applied.index > node.view.durable
        {
            return;
        }
        let boot = node.boot;
        let bytes = self.rng.between(1, self.swarm.snapshot_bytes);
        let snapshot = Box::new(self.nodes[at].machine.snapshot(bytes));
        let wait = self.rng.between(1, 3 * self.swarm.disk);
        self.after(wait, Happening::Taken(at, boot, snapshot));
    }

    fn transfer(&mut self) -> Verdict {
        let Some(at) = self.likely_leader() else { return Ok(()) };
        let acting = self.nodes[at].running().configuration().clone();
        if acting.voters().is_empty() {
            return Ok(());
        }
        let to = *self.rng.pick(acting.voters());
        say!(self, "n{} is asked to hand over to n{to}", at + 1);
        self.tell(at, Input::Transfer(to), Heard::Other).map(|_| ())
    }

    fn change(&mut self) -> Verdict {
        let Some(at) = self.likely_leader() else { return Ok(()) };
        let Some(change) = self.draw_change(at) else { return Ok(()) };
        say!(self, "n{} is asked to {change:?}", at + 1);
        let before = self.nodes[at].running().configuration().clone();
        let added = match &change {
            Change::AddLearner { id, .. } => Some(*id),
            Change::Update { .. } | Change::Reconfigure { .. } => None,
        };
        let outcome = self.tell(at, Input::ChangeMembership(change), Heard::Other)?;
        if let Ok(Some(id)) = outcome {
            self.ghost.asked_for.insert(id);
        }
        match (outcome, added) {
            (Ok(_), Some(id)) => {
                if before.removed().contains(&id) {
                    let what = format!("node {} takes {id} in again, which was removed", at + 1);
                    return Err(Violation { property: "M4 Ids", what });
                }
                if id.0 as usize == self.nodes.len() + 1 {
                    self.add(Node::blank(id));
                    self.ghost.shadows[id.0 as usize - 1].joined = true;
                }
                Ok(())
            }
            (Ok(_), None) => Ok(()),
            (Err(why), _) => {
                say!(self, "n{} refuses: {why:?}", at + 1);
                self.ghost.probes.hit_if(why == Refusal::WouldLoseQuorum, Probe::WouldLoseQuorum);
                Ok(())
            }
        }
    }

    /// A change that somebody might want here, sensible or not.
    fn draw_change(&mut self, at: usize) -> Option<Change> {
        let acting = self.nodes[at].running().configuration().clone();
        let learners: Vec<NodeId> =
            acting.members().keys().copied().filter(|id| acting.is_learner(*id)).collect();
        let (swarm, rng) = (&self.swarm, &mut self.rng);
        if acting.voters().is_empty() {
            return None;
        }
        let voter = *rng.pick(acting.voters());
        let learner = if learners.is_empty() { None } else { Some(*rng.pick(&learners)) };
        let reconfigure = |promote: Vec<NodeId>, demote: Vec<NodeId>, remove: Vec<NodeId>| {
            Some(Change::Reconfigure { promote, demote, remove })
        };
        let may_shrink = acting.voters().len() > 1;
        match (rng.below(10), learner) {
            (0..=2, _) | (3..=5, None) => {
                let fresh = NodeId(self.nodes.len() as u64 + 1);
                let id = if self.nodes.len() < swarm.nodes && rng.chance(900) {
                    fresh
                } else {
                    NodeId(1 + rng.below(self.nodes.len() as u64))
                };
                let promote = rng.chance(600);
                Some(Change::AddLearner { id, member: member(swarm, id, promote) })
            }
            (3, Some(learner)) => reconfigure(vec![learner], vec![], vec![]),
            // Another one in its place, in one step.
            (4, Some(learner)) => reconfigure(vec![learner], vec![], vec![voter]),
            (5, Some(learner)) => reconfigure(vec![], vec![], vec![learner]),
            (6, _) if may_shrink => reconfigure(vec![], vec![voter], vec![]),
            (7, _) if may_shrink => reconfigure(vec![], vec![], vec![voter]),
            (8, _) if may_shrink => reconfigure(learners, vec![], vec![voter]),
            (_, _) => {
                let context = Bytes::copy_from_slice(&rng.word().to_le_bytes());
                Some(Change::Update { id: voter, context })
            }
        }
    }
}
