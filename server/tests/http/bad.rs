//! Bad input: refused with its own status and code, and nothing is changed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::cluster::{Cluster, PATIENCE};

/// What a raw request is answered, to the end of the connection or of `wanted` bytes.
fn raw(cluster: &Cluster, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(cluster.http(0)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It may be answered, and closed, before all of it was written.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_no_request_is_refused_with_its_own_status_and_nothing_is_written() {
    let cluster = Cluster::start(1);
    let key = |bytes: usize| format!("/v1/kv/{}", "k".repeat(bytes));
    let big = vec![b'v'; (1 << 20) + 1];
    let cases: Vec<(&str, String, &[u8], u16, &str)> = vec![
        ("GET", "/".into(), b"", 404, "HF2101"),
        ("GET", "/v1/kvs".into(), b"", 404, "HF2101"),
        ("POST", "/v1/kv/a".into(), b"1", 405, "HF2102"),
        ("PUT", "/v1/status".into(), b"1", 405, "HF2102"),
        ("PUT", "/v1/kv/".into(), b"1", 400, "HF1004"),
        ("GET", "/v1/kv/".into(), b"", 400, "HF1004"),
        ("DELETE", "/v1/kv".into(), b"", 400, "HF2103"),
        ("DELETE", "/v1/kv?prefix=".into(), b"", 400, "HF2103"),
        ("PUT", "/v1/kv/a?resaon=x".into(), b"1", 400, "HF2103"),
        ("PUT", "/v1/kv/a?lease=x".into(), b"1", 400, "HF2103"),
        ("PUT", "/v1/kv/a?reason=a&reason=b".into(), b"1", 400, "HF2103"),
        ("PUT", "/v1/kv/a?reason=%ff".into(), b"1", 400, "HF2103"),
        ("PUT", format!("/v1/kv/a?reason={}", "r".repeat(1_025)), b"1", 400, "HF1105"),
        ("PUT", "/v1/kv/a?lease=5".into(), b"1", 404, "HF1601"),
        ("PUT", "/v1/kv/a?timeout=0s".into(), b"1", 400, "HF2103"),
        ("PUT", "/v1/kv/a?timeout=1h".into(), b"1", 400, "HF2103"),
        ("PUT", key(4_097), b"1", 400, "HF1101"),
        ("PUT", "/v1/kv/a".into(), &big, 413, "HF1102"),
        ("GET", "/v1/kv/a?consistency=strong".into(), b"", 400, "HF2103"),
        ("GET", "/v1/kv/a?min_position=1.2".into(), b"", 400, "HF2103"),
        ("GET", "/v1/kv/a?consistency=linearizable&min_position=1.0.1.1".into(), b"", 400, "HF2103"),
        ("GET", "/v1/kv/a?max_stale=1s&consistency=follower".into(), b"", 400, "HF2103"),
        ("GET", "/v1/kv/a?revision=99".into(), b"", 400, "HF1303"),
        ("POST", "/v1/txn".into(), b"", 400, "HF2104"),
        ("POST", "/v1/txn".into(), b"{\"then\": [", 400, "HF2104"),
        ("POST", "/v1/txn".into(), b"\xff", 400, "HF2104"),
        ("POST", "/v1/txn".into(), b"{\"then\":[{\"put\":{\"key\":\"\",\"value\":\"\"}}]}", 400, "HF1004"),
        (
            "POST",
            "/v1/txn".into(),
            b"{\"then\":[{\"put\":{\"key\":\"a\",\"value\":\"\"}},{\"put\":{\"key\":\"a\",\"value\":\"\"}}]}",
            400,
            "HF1006",
        ),
        ("POST", "/v1/locks/l".into(), b"", 400, "HF2103"),
        ("POST", "/v1/locks/l?lease=5".into(), b"", 404, "HF1601"),
        ("DELETE", "/v1/locks/l".into(), b"", 400, "HF2103"),
        ("DELETE", "/v1/locks/l?lease=1&token=1".into(), b"", 400, "HF2103"),
        ("PUT", "/v1/namespaces/app".into(), b"{\"quota\": 1}", 400, "HF2104"),
        ("PUT", "/v1/namespaces/app".into(), b"[1, 2, 3]", 400, "HF2104"),
        ("GET", "/v1/namespaces/none".into(), b"", 404, "HF1504"),
        ("DELETE", "/v1/namespaces/none".into(), b"", 404, "HF1504"),
        ("PUT", "/v1/namespaces/a//b".into(), b"", 400, "HF1505"),
        ("GET", "/v1/audit?since=yesterday".into(), b"", 400, "HF2103"),
        ("GET", "/v1/audit?limit=x".into(), b"", 400, "HF2103"),
        ("GET", "/v1/status?verbose".into(), b"", 400, "HF2103"),
        ("GET", "/v1/watch?from_revision=x".into(), b"", 400, "HF2103"),
    ];
    for (method, path, body, status, code) in cases {
        let shown = path.chars().take(60).collect::<String>();
        let told = cluster.ask(0, method, &path, &[], body);
        assert_eq!(told.status, status, "{method} {shown}: {}", told.text());
        let told = told.fails(status, code);
        assert_eq!(told.json()["error"]["outcome"], "not_applied", "{method} {shown}");
    }
    assert_eq!(cluster.ask(0, "GET", "/v1/status", &[], b"").json()["revision"], 1, "something was written");
    // At the limits, and not beyond.
    cluster.ask(0, "PUT", &key(4_096), &[], b"1").is(200);
    cluster.ask(0, "PUT", "/v1/kv/a", &[], &big[1..]).is(200);
}

#[test]
fn what_is_too_long_or_no_http_at_all_ends_its_own_connection_only() {
    let cluster = Cluster::start(1);
    // As long as may be, and no end: were it longer, what is not read would tear down the answer with the connection.
    let mut long = "GET /health HTTP/1.1\r\nhost: localhost\r\nx: ".to_owned();
    long.extend(std::iter::repeat_n('y', 128 * 1024 - long.len()));
    assert!(raw(&cluster, long.as_bytes()).starts_with("HTTP/1.1 431"), "header");
    let many = format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(raw(&cluster, many.as_bytes()).starts_with("HTTP/1.1 431"), "headers");
    let body = "PUT /v1/kv/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n";
    assert!(raw(&cluster, body.as_bytes()).starts_with("HTTP/1.1 413"), "body");
    assert!(raw(&cluster, b"\x00\x01\x02\x03\r\n\r\n").starts_with("HTTP/1.1 400"), "no HTTP");
    cluster.ask(0, "GET", "/health", &[], b"").is(200);
    cluster.ask(0, "GET", "/v1/kv/a", &[], b"").fails(404, "HF1301");
}

#[test]
fn what_a_page_of_somebody_else_asks_for_is_refused_and_nothing_is_written() {
    let cluster = Cluster::start(1);
    let txn = br#"{"then": [{"put": {"key": "a", "value": "1"}}]}"#;
    for headers in [[("origin", "http://evil.example")], [("host", "evil.example")], [("origin", "null")]] {
        cluster.ask(0, "POST", "/v1/txn", &headers, txn).fails(403, "HF2108");
    }
    let own = format!("http://{}", cluster.http(0));
    cluster.ask(0, "POST", "/v1/txn", &[("origin", own.as_str())], txn).is(200);
    assert_eq!(cluster.ask(0, "GET", "/v1/status", &[], b"").json()["revision"], 2);
}

#[test]
fn an_event_id_that_is_none_is_refused_instead_of_leaving_a_gap() {
    let cluster = Cluster::start(1);
    for id in ["18446744073709551615", "abc", "-1", ""] {
        cluster.ask(0, "GET", "/v1/watch?prefix=a", &[("last-event-id", id)], b"").fails(400, "HF2103");
    }
}

#[test]
fn a_namespace_is_found_behind_those_whose_names_begin_like_it() {
    let cluster = Cluster::start(1);
    for name in ["foo", "foo-bar", "foo+x", "fooa"] {
        cluster.ask(0, "PUT", &format!("/v1/namespaces/{name}"), &[], b"").is(200);
    }
    for name in ["foo", "foo-bar", "foo%2Bx", "fooa"] {
        cluster.ask(0, "GET", &format!("/v1/namespaces/{name}"), &[], b"").is(200);
    }
    cluster.ask(0, "GET", "/v1/namespaces/fo", &[], b"").fails(404, "HF1504");
}
