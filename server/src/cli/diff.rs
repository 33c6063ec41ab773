//! `diff` and `rollback`: what was changed between two revisions, and back again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Client, ReadOptions};
use holdfast_command::keys::{Range, Restore, Span};
use holdfast_command::{Command, KeyValue, Reply, Request};
use similar::TextDiff;

use super::ask::Target;
use super::failed::Failed;
use super::given::Written;
use super::history::versions;
use super::kv::{PAGE_BYTES, entry_cell};
use super::out::{Cell, Column, Format, Out, put_out, shown};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast diff app/db/url
  holdfast diff app/db/url --from 17 --to 23
  holdfast diff app/ --prefix --from 17")]
pub(super) struct Diff {
    /// The key, or the prefix
    key: OsString,
    /// All keys that begin with it; needs --from
    #[arg(long, requires = "from")]
    prefix: bool,
    /// The earlier revision; of one key, what it was before its last change if not given
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// The later revision; the current one if not given
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast rollback app/db/url --to 17 --dry-run
  holdfast rollback app/db/url --to 17 --reason 'db2 is down'")]
pub(super) struct Rollback {
    /// The key
    key: OsString,
    /// The revision at which it was as it is to be again
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    to: u64,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Only print what would change; exits with 1 if that is anything, as `diff`
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

/// Keys and what they hold, at one revision.
struct Then {
    revision: u64,
    entries: BTreeMap<Bytes, KeyValue>,
}

impl Then {
    /// What the keys of a span were at a revision, 0 for now.
    async fn read(client: &Client, span: Span, revision: u64) -> Result<Self, Failed> {
        let mut range = Range { revision, page_bytes: PAGE_BYTES, ..Range::of(span) };
        let mut then = Self { revision, entries: BTreeMap::new() };
        loop {
            let page = client.read(range.clone(), ReadOptions::default()).await?.page;
            then.revision = page.revision;
            then.entries.extend(page.entries.into_iter().map(|entry| (entry.key.clone(), entry)));
            if page.continuation.is_empty() {
                return Ok(then);
            }
            range.continuation = page.continuation;
        }
    }

    /// Before anything was written.
    fn nothing() -> Self {
        Self { revision: 0, entries: BTreeMap::new() }
    }
}

const COLUMNS: [Column; 5] = [
    Column::of("key"),
    Column::of("change"),
    Column::json("before"),
    Column::json("after"),
    Column::value("diff"),
];

/// Prints how the keys differ. Whether they do.
fn print(out: Out, before: &Then, after: &Then) -> Result<bool, Failed> {
    let mut rows = out.rows(&COLUMNS);
    let mut differ = false;
    let keys: std::collections::BTreeSet<&Bytes> =
        before.entries.keys().chain(after.entries.keys()).collect();
    for key in keys {
        let (old, new) = (before.entries.get(key), after.entries.get(key));
        let change = match (old, new) {
            (Some(old), Some(new)) if old.value == new.value => continue,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "deleted",
            (None, _) => "added",
        };
        differ = true;
        let lines = lines(key, (old, before.revision), (new, after.revision));
        match out.format {
            Format::Json | Format::Jsonl => rows.push(&[
                key.into(),
                change.into(),
                old.map(entry_cell).into(),
                new.map(entry_cell).into(),
                lines.as_str().into(),
            ])?,
            Format::Table | Format::Plain | Format::Value => put_out(lines.as_bytes())?,
        }
    }
    match out.format {
        Format::Json | Format::Jsonl => rows.end(&[])?,
        Format::Table | Format::Plain | Format::Value => {}
    }
    Ok(differ)
}

/// A unified diff of two texts, or that two values that are none differ.
fn lines(key: &Bytes, (old, at): (Option<&KeyValue>, u64), (new, now): (Option<&KeyValue>, u64)) -> String {
    let text = |entry: Option<&KeyValue>| match entry {
        None => Some(String::new()),
        Some(entry) => std::str::from_utf8(&entry.value).ok().map(str::to_owned),
    };
    let name = |there: bool, revision| match there {
        true => format!("{} at revision {revision}", shown(key)),
        false => "(not there)".to_owned(),
    };
    let (from, to) = (name(old.is_some(), at), name(new.is_some(), now));
    match (text(old), text(new)) {
        (Some(was), Some(is)) if was != is => {
            let diff = TextDiff::from_lines(&was, &is);
            diff.unified_diff().context_radius(3).header(&from, &to).to_string()
        }
        // One of them is empty, and the other does not exist.
        (Some(_), Some(_)) => format!("--- {from}\n+++ {to}\n"),
        (None, _) | (_, None) => format!("--- {from}\n+++ {to}\nBinary values differ\n"),
    }
}

impl Diff {
    /// Exits as diff(1) does: with 0 if nothing differs, with 1 if something does.
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, prefix, from, to, written } = self;
        target.run(async |client, out| {
            let key = written.bytes(key)?;
            if let (Some(from), Some(to)) = (from, to)
                && from > to
            {
                return Err(Failed::usage(format!("--from {from} lies behind --to {to}")));
            }
            let span = if prefix { Span::prefix(key.clone()) } else { Span::Key(key.clone()) };
            let after = Then::read(client, span.clone(), to.unwrap_or(0)).await?;
            let before = match from {
                Some(from) => Then::read(client, span, from).await?,
                None => match former(client, key.clone(), after.revision).await? {
                    0 => Then::nothing(),
                    former => Then::read(client, span, former).await?,
                },
            };
            if before.entries.is_empty() && after.entries.is_empty() {
                eprintln!("{} is not there at either revision", shown(&key));
            }
            if print(out, &before, &after)? { Err(Failed::NotThere) } else { Ok(()) }
        })
    }
}

/// The revision of the version before that of a revision; 0 if there is none.
async fn former(client: &Client, key: Bytes, revision: u64) -> Result<u64, Failed> {
    let known = versions(client, key, revision + 1, 2).await?;
    Ok(known.versions.get(1).map_or(0, |version| version.entry.mod_revision))
}

impl Rollback {
    /// Writes anew what was there: nothing is taken out of the history.
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, to, reason, dry_run, written } = self;
        target.run(async |client, out| {
            let key = written.bytes(key)?;
            if dry_run {
                let span = Span::Key(key);
                let (now, then) =
                    (Then::read(client, span.clone(), 0).await?, Then::read(client, span, to).await?);
                return if print(out, &now, &then)? { Err(Failed::NotThere) } else { Ok(()) };
            }
            let restore = Restore { key, revision: to, return_previous: false };
            let request = Request { reason: reason.into(), ..Command::Restore(restore).into() };
            let (reply, position) = client.submit(request).await?;
            let Reply::Restored { revision, exists, .. } = reply else {
                return Err(Failed::strange("a rollback"));
            };
            let what = if exists { "restored" } else { "deleted, as it was not there" };
            let fields = [
                ("revision", revision.into()),
                ("exists", exists.into()),
                ("position", Cell::text(position)),
            ];
            out.record(format_args!("{what}: revision {revision} position {position}"), &fields, "revision")
        })
    }
}
