//! The table of routes, and the metrics, against what a node serves.

use std::collections::BTreeSet;

use holdfast_server::api::metrics::METRICS;
use holdfast_server::api::routes::ROUTES;
use serde_json::Value;

use crate::cluster::Cluster;

#[test]
fn every_route_of_the_table_does_what_it_is_for() {
    let cluster = Cluster::start(1);
    // In an order in which each finds what it needs.
    let script: &[(&str, &str, &str, &str)] = &[
        ("PUT", "/v1/namespaces/{*name}", "app", r#"{"description": "what for", "owners": ["ada"]}"#),
        ("GET", "/v1/namespaces/{*name}", "app", ""),
        ("GET", "/v1/namespaces", "", ""),
        ("PUT", "/v1/kv/{*key}", "app/a", "1"),
        ("GET", "/v1/kv/{*key}", "app/a", ""),
        ("GET", "/v1/kv", "?prefix=app/", ""),
        ("POST", "/v1/txn", "", r#"{"then": [{"put": {"key": "app/b", "value": "2"}}]}"#),
        ("GET", "/v1/history/{*key}", "app/a", ""),
        ("GET", "/v1/watch", "?prefix=app/&from_revision=2", ""),
        ("DELETE", "/v1/kv/{*key}", "app/a", ""),
        ("DELETE", "/v1/kv", "?prefix=app/", ""),
        ("POST", "/v1/leases", "?ttl=60s&id=5", ""),
        ("GET", "/v1/leases", "", ""),
        ("GET", "/v1/leases/{id}", "5", ""),
        ("PUT", "/v1/leases/{id}/keepalive", "5", ""),
        ("POST", "/v1/locks/{*name}", "l?lease=5", ""),
        ("GET", "/v1/locks/{*name}", "l", ""),
        ("GET", "/v1/locks", "", ""),
        ("DELETE", "/v1/locks/{*name}", "l?lease=5", ""),
        ("POST", "/v1/elections/{name}/campaign", "e?lease=5&value=x", ""),
        ("GET", "/v1/elections/{name}", "e", ""),
        ("GET", "/v1/elections", "", ""),
        ("GET", "/v1/elections/{name}/observe", "e", ""),
        ("POST", "/v1/elections/{name}/proclaim", "e?lease=5&value=y", ""),
        ("POST", "/v1/elections/{name}/resign", "e?lease=5", ""),
        ("DELETE", "/v1/leases/{id}", "5", ""),
        ("DELETE", "/v1/namespaces/{*name}", "app", ""),
        ("GET", "/v1/audit", "?prefix=app/&since=1h&limit=1", ""),
        ("GET", "/v1/settings", "", ""),
        ("GET", "/v1/sessions", "", ""),
        ("GET", "/v1/status", "", ""),
        ("GET", "/v1/members", "", ""),
        ("GET", "/health", "", ""),
        ("GET", "/health/ready", "", ""),
        ("GET", "/metrics", "", ""),
    ];
    let mut token = Value::Null;
    let mut done = BTreeSet::new();
    for &(method, route, what, body) in script {
        assert!(done.insert((method, route)), "{method} {route} twice");
        let (what, query) = what.split_once('?').unwrap_or((what, ""));
        let path = ["{*key}", "{*name}", "{name}", "{id}"]
            .iter()
            .fold(route.to_owned(), |path, part| path.replace(part, what));
        let query =
            if route.ends_with("/proclaim") { format!("{query}&token={token}") } else { query.to_owned() };
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        if path.starts_with("/v1/watch") || path.ends_with("/observe") {
            cluster.events(0, &path, &[]).next().expect("an event");
            continue;
        }
        let reply = cluster.ask(0, method, &path, &[], body.as_bytes()).is(200);
        if route.ends_with("/campaign") {
            token = reply.json()["token"].clone();
        }
    }
    let table: BTreeSet<(&str, &str)> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    assert_eq!(done, table);
}

#[test]
fn every_metric_of_the_table_is_served_with_its_description() {
    let cluster = Cluster::start(2);
    cluster.follow(0, "PUT", "/v1/kv/a", &[], b"1").is(200);
    let leader = cluster.leader(0);
    let reply = cluster.ask(leader, "GET", "/metrics", &[], b"").is(200);
    assert!(
        reply.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"));
    for metric in METRICS {
        let (name, kind) = (metric.name, metric.kind());
        assert!(text.contains(&format!("# HELP {name} {}", metric.what)), "{name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        let sample = match kind {
            "counter" => format!("\n{name}_total"),
            "histogram" => format!("\n{name}_count"),
            _ => format!("\n{name}"),
        };
        let line = text.split(&sample).nth(1).unwrap_or_else(|| panic!("{name} has no value"));
        for label in metric.labels {
            assert!(
                line.lines().next().is_some_and(|line| line.contains(&format!("{label}=\""))),
                "{name}: {label}"
            );
        }
    }
    assert!(text.contains("\nholdfast_is_leader 1\n"));
    assert!(text.contains("etcd_server_has_leader 1\n"));
}
