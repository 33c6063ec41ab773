//! Every option there is, every one that there was, and every one that is to come. Whatever reads, shows or documents options
//! does it from here.

use super::value::{Kind, NODE_ID_MAX};

/// An option of `holdfast server`.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its key in a file. The flag has `-` for `_`, the environment `HOLDFAST_` before it and capitals.
    pub key: &'static str,
    /// Of what kind it is, and how large it may be.
    pub kind: Kind,
    /// What it is if nobody says so, as a flag would say it; `None` if it has no value then.
    pub default: Option<&'static str>,
    /// Whether a node cannot be started without it.
    pub required: bool,
    /// Whether a node that runs follows it when it is reloaded.
    pub live: bool,
    /// What it is.
    pub caption: &'static str,
}

impl Opt {
    const fn new(
        key: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        caption: &'static str,
    ) -> Self {
        Self { key, kind, default, required: false, live: false, caption }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn live(self) -> Self {
        Self { live: true, ..self }
    }
}

/// `--some-key`.
#[must_use]
pub fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// `HOLDFAST_SOME_KEY`.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// What the names of all variables of the environment begin with.
pub(super) const PREFIX: &str = "HOLDFAST_";

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Milliseconds of the longest thing that may be configured as slow.
const SLOW_MAX_MS: u64 = 300_000;

/// Milliseconds by which a drill may make a sync longer: far beyond what any node takes for a disk that works.
const DRILL_SYNC_DELAY_MAX_MS: u64 = 10_000;

/// All options, in the order in which they are shown.
pub const OPTIONS: [Opt; 28] = [
    Opt::new("node_id", Kind::Count(1, NODE_ID_MAX), None, "The number of this node, from 1; never given to another node")
        .required(),
    Opt::new("data_dir", Kind::Path, None, "Where it keeps its identity and its log").required(),
    Opt::new("cluster", Kind::Name, Some("holdfast"), "What the cluster is called; the same on all its nodes"),
    Opt::new("listen_client", Kind::Listen, Some("127.0.0.1:7400"), "Where to listen to clients"),
    Opt::new("listen_peer", Kind::Listen, Some("127.0.0.1:7401"), "Where to listen to the other nodes"),
    Opt::new("listen_http", Kind::ListenOrOff, Some("127.0.0.1:7402"), "Where to listen to HTTP; `off` for nowhere"),
    Opt::new("advertise_client", Kind::Address, None, "Where clients reach this node, if not where it listens"),
    Opt::new(
        "advertise_peer",
        Kind::Address,
        None,
        "Where the other nodes reach this one, if not where it listens; told when it joins",
    ),
    Opt::new("advertise_http", Kind::Address, None, "Where HTTP reaches this node, if not where it listens"),
    Opt::new(
        "allow_plaintext",
        Kind::Switch,
        Some("false"),
        "Listen beyond this machine although nothing is encrypted and nothing checks who connects",
    ),
    Opt::new(
        "initial_cluster",
        Kind::Members,
        Some(""),
        "The nodes that form a new cluster and their peer addresses; the same on all of them",
    ),
    Opt::new(
        "join",
        Kind::Addresses,
        Some(""),
        "Client addresses of members of a cluster that this node is to join, instead of forming one",
    ),
    Opt::new("learner", Kind::Switch, Some("false"), "Join without a vote, until `holdfast member promote`"),
    Opt::new("heartbeat", Kind::Duration(10, 100_000, false), Some("50ms"), "Time between heartbeats of a leader"),
    Opt::new(
        "election",
        Kind::Duration(30, 1_000_000, false),
        Some("300ms"),
        "Shortest time without a leader before an election; more than two heartbeats",
    ),
    Opt::new(
        "segment_size",
        Kind::Size(24 << 20, 1 << 30, false),
        Some("64MiB"),
        "Size of a segment of a log that is made anew; a multiple of 4KiB",
    ),
    Opt::new(
        "snapshot_entries",
        Kind::Count(1, u64::MAX),
        Some("250000"),
        "Entries that are applied before the next snapshot is taken",
    )
    .live(),
    Opt::new(
        "snapshot_size",
        Kind::Size(1, u64::MAX, false),
        Some("64MiB"),
        "Size of the entries that are applied before the next snapshot is taken",
    )
    .live(),
    Opt::new(
        "snapshot_size_max",
        Kind::Size(1, u64::MAX, true),
        Some("1GiB"),
        "Entries and their size do not count before as much was applied as the last snapshot has bytes, but this much is \
         enough for any; 0 if its size is not to matter",
    )
    .live(),
    Opt::new(
        "audit_size",
        Kind::Size(16 << 20, u64::MAX, false),
        Some("1GiB"),
        "How much of the audit log is kept; 16MiB is the size of one file",
    ),
    Opt::new(
        "audit_age",
        Kind::Duration(DAY_MS, 36_500 * DAY_MS, false),
        Some("90d"),
        "For how long the audit log is kept, if it does not have a larger size before",
    ),
    Opt::new(
        "retain",
        Kind::Size(1, usize::MAX as u64, true),
        Some("64MiB"),
        "How much of the log is kept behind a snapshot, for nodes that are slow",
    ),
    Opt::new("log", Kind::Filter, Some("info"), "Which lines are logged, to standard error").live(),
    Opt::new("log_format", Kind::Choice(&["human", "json"]), Some("human"), "How a line of the log is written"),
    Opt::new(
        "log_rate",
        Kind::Count(0, 1_000_000),
        Some("10"),
        "Warnings of one kind that are logged in a second; further ones are counted. 0 for any number",
    )
    .live(),
    Opt::new(
        "slow_request",
        Kind::Duration(1, SLOW_MAX_MS, true),
        Some("100ms"),
        "Requests that take this long are logged, with the time of each stage; 0 for none",
    )
    .live(),
    Opt::new(
        "drill_sync_delay",
        Kind::Duration(0, DRILL_SYNC_DELAY_MAX_MS, false),
        Some("0"),
        "A drill: each sync of the log takes so much longer, as on a slow disk",
    )
    .live(),
    Opt::new(
        "drill_cut",
        Kind::Nodes,
        Some(""),
        "A drill: nodes with which this one has no connection, in neither direction, as if the network between them were cut",
    )
    .live(),
];

/// An option that has another name now. It is honoured unless the new one is set, always warned about, and never removed.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    /// What it was called. It was a whole number.
    pub key: &'static str,
    /// What it is called now.
    pub now: &'static str,
    /// The unit of the number, which the new one carries itself.
    pub unit: &'static str,
}

