//! The loop of a node: what is done in which order, turn after turn, and how it ends.
//!
//! # A turn
//! 1. What the disk and the peers say, then what other threads have done.
//! 2. Ticks: at most two, however long the gap was. A process that was suspended has to read what waits for it before it
//!    may believe that everybody else is gone.
//! 3. What clients ask. The node admits renewals first, and no more than a turn's worth.
//! 4. Messages to peers, then the hand-over to the disk: the way over a follower is the longer one.
//! 5. What is committed is applied, and clients are answered, then those who watch: one write to each socket. A leader that has nothing for its
//!    disk does this before step 4: nobody waits for its messages then, but clients wait for their answers.
//!
//! # Stopping
//! | step | why here | at most |
//! |---|---|---|
//! | let no client in, nor anybody over HTTP | whoever comes now would only be sent away | - |
//! | say Goodbye to clients; hand leadership over | the next leader takes over while this one still answers | [`DRAIN`] |
//! | answer what is under way, and let clients read it | clients learn outcomes instead of guessing | [`DRAIN`] in all |
//! | close the lanes to peers | nothing is owed to them: they ask another leader | - |
//! | end the thread of the snapshots | it writes to the directory that is about to be released | a chunk, or an installation |
//! | write and sync the audit log | so that its files hold all that was applied, though the next start would make it so as well | one sync |
//! | write, sync and close the log | its mark says that the end is clean | one sync |
//! | release the directory | another process may start the moment it is free | - |
//! | end the thread of the API | its last answers were given while the node drained; who reads them slowly keeps nobody waiting | 4 s |
//!
//! A node that cannot go on, as one that halts or was removed, drains nothing, but ends its threads in the same order.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytestring::ByteString;
use holdfast_machine::Numbered;
use holdfast_raft::config::LEAVING_ELECTIONS;
use holdfast_raft::formation::Formation;
use holdfast_raft::{LogRead, NodeId, RoleState};
use holdfast_wire::connection::SendError;
use holdfast_wire::message::{
    CloseReason, Digests, Figure, Lane, MemberStatus, Refused, StatsReply, StatusReply,
};
use holdfast_wire::{CallId, Message, NodeId as WireNodeId};
use tokio::task::AbortHandle;

use super::audit::Audit;
use super::desk::{Figures, Leading};
use super::disk::Disk;
use super::examine::{self, Examiner, Known};
use super::forming::Forming;
use super::hub::{BUILD, Event, Hub};
use super::life::{Event as LifeEvent, Life, State as LifeState};
use super::link::Link;
use super::live::Live;
use super::log_reads::LogReads;
use super::measures::{Edges, Leaders, RoundTrips};
use super::snapshots::Snapshots;
use super::workers::Workers;
use super::{RunError, Stop, TICK, lines, peers};
use crate::node::{Caller, Effects, Input, Job, JobDone, Node};
use crate::stage::Stage;
use crate::storage::{DataDir, Identity, MemberContext, clear_damage};
use crate::translate;

/// How long an ordered stop takes for what others have to do.
const DRAIN: Duration = Duration::from_secs(3);

/// Ticks credited in one turn at most.
const TICKS_MAX: u64 = 2;

/// Questions about the node answered in one turn: encoding what was measured takes some 0.1 ms.
const QUESTIONS_MAX: usize = 8;

/// Ticks between two looks at all links: 100 ms.
const LINK_TICKS: u64 = 10;

/// Ticks for which the disk has had room before that is said: a second.
const ROOM_TICKS: u64 = 100;

