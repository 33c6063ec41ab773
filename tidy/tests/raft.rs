//! `docs/raft.md` against the code: messages, causes, limits.

use std::collections::BTreeMap;
use std::fmt::Write;

use holdfast_machine::render;
use holdfast_raft::{
    Alarm, Bug, COUNT_MAX, DropCause, ENTRY_OVERHEAD_BYTES, MEMBER_CONTEXT_BYTES_MAX, MEMBERS_MAX, Refusal,
    VOTERS_MAX, config, formation,
};
use holdfast_tidy::{blocks, layout, symbols, transcript, workspace};

#[test]
fn the_essay_on_raft_is_current() {
    let wanted = vec![
        ("messages", messages()),
        ("description", transcript::describe()),
        ("drop causes", render::list::<DropCause>("cause")),
        ("alarms", render::list::<Alarm>("alarm")),
        ("refusals", render::list::<Refusal>("refusal")),
        ("limits", limits()),
        ("planted bugs", render::list::<Bug>("rule left out")),
    ];
    blocks::check(&[("docs/raft.md".into(), wanted)]);
}

/// The sources of the core, without its formation, which has a page of its own.
fn sources() -> Vec<String> {
    let all = workspace::files(".rs").into_iter();
    all.filter(|path| path.starts_with("raft/src/") && !path.contains("/formation/")).collect()
}

/// Every message: how it leaves, found by the calls that send it, and what its documentation says.
fn messages() -> String {
    let ways = ways();
    let file = syn::parse_file(&workspace::read("raft/src/message.rs")).expect("the messages are Rust");
    let message = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "Message" => Some(item),
        _ => None,
    });
    let mut out = String::from("| message | leaves | what it says |\n|---|---|---|\n");
    for variant in &message.expect("there is an enum Message").variants {
        let name = variant.ident.to_string();
        let way = ways.get(&name).unwrap_or_else(|| panic!("nothing sends {name}"));
        let leaves = match (way.at_once, way.promised) {
            (true, true) => "a yes after its persist, a no at once",
            (true, false) => "at once",
            (false, _) => "**after its persist**",
        };
        let _ = writeln!(out, "| `{name}` | {leaves} | {} |", layout::plain(&symbols::doc(&variant.attrs)));
    }
    out
}

/// How a message leaves a core.
#[derive(Debug, Default)]
struct Way {
    at_once: bool,
    promised: bool,
}

/// How each message leaves, by the calls of `send` and `promise` in the sources.
fn ways() -> BTreeMap<String, Way> {
    let mut ways: BTreeMap<String, Way> = BTreeMap::new();
    for path in sources() {
        let text = workspace::read(&path).split_whitespace().collect::<Vec<_>>().join(" ");
        // An answer to a read names its boot itself, and goes to `send_now` by hand.
        for (call, promised) in [("self.send(", false), ("self.promise(", true), ("self.envelope(", false)] {
            for rest in text.split(call).skip(1) {
                let statement = rest.split(';').next().unwrap_or_default();
                let Some(named) = statement.split("Message::").nth(1) else { continue };
                let name: String = named.chars().take_while(|c| c.is_alphanumeric()).collect();
                let way = ways.entry(name).or_default();
                way.promised |= promised;
                way.at_once |= !promised;
            }
        }
    }
    ways
}

