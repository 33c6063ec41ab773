//! What a seed switches on: a random subset of faults and verbs, with limits so small that deep states are reached.
//!
//! The reasons are those of [`raft::swarm`](crate::raft::swarm): mixing everything all the time hides what needs the absence
//! of something.

use holdfast_raft::config::RESIDENT_BYTES;
use holdfast_raft::{Boot, ClusterId, Config, NodeId, NodeUuid};
use holdfast_server::audit::AuditPolicy;
use holdfast_server::node::SnapshotPolicy;

use super::Micros;
use crate::raft::rng::{Rng, mix};

/// A millisecond.
pub const MS: Micros = 1_000;

/// A second.
pub const SECOND: Micros = 1_000 * MS;

/// The cluster that all runs simulate.
pub const CLUSTER: ClusterId = ClusterId([0xC2; 16]);

/// Machines that a run may have, those to come and those that are gone included.
pub const MACHINES_MAX: usize = 12;

/// What clients do at all. A weight of 0 leaves it out.
#[derive(Clone, Debug)]
pub struct Verbs {
    /// Writes of one key, without a condition.
    pub put: u64,
    /// Writes on the condition that a key is as it was read.
    pub swap: u64,
    /// Deletions of one key.
    pub delete: u64,
    /// Writes of several keys.
    pub transact: u64,
    /// Linearizable reads.
    pub read: u64,
    /// Reads at any member, of what has been seen already or newer.
    pub follow: u64,
    /// Leases: granted, renewed, revoked, left to end, with a key on some.
    pub lease: u64,
    /// Locks, and writes behind a fence.
    pub lock: u64,
    /// Elections.
    pub elect: u64,
    /// Watches.
    pub watch: u64,
    /// Compactions.
    pub compact: u64,
    /// Questions: leases, queues, histories, the audit log.
    pub query: u64,
}

/// Everything that a seed draws before its run begins. A mean gap of `None` means never.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seed.
    pub seed: u64,
    /// Voters at the beginning.
    pub voters: usize,
    /// How long faults go on.
    pub chaos: Micros,
    /// Limits of the cores; identity is filled in for each node.
    pub limits: Config,
    /// Bytes of a segment of a log.
    pub segment: u64,
    /// Bytes of one submission to the log.
    pub piece: usize,
    /// When snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// How long audit files are.
    pub audit: AuditPolicy,
    /// Settings that the operator changes at first: number and value.
    pub settings: Vec<(u16, u64)>,
    /// Clocks run between half and twice as fast, and not within 4 %.
    pub skew: bool,
    /// Times of day jump.
    pub jumps: bool,
    /// Inputs of one turn are gathered for up to this long.
    pub turn: Micros,
    /// A message takes at least this long.
    pub delay: Micros,
    /// Messages of peers that take up to `delay_long`, of a thousand.
    pub slow: u64,
    /// The longest that a slow message takes.
    pub delay_long: Micros,
    /// Messages of peers that are lost, of a thousand.
    pub loss: u64,
    /// Messages of peers that arrive twice, of a thousand.
    pub duplicate: u64,
    /// Between replays of recorded messages of peers.
    pub replay: Option<Micros>,
    /// Connections of clients that break, of a thousand pieces of their streams.
    pub hangups: u64,
    /// A write and a sync of the disk take up to this long.
    pub disk: Micros,
    /// Syncs that stall, of a thousand.
    pub stall: u64,
    /// The longest stall.
    pub stall_long: Micros,
    /// Work of other threads takes up to this long.
    pub job: Micros,
    /// Between crashes of one node.
    pub crash: Option<Micros>,
    /// Of a thousand crashes, those that are power cuts and not the end of a process.
    pub power: u64,
    /// Between crashes of all nodes.
    pub mass_crash: Option<Micros>,
    /// How long a crashed node stays down.
    pub down: Micros,
    /// A crash cuts a turn in its middle, of a thousand turns of a node that is to crash.
    pub midway: bool,
    /// Between pauses.
    pub pause: Option<Micros>,
    /// Between partitions.
    pub partition: Option<Micros>,
    /// Clients are cut off as well.
    pub clients_cut: bool,
    /// Between failures of a sync of a log.
    pub sync_failure: Option<Micros>,
    /// Between times in which a disk has no room.
    pub full: Option<Micros>,
    /// Between failures of the disk under snapshots and audit files.
    pub side_failure: Option<Micros>,
    /// Files are damaged at restarts, of a thousand.
    pub damage: u64,
    /// Between changes of members.
    pub members: Option<Micros>,
    /// Between transfers of office.
    pub transfer: Option<Micros>,
    /// Clients.
    pub clients: usize,
    /// Calls of one client at a time.
    pub in_flight: usize,
    /// Between calls of one client.
    pub gap: Micros,
    /// Between bursts of calls far beyond what is usual.
    pub burst: Option<Micros>,
    /// Keys.
    pub keys: u64,
    /// Milliseconds that leases and sessions live.
    pub ttl_ms: u64,
    /// What clients do.
    pub verbs: Verbs,
    /// Leaders are struck as soon as they are elected.
    pub hunt_leaders: bool,
    /// Nodes are struck when a snapshot is being installed or taken.
    pub hunt_snapshots: bool,
    /// Nodes are struck while a change of members is under way.
    pub hunt_members: bool,
    /// The run ends with only a core quorum healed, and it must go on.
    pub core_only: bool,
}