/// Tasks that run beside the loop; aborted when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    listeners: Vec<AbortHandle>,
    dials: BTreeMap<u64, Vec<AbortHandle>>,
    /// The peers as they were last dialed, by their address.
    dialed: BTreeMap<u64, ByteString>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.listeners.push(tokio::task::spawn_local(task).abort_handle());
    }

    pub(super) fn listens(&self) -> bool {
        !self.listeners.is_empty()
    }

    pub(super) fn dial(&mut self, peer: NodeId, task: impl Future<Output = ()> + 'static) {
        let handle = tokio::task::spawn_local(task).abort_handle();
        self.dials.entry(peer.0).or_default().push(handle);
    }

    /// Ends the lanes to a peer.
    fn hang_up(&mut self, hub: &Hub, peer: u64) {
        for task in self.dials.remove(&peer).unwrap_or_default() {
            task.abort();
        }
        self.dialed.remove(&peer);
        hub.lanes.borrow_mut().remove(&peer);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in self.listeners.iter().chain(self.dials.values().flatten()) {
            task.abort();
        }
    }
}

/// What a loop is made of.
pub(super) struct Parts {
    pub(super) hub: Rc<Hub>,
    pub(super) node: Node,
    pub(super) disk: Disk,
    /// None if this node joined: nobody forms a cluster with it.
    pub(super) formation: Option<Formation>,
    pub(super) name: ByteString,
    pub(super) data_dir: DataDir,
    pub(super) identity: Identity,
    pub(super) workers: Workers,
    pub(super) log_reads: LogReads,
    pub(super) snapshots: Snapshots,
    pub(super) audit: Audit,
    pub(super) tasks: Tasks,
    pub(super) accepting: AbortHandle,
    /// Members and where they are reached, for a node that has not received any configuration yet.
    pub(super) contacts: Vec<(u64, ByteString)>,
    /// What may be changed from outside.
    pub(super) live: Live,
    /// Looks at the system, if somebody wants to know.
    pub(super) examiner: Rc<Examiner>,
    /// The last entries of the snapshots that were damaged at the start.
    pub(super) snapshots_damaged: Vec<u64>,
    /// Bytes of a segment of the log.
    pub(super) segment_bytes: u64,
}

/// The loop.
pub(super) struct Turns {
    parts: Parts,
    effects: Effects,
    /// Links to be written to at the end of a turn.
    dirty: Vec<Rc<Link>>,
    /// The index of the configuration whose members are dialed.
    configured: Option<u64>,
    /// The index of the configuration whose removed members are told so.
    removed_at: Option<u64>,
    /// The tick at which lanes to those who are members no more are closed.
    leaving_until: Option<u64>,
    edges: Edges,
    round_trips: RoundTrips,
    leaders: Leaders,
    /// It was said that the disk is full, and not yet that it is no more: the tick at which it was full last.
    disk_full: Option<u64>,
    next_tick: u64,
    ticks: u64,
}

impl Turns {
    pub(super) fn new(parts: Parts) -> Self {
        let next_tick = parts.hub.clock.micros();
        Self {
            parts,
            effects: Effects::default(),
            dirty: Vec::new(),
            configured: None,
            removed_at: None,
            leaving_until: None,
            edges: Edges::default(),
            round_trips: RoundTrips::default(),
            leaders: Leaders::default(),
            disk_full: None,
            next_tick,
            ticks: 0,
        }
    }

    /// Says once that the disk is full, and that it is no more when that has lasted: a small write may still find room where the next
    /// one finds none.
    fn tell_of_full_disk(&mut self, full: Option<(u64, u64)>) {
        match (full, self.disk_full) {
            (None, Some(last)) if self.ticks >= last + ROOM_TICKS => self.disk_full = None,
            (Some(_), None) => self.disk_full = Some(self.ticks),
            (Some(_), Some(_)) => return self.disk_full = Some(self.ticks),
            (None, _) => return,
        }
        lines::disk_full(self.parts.identity.node.0, full);
    }

    /// Runs until it is told to stop, and stops in order; or until it cannot go on. Either way nothing writes to the directory
    /// any more when it is released.
    pub(super) async fn run(mut self, stop: &Stop, life: &mut Life) -> Result<(), RunError> {
        let lived = self.take_turns(stop, life).await;
        let Parts { hub, disk, data_dir, tasks, workers, log_reads, snapshots, audit, .. } = self.parts;
        if lived.is_ok() {
            life.fact(LifeEvent::Drained);
            for link in hub.clients.borrow().values() {
                link.push(hub.clock.millis());
            }
        }
        drop(tasks);
        drop((workers, log_reads));
        snapshots.close();
        audit.close();
        disk.close();
        if lived.is_ok() {
            life.fact(LifeEvent::Closed);
        }
        drop(data_dir);
        lived
    }

