//! Clients that are silent, slow, greedy, or of another version or cluster: each spoils its own connection at most.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_client::Client;
use holdfast_command::keys::{Put, Range, Span};
use holdfast_command::{Code, Command, Request};
use holdfast_machine::Numbered;
use holdfast_wire::message::{ClientHello, CloseReason, Consistency, Read, Status};
use holdfast_wire::{ClusterEpoch, ClusterId, ClusterIdentity, Message};

use crate::cluster::{Cluster, Timeouts, shared};
use crate::measure::{alone, descriptors, from_env, resident_kib};
use crate::neighbour::{Neighbour, runtime};
use crate::raw::{End, Raw, call_frame, frame, hello, preface, stranger, submit};

/// Calls of one connection that a node has in flight at most, as `server/src/runtime/clients.rs` has it.
const CALLS_MAX: u64 = 4_096;

/// Connections of clients, as it has it, too.
const CLIENTS_MAX: usize = 8_192;

fn read(key: &str) -> Message {
    let mut range = Vec::new();
    Range::of(Span::Key(key.to_owned().into())).write(&mut range);
    let consistency = Consistency::Linearizable.number();
    Read { consistency, timeout_ms: 60_000, max_stale_ms: 0, min_position: None, range: range.into() }.into()
}

fn put(key: &str, bytes: usize) -> Message {
    let put = Put { key: key.to_owned().into(), value: vec![b'v'; bytes].into(), ..Put::default() };
    submit(Request::from(Command::Put(put)).encode()).into()
}

/// Writes a key through a client with manners.
fn write(cluster: &Cluster, key: &str, bytes: usize) {
    runtime().block_on(async {
        let builder = Client::builder(cluster.clients.iter().cloned()).timeout(Duration::from_secs(30));
        let client = builder.build().expect("endpoints");
        client.put(key.to_owned(), vec![b'v'; bytes]).await.expect("written");
        client.close().await;
    });
}

#[test]
fn whoever_does_not_greet_in_time_is_let_go_and_told_so_if_it_can_be() {
    let cluster = shared();
    let reign = cluster.settle();
    let ports =
        [(cluster.client(2), frame(&hello().into())), (cluster.peer(2), frame(&stranger(None).into()))];
    let mut all = Vec::new();
    for (address, greeting) in &ports {
        let whole = [&preface(1, 1)[..], greeting].concat();
        for said in [0, 1, 7, 8, 9, 30, whole.len() - 1] {
            let mut raw = Raw::dial(address);
            raw.write(&whole[..said]);
            all.push((said, raw));
        }
    }
    for (said, mut raw) in all {
        let end = raw.end();
        if said < 8 {
            assert_eq!(end, End::Silent, "{said} bytes of a greeting");
        } else {
            assert!(
                end.says(CloseReason::HandshakeTimeout, "5000 ms"),
                "{said} bytes of a greeting: {end:?}"
            );
            assert!(raw.is_closed());
        }
    }
    cluster.assert_still(reign);
}

#[test]
fn a_hundred_thousand_calls_at_once_are_each_answered_once() {
    let cluster = shared();
    let reign = cluster.settle();
    write(&cluster, "x/one", 10);
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    let calls = from_env("CALLS").unwrap_or(100_000);
    let mut raw = Raw::dial(cluster.client(reign.leader));
    raw.say(hello());
    let mut other_half = raw.stream.try_clone().expect("a socket");
    let asks = std::thread::spawn(move || {
        let call = |call| call_frame(call, &read("x/one"));
        for first in (1..=calls).step_by(1_000) {
            let calls: Vec<u8> = (first..=calls.min(first + 999)).flat_map(call).collect();
            std::io::Write::write_all(&mut other_half, &calls).expect("a node that reads on");
        }
    });
    assert_each_answered_once(&mut raw, calls);
    asks.join().expect("asked");
    println!("{calls} calls, and {} beside them", neighbour.finish());
    cluster.assert_still(reign);
}

