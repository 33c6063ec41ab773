//! Peers that do not belong here: each is refused by name, and the cluster goes on.

use std::sync::Mutex;
use std::time::Duration;

use holdfast_machine::Numbered;
use holdfast_server::runtime::{Options, start};
use holdfast_wire::message::{CloseReason, Lane, Notice, PeerHeader, PeerHello};
use holdfast_wire::{ClusterId, ClusterIdentity, Message, NodeId, NodeIdentity, NodeUuid};

use crate::cluster::{Cluster, Timeouts, options, shared};
use crate::neighbour::Neighbour;
use crate::proxy::Proxy;
use crate::raw::{Raw, frame, hello, preface, stranger};

fn node_id(id: u64) -> NodeId {
    NodeId::new(id).expect("from 1")
}

#[test]
fn whoever_does_not_belong_here_is_refused_for_what_it_is() {
    let cluster = shared();
    let reign = cluster.settle();
    let ours = cluster.identity();
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    let foreign = ClusterIdentity { id: ClusterId([0xf0; 16]), ..ours };
    for node in 1..=3 {
        let own = cluster.node(node);
        let other = cluster.node(node % 3 + 1);
        let good = PeerHello { node: other, to: Some(own.id), ..stranger(Some(ours)) };
        let wiped = NodeUuid([0x77; 16]);
        let (of_foreign, of_ours) = (foreign.id.to_string(), ours.id.to_string());
        let cases = [
            (
                "a node of another cluster",
                PeerHello { cluster: Some(foreign), ..good.clone() },
                CloseReason::WrongCluster,
                &of_foreign[..],
            ),
            (
                "the same, as told about us",
                PeerHello { cluster: Some(foreign), ..good.clone() },
                CloseReason::WrongCluster,
                &of_ours[..],
            ),
            ("ourselves", PeerHello { node: own, ..good.clone() }, CloseReason::OwnReflection, "row G4"),
            (
                "our number with another directory",
                PeerHello { node: NodeIdentity { uuid: wiped, ..own }, ..good.clone() },
                CloseReason::DuplicateNode,
                "row G5",
            ),
            (
                "a member's number with another directory",
                PeerHello { node: NodeIdentity { uuid: wiped, ..other }, ..good.clone() },
                CloseReason::DuplicateNode,
                "has the directory",
            ),
            (
                "one that looks for another node",
                PeerHello { to: Some(other.id), ..good.clone() },
                CloseReason::WrongNode,
                "row G6",
            ),
            ("lane 9", PeerHello { lane: 9, ..good.clone() }, CloseReason::UnknownLane, "row G7"),
        ];
        for (what, hello, reason, words) in cases {
            let mut raw = Raw::dial(cluster.peer(node));
            raw.say(hello);
            let end = raw.end();
            assert!(end.says(reason, words), "{what}: {end:?}, expected {reason:?} and to read of {words:?}");
        }
        let mut raw = Raw::dial(cluster.peer(node));
        raw.say(hello());
        assert!(raw.end().says(CloseReason::WrongPort, "a port each"), "a client at the port of peers");
        let mut raw = Raw::dial(cluster.client(node));
        raw.say(good);
        assert!(raw.end().says(CloseReason::WrongPort, "a port each"), "a peer at the port of clients");
        let mut raw = Raw::dial(cluster.peer(node));
        raw.write(&[preface(9, 9), frame(&stranger(Some(ours)).into())].concat());
        assert!(raw.end().says(CloseReason::NoCommonVersion, "here 1, there 9"), "a peer of the future");
    }
    println!("{} calls beside it", neighbour.finish());
    cluster.assert_still(reign);
}