    /// Turn after turn, until all is drained that was under way at a stop.
    async fn take_turns(&mut self, stop: &Stop, life: &mut Life) -> Result<(), RunError> {
        let mut drain_until = None;
        self.follow_live();
        loop {
            if self.effects.more {
                tokio::task::yield_now().await;
            } else if !self.parts.disk.arm() {
                self.sleep(stop, drain_until.is_some()).await;
            }
            self.parts.disk.disarm();
            let began = self.parts.hub.clock.micros();
            self.turn()?;
            let took = self.parts.hub.clock.micros() - began;
            self.parts.node.stages_mut().record_turn(took);
            if self.parts.node.is_ready() {
                life.fact(LifeEvent::CaughtUp);
            } else if life.state() == LifeState::Ready {
                life.fact(LifeEvent::LeaderLost);
            }
            let now = self.parts.hub.clock.micros();
            match drain_until {
                None if stop.is_wanted() => {
                    life.fact(LifeEvent::StopWanted);
                    self.begin_stop();
                    drain_until = Some(now + u64::try_from(DRAIN.as_micros()).unwrap_or(0));
                }
                Some(until) if self.is_drained() || now >= until => return Ok(()),
                None | Some(_) => {}
            }
        }
    }

    /// Until something happens.
    async fn sleep(&self, stop: &Stop, stopping: bool) {
        let bell = self.parts.hub.bell();
        let wait = self.next_tick.saturating_sub(self.parts.hub.clock.micros());
        tokio::select! {
            biased;
            () = bell.rung() => {}
            () = tokio::time::sleep(Duration::from_micros(wait)) => {}
            () = stop.wanted(), if !stopping => {}
        }
    }

    fn begin_stop(&mut self) {
        let Parts { hub, node, accepting, .. } = &mut self.parts;
        accepting.abort();
        hub.stopping.set(true);
        node.handle(hub.clock.now(), Input::Stop);
        // Behind a Goodbye nothing goes out but answers.
        self.tell_watches();
        let Parts { hub, .. } = &self.parts;
        let now = hub.clock.millis();
        for link in hub.clients.borrow().values() {
            link.connection().close(CloseReason::Shutdown, "", now);
            link.push(now);
        }
        hub.ring();
    }

    fn is_drained(&self) -> bool {
        let Parts { node, disk, hub, .. } = &self.parts;
        let leads =
            node.core().role() == RoleState::Leader && node.core().configuration().1.voters().len() > 1;
        let answered = node.waiting() == 0 && hub.calls.borrow().is_empty();
        // A link takes itself off the list when the other side has read its last answer, or was given time to.
        answered && !leads && disk.is_idle() && hub.clients.borrow().is_empty()
    }

