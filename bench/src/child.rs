//! The other processes of a run: this executable again, with a hidden subcommand.
//!
//! A child lives as long as its standard input is open. So it ends with the run, however the run ends: when the
//! parent is killed, the kernel closes the pipe.
//!
//! What they say to one another is lines. The child's first line says that it serves, and at which address; after
//! that it answers each line `stats` with one line of counters, for which [`attend`] is asked, and ends in order at a line
//! `stop`. What else it says is for whoever asks what was heard.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Doing, Failure};
use crate::process::Use;

/// How long a child may take until it serves, or to answer a line.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a child may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// A process of this run. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Its life. `None` only while it is being ended.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts this executable with `arguments`, and waits for its first line, which is returned. `name` is for
    /// people. Its standard error is the one of this process.
    pub(crate) fn start(name: &str, arguments: &[&str], dir: &Path) -> Result<(Self, String), Failure> {
        let doing = || format!("start {name}");
        let executable = std::env::current_exe().doing(doing)?;
        let mut command = Command::new(executable);
        command.args(arguments).arg("--dir").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().doing(doing)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, lines) = channel();
        let stdout = stdout.ok_or_else(|| Failure::new(doing(), "it has no standard output"))?;
        // Ends with the child, whose end closes the pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut process = Self { name: name.to_owned(), child, stdin, lines };
        let line = process.line()?;
        Ok((process, line))
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it has used since it began; `None` if the kernel does not tell.
    pub(crate) fn used(&self) -> Option<Use> {
        Use::of(self.child.id())
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Makes it hang: it does nothing until it is told to [go on](Self::resume), and its connections stay open.
    pub(crate) fn pause(&self) -> Result<(), Failure> {
        self.tell("pause", Signal::STOP)
    }

    /// Makes it go on where it hung.
    pub(crate) fn resume(&self) -> Result<(), Failure> {
        self.tell("resume", Signal::CONT)
    }

    /// It has not been waited for, so that its number is still its own.
    fn tell(&self, what: &str, signal: Signal) -> Result<(), Failure> {
        let doing = || format!("{what} {}", self.name);
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| Failure::new(doing(), "it has no number"))?;
        kill_process(id, signal).doing(doing)
    }

    /// Tells it to end in order, and does not wait.
    pub(crate) fn ask_to_stop(&mut self) -> Result<(), Failure> {
        let doing = || format!("stop {}", self.name);
        let stdin = self.stdin.as_mut().ok_or_else(|| Failure::new(doing(), "it is being ended"))?;
        stdin.write_all(b"stop\n").doing(doing)
    }

    /// Waits for the end of one that was told to; an error if it does not end well, or not in time.
    pub(crate) fn wait(mut self) -> Result<(), Failure> {
        let doing = || format!("stop {}", self.name);
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.child.try_wait().doing(doing)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Failure::new(doing(), format!("it ended ({status})"))),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        Err(Failure::new(doing(), format!("it had not ended after {} s", PATIENCE.as_secs())))
    }

    /// What it has said since this was asked before; nothing that answers a question.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Fails if it has ended.
    pub(crate) fn is_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(Failure::new(format!("go on with {}", self.name), format!("it ended ({status})")))
            }
            Err(error) => Err(Failure::new(format!("look at {}", self.name), error)),
        }
    }

    /// Asks it for its counters.
    pub(crate) fn stats(&mut self) -> Result<Counters, Failure> {
        let doing = format!("ask {} for its counters", self.name);
        let stdin = self.stdin.as_mut().ok_or_else(|| Failure::new(&doing, "it is being ended"))?;
        stdin.write_all(b"stats\n").doing(|| doing.clone())?;
        let line = self.line()?;
        Counters::parse(&line).ok_or_else(|| Failure::new(doing, format!("it answered {line:?}")))
    }

    /// The next line that it says.
    fn line(&mut self) -> Result<String, Failure> {
        self.lines.recv_timeout(PATIENCE).map_err(|error| {
            let why = match error {
                RecvTimeoutError::Timeout => format!("it said nothing for {} s", PATIENCE.as_secs()),
                RecvTimeoutError::Disconnected => match self.child.wait() {
                    Ok(status) => format!("it ended ({status})"),
                    Err(error) => error.to_string(),
                },
            };
            Failure::new(format!("hear from {}", self.name), why)
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        let begin = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if begin.elapsed() > FAREWELL {
                eprintln!("{} does not end: killing process {}", self.name, self.child.id());
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a node counts about itself, since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Calls of `fdatasync`.
    pub(crate) syncs: u64,
}

impl Counters {
    /// The line that a child answers.
    fn line(&self) -> String {
        format!("syncs {}", self.syncs)
    }

    fn parse(line: &str) -> Option<Self> {
        Some(Self { syncs: line.strip_prefix("syncs ")?.parse().ok()? })
    }
}

/// In a child: says `first` (that it serves, and where), and then, in a thread of its own, answers its parent until
/// that is gone. Then the process ends. `stop` is called when the parent wants it to end in order.
pub(crate) fn attend(
    first: &str,
    counters: impl Fn() -> Counters + Send + 'static,
    stop: impl Fn() + Send + 'static,
) -> Result<(), Failure> {
    say(first).doing(|| "tell the parent".to_owned())?;
    thread::spawn(move || {
        for line in io::stdin().lines() {
            let told = match line.as_deref() {
                Ok("stats") => say(&counters().line()),
                Ok("stop") => {
                    stop();
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(_) => break,
            };
            if told.is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    Ok(())
}

/// In a child: tells the parent.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_are_said_are_the_ones_that_are_heard() {
        let counters = Counters { syncs: 12_345 };
        assert_eq!(Counters::parse(&counters.line()), Some(counters));
    }

    #[test]
    fn a_line_that_is_not_counters_is_none() {
        for line in ["", "syncs", "syncs ", "syncs -1", "syncs many", "ready 1"] {
            assert_eq!(Counters::parse(line), None, "{line:?}");
        }
    }
}
