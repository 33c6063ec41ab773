//! A node as a process: threads, sockets, files, clocks, around a [`Node`] that knows none of them.
//!
//! # Why one thread does nearly everything
//! Waking another thread costs some 31 µs on the machine this was built for, a hop to another task of the same thread
//! 0.6 µs. So sockets, node and apply share one thread, and what came in while a turn was busy is the next turn's batch.
//!
//! # Shape
//! ```text
//!   clients ──► links ──┐                    ┌──► peers            node thread: one runtime, one loop
//!   peers   ──► links ──┼──► hub ──► turn ───┼──► WAL thread ──┐   writes and syncs, wakes only if wanted
//!   WAL     ── durable ─┤     ▲              ├──► clients      │
//!   API thread ── desk ─┘     │              └──► workers ─────┤   long applies, long reads
//!                             └────────────────────────────────┘
//! ```
//! | file | what stands there |
//! |---|---|
//! | `life` | machine 14: start and stop |
//! | `turn` | the loop: what is done in which order |
//! | `link` | a connection with its socket |
//! | `live` | what may be changed while it runs |
//! | `lines` | what the log says of it |
//! | `clients`, `peers` | the two ports |
//! | `desk` | the way from the thread of the [API](crate::api) to the node and back |
//! | `measures` | what is counted for `/metrics` |
//! | `examine` | what it says of itself when it is examined |
//! | `disk`, `workers`, `log_reads`, `snapshots`, `audit` | the other threads |
//! | `forming` | before there is a cluster |
//! | `joining` | before this node belongs to the one that is there |
//!
//! # Order of a start
//! lock the directory → identity and boot counter → (formation) → log, and snapshot beside it → core → peers and listeners →
//! ready. A stop goes the other way; `turn` has it as a list, with the reason for each place.

mod audit;
pub(crate) mod clients;
pub(crate) mod desk;
mod disk;
pub(crate) mod examine;
mod forming;
mod hub;
mod joining;
mod life;
mod lines;
mod link;
mod live;
mod log_reads;
pub(crate) mod measures;
mod peers;
mod snapshots;
mod turn;
mod workers;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_raft::formation::{
    ASK_TICKS, BadList, Formation, FormationConfig, FormationError, IdentityState, MemberList, Seed,
    StopReason,
};
use holdfast_raft::{ClusterEpoch, ClusterId, Config, NodeId};
use holdfast_store::Store;
use holdfast_wal::disk::RealDisk;
use holdfast_wal::thread::Settings;
use holdfast_wire::{Boot, NodeId as WireNodeId, NodeIdentity, NodeUuid};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::api;
use crate::audit::{AuditError, AuditFiles, AuditOpened, AuditPolicy, AuditWork, RefusedLog};
use crate::node::{Node, SnapshotPolicy};
use crate::storage::{
    DataDir, Identity, LogOptions, Opened, PayloadError, SnapshotFiles, StorageError, open_log, start_core,
    start_from,
};
use hub::{Hub, Who};
pub use life::{Edge as LifeEdge, Event as LifeEvent, LifeMachine, Observer, State as LifeState};
pub use live::Live;

/// How long a tick is. All timeouts of the core are counted in ticks.
pub const TICK: Duration = Duration::from_millis(10);

