//! What a process does, one step at a time: ticks, turns, the log, other threads.

use bytes::{Bytes, BytesMut};
use holdfast_command::Setting;
use holdfast_machine::Numbered;
use holdfast_raft::{Alarm, Event as CoreEvent, LogOp, LogRead, NodeId, Persist, PersistId, RoleState};
use holdfast_server::node::{
    AuditDone, AuditJob, Caller, Effects, Input, JobDone, NodeEvent, SnapshotDone, limits,
};
use holdfast_server::port::{self, Said};
use holdfast_server::storage::{clear_damage, read_run, to_ops};
use holdfast_server::translate;
use holdfast_wal::{AppendError, Op};
use holdfast_wire::connection::{Incoming, SendError};
use holdfast_wire::message::{ClientWelcome, CloseReason, Features, Limits};
use holdfast_wire::{
    CallId, ClusterEpoch, ClusterId, ClusterIdentity, FrameCodec, Message, NodeIdentity, NodeUuid,
};

use super::Micros;
use super::machine::{Process, RETRY, Waiting, address};
use super::ports::Served;
use super::probes::Probe;
use super::swarm::{CLUSTER, MS};
use super::world::{End, Happening, Hint, Way, World, frame_of};
use crate::raft::ghost::{Verdict, Violation, holds};
use crate::raft::trace::say;
use holdfast_server::node::plant::Plant;

/// Messages to one client connection that a node may owe at once: what its streams cannot take is not unbounded.
const OUTBOX_MAX: usize = 64 << 20;

impl<P: Plant> World<P> {
    pub(super) fn process(&mut self, at: usize, life: u64) -> Option<&mut Process<P>> {
        let machine = &mut self.machines[at];
        machine.process.as_mut().filter(|_| machine.life == life)
    }

    /// Tells the node of a machine something, if there is one, and lets it take a turn.
    pub(super) fn tell(&mut self, at: usize, input: Input<P::Store>) {
        let machine = &mut self.machines[at];
        let time = machine.time(self.now);
        let life = machine.life;
        let Some(process) = &mut machine.process else { return };
        process.node.handle(time, input);
        self.open_turn(at, life);
    }

    fn open_turn(&mut self, at: usize, life: u64) {
        let now = self.now;
        let Some(process) = self.process(at, life) else { return };
        if !process.turn_open {
            (process.turn_open, process.turn_began) = (true, now);
            let wait = self.rng.between(0, self.swarm.turn);
            self.after(wait, Happening::Turn(at, life));
        }
    }

    pub(super) fn tick(&mut self, at: usize, life: u64) -> Verdict {
        if self.process(at, life).is_none() {
            return Ok(());
        }
        self.tell(at, Input::Tick);
        let wait = self.machines[at].clock.real(10 * MS);
        self.after(wait, Happening::Tick(at, life));
        let ms = self.machines[at].time(self.now).micros / MS;
        if (ms / 10).is_multiple_of(10) {
            self.tick_served(at, life, ms);
        }
        Ok(())
    }

    /// Connections do what is due.
    fn tick_served(&mut self, at: usize, life: u64, ms: u64) {
        let Some(process) = self.process(at, life) else { return };
        let all: Vec<(u64, bool, Bytes)> = process
            .served
            .iter_mut()
            .map(|(id, served)| {
                let over = served.tick(ms);
                (*id, over, served.written())
            })
            .collect();
        for (id, over, bytes) in all {
            self.carry(id, Way::Down, &bytes);
            if over {
                self.hang_up(id);
            }
        }
    }

