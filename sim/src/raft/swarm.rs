//! What a seed switches on: a random subset of faults and operations, with limits so small that deep states are reached.
//!
//! Mixing everything all the time hides bugs that need the absence of something: a cluster whose leaders crash every second
//! never comes to send a snapshot. So each seed draws which faults exist at all (Groce et al. 2012, *Swarm testing*).

use holdfast_raft::{Boot, ClusterId, Config, NodeId, NodeUuid};

use super::queue::Micros;
use super::rng::{Rng, mix};

/// Ids that a run may use, of nodes that exist, are to come, or are gone.
pub const NODES_MAX: usize = 8;

/// What the shortest election timeout takes on a clock that goes right, whatever the number of ticks in it: 300 ms, as in
/// the product. Only how finely it is divided differs.
pub const TIMEOUT: Micros = 300_000;

/// The cluster that all runs simulate.
pub const CLUSTER: ClusterId = ClusterId([0xC1; 16]);

/// Conditions of a run's own state upon which a fault strikes. Dice alone do not hit such conjunctions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Triggers {
    /// A leader has an uncommitted change of members: crash it, or cut it off.
    pub membership: bool,
    /// A vote has just become durable: crash the voter.
    pub vote: bool,
    /// A leader was elected: let it reach the smallest quorum only.
    pub quorum: bool,
    /// A leader was elected: stall its own disk.
    pub disk: bool,
    /// A leader was elected: crash it, or cut it off, after little more than its first append.
    pub short: bool,
    /// A leader was elected: nobody hears it, or for a moment only, and then it crashes. What Figure 8 is made of.
    pub lonely: bool,
    /// A snapshot is offered or being installed: crash, or cut, one side.
    pub snapshot: bool,
    /// An office is being handed over: cut off one side.
    pub transfer: bool,
    /// A node comes back: send it what was meant for its life before.
    pub ghosts: bool,
}

/// Everything that a seed draws before its run begins. A mean gap of `None` means never.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seed.
    pub seed: u64,
    /// Voters at the beginning.
    pub voters: usize,
    /// Nodes that may exist over the whole run.
    pub nodes: usize,
    /// One tick, on a clock that goes right.
    pub tick: Micros,
    /// Clocks run between half and twice as fast.
    pub skew: bool,
    /// How long faults go on.
    pub chaos: Micros,
    /// Limits of the cores; identity is filled in for each node.
    pub limits: Config,
    /// Steps of one turn are gathered for up to this long.
    pub turn: Micros,
    /// A message takes at least this long.
    pub delay: Micros,
    /// Messages that take up to `delay_long`, of a thousand.
    pub slow: u64,
    /// The longest that a slow message takes.
    pub delay_long: Micros,
    /// Messages that are lost, of a thousand.
    pub loss: u64,
    /// Messages that arrive twice, of a thousand.
    pub duplicate: u64,
    /// Messages on one link stay in order.
    pub fifo: bool,
    /// Between replays of recorded messages.
    pub replay: Option<Micros>,
    /// A persist takes up to this long.
    pub disk: Micros,
    /// Persists that stall, of a thousand.
    pub stall: u64,
    /// The longest stall.
    pub stall_long: Micros,
    /// Between the durability of a persist and its report.
    pub report: Micros,
    /// Between the handing out of entries and their application.
    pub apply: Micros,
    /// Between crashes of one or some nodes.
    pub crash: Option<Micros>,
    /// Between crashes of all nodes.
    pub mass_crash: Option<Micros>,
    /// How long a crashed node stays down.
    pub down: Micros,
    /// Between pauses.
    pub pause: Option<Micros>,
    /// Between partitions.
    pub partition: Option<Micros>,
    /// Links flap during a partition.
    pub flap: bool,
    /// Nodes hear of broken and new connections.
    pub hints: bool,
    /// Logs are damaged at restarts.
    pub damage: bool,
    /// Term and vote are lost at restarts.
    pub lose_hard_state: bool,
    /// Between proposals.
    pub propose: Micros,
    /// Commands in one proposal.
    pub batch: u64,
    /// Bytes of a command.
    pub command: u64,
    /// Between reads.
    pub read: Option<Micros>,
    /// Between transfers of office.
    pub transfer: Option<Micros>,
    /// Between changes of members.
    pub change: Option<Micros>,
    /// Between snapshots.
    pub snapshot: Option<Micros>,
    /// Bytes of a snapshot.
    pub snapshot_bytes: u64,
    /// Conditions that bring faults.
    pub triggers: Triggers,
    /// The run ends with only a core quorum healed, and a leader must come.
    pub liveness: bool,
}

/// A mean gap between `low` and `high` timeouts, in so many seeds of a thousand.
fn maybe(rng: &mut Rng, per_mille: u64, low: u64, high: u64) -> Option<Micros> {
    let gap = rng.between(low * TIMEOUT, high * TIMEOUT);
    rng.chance(per_mille).then_some(gap)
}

fn draw_triggers(rng: &mut Rng) -> Triggers {
    if rng.chance(250) {
        return Triggers::default();
    }
    Triggers {
        membership: rng.chance(400),
        vote: rng.chance(250),
        quorum: rng.chance(300),
        disk: rng.chance(250),
        short: rng.chance(300),
        lonely: rng.chance(120),
        snapshot: rng.chance(400),
        transfer: rng.chance(300),
        ghosts: rng.chance(400),
    }
}

