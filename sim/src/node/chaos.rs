//! Faults: by the clock, and upon conditions of the run's own state.

use holdfast_raft::{NodeId, RoleEdge, Term};
use holdfast_wal::disk::{Call, Disk, Fault as DiskFault, Injection};

use super::Micros;
use super::machine::ROOM;
use super::probes::Probe;
use super::swarm::MS;
use super::world::{End, Happening, Hint, World};
use crate::raft::ghost::Verdict;
use crate::raft::trace::say;
use holdfast_server::node::plant::Plant;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process crashes, or its machine loses power.
    Crash,
    /// All do, at once.
    MassCrash,
    /// This one does.
    CrashAt(usize, u64),
    /// A process is suspended.
    Pause,
    /// The network falls apart.
    Partition,
    /// One machine is cut off.
    CutOff(usize),
    /// All links are whole again.
    Mend,
    /// A recorded message comes again.
    Replay,
    /// A disk fails under the log.
    SyncFailure,
    /// A disk has no room.
    Full,
    /// It has again.
    Room(usize),
    /// A disk fails under snapshots or audit files.
    SideFailure,
    /// A time of day jumps.
    Jump,
    /// The operator thinks of a change of members.
    Members,
    /// The operator wants another leader.
    Transfer,
    /// A machine that is no member any more is taken away.
    Retire(usize),
    /// Clients ask for more than is usual.
    Burst,
    /// Those who have been removed are told so.
    TellRemoved,
}

impl<P: Plant> World<P> {
    /// Puts in the queue what comes by the clock.
    pub(super) fn begin_faults(&mut self) {
        for fault in [
            Fault::Crash,
            Fault::MassCrash,
            Fault::Pause,
            Fault::Partition,
            Fault::Replay,
            Fault::SyncFailure,
            Fault::Full,
            Fault::SideFailure,
            Fault::Jump,
            Fault::Members,
            Fault::Transfer,
            Fault::Burst,
            Fault::TellRemoved,
        ] {
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
            Fault::Replay => swarm.replay,
            Fault::SyncFailure => swarm.sync_failure,
            Fault::Full => swarm.full,
            Fault::SideFailure => swarm.side_failure,
            Fault::Jump => swarm.jumps.then_some(1_000 * MS),
            Fault::Members => swarm.members.or((swarm.damage > 0).then_some(1_000 * MS)),
            Fault::Transfer => swarm.transfer,
            Fault::Burst => swarm.burst,
            Fault::TellRemoved => Some(500 * MS),
            Fault::CrashAt(..) | Fault::CutOff(_) | Fault::Mend | Fault::Room(_) | Fault::Retire(_) => None,
        };
        if let Some(mean) = mean {
            let wait = self.rng.gap(mean);
            self.after(wait, Happening::Fault(fault));
        }
    }

    /// A fault strikes, unless faults are over.
    pub(super) fn strike(&mut self, fault: Fault) -> Verdict {
        match fault {
            // These are no faults, but what is done about them.
            Fault::Room(at) => self.give_room(at),
            Fault::Retire(at) => self.retire(at),
            Fault::TellRemoved => {
                self.again(fault);
                self.tell_removed();
            }
            Fault::Members if self.healing.is_some() => {
                self.again(fault);
                if self.present().iter().any(|at| self.is_spent(*at)) {
                    self.plan_change();
                }
            }
            _ if self.healing.is_some() => {}
            Fault::Crash => {
                self.again(fault);
                let at = self.victim();
                return self.doom(at);
            }
            Fault::MassCrash => {
                self.again(fault);
                self.tally.probes.hit(Probe::MassCrash);
                say!(self, "all crash");
                return self.present().into_iter().try_for_each(|at| self.crash(at));
            }
            Fault::CrashAt(at, life) => {
                if self.machines[at].life == life {
                    return self.doom(at);
                }
            }
            Fault::Pause => {
                self.again(fault);
                self.pause();
            }
            Fault::Partition => {
                self.again(fault);
                let at = self.victim();
                self.partition(at);
            }
            Fault::CutOff(at) => self.isolate(at),
            Fault::Mend => self.mend(),
            Fault::Replay => {
                self.again(fault);
                self.replay();
            }
            Fault::SyncFailure => {
                self.again(fault);
                self.fail_sync();
            }
            Fault::Full => {
                self.again(fault);
                self.fill();
            }
            Fault::SideFailure => {
                self.again(fault);
                self.fail_side();
            }
            Fault::Jump => {
                self.again(fault);
                let at = self.rng.position(self.machines.len());
                self.machines[at].clock.wall_ahead = self.rng.between(0, 172_800_000) as i64 - 86_400_000;
                self.tally.probes.hit(Probe::WallJumped);
            }
            Fault::Members => {
                self.again(fault);
                self.plan_change();
            }
            Fault::Transfer => {
                self.again(fault);
                self.plan_transfer();
            }
            Fault::Burst => {
                self.again(fault);
                return self.burst();
            }
        }
        Ok(())
    }

