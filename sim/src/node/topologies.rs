//! Links that are gone for good, and nothing else: is there a leader soon, and is it left in peace?
//!
//! # Why scripted
//! In the outage of 2020-11-02 at Cloudflare, etcd had no leader that stayed for six hours, because one follower could not hear
//! it and everybody could hear that follower. Howard and Abraham (2020) show that a vote before the vote does not help alone: a
//! leader that reaches too few has to give up by itself. Random partitions meet such shapes, but heal them, and then nobody
//! sees that the cluster would never have gone on. Here the shape stays.
//!
//! # What is asked
//! Each shape has at least one node that reaches a quorum. Within [`TIMEOUTS_TO_LEAD`] of the longest election timeouts after
//! the links went, somebody leads who reaches a quorum and acknowledges a write; for [`TIMEOUTS_TO_STAY`] more, no term rises
//! at any node. Limits are those of the product: election 30 ticks, heartbeat 5.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Micros;
use super::swarm::{MS, SECOND, Swarm, Verbs};
use super::world::{End, World};
use crate::history::Answer;
use crate::raft::rng::{Rng, mix};

/// Within so many of the longest election timeouts somebody has to lead.
pub const TIMEOUTS_TO_LEAD: u64 = 3;

/// For so many more, no term may rise.
pub const TIMEOUTS_TO_STAY: u64 = 20;

/// After so many without a leader it is given up.
const TIMEOUTS_TO_GIVE_UP: u64 = 40;

/// How often the cluster is looked at.
const LOOK: Micros = 5 * MS;

/// Which links there are.
#[derive(Clone, Copy, Debug)]
pub struct Topology {
    /// What it is called.
    pub name: &'static str,
    /// How many nodes.
    pub nodes: usize,
    /// Pairs of nodes between which a link is missing, both ways.
    pub missing: &'static [(usize, usize)],
}

/// All of them.
pub const TOPOLOGIES: &[Topology] = &[
    // The outage: one follower is cut off from the leader, and the third node reaches both.
    Topology { name: "cloudflare-3", nodes: 3, missing: &[(0, 1)] },
    Topology { name: "cloudflare-5", nodes: 5, missing: &[(0, 1)] },
    // The same with two followers.
    Topology { name: "cloudflare-5-two", nodes: 5, missing: &[(0, 1), (0, 2)] },
    // Nodes 3 and 4 each see only one: the same, or each another.
    Topology { name: "howard-abraham-same", nodes: 5, missing: &[(3, 0), (3, 2), (3, 4), (4, 0), (4, 2)] },
    Topology { name: "howard-abraham-each", nodes: 5, missing: &[(3, 0), (3, 2), (3, 4), (4, 1), (4, 2)] },
    // Everybody reaches node 0 and nobody else.
    Topology { name: "star", nodes: 5, missing: &[(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)] },
    // Two halves, and node 2 reaches both.
    Topology { name: "bridge", nodes: 5, missing: &[(0, 3), (0, 4), (1, 3), (1, 4)] },
    // Everybody reaches two neighbours, so each a quorum, and no two the same.
    Topology { name: "ring", nodes: 5, missing: &[(0, 2), (1, 3), (2, 4), (3, 0), (4, 1)] },
];

/// When the links go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before anybody was elected.
    Before,
    /// While somebody leads, who stands at each place of the shape in turn.
    InOffice,
}

/// What one run showed.
#[derive(Clone, Debug)]
struct Shown {
    /// From when the links went until somebody led and had acknowledged a write.
    led_after: Option<Micros>,
    /// How much the highest term rose from then on.
    rises: u64,
    /// What a node did that is not right.
    wrong: Option<String>,
}

/// What the runs of one shape showed.
#[derive(Clone, Debug)]
pub struct Line {
    name: &'static str,
    moment: Moment,
    runs: u64,
    timeout: Micros,
    worst: Micros,
    worst_seed: u64,
    sum: Micros,
    /// Seeds in which nobody led in time.
    pub late: Vec<u64>,
    /// Terms that rose after that.
    pub rises: u64,
    /// Seeds in which a node did something that is not right, and what.
    pub wrong: Vec<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeouts = |time: Micros| time as f64 / self.timeout as f64;
        let Self { name, moment, runs, worst_seed, rises, .. } = self;
        write!(
            f,
            "{name:<20} {moment:<9} runs={runs} mean_timeouts={:.2} worst_timeouts={:.2} (seed {worst_seed}) late={} \
             term_rises={rises}",
            timeouts(self.sum / (*runs).max(1)),
            timeouts(self.worst),
            self.late.len(),
            moment = format!("{moment:?}"),
        )?;
        if let Some(seed) = self.late.first() {
            write!(f, " LATE seed {seed}")?;
        }
        self.wrong.first().map_or(Ok(()), |wrong| write!(f, " WRONG {wrong}"))
    }
}

