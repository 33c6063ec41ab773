//! A machine: four directories on disks that lie, a clock of its own, and a process that runs the real node on it.
//!
//! What the process does here is what `server::runtime` does with threads and sockets: the steps of a start, the hand-over to
//! the log, the answers. Everything that decides anything is the product's own code.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_hlc::UnixMillis;
use holdfast_raft::formation::{Formed, IdentityState, Mint};
use holdfast_raft::{Boot, Config, Configuration, EntryId, Index, NodeId, NodeUuid, PersistId};
use holdfast_server::audit::{AuditFiles, AuditWork, RefusedLog};
use holdfast_server::node::plant::{AsDesigned, Plant};
use holdfast_server::node::{AuditJob, Job, Node, Now, SnapshotJob};
use holdfast_server::storage::{
    DataDir, Identity, Joining, LogOptions, Opened, SnapshotFiles, StorageError, open_log, start_core,
    start_from,
};
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::{Log, Op};

use super::Micros;
use super::ports::Served;
use super::swarm::{CLUSTER, MS, SECOND, Swarm};

/// What people call the cluster.
pub const NAME: &str = "sim";

/// Bytes that a disk has room for when nothing fills it.
pub const ROOM: u64 = 1 << 30;

/// The directories of a machine, each a disk of its own, so that damage can be told where to go.
#[derive(Clone, Debug)]
pub struct Disks {
    /// The data directory: the identity file.
    pub data: FakeDisk,
    /// The log.
    pub wal: FakeDisk,
    /// The snapshots.
    pub snapshots: FakeDisk,
    /// The audit log.
    pub audit: FakeDisk,
}

impl Disks {
    /// Empty ones.
    #[must_use]
    pub fn new() -> Self {
        let disk = || FakeDisk::new(ROOM);
        Self { data: disk(), wal: disk(), snapshots: disk(), audit: disk() }
    }

    /// Each of them.
    #[must_use]
    pub fn all(&self) -> [&FakeDisk; 4] {
        [&self.data, &self.wal, &self.snapshots, &self.audit]
    }

    /// What becomes of them by this way to make one disk of another.
    #[must_use]
    pub fn each(&self, mut how: impl FnMut(&FakeDisk) -> FakeDisk) -> Self {
        Self {
            data: how(&self.data),
            wal: how(&self.wal),
            snapshots: how(&self.snapshots),
            audit: how(&self.audit),
        }
    }
}

impl Default for Disks {
    fn default() -> Self {
        Self::new()
    }
}

/// A clock that goes at its own rate, which may change.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    since: Micros,
    shown: u64,
    /// Microseconds that it shows in a thousand real ones.
    pub rate: u64,
    /// What the time of day is ahead of the true one, in milliseconds.
    pub wall_ahead: i64,
}

impl Clock {
    /// One that shows so much at the beginning.
    #[must_use]
    pub fn new(shown: u64, rate: u64) -> Self {
        Self { since: 0, shown, rate, wall_ahead: 0 }
    }

    /// What it shows.
    #[must_use]
    pub fn micros(&self, now: Micros) -> u64 {
        self.shown + (now - self.since) * self.rate / 1_000
    }

    /// From now on it goes at this rate.
    pub fn set_rate(&mut self, now: Micros, rate: u64) {
        (self.shown, self.since, self.rate) = (self.micros(now), now, rate);
    }

    /// How long it really takes until it shows so much more.
    #[must_use]
    pub fn real(&self, shown: u64) -> Micros {
        (shown * 1_000).div_ceil(self.rate)
    }
}

/// Something for the log.
#[derive(Debug)]
pub struct Waiting {
    /// What is durable with it; `None` for all pieces of a persist but the last.
    pub id: Option<PersistId>,
    /// What is written.
    pub ops: Vec<Op>,
    /// The damage of the log is over with it.
    pub heals: bool,
}

/// The log of a process, and what waits for it.
pub struct Writer {
    /// The log.
    pub log: Log<FakeDisk>,
    /// Not written yet.
    pub waiting: VecDeque<Waiting>,
    /// Written and not synced.
    pub written: Vec<Waiting>,
    /// An event for it is under way.
    pub busy: bool,
    /// Bytes that are free and that are needed, if the disk is too full.
    pub full: Option<(u64, u64)>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.waiting.len()).field("busy", &self.busy).finish()
    }
}