fn draw_limits(rng: &mut Rng) -> Config {
    let mut limits = Config::new(CLUSTER, NodeId(1), NodeUuid([0; 16]), Boot(1), 0);
    limits.election_ticks = rng.between(5, 20) as u32;
    limits.heartbeat_ticks = rng.between(1, u64::from(limits.election_ticks / 4).max(1)) as u32;
    limits.disk_stall_ticks = rng.between(1, 3) as u32 * limits.election_ticks;
    limits.append_bytes_max = *rng.pick(&[1, 100, 300, 10_000]);
    limits.inflight_appends_max = *rng.pick(&[1, 2, 4, 16]);
    limits.inflight_bytes_max = *rng.pick(&[1, 200, 1_000, 100_000]);
    limits.uncommitted_bytes_max = *rng.pick(&[1, 300, 2_000, 100_000]);
    limits.apply_bytes_max = *rng.pick(&[1, 200, 10_000]);
    limits.chunk_bytes_max = rng.between(1, 50) as usize;
    limits.retain_bytes = *rng.pick(&[0, 0, 100, 500, 5_000]);
    limits.caught_up_entries = *rng.pick(&[0, 1, 5, 20]);
    limits.reads_max = *rng.pick(&[1, 4, 1_000]);
    limits
}

impl Swarm {
    /// What this seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(mix(seed, 0x5757));
        let mut limits = draw_limits(rng);
        // Drawn apart: what a seed drew before there was this limit it draws still.
        limits.resident_bytes =
            *Rng::new(mix(seed, 0x4E5)).pick(&[0, 100, 1_000, usize::MAX / 2, usize::MAX / 2]);
        let triggers = draw_triggers(rng);
        if triggers.lonely {
            // One entry in one append, and one on its way: a leader that stops in the middle leaves some of them behind.
            (limits.append_bytes_max, limits.inflight_appends_max) = (1, 1);
        }
        let voters = *rng.pick(&[1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
        let change = maybe(rng, 450, 2, 8);
        let more = if change.is_some() { rng.between(1, 4) as usize } else { 0 };
        let quiet = rng.chance(60);
        let often =
            |rng: &mut Rng, per_mille: u64| if quiet { rng.below(2) == 9 } else { rng.chance(per_mille) };
        Self {
            seed,
            voters,
            nodes: (voters + more).min(NODES_MAX),
            tick: TIMEOUT / u64::from(limits.election_ticks),
            skew: rng.chance(400),
            chaos: rng.between(25, 80) * TIMEOUT,
            limits,
            turn: *rng.pick(&[0, 0, 500, 5_000]),
            delay: *rng.pick(&[200, 1_000, 5_000, 15_000]),
            slow: if often(rng, 400) { rng.between(5, 200) } else { 0 },
            delay_long: rng.between(TIMEOUT / 10, 4 * TIMEOUT),
            loss: if often(rng, 400) { rng.between(5, 150) } else { 0 },
            duplicate: if often(rng, 400) { rng.between(5, 150) } else { 0 },
            fifo: rng.chance(300),
            replay: maybe(rng, 400, 0, 3),
            disk: *rng.pick(&[100, 1_000, 10_000, 40_000]),
            stall: if often(rng, 250) { rng.between(1, 20) } else { 0 },
            stall_long: rng.between(1, 12) * TIMEOUT,
            report: *rng.pick(&[0, 0, 1_000, 20_000]),
            apply: *rng.pick(&[0, 100, 5_000, 50_000]),
            crash: maybe(rng, if quiet { 0 } else { 800 }, 1, 5),
            mass_crash: maybe(rng, if quiet { 0 } else { 200 }, 4, 20),
            down: rng.between(TIMEOUT / 20, 5 * TIMEOUT),
            pause: maybe(rng, if quiet { 0 } else { 250 }, 2, 10),
            partition: maybe(rng, if quiet { 0 } else { 500 }, 2, 10),
            flap: rng.chance(200),
            hints: rng.chance(600),
            damage: rng.chance(120),
            lose_hard_state: rng.chance(70),
            propose: rng.between(15_000, 300_000),
            batch: rng.between(1, 5),
            command: rng.between(8, 80),
            read: maybe(rng, 600, 0, 2),
            transfer: maybe(rng, 350, 2, 10),
            change,
            snapshot: maybe(rng, 650, 1, 8),
            snapshot_bytes: rng.between(1, 300),
            triggers: if quiet { Triggers::default() } else { triggers },
            liveness: rng.chance(400),
        }
    }

    /// Which directory a node has.
    #[must_use]
    pub fn uuid(&self, id: NodeId) -> NodeUuid {
        NodeUuid((u128::from(mix(self.seed, id.0)) << 64 | u128::from(id.0)).to_be_bytes())
    }

    /// What the core of this node is told in this boot.
    #[must_use]
    pub fn config(&self, id: NodeId, boot: Boot) -> Config {
        let seed = mix(mix(self.seed, id.0), boot.0);
        Config { id, uuid: self.uuid(id), boot, seed, ..self.limits.clone() }
    }

    /// The longest election timeout that a clock that goes right can draw.
    #[must_use]
    pub fn longest_timeout(&self) -> Micros {
        2 * u64::from(self.limits.election_ticks) * self.tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_draws_limits_that_a_core_accepts() {
        let mut with = [0; 4];
        for seed in 0..500 {
            let swarm = Swarm::draw(seed);
            let config = swarm.config(NodeId(1), Boot(1));
            assert_eq!(config.validate(), Ok(()), "seed {seed}");
            assert!(swarm.voters <= swarm.nodes && swarm.nodes <= NODES_MAX);
            for (count, on) in with.iter_mut().zip([
                swarm.crash.is_some(),
                swarm.change.is_some(),
                swarm.liveness,
                swarm.damage,
            ]) {
                *count += u32::from(on);
            }
        }
        assert!(
            with.iter().all(|count| (20..480).contains(count)),
            "each is on in some and off in others: {with:?}"
        );
    }
}
