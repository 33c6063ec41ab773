//! `lease`: what keys, locks and offices live by.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_client::{CallOptions, Client, ReadOptions};
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::query::{Answer, LeaseInfo, Query};
use holdfast_command::{Command, Reply};

use super::ask::{Failed, Target, duration, say, shown};

#[derive(Debug, Args)]
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
        /// How long it lives after each renewal, in seconds
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
        /// Go on renewing it; exits with 10 once it is lost
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
        target.run(async |client| match what {
            What::Grant { ttl, id } => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let (reply, _) =
                    client.submit(Command::GrantLease(GrantLease { lease: *id, ttl_ms })).await?;
                if let Reply::LeaseGranted { lease, .. } = reply { say(lease) } else { Ok(()) }
            }
            What::Keep { id, forever: false } => {
                match client.keep_lease(*id, CallOptions::default()).await? {
                    Some(ttl) => say(format_args!("renewed for {} ms", ttl.as_millis())),
                    None => Err(unknown(client, *id).await),
                }
            }
            What::Keep { id, forever: true } => {
                let lease = client.adopt_lease(*id).await?;
                say(format_args!("renewing lease {id} until interrupted"))?;
                tokio::select! {
                    () = lease.lost() => Err(unknown(client, *id).await),
                    _ = tokio::signal::ctrl_c() => Ok(()),
                }
            }
            What::Revoke { id } => {
                let (reply, _) = client.submit(Command::RevokeLease(RevokeLease { lease: *id })).await?;
                if let Reply::LeaseRevoked { keys, .. } = reply {
                    say(format_args!("revoked, {keys} keys deleted"))?;
                }
                Ok(())
            }
            What::Show { id } => {
                let (answer, _) = client.query(Query::Lease { lease: *id }, ReadOptions::default()).await?;
                if let Answer::Lease { info, keys } = answer {
                    say(HEAD)?;
                    say(line(&info))?;
                    for key in &keys {
                        say(format_args!("key\t{}", shown(key)))?;
                    }
                }
                Ok(())
            }
            What::Ls => list(client).await,
        })
    }
}

const HEAD: &str = "lease\tttl_ms\tleft_ms\tkeys\tgranted_at";

fn line(info: &LeaseInfo) -> String {
    let LeaseInfo { lease, ttl_ms, left_ms, keys, granted_at, .. } = info;
    format!("{lease}\t{ttl_ms}\t{left_ms}\t{keys}\t{granted_at}")
}

/// What the cluster itself says of a lease that could not be renewed.
async fn unknown(client: &Client, id: i64) -> Failed {
    match client.query(Query::Lease { lease: id }, ReadOptions::default()).await {
        Err(error) => Failed::Client(error),
        Ok(_) => {
            Failed::Lost(format!("lease {id} could not be renewed in time, or was granted in another name"))
        }
    }
}

async fn list(client: &Client) -> Result<(), Failed> {
    say(HEAD)?;
    let mut after = 0;
    loop {
        let (answer, _) = client.query(Query::Leases { after, limit: 0 }, ReadOptions::default()).await?;
        let Answer::Leases { leases, more } = answer else { return Ok(()) };
        for info in &leases {
            say(line(info))?;
        }
        match leases.last() {
            Some(last) if more => after = last.lease,
            Some(_) | None => return Ok(()),
        }
    }
}
