//! `put`, `get`, `del` and `ls`.

use std::io::Read as _;
use std::process::ExitCode;

use bytes::Bytes;
use bytestring::ByteString;
use clap::{Args, ValueEnum};
use holdfast_client::{Consistency, Page, Position, PutOptions, ReadOptions};
use holdfast_command::keys::{Content, Range, Span};
use holdfast_command::{Reply, Request, keys};

use super::ask::{Failed, Target, put_out, say, shown};

/// Keys in one page of `ls`.
const PAGE_BYTES: u32 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Put {
    #[command(flatten)]
    target: Target,
    /// The key
    key: String,
    /// The value; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "")]
    reason: String,
    /// The lease that it lives by
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    lease: i64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fresh {
    /// Everything that was acknowledged before
    Linearizable,
    /// At least the position given with --min-position, at any member
    Follower,
    /// Whatever a member has
    Stale,
}

/// What a read may see.
#[derive(Debug, Args)]
struct Freshness {
    /// What the read may see
    #[arg(long, value_enum, default_value_t = Fresh::Linearizable)]
    consistency: Fresh,
    /// A position that a write gave back: the read sees that write, at any member
    #[arg(long)]
    min_position: Option<Position>,
    /// For stale reads: how many milliseconds old; 0 for any age
    #[arg(long, default_value_t = 0)]
    max_stale_ms: u64,
    /// At this revision instead of the current one
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    rev: u64,
}

impl Freshness {
    fn options(&self) -> ReadOptions {
        let consistency = match self.consistency {
            Fresh::Linearizable if self.min_position.is_some() => Consistency::Follower,
            Fresh::Linearizable => Consistency::Linearizable,
            Fresh::Follower => Consistency::Follower,
            Fresh::Stale => Consistency::Stale,
        };
        ReadOptions {
            consistency,
            min_position: self.min_position,
            max_stale_ms: self.max_stale_ms,
            timeout: None,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    target: Target,
    /// The key
    key: String,
    #[command(flatten)]
    freshness: Freshness,
    /// Also print revision, version and position, to standard error
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Args)]
pub(super) struct Del {
    #[command(flatten)]
    target: Target,
    /// The key, or the prefix
    key: String,
    /// Delete every key that begins with it
    #[arg(long)]
    prefix: bool,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    #[command(flatten)]
    target: Target,
    /// Only keys that begin with it
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// At most so many keys; 0 for all
    #[arg(long, default_value_t = 0)]
    limit: u64,
    /// Leave the values out
    #[arg(long)]
    keys_only: bool,
    #[command(flatten)]
    freshness: Freshness,
}

impl Put {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, value, reason, lease } = self;
        target.run(async |client| {
            let value = if value == "-" {
                let mut all = Vec::new();
                std::io::stdin().lock().read_to_end(&mut all)?;
                all
            } else {
                value.into_bytes()
            };
            let options = PutOptions { lease, reason: reason.into(), ..PutOptions::default() };
            let (reply, position) = client.put_with(key, value, options).await?;
            let revision = if let Reply::Put { revision, .. } = reply { revision } else { 0 };
            say(format_args!("revision {revision} position {position}"))
        })
    }
}

impl Get {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, freshness, verbose } = self;
        target.run(async |client| {
            let range = Range { revision: freshness.rev, ..Range::of(Span::Key(key.into())) };
            let Page { page, position, staleness_ms } = client.read(range, freshness.options()).await?;
            let Some(entry) = page.entries.first() else { return Err(Failed::NotThere) };
            if verbose {
                eprintln!(
                    "revision {} created {} version {} position {position} at most {staleness_ms} ms old",
                    entry.mod_revision, entry.create_revision, entry.version
                );
            }
            put_out(&entry.value)?;
            if entry.value.last() == Some(&b'\n') { Ok(()) } else { say("") }
        })
    }
}

impl Del {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, prefix, reason } = self;
        target.run(async |client| {
            let key = Bytes::from(key);
            let span = if prefix { Span::prefix(key) } else { Span::Key(key) };
            let delete = keys::Delete { span, return_previous: false };
            let reason = ByteString::from(reason);
            let request = Request { reason, ..Request::from(holdfast_command::Command::Delete(delete)) };
            let (reply, position) = client.submit(request).await?;
            let Reply::Deleted { revision, count, .. } = reply else { return Err(Failed::NotThere) };
            say(format_args!("deleted {count} revision {revision} position {position}"))?;
            if count == 0 { Err(Failed::NotThere) } else { Ok(()) }
        })
    }
}

impl Ls {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, prefix, limit, keys_only, freshness } = self;
        target.run(async |client| {
            let span = if prefix.is_empty() { Span::all() } else { Span::prefix(prefix) };
            let content = if keys_only { Content::KeysOnly } else { Content::Full };
            let revision = freshness.rev;
            let mut range = Range { limit, content, revision, page_bytes: PAGE_BYTES, ..Range::of(span) };
            loop {
                let Page { page, .. } = client.read(range.clone(), freshness.options()).await?;
                for entry in &page.entries {
                    if keys_only {
                        say(shown(&entry.key))?;
                    } else {
                        say(format_args!("{}\t{}", shown(&entry.key), shown(&entry.value)))?;
                    }
                }
                if page.continuation.is_empty() {
                    return Ok(());
                }
                range.continuation = page.continuation;
            }
        })
    }
}
