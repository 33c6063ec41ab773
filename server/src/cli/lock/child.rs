//! A command that runs while something is held, and is ended before that can pass to somebody else.
//!
//! This side believes in a lease for nine tenths of its time from the last renewal that it sent; the cluster ends it no earlier than
//! after all of it. So a command that gets SIGTERM at eight tenths and SIGKILL at nine is dead before another one can begin, as long
//! as the clocks run alike and this process is not suspended. Where they do not, only the fencing token protects.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use holdfast_client::Lease;
use holdfast_machine::Numbered as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::cli::ask::Interrupts;
use crate::cli::exit::{Exit, SIGNAL};
use crate::cli::failed::{Failed, Trouble};

/// How long a command may take to end after this process was told to end, while it still holds what it holds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command does not run on.
enum End {
    /// It has ended.
    Itself(std::io::Result<ExitStatus>),
    /// What it runs under is about to be lost.
    Losing,
    /// This process was told to end.
    Told(u8),
}

/// Begins the command, with these in its environment.
pub(super) fn begin(
    program: &OsString,
    arguments: &[OsString],
    environment: &[(&str, OsString)],
) -> Result<Child, Failed> {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    command.spawn().map_err(|error| {
        let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::NotExecutable };
        let what = format!("cannot run {}", program.display());
        Trouble::new(exit, what).why(error.to_string()).outcome("the command did not run").into()
    })
}

/// Waits for the end of the command, or ends it. Always fails, with what this process is to end with.
pub(super) async fn to_its_end(mut child: Child, lease: &Lease, signals: &mut Interrupts) -> Failed {
    // A tenth of the time to live, which is a ninth of what this side believes in.
    let grace = lease.ttl() / 10;
    let end = tokio::select! {
        biased;
        status = child.wait() => End::Itself(status),
        () = nearly_lost(lease, grace) => End::Losing,
        signal = signals.next() => End::Told(signal),
    };
    match end {
        End::Itself(status) => of_status(status),
        End::Losing => {
            tell(&child, Signal::TERM);
            if let Err(error) = end_by(&mut child, lease.lost()).await {
                return of_status(Err(error));
            }
            Trouble::new(Exit::HeldLost, "what the command ran under was lost, and it was ended")
                .why("its lease could not be renewed in time")
                .outcome("UNKNOWN: what the command had done by then is done")
                .next("holdfast status; then run it again")
                .into()
        }
        End::Told(signal) => {
            // Whoever sits at a terminal and interrupts has told the command as well.
            let told = i32::from(signal) == Signal::INT.as_raw() && std::io::stdin().is_terminal();
            if let (false, Some(signal)) = (told, Signal::from_named_raw(signal.into())) {
                tell(&child, signal);
            }
            let late = async {
                tokio::select! {
                    () = tokio::time::sleep(PATIENCE) => {}
                    () = lease.lost() => {}
                }
            };
            of_status(end_by(&mut child, late).await)
        }
    }
}

/// Waits for the command, and kills it when `late` is over.
async fn end_by(child: &mut Child, late: impl Future<Output = ()>) -> std::io::Result<ExitStatus> {
    tokio::select! {
        biased;
        status = child.wait() => return status,
        () = late => {}
    }
    child.kill().await?;
    child.wait().await
}

/// Sends the command a signal, if it still runs.
fn tell(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may be gone by now, and then there is nothing to tell.
        let _ = kill_process(pid, signal);
    }
}

/// Returns when a lease that is not renewed is lost so soon.
async fn nearly_lost(lease: &Lease, grace: Duration) {
    while let Some(at) = lease.until().and_then(|until| until.checked_sub(grace)) {
        if Instant::now() >= at {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = lease.lost() => return,
        }
    }
}

/// The exit code of the command, as a shell gives it.
fn of_status(status: std::io::Result<ExitStatus>) -> Failed {
    let code = match status {
        Err(error) => {
            let what = "cannot wait for the command";
            let outcome = "UNKNOWN: it may still run";
            return Trouble::new(Exit::HeldLost, what).why(error.to_string()).outcome(outcome).into();
        }
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => u8::try_from(code).ok(),
            (None, Some(signal)) => u8::try_from(signal).ok().and_then(|signal| SIGNAL.checked_add(signal)),
            (None, None) => None,
        },
    };
    Failed::Ends(code.unwrap_or(Exit::NotThere.number()))
}