/// What lives as long as a process.
#[derive(Debug)]
pub struct Process<P: Plant = AsDesigned> {
    /// The node.
    pub node: Node<P>,
    /// The data directory, locked.
    pub data_dir: DataDir<FakeDisk>,
    /// What its identity file says.
    pub identity: Identity,
    /// The log.
    pub writer: Writer,
    /// Work for other threads.
    pub jobs: BTreeMap<u64, Job<P>>,
    /// The snapshots, and what is to be done with them.
    pub files: SnapshotFiles<FakeDisk, P::Store>,
    /// Work on snapshots.
    pub snapshot_jobs: VecDeque<SnapshotJob<P::Store>>,
    /// The audit log.
    pub audit: AuditWork<FakeDisk>,
    /// Work on it.
    pub audit_jobs: VecDeque<AuditJob>,
    /// An event for each of the two is under way.
    pub busy: [bool; 2],
    /// Connections of clients.
    pub served: BTreeMap<u64, Served>,
    /// A turn is about to be taken.
    pub turn_open: bool,
    /// When the first thing was told that belongs to the turn: a pause may lie between that and its end.
    pub turn_began: Micros,
}

/// How a machine came to be a member.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It formed the cluster.
    Founder(Box<Mint>),
    /// It joined.
    Joined,
}

/// One machine.
#[derive(Debug)]
pub struct Machine<P: Plant = AsDesigned> {
    /// The number of its node.
    pub id: NodeId,
    /// The name of its directory.
    pub uuid: NodeUuid,
    /// Where it comes from.
    pub origin: Origin,
    /// Its disks.
    pub disks: Disks,
    /// Its clock.
    pub clock: Clock,
    /// The process, while one runs.
    pub process: Option<Process<P>>,
    /// Where the configuration stood that acted when the last process ended. Its disks may have lost it since.
    pub acted: Index,
    /// Starts so far: names a life of the process.
    pub life: u64,
    /// It takes nothing in before.
    pub paused_until: Micros,
    /// The log is not written before.
    pub stalled_until: Micros,
    /// The operator has taken it away.
    pub retired: bool,
    /// A process that is to start does not: why not.
    pub refused: Option<String>,
    /// The next turn is cut in its middle by a crash.
    pub doomed: bool,
    /// The entries that were durable in its log, whatever became of the disk since: index and term.
    pub durable: BTreeMap<u64, u64>,
    /// A snapshot that is in place stands for all up to here.
    pub covered: u64,
    /// Something on its disks was damaged, and it has not come back whole since.
    pub damaged: bool,
    /// Something on its disks was damaged some time.
    pub was_damaged: bool,
}

/// Why a process did not start.
#[derive(Debug)]
pub enum NoStart {
    /// Its storage does not let it.
    Storage(StorageError),
    /// Its audit log does not.
    Audit(String),
}

