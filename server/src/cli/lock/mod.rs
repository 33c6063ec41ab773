//! `lock` and `elect`: one at a time, while a command runs or until interrupted.

mod child;
mod show;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Client, Kind, Leadership, Lease, LockGuard};
use holdfast_command::Refusal;
use holdfast_command::keys::{Content, Range, Span};
use holdfast_command::query::QueueKind;
use holdfast_machine::Numbered as _;

use super::ask::{Interrupts, Target};
use super::exit::Exit;
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Out};

/// What both have in common.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    target: Target,
    /// After how long without a sign of life it passes to the next
    #[arg(long, default_value = "10s", value_parser = duration)]
    ttl: Duration,
    /// How long to queue up; exits with 1 if it was not long enough, with 0 at once. As long as it takes if not given
    #[arg(long, value_parser = duration)]
    wait: Option<Duration>,
    /// Say who is first and who waits, and do nothing
    #[arg(long, conflicts_with_all = ["wait", "command"])]
    show: bool,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast lock backup --ttl 30s -- ./backup.sh
  holdfast lock backup --wait 0 -- ./backup.sh
  holdfast lock backup --show")]
pub(super) struct Lock {
    #[command(flatten)]
    common: Common,
    /// The name of the lock; with --show, all locks if not given
    #[arg(required_unless_present = "show")]
    name: Option<String>,
    /// Who holds it and what for, for people
    #[arg(long, default_value = "")]
    value: String,
    /// Run this while it is held, with `HOLDFAST_LOCK`, `HOLDFAST_TOKEN`, `HOLDFAST_LEASE` and `HOLDFAST_REVISION` in its
    /// environment, and exit as it does. It is ended if the lock is lost
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast elect primary node-a:5432 -- ./serve.sh
  holdfast elect primary --observe
  holdfast elect primary --show")]
pub(super) struct Elect {
    #[command(flatten)]
    common: Common,
    /// The name of the election; with --show, all elections if not given
    #[arg(required_unless_present = "show")]
    name: Option<String>,
    /// What to proclaim once elected
    #[arg(default_value = "")]
    value: String,
    /// Print who is in office, and again whenever that changes
    #[arg(long, conflicts_with_all = ["show", "wait", "command"])]
    observe: bool,
    /// Run this while in office, with `HOLDFAST_OFFICE`, `HOLDFAST_TOKEN`, `HOLDFAST_LEASE` and `HOLDFAST_REVISION` in its
    /// environment, and exit as it does. It is ended if the office is lost
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// What is held.
enum Held {
    Lock(LockGuard),
    Office(Leadership),
}

impl Held {
    fn token(&self) -> u64 {
        match self {
            Self::Lock(guard) => guard.token(),
            Self::Office(office) => office.token(),
        }
    }

    async fn lost(&self) {
        match self {
            Self::Lock(guard) => guard.lost().await,
            Self::Office(office) => office.lost().await,
        }
    }

