//! Of a directory whose node is stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::script::run;
use crate::{Said, all_serve, block_on, doctor};

/// A node that has written something, and is stopped.
fn stopped(further: &[&str], writes: usize) -> Cluster {
    let mut cluster = Cluster::start_with(1, further);
    block_on(all_serve(&cluster, &[0]));
    let endpoints = cluster.endpoints().join(",");
    if !further.is_empty() {
        assert_eq!(run(&endpoints, &["settings", "set", "DigestRange=10"], b"").code, Some(0));
    }
    for number in 0..writes {
        let ended =
            run(&endpoints, &["put", &format!("key/{number}"), "a value that can be found again"], b"");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    assert!(block_on(cluster.stop(0)), "an ordered end");
    cluster
}

fn of(directory: &Path, arguments: &[&str]) -> Said {
    let place = format!("--data-dir={}", directory.display());
    doctor(&[], &[&[&*place], arguments].concat())
}

/// Changes a byte of what stands there in the log of a node.
pub(crate) fn damage_log(cluster: &Cluster, at: usize, what: &[u8]) {
    let directory = cluster.directory(at).join("wal");
    let segments = fs::read_dir(directory).expect("the log").map(|entry| entry.expect("a file").path());
    let found = segments.into_iter().find_map(|path| {
        let bytes = fs::read(&path).expect("a file");
        let at = bytes.windows(what.len()).position(|part| part == what)?;
        Some((path, bytes, at))
    });
    let (path, mut bytes, at) = found.expect("it was written");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// Every file below a directory, with what stands in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs::read(path).expect("a file"));
        }
    }
    all
}

#[test]
fn a_directory_that_is_whole_is_well_and_nothing_in_it_is_changed() {
    let cluster = stopped(&[], 5);
    let directory = cluster.directory(0);
    let before = contents(&directory);
    let said = of(&directory, &[]);
    said.is(0, &[]);
    for check in ["log-whole", "snapshots-whole", "audit-log", "identity", "disk-sync", "not-in-use"] {
        assert!(said.has("ok", check, 1), "{check}: {:#}", said.document);
    }
    assert!(said.what("disk-sync", 1).contains("election timeout of 300 ms"), "{:#}", said.document);
    of(&directory, &["--sync-p99=0", "--election=100s"]).is(6, &[("disk-sync", 1)]);
    assert!(before == contents(&directory), "something was changed");
}

#[test]
fn damage_in_the_middle_of_a_log_is_named_with_its_node() {
    let cluster = stopped(&[], 5);
    damage_log(&cluster, 0, b"a value that can be found again");
    let said = of(&cluster.directory(0), &[]);
    said.is(9, &[("log-whole", 1)]);
    let next = said.document["findings"][0]["next"].as_str().expect("text").to_owned();
    assert!(
        next.contains("holdfast wal verify") && next.contains("docs/runbooks/damaged-segment.md"),
        "{next}"
    );
}

#[test]
fn a_log_that_is_missing_is_named_with_its_node() {
    let cluster = stopped(&[], 1);
    fs::remove_dir_all(cluster.directory(0).join("wal")).expect("it is there");
    of(&cluster.directory(0), &[]).is(9, &[("log-whole", 1)]);
}

#[test]
fn a_damaged_snapshot_is_named_and_is_a_failure_if_no_other_one_is_whole() {
    let cluster = stopped(&["--snapshot-entries=10"], 60);
    let directory = cluster.directory(0).join("snapshots");
    let mut snapshots: Vec<PathBuf> =
        fs::read_dir(&directory).expect("it is there").map(|entry| entry.expect("a file").path()).collect();
    snapshots.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    snapshots.sort();
    assert!(snapshots.len() >= 2, "{snapshots:?}");
    for (count, path) in snapshots.iter().enumerate() {
        let mut bytes = fs::read(path).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("it can be written");
        let said = of(&cluster.directory(0), &[]);
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(said.what("snapshots-whole", 1).contains(name), "{name}: {:#}", said.document);
        let code = if count + 1 < snapshots.len() { 6 } else { 9 };
        said.is(code, &[("snapshots-whole", 1)]);
    }
}

#[test]
fn one_copy_of_the_identity_that_is_older_or_damaged_is_a_warning_and_both_are_a_failure() {
    let cluster = stopped(&[], 1);
    let directory = cluster.directory(0);
    let older = fs::read(directory.join("identity")).expect("it is there");
    let mut cluster = cluster;
    cluster.run(0);
    block_on(all_serve(&cluster, &[0]));
    assert!(block_on(cluster.stop(0)), "an ordered end");
    fs::write(directory.join("identity"), older).expect("it can be written");
    let said = of(&directory, &[]);
    said.is(6, &[("identity", 1)]);
    assert!(said.what("identity", 1).contains("differ"), "{:#}", said.document);
    fs::write(directory.join("identity"), b"nonsense").expect("it can be written");
    of(&directory, &[]).is(6, &[("identity", 1)]);
    fs::remove_file(directory.join("identity.copy")).expect("it is there");
    // Nobody knows which node it is.
    of(&directory, &[]).is(9, &[("identity", 0)]);
}

