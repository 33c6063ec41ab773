//! The end of a run: faults stop, for a core first in a part of the seeds, then for all; and what was seen is judged.
//!
//! A simulator that heals everything in the end never sees a cluster that only goes on *because* everything was healed. So in
//! a part of the seeds a quorum is healed first, and around it machines stay down, cut off, deaf or mute. Within 20 of the
//! longest election timeouts it has to acknowledge a write that was asked since, and from then on the term must not change (Q2).
//! Then all is healed, nobody asks anything new, and within a minute every call is answered, every watch is told everything,
//! and all members have the same state.

use super::Micros;
use super::machine::{Machine, ROOM};
use super::probes::Probe;
use super::swarm::{MS, SECOND};
use super::world::{End, Happening, World};
use crate::history::{self, Clocks, History, wgl};
use crate::raft::ghost::{Verdict, Violation, holds};
use crate::raft::trace::say;
use holdfast_server::node::plant::Plant;

/// Within so many of the longest election timeouts the core has to go on.
const TIMEOUTS_TO_GO_ON: u64 = 20;

/// For so many more its term has to stay as it is.
const TIMEOUTS_TO_STAY: u64 = 8;

/// Within this all has to be settled when all is healed.
const TO_SETTLE: Micros = 90 * SECOND;

/// When all is healed clients go on asking for so long, so that every run has something to show.
const LAST_WISHES: Micros = 2 * SECOND;

/// Acknowledged calls below which a run shows nothing.
const ANSWERED_MIN: u64 = 10;

/// Histories of up to so many calls are also judged by the search that looks at neither index nor revision.
const SEARCHED_OPS_MAX: usize = 150;

/// States that it visits of one object before it gives up.
const SEARCHED_STATES_MAX: usize = 20_000;

/// How far the healing is.
#[derive(Clone, Debug)]
pub struct Healing {
    since: Micros,
    /// Who was healed; empty for all.
    core: Vec<usize>,
    /// The term in which the core went on.
    term: Option<u64>,
    /// All is healed, since then.
    whole: Option<Micros>,
}

impl<P: Plant> World<P> {
    /// Faults end.
    pub(super) fn calm(&mut self) -> Verdict {
        let core = if self.swarm.core_only { self.draw_core() } else { Vec::new() };
        say!(self, "faults are over; healed are {core:?} (all if none)");
        self.tally.cores += u64::from(!core.is_empty());
        self.healing = Some(Healing { since: self.now, core: core.clone(), term: None, whole: None });
        self.soften();
        self.mend();
        if core.is_empty() {
            self.heal_all();
        } else {
            self.surround(&core)?;
        }
        Ok(())
    }

    /// A quorum that can go on, or nobody if that is not sure.
    fn draw_core(&mut self) -> Vec<usize> {
        let mut voters = self.voters();
        // What is down may have a newer configuration than all that run.
        let present = self.present();
        let mut acting =
            present.iter().filter(|at| self.joined(**at)).map(|at| self.machines[*at].acting_at());
        let first = acting.next();
        let settled = self.changing.is_none()
            && first.is_some_and(|first| acting.all(|other| other == first))
            && self.machines.iter().filter_map(Machine::acting).all(|acting| !acting.is_joint())
            && present.iter().all(|at| self.machines[*at].process.is_some() || voters.contains(at));
        let bad = voters.iter().any(|at| self.machines[*at].damaged || self.is_spent(*at));
        if !settled || bad || voters.len() < 3 {
            return Vec::new();
        }
        let quorum = voters.len() / 2 + 1;
        while voters.len() > quorum {
            let gone = self.rng.position(voters.len());
            voters.remove(gone);
        }
        voters
    }

