//! Who may know whom, read from the manifests.

use holdfast_tidy::{blocks, workspace};

/// Each crate, the crates of the workspace it may use outside of tests, and why it exists. Those that do not exist
/// yet stand here too: the direction is decided before the code is written.
const LAYERS: [(&str, &[&str], &str); 14] = [
    ("machine", &[], "numbered states, events and edges; verdicts; drawing"),
    ("handoff", &[], "every structure that two threads share"),
    ("hlc", &[], "hybrid logical clock"),
    ("command", &["machine"], "numbers and byte layout of replicated commands"),
    ("wire", &["machine", "command"], "frames, message numbers, bodies, the connection machine"),
    ("raft", &["machine"], "the pure consensus core"),
    ("wal", &["machine", "handoff"], "the durable log, and the thread that syncs it"),
    ("store", &["machine", "command", "hlc", "handoff"], "the replicated state machine"),
    ("client", &["machine", "command", "wire"], "client core without IO, and the async client"),
    (
        "server",
        &["machine", "handoff", "hlc", "command", "wire", "raft", "wal", "store", "client"],
        "the node, its runtime, HTTP, CLI: the one binary",
    ),
    (
        "sim",
        &["machine", "hlc", "command", "wire", "raft", "wal", "store", "client", "server"],
        "simulators, and real processes under real faults",
    ),
    ("bench", &["machine", "command", "wire", "wal", "client", "server"], "load generator and reports"),
    ("loom-tests", &[], "model-checks the shared structures, compiled by path"),
    ("tidy", &["*"], "docs and numbers checked against code"),
];

/// Crates whose only dependencies from outside the workspace are these.
const FOREIGN: [(&str, &[&str]); 4] =
    [("machine", &[]), ("handoff", &[]), ("hlc", &[]), ("raft", &["bytes"])];

/// Crates in which `unsafe` may stand, in one file each. (`handoff` turned out to need none.)
const MAY_BE_UNSAFE: [&str; 1] = ["wal"];

/// Crates in which an enum is never matched by `_`, so that a new variant asks every place for an answer.
const NO_WILDCARDS: [&str; 7] = ["command", "wire", "raft", "wal", "store", "client", "server"];

#[test]
fn every_crate_knows_only_the_layers_below_it() {
    for (folder, member) in workspace::members() {
        let Some((_, allowed, _)) = LAYERS.iter().find(|(name, ..)| *name == folder) else {
            panic!("{folder} has no row in LAYERS (tidy/tests/layers.rs)");
        };
        for below in member.layers_below() {
            let fine = allowed.contains(&"*") || allowed.contains(&below.as_str());
            assert!(fine, "{folder} may not depend on {below}");
        }
    }
}

#[test]
fn packages_are_named_after_their_folders() {
    for (folder, member) in workspace::members() {
        let name = member.manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        assert_eq!(name, format!("holdfast-{folder}"));
    }
}

#[test]
fn the_lowest_crates_depend_on_nothing_from_outside() {
    for (folder, member) in workspace::members() {
        if let Some((_, allowed)) = FOREIGN.iter().find(|(name, _)| *name == folder) {
            let uses = member.uses();
            let foreign: Vec<&String> = uses.keys().filter(|name| !name.starts_with("holdfast-")).collect();
            assert!(foreign.iter().all(|name| allowed.contains(&name.as_str())), "{folder} uses {foreign:?}");
        }
    }
}

#[test]
fn bincode_is_pinned_and_known_to_one_module() {
    for (folder, member) in workspace::members() {
        if let Some(version) = member.uses().get("bincode") {
            assert_eq!(version, "=2.0.1", "{folder}: the bytes on the wire are those of this release");
        }
    }
    let sources = workspace::files(".rs");
    let users: Vec<&String> = sources
        .iter()
        .filter(|path| path.contains("/src/") && !path.starts_with("tidy/"))
        .filter(|path| {
            workspace::read(path)
                .lines()
                .any(|line| !line.trim().starts_with("//") && line.contains("bincode"))
        })
        .collect();
    assert_eq!(users, ["wire/src/meta.rs"]);
}

#[test]
fn no_crate_but_the_one_that_maps_memory_may_hold_unsafe_code() {
    for (folder, member) in workspace::members() {
        let forbids = member.every_root_says("forbid", "unsafe_code");
        assert!(forbids || MAY_BE_UNSAFE.contains(&folder.as_str()), "{folder} does not forbid unsafe code");
    }
}

#[test]
fn unsafe_code_stands_in_the_one_file_that_maps_memory() {
    for path in workspace::files(".rs").iter().filter(|path| path.starts_with("wal/")) {
        let code = workspace::read(path);
        let unsafe_lines = code.lines().filter(|line| !line.trim().starts_with("//"));
        let holds =
            unsafe_lines.into_iter().any(|line| line.contains("unsafe ") || line.contains("unsafe_code"));
        assert!(!holds || path == "wal/src/map.rs", "{path}");
    }
}

#[test]
fn matches_on_enums_are_total_where_numbers_live() {
    for (folder, member) in workspace::members() {
        if NO_WILDCARDS.contains(&folder.as_str()) {
            let denies = member.every_root_says("deny", "clippy::wildcard_enum_match_arm");
            assert!(denies, "{folder} allows wildcard arms");
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (folder, member) in workspace::members() {
        let lints = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints.and_then(toml::Value::as_bool), Some(true), "{folder}");
    }
}

#[test]
fn every_dependency_from_outside_gives_its_reason() {
    for (folder, _) in workspace::members() {
        let path = format!("{folder}/Cargo.toml");
        let manifest = workspace::read(&path);
        let (mut in_table, mut reason) = (false, false);
        for line in manifest.lines() {
            if line.starts_with('[') {
                let single = line.contains("dependencies.") && !line.contains("holdfast-");
                assert!(!single || reason, "{path}: no reason stands above {line:?}");
                in_table = line.ends_with("dependencies]");
                reason = false;
            } else if line.starts_with('#') {
                reason = true;
            } else if line.trim().is_empty() {
                reason = false;
            } else if in_table && !line.starts_with("holdfast-") && line.contains('=') {
                assert!(reason, "{path}: no reason stands above {line:?}");
                reason = false;
            }
        }
    }
}

#[test]
fn the_page_of_layers_is_current() {
    let members = workspace::members();
    let mut table = String::from("| crate | what it is | may use | uses today |\n|---|---|---|---|\n");
    for (name, allowed, purpose) in LAYERS {
        let may = match allowed {
            [] => "nothing".to_owned(),
            ["*"] => "everything, in tests".to_owned(),
            some => some.join(", "),
        };
        let today = match members.get(name) {
            None => "*to come*".to_owned(),
            Some(member) if member.layers_below().is_empty() => "nothing".to_owned(),
            Some(member) => member.layers_below().join(", "),
        };
        table += &format!("| `{name}` | {purpose} | {may} | {today} |\n");
    }
    blocks::check(&[("docs/architecture.md".into(), vec![("layers", table)])]);
}