    /// A message of a peer arrives.
    pub(super) fn arrive(&mut self, at: usize, frame: &Bytes) -> Verdict {
        if self.machines[at].process.is_none() {
            return Ok(());
        }
        let mut buffer = BytesMut::from(&frame[..]);
        let read = FrameCodec::open().next(&mut buffer).ok().flatten();
        let message = read.and_then(|frame| Message::decode(&frame, &mut 0).ok());
        let envelope = message.and_then(|message| translate::from_wire(message).ok().flatten());
        let Some(envelope) = envelope else {
            let what = format!("a message for machine {at} cannot be read back");
            return Err(Violation { property: "Q3 Wire", what });
        };
        if envelope.to == self.machines[at].id {
            self.tell(at, Input::Peer(envelope));
        }
        Ok(())
    }

    /// A node hears about a connection.
    pub(super) fn hint(&mut self, at: usize, from: NodeId, hint: Hint) {
        let input = match hint {
            Hint::Connected => {
                let level = holdfast_command::FeatureLevel::LATEST.0;
                self.tell(at, Input::Introduced { from, level, client: address(from), http: "".into() });
                Input::PeerConnected(from)
            }
            Hint::Unreachable => Input::PeerUnreachable(from),
            Hint::Refused => Input::PeerRefused(from),
            Hint::Removed => Input::Removed { by: from },
        };
        self.tell(at, input);
    }

    /// Both halves of a turn, and all that the node wants done.
    pub(super) fn turn(&mut self, at: usize, life: u64) -> Verdict {
        let time = self.machines[at].time(self.now);
        let Some(process) = self.process(at, life) else { return Ok(()) };
        process.turn_open = false;
        let full = process.writer.full;
        process.node.handle(time, Input::Disk(full));
        let mut effects = Effects::default();
        process.node.flush(time, &mut effects);
        process.node.apply(time, &mut effects);
        holdfast_raft::invariants::check(process.node.core());
        self.ghost.look(at, &self.machines, self.now)?;
        if let Some(process) = &self.machines[at].process {
            self.callers.looked(self.machines[at].id, process.node.store().applied().index);
        }
        self.judge_caps(at)?;
        if self.machines[at].doomed {
            return self.cut_short(at, effects);
        }
        self.act(at, life, effects, usize::MAX)
    }

    /// The process ends in the middle of a turn: some of it was done.
    fn cut_short(&mut self, at: usize, effects: Effects<P>) -> Verdict {
        let all = effects.send.len() + effects.persist.len() + effects.replies.len();
        let done = self.rng.position(all + 1);
        let life = self.machines[at].life;
        self.tally.probes.hit_if(done > 0 && done < all, Probe::TurnCutShort);
        self.act(at, life, effects, done)?;
        self.crash(at)
    }

    /// Does what a node wants done, but not more than so many things of it.
    fn act(&mut self, at: usize, life: u64, effects: Effects<P>, mut most: usize) -> Verdict {
        let Effects {
            send,
            persist,
            replies,
            jobs,
            snapshots,
            log_reads,
            audit,
            digests,
            events,
            more,
            slow: _,
        } = effects;
        let mut may = || {
            let may = most > 0;
            most = most.saturating_sub(1);
            may
        };
        for envelope in send {
            if !may() {
                break;
            }
            let to = envelope.to.0 as usize - 1;
            if to < self.machines.len()
                && let Ok((_, message)) = translate::to_wire(&envelope)
            {
                say!(self, "n{} → n{} {}", envelope.from, envelope.to, envelope.message.name());
                self.send_frame(at, to, &frame_of(&message));
            }
        }
        if !digests.is_empty() {
            self.send_digests(at, &digests);
        }
        for persist in persist {
            if !may() {
                break;
            }
            self.submit(at, life, persist)?;
        }
        for (caller, message) in replies {
            if !may() {
                break;
            }
            self.judge_age(at, caller, &message)?;
            self.answer(at, caller, message)?;
        }
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let mut due = Vec::new();
        process.snapshot_jobs.extend(snapshots);
        process.audit_jobs.extend(audit);
        if !process.snapshot_jobs.is_empty() && !std::mem::replace(&mut process.busy[0], true) {
            due.push(Happening::Snapshots(at, life));
        }
        if !process.audit_jobs.is_empty() && !std::mem::replace(&mut process.busy[1], true) {
            due.push(Happening::Audit(at, life));
        }
        for job in jobs {
            self.jobs += 1;
            let number = self.jobs;
            if let Some(process) = self.process(at, life) {
                process.jobs.insert(number, job);
            }
            due.push(Happening::Job(at, life, number));
        }
        due.extend(log_reads.into_iter().map(|read| Happening::LogRead(at, life, read)));
        for happening in due {
            let wait = self.rng.between(0, self.swarm.job);
            self.after(wait, happening);
        }
        self.tell_watches(at, life);
        for event in events {
            self.note_event(at, event)?;
        }
        if more {
            self.open_turn(at, life);
        }
        Ok(())
    }

