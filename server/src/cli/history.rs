//! `history`: what a key was, by whom and why.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use holdfast_client::{Client, ReadOptions};
use holdfast_command::query::{Answer, Query, VersionInfo};
use holdfast_hlc::Stamp;

use super::ask::Target;
use super::failed::Failed;
use super::given::Written;
use super::out::{Cell, Column};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast history app/db/url
  holdfast history app/db/url --limit 1 -o json")]
pub(super) struct History {
    /// The key
    key: OsString,
    /// At most so many versions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only versions of revisions below this
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    before: u64,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

const COLUMNS: [Column; 8] = [
    Column::of("revision"),
    Column::of("version"),
    Column::of("unix_ms"),
    Column::of("actor"),
    Column::value("value"),
    Column::of("reason"),
    Column::json("deleted"),
    Column::json("stamp"),
];

impl History {
    /// Newest first; exits with 1 if nothing is known of the key.
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, limit, before, written } = self;
        target.run(async |client, out| {
            let known = versions(client, written.bytes(key)?, before, limit).await?;
            if known.versions.is_empty() {
                return Err(Failed::NotThere);
            }
            let mut rows = out.rows(&COLUMNS);
            for version in &known.versions {
                rows.push(&cells(version))?;
            }
            rows.end(&[])?;
            let last = known.versions.last().map_or(0, |version| version.entry.mod_revision);
            if known.more {
                eprintln!("older: --before {last}");
            } else if known.oldest > 1 {
                eprintln!("history is kept from revision {} on", known.oldest);
            }
            Ok(())
        })
    }
}

fn cells(version: &VersionInfo) -> [Cell; 8] {
    let VersionInfo { entry, deleted, actor, reason } = version;
    let stamp = Stamp::from_bits(entry.stamp);
    let value = match deleted {
        true => Cell::Parts("(deleted)".to_owned(), "null".to_owned()),
        false => (&entry.value).into(),
    };
    let actor = actor.name();
    [
        entry.mod_revision.into(),
        entry.version.into(),
        stamp.millis().get().into(),
        if actor.is_empty() { Cell::Nothing } else { bytes::Bytes::from(actor.to_owned()).into() },
        value,
        bytes::Bytes::from(reason.to_string()).into(),
        (*deleted).into(),
        Cell::text(stamp),
    ]
}

/// What is known of a key.
pub(super) struct Known {
    /// The oldest revision that is kept.
    pub(super) oldest: u64,
    /// Newest first.
    pub(super) versions: Vec<VersionInfo>,
    /// There are older ones.
    pub(super) more: bool,
}

/// Versions of a key below a revision, 0 for all.
pub(super) async fn versions(
    client: &Client,
    key: bytes::Bytes,
    before: u64,
    limit: u32,
) -> Result<Known, Failed> {
    let query = Query::History { key, before, limit };
    let (answer, _) = client.query(query, ReadOptions::default()).await?;
    let Answer::History { oldest, versions, more } = answer else {
        return Err(Failed::strange("a question for history"));
    };
    Ok(Known { oldest, versions, more })
}
