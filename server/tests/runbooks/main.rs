//! The runbooks, and the page about operating: each test breaks a real cluster of processes and then does nothing but what the page
//! says, with the page's own commands, until the cluster is well. Meanwhile writers note what was acknowledged, and at the end
//! all of it has to be there, or exactly that has to be missing which the page has announced.
//!
//! Needs real time: it waits for what is to happen, and fails only when that takes longer than [`machines::PATIENCE`].

mod clock;
mod disk;
mod ledger;
mod machines;
mod page;
mod service;
#[path = "../terminal_common/mod.rs"]
mod terminal;
mod unit;

use std::fs;
use std::time::{Duration, Instant};

use ledger::{Ledger, Told};
use machines::{Site, damage};
use page::Page;

/// The parts of a runbook with something to do.
const ALL: [&str; 3] = ["You see", "Do", "You know it is over when"];

/// Does all that a runbook says.
fn follow(site: &mut Site, name: &str) {
    let mut page = Page::runbook(name);
    for part in ALL {
        page.follow(site, part);
    }
    site.await_health();
}

/// Whoever counts on the page has lost nothing, and the cluster takes more.
fn nothing_is_lost(ledger: &mut Ledger) {
    ledger.await_more();
    let lost = ledger.lost();
    assert!(lost.is_empty(), "{} acknowledged writes are lost: {lost:?}", lost.len());
}

/// Says loudly that this machine does not allow a test.
fn not_tested(what: &str, why: &str) {
    eprintln!("NOT TESTED: {what}: this machine does not allow it: {why}");
}

/// Those that the tests below follow.
const FOLLOWED: [&str; 8] = [
    "clock",
    "damaged-segment",
    "disk-full",
    "lost-quorum",
    "replace-a-member",
    "restore",
    "slow-disk",
    "upgrade",
];

#[test]
fn every_runbook_is_followed_by_a_test_and_found_from_the_table_of_symptoms() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    let index = fs::read_to_string(root.join("README.md")).expect("the table");
    let names = fs::read_dir(&root).expect("the directory").map(|file| file.expect("a file").file_name());
    let names = names.map(|name| name.into_string().expect("text").replace(".md", ""));
    let mut names: Vec<String> = names.filter(|name| name != "README").collect();
    names.sort();
    assert_eq!(names, FOLLOWED);
    for name in names {
        assert!(index.contains(&format!("| [{name}]({name}.md) |")), "{name} is not in the table");
    }
}

#[test]
fn operating_is_followed_from_bare_machines_to_a_cluster_that_grew_and_shrank_with_nothing_lost() {
    let mut site = Site::bare("abcde");
    for (number, name) in (1..).zip("abcde".chars()) {
        site.configure(name, number, "");
    }
    let mut page = Page::any("docs/operating.md");
    page.follow(&mut site, "Install");
    page.follow(&mut site, "Form");
    // The page shows node 1 as the leader throughout.
    site.make_leader('a');
    let mut ledger = Ledger::begin(&site);
    for part in ["Grow", "Shrink", "Change the configuration", "Back up"] {
        page.follow(&mut site, part);
    }
    for name in "de".chars() {
        assert_eq!(site.await_end(name), Some(11), "it was removed");
    }
    nothing_is_lost(&mut ledger);
}

#[test]
fn what_operating_says_to_alert_on_is_measured() {
    let page = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        fs::read_to_string(path).expect("the page")
    };
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let (operating, http) = (page("operating.md"), page("http.md"));
    let words = operating.split(|character| !is_name(character));
    let named: Vec<&str> = words.filter(|word| word.starts_with("holdfast_")).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        // That table is made of what a node exports.
        assert!(
            http.contains(&format!("| `{}` |", name.trim_end_matches("_total"))),
            "nothing measures {name}"
        );
    }
}

