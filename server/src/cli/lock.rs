//! `lock` and `elect`: one at a time, while a command runs or until interrupted.

use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Client, Kind, Leadership, Lease, LockGuard, ReadOptions};
use holdfast_command::Refusal;
use holdfast_command::query::{Answer, PlaceInfo, Query, QueueKind, When};

use super::ask::{Failed, Target, duration, say, shown};

/// What both have in common.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    target: Target,
    /// After how long without a sign of life it passes to the next, in seconds
    #[arg(long, default_value = "10", value_parser = duration)]
    ttl: Duration,
    /// How long to queue up, in seconds; 0 exits with 1 at once if somebody else is first. As long as it takes if not given
    #[arg(long, value_parser = duration)]
    wait: Option<Duration>,
    /// Say who is first and who waits, and do nothing
    #[arg(long, conflicts_with_all = ["wait", "command"])]
    show: bool,
}

#[derive(Debug, Args)]
pub(super) struct Lock {
    #[command(flatten)]
    common: Common,
    /// The name of the lock; with --show, all locks if not given
    #[arg(required_unless_present = "show")]
    name: Option<String>,
    /// Who holds it and what for, for people
    #[arg(long, default_value = "")]
    value: String,
    /// Run this while it is held, with `HOLDFAST_TOKEN` and `HOLDFAST_LEASE` in its environment, and exit as it does. It is
    /// killed if the lock is lost
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
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
    /// Run this while it is held, with `HOLDFAST_TOKEN` and `HOLDFAST_LEASE` in its environment, and exit as it does. It is
    /// killed if the office is lost
    #[arg(last = true)]
    command: Vec<String>,
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
            Some(name) if observe => common.target.run(async |client| {
                let mut observer = client.observe(name.clone().into_bytes());
                loop {
                    let next = tokio::select! {
                        next = observer.next() => next?,
                        _ = tokio::signal::ctrl_c() => return Ok(()),
                    };
                    match next {
                        Some(office) => {
                            say(format_args!(
                                "{}\t{}\t{}",
                                office.token,
                                office.lease,
                                shown(&office.value)
                            ))?;
                        }
                        None => say("nobody")?,
                    }
                }
            }),
            name => common.run(QueueKind::Election, name.as_deref(), &value, &command),
        }
    }
}

impl Common {
    fn run(&self, kind: QueueKind, name: Option<&str>, value: &str, command: &[String]) -> ExitCode {
        let mut status = None;
        let code = self.target.run(async |client| match name {
            Some(name) if !self.show => {
                let held = self.acquire(client, kind, name, value).await?;
                status = hold(held.0, &held.1, kind, command).await?;
                Ok(())
            }
            name => show(client, kind, name).await,
        });
        match status {
            Some(status) if code == ExitCode::SUCCESS => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .map_or(ExitCode::FAILURE, ExitCode::from),
            Some(_) | None => code,
        }
    }

    async fn acquire(
        &self,
        client: &Client,
        kind: QueueKind,
        name: &str,
        value: &str,
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
            () = interrupted() => {
                lease.revoke().await?;
                return Err(Failed::NotThere);
            }
        };
        match held {
            Ok(held) => Ok((held, lease)),
            Err(error) => {
                // The place in the queue goes with it; should this fail, both go by themselves.
                let _ = lease.revoke().await;
                let held = matches!(error.refusal, Some(Refusal::LockHeld { .. }));
                Err(if held || error.kind == Kind::TimedOut { Failed::NotThere } else { error.into() })
            }
        }
    }
}

/// Runs the command, or waits to be interrupted.
async fn hold(
    held: Held,
    lease: &Lease,
    kind: QueueKind,
    command: &[String],
) -> Result<Option<ExitStatus>, Failed> {
    let lost = || {
        let what = match kind {
            QueueKind::Lock => "the lock",
            QueueKind::Election => "the office",
        };
        Failed::Lost(format!("{what} was lost: its lease could not be renewed in time"))
    };
    let Some((program, arguments)) = command.split_first() else {
        say(held.token())?;
        tokio::select! {
            () = held.lost() => return Err(lost()),
            () = interrupted() => {}
        }
        held.give_up().await?;
        lease.revoke().await?;
        return Ok(None);
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("HOLDFAST_TOKEN", held.token().to_string())
        .env("HOLDFAST_LEASE", lease.id().to_string())
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::select! {
        status = child.wait() => status?,
        () = held.lost() => {
            child.kill().await?;
            return Err(lost());
        }
        // Whoever ends this process means the command, and the next in the queue must not begin beside it.
        () = interrupted() => {
            child.kill().await?;
            child.wait().await?
        }
    };
    // What the command has done is done; should this fail, the lease ends by itself.
    if let Err(error) = lease.revoke().await {
        eprintln!("holdfast: giving it up: {error}");
    }
    drop(held);
    Ok(Some(status))
}

/// Until this process is told to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Who is first and who waits; exits with 1 if nobody is.
async fn show(client: &Client, kind: QueueKind, name: Option<&str>) -> Result<(), Failed> {
    let Some(name) = name else { return list(client, kind).await };
    let query = Query::Queue { kind, name: Bytes::from(name.to_owned()), when: When::Now };
    let (answer, _) = client.query(query, ReadOptions::default()).await?;
    let Answer::Queue(queue) = answer else { return Ok(()) };
    let Some(holder) = queue.holder else { return Err(Failed::NotThere) };
    say("place\ttoken\tlease\tvalue")?;
    for (place, PlaceInfo { lease, token, value, .. }) in
        std::iter::once(&holder).chain(&queue.places).enumerate()
    {
        say(format_args!("{place}\t{token}\t{lease}\t{}", shown(value)))?;
    }
    let left_out = queue.waiting.saturating_sub(queue.places.len() as u64);
    if left_out > 0 { say(format_args!("and {left_out} more")) } else { Ok(()) }
}

async fn list(client: &Client, kind: QueueKind) -> Result<(), Failed> {
    say("name\ttoken\tlease\twaiting\tvalue")?;
    let mut after = Bytes::new();
    loop {
        let query = Query::Queues { kind, after, limit: 0 };
        let (answer, _) = client.query(query, ReadOptions::default()).await?;
        let Answer::Queues { queues, more } = answer else { return Ok(()) };
        for (name, queue) in &queues {
            let holder = queue.holder.clone().unwrap_or_default();
            let PlaceInfo { lease, token, value, .. } = &holder;
            say(format_args!("{}\t{token}\t{lease}\t{}\t{}", shown(name), queue.waiting, shown(value)))?;
        }
        match queues.last() {
            Some((name, _)) if more => after = name.clone(),
            Some(_) | None => return Ok(()),
        }
    }
}