/// A mean gap between `low` and `high` milliseconds, in so many seeds of a thousand.
fn maybe(rng: &mut Rng, per_mille: u64, low: u64, high: u64) -> Option<Micros> {
    let gap = rng.between(low * MS, high * MS);
    rng.chance(per_mille).then_some(gap)
}

fn draw_limits(rng: &mut Rng) -> Config {
    let mut limits = Config::new(CLUSTER, NodeId(1), NodeUuid([0; 16]), Boot(1), 0);
    limits.election_ticks = rng.between(10, 30) as u32;
    limits.heartbeat_ticks = rng.between(1, u64::from(limits.election_ticks / 4).max(1)) as u32;
    limits.disk_stall_ticks = rng.between(1, 3) as u32 * limits.election_ticks;
    limits.append_bytes_max = *rng.pick(&[1, 300, 2_000, 100_000]);
    limits.inflight_appends_max = *rng.pick(&[1, 2, 4, 64]);
    limits.inflight_bytes_max = *rng.pick(&[1, 1_000, 100_000]);
    limits.uncommitted_bytes_max = *rng.pick(&[2_000, 20_000, 64 << 20]);
    limits.apply_bytes_max = *rng.pick(&[1, 1_000, 100_000]);
    limits.chunk_bytes_max = *rng.pick(&[1_000, 5_000, 50_000]);
    limits.retain_bytes = *rng.pick(&[0, 2_000, 20_000, 1 << 20]);
    limits.caught_up_entries = *rng.pick(&[1, 5, 20]);
    limits
}

fn draw_settings(rng: &mut Rng, ttl_ms: u64) -> Vec<(u16, u64)> {
    use holdfast_command::Setting;
    use holdfast_machine::Numbered;
    let mut settings = vec![
        (Setting::LeaseTtlMin, ttl_ms.min(500)),
        (Setting::SessionTtlMin, ttl_ms.min(500)),
        (Setting::DigestRange, rng.between(1, 16)),
    ];
    if rng.chance(200) {
        settings.push((Setting::SessionWindow, rng.between(1, 8)));
    }
    if rng.chance(150) {
        settings.push((Setting::SessionReplyBytes, rng.between(1, 400)));
    }
    if rng.chance(100) {
        settings.push((Setting::Sessions, rng.between(2, 6)));
    }
    if rng.chance(100) {
        settings.push((Setting::Leases, rng.between(1, 5)));
    }
    if rng.chance(100) {
        settings.push((Setting::Places, rng.between(1, 4)));
    }
    if rng.chance(100) {
        settings.push((Setting::QuotaKeys, rng.between(3, 10)));
    }
    settings.iter().map(|(setting, value)| (setting.number(), *value)).collect()
}

fn draw_verbs(rng: &mut Rng) -> Verbs {
    let mut some = |per_mille: u64, most: u64| {
        let weight = rng.between(1, most);
        if rng.chance(per_mille) { weight } else { 0 }
    };
    Verbs {
        put: 1 + some(900, 12),
        swap: some(600, 8),
        delete: some(600, 4),
        transact: some(600, 6),
        read: 1 + some(900, 8),
        follow: some(600, 6),
        lease: some(500, 4),
        lock: some(500, 5),
        elect: some(300, 3),
        watch: some(600, 3),
        compact: some(350, 2),
        query: some(400, 3),
    }
}

