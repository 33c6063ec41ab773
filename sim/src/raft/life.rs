//! Starting and crashing of nodes, and damage to their disks while they are down.

use holdfast_raft::{Boot, HardState, Input, NodeId, Term};

use super::disk::{Mark, Slot};
use super::ghost::{Verdict, Violation, place};
use super::liveness::could_go_on;
use super::machine::Machine;
use super::network::Packet;
use super::probes::Probe;
use super::rng::mix;
use super::swarm::NODES_MAX;
use super::trace::say;
use super::under_test::make;
use super::world::{Happening, World};

impl World {
    /// Ends a node's process at this instant.
    ///
    /// # Errors
    /// What is lost by it.
    pub fn crash(&mut self, at: usize) -> Verdict {
        if !self.nodes[at].is_up() {
            return Ok(());
        }
        say!(self, "n{} crashes", at + 1);
        self.trace.note(mix(0xC4A5, at as u64));
        if self.nodes[at].leads() {
            self.watch_lost_leader(at);
        }
        let (survivors, torn) = self.nodes[at].disk.crash(&mut self.rng);
        self.ghost.probes.hit_if(torn, Probe::TornAppend);
        if let Some(incoming) = &self.nodes[at].incoming {
            let probe = if incoming.installing { Probe::InstallCutByCrash } else { Probe::ReceiveCutByCrash };
            self.ghost.probes.hit(probe);
        }
        for persist in survivors {
            self.write(at, &persist)?;
        }
        self.nodes[at].forget();
        self.nodes[at].disk.process_ended();
        self.ghost.shadows[at].forget();
        self.ghost.read_disk(&self.nodes[at]);
        self.ghost.judge_all_electable(&self.nodes)?;
        let id = NodeId(at as u64 + 1);
        self.hint(id, &[Input::PeerUnreachable(id), Input::PeerRefused(id)]);
        if self.healing.is_none() {
            let wait = self.rng.gap(self.swarm.down);
            self.after(wait, Happening::Start(at));
        }
        Ok(())
    }

    /// Starts a node from what its disk holds.
    ///
    /// # Errors
    /// That its core does not accept that, or goes on from something else.
    pub fn start(&mut self, at: usize) -> Verdict {
        if self.nodes[at].is_up() {
            return Ok(());
        }
        if self.nodes[at].boot > Boot(0) {
            self.tally.crashes += 1;
            self.damage(at)?;
        }
        let node = &mut self.nodes[at];
        node.boot = node.boot.next();
        let (id, boot) = (node.id, node.boot);
        say!(self, "n{id} starts boot {boot}, log to {}", self.nodes[at].disk.whole_end());
        let node = &mut self.nodes[at];
        node.machine = Machine::new(node.disk.snapshot.as_ref());
        let core =
            make(self.bug, self.swarm.config(id, boot), node.disk.recover()).map_err(|why| Violation {
                property: "D3 Recovered",
                what: format!("node {id} does not start from its own disk: {why}"),
            })?;
        node.view = core.view();
        node.core = Some(core);
        self.ghost.judge_start(&self.nodes[at])?;
        self.end_turn(at)?;
        let wait = self.rng.between(0, self.swarm.tick);
        self.after(wait, Happening::Tick(at, boot));
        self.hint(id, &[Input::PeerConnected(id)]);
        if self.swarm.triggers.ghosts && self.healing.is_none() {
            self.haunt(at);
        }
        Ok(())
    }

    /// What was recorded for a node's life before comes to the one after.
    fn haunt(&mut self, at: usize) {
        let packets: Vec<Packet> = self.network.recorded_for(at as u64 + 1).cloned().collect();
        for packet in packets {
            let wait = self.rng.between(0, self.swarm.longest_timeout());
            self.after(wait, Happening::Arrive(packet));
        }
    }

    /// Lets the other nodes hear one of these, or something else, or nothing.
    pub fn hint(&mut self, about: NodeId, hints: &[Input]) {
        if !self.swarm.hints {
            return;
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_up() && at != place(about) && self.rng.chance(500) {
                let (hint, boot) = (self.rng.pick(hints).clone(), self.nodes[at].boot);
                let wait = self.rng.between(0, self.swarm.delay);
                self.after(wait, Happening::Tell(at, boot, hint));
            }
        }
    }

    /// A message came to a machine whose process is down.
    pub fn refuse(&mut self, from: NodeId, to: NodeId) {
        let at = place(from);
        if self.swarm.hints && self.nodes[at].is_up() && self.rng.chance(50) {
            let boot = self.nodes[at].boot;
            self.after(self.swarm.delay, Happening::Tell(at, boot, Input::PeerRefused(to)));
        }
    }

    /// Damages the disk of a node that is about to start, if the seed has damage, and what is left can still go on: the
    /// *atlas*. Beyond it nothing is wrong when nothing goes on, and a run would show nothing.
    fn damage(&mut self, at: usize) -> Verdict {
        if self.healing.is_some() {
            return Ok(());
        }
        let before = self.nodes[at].disk.clone();
        if self.swarm.damage && self.nodes[at].disk.mark.is_none() && self.rng.chance(200) {
            self.make_holes(at);
        }
        if self.swarm.lose_hard_state && self.rng.chance(60) {
            self.nodes[at].disk.hard_state_lost = true;
            let term = self.rng.between(0, before.hard_state.term.0);
            self.nodes[at].disk.hard_state = HardState { term: Term(term), vote: None };
        }
        self.ghost.read_disk(&self.nodes[at]);
        let possible = could_go_on(&self.nodes, &self.ghost, &[true; NODES_MAX]);
        if possible {
            let disk = &self.nodes[at].disk;
            if disk.mark != before.mark {
                say!(self, "n{} is damaged behind {}: {:?}", at + 1, disk.whole_end(), disk.mark);
            }
            if disk.hard_state_lost != before.hard_state_lost {
                say!(self, "n{} has lost term and vote", at + 1);
            }
        } else {
            self.nodes[at].disk = before;
            self.ghost.read_disk(&self.nodes[at]);
        }
        self.ghost.judge_all_electable(&self.nodes)
    }

    /// Some indices are holes from now on, or doubtful; and perhaps it is not known where the log ended.
    fn make_holes(&mut self, at: usize) {
        let rng = &mut self.rng;
        let disk = &mut self.nodes[at].disk;
        let count = disk.slots.len();
        if count == 0 {
            return;
        }
        let mut end = disk.whole_end();
        let trustworthy = rng.chance(500);
        if !trustworthy && rng.chance(500) {
            // The head that names the true end is gone as well.
            let keep = 1 + rng.position(count);
            disk.slots.truncate(keep);
            end = disk.whole_end();
        }
        let count = disk.slots.len();
        let first = rng.position(count);
        let length = 1 + rng.position((count - first).min(4));
        for slot in &mut disk.slots[first..first + length] {
            *slot = Slot::Hole;
        }
        for slot in &mut disk.slots[first + length..] {
            if rng.chance(300) {
                *slot = match std::mem::replace(slot, Slot::Hole) {
                    Slot::Whole(entry) | Slot::Doubtful(entry) | Slot::Confirmed(entry) => {
                        Slot::Doubtful(entry)
                    }
                    Slot::Hole => Slot::Hole,
                };
            }
        }
        disk.mark = Some(Mark { claimed_end: end, trustworthy });
    }
}