    /// One turn. See the module documentation.
    fn turn(&mut self) -> Result<(), RunError> {
        let began = self.parts.hub.clock.now();
        self.effects.clear();
        if let Some(done) = self.parts.disk.done() {
            self.parts.node.handle(began, Input::Durable(done.id));
            if done.healed {
                let Parts { data_dir, identity, .. } = &mut self.parts;
                clear_damage(identity, |identity| data_dir.store(identity))?;
            }
        }
        for event in self.parts.hub.reports.take() {
            self.take(event)?;
        }
        while let Some(done) = self.parts.workers.next() {
            match done {
                JobDone::Executed(executed) => self.parts.node.handle(began, Input::Executed(executed)),
                JobDone::Spliced(spliced) => self.parts.node.handle(began, Input::Spliced(spliced)),
                JobDone::Answer(caller, message) => self.answer(caller, message),
            }
        }
        while let Some((LogRead { to, first, .. }, entries)) = self.parts.log_reads.next() {
            self.parts.node.handle(began, Input::LogRead { to, first, entries });
        }
        while let Some(done) = self.parts.snapshots.next() {
            self.parts.node.handle(began, Input::Snapshot(done));
        }
        while let Some(done) = self.parts.audit.next() {
            self.parts.node.handle(began, Input::Audit(done));
        }
        self.tick();
        let (mut questions, mut later) = (0, Vec::new());
        for event in self.parts.hub.calls.take() {
            let is_question = matches!(
                event,
                Event::Status(_) | Event::Stats(_) | Event::Trace(..) | Event::Examine(_) | Event::Figures(_)
            );
            questions += usize::from(is_question);
            if questions > QUESTIONS_MAX && is_question {
                later.push(event);
            } else {
                self.take(event)?;
            }
        }
        self.effects.more |= !later.is_empty();
        self.parts.hub.calls.borrow_mut().append(&mut later);
        self.parts.disk.retry()?;
        let Parts { workers, log_reads, snapshots, audit, .. } = &self.parts;
        if workers.is_broken() || log_reads.is_broken() || snapshots.is_broken() || audit.is_broken() {
            let why = "a thread beside the node's ended; please report this".to_owned();
            return Err(RunError::Halted { node: self.parts.identity.node.0, why });
        }
        let full = self.parts.disk.full();
        self.tell_of_full_disk(full);
        self.parts.node.handle(began, Input::Disk(full));

        let before = self.parts.node.counts();
        let flushing = self.parts.hub.clock.now();
        self.parts.node.flush(flushing, &mut self.effects);
        let flushed = self.parts.hub.clock.now();
        // A leader that has nothing for its disk has nothing that peers wait for either, but clients may.
        let clients_first =
            self.effects.persist.is_empty() && self.parts.node.core().role() == RoleState::Leader;
        if !clients_first {
            self.hand_over()?;
        }
        let handed = self.parts.hub.clock.now();
        self.parts.node.apply(handed, &mut self.effects);
        let applied = self.parts.hub.clock.now();
        let answered = self.reply();
        let replied = self.parts.hub.clock.now();
        if clients_first {
            self.hand_over()?;
        }

        let after = self.parts.node.counts();
        let proposed = after.proposed - before.proposed;
        let (proposing, appending) = (flushed.micros - flushing.micros, handed.micros - flushed.micros);
        let decoding = self.parts.hub.decoded.borrow().iter().map(|(micros, _)| *micros).max();
        self.parts.node.note_handed_over(flushing, [proposing, appending], decoding);
        self.parts.node.note_executed(applied.micros - handed.micros, replied.micros - applied.micros);
        self.log_slow(applied.micros - handed.micros, replied.micros - applied.micros);
        let stages = self.parts.node.stages_mut();
        for (stage, from, to, count) in [
            (Stage::Propose, flushing, flushed, proposed),
            (Stage::Append, flushed, handed, proposed),
            (Stage::Apply, handed, applied, after.applied - before.applied),
            (Stage::Reply, applied, replied, answered),
        ] {
            stages.record(stage, to.micros - from.micros, count);
        }
        for (micros, count) in self.parts.hub.decoded.borrow_mut().drain(..) {
            stages.record(Stage::Decode, micros, count);
        }
        self.follow_configuration();
        *self.parts.hub.leader.borrow_mut() = self.parts.node.leader_hint();
        self.tell_leading();
        self.log_events();
        match self.parts.node.halted() {
            Some(why) if self.parts.node.is_removed() => {
                Err(RunError::Removed { node: self.parts.identity.node.0, why: why.to_owned() })
            }
            Some(why) => Err(RunError::Halted { node: self.parts.identity.node.0, why: why.to_owned() }),
            None => Ok(()),
        }
    }

