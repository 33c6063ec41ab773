//! The layers together: who wins, what is said of who lost, and what is refused.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::runtime::Options;

/// A configuration that is being put together.
struct Said {
    directory: tempfile::TempDir,
    sources: Sources,
    environment: Vec<(OsString, OsString)>,
}

impl Said {
    /// What a node needs, and nothing else.
    fn least() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut said = Self { directory, sources: Sources::default(), environment: Vec::new() };
        said.flag("node_id", "1").flag("data_dir", "d");
        said
    }

    fn flag(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.sources.flags.push((key, value.into()));
        self
    }

    fn variable(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&mut self, name: &str, text: impl AsRef<[u8]>) -> &mut Self {
        fs::write(self.path(name), text).expect("a file");
        self.sources.files.push(self.path(name));
        self
    }

    fn load(&self) -> Result<Config, Vec<ConfigError>> {
        load(&self.sources, self.environment.clone())
    }

    /// The value of an option and who says so, with the directory left out.
    fn effective(&self, key: &'static str) -> (String, String) {
        let config = self.load().expect("it is fine");
        let Setting { value, origin } = config.get(key).expect("it has a value");
        let origin = origin.to_string().replace(&format!("{}/", self.directory.path().display()), "");
        (value.to_string(), origin)
    }

    /// Everything that is wrong, with the directory left out.
    fn refused(&self) -> Vec<String> {
        let wrong = self.load().and_then(|config| config.options().map(drop)).expect_err("it is refused");
        let place = format!("{}/", self.directory.path().display());
        wrong.iter().map(|error| error.to_string().replace(&place, "")).collect()
    }
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

#[test]
fn each_layer_wins_over_the_one_before_and_says_so() {
    let mut said = Said::least();
    assert_eq!(said.effective("election"), pair("300ms", "default"));
    said.file("a.toml", "# first\nelection = \"310ms\"\n");
    assert_eq!(said.effective("election"), pair("310ms", "a.toml:2"));
    said.file("b.toml", "election = \"320ms\"");
    assert_eq!(said.effective("election"), pair("320ms", "b.toml:1"));
    let directory = said.path("d");
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("20.toml"), "\n\nelection = \"340ms\"").expect("a file");
    fs::write(directory.join("10.toml"), "election = \"330ms\"").expect("a file");
    fs::write(directory.join("30.toml.off"), "nonsense").expect("a file");
    fs::write(directory.join(".40.toml"), "nonsense").expect("a file");
    said.sources.directories.push(directory);
    assert_eq!(said.effective("election"), pair("340ms", "d/20.toml:3"));
    said.variable("HOLDFAST_ELECTION", "0.35s");
    assert_eq!(said.effective("election"), pair("350ms", "HOLDFAST_ELECTION"));
    said.flag("election", "360ms");
    assert_eq!(said.effective("election"), pair("360ms", "--election"));
    assert_eq!(said.effective("heartbeat"), pair("50ms", "default"), "nobody said anything of it");
}

#[test]
fn nobody_saying_anything_is_what_a_node_has_without_a_configuration() {
    let options = Said::least().load().expect("fine").options().expect("fine");
    let usual = Options::new(1, "d");
    let numbers = |options: &Options| {
        let Options { heartbeat_ticks, election_ticks, segment_bytes, retain_bytes, .. } = *options;
        (heartbeat_ticks, election_ticks, segment_bytes, retain_bytes)
    };
    assert_eq!(numbers(&options), numbers(&usual));
    assert_eq!((options.snapshots, options.audit), (usual.snapshots, usual.audit));
    assert_eq!(
        (options.cluster, options.listen_client, options.listen_peer),
        (usual.cluster, usual.listen_client, usual.listen_peer)
    );
    assert_eq!(options.listen_http.as_deref(), Some("127.0.0.1:7402"));
}

#[test]
fn an_old_name_is_honoured_and_warned_about_unless_the_new_one_is_set_anywhere() {
    for (old, number) in [
        ("heartbeat_ms", "20"),
        ("election_ms", "400"),
        ("segment_bytes", "33554432"),
        ("snapshot_bytes", "1"),
        ("snapshot_bytes_max", "0"),
        ("audit_bytes", "16777216"),
        ("audit_days", "7"),
        ("retain_bytes", "4096"),
    ] {
        let now = DEPRECATED.iter().find(|known| known.key == old).expect("in the table").now;
        let mut said = Said::least();
        said.file("a.toml", format!("{old} = {number}"));
        let (value, origin) = said.effective(now);
        assert_eq!(origin, "a.toml:1");
        let warnings = said.load().expect("fine").warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&format!("`{now} = \"{value}\"`")), "{warnings:?}");
        assert!(said.load().expect("fine").options().is_ok(), "{old}");
    }
    assert_eq!(DEPRECATED.len(), 8, "each of them stands above");
    let mut said = Said::least();
    said.flag("heartbeat_ms", "20").file("a.toml", "heartbeat = \"30ms\"");
    assert_eq!(said.effective("heartbeat"), pair("30ms", "a.toml:1"), "though a flag is a later layer");
    let warnings = said.load().expect("fine").warnings;
    assert!(
        warnings[0].starts_with("--heartbeat-ms: ") && warnings[0].contains("not looked at"),
        "{warnings:?}"
    );
}

