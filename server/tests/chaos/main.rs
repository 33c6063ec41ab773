//! `holdfast dev --chaos`: real nodes in processes of their own, driven by a script on standard input as by somebody who types.
//! Needs real time: it waits for what is to happen, and fails only when that takes longer than [`PATIENCE`].

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take before the test fails: real processes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ports of a cluster: three nodes, ten ports apart.
const PORTS: u16 = 30;

/// A prompt, and what it prints. Killed when it is dropped.
struct Prompt {
    root: TempDir,
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it has printed so far.
    printed: Vec<String>,
}

/// Where ports are looked for: below those that systems give to outgoing connections, of which the tests beside this have many.
const BASES: std::ops::Range<u16> = 12_000..30_000;

/// A port that is free now, as those behind it are that nodes will listen on. Drawn anew each time, so that tests side by side
/// seldom choose the same.
fn port_base() -> u16 {
    loop {
        let drawn = RandomState::new().build_hasher().finish() % u64::from(BASES.end - BASES.start - PORTS);
        let base = BASES.start + drawn as u16;
        if (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}

impl Prompt {
    /// Begins, and waits until the nodes serve. A port that was free may be somebody's when it is listened on: then others are
    /// chosen.
    fn start() -> Self {
        (0..20).find_map(|_| Self::try_start()).expect("free ports")
    }

    fn try_start() -> Option<Self> {
        let root = tempfile::tempdir().expect("a directory");
        let base = port_base().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(["dev", "--chaos", "--port-base", &base, "--data-dir"]).arg(root.path());
        // A variable that would make another node of each of them.
        command.env_clear().env("HOLDFAST_NODE_ID", "7");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the binary that cargo built");
        let (stdout, (sender, lines)) = (process.stdout.take().expect("piped"), channel());
        std::thread::spawn(move || {
            // Until nobody reads any more.
            BufReader::new(stdout).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let input = process.stdin.take();
        let mut prompt = Self { root, process, input, lines, printed: Vec::new() };
        prompt.read_until("`help` shows what can be done").then_some(prompt)
    }

    /// Reads until a line has this in it; false if the output ends before.
    fn read_until(&mut self, part: &str) -> bool {
        while let Some(line) = self.next() {
            let found = line.contains(part);
            self.printed.push(line);
            if found {
                return true;
            }
        }
        false
    }

    /// The next line; none at the end.
    fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it prints nothing more: {}", self.text()),
        }
    }

    fn type_in(&mut self, lines: &str) {
        self.input.as_mut().expect("not closed").write_all(lines.as_bytes()).expect("it reads");
    }

    /// Waits for its end, with all that it prints until then.
    fn end(&mut self) -> ExitStatus {
        while let Some(line) = self.next() {
            self.printed.push(line);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn text(&self) -> String {
        self.printed.join("\n")
    }

    /// The numbers of the processes of nodes that have their files in its directory.
    fn nodes(&self) -> Vec<String> {
        let root = self.root.path().display().to_string();
        let is_ours = |process: &std::fs::DirEntry| {
            let mut arguments = Vec::new();
            // It may be gone by now.
            let read = std::fs::File::open(process.path().join("cmdline"))
                .and_then(|mut file| file.read_to_end(&mut arguments));
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            read.is_ok() && arguments.contains("\0server\0") && arguments.contains(&root)
        };
        let processes = std::fs::read_dir("/proc").expect("a list of processes");
        let ours = processes.map_while(Result::ok).filter(is_ours);
        ours.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
    }

    fn wait_until_no_node_is_left(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.nodes().is_empty() {
            assert!(Instant::now() < until, "{:?} are left", self.nodes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // There are none, unless a test fails.
        for node in self.nodes() {
            let _ = Command::new("kill").args(["-KILL", &node]).status();
        }
    }
}

/// The terms of all elections that were won, in their order.
fn elections(printed: &[String]) -> Vec<u64> {
    let won = printed.iter().filter(|line| line.contains("02 raft-role") && line.contains("T9  WinElection"));
    let term = |line: &String| {
        assert!(line.contains("Candidate → Leader"), "{line}");
        line.rsplit("term ").next().and_then(|term| term.parse().ok())
    };
    won.map(|line| term(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

const SCRIPT: &str = "\
# What a learner may try.
status
load on
put a 1
kill leader
wait leader
put b 2
kill ledaer
start
wait ready
cut leader
wait leader
put c 3
heal
wait ready
slow 1 200ms
slow 1 11s
pause follower
put d 4
get a
get b
get c
get d
load off
status
quit
";

#[test]
fn a_leader_that_is_killed_or_cut_off_is_followed_by_one_of_a_later_term_and_nothing_acknowledged_is_lost() {
    let mut prompt = Prompt::start();
    assert_eq!(prompt.nodes().len(), 3, "each node is a process");
    prompt.type_in(SCRIPT);
    let status = prompt.end();
    let text = prompt.text();
    assert!(status.success(), "{status}: {text}");
    let terms = elections(&prompt.printed);
    assert!(terms.len() >= 3 && terms.is_sorted_by(|one, other| one < other), "{terms:?}: {text}");
    for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        assert!(text.contains(&format!("put {key}: acknowledged")), "{key}: {text}");
        assert!(text.contains(&format!("get {key}: {value} (revision")), "{key}: {text}");
    }
    for said in [
        "was killed, and took writes after",
        "was cut off, and took writes after",
        "\"ledaer\" is no node: 1, n1, leader or follower; did you mean leader?",
        "each sync of the log of n1 takes 200ms longer",
        "\"11s\": expected a duration from 0 to 10s",
        "slower by 200ms",
        "14 node-life-cycle   T6  LoseLeader           Ready → Joining",
        "15 leadership        T2  Establish            Establishing → Established  term ",
        "  suspended",
        "the longest time without an acknowledgement was ",
        "> quit",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("waited for long enough"), "{text}");
    assert_eq!(prompt.nodes().len(), 0, "the nodes end before the prompt does");
}

#[test]
fn no_node_outlives_the_prompt_though_that_is_killed_and_a_node_is_suspended() {
    let mut prompt = Prompt::start();
    prompt.type_in("pause 1\n");
    assert!(prompt.read_until("n1 was suspended"), "{}", prompt.text());
    assert_eq!(prompt.nodes().len(), 3);
    prompt.process.kill().expect("it is ours");
    prompt.wait_until_no_node_is_left();
}

#[test]
fn at_a_signal_and_at_the_end_of_its_input_the_prompt_stops_the_nodes_and_ends_with_0() {
    let mut prompt = Prompt::start();
    let id = prompt.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill is there").success());
    assert!(prompt.end().success(), "{}", prompt.text());
    assert_eq!(prompt.nodes().len(), 0);

    let mut prompt = Prompt::start();
    prompt.type_in("put a 1\n");
    drop(prompt.input.take());
    assert!(prompt.end().success(), "{}", prompt.text());
    assert!(
        prompt.text().contains("put a: acknowledged"),
        "what was typed before the end is done: {}",
        prompt.text()
    );
    assert_eq!(prompt.nodes().len(), 0);
}