    fn take(&mut self, event: Event) -> Result<(), RunError> {
        let now = self.parts.hub.clock.now();
        match event {
            Event::Node(input) => {
                if let Input::Peer(envelope) = &input {
                    self.round_trips.heard(envelope, now.micros);
                }
                self.parts.node.handle(now, input);
            }
            Event::Formation(name, message) => {
                let Parts { hub, formation, data_dir, identity, name: ours, .. } = &mut self.parts;
                if let Some(formation) = formation {
                    Forming { hub, formation, data_dir, identity, name: ours }.hear(&name, message)?;
                }
            }
            Event::Status(caller) => {
                let status = self.status();
                self.answer(caller, status.into());
            }
            Event::Stats(caller) => {
                let stats = self.stats();
                self.answer(caller, stats);
            }
            Event::Trace(caller, trace) => {
                let reply = self.parts.node.trace(trace, now.micros);
                self.answer(caller, reply.into());
            }
            Event::Examine(caller) if self.parts.examiner.is_busy() => self.answer(caller, overloaded()),
            Event::Examine(caller) => {
                let known = self.known(now.wall.get());
                self.parts.examiner.examine(&self.parts.hub, caller, known);
            }
            Event::Answer(caller, message) => self.answer(caller, message),
            Event::Figures(whom) => {
                // Whoever asked may have gone.
                let _ = whom.send(self.figures());
            }
        }
        Ok(())
    }