    /// What is left of the faults takes no longer than a fraction of a heartbeat.
    fn soften(&mut self) {
        let swarm = &mut self.swarm;
        (swarm.delay, swarm.disk) = (swarm.delay.min(2 * MS), swarm.disk.min(2 * MS));
        (swarm.turn, swarm.job) = (swarm.turn.min(200), swarm.job.min(2 * MS));
        (swarm.loss, swarm.duplicate, swarm.slow, swarm.stall) = (0, 0, 0, 0);
        swarm.down = swarm.down.min(100 * MS);
        swarm.midway = false;
        self.recorded.clear();
        for at in 0..self.machines.len() {
            let rate = self.rng.between(980, 1_020);
            let now = self.now;
            let machine = &mut self.machines[at];
            machine.clock.set_rate(now, rate);
            (machine.stalled_until, machine.doomed) = (0, false);
            for disk in machine.disks.all() {
                disk.set_capacity(ROOM);
            }
            machine.paused_until = machine.paused_until.min(now);
        }
        self.mend_streams();
    }

    fn heal_all(&mut self) {
        if let Some(healing) = &mut self.healing {
            healing.whole = Some(self.now);
        }
        for at in self.present() {
            if self.joined(at) {
                self.after(0, Happening::Start(at));
            }
        }
        self.mend();
        self.after(500 * MS, Happening::Judge);
    }

    /// Whether a machine has been taken on: one that never was does not start.
    fn joined(&self, at: usize) -> bool {
        let machine = &self.machines[at];
        machine.life > 0 || matches!(machine.origin, super::machine::Origin::Founder(_))
    }

    /// Everybody outside is down, cut off, deaf or mute.
    fn surround(&mut self, core: &[usize]) -> Verdict {
        for at in self.present() {
            if core.contains(&at) {
                self.after(0, Happening::Start(at));
                continue;
            }
            let how = self.rng.below(4);
            if how == 0 {
                self.end_process(at, false);
                continue;
            }
            for other in self.present() {
                let (one, two) = (End::Machine(at), End::Machine(other));
                if other != at && how != 2 {
                    self.cut(one, two);
                }
                if other != at && how != 3 {
                    self.cut(two, one);
                }
            }
        }
        let wait = TIMEOUTS_TO_GO_ON * self.timeout();
        self.after(wait, Happening::Judge);
        Ok(())
    }

    fn timeout(&self) -> Micros {
        self.swarm.longest_timeout() * 21 / 20
    }

    /// The end is looked at.
    pub(super) fn judge(&mut self) -> Verdict {
        let Some(healing) = self.healing.clone() else { return Ok(()) };
        match healing.whole {
            None => self.judge_core(healing),
            Some(whole) => self.judge_settled(whole),
        }
    }

    fn judge_core(&mut self, mut healing: Healing) -> Verdict {
        let leader = self.leader();
        let term = leader
            .and_then(|at| self.machines[at].process.as_ref())
            .map(|process| process.node.core().term().0);
        match healing.term {
            None => {
                let since = |op: &&history::Op| op.invoked >= healing.since;
                let executed = |op: &history::Op| {
                    matches!(op.answer, history::Answer::Written { .. } | history::Answer::NotMet { .. })
                };
                let wrote = self.seen.ops.iter().filter(since).any(executed);
                let asked = self.clients.iter().any(|client| client.awaits_write(healing.since))
                    || self
                        .seen
                        .ops
                        .iter()
                        .filter(since)
                        .any(|op| matches!(op.ask, history::Ask::Write { .. }));
                holds!(
                    (wrote || !asked) && term.is_some(),
                    "Q2 Liveness",
                    "the core {:?} has acknowledged no write for {} ms",
                    healing.core,
                    (self.now - healing.since) / MS
                );
                healing.term = term;
                self.healing = Some(healing);
                let wait = TIMEOUTS_TO_STAY * self.timeout();
                self.after(wait, Happening::Judge);
            }
            Some(before) => {
                holds!(
                    term == Some(before),
                    "Q2 Liveness",
                    "the term of the core {:?} goes on from {before} to {term:?}",
                    healing.core
                );
                self.tally.probes.hit(Probe::CoreWentOn);
                self.heal_all();
            }
        }
        Ok(())
    }

