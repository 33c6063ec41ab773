//! Drills: a node that is made worse on purpose says so, is exactly as much worse as it was told, and recovers when it is over.

use std::time::{Duration, Instant};

use holdfast_client::{Client, StatusReply};
use holdfast_server::runtime::{
    LifeEdge, Live, Observer, Options, RunError, Running, SEGMENT_BYTES_MIN, start,
};

use super::process::{Node, PATIENCE, addresses, holdfast, said};

/// How much longer a sync takes in a drill.
const DELAY: Duration = Duration::from_millis(150);

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

#[test]
fn drills_are_read_from_every_layer_and_bounded() {
    let show = |arguments: &[&str]| said(holdfast(&[&["config", "show", "-o", "json"], arguments].concat()));
    let (code, out, _) = show(&["--drill-cut=3,2", "--drill-sync-delay=1.5s"]);
    let shown: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!((&shown["drill_cut"], &shown["drill_sync_delay"]), (&[2, 3][..].into(), &"1500ms".into()));
    let place = super::process::Place::new();
    let file = place.file("node.toml", "drill_cut = [2, 5]\ndrill_sync_delay = 0\n");
    let (_, out, _) = show(&["--config", &file]);
    let shown: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&shown["drill_cut"], &shown["drill_sync_delay"]), (&[2, 5][..].into(), &"0".into()));
    for (text, why) in [
        ("drill_cut = [\"2\"]", "not every item is a decimal number"),
        ("drill_cut = [0]", "\"0\" is not a node id"),
        ("drill_cut = 2", "this is a whole number: expected a list of node ids"),
        ("drill_sync_delay = \"11s\"", "expected a duration from 0 to 10s"),
        ("drill_cut = [7]\nnode_id = 7\ndata_dir = \"d\"", "`drill_cut` names node 7, which is this one"),
    ] {
        let file = place.file("bad.toml", text);
        let (code, _, err) = said(holdfast(&["config", "check", "--config", &file]));
        assert!(code == Some(2) && err.contains(why), "{text}: {err}");
    }
    let (code, out, err) =
        said(holdfast(&["config", "check", "--node-id=1", "--data-dir=d", "--drill-cut=2"]));
    assert_eq!((code, out.as_str()), (Some(0), "the configuration is fine, with a warning\n"), "{err}");
    assert!(err.contains("a drill is on: drill_cut 2"), "{err}");
}

/// Writes some keys, and says how long the fastest write took.
fn fastest(node: &Node, writes: usize) -> Duration {
    block_on(async {
        let client = Client::builder([node.client.clone()]).timeout(PATIENCE).wait_for_cluster(true);
        let client = client.build().expect("a client");
        client.connected().await.expect("a node that serves");
        let mut fastest = Duration::MAX;
        for count in 0..writes {
            let began = Instant::now();
            client.put(format!("k{count}"), "v").await.expect("an acknowledgement");
            fastest = fastest.min(began.elapsed());
        }
        client.close().await;
        fastest
    })
}

/// Of `/metrics`, how many syncs of the log there were, and how long all of them took.
fn syncs(http: &str) -> (f64, Duration) {
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let text = agent.get(format!("http://{http}/metrics")).call().expect("metrics");
    let text = text.into_body().read_to_string().expect("text");
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    let sum = value("holdfast_wal_sync_seconds_sum");
    (value("holdfast_wal_sync_seconds_count"), Duration::from_secs_f64(sum))
}

