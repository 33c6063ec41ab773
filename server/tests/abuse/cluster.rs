//! Clusters of three real nodes, and whether they are as they were.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_server::runtime::{Options, Running, start};
use holdfast_wire::message::{MemberStatus, Status, StatusReply};
use holdfast_wire::{ClusterIdentity, Message, NodeIdentity};
use tempfile::TempDir;

use crate::raw::{Raw, hello};

/// How long anything that has to happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the node threads have panicked of. A panic in a task of a node ends that task only, and nobody else would notice.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes panics of all threads that are not of a test; those are called after it.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default();
            if name != "main" && !name.contains("::") {
                let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
                panics.push(format!("{name}: {info}"));
            }
            before(info);
        }));
    });
}

/// Three addresses of the loopback network that no other process uses: it is a whole network, and ports of it are not
/// handed out to outgoing connections, of which there are thousands here.
fn addresses(port: u16) -> Vec<String> {
    static CLUSTERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    loop {
        let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let host =
            |node: u8| format!("127.{}.{low}.{}:{port}", 1 + (high & 0x7f), cluster.wrapping_mul(4) + node);
        let all: Vec<String> = (1..=3).map(host).collect();
        if all.iter().all(|address| TcpListener::bind(address).is_ok()) {
            return all;
        }
    }
}

/// What of a cluster can be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeouts {
    /// Those that the product has: elections after 300 ms.
    Default,
    /// Five times those, for a machine that does much else.
    Patient,
}

/// Three nodes.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Where clients reach them; node 1 first.
    pub(crate) clients: Vec<String>,
    /// Where they listen to peers.
    pub(crate) peers: Vec<String>,
    nodes: Vec<Running>,
    /// Where the nodes keep their data; removed behind them.
    _dir: TempDir,
}

/// What must not change during an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign {
    pub(crate) term: u64,
    pub(crate) leader: u64,
}

impl Cluster {
    /// A cluster that has a leader, and whose nodes are all ready.
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        Self::start_behind(timeouts, <[String]>::to_vec)
    }

    /// The same, where each node reaches the others at what `reached` makes of the addresses where they listen.
    pub(crate) fn start_behind(timeouts: Timeouts, reached: impl FnOnce(&[String]) -> Vec<String>) -> Self {
        watch_panics();
        let (clients, peers) = (addresses(7400), addresses(7401));
        let reached = reached(&peers);
        let dir = tempfile::Builder::new().prefix("holdfast-abuse-").tempdir().expect("a directory");
        let list: Vec<(u64, String)> = (1..).zip(reached).collect();
        let run = |node: u64| {
            let place = node as usize - 1;
            let options = options(node, dir.path(), timeouts, &clients[place], &peers[place]);
            start(Options { initial_cluster: list.clone(), ..options }).expect("a thread")
        };
        let nodes = (1..=3).map(run).collect();
        let cluster = Self { clients, peers, nodes, _dir: dir };
        cluster.settle();
        cluster
    }

    /// Waits until all nodes are ready, connected to each other and of one mind about their leader.
    pub(crate) fn settle(&self) -> Reign {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(!self.nodes.iter().any(Running::is_over), "a node has ended: {:?}", panics());
            let all: Vec<Option<StatusReply>> = (1..=3).map(|node| self.status(node)).collect();
            if let [Some(one), Some(two), Some(three)] = &all[..]
                && let Some(leader) = one.leader
                && [one, two, three].iter().all(|status| {
                    let connected = |member: &MemberStatus| member.connected;
                    status.ready
                        && (status.leader, status.term) == (one.leader, one.term)
                        && status.members.iter().all(connected)
                })
            {
                return Reign { term: one.term, leader: leader.get() };
            }
            assert!(Instant::now() < until, "no leader that all agree on: {all:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// That the leader is the one it was, of the same term, and that no node has ended or panicked anywhere.
    pub(crate) fn assert_still(&self, before: Reign) {
        assert_eq!(self.settle(), before, "term and leader");
        self.assert_sound();
    }

    /// That no node has ended or panicked anywhere, and that all three agree on a leader.
    pub(crate) fn assert_sound(&self) {
        self.settle();
        assert_eq!(panics(), Vec::<String>::new());
    }

    /// How a node is; `None` if it does not say.
    pub(crate) fn status(&self, node: u64) -> Option<StatusReply> {
        let mut raw = Raw::try_dial(self.client(node))?;
        raw.say(hello());
        raw.call(1, Status {});
        loop {
            if let Message::StatusReply(status) = raw.next()? {
                return Some(status);
            }
        }
    }

    /// Which cluster it is.
    pub(crate) fn identity(&self) -> ClusterIdentity {
        self.status(1).and_then(|status| status.cluster).expect("a formed cluster")
    }

    /// What a node says of itself in its greetings.
    pub(crate) fn node(&self, node: u64) -> NodeIdentity {
        self.status(node).expect("a node that answers").node
    }

    pub(crate) fn client(&self, node: u64) -> &str {
        &self.clients[node as usize - 1]
    }

    pub(crate) fn peer(&self, node: u64) -> &str {
        &self.peers[node as usize - 1]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stop = |node: Running| thread::spawn(|| node.stop().map_err(|error| error.to_string()));
        let stops: Vec<_> = self.nodes.drain(..).map(stop).collect();
        for stopped in stops {
            let stopped = stopped.join();
            if !thread::panicking() {
                stopped.expect("no node panics").expect("an ordered stop");
            }
        }
    }
}

/// The options of a node of a test.
pub(crate) fn options(node: u64, dir: &Path, timeouts: Timeouts, client: &str, peer: &str) -> Options {
    let usual = Options::new(node, dir.join(format!("n{node}")));
    let (factor, segment_bytes) = match timeouts {
        Timeouts::Default => (1, 32 << 20),
        Timeouts::Patient => (5, 24 << 20),
    };
    Options {
        cluster: "abused".to_owned(),
        listen_client: client.to_owned(),
        listen_peer: peer.to_owned(),
        heartbeat_ticks: usual.heartbeat_ticks * factor,
        election_ticks: usual.election_ticks * factor,
        segment_bytes,
        ..usual
    }
}

fn panics() -> Vec<String> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A cluster with patient timeouts that tests share which leave it as it was. It ends with the last of them.
pub(crate) fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::start(Timeouts::Patient));
    *shared = Arc::downgrade(&cluster);
    cluster
}
