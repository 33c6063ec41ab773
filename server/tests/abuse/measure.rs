//! Seeds, sizes, memory, and how evenly this machine runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A number from the environment.
pub(crate) fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How long something runs: `SECONDS`, or else this many milliseconds.
pub(crate) fn run_for(default_ms: u64) -> Duration {
    from_env("SECONDS").map_or(Duration::from_millis(default_ms), Duration::from_secs)
}

/// Numbers that look random and are the same for the same seed: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From `SEED`, or from this; printed, so that a run can be repeated.
    pub(crate) fn seeded(title: &str, default: u64) -> Self {
        let seed = from_env("SEED").unwrap_or(default);
        println!("{title}: SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Runs the test of this name in a process of its own, as other tests of this program would be measured with it.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "HOLDFAST_ABUSE_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let program = std::env::current_exe().expect("the program of these tests");
    let mut child = std::process::Command::new(program);
    let output =
        child.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("it starts once more");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let ran = output.status.success() && said.contains("1 passed");
    assert!(ran, "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

/// Resident memory of this process in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The most file descriptors that this process may have open.
pub(crate) fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).expect("a number")
}

/// Notes for how long this machine did not let a thread run that had nothing to do but to look at the clock. What is
/// claimed at the default timeouts of 300 ms cannot be judged on a machine that stands still for as long.
#[derive(Debug)]
pub(crate) struct Stalls {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Duration>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let look = move || {
            let (mut before, mut longest) = (Instant::now(), Duration::ZERO);
            while !theirs.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                longest = longest.max(before.elapsed());
                before = Instant::now();
            }
            longest
        };
        let thread = thread::Builder::new().name("abuse::stalls".to_owned()).spawn(look).expect("a thread");
        Self { stop, thread }
    }

    /// The longest that it had to wait.
    pub(crate) fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only looks at the clock")
    }
}