#[test]
fn what_promises_something_leaves_after_its_persist() {
    let ways = ways();
    let of = |wanted: fn(&Way) -> bool| -> Vec<&str> {
        ways.iter().filter(|(_, way)| wanted(way)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(of(|way| way.promised), ["AppendAck", "HeartbeatAck", "Vote", "VoteReply"]);
    assert_eq!(of(|way| way.promised && way.at_once), ["VoteReply"], "its no promises nothing");
    assert_eq!(ways.len(), 16, "every message is sent by somebody");
}

/// Named limits with their values, and the reason that stands beside each in the code.
fn limits() -> String {
    let ticks = |count: u32| format!("{count} ticks ({} ms)", count * 10);
    let bytes = |count: usize| match count {
        count if count >= 1 << 20 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    };
    let rows = [
        ("raft/src/config.rs", "ELECTION_TICKS", ticks(config::ELECTION_TICKS)),
        ("raft/src/config.rs", "HEARTBEAT_TICKS", ticks(config::HEARTBEAT_TICKS)),
        ("raft/src/config.rs", "REFUSED_STEP_TICKS", ticks(config::REFUSED_STEP_TICKS)),
        ("raft/src/config.rs", "START_HEARTBEATS", config::START_HEARTBEATS.to_string()),
        ("raft/src/config.rs", "DISK_STALL_TICKS", ticks(config::DISK_STALL_TICKS)),
        ("raft/src/config.rs", "APPEND_BYTES_MAX", bytes(config::APPEND_BYTES_MAX)),
        ("raft/src/config.rs", "ENTRY_DATA_BYTES_MAX", bytes(config::ENTRY_DATA_BYTES_MAX)),
        ("raft/src/config.rs", "INFLIGHT_APPENDS_MAX", config::INFLIGHT_APPENDS_MAX.to_string()),
        ("raft/src/config.rs", "INFLIGHT_BYTES_MAX", bytes(config::INFLIGHT_BYTES_MAX)),
        ("raft/src/config.rs", "UNCOMMITTED_BYTES_MAX", bytes(config::UNCOMMITTED_BYTES_MAX)),
        ("raft/src/config.rs", "APPLY_BYTES_MAX", bytes(config::APPLY_BYTES_MAX)),
        ("raft/src/config.rs", "CHUNK_BYTES_MAX", bytes(config::CHUNK_BYTES_MAX)),
        ("raft/src/config.rs", "RETAIN_BYTES", bytes(config::RETAIN_BYTES)),
        ("raft/src/config.rs", "RETAIN_SPARE_DIVISOR", config::RETAIN_SPARE_DIVISOR.to_string()),
        ("raft/src/config.rs", "RESIDENT_BYTES", bytes(config::RESIDENT_BYTES)),
        ("raft/src/config.rs", "RESIDENT_SPARE_DIVISOR", config::RESIDENT_SPARE_DIVISOR.to_string()),
        ("raft/src/config.rs", "PROBE_HEARTBEATS", config::PROBE_HEARTBEATS.to_string()),
        ("raft/src/config.rs", "LEAVING_ELECTIONS", config::LEAVING_ELECTIONS.to_string()),
        ("raft/src/config.rs", "CAUGHT_UP_ENTRIES", config::CAUGHT_UP_ENTRIES.to_string()),
        ("raft/src/config.rs", "READS_MAX", config::READS_MAX.to_string()),
        ("raft/src/entry.rs", "ENTRY_OVERHEAD_BYTES", bytes(ENTRY_OVERHEAD_BYTES)),
        ("raft/src/configuration.rs", "MEMBER_CONTEXT_BYTES_MAX", bytes(MEMBER_CONTEXT_BYTES_MAX)),
        ("raft/src/configuration.rs", "MEMBERS_MAX", MEMBERS_MAX.to_string()),
        ("raft/src/configuration.rs", "VOTERS_MAX", VOTERS_MAX.to_string()),
        ("raft/src/formation/mod.rs", "ASK_TICKS", ticks(formation::ASK_TICKS)),
        ("raft/src/formation/identity.rs", "ADDRESS_BYTES_MAX", bytes(formation::ADDRESS_BYTES_MAX)),
        ("raft/src/ids.rs", "COUNT_MAX", format!("2^{}", COUNT_MAX.ilog2())),
        // These two are the core's own; their values are read as they stand.
        ("raft/src/core/guard.rs", "JUMP_MAX", symbols::as_written("raft/src/core/guard.rs", "JUMP_MAX")),
        ("raft/src/core/guard.rs", "BOOTS_MAX", symbols::as_written("raft/src/core/guard.rs", "BOOTS_MAX")),
    ];
    let mut out = String::from("| limit | value | what it limits, and why |\n|---|---|---|\n");
    for (path, name, value) in rows {
        let constants = symbols::of_file(path).constants;
        let constant = constants.iter().find(|constant| constant.name == name);
        let constant = constant.unwrap_or_else(|| panic!("{path} has no constant {name}"));
        let _ = writeln!(out, "| `{name}` | {value} | {} |", layout::plain(&constant.doc));
    }
    out
}

#[test]
fn every_limit_of_the_core_stands_on_the_page() {
    let shown = limits();
    for path in sources() {
        for constant in symbols::of_file(&path).constants {
            let name = &constant.name;
            // The width of a bar, and how much of a trace is kept, limit nothing.
            let limit = constant.public || name.ends_with("_MAX") || name.ends_with("_TICKS");
            assert!(!limit || shown.contains(&format!("| `{name}` |")), "{path}: {name}");
        }
    }
}
