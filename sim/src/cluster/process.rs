//! The process of one node: this program again, with a hidden subcommand that runs the real server.
//!
//! It ends with this process however that ends: the kernel kills it when the thread is gone that started it, and the end of
//! its standard input ends it as well.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "cluster-node";

/// How often a process is looked at that is to end.
const LOOK: Duration = Duration::from_millis(10);

/// What the hidden subcommand does: the command line of the server, with these arguments.
#[must_use]
pub fn serve(arguments: Vec<OsString>) -> ExitCode {
    // Not by the end of standard input alone: a process that is suspended does not read.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = std::thread::Builder::new().name("parent".to_owned()).spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    holdfast_server::cli::run(std::iter::once("holdfast".into()).chain(arguments))
}

/// A process that runs, or has ended by itself. Killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a node with these arguments; what it says goes to the end of `log`.
    pub(super) fn start(arguments: &[String], log: &Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SUBCOMMAND).arg("server").args(arguments).env("HOLDFAST_LOG", "info");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        // An interrupt from the terminal is for this process, which then ends the others.
        command.process_group(0);
        command.spawn().map(Self)
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, signal);
        }
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(super) fn await_end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || begin.elapsed() >= patience {
                return ended;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