#[test]
fn what_a_member_with_a_wiped_directory_says_before_it_is_turned_away_does_not_count() {
    let cluster = shared();
    let reign = cluster.settle();
    let ours = cluster.identity();
    for node in 1..=3 {
        let own = cluster.node(node);
        let other = cluster.node(node % 3 + 1);
        let wiped = NodeIdentity { uuid: NodeUuid([0x77; 16]), ..other };
        let peer = PeerHeader {
            cluster: ours,
            from: other.id,
            from_boot: other.boot,
            to: own.id,
            to_boot: None,
            term: reign.term + 5,
        };
        // The Hello and a higher term in one go.
        let hello =
            PeerHello { node: wiped, to: Some(own.id), lane: Lane::Control.number(), ..stranger(Some(ours)) };
        let said = [preface(1, 1), frame(&hello.into()), frame(&Notice { peer }.into())].concat();
        let mut raw = Raw::dial(cluster.peer(node));
        raw.write(&said);
        assert!(raw.end().says(CloseReason::DuplicateNode, "has the directory"));
        // And what it says although it was told to go.
        raw.write(&frame(&Notice { peer }.into()));
        raw.hush();
        assert!(raw.is_closed());
    }
    cluster.assert_still(reign);
}

#[test]
fn a_node_whose_addresses_lead_to_another_cluster_spoils_neither() {
    let ours = shared();
    let reign = ours.settle();
    let proxies = Mutex::new(Vec::new());
    let theirs = Cluster::start_behind(Timeouts::Patient, |own| {
        let all: Vec<Proxy> = own.iter().map(|address| Proxy::start(address, None)).collect();
        let addresses = all.iter().map(|proxy| proxy.address.clone()).collect();
        *proxies.lock().expect("one thread") = all;
        addresses
    });
    let before = theirs.settle();
    let neighbours = [&*ours, &theirs].map(|cluster| Neighbour::start(&cluster.clients, Duration::ZERO));
    // One follower of theirs is not at its address any more, but a node of ours is.
    let moved = before.leader % 3 + 1;
    let proxy = &proxies.lock().expect("one thread")[moved as usize - 1];
    proxy.lead_to(ours.peer(moved));
    // Until the two others have noticed.
    let lost = |node: u64| {
        let status = theirs.status(node).expect("it answers");
        status.members.iter().any(|member| member.node == node_id(moved) && !member.connected)
    };
    let others: Vec<u64> = (1..=3).filter(|node| *node != moved).collect();
    while !others.iter().all(|node| lost(*node)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // What the node that is there now says to them.
    let mut raw = Raw::dial(&proxy.address);
    let caller = PeerHello {
        node: theirs.node(others[0]),
        to: Some(node_id(moved)),
        ..stranger(Some(theirs.identity()))
    };
    raw.say(caller);
    let end = raw.end();
    assert!(end.says(CloseReason::WrongCluster, &ours.identity().id.to_string()), "{end:?}");
    ours.assert_still(reign);
    proxy.lead_to(theirs.peer(moved));
    theirs.assert_still(before);
    for neighbour in neighbours {
        println!("{} calls", neighbour.finish());
    }
}

#[test]
fn a_blank_node_that_was_given_the_addresses_of_a_formed_cluster_joins_nothing_and_changes_nothing() {
    let cluster = shared();
    let reign = cluster.settle();
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    let dir = tempfile::tempdir().expect("a directory");
    for (named, id) in [("abused", 3), ("another", 3), ("abused", 4)] {
        let place = dir.path().join(named).join(id.to_string());
        let own = Proxy::start("127.0.0.1:9", None);
        let listen = own.address.replace("127.0.0.1", "127.0.0.77");
        let options = options(id, &place, Timeouts::Patient, "127.0.0.77:0", &listen);
        let mut list: Vec<(u64, String)> = (1..).zip(cluster.peers.iter().cloned()).take(2).collect();
        list.push((id, listen));
        let node =
            start(Options { cluster: named.to_owned(), initial_cluster: list, ..options }).expect("a thread");
        // Long enough to be answered more than once, and to be refused.
        let mut raw = Raw::dial(cluster.peer(1));
        raw.say(stranger(None));
        while !matches!(raw.next(), Some(Message::PeerWelcome(_)) | None) {}
        std::thread::sleep(Duration::from_millis(600));
        let ended = node.is_over();
        println!(
            "node {id} of {named:?}: over {ended}, {:?}",
            node.stop().map_err(|error| error.to_string())
        );
    }
    println!("{} calls beside it", neighbour.finish());
    cluster.assert_still(reign);
}
