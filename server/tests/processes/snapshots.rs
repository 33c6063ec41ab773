//! Snapshots between real processes: the way back of a node that was away longer than the log reaches.

use std::time::Duration;

use holdfast_client::{Client, ReadOptions};
use holdfast_command::keys::{Range, Span};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Code, Command, Setting};
use holdfast_machine::Numbered;

use crate::cluster::{Cluster, PATIENCE};
use crate::{TINY, block_on, contents};

/// Lets members compare their digests every few entries: a snapshot is taken only where a majority agrees.
pub(crate) async fn short_ranges(cluster: &Cluster) {
    let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).wait_for_cluster(true).build();
    let client = client.expect("a client");
    let changes = vec![(Setting::DigestRange.number(), 10)];
    client.submit(Command::ChangeSettings(ChangeSettings { changes })).await.expect("it is in bounds");
    client.close().await;
}

/// The last indices of the snapshots in the directory of a node, ascending.
pub(crate) fn ends(cluster: &Cluster, at: usize) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(cluster.directory(at).join("snapshots")) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("a file").file_name().into_string().expect("text"));
    let ends = names.filter(|name| name.ends_with(".snap"));
    let mut ends: Vec<u64> =
        ends.map(|name| u64::from_str_radix(&name[..16], 16).expect("an index")).collect();
    ends.sort_unstable();
    ends
}

#[test]
fn a_node_that_was_away_longer_than_the_log_reaches_comes_back_by_snapshot_and_holds_the_same() {
    block_on(async {
        let mut cluster = Cluster::start_with(3, &TINY);
        short_ranges(&cluster).await;
        for at in 0..3 {
            cluster.wait(at, "ready", |status| status.ready).await;
        }
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        client.put("w/first", "first").await.expect("the cluster serves");
        let away = cluster.wait(2, "up to date", |status| status.keys == 1).await.applied;
        cluster.kill(2);
        for number in 0..200 {
            let key = format!("w/{number}");
            client.put(key.clone(), key).await.expect("two of three serve");
        }
        cluster.run(2);
        let (_, last) = client.put("w/last", "last").await.expect("the cluster serves");
        let copies =
            [contents(&cluster.endpoints()[0], last).await, contents(&cluster.endpoints()[2], last).await];
        assert_eq!(copies[0].len(), 202);
        assert!(copies[0] == copies[1], "the node that was away holds something else");
        let own = ends(&cluster, 2);
        assert!(own.last().is_some_and(|end| *end > away + 100), "it holds {own:?}, and was at {away}");

        // All start again, from snapshot and log.
        client.close().await;
        for at in 0..3 {
            cluster.kill(at);
        }
        for at in 0..3 {
            cluster.run(at);
        }
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).wait_for_cluster(true);
        let client = client.build().expect("a client");
        let (_, last) = client.put("w/again", "again").await.expect("the cluster serves");
        client.close().await;
        for at in 0..3 {
            let copy = contents(&cluster.endpoints()[at], last).await;
            assert_eq!(copy.len(), 203, "node {}", at + 1);
        }
    });
}

/// Three nodes with 120 keys, whose logs do not reach back to the first, and a client of them.
async fn three_with_more_than_their_logs_hold() -> (Cluster, Client) {
    let cluster = Cluster::start_with(3, &TINY);
    short_ranges(&cluster).await;
    let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).wait_for_cluster(true);
    let client = client.build().expect("a client");
    for number in 0..120 {
        client.put(format!("w/{number}"), "x").await.expect("it serves");
    }
    (cluster, client)
}

#[test]
fn a_node_that_joins_when_the_log_does_not_reach_back_begins_with_a_snapshot() {
    block_on(async {
        let (mut cluster, client) = three_with_more_than_their_logs_hold().await;
        let fourth = cluster.join(false);
        cluster.wait(fourth, "ready", |status| status.ready).await;
        let (_, last) = client.put("w/last", "last").await.expect("it serves");
        client.close().await;
        assert_eq!(contents(&cluster.endpoints()[fourth], last).await.len(), 121);
        let own = ends(&cluster, fourth);
        assert!(own.first().is_some_and(|end| *end > 50), "{own:?}");
        // It starts from its own directory afterwards.
        cluster.kill(fourth);
        cluster.run(fourth);
        assert_eq!(contents(&cluster.endpoints()[fourth], last).await.len(), 121);
    });
}

/// Runs `holdfast snapshot …`: its exit code, and what it said.
pub(crate) fn snapshot(arguments: &[&str]) -> (Option<i32>, String) {
    holdfast(&[&["snapshot"], arguments].concat())
}

