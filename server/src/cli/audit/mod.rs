//! `audit`: who changed what, when and why.

mod record;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Client, ReadOptions};
use holdfast_command::AuditRecord;
use holdfast_command::query::{AuditPage, AuditQuery, MissingReason, MissingRecords};

use super::ask::Target;
use super::failed::Failed;
use super::out::{Cell, Format, Rows};
use crate::moment;

/// How long to wait between two looks for new records.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast audit --prefix app/ --since 2h
  holdfast audit --actor alice -o jsonl
  holdfast audit --since 1m --follow")]
pub(super) struct Audit {
    /// Only what touched a key, a lock or an election whose name begins with this
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only what was done in this name; the empty name for what was done in none
    #[arg(long)]
    actor: Option<String>,
    /// Only from this time on: 2026-11-21T01:20:00Z, 2026-11-21, or so long ago, as 90s, 15m, 2h or 7d
    #[arg(long, value_parser = begin, value_name = "TIME")]
    since: Option<u64>,
    /// Only up to the end of this second, millisecond or day
    #[arg(long, value_parser = end, value_name = "TIME")]
    until: Option<u64>,
    /// Only from this log index on
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// At most so many records
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Ask this node and no other, whether it knows a leader or not
    #[arg(long, value_name = "HOST:PORT")]
    node: Option<String>,
    /// Go on with what comes next, until interrupted
    #[arg(long, conflicts_with_all = ["until", "limit"])]
    follow: bool,
    /// One JSON object per record and nothing else, as it was called first
    #[arg(long, hide = true, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// The lowest stamp of a time as people write it.
fn begin(text: &str) -> Result<u64, String> {
    Ok(*moment::stamps(text)?.start())
}

/// The highest one: a record is shown to the millisecond, and what is copied from there is to find it.
fn end(text: &str) -> Result<u64, String> {
    Ok(*moment::stamps(text)?.end())
}

/// What is known of all pages so far.
#[derive(Debug, Default)]
struct Seen {
    complete_from: u64,
    through: u64,
    next: u64,
    missing: Vec<MissingRecords>,
}

impl Audit {
    /// Oldest first. What is missing of what was asked for is said on standard error, and at the end to programs.
    pub(super) fn run(self) -> ExitCode {
        let usual = self.json.then_some(Format::Jsonl);
        self.target.run_long(usual, async |client, out, signals| {
            let mut rows = out.rows(&record::COLUMNS).member("records");
            if self.follow {
                rows = rows.live();
            }
            let mut seen = Seen::default();
            tokio::select! {
                done = self.pages(client, &mut rows, &mut seen) => done?,
                signal = signals.next() => match signal {
                    _ if self.follow => {}
                    signal => return Err(Failed::interrupted(signal)),
                },
            }
            // Nothing but records, as it was.
            rows.end(&if self.json { Vec::new() } else { trailer(&seen) })?;
            self.end(&seen);
            Ok(())
        })
    }

    /// All pages that were asked for; with `--follow`, all that come.
    async fn pages(&self, client: &Client, rows: &mut Rows, seen: &mut Seen) -> Result<(), Failed> {
        let mut query = AuditQuery {
            from: self.from,
            since: self.since.unwrap_or(0),
            until: self.until.unwrap_or(0),
            limit: self.limit,
            prefix: Bytes::from(self.prefix.clone()),
            actor: self.actor.clone().map(Into::into),
        };
        loop {
            let page = self.page(client, query.clone()).await?;
            for missing in &page.missing {
                let why = why(missing.why);
                eprintln!("holdfast: records {} to {} are not here: {why}", missing.first, missing.last);
            }
            for bytes in &page.records {
                match AuditRecord::decode(bytes.clone()) {
                    Ok(record) => rows.push(&record::cells(&record)?)?,
                    Err(error) => eprintln!("holdfast: a record that this build cannot read: {error}"),
                }
            }
            // Each page may come from another node, which may know less.
            seen.complete_from = page.complete_from.max(seen.complete_from);
            (seen.through, seen.next) = (page.through, page.next);
            seen.missing.extend(page.missing);
            if self.follow {
                query.from = if page.next > 0 { page.next } else { query.from.max(page.through + 1) };
                if page.next == 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            query.limit -= u32::try_from(page.records.len()).unwrap_or(u32::MAX).min(query.limit);
            if page.next == 0 || query.limit == 0 {
                return Ok(());
            }
            query.from = page.next;
        }
    }

    async fn page(&self, client: &Client, query: AuditQuery) -> Result<AuditPage, Failed> {
        Ok(match &self.node {
            Some(node) => client.audit_at(node, query).await?,
            None => client.audit(query, ReadOptions::default()).await?,
        })
    }

    /// How far what was printed can be relied on.
    fn end(&self, seen: &Seen) {
        if seen.next > 0 {
            eprintln!("holdfast: more: --from {}", seen.next);
        }
        // A time may lie before what is known as well as an index.
        let earlier = self.from < seen.complete_from && seen.complete_from > 1;
        if earlier {
            eprintln!("holdfast: what was asked for may begin before index {}", seen.complete_from);
        }
        eprintln!("complete from index {} through {}", seen.complete_from, seen.last());
    }
}

impl Seen {
    /// Up to which index nothing was left out.
    fn last(&self) -> u64 {
        if self.next > 0 { self.next - 1 } else { self.through }
    }
}

fn why(reason: MissingReason) -> &'static str {
    match reason {
        MissingReason::Passed => "the node was given the state behind them",
        MissingReason::Lost => "a file that held them is damaged or gone",
    }
}

/// The same for programs.
fn trailer(seen: &Seen) -> Vec<(&'static str, Cell)> {
    let missing = seen.missing.iter().map(|missing| {
        let fields = [
            ("first", missing.first.into()),
            ("last", missing.last.into()),
            ("why", why(missing.why).into()),
        ];
        Cell::object(String::new(), &fields)
    });
    vec![
        ("complete_from", seen.complete_from.into()),
        ("through", seen.last().into()),
        ("next", if seen.next > 0 { seen.next.into() } else { Cell::Nothing }),
        ("missing", Cell::list(String::new(), &missing.collect::<Vec<_>>())),
    ]
}
