//! The nodes: started, killed, asked, replaced.
//!
//! There is one *place* more than there are members: a host with its disk and its proxy, whose addresses stay the same whatever
//! node lives there. A member that is replaced leaves its place free for the next one. So clients know all addresses from
//! the start, and no number of a node is used twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_client::{CallOptions, ChangeMembers, Client, MemberChange, NodeId, Outcome, StatusReply};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use super::ground::{Addresses, Ground};
use super::process::Process;
use super::proxy::{self, Board, Line, Place};
use super::report::Timeline;
use super::stop::Stopped;
use holdfast_machine::Numbered as _;

/// How long a node may take to become ready, or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node may take to say how it is.
const STATUS: Duration = Duration::from_millis(700);
/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// How far a learner may lie behind the leader when it takes the place of another member.
const BEHIND: u64 = 5_000;

/// A member as the leader sees it: its number, whether it votes, how far its log is known to be.
type Seen = (u64, bool, u64);

/// One node, and its process if that runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) process: Option<Process>,
    /// It has joined; otherwise it is one of those that formed the cluster.
    joined: bool,
}

/// All of them.
pub(super) struct Cluster {
    pub(super) ground: Ground,
    pub(super) board: Arc<Board>,
    pub(super) timeline: Timeline,
    pub(super) stopped: Stopped,
    addresses: Vec<Addresses>,
    nodes: BTreeMap<Place, Node>,
    next_id: u64,
    /// The list that the first ones were given.
    list: String,
    proxies: Vec<JoinHandle<std::io::Result<()>>>,
    runtime: Runtime,
    /// What should not have happened, in words.
    pub(super) troubles: Vec<String>,
}

impl Cluster {
    /// Starts proxies and the first nodes, and waits until all are ready.
    pub(super) fn start(
        members: usize,
        ground: Ground,
        board: Arc<Board>,
        timeline: Timeline,
        stopped: Stopped,
    ) -> Result<Self, String> {
        let addresses = ground.addresses()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let first = (1..=members).zip(&addresses);
        let list: Vec<String> = first.map(|(id, at)| format!("{id}={}", at.proxy[0])).collect();
        let mut cluster = Self {
            ground,
            board,
            timeline,
            stopped,
            addresses,
            nodes: BTreeMap::new(),
            next_id: members as u64 + 1,
            list: list.join(","),
            proxies: Vec::new(),
            runtime,
            troubles: Vec::new(),
        };
        for (place, at) in (1..).zip(cluster.addresses.clone()) {
            let line = Line { place, listen: at.proxy, target: at.node };
            let proxy = proxy::start(&cluster.board, line, cluster.ground.mover(place));
            cluster.proxies.push(proxy.map_err(|error| error.to_string())?);
        }
        fs::create_dir_all(cluster.ground.root().join("logs")).map_err(|error| error.to_string())?;
        for place in 1..=members {
            let id = place as u64;
            cluster.nodes.insert(place, Node { id, process: None, joined: false });
            cluster.board.seat(id, place);
            cluster.run(place, &cluster.forming())?;
        }
        cluster.await_all_ready()?;
        Ok(cluster)
    }

    fn forming(&self) -> Vec<String> {
        vec![format!("--initial-cluster={}", self.list)]
    }

    fn joining(&self, place: Place) -> Vec<String> {
        let others = self.nodes.keys().filter(|other| **other != place);
        let clients: Vec<String> = others.map(|other| self.client(*other)).collect();
        vec![format!("--join={}", clients.join(","))]
    }

    fn at(&self, place: Place) -> Addresses {
        self.addresses[place - 1]
    }

    /// Where clients reach the node of a place.
    fn client(&self, place: Place) -> String {
        self.at(place).proxy[1].to_string()
    }

    /// Where clients reach all places.
    pub(super) fn endpoints(&self) -> Vec<String> {
        self.addresses.iter().map(|at| at.proxy[1].to_string()).collect()
    }