#[test]
fn an_old_name_takes_what_it_took_and_nothing_else() {
    let mut said = Said::least();
    said.file("a.toml", "heartbeat_ms = \"20ms\"\nelection_ms = 5\naudit_days = 0x10\n");
    let refused = said.refused();
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused.iter().any(|why| why.contains("a.toml:1") && why.contains("`heartbeat`")), "{refused:?}");
    assert!(refused.iter().any(|why| why.contains("a.toml:2") && why.contains("from 30ms")), "{refused:?}");
}

#[test]
fn what_nobody_knows_in_a_file_is_refused_with_its_line_and_a_guess() {
    let mut said = Said::least();
    said.file("a.toml", "\nheartbeet = \"50ms\"\nlisten-peer = \"127.0.0.1:1\"\n\n[server]\njoin = []\n");
    assert_eq!(
        said.refused(),
        [
            "a.toml:2: there is no option `heartbeet`; did you mean `heartbeat`?",
            "a.toml:3: there is no option `listen-peer`; did you mean `listen_peer`?",
            "a.toml:5: there is no option `server`",
        ]
    );
}

#[test]
fn a_variable_that_nobody_knows_is_warned_about_and_those_of_clients_are_known() {
    let mut said = Said::least();
    said.sources.other_variables.push("HOLDFAST_ENDPOINTS".to_owned());
    said.variable("HOLDFAST_ENDPOINTS", "a:1").variable("HOLDFASTER", "x");
    // What `lock` and `elect` tell the commands that they run, one of which may be a node.
    for told in ["LOCK", "OFFICE", "TOKEN", "LEASE", "REVISION"] {
        assert!(table::option(&told.to_lowercase()).is_none(), "{told} would be read as an option");
        said.variable(&format!("HOLDFAST_{told}"), "7");
    }
    assert_eq!(said.load().expect("fine").warnings, [""; 0]);
    said.variable("HOLDFAST_ELECTON", "1s").variable("HOLDFAST_heartbeat", "1s");
    let warnings = said.load().expect("fine").warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].ends_with("did you mean HOLDFAST_ELECTION?"), "{warnings:?}");
    assert!(warnings[1].ends_with("did you mean HOLDFAST_HEARTBEAT?"), "{warnings:?}");
    assert_eq!(said.effective("heartbeat"), pair("50ms", "default"));
}

#[test]
fn bad_values_are_refused_with_where_they_stand_what_was_found_and_what_is_expected() {
    let mut said = Said::least();
    said.file(
        "a.toml",
        "heartbeat = 50\nelection = \"1ms\"\nnode_id = \"1\"\njoin = \"a:1\"\nlearner = \"yes\"\nlog = 3\n",
    );
    said.variable("HOLDFAST_RETAIN", "64mb").flag("listen_client", "here").flag("log_format", "yaml");
    assert_eq!(
        said.refused(),
        [
            "a.toml:2: `election`: \"1ms\": expected a duration from 30ms to 1000s",
            "a.toml:1: `heartbeat`: \"50\": a duration has a unit, as 50ms, 1.5s, 10m, 6h or 90d; expected a duration from 10ms to 100s",
            "a.toml:4: `join`: this is text: expected a list of texts, each of them HOST:PORT",
            "a.toml:5: `learner`: this is text: expected true or false, without quotes",
            "a.toml:6: `log`: this is a whole number: expected off, error, warn, info, debug or trace, or TARGET=LEVEL, with commas between, in quotes",
            "a.toml:3: `node_id`: this is text: expected a whole number from 1 to 4611686018427387903, without quotes",
            "HOLDFAST_RETAIN: `retain`: \"64mb\": \"mb\" is no unit; there are TiB, GiB, MiB, KiB, B, TB, GB, MB, kB, KB; expected a size from 1B on, or 0",
            "--listen-client: `listen_client`: \"here\": expected HOST:PORT",
            "--log-format: `log_format`: \"yaml\": expected human or json",
        ]
    );
}

#[test]
fn files_that_are_missing_cut_off_or_no_text_are_refused_with_the_place() {
    let mut said = Said::least();
    said.file("cut.toml", "election = \"1s\"\nheartbeat = \"50")
        .file("bytes.toml", b"election = \"1s\"\nlog = \"\xff\"");
    said.file("twice.toml", "log = \"info\"\nlog = \"warn\"\n");
    said.sources.files.push(said.path("missing.toml"));
    said.sources.files.push(said.directory.path().to_owned());
    said.sources.directories.push(said.path("cut.toml"));
    let refused = said.refused();
    for place in [
        "cut.toml:2: no TOML: ",
        "bytes.toml:2: not UTF-8",
        "twice.toml:2: no TOML: duplicate key",
        "missing.toml: cannot be read: ",
    ] {
        assert!(refused.iter().any(|why| why.starts_with(place)), "{place} is not in {refused:?}");
    }
    assert_eq!(refused.len(), 6, "{refused:?}");
}