/// Everything that a node is told when it is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its number, from 1; never used by another node before or after.
    pub node: u64,
    /// Where it keeps identity and log. Made if it is not there.
    pub data_dir: PathBuf,
    /// What the operator calls the cluster: nodes of differently called clusters do not form one.
    pub cluster: String,
    /// Where it listens to clients, `host:port`.
    pub listen_client: String,
    /// Where it listens to peers.
    pub listen_peer: String,
    /// Where it listens to HTTP; nowhere by default.
    pub listen_http: Option<String>,
    /// Where clients reach it, if that is not where it listens.
    pub advertise_client: Option<String>,
    /// Where HTTP reaches it, if that is not where it listens.
    pub advertise_http: Option<String>,
    /// Ids and peer addresses of the nodes that form a cluster, this one among them; the same at all of them. May be empty
    /// if the directory belongs to a cluster already.
    pub initial_cluster: Vec<(u64, String)>,
    /// Client addresses of members of a cluster that this node is to join, instead of forming one. Not looked at once it has.
    pub join: Vec<String>,
    /// Where the other nodes reach it, if that is not where it listens. Only told when it joins.
    pub advertise_peer: Option<String>,
    /// Join as a member that does not vote, and stay one.
    pub learner: bool,
    /// Ticks of 10 ms between heartbeats.
    pub heartbeat_ticks: u32,
    /// The shortest election timeout in ticks of 10 ms.
    pub election_ticks: u32,
    /// Bytes of a segment of a log that is made anew.
    pub segment_bytes: u64,
    /// How much is applied before the next snapshot is taken.
    pub snapshots: SnapshotPolicy,
    /// How large the files of the audit log become, and for how long they are kept.
    pub audit: AuditPolicy,
    /// Bytes of entries that are kept behind a snapshot, for peers that are slow; a peer that lacks more than that is
    /// sent the snapshot. An eighth of it is kept for those that are away.
    pub retain_bytes: usize,
    /// Who hears how far the node has come; nobody by default.
    pub observer: Observer,
    /// What whoever holds a clone of it may change while the node runs.
    pub live: Live,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(node: u64, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node,
            data_dir: data_dir.into(),
            cluster: "holdfast".to_owned(),
            listen_client: "127.0.0.1:7400".to_owned(),
            listen_peer: "127.0.0.1:7401".to_owned(),
            listen_http: None,
            advertise_client: None,
            advertise_http: None,
            initial_cluster: Vec::new(),
            join: Vec::new(),
            advertise_peer: None,
            learner: false,
            heartbeat_ticks: holdfast_raft::config::HEARTBEAT_TICKS,
            election_ticks: holdfast_raft::config::ELECTION_TICKS,
            segment_bytes: 64 * 1024 * 1024,
            snapshots: SnapshotPolicy::default(),
            audit: AuditPolicy::default(),
            retain_bytes: holdfast_raft::config::RETAIN_BYTES,
            observer: Observer::default(),
            live: Live::default(),
        }
    }
}

/// The smallest segment: the log takes entries of up to half a segment, and one of the core has up to 12 MiB.
pub const SEGMENT_BYTES_MIN: u64 = 2 * holdfast_raft::config::ENTRY_DATA_BYTES_MAX as u64;

impl Options {
    /// Where others are told that HTTP reaches the node; `None` if it serves none, or only programs on its own machine while
    /// others reach it from elsewhere: they would be sent to themselves.
    fn http_address(&self) -> Option<&str> {
        let listen = self.listen_http.as_deref()?;
        let advertised = self.advertise_http.as_deref().unwrap_or(listen);
        let is_loopback = |address: &str| {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        };
        let others = [
            self.advertise_client.as_deref().unwrap_or(&self.listen_client),
            self.advertise_peer.as_deref().unwrap_or(&self.listen_peer),
        ];
        let is_own = is_loopback(advertised) && !others.into_iter().all(is_loopback);
        (!is_own).then_some(advertised)
    }

