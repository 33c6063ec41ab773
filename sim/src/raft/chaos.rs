//! Faults: by the clock, and upon conditions of the run's own state.

use holdfast_raft::{Boot, Event, Input, MembershipEdge, NodeId, ProgressEdge, RoleEdge};

use super::clients::Wish;
use super::forged::spoil;
use super::ghost::{Verdict, place};
use super::network::{SHAPES, Shape, cuts};
use super::probes::Probe;
use super::queue::Micros;
use super::rng::mix;
use super::swarm::{NODES_MAX, TIMEOUT};
use super::trace::say;
use super::world::{Happening, World};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Some nodes crash, and others later.
    Crash,
    /// All nodes crash at once.
    MassCrash,
    /// This process ends.
    CrashNode(usize, Boot),
    /// A node stands still for a while.
    Pause,
    /// A node goes on, in which others may have gone on without it.
    Resumed(usize, Boot),
    /// The network falls apart.
    Partition,
    /// One node is cut off, deaf or mute for a while.
    CutOff(usize, Shape),
    /// A link changes.
    Flap,
    /// All links are whole again.
    Mend,
    /// A client of a leader that may be none any more.
    Press(usize, Boot),
    /// A node reaches everybody again.
    ReachAll(usize),
    /// A recorded message comes again.
    Replay,
    /// A link to the outside of the core changes, long after everything else is calm.
    FlapOuter,
}

impl World {
    /// Puts in the queue what comes by the clock.
    pub fn begin(&mut self) {
        for wish in [Wish::Propose, Wish::Read, Wish::Snapshot, Wish::Transfer, Wish::Change] {
            if let Some(wait) = self.wait_for(wish) {
                self.after(wait, Happening::Wish(wish));
            }
        }
        for fault in [Fault::Crash, Fault::MassCrash, Fault::Pause, Fault::Partition, Fault::Replay] {
            self.again(fault);
        }
        let chaos = self.swarm.chaos;
        self.after(chaos, Happening::Calm);
    }

    /// Lets a fault come again, if this seed has it.
    fn again(&mut self, fault: Fault) {
        let swarm = &self.swarm;
        let mean = match fault {
            Fault::Crash => swarm.crash,
            Fault::MassCrash => swarm.mass_crash,
            Fault::Pause => swarm.pause,
            Fault::Partition => swarm.partition,
            Fault::Replay => swarm.replay.map(|gap| gap.max(20_000)),
            Fault::CrashNode(..)
            | Fault::Resumed(..)
            | Fault::CutOff(..)
            | Fault::Flap
            | Fault::Mend
            | Fault::Press(..)
            | Fault::ReachAll(_)
            | Fault::FlapOuter => None,
        };
        if let Some(mean) = mean {
            let wait = self.rng.gap(mean);
            self.after(wait, Happening::Fault(fault));
        }
    }

