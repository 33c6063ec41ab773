//! SIGHUP, and what the log says.

use super::process::Node;

#[test]
fn a_hangup_follows_what_can_be_followed_names_the_rest_and_keeps_all_when_a_file_is_broken() {
    let mut node = Node::start("heartbeat = \"60ms\"\nlog = \"info\"\n", &[]);
    node.wait_for(&["life T5"]);
    node.place.file("node.toml", "# changed\nheartbeat = \"70ms\"\nlog = \"info\"\nslow_request = \"2s\"\n");
    node.signal("-HUP");
    node.wait_for(&["heartbeat changed in ", "node.toml:2: takes effect at the next start"]);
    node.wait_for(&["slow_request 100ms → 2s"]);
    node.wait_for(&["configuration reloaded", "changes=2"]);

    node.place.file("node.toml", "heartbeat = \"70ms\"\nslow_request = \"3s\"\nlog = \"inof\"\n");
    node.signal("-HUP");
    node.wait_for(&["the configuration is not reloaded", "node.toml:3: `log`"]);
    assert!(!node.log().contains("→ 3s"), "nothing of a broken file acts: {}", node.log());

    // More that is wrong than a second has lines for warnings.
    let unknown: Vec<String> = (0..15).map(|count| format!("unknown_{count}x")).collect();
    node.place.file("node.toml", &unknown.iter().map(|key| format!("{key} = 1\n")).collect::<String>());
    node.signal("-HUP");
    for key in &unknown {
        node.wait_for(&["the configuration is not reloaded", key]);
    }

    // A rule is broken between options that are fine each for itself.
    node.place.file("node.toml", "heartbeat = \"200ms\"\nslow_request = \"3s\"\n");
    node.signal("-HUP");
    node.wait_for(&["the configuration is not reloaded", "longer than two heartbeats"]);

    node.place.file("node.toml", "heartbeat = \"70ms\"\nslow_request = \"4s\"\nlog = \"error\"\n");
    node.signal("-HUP");
    node.wait_for(&["log info → error"]);
    node.put("k", "v");
    let said = node.log();
    node.stop();
    assert_eq!(node.log(), said, "only errors are logged now");
}

#[test]
fn a_log_for_machines_is_an_object_a_line_with_the_numbers_of_machines_and_edges() {
    let mut node = Node::start("log_format = \"json\"\nheartbeat_ms = 60\n", &[]);
    node.wait_for(&["life T5"]);
    node.stop();
    let lines: Vec<serde_json::Value> =
        node.log().lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let edge = |machine: u64, edge: &str| {
        lines.iter().any(|line| line["machine"] == machine && line["edge"] == edge && line["node"] == 1)
    };
    assert!(edge(14, "T5") && edge(14, "T10") && edge(2, "T9") && edge(15, "T2"), "{lines:#?}");
    let warned = |line: &&serde_json::Value| {
        line["level"] == "WARN"
            && line["message"].as_str().is_some_and(|text| text.contains("`heartbeat_ms`"))
    };
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:#?}");
}

#[test]
fn a_slow_request_is_logged_with_where_its_time_went() {
    let mut node = Node::start("slow_request = 0\nlog_rate = 0\n", &[]);
    node.wait_for(&["life T5"]);
    node.place.file("node.toml", "slow_request = \"1ms\"\nlog_rate = 0\n");
    node.signal("-HUP");
    node.wait_for(&["slow_request 0 → 1ms"]);
    // A node that is suspended while a write is on its way to it is slow, if it had read it before.
    let mut count = 0;
    while !node.log().contains("slow request: Put answered") {
        node.signal("-STOP");
        let client = node.client.clone();
        let key = format!("slow/{count}");
        let put = std::thread::spawn(move || {
            super::said(super::holdfast(&["put", &key, "v", "--endpoints", &client, "--timeout", "60"]))
        });
        node.signal("-CONT");
        assert_eq!(put.join().expect("it ran").0, Some(0));
        count += 1;
        assert!(count < 500, "none was slow: {}", node.log());
    }
    let line = node.wait_for(&["slow request: Put answered after"]);
    for field in [
        "took_us=",
        "p2_admit_us=",
        "p5_sync_us=",
        "p6_replicate_us=",
        "p7_commit_us=",
        "p8_apply_us=",
        "p9_reply_us=",
        "about=\"slow/",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    node.stop();
}

#[test]
fn listening_beyond_loopback_is_warned_about_loudly_when_it_is_meant() {
    let mut node = Node::start("log = \"warn\"\n", &[("HOLDFAST_ELECTON", "1s")]);
    node.wait_for(&["HOLDFAST_ELECTON: no option has this name"]);
    node.put("k", "v");
    assert!(!node.log().contains("PLAINTEXT"), "loopback is nobody else's business: {}", node.log());
    // Loopback as well, but written as a name, and a name may mean anything.
    let mut node =
        Node::start("listen_http = \"127.1:0\"\nallow_plaintext = true\n", &[("HOLDFAST_LOG", "warn")]);
    node.wait_for(&["PLAINTEXT: listen_http 127.1:0 can be reached from other machines"]);
}
