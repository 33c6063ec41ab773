//! The nodes that are measured: started by this program, or somewhere already.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use holdfast_machine::{Machine as _, Numbered as _};
use holdfast_server::node::SnapshotPolicy;
use holdfast_server::runtime::{self, LifeMachine, LifeState, Observer, Options, Stop};
use holdfast_wire::Message;
use holdfast_wire::message::{Stats, StatsReply, Status, StatusReply};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::child::{Process, attend, say};
use crate::failure::{Doing, Failure};
use crate::kv::SEGMENT_BYTES;
use crate::link::Link;
use crate::measure::Part;
use crate::process::Use;
use crate::timer::shared_nanos;

/// Where ports are looked for.
const PORTS: Range<u16> = 10_000..32_000;
/// How long the nodes may take until one of them leads.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a node may take to say who leads, or what it has measured, while a load runs: one that hangs says nothing.
const ANSWER: Duration = Duration::from_secs(2);
/// How long nodes that run already may have no leader: one may have been lost just now.
const ELECTION: Duration = Duration::from_secs(5);
/// How long to wait before they are asked again.
const PAUSE: Duration = Duration::from_millis(10);

/// Nodes that serve.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Those that this program has started, each with what it was started with; they end when this is dropped. `None` for one
    /// that was killed.
    processes: Vec<(Option<Process>, Launch)>,
    /// All of them.
    pub(crate) members: Members,
}

/// How a node is started, and started again.
#[derive(Debug)]
struct Launch {
    name: String,
    arguments: Vec<String>,
    dir: PathBuf,
}

impl Launch {
    fn start(&self) -> Result<Process, Failure> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Ok(Process::start(&self.name, &arguments, &self.dir)?.0)
    }
}

/// What the nodes of a cluster are told beside who they are.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Tuning {
    /// Bytes of a segment of its log.
    #[arg(long, default_value_t = SEGMENT_BYTES, hide = true)]
    pub(crate) segment_bytes: u64,
    /// So many entries are applied between two snapshots, however large the state is [default: as a server does it].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) snapshot_entries: Option<u64>,
    /// So many bytes of entries are kept behind a snapshot for peers that are slow, an eighth of it for those that
    /// are away [default: what a server keeps].
    #[arg(long)]
    pub(crate) retain_bytes: Option<usize>,
}

impl Tuning {
    /// The usual, with so many bytes in each segment of a log.
    pub(crate) fn of_segments(segment_bytes: u64) -> Self {
        Self { segment_bytes, snapshot_entries: None, retain_bytes: None }
    }

    fn arguments(&self) -> Vec<String> {
        let Self { segment_bytes, snapshot_entries, retain_bytes } = self;
        let mut arguments = vec![format!("--segment-bytes={segment_bytes}")];
        arguments.extend(snapshot_entries.map(|entries| format!("--snapshot-entries={entries}")));
        arguments.extend(retain_bytes.map(|bytes| format!("--retain-bytes={bytes}")));
        arguments
    }
}

/// Who the nodes are.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    /// Where clients reach each node.
    endpoints: Vec<String>,
    /// Which of them leads.
    leader: usize,
}

impl Cluster {
    /// Starts `count` nodes on loopback, with their files in `dir`, and waits until one of them leads.
    pub(crate) fn spawn(count: u32, tuning: Tuning, dir: &Path) -> Result<Self, Failure> {
        let addresses = free_addresses(2 * count as usize).doing(|| "find free ports".to_owned())?;
        let (clients, peers) = addresses.split_at(count as usize);
        let members: Vec<String> = (1..).zip(peers).map(|(node, peer)| format!("{node}={peer}")).collect();
        let members = members.join(",");
        let mut processes = Vec::new();
        for (node, (client, peer)) in (1..=count).zip(clients.iter().zip(peers)) {
            let dir = directory(dir, node as usize);
            fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
            let mut arguments = vec!["serve".to_owned()];
            arguments.extend([format!("--node={node}"), format!("--client={client}")]);
            arguments.extend([format!("--peer={peer}"), format!("--members={members}")]);
            arguments.append(&mut tuning.arguments());
            let launch = Launch { name: format!("node {node}"), arguments, dir };
            processes.push((Some(launch.start()?), launch));
        }
        Self::of(processes, clients.iter().map(SocketAddr::to_string).collect(), PATIENCE)
    }

    /// The nodes whose client ports are `endpoints`, all of them; one of them has to lead, and most of them to serve. Those that do
    /// not are named: what they would have cost is missing.
    pub(crate) fn at(endpoints: Vec<String>) -> Result<Self, Failure> {
        Self::of(Vec::new(), endpoints, ELECTION)
    }