    /// A fault strikes, unless faults are over.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn strike(&mut self, fault: Fault) -> Verdict {
        if fault == Fault::FlapOuter {
            self.flap_outer();
            return Ok(());
        }
        if self.healing.is_some() {
            return Ok(());
        }
        self.again(fault);
        match fault {
            Fault::Crash => self.crash_some(),
            Fault::MassCrash => {
                self.after_mass_crash = true;
                (0..self.nodes.len()).try_for_each(|at| self.crash(at))
            }
            Fault::CrashNode(at, boot) => {
                if self.nodes[at].boot == boot {
                    self.crash(at)
                } else {
                    Ok(())
                }
            }
            Fault::Pause => {
                self.pause();
                Ok(())
            }
            Fault::Resumed(at, boot) => {
                let node = &self.nodes[at];
                let newer = self.nodes.iter().any(|other| other.leads() && other.view.term > node.view.term);
                let returned = node.boot == boot && node.leads() && newer;
                self.ghost.probes.hit_if(returned, Probe::PausedLeaderReturned);
                Ok(())
            }
            Fault::Partition => {
                let shape = *self.rng.pick(&SHAPES);
                let centre = match self.any_leader() {
                    Some(leader) if self.rng.chance(600) => leader,
                    Some(_) | None => self.rng.position(self.nodes.len()),
                };
                self.partition(shape, centre);
                Ok(())
            }
            Fault::CutOff(at, shape) => {
                self.partition(shape, at);
                Ok(())
            }
            Fault::Flap => {
                self.flap();
                Ok(())
            }
            Fault::Mend => {
                self.mend();
                Ok(())
            }
            Fault::Press(at, boot) => {
                let node = &self.nodes[at];
                if node.boot == boot && node.leads() && node.paused_until <= self.now {
                    self.propose(at)?;
                }
                let node = &self.nodes[at];
                if node.boot == boot && node.leads() && self.swarm.read.is_some() {
                    self.read(at)
                } else {
                    Ok(())
                }
            }
            Fault::ReachAll(at) => {
                self.nodes[at].reaches_only = None;
                Ok(())
            }
            Fault::Replay => {
                let packet = self.network.replay(&mut self.rng);
                let Some(mut packet) = packet else { return Ok(()) };
                let at = place(packet.envelope.to);
                if self.rng.chance(200) && self.nodes[at].is_up() && self.nodes[at].paused_until <= self.now {
                    spoil(&mut packet.envelope, &mut self.rng);
                    return self.forge(at, packet.envelope);
                }
                self.after(0, Happening::Arrive(packet));
                Ok(())
            }
            Fault::FlapOuter => Ok(()),
        }
    }

    fn crash_some(&mut self) -> Verdict {
        let count = if self.rng.chance(700) { 1 } else { 1 + self.rng.position(self.nodes.len()) };
        for _ in 0..count {
            let victim = if self.rng.chance(400) { self.any_leader() } else { None };
            let victim = victim.unwrap_or_else(|| self.rng.position(self.nodes.len()));
            self.crash(victim)?;
        }
        Ok(())
    }

    fn pause(&mut self) {
        let victim = if self.rng.chance(500) { self.any_leader() } else { self.any_node() };
        let Some(at) = victim else { return };
        let wait = self.rng.between(TIMEOUT / 4, 5 * TIMEOUT);
        say!(self, "n{} stands still", at + 1);
        let node = &mut self.nodes[at];
        node.paused_until = self.now + wait;
        let boot = node.boot;
        self.after(wait, Happening::Fault(Fault::Resumed(at, boot)));
    }

    fn partition(&mut self, shape: Shape, centre: usize) {
        let count = self.nodes.len();
        if count < 2 {
            return;
        }
        say!(self, "the network falls apart: {shape:?} around n{}", centre + 1);
        self.tally.partitions += 1;
        self.trace.note(mix(0x9A27, centre as u64));
        self.network.cut = cuts(shape, count, centre, &mut self.rng);
        self.hint_links();
        let wait = self.rng.between(TIMEOUT / 2, 8 * TIMEOUT);
        self.after(wait, Happening::Fault(Fault::Mend));
        if self.swarm.flap {
            self.after(TIMEOUT / 3, Happening::Fault(Fault::Flap));
        }
    }

    fn flap(&mut self) {
        let count = self.nodes.len();
        if !self.network.cut.iter().flatten().any(|cut| *cut) {
            return;
        }
        let (from, to) = (self.rng.position(count), self.rng.position(count));
        if from != to {
            self.network.cut[from][to] ^= true;
            self.hint_links();
        }
        let wait = self.rng.gap(TIMEOUT / 3);
        self.after(wait, Happening::Fault(Fault::Flap));
    }

    fn mend(&mut self) {
        say!(self, "the network is whole");
        self.network.cut = [[false; NODES_MAX]; NODES_MAX];
        self.hint_links();
    }

    /// Nodes hear, truly or not, that links broke or came back.
    fn hint_links(&mut self) {
        if !self.swarm.hints {
            return;
        }
        for at in 0..self.nodes.len() {
            if !self.nodes[at].is_up() || !self.rng.chance(300) {
                continue;
            }
            let peer = self.rng.position(self.nodes.len());
            if peer == at {
                continue;
            }
            let id = NodeId(peer as u64 + 1);
            let cut = self.network.cut[at][peer];
            let hint = if cut { Input::PeerUnreachable(id) } else { Input::PeerConnected(id) };
            let boot = self.nodes[at].boot;
            self.after(self.swarm.delay, Happening::Tell(at, boot, hint));
        }
    }

    /// Whether the state that an event shows brings a fault.
    pub fn consider(&mut self, at: usize, event: &Event) {
        if self.healing.is_some() {
            return;
        }
        let triggers = self.swarm.triggers;
        match event {
            Event::Role(RoleEdge::WinElection, _) => {
                if triggers.quorum && self.rng.chance(300) {
                    self.smallest_quorum(at);
                }
                if triggers.disk && self.rng.chance(300) {
                    let wait = self.rng.between(TIMEOUT / 4, 6 * TIMEOUT);
                    self.nodes[at].stalled_until = self.now + wait;
                    say!(self, "the disk of n{} stalls", at + 1);
                }
                if triggers.lonely && self.rng.chance(700) {
                    self.leave_alone(at);
                }
                self.press(at);
                if triggers.short && self.rng.chance(400) {
                    let soon = self.swarm.delay + self.swarm.disk;
                    self.soon(at, 2 * soon);
                }
            }
            Event::Membership(edge, _) => {
                let begins = match edge {
                    MembershipEdge::Adjust
                    | MembershipEdge::EnterJoint
                    | MembershipEdge::CommitJoint
                    | MembershipEdge::LeaveJoint => true,
                    MembershipEdge::Complete
                    | MembershipEdge::RevertToStable
                    | MembershipEdge::RevertToAdjusting
                    | MembershipEdge::RevertToEntering
                    | MembershipEdge::RevertToJoint
                    | MembershipEdge::RevertToLeaving => false,
                };
                if triggers.membership && begins && self.nodes[at].leads() && self.rng.chance(250) {
                    self.soon(at, 3 * self.swarm.delay);
                }
            }
            Event::Progress(peer, ProgressEdge::OfferSnapshot) => {
                if triggers.snapshot && self.rng.chance(200) {
                    let victim = if self.rng.chance(500) { at } else { place(*peer) };
                    if victim < self.nodes.len() {
                        self.soon(victim, 10 * self.swarm.delay);
                    }
                }
            }
            Event::HandedOver(to) => {
                if triggers.transfer && self.rng.chance(500) {
                    let victim = if self.rng.chance(500) { at } else { place(*to) };
                    self.soon(victim, 2 * self.swarm.delay);
                }
            }
            Event::Role(..)
            | Event::Progress(..)
            | Event::Transfer(..)
            | Event::TransferGivenUp(_)
            | Event::Alarm(..)
            | Event::Healed(_) => {}
        }
    }

    /// A node crashes, or is cut off, within this time.
    fn soon(&mut self, at: usize, within: Micros) {
        let wait = self.rng.between(0, within);
        let fault = match self.rng.below(4) {
            0 | 1 => Fault::CrashNode(at, self.nodes[at].boot),
            2 => Fault::CutOff(at, Shape::Isolated),
            _ => Fault::CutOff(at, *self.rng.pick(&[Shape::Deaf, Shape::Mute])),
        };
        self.after(wait, Happening::Fault(fault));
    }

    /// A new leader is heard by nobody, or for about the time of an append and its answer; then it crashes.
    fn leave_alone(&mut self, at: usize) {
        let mut wait = self.swarm.disk + self.rng.between(0, 2 * self.swarm.delay);
        if self.rng.chance(600) {
            let mut only = [false; NODES_MAX];
            only[at] = true;
            self.nodes[at].reaches_only = Some(only);
        } else {
            wait += self.rng.between(0, 3 * self.swarm.delay + 2 * self.swarm.disk);
        }
        let fault = Fault::CrashNode(at, self.nodes[at].boot);
        self.after(wait, Happening::Fault(fault));
    }

    /// Somebody else leads who does not know of the new leader: clients still talk to it.
    fn press(&mut self, new: usize) {
        let old = (0..self.nodes.len()).find(|at| *at != new && self.nodes[*at].leads());
        let Some(at) = old else { return };
        let boot = self.nodes[at].boot;
        for _ in 0..3 {
            let wait = self.rng.between(0, TIMEOUT / 2);
            self.after(wait, Happening::Fault(Fault::Press(at, boot)));
        }
    }

    /// What a leader sends reaches only as many voters as are needed.
    fn smallest_quorum(&mut self, at: usize) {
        let acting = self.nodes[at].running().configuration().clone();
        let mut others: Vec<NodeId> =
            acting.members().keys().copied().filter(|id| acting.is_voter(*id)).collect();
        let mut only = [false; NODES_MAX];
        only[at] = true;
        while !others.is_empty() && !acting.has_quorum(|id| only[place(id)]) {
            let next = others.swap_remove(self.rng.position(others.len()));
            only[place(next)] = true;
        }
        self.nodes[at].reaches_only = Some(only);
        let wait = self.rng.between(TIMEOUT / 4, 4 * TIMEOUT);
        self.after(wait, Happening::Fault(Fault::ReachAll(at)));
    }

    /// A received snapshot is about to be put in place.
    pub fn snapshot_arrives(&mut self, at: usize) {
        if self.healing.is_none() && self.swarm.triggers.snapshot && self.rng.chance(300) {
            let wait = self.rng.between(0, 4 * self.swarm.disk);
            let fault = Fault::CrashNode(at, self.nodes[at].boot);
            self.after(wait, Happening::Fault(fault));
        }
    }

    /// A vote has become durable, and nobody has heard of it: whether its node crashes now.
    ///
    /// # Errors
    /// What is lost by it.
    pub fn vote_is_durable(&mut self, at: usize) -> Result<bool, super::ghost::Violation> {
        if self.healing.is_some() || !self.swarm.triggers.vote || !self.rng.chance(200) {
            return Ok(false);
        }
        self.ghost.probes.hit(Probe::CrashAfterVote);
        // Half of them after the message has left, half before.
        if self.rng.chance(500) {
            let boot = self.nodes[at].boot;
            let id = self.nodes[at].durable;
            self.report_durable(at, id)?;
            if self.nodes[at].boot != boot {
                return Ok(true);
            }
        }
        self.crash(at)?;
        Ok(true)
    }
}
