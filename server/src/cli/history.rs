//! `history`: what a key was, by whom and why.

use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_client::ReadOptions;
use holdfast_command::query::{Answer, Query};
use holdfast_hlc::Stamp;

use super::ask::{Failed, Target, say, shown};

#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    target: Target,
    /// The key
    key: String,
    /// At most so many versions
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Only versions of revisions below this
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    before: u64,
}

impl History {
    /// Newest first; exits with 1 if nothing is known of the key.
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, limit, before } = &self;
        target.run(async |client| {
            let key = Bytes::from(key.clone());
            let query = Query::History { key, before: *before, limit: *limit };
            let (answer, _) = client.query(query, ReadOptions::default()).await?;
            let Answer::History { oldest, versions, more } = answer else { return Ok(()) };
            if versions.is_empty() {
                return Err(Failed::NotThere);
            }
            say("revision\tversion\tunix_ms\tactor\tvalue\treason")?;
            for version in &versions {
                let entry = &version.entry;
                let value = if version.deleted { "(deleted)".to_owned() } else { shown(&entry.value) };
                let actor = version.actor.name();
                let actor = if actor.is_empty() { "-".to_owned() } else { shown(actor.as_bytes()) };
                let millis = Stamp::from_bits(entry.stamp).millis();
                let (revision, number, reason) =
                    (entry.mod_revision, entry.version, shown(version.reason.as_bytes()));
                say(format_args!("{revision}\t{number}\t{}\t{actor}\t{value}\t{reason}", millis.get()))?;
            }
            if more {
                let last = versions.last().map_or(0, |version| version.entry.mod_revision);
                say(format_args!("older: --before {last}"))?;
            } else if oldest > 1 {
                say(format_args!("history is kept from revision {oldest} on"))?;
            }
            Ok(())
        })
    }
}