    /// Whom a fault strikes: often the leader.
    fn victim(&mut self) -> usize {
        match self.leader() {
            Some(leader) if self.rng.chance(500) => leader,
            Some(_) | None => {
                let present = self.present();
                present[self.rng.position(present.len())]
            }
        }
    }

    /// A process crashes: now, or in the middle of its next turn.
    fn doom(&mut self, at: usize) -> Verdict {
        if self.machines[at].process.is_none() {
            return Ok(());
        }
        if self.swarm.midway && self.rng.chance(700) {
            self.machines[at].doomed = true;
            return Ok(());
        }
        self.crash(at)
    }

    /// A process crashes, and starts again some time.
    pub(super) fn crash(&mut self, at: usize) -> Verdict {
        let down = self.rng.between(0, self.swarm.down);
        self.crash_for(at, down)
    }

    /// The same, with a time.
    pub(super) fn crash_for(&mut self, at: usize, down: Micros) -> Verdict {
        if self.machines[at].process.is_none() {
            return Ok(());
        }
        let power = self.rng.chance(self.swarm.power);
        say!(self, "n{} {}", self.machines[at].id, if power { "loses power" } else { "crashes" });
        self.tally.crashes += 1;
        self.tally.probes.hit_if(power, Probe::PowerCut);
        let leads = self.leader() == Some(at);
        self.tally.probes.hit_if(leads, Probe::LeaderCrashed);
        self.end_process(at, power);
        if self.healing.is_none() && self.rng.chance(self.swarm.damage) && self.may_lose(at) {
            self.damage(at);
        }
        self.after(down, Happening::Start(at));
        // Others notice that it is gone, or that its machine answers for it.
        let id = self.machines[at].id;
        for other in self.present() {
            let hint = *self.rng.pick(&[Hint::Refused, Hint::Unreachable]);
            if other != at && self.rng.chance(500) && !self.is_cut(End::Machine(at), End::Machine(other)) {
                let wait = self.rng.between(50, 50 * MS);
                self.after(wait, Happening::Hint(other, id, hint));
            }
        }
        Ok(())
    }

    /// The process of a machine is over.
    pub(super) fn end_process(&mut self, at: usize, power: bool) {
        self.end_streams(at);
        let rng = &mut self.rng;
        let mut choose = |versions: usize| match rng.below(3) {
            0 => 0,
            1 => versions - 1,
            _ => rng.position(versions),
        };
        let machine = &mut self.machines[at];
        machine.crash(if power { Some(&mut choose) } else { None });
    }

    fn pause(&mut self) {
        let at = self.victim();
        let timeout = self.swarm.longest_timeout();
        let wait = self.rng.between(10 * MS, 2 * timeout);
        let machine = &mut self.machines[at];
        machine.paused_until = self.now + wait;
        let id = machine.id;
        self.tally.probes.hit_if(self.leader() == Some(at), Probe::LeaderPaused);
        say!(self, "n{id} is suspended for {} ms", wait / MS);
    }

    // ---- the network ----

    /// Nothing gets from one to the other.
    pub(super) fn cut(&mut self, from: End, to: End) {
        self.cut.insert((from, to));
    }

    fn partition(&mut self, centre: usize) {
        let present = self.present();
        let (one, shape) = (End::Machine(centre), self.rng.below(6));
        match shape {
            0 => self.isolate(centre),
            1 => {
                // Two halves, in which some of the clients are.
                let left: Vec<usize> = present.iter().copied().filter(|_| self.rng.chance(500)).collect();
                for a in &present {
                    for b in &present {
                        if left.contains(a) != left.contains(b) {
                            self.cut(End::Machine(*a), End::Machine(*b));
                        }
                    }
                }
            }
            2 | 3 => {
                // Deaf or mute.
                for other in present.iter().filter(|other| **other != centre) {
                    let other = End::Machine(*other);
                    let (from, to) = if shape == 2 { (other, one) } else { (one, other) };
                    self.cut(from, to);
                }
            }
            4 => {
                // A bridge: everybody reaches the centre, and few each other.
                for a in present.iter().filter(|a| **a != centre) {
                    for b in present.iter().filter(|b| **b != centre && *b != a) {
                        if self.rng.chance(700) {
                            self.cut(End::Machine(*a), End::Machine(*b));
                        }
                    }
                }
            }
            _ => {
                // Any links, one way.
                for a in &present {
                    for b in &present {
                        if a != b && self.rng.chance(350) {
                            self.cut(End::Machine(*a), End::Machine(*b));
                        }
                    }
                }
            }
        }
        if self.swarm.clients_cut {
            for client in 0..self.clients.len() {
                for at in &present {
                    let (a, b) = (End::Client(client), End::Machine(*at));
                    if self.rng.chance(250) {
                        self.cut(a, b);
                        self.cut(b, a);
                    } else if self.rng.chance(100) {
                        self.cut(b, a);
                    }
                }
            }
        }
        say!(self, "the network falls apart, shape {shape} around n{}", centre + 1);
        self.broken_links();
        self.tally.partitions += 1;
        let probes =
            [Probe::Isolated, Probe::Halves, Probe::Deaf, Probe::Mute, Probe::Bridge, Probe::AnyLinks];
        self.tally.probes.hit(probes[shape as usize]);
        let wait = self.rng.between(50 * MS, 3 * self.swarm.longest_timeout());
        self.after(wait, Happening::Fault(Fault::Mend));
    }

