//! Every number of the workspace against the golden list of what was promised.
//!
//! `golden/numbers.txt` holds `enum: number name` lines. `UPDATE_GOLDEN=1` adds what is new, never changes a line,
//! and then fails.

use std::collections::BTreeSet;

use holdfast_tidy::{registry, symbols, workspace};

const GOLDEN: &str = "tidy/tests/golden/numbers.txt";

#[test]
fn every_numbered_enum_of_the_workspace_is_registered() {
    let sources = workspace::files(".rs");
    let mut declared = Vec::new();
    for path in sources.iter().filter(|path| path.contains("/src/")) {
        let folder = path.split('/').next().unwrap_or_default();
        // The mechanism's own documentation and this crate's planted samples declare none, and what a simulator counts by
        // number is promised to nobody.
        if !["machine", "tidy", "sim"].contains(&folder) {
            let names = symbols::of_file(path).numbered;
            declared.extend(names.into_iter().map(|(name, _)| (folder.to_owned(), name)));
        }
    }
    let mut registered: Vec<(String, String)> = registry::numbers()
        .iter()
        .map(|entry| {
            let folder = entry.name.split("::").next().unwrap_or_default();
            (folder.to_owned(), entry.name.rsplit("::").next().unwrap_or_default().to_owned())
        })
        .collect();
    // As lists: two machines of a crate have a `State` each.
    declared.sort();
    registered.sort();
    assert_eq!(declared, registered, "add the enum to tidy/src/registry.rs");
}

#[test]
fn no_name_of_an_enum_is_used_twice_not_even_after_it_was_retired() {
    for entry in registry::numbers() {
        let lines = (entry.lines)();
        let names: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(names.len(), lines.len(), "{}: {lines:?}", entry.name);
    }
}

#[test]
fn no_number_of_the_workspace_changes_its_meaning() {
    let golden = workspace::read(GOLDEN);
    let mut added = String::new();
    let mut known = BTreeSet::new();
    for entry in registry::numbers() {
        let prefix = format!("{}: ", entry.name);
        let recorded: Vec<&str> = golden.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let drift = (entry.drift)(&recorded.join("\n"));
        assert!(
            drift.broken.is_empty(),
            "{GOLDEN} says {:?} of {}; numbers are for ever",
            drift.broken,
            entry.name
        );
        added.extend(drift.added.iter().map(|line| format!("{prefix}{line}\n")));
        known.insert(entry.name);
    }
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(": ").next().unwrap_or_default();
        assert!(known.contains(name), "{GOLDEN} promises {line:?}, and no enum {name} is registered");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !added.is_empty() {
        std::fs::write(workspace::root().join(GOLDEN), golden + &added).expect("the list can be written");
        panic!("added to {GOLDEN}; commit it:\n{added}");
    }
    assert!(added.is_empty(), "new numbers; run with UPDATE_GOLDEN=1 to promise them:\n{added}");
}