impl Swarm {
    /// What this seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(mix(seed, 0x4E4F_4445));
        let mut limits = draw_limits(rng);
        // Drawn apart: what a seed drew before there was this limit it draws still.
        limits.resident_bytes = *Rng::new(mix(seed, 0x4E5)).pick(&[0, 2_000, RESIDENT_BYTES, RESIDENT_BYTES]);
        let ttl_ms = *rng.pick(&[300, 700, 1_500, 4_000]);
        let settings = draw_settings(rng, ttl_ms);
        let verbs = draw_verbs(rng);
        let voters = *rng.pick(&[1, 2, 3, 3, 3, 3, 3, 4, 5, 5]);
        let snapshots = SnapshotPolicy {
            entries: *rng.pick(&[4, 10, 25, 60, 200]),
            bytes_max: *rng.pick(&[0, 0, 4_000, 1 << 30]),
            ..SnapshotPolicy::default()
        };
        let audit = AuditPolicy {
            file_bytes: *rng.pick(&[2_000, 8_000, 100_000]),
            total_bytes: *rng.pick(&[10_000, 1 << 40, 1 << 40]),
            age_ms: u64::MAX,
        };
        Self {
            seed,
            voters,
            chaos: rng.between(3_000, 9_000) * MS,
            limits,
            segment: *rng.pick(&[16 << 10, 32 << 10, 64 << 10]),
            piece: *rng.pick(&[200, 2_000, 1 << 20]),
            snapshots,
            audit,
            settings,
            skew: rng.chance(200),
            jumps: rng.chance(300),
            turn: *rng.pick(&[0, 100, MS, 5 * MS]),
            delay: *rng.pick(&[100, 500, 2 * MS, 8 * MS]),
            slow: *rng.pick(&[0, 0, 10, 60, 200]),
            delay_long: *rng.pick(&[20 * MS, 200 * MS, 1_500 * MS]),
            loss: *rng.pick(&[0, 0, 5, 40, 120]),
            duplicate: *rng.pick(&[0, 0, 20, 150]),
            replay: maybe(rng, 350, 50, 800),
            hangups: *rng.pick(&[0, 0, 1, 5]),
            disk: *rng.pick(&[200, MS, 5 * MS, 15 * MS]),
            stall: *rng.pick(&[0, 0, 5, 30]),
            stall_long: *rng.pick(&[50 * MS, 400 * MS, 2_000 * MS]),
            job: *rng.pick(&[200, 2 * MS, 20 * MS]),
            crash: maybe(rng, 650, 300, 2_500),
            power: *rng.pick(&[0, 300, 500, 1_000]),
            mass_crash: maybe(rng, 250, 1_500, 6_000),
            down: rng.between(20, 1_500) * MS,
            midway: rng.chance(600),
            pause: maybe(rng, 350, 400, 3_000),
            partition: maybe(rng, 550, 300, 2_500),
            clients_cut: rng.chance(500),
            sync_failure: maybe(rng, 150, 500, 3_000),
            full: maybe(rng, 150, 800, 3_000),
            side_failure: maybe(rng, 200, 300, 2_000),
            damage: *rng.pick(&[0, 0, 300, 800]),
            members: maybe(rng, 400, 300, 2_500),
            transfer: maybe(rng, 300, 300, 2_500),
            clients: rng.between(2, 5) as usize,
            in_flight: *rng.pick(&[1, 1, 2, 6]),
            gap: rng.between(5, 60) * MS,
            burst: maybe(rng, 150, 800, 3_000),
            keys: *rng.pick(&[1, 2, 4, 8]),
            ttl_ms,
            verbs,
            hunt_leaders: rng.chance(250),
            hunt_snapshots: rng.chance(250),
            hunt_members: rng.chance(250),
            core_only: rng.chance(350),
        }
    }

    /// The longest election timeout of a node whose clock goes right.
    #[must_use]
    pub fn longest_timeout(&self) -> Micros {
        2 * u64::from(self.limits.election_ticks) * 10 * MS
    }
}