    fn send_digests(&mut self, at: usize, digests: &[(u64, [u8; 32])]) {
        let id = self.machines[at].id;
        for to in self.present() {
            let cut = self.is_cut(End::Machine(at), End::Machine(to));
            if to != at && !cut && !self.rng.chance(self.swarm.loss) {
                let wait = self.rng.between(50, self.swarm.delay.max(50));
                self.after(wait, Happening::Digests(to, id, digests.to_vec()));
            }
        }
    }

    /// Something happened in a node.
    fn note_event(&mut self, at: usize, event: NodeEvent) -> Verdict {
        let id = self.machines[at].id;
        say!(self, "n{id} {event:?}");
        match event {
            NodeEvent::Halted(why) => {
                let Some(process) = &self.machines[at].process else { return Ok(()) };
                holds!(process.node.is_removed(), "A1 DigestChain", "n{id} halts: {why}");
                self.tally.probes.hit(Probe::RemovedNodeToldSo);
                say!(self, "n{id} was removed, and ends");
                self.machines[at].retired = true;
                self.end_process(at, false);
            }
            NodeEvent::Raft(CoreEvent::Alarm(Alarm::AcknowledgedLost, about))
                if self.machines[about.0 as usize - 1].was_damaged =>
            {
                self.tally.probes.hit(Probe::LossNoticed);
            }
            NodeEvent::Raft(CoreEvent::Alarm(alarm, about)) => {
                let what = format!("n{id} raises {} about n{about}", alarm.label());
                return Err(Violation { property: "F15 Alarm", what });
            }
            NodeEvent::Raft(CoreEvent::Role(edge, term)) => {
                self.tally.note_role(edge);
                self.elected(at, edge, term);
            }
            NodeEvent::Raft(CoreEvent::Membership(..)) => self.membership(at),
            NodeEvent::Raft(CoreEvent::Healed(_)) => {
                self.tally.repairs += 1;
                self.tally.probes.hit(Probe::LogHealed);
            }
            NodeEvent::Raft(CoreEvent::HandedOver(_)) => self.tally.probes.hit(Probe::TransferSucceeded),
            NodeEvent::Raft(CoreEvent::TransferGivenUp(_)) => self.tally.probes.hit(Probe::TransferGivenUp),
            NodeEvent::Raft(CoreEvent::Progress(..) | CoreEvent::Transfer(..)) => {}
            NodeEvent::Leadership(edge, _) => self.tally.note_leadership(edge),
            NodeEvent::SnapshotTaken { .. } => self.tally.snapshots_taken += 1,
            NodeEvent::SnapshotFailed(why) => {
                let explained = self.swarm.side_failure.is_some()
                    || self.swarm.full.is_some()
                    || self.machines[at].damaged
                    || self.swarm.damage > 0;
                holds!(explained, "F19 Snapshot", "a snapshot of n{id} failed, and its disk did not: {why}");
                self.tally.probes.hit(Probe::SnapshotFailed);
            }
            NodeEvent::Reinstalled { .. } => {
                self.tally.snapshots += 1;
                self.tally.probes.hit(Probe::SnapshotInstalled);
            }
            NodeEvent::AuditFailed(_) => self.tally.probes.hit(Probe::AuditFailed),
            NodeEvent::AuditGoesOn => self.tally.probes.hit(Probe::AuditGoesOn),
            NodeEvent::Drift(_) => self.tally.probes.hit(Probe::DriftReported),
            NodeEvent::DriftOver => {}
        }
        Ok(())
    }

