//! Three `holdfast server` processes with directories and ports of their own.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_client::{Client, StatusReply};
use tempfile::TempDir;

/// How long anything may take before the test fails: real processes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Timeouts of elections on a machine that tests share: five times the usual ones.
const ELECTION_MS: u32 = 1_500;
const HEARTBEAT_MS: u32 = 250;

/// One node: its process, if it runs.
#[derive(Debug)]
struct Node {
    client: String,
    peer: String,
    process: Option<Child>,
    /// Whether it joins the cluster that the others have formed, and whether without a vote.
    joins: Option<bool>,
}

/// A cluster of real processes. Whatever still runs is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    root: TempDir,
    nodes: Vec<Node>,
    /// Further arguments of all nodes.
    further: Vec<String>,
}

/// Loopback addresses that nobody listens on now.
pub(crate) fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").to_string()).collect()
}

/// The exit code of a process that ends by itself, and what it said on standard error if that is piped. Killed if it does not
/// end in time.
fn to_its_end(mut process: Child) -> (Option<i32>, String) {
    let until = Instant::now() + PATIENCE;
    let code = loop {
        if let Some(status) = process.try_wait().expect("it is ours") {
            break status.code();
        }
        if Instant::now() > until {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    if let Some(mut stderr) = process.stderr.take() {
        stderr.read_to_string(&mut said).expect("text");
    }
    (code, said)
}

impl Cluster {
    /// Starts `count` nodes that form a cluster.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// Starts `count` nodes with these further arguments.
    pub(crate) fn start_with(count: usize, further: &[&str]) -> Self {
        let further = further.iter().map(|argument| (*argument).to_owned()).collect();
        let mut addresses = free_addresses(2 * count).into_iter();
        let mut next = || addresses.next().expect("as many as asked for");
        let nodes =
            (0..count).map(|_| Node { client: next(), peer: next(), process: None, joins: None }).collect();
        let mut cluster = Self { root: tempfile::tempdir().expect("a directory"), nodes, further };
        for at in 0..count {
            cluster.run(at);
        }
        cluster
    }

    /// One node that will run in a directory that is restored first.
    pub(crate) fn restored(further: &[&str]) -> Self {
        let [client, peer] = <[String; 2]>::try_from(free_addresses(2)).expect("two");
        let nodes = vec![Node { client, peer, process: None, joins: None }];
        let further = further.iter().map(|argument| (*argument).to_owned()).collect();
        Self { root: tempfile::tempdir().expect("a directory"), nodes, further }
    }

    /// Where the others reach a node.
    pub(crate) fn peer(&self, at: usize) -> String {
        self.nodes[at].peer.clone()
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }

    /// The arguments of a node.
    pub(crate) fn arguments(&self, at: usize) -> Vec<String> {
        let first = (1..).zip(&self.nodes).filter(|(_, node)| node.joins.is_none());
        let list: Vec<String> = first.map(|(id, node)| format!("{id}={}", node.peer)).collect();
        let Node { client, peer, joins, .. } = &self.nodes[at];
        let directory = self.directory(at);
        let text = |text: &str| text.to_owned();
        let begins = match joins {
            None => vec![format!("--initial-cluster={}", list.join(","))],
            Some(learner) => {
                let members: Vec<String> = self
                    .nodes
                    .iter()
                    .filter(|node| node.client != *client)
                    .map(|node| node.client.clone())
                    .collect();
                let mut begins = vec![format!("--join={}", members.join(","))];
                begins.extend(learner.then(|| text("--learner")));
                begins
            }
        };
        let mut arguments = vec![
            text("server"),
            format!("--node-id={}", at + 1),
            format!("--data-dir={}", directory.display()),
            format!("--listen-client={client}"),
            format!("--listen-peer={peer}"),
            format!("--election={ELECTION_MS}ms"),
            format!("--heartbeat={HEARTBEAT_MS}ms"),
            text("--segment-size=24MiB"),
            text("--listen-http=off"),
        ];
        arguments.extend(begins);
        arguments.extend(self.further.iter().cloned());
        arguments
    }

    /// The directory of a node.
    pub(crate) fn directory(&self, at: usize) -> std::path::PathBuf {
        self.root.path().join(format!("n{}", at + 1))
    }

    /// Starts one more node, which joins: with a vote as soon as it has caught up, or as a learner.
    pub(crate) fn join(&mut self, learner: bool) -> usize {
        let [client, peer] = <[String; 2]>::try_from(free_addresses(2)).expect("two");
        self.nodes.push(Node { client, peer, process: None, joins: Some(learner) });
        let at = self.nodes.len() - 1;
        self.run(at);
        at
    }

    /// Waits for a node that is to end by itself.
    pub(crate) fn await_end(&mut self, at: usize) -> (Option<i32>, String) {
        let process = self.nodes[at].process.take().expect("it runs");
        to_its_end(process)
    }

    /// Starts the process of a node.
    pub(crate) fn run(&mut self, at: usize) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(self.arguments(at)).env("HOLDFAST_LOG", "warn").stdin(Stdio::null());
        self.nodes[at].process = Some(command.spawn().expect("the binary that cargo built"));
    }

    /// Kills the process of a node, at once.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.nodes[at].process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    /// Runs a node that is expected to end by itself: its exit code and what it said on standard error.
    pub(crate) fn run_to_its_end(&self, arguments: &[String]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(arguments).env("HOLDFAST_LOG", "off").stdin(Stdio::null()).stderr(Stdio::piped());
        to_its_end(command.spawn().expect("the binary that cargo built"))
    }

    /// Asks a node how it is, until that is as `wanted`.
    pub(crate) async fn wait(
        &self,
        at: usize,
        what: &str,
        wanted: impl Fn(&StatusReply) -> bool,
    ) -> StatusReply {
        let endpoint = &self.nodes[at].client;
        let client = Client::builder([endpoint.clone()]).wait_for_cluster(true).build().expect("a client");
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < until {
            if let Ok(status) = client.status(endpoint).await {
                if wanted(&status) {
                    client.close().await;
                    return status;
                }
                last = Some(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("node {} did not become {what}; last it was {last:?}", at + 1);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.nodes.len() {
            if let Some(mut process) = self.nodes[at].process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

impl Cluster {
    /// Asks a process to stop in order, and waits for its end. Says whether that was a good one.
    pub(crate) async fn stop(&mut self, at: usize) -> bool {
        let Some(mut process) = self.nodes[at].process.take() else { return false };
        let pid = process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(told.success());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = process.try_wait().expect("it is ours") {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }
}
