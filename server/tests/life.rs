//! Machine 14, in real nodes: real sockets on loopback, real files, real time.
//!
//! # Why real time
//! What is tested here is what the simulator has no part of: the order of locks, files, threads and sockets at the start
//! and the end of a process. Nothing is measured, and nothing sleeps to let something happen: each test waits for an edge
//! of the machine, and fails when it has not come after [`PATIENCE`], some hundred times of what it takes.

use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use holdfast_client::{CallOptions, ChangeMembers, Client, MemberChange};
use holdfast_machine::Numbered;
use holdfast_server::runtime::{
    LifeEdge as T, Observer, Options, RunError, Running, SEGMENT_BYTES_MIN, Stop, run, start,
};
use holdfast_server::storage::StorageError;
use holdfast_wire::NodeId;
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// How long a test waits for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The smallest segments there are: every node of every test allocates three.
const SEGMENT_BYTES: u64 = SEGMENT_BYTES_MIN;

/// A node and what has been heard of it.
struct Node {
    running: Running,
    edges: Receiver<T>,
    heard: Vec<T>,
}

impl Node {
    fn start(options: Options) -> Self {
        let (hear, edges) = channel();
        let running = start(Options { observer: told(hear), ..options }).expect("a thread");
        Self { running, edges, heard: Vec::new() }
    }

    /// Waits for the next time that this edge is taken.
    #[track_caller]
    fn wait_for(&mut self, edge: T) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.edges.recv_timeout(left) {
                Ok(next) => {
                    self.heard.push(next);
                    if next == edge {
                        return;
                    }
                }
                Err(error) => panic!("{edge} did not come ({error}) after {}", names(&self.heard)),
            }
        }
    }

    /// Stops it, and gives back all that was heard, and how it ended.
    fn stop(self) -> (Vec<T>, Result<(), RunError>) {
        let Self { running, edges, mut heard } = self;
        let ended = running.stop();
        heard.extend(edges.try_iter());
        (heard, ended)
    }

    /// Waits until it has ended by itself.
    fn end(mut self) -> (Vec<T>, RunError) {
        self.wait_for(T::Fail);
        let (heard, ended) = self.stop();
        (heard, ended.expect_err("it failed"))
    }
}

fn told(hear: Sender<T>) -> Observer {
    Observer::new(move |edge| {
        // Nobody listens any more when the test is over.
        let _ = hear.send(edge);
    })
}

fn names(edges: &[T]) -> String {
    edges.iter().map(|edge| edge.tag()).collect::<Vec<_>>().join(" ")
}

/// A whole life on this thread.
fn live(options: Options, stop: &Stop) -> (Vec<T>, Result<(), RunError>) {
    let (hear, edges) = channel();
    let ended = run(Options { observer: told(hear), ..options }, stop);
    (edges.try_iter().collect(), ended)
}

/// Addresses on loopback that nobody listened to a moment ago. Below the ports that the system gives to whoever connects
/// (from 32768 on), or a connection could take the port of a node that is just being restarted.
fn addresses(count: usize) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id();
    let free = || loop {
        let port = 16_384 + (first.wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed)) % 16_384;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    };
    (0..count).map(|_| free()).collect()
}

/// Options of the nodes of one cluster, each with a directory in `root`.
fn cluster(root: &Path, nodes: u64) -> Vec<Options> {
    let peers = addresses(nodes as usize);
    let clients = addresses(nodes as usize);
    let list: Vec<(u64, String)> = (1..).zip(peers.iter().cloned()).collect();
    let one = |(id, (peer, client)): (u64, (String, String))| Options {
        listen_peer: peer,
        listen_client: client,
        initial_cluster: list.clone(),
        segment_bytes: SEGMENT_BYTES,
        ..Options::new(id, root.join(format!("n{id}")))
    };
    (1..).zip(peers.iter().cloned().zip(clients)).map(one).collect()
}

/// Options of a cluster of one.
fn alone(root: &Path) -> Options {
    cluster(root, 1).remove(0)
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("holdfast-life-").tempdir().expect("a directory")
}

/// Forms the cluster of these, and stops all of its nodes in order.
fn form(options: &[Options]) {
    let mut nodes: Vec<Node> = options.iter().cloned().map(Node::start).collect();
    for node in &mut nodes {
        node.wait_for(T::BecomeReady);
    }
    stop_all(nodes);
}

