//! Leases, locks, elections.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE, Reply};

fn lease(cluster: &Cluster, id: u64) -> String {
    let granted = cluster.follow(0, "POST", &format!("/v1/leases?ttl=60s&id={id}"), &[], b"").is(200).json();
    assert_eq!(granted["lease"], id.to_string());
    id.to_string()
}

fn queue(cluster: &Cluster, path: &str) -> Value {
    cluster.follow(0, "GET", path, &[], b"").is(200).json()
}

#[test]
fn a_lock_is_held_by_one_its_token_fences_and_the_next_is_told_when_it_is_given_up() {
    let cluster = Cluster::start(3);
    let (a, b) = (lease(&cluster, 71), lease(&cluster, 72));
    let take = |lease: &str, more: &str| {
        cluster.follow(1, "POST", &format!("/v1/locks/jobs/nightly?lease={lease}{more}"), &[], b"")
    };
    let held = take(&a, "&value=me").is(200).json();
    let token = held["token"].as_u64().expect("a token");
    take(&b, "").fails(409, "HF1701");
    take(&b, "&wait=50ms").fails(409, "HF1701");
    assert_eq!(queue(&cluster, "/v1/locks/jobs/nightly")["waiting"], 1, "the place belongs to the lease");
    cluster.follow(1, "DELETE", &format!("/v1/locks/jobs/nightly?lease={b}"), &[], b"").is(200);
    let fenced = |token: u64| {
        let txn = json!({"if": [{"fence": {"name": "jobs/nightly", "token": token}}], "then": [{"put": {"key": "r", "value": "x"}}]});
        cluster.follow(0, "POST", "/v1/txn", &[], txn.to_string().as_bytes()).is(200).json()["succeeded"]
            .clone()
    };
    assert_eq!(fenced(token), true);
    let next = std::thread::scope(|scope| {
        let waits = scope.spawn(|| take(&b, "&wait=50s"));
        let until = Instant::now() + PATIENCE;
        while queue(&cluster, "/v1/locks/jobs/nightly")["waiting"] != 1 {
            assert!(Instant::now() < until, "it does not queue up");
        }
        cluster.follow(2, "DELETE", "/v1/locks/jobs/nightly?token=1", &[], b"").fails(409, "HF1702");
        let gone = cluster
            .follow(2, "DELETE", &format!("/v1/locks/jobs/nightly?token={token}"), &[], b"")
            .is(200)
            .json();
        assert_eq!(gone["held"], true);
        waits.join().expect("no panic").is(200).json()
    });
    assert!(next["token"].as_u64().expect("a token") > token);
    assert_eq!(fenced(token), false);
    let all = queue(&cluster, "/v1/locks");
    assert_eq!(
        (&all["queues"][0]["name"], &all["queues"][0]["holder"]["lease"]),
        (&json!("jobs/nightly"), &json!("72"))
    );
}

#[test]
fn a_caller_that_hangs_up_or_asks_twice_finds_its_place_as_it_was_and_no_lock_is_given_up_behind_its_back() {
    let cluster = Cluster::start(1);
    let (a, b) = (&lease(&cluster, 71), &lease(&cluster, 72));
    let post = |lease: &str, more: &str, headers: &[(&str, &str)]| {
        cluster.ask(0, "POST", &format!("/v1/locks/l?lease={lease}{more}"), headers, b"")
    };
    let first = post(a, "", &[]).is(200).json()["token"].clone();
    let key = [("idempotency-key", "q1")];
    post(b, "&wait=30ms", &key).fails(409, "HF1701");
    let mut hangs_up = TcpStream::connect(cluster.http(0)).expect("a connection");
    write!(
        hangs_up,
        "POST /v1/locks/l?lease={b}&wait=60s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
    )
    .expect("sent");
    drop(hangs_up);
    // Without waiting, and under the same key: it has its place still.
    post(b, "", &[]).fails(409, "HF1701");
    post(b, "&wait=30ms", &key).fails(409, "HF1701");
    assert_eq!(queue(&cluster, "/v1/locks/l")["waiting"], 1);
    // It is granted while two calls for the same lease wait: both are told the same, and it stays granted.
    let tokens: Vec<Value> = std::thread::scope(|scope| {
        let waits: Vec<_> = ["&wait=50s", "&wait=40s"]
            .map(|wait| {
                let post = &post;
                scope.spawn(move || post(b, wait, &[]))
            })
            .into();
        cluster.ask(0, "DELETE", &format!("/v1/locks/l?token={first}"), &[], b"").is(200);
        waits
            .into_iter()
            .map(|waits| waits.join().expect("no panic").is(200).json()["token"].clone())
            .collect()
    });
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(queue(&cluster, "/v1/locks/l")["holder"]["token"], tokens[0]);
    assert_eq!(
        cluster.ask(0, "DELETE", &format!("/v1/locks/l?lease={b}"), &[], b"").is(200).json()["held"],
        true
    );
}