impl Line {
    /// Whether it is as it has to be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.late.is_empty() && self.rises == 0 && self.wrong.is_empty()
    }
}

/// A cluster in which nothing goes wrong by itself, with the product's limits, and some clients that put and read.
#[must_use]
pub fn calm(seed: u64, voters: usize) -> Swarm {
    let drawn = Swarm::draw(seed);
    let mut limits = holdfast_raft::Config::new(
        drawn.limits.cluster,
        drawn.limits.id,
        drawn.limits.uuid,
        drawn.limits.boot,
        drawn.limits.seed,
    );
    (limits.election_ticks, limits.heartbeat_ticks) = (30, 5);
    Swarm {
        voters,
        chaos: 3_600 * SECOND,
        limits,
        segment: 64 << 10,
        piece: 1 << 20,
        snapshots: holdfast_server::node::SnapshotPolicy::default(),
        settings: Vec::new(),
        skew: false,
        jumps: false,
        turn: 100,
        delay: 500,
        slow: 0,
        loss: 0,
        duplicate: 0,
        replay: None,
        hangups: 0,
        disk: MS,
        stall: 0,
        job: MS,
        crash: None,
        mass_crash: None,
        midway: false,
        pause: None,
        partition: None,
        clients_cut: false,
        sync_failure: None,
        full: None,
        side_failure: None,
        damage: 0,
        members: None,
        transfer: None,
        clients: 3,
        in_flight: 1,
        gap: 20 * MS,
        burst: None,
        keys: 4,
        ttl_ms: 4_000,
        verbs: Verbs {
            put: 3,
            swap: 0,
            delete: 0,
            transact: 0,
            read: 1,
            follow: 0,
            lease: 0,
            lock: 0,
            elect: 0,
            watch: 0,
            compact: 0,
            query: 0,
        },
        hunt_leaders: false,
        hunt_snapshots: false,
        hunt_members: false,
        core_only: false,
        ..drawn
    }
}

/// A world whose links are to be cut.
struct Script<'a> {
    topology: &'a Topology,
    world: World,
    /// Which machine stands at each place.
    places: Vec<usize>,
    timeout: Micros,
}

impl Script<'_> {
    /// Runs until somebody leads; who.
    fn somebody_leads(&mut self) -> Result<usize, String> {
        let most = self.world.now + TIMEOUTS_TO_GIVE_UP * self.timeout;
        while self.world.now < most {
            self.go_on()?;
            if let Some(leader) = self.world.leader() {
                return Ok(leader);
            }
        }
        Err("nobody leads a cluster that is whole".into())
    }

    fn go_on(&mut self) -> Result<(), String> {
        let next = self.world.now + LOOK;
        self.world.run_until(next).map_err(|wrong| format!("{}: {}", wrong.property, wrong.what))
    }

    /// The links go.
    fn cut(&mut self) {
        for (one, two) in self.topology.missing {
            let (one, two) = (End::Machine(self.places[*one]), End::Machine(self.places[*two]));
            self.world.cut(one, two);
            self.world.cut(two, one);
        }
    }

    /// Who leads, reaches a quorum, and nobody has a higher term.
    fn stands(&self) -> Option<(usize, u64)> {
        let leader = self.world.leader()?;
        let reached = (0..self.topology.nodes)
            .filter(|other| {
                let (one, two) = (End::Machine(leader), End::Machine(*other));
                !self.world.is_cut(one, two) && !self.world.is_cut(two, one)
            })
            .count();
        let term = self.world.machines[leader].process.as_ref()?.node.core().term().0;
        (reached > self.topology.nodes / 2 && term == self.highest_term()).then_some((leader, term))
    }

    fn highest_term(&self) -> u64 {
        let nodes = self.world.machines.iter().filter_map(|machine| machine.process.as_ref());
        nodes.map(|process| process.node.core().term().0).max().unwrap_or(0)
    }

    /// Whether a write was acknowledged that was asked since then.
    fn wrote(&self, since: Micros) -> bool {
        let recent = self.world.seen.ops.iter().rev().take(64);
        recent.filter(|op| matches!(op.answer, Answer::Written { .. })).any(|op| op.invoked >= since)
    }

    /// What becomes of the cluster from the moment at which the links are gone.
    fn watch(&mut self) -> Result<(Option<Micros>, u64), String> {
        let begin = self.world.now;
        let mut since: Option<((usize, u64), Micros)> = None;
        let led = loop {
            let stands = self.stands();
            since = match (stands, since) {
                (Some(now), Some((before, at))) if now == before => Some((before, at)),
                (Some(now), _) => Some((now, self.world.now)),
                (None, _) => None,
            };
            if since.is_some_and(|(_, at)| self.wrote(at.max(begin))) {
                break self.world.now;
            }
            if self.world.now > begin + TIMEOUTS_TO_GIVE_UP * self.timeout {
                return Ok((None, 0));
            }
            self.go_on()?;
        };
        let term = self.highest_term();
        // From here on nobody has to hurry.
        self.world.swarm.gap = 200 * MS;
        while self.world.now < led + TIMEOUTS_TO_STAY * self.timeout {
            self.go_on()?;
        }
        Ok((Some(led - begin), self.highest_term() - term))
    }
}