    /// Q1: what waits in a node is bounded.
    fn judge_caps(&mut self, at: usize) -> Verdict {
        let Some(process) = &mut self.machines[at].process else { return Ok(()) };
        let waiting = process.node.waiting();
        let most = limits::WRITES_MAX + limits::RESERVED_WRITES + limits::READS_MAX + limits::PARKED_MAX;
        holds!(waiting <= most, "Q1 Caps", "{waiting} calls wait at machine {at}");
        if process.node.leadership() == holdfast_server::node::leadership::State::Revoked {
            let writes = process.node.waiting_writes();
            holds!(writes == 0, "Q1 Caps", "machine {at} does not lead, and {writes} writes wait there");
        }
        Ok(())
    }

    // ---- the log ----

    /// Takes a persist, to be written behind all before it.
    fn submit(&mut self, at: usize, life: u64, persist: Persist) -> Verdict {
        let piece = self.swarm.piece;
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let id = persist.id;
        let heals = persist.log.iter().any(|op| matches!(op, LogOp::Heal { .. }));
        let ops = match to_ops(persist) {
            Ok(ops) => ops,
            Err(error) => {
                let what = format!("the core wants what no log takes: {error}");
                return Err(Violation { property: "D3 Recovered", what });
            }
        };
        let mut ops = ops.into_iter().peekable();
        loop {
            let (mut together, mut bytes) = (Vec::new(), 0);
            while let Some(op) = ops.next_if(|op| together.is_empty() || bytes + size(op) <= piece) {
                bytes += size(&op);
                together.push(op);
            }
            let last = ops.peek().is_none();
            let waiting = Waiting { id: last.then_some(id), ops: together, heals: heals && last };
            process.writer.waiting.push_back(waiting);
            if last {
                break;
            }
        }
        self.write_soon(at, life, 0);
        Ok(())
    }

    fn write_soon(&mut self, at: usize, life: u64, wait: Micros) {
        let Some(process) = self.process(at, life) else { return };
        if !process.writer.busy && !process.writer.waiting.is_empty() {
            process.writer.busy = true;
            let wait = wait + self.rng.between(0, self.swarm.disk / 4);
            self.after(wait, Happening::Write(at, life));
        }
    }