#[test]
fn in_a_drill_with_a_slow_disk_no_write_is_acknowledged_earlier_and_the_metrics_show_it_as_the_sync() {
    let [http] = <[String; 1]>::try_from(addresses(1)).expect("one");
    let http_line = format!("listen_http = {http:?}\n");
    let mut node = Node::start(&format!("{http_line}drill_sync_delay = \"{}ms\"\n", DELAY.as_millis()), &[]);
    node.wait_for(&["DRILL: drill_sync_delay 150ms"]);
    node.wait_for(&["life T5"]);
    assert!(fastest(&node, 5) >= DELAY, "a lower bound: no load makes it shorter");
    let (count, sum) = syncs(&http);
    assert!(count >= 5.0 && sum >= (DELAY * 5).mul_f64(0.99), "{count} syncs in {sum:?}");

    node.place.file("node.toml", &http_line);
    node.signal("-HUP");
    node.wait_for(&["drill_sync_delay 150ms → 0"]);
    node.wait_for(&["configuration reloaded"]);
    assert_eq!(node.log().matches("DRILL").count(), 1, "over is over: {}", node.log());

    node.place.file("node.toml", &format!("{http_line}drill_sync_delay = \"150ms\"\n"));
    node.signal("-HUP");
    node.wait_for(&["drill_sync_delay 0 → 150ms"]);
    assert!(fastest(&node, 3) >= DELAY);
    node.wait_for(&["configuration reloaded", "changes=1"]);
    assert_eq!(node.log().matches("DRILL").count(), 2, "a reload says it as well: {}", node.log());
    node.stop();
}

/// Three nodes in this process, and what changes each of them while it runs.
struct Three {
    clients: Vec<String>,
    live: Vec<Live>,
    nodes: Vec<Running>,
    _root: tempfile::TempDir,
}