/// Stops them side by side: the last leader need not wait for a quorum that has gone already.
fn stop_all(nodes: impl IntoIterator<Item = Node>) {
    let nodes: Vec<Node> = nodes.into_iter().collect();
    nodes.iter().for_each(|node| node.running.ask_to_stop());
    for node in nodes {
        node.stop().1.expect("an ordered stop");
    }
}

#[test]
fn t1_t3_t4_t5_blank_nodes_form_a_cluster_and_become_ready() {
    let root = directory();
    let mut nodes: Vec<Node> = cluster(root.path(), 3).into_iter().map(Node::start).collect();
    for node in &mut nodes {
        node.wait_for(T::BecomeReady);
        assert_eq!(node.heard, [T::BeginForming, T::Join, T::Open, T::BecomeReady], "{}", names(&node.heard));
    }
    stop_all(nodes);
}

#[test]
fn t1_a_node_waits_for_every_other_of_its_list() {
    let root = directory();
    let mut options = cluster(root.path(), 2);
    let second = options.remove(1);
    let mut first = Node::start(options.remove(0));
    first.wait_for(T::BeginForming);
    // A second node has to be heard before a first one is formed: until it is started, nothing can be.
    assert_eq!(first.edges.try_recv().ok(), None);
    let mut second = Node::start(second);
    first.wait_for(T::BecomeReady);
    second.wait_for(T::BecomeReady);
    stop_all([first, second]);
}

#[test]
fn t2_a_formed_node_recovers_without_forming_and_without_a_list() {
    let root = directory();
    let options = alone(root.path());
    form(std::slice::from_ref(&options));
    let mut node = Node::start(Options { initial_cluster: Vec::new(), ..options });
    node.wait_for(T::BecomeReady);
    assert_eq!(node.heard, [T::BeginRecovery, T::Open, T::BecomeReady]);
    node.stop().1.expect("an ordered stop");
}

#[test]
fn t6_a_node_that_loses_its_leader_joins_again_and_becomes_ready_when_there_is_one() {
    let root = directory();
    let options = cluster(root.path(), 2);
    let mut first = Node::start(options[0].clone());
    let mut second = Node::start(options[1].clone());
    first.wait_for(T::BecomeReady);
    second.wait_for(T::BecomeReady);
    // One of two is no quorum: whoever led, there is no leader now.
    second.stop().1.expect("an ordered stop");
    first.wait_for(T::LoseLeader);
    let mut second = Node::start(options[1].clone());
    first.wait_for(T::BecomeReady);
    second.wait_for(T::BecomeReady);
    stop_all([first, second]);
}

#[test]
fn t7_t9_t10_a_ready_node_stops_in_order_and_releases_its_directory() {
    let root = directory();
    let options = alone(root.path());
    let mut node = Node::start(options.clone());
    node.wait_for(T::BecomeReady);
    let before = node.heard.len();
    let (heard, ended) = node.stop();
    ended.expect("an ordered stop");
    assert_eq!(heard[before..], [T::BeginStop, T::BeginClose, T::Release], "{}", names(&heard));
    // The next process may start at once, and finds its ports and its directory free.
    form(&[options]);
}

#[test]
fn t7_a_node_without_a_leader_stops_in_order_too() {
    let root = directory();
    let options = cluster(root.path(), 2);
    form(&options);
    let mut node = Node::start(options[0].clone());
    node.wait_for(T::Open);
    let (heard, ended) = node.stop();
    ended.expect("an ordered stop");
    assert_eq!(
        heard,
        [T::BeginRecovery, T::Open, T::BeginStop, T::BeginClose, T::Release],
        "one of two is never ready"
    );
}

#[test]
fn t8_a_node_stops_early_while_it_opens_forms_or_recovers() {
    let root = directory();
    let options = cluster(root.path(), 2).remove(0);
    let stop = Stop::new();
    stop.stop();
    let (heard, ended) = live(options.clone(), &stop);
    ended.expect("an ordered stop");
    assert_eq!(heard, [T::StopEarly, T::Release], "while it opens");

    let mut node = Node::start(options);
    node.wait_for(T::BeginForming);
    let (heard, ended) = node.stop();
    ended.expect("an ordered stop");
    assert_eq!(heard, [T::BeginForming, T::StopEarly, T::Release], "while it forms");

    let formed = Options { node: 1, ..alone(&root.path().join("formed")) };
    form(std::slice::from_ref(&formed));
    let stop = Stop::new();
    let (hear, edges) = channel();
    let observer = {
        let stop = stop.clone();
        Observer::new(move |edge| {
            if edge == T::BeginRecovery {
                stop.stop();
            }
            let _ = hear.send(edge);
        })
    };
    run(Options { observer, ..formed.clone() }, &stop).expect("an ordered stop");
    let heard: Vec<T> = edges.try_iter().collect();
    assert_eq!(heard, [T::BeginRecovery, T::StopEarly, T::Release], "while it recovers");
    form(&[formed]);
}