fn assert_each_answered_once(raw: &mut Raw, calls: u64) {
    let mut answered = vec![false; calls as usize + 1];
    let mut left = calls;
    while left > 0 {
        match raw.next_frame() {
            Some((header, Message::ReadDone(_))) => {
                let before = std::mem::replace(&mut answered[header.call.0 as usize], true);
                assert!(!before, "call {} was answered twice", header.call.0);
                left -= 1;
            }
            Some((_, Message::ClientWelcome(_) | Message::Ping(_))) => {}
            Some(other) => panic!("{other:?}"),
            None => panic!("{left} of {calls} calls were not answered: {:?}", raw.end()),
        }
    }
}

#[test]
fn calls_beyond_those_that_may_be_in_flight_are_answered_without_another_word_of_the_client() {
    let cluster = shared();
    let reign = cluster.settle();
    write(&cluster, "x/two", 10);
    let calls = CALLS_MAX + 300;
    let mut raw = Raw::dial(cluster.client(reign.leader));
    raw.say(hello());
    // All of it is there before the first is answered; then this client waits, and says nothing more.
    let all: Vec<u8> = (1..=calls).flat_map(|call| call_frame(call, &read("x/two"))).collect();
    raw.write(&all);
    assert_each_answered_once(&mut raw, calls);
    cluster.assert_still(reign);
}

#[test]
fn calls_behind_answers_that_were_not_read_for_a_while_are_answered_once_they_are() {
    let cluster = shared();
    let reign = cluster.settle();
    write(&cluster, "x/large", 200_000);
    let mut raw = Raw::dial(cluster.client(reign.leader));
    raw.say(hello());
    // More than the sockets and the high-water mark hold, and less than is kept for a client that does not read.
    let calls = 60;
    let ask = |call| call_frame(call, &read("x/large"));
    raw.write(&(1..=calls).flat_map(ask).collect::<Vec<u8>>());
    assert_each_answered_once(&mut raw, calls);
    cluster.assert_still(reign);
}

#[test]
fn a_client_that_asks_for_much_and_reads_nothing_is_let_go_and_takes_no_more_memory_than_one_may() {
    alone(
        "connections::a_client_that_asks_for_much_and_reads_nothing_is_let_go_and_takes_no_more_memory_than_one_may",
        ask_for_much_and_read_nothing,
    );
}

fn ask_for_much_and_read_nothing() {
    let cluster = shared();
    let reign = cluster.settle();
    write(&cluster, "x/mebibyte", (1 << 20) - 64);
    let neighbour = Neighbour::start(&cluster.clients, Duration::from_millis(1));
    let calls = from_env("CALLS").unwrap_or(300);
    let before = resident_kib();
    let mut highest = before;
    let mut raw = Raw::dial(cluster.client(reign.leader));
    raw.say(hello());
    raw.write(&(1..=calls).flat_map(|call| call_frame(call, &read("x/mebibyte"))).collect::<Vec<u8>>());
    // Its connection is gone from the node when writing to it breaks.
    let began = Instant::now();
    while raw.stream.peer_addr().is_ok()
        && std::io::Write::write(&mut raw.stream, &call_frame(9, &Status {}.into())).is_ok()
    {
        highest = highest.max(resident_kib());
        std::thread::sleep(Duration::from_millis(5));
        assert!(began.elapsed() < Duration::from_secs(50), "it is still there");
    }
    println!(
        "{calls} calls for 1 MiB: {} MiB more at most, {} calls beside it",
        (highest - before) / 1024,
        neighbour.finish()
    );
    // What may wait for one connection is 16 MiB and a frame; what a turn makes besides is measured in the same.
    assert!(highest - before < 100 * 1024, "{} KiB more for one connection", highest - before);
    cluster.assert_still(reign);
}