    /// That nothing in them can go wrong later, when the node belongs to a cluster already.
    ///
    /// # Errors
    /// [`RunError::Options`] with the rule.
    pub fn validate(&self) -> Result<(), RunError> {
        let unspecified = |address: &str| {
            let address = address.parse::<std::net::SocketAddr>();
            address.is_ok_and(|address| address.ip().is_unspecified() || address.port() == 0)
        };
        let advertised = self.advertise_client.as_deref().unwrap_or(&self.listen_client);
        let peer = self.advertise_peer.as_deref().unwrap_or(&self.listen_peer);
        let rules = [
            (
                self.join.is_empty() || self.initial_cluster.is_empty(),
                "a node forms a cluster or joins one: give it --initial-cluster or --join",
            ),
            (
                self.join.is_empty() || !unspecified(peer),
                "the members are told the address that this node listens on, and that is none that they could reach: name one \
                 with --advertise-peer",
            ),
            (
                self.node >= 1 && self.node < holdfast_raft::COUNT_MAX,
                "a node id is at least 1 and below 2^62",
            ),
            (self.heartbeat_ticks >= 1, "heartbeats are at least 10 ms apart"),
            (
                self.election_ticks > 2 * self.heartbeat_ticks && self.election_ticks < 1 << 20,
                "an election timeout is longer than two heartbeats, or one lost message starts an election",
            ),
            (
                self.segment_bytes >= SEGMENT_BYTES_MIN
                    && self.segment_bytes <= holdfast_wal::format::MAX_SEGMENT_BYTES
                    && self.segment_bytes.is_multiple_of(4096),
                "a segment has 24 MiB to 1 GiB, and is a multiple of 4096 bytes",
            ),
            (
                self.snapshots.entries >= 1 && self.snapshots.bytes >= 1,
                "a snapshot is taken of at least one entry, or one byte of them",
            ),
            (
                self.audit.total_bytes >= self.audit.file_bytes && self.audit.age_ms >= 1,
                "the audit log has room for one file of 16 MiB at least, and is kept for a day at least",
            ),
            (
                self.http_address().is_none_or(|address| !unspecified(address)),
                "a node that does not lead sends who asks over HTTP to the address that the leader listens on, and that is none \
                 that they could reach: name one with --advertise-http",
            ),
            (
                !unspecified(advertised),
                "clients are told the address that this node listens on, and that is none that they could reach: name one \
                 with --advertise-client",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(RunError::Options(rule)))
    }
}

/// Why a node did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data directory.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The files of the audit log.
    #[error("the audit log: {0}")]
    Audit(#[from] AuditError),
    /// The list of members.
    #[error("the initial cluster is none: {0}")]
    List(#[from] BadList),
    /// List and identity file contradict each other.
    #[error("{0}")]
    Formation(#[from] FormationError),
    /// A peer showed that this node must not go on.
    #[error("{0}")]
    Stopped(StopReason),
    /// There is no cluster to belong to.
    #[error(
        "the directory {0} belongs to no cluster yet: name the members that form one with --initial-cluster, the same on all of \
         them, or members of one that is there with --join"
    )]
    NoCluster(String),
    /// The node belongs to a cluster, and knows none of its members.
    #[error(
        "the directory {0} belongs to a cluster and holds no list of its members: it never received one, or lost it with its \
         snapshot; name members to ask with --join"
    )]
    NoMembers(String),
    /// The cluster did not take the node on.
    #[error("joining: {0}")]
    Join(String),
    /// An address cannot be listened on.
    #[error("listening on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// A thread or a runtime could not be made.
    #[error("starting: {0}")]
    System(#[source] std::io::Error),
    /// The store must not go on.
    #[error("node {node} halts: {why}")]
    Halted {
        /// Which node.
        node: u64,
        /// Why.
        why: String,
    },
    /// The node is no member any more.
    #[error("node {node} ends: {why}")]
    Removed {
        /// Which node.
        node: u64,
        /// How it knows, and what is to be done.
        why: String,
    },
    /// The core wants something written that is no entry.
    #[error("an entry that no log may hold: {0}; please report this")]
    Entry(#[from] PayloadError),
    /// The log has ended, or refuses what it should take.
    #[error("the log: {0}; please report this")]
    Log(String),
    /// The options contradict themselves.
    #[error("{0}")]
    Options(&'static str),
}

/// Tells a node to stop, from any thread. Clones tell the same node.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(AtomicBool, Notify)>);

impl Stop {
    /// One that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an ordered stop; a second time changes nothing.
    pub fn stop(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_one();
    }

    /// Whether somebody has.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    async fn wanted(&self) {
        while !self.is_wanted() {
            self.0.1.notified().await;
        }
    }
}

/// A node on a thread of its own.
#[derive(Debug)]
pub struct Running {
    stop: Stop,
    thread: thread::JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Whether it has ended, by itself or because it was told to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells it to stop, and does not wait: so that several stop side by side.
    pub fn ask_to_stop(&self) {
        self.stop.stop();
    }

    /// Stops it in order, and waits for the end.
    ///
    /// # Errors
    /// [`RunError`], if it had ended by itself.
    ///
    /// # Panics
    /// If its thread did.
    pub fn stop(self) -> Result<(), RunError> {
        self.stop.stop();
        self.thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    }
}

/// Runs a node on a thread of its own.
///
/// # Errors
/// [`RunError::System`] if there is no thread.
pub fn start(options: Options) -> Result<Running, RunError> {
    let stop = Stop::new();
    let theirs = stop.clone();
    let thread = thread::Builder::new()
        .name(format!("node-{}", options.node))
        .spawn(move || run(options, &theirs))
        .map_err(RunError::System)?;
    Ok(Running { stop, thread })
}

/// Runs a node on this thread, until it is told to stop.
///
/// # Errors
/// [`RunError`]: why it did not start, or went no further.
pub fn run(options: Options, stop: &Stop) -> Result<(), RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::System)?;
    let lived = LocalSet::new().block_on(&runtime, live(options, stop));
    // A lookup of a name that hangs must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    lived
}

async fn bind(address: &str) -> Result<TcpListener, RunError> {
    let listened = TcpListener::bind(address).await;
    listened.map_err(|error| RunError::Listen { address: address.to_owned(), error })
}