    async fn give_up(self) -> Result<(), Failed> {
        match self {
            Self::Lock(guard) => guard.release().await?,
            Self::Office(office) => office.resign().await?,
        }
        Ok(())
    }
}

impl Lock {
    pub(super) fn run(self) -> ExitCode {
        let Self { common, name, value, command } = self;
        common.run(QueueKind::Lock, name.as_deref(), &value, &command)
    }
}

impl Elect {
    pub(super) fn run(self) -> ExitCode {
        let Self { common, name, value, observe, command } = self;
        match name {
            Some(name) if observe => common.target.run_long(None, async |client, out, signals| {
                show::observe(client, out, &name, signals).await
            }),
            name => common.run(QueueKind::Election, name.as_deref(), &value, &command),
        }
    }
}

impl Common {
    fn run(&self, kind: QueueKind, name: Option<&str>, value: &str, command: &[OsString]) -> ExitCode {
        let Some(name) = name.filter(|_| !self.show) else {
            return self.target.run(async |client, out| show::show(client, out, kind, name).await);
        };
        let (done, reachable) = self.target.attempt(None, async |client, out| {
            let mut signals = Interrupts::new(true)?;
            let (held, lease) = self.acquire(client, kind, name, value, &mut signals).await?;
            match command.split_first() {
                None => hold(out, held, &lease, &mut signals).await,
                Some((program, arguments)) => {
                    let environment = environment(client, kind, name, &held, &lease).await;
                    let began =
                        environment.and_then(|environment| child::begin(program, arguments, &environment));
                    let ended = match began {
                        Ok(child) => child::to_its_end(child, &lease, &mut signals).await,
                        Err(failed) => failed,
                    };
                    // What the command has done is done; should this fail, the lease ends by itself.
                    if let (true, Err(error)) = (lease.is_alive(), lease.revoke().await) {
                        eprintln!("holdfast: giving it up: {error}");
                    }
                    drop(held);
                    Err(ended)
                }
            }
        });
        let Err(failed) = done else { return Exit::Done.into() };
        let said = failed.report(self.target.shape.paint(), &self.target.endpoints, reachable.as_deref());
        // Of what the command itself ends with, nothing else may be taken for it.
        let own =
            !matches!(failed, Failed::Ends(_) | Failed::NotThere) && failed.exit() < Exit::HeldLost.number();
        if own && !command.is_empty() { Exit::NotRun.into() } else { said }
    }

    async fn acquire(
        &self,
        client: &Client,
        kind: QueueKind,
        name: &str,
        value: &str,
        signals: &mut Interrupts,
    ) -> Result<(Held, Lease), Failed> {
        let lease = client.lease(self.ttl).await?;
        let (name, value) = (Bytes::from(name.to_owned()), Bytes::from(value.to_owned()));
        let held = tokio::select! {
            held = async {
                match kind {
                    QueueKind::Lock => lease.lock(name, value, self.wait).await.map(Held::Lock),
                    QueueKind::Election => lease.campaign(name, value, self.wait).await.map(Held::Office),
                }
            } => held,
            signal = signals.next() => {
                // The place in the queue goes with it; should this fail, both go by themselves.
                let _ = lease.revoke().await;
                return Err(Failed::interrupted(signal));
            }
        };
        match held {
            Ok(held) => Ok((held, lease)),
            Err(error) => {
                let _ = lease.revoke().await;
                let held = matches!(error.refusal, Some(Refusal::LockHeld { .. }));
                Err(if held || error.kind == Kind::TimedOut { Failed::NotThere } else { error.into() })
            }
        }
    }
}

/// What the command is told: the name, the token, the lease, and a revision at which it was held already.
async fn environment(
    client: &Client,
    kind: QueueKind,
    name: &str,
    held: &Held,
    lease: &Lease,
) -> Result<[(&'static str, OsString); 4], Failed> {
    let now = Range { content: Content::KeysOnly, limit: 1, ..Range::of(Span::all()) };
    let revision = client.range(now).await?.page.revision;
    let variable = match kind {
        QueueKind::Lock => "HOLDFAST_LOCK",
        QueueKind::Election => "HOLDFAST_OFFICE",
    };
    Ok([
        (variable, name.into()),
        ("HOLDFAST_TOKEN", held.token().to_string().into()),
        ("HOLDFAST_LEASE", lease.id().to_string().into()),
        ("HOLDFAST_REVISION", revision.to_string().into()),
    ])
}

/// Holds it until this process is told to end, which is a good end.
async fn hold(out: Out, held: Held, lease: &Lease, signals: &mut Interrupts) -> Result<(), Failed> {
    let fields = [("token", held.token().into()), ("lease", Cell::lease(lease.id()))];
    out.record(held.token(), &fields, "token")?;
    tokio::select! {
        () = held.lost() => {
            let what = match held {
                Held::Lock(_) => "the lock",
                Held::Office(_) => "the office",
            };
            return Err(Failed::lost(format!("{what} was lost: its lease could not be renewed in time")));
        }
        _ = signals.next() => {}
    }
    held.give_up().await?;
    Ok(lease.revoke().await?)
}
