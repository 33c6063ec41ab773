//! Long commands that are interrupted, and commands under a lock that is lost.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::block_on;
use crate::cluster::{Cluster, PATIENCE};
use crate::script::{holdfast, run};

/// A command that runs, and what it prints.
struct Running {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(endpoint: &str, line: &[&str]) -> Self {
        let mut command = holdfast();
        command.args(line).env("HOLDFAST_ENDPOINTS", endpoint);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the binary that cargo built");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("another line").expect("text")
    }

    /// Sends it a signal; how it ends.
    fn tell(mut self, signal: &str) -> Option<i32> {
        tell(self.process.id(), signal);
        self.end()
    }

    fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tell(process: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill {signal}");
}

fn is_there(process: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-0", &process.to_string()]).stderr(Stdio::null()).status().expect("kill runs").success()
}

#[test]
fn long_commands_end_at_an_interrupt_as_their_page_says() {
    let cluster = Cluster::start(1);
    block_on(cluster.wait(0, "ready", |status| status.ready));
    let endpoint = &cluster.endpoints()[0];
    let start = |line: &[&str]| Running::start(endpoint, line);
    assert_eq!(run(endpoint, &["put", "a", "1"], b"").code, Some(0));
    let lease = run(endpoint, &["lease", "grant", "60s"], b"").text();

    // Their only end is a good one. Each has printed something, so it is in the middle of its work.
    let mut office = start(&["elect", "primary", "me"]);
    office.line();
    for line in [
        &["watch", "a", "--from-rev=2"][..],
        &["watch", "a", "--from-rev=2", "-o", "json"],
        &["status", "--watch"],
        &["status", "--watch", "100ms", "-o", "jsonl"],
        &["audit", "--follow"],
        &["lease", "keep", lease.trim(), "--forever"],
        &["elect", "primary", "--observe"],
        &["lock", "held"],
    ] {
        let mut running = start(line);
        running.line();
        assert_eq!(running.tell("-INT"), Some(0), "{line:?}");
    }
    assert_eq!(office.tell("-TERM"), Some(0));
    // What was held was given up.
    assert_eq!(run(endpoint, &["lock", "held", "--wait", "0", "--", "true"], b"").code, Some(0));
    assert_eq!(run(endpoint, &["elect", "primary", "--show"], b"").code, Some(1));

    // A command under a lock is told, and what it ends with is passed on.
    let mut holder = start(&[
        "lock",
        "jobs",
        "--",
        "sh",
        "-c",
        "trap 'exit 9' INT; trap 'exit 8' TERM; echo; while :; do sleep 0.05; done",
    ]);
    holder.line();
    // Whoever waits is interrupted with nothing held: in the queue, the lock is not taken later.
    assert_eq!(run(endpoint, &["lock", "jobs", "--wait", "0", "--", "true"], b"").code, Some(1));
    let waiter = start(&["lock", "jobs", "--", "echo", "never"]);
    until(|| run(endpoint, &["lock", "jobs", "--show", "-o", "jsonl"], b"").text().lines().count() == 2);
    assert_eq!(waiter.tell("-INT"), Some(130));
    until(|| run(endpoint, &["lock", "jobs", "--show", "-o", "jsonl"], b"").text().lines().count() == 1);
    assert_eq!(holder.tell("-INT"), Some(9));
    let mut holder = start(&["lock", "jobs", "--", "sh", "-c", "echo; exec sleep 60"]);
    holder.line();
    assert_eq!(holder.tell("-TERM"), Some(143));
    // Free at once, and nothing of it is left.
    assert_eq!(run(endpoint, &["lock", "jobs", "--wait", "0", "--", "true"], b"").code, Some(0));
}

/// Waits until it is so.
fn until(is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "it does not become so");
    }
}

/// The command ignores SIGTERM, and its cluster is gone.
#[test]
fn a_command_whose_lock_is_lost_is_dead_when_124_is_said() {
    let mut cluster = Cluster::start(1);
    block_on(cluster.wait(0, "ready", |status| status.ready));
    let endpoint = &cluster.endpoints()[0];
    let stubborn = "trap '' TERM; echo $$; while :; do sleep 0.05; done";
    let polite = "trap 'echo told; exit 3' TERM; echo $$; while :; do sleep 0.05; done";
    let mut running: Vec<Running> = [stubborn, polite]
        .iter()
        .enumerate()
        .map(|(name, script)| {
            let line = ["lock", &name.to_string(), "--ttl=2s", "--timeout=500ms", "--", "sh", "-c", script];
            Running::start(endpoint, &line)
        })
        .collect();
    let children: Vec<u32> =
        running.iter_mut().map(|holder| holder.line().parse().expect("a process")).collect();
    let mut keeper = Running::start(endpoint, &["lock", "bare", "--ttl=2s", "--timeout=500ms"]);
    keeper.line();
    cluster.kill(0);
    for (holder, child) in running.iter_mut().zip(&children) {
        assert_eq!(holder.end(), Some(124));
        assert!(!is_there(*child), "the command goes on without the lock");
    }
    // It was told before it was killed.
    assert_eq!(running[1].line(), "told");
    assert_eq!(keeper.end(), Some(10));
}