    /// What waits is written, as far as there is room.
    pub(super) fn write_log(&mut self, at: usize, life: u64) -> Verdict {
        let stalled = self.machines[at].stalled_until;
        if stalled > self.now {
            let wait = stalled - self.now;
            self.after(wait, Happening::Write(at, life));
            return Ok(());
        }
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let writer = &mut process.writer;
        while let Some(next) = writer.waiting.front() {
            let entries = next.ops.iter().any(|op| matches!(op, Op::Entry { .. } | Op::Fill { .. }));
            let room = writer.log.room();
            let room = if entries { room.entries } else { room.control };
            let cost = writer.log.cost(&next.ops);
            if cost > room && writer.log.wants_prepared().is_some() {
                match writer.log.prepare() {
                    Ok(()) => continue,
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                        writer.full = Some((0, cost));
                        break;
                    }
                    Err(error) => return self.fail_stop(at, &format!("preparing: {error}")),
                }
            }
            if cost > room && !writer.written.is_empty() {
                // A sync retires segments, and so makes room for new ones.
                break;
            }
            match writer.log.append(&next.ops) {
                Ok(_) => {
                    writer.full = None;
                    let next = writer.waiting.pop_front().expect("it was just looked at");
                    writer.written.push(next);
                }
                Err(AppendError::NoSpace { free, needed }) => {
                    writer.full = Some((free, needed));
                    break;
                }
                Err(AppendError::Failed(fatal)) => return self.fail_stop(at, &fatal.to_string()),
                Err(error) => {
                    let what = format!("the log of machine {at} refuses what the core wants: {error}");
                    return Err(Violation { property: "D3 Recovered", what });
                }
            }
        }
        let (full, written) = (writer.full.is_some(), !writer.written.is_empty());
        if full {
            self.tally.probes.hit(Probe::DiskFull);
        }
        if written {
            let stalls = self.healing.is_none() && self.rng.chance(self.swarm.stall);
            let mut wait = self.rng.between(0, self.swarm.disk);
            if stalls {
                wait += self.rng.between(0, self.swarm.stall_long);
            }
            self.after(wait, Happening::Sync(at, life));
        } else if full {
            self.after(RETRY, Happening::Write(at, life));
        } else if let Some(process) = self.process(at, life) {
            process.writer.busy = false;
        }
        // The node learns that the disk is full, or that it is not any more.
        self.open_turn(at, life);
        Ok(())
    }

    /// What was written becomes durable.
    pub(super) fn sync(&mut self, at: usize, life: u64) -> Verdict {
        let Some(process) = self.process(at, life) else { return Ok(()) };
        if let Err(fatal) = process.writer.log.sync() {
            self.tally.probes.hit(Probe::SyncFailed);
            return self.fail_stop(at, &fatal.to_string());
        }
        // Ahead, as the thread beside it does; a full disk is noticed when room is needed.
        let _ = process.writer.log.prepare();
        process.writer.busy = false;
        let written = std::mem::take(&mut process.writer.written);
        let wants_mark = process.writer.log.wants_mark();
        let report = self.rng.between(0, self.swarm.disk / 4);
        for done in &written {
            self.machines[at].note_durable(&done.ops);
        }
        let last = written.iter().filter_map(|done| done.id).next_back();
        let heals = written.iter().any(|done| done.heals);
        if let Some(id) = last {
            self.after(report, Happening::Durable(at, life, id, heals));
        }
        if wants_mark {
            self.after(20 * MS, Happening::Mark(at, life));
        }
        self.write_soon(at, life, 0);
        Ok(())
    }

    pub(super) fn durable(&mut self, at: usize, life: u64, id: PersistId, heals: bool) -> Verdict {
        if self.process(at, life).is_none() {
            return Ok(());
        }
        self.tell(at, Input::Durable(id));
        if heals {
            let Some(process) = self.process(at, life) else { return Ok(()) };
            let Process { data_dir, identity, .. } = process;
            if let Err(error) = clear_damage(identity, |identity| data_dir.store(identity)) {
                return self.fail_stop(at, &error.to_string());
            }
            self.machines[at].damaged = false;
        }
        Ok(())
    }

    /// The log is idle, and says in itself what is durable.
    pub(super) fn mark(&mut self, at: usize, life: u64) -> Verdict {
        let stalled = self.machines[at].stalled_until > self.now;
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let writer = &mut process.writer;
        if stalled || writer.busy || !writer.log.wants_mark() {
            return Ok(());
        }
        match writer.log.mark() {
            Ok(_) => {}
            Err(AppendError::NoSpace { .. }) => return Ok(()),
            Err(error) => return self.fail_stop(at, &error.to_string()),
        }
        match process.writer.log.sync() {
            Ok(_) => Ok(()),
            Err(fatal) => self.fail_stop(at, &fatal.to_string()),
        }
    }

    /// The disk failed under the log: the process ends at once, and is started again.
    fn fail_stop(&mut self, at: usize, why: &str) -> Verdict {
        say!(self, "n{} ends: {why}", self.machines[at].id);
        self.tally.fail_stops += 1;
        self.crash_for(at, self.swarm.down)
    }

    // ---- other threads ----

    pub(super) fn job(&mut self, at: usize, life: u64, job: u64) -> Verdict {
        let Some(job) = self.process(at, life).and_then(|process| process.jobs.remove(&job)) else {
            return Ok(());
        };
        match job.run() {
            JobDone::Executed(executed) => {
                self.tell(at, Input::Executed(executed));
            }
            JobDone::Spliced(spliced) => self.tell(at, Input::Spliced(spliced)),
            JobDone::Answer(caller, message) => self.answer(at, caller, message)?,
        }
        Ok(())
    }

    pub(super) fn read_log(&mut self, at: usize, life: u64, read: LogRead) -> Verdict {
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let (entries, error) = read_run(&process.writer.log.reader(), &read, "log");
        let leads = process.node.core().role() == RoleState::Leader;
        if let Some(error) = &error {
            say!(self, "n{} cannot read {} back: {error}", self.machines[at].id, read.first);
        }
        self.tally.probes.hit_if(leads && !entries.is_empty(), Probe::EntriesReadBack);
        self.tell(at, Input::LogRead { to: read.to, first: read.first, entries });
        Ok(())
    }

    pub(super) fn work_on_snapshots(&mut self, at: usize, life: u64) -> Verdict {
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let done = match process.snapshot_jobs.pop_front() {
            Some(job) => process.files.run(job),
            None => process.files.step(),
        };
        let more = process.files.is_taking() || !process.snapshot_jobs.is_empty();
        process.busy[0] = more;
        let audited = process.audit.status().durable;
        let machine = &mut self.machines[at];
        match &done {
            Some(SnapshotDone::Taken { last, bytes: Ok(_) }) => {
                machine.covered = machine.covered.max(last.index.0);
                holds!(
                    audited >= last.index.0,
                    "H4 AuditGap",
                    "n{} has a snapshot up to {last}, and audit records up to {audited}",
                    machine.id
                );
            }
            Some(SnapshotDone::Installed { last, store: Ok(_) }) => {
                machine.covered = machine.covered.max(last.index.0);
            }
            Some(
                SnapshotDone::Taken { bytes: Err(_), .. }
                | SnapshotDone::Installed { store: Err(_), .. }
                | SnapshotDone::NotStored(_)
                | SnapshotDone::Read { .. }
                | SnapshotDone::Stored(_)
                | SnapshotDone::Fetched { .. },
            )
            | None => {}
        }
        if more {
            let wait = self.rng.between(0, self.swarm.job);
            self.after(wait, Happening::Snapshots(at, life));
        }
        if let Some(done) = done {
            self.tell(at, Input::Snapshot(done));
        }
        Ok(())
    }

    pub(super) fn work_on_audit(&mut self, at: usize, life: u64) -> Verdict {
        let wall = self.machines[at].time(self.now).wall;
        let Some(process) = self.process(at, life) else { return Ok(()) };
        let mut done = Vec::new();
        match process.audit_jobs.pop_front() {
            Some(job) => {
                let sync = matches!(job, AuditJob::Sync);
                process.audit.run(job, &mut done);
                if sync {
                    // As the thread does from time to time; what cannot be deleted goes the next time.
                    let _ = process.audit.retain(wall.get());
                }
            }
            None => process.audit.retry(&mut done),
        }
        let (failing, more) = (process.audit.is_failing(), !process.audit_jobs.is_empty());
        process.busy[1] = failing || more;
        if failing || more {
            let wait = if more { self.rng.between(0, self.swarm.job) } else { 1_000 * MS };
            self.after(wait, Happening::Audit(at, life));
        }
        for done in done {
            match done {
                AuditDone::Answer(caller, message) => self.answer(at, caller, message)?,
                done @ (AuditDone::Written { .. }
                | AuditDone::Synced(_)
                | AuditDone::Noted
                | AuditDone::Failed(_)) => {
                    self.tell(at, Input::Audit(done));
                }
            }
        }
        Ok(())
    }

    // ---- clients ----

    /// A connection of a client is made to a process.
    pub(super) fn accept(&mut self, at: usize, stream: u64) {
        let machine = &mut self.machines[at];
        let ms = machine.time(self.now).micros / MS;
        let (id, uuid) = (machine.id, machine.uuid);
        let Some(process) = &mut machine.process else { return };
        let epoch = ClusterEpoch::new(process.identity.epoch).unwrap_or(ClusterEpoch::FIRST);
        let welcome = ClientWelcome {
            version: 0,
            cluster: Some(ClusterIdentity { id: ClusterId(CLUSTER.0), epoch }),
            node: NodeIdentity {
                id: holdfast_wire::NodeId::new(id.0).expect("ids begin with 1"),
                uuid: NodeUuid(uuid.0),
                boot: holdfast_wire::Boot::new(process.identity.boot).expect("boots begin with 1"),
            },
            features: Features(0),
            limits: Limits {
                frame_bytes: holdfast_wire::message_type::BODY_CAP,
                request_bytes: Setting::RequestBytes.scope().max as u32,
                transaction_bytes: Setting::RequestBytes.scope().max as u32,
                transaction_operations: holdfast_command::keys::OPERATIONS_MAX as u32,
            },
            leader: process.node.leader_hint(),
            build: "sim".into(),
        };
        process.served.insert(stream, Served::new(welcome, ms));
        self.flush_served(at, stream);
    }

    /// Bytes of a client came to a process.
    pub(super) fn hear_client(&mut self, at: usize, stream: u64, bytes: &[u8]) -> Verdict {
        let machine = &mut self.machines[at];
        let time = machine.time(self.now);
        let ms = time.micros / MS;
        let from = (std::net::IpAddr::from([127, 0, 0, 1]), 1_024 + (stream % 60_000) as u16);
        let mut inputs = Vec::new();
        let Some(served) = machine.process.as_mut().and_then(|process| process.served.get_mut(&stream))
        else {
            return Ok(());
        };
        served.feed(bytes);
        while let Some(incoming) = served.next(ms) {
            let (header, message) = match incoming {
                Incoming::Accepted(_) => continue,
                Incoming::Goodbye(_) => {
                    if served.in_flight == 0 {
                        served.connection.drained(ms);
                    }
                    continue;
                }
                Incoming::Message(header, message) => (header, message),
            };
            match port::understand(stream, from, time.micros, (header, message)) {
                Said::Call(input) => {
                    served.in_flight += 1;
                    inputs.push(input);
                }
                Said::Aside(input) => inputs.push(input),
                Said::Status(_) | Said::Stats(_) | Said::Examine(_) | Said::Trace(..) | Said::Nothing => {}
                Said::Violation(why) => {
                    let what = format!("a client of this build breaks a rule: {why}");
                    return Err(Violation { property: "Q3 Wire", what });
                }
            }
        }
        for input in inputs {
            self.note_call(at, &input);
            self.tell(at, input);
        }
        self.flush_served(at, stream);
        Ok(())
    }

    fn note_call(&mut self, at: usize, input: &Input<P::Store>) {
        let id = self.machines[at].id;
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these are held against what is known")]
        match input {
            Input::Read { caller, read } => {
                self.ghost.asked(*caller, read);
                self.callers.read(id, *caller, read);
            }
            Input::Query { caller, query } => {
                self.ghost.queried(*caller, query);
                self.callers.query(id, *caller, query);
            }
            Input::Submit(submission) => {
                let end = self.machines[at].last().map_or(0, |last| last.index.0);
                self.callers.write(submission.caller, end, &submission.request);
            }
            _ => {}
        }
    }

    /// How old the state is that a call is answered with in this turn.
    fn judge_age(&mut self, at: usize, caller: Caller, message: &Message) -> Verdict {
        let (id, rate) = (self.machines[at].id, if self.swarm.skew { 500 } else { 980 });
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these two have an age")]
        let (position, staleness_ms) = match message {
            Message::ReadDone(done) => (done.position, done.staleness_ms),
            Message::QueryDone(done) => (done.position, done.staleness_ms),
            _ => return Ok(()),
        };
        self.tally.probes.hit_if(staleness_ms > 0 && staleness_ms < u64::MAX, Probe::AgedStateServed);
        let measured = self.machines[at].process.as_ref().map_or(self.now, |process| process.turn_began);
        self.callers.aged((measured, rate), id, caller, position, staleness_ms)
    }

    /// A node answers a call.
    pub(super) fn answer(&mut self, at: usize, caller: Caller, message: Message) -> Verdict {
        let id = self.machines[at].id;
        self.ghost.answered(caller)?;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever else nodes answer is judged by the clients"
        )]
        match &message {
            Message::Submitted(done) => {
                self.ghost.submitted(id, done)?;
                self.callers.executed(id, caller, done)?;
            }
            Message::ReadDone(done) => self.ghost.read(id, caller, done)?,
            Message::QueryDone(done) => {
                self.ghost.fresh(id, caller, done.position, done.staleness_ms)?;
                self.callers.told(id, caller, done)?;
            }
            Message::SessionKept(kept) => self.ghost.rely(kept.position.index),
            Message::LeaseKept(kept) => self.ghost.rely(kept.position.index),
            _ => {}
        }
        self.callers.relies(self.now, self.ghost.acknowledged);
        let machine = &mut self.machines[at];
        let ms = machine.time(self.now).micros / MS;
        let Some(process) = &mut machine.process else { return Ok(()) };
        let Some(served) = process.served.get_mut(&caller.connection) else { return Ok(()) };
        served.answer(message.header().for_call(CallId(caller.call)), message, ms);
        self.flush_served(at, caller.connection);
        Ok(())
    }

    /// Gives each connection the events that wait for it, as far as it has room.
    fn tell_watches(&mut self, at: usize, life: u64) {
        let ms = self.machines[at].time(self.now).micros / MS;
        let Some(process) = self.process(at, life) else { return };
        let mut told = Vec::new();
        let mut messages = Vec::new();
        for connection in process.node.watched() {
            let Some(served) = process.served.get_mut(&connection) else { continue };
            process.node.take_watched(connection, served.room_for_events(), &mut messages);
            for (call, message) in messages.drain(..) {
                let sent = served.connection.send(message.header().for_call(CallId(call)), &message);
                if let Err(error) = sent
                    && !matches!(error, SendError::NotOpen { .. })
                {
                    served.connection.turn_away(CloseReason::Unread, "events could not be sent", ms);
                }
            }
            told.push(connection);
        }
        for connection in told {
            self.flush_served(at, connection);
        }
    }

    /// What a connection has to say goes on its way.
    fn flush_served(&mut self, at: usize, stream: u64) {
        let Some(process) = &mut self.machines[at].process else { return };
        let Some(served) = process.served.get_mut(&stream) else { return };
        let bytes = served.written();
        debug_assert!(bytes.len() < OUTBOX_MAX, "{} bytes for one client", bytes.len());
        self.carry(stream, Way::Down, &bytes);
    }

    /// A connection is gone.
    pub(super) fn forget_served(&mut self, at: usize, stream: u64) {
        let Some(process) = &mut self.machines[at].process else { return };
        if process.served.remove(&stream).is_some() {
            self.tell(at, Input::Gone(stream));
        }
    }
}

/// Bytes of an operation, about.
fn size(op: &Op) -> usize {
    64 + match op {
        Op::Entry { body, .. } | Op::Fill { body, .. } => body.len(),
        Op::HardState { .. } | Op::Trim { .. } | Op::Reset { .. } | Op::Confirm { .. } | Op::Heal { .. } => 0,
    }
}
