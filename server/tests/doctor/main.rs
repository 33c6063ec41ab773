//! `holdfast doctor` against real nodes: each ailment is planted, and has to be named, with the node that has it and the exit code.
//! What cannot be planted without a sick disk, a wrong clock or another build is tried out on figures alone, in the server's own
//! tests. Needs real time, as all tests with processes: it waits for what is to happen, and fails only when that takes too long.
//!
//! How fast the disk and the network of the machine are is not what is tested: thresholds of time are passed in.

#[path = "../processes/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod cluster;
mod offline;
mod online;
#[path = "../cli/script.rs"]
#[allow(dead_code, reason = "the tests of the command line use the rest of it")]
mod script;

use std::time::{Duration, Instant};

use cluster::{Cluster, PATIENCE};
use script::run;
use serde_json::Value;

/// What depends on the machine that the tests run on is judged leniently, and its kind of file system not at all.
pub(crate) const LENIENT: [&str; 12] = [
    "--sync-p99=1m",
    "--round-trip=1m",
    "--clock-offset=1m",
    "--free-space=0",
    "--open-files=1",
    "--memory=100",
    "--except=file-system",
    "--except=inodes",
    // What it reads in /proc may be hidden from it in a container.
    "--except=examined",
    // A thread may wait for the disk of a busy machine for longer than two election timeouts.
    "--except=disk-answers",
    "--timeout=20s",
    "-ojson",
];

/// What `doctor` said of a cluster or a directory.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) document: Value,
}

impl Said {
    /// Whether it named this check as this bad, about this node or, for 0, about no node.
    pub(crate) fn has(&self, severity: &str, check: &str, node: u64) -> bool {
        let node = if node == 0 { Value::Null } else { node.into() };
        self.findings().iter().any(|found| {
            (&found["severity"], &found["check"], &found["node"]) == (&severity.into(), &check.into(), &node)
        })
    }

    pub(crate) fn findings(&self) -> &[Value] {
        self.document["findings"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The checks that are not well, with their nodes.
    pub(crate) fn wrong(&self) -> Vec<(String, u64)> {
        let wrong = self.findings().iter().filter(|found| found["severity"] != "ok");
        let each = wrong.map(|found| {
            assert!(found["next"].as_str().is_some_and(|next| !next.is_empty()), "{found}");
            (found["check"].as_str().expect("a name").to_owned(), found["node"].as_u64().unwrap_or(0))
        });
        each.collect()
    }

    /// What was said of a check about a node.
    pub(crate) fn what(&self, check: &str, node: u64) -> &str {
        let node = if node == 0 { Value::Null } else { node.into() };
        let found = self.findings().iter().find(|found| found["check"] == check && found["node"] == node);
        found.and_then(|found| found["what"].as_str()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn is(&self, code: i32, wrong: &[(&str, u64)]) {
        let wanted: Vec<(String, u64)> =
            wrong.iter().map(|(check, node)| ((*check).to_owned(), *node)).collect();
        assert_eq!((self.code, self.wrong()), (Some(code), wanted), "{:#}", self.document);
        assert_eq!(self.document["ok"], code == 0, "{:#}", self.document);
    }
}

/// Runs it, leniently but for these arguments, which come last and so count.
pub(crate) fn doctor(endpoints: &[String], arguments: &[&str]) -> Said {
    let mut all = vec!["doctor"];
    // The last one of an option counts nowhere: those that are given replace the lenient ones.
    let name = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
    let given: Vec<String> = arguments.iter().map(|argument| name(argument)).collect();
    all.extend(
        LENIENT.into_iter().filter(|lenient| name(lenient) == "--except" || !given.contains(&name(lenient))),
    );
    all.extend(arguments);
    let ended = run(&endpoints.join(","), &all, b"");
    let document = serde_json::from_slice(&ended.out).unwrap_or_else(|error| {
        panic!("{error}: {all:?} printed {:?} and said {}", ended.text(), ended.said);
    });
    Said { code: ended.code, document }
}

/// Runs it until it says what is wanted: on a machine that is busy elsewhere a leader may be lost at any moment, and for that moment
/// it is right to say so.
#[track_caller]
pub(crate) fn until(endpoints: &[String], arguments: &[&str], wanted: impl Fn(&Said) -> bool) -> Said {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = doctor(endpoints, arguments);
        if wanted(&said) {
            return said;
        }
        assert!(Instant::now() < end, "{:?}: {:#}", said.code, said.document);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The same: until it ends with this code, and exactly this is wrong.
#[track_caller]
pub(crate) fn settles(endpoints: &[String], arguments: &[&str], code: i32, wrong: &[(&str, u64)]) -> Said {
    let said = until(endpoints, arguments, |said| {
        let found = said.wrong();
        let found = found.iter().map(|(check, node)| (&**check, *node));
        said.code == Some(code) && found.eq(wrong.iter().copied())
    });
    said.is(code, wrong);
    said
}

/// Waits until all of these nodes serve, and each is connected to all of them.
pub(crate) async fn all_serve(cluster: &Cluster, nodes: &[usize]) {
    for at in nodes {
        cluster
            .wait(*at, "connected to the others", |status| {
                let there = |at: &usize| {
                    let id = *at as u64 + 1;
                    status.members.iter().any(|member| member.node.get() == id && member.connected)
                };
                status.ready && nodes.iter().all(there)
            })
            .await;
    }
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}