    /// Where the node of a place is reached past its proxy.
    pub(super) fn direct(&self, place: Place) -> String {
        self.at(place).node[1].to_string()
    }

    /// Where all places are reached past their proxies.
    pub(super) fn all_direct(&self) -> Vec<String> {
        self.addresses.iter().map(|at| at.node[1].to_string()).collect()
    }

    /// Where nodes live.
    pub(super) fn places(&self) -> Vec<Place> {
        self.nodes.keys().copied().collect()
    }

    /// The node of a place.
    pub(super) fn node(&mut self, place: Place) -> Option<&mut Node> {
        self.nodes.get_mut(&place)
    }

    /// The number of the node of a place.
    pub(super) fn id(&self, place: Place) -> u64 {
        self.nodes.get(&place).map_or(0, |node| node.id)
    }

    fn data(&self, place: Place) -> PathBuf {
        self.ground.directory(place).join("data")
    }

    /// Where the log of the node of a place is, and where its snapshots are.
    pub(super) fn files(&self, place: Place, what: &str) -> PathBuf {
        self.data(place).join(what)
    }

    /// What the process of a place has said.
    pub(super) fn log(&self, place: Place) -> PathBuf {
        self.ground.root().join("logs").join(format!("node{}.log", self.id(place)))
    }

    /// The last line that the process of a place has said.
    pub(super) fn last_words(&self, place: Place) -> String {
        let said = fs::read(self.log(place)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(4_000)..]).into_owned();
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// Starts the process of a place, with these arguments beside who it is.
    pub(super) fn run(&mut self, place: Place, further: &[String]) -> Result<(), String> {
        let at = self.at(place);
        let mut arguments = vec![
            format!("--node-id={}", self.id(place)),
            format!("--data-dir={}", self.data(place).display()),
            "--cluster=sim".to_owned(),
            format!("--listen-peer={}", at.node[0]),
            format!("--listen-client={}", at.node[1]),
            format!("--advertise-peer={}", at.proxy[0]),
            format!("--advertise-client={}", at.proxy[1]),
            "--listen-http=off".to_owned(),
            // Each node may have a network of its own, with addresses that are not loopback.
            "--allow-plaintext".to_owned(),
            "--heartbeat=100ms".to_owned(),
            "--election=500ms".to_owned(),
            "--segment-size=24MiB".to_owned(),
            // Often enough that a run of minutes sees snapshots taken, sent and restarted from.
            "--snapshot-entries=4000".to_owned(),
            "--snapshot-size-max=0".to_owned(),
            "--retain=256KiB".to_owned(),
            "--audit-size=32MiB".to_owned(),
        ];
        arguments.extend_from_slice(further);
        let log = self.log(place);
        let started = self.ground.on_host(place, || Process::start(&arguments, &log))?;
        let process = started.map_err(|error| format!("start a process: {error}"))?;
        if let Some(node) = self.nodes.get_mut(&place) {
            node.process = Some(process);
        }
        self.board.listening(place, true);
        Ok(())
    }

    /// Starts the process of a place again, whose directory knows everything.
    pub(super) fn start_again(&mut self, place: Place) -> Result<(), String> {
        self.run(place, &[])
    }

    /// Starts it with what it was started with the first time.
    pub(super) fn start_as_at_first(&mut self, place: Place) -> Result<(), String> {
        let joined = self.nodes.get(&place).is_some_and(|node| node.joined);
        let further = if joined { self.joining(place) } else { self.forming() };
        self.run(place, &further)
    }

    /// Kills the process of a place, at once, and waits until it is gone.
    pub(super) fn kill(&mut self, place: Place) {
        if let Some(process) = self.nodes.get_mut(&place).and_then(|node| node.process.take()) {
            drop(process);
        }
        self.board.listening(place, false);
    }

    /// Sends a signal to the process of a place.
    pub(super) fn signal(&self, place: Place, signal: Signal) {
        if let Some(process) = self.nodes.get(&place).and_then(|node| node.process.as_ref()) {
            process.signal(signal);
        }
    }