/// 16 bytes of the system's randomness.
fn seed() -> Result<[u8; 16], RunError> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(|error| RunError::System(std::io::Error::other(error)))?;
    Ok(seed)
}

async fn live(options: Options, stop: &Stop) -> Result<(), RunError> {
    let (desk, desk_end, tell) = desk::desk();
    let mut life = life::Life::new(options.node, options.observer.clone(), tell);
    let looker = examine::Looker::new(&options.data_dir);
    // Before all else, so that whoever asks how the node is hears that it is on its way.
    let api = match &options.listen_http {
        Some(address) => {
            let told = options.http_address().unwrap_or_default();
            if told.is_empty() {
                tracing::warn!(
                    node = options.node,
                    address,
                    "HTTP is on loopback while others reach this node from elsewhere: nobody is sent here; name an address with \
                     --listen-http or --advertise-http"
                );
            }
            Some(api::start(address, told.to_owned(), desk, options.node, looker.clone())?)
        }
        None => None,
    };
    let lived = steps(&options, stop, &mut life, desk_end, looker).await;
    if let Err(error) = &lived {
        tracing::error!(node = options.node, %error, "the node cannot go on");
        life.fact(LifeEvent::Broke);
    }
    // Its last answers were given to it while the node drained.
    if let Some(api) = api {
        api.close();
    }
    lived
}

fn is_blank(identity: &Identity) -> bool {
    matches!(identity.formation, IdentityState::Blank)
}

/// The formation of a node, where its identity says that it is.
fn form(options: &Options, id: NodeId, seed: [u8; 16], identity: &Identity) -> Result<Formation, RunError> {
    let members = match identity.formation.mint() {
        Some(mint) if options.initial_cluster.is_empty() => mint.list().clone(),
        Some(_) | None if !options.initial_cluster.is_empty() => {
            let members = options.initial_cluster.iter();
            MemberList::new(members.map(|(id, address)| (NodeId(*id), Bytes::from(address.clone()))))?
        }
        Some(_) | None => return Err(RunError::NoCluster(options.data_dir.display().to_string())),
    };
    let config = FormationConfig { id, members, seed: Seed(seed), ask_ticks: ASK_TICKS };
    Ok(Formation::new(config, identity.formation.clone())?)
}

/// Reads the log on another thread while this one reads the newest snapshot: the one waits for the device most of the time, the
/// other never. Neither looks at what the other finds. The state is made on this thread, so that its memory is where it always
/// was: allocators keep that of threads apart.
fn side_by_side<L: Send, S>(
    log: impl FnOnce() -> L + Send,
    snapshot: impl FnOnce() -> S,
) -> Result<(L, S), RunError> {
    thread::scope(|scope| {
        let log = thread::Builder::new().name("log".to_owned()).spawn_scoped(scope, log);
        let log = log.map_err(RunError::System)?;
        let snapshot = snapshot();
        let log = log.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((log, snapshot))
    })
}

/// The files of the audit log, ready to go on behind the state from which the node starts.
fn open_audit(
    options: &Options,
    data_dir: &DataDir,
    (cluster, epoch): (ClusterId, ClusterEpoch),
    state: &Store,
) -> Result<AuditWork<RealDisk>, RunError> {
    let node = options.node;
    let applied = state.applied().index;
    let AuditOpened { files, cut, damaged, missing } =
        AuditFiles::open(data_dir.audit_disk()?, cluster, epoch, applied, options.audit)?;
    for file in damaged {
        tracing::error!(
            node,
            file,
            "a file of the audit log is damaged; the other nodes have the same records"
        );
    }
    if let Some(cut) = cut {
        tracing::info!(node, ?cut, "the end of the audit log was not written to the end");
    }
    if let Some(missing) = missing {
        let (first, last) = (missing.first, missing.last);
        tracing::warn!(node, first, last, "the audit log lacks what the snapshot covers");
    }
    let (through, complete_from) = (files.through(), files.complete_from());
    tracing::info!(node, complete_from, through, "audit log read");
    // It is a hint for people: nobody is kept waiting because of it.
    let refused = match RefusedLog::open(data_dir.audit_disk()?) {
        Ok(refused) => refused,
        Err(error) => {
            tracing::warn!(node, %error, "the refused requests of the past cannot be gone on with; new ones go into a new file");
            RefusedLog::anew(data_dir.audit_disk()?)
        }
    };
    Ok(AuditWork::new(files, refused))
}