#[test]
fn t10_the_directory_is_free_for_the_next_process_and_its_boots_are_counted() {
    let root = directory();
    let options = alone(root.path());
    for boot in 1..=3 {
        form(std::slice::from_ref(&options));
        let data_dir = holdfast_server::storage::DataDir::open(&options.data_dir).expect("it is free");
        let identity = data_dir.load().expect("it can be read").expect("it is there");
        assert_eq!(identity.boot, boot);
    }
}

#[test]
fn t11_options_that_contradict_themselves_are_refused_before_anything_is_made() {
    let root = directory();
    let options = alone(root.path());
    let rules = [
        Options { node: 0, ..options.clone() },
        Options { segment_bytes: SEGMENT_BYTES_MIN - 4096, ..options.clone() },
        Options { segment_bytes: SEGMENT_BYTES_MIN + 1, ..options.clone() },
        Options { heartbeat_ticks: 5, election_ticks: 10, ..options.clone() },
        Options { listen_client: "0.0.0.0:7400".to_owned(), ..options.clone() },
    ];
    for broken in rules {
        let (heard, ended) = live(broken, &Stop::new());
        let refused = ended.expect_err("they contradict themselves");
        assert!(matches!(refused, RunError::Options(_)), "{refused}");
        assert_eq!(heard, [T::Fail], "{refused}");
    }
    assert!(!options.data_dir.exists());
}

#[test]
fn t11_a_directory_of_another_node_is_refused() {
    let root = directory();
    let options = alone(root.path());
    form(std::slice::from_ref(&options));
    let list = vec![(2, options.listen_peer.clone())];
    let (heard, ended) = live(Options { node: 2, initial_cluster: list, ..options }, &Stop::new());
    let refused = ended.expect_err("it belongs to node 1");
    assert!(matches!(refused, RunError::Storage(StorageError::OtherNode { .. })), "{refused}");
    assert_eq!(heard, [T::Fail]);
}

#[test]
fn t11_a_directory_of_a_cluster_of_another_name_is_refused() {
    let root = directory();
    let options = alone(root.path());
    form(std::slice::from_ref(&options));
    let (heard, ended) = live(Options { cluster: "other".to_owned(), ..options }, &Stop::new());
    let refused = ended.expect_err("it belongs to another cluster");
    assert!(matches!(refused, RunError::Storage(StorageError::OtherClusterName { .. })), "{refused}");
    assert_eq!(heard, [T::Fail]);
}

#[test]
fn t11_a_second_process_on_a_directory_is_refused_and_the_first_goes_on() {
    let root = directory();
    let options = alone(root.path());
    let mut first = Node::start(options.clone());
    first.wait_for(T::BecomeReady);
    let (heard, ended) = live(options, &Stop::new());
    let refused = ended.expect_err("the directory is in use");
    assert!(matches!(refused, RunError::Storage(StorageError::Locked { .. })), "{refused}");
    assert_eq!(heard, [T::Fail]);
    assert!(!first.running.is_over());
    first.stop().1.expect("an ordered stop");
}

#[test]
fn t11_a_formed_node_whose_log_is_gone_is_refused() {
    let root = directory();
    let options = alone(root.path());
    form(std::slice::from_ref(&options));
    std::fs::remove_dir_all(options.data_dir.join("wal")).expect("the log");
    let (heard, ended) = live(options, &Stop::new());
    let refused = ended.expect_err("it may have voted");
    assert!(matches!(refused, RunError::Storage(StorageError::LogGone { .. })), "{refused}");
    assert_eq!(heard, [T::BeginRecovery, T::Fail]);
}

#[test]
fn t11_a_log_without_an_identity_is_refused() {
    let root = directory();
    let options = alone(root.path());
    form(std::slice::from_ref(&options));
    for name in ["identity", "identity.copy"] {
        std::fs::remove_file(options.data_dir.join(name)).expect("the identity file, and its copy");
    }
    let (heard, ended) = live(options, &Stop::new());
    let refused = ended.expect_err("nobody knows whose log it is");
    assert!(matches!(refused, RunError::Storage(StorageError::IdentityMissing { .. })), "{refused}");
    assert_eq!(heard, [T::Fail]);
}