#[test]
fn a_damaged_file_of_the_audit_log_is_named_with_its_node() {
    let cluster = stopped(&[], 3);
    let audit = cluster.directory(0).join("audit");
    let file = fs::read_dir(audit).expect("it is there").map(|entry| entry.expect("a file").path());
    let mut file: Vec<PathBuf> = file
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("00")))
        .collect();
    file.sort();
    let path = file.pop().expect("one was begun");
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[9] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    of(&cluster.directory(0), &[]).is(6, &[("audit-log", 1)]);
}

#[test]
fn a_directory_in_which_a_process_works_is_said_to_be_in_use_and_its_disk_is_not_tried() {
    let cluster = Cluster::start(1);
    block_on(all_serve(&cluster, &[0]));
    let said = of(&cluster.directory(0), &["--sync-p99=0"]);
    assert!(said.has("warn", "not-in-use", 1), "{:#}", said.document);
    assert_eq!(said.code, Some(6), "{:#}", said.document);
    assert!(said.findings().iter().all(|found| found["check"] != "disk-sync"), "{:#}", said.document);
}

#[test]
fn several_directories_are_looked_at_together_and_one_that_is_empty_is_a_warning() {
    let cluster = stopped(&[], 1);
    let blank = tempfile::tempdir().expect("a directory");
    let second = format!("--data-dir={}", blank.path().display());
    let said = of(&cluster.directory(0), &[&second]);
    said.is(6, &[("identity", 0)]);
    assert!(said.has("ok", "log-whole", 1) && said.has("ok", "log-whole", 0), "{:#}", said.document);
    assert!(said.what("identity", 0).contains("nothing is there"), "{:#}", said.document);
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_as_it_is() {
    let cluster = stopped(&[], 1);
    let parent = cluster.directory(0).parent().expect("one").to_owned();
    for (place, what) in [(&*parent, "is no data directory"), (Path::new("/etc"), "is no data directory")] {
        let place = format!("--data-dir={}", place.display());
        let ended = run("", &["doctor", &place], b"");
        assert_eq!(ended.code, Some(2), "{place}: {} {}", ended.text(), ended.said);
        assert!(ended.said.contains(what), "{place}: {}", ended.said);
        assert_eq!(ended.text(), "", "nothing is judged");
    }
}

/// Puts a directory of one node in place of that of another.
fn exchange(from: &Path, to: &Path, name: &str) {
    fs::remove_dir_all(to.join(name)).expect("it is there");
    fs::create_dir(to.join(name)).expect("it can be made");
    for (path, bytes) in contents(&from.join(name)) {
        let file = path.file_name().expect("a name");
        fs::write(to.join(name).join(file), bytes).expect("it can be written");
    }
}

#[test]
fn what_is_of_another_cluster_in_a_directory_is_a_failure_of_log_snapshots_and_audit_log() {
    let (own, other) = (stopped(&["--snapshot-entries=10"], 30), stopped(&["--snapshot-entries=10"], 30));
    let (own, other) = (own.directory(0), other.directory(0));
    of(&own, &[]).is(0, &[]);
    exchange(&other, &own, "audit");
    of(&own, &[]).is(9, &[("audit-log", 1)]);
    exchange(&other, &own, "snapshots");
    let said = of(&own, &[]);
    said.is(9, &[("snapshots-whole", 1), ("audit-log", 1)]);
    assert!(said.what("snapshots-whole", 1).contains("and this node is of cluster"), "{:#}", said.document);
    exchange(&other, &own, "wal");
    let said = of(&own, &[]);
    said.is(9, &[("log-whole", 1), ("snapshots-whole", 1), ("audit-log", 1)]);
    assert!(said.what("log-whole", 1).contains("another's"), "{:#}", said.document);
}

#[test]
fn a_log_or_a_snapshot_without_an_identity_is_a_failure() {
    let cluster = stopped(&["--snapshot-entries=10"], 30);
    let directory = cluster.directory(0);
    for file in ["identity", "identity.copy"] {
        fs::remove_file(directory.join(file)).expect("it is there");
    }
    of(&directory, &[]).is(9, &[("identity", 0)]);
    fs::remove_dir_all(directory.join("wal")).expect("it is there");
    fs::remove_dir_all(directory.join("audit")).expect("it is there");
    of(&directory, &[]).is(9, &[("identity", 0)]);
    fs::remove_dir_all(directory.join("snapshots")).expect("it is there");
    of(&directory, &[]).is(6, &[("identity", 0)]);
}

/// Only where the kernel offers one; the same is tried out on the text of `/proc/self/mountinfo` in any case.
#[test]
fn a_directory_in_memory_is_named() {
    let shm = Path::new("/dev/shm");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !mounts.lines().any(|line| line.contains(" /dev/shm ") && line.contains(" - tmpfs ")) {
        println!("no tmpfs at {}: skipped", shm.display());
        return;
    }
    let directory = tempfile::tempdir_in(shm).expect("a directory in memory");
    let place = format!("--data-dir={}", directory.path().display());
    let arguments = ["doctor", &place, "--sync-p99=1m", "--free-space=0", "-ojson"];
    let ended = run("", &arguments, b"");
    let text = ended.text();
    assert_eq!(ended.code, Some(6), "{text} {}", ended.said);
    assert!(text.contains("\"check\":\"file-system\"") && text.contains("is in memory"), "{text}");
}