/// Ends a life in which nobody was served yet: there is nothing to drain.
fn stop_early(life: &mut life::Life) {
    life.fact(LifeEvent::StopWanted);
    life.fact(LifeEvent::Closed);
}

/// The steps of a life, in order.
async fn steps(
    options: &Options,
    stop: &Stop,
    life: &mut life::Life,
    desk_end: desk::DeskEnd,
    looker: examine::Looker,
) -> Result<(), RunError> {
    let node = NodeId(options.node);
    let (Some(wire_node), Ok(cluster_name)) =
        (WireNodeId::new(options.node), ByteString::try_from(Bytes::from(options.cluster.clone())))
    else {
        return Err(RunError::Options("a node id is at least 1"));
    };
    if cluster_name.len() > crate::storage::CLUSTER_NAME_BYTES_MAX {
        return Err(RunError::Options("the name of the cluster is too long"));
    }

    options.validate()?;

    // The lock first: nothing is read that another process may be writing.
    let data_dir = DataDir::open(&options.data_dir)?;
    let mut identity = data_dir.begin_boot(node, &options.cluster)?;
    if stop.is_wanted() {
        stop_early(life);
        return Ok(());
    }
    let seed = seed()?;

    let joins = identity.joining.is_some() || !options.join.is_empty() && is_blank(&identity);
    let joined = if joins {
        let joined = joining::join(options, &data_dir, &mut identity, seed, stop).await?;
        if joined.is_none() {
            stop_early(life);
            return Ok(());
        }
        joined
    } else {
        None
    };
    let uuid = identity.formation.mint().and_then(|mint| mint.uuid(node)).unwrap_or_default();
    let boot = Boot::new(identity.boot).unwrap_or(Boot::FIRST);
    let who = Who { cluster: None, node: NodeIdentity { id: wire_node, uuid: NodeUuid(uuid.0), boot } };
    let client_address = options.advertise_client.clone().unwrap_or_else(|| options.listen_client.clone());
    let http_address = options.http_address().unwrap_or_default();
    let hub = Hub::new(who, client_address.into(), http_address.to_owned().into());

    // Before anybody is dialed or let in.
    if let Some(cut) = options.live.wanted_cut() {
        hub.set_cut(cut);
    }
    let mut tasks = turn::Tasks::default();
    let mut formation = None;
    let formed = if let Some(joined) = joined {
        life.fact(LifeEvent::Formed);
        joined
    } else {
        let mut forming = form(options, node, seed, &identity)?;
        if matches!(identity.formation, IdentityState::Formed(_)) {
            life.fact(LifeEvent::Formed);
        } else {
            life.fact(LifeEvent::Unformed);
            let listener = bind(&options.listen_peer).await?;
            tasks.spawn(peers::listen(std::rc::Rc::clone(&hub), listener));
            let mut before = forming::Forming {
                hub: &hub,
                formation: &mut forming,
                data_dir: &data_dir,
                identity: &mut identity,
                name: &cluster_name,
            };
            if !before.run(stop, &mut tasks, &options.live).await? {
                stop_early(life);
                return Ok(());
            }
            life.fact(LifeEvent::Formed);
        }
        let formed = forming.formed();
        formation = Some(forming);
        formed.ok_or_else(|| RunError::NoCluster(options.data_dir.display().to_string()))?
    };

    let mut salt = [0; 8];
    salt.copy_from_slice(seed.split_at(8).0);
    let salt = u64::from_le_bytes(salt);
    let log_options = LogOptions { segment_bytes: options.segment_bytes, prepared: 2, salt_seed: salt };
    let store = |identity: &_| data_dir.store(identity);
    let (log_disk, snapshot_disk) = (data_dir.log_disk()?, data_dir.snapshot_disk());
    let (cluster, epoch) = (formed.cluster, ClusterEpoch(identity.epoch));
    let read_log = || open_log(log_disk, &mut identity, store, &formed, log_options);
    let read_snapshot = || snapshot_disk.map(|disk| SnapshotFiles::open(disk, cluster, epoch));
    let (read_log, opened) = side_by_side(read_log, read_snapshot)?;
    // What is wrong with the log is told first, though only after the snapshot was read too.
    let (log, recovered, report) = read_log?;
    tracing::info!(
        node = options.node,
        boot = identity.boot,
        cluster = %formed.cluster,
        entries = recovered.entries.len(),
        made = report.made,
        damaged = recovered.damage.is_some(),
        hard_state_lost = recovered.hard_state_lost,
        "log read"
    );
    let Opened { files, loaded, damaged } = opened?.map_err(StorageError::from)?;
    for (_, error) in &damaged {
        tracing::error!(node = options.node, %error, "a snapshot is damaged");
    }
    let (recovered, state) = start_from(recovered, loaded, &damaged)?;
    if let Some(damage) = &recovered.damage {
        tracing::warn!(
            node = options.node,
            log_ended_at = %damage.claimed_end,
            votes = damage.trustworthy,
            "something that was acknowledged here is damaged or missing: a leader sends it again, and until then this node does not lead"
        );
    }
    if let Some(meta) = &recovered.snapshot {
        tracing::info!(node = options.node, last = %meta.last, bytes = meta.bytes, "snapshot read");
    }
    let audit = open_audit(options, &data_dir, (formed.cluster, ClusterEpoch(identity.epoch)), &state)?;
    let mut config = Config::new(
        formed.cluster,
        node,
        formed.uuid,
        holdfast_raft::Boot(identity.boot),
        salt.rotate_left(17),
    );
    config.epoch = ClusterEpoch(identity.epoch);
    config.heartbeat_ticks = options.heartbeat_ticks;
    config.election_ticks = options.election_ticks;
    config.retain_bytes = options.retain_bytes;
    config.disk_stall_ticks = 2 * options.election_ticks;
    let core = start_core(config, recovered, &mut identity, store)?;
    let members = core.configuration().1.members();
    if core.damaged() && members.len() <= 1 && formed.members.len() <= 1 {
        tracing::error!(
            node = options.node,
            "this node is alone, so nobody can send it what is damaged: bring the file back from a copy of this very directory"
        );
    }
    let contacts =
        if members.is_empty() { joining::contacts(options, &formed, stop).await? } else { Vec::new() };
    if stop.is_wanted() {
        stop_early(life);
        return Ok(());
    }
    let settings = Settings { sync_delay: options.live.sync_delay(), ..Settings::default() };
    let (segment_bytes, reader) = (log.segment_bytes(), log.reader());
    let (handle, waiter, running) =
        holdfast_wal::thread::start(log, settings, hub.waker()).map_err(RunError::System)?;
    let disk = disk::Disk::new(handle, waiter, running);

    hub.become_member(&formed, identity.epoch);
    let mut node = Node::new(core, state, hub.client_address.clone(), hub.clock.now());
    node.set_snapshot_policy(options.snapshots);
    let clients = bind(&options.listen_client).await?;
    if !tasks.listens() {
        let listener = bind(&options.listen_peer).await?;
        tasks.spawn(peers::listen(std::rc::Rc::clone(&hub), listener));
    }
    let accepting =
        tokio::task::spawn_local(clients::listen(std::rc::Rc::clone(&hub), clients)).abort_handle();
    tokio::task::spawn_local(desk_end.serve(std::rc::Rc::clone(&hub)));
    life.fact(LifeEvent::Recovered);

    let snapshots =
        snapshots::Snapshots::start(files, options.node, hub.waker()).map_err(RunError::System)?;
    let audit = audit::Audit::start(audit, options.node, hub.waker()).map_err(RunError::System)?;
    let workers = workers::Workers::start(hub.waker()).map_err(RunError::System)?;
    let log_reads =
        log_reads::LogReads::start(reader, options.node, hub.waker()).map_err(RunError::System)?;
    let turns = turn::Turns::new(turn::Parts {
        hub,
        node,
        disk,
        formation,
        name: cluster_name,
        data_dir,
        identity,
        workers,
        log_reads,
        snapshots,
        audit,
        tasks,
        accepting,
        contacts,
        live: options.live.clone(),
        examiner: examine::Examiner::new(looker),
        snapshots_damaged: damaged.iter().map(|(last, _)| last.index.0).collect(),
        segment_bytes,
    });
    turns.run(stop, life).await
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn log_and_snapshot_are_read_at_the_same_time() {
        let both = Barrier::new(2);
        // Whoever came second alone would wait for ever.
        let read = side_by_side(|| both.wait().is_leader(), || both.wait().is_leader());
        let (log, snapshot) = read.expect("there are threads");
        assert_ne!(log, snapshot);
    }

    #[test]
    fn a_panic_of_the_thread_that_reads_the_log_is_one_of_the_node() {
        let panicked = std::panic::catch_unwind(|| {
            drop(side_by_side(|| panic!("the log"), || 7));
        });
        let text = panicked.expect_err("it goes on").downcast::<&str>().expect("its own words");
        assert_eq!(*text, "the log");
    }
}