impl Three {
    /// Starts them; `observer` hears what becomes of the first one, and `cut` are those that it is cut from.
    fn start(cut: &[u64], observer: &Observer) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let (clients, peers) = (addresses(3), addresses(3));
        let members: Vec<(u64, String)> = (1..).zip(peers.iter().cloned()).collect();
        let live: Vec<Live> = (0..3).map(|_| Live::default()).collect();
        live[0].set_cut(cut.iter().copied().collect());
        let nodes = (0..3).map(|at| {
            let options = Options {
                listen_client: clients[at].clone(),
                listen_peer: peers[at].clone(),
                initial_cluster: members.clone(),
                segment_bytes: SEGMENT_BYTES_MIN,
                live: live[at].clone(),
                observer: if at == 0 { observer.clone() } else { Observer::default() },
                ..Options::new(at as u64 + 1, root.path().join(format!("n{at}")))
            };
            start(options).expect("a thread")
        });
        let nodes = nodes.collect();
        Self { clients, live, nodes, _root: root }
    }

    /// Asks one of them until it is as wanted; `None` if a node has ended.
    async fn wait(
        &self,
        client: &Client,
        at: usize,
        wanted: impl Fn(&StatusReply) -> bool,
    ) -> Option<StatusReply> {
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while !self.nodes.iter().any(Running::is_over) {
            assert!(Instant::now() < until, "node {}: {last:?}", at + 1);
            match client.status(&self.clients[at]).await {
                Ok(status) if wanted(&status) => return Some(status),
                status => last = Some(status),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Stops them. Some may have ended because a port was taken.
    fn stop(self, may_have_ended: bool) {
        for node in self.nodes {
            match node.stop() {
                Err(RunError::Listen { .. }) if may_have_ended => {}
                ended => ended.expect("an orderly end"),
            }
        }
    }

    /// What is tested; `None` if a node has ended, as it does if a port that was free is somebody's by now.
    async fn lead_cut_and_heal(&self) -> Option<()> {
        let client = Client::builder(self.clients.clone()).timeout(PATIENCE).wait_for_cluster(true);
        let client = client.build().expect("a client");
        let connected =
            |status: &StatusReply| status.members.iter().filter(|member| member.connected).count();
        let mut leader = 0;
        for at in 0..3 {
            let all = |status: &StatusReply| status.ready && connected(status) == 3;
            leader = self.wait(&client, at, all).await?.leader.expect("a ready node knows it").get();
        }
        client.put("before", "the cut").await.expect("a cluster that serves");
        let cut = usize::try_from(leader - 1).expect("small");
        let others = [0, 1, 2].into_iter().filter(|at| *at != cut);
        self.live[cut].set_cut((1..=3).filter(|id| *id != leader).collect());
        for at in others.clone() {
            let another = |status: &StatusReply| {
                status.ready && connected(status) == 2 && status.leader.is_some_and(|id| id.get() != leader)
            };
            self.wait(&client, at, another).await?;
        }
        let alone = |status: &StatusReply| !status.ready && status.leader.is_none() && connected(status) == 1;
        self.wait(&client, cut, alone).await?;
        client.put("during", "the cut").await.expect("two of three serve");

        self.live[cut].set_cut(std::collections::BTreeSet::new());
        let healed = |status: &StatusReply| status.ready && connected(status) == 3;
        for at in others {
            self.wait(&client, at, healed).await?;
        }
        let revision = self.wait(&client, cut, healed).await?.revision;
        assert!(revision >= 2, "it has what was written without it: {revision}");
        client.close().await;
        Some(())
    }

    /// The same: a leader whose followers answer and store nothing.
    async fn stall_and_go_on(&self) -> Option<()> {
        let client = Client::builder(self.clients.clone()).timeout(Duration::from_millis(300)).build();
        let client = client.expect("a client");
        let mut leader = 0;
        for at in 0..3 {
            let ready =
                |status: &StatusReply| status.ready && status.members.iter().all(|member| member.connected);
            leader = self.wait(&client, at, ready).await?.leader.expect("a ready node knows it").get();
        }
        let followers = |delay| {
            for live in (1..).zip(&self.live).filter(|(id, _)| *id != leader).map(|(_, live)| live) {
                live.set_sync_delay(delay);
            }
        };
        followers(Duration::from_secs(10));
        client.put("during", "the stall").await.expect_err("no quorum stores it");
        let all = self.clients.join(",");
        let status = || said(holdfast(&["status", "--endpoints", &all]));
        let (code, out, err) = status();
        let told = format!("NOT OK: node {leader} leads, and ");
        assert!(
            code == Some(4) && out.starts_with(&told) && out.contains("none was committed"),
            "{out}{err}"
        );
        followers(Duration::ZERO);
        let until = Instant::now() + PATIENCE;
        while status().0 != Some(0) {
            assert!(Instant::now() < until, "{:?}", status());
        }
        client.close().await;
        Some(())
    }
}

/// Runs a test over three nodes, with others if it is `None`, because a port that was free is somebody's by now.
fn with_three(test: &impl AsyncFn(&Three) -> Option<()>) {
    let tried = (0..5).find_map(|_| {
        let three = Three::start(&[], &Observer::default());
        let tested = block_on(test(&three));
        three.stop(tested.is_none());
        tested
    });
    tried.expect("free ports");
}

#[test]
fn a_leader_that_commits_nothing_is_said_not_to_be_ok_though_all_answer_and_ok_when_it_goes_on() {
    with_three(&Three::stall_and_go_on);
}

#[test]
fn a_leader_that_is_cut_from_both_others_is_followed_by_another_and_follows_it_when_healed() {
    with_three(&Three::lead_cut_and_heal);
}

#[test]
fn a_node_that_is_cut_while_a_cluster_is_formed_takes_part_once_it_is_healed() {
    let tried = (0..5).find_map(|_| {
        let (hear, heard) = std::sync::mpsc::channel();
        let observer = Observer::new(move |edge| {
            // Nobody listens any more at the end.
            let _ = hear.send(edge);
        });
        let three = Three::start(&[2, 3], &observer);
        // None if a node has ended before.
        let wait_for = |wanted| {
            let until = Instant::now() + PATIENCE;
            while !three.nodes.iter().any(Running::is_over) {
                assert!(Instant::now() < until, "{wanted:?} does not come");
                if heard.recv_timeout(Duration::from_millis(50)) == Ok(wanted) {
                    return Some(());
                }
            }
            None
        };
        let formed = wait_for(LifeEdge::BeginForming).and_then(|()| {
            three.live[0].set_cut(std::collections::BTreeSet::new());
            wait_for(LifeEdge::BecomeReady)
        });
        three.stop(formed.is_none());
        formed
    });
    tried.expect("free ports");
}