    fn judge_settled(&mut self, whole: Micros) -> Verdict {
        if self.now < whole + LAST_WISHES {
            self.after(500 * MS, Happening::Judge);
            return Ok(());
        }
        self.closing = true;
        let commit = self.ghost.commit();
        let revision = self.ghost.newest().revision();
        let members = self.members();
        let behind = members.iter().copied().find(|at| {
            let machine = &self.machines[*at];
            let applied = machine.process.as_ref().map(|process| process.node.store().applied().index);
            // Sessions and leases let the clock of the log go on: who is a tick behind is not behind.
            applied.is_none_or(|applied| applied + 4 < commit)
        });
        let answered = self.all_answered();
        let mut watches = self.clients.iter().enumerate();
        let watches = watches.find_map(|(at, client)| Some((at, client.behind(revision)?)));
        if self.leader().is_some()
            && behind.is_none()
            && answered
            && watches.is_none()
            && self.changing.is_none()
        {
            self.complete_watches(revision);
            self.over = true;
            return Ok(());
        }
        if self.now < whole + TO_SETTLE {
            self.after(500 * MS, Happening::Judge);
            return Ok(());
        }
        if let Some(client) = self.clients.iter().skip(1).find(|client| client.open() > 0) {
            return Err(Self::complaint(client));
        }
        let lines = self.machines.iter().filter_map(|machine| machine.process.as_ref());
        let lines: Vec<String> = lines.map(|process| process.node.core().describe()).collect();
        let what = format!(
            "not settled within {} s: leader {:?}, behind {behind:?} of {members:?} at {commit}, revision {revision}, client, watch and next revision {watches:?}, \
             change {:?}\n{}",
            TO_SETTLE / SECOND,
            self.leader(),
            self.changing,
            lines.join("\n")
        );
        Err(Violation { property: "Q2 Liveness", what })
    }

    /// Machines that are members, and of some use.
    fn members(&self) -> Vec<usize> {
        let acting = self.leader().and_then(|at| self.machines[at].acting());
        let members = acting.map(|acting| acting.members().keys().map(|id| id.0 as usize - 1).collect());
        let members: Vec<usize> = members.unwrap_or_default();
        members.into_iter().filter(|at| !self.machines[*at].retired && !self.is_spent(*at)).collect()
    }

    /// What clients saw, and what there is at the end.
    pub(super) fn history(&mut self) -> History {
        let mut seen = std::mem::take(&mut self.seen);
        let store = self.ghost.newest();
        seen.end.revision = store.revision();
        // A deletion at the oldest revision itself is not kept: nothing can be read there that it explains.
        seen.end.oldest = store.oldest() + u64::from(store.oldest() > 1);
        let mut keys = std::collections::BTreeSet::new();
        for op in &seen.ops {
            match &op.ask {
                history::Ask::Write { changes, .. } => {
                    keys.extend(changes.iter().map(|(key, _)| key.clone()));
                }
                history::Ask::Read { keys: read, .. } => keys.extend(read.iter().cloned()),
            }
        }
        for key in keys {
            let mut versions: Vec<_> = store
                .history(&key, usize::MAX)
                .iter()
                .map(|version| {
                    let value =
                        (!version.is_tombstone()).then(|| bytes::Bytes::copy_from_slice(version.value()));
                    (version.mod_revision(), value)
                })
                .collect();
            versions.sort_by_key(|(revision, _)| *revision);
            seen.end.keys.insert(key, versions);
        }
        seen
    }

    /// Whether too little was answered for the run to show anything.
    pub(super) fn is_void(&self, history: &History) -> bool {
        let written = |op: &history::Op| matches!(op.answer, history::Answer::Written { .. });
        self.tally.answered < ANSWERED_MIN || !history.ops.iter().any(written)
    }

    /// What clients saw is possible.
    pub(super) fn judge_history(&mut self, history: &History) -> Verdict {
        let clocks = if self.swarm.skew { Clocks::Wild } else { Clocks::Within(20) };
        if let Some(first) = history::judge_with(history, clocks).first() {
            return Err(Violation { property: "history", what: first.to_string() });
        }
        if history.ops.len() > SEARCHED_OPS_MAX {
            return Ok(());
        }
        match wgl::check(history, SEARCHED_STATES_MAX) {
            wgl::Verdict::Linearizable => self.tally.searched += 1,
            wgl::Verdict::Undecided => self.tally.undecided += 1,
            wgl::Verdict::Not(what) => return Err(Violation { property: "linearizability", what }),
        }
        Ok(())
    }
}
