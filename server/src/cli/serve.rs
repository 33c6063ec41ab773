//! `holdfast server`: one node of a cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::audit::AuditPolicy;
use crate::node::{SnapshotPolicy, limits};
use crate::runtime::{self, Options, Stop};
use crate::storage::is_host_and_port;

/// Exit code for arguments that contradict each other or the directory.
const USAGE: u8 = 2;

/// Exit code for data that is damaged, missing, or of somebody else.
pub(super) const INTEGRITY: u8 = 9;
/// The node was removed from the cluster: nothing is wrong, and starting it again is of no use.
const REMOVED: u8 = 11;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Args)]
pub(super) struct Server {
    /// The number of this node, from 1; never given to another node
    #[arg(long, env = "HOLDFAST_NODE_ID", value_parser = clap::value_parser!(u64).range(1..1 << 62))]
    node_id: u64,
    /// Where it keeps its identity and its log
    #[arg(long, env = "HOLDFAST_DATA_DIR")]
    data_dir: PathBuf,
    /// What the cluster is called; the same on all its nodes
    #[arg(long, env = "HOLDFAST_CLUSTER", default_value = "holdfast")]
    cluster: String,
    /// Where to listen to clients
    #[arg(long, env = "HOLDFAST_LISTEN_CLIENT", default_value = "127.0.0.1:7400", value_name = "HOST:PORT")]
    listen_client: String,
    /// Where to listen to the other nodes
    #[arg(long, env = "HOLDFAST_LISTEN_PEER", default_value = "127.0.0.1:7401", value_name = "HOST:PORT")]
    listen_peer: String,
    /// Where clients reach this node, if not where it listens
    #[arg(long, env = "HOLDFAST_ADVERTISE_CLIENT", value_name = "HOST:PORT")]
    advertise_client: Option<String>,
    /// The nodes that form a new cluster and their peer addresses; the same on all of them
    #[arg(
        long,
        env = "HOLDFAST_INITIAL_CLUSTER",
        value_name = "1=HOST:PORT,2=…",
        value_delimiter = ',',
        value_parser = member
    )]
    initial_cluster: Vec<(u64, String)>,
    /// Client addresses of members of a cluster that this node is to join, instead of forming one
    #[arg(long, env = "HOLDFAST_JOIN", value_name = "HOST:PORT,…", value_delimiter = ',')]
    join: Vec<String>,
    /// Where the other nodes reach this one, if not where it listens; told when it joins
    #[arg(long, env = "HOLDFAST_ADVERTISE_PEER", value_name = "HOST:PORT")]
    advertise_peer: Option<String>,
    /// Join without a vote, until `holdfast member promote`
    #[arg(long, requires = "join")]
    learner: bool,
    /// Milliseconds between heartbeats of a leader
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    heartbeat_ms: u32,
    /// Shortest time without a leader before an election, in milliseconds; more than two heartbeats
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(30..=1_000_000))]
    election_ms: u32,
    /// Bytes of a segment of a log that is made anew; a multiple of 4096
    #[arg(long, default_value_t = 64 << 20)]
    segment_bytes: u64,
    /// Entries that are applied before the next snapshot is taken
    #[arg(long, default_value_t = limits::SNAPSHOT_ENTRIES, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_entries: u64,
    /// Bytes of entries that are applied before the next snapshot is taken
    #[arg(long, default_value_t = limits::SNAPSHOT_BYTES, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_bytes: u64,
    /// Bytes of the audit log that are kept; from 16777216, the size of one file, on
    #[arg(long, default_value_t = AuditPolicy::default().total_bytes, value_parser = clap::value_parser!(u64).range(16 << 20..))]
    audit_bytes: u64,
    /// Days for which the audit log is kept, if it does not have more bytes before
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    audit_days: u64,
    /// Entries and bytes do not count before as much was applied as the last snapshot has bytes, but so many bytes are enough
    /// for any; 0 if its size is not to matter
    #[arg(long, default_value_t = limits::SNAPSHOT_BYTES_MAX)]
    snapshot_bytes_max: u64,
    /// Bytes of the log that are kept in memory behind a snapshot, for nodes that are slow
    #[arg(long, default_value_t = holdfast_raft::config::RETAIN_BYTES)]
    retain_bytes: usize,
}

/// `1=host:port`.
fn member(text: &str) -> Result<(u64, String), String> {
    let (id, address) = text.split_once('=').ok_or("expected ID=HOST:PORT")?;
    let id = id.trim().parse().map_err(|_| format!("{id:?} is not a node id"))?;
    if id == 0 {
        return Err("node ids start at 1".to_owned());
    }
    Ok((id, host_and_port(address.trim())?))
}

/// `host:port`, as others dial it.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    if is_host_and_port(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not HOST:PORT")) }
}

impl Server {
    fn options(self) -> Options {
        Options {
            cluster: self.cluster,
            listen_client: self.listen_client,
            listen_peer: self.listen_peer,
            advertise_client: self.advertise_client,
            initial_cluster: self.initial_cluster,
            join: self.join,
            advertise_peer: self.advertise_peer,
            learner: self.learner,
            heartbeat_ticks: self.heartbeat_ms / 10,
            election_ticks: self.election_ms / 10,
            segment_bytes: self.segment_bytes,
            audit: AuditPolicy {
                total_bytes: self.audit_bytes,
                age_ms: self.audit_days * DAY_MS,
                ..AuditPolicy::default()
            },
            snapshots: SnapshotPolicy {
                entries: self.snapshot_entries,
                bytes: self.snapshot_bytes,
                bytes_max: self.snapshot_bytes_max,
            },
            retain_bytes: self.retain_bytes,
            ..Options::new(self.node_id, self.data_dir)
        }
    }
}

pub(super) fn run(server: Server) -> ExitCode {
    super::log("info");
    let stop = Stop::new();
    if let Err(error) = on_signal(stop.clone()) {
        eprintln!("holdfast: {error}");
        return ExitCode::FAILURE;
    }
    match runtime::run(server.options(), &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// What went wrong, as a number for scripts.
fn exit_code(error: &runtime::RunError) -> u8 {
    use runtime::RunError as E;
    match error {
        E::Options(_) | E::List(_) | E::NoCluster(_) | E::NoMembers(_) | E::Join(_) | E::Listen { .. } => {
            USAGE
        }
        E::Storage(_)
        | E::Audit(_)
        | E::Formation(_)
        | E::Stopped(_)
        | E::Halted { .. }
        | E::Entry(_)
        | E::Log(_) => INTEGRITY,
        E::Removed { .. } => REMOVED,
        E::System(_) => 1,
    }
}

/// Stops in order at the first interrupt or termination.
pub(super) fn on_signal(stop: Stop) -> std::io::Result<()> {
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.stop();
            std::io::Result::Ok(())
        })
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop)
}
