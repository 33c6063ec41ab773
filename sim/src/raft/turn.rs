//! What the owner of a core does: tells it things, ends its turn, and does what it wants done, in the order that its laws
//! demand.

use holdfast_raft::{EntryId, Envelope, Input, Message, Output, Persist, PersistId, Refusal};

use super::disk::Pending;
use super::ghost::{Ghost, Step, Verdict, Violation, fingerprint, place};
use super::heard::Heard;
use super::network::Packet;
use super::node::Waiting;
use super::rng::mix;
use super::trace::{event, say};
use super::world::{Happening, World};

/// Of a thousand messages, so many are recorded to come again: more of those that are rare, and that a run is about.
fn recorded(message: &Message) -> u64 {
    match message {
        Message::Append { .. } | Message::Heartbeat { .. } => 20,
        Message::AppendAck { .. } | Message::HeartbeatAck { .. } | Message::SnapshotChunk { .. } => 40,
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::AppendReject { .. }
        | Message::ReadIndex { .. }
        | Message::SnapshotAck { .. }
        | Message::SnapshotReject { .. }
        | Message::Notice => 40,
        Message::Vote { .. } | Message::VoteReply { .. } | Message::ReadIndexReply { .. } => 100,
        Message::TimeoutNow { .. } => 800,
    }
}