/// All of them, oldest first.
pub const DEPRECATED: [Deprecated; 8] = [
    Deprecated { key: "heartbeat_ms", now: "heartbeat", unit: "ms" },
    Deprecated { key: "election_ms", now: "election", unit: "ms" },
    Deprecated { key: "segment_bytes", now: "segment_size", unit: "B" },
    Deprecated { key: "snapshot_bytes", now: "snapshot_size", unit: "B" },
    Deprecated { key: "snapshot_bytes_max", now: "snapshot_size_max", unit: "B" },
    Deprecated { key: "audit_bytes", now: "audit_size", unit: "B" },
    Deprecated { key: "audit_days", now: "audit_age", unit: "d" },
    Deprecated { key: "retain_bytes", now: "retain", unit: "B" },
];

/// Keys that will mean something and do not yet. Whoever sets one believes that something is encrypted.
pub const RESERVED: [&str; 5] = ["tls_cert", "tls_key", "tls_ca", "tls_client_auth", "tls_min_version"];

/// An option by its key.
#[must_use]
pub(super) fn option(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.key == key)
}

/// An option that has another name now, by its old one.
#[must_use]
pub(super) fn deprecated(key: &str) -> Option<&'static Deprecated> {
    DEPRECATED.iter().find(|old| old.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_stands_once_and_every_default_is_a_value() {
        let keys: Vec<&str> = OPTIONS.iter().map(|option| option.key).collect();
        let all = keys.iter().chain(&RESERVED).copied().chain(DEPRECATED.iter().map(|old| old.key));
        let (count, set) = all.fold((0, BTreeSet::new()), |(count, mut set), key| {
            set.insert(key);
            (count + 1, set)
        });
        assert_eq!(set.len(), count, "a key that stands twice");
        for option in &OPTIONS {
            let parsed = option.default.map(|text| option.kind.parse(text.as_ref()));
            assert!(parsed.is_none_or(|parsed| parsed.is_ok()), "{}", option.key);
        }
    }

    #[test]
    fn every_option_of_the_past_leads_to_one_of_today() {
        for old in &DEPRECATED {
            assert!(option(old.now).is_some(), "{}", old.key);
        }
    }
}