#[test]
fn a_request_over_the_replicated_limit_is_refused_by_its_number_and_one_over_the_frame_ends_the_connection() {
    let cluster = shared();
    let reign = cluster.settle();
    let mut raw = Raw::dial(cluster.client(reign.leader));
    raw.say(hello());
    raw.call(1, put("x/long", 5 << 20));
    let refused = loop {
        match raw.next() {
            Some(Message::Refused(refused)) => break refused,
            Some(Message::ClientWelcome(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((refused.code, refused.second), (Code::RequestTooLong.number(), 4 << 20));
    assert_eq!(Code::RequestTooLong.number(), 1103);
    // The connection is as good as before.
    raw.call(2, put("x/short", 10));
    assert!(matches!(raw.next(), Some(Message::Submitted(_))));
    let mut head = put("x", 1);
    if let Message::Submit(submit) = &mut head {
        submit.request = Bytes::from(vec![0; 16]);
    }
    let mut over = call_frame(3, &head);
    over[..4].copy_from_slice(&(20 + (16u32 << 20) + 1).to_le_bytes());
    raw.write(&over);
    let end = raw.end();
    assert!(end.says(CloseReason::Violation, "16777217 bytes"), "{end:?}");
    cluster.assert_still(reign);
}

#[test]
fn a_client_of_another_version_or_cluster_is_told_which_is_which() {
    let cluster = shared();
    let reign = cluster.settle();
    let ours = cluster.identity();
    let foreign = ClusterIdentity { id: ClusterId([0xf0; 16]), ..ours };
    let later = ClusterIdentity { epoch: ClusterEpoch::new(ours.epoch.get() + 1).expect("from 1"), ..ours };
    for node in 1..=3 {
        let mut raw = Raw::dial(cluster.client(node));
        raw.write(&[preface(9, 9), frame(&hello().into())].concat());
        assert!(raw.end().says(CloseReason::NoCommonVersion, "here 1, there 9"));
        for (cluster_named, reason) in
            [(foreign, CloseReason::WrongCluster), (later, CloseReason::WrongEpoch)]
        {
            let mut raw = Raw::dial(cluster.client(node));
            raw.say(ClientHello { cluster: Some(cluster_named), ..hello() });
            let end = raw.end();
            for id in [cluster_named.id, ours.id] {
                assert!(end.says(reason, &id.to_string()), "{end:?}");
            }
        }
    }
    cluster.assert_still(reign);
}

#[test]
fn connections_beyond_those_that_may_be_are_turned_away_and_those_that_are_go_on() {
    // Both ends of each are in this process, and so are those of the tests beside it.
    let room = descriptors().saturating_sub(2_500) / 2;
    let cluster = Cluster::start(Timeouts::Patient);
    let reign = cluster.settle();
    let neighbour = Neighbour::start(&cluster.clients, Duration::from_millis(1));
    let address = cluster.client(reign.leader);
    // All of them take a while; by default it is some.
    let wanted = from_env("CLIENTS").map_or(1_000, |clients| clients as usize).min(room);
    let before = resident_kib();
    // Each greets, and is then as quiet as most are.
    let greet = |_| {
        let mut raw = Raw::dial(address);
        raw.say(hello());
        raw
    };
    let all: Vec<Raw> = (0..wanted).map(greet).collect();
    let mut turned_away = 0;
    if wanted > CLIENTS_MAX {
        // The last to come is one too many.
        let mut last = Raw::dial(address);
        last.say(hello());
        assert!(matches!(last.end(), End::Silent | End::Reset));
        turned_away += 1;
    }
    let more = resident_kib().saturating_sub(before);
    println!(
        "{wanted} connections, {turned_away} tried beyond; {more} KiB more; {} calls beside",
        neighbour.finish()
    );
    drop(all);
    cluster.assert_still(reign);
}

#[test]
fn a_client_that_is_gone_without_a_word_is_given_up() {
    // It takes as long as the silence that is allowed: 30 s, and what a Ping into it takes.
    if from_env("SECONDS").is_none_or(|seconds| seconds < 45) {
        println!("not tried: needs SECONDS=45 or more");
        return;
    }
    let cluster = shared();
    let mut raw = Raw::dial(cluster.client(1));
    raw.stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    raw.say(hello());
    // It takes what comes, and answers no Ping.
    assert!(raw.end().says(CloseReason::Silence, "30000 ms"));
}
