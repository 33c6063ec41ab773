//! `watch`.

use std::ffi::OsString;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Changes, Client, Notice};
use holdfast_command::WatchEvent;
use holdfast_command::keys::Span;
use holdfast_hlc::Stamp;

use super::ask::Target;
use super::failed::Failed;
use super::given::Written;
use super::kv::entry_cell;
use super::out::{Cell, Column, Rows, shown};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast watch app/db/url
  holdfast watch app/ --prefix --from-rev 17 -o jsonl
  holdfast watch '' --prefix --progress")]
pub(super) struct Watch {
    /// The key, or the prefix
    key: OsString,
    /// Watch every key that begins with it; all keys if it is empty
    #[arg(long)]
    prefix: bool,
    /// From this revision on, history included, instead of from what comes next
    #[arg(long, alias = "rev", value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    from_rev: u64,
    /// Also print what the key was before
    #[arg(long)]
    prev: bool,
    /// Leave writes out
    #[arg(long)]
    no_puts: bool,
    /// Leave deletions out
    #[arg(long)]
    no_deletes: bool,
    /// Also print how far the watch is while nothing happens
    #[arg(long)]
    progress: bool,
    /// End after so many changes, at the end of a revision; 0 for never
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    count: u64,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

const COLUMNS: [Column; 7] = [
    Column::of("revision"),
    Column::of("type"),
    Column::of("key"),
    Column::value("value"),
    Column::json("version"),
    Column::json("lease"),
    Column::json("stamp"),
];

/// The same with what was there before.
const COLUMNS_BEFORE: [Column; 8] = [
    Column::of("revision"),
    Column::of("type"),
    Column::of("key"),
    Column::value("value"),
    Column::json("version"),
    Column::json("lease"),
    Column::json("stamp"),
    Column::of("previous"),
];

impl Watch {
    pub(super) fn run(mut self) -> ExitCode {
        let key = std::mem::take(&mut self.key);
        self.target.run_long(None, async |client, out, signals| {
            let key = self.written.bytes(key)?;
            // Said at once if nobody is there; later the watch waits for whoever comes back.
            client.connected().await?;
            let columns: &'static [Column] = if self.prev { &COLUMNS_BEFORE } else { &COLUMNS };
            let mut rows = out.rows(columns).headless().live();
            tokio::select! {
                done = self.follow(client, key, &mut rows) => done?,
                _ = signals.next() => {}
            }
            rows.end(&[])
        })
    }

    async fn follow(&self, client: &Client, key: Bytes, rows: &mut Rows) -> Result<(), Failed> {
        let span = if self.prefix { Span::prefix(key) } else { Span::Key(key) };
        let mut options = client.watch(span).from(self.from_rev);
        if self.prev {
            options = options.with_previous();
        }
        if self.no_puts {
            options = options.without_puts();
        }
        if self.no_deletes {
            options = options.without_deletes();
        }
        if self.progress {
            options = options.with_progress();
        }
        let mut watch = options.start();
        let mut seen = 0;
        loop {
            match watch.next().await? {
                Notice::Progress(revision) => {
                    let mut cells = vec![revision.into(), "progress".into()];
                    cells.resize(COLUMNS_BEFORE.len(), Cell::LeftOut);
                    rows.push(&cells)?;
                }
                Notice::Changes(Changes { revision, events }) => {
                    for event in &events {
                        rows.push(&self.cells(revision, event))?;
                    }
                    seen += events.len() as u64;
                }
            }
            if self.count > 0 && seen >= self.count {
                return Ok(());
            }
        }
    }

    /// Revision, what happened, key, value, and what was before if that was asked for.
    fn cells(&self, revision: u64, event: &WatchEvent) -> Vec<Cell> {
        let entry = &event.entry;
        let mut cells = vec![
            revision.into(),
            if event.deleted { "delete" } else { "put" }.into(),
            (&entry.key).into(),
            if event.deleted { Cell::LeftOut } else { (&entry.value).into() },
            entry.version.into(),
            Cell::lease(entry.lease),
            Cell::text(Stamp::from_bits(entry.stamp)),
        ];
        if self.prev {
            cells.push(match &event.previous {
                Some(previous) => entry_cell(previous).shown_as(format!("was {}", shown(&previous.value))),
                None if event.previous_left_out => {
                    Cell::Parts("was too long to be sent".to_owned(), "\"too long\"".to_owned())
                }
                None => Cell::Parts("was not there".to_owned(), "null".to_owned()),
            });
        }
        cells
    }
}