#[test]
fn replace_a_member_is_followed_from_a_machine_that_is_gone_to_health_with_nothing_lost() {
    let mut site = Site::formed("d");
    site.configure('d', 4, "learner = true\n");
    site.make_leader('a');
    let mut ledger = Ledger::begin(&site);
    site.destroy('c');
    follow(&mut site, "replace-a-member");
    nothing_is_lost(&mut ledger);
}

#[test]
fn damaged_segment_is_followed_from_bytes_that_are_wrong_to_health_with_nothing_lost() {
    let mut site = Site::formed("");
    site.make_leader('a');
    let mut ledger = Ledger::begin(&site);
    // Far behind the place that will be damaged, so that it is nothing that a power cut could have left.
    (0..5).for_each(|_| ledger.await_more());
    site.kill('c');
    ledger.await_more();
    let segment = site.path('c', "/var/lib/holdfast/wal/0000000000000001.seg");
    damage(&segment, DAMAGED_AT, 8);
    follow(&mut site, "damaged-segment");
    nothing_is_lost(&mut ledger);
}

/// Where a segment is damaged: behind its first block, within what was acknowledged.
const DAMAGED_AT: u64 = 6_000;

#[test]
fn restore_is_followed_from_nothing_to_health_and_exactly_what_came_after_the_backup_is_lost() {
    let mut site = Site::formed("");
    let mut before = Ledger::begin(&site);
    assert_eq!(before.lost().len(), 0);
    Page::any("docs/operating.md").follow(&mut site, "Back up");
    let mut after = Ledger::begin(&site);
    let after = after.stop();
    for name in "abc".chars() {
        site.kill(name);
        let directory = site.path(name, "/var/lib/holdfast");
        fs::remove_dir_all(&directory).expect("it is ours");
        // As systemd makes it.
        fs::create_dir(&directory).expect("it is ours");
    }
    follow(&mut site, "restore");
    assert!(before.lost().is_empty(), "what the backup holds is there");
    let there = ledger::keys(&site);
    assert!(after.keys().all(|key| !there.contains_key(key)), "what came after it is not");
    nothing_is_lost(&mut Ledger::begin(&site));
}

#[test]
fn lost_quorum_is_followed_from_one_survivor_to_health_and_exactly_what_the_plan_says_is_lost() {
    let mut site = Site::formed("de");
    for (number, name) in [(4, 'd'), (5, 'e')] {
        site.configure(name, number, "");
    }
    let mut ledger = Ledger::begin(&site);
    // The survivor misses what the others acknowledge last.
    site.kill('a');
    ledger.await_more();
    let told = ledger.stop();
    site.destroy('b');
    site.destroy('c');
    let plan = site.shell('a', "holdfast recover --from /var/lib/holdfast --plan-only -o json");
    let plan: serde_json::Value = serde_json::from_str(&plan.text).expect("JSON");
    let revision = plan["directories"][0]["revision"].as_u64().expect("a revision");
    site.launch('a');
    follow(&mut site, "lost-quorum");
    let lost = ledger.lost();
    assert!(lost.values().all(|at| *at > revision), "up to revision {revision} all is there: {lost:?}");
    let beyond = |told: &Told| matches!(told, Told::Acknowledged(at) if *at > revision);
    assert_eq!(lost.len(), told.values().filter(|told| beyond(told)).count(), "and nothing else");
    assert!(!lost.is_empty(), "the test is to lose something");
    nothing_is_lost(&mut Ledger::begin(&site));
}

#[test]
fn clock_is_followed_from_a_leader_whose_clock_is_ahead_to_health_with_nothing_lost() {
    let mut site = Site::formed("");
    if let Err(why) = clock::give(&mut site, 'c') {
        return not_tested("docs/runbooks/clock.md", &why);
    }
    site.shell('c', "systemctl restart holdfast");
    site.make_leader('c');
    let mut ledger = Ledger::begin(&site);
    clock::set_ahead(&site, 'c', AHEAD_SECONDS);
    ledger.await_more();
    follow(&mut site, "clock");
    nothing_is_lost(&mut ledger);
}

