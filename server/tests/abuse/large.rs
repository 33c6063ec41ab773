//! Commands that take long, and lines that are slow, at the timeouts that the product has: the leader stays.

use std::sync::Mutex;
use std::time::Duration;

use holdfast_client::Client;
use holdfast_command::keys::{Content, Delete, Operation, Put, Range, Span, Transaction};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Code, Command, Reply, Setting};
use holdfast_machine::Numbered;

use crate::cluster::{Cluster, Timeouts};
use crate::flood::{assert_leader_stays, assert_leader_stays_in};
use crate::measure::from_env;
use crate::neighbour::runtime;
use crate::proxy::Proxy;

/// Keys that one transaction writes.
const BATCH: u64 = 2_000;

/// Bytes a second of a slow line.
const RATE: u64 = 1 << 20;

fn key(number: u64) -> String {
    format!("many/{number:08}")
}

async fn client(endpoints: impl IntoIterator<Item = String>) -> Client {
    let builder = Client::builder(endpoints).timeout(Duration::from_secs(120));
    builder.connect().await.expect("a cluster that answers")
}

async fn set_visits(client: &Client, visits: u64) {
    let change = ChangeSettings { changes: vec![(Setting::Visits.number(), visits)] };
    client.submit(Command::ChangeSettings(change)).await.expect("within bounds");
}

async fn write_keys(client: &Client, count: u64) {
    for first in (0..count).step_by(BATCH as usize) {
        let put =
            |number| Operation::Put(Put { key: key(number).into(), value: "v".into(), ..Put::default() });
        let then = (first..count.min(first + BATCH)).map(put).collect();
        client.transact(Transaction { then, ..Transaction::default() }).await.expect("written");
    }
}

async fn count(client: &Client) -> u64 {
    let range = Range { content: Content::CountOnly, count: true, ..Range::of(Span::prefix("many/")) };
    client.range(range).await.expect("counted").page.count.unwrap_or_default()
}

#[test]
fn deleting_a_prefix_of_many_keys_at_once_does_not_cost_the_leader_its_office() {
    let keys = from_env("KEYS").unwrap_or(20_000);
    assert_leader_stays("one deletion", |cluster, _| {
        runtime().block_on(async {
            let client = client(cluster.clients.clone()).await;
            set_visits(&client, 10_000_000).await;
            write_keys(&client, keys).await;
            assert_eq!(count(&client).await, keys);
            let deleted = client.delete_span(Span::prefix("many/")).await.expect("deleted");
            println!("{keys} keys: {:?}", deleted.1);
            assert_eq!(count(&client).await, 0);
            client.close().await;
        });
    });
}

#[test]
fn more_keys_than_a_command_may_look_at_are_deleted_in_steps_and_refused_at_once() {
    let keys = from_env("KEYS").unwrap_or(20_000);
    // The default for a million keys; less for fewer.
    let visits = Setting::Visits.scope().default.min(keys / 2);
    assert_leader_stays("deletion in steps", |cluster, _| {
        runtime().block_on(async {
            let client = client(cluster.clients.clone()).await;
            set_visits(&client, visits).await;
            write_keys(&client, keys).await;
            let delete = Delete { span: Span::prefix("many/"), return_previous: false };
            let refused = client.submit(Command::Delete(delete)).await.expect_err("too many");
            assert_eq!(refused.code, Some(Code::TooManyVisits), "{refused}");
            let mut steps = 0;
            for first in (0..keys).step_by(visits as usize) {
                let span = Span::Between { start: key(first).into(), end: key(first + visits).into() };
                client.delete_span(span).await.expect("few enough");
                steps += 1;
            }
            println!("{keys} keys in {steps} steps");
            let left = Range { limit: 1, ..Range::of(Span::prefix("many/")) };
            assert_eq!(client.range(left).await.expect("read").page.entries, []);
            client.close().await;
        });
    });
}

/// A transaction of some 4 MiB: four values.
fn large(bytes: usize) -> Transaction {
    let put = |number: u64| {
        Operation::Put(Put {
            key: key(number).into(),
            value: vec![b'v'; bytes / 4 - 1_024].into(),
            ..Put::default()
        })
    };
    Transaction { then: (0..4).map(put).collect(), ..Transaction::default() }
}

async fn transact(cluster: &Cluster, endpoints: Vec<String>, silence: Option<Duration>) {
    let mut builder = Client::builder(endpoints).timeout(Duration::from_secs(60));
    if let Some(silence) = silence {
        builder = builder.silence_timeout(silence);
    }
    let slow = builder.connect().await.expect("a cluster that answers");
    let (reply, _) = slow.transact(large(4 << 20)).await.expect("slow, and executed");
    assert!(matches!(reply, Reply::Transacted { succeeded: true, .. }), "{reply:?}");
    let fast = client(cluster.clients.clone()).await;
    assert_eq!(fast.get(key(3)).await.expect("read").expect("written").value.len(), (1 << 20) - 1_024);
    fast.close().await;
}

#[test]
fn a_transaction_of_4_mib_over_a_slow_line_of_a_client_does_not_cost_the_leader_its_office() {
    assert_leader_stays("slow client", |cluster, leader| {
        let line = Proxy::start(cluster.client(leader), Some(RATE));
        runtime().block_on(transact(cluster, vec![line.address.clone()], Some(Duration::from_secs(30))));
    });
}

#[test]
fn a_transaction_of_4_mib_over_slow_lines_between_the_nodes_does_not_cost_the_leader_its_office() {
    let lines: Mutex<Vec<Proxy>> = Mutex::default();
    let start = || {
        Cluster::start_behind(Timeouts::Default, |own| {
            let all: Vec<Proxy> = own.iter().map(|address| Proxy::start(address, Some(RATE))).collect();
            let addresses = all.iter().map(|line| line.address.clone()).collect();
            *lines.lock().expect("one thread") = all;
            addresses
        })
    };
    assert_leader_stays_in("slow peers", start, |cluster, _| {
        runtime().block_on(transact(cluster, cluster.clients.clone(), None));
    });
}