/// How a command ends, and what it says.
pub(crate) fn holdfast(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let command = command.args(arguments).stdin(std::process::Stdio::null());
    let output = command.output().expect("the binary that cargo built");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[test]
fn a_cluster_begins_another_life_from_a_snapshot_and_what_belongs_to_the_former_is_refused() {
    block_on(async {
        let mut former = Cluster::start_with(1, &TINY);
        short_ranges(&former).await;
        former.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(former.endpoints()).timeout(PATIENCE).build().expect("a client");
        let mut position = None;
        for number in 0..60 {
            let key = format!("w/{number}");
            position = Some(client.put(key.clone(), key).await.expect("it serves").1);
        }
        let before = former.wait(0, "applied", |status| status.keys == 60).await;
        client.close().await;
        while ends(&former, 0).last().is_none_or(|end| *end < 50) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        former.kill(0);
        let directory = former.directory(0).join("snapshots");
        let files =
            std::fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file").path());
        let file = files.filter(|path| path.extension().is_some_and(|ending| ending == "snap")).max();
        let file = file.expect("a snapshot").display().to_string();
        let (code, said) = snapshot(&["verify", &file]);
        assert!(code == Some(0) && said.starts_with("whole: "), "{code:?} {said}");
        let (code, said) = snapshot(&["inspect", &file]);
        assert!(
            code == Some(0) && said.contains("N6 Changes") && said.contains("1 voter"),
            "{code:?} {said}"
        );

        let mut later = Cluster::restored(&TINY);
        let (peer, data_dir) = (later.peer(0), later.directory(0).display().to_string());
        let arguments =
            ["restore", &file, "--node-id=1", &format!("--data-dir={data_dir}"), &format!("--peer={peer}")];
        let (code, said) = snapshot(&arguments);
        assert!(code == Some(0) && said.contains("restored: cluster "), "{code:?} {said}");
        let (code, said) = snapshot(&arguments);
        assert!(code == Some(2) && said.contains("is not blank"), "{code:?} {said}");
        later.run(0);
        let status = later.wait(0, "ready", |status| status.ready).await;
        assert_eq!(status.cluster.map(|cluster| cluster.id), before.cluster.map(|cluster| cluster.id));
        // The seconds of now, so that a second restoration of the same file is yet another life.
        assert!(status.cluster.is_some_and(|cluster| cluster.epoch.get() > 1_700_000_000));
        assert!(status.revision >= before.revision - 30 + 1_000_000_000, "{}", status.revision);
        assert_eq!(status.oldest, status.revision);
        assert!(status.keys >= 24, "{}", status.keys);

        // A position of the former life says nothing about this one.
        let client = Client::builder(later.endpoints()).timeout(PATIENCE).build().expect("a client");
        let position = position.expect("sixty of them");
        let read = client.read(Range::of(Span::prefix("w/")), ReadOptions::behind(position)).await;
        assert_eq!(read.expect_err("of another life").code, Some(Code::OtherEpoch));
        let (_, last) = client.put("w/new", "new").await.expect("it serves");
        let second = later.join(false);
        later.wait(second, "ready", |status| status.ready).await;
        let copies =
            [contents(&later.endpoints()[0], last).await, contents(&later.endpoints()[second], last).await];
        assert!(copies[0] == copies[1] && copies[0].len() as u64 == status.keys + 1);
        client.close().await;
        // Both start again from their own directories.
        for at in [0, second] {
            later.kill(at);
            later.run(at);
        }
        assert!(contents(&later.endpoints()[second], last).await == copies[0]);
    });
}

/// The snapshots of a node.
fn files(cluster: &Cluster, at: usize) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(cluster.directory(at).join("snapshots")).expect("a directory");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

/// Flips a bit in the middle of a file.
fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}

#[test]
fn a_node_whose_snapshots_are_damaged_is_repaired_by_the_others_and_has_whole_ones_again() {
    block_on(async {
        let (mut cluster, client) = three_with_more_than_their_logs_hold().await;
        // The last one may still be on its way to its name.
        while ends(&cluster, 2).last().is_none_or(|end| *end < 100) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.kill(2);
        let damaged = files(&cluster, 2);
        damaged.iter().for_each(|path| damage(path));
        cluster.run(2);
        for number in 0..30 {
            client.put(format!("later/{number}"), "x").await.expect("the others serve");
        }
        let (_, last) = client.put("w/last", "last").await.expect("the cluster serves");
        let copies =
            [contents(&cluster.endpoints()[0], last).await, contents(&cluster.endpoints()[2], last).await];
        assert!(copies[0] == copies[1] && copies[0].len() == 121, "{}", copies[1].len());
        // A whole one takes the place of what is damaged as soon as the others agree on a state.
        let mut number = 0;
        while files(&cluster, 2).iter().any(|file| damaged.contains(file)) {
            client.put(format!("w/{}", number % 100), "y").await.expect("the cluster serves");
            number += 1;
            assert!(number < 5_000, "the damaged files stay: {:?}", files(&cluster, 2));
        }
        client.close().await;
        cluster.kill(2);
        cluster.run(2);
        assert_eq!(contents(&cluster.endpoints()[2], last).await.len(), 121);
    });
}

#[test]
fn a_node_that_is_alone_with_a_damaged_snapshot_waits_for_the_file_and_without_any_does_not_start() {
    block_on(async {
        let mut cluster = Cluster::start_with(1, &TINY);
        short_ranges(&cluster).await;
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        for number in 0..120 {
            client.put(format!("w/{number}"), "x").await.expect("it serves");
        }
        client.close().await;
        while ends(&cluster, 0).last().is_none_or(|end| *end < 100) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.kill(0);
        let whole: Vec<_> = files(&cluster, 0)
            .into_iter()
            .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
            .collect();
        whole.iter().for_each(|(path, _)| damage(path));
        let (code, said) = cluster.run_to_its_end(&cluster.arguments(0));
        assert!(code == Some(2) && said.contains("lost it with its snapshot"), "{code:?} {said}");
        for (path, bytes) in &whole {
            std::fs::write(path, bytes).expect("a file");
        }
        cluster.run(0);
        let status = cluster.wait(0, "ready again", |status| status.ready).await;
        assert_eq!(status.keys, 120, "nothing was noted that outlasts the damage");
        cluster.kill(0);
        std::fs::remove_dir_all(cluster.directory(0).join("snapshots")).expect("a directory");
        let (code, said) = cluster.run_to_its_end(&cluster.arguments(0));
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("no snapshot up to there"), "{said}");
    });
}