/// How wrong the clock is: far beyond what is allowed, and not longer than a test can wait until stamps are not ahead any more.
const AHEAD_SECONDS: i64 = 15;

#[test]
fn slow_disk_is_followed_from_a_majority_that_is_slow_to_writes_that_are_faster_than_its_disks() {
    let mut site = Site::formed("d");
    site.configure('d', 4, "learner = true\n");
    site.make_leader('a');
    let mut ledger = Ledger::begin(&site);
    for (number, name) in [(2, 'b'), (3, 'c')] {
        site.configure(name, number, &format!("drill_sync_delay = \"{}ms\"\n", SLOW.as_millis()));
        site.shell(name, "systemctl reload holdfast");
        site.wait_until("it is slow", |site| site.log(name).contains("DRILL: drill_sync_delay"));
    }
    // Those that were under way may still be fast.
    for _ in 0..2 {
        one_write(&mut site);
    }
    assert!(one_write(&mut site) >= SLOW, "a majority is slow, so nothing is acknowledged before");
    follow(&mut site, "slow-disk");
    // No bound on how fast the machine of the test is: only that the slow disks are not waited for any more.
    site.wait_until("a write is faster than the slow disks", |site| one_write(site) < SLOW);
    nothing_is_lost(&mut ledger);
}

/// How long a write takes.
fn one_write(site: &mut Site) -> Duration {
    let began = Instant::now();
    let said = site.shell('-', "holdfast put probe value --timeout 60s");
    assert_eq!(said.code, Some(0), "{}", said.text);
    began.elapsed()
}

/// How long a sync takes on a slow disk: much longer than anything else here, and shorter than an election.
const SLOW: Duration = Duration::from_millis(700);

/// The new version is a copy of the same binary: one format was released so far, and there is nothing yet that two versions could
/// misunderstand. What is shown is the order of the steps, and that nobody notices them.
#[test]
fn upgrade_is_followed_under_load_and_every_write_is_acknowledged_and_there() {
    let mut site = Site::formed("");
    site.make_leader('a');
    let new = site.inside('a', "/backup/holdfast-new");
    fs::copy(env!("CARGO_BIN_EXE_holdfast"), &new).expect("a copy");
    let mut ledger = Ledger::begin(&site);
    follow(&mut site, "upgrade");
    ledger.await_more();
    let told = ledger.stop();
    let refused = told.values().filter(|told| !matches!(told, Told::Acknowledged(_))).count();
    assert_eq!(refused, 0, "of {}: whoever leads hands over before it stops", told.len());
    nothing_is_lost(&mut Ledger::begin(&site));
    assert!(ledger.lost().is_empty());
}

#[test]
fn disk_full_is_followed_from_a_majority_without_room_to_health_with_nothing_lost() {
    let mut site = Site::bare("abc");
    for (number, name) in (1..).zip("abc".chars()) {
        site.configure(name, number, "");
    }
    for name in "bc".chars() {
        if let Err(why) = site.give_small_disk(name, DISK_MEBIBYTES) {
            return not_tested("docs/runbooks/disk-full.md", &why);
        }
    }
    for name in "abc".chars() {
        site.launch(name);
    }
    for name in "abc".chars() {
        assert!(site.await_ready(name), "{}", site.log(name));
    }
    // Somebody else's files.
    for name in "bc".chars() {
        site.shell(name, "mkdir /var/lib/cores; cat /dev/zero > /var/lib/cores/core.1");
    }
    let mut ledger = Ledger::begin_with(&site, VALUE_BYTES);
    site.wait_until("both disks are full", |site| {
        "bc".chars().all(|name| site.log(name).contains("the disk is full"))
    });
    ledger.write_small();
    follow(&mut site, "disk-full");
    nothing_is_lost(&mut ledger);
}

/// Room for three segments of 24 MiB, which a log has from the start, and for three more when the other files are gone.
const DISK_MEBIBYTES: u32 = 160;
/// Large, so that a log is full soon.
const VALUE_BYTES: usize = 500_000;
