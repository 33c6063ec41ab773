//! `holdfast recover`: what is left of a cluster that has lost its quorum for good goes on.

use std::collections::BTreeMap;
use std::path::Path;

use holdfast_client::{Client, Position};

use crate::cluster::{Cluster, PATIENCE};
use crate::snapshots::{self, holdfast};
use crate::{TINY, block_on, contents};

/// Every file below a directory, and what is in it.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.display().to_string(), std::fs::read(&path).expect("it is readable"));
        }
    }
    all
}

/// Writes the keys `w/FROM` to `w/TO`, and stops at the first that is not acknowledged.
async fn write(endpoints: &[String], keys: std::ops::Range<u32>) -> Position {
    let client = Client::builder(endpoints.iter().cloned()).timeout(PATIENCE).wait_for_cluster(true);
    let client = client.build().expect("a client");
    let mut last = None;
    for number in keys {
        last = Some(client.put(format!("w/{number:04}"), "value").await.expect("it serves").1);
    }
    client.close().await;
    last.expect("a write")
}

/// The keys that are there, by number.
async fn numbers(endpoint: &str, behind: Position) -> Vec<u32> {
    let number = |key: &[u8]| std::str::from_utf8(key).ok()?.strip_prefix("w/")?.parse().ok();
    contents(endpoint, behind).await.iter().filter_map(|entry| number(&entry.key)).collect()
}

/// The phrase that a plan ends with.
fn phrase(plan: &str) -> String {
    let behind = plan.split("--confirm '").nth(1).unwrap_or_else(|| panic!("no phrase: {plan}"));
    behind.split('\'').next().expect("its end").to_owned()
}

/// Three nodes, of which the third misses what the other two acknowledged last; all are killed. With `arguments`.
async fn broken(arguments: &[&str]) -> Cluster {
    let mut cluster = Cluster::start_with(3, arguments);
    let all = cluster.endpoints();
    snapshots::short_ranges(&cluster).await;
    let position = write(&all, 0..80).await;
    // The third holds the first 80 now.
    assert_eq!(numbers(&all[2], position).await.len(), 80);
    cluster.kill(2);
    write(&all[..2], 80..100).await;
    cluster.kill(0);
    cluster.kill(1);
    cluster
}

/// Recovers from these, runs the new cluster, and says which keys are in it. The old directories must be as they were.
async fn go_on(cluster: &Cluster, from: &[usize], loss: &str) -> Vec<u32> {
    let directories: Vec<String> =
        from.iter().map(|at| format!("--from={}", cluster.directory(*at).display())).collect();
    let before: Vec<_> = from.iter().map(|at| files(&cluster.directory(*at))).collect();
    let mut command = vec!["recover"];
    command.extend(directories.iter().map(String::as_str));
    let (code, plan) = holdfast(&[&command[..], &["--plan-only"]].concat());
    assert!(code == Some(0) && plan.contains(loss), "{code:?} {plan}");

    let mut later = Cluster::restored(&TINY);
    let (peer, data_dir) = (format!("--peer={}", later.peer(0)), later.directory(0));
    let data_dir = format!("--data-dir={}", data_dir.display());
    let new = ["--node-id=1", &data_dir, &peer];
    // Nothing is done for who has not read the plan.
    for wrong in [&[][..], &["--confirm=recover"]] {
        let (code, said) = holdfast(&[&command[..], &new, wrong].concat());
        assert!(code == Some(2) && said.contains("not confirmed"), "{code:?} {said}");
        assert!(!later.directory(0).exists(), "something was made");
    }
    let confirm = format!("--confirm={}", phrase(&plan));
    let (code, said) = holdfast(&[&command[..], &new, &[&confirm]].concat());
    assert!(code == Some(0) && said.contains("recovered: cluster "), "{code:?} {said}");
    // And not twice over one another.
    let (code, said) = holdfast(&[&command[..], &new, &[&confirm]].concat());
    assert!(code == Some(2) && said.contains("is not blank"), "{code:?} {said}");
    let after: Vec<_> = from.iter().map(|at| files(&cluster.directory(*at))).collect();
    assert!(before == after, "a directory was changed");

    later.run(0);
    later.wait(0, "ready", |status| status.ready).await;
    let second = later.join(false);
    later
        .wait(second, "a voter that is ready", |status| {
            status.ready && status.members.iter().filter(|member| member.voter).count() == 2
        })
        .await;
    let position = write(&later.endpoints(), 9_000..9_001).await;
    let mut copies = Vec::new();
    for endpoint in later.endpoints() {
        copies.push(numbers(&endpoint, position).await);
    }
    assert_eq!(copies[0], copies[1], "the nodes hold different things");
    copies.swap_remove(0)
}

#[test]
fn one_survivor_of_three_loses_exactly_what_the_others_acknowledged_without_it_and_says_so_first() {
    block_on(async {
        let cluster = broken(&[]).await;
        let keys = go_on(
            &cluster,
            &[2],
            "MAY BE LOST: what nodes 1 and 2 acknowledged without this one, after index",
        )
        .await;
        assert_eq!(keys, (0..80).chain([9_000]).collect::<Vec<_>>());
    });
}

#[test]
fn a_survivor_whose_log_begins_behind_a_snapshot_loses_nothing_that_it_holds() {
    block_on(async {
        let cluster = broken(&TINY).await;
        assert!(!snapshots::ends(&cluster, 0).is_empty(), "it has taken none");
        let keys = go_on(
            &cluster,
            &[0],
            "MAY BE LOST: what nodes 2 and 3 acknowledged without this one, after index",
        )
        .await;
        assert_eq!(keys, (0..100).chain([9_000]).collect::<Vec<_>>());
    });
}

#[test]
fn a_quorum_that_is_here_is_not_recovered_and_a_directory_in_use_is_not_read() {
    block_on(async {
        let mut cluster = broken(&[]).await;
        let from: Vec<String> =
            (0..3).map(|at| format!("--from={}", cluster.directory(at).display())).collect();
        let new = tempfile::tempdir().expect("a directory");
        let new_dir = format!("--data-dir={}", new.path().join("n1").display());
        let (code, said) = holdfast(&["recover", &from[0], &from[2], &new_dir, "--peer=127.0.0.1:1"]);
        assert!(code == Some(6) && said.contains("nodes 1 and 3 are here and whole"), "{code:?} {said}");
        let (code, said) = holdfast(&["recover", &from[2], &from[2], "--plan-only"]);
        assert!(code == Some(9) && said.contains("are directories of one node"), "{code:?} {said}");
        let (code, said) = holdfast(&["recover", "--from=/nonexistent", "--plan-only"]);
        assert!(code == Some(9) && said.contains("nothing to go on with"), "{code:?} {said}");
        let within = format!("--data-dir={}", cluster.directory(2).join("wal").join("new").display());
        let (code, said) = holdfast(&["recover", &from[2], &within, "--peer=127.0.0.1:1"]);
        assert!(code == Some(2) && said.contains("which is only read"), "{code:?} {said}");
        let empty = format!("--from={}", new.path().display());
        let (code, said) = holdfast(&["recover", &empty, "--plan-only"]);
        assert!(code == Some(9) && said.contains("no node was ever started here"), "{code:?} {said}");
        cluster.run(1);
        cluster.wait(1, "there", |_| true).await;
        let (code, said) = holdfast(&["recover", &from[1], "--plan-only"]);
        assert!(code == Some(2) && said.contains("is in use by process"), "{code:?} {said}");
    });
}
