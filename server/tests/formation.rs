//! A cluster is formed whatever state each identity file was left in by a crash: real nodes on loopback, started on
//! directories that say what a process had made durable before it died. Bounded in time, because formation asks its peers
//! every 200 ms.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_client::Client;
use holdfast_raft::NodeId;
use holdfast_raft::formation::{IdentityState, MemberList, Mint, Seed};
use holdfast_server::runtime::{Options, RunError, Running, start};
use holdfast_server::storage::{DataDir, Identity};

const PATIENCE: Duration = Duration::from_secs(60);

/// What an identity file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Blank,
    Minted,
    Prepared,
    Formed,
}

fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

fn leave(directory: &Path, node: u64, left: Left, mint: &Mint) {
    if left == Left::Blank {
        return;
    }
    let data_dir = DataDir::open(directory).unwrap();
    let mut identity = Identity::blank(NodeId(node), "holdfast");
    identity.boot = 1;
    identity.formation = match left {
        Left::Blank => IdentityState::Blank,
        Left::Minted => IdentityState::Minted(mint.clone()),
        Left::Prepared => IdentityState::Prepared(mint.clone()),
        Left::Formed => IdentityState::Formed(mint.clone()),
    };
    data_dir.store(&identity).unwrap();
}

/// Starts three nodes on these directories, and says which cluster they formed. A port that was free when it was chosen may be
/// somebody's when it is listened on: then others are chosen.
fn form(left: [Left; 3]) -> (String, String) {
    (0..5).find_map(|_| try_form(left)).expect("free ports")
}

fn try_form(left: [Left; 3]) -> Option<(String, String)> {
    let root = tempfile::tempdir().unwrap();
    let (clients, peers) = (addresses(3), addresses(3));
    let members: Vec<(u64, String)> = (1..).zip(peers.iter().cloned()).collect();
    let list = members.iter().map(|(id, address)| (NodeId(*id), Bytes::from(address.clone())));
    let mint = Seed(*b"sixteen of those").mint(&MemberList::new(list).unwrap());
    let mut nodes: Vec<Running> = Vec::new();
    for (at, state) in left.into_iter().enumerate() {
        let node = at as u64 + 1;
        let directory = root.path().join(format!("n{node}"));
        leave(&directory, node, state, &mint);
        nodes.push(
            start(Options {
                listen_client: clients[at].clone(),
                listen_peer: peers[at].clone(),
                initial_cluster: members.clone(),
                election_ticks: 150,
                heartbeat_ticks: 25,
                segment_bytes: 24 << 20,
                ..Options::new(node, directory)
            })
            .unwrap(),
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let formed = runtime.block_on(async {
        let client =
            Client::builder(clients.clone()).timeout(PATIENCE).wait_for_cluster(true).build().unwrap();
        client.put("formed", "yes").await.expect("a cluster that serves");
        let until = Instant::now() + PATIENCE;
        let mut clusters = Vec::new();
        for endpoint in &clients {
            loop {
                match client.status(endpoint).await {
                    Ok(status) if status.ready => {
                        break clusters.push(status.cluster.unwrap().id.to_string());
                    }
                    Ok(_) | Err(_) => assert!(Instant::now() < until, "{endpoint} is not ready"),
                }
                if nodes.iter().any(Running::is_over) {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        client.close().await;
        assert!(clusters.windows(2).all(|pair| pair[0] == pair[1]), "{clusters:?}");
        Some(clusters.remove(0))
    });
    for node in nodes {
        match node.stop() {
            Err(RunError::Listen { .. }) if formed.is_none() => {}
            ended => ended.unwrap(),
        }
    }
    Some((formed?, mint.cluster().to_string()))
}

#[test]
fn a_crash_after_each_durable_step_of_formation_leads_to_one_cluster_of_the_same_name() {
    use Left::{Blank, Formed, Minted, Prepared};
    for left in [
        [Minted, Blank, Blank],
        [Minted, Prepared, Blank],
        [Minted, Prepared, Prepared],
        [Formed, Prepared, Prepared],
        [Formed, Formed, Prepared],
        [Formed, Formed, Formed],
    ] {
        let (formed, minted) = form(left);
        assert_eq!(formed, minted, "{left:?}: what was told to anybody holds");
    }
}

#[test]
fn a_minter_that_lost_its_file_mints_anew_as_long_as_nobody_is_formed() {
    let (formed, lost) = form([Left::Blank, Left::Prepared, Left::Blank]);
    assert_ne!(formed, lost);
}
