//! `recovery`: for how long a cluster serves nobody that was stopped as a whole and is started again, and how long one node takes
//! while the others serve.
//!
//! Each node tells when it comes to a state of [machine 14](../../../docs/state-machines/14-node-life-cycle.md), so that the time
//! of a start falls into parts:
//!
//! ```text
//!   start ──opening──► Recovering ──reads its log──► Joining ──has what the leader has──► Ready
//!     └───────────────────────── the first linearizable read is answered ──────────────────►
//! ```

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use holdfast_command::outcome::Reply;
use holdfast_server::runtime::LifeState;
use tokio::task::JoinSet;

use crate::calls;
use crate::cluster::{Cluster, Members, Tuning, directory};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::fill::State;
use crate::link::Link;
use crate::output::Keep;
use crate::report::{grouped, show, time};
use crate::timer::shared_nanos;
use crate::until::until;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// A node that does not answer yet is asked again after this.
const LOOK: Duration = Duration::from_millis(1);

/// How large the state is, and how the nodes end.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench recovery
  holdfast-bench recovery --kill --runs 5 --dir /data --out recovery")]
pub(crate) struct RecoveryArgs {
    /// How many keys there are.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    keys: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    spawn: u32,
    /// How often all nodes are ended and started, and then one of them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Ends nodes with kill -9 instead of in order.
    #[arg(long)]
    kill: bool,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    keep: Keep,
}

/// Writes the state, and starts from it as often as it says.
pub(crate) fn run(args: &RecoveryArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let dir = scratch.path().join("recovery");
    let mut cluster = Cluster::spawn(args.spawn, args.tuning, &dir)?;
    let state = State { keys: args.keys, value_bytes: args.value_bytes };
    let took = state.write(&cluster.members)?;
    let nodes: Vec<usize> = (0..cluster.members.count()).collect();
    let on_disk: Vec<u64> = nodes.iter().map(|node| bytes_below(&directory(&dir, node + 1))).collect();
    show(format!(
        "{} keys of {} bytes written in {}; a node has {} of files at most\n",
        grouped(args.keys.into()),
        args.value_bytes,
        shown(took),
        Unit::Bytes.shown(on_disk.iter().max().copied().unwrap_or(0) as f64),
    ))?;
    let ended = if args.kill { "kill -9" } else { "in order" };
    let asked = [
        ("nodes", args.spawn.to_string()),
        ("keys", args.keys.to_string()),
        ("value bytes", args.value_bytes.to_string()),
        ("ended", ended.to_owned()),
    ];
    let mut sheet =
        Sheet::new(format!("recovery, {} keys, ended {ended}", grouped(args.keys.into())), &asked);
    for number in 1..=args.runs {
        let read = all(args, &mut cluster, &state, &nodes, &mut sheet)?;
        show(format!(
            "run {number}: all nodes were ended; the first read was answered after {}",
            shown(read)
        ))?;
        if nodes.len() > 1 {
            let ready = one(args, &mut cluster, &state, &mut sheet)?;
            show(format!("run {number}: one node was ended; it was ready after {}", shown(ready)))?;
        }
    }
    sheet.add(
        "files of a node",
        Unit::Bytes,
        Better::Lower,
        on_disk.iter().max().copied().unwrap_or(0) as f64,
    );
    show(format!("\n{sheet}"))?;
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(vec![sheet])
}

fn shown(took: Duration) -> String {
    time(took.as_nanos() as u64)
}

/// Ends these nodes.
fn end(args: &RecoveryArgs, cluster: &mut Cluster, nodes: &[usize]) -> Result<(), Failure> {
    if args.kill {
        nodes.iter().for_each(|node| cluster.kill(*node));
        return Ok(());
    }
    cluster.stop(nodes)
}

/// Ends all nodes, and starts them again: how long it took until a read was answered.
fn all(
    args: &RecoveryArgs,
    cluster: &mut Cluster,
    state: &State,
    nodes: &[usize],
    sheet: &mut Sheet,
) -> Result<Duration, Failure> {
    end(args, cluster, nodes)?;
    let (began, mut started) = (Instant::now(), Vec::new());
    for node in nodes {
        started.push(shared_nanos());
        cluster.start(*node)?;
    }
    let last = state.keys - 1;
    let read = first_read(&cluster.members, &State::key(last), &state.value(last))?;
    let read = read.saturating_duration_since(began);
    sheet.time("all nodes: start until the first read is answered", read);
    state.wait(&cluster.members)?;
    let mut parts = Vec::new();
    for (node, started) in nodes.iter().zip(started) {
        parts.push(parts_of(started, &until_ready(cluster, *node)?));
    }
    // Of each part that of the node that took longest for it.
    for (part, name) in PARTS.iter().enumerate() {
        if let Some(longest) = parts.iter().filter_map(|all| all.get(part).copied().flatten()).max() {
            sheet.time(&format!("all nodes: {name}, slowest node"), Duration::from_nanos(longest));
        }
    }
    Ok(read)
}

