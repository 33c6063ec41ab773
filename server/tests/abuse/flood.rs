//! More than a node can do, at the timeouts that the product has: the leader stays.

use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use holdfast_client::{CallOptions, Client, PutOptions};
use holdfast_wire::message::Stats;

use crate::cluster::{Cluster, Timeouts};
use crate::measure::{Stalls, from_env, run_for};
use crate::neighbour::runtime;
use crate::raw::{Raw, call_frame, hello};

/// Tells the flooding process whom to flood: `address,connections,milliseconds`.
const FLOOD: &str = "HOLDFAST_ABUSE_FLOOD";

/// An idle machine wakes a thread within a few milliseconds. On one that let a thread wait for so long, which only looks at
/// the clock, those of the nodes waited too, several times in a row; then the loss of a leader says nothing about them.
const STALL: Duration = Duration::from_millis(60);

/// Does this to a cluster with the default timeouts, and checks that its leader stays. If the machine stood still meanwhile
/// and the leader did not stay, that is tried again, at most twice.
pub(crate) fn assert_leader_stays(title: &str, attack: impl Fn(&Cluster, u64)) {
    assert_leader_stays_in(title, || Cluster::start(Timeouts::Default), attack);
}

/// The same in a cluster that is started like this.
pub(crate) fn assert_leader_stays_in(
    title: &str,
    start: impl Fn() -> Cluster,
    attack: impl Fn(&Cluster, u64),
) {
    for attempt in 1.. {
        let cluster = start();
        let reign = cluster.settle();
        let stalls = Stalls::watch();
        attack(&cluster, reign.leader);
        let after = cluster.settle();
        let longest = stalls.longest();
        println!("{title}: {reign:?}, then {after:?}; the machine stood still for {longest:?} at most");
        cluster.assert_sound();
        if after == reign {
            return;
        }
        assert!(longest >= STALL && attempt < 3, "{reign:?} became {after:?} on a machine that runs evenly");
    }
}

#[test]
fn a_flood_of_clients_in_a_process_of_lower_priority_does_not_cost_the_leader_its_office() {
    let connections = from_env("FLOOD").unwrap_or(64);
    let lasts = run_for(2_000).as_millis();
    assert_leader_stays("flood", |cluster, leader| {
        let me = std::env::current_exe().expect("a program");
        let mut nice = Process::new("nice");
        nice.args(["-n", "19"]).arg(me).args(["--exact", "flood::process_that_floods", "--nocapture"]);
        nice.env(FLOOD, format!("{},{connections},{lasts}", cluster.client(leader)));
        let output = nice.stderr(Stdio::inherit()).output().expect("a process");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let counts = said.lines().find(|line| line.contains("calls answered"));
        println!("{}", counts.unwrap_or_else(|| panic!("it has not flooded: {said}")));
        assert!(output.status.success(), "{said}");
    });
}

/// Not a test by itself: what the flood runs as a process of its own.
#[test]
fn process_that_floods() {
    let Ok(text) = std::env::var(FLOOD) else { return };
    let parts: Vec<&str> = text.split(',').collect();
    let [address, connections, lasts] = parts[..] else { panic!("{text}") };
    let connections: usize = connections.parse().expect("a number");
    let until = Instant::now() + Duration::from_millis(lasts.parse().expect("a number"));
    let (answered, failed) = runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let one = |number: usize| {
            let address = address.to_owned();
            tokio::task::spawn_local(async move {
                let client =
                    Client::builder([address]).timeout(Duration::from_secs(30)).build().expect("an endpoint");
                let (mut answered, mut failed) = (0u64, 0u64);
                while Instant::now() < until {
                    let key = format!("flood/{number}/{}", answered % 16);
                    let call = CallOptions { exactly_once: Some(false), ..CallOptions::default() };
                    let options = PutOptions { call, ..PutOptions::default() };
                    match client.put_with(key, vec![b'v'; 256], options).await {
                        Ok(_) => answered += 1,
                        Err(_) => failed += 1,
                    }
                }
                (answered, failed)
            })
        };
        let all: Vec<_> = (0..connections).map(one).collect();
        let mut sums = (0, 0);
        for one in all {
            let (answered, failed) = one.await.expect("no panic");
            sums = (sums.0 + answered, sums.1 + failed);
        }
        sums
    }));
    println!("{connections} connections: {answered} calls answered, {failed} failed");
    assert!(answered > 0);
}

#[test]
fn thousands_of_questions_for_statistics_at_once_do_not_cost_the_leader_its_office() {
    let connections = from_env("FLOOD").unwrap_or(2);
    assert_leader_stays("statistics", |cluster, leader| {
        let asked = (0..connections).map(|_| {
            let mut raw = Raw::dial(cluster.client(leader));
            raw.say(hello());
            raw.write(&(1..=4_000).flat_map(|call| call_frame(call, &Stats {}.into())).collect::<Vec<u8>>());
            raw
        });
        let asked: Vec<Raw> = asked.collect();
        // They read nothing. Until the node has got through all of it.
        let status = cluster.status(leader);
        assert!(status.is_some(), "it answers others");
        drop(asked);
    });
}
