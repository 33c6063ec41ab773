//! A process that writes a log, says what it submits and what is durable, and does not know when it will die.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use holdfast_handoff::park::parker;
use holdfast_handoff::watermark::Wait;
use holdfast_wal::disk::RealDisk;
use holdfast_wal::thread::{Settings, Why, start};
use holdfast_wal::{AsDesigned, Identity, Log, Op, OpenError, Options};

use crate::model::{GROUP, Step};

/// The smallest that still hold a few batches: there are many rotations.
const SEGMENT: u64 = 64 * 1024;
/// Tickets that are out at most.
const OUTSTANDING: u64 = 8;

const DIRECTORY: &str = "HOLDFAST_TEST_WRITER_DIRECTORY";
const SEED: &str = "HOLDFAST_TEST_WRITER_SEED";

pub(crate) fn options(salt_seed: u64) -> Options {
    let identity = Identity { cluster: [1; 16], node: [2; 16] };
    Options { segment_bytes: SEGMENT, ..Options::new(identity, salt_seed) }
}

/// Numbers without pattern (splitmix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % limit
    }
}

/// The other process. It is killed when this is dropped.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    pub(crate) told: Told,
}

/// What the other process said.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) steps: Vec<Step>,
    /// For each ticket, how many steps there were with it.
    tickets: Vec<usize>,
    /// How many steps are reported durable.
    pub(crate) durable: usize,
    pub(crate) ready: bool,
}

impl Told {
    fn hear(&mut self, line: &str) {
        if let Some(step) = line.strip_prefix("+ ").and_then(Step::read) {
            self.steps.push(step);
        } else if line == "submit" {
            self.tickets.push(self.steps.len());
        } else if let Some(ticket) =
            line.strip_prefix("durable ").and_then(|ticket| ticket.parse::<usize>().ok())
        {
            self.durable = self.tickets[ticket - 1];
        } else if line == "ready" {
            self.ready = true;
        }
    }
}

impl Writer {
    /// Starts this test program again, as the test `writer` and nothing else.
    pub(crate) fn start(directory: &Path, seed: u64) -> Self {
        let program = env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, told: Told::default() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Hears the next line. Says whether there was one; one that was cut off is none.
    pub(crate) fn hear(&mut self) -> bool {
        let mut line = String::new();
        // What is no text can only be a line that was cut off.
        let complete = self.lines.read_line(&mut line).is_ok() && line.ends_with('\n');
        if complete {
            self.told.hear(line.trim_end());
        }
        complete
    }

    /// Kills it, without a chance to do anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Hears all that it said before its end.
    pub(crate) fn end(mut self) -> (Told, ExitStatus) {
        while self.hear() {}
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.told), status)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does, if this is it.
pub(crate) fn write_until_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let seed: u64 = env::var(SEED).unwrap().parse().unwrap();
    let mut draw = Draw(seed);
    let disk = RealDisk::create(&directory).unwrap();
    let log: Log<RealDisk, AsDesigned> = match Log::open(disk.clone(), options(seed)) {
        Ok((log, _)) => log,
        Err(OpenError::NoLog { .. }) => Log::create(disk, options(seed)).unwrap(),
        Err(error) => panic!("{error}"),
    };
    let (mut trimmed, mut last, last_term) =
        log.bounds(GROUP).map_or((0, 0, 0), |bounds| (bounds.first - 1, bounds.last, bounds.last_term));
    let mut term = log.hard_state(GROUP).term.max(last_term).max(1);
    let (mut parker, waker) = parker();
    let (mut handle, mut waiter, _running) = start(log, Settings::default(), waker).unwrap();
    let mut out = stdout();
    let mut say = |line: &str| out.write_all(format!("{line}\n").as_bytes()).unwrap();
    // On a line of its own: the test harness has begun one.
    say("\nready");
    let mut told = 0;
    loop {
        let mut steps = Vec::new();
        for _ in 0..=draw.below(6) {
            let step = match draw.below(30) {
                0 => {
                    term += 1;
                    Step::Vote { term, vote: draw.below(5) }
                }
                1 if last > trimmed + 20 => {
                    trimmed = last - draw.below(20);
                    Step::Trim { first: trimmed + 1 }
                }
                2 if last > trimmed => {
                    // Another leader: what it has supersedes the last few.
                    (term, last) = (term + 1, last - draw.below((last - trimmed).min(5)));
                    Step::Entry { index: last, term, bytes: draw.below(200) as usize }
                }
                kind => {
                    last += 1;
                    let most = if kind == 3 { 10_000 } else { 600 };
                    Step::Entry { index: last, term, bytes: draw.below(most) as usize }
                }
            };
            steps.push(step);
        }
        for step in &steps {
            say(&format!("+ {step}"));
        }
        say("submit");
        let mut ops: Vec<Op> = steps.into_iter().map(Step::op).collect();
        loop {
            match handle.submit(ops) {
                Ok(_) => break,
                Err(refused) if matches!(refused.why, Why::Preparing | Why::NoSpace { .. }) => {
                    ops = refused.ops;
                    parker.park();
                }
                Err(refused) => panic!("{refused}"),
            }
        }
        let want = (handle.last().0 + 1).saturating_sub(OUTSTANDING);
        loop {
            match waiter.wait_for(want) {
                Wait::Reached(upto) => {
                    if upto > told {
                        told = upto;
                        say(&format!("durable {told}"));
                    }
                    break;
                }
                Wait::Pending => parker.park(),
                // The failure is being reported, which ends the process.
                Wait::Closed(_) => return,
            }
        }
    }
}