/// Ends one node that follows, and starts it again while the others serve: how long it took until it was ready.
fn one(
    args: &RecoveryArgs,
    cluster: &mut Cluster,
    state: &State,
    sheet: &mut Sheet,
) -> Result<Duration, Failure> {
    let leader = cluster.members.leader(Instant::now() + PATIENCE)?;
    let node = (leader + 1) % cluster.members.count();
    end(args, cluster, &[node])?;
    let started = shared_nanos();
    cluster.start(node)?;
    let parts = parts_of(started, &until_ready(cluster, node)?);
    for (name, part) in PARTS.iter().zip(parts) {
        if let Some(part) = part {
            sheet.time(&format!("one node: {name}"), Duration::from_nanos(part));
        }
    }
    state.wait(&cluster.members)?;
    let [ready, ..] = parts;
    ready.map(Duration::from_nanos).ok_or_else(|| Failure::new("time the start of a node", "it is not ready"))
}

/// What a start is made of.
const PARTS: [&str; 4] =
    ["start until Ready", "start until it reads its log", "reads its log", "joins the others"];

/// Nanoseconds of each of [`PARTS`], of a node that was started at a moment and has come to these states since.
fn parts_of(started: u64, life: &[(LifeState, u64)]) -> [Option<u64>; 4] {
    let at = |wanted| life.iter().find(|(state, _)| *state == wanted).map(|(_, at)| *at);
    let between = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
    let (recovering, joining, ready) =
        (at(LifeState::Recovering), at(LifeState::Joining), at(LifeState::Ready));
    [
        between(Some(started), ready),
        between(Some(started), recovering),
        between(recovering, joining),
        between(joining, ready),
    ]
}

/// All states of a node since its start, once it is ready.
fn until_ready(cluster: &mut Cluster, node: usize) -> Result<Vec<(LifeState, u64)>, Failure> {
    let mut life = Vec::new();
    until("a node that is ready", PATIENCE, || {
        life.extend(cluster.life(node));
        Ok(life.iter().any(|(state, _)| *state == LifeState::Ready))
    })?;
    Ok(life)
}

/// When the first of the nodes answered a linearizable read of this key. Its value has to be this one.
fn first_read(members: &Members, key: &Bytes, value: &Bytes) -> Result<Instant, Failure> {
    let doing = || "read what was written before".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for endpoint in members.endpoints() {
            set.spawn(read_at(endpoint.clone(), key.clone()));
        }
        let first = tokio::time::timeout(PATIENCE, set.join_next()).await.doing(doing)?;
        let ended = first.ok_or_else(|| Failure::new(doing(), "there are no nodes"))?;
        let (at, found) = ended.doing(doing)?.doing(doing)?;
        if found.as_ref() == Some(value) {
            return Ok(at);
        }
        let found =
            found.map_or_else(|| "nothing".to_owned(), |found| format!("{} other bytes", found.len()));
        Err(Failure::new(doing(), format!("{found} stands where {} bytes were written", value.len())))
    })
}

/// The answer of one node, which may not listen yet, or not serve; and when it came.
async fn read_at(endpoint: String, key: Bytes) -> io::Result<(Instant, Option<Bytes>)> {
    loop {
        if let Ok(mut link) = Link::open(&endpoint).await {
            // An error is the end of the connection: it listens, and has been told to go.
            while let Ok(answer) = link.ask(&calls::read(key.clone())).await {
                let at = Instant::now();
                match calls::outcome(answer) {
                    Ok(Ok(Reply::Ranged(mut page))) => {
                        return Ok((at, page.entries.pop().map(|entry| entry.value)));
                    }
                    Ok(other) => return Err(io::Error::other(format!("{other:?}"))),
                    // It does not serve yet.
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Bytes of all files below a directory.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_falls_into_its_parts_and_the_first_time_in_a_state_counts() {
        use LifeState::{Joining, Ready, Recovering};
        let life = [(Recovering, 130), (Joining, 180), (Ready, 300), (Joining, 400), (Ready, 900)];
        assert_eq!(parts_of(100, &life), [Some(200), Some(30), Some(50), Some(120)]);
        assert_eq!(parts_of(100, &life[..2]), [None, Some(30), Some(50), None]);
    }

    #[test]
    fn files_are_counted_in_directories_of_directories() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("one"), [0; 10]).unwrap();
        fs::write(dir.path().join("a/b/two"), [0; 7]).unwrap();
        assert_eq!((bytes_below(dir.path()), bytes_below(Path::new("/nowhere/at/all"))), (17, 0));
    }
}