    /// Waits until the process of a place ends by itself: how it did, in words, and its exit code.
    pub(super) fn await_end(&mut self, place: Place, patience: Duration) -> Option<(String, Option<i32>)> {
        let process = self.nodes.get_mut(&place)?.process.as_mut()?;
        let status = process.await_end(patience)?;
        self.kill(place);
        Some((status.to_string(), status.code()))
    }

    /// How a node is, as it says itself.
    pub(super) fn status(&self, place: Place) -> Option<StatusReply> {
        let endpoint = self.direct(place);
        self.runtime.block_on(async {
            let client = Client::builder([endpoint.clone()]).timeout(STATUS).build().ok()?;
            let status = client.status(&endpoint).await.ok();
            client.close().await;
            status
        })
    }

    /// The place of the leader, if one serves.
    pub(super) fn leader(&self) -> Option<Place> {
        let mut best = None;
        for (place, node) in &self.nodes {
            let Some(status) = node.process.as_ref().and_then(|_| self.status(*place)) else { continue };
            let leads = status.ready && status.leader.is_some_and(|leader| leader.get() == node.id);
            if leads && best.is_none_or(|(term, _)| term < status.term) {
                best = Some((status.term, *place));
            }
        }
        best.map(|(_, place)| place)
    }

    /// Waits for a leader.
    pub(super) fn await_leader(&self) -> Result<Place, String> {
        let mut found = None;
        self.until(PATIENCE, || {
            found = self.leader();
            found.is_some()
        });
        found.ok_or_else(|| "there is no leader".to_owned())
    }

