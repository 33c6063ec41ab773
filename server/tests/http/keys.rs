//! Keys, transactions, watches.

use serde_json::json;

use crate::cluster::Cluster;

#[test]
fn a_write_at_any_node_is_read_back_at_every_node_behind_its_position() {
    let cluster = Cluster::start(3);
    for at in 0..cluster.len() {
        let (path, value) = (format!("/v1/kv/app/{at}"), format!("v{at}"));
        let written = cluster.follow(at, "PUT", &path, &[], value.as_bytes()).is(200);
        let position = written.header("x-holdfast-position").expect("a position").to_owned();
        assert_eq!(written.json()["position"], position.as_str());
        for other in 0..cluster.len() {
            let read =
                cluster.ask(other, "GET", &format!("{path}?min_position={position}"), &[], b"").is(200);
            let shown = read.json();
            assert_eq!(
                (&shown["value"], &shown["mod_revision"]),
                (&json!(value), &written.json()["revision"])
            );
            let raw =
                cluster.ask(other, "GET", &format!("{path}?raw&min_position={position}"), &[], b"").is(200);
            assert_eq!(
                (raw.text(), raw.header("content-type")),
                (value.clone(), Some("application/octet-stream"))
            );
        }
    }
    let stale = cluster.follow(1, "GET", "/v1/kv/app/0?consistency=stale&max_stale=30s", &[], b"").is(200);
    let age: u64 = stale.header("x-holdfast-staleness-ms").expect("an age").parse().expect("a number");
    assert!(age < 30_000);
}

#[test]
fn a_request_that_is_repeated_under_its_key_is_executed_once_and_another_under_the_same_key_is_refused() {
    let cluster = Cluster::start(3);
    let key = [("idempotency-key", "order-7")];
    let first = cluster.follow(0, "PUT", "/v1/kv/counted", &key, b"1").is(200);
    for at in 0..cluster.len() {
        let again = cluster.follow(at, "PUT", "/v1/kv/counted", &key, b"1").is(200);
        assert_eq!(again.json(), first.json(), "at node {at}");
    }
    let there = cluster.follow(0, "GET", "/v1/kv/counted", &[], b"").is(200).json();
    assert_eq!(there["version"], 1, "{there}");
    for (path, body) in [("/v1/kv/counted", "2"), ("/v1/kv/other", "1"), ("/v1/kv/counted?reason=x", "1")] {
        cluster.follow(0, "PUT", path, &key, body.as_bytes()).fails(422, "HF1405");
    }
    assert_eq!(cluster.follow(0, "GET", "/v1/kv/counted", &[], b"").json()["version"], 1);
    // Another key is another request.
    cluster.follow(0, "PUT", "/v1/kv/counted", &[("idempotency-key", "order-8")], b"1").is(200);
    assert_eq!(cluster.follow(0, "GET", "/v1/kv/counted", &[], b"").json()["version"], 2);
    cluster.follow(0, "PUT", "/v1/kv/counted", &[("idempotency-key", "")], b"1").fails(400, "HF2103");
    cluster
        .follow(0, "PUT", "/v1/kv/counted", &[("idempotency-key", &"k".repeat(256))], b"1")
        .fails(400, "HF2103");
    cluster.follow(0, "PUT", "/v1/kv/counted", &[("idempotency-key", &"k".repeat(255))], b"1").is(200);
}

#[test]
fn a_write_that_demands_a_revision_changes_nothing_at_another_one() {
    let cluster = Cluster::start(1);
    let put =
        |query: &str, value: &str| cluster.ask(0, "PUT", &format!("/v1/kv/k{query}"), &[], value.as_bytes());
    let first = put("?if_revision=0", "1").is(200).json()["revision"].as_u64().expect("a revision");
    let why = put("?if_revision=0", "2").fails(412, "HF1305").json()["error"]["why"].to_string();
    assert!(why.contains(&format!("revision {first}")), "{why}");
    let second = put(&format!("?if_revision={first}"), "2").is(200).json()["revision"].as_u64().expect("one");
    assert!(second > first);
    put(&format!("?if_revision={first}"), "3").fails(412, "HF1305");
    assert_eq!(cluster.ask(0, "GET", "/v1/kv/k?raw", &[], b"").text(), "2");
    cluster.ask(0, "DELETE", &format!("/v1/kv/k?if_revision={first}"), &[], b"").fails(412, "HF1305");
    let gone = cluster.ask(0, "DELETE", &format!("/v1/kv/k?if_revision={second}"), &[], b"").is(200).json();
    assert_eq!(gone["deleted"], 1);
    let why = put(&format!("?if_revision={second}"), "4").fails(412, "HF1305").json();
    assert_eq!(why["error"]["why"], "there is no such key");
    cluster.ask(0, "GET", "/v1/kv/k", &[], b"").fails(404, "HF1301");
}