    fn isolate(&mut self, at: usize) {
        for other in self.present() {
            if other != at {
                self.cut(End::Machine(at), End::Machine(other));
                self.cut(End::Machine(other), End::Machine(at));
            }
        }
        let wait = self.rng.between(50 * MS, 2 * self.swarm.longest_timeout());
        self.after(wait, Happening::Fault(Fault::Mend));
    }

    /// Some notice that connections broke.
    fn broken_links(&mut self) {
        let cut: Vec<(End, End)> = self.cut.iter().copied().collect();
        for (from, to) in cut {
            if let (End::Machine(from), End::Machine(to)) = (from, to)
                && self.rng.chance(300)
            {
                let id = self.machines[from].id;
                let wait = self.rng.between(MS, 300 * MS);
                self.after(wait, Happening::Hint(to, id, Hint::Unreachable));
            }
        }
    }

    /// All links are whole.
    pub(super) fn mend(&mut self) {
        say!(self, "links are whole");
        for (from, to) in std::mem::take(&mut self.cut) {
            if let (End::Machine(from), End::Machine(to)) = (from, to) {
                self.connect(from, to);
            }
        }
        self.mend_streams();
    }

    fn replay(&mut self) {
        if !self.recorded.is_empty() {
            let at = self.rng.position(self.recorded.len());
            let (to, frame) = self.recorded[at].clone();
            self.tally.probes.hit(Probe::Replayed);
            self.after(0, Happening::Arrive(to, frame));
        }
    }

    /// Members tell those who are none any more, as connections between them would.
    fn tell_removed(&mut self) {
        let mut told = Vec::new();
        for from in self.present() {
            let Some(process) = &self.machines[from].process else { continue };
            let core = process.node.core();
            let (index, configuration) = core.configuration();
            if core.commit() < *index {
                continue;
            }
            let gone = configuration.removed().iter();
            let gone = gone.filter(|id| !configuration.members().contains_key(id));
            let gone = gone.map(|id| id.0 as usize - 1).filter(|at| *at < self.machines.len());
            told.extend(gone.map(|at| (from, at)));
        }
        for (from, at) in told {
            if self.machines[at].process.is_some()
                && !self.is_cut(End::Machine(from), End::Machine(at))
                && self.rng.chance(300)
            {
                let id = self.machines[from].id;
                self.after(MS, Happening::Hint(at, id, Hint::Removed));
            }
        }
    }

    fn retire(&mut self, at: usize) {
        if !self.machines[at].retired {
            say!(self, "n{} is taken away", self.machines[at].id);
            self.end_process(at, false);
            self.machines[at].retired = true;
        }
    }

    // ---- disks ----

    /// One machine at a time: the disk fails under its log.
    fn fail_sync(&mut self) {
        let at = self.victim();
        if !self.may_lose(at) || self.machines[at].process.is_none() {
            return;
        }
        let clean = self.rng.chance(500);
        let kind = std::io::ErrorKind::Other;
        let fault = if clean { DiskFault::FailClean(kind) } else { DiskFault::Fail(kind) };
        let skip = self.rng.position(3);
        say!(self, "the disk of n{} will fail a sync: {fault:?}", self.machines[at].id);
        self.machines[at].disks.wal.inject(Injection { call: Call::Sync, skip, fault });
    }

    fn fill(&mut self) {
        let at = self.victim();
        say!(self, "the disk of n{} is full", self.machines[at].id);
        let disks = &self.machines[at].disks;
        for disk in [&disks.wal, &disks.snapshots, &disks.audit] {
            let used = ROOM - disk.free().unwrap_or(ROOM).min(ROOM);
            disk.set_capacity(used);
        }
        let wait = self.rng.between(200 * MS, 2_000 * MS);
        self.after(wait, Happening::Fault(Fault::Room(at)));
    }