fn run(topology: &Topology, moment: Moment, seed: u64) -> Shown {
    let swarm = calm(mix(seed, topology.nodes as u64), topology.nodes);
    let timeout = swarm.longest_timeout();
    let mut rng = Rng::new(mix(seed, 0x746F_706F));
    let mut places: Vec<usize> = (0..topology.nodes).collect();
    for at in (1..places.len()).rev() {
        places.swap(at, rng.position(at + 1));
    }
    let world: World = World::of(swarm, false);
    let mut script = Script { topology, world, places, timeout };
    let shown = (|| {
        if moment == Moment::InOffice {
            script.somebody_leads()?;
            // Long enough that clients are at it and everybody is caught up.
            let then = script.world.now + rng.between(2 * SECOND, 4 * SECOND);
            while script.world.now < then {
                script.go_on()?;
            }
            let leader = script.somebody_leads()?;
            let place = seed as usize % topology.nodes;
            let now = script.places.iter().position(|machine| *machine == leader).unwrap_or(place);
            script.places.swap(place, now);
        }
        script.cut();
        script.watch()
    })();
    match shown {
        Ok((led_after, rises)) => Shown { led_after, rises, wrong: None },
        Err(wrong) => Shown { led_after: None, rises: 0, wrong: Some(format!("seed {seed}: {wrong}")) },
    }
}

/// Runs all shapes with so many seeds each, before an election and in office.
#[must_use]
pub fn run_all(seeds: u64, threads: usize) -> Vec<Line> {
    let tasks: Vec<(&Topology, Moment)> = TOPOLOGIES
        .iter()
        .flat_map(|topology| [Moment::Before, Moment::InOffice].map(|moment| (topology, moment)))
        .collect();
    let next = AtomicUsize::new(0);
    let lines: Mutex<Vec<(usize, Line)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((topology, moment)) = tasks.get(at) else { break };
                    let line = line(topology, *moment, seeds);
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push((at, line));
                }
            });
        }
    });
    let mut lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn line(topology: &Topology, moment: Moment, seeds: u64) -> Line {
    let timeout = calm(1, topology.nodes).longest_timeout();
    let mut line = Line {
        name: topology.name,
        moment,
        runs: 0,
        timeout,
        worst: 0,
        worst_seed: 0,
        sum: 0,
        late: Vec::new(),
        rises: 0,
        wrong: Vec::new(),
    };
    for seed in 1..=seeds {
        let shown = run(topology, moment, seed);
        let took = shown.led_after.unwrap_or(TIMEOUTS_TO_GIVE_UP * timeout);
        line.runs += 1;
        line.sum += took;
        line.rises += shown.rises;
        line.wrong.extend(shown.wrong);
        if took > line.worst {
            (line.worst, line.worst_seed) = (took, seed);
        }
        if took > TIMEOUTS_TO_LEAD * timeout {
            line.late.push(seed);
        }
    }
    line
}

/// The last line.
#[must_use]
pub fn summary(lines: &[Line]) -> String {
    let worst = lines.iter().map(|line| line.worst as f64 / line.timeout as f64).fold(0.0, f64::max);
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
    format!(
        "topologies={} runs={} worst_timeouts={worst:.2} late={} term_rises={} violations={}",
        TOPOLOGIES.len(),
        sum(|line| line.runs),
        sum(|line| line.late.len() as u64),
        sum(|line| line.rises),
        sum(|line| line.wrong.len() as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_has_somebody_who_reaches_a_quorum_and_not_everybody_reaches_all() {
        for topology in TOPOLOGIES {
            let reaches = |node: usize| {
                let missing = |other: &usize| {
                    topology.missing.iter().any(|pair| *pair == (node, *other) || *pair == (*other, node))
                };
                (0..topology.nodes).filter(|other| !missing(other)).count()
            };
            let most = (0..topology.nodes).map(reaches).max();
            assert!(most.is_some_and(|most| most > topology.nodes / 2), "{}", topology.name);
            let least = (0..topology.nodes).map(reaches).min();
            assert!(least.is_some_and(|least| least < topology.nodes), "{}", topology.name);
        }
    }

    #[test]
    fn somebody_leads_soon_and_stays_whatever_links_are_gone() {
        let lines = run_all(1, 2);
        assert!(lines.iter().all(Line::is_good), "{lines:#?}");
    }

    #[test]
    fn a_shape_without_a_quorum_is_told() {
        // Two of five, and three that see nobody.
        let missing = &[(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)];
        let lonely = Topology { name: "lonely", nodes: 5, missing };
        for moment in [Moment::Before, Moment::InOffice] {
            assert!(!line(&lonely, moment, 1).is_good());
        }
    }
}