#[test]
fn t11_a_wiped_directory_under_an_id_that_its_cluster_knows_is_refused() {
    let root = directory();
    let options = cluster(root.path(), 3);
    form(&options);
    std::fs::remove_dir_all(&options[2].data_dir).expect("the directory");
    let mut nodes: Vec<Node> = options.into_iter().map(Node::start).collect();
    let (heard, refused) = nodes.remove(2).end();
    assert!(matches!(refused, RunError::Stopped(_)), "{refused}");
    assert!(refused.to_string().contains("data directory"), "{refused}");
    assert_eq!(heard, [T::BeginForming, T::Fail]);
    // The other two are a quorum, and go on.
    for mut node in nodes {
        node.wait_for(T::BecomeReady);
        node.stop().1.expect("an ordered stop");
    }
}

#[test]
fn t11_two_nodes_with_different_lists_refuse_both() {
    let root = directory();
    let mut options = cluster(root.path(), 2);
    options[1].initial_cluster.push((3, "127.0.0.1:1".to_owned()));
    let nodes: Vec<Node> = options.into_iter().map(Node::start).collect();
    for node in nodes {
        let (heard, refused) = node.end();
        assert!(matches!(refused, RunError::Stopped(_)), "{refused}");
        assert_eq!(heard, [T::BeginForming, T::Fail]);
    }
}

#[test]
fn t11_a_port_that_is_taken_and_a_blank_directory_without_a_list_are_refused() {
    let root = directory();
    let options = alone(root.path());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (heard, ended) = live(Options { listen_peer: address, ..options.clone() }, &Stop::new());
    let refused = ended.expect_err("somebody listens there");
    assert!(matches!(refused, RunError::Listen { .. }), "{refused}");
    assert_eq!(heard, [T::BeginForming, T::Fail]);

    let blank = Options { initial_cluster: Vec::new(), data_dir: root.path().join("blank"), ..options };
    let (heard, ended) = live(blank, &Stop::new());
    let refused = ended.expect_err("there is no cluster");
    assert!(matches!(refused, RunError::NoCluster(_)), "{refused}");
    assert_eq!(heard, [T::Fail]);
}

/// Notes at the end of the thread of the snapshots, on that thread, whether the directory of its node was free already.
struct Ends {
    directory: PathBuf,
    node: u64,
    free: Sender<bool>,
}

/// The node that an event is about, and what it says.
#[derive(Default)]
struct Said {
    node: Option<u64>,
    what: String,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "node" {
            self.node = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.what = format!("{value:?}");
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Ends {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if said.node == Some(self.node) && said.what == "the thread of the snapshots has ended" {
            let opened = holdfast_server::storage::DataDir::open(&self.directory);
            let free = !matches!(opened, Err(StorageError::Locked { .. }));
            self.free.send(free).expect("the test waits for it");
        }
    }
}

#[test]
fn t11_a_node_that_is_removed_ends_its_threads_before_it_releases_its_directory() {
    // A number that no node of another test has, since all of them share the subscriber.
    const REMOVED: u64 = 77;
    let root = directory();
    let mut options = cluster(root.path(), 2);
    options[1].node = REMOVED;
    for options in &mut options {
        options.initial_cluster[1].0 = REMOVED;
    }
    let (free, was_free) = channel();
    let ends = Ends { directory: options[1].data_dir.clone(), node: REMOVED, free };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ends)).expect("the only one");
    let mut nodes: Vec<Node> = options.iter().cloned().map(Node::start).collect();
    for node in &mut nodes {
        node.wait_for(T::BecomeReady);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoints: Vec<_> = options.iter().map(|options| options.listen_client.clone()).collect();
        let client = Client::builder(endpoints).connect().await.expect("they are ready");
        let node = NodeId::new(REMOVED).expect("from 1");
        let change = ChangeMembers {
            timeout_ms: 0,
            change: MemberChange::Remove.number(),
            node,
            other: None,
            uuid: None,
            promote: false,
            peer: "".into(),
        };
        let call = CallOptions { timeout: Some(PATIENCE), ..CallOptions::default() };
        client.change_members(change, call).await.expect("one is left");
        client.close().await;
    });
    let (_, ended) = nodes.remove(1).end();
    assert!(matches!(ended, RunError::Removed { node: REMOVED, .. }), "{ended}");
    let was_free = was_free.recv_timeout(PATIENCE).expect("the thread ends");
    assert!(!was_free, "another process could have started while this one still wrote");
    holdfast_server::storage::DataDir::open(&options[1].data_dir).expect("it is free now");
    stop_all(nodes);
}