    fn give_room(&mut self, at: usize) {
        let disks = &self.machines[at].disks;
        for disk in [&disks.wal, &disks.snapshots, &disks.audit] {
            disk.set_capacity(ROOM);
        }
    }

    fn fail_side(&mut self) {
        let at = self.victim();
        let call =
            *self.rng.pick(&[Call::Sync, Call::Write, Call::Create, Call::Rename, Call::SyncDirectory]);
        let skip = self.rng.position(3);
        let fault = DiskFault::Fail(std::io::ErrorKind::Other);
        let disks = &self.machines[at].disks;
        let disk = if self.rng.chance(500) { &disks.snapshots } else { &disks.audit };
        disk.inject(Injection { call, skip, fault });
        self.tally.probes.hit(Probe::SideFailed);
    }

    /// Whether this machine may lose what it holds: all that is committed is intact on a majority without it.
    pub(super) fn may_lose(&self, at: usize) -> bool {
        let commit = self.ghost.commit();
        let term = self.ghost.term_at(commit);
        let good = |id: NodeId| {
            let other = id.0 as usize - 1;
            let machine = &self.machines[other];
            let whole = !machine.damaged && !machine.retired && !self.is_spent(other);
            other != at && whole && machine.held(commit, term)
        };
        // By every configuration that acts anywhere, the one of its own node included.
        let present = self.machines.iter().filter(|machine| !machine.retired);
        let acting = present.filter_map(|machine| self.ghost.acting(machine.id));
        let kept = acting.into_iter().all(|acting| acting.has_quorum(good));
        // And no other machine is about to be lost.
        let bad = self
            .present()
            .into_iter()
            .any(|other| other != at && (self.machines[other].damaged || self.is_spent(other)));
        commit > 0 && kept && !bad && self.changing.is_none()
    }

    /// Something on the disks of a machine goes bad.
    fn damage(&mut self, at: usize) {
        let disks = self.machines[at].disks.clone();
        let (disk, what) = match self.rng.below(20) {
            0..12 => (&disks.wal, "the log"),
            12..17 => (&disks.snapshots, "a snapshot"),
            17..19 => (&disks.audit, "the audit log"),
            _ => (&disks.data, "the identity file"),
        };
        let names: Vec<String> = disk.names();
        if names.is_empty() {
            return;
        }
        let name = &names[self.rng.position(names.len())];
        let Some(content) = disk.content(name) else { return };
        if content.is_empty() {
            return;
        }
        // Where something stands, mostly: segments are mostly zeros.
        let written = content.iter().rposition(|byte| *byte != 0).map_or(content.len(), |last| last + 1);
        let upto = if self.rng.chance(850) { written } else { content.len() };
        let (place, sector) = (self.rng.position(upto), 512);
        let begin = place / sector * sector;
        let length = sector.min(content.len() - begin);
        let how = self.rng.below(4);
        match how {
            0 => disk.flip_bit(name, place as u64 * 8 + self.rng.below(8)),
            1 => disk.overwrite(name, begin as u64, &vec![0; length]),
            2 => disk.make_unreadable(name, (begin / sector) as u64),
            _ => {
                let many = self.rng.between(1, 16) as usize * sector;
                let noise: Vec<u8> =
                    (0..many.min(content.len() - begin)).map(|_| self.rng.word() as u8).collect();
                disk.overwrite(name, begin as u64, &noise);
            }
        }
        say!(self, "damage {how} at {place} of {name}, {what} of n{}", self.machines[at].id);
        (self.machines[at].damaged, self.machines[at].was_damaged) = (true, true);
        self.tally.damages += 1;
    }

    // ---- upon conditions ----

    /// A node has taken an edge of its role.
    pub(super) fn elected(&mut self, at: usize, edge: RoleEdge, term: Term) {
        if edge != RoleEdge::WinElection || self.healing.is_some() || !self.swarm.hunt_leaders {
            return;
        }
        if self.rng.chance(400) {
            let wait = self.rng.between(0, 30 * MS);
            let life = self.machines[at].life;
            let fault = if self.rng.chance(500) { Fault::CrashAt(at, life) } else { Fault::CutOff(at) };
            say!(self, "the leader of term {term} is hunted: {fault:?}");
            self.after(wait, Happening::Fault(fault));
        }
    }

    /// A node has taken an edge of its membership.
    pub(super) fn membership(&mut self, at: usize) {
        if self.healing.is_none() && self.swarm.hunt_members && self.rng.chance(300) {
            let wait = self.rng.between(0, 30 * MS);
            let life = self.machines[at].life;
            let fault = if self.rng.chance(500) { Fault::CrashAt(at, life) } else { Fault::CutOff(at) };
            self.after(wait, Happening::Fault(fault));
        }
    }
}
