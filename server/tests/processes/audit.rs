//! The audit log of real processes: what a kill leaves of it, what every node says of the same commands, and what the command
//! line makes of that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;
use std::rc::Rc;

use bytes::Bytes;
use holdfast_client::Client;
use holdfast_client::command::AuditRecord;
use holdfast_client::command::query::{AuditPage, AuditQuery};

use crate::cluster::{Cluster, PATIENCE};
use crate::snapshots::short_ranges;
use crate::{CLIENTS, Known, Ledger, PROGRESS, Rng, block_on, number, progress, write};

/// All records of a node, and the last page, once it has come so far.
async fn records(endpoint: &str, through: u64) -> (Vec<Bytes>, AuditPage) {
    let client = Client::builder([endpoint]).timeout(PATIENCE).wait_for_cluster(true);
    let client = client.build().expect("a client");
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let (mut query, mut all) = (AuditQuery { limit: 100, ..AuditQuery::default() }, Vec::new());
        let last = loop {
            let page = client.audit_at(endpoint, query.clone()).await.expect("it answers");
            all.extend(page.records.iter().cloned());
            if page.next == 0 {
                break page;
            }
            query.from = page.next;
        };
        if last.through >= through {
            client.close().await;
            return (all, last);
        }
        assert!(std::time::Instant::now() < until, "{endpoint} stays behind: {} of {through}", last.through);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn index(record: &Bytes) -> u64 {
    AuditRecord::decode(record.clone()).expect("a record").index
}

#[test]
fn every_node_has_the_same_record_of_every_write_and_no_other_after_kills_under_load() {
    let seed = number("HOLDFAST_SEED", u64::from(std::process::id()));
    println!("HOLDFAST_SEED={seed}");
    block_on(async {
        // A start goes on from a snapshot, so that what a kill has taken is made again from the log behind it or from nothing.
        // The others' logs reach back far enough that nobody is given a state instead.
        let mut cluster = Cluster::start_with(3, &["--snapshot-entries=25"]);
        short_ranges(&cluster).await;
        let mut rng = Rng(seed);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::task::spawn_local(write(cluster.endpoints(), number, Rc::clone(&ledger))))
            .collect();
        for round in 0..4 {
            progress(&ledger, PROGRESS).await;
            let victim = rng.below(3) as usize;
            let victims = if round == 2 { vec![0, 1, 2] } else { vec![victim] };
            for victim in &victims {
                cluster.kill(*victim);
            }
            for victim in &victims {
                cluster.run(*victim);
            }
        }
        progress(&ledger, PROGRESS).await;
        ledger.borrow_mut().stop = true;
        for writer in writers {
            writer.await.expect("no writer panics");
        }
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let (_, last) = client.put("w/last", "w/last").await.expect("the cluster serves");
        client.close().await;
        let last: u64 = last.to_string().rsplit('.').next().expect("an index").parse().expect("a number");

        let mut copies = Vec::new();
        for (at, endpoint) in cluster.endpoints().into_iter().enumerate() {
            cluster.wait(at, "ready", |status| status.ready).await;
            copies.push(records(&endpoint, last).await);
        }
        let upto = copies.iter().map(|(_, page)| page.through).min().expect("three");
        for (at, (records, page)) in copies.iter().enumerate() {
            assert_eq!((page.complete_from, &page.missing[..]), (1, &[][..]), "node {}", at + 1);
            assert!(records.is_sorted_by(|one, next| index(one) < index(next)), "each index once, ascending");
            let common = |records: &[Bytes]| -> Vec<Bytes> {
                records.iter().filter(|record| index(record) <= upto).cloned().collect()
            };
            assert!(common(records) == common(&copies[0].0), "node {} says something else", at + 1);
            // Every key was written once.
            let touched = records.iter().flat_map(|record| {
                AuditRecord::decode(record.clone()).expect("a record").touched.into_iter()
            });
            let mut counts = BTreeMap::new();
            for touched in touched {
                *counts.entry(touched.name).or_insert(0) += 1;
            }
            for (key, known) in &ledger.borrow().writes {
                let count = counts.get(key.as_bytes()).copied().unwrap_or(0);
                let wanted = match known {
                    Known::Acknowledged => 1..=1,
                    Known::Unknown => 0..=1,
                    Known::NotApplied => 0..=0,
                };
                assert!(wanted.contains(&count), "node {}: {key}, {known:?}: {count} records", at + 1);
            }
        }
        println!("records={} through={upto} gaps=0 twice=0 equal=3", copies[0].0.len());
    });
}

/// Runs `holdfast audit …`: its exit code, standard output and standard error.
fn audit(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.arg("audit").args(arguments).output().expect("the binary that cargo built");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_audit_log_on_the_command_line_says_who_did_what_and_how_far_it_can_be_relied_on() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let endpoint = cluster.endpoints()[0].clone();
        let put = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
            let status = command.arg("put").args(arguments).args(["--endpoints", &endpoint]).status();
            assert!(status.expect("the binary that cargo built").success());
        };
        put(&["app/a", "1", "--reason", "a \"first\" one"]);
        put(&["other", "1"]);
        put(&["app/a", "2"]);
        let (code, out, err) = audit(&["--endpoints", &endpoint, "--prefix", "app/"]);
        assert_eq!(code, Some(0), "{err}");
        let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert_eq!(lines[1][5..], ["Put", "app/a(0)", "Put", "a \"first\" one"], "{out}");
        assert_eq!(lines[2][5..], ["Put", "app/a(2)", "Put", ""], "{out}");
        assert!(lines[1][4].starts_with("-@127.0.0.1:"), "{out}");
        assert!(err.contains("complete from index 1 through "), "{err}");

        // From one node, from the second of them on, for a program.
        let from = lines[2][1];
        let one_node = ["--node", &endpoint, "--endpoints", &endpoint, "--prefix", "app/"];
        let (code, out, _) = audit(&[&one_node[..], &["--json", "--from", from]].concat());
        assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
        assert!(out.starts_with("{\"time\":\"20") && out.contains("\"before\":2,\"gone\":false}]"), "{out}");
        let (_, out, _) = audit(&["--endpoints", &endpoint, "--json", "--limit", "2", "--prefix", "app/"]);
        assert!(out.contains("\"reason\":\"a \\\"first\\\" one\""), "{out}");
        let (code, out, _) = audit(&["--endpoints", &endpoint, "--json", "--until", "2020-01-01"]);
        assert_eq!((code, &*out), (Some(0), ""));
        let (code, ..) = audit(&["--endpoints", &endpoint, "--since", "whenever"]);
        assert_eq!(code, Some(2));
    });
}