impl<P: Plant> Machine<P> {
    /// One that has never run.
    #[must_use]
    pub fn new(id: NodeId, uuid: NodeUuid, origin: Origin, rate: u64) -> Self {
        Self {
            id,
            uuid,
            origin,
            disks: Disks::new(),
            clock: Clock::new(7_777 * id.0, rate),
            process: None,
            acted: Index(0),
            life: 0,
            paused_until: 0,
            stalled_until: 0,
            retired: false,
            refused: None,
            doomed: false,
            durable: BTreeMap::new(),
            covered: 0,
            damaged: false,
            was_damaged: false,
        }
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> ByteString {
        address(self.id)
    }

    /// The time, as its processes know it.
    #[must_use]
    pub fn time(&self, now: Micros) -> Now {
        let true_wall = 1_700_000_000_000 + (now / MS) as i64 + self.clock.wall_ahead;
        let wall = UnixMillis::new(true_wall.max(0) as u64).unwrap_or(UnixMillis::EPOCH);
        Now { micros: self.clock.micros(now), wall }
    }

    /// Who forms the cluster or belongs to it.
    fn formed(&self) -> Formed {
        match &self.origin {
            Origin::Founder(mint) => {
                let members = mint.list().members().iter().zip(mint.uuids());
                let members = members.map(|((id, address), uuid)| (*id, *uuid, address.clone()));
                Formed { cluster: mint.cluster(), uuid: self.uuid, members: members.collect() }
            }
            Origin::Joined => Formed { cluster: CLUSTER, uuid: self.uuid, members: Vec::new() },
        }
    }

    /// Writes the identity of a machine that has never run, as its formation or its joining leaves it.
    ///
    /// # Panics
    /// If an empty disk does not take it.
    pub fn introduce(&self) {
        let blank = Identity::blank(self.id, NAME);
        let identity = match &self.origin {
            Origin::Founder(mint) => Identity { formation: IdentityState::Formed((**mint).clone()), ..blank },
            Origin::Joined => {
                Identity { joining: Some(Joining { uuid: self.uuid, cluster: Some(CLUSTER) }), ..blank }
            }
        };
        let data_dir = DataDir::on(self.disks.data.clone()).expect("nobody holds it");
        data_dir.store(&identity).expect("an empty disk takes it");
    }

    /// Starts a process on what the disks hold: the steps are those of the product, in its order.
    ///
    /// # Errors
    /// [`NoStart`]: why there is none.
    pub fn start(&mut self, swarm: &Swarm, now: Micros) -> Result<Started, NoStart> {
        let storage = NoStart::Storage;
        let data_dir = DataDir::on(self.disks.data.clone()).map_err(storage)?;
        let mut identity = data_dir.begin_boot(self.id, NAME).map_err(storage)?;
        self.life += 1;
        let store = |identity: &Identity| data_dir.store(identity);
        let options = LogOptions {
            segment_bytes: swarm.segment,
            prepared: 2,
            salt_seed: swarm.seed ^ (self.id.0 << 48) ^ self.life,
        };
        let (log, recovered, _) =
            open_log(self.disks.wal.clone(), &mut identity, store, &self.formed(), options)
                .map_err(storage)?;
        let epoch = holdfast_raft::ClusterEpoch(identity.epoch);
        let opened = SnapshotFiles::open(self.disks.snapshots.clone(), CLUSTER, epoch)
            .map_err(|error| storage(error.into()))?;
        let Opened { files, loaded, damaged } = opened;
        let covered = loaded.as_ref().map_or(0, |loaded| loaded.meta.last.index.0);
        let found = Found {
            entries: recovered.entries.len() as u64,
            log_damaged: recovered.damage.is_some(),
            hard_state_lost: recovered.hard_state_lost,
            snapshots_damaged: damaged.len() as u64,
        };
        // What an opened log reports is durable.
        for (index, entry) in (recovered.prev.index.0 + 1..).zip(&recovered.entries) {
            self.durable.insert(index, entry.term.0);
        }
        let (recovered, state) = start_from(recovered, loaded, &damaged).map_err(storage)?;
        let audit =
            AuditFiles::open(self.disks.audit.clone(), CLUSTER, epoch, state.applied().index, swarm.audit)
                .map_err(|error| NoStart::Audit(error.to_string()))?;
        let refused = RefusedLog::open(self.disks.audit.clone())
            .or_else(|_| Ok::<_, std::io::Error>(RefusedLog::anew(self.disks.audit.clone())))
            .map_err(|error| NoStart::Audit(error.to_string()))?;
        let mut config = Config::new(CLUSTER, self.id, self.uuid, Boot(identity.boot), options.salt_seed);
        let limits = &swarm.limits;
        config.epoch = epoch;
        (config.election_ticks, config.heartbeat_ticks) = (limits.election_ticks, limits.heartbeat_ticks);
        config.disk_stall_ticks = limits.disk_stall_ticks;
        config.append_bytes_max = limits.append_bytes_max;
        config.inflight_appends_max = limits.inflight_appends_max;
        config.inflight_bytes_max = limits.inflight_bytes_max;
        config.uncommitted_bytes_max = limits.uncommitted_bytes_max;
        config.apply_bytes_max = limits.apply_bytes_max;
        config.chunk_bytes_max = limits.chunk_bytes_max;
        config.retain_bytes = limits.retain_bytes;
        config.resident_bytes = limits.resident_bytes;
        config.caught_up_entries = limits.caught_up_entries;
        let core = start_core(config, recovered, &mut identity, store).map_err(storage)?;
        self.covered = self.covered.max(covered);
        let mut node = Node::new(core, state, self.address(), self.time(now));
        node.set_snapshot_policy(swarm.snapshots);
        let writer = Writer { log, waiting: VecDeque::new(), written: Vec::new(), busy: false, full: None };
        self.process = Some(Process {
            node,
            data_dir,
            identity,
            writer,
            jobs: BTreeMap::new(),
            files,
            snapshot_jobs: VecDeque::new(),
            audit: AuditWork::new(audit.files, refused),
            audit_jobs: VecDeque::new(),
            busy: [false; 2],
            served: BTreeMap::new(),
            turn_open: false,
            turn_began: now,
        });
        self.refused = None;
        Ok(Started { found })
    }

    /// Ends the process; the disks keep what they want to keep. `choose` says which of so many contents of an unsynced cell
    /// a power cut leaves; nothing is chosen at the end of a process.
    pub fn crash(&mut self, power: Option<&mut dyn FnMut(usize) -> usize>) {
        if let Some(process) = self.process.take() {
            self.acted = process.node.core().configuration().0;
        }
        (self.paused_until, self.doomed) = (0, false);
        self.disks = match power {
            None => self.disks.each(FakeDisk::after_kill),
            Some(choose) => self.disks.each(|disk| {
                let choices: Vec<usize> = disk.unsynced().iter().map(|cell| choose(cell.versions)).collect();
                disk.after_power_cut(&choices)
            }),
        };
    }

    /// Notes what became durable.
    pub fn note_durable(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Entry { index, term, .. } => {
                    self.durable.split_off(index);
                    self.durable.insert(*index, *term);
                }
                Op::Fill { index, term, .. } => {
                    self.durable.insert(*index, *term);
                }
                Op::Reset { index, .. } => {
                    self.durable.clear();
                    self.covered = self.covered.max(*index);
                }
                Op::HardState { .. } | Op::Trim { .. } | Op::Confirm { .. } | Op::Heal { .. } => {}
            }
        }
    }

    /// Whether this entry was ever durable here and not overwritten since, or is part of a snapshot.
    #[must_use]
    pub fn held(&self, index: u64, term: u64) -> bool {
        self.covered >= index || self.durable.get(&index) == Some(&term)
    }

    /// Where the configuration stands that acts at its node, or did when it ran last.
    #[must_use]
    pub fn acting_at(&self) -> Index {
        self.process.as_ref().map_or(self.acted, |process| process.node.core().configuration().0)
    }

    /// The configuration that acts at its node, while one runs.
    #[must_use]
    pub fn acting(&self) -> Option<Arc<Configuration>> {
        self.process.as_ref().map(|process| process.node.core().configuration().1.clone())
    }

    /// The end of its log.
    #[must_use]
    pub fn last(&self) -> Option<EntryId> {
        self.process.as_ref().map(|process| process.node.core().last())
    }
}