#[test]
fn what_is_to_come_is_refused_wherever_it_stands() {
    let mut said = Said::least();
    said.file("a.toml", "tls_cert = \"c\"").variable("HOLDFAST_TLS_KEY", "k").flag("tls_ca", "a");
    let refused = said.refused();
    assert_eq!(refused.len(), 3);
    assert!(
        refused.iter().all(|why| why.contains("TLS comes later: this build encrypts nothing")),
        "{refused:?}"
    );
}

#[test]
fn what_a_node_cannot_do_without_is_named_with_all_ways_to_say_it() {
    let mut said = Said::least();
    said.sources.flags.clear();
    let refused = said.refused();
    assert_eq!(refused[0], "`node_id` is not set: give --node-id, HOLDFAST_NODE_ID, or `node_id` in a file");
    assert_eq!(refused.len(), 2);
}

#[test]
fn listening_beyond_loopback_is_refused_unless_it_is_meant() {
    for (key, address) in [
        ("listen_client", "0.0.0.0:7400"),
        ("listen_peer", "10.0.0.1:7401"),
        ("listen_http", "[::]:7402"),
        ("listen_client", "db-1:7400"),
        ("listen_client", "localhost.example.org:7400"),
        ("listen_client", "128.0.0.1:7400"),
    ] {
        let mut said = Said::least();
        said.flag(key, address).flag("advertise_client", "a:1").flag("advertise_http", "a:2");
        let refused = said.refused();
        assert!(
            refused[0].contains(address) && refused[0].contains("--allow-plaintext"),
            "{address}: {refused:?}"
        );
        said.flag("allow_plaintext", "true");
        let config = said.load().expect("fine");
        assert!(config.options().is_ok(), "{address} is meant");
        assert_eq!(config.exposed(), [(key, address.to_owned())]);
    }
    for address in ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let mut said = Said::least();
        said.flag("listen_client", address);
        assert!(said.load().expect("fine").options().is_ok(), "{address}");
    }
}

#[test]
fn rules_between_options_are_those_of_a_node() {
    let rule = |flags: &[(&'static str, &str)]| {
        let mut said = Said::least();
        for (key, value) in flags {
            said.flag(key, value);
        }
        said.refused().join("; ")
    };
    assert!(rule(&[("heartbeat", "200ms")]).contains("longer than two heartbeats"));
    assert!(rule(&[("learner", "true")]).contains("give it `join`"));
    assert!(rule(&[("join", "a:1"), ("initial_cluster", "1=b:1")]).contains("forms a cluster or joins one"));
    assert!(rule(&[("segment_size", "26000000B")]).contains("multiple of 4096"));
}

#[test]
fn a_cluster_may_be_called_off_and_only_http_is_switched_off_by_it() {
    let mut said = Said::least();
    said.flag("cluster", "off").flag("listen_http", "off");
    let options = said.load().expect("fine").options().expect("fine");
    assert_eq!((options.cluster.as_str(), options.listen_http), ("off", None));
}

#[test]
fn a_reload_takes_over_what_can_be_followed_and_names_the_rest() {
    let mut said = Said::least();
    let mut running = said.load().expect("fine");
    said.file("a.toml", "heartbeat = \"60ms\"\nslow_request = \"1s\"\n");
    let wanted = said.load().expect("fine");
    let differing = changes(&running, &wanted);
    let told: Vec<_> = differing
        .iter()
        .map(|change| (change.option.key, change.was(), change.becomes(), change.option.live))
        .collect();
    let text = str::to_owned;
    assert_eq!(
        told,
        [("heartbeat", text("50ms"), text("60ms"), false), ("slow_request", text("100ms"), text("1s"), true)]
    );
    running.take_over(&differing);
    let left = changes(&running, &wanted);
    assert_eq!(
        left.iter().map(|change| change.option.key).collect::<Vec<_>>(),
        ["heartbeat"],
        "until the next start"
    );
}

#[test]
fn what_is_shown_as_a_file_is_read_back_as_the_same() {
    let mut said = Said::least();
    said.flag("cluster", "with \"quotes\" and \\").flag("join", "a:1,b:2").flag("slow_request", "1.5s");
    let config = said.load().expect("fine");
    let lines = OPTIONS.iter().filter_map(|option| {
        let setting = config.get(option.key)?;
        Some(format!("{} = {}\n", option.key, setting.value.to_json()))
    });
    let text: String = lines.collect();
    let mut again = Said::least();
    again.sources.flags.clear();
    again.file("a.toml", text);
    let again = again.load().expect("fine");
    for option in &OPTIONS {
        assert_eq!(
            config.get(option.key).map(|set| &set.value),
            again.get(option.key).map(|set| &set.value),
            "{}",
            option.key
        );
    }
    assert_eq!(
        config.get("slow_request").map(|set| set.value.clone()),
        Some(Value::Duration(Duration::from_millis(1_500)))
    );
}