    /// Gives the node the time that has passed, but no more than two ticks of it.
    fn tick(&mut self) {
        let tick = u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX);
        let mut credit = TICKS_MAX;
        let now = self.parts.hub.clock.now();
        while now.micros >= self.next_tick {
            self.next_tick += tick;
            if credit > 0 {
                credit -= 1;
                self.ticks += 1;
                self.parts.node.handle(now, Input::Tick);
                if self.ticks.is_multiple_of(LINK_TICKS) {
                    self.follow_live();
                    self.parts.hub.tick_links();
                }
            } else {
                self.next_tick = now.micros + tick;
            }
        }
    }

    /// Does what somebody outside wants otherwise from now on.
    fn follow_live(&mut self) {
        let Some(wanted) = self.parts.live.take() else { return };
        if let Some(slow) = wanted.slow_request {
            self.parts.node.set_slow_request(u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
        }
        if let Some(policy) = wanted.snapshots {
            self.parts.node.set_snapshot_policy(policy);
        }
        if let Some(cut) = wanted.cut {
            self.parts.hub.set_cut(cut);
        }
    }

    /// Messages to the peers, then what the disk has to hold.
    fn hand_over(&mut self) -> Result<(), RunError> {
        let lanes = self.parts.hub.lanes.borrow();
        let now = self.parts.hub.clock.micros();
        for envelope in self.effects.send.drain(..) {
            self.round_trips.sent(&envelope, now);
            let Some(to) = lanes.get(&envelope.to.0) else { continue };
            match translate::to_wire(&envelope) {
                Ok((lane, message)) => {
                    // What cannot be sent is lost, as messages are; the core says it again.
                    if let Some(link) = to.get(lane)
                        && link.send(message.header(), &message).is_ok()
                    {
                        self.dirty.push(Rc::clone(link));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a message that the wire does not know; please report this");
                }
            }
        }
        if !self.effects.digests.is_empty() {
            let who = self.parts.hub.who.get();
            let (from, from_boot) = (who.node.id, who.node.boot);
            let ranges = std::mem::take(&mut self.effects.digests);
            let message = Message::from(Digests { from, from_boot, ranges });
            for link in lanes.values().filter_map(|to| to.get(Lane::Control)) {
                // What a full lane does not take is said again soon.
                if link.send(message.header(), &message).is_ok() {
                    self.dirty.push(Rc::clone(link));
                }
            }
        }
        drop(lanes);
        self.push_dirty();
        for persist in self.effects.persist.drain(..) {
            self.parts.disk.submit(persist)?;
        }
        Ok(())
    }

    /// Answers clients. Says how many.
    fn reply(&mut self) -> u64 {
        let mut replies = std::mem::take(&mut self.effects.replies);
        let count = replies.len() as u64;
        for (caller, message) in replies.drain(..) {
            self.answer(caller, message);
        }
        self.effects.replies = replies;
        for job in self.effects.snapshots.drain(..) {
            self.parts.snapshots.give(job);
        }
        for read in self.effects.log_reads.drain(..) {
            self.parts.log_reads.give(read);
        }
        for job in self.effects.audit.drain(..) {
            self.parts.audit.give(job);
        }
        for job in std::mem::take(&mut self.effects.jobs) {
            match self.parts.workers.give(job) {
                Ok(()) | Err(Job::Apply { .. } | Job::Splice { .. }) => {}
                Err(Job::Read { caller, .. }) => self.answer(caller, overloaded()),
            }
        }
        self.tell_watches();
        count
    }

    /// Gives each connection the events that wait for it, as far as it has room. Answers are in it already.
    fn tell_watches(&mut self) {
        let mut messages = Vec::new();
        let clients = self.parts.hub.clients.borrow();
        let (mut told, mut seats_go_on, mut left) = (Vec::new(), false, Vec::new());
        for connection in self.parts.node.watched() {
            // Of one that is gone the node will be told.
            let Some(link) = clients.get(&connection) else {
                if let Some(seat) = self.parts.hub.seats.borrow().get(&connection) {
                    if self.parts.node.take_watched(connection, seat.room(), &mut messages) {
                        seat.let_events_wait();
                    }
                    messages.drain(..).for_each(|(_, message)| seat.give(message));
                    seats_go_on |= seat.events_can_go_on();
                    if seat.is_empty() {
                        left.push(connection);
                    }
                }
                continue;
            };
            if self.parts.node.take_watched(connection, link.room_for_events(), &mut messages) {
                link.let_events_wait();
            }
            for (call, message) in messages.drain(..) {
                let sent = link.send(message.header().for_call(CallId(call)), &message);
                // One that is on its way out takes no more; its client begins anew where it was. Any other must not go on
                // behind what is missing.
                if let Err(error) = sent
                    && !matches!(error, SendError::NotOpen { .. })
                {
                    tracing::error!(%error, "events that cannot be sent; please report this");
                    let now = self.parts.hub.clock.millis();
                    link.connection().turn_away(CloseReason::Unread, "events could not be sent", now);
                }
            }
            told.push(Rc::clone(link));
        }
        drop(clients);
        for seat in left {
            self.parts.hub.seats.borrow_mut().remove(&seat);
            self.parts.node.handle(self.parts.hub.clock.now(), Input::Gone(seat));
        }
        self.dirty.extend(told.iter().cloned());
        self.push_dirty();
        // What the sockets took at once has made room.
        self.effects.more |= seats_go_on | told.iter().any(|link| link.events_can_go_on());
    }

    fn answer(&mut self, caller: Caller, message: Message) {
        let clients = self.parts.hub.clients.borrow();
        // Whoever is gone waits for nothing.
        let Some(link) = clients.get(&caller.connection) else {
            return self.parts.hub.answer_seat(caller, message);
        };
        link.answered();
        if !link.answer(message.header().for_call(CallId(caller.call)), message) {
            // It leaves unread more than is kept for it, or is on its way out.
            let now = self.parts.hub.clock.millis();
            link.connection().close(CloseReason::Unread, "answers were not read", now);
        }
        self.dirty.push(Rc::clone(link));
    }

    fn push_dirty(&mut self) {
        let now = self.parts.hub.clock.millis();
        // Written once each, though there may be many messages for it.
        self.dirty.sort_unstable_by_key(|link| link.id);
        self.dirty.dedup_by_key(|link| link.id);
        for link in self.dirty.drain(..) {
            link.push(now);
        }
    }

    /// Dials whoever is a member now, and in time hangs up on whoever is not.
    ///
    /// Not at once: a configuration acts when it is appended, and the leader that it removes still needs the others' word that
    /// they hold it; nor when it is committed, since whoever is removed should be told.
    fn follow_configuration(&mut self) {
        let Parts { hub, node, tasks, contacts, .. } = &mut self.parts;
        let core = node.core();
        let (index, configuration) = core.configuration();
        if self.configured != Some(index.0) {
            self.configured = Some(index.0);
            self.leaving_until = None;
            let directories = configuration.members().iter().map(|(id, member)| (id.0, member.uuid.0));
            *hub.directories.borrow_mut() = directories.collect();
            let mut wanted: BTreeMap<u64, ByteString> = BTreeMap::new();
            for (id, member) in configuration.members().iter().filter(|(id, _)| **id != core.id()) {
                match MemberContext::decode(member.context.clone()) {
                    Ok(context) => {
                        wanted.insert(id.0, context.peer);
                    }
                    Err(error) => tracing::error!(peer = id.0, %error, "the member's addresses"),
                }
            }
            if configuration.members().is_empty() {
                wanted.extend(contacts.iter().cloned());
            }
            for (peer, address) in wanted {
                if tasks.dialed.get(&peer) == Some(&address) {
                    continue;
                }
                tasks.hang_up(hub, peer);
                for lane in [Lane::Control, Lane::Bulk] {
                    let dial = peers::dial(Rc::clone(hub), NodeId(peer), address.clone(), lane);
                    tasks.dial(NodeId(peer), dial);
                }
                tasks.dialed.insert(peer, address);
            }
        }
        if core.commit() >= *index && self.removed_at != Some(index.0) {
            self.removed_at = Some(index.0);
            // One that leaves with a joint configuration is a member until that ends.
            let gone = configuration.removed().iter().filter(|id| !configuration.members().contains_key(id));
            *hub.removed.borrow_mut() = gone.map(|id| id.0).collect();
        }
        let is_gone = |peer: &u64| !configuration.members().contains_key(&NodeId(*peer));
        if core.commit() < *index || configuration.members().is_empty() || !tasks.dials.keys().any(is_gone) {
            return;
        }
        let grace = u64::from((LEAVING_ELECTIONS + 1) * core.config().election_ticks);
        let until = *self.leaving_until.get_or_insert(self.ticks + grace);
        if self.ticks >= until {
            let gone: Vec<u64> = tasks.dials.keys().copied().filter(is_gone).collect();
            for peer in gone {
                tasks.hang_up(hub, peer);
            }
        }
    }

    /// Tells the API thread who leads, if that is another than before.
    fn tell_leading(&mut self) {
        let Parts { hub, node, .. } = &self.parts;
        let leader = node.core().leader();
        self.leaders.see(leader);
        let Some(tell) = hub.leading.get() else { return };
        let here = node.core().role() == RoleState::Leader;
        let http = leader.map(|leader| node.http_address(leader)).unwrap_or_default();
        let leading = Leading { here, leader: leader.map(|leader| leader.0), http };
        tell.send_if_modified(|known| {
            let is_other = *known != leading;
            if is_other {
                *known = leading;
            }
            is_other
        });
    }

    fn status(&self) -> StatusReply {
        let Parts { hub, node, .. } = &self.parts;
        let (core, store, who) = (node.core(), node.store(), hub.who.get());
        let (_, configuration) = core.configuration();
        let lanes = hub.lanes.borrow();
        let member = |(id, member): (&NodeId, &holdfast_raft::Member)| {
            let own = *id == core.id();
            let context = MemberContext::decode(member.context.clone());
            let open = lanes.get(&id.0).is_some_and(|lanes| lanes.control.is_some() && lanes.bulk.is_some());
            Some(MemberStatus {
                node: WireNodeId::new(id.0)?,
                voter: configuration.is_voter(*id),
                connected: own || open,
                matched: if own {
                    core.durable().0
                } else {
                    core.progress(*id).map_or(0, |peer| peer.matched.0)
                },
                peer: context.map(|context| context.peer).unwrap_or_default(),
                client: node.client_address(*id),
                http: if own { hub.http_address.clone() } else { node.http_address(*id) },
            })
        };
        let members = configuration.members().iter().filter_map(member).collect();
        let life = if hub.stopping.get() {
            LifeState::Draining
        } else if node.is_ready() {
            LifeState::Ready
        } else {
            LifeState::Joining
        };
        StatusReply {
            node: who.node,
            cluster: who.cluster,
            life: life.number(),
            role: core.role().number(),
            leadership: node.leadership().number(),
            ready: node.is_ready(),
            leader: core.leader().and_then(|id| WireNodeId::new(id.0)),
            term: core.term().0,
            commit: core.commit().0,
            applied: store.applied().index,
            durable: core.durable().0,
            last: core.last().index.0,
            revision: store.revision(),
            oldest: store.oldest(),
            keys: store.keys() as u64,
            sessions: store.sessions().count() as u64,
            level: store.level().0,
            clock_ms: store.clock(),
            build: BUILD.into(),
            members,
        }
    }

    fn figures(&self) -> Figures {
        let Parts { hub, node, disk, .. } = &self.parts;
        Figures {
            status: self.status(),
            counts: node.counts(),
            stages: node.stages().clone(),
            wal: disk.stats(),
            edges: self.edges.all(node),
            round_trips: self.round_trips.histograms().clone(),
            leader_changes: self.leaders.changes,
            waiting: node.waiting() as u64,
            waiting_writes: node.waiting_writes() as u64,
            clients: hub.clients.borrow().len() as u64,
            watches: node.watches().watches() as u64,
            unready: node.unready(),
        }
    }

    /// What the node knows of itself, for whoever examines it.
    fn known(&self, wall_ms: u64) -> Known {
        let Parts { hub, node, disk, live, snapshots_damaged, segment_bytes, .. } = &self.parts;
        let mut figures = examine::figures_of(node, wall_ms);
        // A newer one that was put in place stands for whatever was before.
        let newest = node.core().snapshot().map_or(0, |snapshot| snapshot.last.index.0);
        let damaged = snapshots_damaged.iter().filter(|last| **last > newest).count();
        figures.extend([
            (Figure::LogFull, 0, disk.full().is_some().into()),
            (Figure::SegmentBytes, 0, *segment_bytes),
            (Figure::SnapshotsDamaged, 0, damaged as u64),
            (Figure::Clients, 0, hub.clients.borrow().len() as u64),
            (Figure::DrillSyncDelayUs, 0, live.sync_delay_micros()),
        ]);
        figures.extend(hub.cut_off().into_iter().map(|peer| (Figure::DrillCut, peer, 1)));
        let (wal, round_trips) = (disk.stats(), self.round_trips.histograms().clone());
        Known { node: hub.who.get().node, figures, wal, round_trips }
    }

    fn stats(&self) -> Message {
        let Parts { node, disk, .. } = &self.parts;
        let counts = node.counts();
        let (syncs, log_bytes) = disk.counters();
        StatsReply {
            process: std::process::id(),
            turns: counts.turns,
            proposed: counts.proposed,
            applied: counts.applied,
            reads: counts.reads,
            refused: counts.refused,
            syncs,
            log_bytes,
            terms_led: counts.terms_led,
            snapshots_taken: counts.snapshots_taken,
            snapshots_installed: counts.snapshots_installed,
            turn_times: node.stages().encode_turns(),
            stages: node.stages().encode(),
        }
        .into()
    }

    /// Requests that took long, with what this turn adds to them.
    fn log_slow(&mut self, applying: u64, replying: u64) {
        let node = self.parts.identity.node.0;
        for slow in self.effects.slow.0.drain(..) {
            lines::slow_request(node, slow, applying, replying);
        }
        let more = std::mem::take(&mut self.effects.slow.1);
        if more > 0 {
            tracing::warn!(node, more, "{more} more slow requests in the same turn");
        }
    }

    fn log_events(&mut self) {
        let node = self.parts.identity.node.0;
        for event in self.effects.events.drain(..) {
            self.edges.hear(&event);
            lines::event(node, event);
        }
    }
}

/// The answer to a read that there is no thread for.
fn overloaded() -> Message {
    use crate::node::limits::RETRY_AFTER_MS;
    Refused {
        code: holdfast_command::Code::Overloaded.number(),
        effect: Refused::NOT_APPLIED,
        retry_after_ms: RETRY_AFTER_MS,
        first: RETRY_AFTER_MS.into(),
        second: 0,
        leader: None,
        detail: ByteString::new(),
    }
    .into()
}
