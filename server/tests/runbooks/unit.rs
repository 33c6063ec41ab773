//! The unit, and what a service tells whoever has started it.

use std::process::Command;

use crate::machines::Site;
use crate::service::UNIT;

/// Values of a key of the unit, in their order.
fn values(key: &str) -> Vec<String> {
    let unit = std::fs::read_to_string(UNIT).expect("the unit");
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(|line| line.split_whitespace().map(str::to_owned)).collect()
}

#[test]
fn a_service_says_that_it_is_ready_only_when_a_quorum_is_there_and_it_has_caught_up_and_that_it_stops() {
    let mut site = Site::bare("abc");
    for (number, name) in (1..).zip("abc".chars()) {
        site.configure(name, number, "");
    }
    site.launch('a');
    site.launch('b');
    // Two of three do not form a cluster, however long they wait; the first of all is told by then.
    site.wait_until("it forms", |site| site.log('a').contains("waiting"));
    let before = site.notified('a');
    assert!(before.iter().all(|told| told.starts_with("STATUS=node 1 ")), "{before:?}");
    assert!(!before.is_empty(), "nothing was told");
    // A reload now must not end the start.
    site.signal('a', "-HUP");
    site.wait_until("it reloads", |site| site.log('a').contains("configuration reloaded"));
    site.launch('c');
    let mut told = Vec::new();
    site.wait_until("it is ready", |site| {
        told.extend(site.notified('a'));
        told.iter().any(|told: &String| told.contains("READY=1"))
    });
    let last = told.iter().position(|told| told.contains("READY=1")).expect("it was waited for");
    assert!(told[last].contains("STATUS=node 1 Ready"), "{told:?}");
    assert!(told[..last].iter().all(|told| told.starts_with("STATUS=node 1 ")), "{told:?}");
    assert!(told[..last].iter().any(|told| told.contains("Joining")), "{told:?}");

    // What was told of elections since then does not matter here.
    site.notified('a');
    site.signal('a', "-HUP");
    let mut told = Vec::new();
    site.wait_until("the reload is over", |site| {
        told.extend(site.notified('a'));
        told.iter().any(|told: &String| told == "READY=1\n")
    });
    assert!(told.iter().any(|told| told.starts_with("RELOADING=1\nMONOTONIC_USEC=")), "{told:?}");

    assert_eq!(site.stop('a'), Some(0));
    let told = site.notified('a');
    assert!(told.iter().any(|told| told.starts_with("STOPPING=1\nSTATUS=node 1 Draining")), "{told:?}");
}

#[test]
fn the_unit_does_not_start_again_what_does_not_get_better_by_trying_again() {
    let table =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).expect("the page");
    let number = |name: &str| {
        let row = table.lines().find(|line| line.contains(&format!("| {name} |"))).expect("an exit code");
        row.split('|').nth(1).expect("a number").trim().to_owned()
    };
    let mut codes = ["Usage", "Integrity", "Removed"].map(number).to_vec();
    codes.push("SIGABRT".to_owned());
    assert_eq!(values("RestartPreventExitStatus"), codes);
    assert_eq!(values("Restart"), ["on-failure"]);
    assert_eq!(values("Type"), ["notify"]);
    // A start waits for a quorum: see the module of the notifications.
    assert_eq!(values("TimeoutStartSec"), ["infinity"]);
}

#[test]
fn systemd_itself_finds_nothing_wrong_with_the_unit() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("holdfast.service");
    // It looks whether the program is there: on the machine of the test it is elsewhere.
    let unit = std::fs::read_to_string(UNIT).expect("the unit");
    let unit = unit.replace("/usr/local/bin/holdfast", env!("CARGO_BIN_EXE_holdfast"));
    std::fs::write(&path, unit).expect("a file");
    let done = match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Ok(done) => done,
        Err(error) => {
            eprintln!("NOT TESTED: systemd-analyze cannot be run here ({error})");
            return;
        }
    };
    let said = String::from_utf8_lossy(&done.stderr);
    let own: Vec<&str> = said.lines().filter(|line| line.contains("holdfast.service")).collect();
    assert!(own.is_empty(), "{own:#?}");
}