impl World {
    /// Tells a core something, and judges what follows.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn tell(
        &mut self,
        at: usize,
        input: Input,
        heard: Heard,
    ) -> Result<Result<Option<EntryId>, Refusal>, Violation> {
        let node = &mut self.nodes[at];
        let shadow = &mut self.ghost.shadows[at];
        if shadow.turn_configuration.is_none() {
            shadow.turn_configuration = Some(node.running().configuration().clone());
            shadow.turn_part = shadow.has_part(node.id, node.view.commit);
        }
        let drops = match heard {
            Heard::Letter(_) => Ghost::stale_drops(node),
            Heard::Tick | Heard::Refused(_) | Heard::Other => 0,
        };
        let before = node.view;
        let Some(core) = &mut node.core else { return Ok(Ok(None)) };
        let outcome = core.step(input);
        core.check();
        node.view = core.view();
        if let Heard::Letter(letter) = heard {
            self.ghost.judge_stale(&self.nodes[at], &letter, drops)?;
        }
        self.ghost.after_step(&self.nodes, &Step { node: at, before, heard })?;
        let node = &mut self.nodes[at];
        self.trace.note(mix(fingerprint(&node.view), self.now ^ at as u64));
        if !node.turn_open {
            node.turn_open = true;
            if self.swarm.turn == 0 {
                self.end_turn(at)?;
            } else {
                let wait = self.rng.between(0, self.swarm.turn);
                let boot = self.nodes[at].boot;
                self.after(wait, Happening::EndTurn(at, boot));
            }
        }
        Ok(outcome)
    }

    /// Ends a node's turn and does what its core wants done.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn end_turn(&mut self, at: usize) -> Verdict {
        let node = &mut self.nodes[at];
        let before = node.view;
        let Some(core) = &mut node.core else { return Ok(()) };
        node.turn_open = false;
        core.flush(&mut node.output);
        node.view = core.view();
        if self.nodes[at].view != before {
            self.ghost.after_step(&self.nodes, &Step { node: at, before, heard: Heard::Other })?;
        }
        self.ghost.judge_answers(&self.nodes[at])?;
        // Out of the node for as long as it is read, so that nothing of it is copied.
        let mut output = std::mem::take(&mut self.nodes[at].output);
        let verdict = self.act(at, &mut output);
        self.nodes[at].output = output;
        let shadow = &mut self.ghost.shadows[at];
        shadow.replies.clear();
        shadow.turn_configuration = None;
        verdict
    }

    fn act(&mut self, at: usize, output: &mut Output) -> Verdict {
        for happened in &output.events {
            say!(self, "n{} {}", at + 1, event(happened));
            self.tally.edges.note(happened);
            self.watch(at, happened);
            self.consider(at, happened);
        }
        if let Some(persist) = output.persist.take() {
            self.persist(at, persist);
        }
        for ready in output.reads_ready.drain(..) {
            self.ghost.judge_ready(&self.nodes[at], ready)?;
            self.nodes[at].reads.push(ready);
        }
        for (id, why) in output.reads_refused.drain(..) {
            self.ghost.judge_refused(&self.nodes[at], id, why)?;
        }
        for envelope in output.send_now.drain(..) {
            self.ghost.judge_making(&self.nodes[at], &envelope)?;
            self.ghost.judge_read_reply(&self.nodes[at], &envelope)?;
            let promised = self.ghost.promised(&self.nodes[at], &envelope.message);
            self.ghost.judge_sending(&self.nodes[at], &envelope, promised)?;
            self.send(Packet { made: self.now, replayed: false, envelope });
        }
        for held in output.send_after_persist.drain(..) {
            self.ghost.judge_making(&self.nodes[at], &held.envelope)?;
            let promised = self.ghost.promised(&self.nodes[at], &held.envelope.message);
            let waiting = Waiting { after: held.after, made: self.now, promised, envelope: held.envelope };
            self.nodes[at].waiting.push(waiting);
        }
        if !output.apply.is_empty() {
            for entry in output.apply.drain(..) {
                self.ghost.judge_apply(&self.nodes[at], &entry)?;
                self.nodes[at].machine.waiting.push_back(entry);
            }
            let node = &mut self.nodes[at];
            let busy = node.apply_busy_until.max(self.now);
            let (wait, boot) = (busy - self.now + self.rng.between(0, self.swarm.apply), node.boot);
            node.apply_busy_until = self.now + wait;
            self.after(wait, Happening::Apply(at, boot));
        }
        for work in output.snapshots.drain(..) {
            self.work(at, work)?;
        }
        for read in output.log_reads.drain(..) {
            let (wait, boot) = (self.rng.between(0, self.swarm.disk), self.nodes[at].boot);
            self.after(wait, Happening::ReadBack(at, boot, read));
        }
        self.release(at)?;
        self.serve(at)
    }

    /// Hands a persist to the disk.
    fn persist(&mut self, at: usize, persist: Persist) {
        let node = &mut self.nodes[at];
        let stalls = self.rng.chance(self.swarm.stall);
        let takes = match (stalls, self.rng.chance(300)) {
            (true, _) => self.rng.between(self.swarm.disk, self.swarm.stall_long),
            (false, true) => 0,
            (false, false) => self.rng.between(1, self.swarm.disk),
        };
        let due = node.disk_busy_until.max(node.stalled_until).max(self.now) + takes;
        node.disk_busy_until = due;
        node.disk.pending.push_back(Pending { due, issued_at_tick: node.ticks, persist });
        let boot = node.boot;
        self.after(due - self.now, Happening::DiskDone(at, boot));
    }

    /// Writes what was due on a disk.
    ///
    /// # Errors
    /// What may not be written there.
    pub fn disk_done(&mut self, at: usize, boot: holdfast_raft::Boot) -> Verdict {
        if !self.nodes[at].is_up() || self.nodes[at].boot != boot {
            return Ok(());
        }
        let mut done = None;
        let mut voted = false;
        while let Some(persist) = self.nodes[at].disk.next_due(self.now) {
            done = Some(persist.id);
            voted |= persist.hard_state.is_some_and(|hard_state| hard_state.vote.is_some());
            self.write(at, &persist)?;
        }
        let Some(id) = done else { return Ok(()) };
        self.nodes[at].durable = id;
        if voted && self.vote_is_durable(at)? {
            return Ok(());
        }
        let wait = if self.swarm.report == 0 { 0 } else { self.rng.between(0, self.swarm.report) };
        if wait == 0 && self.nodes[at].paused_until <= self.now {
            return self.report_durable(at, id);
        }
        self.after(wait, Happening::Tell(at, boot, Input::Durable(id)));
        Ok(())
    }

    /// Writes a persist, or what a crash left of it.
    ///
    /// # Errors
    /// What may not be written there.
    pub fn write(&mut self, at: usize, persist: &Persist) -> Verdict {
        let mut lost = false;
        if let Some(hard_state) = persist.hard_state {
            self.ghost.judge_hard_state(&self.nodes[at], hard_state)?;
            self.nodes[at].disk.hard_state = hard_state;
        }
        for op in &persist.log {
            lost |= self.ghost.judge_disk_op(&self.nodes[at], op)?;
            if let Err(why) = self.nodes[at].disk.write(op) {
                let what = format!("node {} writes {op:?}: {why}", at + 1);
                return Err(Violation { property: "D3 Recovered", what });
            }
        }
        say!(self, "n{} durable {} {}", at + 1, persist.id, self.nodes[at].disk.whole_end());
        if lost { self.ghost.judge_all_electable(&self.nodes) } else { Ok(()) }
    }

    /// The owner hears that something is durable: sends what waited for it, and tells the core.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn report_durable(&mut self, at: usize, id: PersistId) -> Verdict {
        self.release(at)?;
        self.tell(at, Input::Durable(id), Heard::Other).map(|_| ())
    }

    /// Sends what waited for the disk and does not any more.
    fn release(&mut self, at: usize) -> Verdict {
        let durable = self.nodes[at].durable;
        if self.nodes[at].waiting.first().is_none_or(|first| first.after > durable) {
            return Ok(());
        }
        let mut waiting = std::mem::take(&mut self.nodes[at].waiting);
        let ready = waiting.iter().take_while(|held| held.after <= durable).count();
        let rest = waiting.split_off(ready);
        self.nodes[at].waiting = rest;
        for Waiting { made, promised, envelope, .. } in waiting {
            self.ghost.judge_sending(&self.nodes[at], &envelope, promised)?;
            self.send(Packet { made, replayed: false, envelope });
        }
        Ok(())
    }

    /// Gives a message to the network.
    pub fn send(&mut self, packet: Packet) {
        let Envelope { from, to, .. } = packet.envelope;
        let (from, to) = (place(from), place(to));
        if to >= self.nodes.len() || self.nodes[from].reaches_only.is_some_and(|only| !only[to]) {
            return;
        }
        if self.healing.is_none() && self.rng.chance(recorded(&packet.envelope.message)) {
            self.network.record(&mut self.rng, &packet);
        }
        if !self.network.calm && self.rng.chance(self.swarm.duplicate) {
            self.transmit(packet.clone());
        }
        self.transmit(packet);
    }

    fn transmit(&mut self, packet: Packet) {
        let (from, to) = (place(packet.envelope.from), place(packet.envelope.to));
        if let Some(at) = self.network.arrival(&self.swarm, &mut self.rng, self.now, from, to) {
            self.after(at - self.now, Happening::Arrive(packet));
        }
    }

    /// A state machine applies what waits, or a part of it.
    ///
    /// # Errors
    /// S6.
    pub fn apply(&mut self, at: usize) -> Verdict {
        let node = &mut self.nodes[at];
        let waiting = node.machine.waiting.len();
        if waiting == 0 {
            return Ok(());
        }
        let part = if self.rng.chance(200) { 1 + self.rng.position(waiting) } else { waiting };
        for _ in 0..part {
            node.machine.apply();
        }
        if part < waiting {
            let boot = node.boot;
            let wait = self.rng.between(0, self.swarm.apply);
            self.after(wait, Happening::Apply(at, boot));
        }
        let node = &self.nodes[at];
        self.ghost.judge_state(node)?;
        let applied = node.machine.applied.index;
        self.serve(at)?;
        self.tell(at, Input::Applied(applied), Heard::Other).map(|_| ())
    }

    /// Serves the reads whose index is applied.
    pub(super) fn serve(&mut self, at: usize) -> Verdict {
        let applied = self.nodes[at].machine.applied.index;
        while let Some(ready) = self.nodes[at].reads.iter().position(|ready| ready.index <= applied) {
            let ready = self.nodes[at].reads.swap_remove(ready);
            self.ghost.judge_served(&self.nodes[at], ready.index)?;
        }
        Ok(())
    }
}