    /// Looks again and again, until it is so, or the time is over, or the run is interrupted. Whether it is so.
    pub(super) fn until(&self, patience: Duration, mut so: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        loop {
            if so() {
                return true;
            }
            if begin.elapsed() >= patience || self.stopped.is_stopped() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Does nothing for so long, unless the run is interrupted.
    pub(super) fn sleep(&self, millis: u64) {
        self.until(Duration::from_millis(millis), || false);
    }

    /// Waits until all nodes are ready. Processes that have ended meanwhile are trouble, and are started again; a node that cannot
    /// go on with what its disk has left is replaced.
    pub(super) fn await_all_ready(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        for place in self.places() {
            loop {
                if self.status(place).is_some_and(|status| status.ready) {
                    break;
                }
                if self.stopped.is_stopped() {
                    return Err("interrupted".to_owned());
                }
                if let Some((how, _)) = self.await_end(place, Duration::ZERO) {
                    let (id, words) = (self.id(place), self.last_words(place));
                    self.trouble(format!("node {id} has ended by itself ({how}): {words}"));
                    self.start_again(place)?;
                }
                if begin.elapsed() > PATIENCE {
                    return Err(format!("node {} does not become ready", self.id(place)));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Something that should not have happened.
    pub(super) fn trouble(&mut self, what: String) {
        self.timeline.line(format_args!("TROUBLE {what}"));
        self.troubles.push(what);
    }

    /// Does something with a client of all places.
    pub(super) fn with_client<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> Result<T, String> {
        let endpoints = self.endpoints();
        self.client_of(endpoints, work)
    }

    /// Does something with a client of these endpoints.
    pub(super) fn client_of<T>(
        &self,
        endpoints: Vec<String>,
        work: impl AsyncFnOnce(&Client) -> T,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            let builder = Client::builder(endpoints).timeout(Duration::from_secs(15)).wait_for_cluster(true);
            let client = builder.build().map_err(|error| error.to_string())?;
            let done = work(&client).await;
            client.close().await;
            Ok(done)
        })
    }

    /// Changes the members, or who leads.
    pub(super) fn change(
        &self,
        change: MemberChange,
        node: u64,
        other: Option<u64>,
    ) -> Result<(), (bool, String)> {
        let id = |id: u64| NodeId::new(id).ok_or_else(|| (false, "there is no such node".to_owned()));
        let change = ChangeMembers {
            timeout_ms: 0,
            change: change.number(),
            node: id(node)?,
            other: other.map(id).transpose()?,
            uuid: None,
            promote: false,
            peer: "".into(),
        };
        let done =
            self.with_client(async |client| client.change_members(change, CallOptions::default()).await);
        match done {
            Err(why) => Err((false, why)),
            Ok(Err(error)) => Err((error.outcome == Outcome::NotApplied, error.to_string())),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// The members as the leader sees them, and how far the leader is.
    fn members(&self) -> Option<(Vec<Seen>, u64)> {
        let status = self.status(self.leader()?)?;
        let all = status.members.iter().map(|member| (member.node.get(), member.voter, member.matched));
        Some((all.collect(), status.commit))
    }

    /// Lets a new node take the place of a member in the cluster, in one step or in three. The old one ends, if it runs, and its
    /// place is free then. The place of the new one.
    pub(super) fn replace(&mut self, old: Place, in_one_step: bool) -> Result<Place, String> {
        let spare = (1..=self.addresses.len()).find(|place| !self.nodes.contains_key(place));
        let spare = spare.ok_or_else(|| "there is no free place".to_owned())?;
        let (old_id, id) = (self.id(old), self.next_id);
        self.next_id += 1;
        let data = self.data(spare);
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|error| error.to_string())?;
        }
        self.timeline.line(format_args!("node {id} is to take the place of node {old_id}"));
        self.nodes.insert(spare, Node { id, process: None, joined: true });
        self.board.seat(id, spare);
        let mut arguments = self.joining(spare);
        arguments.push("--learner".to_owned());
        self.run(spare, &arguments)?;
        let caught_up = self.until(PATIENCE, || {
            self.members().is_some_and(|(members, commit)| {
                members.iter().any(|(member, _, matched)| *member == id && matched + BEHIND >= commit)
            })
        });
        if !caught_up {
            return Err(format!("node {id} does not catch up: {}", self.last_words(spare)));
        }
        let voter = |members: &[Seen], id| members.iter().any(|(member, voter, _)| *member == id && *voter);
        let gone = |members: &[Seen]| members.iter().all(|(member, ..)| *member != old_id);
        if in_one_step {
            self.change_until(MemberChange::Replace, id, Some(old_id), |members| {
                voter(members, id) && gone(members)
            })?;
        } else {
            self.change_until(MemberChange::Promote, id, None, |members| voter(members, id))?;
            self.change_until(MemberChange::Remove, old_id, None, gone)?;
        }
        let runs = self.nodes.get(&old).is_some_and(|node| node.process.is_some());
        if runs {
            match self.await_end(old, PATIENCE) {
                Some((_, Some(11))) => {}
                Some((how, _)) => {
                    let words = self.last_words(old);
                    self.trouble(format!(
                        "node {old_id} was removed and has ended otherwise ({how}): {words}"
                    ));
                }
                None => {
                    self.trouble(format!("node {old_id} was removed and does not end"));
                    self.kill(old);
                }
            }
        }
        self.kill(old);
        self.nodes.remove(&old);
        Ok(spare)
    }

    /// Asks for a change until the members say that it is done.
    fn change_until(
        &self,
        change: MemberChange,
        node: u64,
        other: Option<u64>,
        done: impl Fn(&[Seen]) -> bool,
    ) -> Result<(), String> {
        let mut why = String::new();
        let so = self.until(PATIENCE, || {
            if let Err((_, text)) = self.change(change, node, other) {
                why = text;
            }
            self.members().is_some_and(|(members, _)| done(&members))
        });
        if so { Ok(()) } else { Err(format!("{change:?} of node {node} is not done: {why}")) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Processes first: they use the disks.
        self.nodes.clear();
        self.board.end();
        for proxy in self.proxies.drain(..) {
            let _ = proxy.join();
        }
    }
}
