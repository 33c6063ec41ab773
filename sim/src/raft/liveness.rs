//! The end of a run: faults stop, for good or for a core only.
//!
//! A simulator that heals everything in the end never sees a cluster that only goes on *because* everything was healed. So
//! in a part of the seeds only a random quorum is healed, and around it faults stay for ever: nodes that are down, that are
//! heard and do not hear, that hear and are not heard, and links that come and go (Q2 in the catalogue; the idea is
//! `TigerBeetle`'s). Then
//! - within 20 of the longest election timeouts a leader has to be there and commit what is proposed from now on;
//! - from then on the term must not change any more, and a leader of the core brings all of it up to date;
//! - or [`could_go_on`] says that it was impossible.

use holdfast_raft::{Index, NodeId, Term};

use super::chaos::Fault;
use super::ghost::{Ghost, Verdict, Violation, holds, place};
use super::node::Node;
use super::probes::Probe;
use super::queue::Micros;
use super::swarm::{NODES_MAX, TIMEOUT};
use super::trace::say;
use super::world::{Happening, World};

/// Within so many of the longest election timeouts the core has to go on.
const TIMEOUTS_TO_GO_ON: u64 = 20;

/// For so many more it has to stay as it is.
const TIMEOUTS_TO_STAY: u64 = 8;

/// Who is far behind applies at least so many entries while the core has to stay as it is.
const CATCHING_UP: u64 = 20;

/// How the healing of a core goes.
#[derive(Clone, Copy, Debug)]
pub struct Healing {
    /// Who was healed.
    pub core: [bool; NODES_MAX],
    /// How far anything was committed when it was.
    pub commit: Index,
    /// Commands proposed since are numbered from here.
    pub commands: u64,
    /// The core went on, in this term, and had committed so much.
    pub went_on: Option<(Term, Index)>,
    /// What each node had applied then.
    pub applied: [Index; NODES_MAX],
    /// The highest term that somebody had when the core was healed, or has gone to since because a leader told it to take
    /// over. Whoever is outside and has it is heard when its links come back, and then a core in a lower one has to follow.
    pub owed: Term,
}

/// Whether the nodes of a core could elect a leader among them, if they only wait long enough. This is the predicate that
/// excuses a core that does not go on; everything else is a violation.
///
/// There has to be a node of the core that may lead: one that has a part in elections by its own log, which has no hole, and
/// with term and vote. And a quorum of *its* configuration has to be in the core that votes for it: nodes that have not lost term and vote, that
/// are not barred by damage that may hide entries, and whose log does not reach further than its own.
#[must_use]
pub fn could_go_on(nodes: &[Node], ghost: &Ghost, core: &[bool; NODES_MAX]) -> bool {
    let end = |at: usize| nodes[at].disk.voting_end().max(ghost.shadows[at].last());
    (0..nodes.len()).filter(|at| core[*at]).any(|at| {
        let acting = &ghost.shadows[at].acting().1;
        let own = ghost.shadows[at].last();
        let votes = |id: NodeId| {
            let voter = place(id);
            voter == at
                || (voter < nodes.len() && core[voter] && nodes[voter].disk.may_vote() && end(voter) <= own)
        };
        let shadow = &ghost.shadows[at];
        // What is down will know nothing to be committed behind its snapshot.
        let commit = if nodes[at].is_up() { nodes[at].view.commit } else { shadow.covered };
        let stands = nodes[at].disk.mark.is_none() && !nodes[at].disk.hard_state_lost;
        stands && shadow.has_part(nodes[at].id, commit) && acting.has_quorum(votes)
    })
}

impl World {
    /// How long the longest election timeout is, on the clocks of a healed core.
    fn timeout(&self) -> Micros {
        self.swarm.longest_timeout() * 21 / 20
    }