    fn of(
        mut processes: Vec<(Option<Process>, Launch)>,
        endpoints: Vec<String>,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let begin = Instant::now();
        loop {
            let ask = |endpoint| async move { timeout(ANSWER, status(endpoint)).await? };
            let statuses: Vec<io::Result<StatusReply>> =
                endpoints.iter().map(|endpoint| runtime.block_on(ask(endpoint))).collect();
            let is_ready =
                |status: &io::Result<StatusReply>| status.as_ref().is_ok_and(|status| status.ready);
            let ready = statuses.iter().filter(|status| is_ready(status)).count();
            let are_ours = !processes.is_empty();
            let enough = if are_ours { endpoints.len() } else { endpoints.len() / 2 + 1 };
            if let Some(leader) = statuses.iter().position(|status| status.as_ref().is_ok_and(leads))
                && ready >= enough
            {
                for (endpoint, _) in endpoints.iter().zip(&statuses).filter(|(_, status)| !is_ready(status)) {
                    eprintln!("{endpoint} does not serve; the others do");
                }
                return Ok(Self { processes, members: Members { endpoints, leader } });
            }
            for process in processes.iter_mut().filter_map(|(process, _)| process.as_mut()) {
                process.is_alive()?;
            }
            // Who is nowhere is not waited for; among those who are there, one may be elected yet.
            let is_nobody = !are_ours && statuses.iter().all(Result::is_err);
            if is_nobody || begin.elapsed() >= patience {
                let tell = |(endpoint, status): (&String, &io::Result<StatusReply>)| match status {
                    Ok(status) => format!("{endpoint}: ready {}, leader {:?}", status.ready, status.leader),
                    Err(error) => format!("{endpoint}: {error}"),
                };
                let told: Vec<String> = endpoints.iter().zip(&statuses).map(tell).collect();
                return Err(Failure::new(
                    "find a cluster in which one node leads and the others are ready",
                    told.join("; "),
                ));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Kills the node at this place, counted from 0, if this program has started it: it has no time for anything.
    pub(crate) fn kill(&mut self, place: usize) {
        if let Some(process) = self.processes.get_mut(place).and_then(|(process, _)| process.take()) {
            process.kill();
        }
    }

    /// Makes the node at this place hang: its connections stay open, and it answers nothing until it is told to go on.
    pub(crate) fn pause(&self, place: usize) -> Result<(), Failure> {
        self.process(place)?.pause()
    }

    /// Makes the node at this place go on.
    pub(crate) fn resume(&self, place: usize) -> Result<(), Failure> {
        self.process(place)?.resume()
    }

    fn process(&self, place: usize) -> Result<&Process, Failure> {
        let process = self.processes.get(place).and_then(|(process, _)| process.as_ref());
        process.ok_or_else(|| Failure::new(format!("reach node {}", place + 1), "it does not run here"))
    }

    /// Tells the node at this place to end in order. What is returned waits for its end; until then it may still serve.
    pub(crate) fn ask_to_stop(&mut self, place: usize) -> Result<Option<Process>, Failure> {
        let mut process = self.processes.get_mut(place).and_then(|(process, _)| process.take());
        process.as_mut().map_or(Ok(()), Process::ask_to_stop)?;
        Ok(process)
    }

    /// Ends the nodes at these places in order, side by side, and waits until they are gone.
    pub(crate) fn stop(&mut self, places: &[usize]) -> Result<(), Failure> {
        let mut ending = Vec::new();
        for place in places {
            ending.extend(self.ask_to_stop(*place)?);
        }
        ending.into_iter().try_for_each(Process::wait)
    }

    /// Each state that the node at this place has come to since this was asked before, and when, by [`shared_nanos`].
    pub(crate) fn life(&mut self, place: usize) -> Vec<(LifeState, u64)> {
        let process = self.processes.get_mut(place).and_then(|(process, _)| process.as_mut());
        let heard = process.map(Process::heard).unwrap_or_default();
        heard.iter().filter_map(|line| life(line)).collect()
    }

    /// Starts the node at this place again, which was killed; it may not serve yet when this returns.
    pub(crate) fn start(&mut self, place: usize) -> Result<(), Failure> {
        if let Some((process, launch)) = self.processes.get_mut(place) {
            *process = Some(launch.start()?);
        }
        Ok(())
    }
}

/// Where node `number`, counted from 1, keeps its files.
pub(crate) fn directory(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("n{number}"))
}

impl Members {
    /// Nodes at these addresses, of which nothing is known yet.
    #[cfg(test)]
    pub(crate) fn unseen(endpoints: Vec<String>) -> Self {
        Self { endpoints, leader: 0 }
    }

    /// The client port of the leader of this moment. If there is none, it asks again until `until`.
    pub(crate) async fn find_leader(&self, until: Instant) -> io::Result<String> {
        loop {
            // The one that led at first most likely still does; but if it hangs, nobody is to wait for it.
            let first = self.endpoints.get(self.leader).into_iter().cloned().collect();
            if let Some(leader) = leader_of(first, ANSWER / 8).await {
                return Ok(leader);
            }
            if let Some(leader) = leader_of(self.endpoints.clone(), ANSWER).await {
                return Ok(leader);
            }
            if Instant::now() > until {
                return Err(io::Error::other("no node leads"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether another node than this one says that it leads, and serves.
    pub(crate) async fn leads_elsewhere(&self, address: &str) -> bool {
        let others = self.endpoints.iter().filter(|endpoint| *endpoint != address);
        leader_of(others.cloned().collect(), ANSWER).await.is_some()
    }

    /// The place of the leader of this moment, counted from 0.
    pub(crate) fn leader(&self, until: Instant) -> Result<usize, Failure> {
        let doing = || "find the leader".to_owned();
        let address = runtime()?.block_on(self.find_leader(until)).doing(doing)?;
        self.endpoints
            .iter()
            .position(|endpoint| *endpoint == address)
            .ok_or_else(|| Failure::new(doing(), "it is none of the members"))
    }

    /// How the node at this place is; an error if it does not answer.
    pub(crate) fn status(&self, place: usize) -> Result<StatusReply, Failure> {
        let doing = || format!("ask node {} how it is", place + 1);
        let endpoint = self.endpoints.get(place).ok_or_else(|| Failure::new(doing(), "there is none"))?;
        runtime()?.block_on(status(endpoint)).doing(doing)
    }

    /// What the node at this place counts, and how long its turns took, in microseconds.
    pub(crate) fn stats(&self, place: usize) -> Result<(StatsReply, Histogram<u64>), Failure> {
        let doing = || format!("ask node {} what it has measured", place + 1);
        let endpoint = self.endpoints.get(place).ok_or_else(|| Failure::new(doing(), "there is none"))?;
        let stats = runtime()?.block_on(stats(endpoint)).doing(doing)?;
        let turns = histogram(&stats.turn_times).doing(doing)?;
        Ok((stats, turns))
    }

    /// Where clients reach each node.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether all nodes are on this machine, so that its limit is theirs.
    pub(crate) fn is_here(&self) -> bool {
        self.endpoints.iter().all(|endpoint| is_here(endpoint))
    }

    /// What each node did since it began. One that does not answer is gone for now: a run goes on without it.
    pub(crate) fn look(&self) -> Result<Vec<Part>, Failure> {
        let runtime = runtime()?;
        let look = |(index, endpoint): (usize, &String)| {
            let doing = || format!("ask {endpoint} what it has measured");
            let asked = async {
                let both = async { Ok::<_, io::Error>((stats(endpoint).await?, status(endpoint).await?)) };
                timeout(ANSWER, both).await?
            };
            let Ok((stats, status)) = runtime.block_on(asked) else {
                return Ok(Part::gone(format!("node {}, gone", index + 1)));
            };
            let role = if leads(&status) { ", leader" } else { "" };
            Ok(Part {
                name: format!("node {}{role}", index + 1),
                used: if is_here(endpoint) { Use::of(stats.process) } else { None },
                process: Some(stats.process),
                syncs: Some(stats.syncs),
                stages: stats
                    .stages
                    .iter()
                    .map(|bytes| histogram(bytes))
                    .collect::<Result<_, _>>()
                    .doing(doing)?,
                turns: Some(histogram(&stats.turn_times).doing(doing)?),
            })
        };
        self.endpoints.iter().enumerate().map(look).collect()
    }
}

/// The first of these to say that it leads, and serves, within `patience`. All are asked at once.
async fn leader_of(endpoints: Vec<String>, patience: Duration) -> Option<String> {
    let mut asked = JoinSet::new();
    for endpoint in endpoints {
        asked.spawn(async move {
            let status = timeout(patience, status(&endpoint)).await.ok()?.ok()?;
            leads(&status).then_some(endpoint)
        });
    }
    while let Some(answer) = asked.join_next().await {
        if let Ok(Some(leader)) = answer {
            return Some(leader);
        }
    }
    None
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "make a runtime".to_owned())
}

/// Whether the node that says this leads, and serves.
pub(crate) fn leads(status: &StatusReply) -> bool {
    status.ready && status.leader == Some(status.node.id)
}

fn is_here(endpoint: &str) -> bool {
    endpoint.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

fn histogram(mut bytes: &[u8]) -> Result<Histogram<u64>, String> {
    Deserializer::new()
        .deserialize(&mut bytes)
        .map_err(|error| format!("a histogram that is none: {error:?}"))
}

async fn status(endpoint: &str) -> io::Result<StatusReply> {
    match Link::open(endpoint).await?.ask(&Message::Status(Status {})).await? {
        Message::StatusReply(status) => Ok(status),
        other => Err(io::Error::other(format!("it answered {other:?}"))),
    }
}

async fn stats(endpoint: &str) -> io::Result<StatsReply> {
    match Link::open(endpoint).await?.ask(&Message::Stats(Stats {})).await? {
        Message::StatsReply(stats) => Ok(stats),
        other => Err(io::Error::other(format!("it answered {other:?}"))),
    }
}

/// Addresses on loopback that nobody listens on now. All are held until the last is found, so that they differ. They lie below
/// the ports that systems give to outgoing connections, and each process begins at another one, so that nobody takes one
/// before its node does.
fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let first = std::process::id().wrapping_mul(97) % u32::from(PORTS.end - PORTS.start);
    let ports = PORTS.cycle().skip(first as usize).take(PORTS.len());
    let held = ports.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let held: Vec<TcpListener> = held.take(count).collect();
    if held.len() < count {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    held.iter().map(TcpListener::local_addr).collect()
}

/// What a node says when it has come to a state.
fn life_line(state: LifeState, nanos: u64) -> String {
    format!("life {} {nanos}", state.number())
}

/// The state and the time that such a line says.
fn life(line: &str) -> Option<(LifeState, u64)> {
    let (number, nanos) = line.strip_prefix("life ")?.split_once(' ')?;
    Some((LifeState::from_number(number.parse().ok()?)?, nanos.parse().ok()?))
}

/// One node of a cluster that this program starts.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Its number, from 1.
    #[arg(long)]
    node: u64,
    /// Where it listens to clients.
    #[arg(long)]
    client: SocketAddr,
    /// Where it listens to peers.
    #[arg(long)]
    peer: SocketAddr,
    /// Numbers and peer addresses of all.
    #[arg(long, value_delimiter = ',', value_parser = member)]
    members: Vec<(u64, String)>,
    #[command(flatten)]
    tuning: Tuning,
}

fn member(text: &str) -> Result<(u64, String), String> {
    let (node, address) = text.split_once('=').ok_or("NODE=HOST:PORT is wanted")?;
    Ok((node.parse().map_err(|_| "the number of a node is wanted")?, address.to_owned()))
}

impl Serve {
    /// Runs until the parent is gone. `dir` is where the node keeps its files.
    pub(crate) fn run(&self, dir: &Path) -> Result<(), Failure> {
        let usual = Options::new(self.node, dir);
        let options = Options {
            cluster: "bench".to_owned(),
            listen_client: self.client.to_string(),
            listen_peer: self.peer.to_string(),
            initial_cluster: self.members.clone(),
            segment_bytes: self.tuning.segment_bytes,
            snapshots: self.tuning.snapshot_entries.map_or(usual.snapshots, |entries| SnapshotPolicy {
                entries,
                bytes_max: 0,
                ..usual.snapshots
            }),
            // Nobody may listen any more.
            observer: Observer::new(|edge| {
                drop(say(&life_line(LifeMachine::target(edge), shared_nanos())));
            }),
            retain_bytes: self.tuning.retain_bytes.unwrap_or(usual.retain_bytes),
            ..usual
        };
        let stop = Stop::new();
        let told = stop.clone();
        attend("started", Default::default, move || told.stop())?;
        runtime::run(options, &stop).doing(|| format!("run node {}", self.node))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_addresses_differ_and_can_be_listened_on() {
        let addresses = free_addresses(6).unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 6);
        assert!(addresses.iter().all(|address| is_here(&address.to_string())));
    }

    #[test]
    fn only_loopback_addresses_are_of_this_machine_for_sure() {
        for (endpoint, here) in
            [("127.0.0.1:7400", true), ("[::1]:7400", true), ("10.0.0.1:7400", false), ("host:1", false)]
        {
            assert_eq!(is_here(endpoint), here, "{endpoint}");
        }
    }

    #[test]
    fn bytes_that_are_no_histogram_are_an_error() {
        assert!(histogram(b"").is_err() && histogram(b"no histogram at all").is_err());
    }

    #[test]
    fn a_state_that_is_said_is_the_one_that_is_heard() {
        for state in LifeState::ALL {
            assert_eq!(life(&life_line(*state, 12_345)), Some((*state, 12_345)));
        }
        for line in ["", "life", "life 5", "life 5 ", "life 99 1", "syncs 3"] {
            assert_eq!(life(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_member_is_a_number_and_an_address() {
        assert_eq!(member("2=127.0.0.1:1"), Ok((2, "127.0.0.1:1".to_owned())));
        assert!(member("127.0.0.1:1").is_err() && member("x=127.0.0.1:1").is_err());
    }
}
