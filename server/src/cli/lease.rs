//! `lease`: what keys, locks and offices live by.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_client::{CallOptions, Client, ReadOptions};
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::query::{Answer, LeaseInfo, Query};
use holdfast_command::{Command, Reply};

use super::ask::{Interrupts, Target};
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Column, Format, Out, say, shown};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  LEASE=$(holdfast lease grant 30s)
  holdfast put addr/web h:80 --lease $LEASE
  holdfast lease keep $LEASE --forever")]
pub(super) struct Lease {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Grant a lease and print its number; nobody renews it
    Grant {
        /// How long it lives after each renewal: 30s, 5m; a plain number is seconds
        #[arg(value_parser = duration)]
        ttl: Duration,
        /// The number to give it; chosen if 0
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        id: i64,
    },
    /// Renew a lease: once, or until interrupted
    Keep {
        /// Its number
        id: i64,
        /// Go on renewing it until interrupted, which is a good end; exits with 10 once it is lost
        #[arg(long)]
        forever: bool,
    },
    /// End a lease, with its keys, locks and offices
    Revoke {
        /// Its number
        id: i64,
    },
    /// Show a lease and its keys; exits with 10 if there is none
    Show {
        /// Its number
        id: i64,
    },
    /// List all leases
    Ls,
}

impl Lease {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = &self;
        match what {
            What::Keep { id, forever: true } => {
                target.run_long(None, async |client, out, signals| keep_on(client, out, *id, signals).await)
            }
            What::Grant { ttl, id } => target.run(async |client, out| grant(client, out, *ttl, *id).await),
            What::Keep { id, forever: false } => target.run(async |client, out| keep(client, out, *id).await),
            What::Revoke { id } => target.run(async |client, out| revoke(client, out, *id).await),
            What::Show { id } => target.run(async |client, out| show(client, out, *id).await),
            What::Ls => target.run(list),
        }
    }
}

async fn grant(client: &Client, out: Out, ttl: Duration, id: i64) -> Result<(), Failed> {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let (reply, _) = client.submit(Command::GrantLease(GrantLease { lease: id, ttl_ms })).await?;
    let Reply::LeaseGranted { lease, ttl_ms } = reply else { return Err(Failed::strange("a grant")) };
    out.record(lease, &[("lease", Cell::lease(lease)), ("ttl_ms", ttl_ms.into())], "lease")
}

async fn keep(client: &Client, out: Out, id: i64) -> Result<(), Failed> {
    let Some(ttl) = client.keep_lease(id, CallOptions::default()).await? else {
        return Err(unknown(client, id).await);
    };
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let fields = [("lease", Cell::lease(id)), ("ttl_ms", ttl_ms.into())];
    out.record(format_args!("renewed for {ttl_ms} ms"), &fields, "ttl_ms")
}

async fn keep_on(client: &Client, out: Out, id: i64, signals: &mut Interrupts) -> Result<(), Failed> {
    let lease = client.adopt_lease(id).await?;
    let ttl_ms = u64::try_from(lease.ttl().as_millis()).unwrap_or(u64::MAX);
    let fields = [("lease", Cell::lease(id)), ("ttl_ms", ttl_ms.into())];
    out.record(format_args!("renewing lease {id} until interrupted"), &fields, "lease")?;
    tokio::select! {
        () = lease.lost() => Err(unknown(client, id).await),
        _ = signals.next() => Ok(()),
    }
}

async fn revoke(client: &Client, out: Out, id: i64) -> Result<(), Failed> {
    let (reply, _) = client.submit(Command::RevokeLease(RevokeLease { lease: id })).await?;
    let Reply::LeaseRevoked { keys, revision } = reply else { return Err(Failed::strange("a revocation")) };
    let fields = [("lease", Cell::lease(id)), ("keys", keys.into()), ("revision", revision.into())];
    out.record(format_args!("revoked, {keys} keys deleted"), &fields, "keys")
}

const COLUMNS: [Column; 5] = [
    Column::value("lease"),
    Column::of("ttl_ms"),
    Column::of("left_ms"),
    Column::of("keys"),
    Column::of("granted_at"),
];

fn cells(info: &LeaseInfo) -> [Cell; 5] {
    let LeaseInfo { lease, ttl_ms, left_ms, keys, granted_at, .. } = info;
    [Cell::lease(*lease), (*ttl_ms).into(), (*left_ms).into(), (*keys).into(), (*granted_at).into()]
}

async fn show(client: &Client, out: Out, id: i64) -> Result<(), Failed> {
    let (answer, _) = client.query(Query::Lease { lease: id }, ReadOptions::default()).await?;
    let Answer::Lease { info, keys } = answer else { return Err(Failed::strange("a question for a lease")) };
    if matches!(out.format, Format::Json | Format::Jsonl) {
        let names: Vec<Cell> = keys.iter().map(Cell::from).collect();
        let mut fields: Vec<_> = COLUMNS.iter().map(|column| column.name).zip(cells(&info)).collect();
        fields.push(("names", Cell::list(String::new(), &names)));
        return out.record("", &fields, "lease");
    }
    let mut rows = out.rows(&COLUMNS);
    rows.push(&cells(&info))?;
    rows.end(&[])?;
    if out.format != Format::Value {
        for key in &keys {
            say(format_args!("key\t{}", shown(key)))?;
        }
    }
    Ok(())
}

/// What the cluster itself says of a lease that could not be renewed.
async fn unknown(client: &Client, id: i64) -> Failed {
    match client.query(Query::Lease { lease: id }, ReadOptions::default()).await {
        Err(error) => Failed::Client(error),
        Ok(_) => {
            Failed::lost(format!("lease {id} could not be renewed in time, or was granted in another name"))
        }
    }
}

async fn list(client: &Client, out: Out) -> Result<(), Failed> {
    let mut rows = out.rows(&COLUMNS);
    let mut after = 0;
    loop {
        let (answer, _) = client.query(Query::Leases { after, limit: 0 }, ReadOptions::default()).await?;
        let Answer::Leases { leases, more } = answer else {
            return Err(Failed::strange("a question for leases"));
        };
        for info in &leases {
            rows.push(&cells(info))?;
        }
        match leases.last() {
            Some(last) if more => after = last.lease,
            Some(_) | None => return rows.end(&[]),
        }
    }
}
