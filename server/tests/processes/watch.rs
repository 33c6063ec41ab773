//! Watches over real processes that are killed: whatever happens, each change comes once, in order, and none is missing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use holdfast_client::{Client, Notice};
use holdfast_command::WatchEvent;
use holdfast_command::keys::Span;

use crate::cluster::{Cluster, PATIENCE};
use crate::{CLIENTS, Ledger, PROGRESS, block_on, contents, progress, write};

/// Everything that a watch of the writers' keys brings until this key comes.
async fn follow(endpoints: Vec<String>, last: &str) -> Vec<WatchEvent> {
    // Small, so that it is paused and goes on many times.
    let client = Client::builder(endpoints).wait_for_cluster(true).build().expect("a client");
    let mut watch = client.watch(Span::prefix("w/")).from(1).buffer(2_000).start();
    let mut all: Vec<WatchEvent> = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, watch.next()).await.expect("it goes on");
        if let Notice::Changes(changes) = next.expect("nothing was compacted") {
            let before = all.last().map_or(0, WatchEvent::revision);
            assert!(changes.revision > before, "{} comes after {before}", changes.revision);
            all.extend(changes.events);
        }
        if all.last().is_some_and(|event| event.entry.key == last.as_bytes()) {
            drop(watch);
            client.close().await;
            return all;
        }
    }
}

#[test]
fn a_watch_misses_nothing_and_repeats_nothing_while_each_node_in_turn_is_killed_or_stopped() {
    block_on(async {
        let mut cluster = Cluster::start(3);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::task::spawn_local(write(cluster.endpoints(), number, Rc::clone(&ledger))))
            .collect();
        let watchers: Vec<_> =
            (0..3).map(|_| tokio::task::spawn_local(follow(cluster.endpoints(), "w/last"))).collect();
        progress(&ledger, PROGRESS).await;
        // Whichever node a watch is at, it is among these.
        for victim in 0..3 {
            cluster.kill(victim);
            progress(&ledger, PROGRESS).await;
            cluster.run(victim);
            progress(&ledger, PROGRESS).await;
        }
        for victim in 0..3 {
            cluster.wait(victim, "ready", |status| status.ready).await;
            assert!(cluster.stop(victim).await, "it ends by itself, and well");
            cluster.run(victim);
            progress(&ledger, PROGRESS).await;
        }
        ledger.borrow_mut().stop = true;
        for writer in writers {
            writer.await.expect("no writer panics");
        }
        let last = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let (_, position) = last.put("w/last", "w/last").await.expect("the cluster serves");
        last.close().await;

        let held = contents(&cluster.endpoints()[0], position).await;
        let held: BTreeMap<u64, _> = held.iter().map(|entry| (entry.mod_revision, entry)).collect();
        for watcher in watchers {
            let seen = watcher.await.expect("no watcher panics");
            // Each key is written once, so what the cluster holds is what happened.
            let seen: BTreeMap<u64, _> = seen.iter().map(|event| (event.revision(), &event.entry)).collect();
            assert_eq!(seen.keys().collect::<Vec<_>>(), held.keys().collect::<Vec<_>>());
            assert!(seen.values().eq(held.values()), "the same keys and values");
        }
        assert!(held.len() as u64 > 9 * PROGRESS, "too little happened to show anything");
    });
}

#[test]
fn a_watch_from_before_the_oldest_revision_ends_with_what_the_oldest_is() {
    block_on(async {
        let cluster = Cluster::start(1);
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).wait_for_cluster(true);
        let client = client.build().expect("a client");
        for _ in 0..5 {
            client.put("k", "v").await.expect("written");
        }
        client.compact(4).await.expect("compacted");
        let error = client.watch(Span::all()).from(2).start().next().await.expect_err("it is gone");
        let expected = holdfast_command::Refusal::Compacted { asked: 2, oldest: 4 };
        assert_eq!(error.refusal, Some(expected));
        let mut watch = client.watch(Span::all()).from(5).start();
        let Ok(Notice::Changes(first)) = watch.next().await else { panic!("what comes above is there") };
        assert_eq!(first.revision, 5);
        client.close().await;
        let mut end = watch.next().await;
        while end.is_ok() {
            end = watch.next().await;
        }
        assert_eq!(end.expect_err("ended").kind, holdfast_client::Kind::Closed);
    });
}

#[test]
fn the_command_prints_a_line_for_each_change_and_ends_as_its_page_says() {
    block_on(async {
        let cluster = Cluster::start(1);
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).wait_for_cluster(true);
        let client = client.build().expect("a client");
        client.put("app/a", "one").await.expect("written");
        client.put("other", "unseen").await.expect("written");
        client.put("app/a", "two\n").await.expect("written");
        client.delete("app/a").await.expect("deleted");
        let endpoints = format!("--endpoints={}", cluster.endpoints().join(","));
        let watch = |arguments: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
            let output = command.arg("watch").arg(&endpoints).args(arguments).output().expect("it runs");
            let text = |bytes| String::from_utf8(bytes).expect("text");
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let lines = "2\tput\tapp/a\tone\twas not there\n\
                     4\tput\tapp/a\t\"two\\n\"\twas one\n\
                     5\tdelete\tapp/a\twas \"two\\n\"\n";
        let all = watch(&["app/", "--prefix", "--rev=2", "--prev", "--count=3"]);
        assert_eq!(all, (Some(0), lines.to_owned(), String::new()));
        let deleted = watch(&["app/a", "--rev=2", "--no-puts", "--count=1"]);
        assert_eq!(deleted, (Some(0), "5\tdelete\tapp/a\n".to_owned(), String::new()));
        client.compact(5).await.expect("compacted");
        let (code, out, said) = watch(&["app/a", "--rev=2"]);
        assert_eq!((code, out.as_str()), (Some(6), ""), "{said}");
        assert!(said.contains("HF1302") && said.contains("the oldest is 5"), "{said}");
        client.close().await;
    });
}
