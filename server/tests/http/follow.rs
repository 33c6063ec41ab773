//! Nodes that do not lead, nodes that are gone, and no quorum.

use serde_json::json;

use crate::cluster::{Cluster, PATIENCE};

#[test]
fn who_does_not_lead_sends_on_or_asks_the_leader_if_it_is_told_to() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader(0);
    let follower = (leader + 1) % 3;
    for (method, path, body) in [
        ("PUT", "/v1/kv/a?reason=why%20not", "1"),
        ("GET", "/v1/kv/a", ""),
        ("GET", "/v1/kv?prefix=a", ""),
        ("POST", "/v1/txn", r#"{"then": [{"put": {"key": "b", "value": "1"}}]}"#),
        ("POST", "/v1/leases?ttl=30s&id=9", ""),
        ("PUT", "/v1/leases/9/keepalive", ""),
        ("GET", "/v1/history/a", ""),
        ("DELETE", "/v1/kv/a", ""),
    ] {
        let sent_on = cluster.ask(follower, method, path, &[], body.as_bytes()).fails(307, "HF1201");
        let place = format!("http://{}{path}", cluster.http(leader));
        assert_eq!(sent_on.header("location"), Some(place.as_str()), "{method} {path}");
        let forward = [("x-holdfast-forward", "true")];
        cluster.ask(follower, method, path, &forward, body.as_bytes()).is(200);
        // Who was asked on behalf of another does not ask a third.
        let forwarded = [("x-holdfast-forward", "true"), ("x-holdfast-forwarded-by", "3")];
        cluster.ask(follower, method, path, &forwarded, body.as_bytes()).fails(307, "HF1201");
    }
    let health = cluster.ask(follower, "GET", "/health", &[], b"").is(200).json();
    assert_eq!(health["status"], "ok");
}

#[test]
fn readiness_is_lost_with_the_quorum_and_comes_back_with_it() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader(0);
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.follow(leader, "PUT", "/v1/kv/a", &[], b"before").is(200);
    // How old its state is, a node knows once a leader has confirmed it.
    cluster.follow(leader, "GET", "/v1/kv/a?consistency=stale", &[], b"").is(200);
    cluster.stop_node(one);
    cluster.until_ready(leader, true);
    cluster.stop_node(other);
    let told = cluster.until_ready(leader, false).json();
    assert!(told["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{told}");
    // It lives: nobody may restart it for that.
    cluster.ask(leader, "GET", "/health", &[], b"").is(200);
    let refused = cluster.ask(leader, "PUT", "/v1/kv/a?timeout=1s", &[], b"without");
    assert!([503, 504].contains(&refused.status), "{}", refused.text());
    assert!(refused.json()["error"]["code"].as_str().is_some_and(|code| code.starts_with("HF12")));
    let stale = cluster.follow(leader, "GET", "/v1/kv/a?consistency=stale&raw", &[], b"").is(200);
    assert_eq!(stale.text(), "before");
    cluster.ask(leader, "GET", "/metrics", &[], b"").is(200);
    cluster.start_node(one);
    cluster.until_ready(one, true);
    cluster.until_ready(leader, true);
    cluster.follow(leader, "PUT", "/v1/kv/a", &[], b"after").is(200);
    assert_eq!(cluster.follow(one, "GET", "/v1/kv/a?raw", &[], b"").is(200).text(), "after");
}

#[test]
fn a_cluster_with_one_node_dead_goes_on_at_the_others_and_elects_if_it_led() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader(0);
    let (one, other) = ((old + 1) % 3, (old + 2) % 3);
    cluster.stop_node(old);
    assert!(cluster.try_ask(old, "GET", "/health", &[], b"").is_err(), "nobody listens any more");
    for at in [one, other] {
        cluster.until_ready(at, true);
    }
    let until = std::time::Instant::now() + PATIENCE;
    for at in [one, other] {
        loop {
            // The one that was just elected may not have told where it serves HTTP.
            let reply = cluster.follow(at, "PUT", "/v1/kv/a", &[("x-holdfast-forward", "true")], b"1");
            if reply.status == 200 {
                break;
            }
            assert!(std::time::Instant::now() < until, "{}", reply.text());
        }
    }
    let members = cluster.ask(one, "GET", "/v1/members", &[], b"").is(200).json();
    let dead = members["members"]
        .as_array()
        .expect("members")
        .iter()
        .find(|member| member["node"] == old as u64 + 1);
    assert_eq!(dead.map(|dead| dead["connected"].clone()), Some(json!(false)), "{members}");
}

#[test]
fn a_position_of_another_life_is_refused_and_one_to_come_is_waited_for_in_vain() {
    let cluster = Cluster::start(1);
    let position = cluster.ask(0, "PUT", "/v1/kv/a", &[], b"1").is(200).json()["position"]
        .as_str()
        .expect("one")
        .to_owned();
    let parts: Vec<&str> = position.split('.').collect();
    let (term, index) = (parts[2], parts[3].parse::<u64>().expect("a number"));
    let read = |position: String| {
        cluster.ask(0, "GET", &format!("/v1/kv/a?timeout=200ms&min_position={position}"), &[], b"")
    };
    read(format!("9.0.{term}.{index}")).fails(409, "HF1207");
    read(format!("1.5.{term}.{index}")).fails(409, "HF1208");
    let late = read(format!("1.0.{term}.{}", index + 1_000)).fails(504, "HF1206");
    assert!(late.json()["error"]["why"].to_string().contains(&index.to_string()), "{}", late.text());
}