    /// Faults end.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn calm(&mut self) -> Verdict {
        if !self.swarm.liveness {
            self.over = true;
            return Ok(());
        }
        self.tally.cores += 1;
        let core = self.draw_core();
        say!(self, "only a core is healed: {:?}", members(&core));
        if !could_go_on(&self.nodes, &self.ghost, &core) {
            self.impossible();
            return Ok(());
        }
        self.healing = Some(Healing {
            core,
            commit: self.ghost.commit(),
            commands: self.ghost.commands,
            went_on: None,
            applied: [Index(0); NODES_MAX],
            owed: self.nodes.iter().map(|node| node.view.term).max().unwrap_or_default(),
        });
        self.soften();
        self.draw_outer(&core);
        for (at, inside) in core.iter().enumerate().take(self.nodes.len()) {
            if *inside {
                self.heal(at);
            } else if self.rng.chance(400) {
                self.crash(at)?;
            }
        }
        let wait = TIMEOUTS_TO_GO_ON * self.timeout();
        self.after(wait, Happening::Judge);
        Ok(())
    }

    /// The core has once more as much time as after the healing to go on.
    fn give_time(&mut self, healing: Healing) {
        self.healing = Some(Healing { went_on: None, ..healing });
        let wait = TIMEOUTS_TO_GO_ON * self.timeout();
        self.after(wait, Happening::Judge);
    }

    fn impossible(&mut self) {
        self.tally.impossible += 1;
        self.ghost.probes.hit(Probe::CoreImpossible);
        say!(self, "the core cannot go on");
        self.over = true;
    }

    /// A quorum of the configuration of the newest log, and sometimes more. One that could not go on is drawn again, and in
    /// the end it is everybody.
    fn draw_core(&mut self) -> [bool; NODES_MAX] {
        for _ in 0..4 {
            let whole = |at: &usize| self.nodes[*at].disk.mark.is_none();
            let newest = (0..self.nodes.len()).filter(whole).max_by_key(|at| self.ghost.shadows[*at].last());
            let acting = self.ghost.shadows[newest.unwrap_or(0)].acting().1.clone();
            let mut others: Vec<usize> = (0..self.nodes.len()).collect();
            let mut core = [false; NODES_MAX];
            while !others.is_empty() && !acting.has_quorum(|id| core[place(id)]) {
                let next = others.swap_remove(self.rng.position(others.len()));
                core[next] = acting.is_voter(NodeId(next as u64 + 1)) || self.rng.chance(200);
            }
            if could_go_on(&self.nodes, &self.ghost, &core) {
                return core;
            }
        }
        [true; NODES_MAX]
    }

    /// What is left of the faults, inside the core: nothing that takes longer than a fraction of a heartbeat.
    fn soften(&mut self) {
        self.network.calm = true;
        self.network.cut = [[false; NODES_MAX]; NODES_MAX];
        let short = self.swarm.tick / 2;
        let swarm = &mut self.swarm;
        (swarm.delay, swarm.disk) = (swarm.delay.min(short), swarm.disk.min(short));
        (swarm.turn, swarm.report, swarm.apply) = (0, 0, swarm.apply.min(short));
        (swarm.stall, swarm.transfer, swarm.change) = (0, None, None);
        swarm.propose = swarm.propose.min(TIMEOUT / 3);
    }

    /// Links to and among the nodes outside: whole, cut, or cut one way; and some come and go.
    fn draw_outer(&mut self, core: &[bool; NODES_MAX]) {
        let count = self.nodes.len();
        for from in 0..count {
            for to in 0..count {
                if !(core[from] && core[to]) {
                    self.network.outer[from][to] = self.rng.chance(600);
                }
            }
        }
        if self.rng.chance(400) {
            self.after(TIMEOUT, Happening::Fault(Fault::FlapOuter));
        }
    }

    /// A link to the outside changes.
    pub fn flap_outer(&mut self) {
        let Some(healing) = self.healing else { return };
        let count = self.nodes.len();
        let (from, to) = (self.rng.position(count), self.rng.position(count));
        if !(healing.core[from] && healing.core[to]) {
            self.network.outer[from][to] ^= true;
        }
        let wait = self.rng.gap(TIMEOUT);
        self.after(wait, Happening::Fault(Fault::FlapOuter));
    }

    /// A node of the core: it runs, its clock goes nearly right, its disk answers.
    fn heal(&mut self, at: usize) {
        let rate = self.rng.between(960, 1040);
        let node = &mut self.nodes[at];
        node.rate = rate;
        node.reaches_only = None;
        (node.stalled_until, node.disk_busy_until, node.apply_busy_until) = (0, self.now, self.now);
        if node.is_up() {
            let boot = node.boot;
            for pending in &mut node.disk.pending {
                pending.due = pending.due.min(self.now);
            }
            node.paused_until = 0;
            self.after(0, Happening::DiskDone(at, boot));
        } else {
            self.after(0, Happening::Start(at));
        }
    }

    /// Whether a command that was proposed since the healing is committed.
    fn has_gone_on(&self, healing: &Healing) -> bool {
        self.ghost.is_newly_committed(healing.commit, healing.commands)
    }

    /// The highest term in which somebody leads.
    fn leading_term(&self) -> Option<Term> {
        self.nodes.iter().filter(|node| node.leads()).map(|node| node.view.term).max()
    }

    /// Whether the last leader was none of the core. Its links may come and go, and so may it: whoever follows it has as much
    /// time as after the healing, from the moment at which it was found to be gone.
    fn was_led_from_outside(&self, healing: &Healing) -> bool {
        self.ghost.leaders.last_key_value().is_some_and(|(_, (leader, _))| !healing.core[place(*leader)])
    }

    /// Somebody takes over because a leader told it to: its new term is known to nobody else yet.
    pub fn owe_term(&mut self, term: Term) {
        if let Some(healing) = &mut self.healing {
            healing.owed = healing.owed.max(term);
        }
    }

    /// The core had its time.
    ///
    /// # Errors
    /// Q2: it did not go on, or did not stay as it was, and it could have.
    pub fn judge_core(&mut self) -> Verdict {
        let Some(mut healing) = self.healing else { return Ok(()) };
        if self.leading_term().is_none() && self.was_led_from_outside(&healing) && self.has_gone_on(&healing)
        {
            say!(self, "the leader outside has lost its links: the core has its time again");
            (healing.commit, healing.commands) = (self.ghost.commit(), self.ghost.commands);
            self.give_time(healing);
            return Ok(());
        }
        let due = |(term, _): &(Term, Index)| *term < healing.owed && self.leading_term() != Some(*term);
        if healing.went_on.as_ref().is_some_and(due) {
            say!(
                self,
                "somebody outside was heard that was in term {} before: the core has its time again",
                healing.owed
            );
            self.give_time(healing);
            return Ok(());
        }
        let verdict = self.judge_healing(&healing);
        match (verdict, healing.went_on) {
            (Err(_), _) if !could_go_on(&self.nodes, &self.ghost, &healing.core) => {
                self.impossible();
                Ok(())
            }
            (Err(violation), _) => Err(violation),
            (Ok(()), Some((term, _))) if self.leading_term() == Some(term) => {
                self.ghost.probes.hit(Probe::CoreWentOn);
                self.over = true;
                Ok(())
            }
            // It went on just now; or a leader outside has lost its links for good, and another one is to stay from now on.
            (Ok(()), _) => {
                let commit = self.ghost.commit();
                healing.went_on = self.leading_term().map(|term| (term, commit));
                (healing.commit, healing.commands) = (commit, self.ghost.commands);
                for node in &self.nodes {
                    healing.applied[place(node.id)] = node.machine.applied.index;
                }
                self.healing = Some(healing);
                let wait = TIMEOUTS_TO_STAY * self.timeout();
                self.after(wait, Happening::Judge);
                Ok(())
            }
        }
    }

    fn judge_healing(&self, healing: &Healing) -> Verdict {
        let all = || {
            let lines = self.nodes.iter().filter_map(|node| node.core.as_ref()).map(|core| core.describe());
            lines.collect::<Vec<_>>().join("\n")
        };
        holds!(
            self.leading_term().is_some() && self.has_gone_on(healing),
            "Q2 Liveness",
            "the core {:?} has committed nothing since {}\n{}",
            members(&healing.core),
            healing.commit,
            all()
        );
        let Some((term, commit)) = healing.went_on else { return Ok(()) };
        // A leader outside that reaches a quorum stays (F12) as long as its links do, and need not reach all of the core.
        let inside = self.ghost.leaders.get(&term).is_some_and(|(leader, _)| healing.core[place(*leader)]);
        if !inside {
            return Ok(());
        }
        holds!(
            self.leading_term() == Some(term),
            "Q2 Liveness",
            "the term goes on from {term} to {:?}\n{}",
            self.leading_term(),
            all()
        );
        let acting = &self.ghost.configuration_at(self.ghost.commit()).1;
        for node in self.nodes.iter().filter(|node| healing.core[place(node.id)]) {
            let member = acting.members().contains_key(&node.id);
            let applied = node.machine.applied.index;
            // One that is far behind gets one entry in a round trip, if the limits are so small: then it is on its way.
            let on_its_way = applied.0 >= healing.applied[place(node.id)].0 + CATCHING_UP;
            holds!(
                !member || node.disk.mark.is_none() || applied < commit,
                "Q2 Repair",
                "node {} has applied {applied}, and its log is still damaged\n{}",
                node.id,
                all()
            );
            if member && applied < commit && !on_its_way {
                let what = format!("node {} has applied {applied}, and not {commit}\n{}", node.id, all());
                return Err(Violation { property: "D1 Durability", what });
            }
        }
        Ok(())
    }
}

/// The ids of a core.
fn members(core: &[bool; NODES_MAX]) -> Vec<usize> {
    (1..=NODES_MAX).filter(|id| core[id - 1]).collect()
}