#[test]
fn keys_and_values_that_are_no_text_go_through_every_form() {
    let cluster = Cluster::start(1);
    let value: Vec<u8> = (0..=255).collect();
    cluster.ask(0, "PUT", "/v1/kv/%ff%00%2F%20", &[], &value).is(200);
    assert_eq!(cluster.ask(0, "GET", "/v1/kv/%FF%00/%20?raw", &[], b"").is(200).body, value);
    let shown = cluster.ask(0, "GET", "/v1/kv/%ff%00%2f%20", &[], b"").is(200).json();
    assert_eq!(shown["key"], json!({"b64": "/wAvIA=="}));
    assert!(shown["value"]["b64"].as_str().is_some_and(|text| text.starts_with("AAECAwQF")), "{shown}");
    let listed = cluster.ask(0, "GET", "/v1/kv?prefix=%ff&keys_only", &[], b"").is(200).json();
    assert_eq!(listed["entries"][0]["key"], json!({"b64": "/wAvIA=="}));
    let txn = json!({"if": [{"exists": {"b64": "/wAvIA=="}}],
        "then": [{"put": {"key": {"b64": "/wAvIA=="}, "value": {"b64": "/w=="}}}, {"get": {"prefix": {"b64": "/w=="}}}]});
    let done = cluster.ask(0, "POST", "/v1/txn", &[], txn.to_string().as_bytes()).is(200).json();
    assert_eq!(
        (&done["succeeded"], &done["results"][1]["got"]["entries"][0]["value"]),
        (&json!(true), &json!({"b64": "/w=="}))
    );
    let history = cluster.ask(0, "GET", "/v1/history/%ff%00%2f%20", &[], b"").is(200).json();
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_list_is_read_page_by_page_at_the_revision_of_its_first_page() {
    let cluster = Cluster::start(1);
    let value = vec![b'v'; 400 * 1024];
    for number in 0..5 {
        cluster.ask(0, "PUT", &format!("/v1/kv/big/{number}"), &[], &value).is(200);
    }
    let (mut keys, mut query, mut pages) = (Vec::new(), "/v1/kv?prefix=big/&count".to_owned(), 0);
    loop {
        let page = cluster.ask(0, "GET", &query, &[], b"").is(200).json();
        keys.extend(
            page["entries"].as_array().expect("entries").iter().map(|entry| entry["key"].to_string()),
        );
        pages += 1;
        // What comes in between is not seen.
        cluster.ask(0, "PUT", &format!("/v1/kv/big/x{pages}"), &[], b"late").is(200);
        let Some(next) = page["continue"].as_str() else { break };
        query = format!("/v1/kv?prefix=big/&count&continue={next}");
    }
    assert!(pages > 1, "it fits into one page");
    assert_eq!(keys, (0..5).map(|number| format!("\"big/{number}\"")).collect::<Vec<_>>());
    // In pages of two keys, there and back.
    for (more, first) in [("", "\"big/0\""), ("&descending", "\"big/x")] {
        let (mut keys, mut query) = (Vec::new(), format!("/v1/kv?prefix=big/&keys_only&limit=2{more}"));
        loop {
            let page = cluster.ask(0, "GET", &query, &[], b"").is(200).json();
            keys.extend(
                page["entries"].as_array().expect("entries").iter().map(|entry| entry["key"].to_string()),
            );
            assert_eq!(page["continue"].is_string(), page["more"] == true, "{page}");
            let Some(next) = page["continue"].as_str() else { break };
            query = format!("/v1/kv?prefix=big/&keys_only&limit=2{more}&continue={next}");
        }
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert!(
            keys.len() == 5 + pages && sorted.len() == keys.len() && keys[0].starts_with(first),
            "{keys:?}"
        );
    }
    cluster.ask(0, "GET", "/v1/kv?prefix=small/&continue=7.YmlnLzA", &[], b"").fails(400, "HF1009");
    cluster.ask(0, "GET", "/v1/kv?prefix=big/&revision=2&continue=7.YmlnLzA", &[], b"").fails(400, "HF2103");
    cluster.ask(0, "GET", "/v1/kv?prefix=small/&continue=7.xx", &[], b"").fails(400, "HF1009");
    cluster.ask(0, "GET", "/v1/kv?continue=", &[], b"").fails(400, "HF1009");
}

#[test]
fn a_watch_tells_history_and_news_by_whole_revisions_and_goes_on_behind_the_last_event() {
    let cluster = Cluster::start(3);
    cluster.follow(0, "PUT", "/v1/kv/w/1", &[], b"one").is(200);
    cluster.follow(0, "PUT", "/v1/kv/elsewhere", &[], b"x").is(200);
    for at in 0..cluster.len() {
        let mut events = cluster.events(at, "/v1/watch?prefix=w/&from_revision=2", &[]);
        let first = events.expect("changes");
        assert_eq!((first.id.as_deref(), &first.data["changes"][0]["value"]), (Some("2"), &json!("one")));
    }
    let mut events = cluster.events(1, "/v1/watch?prefix=w/&previous", &[]);
    let txn = json!({"then": [{"put": {"key": "w/2", "value": "two"}}, {"del": {"key": "w/1"}}]});
    let revision =
        cluster.follow(0, "POST", "/v1/txn", &[], txn.to_string().as_bytes()).is(200).json()["revision"]
            .clone();
    let both = events.expect("changes");
    assert_eq!(both.data["revision"], revision);
    let kinds: Vec<&str> = both.data["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter_map(|change| change["type"].as_str())
        .collect();
    assert_eq!(kinds, ["put", "delete"], "{both:?}");
    assert_eq!(both.data["changes"][1]["previous"]["value"], "one");
    drop(events);
    cluster.follow(0, "PUT", "/v1/kv/w/3", &[], b"three").is(200);
    let last = both.id.expect("an id");
    let mut again = cluster.events(2, "/v1/watch?prefix=w/", &[("last-event-id", last.as_str())]);
    assert_eq!(again.expect("changes").data["changes"][0]["key"], "w/3");
    cluster.ask(0, "GET", "/v1/watch?key=a&prefix=b", &[], b"").fails(400, "HF2103");
}

#[test]
fn a_watch_of_a_node_that_stops_ends_with_the_reason_and_where_to_go_on() {
    let mut cluster = Cluster::start(3);
    let at = (cluster.leader(0) + 1) % 3;
    let mut events = cluster.events(at, "/v1/watch?key=w", &[]);
    let revision =
        cluster.follow(0, "PUT", "/v1/kv/w", &[], b"1").is(200).json()["revision"].as_u64().expect("one");
    events.expect("changes");
    cluster.stop_node(at);
    let end = events.expect("end");
    assert_eq!(end.data["error"]["code"], "HF1212", "{end:?}");
    assert_eq!(end.data["from_revision"], revision + 1, "{end:?}");
    assert!(events.next().is_none());
}

#[test]
fn the_audit_log_says_who_really_called_why_and_what_was_touched_and_how_far_it_is_complete() {
    let cluster = Cluster::start(1);
    let position =
        cluster.ask(0, "PUT", "/v1/kv/app/%ff?reason=because", &[], b"1").is(200).json()["position"].clone();
    cluster.ask(0, "PUT", "/v1/kv/elsewhere", &[], b"1").is(200);
    let page = cluster.ask(0, "GET", "/v1/audit?prefix=app/&since=1h", &[], b"").is(200).json();
    let records = page["records"].as_array().expect("records");
    assert_eq!(records.len(), 1, "{page}");
    let record = &records[0];
    assert_eq!(
        (&record["command"], &record["reason"], &record["revision"]),
        (&json!("Put"), &json!("because"), &json!(2))
    );
    assert_eq!(
        record["touched"],
        json!([{"kind": "key", "name": {"b64": "YXBwL/8="}, "before": 0, "gone": false}])
    );
    let address = record["address"].as_str().expect("an address");
    assert!(address.starts_with("127.0.0.1:") && address != cluster.http(0), "{address}");
    let index: u64 = position
        .as_str()
        .and_then(|position| position.rsplit_once('.'))
        .expect("one")
        .1
        .parse()
        .expect("a number");
    assert_eq!(record["index"], index);
    assert!(
        page["complete_from"].as_u64() <= Some(index) && page["through"].as_u64() >= Some(index),
        "{page}"
    );
    let first = cluster.ask(0, "GET", "/v1/audit?limit=1", &[], b"").is(200).json();
    let next = first["next"].as_u64().expect("more");
    let second = cluster.ask(0, "GET", &format!("/v1/audit?limit=1&from={next}"), &[], b"").is(200).json();
    assert!(second["records"][0]["index"].as_u64() > first["records"][0]["index"].as_u64());
    let nothing = cluster.ask(0, "GET", "/v1/audit?until=2020-01-01T00:00:00Z", &[], b"").is(200).json();
    assert_eq!(nothing["records"], json!([]));
}