#[test]
fn an_office_is_won_proclaimed_observed_and_given_up() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader(0);
    let (a, b) = (lease(&cluster, 71), lease(&cluster, 72));
    let mut events = cluster.events(leader, "/v1/elections/primary/observe", &[]);
    assert_eq!(events.expect("office").data["holder"], Value::Null);
    let post = |verb: &str| -> Reply {
        cluster.follow(0, "POST", &format!("/v1/elections/primary/{verb}"), &[], b"")
    };
    let token = post(&format!("campaign?lease={a}&value=n1")).is(200).json()["token"].clone();
    let told = events.expect("office").data;
    assert_eq!((&told["holder"]["token"], &told["holder"]["value"]), (&token, &json!("n1")));
    post(&format!("proclaim?lease={a}&token={token}&value=n1%3A5432")).is(200);
    assert_eq!(events.expect("office").data["holder"]["value"], "n1:5432");
    post(&format!("proclaim?lease={b}&token={token}&value=n2")).fails(409, "HF1801");
    assert_eq!(post(&format!("campaign?lease={b}&wait=20ms")).status, 409);
    assert_eq!(queue(&cluster, "/v1/elections/primary")["holder"]["value"], "n1:5432");
    assert_eq!(post(&format!("resign?lease={a}")).is(200).json()["held"], true);
    // The candidate that waited in vain stood all the same.
    loop {
        let told = events.expect("office").data;
        if told["holder"]["lease"] == "72" {
            break;
        }
    }
    assert_eq!(post(&format!("resign?lease={b}")).is(200).json()["held"], true);
}

#[test]
fn keys_go_with_their_lease_and_one_that_is_gone_cannot_be_renewed() {
    let cluster = Cluster::start(3);
    let id = lease(&cluster, 71);
    cluster.follow(0, "PUT", &format!("/v1/kv/addr/web?lease={id}"), &[], b"h:80").is(200);
    let kept = cluster.follow(1, "PUT", &format!("/v1/leases/{id}/keepalive"), &[], b"").is(200).json();
    assert_eq!(kept["ttl_ms"], 60_000);
    let shown = cluster.follow(2, "GET", &format!("/v1/leases/{id}"), &[], b"").is(200).json();
    assert_eq!((&shown["keys"], &shown["key_names"]), (&json!(1), &json!(["addr/web"])));
    assert_eq!(cluster.follow(2, "GET", "/v1/leases", &[], b"").is(200).json()["leases"][0]["lease"], "71");
    let gone = cluster.follow(0, "DELETE", &format!("/v1/leases/{id}"), &[], b"").is(200).json();
    assert_eq!(gone["keys_deleted"], 1);
    cluster.follow(0, "GET", "/v1/kv/addr/web", &[], b"").fails(404, "HF1301");
    cluster.follow(0, "PUT", &format!("/v1/leases/{id}/keepalive"), &[], b"").fails(404, "HF1601");
    cluster.follow(0, "GET", &format!("/v1/leases/{id}"), &[], b"").fails(404, "HF1601");
    cluster.follow(0, "PUT", &format!("/v1/kv/addr/web?lease={id}"), &[], b"h:80").fails(404, "HF1601");
    cluster.follow(0, "GET", "/v1/leases/seven", &[], b"").fails(400, "HF2103");
    cluster.follow(0, "POST", "/v1/leases", &[], b"").fails(400, "HF2103");
    cluster.follow(0, "POST", "/v1/leases?ttl=10", &[], b"").fails(400, "HF2103");
    cluster.follow(0, "POST", "/v1/leases?ttl=1ms", &[], b"").fails(400, "HF1603");
}
