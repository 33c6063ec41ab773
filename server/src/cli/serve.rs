//! `holdfast server`: one node of a cluster.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tracing_subscriber::EnvFilter;

use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::notify::{self, Notifier};
use super::paint::{Color, Paint};
use crate::config::{self, Config, ConfigError, Flags, Reloader};
use crate::logging::{self, UNLIMITED};
use crate::runtime::{self, Stop};
use crate::storage::is_host_and_port;

/// How often it is said how many lines of the log were left out.
const TELL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast server --config /etc/holdfast.toml --config-dir /etc/holdfast.d
  holdfast server --node-id 1 --data-dir data --initial-cluster 1=127.0.0.1:7401
  holdfast config check --config /etc/holdfast.toml       would it start?
  kill -HUP PID                                           read the configuration again")]
pub(super) struct Server {
    #[command(flatten)]
    flags: Flags,
    /// The process that started this one: when it is gone, however it ended, so is this one. For `dev --chaos`
    #[arg(long, hide = true, value_name = "PID")]
    ends_with: Option<u32>,
}

/// Lets the kernel kill this process when the thread that started it is gone; also if this one is suspended then, and hears
/// nothing else.
fn end_with(parent: u32) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have gone before that was said.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != i32::try_from(parent).ok() {
        return Err(std::io::Error::other(format!("process {parent}, which started this one, is gone")));
    }
    Ok(())
}

/// `host:port`, as others dial it.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    if is_host_and_port(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not HOST:PORT")) }
}

pub(super) fn run(server: Server) -> ExitCode {
    if let Some(Err(error)) = server.ends_with.map(end_with) {
        return say(
            Trouble::new(Exit::NotThere, "nobody is left who wanted this node").why(error.to_string())
        );
    }
    let sources = server.flags.sources(&super::command());
    let read = config::load(&sources, std::env::vars_os());
    let (running, mut options) = match read.and_then(|config| Ok((config.options()?, config))) {
        Ok((options, config)) => (config, options),
        Err(wrong) => return refuse(&wrong),
    };
    let log = begin_log(&running);
    let reloader = Reloader { sources, running, live: options.live.clone(), log: log.clone() };
    let (notifier, told) = match notify::start(options.node) {
        Ok(both) => both,
        Err(error) => {
            let trouble = Trouble::new(Exit::NotThere, "cannot tell whoever started this node how far it is");
            return say(trouble.why(error.to_string()));
        }
    };
    options.observer = notifier.observer();
    let stop = Stop::new();
    if let Err(error) = on_signals(stop.clone(), Some((reloader, notifier))) {
        return say(Trouble::new(Exit::NotThere, "cannot listen to signals").why(error.to_string()));
    }
    let ran = runtime::run(options, &stop);
    log.tell_suppressed();
    told.wait();
    match ran {
        Ok(()) => Exit::Done.into(),
        Err(error) => say(ended(&error)),
    }
}

/// Says all that is wrong with a configuration.
pub(super) fn refuse(wrong: &[ConfigError]) -> ExitCode {
    let places = match wrong.len() {
        1 => "the configuration is wrong".to_owned(),
        count => format!("the configuration is wrong in {count} places"),
    };
    let why: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    say(Trouble::new(Exit::Usage, places)
        .why(why.join("\n"))
        .outcome("nothing was started")
        .next("correct it; `holdfast config check` with the same flags says what is left"))
}

/// Says why there is no node, or none any more.
pub(super) fn say(trouble: Trouble) -> ExitCode {
    Failed::from(trouble).report(Paint::new(Color::default()), &[], None)
}

/// What there is to say of a node that ended by itself.
fn ended(error: &runtime::RunError) -> Trouble {
    let exit = exit_of(error);
    let trouble = Trouble::new(exit, "the node cannot go on").why(error.to_string());
    if exit == Exit::Removed {
        return trouble.outcome("it is no member any more").next("delete its directory");
    }
    trouble
        .outcome("what was acknowledged is where it was: keep the directory")
        .next("docs/running.md, \"When a node refuses to start\", has what to do about each")
}

/// Begins to log as the configuration says, and says what it warns of.
fn begin_log(config: &Config) -> logging::Log {
    // Checked when it was read.
    let filter = EnvFilter::new(config.text("log").unwrap_or_default());
    let json = config.text("log_format").is_some_and(|format| format == "json");
    let log = logging::start(filter, json, config.log_rate());
    for warning in &config.warnings {
        tracing::warn!(target: UNLIMITED, "configuration: {warning}");
    }
    for (key, address) in config.exposed() {
        tracing::warn!(
            target: UNLIMITED, key, address,
            "PLAINTEXT: {key} {address} can be reached from other machines; nothing is encrypted, and nothing checks who connects"
        );
    }
    for drill in config.drills() {
        tracing::warn!(target: UNLIMITED, "DRILL: {drill}");
    }
    log
}

/// How a node ends that ended like this.
fn exit_of(error: &runtime::RunError) -> Exit {
    use runtime::RunError as E;
    match error {
        E::Options(_) | E::List(_) | E::NoCluster(_) | E::NoMembers(_) | E::Join(_) | E::Listen { .. } => {
            Exit::Usage
        }
        E::Storage(_)
        | E::Audit(_)
        | E::Formation(_)
        | E::Stopped(_)
        | E::Halted { .. }
        | E::Entry(_)
        | E::Log(_) => Exit::Integrity,
        E::Removed { .. } => Exit::Removed,
        E::System(_) => Exit::NotThere,
    }
}

/// Stops in order at the first interrupt or termination.
pub(super) fn on_signal(stop: Stop) -> std::io::Result<()> {
    on_signals(stop, None)
}

/// The same, and reloads at a hangup if there is what to reload. Returns when it listens to all of them.
fn on_signals(stop: Stop, reloader: Option<(Reloader, Notifier)>) -> std::io::Result<()> {
    let (listening, heard) = mpsc::sync_channel(1);
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let watched =
            runtime.and_then(|runtime| runtime.block_on(watch_signals(&stop, reloader, &listening)));
        // Nobody waits any more if it listened.
        let _ = listening.try_send(watched);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    heard.recv().unwrap_or_else(|_| Err(std::io::Error::other("the thread that listens to signals ended")))
}

async fn watch_signals(
    stop: &Stop,
    mut reloader: Option<(Reloader, Notifier)>,
    listening: &mpsc::SyncSender<std::io::Result<()>>,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Not listened to by what cannot reload: it ends then, as every program whose terminal is gone.
    let mut hangup = reloader.is_some().then(|| signal(SignalKind::hangup())).transpose()?;
    let _ = listening.send(Ok(()));
    let mut tell = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = heard(&mut hangup) => {
                if let Some((reloader, notifier)) = &mut reloader {
                    notifier.reload(|| reloader.reload());
                }
            }
            _ = tell.tick(), if reloader.is_some() => {
                if let Some((reloader, _)) = &reloader {
                    reloader.log.tell_suppressed();
                }
            }
        }
    }
    stop.stop();
    Ok(())
}

/// The next signal; never, if it is not listened to.
async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