/// What a start found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// See there.
    pub found: Found,
}

/// What was on the disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Entries of the log in front of the first hole.
    pub entries: u64,
    /// The log is damaged, or was and is not healed.
    pub log_damaged: bool,
    /// Term and vote may not be the last.
    pub hard_state_lost: bool,
    /// Snapshots that are not whole.
    pub snapshots_damaged: u64,
}

/// Where clients reach a node.
#[must_use]
pub fn address(id: NodeId) -> ByteString {
    format!("node-{id}:1").into()
}

/// Whose address this is.
#[must_use]
pub fn node_at(address: &str) -> Option<NodeId> {
    address.strip_prefix("node-")?.strip_suffix(":1")?.parse().ok().map(NodeId)
}

/// The names that the founders of a cluster agree on.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn mint(founders: &[(NodeId, NodeUuid)]) -> Mint {
    let members = founders.iter().map(|(id, _)| (*id, Bytes::from(format!("node-{id}:2"))));
    let list = holdfast_raft::formation::MemberList::new(members).expect("a list of members");
    Mint::new(CLUSTER, list, founders.iter().map(|(_, uuid)| *uuid)).expect("a name for each")
}

/// How long a process waits before it tries again what the disk had no room for.
pub const RETRY: Micros = SECOND / 10;
